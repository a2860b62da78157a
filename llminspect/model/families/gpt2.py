"""GPT-2: learned positions, layer norms before each step, one plain feed-forward network.

Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from llminspect.model.config import GGUF, Config, Sizes, read_sizes
from llminspect.model.settings import ACTIVATIONS
from llminspect.model.spec import Architecture, TensorSpec, for_layers, norm_specs, rows_of
from llminspect.model.transformer import forward, readout

if TYPE_CHECKING:
    from llminspect.core.array import Array
    from llminspect.model.settings import Settings


KEYS = {"L": "n_layer", "D": "n_embd", "H": "n_head", "context": "n_positions"}


@dataclass(frozen=True, kw_only=True)
class GPT2Config(Config):
    norm = "layer"
    sizes: Sizes
    norm_epsilon: float
    activation: str
    scale: float
    scale_by_layer: bool = False
    """Whether the scores of layer n are divided by n + 1 as well."""
    tied: bool = True
    causal: bool = True

    def scale_of(self, index: int) -> float:
        return self.scale / (index + 1) if self.scale_by_layer else self.scale


def from_huggingface(settings: Settings) -> GPT2Config:
    sizes = read_sizes(settings, KEYS, F=settings.whole("n_inner", 4 * settings.whole("n_embd")))
    settings.only("n_ctx", sizes.context)
    settings.skip("reorder_and_upcast_attn", *(key for key in settings.values if key.startswith("summary_")))
    return GPT2Config(
        sizes=sizes,
        norm_epsilon=settings.number("layer_norm_epsilon"),
        activation=settings.one_of("activation_function", ACTIVATIONS),
        scale=sizes.E**-0.5 if settings.flag("scale_attn_weights", True) else 1.0,
        scale_by_layer=settings.flag("scale_attn_by_inverse_layer_idx"),
        tied=settings.flag("tie_word_embeddings", True),
    )


def from_gguf(settings: Settings) -> GPT2Config:
    sizes = read_sizes(settings, GGUF)
    settings.only("attention.head_count_kv", sizes.H)
    return GPT2Config(
        sizes=sizes,
        norm_epsilon=settings.number("attention.layer_norm_epsilon"),
        activation="gelu_tanh",
        scale=sizes.E**-0.5,
    )


def query_key_value(config: GPT2Config) -> dict[str, int]:
    return dict.fromkeys(("query", "key", "value"), config.sizes.D)


def transposed(weight_IO: Array, _: GPT2Config) -> Array:
    """Hugging Face files hold GPT-2's matrices the other way round, input by output."""
    return weight_IO.T


def _fused(part: str) -> list[TensorSpec]:
    rows = rows_of(part, query_key_value)

    def columns(weight_IO: Array, config: GPT2Config) -> Array:
        return rows(weight_IO.T, config)

    name = f"attention.{part}"
    return [
        TensorSpec(f"{name}.weight", "HE D", "attn.c_attn.weight", "attn_qkv.weight", columns, rows),
        TensorSpec(f"{name}.bias", "HE", "attn.c_attn.bias", "attn_qkv.bias", rows, rows),
    ]


def _map(name: str, shape: str, huggingface: str, gguf: str) -> list[TensorSpec]:
    return [
        TensorSpec(f"{name}.weight", shape, f"{huggingface}.weight", f"{gguf}.weight", transposed),
        TensorSpec(f"{name}.bias", shape.split()[0], f"{huggingface}.bias", f"{gguf}.bias"),
    ]


LAYER = (
    *norm_specs("attention.norm", "ln_1", "attn_norm"),
    *_fused("query"),
    *_fused("key"),
    *_fused("value"),
    *_map("attention.output", "D HE", "attn.c_proj", "attn_output"),
    *norm_specs("feedforward.norm", "ln_2", "ffn_norm"),
    *_map("feedforward.up", "F D", "mlp.c_fc", "ffn_up"),
    *_map("feedforward.down", "D F", "mlp.c_proj", "ffn_down"),
)


def tensors(config: GPT2Config) -> list[TensorSpec]:
    return [
        TensorSpec("embedding.weight", "V D", "wte.weight", "token_embd.weight"),
        TensorSpec("position.weight", f"{config.sizes.context} D", "wpe.weight", "position_embd.weight"),
        *norm_specs("final.norm", "ln_f", "output_norm"),
        TensorSpec("unembedding.weight", "V D", "lm_head.weight", "output.weight", optional=config.tied),
        *for_layers(config.sizes.L, LAYER, huggingface="h.{}.", gguf="blk.{}."),
    ]


ARCHITECTURES = (
    Architecture(
        name="gpt2",
        model_types=("gpt2",),
        read_huggingface=from_huggingface,
        tensors=tensors,
        forward=forward,
        readout=readout,
        gguf_names=("gpt2",),
        read_gguf=from_gguf,
        prefix="transformer.",
        ignored=("h.*.attn.bias", "h.*.attn.masked_bias"),
    ),
)
