"""What `tokenize` does with each text, here or (with `--lines`) in other processes: in one tokenizer, or in several.

With --count one text is a stream, counted in one tokenizer, or in each of several.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import IO, Any

from llminspect.analysis.compare_tokenizers import ComparedTokenizer, CompareResult, compared, estimates
from llminspect.analysis.count import count as count_tokens
from llminspect.analysis.tokenize import CountResult, TokenBudget, TokenizeResult, about, budget_of, exceeded
from llminspect.arguments.shared import NamedOptions, OutputOptions, SourceOptions
from llminspect.arguments.tokenize import TokenizeOptions
from llminspect.cli.input import check_source, line_prompt, read_with
from llminspect.cli.opening import MOMENT, ProgressBars, open_tokenizer_for
from llminspect.cli.output import note, write_bytes, write_text
from llminspect.cli.run import emit, noting_empty, run_each
from llminspect.cli.stream import LineWork, OverBudget, bytes_left, is_argument, open_source, run_lines
from llminspect.errors import UsageError, UserError
from llminspect.opening import open_tokenizer
from llminspect.text.prompt import Prompt
from llminspect.text.tokenizer import Tokenizer

Exceeded = tuple[str, int, TokenBudget]


def tokenize_all(
    names: Sequence[str], source: SourceOptions, model: NamedOptions, output: OutputOptions, options: TokenizeOptions
) -> OverBudget:
    """Every text in the model's tokenizer, or in each of `names`; gives what has more tokens than are allowed."""
    make = partial(open_compared, names, source, options) if names else partial(open_one, source, options)
    work = make(model, output)
    if options.watch:
        from llminspect.commands.tokenize.watching import watch

        typed = watch(source.text or "", lambda text: work.run(work.prompt(text, None)), output)
        if typed is None:
            return OverBudget()
        source = replace(source, text=typed)
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
    source: SourceOptions, options: TokenizeOptions, model: NamedOptions, output: OutputOptions
) -> LineWork[Any]:
    """What is done with a text in the one tokenizer, in this process or another."""
    from llminspect.analysis.tokenize import tokenize

    tokenizer, provenance = open_tokenizer_for(model, output)
    options = options.for_model(model.model)

    def over_budget(result: TokenizeResult | CountResult) -> list[Exceeded]:
        return exceeded(model.model, result.count, result.budget)

    prompt, run = partial(line_prompt, source, tokenizer), partial(tokenize, tokenizer, options, source)
    fast = None
    if source.lines:
        from llminspect.commands.tokenize.fast_lines import fast_lines

        fast = fast_lines(tokenizer, source, options)
    return LineWork(
        *("tokenize", model.model, provenance, output.digits, prompt, run, over_budget, tokenizer.learns),
        fast=fast,
        brief=options.count,
    )


def open_compared(
    names: Sequence[str], source: SourceOptions, options: TokenizeOptions, model: NamedOptions, output: OutputOptions
) -> LineWork[Any]:
    """The same in every tokenizer, each of which makes its own tokens of the text."""
    from llminspect.analysis.compare_tokenizers import compare

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
    named = ("tokenize", names[0], provenance, output.digits)
    return LineWork(*named, lambda text, line: Prompt(text, (), line), run, over_budget, learns, brief=options.count)


def write_kept(result: TokenizeResult, output: OutputOptions) -> None:
    """The text that --truncate kept as its bytes; on a terminal made harmless and ended by a newline."""
    kept = result.truncated
    assert kept is not None, "only a text that was cut"
    if sys.stdout.isatty():
        from llminspect.render.safe import visible

        write_text("\n".join(visible(line) for line in kept.text.split("\n")) + "\n")
    else:
        write_bytes(kept.text.encode("utf-8", "surrogateescape"))
    if kept.of > result.count:
        note(f"kept {result.count:,} of {kept.of:,} tokens, cut off at the {kept.side}", output)


def count_one(
    source: SourceOptions, model: NamedOptions, output: OutputOptions, options: TokenizeOptions
) -> list[Exceeded]:
    """Count in one tokenizer and write the number: by itself for the next program in the pipe."""
    check_source(source)
    options = options.for_model(model.model)
    tokenizer, provenance = open_tokenizer_for(model, output)
    with open_source(source) as stream:
        result = count_in(tokenizer, model, stream, bytes_left(stream), source, output, options)
    if not result.bytes:
        note("the text is empty", output)
    if output.json or output.save is not None or result.cost is not None:
        emit("tokenize", model.model, provenance, result, output)
    else:  # Without loading what draws.
        for remark in result.notes or ():
            note(remark, output)
        write_text(f"{result.count}\n")
    return exceeded(model.model, result.count, result.budget)


def count_files(
    paths: Sequence[str], source: SourceOptions, model: NamedOptions, output: OutputOptions, options: TokenizeOptions
) -> list[Exceeded]:
    """Count files and folders and write a table of them, with a progress bar on a terminal where they are long."""
    from llminspect.analysis.count_files import count_files as count_tokens_of_files

    options = options.for_model(model.model)
    tokenizer, provenance = open_tokenizer_for(model, output)
    with ProgressBars(output) as progress:

        def step(done: int, size: int) -> None:
            if progress is not None and sys.stderr.isatty() and size > MOMENT:
                progress("counting", done, size)

        reopen = partial(open_tokenizer, model.model, revision=model.revision, offline=True)
        result = count_tokens_of_files(tokenizer, paths, source, options, reopen=reopen, progress=step)
    emit("tokenize", model.model, {**provenance, "paths": list(paths)}, result, output)
    most = options.max_tokens_allowed
    each = [entry for file in result.files for entry in exceeded(file.path, file.count, budget_of(file.count, most))]
    return each + exceeded("all files", result.total, result.budget)


def count_compared(
    names: Sequence[str], source: SourceOptions, model: NamedOptions, output: OutputOptions, options: TokenizeOptions
) -> list[Exceeded]:
    """Count in several tokenizers; a pipe is read once and kept, on disk where it is long."""
    from llminspect.files.source import spooled

    check_source(source)
    opened = {name: open_tokenizer_for(replace(model, model=name), output) for name in names}
    stream = open_source(source)
    start, size = 0, bytes_left(stream)
    if size is None:
        with stream:
            stream, size = spooled(stream)
    else:
        start = stream.tell()
    models: list[ComparedTokenizer] = []
    counts: list[CountResult] = []
    notes: list[str] = []
    over_budget: list[Exceeded] = []
    errors: list[UserError] = []
    with stream:
        for name, (tokenizer, _) in opened.items():
            stream.seek(start)
            try:
                priced = options.for_model(name)
                result = count_in(tokenizer, replace(model, model=name), stream, size, source, output, priced)
            except UserError as error:
                errors.append(error)
                models.append(ComparedTokenizer(name, about(tokenizer), error=error.message))
                continue
            counts.append(result)
            notes += [*(f"{name}: {note}" for note in result.notes or ()), *estimates(name, result)]
            over_budget += exceeded(name, result.count, result.budget)
            models.append(compared(name, tokenizer, result))
    if not counts:
        raise errors[0]
    comparison = CompareResult(None, counts[0].characters or 0, counts[0].bytes or 0, models, notes=notes or None)
    provenance = {"models": {name: found for name, (_, found) in opened.items()}}
    emit("tokenize", names[0], provenance, comparison, output)
    return over_budget


def count_in(
    tokenizer: Tokenizer,
    model: NamedOptions,
    stream: IO[bytes],
    size: int | None,
    source: SourceOptions,
    output: OutputOptions,
    options: TokenizeOptions,
) -> CountResult:
    """The tokens of a stream of `size` bytes (None: nobody knows), with a progress bar on a terminal if it is long."""
    with ProgressBars(output) as progress:

        def step(done: int) -> None:
            if progress is not None and sys.stderr.isatty() and (size or done) > MOMENT:
                progress("counting", done, size)

        return count_tokens(
            tokenizer,
            stream,
            source,
            options,
            reopen=partial(open_tokenizer, model.model, revision=model.revision, offline=True),
            drop_final_newline=not is_argument(source),
            progress=step,
        )
