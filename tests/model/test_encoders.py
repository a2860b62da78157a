"""What the configurations of encoders may not say, and the heads that some have."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import llminspect
from llminspect.core.tap import Capture
from llminspect.errors import ModelError
from llminspect.opening import describe_model
from tests.model.golden import Golden

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Program
    from tests.model.conftest import Opened


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("modernbert", {"classifier_pooling": "max"}),
        ("modernbert", {"classifier_activation": "softplus"}),
        ("modernbert", {"position_embedding_type": "relative_key"}),
        ("modernbert", {"layer_types": ["full_attention"] * 3}),
        ("modernbert", {"sliding_window": 6}),
        ("modernbert", {"is_causal": True}),
        ("nomic-bert", {"prenorm": True, "n_embd": 24}),
        ("nomic-bert", {"activation_function": "relu", "n_embd": 24}),
        ("nomic-bert", {"is_causal": True}),
        ("mpnet", {"relative_attention_num_buckets": 16}),
        ("electra", {"position_embedding_type": "relative_key"}),
        ("electra", {"embedding_size": 0}),
        ("albert", {"inner_group_num": 2}),
        ("albert", {"num_hidden_groups": 5}),
        ("esm", {"position_embedding_type": "relative_key"}),
        ("esm", {"mask_token_id": None}),
        ("esm", {"is_folding_model": True}),
        ("esm-absolute", {"pad_token_id": 40}),
        ("deberta-convolution", {"conv_kernel_size": 4}),
        ("deberta-convolution", {"conv_groups": 2}),
        ("deberta-first", {"conv_kernel_size": 3}),
        ("deberta-first", {"talking_head": True}),
        ("deberta-first", {"position_buckets": 8}),
        ("deberta", {"embedding_size": 12}),
        ("deberta", {"pos_att_type": "p2p"}),
        ("deberta", {"position_buckets": 2}),
        ("deberta", {"legacy": False}),
        ("eurobert", {"classifier_pooling": "cls"}),
        ("eurobert", {"clf_pooling": "mean"}),
        ("eurobert", {"is_causal": True}),
        ("jina-bert", {"feed_forward_type": "original"}),
        ("jina-v3", {"position_embedding_type": "absolute"}),
        ("nomic-mixture", {"moe_top_k": 5}),
        ("nomic-mixture", {"moe_every_n_layers": 1}),
        ("nomic-mixture", {"mlp_fc1_bias": False}),
        ("nomic-mixture", {"num_shared_experts": 1}),
        ("nomic-mixture", {"activation_function": "relu"}),
        ("gte", {"logn_attention_scale": True}),
        ("roformer", {"rotary_value": True}),
        ("rembert", {"tie_word_embeddings": True}),
        ("flaubert", {"asm": True}),
        ("flaubert", {"causal": True}),
    ],
)
def test_what_is_not_computed_is_refused(name: str, changed: dict[str, Any], tmp_path: Path) -> None:
    shutil.copy(Golden(name).folder / "model.safetensors", tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(Golden(name).config() | changed))
    with pytest.raises(ModelError, match=next(iter(changed))):
        describe_model(str(tmp_path))


@pytest.mark.parametrize("name", ["modernbert", "eurobert"])
def test_an_encoder_fills_masks_and_gives_vectors(name: str, opened: Opened) -> None:
    _, model = opened(name)
    assert model.architecture.capabilities_with(model.config, model.params) == {"encode", "fill"}
    body = {array for array in model.params.arrays if not array.startswith(("head", "unembedding"))}
    assert model.architecture.capabilities_with(model.config, body) == {"encode"}


def test_attribution_does_not_go_through_a_head(called: Program) -> None:
    folder = str(Golden("modernbert").folder)
    assert called("forward", "--ids", "5,6", "--model", folder, "--attribution").code == 2
    steps = called("forward", "--ids", "5,6", "--model", folder, "--steps").out
    assert "= head(z)" in steps and "= h · U[" in steps


def test_windows_hide_on_both_sides(opened: Opened) -> None:
    golden, model = opened("modernbert")
    weights_LHTS = golden.expected["attentions"]
    seen = [(np.abs(np.subtract.outer(*[np.arange(weights_LHTS.shape[-1])] * 2)) <= 3) for _ in range(2)]
    assert [model.config.window_of(index) for index in range(4)] == [None, 3, 3, None]
    assert ((weights_LHTS[1:3] > 0) == np.stack(seen)[:, None]).all()


def test_a_discriminator_says_how_probable_it_is_that_a_token_was_replaced() -> None:
    golden = Golden("electra-token")
    found = llminspect.forward(golden.expected["ids"].tolist(), str(golden.folder)).token_labels
    assert found is not None
    assert {label.label for label in found} == {"replaced"}
    wanted_T = 1 / (1 + np.exp(-golden.expected["labels"][:, 0]))
    np.testing.assert_allclose([label.prob for label in found], wanted_T, rtol=1e-4)


def test_layers_of_a_group_are_the_same_one(opened: Opened) -> None:
    arrays = opened("albert")[1].params.arrays
    layers = [np.asarray(arrays[f"layers.{index}.feedforward.up.weight"]) for index in range(4)]
    assert (layers[0] == layers[1]).all() and (layers[2] == layers[3]).all() and (layers[1] != layers[2]).any()


def test_masks_beside_padding_are_counted_among_what_is_text(opened: Opened) -> None:
    model = opened("esm")[1]
    text, tap = [7, 4, 5, 6], Capture("embedding.output")
    model.run(np.array([[*text, 3, 3]]), tap, hidden_S=np.array([[False] * 4 + [True] * 2]))
    alone = Capture("embedding.output")
    model.run(text, alone)
    np.testing.assert_allclose(tap["embedding.output"][0, :4], alone["embedding.output"], rtol=1e-6)
    assert not alone["embedding.output"][0].any()
