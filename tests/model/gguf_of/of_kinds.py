"""What the converter does to the tensors of single kinds: each takes the configuration, the name and the numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llminspect.core.array import Array
    from tests.model.gguf_of.values import Config

    Parts = Iterator[tuple[str, Array]]


def permuted(array: Array, heads: int) -> Array:
    return array.reshape(heads, 2, len(array) // heads // 2, *array.shape[1:]).swapaxes(1, 2).reshape(array.shape)


def threes_apart(config: Config, name: str, array: Array) -> Array:
    """Queries, keys and values, which stand head by head."""
    heads = config.get("num_attention_heads") or config["n_head"]
    return array.reshape(heads, 3, len(array) // heads // 3, *array.shape[1:]).swapaxes(0, 1).reshape(array.shape)


def groups_apart(config: Config, name: str, array: Array) -> Array:
    """Falcon's queries, keys and values, which stand group by group."""
    keys = config["num_kv_heads"] if config["new_decoder_architecture"] else 1
    width = config["hidden_size"] // config["num_attention_heads"]
    groups = array.reshape(keys, -1, width, config["hidden_size"])
    cut = (groups[:, :-2], groups[:, -2], groups[:, -1])
    return np.concatenate([part.reshape(-1, config["hidden_size"]) for part in cut])


def by_groups(config: Config, name: str, array: Array) -> Array:
    return array.reshape(config.get("n_groups") or config["mamba_n_groups"], -1)


def filled_up(config: Config, name: str, array: Array) -> Array:
    """The rows of ids that have no vector of their layers; the converter fills them with noughts."""
    return np.concatenate([array, np.repeat(array[:1], config["vocab_size"] - len(array), axis=0)])


def after_padding(config: Config, name: str, array: Array) -> Array:
    return array[1 + config["pad_token_id"] :]


def experts_halved(config: Config, name: str, array: Array) -> Parts:
    kinds = ["gate_proj", "up_proj"] if "gate_up" in name else ["down_proj"]
    for kept, half in zip(kinds, np.split(array, len(kinds), axis=1), strict=True):
        yield f"{name.rpartition('.')[0]}.{kept}.weight", half


def granite_shared(config: Config, name: str, array: Array) -> Parts:
    """A layer without experts, whose unit has the name of the expert that all share."""
    if config["num_local_experts"]:
        yield from granite_halved(config, name, array) if "input_linear" in name else [(name, array)]
        return
    block, _, which = name.removesuffix(".weight").partition("shared_mlp.")
    halves = [array] if which == "output_linear" else np.split(array, 2)
    for part, half in zip(("down",) if len(halves) == 1 else ("gate", "up"), halves, strict=True):
        yield f"{block}mlp.{part}_proj.weight", half


def granite_halved(config: Config, name: str, array: Array) -> Parts:
    block = name.removesuffix("input_linear.weight").replace("block_sparse_moe.", "mlp.experts.")
    for part, half in zip(("gate_proj", "up_proj"), np.split(array, 2, axis=-2), strict=True):
        yield f"{block.replace('shared_mlp.', 'mlp.shared_experts.')}{part}.weight", half


def latent_halved(config: Config, name: str, array: Array) -> Parts:
    """DeepSeek's keys and values; MiniCPM 3 keeps them together."""
    if "n_routed_experts" not in config:
        yield name, array
        return
    both = array.reshape(config["num_attention_heads"], -1, config["kv_lora_rank"])
    plain = config["qk_nope_head_dim"]
    yield name.replace("kv_b_proj", "k_b_proj"), both[:, :plain].swapaxes(1, 2)
    yield name.replace("kv_b_proj", "v_b_proj"), both[:, plain:]


def nomic_experts(config: Config, name: str, array: Array) -> Parts:
    array = array.reshape(config["num_experts"], config["n_inner"], -1)
    yield f"{name}.weight", array.swapaxes(1, 2) if name.endswith("w2") else array


def falcon_multiplied(config: Config, name: str, array: Array) -> Array:
    by = {
        "down_proj": config["mlp_multipliers"][1],
        "gate_proj": config["mlp_multipliers"][0],
        "k_proj": config["key_multiplier"] * (1 if name.endswith("bias") else config["attention_in_multiplier"]),
        **dict.fromkeys(("q_proj", "v_proj"), 1 if name.endswith("bias") else config["attention_in_multiplier"]),
        "o_proj": config["attention_out_multiplier"],
        "out_proj": config["ssm_out_multiplier"],
        "lm_head": config["lm_head_multiplier"],
        "embed_tokens": config["embedding_multiplier"],
    }
    part = next((part for part in by if f".{part}." in f".{name}."), None)
    if "in_proj" in name:
        written = config["mamba_n_groups"] * config["mamba_d_state"]
        lengths = [config["mamba_d_ssm"]] * 2 + [written] * 2 + [config["mamba_n_heads"]]
        rows: Array = np.repeat(config["ssm_multipliers"], lengths)
        array = array * (rows if array.ndim == 1 else rows[:, None] * config["ssm_in_multiplier"])
    elif part is not None:
        array = array * by[part]
    return array


def tiled(config: Config, name: str, array: Array) -> Array:
    """Of Qwen 3.5 the first head of values of each key, then the second of each; `_reorder_v_heads`."""
    keys, heads = config["linear_num_key_heads"], config["linear_num_value_heads"]
    after = 2 * keys * config["linear_key_head_dim"] if "in_proj_qkv" in name or "conv1d" in name else 0
    if name.endswith("linear_attn.norm.weight"):
        return array
    rows = array.T if "out_proj" in name else array
    width = (len(rows) - after) // heads
    turned = rows[after:].reshape(keys, heads // keys, width, *rows.shape[1:]).swapaxes(0, 1)
    rows = np.concatenate([rows[:after], turned.reshape(rows[after:].shape)])
    return rows.T if "out_proj" in name else rows


def parted(config: Config, name: str, array: Array) -> Parts:
    """Qwen3-Next's queries, keys, values and gate, which stand group by group."""
    groups, keys = config["linear_num_key_heads"], config["linear_key_head_dim"]
    values = config["linear_num_value_heads"] // groups * config["linear_value_head_dim"]
    cut = np.split(array.reshape(groups, -1, array.shape[-1]), [keys, 2 * keys, 2 * keys + values], axis=1)
    query, key, value, gate = (part.reshape(-1, array.shape[-1]) for part in cut)
    layer = f"blk.{name.split('.')[2]}"
    yield f"{layer}.attn_qkv.weight", np.concatenate([query, key, value])
    yield f"{layer}.attn_gate.weight", gate


def gpt_oss_experts(config: Config, name: str, array: Array) -> Parts:
    """Gate and up are interleaved in the last axis; maps are kept input by output."""
    part, suffix = ("bias" if name.endswith("_bias") else "weight"), name.removesuffix("_bias")
    turned = array.swapaxes(-1, -2) if part == "weight" else array
    if name.endswith(("down_proj", "down_proj_bias")):
        yield f"{suffix}.{part}", turned
        return
    rows = turned if part == "bias" else turned.swapaxes(-1, -2)
    for which, start in (("gate", 0), ("up", 1)):
        half = rows[..., start::2]
        yield suffix.replace("gate_up", which) + f".{part}", half if part == "bias" else half.swapaxes(-1, -2)


def rwkv_tensors(arrays: dict[str, Array]) -> Parts:
    """The converter's `modify_tensors` of this kind: other names, the six shares in one tensor, dummies in layer 0."""
    shares: dict[str, dict[str, Array]] = {}
    for name, array in arrays.items():
        array = array.flatten() if "r_k" in name else array
        name = name.replace("ffn", "feed_forward").replace("attn", "attention")
        name = name.replace("_lora.lora.0.weight", "1.weight").replace("_lora.lora.2.weight", "2.weight")
        name = name.replace("_lora.lora.2.bias", "0.weight").replace("feed_forward_norm", "ln2")
        name = name.replace("g_norm", "ln_x")
        before, _, part = name.rpartition(".attention.x_")
        if before:
            shares.setdefault(before.replace("model.layers", "blk"), {})[part] = array
            continue
        yield name if name.endswith((".weight", ".bias")) else name + ".weight", array.squeeze()
        if name.startswith("model.layers.0.attention.a") and name[len("model.layers.0.attention.a")] in "012":
            yield name.replace(".attention.a", ".attention.v"), array
    for block, six in shares.items():
        yield f"{block}.time_mix_lerp_fused.weight", np.stack([six[part] for part in "rwkvag"])
