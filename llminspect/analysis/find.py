"""Which heads look from one word to another: every head ranked, beside what would be there anyway."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from llminspect.analysis.attention import PairWeights, WantedAttention, WatchedAttention, watch_attention
from llminspect.analysis.prompt import check_prompt
from llminspect.analysis.result import Dims
from llminspect.arguments.words import Word, find_word
from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass
from llminspect.errors import UsageError
from llminspect.model.opened import Model
from llminspect.text.prompt import Prompt

SINK_FROM = 0.75
"""Share of the weight that the other tokens give token 0 as well, from which on the head only rests there."""


@dataclass(frozen=True)
class End:
    """One end of the pair: the tokens of the word."""

    text: str
    indices: list[int]


@dataclass(frozen=True)
class FoundHead:
    """How much of its weight a head gives from the query to the key."""

    layer: int
    head: int
    weight: float
    others: float | None
    """The mean weight that the other tokens which may see the key give it; left out where there are none."""
    excess: float | None
    """weight − others: what this query gives the key beyond what everybody does."""
    only_sink: bool
    """The key is token 0, and at least three quarters of the weight are what the others give it too: the head rests
    there, it does not look there."""
    control: float | None = None
    """The weight of the same pair in the control sentence."""
    control_excess: float | None = None


@dataclass(frozen=True)
class BestHead:
    """The head that looks there most beyond what is usual, and all that the query looks at in it."""

    layer: int
    head: int
    weights: Annotated[Array, Dims("S")]


@dataclass(frozen=True)
class ControlSentence:
    """The control sentence, and where the pair is in it."""

    text: str | None
    tokens: list[str]
    query: End
    key: End
    by_position: bool
    """A word of the pair is not in it: the tokens at the same places are compared."""


@dataclass(frozen=True)
class Find:
    """Every head, or those that were chosen, by weight, the largest first. A word of several tokens looks from its last
    one; as a key it is all of them together."""

    query: End
    key: End
    heads: list[FoundHead]
    best: BestHead
    control: ControlSentence | None = None


def ends_of(prompt: Prompt, words: tuple[Word, Word]) -> tuple[End, End]:
    """The tokens of the two words. Raises UsageError where one is not there, or both are the same."""
    places = [find_word(prompt, word, "--find") for word in words]
    query, key = (End("".join(prompt.labels[index] for index in place), place) for place in places)
    if query.indices[-1] in key.indices:
        raise UsageError(f"--find: {words[0]!r} and {words[1]!r} are the same token")
    return query, key


def pair_of(ends: tuple[End, End], causal: bool) -> tuple[int, list[int]]:
    """The query and its keys. Raises UsageError for a key that the query cannot see."""
    query, key = ends
    if causal and max(key.indices) > query.indices[-1]:
        raise UsageError(
            f"{query.text.strip()!r} cannot see {key.text.strip()!r}, which comes after it",
            "in this model a token sees only those before it; swap the two words",
        )
    return query.indices[-1], key.indices


def watch_control(
    model: Model, prompt: Prompt, control: Prompt, words: tuple[Word, Word], ends: tuple[End, End]
) -> tuple[ControlSentence, PairWeights]:
    """The pair in the control sentence, and how much each head looks there: the same words, or, in one of as many
    tokens, the same places."""
    check_prompt(model, control)
    try:
        here, by_position = ends_of(control, words), False
    except UsageError:
        if len(control.tokens) != len(prompt.tokens):
            raise
        query, key = (End("".join(control.labels[at] for at in end.indices), end.indices) for end in ends)
        here, by_position = (query, key), True
    sentence = ControlSentence(control.text, control.labels, *here, by_position)
    pair = pair_of(here, model.config.causal)
    return sentence, watch_attention(model, control.ids, WantedAttention(pair=pair)).pairs


def found_heads(
    ends: tuple[End, End],
    watched: WatchedAttention,
    chosen: Sequence[tuple[int, int]],
    control: tuple[ControlSentence, PairWeights] | None,
) -> Find:
    """The chosen heads, the largest weight first, from the weights of the pair in every layer and head.

    The best is that with the largest excess; where no other token sees the key, with the largest weight.
    """
    (query, key), (sentence, beside) = ends, control or (None, None)
    heads = []
    for layer, head in chosen:
        weight, others = watched.pairs[layer][head]
        in_control, others_in_control = beside[layer][head] if beside else (None, None)
        heads.append(
            FoundHead(
                layer=layer,
                head=head,
                weight=weight,
                others=others,
                excess=None if others is None else weight - others,
                only_sink=0 in key.indices and others is not None and others >= SINK_FROM * weight,
                control=in_control,
                control_excess=(
                    None if in_control is None or others_in_control is None else in_control - others_in_control
                ),
            )
        )
    heads.sort(key=lambda entry: (-entry.weight, entry.layer, entry.head))
    best = max(heads, key=lambda entry: entry.weight if entry.excess is None else entry.excess)
    row_S = watched.rows[best.layer][best.head]
    return Find(query, key, heads, BestHead(best.layer, best.head, row_S), sentence)
