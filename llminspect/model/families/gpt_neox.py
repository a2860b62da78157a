"""GPT-NeoX, as in Pythia: part of each head is turned by position, both steps of a layer read the same stream.

Black et al. 2022, "GPT-NeoX-20B", section 2.1; Biderman et al. 2023, "Pythia", section 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llminspect.core import attention
from llminspect.core.array import namespace
from llminspect.core.cache import Cache, extend, span
from llminspect.core.embedding import look_up
from llminspect.core.position import angles as position
from llminspect.core.position.rotary import Rotary
from llminspect.errors import ModelError
from llminspect.model import rotation
from llminspect.model import settings as settings_of
from llminspect.model.decoder_files import ACTIVATIONS
from llminspect.model.families.gpt2 import readout
from llminspect.model.spec import Architecture, Pass, Sizes, TensorSpec, for_layers, linear_specs, norm_specs
from llminspect.model.steps import layer_normed, mapped, plain_feed_forward

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from llminspect.core.array import Array
    from llminspect.core.cache import Seen
    from llminspect.core.tap import Tap
    from llminspect.model.params import Params


@dataclass(frozen=True)
class Config:
    sizes: Sizes
    norm_epsilon: float
    activation: str
    rotary: Rotary
    parallel: bool
    """Whether the feed-forward step reads what the attention read, not what came of it."""
    attention_bias: bool
    tied: bool
    causal: bool = True


def config_from_huggingface(config: Mapping[str, Any]) -> Config:
    settings = settings_of.huggingface(config)
    width, heads = settings.whole("hidden_size"), settings.whole("num_attention_heads")
    sizes = Sizes(
        L=settings.whole("num_hidden_layers"),
        D=width,
        H=heads,
        K=heads,
        E=width // heads,
        F=settings.whole("intermediate_size"),
        V=settings.whole("vocab_size"),
        context=settings.whole("max_position_embeddings"),
    )
    if settings.get("rope_parameters") is not None:
        rotary = rotation.from_huggingface(settings, sizes.E, sizes.context)
    else:
        # Files of the years between the two forms state each of these under both names.
        base = settings.number("rotary_emb_base", settings.number("rope_theta", 10_000.0))
        settings.only("rope_theta", base)
        share = settings.number("rotary_pct", settings.number("partial_rotary_factor", 0.25))
        settings.only("partial_rotary_factor", share)
        turned = int(sizes.E * share)
        if not 0 <= turned <= sizes.E:
            raise ModelError(f"rotary_pct turns {turned} of the {sizes.E} numbers of a head")
        rotary = Rotary(turned, base, rotation.older_scaling(settings, base, sizes.context))
    found = Config(
        sizes=sizes,
        norm_epsilon=settings.number("layer_norm_eps"),
        activation=settings.one_of("hidden_act", ACTIVATIONS),
        rotary=rotary,
        parallel=bool(settings.get("use_parallel_residual", True)),
        attention_bias=bool(settings.get("attention_bias", True)),
        tied=bool(settings.get("tie_word_embeddings", False)),
    )
    settings.done()
    return found


def part_of_heads(part: int) -> Callable[[Array, Config], Array]:
    """The fused matrix holds, head by head, the rows of its query, of its key and of its value."""

    def cut(array: Array, config: Config) -> Array:
        heads, width = config.sizes.H, config.sizes.E
        return array.reshape(heads, 3, width, -1)[:, part].reshape(heads * width, *array.shape[1:])

    return cut


def tensors(config: Config) -> list[TensorSpec]:
    fused = [
        spec
        for part, name in enumerate(("query", "key", "value"))
        for spec in linear_specs(
            f"attention.{name}",
            "HE D",
            "attention.query_key_value",
            None,
            config.attention_bias,
            huggingface_fix=part_of_heads(part),
        )
    ]
    layer = [
        *norm_specs("attention.norm", "input_layernorm", None),
        *fused,
        *linear_specs("attention.output", "D HE", "attention.dense", None, config.attention_bias),
        *norm_specs("feedforward.norm", "post_attention_layernorm", None),
        *linear_specs("feedforward.up", "F D", "mlp.dense_h_to_4h", None, True),
        *linear_specs("feedforward.down", "D F", "mlp.dense_4h_to_h", None, True),
    ]
    return [
        TensorSpec("embedding.weight", "V D", "embed_in.weight"),
        *norm_specs("final.norm", "final_layer_norm", None),
        TensorSpec("unembedding.weight", "V D", "embed_out.weight", optional=config.tied),
        *for_layers(config.sizes.L, layer, huggingface="layers.{}.", gguf=""),
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
    stream_TD = tap("embedding.output", look_up(params["embedding.weight"], ids_T))
    turn = position.rotary_angles(stream_TD, start, tokens, config.rotary)
    mask_TS = attention.hide(attention.causal_mask(xp, tokens, keys, first=first), hidden_S)

    def step(
        index: int, layer: Mapping[str, Array], stream_TD: Array, cache: Cache | None, tap: Tap
    ) -> tuple[Array, Seen]:
        name = f"layers.{index}"
        stream_TD = tap(f"{name}.input", stream_TD)
        normed_TD = layer_normed(layer, "attention.norm", stream_TD, config.norm_epsilon)
        query_HTE, key_HTE, value_HTE = project(
            layer, sizes.H, tap(f"{name}.attention.norm", normed_TD), turn, tap, f"{name}.attention"
        )
        seen = extend(cache, index, key_HTE, value_HTE)
        mixed_HTE = attention.attend(
            query_HTE,
            seen.key_KSE,
            seen.value_KSE,
            scale=sizes.E**-0.5,
            mask_TS=mask_TS,
            tap=tap,
            name=f"{name}.attention",
        )
        added_TD = mapped(layer, "attention.output", attention.merge_heads(mixed_HTE))
        middle_TD = tap(f"{name}.middle", stream_TD + tap(f"{name}.attention.output", added_TD))
        read_TD = stream_TD if config.parallel else middle_TD
        normed_TD = layer_normed(layer, "feedforward.norm", read_TD, config.norm_epsilon)
        normed_TD = tap(f"{name}.feedforward.norm", normed_TD)
        added_TD = plain_feed_forward(layer, normed_TD, config.activation, tap, name)
        stream_TD = tap(f"{name}.output", middle_TD + added_TD)
        return stream_TD, seen

    stream_TD, seen = params.through(step, stream_TD, sizes.L, tap, cache)
    return Pass(stream_TD, Cache(start + tokens, seen))


def project(
    layer: Mapping[str, Array], heads: int, normed_TD: Array, turn: tuple[Array, Array], tap: Tap, name: str
) -> tuple[Array, Array, Array]:
    """Queries, keys and values, each [..., H, T, E]; the first numbers of queries and keys turned by position."""
    query_HTE, key_HTE, value_HTE = (
        attention.split_heads(mapped(layer, f"attention.{part}", normed_TD), heads)
        for part in ("query", "key", "value")
    )
    query_HTE = position.rotate_halves(tap(f"{name}.query.projected", query_HTE), *turn)
    query_HTE = tap(f"{name}.query", query_HTE)
    key_HTE = position.rotate_halves(tap(f"{name}.key.projected", key_HTE), *turn)
    return query_HTE, tap(f"{name}.key", key_HTE), tap(f"{name}.value", value_HTE)


ARCHITECTURES = (
    Architecture(
        name="gpt-neox",
        model_types=("gpt_neox",),
        gguf_names=(),
        config_from_huggingface=config_from_huggingface,
        config_from_gguf=None,
        tensors=tensors,
        forward=forward,
        readout=readout,
        prefix="gpt_neox.",
        ignored=("layers.*.attention.bias", "layers.*.attention.masked_bias", "*.rotary_emb.inv_freq"),
    ),
)
