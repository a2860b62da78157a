"""What is known of a long text before anything is computed, and said then: the pass may take minutes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llminspect.analysis.prompt import beyond_context

if TYPE_CHECKING:
    from llminspect.model.opened import Model
    from llminspect.text.prompt import Prompt


def noted_before(model: Model, prompt: Prompt, window: int | None = None) -> list[str]:
    """What `beyond_context` will note of the text, or of its windows; nothing of a text that is going to be refused."""
    count, most = len(prompt.tokens), model.most_tokens
    if not count or (most is not None and count > most) or max(prompt.ids) >= model.config.sizes.V:
        return []
    return beyond_context(model, count if window is None else min(count, window)) or []
