"""What one command says about a step of the way, and the words that make it say so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from llminspect.analysis.forward_result import ForwardResult
from llminspect.core.dataclass import dataclass


@dataclass(frozen=True)
class CommandExcerpt:
    """What one command says about a step."""

    model: str
    arguments: list[str]
    """`llminspect` with these says the same, and more of it."""
    result: Any
    """What that command writes, as `llminspect schema` describes it; keys that say nothing about the step are left
    out."""


@dataclass(frozen=True)
class Excerpting:
    """Excerpts of commands about one text in one model."""

    model: str
    given: Sequence[str]
    """The text as a command takes it; its ids where it was not read as plain text."""
    chosen: Sequence[str]
    """The options that name the model."""

    def of(self, result: Any, command: str, *arguments: str) -> CommandExcerpt:
        """The excerpt whose result this is."""
        return CommandExcerpt(self.model, [command, *self.given, *arguments, *self.chosen], result)


def kept(result: ForwardResult, *keys: str) -> ForwardResult:
    """Of a pass only what a step is about."""
    always = {"text", "tokens", "position", *keys}
    names = [field.name for field in fields(result) if field.name not in always]
    gone: dict[str, Any] = {name: [] if name == "layers" else None for name in names}
    return replace(result, **gone)
