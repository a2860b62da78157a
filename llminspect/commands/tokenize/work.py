"""What `tokenize` does with one input, in this process or, with `--lines`, in another: one tokenizer, or several."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from llminspect.cli.input import line_prompt
from llminspect.cli.opening import open_tokenizer_for
from llminspect.cli.stream import LineWork
from llminspect.errors import UsageError
from llminspect.text.prompt import Prompt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llminspect.analysis.tokenization import Budget, CompareResult, CountResult, TokenizeResult
    from llminspect.arguments.shared import ModelOptions, OutputOptions, SourceOptions
    from llminspect.arguments.tokenize import TokenizeOptions
    from llminspect.text.tokenizer import Tokenizer

Exceeded = tuple[str, int, "Budget"]
"""A tokenizer, how many tokens it makes, and how many were allowed."""


def open_one(
    source: SourceOptions, model: ModelOptions, output: OutputOptions, asked: TokenizeOptions
) -> LineWork[TokenizeResult | CountResult]:
    """The work in the one tokenizer."""
    return work_of(*open_tokenizer_for(model, output), source, model, output, asked)


def work_of(
    tokenizer: Tokenizer,
    provenance: dict[str, Any],
    source: SourceOptions,
    model: ModelOptions,
    output: OutputOptions,
    asked: TokenizeOptions,
) -> LineWork[TokenizeResult | CountResult]:
    """The same in a tokenizer that is open."""
    from llminspect.analysis.tokenize import tokenize

    def over(result: TokenizeResult | CountResult) -> list[Exceeded]:
        return exceeded(model.model, result.count, result.budget)

    prompt, work = partial(line_prompt, source, tokenizer), partial(tokenize, tokenizer, asked, source)
    return LineWork("tokenize", model.model, provenance, output.digits, prompt, work, over, tokenizer.learns)


def open_compared(
    names: Sequence[str], source: SourceOptions, model: ModelOptions, output: OutputOptions, asked: TokenizeOptions
) -> LineWork[CompareResult]:
    """The work in every tokenizer."""
    from llminspect.analysis.compare_tokenizers import compare

    if source.ids is not None:
        raise UsageError("--compare compares what tokenizers make of a text", "leave out --ids, or leave out --compare")
    opened = {name: open_tokenizer_for(replace(model, model=name), output) for name in names}
    tokenizers = [(name, tokenizer) for name, (tokenizer, _) in opened.items()]

    def compared(prompt: Prompt) -> CompareResult:
        assert prompt.text is not None
        return compare(tokenizers, prompt.text, source, asked)

    def over(result: CompareResult) -> list[Exceeded]:
        return [entry for own in result.models for entry in exceeded(own.model, own.count or 0, own.budget)]

    provenance = {"models": {name: own for name, (_, own) in opened.items()}}
    learns = any(tokenizer.learns for _, tokenizer in tokenizers)
    return LineWork("tokenize", names[0], provenance, output.digits, untokenized, compared, over, learns)


def untokenized(text: str, line: int | None) -> Prompt:
    """The text alone: each tokenizer makes its own tokens of it."""
    return Prompt(text, (), line)


def exceeded(name: str, count: int, budget: Budget | None) -> list[Exceeded]:
    """The one entry where there are more tokens than are allowed."""
    return [] if budget is None or budget.within else [(name, count, budget)]
