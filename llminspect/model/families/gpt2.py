"""GPT-2: learned positions, layer norms in front of each step, one plain feed-forward network.

Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llminspect.core import attention
from llminspect.core.array import namespace
from llminspect.core.cache import Cache, span
from llminspect.core.embedding import look_up
from llminspect.core.unembed import logits
from llminspect.model import settings as settings_of
from llminspect.model.decoder_files import ACTIVATIONS
from llminspect.model.spec import Architecture, Pass, Sizes, TensorSpec, for_layers, norm_specs, rows_of
from llminspect.model.steps import layer_normed, learned_positions, plain_feed_forward, self_attention

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llminspect.core.array import Array
    from llminspect.core.cache import Seen
    from llminspect.core.tap import Tap
    from llminspect.model.params import Params


@dataclass(frozen=True)
class Config:
    sizes: Sizes
    norm_epsilon: float
    activation: str
    scale: float
    scale_by_layer: bool = False
    """Whether the scores of layer n are divided by n + 1 as well."""
    tied: bool = True
    causal: bool = True


def config_from_huggingface(config: Mapping[str, Any]) -> Config:
    settings = settings_of.huggingface(config)
    width, heads, context = settings.whole("n_embd"), settings.whole("n_head"), settings.whole("n_positions")
    sizes = Sizes(
        L=settings.whole("n_layer"),
        D=width,
        H=heads,
        K=heads,
        E=width // heads,
        F=settings.whole("n_inner", 4 * width),
        V=settings.whole("vocab_size"),
        context=context,
    )
    settings.only("n_ctx", context)
    found = Config(
        sizes=sizes,
        norm_epsilon=settings.number("layer_norm_epsilon"),
        activation=settings.one_of("activation_function", ACTIVATIONS),
        scale=sizes.E**-0.5 if settings.get("scale_attn_weights", True) else 1.0,
        scale_by_layer=bool(settings.get("scale_attn_by_inverse_layer_idx", False)),
        tied=bool(settings.get("tie_word_embeddings", True)),
    )
    summary = [key for key in config if key.startswith("summary_")]  # Of a classifier's head.
    settings.done((*summary, "reorder_and_upcast_attn"))
    return found


def config_from_gguf(metadata: Mapping[str, Any]) -> Config:
    settings = settings_of.gguf(metadata, "gpt2")
    width, heads = settings.whole("embedding_length"), settings.whole("attention.head_count")
    settings.only("attention.head_count_kv", heads)
    sizes = Sizes(
        L=settings.whole("block_count"),
        D=width,
        H=heads,
        K=heads,
        E=width // heads,
        F=settings.whole("feed_forward_length"),
        V=settings.whole("vocab_size"),
        context=settings.whole("context_length"),
    )
    found = Config(sizes, settings.number("attention.layer_norm_epsilon"), "gelu_tanh", sizes.E**-0.5)
    settings.done()
    return found


def query_key_value(config: Config) -> dict[str, int]:
    return dict.fromkeys(("query", "key", "value"), config.sizes.D)


def transposed(weight_IO: Array, _: Config) -> Array:
    """Hugging Face files hold GPT-2's matrices the other way round, input by output."""
    return weight_IO.T


def _fused(part: str) -> list[TensorSpec]:
    rows = rows_of(part, query_key_value)

    def columns(weight_IO: Array, config: Config) -> Array:
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


def tensors(config: Config) -> list[TensorSpec]:
    return [
        TensorSpec("embedding.weight", "V D", "wte.weight", "token_embd.weight"),
        TensorSpec("position.weight", f"{config.sizes.context} D", "wpe.weight", "position_embd.weight"),
        *norm_specs("final.norm", "ln_f", "output_norm"),
        TensorSpec("unembedding.weight", "V D", "lm_head.weight", "output.weight", optional=config.tied),
        *for_layers(config.sizes.L, LAYER, huggingface="h.{}.", gguf="blk.{}."),
    ]


def forward(
    params: Params,
    config: Config,
    ids_T: Array,
    tap: Tap,
    cache: Cache | None = None,
    hidden_S: Array | None = None,
) -> Pass:
    xp, sizes, tokens = namespace(ids_T), config.sizes, ids_T.shape[-1]
    start, keys, first = span(cache, tokens)
    tokens_TD = tap("embedding.tokens", look_up(params["embedding.weight"], ids_T))
    positions_TD = tap("embedding.positions", learned_positions(params, start, tokens))
    stream_TD = tap("embedding.output", tokens_TD + positions_TD)
    mask_TS = attention.hide(attention.causal_mask(xp, tokens, keys, first=first), hidden_S)

    def scale(index: int) -> float:
        return config.scale / (index + 1) if config.scale_by_layer else config.scale

    def step(
        index: int, layer: Mapping[str, Array], stream_TD: Array, cache: Cache | None, tap: Tap
    ) -> tuple[Array, Seen]:
        name = f"layers.{index}"
        stream_TD = tap(f"{name}.input", stream_TD)
        normed_TD = layer_normed(layer, "attention.norm", stream_TD, config.norm_epsilon)
        added_TD, seen = self_attention(
            layer,
            tap(f"{name}.attention.norm", normed_TD),
            sizes.H,
            tap,
            name,
            scale=scale(index),
            mask_TS=mask_TS,
            cache=cache,
            index=index,
        )
        stream_TD = tap(f"{name}.middle", stream_TD + added_TD)
        normed_TD = layer_normed(layer, "feedforward.norm", stream_TD, config.norm_epsilon)
        normed_TD = tap(f"{name}.feedforward.norm", normed_TD)
        added_TD = plain_feed_forward(layer, normed_TD, config.activation, tap, name)
        stream_TD = tap(f"{name}.output", stream_TD + added_TD)
        return stream_TD, seen

    stream_TD, seen = params.through(step, stream_TD, sizes.L, tap, cache, alike=scale)
    return Pass(stream_TD, Cache(start + tokens, seen))


def readout(params: Params, config: Config, stream_TD: Array, tap: Tap) -> Array:
    hidden_TD = tap("final.norm", layer_normed(params, "final.norm", stream_TD, config.norm_epsilon))
    unembedding_VD = params.get("unembedding.weight")
    return tap(
        "final.logits", logits(hidden_TD, params["embedding.weight"] if unembedding_VD is None else unembedding_VD)
    )


ARCHITECTURES = (
    Architecture(
        name="gpt2",
        model_types=("gpt2",),
        gguf_names=("gpt2",),
        config_from_huggingface=config_from_huggingface,
        config_from_gguf=config_from_gguf,
        tensors=tensors,
        forward=forward,
        readout=readout,
        prefix="transformer.",
        ignored=("h.*.attn.bias", "h.*.attn.masked_bias"),
    ),
)
