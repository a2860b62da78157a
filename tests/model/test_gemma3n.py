"""Gemma 3n's several residual streams: which of them is shown, which is changed; and what it refuses."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from llminspect.core.intervention import Place, replaced
from llminspect.core.tap import Capture, Chain
from llminspect.errors import ModelError
from llminspect.model.registry import architecture_of
from llminspect.opening import open_model
from tests.model.golden import Golden, assert_as_expected, computed

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Program
    from tests.model.conftest import Opened

IDS = [5, 9, 30, 7, 45, 2, 41, 3, 8]


def test_the_active_stream_is_shown_and_the_head_reads_all(opened: Opened) -> None:
    _, model = opened("gemma3n")
    seen, active = Capture("*"), model.config.active
    stream_TD = model.run(IDS, seen).stream_TD
    for layer in range(model.config.sizes.L):
        assert np.array_equal(seen[f"layers.{layer}.output"], seen[f"layers.{layer}.streams.output"][active])
    assert np.array_equal(seen["layers.3.combined"], stream_TD)
    assert not np.allclose(seen["layers.3.output"], stream_TD, atol=0.1)
    assert np.array_equal(seen["embedding.streams"][0], seen["embedding.output"])


def test_what_is_put_into_the_stream_is_put_into_the_active_one(opened: Opened) -> None:
    _, model = opened("gemma3n")
    plain, seen = Capture("layers.1.*"), Capture("layers.1.*")
    model.run(IDS, plain)
    model.run(IDS, Chain([replaced(Place(0, "stream"), 0.5), seen]))
    assert np.all(seen["layers.1.input"] == 0.5)
    routed = seen["layers.1.streams.router"]
    assert np.allclose(routed, routed[0]) and not np.allclose(plain["layers.1.streams.router"], routed, atol=1e-3)
    mixed = plain["layers.1.streams.predicted"] - seen["layers.1.streams.predicted"]
    assert np.abs(mixed[0]).mean() < np.abs(mixed[model.config.active]).mean()


def test_the_lens_reads_as_the_head_does(called: Program) -> None:
    folder = str(Golden("gemma3n").folder)
    found = called("forward", "-m", folder, "--ids", "5,9,30", "--lens", "--all", "--json").json
    last, answer = found["lens"][-1]["top"][0], found["next"][0]
    assert (last["id"], last["prob"]) == (answer["id"], answer["prob"])
    assert found["grid"][-1][-1]["id"] == answer["id"]
    assert found["notes"] == called("info", folder, "--json").json["notes"]
    assert found["notes"][0].startswith("3 residual streams side by side: stream 1,")


def test_units_below_the_cutoff_are_shut(opened: Opened) -> None:
    _, model = opened("gemma3n")
    seen = Capture("layers.*.feedforward.*")
    model.run(IDS * 4, seen)
    assert np.mean(seen["layers.0.feedforward.gate"] == 0) == pytest.approx(0.6, abs=0.05)
    assert "layers.1.feedforward.gate.projected" not in seen.arrays


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"altup_correct_scale": False}, "altup_correct_scale = false is not understood"),
        ({"hidden_activation": "silu"}, 'hidden_activation = "silu" is not understood'),
        ({"altup_num_inputs": 1}, "altup_num_inputs = 1 is not understood"),
        ({"altup_active_idx": 3}, r"altup_active_idx = 3 is not understood"),
        ({"activation_sparsity_pattern": [0.5]}, r"activation_sparsity_pattern = \[0.5\] is not understood"),
        ({"activation_sparsity_pattern": [0.5, 0, 1.0, 0]}, "activation_sparsity_pattern = .* is not understood"),
        ({"intermediate_size": [10, 10, 12, 10]}, "intermediate_size = .* is not understood"),
        ({"num_kv_shared_layers": 3}, "num_kv_shared_layers = 3 is not understood"),
    ],
)
def test_what_is_built_otherwise_is_refused(changes: dict[str, Any], line: str) -> None:
    values = Golden("gemma3n").config() | changes
    with pytest.raises(ModelError, match=line):
        architecture_of(values, "huggingface", "gemma3n").config_from_huggingface(values)


def test_the_text_part_of_one_that_sees_and_hears_is_the_same(tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    golden = Golden("gemma3n")
    inner = {key: value for key, value in golden.config().items() if key != "architectures"}
    outer = {"model_type": "gemma3n", "text_config": inner, "vision_config": {}, "audio_config": {}}
    more = {"audio_soft_tokens_per_image": 188, "vision_soft_tokens_per_image": 256, "boi_token_id": 42}
    (tmp_path / "config.json").write_text(json.dumps({**outer, **more}))
    tensors = {
        name.replace("model.", "model.language_model.", 1): array
        for name, array in load_file(golden.folder / "model.safetensors").items()
    }
    spare = {"model.embed_audio.embedding.weight": np.zeros((2, 2), np.float32)}
    save_file({**tensors, **spare}, tmp_path / "model.safetensors")
    assert_as_expected(computed(open_model(str(tmp_path), offline=True), golden), golden)
