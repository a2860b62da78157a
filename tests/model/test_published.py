"""The configurations of published models, key for key: each is read, to the right size, and nothing in it is dropped.

`published.json` holds the `config.json` of each model and how many parameters the reference implementation counts: of
T5 1.1 with the output matrix of its own, which the files hold; of Marian without the waves, which are computed, and
with the bias of the logits. (The divisors of the long Phi-3s' rotations are other numbers, as many as published.)
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from llminspect.errors import ModelError
from llminspect.model.known_settings import HARMLESS
from llminspect.model.registry import architecture_for
from llminspect.model.spec import TensorSpec, expanded_shape

PUBLISHED = json.loads((Path(__file__).parent / "published.json").read_text())
WITHOUT_EFFECT = {
    "llama": "max_sequence_length is_llama_config",
    # Windows are off in all of these, and where they are on they begin after the last layer.
    "qwen2": "max_window_layers sliding_window use_sliding_window",
    "qwen3": "max_window_layers sliding_window use_sliding_window",
    "qwen3_moe": "max_window_layers sliding_window",
    "smollm3": "max_window_layers sliding_window use_sliding_window no_rope_layer_interval",
    "gemma3_text": "_sliding_window_pattern",
    "phi3": "original_max_position_embeddings",
    "gpt_oss": "initial_context_length",
    "gpt2": "summary_activation summary_first_dropout summary_proj_to_labels summary_type summary_use_proj",
    "bert": "directionality pooler_fc_size pooler_num_attention_heads pooler_num_fc_layers pooler_size_per_head "
    "pooler_type",
    "distilbert": "qa_dropout seq_classif_dropout sinusoidal_pos_embds tie_weights_",
    "t5": "dense_act_fn is_gated_act",
    "marian": "classif_dropout decoder_layerdrop encoder_layerdrop extra_pos_embeddings num_hidden_layers",
}
"""Keys beside the harmless ones that change no number of these models, by `model_type`."""
OPTIONAL_PARTS = {"BertModel": ("pooler.",)}
"""What a file holds of the parts that it may leave out, by its class; of any other class the word predictor."""


def read(config: dict[str, Any]) -> Any:
    return architecture_for(config["model_type"], "huggingface").config_from_huggingface(config)


def another(value: Any) -> Any:
    """A value of the same kind that says something else."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, dict):
        return {**value, "strange": 1}
    if isinstance(value, list):
        return [*value, *value[:1]] if value else [1]
    if isinstance(value, str):
        return "silu" if value == "relu" else "relu"
    return value * 2 if value else 7


@pytest.mark.parametrize("name", PUBLISHED)
def test_it_is_read_to_the_size_that_the_model_has(name: str) -> None:
    config = PUBLISHED[name]["config"]
    found = read(config)
    optional = OPTIONAL_PARTS.get(config["architectures"][0], ("head.", "unembedding.bias"))
    if (config["model_type"] == "t5" and not config.get("tie_word_embeddings", True)) or not found.tied:
        optional = ("unembedding.weight",)

    def held(spec: TensorSpec) -> bool:
        return not spec.optional or spec.name.startswith(optional)

    specs = architecture_for(config["model_type"], "huggingface").tensors(found)
    counted = sum(math.prod(expanded_shape(spec.shape, found.sizes)) for spec in specs if held(spec))
    assert counted == PUBLISHED[name]["parameters"]


@pytest.mark.parametrize("name", PUBLISHED)
def test_no_key_of_it_is_dropped(name: str) -> None:
    """Each key with another value gives another model, or is refused."""
    config = PUBLISHED[name]["config"]
    as_published = read(config)
    dropped = set()
    for key in config.keys() - HARMLESS:
        try:
            if read({**config, key: another(config[key])}) == as_published:
                dropped.add(key)
        except (ModelError, ValueError):  # ValueError: what `understood` turns into a ModelError.
            pass
    assert dropped <= set(WITHOUT_EFFECT.get(config["model_type"], "").split())


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_key_that_is_not_known_is_named(name: str) -> None:
    with pytest.raises(ModelError, match=r"not understood: residual_multiplier = 0\.22"):
        read({**PUBLISHED[name]["config"], "residual_multiplier": 0.22})


def test_what_each_configuration_says_of_its_attention() -> None:
    def found(name: str) -> Any:
        return read(PUBLISHED[name]["config"])

    assert (found("Mistral-7B-v0.1").window, len(found("Mistral-7B-v0.1").windowed)) == (4096, 32)
    assert found("Mistral-7B-Instruct-v0.3").windowed == ()
    assert found("Qwen2.5-0.5B").windowed == ()
    assert found("Phi-3-mini-4k-instruct").window == 2047
    assert found("gemma-2-9b").windowed == tuple(range(0, 42, 2))
    assert [index for index in range(26) if index not in found("gemma-3-1b-it").windowed] == [5, 11, 17, 23]
    assert (found("gemma-3-1b-it").rotary.base, found("gemma-3-1b-it").local_rotary.base) == (1e6, 1e4)
    assert found("SmolLM3-3B").unturned == tuple(range(3, 36, 4))
    assert found("pythia-70m").rotary == found("pythia-70m-saved-again").rotary
    assert (found("pythia-70m").rotary.width, found("pythia-70m").rotary.base) == (16, 10_000)
    assert found("llama-7b").rotary.base == 10_000
    assert found("Phi-4-mini-instruct").rotary.width == 96
    assert (found("t5-small").gated, found("t5-small").activation, found("t5-small").scaled) == (False, "relu", True)
    assert (found("flan-t5-small").gated, found("flan-t5-small").scaled) == (True, False)
    assert found("gpt-oss-20b-BF16").rotary.scaling.factor == 32


@pytest.mark.parametrize("key", ["rope_theta", "partial_rotary_factor"])
def test_a_rotation_that_is_stated_twice_is_stated_the_same(key: str) -> None:
    config = dict(PUBLISHED["pythia-70m-saved-again"]["config"])
    with pytest.raises(ModelError, match=key):
        read({**config, key: config[key] / 2})
    del config["rotary_emb_base"], config["rotary_pct"]
    assert read({**config, key: config[key] / 2}) != read(config)
