"""`tokenize --max-tokens-allowed`: what has more tokens than are allowed, and the exit code that says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llminspect.cli.run import fail_check
from llminspect.errors import CheckFailed

if TYPE_CHECKING:
    from llminspect.analysis.tokenization import TokenBudget
    from llminspect.arguments.shared import OutputOptions, SourceOptions
    from llminspect.cli.stream import OverBudget

Exceeded = tuple[str, int, "TokenBudget"]
"""A tokenizer, how many tokens it makes, and how many are allowed."""


def exceeded(name: str, count: int, budget: TokenBudget | None) -> list[Exceeded]:
    """The one entry where there are more tokens than are allowed."""
    return [] if budget is None or budget.within else [(name, count, budget)]


def check_budget(over_budget: OverBudget, source: SourceOptions, output: OutputOptions) -> None:
    """End with exit code 4 where something has more tokens than are allowed."""
    if over_budget.first is None:
        return
    name, count, budget = over_budget.first
    more = f", and {over_budget.count - 1:,} more" if over_budget.count > 1 else ""
    message = f"{name}: {count:,} tokens, {budget.allowed:,} are allowed{more}"
    fail_check(CheckFailed(message), output, written=output.json or source.lines)
