"""Features of a sparse dictionary as places: `forward`, `attend` and `generate` against `features` and plain passes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import llminspect
from llminspect.analysis.gradients import gradients
from llminspect.analysis.opened_dictionary import feature_change, open_dictionary
from llminspect.analysis.prompt import prompt_of_ids
from llminspect.arguments.features import FeatureEdit
from llminspect.core.dictionary import Dictionary, activations_of, encode
from llminspect.core.intervention import Place, added
from llminspect.core.tap import Capture
from llminspect.errors import UsageError
from llminspect.files.hashes import sha256_of
from llminspect.opening import open_model
from tests.closeness import assert_close
from tests.commands.test_features import FEATURES, GOLDEN, IDS, TOY, random_dictionary
from tests.schemas import assert_fits

if TYPE_CHECKING:
    from tests.conftest import Program

PLACES = [
    ("llama", "plain", "layers.1"),
    ("gemma2", "plain", "layers.1.mlp"),
    ("llama", "transcode skip", "layers.1.mlp"),
    ("gpt2", "transcode", "layers.1"),
]


def of_heads(tmp_path: Path, width: int) -> str:
    """One that reads the heads of layer 1 side by side, as SAELens saves them, with JumpReLU."""
    rng = np.random.default_rng(8)
    arrays = {"W_enc": rng.normal(size=(width, 9)), "W_dec": rng.normal(size=(9, width)), "b_enc": rng.random(9),
              "b_dec": rng.normal(size=width), "threshold": rng.random(9) / 9}  # fmt: skip
    single = {name: array.astype(np.float32) for name, array in arrays.items()}
    save_file(single, tmp_path / "sae_weights.safetensors")
    config = {"architecture": "jumprelu", "d_in": width, "d_sae": 9, "hook_name": "blocks.1.attn.hook_z",
              "apply_b_dec_to_input": False}  # fmt: skip
    (tmp_path / "cfg.json").write_text(json.dumps(config))
    return str(tmp_path)


@pytest.mark.parametrize(("family", "kind", "hook"), PLACES)
def test_all_commands_change_the_same(family: str, kind: str, hook: str, tmp_path: Path) -> None:
    model = open_model(str(GOLDEN / family))
    path = random_dictionary(tmp_path, model.config.sizes.D, kind, hook)
    on = (llminspect.features(path, IDS, model).features or [])[-1].index
    changes: dict[str, Any] = {"ablate": f"feature.{on}", "steer": ["feature.3*2", "feature.4*-1"]}
    there = llminspect.features(path, IDS, model, top=6, **changes)
    here = llminspect.forward(IDS, model, top=6, features=path, **changes)
    assert here.next == there.next and here.baseline == there.baseline
    assert here.change is not None and there.change is not None and here.change.kl == there.change.kl > 1e-4
    assert [one.where for one in here.change.experiments] == [f"feature.{on}", "feature.3", "feature.4"]
    assert here.change.experiments[0].dictionary == there.dictionary
    # A new token is read by itself: what is on is that of its own vector.
    written = llminspect.generate(IDS, model, max_tokens=4, features=path, **changes)
    for count in range(4):
        whole = llminspect.forward([*IDS, *written.ids[:count]], model, top=1, features=path, **changes)
        assert (whole.next or [])[0].id == written.ids[count]
        assert whole.next is not None and whole.next[0].prob == pytest.approx(written.steps[count].prob, rel=1e-4)
    parts = llminspect.forward(IDS, model, features=path, attribution=True, **changes).attribution
    assert parts is not None and parts.sum == pytest.approx(parts.logit, rel=1e-5)
    assert (parts.experiment is None) == (hook != "layers.1")


def test_a_change_between_two_layers_is_a_part_of_the_answer(tmp_path: Path) -> None:
    model = open_model(str(GOLDEN / "llama"))
    path = random_dictionary(tmp_path, model.config.sizes.D, "plain", "layers.0")
    how: dict[str, Any] = {"features": path, "features_at": "blocks.1.hook_resid_pre", "steer": "feature.3*5"}
    parts = llminspect.forward(IDS, model, attribution=True, **how).attribution
    assert parts is not None and parts.sum == pytest.approx(parts.logit, rel=1e-5)
    assert parts.experiment is not None and abs(parts.experiment) > 0.01


def test_attention_is_that_of_the_changed_model(tmp_path: Path) -> None:
    model = open_model(str(GOLDEN / "llama"))
    path = random_dictionary(tmp_path, model.config.sizes.D, "plain", "layers.0")
    found = llminspect.attend(IDS, model, layer=1, head=0, features=path, steer="feature.3*5")
    direction_D = open_dictionary(model, path).made.rows([3])[0] * 5
    kept = Capture("layers.1.attention.weights")
    model.run(IDS, kept)
    plain = kept["layers.1.attention.weights"][0]
    with_direction = llminspect.Chain([added(Place(0, "stream"), direction_D), kept])
    model.run(IDS, with_direction)
    assert_close(found.heads[0].weights, kept["layers.1.attention.weights"][0])
    assert np.abs(found.heads[0].weights - plain).max() > 1e-3


def test_heads_side_by_side_and_batches(tmp_path: Path) -> None:
    model = open_model(str(GOLDEN / "llama"))
    width = model.params.layer(1)["attention.output.weight"].shape[1]
    opened = open_dictionary(model, of_heads(tmp_path, width))
    tap = feature_change(model, opened, [FeatureEdit("scale", 2, 3.0), FeatureEdit("steer", 5, 1.5)])
    kept = Capture("layers.1.attention.mixed")
    model.run(IDS, kept)
    mixed_TD = opened.place.vectors(model, kept["layers.1.attention.mixed"])
    delta_TD = 2 * encode(opened.made, mixed_TD)[:, [2]] @ opened.made.rows([2]) + 1.5 * opened.made.rows([5])
    seen = Capture("layers.1.attention.mixed")
    alone = model.run(IDS, llminspect.Chain([tap, seen])).stream_TD
    moved_TD = opened.place.vectors(model, seen["layers.1.attention.mixed"])
    assert_close(moved_TD, mixed_TD + delta_TD)
    both = model.run(np.array([IDS[::-1], IDS]), tap).stream_TD
    assert_close(both[1], alone)
    assert_close(both[0], model.run(IDS[::-1], tap).stream_TD)


def test_many_texts_have_the_numbers_of_each(tmp_path: Path) -> None:
    model = open_model("smollm2")
    path = random_dictionary(tmp_path, model.config.sizes.D, "plain", "layers.2")
    texts, how = ["The cat sat", "The dog ran"], {"features": path, "steer": "feature.3*60", "target": " on"}
    whole = llminspect.over("forward", [{"text": text} for text in texts], model, **how)
    changes = [llminspect.forward(text, model, **how).change for text in texts]
    kl = next(place.mean for place in whole.places if place.measure == "KL in bits")
    assert changes[0] is not None and changes[1] is not None and changes[0].kl > 0.01
    assert kl == pytest.approx((changes[0].kl + changes[1].kl) / 2, rel=1e-3)


@pytest.mark.parametrize("rule", ["topk", "groupmax"])
def test_gradients_go_through_what_the_features_write(rule: str, tmp_path: Path) -> None:
    """Against a difference of two passes; which features are on does not move."""
    model = open_model(str(GOLDEN / "llama"))
    path = random_dictionary(tmp_path, model.config.sizes.D, "plain", "layers.1")
    config = Path(path) / "cfg.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "activation": rule}))
    opened = open_dictionary(model, path)
    seen = Capture("layers.1.output")
    model.run(IDS, seen)
    on = int(np.argmax(encode(opened.made, seen["layers.1.output"])[-1]))
    tap, at = feature_change(model, opened, [FeatureEdit("scale", on, -2.0)]), "layers.0.output"
    step_D, size = np.random.default_rng(1).normal(size=model.config.sizes.D).astype(np.float32), 1e-3

    def moved(factor: float, taps: list[Any]) -> float:
        """The difference of two logits, with the first layer's stream moved by so many steps."""
        edits = llminspect.Chain([added(Place(0, "stream"), step_D * np.float32(factor)), *taps])
        logits_V = model.logits(model.run(IDS, edits).stream_TD)[-1].astype(np.float64)
        return float(logits_V[4] - logits_V[7])

    expected, plain = ((moved(size, taps) - moved(-size, taps)) / (2 * size) for taps in ([tap], []))
    prompt = prompt_of_ids(IDS, model.tokenizer, None)
    slope_TD = gradients(model, prompt, (4, 7), (at,), [tap])[at]
    assert slope_TD.sum(axis=0) @ step_D == pytest.approx(expected, rel=2e-3)
    assert abs(expected - plain) > 0.02 * abs(expected)


@pytest.mark.parametrize(("options", "message"), [
    ({"ablate": "feature.1"}, "none is given"),
    ({"features": TOY}, "needs a change"),
    ({"features": TOY, "ablate": "0.feedforward"}, "no change names a feature"),
    ({"features": TOY, "ablate": "feature.3"}, "there is no feature 3"),
    ({"features": TOY, "scale": "feature.1"}, "does not say feature.NUMBER*number"),
    ({"features": TOY, "steer": "feature.1*nan"}, "does not say feature.NUMBER*number"),
    ({"features": TOY, "ablate": "feature.1", "ablate_with": "mean"}, "is not for features"),
    ({"features": TOY, "ablate": "feature.1", "features_at": "blocks.0.hook_resid_pre"}, "--features-at: the"),
    ({"features_at": "blocks.0.hook_resid_pre", "ablate": "0.feedforward"}, "has no effect without"),
    ({"patch": "hello", "into": "feature.1"}, "is a feature of a sparse dictionary"),
])  # fmt: skip
@pytest.mark.parametrize("command", ["forward", "generate"])
def test_what_makes_no_sense_is_refused(command: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as raised:
        getattr(llminspect, command)("world", "toy", **options)
    assert message in f"{raised.value.message} {raised.value.hint}"


def test_a_dictionary_fits_its_model_or_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"vectors of 2 numbers, and layers\.0\.output of smollm2 has 576"):
        llminspect.forward("world", "smollm2", features=TOY, ablate="feature.1")
    with pytest.raises(UsageError, match="models of one stack"):
        llminspect.forward(IDS, str(GOLDEN / "t5"), target_ids=[0], features=TOY, ablate="feature.1")
    rng = np.random.default_rng(4)
    arrays = {"W_enc": (36, 9), "W_dec": (9, 36), "b_enc": (9,), "b_dec": (36,), "threshold": (9,)}
    drawn: dict[str, Any] = {name: rng.random(size) for name, size in arrays.items()}
    np.savez(tmp_path / "params.npz", **drawn)
    how: dict[str, Any] = {"features": str(tmp_path), "scale": "feature.2*9"}
    with pytest.raises(UsageError, match="does not say where it reads") as raised:
        llminspect.forward(IDS, str(GOLDEN / "llama"), **how)
    assert raised.value.hint is not None and "--features-at blocks.20.hook_resid_post" in raised.value.hint
    found = llminspect.forward(IDS, str(GOLDEN / "llama"), features_at="blocks.1.hook_resid_post", **how)
    assert found.change is not None and found.change.kl > 0


def test_another_dictionary_in_the_same_place_is_read_anew(tmp_path: Path) -> None:
    model = open_model(str(GOLDEN / "llama"))
    path = random_dictionary(tmp_path, model.config.sizes.D, "plain", "layers.1")
    before = llminspect.forward(IDS, model, features=path, steer="feature.3*2")
    arrays = {"encoder.weight": np.zeros((FEATURES, 36)), "encoder.bias": np.zeros(FEATURES),
              "W_dec": np.zeros((FEATURES, 36)), "b_dec": np.zeros(36)}  # fmt: skip
    single = {name: array.astype(np.float32) for name, array in arrays.items()}
    save_file(single, Path(path) / "sae.safetensors")
    after = llminspect.forward(IDS, model, features=path, steer="feature.3*2")
    assert before.change is not None and after.change is not None
    assert before.change.kl > 0 and after.change.largest_logit_change == 0


def test_some_features_have_the_activations_that_they_have_among_all() -> None:
    rng = np.random.default_rng(5)
    x_TD, some = rng.normal(size=(7, 6)), [8, 1, 3]
    for rule in ("relu", "topk", "jumprelu", "gated", "groupmax"):
        made = Dictionary(
            rng.normal(size=(6, 12)), rng.normal(size=12), rng.normal(size=(12, 6)), rng.normal(size=6), rule,
            k=4, threshold_F=rng.random(12) if rule == "jumprelu" else None,
            gate_F=rng.normal(size=12) if rule == "gated" else None,
            stretch_F=rng.normal(size=12) if rule == "gated" else None, subtracts=True,
        )  # fmt: skip
        assert_close(activations_of(made, x_TD, some), encode(made, x_TD)[:, some])
        assert (encode(made, x_TD)[:, some] > 0).any()


def test_the_command_line_does_the_same(called: Program) -> None:
    call = ("forward", "hello world", "--model", "toy", "--features", TOY, "--steer", "feature.1*3")
    document = json.loads(called(*call, "--json").out)
    assert_fits(document, "forward")
    made = document["change"]["experiments"][0]
    assert (made["where"], made["what"], made["dictionary"]["sha256"]) == (
        "feature.1",
        "+ 3",
        sha256_of(Path(TOY) / "sae_weights.safetensors"),
    )
    assert "steer feature.1 (+ 3)" in called(*call).out
