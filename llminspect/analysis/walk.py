"""`llminspect walk`: the whole way from text to text, step by step, by hand on the toys and then on the real model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from llminspect.analysis.chapters import chapters, check_walks
from llminspect.analysis.documents import Tokens, token_documents
from llminspect.analysis.prompt import check_prompt

if TYPE_CHECKING:
    from llminspect.analysis.chapters import Chapter
    from llminspect.arguments.shared import ModelOptions, SourceOptions
    from llminspect.model.opened import Model
    from llminspect.text.prompt import Prompt


@dataclass(frozen=True)
class WalkResult:
    """The way of one text, a chapter a step."""

    text: str | None
    tokens: Tokens
    chapters: list[Chapter]


def walk(model: Model, options: ModelOptions, source: SourceOptions, prompt: Prompt) -> WalkResult:
    """Every step of the way of one text. Raises UsageError for a model that does not go from text to text."""
    check_walks(model)
    check_prompt(model, prompt)
    return WalkResult(prompt.text, token_documents(prompt.tokens), chapters(model, options, source, prompt))
