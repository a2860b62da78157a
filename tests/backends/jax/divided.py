"""Each golden model in sizes that can be cut in eight: other numbers in its configuration, its tensors drawn anew."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from safetensors.numpy import save_file

from llminspect.model.spec import expanded_shape
from llminspect.opening import describe_model
from tests.backends.jax.answers import answers_of_golden
from tests.model.cover import covering, described, settings, shapes, tensors
from tests.model.golden import NAMES, Golden

if TYPE_CHECKING:
    from pathlib import Path

    from llminspect.core.array import Array
    from llminspect.model.config import Sizes
    from llminspect.model.opened import Model

ALONE = {"D": 64, "H": 8, "K": 8, "F": 24, "V": 136, "X": 8, "Z": 16, "Q": 40}
GROUPED = {**ALONE, "D": 96, "H": 16, "K": 8}
"""D is a multiple of H, as not every configuration says how wide a head is."""
KEYS = {
    "D": "hidden_size n_embd d_model dim word_embed_proj_dim pooler_hidden_size cross_attention_hidden_size",
    "H": "num_attention_heads n_head num_heads n_heads attention_heads encoder_attention_heads decoder_attention_heads",
    "K": "num_key_value_heads num_kv_heads n_kv_heads",
    "F": "intermediate_size moe_intermediate_size n_inner d_ff hidden_dim "
    "encoder_ffn_dim decoder_ffn_dim ffn_dim ffn_hidden_size mlp_hidden_size",
    "V": "vocab_size decoder_vocab_size embedding_size",
    "X": "num_local_experts num_experts n_routed_experts moe_num_experts",
    "Z": "kv_lora_rank",
    "Q": "q_lora_rank",
}
"""In which key of a configuration each length is."""
UNCUT = ("falcon", "gpt_bigcode")
"""Models all of whose heads share one key and value, which a mesh that cuts heads refuses."""
NOT_WIDER = ("squeezebert", "glm4v")
"""Models whose configuration has a length twice, or a share of one, and does not become wider by its keys."""
STATEFUL = (
    *("lfm2", "mamba", "mamba2", "qwen3_5", "qwen3_next", "granitemoehybrid", "bamba"),
    *("lfm2_moe", "qwen3_5_moe", "granitemoehybrid-experts", "jamba", "nemotron_h", "falcon_h1", "falcon_mamba"),
    *("rwkv7", "gemma3n", "gemma4", "gemma4-same-keys", "gemma4-experts"),
)
"""Models with a state, or whose layers take from one another, which are not compiled."""
LETTER_OF = {key: letter for letter, keys in KEYS.items() for key in keys.split()}


@cache
def layouts() -> list[str]:
    """Golden models that together have every tensor, of every shape, that any has: each brings one at least.

    What holds for a cut of these holds for all that are made of the same tensors.
    """
    return covering(_to_cut(), tensors)


@cache
def passes() -> list[str]:
    """Golden models that together have every tensor and every kind of setting that any has."""
    return covering(_to_cut(), lambda name: tensors(name) | settings(name))


@cache
def cuts() -> list[str]:
    """Golden models that together have every shape of a tensor, in letters, and can do all that models do."""
    return covering(_to_cut(), lambda name: shapes(name) | set(described(name).architecture.capabilities))


def _to_cut() -> set[str]:
    return set(NAMES) - {*UNCUT, *STATEFUL, *NOT_WIDER}


@dataclass(frozen=True)
class Divided:
    """A model in sizes that can be cut in eight, several texts for it, and what numpy says of them."""

    model: Model
    texts: Golden

    @cached_property
    def answers(self) -> dict[str, Array]:
        return answers_of_golden(self.model, self.texts)


def write_divided(golden: Golden, folder: Path) -> None:
    """A model of the golden model's kind; each tensor holds numbers of the golden one's, drawn at random."""
    described, given = describe_model(str(golden.folder), offline=True), golden.config()
    config = _wider(given)
    (folder / "config.json").write_text(json.dumps(config))
    assert described.located is not None and described.located.weights is not None
    weights, specs = described.located.weights, {spec.name: spec for spec in described.specs}
    config_there = described.architecture.config_from_huggingface(config)
    random, made = np.random.default_rng(0), {}
    for spec in described.architecture.tensors(config_there):
        if spec.name not in specs:
            continue
        held = weights.array(specs[spec.name].sources("huggingface")[0])
        if spec.huggingface_fix is None:
            shape = expanded_shape(spec.shape, config_there.sizes)[isinstance(spec.huggingface, tuple) :]
        else:
            wider = _lengths(described.config.sizes, config_there.sizes)
            # A width without a letter stays.
            shape = tuple(wider.get(length, length) for length in held.shape)  # type: ignore[misc]
        if held.ndim > 1:  # Longer sums of numbers that are as much smaller.
            held = held * (described.config.sizes.D / config_there.sizes.D) ** 0.5
        for source in spec.sources("huggingface"):
            made[source] = random.choice(held.ravel(), shape).astype(np.float32)
    save_file(made, folder / "model.safetensors")


def _wider(given: dict[str, Any]) -> dict[str, Any]:
    """The configuration with the lengths that can be cut; of a model that sees pictures that of its text part."""
    inner = {
        key: _wider(given[key]) for key in ("text_config", "encoder", "decoder") if isinstance(given.get(key), dict)
    }
    if inner:
        return {key: value for key, value in given.items() if key != "vocab_size"} | inner
    grouped = "num_key_value_heads" in given and "kv_lora_rank" not in given
    sizes = GROUPED if grouped or given.get("new_decoder_architecture") else ALONE
    return {key: value and sizes.get(LETTER_OF.get(key, ""), value) for key, value in given.items()}


def _lengths(old: Sizes, new: Sizes) -> dict[int, int]:
    """The axes of what the core takes apart or turns: fused matrices, those of experts, a bias of one row."""

    def axes(sizes: Sizes) -> tuple[int, ...]:
        fused = (sizes.H + 2 * sizes.K) * sizes.E
        latent = sizes.Z, sizes.Z + sizes.G, sizes.H * (sizes.M + sizes.U)
        return (
            *latent,
            1,
            sizes.context + 2,
            sizes.D,
            sizes.F,
            2 * sizes.F,
            sizes.V,
            sizes.X,
            sizes.X * sizes.F,
            sizes.E,
            fused,
        )

    return dict(zip(axes(old), axes(new), strict=True))


_compiled = jax.stages.Lowered.compile


def quickly_compiled(self: jax.stages.Lowered) -> jax.stages.Compiled:
    """Half of the time to compile is spent on fusing what these models have little of."""
    try:
        return _compiled(self, compiler_options={"xla_cpu_use_fusion_emitters": False})
    except jax.errors.JaxRuntimeError:  # This JAX has no such option.
        return _compiled(self)
