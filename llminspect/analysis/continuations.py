"""`forward --score`: how probable whole continuations of a text are, each of one token or of many.

The probability of a continuation is the product of those of its tokens, each given the text and the tokens before it
(Brown et al. 2020, "Language Models are Few-Shot Learners", section 2.4, which also divides by the number of tokens).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import takewhile
from operator import eq

import numpy as np

from llminspect.analysis.candidates import NamedToken, token_text
from llminspect.analysis.labels import no_next_token
from llminspect.analysis.lengths import beyond_context
from llminspect.analysis.prompt import check_prompt, prompt_of_ids
from llminspect.analysis.text_streams import batches_of_one_length
from llminspect.arguments.ranges import parse_ids, shortened
from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass
from llminspect.core.tap import Chain, Tap
from llminspect.core.unembed import ROWS_AT_ONCE, log_softmax
from llminspect.errors import UsageError, UserError
from llminspect.model.opened import Model
from llminspect.text.prompt import Prompt, encode_chat
from llminspect.text.rendering import ChatPart, render_chat
from llminspect.text.special_tokens import Parse


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
    share: float
    """Its part of the probability that all the continuations have together."""
    baseline_logprob: float | None = None
    """With an experiment: `logprob` without it."""


@dataclass(frozen=True)
class Question:
    """What is scored, and how its texts become tokens."""

    ways: Sequence[tuple[str, str]]
    """Where each stands, as "--score", and its text."""
    as_ids: bool
    """Whether each text is a list of ids, as what it continues is."""
    parse: Parse = "text"
    taps: Callable[[Sequence[int]], Sequence[Tap]] | None = None
    """The experiments of this run for a text of these ids; None where there are none."""


def continuations(model: Model, prompt: Prompt, question: Question) -> tuple[list[Continuation], list[str]]:
    """Each continuation with its score, the most probable first, and what is to be noted.

    A text and its continuation are tokenized together, as the model has learned to read them. Where the last tokens of
    the text change by that, of all continuations, they are scored too. Raises UsageError for a model that does not
    write on, for a continuation of no tokens, for one that changes tokens of the text where others do not, and for one
    that is too long or of ids that do not exist.
    """
    if not model.can("generate") or not model.config.causal:
        if not model.config.causal and model.architecture.instead is None:
            raise UsageError(f"--score: {model.name} sees the tokens that come after as well")
        raise no_next_token(model, "--score")
    check_prompt(model, prompt)
    wholes = _wholes(model, prompt, question)
    shared = _shared(prompt, question.ways, wholes)
    for (where, text), whole in zip(question.ways, wholes, strict=True):
        if len(whole) == shared:
            least = "id" if question.as_ids else "character"
            raise UsageError(f"{where} {shortened(text)!r} gives no tokens", f"give at least one {least}")
    found = _logprobs(model, wholes, shared, question)
    plain = None if question.taps is None else _logprobs(model, wholes, shared, replace(question, taps=None))
    sums = np.array([np.sum(logprobs) for logprobs in found])
    chances = np.exp(sums - sums.max())
    scored = [
        Continuation(
            text,
            list(whole[shared:]),
            float(sums[at]),
            float(sums[at]) / len(found[at]),
            [
                ScoredToken(token_id, token_text(model, token_id), logprob)
                for token_id, logprob in zip(whole[shared:], found[at], strict=True)
            ],
            float(chances[at] / chances.sum()),
            None if plain is None else float(np.sum(plain[at])),
        )
        for at, ((_, text), whole) in enumerate(zip(question.ways, wholes, strict=True))
    ]
    changed = [token for token in prompt.tokens[shared:] if not token.special]
    written = ", ".join(repr(token.text) for token in changed)
    note = f"scored from {written} on: there the text and its continuation together are cut into other tokens"
    return sorted(scored, key=lambda continuation: -continuation.logprob), [note] if changed else []


def noted_before_scores(model: Model, question: Question, prompt: Prompt) -> list[str]:
    """What `beyond_context` will note of the text with its continuations; nothing where one is going to be refused."""
    if not model.can("generate") or not model.config.causal:
        return []
    try:
        check_prompt(model, prompt)
        return beyond_context(model, longest_whole(model, question, prompt)) or []
    except UserError:
        return []


def longest_whole(model: Model, question: Question, prompt: Prompt) -> int:
    """How many tokens the text has with the longest of its continuations."""
    return max(len(prompt.ids), *map(len, _wholes(model, prompt, question)))


def _shared(prompt: Prompt, ways: Sequence[tuple[str, str]], wholes: Sequence[Sequence[int]]) -> int:
    """How many tokens of the text stay as they are, whatever follows."""
    kept: list[int] = [sum(takewhile(bool, map(eq, prompt.ids, whole))) for whole in wholes]
    last = max((at + 1 for at, token in enumerate(prompt.tokens) if not token.special), default=len(prompt.ids))
    changing = [way for way, count in zip(ways, kept, strict=True) if count < min(last, max(kept))]
    if changing and max(kept) >= last:
        where, text = changing[0]
        raise UsageError(
            f"{where} {shortened(text)!r} changes the last tokens of the text, and others do not",
            "score it by itself, or begin it with a space",
        )
    if not min(kept):
        where, text = ways[kept.index(0)]
        raise UsageError(f"{where} {shortened(text)!r} leaves no token of the text as it is", "begin it with a space")
    return min(kept)


def _wholes(model: Model, prompt: Prompt, question: Question) -> list[list[int]]:
    """The ids of the text with each continuation. Of one that cannot be read the error says where it stands."""
    encoded, found = _encoding(model, prompt, question), []
    for where, text in question.ways:
        try:
            found.append(encoded(text))
            check_prompt(model, prompt_of_ids(found[-1], model.tokenizer, None))
        except UserError as error:
            raise type(error)(f"{where}: {error.message}", error.hint) from None
    return found


def _encoding(model: Model, prompt: Prompt, question: Question) -> Callable[[str], list[int]]:
    """From a continuation to the ids of the text with it."""
    if question.as_ids:
        return lambda text: prompt.ids + parse_ids(text)
    tokenizer = model.tokenizer
    assert tokenizer is not None, "without one there are ids"
    if prompt.chat is not None:
        parts = render_chat(tokenizer, prompt.chat.given)

        def of_chat(text: str) -> list[int]:
            if question.parse == "error":
                tokenizer.encode(text, question.parse)
            further = ChatPart(text, None, foreign=question.parse != "special")
            return [item.token.id for item in encode_chat(tokenizer, [*parts, further])]

        return of_chat
    # What stands before the text's own tokens stays; what ends a text would come after what goes on.
    front = [token.id for token in takewhile(lambda token: token.start is None, prompt.tokens)]
    return lambda text: front + [token.id for token in tokenizer.encode((prompt.text or "") + text, question.parse)]


def _logprobs(model: Model, wholes: Sequence[Sequence[int]], shared: int, question: Question) -> list[list[float]]:
    """ln p of each token after the `shared` ones."""
    if question.taps is not None:  # An experiment is about positions of a whole text.
        return [
            _of_rows(model, model.run(whole[:-1], Chain(question.taps(whole))).stream_TD[shared - 1 :], whole[shared:])
            for whole in wholes
        ]
    read = model.run(np.asarray(wholes[0][:shared])[None])
    found: dict[int, list[float]] = {}
    for some in batches_of_one_length([len(whole) for whole in wholes]):
        ends_BT = np.asarray([wholes[index][shared:] for index in some])
        stream_BTD = np.repeat(np.asarray(read.stream_TD)[:, -1:], len(some), axis=0)
        if ends_BT.shape[1] > 1:
            cache = None if read.cache is None else read.cache.of_texts(np.zeros(len(some), int))
            stream_BTD = np.concatenate([stream_BTD, np.asarray(model.run(ends_BT[:, :-1], cache=cache).stream_TD)], 1)
        for index, stream_TD, ids in zip(some, stream_BTD, ends_BT.tolist(), strict=True):
            found[index] = _of_rows(model, stream_TD, ids)
    return [found[index] for index in range(len(wholes))]


def _of_rows(model: Model, stream_TD: Array, ids: Sequence[int]) -> list[float]:
    """ln p of each token [T] by the stream at the token before it [T, D]."""
    found: list[float] = []
    for first in range(0, len(ids), ROWS_AT_ONCE):
        part = ids[first : first + ROWS_AT_ONCE]
        rows_TV = log_softmax(model.logits(stream_TD[first : first + ROWS_AT_ONCE]).astype(np.float64))
        found += rows_TV[np.arange(len(part)), part].tolist()
    return found
