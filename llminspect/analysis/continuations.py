"""`forward --score`: how probable whole continuations of a text are, each of one token or of many.

The probability of a continuation is the product of those of its tokens, each given the text and the tokens before it
(Brown et al. 2020, "Language Models are Few-Shot Learners", section 2.4, which also divides by the number of tokens).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from llminspect.analysis.candidates import NamedToken, token_text
from llminspect.analysis.labels import no_next_token
from llminspect.analysis.prompt import check_prompt, prompt_of_ids
from llminspect.arguments.ranges import parse_ids, shortened
from llminspect.core.cache import Cache
from llminspect.core.dataclass import dataclass
from llminspect.core.tap import Chain, Tap
from llminspect.core.unembed import ROWS, log_softmax
from llminspect.errors import UsageError
from llminspect.text.prompt import encode_chat
from llminspect.text.rendering import ChatPart, render_chat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from llminspect.core.array import Array
    from llminspect.model.opened import Model
    from llminspect.text.prompt import Prompt
    from llminspect.text.special_tokens import Parse

TOKENS_AT_ONCE = 2048
"""How many tokens, those of the text counted for each continuation, go through the model at once."""


@dataclass(frozen=True)
class ScoredToken(NamedToken):
    """A token of a continuation, and how probable it was where it stands."""

    logprob: float


@dataclass(frozen=True)
class Continuation:
    """One way in which the text could go on."""

    text: str
    ids: list[int]
    logprob: float
    """The natural logarithm of the probability of all its tokens in turn …"""
    mean_logprob: float
    """… and of their geometric mean, which tells more of continuations of different lengths."""
    tokens: list[ScoredToken]


@dataclass(frozen=True)
class Question:
    """What is scored, and how its texts become tokens."""

    texts: Sequence[str]
    as_ids: bool
    """Whether each text is a list of ids, as what it continues is."""
    parse: Parse = "text"
    taps: Callable[[Sequence[int]], Sequence[Tap]] | None = None
    """The experiments of this run for a text of these ids; None where there are none."""


def continuations(model: Model, prompt: Prompt, question: Question) -> tuple[list[Continuation], list[str]]:
    """Each continuation with its score, the most probable first, and what is to be noted.

    A text and its continuation are tokenized together, as the model has learned to read them. Where the last tokens of
    the text change by that, they are scored too, of all continuations alike. Raises UsageError for a model that does
    not write on, for a continuation of no tokens, and for one that is too long or of ids that do not exist.
    """
    if not model.can("generate") or not model.config.causal:
        if not model.config.causal and model.architecture.head is None:
            raise UsageError(
                f"--score: {model.name} sees the tokens that come after as well", "take one that writes on"
            )
        raise no_next_token(model, "--score")
    check_prompt(model, prompt)
    wholes = list(_wholes(model, prompt, question))
    shared = min(_common_start(prompt.ids, whole) for whole in wholes)
    if not shared:
        raise UsageError("the text and its continuations have no first token in common", "begin with another word")
    for text, whole in zip(question.texts, wholes, strict=True):
        if len(whole) == shared:
            raise UsageError(f"--score {shortened(text)!r} gives no tokens", "give at least one character")
        check_prompt(model, prompt_of_ids(whole, model.tokenizer, None))
    found = [
        _continuation(model, text, whole[shared:], logprobs)
        for text, whole, logprobs in zip(
            question.texts, wholes, _logprobs(model, wholes, shared, question), strict=True
        )
    ]
    changed = prompt.ids[shared:]
    written = ", ".join(repr(token_text(model, token_id)) for token_id in changed)
    notes = [f"scored from {written} on: the text and what follows it make other tokens there"] if changed else []
    return sorted(found, key=lambda continuation: -continuation.logprob), notes


def _common_start(ids: Sequence[int], others: Sequence[int]) -> int:
    """How many ids both begin with."""
    return next(
        (at for at, (one, other) in enumerate(zip(ids, others, strict=False)) if one != other),
        min(len(ids), len(others)),
    )


def _wholes(model: Model, prompt: Prompt, question: Question) -> Iterator[list[int]]:
    """The ids of the text with each continuation."""
    if question.as_ids:
        for text in question.texts:
            yield prompt.ids + parse_ids(text)
        return
    tokenizer = model.tokenizer
    assert tokenizer is not None, "without one there are ids"
    if prompt.chat is not None:
        parts = render_chat(tokenizer, prompt.chat.given)
        for text in question.texts:
            yield [item.token.id for item in encode_chat(tokenizer, [*parts, ChatPart(text, None, foreign=True)])]
        return
    text_alone = prompt.text or ""
    alone = [token.id for token in tokenizer.encode(text_alone, question.parse)]
    # What stands before the text's own tokens stays; what ends a text would come after what goes on.
    starts = range(len(prompt.ids) - len(alone) + 1)
    front = prompt.ids[
        : next((at for at in starts if alone and prompt.ids[at : at + len(alone)] == alone), len(starts))
    ]
    for text in question.texts:
        yield front + [token.id for token in tokenizer.encode(text_alone + text, question.parse)]


def _logprobs(model: Model, wholes: Sequence[Sequence[int]], shared: int, question: Question) -> list[list[float]]:
    """ln p of each token after the `shared` ones."""
    if question.taps is not None:  # An experiment is about positions of a whole text.
        return [
            _of_rows(model, model.run(whole[:-1], Chain(question.taps(whole))).stream_TD[shared - 1 :], whole[shared:])
            for whole in wholes
        ]
    read = model.run(np.asarray(wholes[0][:shared])[None])
    found: dict[int, list[float]] = {}
    for some in _of_one_length(wholes, shared):
        ends_BT = np.asarray([wholes[index][shared:] for index in some])
        stream_BTD = np.repeat(np.asarray(read.stream_TD)[:, -1:], len(some), axis=0)
        if ends_BT.shape[1] > 1:
            cache = _repeated(read.cache, len(some))
            stream_BTD = np.concatenate([stream_BTD, np.asarray(model.run(ends_BT[:, :-1], cache=cache).stream_TD)], 1)
        for index, stream_TD, ids in zip(some, stream_BTD, ends_BT.tolist(), strict=True):
            found[index] = _of_rows(model, stream_TD, ids)
    return [found[index] for index in range(len(wholes))]


def _of_one_length(wholes: Sequence[Sequence[int]], shared: int) -> Iterator[list[int]]:
    """Which continuations, of equal length, go through the model together."""
    by_length: dict[int, list[int]] = {}
    for index, whole in enumerate(wholes):
        by_length.setdefault(len(whole), []).append(index)
    for length, indices in by_length.items():
        size = max(1, TOKENS_AT_ONCE // length)
        yield from (indices[start : start + size] for start in range(0, len(indices), size))


def _repeated(cache: Cache | None, times: int) -> Cache | None:
    """What was read of the text, for so many continuations of it."""
    if cache is None:
        return None
    rows = np.zeros(times, int)
    return Cache(cache.length, tuple(seen.of_texts(rows) for seen in cache.layers), cache.source, cache.places)


def _of_rows(model: Model, stream_TD: Array, ids: Sequence[int]) -> list[float]:
    """ln p of each token [T] by the stream at the token before it [T, D]."""
    found: list[float] = []
    for first in range(0, len(ids), ROWS):
        part = ids[first : first + ROWS]
        rows_TV = log_softmax(model.logits(stream_TD[first : first + ROWS]).astype(np.float64))
        found += rows_TV[np.arange(len(part)), part].tolist()
    return found


def _continuation(model: Model, text: str, ids: Sequence[int], logprobs: Sequence[float]) -> Continuation:
    tokens = [ScoredToken(each, token_text(model, each), chance) for each, chance in zip(ids, logprobs, strict=True)]
    whole = float(np.sum(logprobs))
    return Continuation(text, list(ids), whole, whole / len(tokens), tokens)
