"""The converter's `modify_tensors`: each tensor changed, then renamed, then cut into several or stacked with its kin.

Each table's rows hold the kinds (None: all), what the name must hold, and what is done.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from tests.model.gguf_of import of_kinds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from llminspect.core.array import Array
    from tests.model.gguf_of.values import Config

    Kinds = tuple[str, ...] | None

ENCODERS = ("bert", "roberta", "jina_embeddings_v3")
PERMUTED = (
    *("granitemoehybrid", "llama", "mixtral", "granite", "granitemoeshared", "arcee", "smollm3", "olmo"),
    *("deepseek", "ministral3"),
)
CENTRED = ("gemma", "gemma2", "gemma3", "gemma3_text", "nemotron", "qwen3_next", "qwen3_5_text", "qwen3_5_moe_text")
"""Kinds whose norms multiply by 1 + what their files hold."""
QWEN3_5 = ("qwen3_5_text", "qwen3_5_moe_text")
WITH_CURVES = ("mamba2", "falcon_h1", "nemotron_h", "granitemoehybrid")
"""Kinds of Mamba 2, whose numbers a head stand in a column."""


def heads(key: str) -> Callable[[Config, str, Array], Array]:
    return lambda config, name, array: of_kinds.permuted(array, config[key])


CHANGED: tuple[tuple[Kinds, str, Callable[[Config, str, Array], Array]], ...] = (
    (("llada",), "q_proj", heads("n_heads")),
    (("llada",), "k_proj", heads("n_kv_heads")),
    (PERMUTED, r"\.self_attn\.q_proj", heads("num_attention_heads")),
    (PERMUTED, r"\.self_attn\.k_proj", heads("num_key_value_heads")),
    (("gpt_neox", "bloom"), "query_key_value", of_kinds.threes_apart),
    (("falcon",), "query_key_value", of_kinds.groups_apart),
    (WITH_CURVES, r"\.(mixer|mamba)\.(A_log|D)$", lambda config, name, array: array[:, None]),
    (None, r"\.A_log$", lambda config, name, array: -np.exp(array)),
    (None, r"\.(mixer|mamba)\.norm\.weight$", of_kinds.by_groups),
    (None, r"\.conv\.conv\.weight|\.conv1d\.weight", lambda config, name, array: array.squeeze(1)),
    (None, r"e_score_correction_bias$", lambda config, name, array: array.squeeze()),
    (("falcon_h1",), "", of_kinds.falcon_multiplied),
    (QWEN3_5, r"\.linear_attn\.", of_kinds.tiled),
    (CENTRED, r"^((?!linear_attn).)*norm\.weight$", lambda config, name, array: array + 1),
    (("gemma3n_text",), "embed_tokens_per_layer", of_kinds.filled_up),
    (("gpt2",), r"(c_attn|c_proj|c_fc)\.weight$", lambda config, name, array: array.T),
    (("roberta",), r"^(roberta\.)?embeddings\.position_embeddings", of_kinds.after_padding),
)
RENAMED: tuple[tuple[Kinds, str, str], ...] = (
    (None, r"dt_bias$", "dt_proj.bias"),
    (("nemotron_h",), r"dt_proj\.bias$", "dt.bias"),
    (None, r"e_score_correction_bias$", "e_score_correction.bias"),
    (None, r"expert_bias$", "expert_bias.bias"),
    (None, r"(\.sinks|layer_scalar)$", r"\1.weight"),
    (("gemma3n_text",), r"_scale$", "_scale.weight"),
    (("gemma4_text",), r"model\.layers\.(\d+)\.router\.scale", r"blk.\1.ffn_gate_inp.scale"),
    (("gemma4_text",), r"model\.layers\.(\d+)\.router\.per_expert_scale", r"blk.\1.ffn_down_exps.scale"),
    (("gemma4_text",), r"(\.experts\..*)$", r"\1.weight"),
    (("modernbert",), r"^model\.", ""),
    (("modernbert",), r"classifier\.", "classifier.out_proj."),
    (("nomic_bert",), r"^nomic_bert\.", ""),
    (ENCODERS, r"^(bert|roberta)\.", ""),
    (ENCODERS, r"^classifier\.([^.]*)$", r"classifier.out_proj.\1"),
    (("bloom",), r"^transformer\.", ""),
    (("mixtral", "lfm2_moe"), r"^model\.(.*)block_sparse_moe(\.experts\.\d)", r"\1feed_forward\2"),
    (("mixtral", "lfm2_moe"), r"^model\.(.*\.experts\.\d)", r"\1"),
    (("jamba",), r"feed_forward(\.experts\.\d)", r"mlp\1"),
    (("nemotron_h",), r"^\w+\.layers\.(\d+)\.\w+(\.experts\.\d)", r"model.layers.\1.mlp\2"),
)
DROPPED: tuple[tuple[Kinds, str], ...] = (
    (None, r"\.act_fn\.|^pooler\."),
    (("nomic_bert",), r"^cls\.|experts\.bias$"),
    (("eurobert",), r"^lm_head"),
    (ENCODERS, r"^(cls\.predictions|lm_head\.)"),
)
CUT: tuple[tuple[Kinds, str, Callable[[Config, str, Array], Iterator[tuple[str, Array]]]], ...] = (
    (("deepseek", "qwen3_vl_moe"), r"experts\.(gate_up|down)_proj$", of_kinds.experts_halved),
    (("gpt_oss",), r"\.mlp\.experts\.", of_kinds.gpt_oss_experts),
    (None, "in_proj_qkvz", of_kinds.parted),
    (("granitemoehybrid",), "shared_mlp", of_kinds.granite_shared),
    (("granitemoeshared", "granitemoehybrid"), "input_linear", of_kinds.granite_halved),
    (None, r"kv_b_proj\.weight$", of_kinds.latent_halved),
    (("nomic_bert",), r"\.mlp\.w[12]$", of_kinds.nomic_experts),
)
STACKED: tuple[tuple[Kinds, str, str], ...] = (
    (("gemma3n_text",), r"(.*\.altup_.*)\.(\d+)(\.weight)", r"\1\3"),
    (None, r"(.*)\.norms\.(\d+)(\.weight)", r"\1\3"),  # StableLM has a norm for each head.
    (None, r"(.*\.experts)\.(\d+)\.(.*)", r"\1.\3"),
)


def changed(config: Config, arrays: dict[str, Array]) -> Iterator[tuple[str, Array]]:
    if config["model_type"] == "rwkv7":
        yield from of_kinds.rwkv_tensors(arrays)
        return
    stacks: dict[str, dict[int, Array]] = {}
    for name, array in arrays.items():
        for final, part in cut(config, renamed(config, name), altered(config, name, array)):
            for kinds, pattern, together in STACKED:
                if of(config, kinds) and (found := re.fullmatch(pattern, final)):
                    stacks.setdefault(found.expand(together), {})[int(found[2])] = part
                    break
            else:
                yield final, part
    for name, stack in stacks.items():
        yield name, np.stack([stack[index] for index in sorted(stack)])


def of(config: Config, kinds: Kinds) -> bool:
    return kinds is None or config["model_type"] in kinds


def altered(config: Config, name: str, array: Array) -> Array:
    for kinds, pattern, change in CHANGED:
        if of(config, kinds) and re.search(pattern, name):
            array = change(config, name, array)
    return array


def renamed(config: Config, name: str) -> str:
    for kinds, pattern, into in RENAMED:
        if of(config, kinds):
            name = re.sub(pattern, into, name)
    return name


def cut(config: Config, name: str, array: Array) -> Iterator[tuple[str, Array]]:
    """The parts of one tensor: none, where the converter drops it."""
    headless = config["model_type"] == "modernbert" and "id2label" not in config
    if headless and name.startswith(("head.", "decoder.")):
        return
    if any(of(config, kinds) and re.search(pattern, name) for kinds, pattern in DROPPED):
        return
    for kinds, pattern, parts in CUT:
        if of(config, kinds) and re.search(pattern, name):
            yield from parts(config, name, array)
            return
    yield name, array
