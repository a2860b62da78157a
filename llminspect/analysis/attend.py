"""What can be asked of `attend`, and how much of the attention is to be kept for the answer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np

from llminspect.analysis.cross_attention import EncoderAttention, encoder_of, watch_cross
from llminspect.analysis.documents import Dims, Tokens, token_documents
from llminspect.analysis.prompt import check_prompt
from llminspect.arguments.attend import parse_shown
from llminspect.arguments.ranges import Choice, parse_choice
from llminspect.arguments.words import find_word, parse_pair
from llminspect.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from llminspect.analysis.attention import Head, WatchedAttention
    from llminspect.analysis.contributions import Contributions
    from llminspect.analysis.cross_attention import CrossAttention
    from llminspect.analysis.find import End, Find
    from llminspect.analysis.overview import Overview
    from llminspect.analysis.query import Query
    from llminspect.arguments.attend import AttendOptions
    from llminspect.core.array import Array
    from llminspect.model.opened import Model
    from llminspect.text.prompt import Prompt

LARGEST_JSON = 2_000_000
"""So many weights are written into one JSON document (some 20 MB); more are refused, with the way to select."""


@dataclass(frozen=True)
class Keeping:
    """How many heads' weights the answer has to hold."""

    every: bool = False
    """Those of all chosen heads, for JSON; otherwise only what is drawn."""
    most: int = LARGEST_JSON
    """So many weights at most."""
    may_lack: bool = False
    """More than that are left out rather than refused."""


SELECTED_HEADS = Keeping()


def attend_encoder_decoder(
    model: Model,
    asked: AttendOptions,
    prompt: Prompt,
    run: Callable[[Model, AttendOptions, Prompt], AttendResult],
    keeps_every: bool,
) -> AttendResult:
    """The three attentions; `run` is that of any other model.

    A question (--query, --find …) is asked of the decoder, with `--part encoder` of the encoder.
    """
    from llminspect.analysis.documents import token_documents
    from llminspect.analysis.prompt import check_prompt
    from llminspect.analysis.target import target_prompt, with_source

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
    own, sizes = model.config.sizes, encoder.config.sizes
    layer = _existing(bare.layer, "layer", own.L, sizes.L)
    fitting = replace(bare, layer=layer, head=_existing(bare.head, "head", own.H, sizes.H))
    seen = run(encoder, fitting, prompt)
    return replace(
        result,
        cross=watch_cross(decoder, target.ids, chosen),
        encoder=EncoderAttention(sizes.L, sizes.H, seen.heads, seen.overview),
    )


def _existing(choice: Choice | None, what: str, count: int, of_encoder: int) -> list[int] | None:
    """Of the chosen layers or heads of the decoder those that the encoder has as well; the first where it has none."""
    chosen = parse_choice(choice, what, count)
    return chosen and ([index for index in chosen if index < of_encoder] or [0])


@dataclass(frozen=True)
class AttendResult:
    tokens: Tokens
    n_layers: int
    n_heads: int
    n_kv_heads: int
    causal: bool
    """Whether a token sees only itself and those before it."""
    heads: list[Head]
    """Those that were asked for; all of a short text."""
    shown: list[str] | None = None
    mean: Annotated[Array, Dims("T S")] | None = None
    """With --mean: the mean of the weights of the heads that were asked for."""
    overview: Overview | None = None
    query: Query | None = None
    find: Find | None = None
    rollout: Annotated[Array, Dims("T S")] | None = None
    contributions: Contributions | None = None
    part: Literal["decoder", "encoder"] | None = None
    """Of an encoder–decoder: what all else is about."""
    source: Tokens | None = None
    """Of an encoder–decoder: the text's tokens; `tokens` are then those of the target so far."""
    cross: CrossAttention | None = None
    encoder: EncoderAttention | None = None
    selected: bool = True
    """Whether heads were asked for."""


def attend(
    model: Model,
    asked: AttendOptions,
    prompt: Prompt,
    *,
    keeping: Keeping = SELECTED_HEADS,
    control: Prompt | None = None,
) -> AttendResult:
    """One text's attention: what was asked for, and no more of it than that is ever held."""
    from llminspect.analysis.attention import WantedAttention, watch_attention
    from llminspect.analysis.overview import overview_of

    if model.can("source"):
        from llminspect.analysis.attend import attend_encoder_decoder

        if control is not None and asked.part != "encoder":
            raise UsageError(
                "--control goes with --part encoder here", "the target so far has no other sentence beside it"
            )
        again = partial(attend, keeping=keeping, control=control)
        return attend_encoder_decoder(model, asked, prompt, again, keeping.every)
    _refuse_parts(model, asked)
    check_prompt(model, prompt)
    chosen = list(product(*layers_and_heads(model, asked)))
    ends = _ends(model, asked, prompt)
    index = _index(asked, prompt)
    sizes = model.config.sizes
    # A model with one head has nothing to give an overview of.
    asked = replace(asked, layer="0") if sizes.L * sizes.H == 1 and not asked.selects else asked
    shown = parse_shown(asked.show)
    plain = not asked.asks and not asked.mean
    wanted = WantedAttention(
        heads=_kept_heads(asked, keeping, chosen, len(prompt.tokens)),
        shown=shown,
        measures=plain and not asked.selects,
        mean=chosen if asked.mean else [],
        rollout=asked.rollout,
        row=index if asked.query is not None and len(chosen) != 1 else None,
        pair=None if ends is None else (ends[0].indices[-1], ends[1].indices),
    )
    seen = watch_attention(model, prompt.ids, wanted)
    text = prompt.labels[index]
    return AttendResult(
        tokens=token_documents(prompt.tokens),
        n_layers=sizes.L,
        n_heads=sizes.H,
        n_kv_heads=sizes.K,
        causal=model.config.causal,
        selected=asked.selects,
        heads=seen.heads,
        shown=list(shown) if shown != ("weights",) else None,
        mean=None if seen.mean is None else seen.mean / len(chosen),
        overview=overview_of(seen, asked.measure or "entropy") if wanted.measures else None,
        query=_query(model, asked, prompt, index, chosen, seen) if asked.query is not None else None,
        find=None if ends is None else _find(model, asked, prompt, control, ends, chosen, seen),
        rollout=seen.rollout,
        contributions=_contributions(model, prompt.ids, index, text) if asked.contributions else None,
    )


def _refuse_parts(model: Model, asked: AttendOptions) -> None:
    """Raise UsageError for what only an encoder–decoder has."""
    for option in ("target", "target_ids", "part"):
        if getattr(asked, option) is not None:
            name = option.replace("_", "-")
            raise UsageError(
                f"--{name}: {model.name} is not an encoder–decoder, its text is all there is", "leave it out"
            )


def layers_and_heads(model: Model, asked: AttendOptions) -> tuple[list[int], list[int]]:
    """Those that were asked for, or all. Raises UsageError for those that do not exist."""

    sizes = model.config.sizes
    if not sizes.H:
        raise UsageError(f"the model {model.name} has no attention", "toy-attention has one head that can be checked")
    layers = parse_choice(asked.layer, "layer", sizes.L) or list(range(sizes.L))
    return layers, parse_choice(asked.head, "head", sizes.H) or list(range(sizes.H))


def _kept_heads(
    asked: AttendOptions, keeping: Keeping, chosen: list[tuple[int, int]], tokens: int
) -> list[tuple[int, int]]:
    """Those of the chosen heads whose weights are kept. Raises UsageError for too many to write as JSON."""
    numbers = len(chosen) * tokens**2
    if not keeping.every:
        return chosen if asked.selects and not asked.asks and not asked.mean else []
    if numbers <= keeping.most:
        return chosen
    if keeping.may_lack:
        return []
    raise UsageError(
        f"the weights of {len(chosen)} heads on {tokens:,} tokens are {numbers:,} numbers, too many for JSON",
        "choose with --layer 3 --head 1, name a --measure for the overview alone, or write --save weights.npz",
    )


def _ends(model: Model, asked: AttendOptions, prompt: Prompt) -> tuple[End, End] | None:
    from llminspect.analysis.find import check_order, ends_of

    if asked.find is None:
        return None
    ends = ends_of(prompt, parse_pair(asked.find))
    check_order(*ends, model.config.causal)
    return ends


def _index(asked: AttendOptions, prompt: Prompt) -> int:
    """The token that --query means; without it the last."""

    return find_word(prompt, asked.query, "--query")[-1] if asked.query is not None else len(prompt.tokens) - 1


def _query(
    model: Model,
    asked: AttendOptions,
    prompt: Prompt,
    index: int,
    chosen: Sequence[tuple[int, int]],
    seen: WatchedAttention,
) -> Query:
    """The calculation in the one head that was chosen, or in the one of them that looks hardest at another token."""

    from llminspect.analysis.query import query_by_hand

    strongest = chosen[0]
    if len(chosen) > 1:
        rows_LHS = np.stack(seen.rows)
        # Token 0 is where heads rest, and every token looks at itself: neither says what this head looks for.
        if rows_LHS.shape[-1] > 2:
            rows_LHS[:, :, [0, index]] = 0
        strongest = max(chosen, key=lambda head: float(rows_LHS[head].max()))
    return query_by_hand(model, prompt.ids, index, prompt.labels[index], *strongest, chosen=len(chosen) == 1)


def _contributions(model: Model, ids: list[int], index: int, text: str) -> Contributions:
    from llminspect.analysis.contributions import contributions

    return contributions(model, ids, index, text)


def _find(
    model: Model,
    asked: AttendOptions,
    prompt: Prompt,
    beside: Prompt | None,
    ends: tuple[End, End],
    chosen: Sequence[tuple[int, int]],
    seen: WatchedAttention,
) -> Find:
    from llminspect.analysis.attention import WantedAttention, watch_attention
    from llminspect.analysis.find import check_order, control_of, ranked

    if beside is None:
        return ranked(ends, seen, chosen, None, None)
    check_prompt(model, beside)
    control = control_of(prompt, beside, parse_pair(asked.find or ""), ends)
    check_order(control.query, control.key, model.config.causal)
    pair = (control.query.indices[-1], control.key.indices)
    return ranked(ends, seen, chosen, control, watch_attention(model, beside.ids, WantedAttention(pair=pair)))


def with_mask(model: Model, mask: Literal["none", "causal"] | None) -> Model:
    """The toy with or without the mask. Raises UsageError for a model that was trained with its own."""
    if mask is None:
        return model
    if model.name != "toy-attention":
        raise UsageError("--mask works with --model toy-attention", f"{model.name} was trained with the mask it has")
    if model.engine is not None:
        raise UsageError("--mask changes the model itself, which is compiled", "take --engine numpy")
    return replace(model, config=replace(model.config, causal=mask == "causal"))  # type: ignore[type-var]
