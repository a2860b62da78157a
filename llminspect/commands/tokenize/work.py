"""What `tokenize` does with each text, here or (with `--lines`) in other processes: one tokenizer, or several."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from llminspect.analysis.compare_tokenizers import compare
from llminspect.analysis.tokenize import exceeded, tokenize
from llminspect.cli.input import line_prompt, read_prompts, read_texts
from llminspect.cli.opening import open_tokenizer_for
from llminspect.cli.output import note
from llminspect.cli.run import noting_empty, run_each
from llminspect.cli.stdout import write_bytes
from llminspect.cli.stream import LineWork, OverBudget, run_lines
from llminspect.errors import UsageError
from llminspect.text.prompt import Prompt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.console import RenderableType

    from llminspect.analysis.compare_tokenizers import CompareResult
    from llminspect.analysis.tokenize import CountResult, TokenBudget, TokenizeResult
    from llminspect.arguments.shared import ModelOptions, OutputOptions, SourceOptions
    from llminspect.arguments.tokenize import TokenizeOptions
    from llminspect.text.tokenizer import Tokenizer

    Exceeded = tuple[str, int, TokenBudget]


def tokenize_all(
    names: Sequence[str],
    source: SourceOptions,
    model: ModelOptions,
    output: OutputOptions,
    options: TokenizeOptions,
    render: Callable[[Any], RenderableType],
) -> OverBudget:
    """Every text in the model's tokenizer, or in each of `names`; gives what has more tokens than are allowed."""
    work: LineWork[Any]
    make: Callable[..., LineWork[Any]]
    prompts: Iterator[Prompt]
    if names:
        make = partial(open_compared, names)
        work = make(source, model, output, options)
        prompts = (Prompt(text, (), line) for text, line in read_texts(source, may_be_empty=True))
    else:
        tokenizer, provenance = open_tokenizer_for(model, output)
        make, work = open_one, work_of(tokenizer, provenance, source, model, output, options)
        prompts = read_prompts(source, tokenizer, may_be_empty=True)
    if source.lines and output.save is None:
        elsewhere = partial(make, source, replace(model, offline=True), replace(output, quiet=True), options)
        return run_lines(source, output, work, elsewhere, options.workers)
    over_budget = OverBudget()

    def run(prompt: Prompt) -> Any:
        result = work.run(prompt)
        over_budget.add(work.over_budget(result))
        return result

    prompts = noting_empty(prompts, output)
    if options.truncate is None or output.json or source.lines or output.save:
        run_each("tokenize", work.model_name, work.provenance, prompts, output, run, render)
    else:
        for prompt in prompts:
            write_kept(run(prompt), output)
    return over_budget


def open_one(
    source: SourceOptions, model: ModelOptions, output: OutputOptions, options: TokenizeOptions
) -> LineWork[Any]:
    """The work in the one tokenizer."""
    return work_of(*open_tokenizer_for(model, output), source, model, output, options)


def work_of(
    tokenizer: Tokenizer,
    provenance: dict[str, Any],
    source: SourceOptions,
    model: ModelOptions,
    output: OutputOptions,
    options: TokenizeOptions,
) -> LineWork[Any]:
    """The same in a tokenizer that is open."""

    def over_budget(result: TokenizeResult | CountResult) -> list[Exceeded]:
        return exceeded(model.model, result.count, result.budget)

    prompt, run = partial(line_prompt, source, tokenizer), partial(tokenize, tokenizer, options, source)
    return LineWork("tokenize", model.model, provenance, output.digits, prompt, run, over_budget, tokenizer.learns)


def open_compared(
    names: Sequence[str], source: SourceOptions, model: ModelOptions, output: OutputOptions, options: TokenizeOptions
) -> LineWork[Any]:
    """The work in every tokenizer."""
    if source.ids is not None:
        raise UsageError("--compare compares what tokenizers make of a text", "leave out --ids, or leave out --compare")
    opened = {name: open_tokenizer_for(replace(model, model=name), output) for name in names}
    tokenizers = [(name, tokenizer) for name, (tokenizer, _) in opened.items()]

    def run(prompt: Prompt) -> CompareResult:
        assert prompt.text is not None
        return compare(tokenizers, prompt.text, source, options)

    def over_budget(result: CompareResult) -> list[Exceeded]:
        return [entry for one in result.models for entry in exceeded(one.model, one.count or 0, one.budget)]

    provenance = {"models": {name: found for name, (_, found) in opened.items()}}
    learns = any(tokenizer.learns for _, tokenizer in tokenizers)
    return LineWork("tokenize", names[0], provenance, output.digits, untokenized, run, over_budget, learns)


def untokenized(text: str, line: int | None) -> Prompt:
    """The text alone: each tokenizer makes its own tokens of it."""
    return Prompt(text, (), line)


def write_kept(result: TokenizeResult, output: OutputOptions) -> None:
    """The text that --truncate kept as its bytes; on a terminal made harmless and ended by a newline."""
    kept = result.truncated
    assert kept is not None, "only a text that was cut"
    data = kept.text.encode("utf-8", "surrogateescape")
    if sys.stdout.isatty():
        from llminspect.render.safe import visible

        data = "\n".join(visible(line) for line in kept.text.split("\n")).encode() + b"\n"
    write_bytes(data)
    if kept.of > result.count:
        note(f"kept {result.count:,} of {kept.of:,} tokens, cut off at the {kept.side}", output)
