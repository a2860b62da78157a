"""Other ways for a text to go on: beam search, the best by their whole probability; the tree of branches not taken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from llminspect.analysis.candidates import ProbableToken, token_text
from llminspect.analysis.completion import Limits, PassChanges, Stop, longest, next_logits, turned_anew
from llminspect.core.array import Array
from llminspect.core.attention import softmax
from llminspect.core.cache import Cache
from llminspect.core.dataclass import dataclass
from llminspect.core.decoding import EarlyStopping, beam_search
from llminspect.core.rules import Extent
from llminspect.core.sampling import Sampling, beam_scores, check_left, top_ids
from llminspect.errors import UsageError
from llminspect.model.opened import Model
from llminspect.text.text_stream import text_after

MOST_BRANCHES = 5000
GREEDY = Sampling(temperature=0)


@dataclass(frozen=True)
class Beam:
    """One of the continuations that a beam search found."""

    completion: str
    ids: list[int]
    logprob: float
    """Σ of the natural logarithms of the tokens' probabilities, as a penalty or a rule changed them."""
    score: float
    """logprob / tokens^penalty, by which they are ranked."""
    stop: Stop


@dataclass(frozen=True)
class BeamSearch:
    """How beams are searched; what acts on their scores is `sampling`, without its draws."""

    beams: int
    length_penalty: float = 1.0
    early_stopping: EarlyStopping = False
    sampling: Sampling = GREEDY


def search_beams(
    model: Model, prompt_ids: Sequence[int], search: BeamSearch, limits: Limits, changes: PassChanges
) -> list[Beam]:
    """The best continuations by their whole probability. Raises UsageError for a model that sees both ways."""
    if not model.config.causal:
        raise UsageError(f"--beams: {model.name} sees both ways, so its beams cannot share what they have read")

    eos_ids = frozenset() if limits.ignore_eos else model.eos_ids
    room = longest(model, len(prompt_ids) + limits.max_tokens) - len(prompt_ids)
    if room <= 0:
        return []
    cache: Cache | None = None
    texts, extent = [list(prompt_ids)], Extent(len(prompt_ids), len(prompt_ids) + room)

    def run(parents: Sequence[int], ids: Sequence[int]) -> Array:
        """What each next token adds to the score of each beam [B, V], `ids` long, made from its parent by one id; the
        cache follows the beams as they are reordered."""
        nonlocal cache, texts
        if parents and cache is not None:
            cache = cache.of_texts(np.asarray(parents))
        length = len(texts[0])
        texts = [[*texts[parent], token_id] for parent, token_id in zip(parents, ids, strict=True)] or texts
        anew = not parents or turned_anew(model, length, length + 1)
        tap = changes.in_pass(first=anew)
        result = model.run(np.asarray(texts if anew else [row[-1:] for row in texts]), tap, None if anew else cache)
        cache = result.cache
        logits_BV = model.logits(result.stream_TD[:, -1:, :], tap)[:, 0]
        rows = zip(logits_BV, texts, strict=True)
        scores_BV = np.stack([beam_scores(logits_V, search.sampling, text, extent) for logits_V, text in rows])
        check_left(scores_BV, len(texts[0]))
        return scores_BV

    found = beam_search(run, search.beams, room, eos_ids, search.length_penalty, search.early_stopping)
    return [
        Beam(
            text_after(model.tokenizer, prompt_ids[-1], hypothesis.ids[:-1] if hypothesis.finished else hypothesis.ids),
            list(hypothesis.ids),
            hypothesis.logprob,
            hypothesis.score,
            "eos" if hypothesis.finished else "length",
        )
        for hypothesis in found
    ]


@dataclass(frozen=True)
class BranchToken(ProbableToken):
    """A token of the tree, with what could follow it."""

    chosen: bool
    children: list[BranchToken]


def branches(
    model: Model, prompt_ids: Sequence[int], chosen: Sequence[int], depth: int, breadth: int, changes: PassChanges
) -> list[BranchToken]:
    """The `breadth` most probable tokens at each place down to `depth`, and the path that was taken among them.

    The branches share the cache of what stands before them: each costs one token's work.
    """
    if (breadth + 1) ** depth > MOST_BRANCHES:
        raise UsageError(
            f"a tree of {breadth} branches and depth {depth} is too large", "take --tree 3, or fewer --alternatives"
        )
    ask = next_logits(model, changes)

    def grow(ids: Sequence[int], cache: Any, path: Sequence[int] | None, left: int, length: int) -> list[BranchToken]:
        if not left or length >= longest(model, length + 1):
            return []
        logits_V, extended = ask(ids, cache)
        probabilities_V = softmax(logits_V)
        taken = path[0] if path else None
        shown = top_ids(probabilities_V, breadth)
        shown += [taken] if taken is not None and taken not in shown else []
        eos_ids = model.eos_ids
        return [
            BranchToken(
                token_id,
                token_text(model, token_id),
                probabilities_V[token_id],
                token_id == taken,
                []
                if token_id in eos_ids
                else grow([token_id], extended, path[1:] if path and token_id == taken else None, left - 1, length + 1),
            )
            for token_id in shown
        ]

    return grow(prompt_ids, None, list(chosen), depth, len(prompt_ids))
