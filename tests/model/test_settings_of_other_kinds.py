"""A setting that one kind of model has, in files of the others: it counts only where the reference lets it count."""

from __future__ import annotations

from typing import Any

import pytest

from llminspect.errors import ModelError
from llminspect.model.registry import architecture_of
from tests.model.golden import NAMES, Golden

READ: dict[str, tuple[Any, str]] = {
    "query_pre_attn_scalar": (7, "gemma2 gemma3 gemma3_text vaultgemma"),
    "attn_logit_softcapping": (2.5, "gemma2 vaultgemma"),
    "final_logit_softcapping": (2.5, "gemma2 gemma3_text gemma3n_text gemma4_text nanochat vaultgemma"),
    "scale_attn_by_inverse_layer_idx": (True, "gpt2"),
    "rotary_pct": (0.5, "gpt_neox"),
    "rotary_dim": (4, "codegen gptj minimax_m2"),
    "rescale_prenorm_residual": (True, ""),
    "encoder_attention_heads": (1, "bart blenderbot blenderbot-small m2m_100 marian mbart pegasus plbart"),
    "logits_scaling": (2.5, "granite granitemoehybrid granitemoeshared hyperclovax"),
    "logit_scale": (2.5, "cohere cohere2"),
    "embedding_multiplier": (2.5, "falcon_h1 granite granitemoehybrid granitemoeshared hyperclovax"),
    "residual_multiplier": (2.5, "granite granitemoehybrid granitemoeshared hyperclovax"),
    "attention_multiplier": (2.5, "granite granitemoehybrid granitemoeshared hyperclovax"),
    "clip_qkv": (0.5, "flex_olmo mpt olmo olmoe"),
}
"""A value, and the kinds of which transformers 5.24 reads it (tools/foreign.py compares the numbers of each)."""
WINDOW_IN_ALL = ("mistral", "mixtral", "phi3", "phimoe", "starcoder2")
"""The kinds that have a window in every layer or in none."""


def read(config: dict[str, Any]) -> Any:
    return architecture_of(config, "huggingface", "it").config_from_huggingface(config)


@pytest.mark.parametrize("key", READ)
def test_a_setting_counts_only_in_the_kinds_that_read_it(key: str) -> None:
    value, kinds = READ[key]
    counted = set()
    for name in NAMES:
        config = Golden(name).config()
        inside = config.get("text_config") if key not in config else None
        part: dict[str, Any] = inside if isinstance(inside, dict) else config
        before = read(config)
        part[key] = value
        try:
            found = read(config)
        except ModelError:
            continue
        if found != before:
            counted.add(part.get("model_type", config["model_type"]))
    assert counted <= set(kinds.split()), key


@pytest.mark.parametrize("name", [name for name in NAMES if Golden(name).config()["model_type"] in WINDOW_IN_ALL])
def test_layers_have_no_kinds_where_the_reference_reads_none(name: str) -> None:
    config = Golden(name).config()
    layers, window = config["num_hidden_layers"], config.get("sliding_window")
    usual, other = ("full_attention", "sliding_attention")[:: 1 if window is None else -1]
    assert read({**config, "layer_types": [usual] * layers}) == read(config)
    for kinds in ([other] * layers, [usual, *[other] * (layers - 1)], [usual] * (layers + 1)):
        with pytest.raises(ModelError, match="layer_types"):
            read({**config, "layer_types": kinds})


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("gemma3-both-ways", {"is_causal": False}),
        ("modernbert", {"num_key_value_heads": 1}),
        ("modernbert-sequence", {"num_key_value_heads": 1}),
        ("nemotron_h", {"layer_types": ["mamba"]}),
        *((name, {"relative_attention_max_distance": 2}) for name in ("t5", "t5-encoder", "umt5")),
        *((name, {"relative_attention_max_distance": size}) for name in ("t5", "t5-gated", "umt5") for size in (1, 3)),
        *((name, {"relative_attention_num_buckets": 3}) for name in ("t5", "t5-encoder")),
        ("jamba", {"layer_types": ["full_attention", "full_attention"]}),
        ("jamba", {"layers_block_type": ["attention", "mamba"]}),
        ("mpt", {"max_seq_len": 1}),
    ],
)
def test_another_name_may_not_say_otherwise(name: str, changed: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match=next(iter(changed))):
        read({**Golden(name).config(), **changed})


def test_pictures_are_seen_both_ways_and_a_text_is_not() -> None:
    config = Golden("gemma3-vision").config()
    config["text_config"]["use_bidirectional_attention"] = True
    with pytest.raises(ModelError, match="use_bidirectional_attention"):
        read(config)


def test_a_setting_that_is_needed_and_absent_is_not_shown_as_null() -> None:
    config = {key: value for key, value in Golden("rwkv7").config().items() if key != "head_dim"}
    with pytest.raises(ModelError, match="lacks the setting 'head_dim'"):
        read(config)
