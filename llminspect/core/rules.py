"""What a model's own settings forbid and force in a completion, beside the filters of `sampling`.

Each rule is a function from logits to logits, as a processor of transformers' `generate` is: what is forbidden has the
logit −∞ from then on, and where one token is forced, all others have.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import numpy as np

from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass

Step = tuple[str, Callable[[Array], Array]]


@dataclass(frozen=True)
class Rules:
    """The defaults change nothing. Names in brackets are those of `generation_config.json`."""

    bad_words: tuple[tuple[int, ...], ...] = ()
    """Rows of tokens that are never completed (bad_words_ids)."""
    min_length: int = 0
    """Tokens, those of the prompt too, before which no end is taken."""
    min_new_tokens: int = 0
    ends: frozenset[int] = frozenset()
    """Those ends."""
    first: int | None = None
    """What follows a prompt of a single token, such as a start token (forced_bos_token_id)."""
    last: tuple[int, ...] = ()
    """What the last token is, where the completion comes to its full length (forced_eos_token_id)."""
    never: tuple[int, ...] = ()
    """Tokens that are not taken (suppress_tokens)."""
    never_first: tuple[int, ...] = ()
    """Tokens that are not taken as the first, or after a forced first one (begin_suppress_tokens)."""
    renormalize: bool = False
    """Whether what is left is made to add up to 1 again: of matter to beams alone (renormalize_logits)."""
    source: tuple[int, ...] = ()
    """The text that is written from: of an encoder–decoder its source, else the prompt."""
    source_penalty: float = 1.0
    """How much more its tokens are taken (encoder_repetition_penalty)."""
    source_repeats: int = 0
    """The length of the rows of tokens in it that are not written (encoder_no_repeat_ngram_size)."""
    penalty_window: int | None = None
    """How many tokens back a repetition penalty looks; None: to the first (`penalty_last_n` of GGUF files)."""


NO_RULES = Rules()


@dataclass(frozen=True)
class Extent:
    """Where the completion begins and ends, in tokens from the prompt's first: the prompt's length, and the length at
    which it is cut off."""

    start: int = 0
    end: int | None = None


def forbid(logits_V: Array, ids: Collection[int]) -> Array:
    """Without these tokens."""
    result_V = logits_V.copy()
    result_V[list(ids)] = -np.inf
    return result_V


def force(logits_V: Array, ids: Collection[int]) -> Array:
    """Only these tokens, as probable as each other."""
    result_V = np.full_like(logits_V, -np.inf)
    result_V[list(ids)] = 0
    return result_V


def repeats(ids: Sequence[int], size: int, of: Sequence[int] | None = None) -> set[int]:
    """The tokens that would make the last `size` tokens a row that stands in `ids` already, or in the text `of`.

    Paulus et al. 2017, "A Deep Reinforced Model for Abstractive Summarization", section 2.5, of any size.
    """
    text, start = tuple(ids if of is None else of), len(ids) + 1 - size
    if start < (1 if of is None else 0):
        return set()
    end, rows = tuple(ids[start:]), range(len(text) + 1 - size)
    return {text[at + size - 1] for at in rows if text[at : at + size - 1] == end}


def completed(ids: Sequence[int], words: Collection[tuple[int, ...]]) -> set[int]:
    """The last tokens of those `words` whose other tokens end `ids`."""
    text = tuple(ids)
    return {word[-1] for word in words if len(word) <= len(text) + 1 and text[len(text) + 1 - len(word) :] == word[:-1]}


def rule_steps(rules: Rules, ids: Sequence[int], extent: Extent) -> list[Step]:
    """The rules that act after `ids`, named, in the order of transformers."""
    steps: list[Step] = []

    def step(name: str, change: Callable[[Array, Collection[int]], Array], tokens: Collection[int]) -> None:
        steps.append((name, lambda logits_V: change(logits_V, tokens)))

    if rules.bad_words:
        step("bad-words", forbid, completed(ids, rules.bad_words))
    if len(ids) < max(rules.min_length, extent.start + rules.min_new_tokens if rules.min_new_tokens else 0):
        step("min-length", forbid, rules.ends)
    if rules.first is not None and len(ids) == 1:
        step("forced-bos", force, (rules.first,))
    if rules.last and extent.end is not None and len(ids) == extent.end - 1:
        step("forced-eos", force, rules.last)
    if rules.never:
        step("suppress", forbid, rules.never)
    if rules.never_first and len(ids) == extent.start + (rules.first is not None and extent.start <= 1):
        step("begin-suppress", forbid, rules.never_first)
    return steps
