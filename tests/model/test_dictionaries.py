"""Sparse dictionaries: what SAELens and sparsify compute, to the last digits, and settings that are refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llminspect.core.dictionary import decode, encode, explained_variance, some_at_a_time
from llminspect.errors import ModelError
from llminspect.files.dictionaries import read_dictionary
from llminspect.model.dictionary_files import dictionary_of
from tests.closeness import assert_close

FOLDER = Path(__file__).parent.parent / "golden" / "dictionaries"
with np.load(FOLDER / "recorded.npz") as _recorded:
    EXPECTED = {name: _recorded[name] for name in _recorded.files}
NAMES = sorted(name.removesuffix(".rebuilt") for name in EXPECTED if name.endswith(".rebuilt"))


def opened(name: str | Path) -> Any:
    return dictionary_of(read_dictionary(str(FOLDER / name)))


@pytest.mark.parametrize("name", NAMES)
def test_activations_and_rebuilt_vectors_are_those_of_the_reference(name: str) -> None:
    made, x_TD = opened(name).dictionary, EXPECTED["x"]
    activation_TF = encode(made, x_TD)
    expected_TF = EXPECTED[f"{name}.activations"]
    np.testing.assert_array_equal(activation_TF > 0, expected_TF > 0)
    assert 0 < (expected_TF > 0).mean() < 0.8
    assert_close(activation_TF, expected_TF)
    assert_close(decode(made, activation_TF, x_TD), EXPECTED[f"{name}.rebuilt"])


def test_the_deviation_is_not_divided_by_when_it_is_next_to_nothing() -> None:
    """SAELens divides by the deviation and 1e-5."""
    made, x_TD = opened("jumprelu").dictionary, EXPECTED["x"].astype(np.float64) * 1e-5
    moved_TD = x_TD - x_TD.mean(axis=1, keepdims=True)
    before_TF = moved_TD / (x_TD.std(axis=1, ddof=1, keepdims=True) + 1e-5) @ made.encoder_DF + made.bias_F
    expected_TF = np.where(before_TF > np.maximum(made.threshold_F, 0), before_TF, 0)
    assert expected_TF.any()
    assert_close(encode(made, x_TD), expected_TF)


@pytest.mark.parametrize(("name", "hook", "hook_out"), [
    ("standard", "blocks.1.hook_resid_post", None),
    ("old-topk", "blocks.1.hook_resid_pre", None),
    ("older", "blocks.1.hook_resid_post", None),
    ("transcoder", "blocks.1.ln2.hook_normalized", "blocks.1.hook_mlp_out"),
    ("sparsify/layers.1", "layers.1", None),
    ("sparsify-transcoder/layers.1.mlp", "layers.1.mlp", ""),
    ("gemma-scope-random-res/layer_1/width_24/average_l0_5", "blocks.1.hook_resid_post", None),
])  # fmt: skip
def test_where_it_reads_is_what_the_files_say(name: str, hook: str, hook_out: str | None) -> None:
    found = opened(name)
    assert (found.hook, found.hook_out) == (hook, hook_out)


def test_a_file_of_the_folder_names_it() -> None:
    for name in ("cfg.json", "sae_weights.safetensors"):
        assert opened(f"standard/{name}").kind == "standard"
    assert opened("gemma-scope-random-res/layer_1/width_24/average_l0_5/params.npz").maker == "Gemma Scope"


def test_tokens_are_encoded_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llminspect.core.dictionary.NUMBERS", 50)
    made, x_TD = opened("topk").dictionary, EXPECTED["x"]
    parts = list(some_at_a_time(made, x_TD))
    assert [part for part, _ in parts] == [slice(0, 2), slice(2, 4), slice(4, 6)]
    assert_close(np.concatenate([found for _, found in parts]), encode(made, x_TD))


def test_explained_variance_is_one_less_the_share_that_is_not_rebuilt() -> None:
    x_TD = np.array([[1.0, 2.0], [3.0, 2.0], [5.0, 8.0]])
    rebuilt_TD = x_TD + np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 2.0]])
    # Around the mean (3, 4) the spread is 4 + 4 + 0 + 4 + 4 + 16 = 32; what is not rebuilt 1 + 4.
    assert explained_variance(x_TD, rebuilt_TD) == pytest.approx(1 - 5 / 32)
    assert np.isnan(explained_variance(x_TD[:1], x_TD[:1]))


def changed(tmp_path: Path, name: str, **settings: Any) -> Path:
    """A copy with other settings; None takes one away."""
    folder = tmp_path / "layers.1"
    shutil.copytree(FOLDER / name, folder)
    config = json.loads((folder / "cfg.json").read_text())
    config = {key: value for key, value in {**config, **settings}.items() if value is not ...}
    (folder / "cfg.json").write_text(json.dumps(config))
    return folder


REFUSED = [
    ("standard", {"future": None}, "'future' = null is not understood"),
    ("standard", {"future": False}, "'future' = false"),
    ("standard", {"architecture": "temporal"}, "'architecture' = \"temporal\""),
    ("standard", {"normalize_activations": "expected_average_only_in"}, "normalize_activations"),
    ("standard", {"normalize_activations": True}, "normalize_activations"),
    ("standard", {"normalize_activations": "covariance_whitening"}, "normalize_activations"),
    ("standard", {"activation_fn": "tanh-relu"}, "activation_fn"),
    ("standard", {"activation_fn_kwargs": {"k": 3}}, "activation_fn"),
    ("standard", {"apply_b_dec_to_input": 1}, "apply_b_dec_to_input"),
    ("standard", {"d_in": 9}, "'d_in' = 9"),
    ("standard", {"d_sae": 25}, "'d_sae' = 25"),
    ("standard", {"rescale_acts_by_decoder_norm": True}, "rescale_acts_by_decoder_norm"),
    ("standard", {"metadata": {"hook_name": "blocks.1.hook_resid_post", "future": 1}}, "'metadata.future' = 1"),
    ("standard", {"metadata": {"hook_head_index": 3}}, "hook_head_index"),
    ("standard", {"metadata": {"seqpos_slice": [1, 5]}}, "seqpos_slice"),
    ("standard", {"metadata": {"model_from_pretrained_kwargs": {"fold_ln": False}}}, "fold_ln"),
    ("standard", {"hook_name": 3}, "hook_name"),
    ("older", {"hook_name": "blocks.2.hook_resid_post"}, "hook_point"),
    ("topk", {"k": 0}, "'k' = 0"),
    ("topk", {"k": ...}, "'k' = null"),
    ("topk", {"k": 25}, "24 features, and k = 25"),
    ("transcoder", {"apply_b_dec_to_input": True}, "apply_b_dec_to_input"),
    ("standard", {"architecture": "gated"}, "holds no array b_mag"),
    ("jumprelu", {"architecture": "standard"}, "'threshold', which is not understood"),
    ("sparsify/layers.1", {"signed": True}, "'signed' = true"),
    ("sparsify/layers.1", {"future": 0}, "'future' = 0"),
    ("sparsify/layers.1", {"activation": "relu"}, "'activation' = \"relu\""),
    ("sparsify/layers.1", {"activation": "groupmax"}, "24 features are not 5 groups"),
    ("sparsify/layers.1", {"num_latents": 30}, "'num_latents' = 30"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "settings", "message"), REFUSED)
def test_settings_that_are_not_understood_are_refused(
    name: str, settings: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelError) as raised:
        opened(changed(tmp_path, name, **settings))
    assert message in f"{raised.value.message} {raised.value.hint}"
    assert len(raised.value.message.splitlines()) == 1


def test_what_is_no_dictionary_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sae_weights.pt").write_bytes(b"\x80\x02")
    (tmp_path / "empty").mkdir()
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    np.savez(tmp_path / "half.npz", W_enc=np.zeros((3, 4)), W_dec=np.zeros((4, 3)))
    (tmp_path / "broken.npz").write_bytes(b"PK")
    for name, message in {
        "nothing": "there is no file or folder", "empty": "holds no sparse dictionary", "sae_weights.pt": "pickle",
        "other.npz": "holds no sparse dictionary", "half.npz": "holds no array b_enc", "broken.npz": "not an archive",
    }.items():  # fmt: skip
        with pytest.raises(ModelError, match=message):
            opened(tmp_path / name)


def test_arrays_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    whole: dict[str, Any] = {
        "W_enc": (8, 24), "W_dec": (24, 8), "b_enc": (24,), "b_dec": (8,), "threshold": (24,)
    }  # fmt: skip

    def save(number: float, **others: Any) -> None:
        arrays: dict[str, Any] = {key: np.full(size, number) for key, size in {**whole, **others}.items()}
        np.savez(tmp_path / "a.npz", **arrays)

    for name, shape in {"b_enc": (23,), "threshold": (8,), "W_dec": (23, 8), "b_dec": (7,)}.items():
        save(0.0, **{name: shape})
        with pytest.raises(ModelError, match="do not belong together"):
            opened(tmp_path / "a.npz")
    save(np.nan)
    with pytest.raises(ModelError, match="not finite"):
        opened(tmp_path / "a.npz")
