"""The tree of branches that generation did not take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llminspect.analysis.candidates import token_text
from llminspect.analysis.completion import next_logits
from llminspect.core.attention import softmax
from llminspect.core.sampling import top_ids
from llminspect.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llminspect.analysis.completion import PassChanges
    from llminspect.model.opened import Model

MOST_BRANCHES = 5000


@dataclass(frozen=True)
class BranchToken:
    """A token of the tree, with what could follow it."""

    id: int
    text: str
    prob: float
    chosen: bool
    children: list[BranchToken]


def branches(
    model: Model,
    prompt_ids: Sequence[int],
    chosen: Sequence[int],
    depth: int,
    breadth: int,
    changes: PassChanges,
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
        if not left or length >= model.config.sizes.context:
            return []
        logits_V, extended = ask(ids, cache)
        probabilities_V = softmax(logits_V)
        taken = path[0] if path else None
        shown = top_ids(probabilities_V, breadth)
        shown += [taken] if taken is not None and taken not in shown else []
        eos_ids = model.tokenizer.eos_ids if model.tokenizer else frozenset()
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
