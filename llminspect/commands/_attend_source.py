"""`attend` on an encoder–decoder: the target's own attention, that to the source, and the encoder's.

The encoder is looked at as a model of its own that sees both ways; what is said of any model's attention is said of it.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated

from llminspect.commands._attend_overview import Overview
from llminspect.commands._attend_pass import Head
from llminspect.commands._documents import Dims

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from llminspect.arch.params import Params
    from llminspect.arch.spec import Pass
    from llminspect.commands._attend_options import Asked
    from llminspect.commands._input import Prompt
    from llminspect.commands.attend import Result
    from llminspect.core.array import Array
    from llminspect.core.cache import Cache
    from llminspect.core.tap import Tap
    from llminspect.model import Model

CROSS = "cross_attention.weights"


@dataclass(frozen=True)
class CrossHead:
    """One head's attention to the source: a row a token of the target, a column one of the source."""

    layer: int
    head: int
    weights: Annotated[Array, Dims("T S")]


@dataclass
class Cross:
    """What the target takes from the source, in the layers of the decoder."""

    entropy: Annotated[Array, Dims("L H")]
    """How evenly each head spreads its weight over the source: 0 on one token, 1 on all the same."""
    mean: Annotated[Array, Dims("T S")]
    """The mean of the weights of all heads."""
    heads: list[CrossHead] = field(default_factory=list)
    """Those that were asked for; all of a short text."""


@dataclass(frozen=True)
class Encoder:
    """The attention of the source's tokens to one another."""

    n_layers: int
    n_heads: int
    heads: list[Head]
    overview: Overview | None = None


def encoder_of(model: Model) -> Model:
    """The encoder as a model of its own: the source's ids in, its stream out."""
    from llminspect.arch.params import OnDemand, Params
    from llminspect.arch.spec import Pass
    from llminspect.core.tap import Under

    whole, arrays = model.config, model.params.arrays
    sizes = whole.sizes
    layers: int = whole.encoder_layers  # type: ignore[attr-defined]
    heads: int = getattr(whole, "encoder_heads", sizes.H)
    width = sizes.E * sizes.H // heads
    own = replace(whole, sizes=replace(sizes, L=layers, H=heads, K=heads, E=width), causal=False)  # type: ignore[type-var]

    def reader(name: str) -> Callable[[], Array]:
        return lambda: arrays[name]

    named = {name.removeprefix("encoder."): reader(name) for name in arrays if name.startswith("encoder.")}
    named["embedding.weight"] = reader("embedding.weight")

    def forward(
        params: Params,
        config: object,
        ids_T: Array,
        tap: Tap,
        cache: Cache | None = None,
        hidden_S: Array | None = None,
    ) -> Pass:
        read = model.encode_source(ids_T, Under("encoder.", tap), hidden_S)
        assert read.source is not None
        return Pass(read.source.stream_SD, None)

    architecture = replace(model.architecture, forward=forward, capabilities=frozenset({"encode"}))
    # `forward` above asks the whole model, which runs on its own engine.
    return replace(model, architecture=architecture, config=own, params=Params(OnDemand(named)), engine=None)


def run_translated(
    model: Model, asked: Asked, prompt: Prompt, run: Callable[[Model, Asked, Prompt], Result], keeps_every: bool
) -> Result:
    """The three attentions; `run` is that of any other model.

    A question (--query, --find …) is asked of the decoder, with `--part encoder` of the encoder.
    """
    from llminspect.commands._input import token_documents
    from llminspect.commands._run import check_prompt
    from llminspect.commands._target import target_prompt, with_source

    check_prompt(model, prompt)
    bare = replace(asked, target=None, target_ids=None, part=None)
    if asked.part == "encoder":
        return replace(run(encoder_of(model), bare, prompt), part="encoder")
    target = target_prompt(model, asked.target, asked.target_ids)
    decoder = with_source(model, prompt.ids)
    # What it can do beside taking a source: it writes.
    decoder = replace(decoder, architecture=replace(decoder.architecture, capabilities=frozenset({"generate"})))
    result = replace(run(decoder, bare, target), source=token_documents(prompt.tokens), part="decoder")
    if asked.asks or asked.mean or asked.part is not None:
        return result
    chosen = [(head.layer, head.head) for head in result.heads] if keeps_every or asked.selects else []
    encoder = encoder_of(model)
    sizes = encoder.config.sizes
    fitting = replace(bare, layer=_existing(bare.layer, sizes.L), head=_existing(bare.head, sizes.H))
    seen = run(encoder, fitting, prompt)
    return replace(
        result,
        cross=watch_cross(decoder, target.ids, chosen),
        encoder=Encoder(sizes.L, sizes.H, seen.heads, seen.overview),
    )


def _existing(choice: str | None, count: int) -> str | None:
    """Of the chosen layers or heads of the decoder those that the encoder has as well; "0" where it has none."""
    from llminspect.commands._attend_choice import parse_choice

    chosen = parse_choice(choice, "layer", 1 << 20)
    if chosen is None:
        return None
    return ",".join(str(index) for index in chosen if index < count) or "0"


def watch_cross(decoder: Model, ids: Sequence[int], keep: Collection[tuple[int, int]]) -> Cross:
    """One pass over the target, of whose attention to the source only `keep` is kept whole."""
    import numpy as np

    from llminspect.core.attention_measures import entropy
    from llminspect.core.tap import Enough, Until, Visit

    sizes, own_ids = decoder.config.sizes, np.asarray(ids)
    entropies: list[Array] = []
    sums: list[Array] = []
    heads: list[CrossHead] = []

    def look(name: str, weights_HTS: Array) -> None:
        layer = int(name.split(".")[1])
        entropies.append(entropy(weights_HTS, own_ids, False))
        sums[:] = [weights_HTS.sum(0) + sum(sums)]
        heads.extend(CrossHead(at, head, weights_HTS[head].copy()) for at, head in keep if at == layer)

    with suppress(Enough):
        decoder.run(ids, Until(Visit(look, f"layers.*.{CROSS}"), f"layers.{sizes.L - 1}.{CROSS}"))
    return Cross(np.stack(entropies), sums[0] / (sizes.L * sizes.H), heads)
