"""What `tokenize` does with each text, here or (with `--lines`) in other processes: one tokenizer, or several."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from llminspect.analysis.compare_tokenizers import compare
from llminspect.analysis.tokenization import CompareResult, CountResult, TokenBudget, TokenizeResult, exceeded
from llminspect.analysis.tokenize import tokenize
from llminspect.arguments.shared import ModelOptions, OutputOptions, SourceOptions
from llminspect.arguments.tokenize import TokenizeOptions
from llminspect.cli.input import line_prompt, read_with
from llminspect.cli.opening import open_tokenizer_for
from llminspect.cli.output import note, write_bytes
from llminspect.cli.run import noting_empty, run_each
from llminspect.cli.stream import LineWork, OverBudget, run_lines
from llminspect.errors import UsageError
from llminspect.text.prompt import Prompt

Exceeded = tuple[str, int, TokenBudget]


def tokenize_all(
    names: Sequence[str], source: SourceOptions, model: ModelOptions, output: OutputOptions, options: TokenizeOptions
) -> OverBudget:
    """Every text in the model's tokenizer, or in each of `names`; gives what has more tokens than are allowed."""
    make = partial(open_compared, names, source, options) if names else partial(open_one, source, options)
    work = make(model, output)
    if source.lines and output.save is None:
        return run_lines(source, model, output, work, make, options.workers)
    over_budget = OverBudget()

    def run(prompt: Prompt) -> Any:
        result = work.run(prompt)
        over_budget.add(work.over_budget(result))
        return result

    prompts = noting_empty(read_with(work.prompt, source, may_be_empty=True), output)
    if options.truncate is None or output.json or source.lines or output.save:
        run_each("tokenize", work.model_name, work.provenance, prompts, output, run)
    else:
        for prompt in prompts:
            write_kept(run(prompt), output)
    return over_budget


def open_one(
    source: SourceOptions, options: TokenizeOptions, model: ModelOptions, output: OutputOptions
) -> LineWork[Any]:
    """What is done with a text in the one tokenizer, in this process or another."""
    tokenizer, provenance = open_tokenizer_for(model, output)

    def over_budget(result: TokenizeResult | CountResult) -> list[Exceeded]:
        return exceeded(model.model, result.count, result.budget)

    prompt, run = partial(line_prompt, source, tokenizer), partial(tokenize, tokenizer, options, source)
    return LineWork("tokenize", model.model, provenance, output.digits, prompt, run, over_budget, tokenizer.learns)


def open_compared(
    names: Sequence[str], source: SourceOptions, options: TokenizeOptions, model: ModelOptions, output: OutputOptions
) -> LineWork[Any]:
    """The same in every tokenizer, each of which makes its own tokens of the text."""
    if source.ids is not None:
        raise UsageError("--compare compares what tokenizers make of a text", "leave out --ids, or leave out --compare")
    opened = {name: open_tokenizer_for(replace(model, model=name), output) for name in names}
    tokenizers = [(name, tokenizer) for name, (tokenizer, _) in opened.items()]

    def untokenized(text: str, line: int | None) -> Prompt:
        return Prompt(text, (), line)

    def run(prompt: Prompt) -> CompareResult:
        assert prompt.text is not None
        return compare(tokenizers, prompt.text, source, options)

    def over_budget(result: CompareResult) -> list[Exceeded]:
        return [entry for one in result.models for entry in exceeded(one.model, one.count or 0, one.budget)]

    provenance = {"models": {name: found for name, (_, found) in opened.items()}}
    learns = any(tokenizer.learns for _, tokenizer in tokenizers)
    return LineWork("tokenize", names[0], provenance, output.digits, untokenized, run, over_budget, learns)


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
