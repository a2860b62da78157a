"""`attend`: which token looks at which, each question about it, and how much is kept for the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Annotated, Any, Literal

from llminspect.analysis.attention import (
    LINKED_TOKENS,
    Head,
    Overview,
    WantedAttention,
    WatchedAttention,
    overview_of,
    watch_attention,
)
from llminspect.analysis.changed import NO_CHANGE, ModelChanges, changed
from llminspect.analysis.lengths import beyond_context
from llminspect.analysis.long_texts import noted_of_all
from llminspect.analysis.prompt import check_prompt, decoder_and_target, of_segments
from llminspect.analysis.query import WHOLE_PASS, Query
from llminspect.analysis.result import Dims, Result, Tokens, token_documents
from llminspect.analysis.states import StateLayer, check_attention, chosen_states, of_attention, where
from llminspect.arguments.attend import AttendOptions, parse_shown
from llminspect.arguments.ranges import Choice, parse_choice
from llminspect.arguments.words import find_word, parse_pair
from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass
from llminspect.core.numbers import ranges
from llminspect.errors import UsageError
from llminspect.files.machine import check_room
from llminspect.model.opened import Model
from llminspect.text.prompt import Prompt

if TYPE_CHECKING:
    from llminspect.analysis.attribution import Contributions
    from llminspect.analysis.cross_attention import CrossAttention, EncoderAttention
    from llminspect.analysis.experiments import Experiment
    from llminspect.analysis.find import Find
    from llminspect.analysis.into_attention import IntoAttention

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


@dataclass(frozen=True)
class AttendResult(Result):
    tokens: Tokens
    n_layers: int
    n_heads: int
    n_kv_heads: int
    causal: bool
    """Whether a token sees only itself and those before it."""
    heads: list[Head]
    """Those that were chosen, or all."""
    shown: list[str] | None = None
    mean: Annotated[Array, Dims("T S")] | None = None
    """With --mean: the mean of the weights of the chosen heads."""
    overview: Overview | None = None
    query: Query | None = None
    into_attention: IntoAttention | None = None
    """With --query --steps."""
    find: Find | None = None
    rollout: Annotated[Array, Dims("T S")] | None = None
    contributions: Contributions | None = None
    pair: str | None = None
    """The second text, with --pair."""
    part: Literal["decoder", "encoder"] | None = None
    """Of an encoder–decoder: what all else is about."""
    source: Tokens | None = None
    """Of an encoder–decoder: the text's tokens; `tokens` are then those of the target so far."""
    cross: CrossAttention | None = None
    encoder: EncoderAttention | None = None
    selected: bool = True
    """Whether heads were chosen."""
    experiments: list[Experiment] | None = None
    """With --ablate and the like: what was changed in the model; all else is of the changed one."""
    attention_layers: list[int] | None = None
    """Where not every layer has attention: those that have …"""
    states: list[StateLayer] | None = None
    """… and what the layers keep that have a state; of those that were chosen with the weights."""


def attend(
    model: Model,
    options: AttendOptions,
    prompt: Prompt,
    *,
    keeping: Keeping = SELECTED_HEADS,
    control: Prompt | None = None,
    target_as_given: bool = False,
    changes: ModelChanges = NO_CHANGE,
) -> AttendResult:
    """One text's attention: what is looked for, and no more of it than that is ever held.

    Of an encoder–decoder the three attentions; a question (--query, --find …) is about the decoder, with `--part
    encoder` about the encoder.
    """
    if not model.can("source"):
        for name in ("target", "target_ids", "target_language", "part"):
            if getattr(options, name) is not None:
                raise UsageError(
                    f"--{name.replace('_', '-')}: {model.name} is not an encoder–decoder, its text is all there is",
                    "leave it out",
                )
        return _attend(model, options, prompt, keeping, control, changes)
    if changes:
        raise UsageError(
            f"changes are for models of one stack here, and {model.name} is an encoder–decoder",
            "llminspect forward shows what they do to its answer",
        )
    from llminspect.analysis import cross_attention

    if options.part == "encoder":
        check_prompt(model, prompt)
        return replace(_attend(cross_attention.encoder_of(model), options, prompt, keeping, control), part="encoder")
    if control is not None:
        raise UsageError("--control goes with --part encoder here", "the target so far has no other sentence beside it")
    how: Any = {"as_given": target_as_given, "language": options.target_language}
    decoder, target = decoder_and_target(model, prompt, options.target, options.target_ids, **how)
    result = replace(
        _attend(decoder, options, target, keeping),
        source=token_documents(prompt.tokens),
        part="decoder",
        notes=beyond_context(model, len(prompt.tokens), len(target.tokens)),
    )
    if options.asks or options.mean or options.part is not None:
        return result
    encoder = cross_attention.encoder_of(model)
    sizes, layers, heads = model.config.sizes, encoder.config.sizes.L, encoder.config.sizes.H
    layer, head = _existing(options.layer, "layer", sizes.L, layers), _existing(options.head, "head", sizes.H, heads)
    fitting = replace(options, layer=layer, head=head)
    of_encoder = _attend(encoder, fitting, prompt, keeping)
    chosen = [(head.layer, head.head) for head in result.heads] if keeping.every or result.selected else []
    if len(target.tokens) == 1 and not chosen:  # One row a head: few numbers, and all that there is to see.
        chosen = list(product(range(sizes.L), range(sizes.H)))
    return replace(
        result,
        cross=cross_attention.watch_cross(decoder, target.ids, chosen),
        encoder=cross_attention.EncoderAttention(layers, heads, of_encoder.heads, of_encoder.overview),
    )


def _existing(choice: Choice | None, what: str, count: int, of_encoder: int) -> list[int] | None:
    """The chosen layers or heads, as far as the encoder has them too; number 0 where it has none of them."""
    chosen = parse_choice(choice, what, count)
    return chosen and ([index for index in chosen if index < of_encoder] or [0])


def _attend(
    model: Model,
    options: AttendOptions,
    prompt: Prompt,
    keeping: Keeping,
    control: Prompt | None = None,
    changes: ModelChanges = NO_CHANGE,
) -> AttendResult:
    """The attention of one text to itself: one pass keeps what all questions want."""
    check_prompt(model, prompt)
    check_room(len(prompt.tokens), 2 * len(prompt.tokens))  # Of one head the scores and the weights.
    model, experiments = changed(of_segments(model, prompt.segments), changes, prompt.ids)
    chosen, sizes = list(product(*layers_and_heads(model, options))), model.config.sizes
    words = ends = pair = None
    if options.find is not None:
        from llminspect.analysis import find

        ends = find.ends_of(prompt, words := parse_pair(options.find))
        pair = find.pair_of(ends, model.config.causal)
    if options.query is not None and changes.by_position and len(prompt.tokens) > WHOLE_PASS:
        raise UsageError(f"--query of a patched text takes at most {WHOLE_PASS:,} tokens", "shorten the text")
    index = len(prompt.tokens) - 1 if options.query is None else find_word(prompt, options.query, "--query")[-1]
    # A model with one head has nothing to give an overview of.
    selects, shown = options.selects or sizes.L * sizes.H == 1, parse_shown(options.show)
    overview = not options.asks and not options.mean and not selects and bool(chosen)
    keeps = _keeps_heads(keeping, selects and not options.asks and not options.mean, len(chosen), len(prompt.tokens))
    wanted = _wanted(options, chosen, (index, pair), len(prompt.tokens), keeps=keeps, overview=overview)
    watched = watch_attention(model, prompt.ids, wanted)
    query = None if options.query is None else _query(model, prompt, index, chosen, watched)
    found = None
    if words is not None and ends is not None:
        in_control = None if control is None else find.watch_control(model, prompt, control, words, ends)
        found = find.found_heads(ends, watched, chosen, in_control)
    return AttendResult(
        pair=prompt.pair,
        tokens=token_documents(prompt.tokens, model.segments, prompt.second),
        n_layers=sizes.L,
        n_heads=sizes.H,
        n_kv_heads=sizes.K,
        causal=model.config.causal,
        selected=selects,
        heads=watched.heads,
        shown=list(shown) if shown != ("weights",) else None,
        mean=None if watched.mean is None else watched.mean / len(chosen),
        overview=overview_of(watched, options.measure or "entropy") if overview else None,
        query=query,
        into_attention=_into(model, prompt, query) if options.steps else None,
        find=found,
        rollout=watched.rollout,
        contributions=_contributions(model, prompt, index, watched) if options.contributions else None,
        experiments=experiments or None,
        attention_layers=None if model.config.state is None else list(model.config.attending),
        states=None if model.config.state is None else chosen_states(model, options, prompt.ids) or None,
        notes=noted_of_all(model, prompt, control, changes.experiments),
    )


def _wanted(
    options: AttendOptions, chosen: list[tuple[int, int]], at: tuple[int, Any], tokens: int, **how: bool
) -> WantedAttention:
    """What the pass is to keep for the questions that were put; `at` is the query, and the pair of --find."""
    index, pair = at
    by_excess = options.query is not None and len(chosen) != 1
    return WantedAttention(
        heads=chosen if how["keeps"] else [],
        shown=parse_shown(options.show),
        measures=how["overview"] or by_excess,
        links=how["overview"] and tokens <= LINKED_TOKENS,
        mean=chosen if options.mean else [],
        rollout=options.rollout,
        row=pair[0] if pair is not None else index if by_excess else None,
        usual=by_excess,
        pair=pair,
        stream=index if options.contributions else None,
    )


def _query(
    model: Model, prompt: Prompt, index: int, chosen: Sequence[tuple[int, int]], watched: WatchedAttention
) -> Query:
    """The sum of one query by hand, in the head that was chosen, or in that where it does what is least usual."""
    from llminspect.analysis.query import least_usual_head, query_by_hand

    if len(chosen) > 1:
        place = least_usual_head(watched, index, chosen)
    else:
        place = {"layer": chosen[0][0], "head": chosen[0][1], "chosen_by": "you"}
    return query_by_hand(model, prompt.ids, index, prompt.labels[index], **place)


def _into(model: Model, prompt: Prompt, query: Query | None) -> IntoAttention | None:
    from llminspect.analysis.into_attention import into_attention

    return None if query is None else into_attention(model, prompt.ids, query)


def _contributions(model: Model, prompt: Prompt, index: int, watched: WatchedAttention) -> Contributions:
    from llminspect.analysis.attribution import contributions

    return contributions(model, watched.stream, index, prompt.labels[index])


def layers_and_heads(model: Model, options: AttendOptions) -> tuple[list[int], list[int]]:
    """The chosen ones that have attention, or all that have. Raises UsageError for those that do not exist, and where
    something is wanted that only an attention has of a layer that has none."""
    sizes, config = model.config.sizes, model.config
    if not sizes.H and config.state is None:
        raise UsageError(f"the model {model.name} has no attention", "toy-attention has one head that can be checked")
    chosen = parse_choice(options.layer, "layer", sizes.L)
    attending = config.attending
    if chosen and not {*attending, *config.state_layers} & set(chosen):
        what = f"layer {chosen[0]} of {model.name} has" if len(chosen) == 1 else f"layers {ranges(chosen)} have"
        raise UsageError(f"{what} neither attention nor a state: a feed-forward step alone", where(model))
    if len(attending) < sizes.L:
        check_attention(model, range(sizes.L), {"--rollout": options.rollout})
        if chosen is not None or not attending:
            check_attention(model, chosen or range(sizes.L), of_attention(options))
    layers = [layer for layer in attending if chosen is None or layer in chosen]
    return layers, (parse_choice(options.head, "head", sizes.H) if layers else None) or list(range(sizes.H))


def _keeps_heads(keeping: Keeping, drawn: bool, heads: int, tokens: int) -> bool:
    """Whether the weights of the chosen heads are kept. Raises UsageError for too many to write as JSON."""
    if not keeping.every:
        return drawn
    numbers = heads * tokens**2
    if numbers <= keeping.most or keeping.may_lack:
        return numbers <= keeping.most
    raise UsageError(
        f"the weights of {heads} heads on {tokens:,} tokens are {numbers:,} numbers, too many for JSON",
        "choose with --layer and --head, name a --measure for the overview alone, or write --save weights.npz",
    )


def with_mask(model: Model, mask: Literal["none", "causal"] | None) -> Model:
    """The toy with or without the mask. Raises UsageError for a model that was trained with its own."""
    if mask is None:
        return model
    if model.name != "toy-attention":
        raise UsageError("--mask works with --model toy-attention", f"{model.name} was trained with the mask it has")
    if model.engine is not None:
        raise UsageError("--mask changes the model itself, which is compiled", "take --engine numpy")
    return replace(model, config=replace(model.config, causal=mask == "causal"))
