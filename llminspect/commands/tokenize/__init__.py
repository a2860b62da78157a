"""`llminspect tokenize`: a text cut into the tokens that a model sees."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from llminspect.arguments.option import each
from llminspect.arguments.shared import NamedOptions, PageOptions, PairOptions
from llminspect.arguments.tokenize import TokenizeOptions
from llminspect.cli.groups import takes_groups
from llminspect.cli.run import fail_check
from llminspect.cli.save import is_page
from llminspect.cli.stream import OverBudget
from llminspect.errors import CheckFailed, UsageError

RESULTS = (
    "analysis.tokenize.TokenizeResult analysis.tokenize.CountResult analysis.compare_tokenizers.CompareResult "
    "analysis.count_files.FilesResult"
)


@takes_groups
def command(
    context: typer.Context, source: PairOptions, model: NamedOptions, output: PageOptions, options: TokenizeOptions
) -> None:
    """Cut a text into the tokens that a model sees.

    \b
    llminspect tokenize "Alice gave Bob her book"
    llminspect tokenize "Alice gave Bob her book" --compare smollm2 --compare o200k_base
    llminspect tokenize --count --file book.txt --model gpt-4o --cost model
    llminspect tokenize --count --file src docs README.md --budget 100000
    """
    from llminspect.analysis.prompt import is_chat
    from llminspect.commands.tokenize.work import count_compared, count_files, count_one, tokenize_all

    if is_page(output) and (not options.compare or options.count):
        raise UsageError("--interactive goes with --compare here", "add --compare NAME, without --count")
    options.check()
    paths = paths_of(source, options)
    names = compared_names(context, model, options.compare) if options.compare else []
    over_budget = OverBudget()
    if paths:
        over_budget.add(count_files(paths, source, model, output, options))
    elif not options.count or options.by_line or source.lines or source.ids or is_chat(source):
        over_budget = tokenize_all(names, source, model, output, options)
    elif names:
        over_budget.add(count_compared(names, source, model, output, options))
    else:
        over_budget.add(count_one(source, model, output, options))
    check_budget(over_budget, source, output)


def compared_names(context: typer.Context, model: NamedOptions, others: Sequence[str]) -> list[str]:
    """The tokenizers of --compare; --model comes first where it was given, or where there is only one other."""
    chosen = context.get_parameter_source("model")
    named = chosen is not None and chosen.name == "COMMANDLINE"
    return list(dict.fromkeys([model.model, *others] if named or len(others) == 1 else others))


def paths_of(source: PairOptions, options: TokenizeOptions) -> list[str]:
    """The files and folders of --count, where there are several or one is a folder; the words after --file are some.

    Raises UsageError for options that are of several files where there is one text.
    """
    if options.count and source.file is not None:
        paths = [str(source.file), *([] if source.text is None else [source.text]), *each(options.paths)]
        if len(paths) > 1 or source.file.is_dir():
            return paths
    if options.top_files is not None:
        raise UsageError("--top-files is for several files", "name them, or a folder: --count --file PATH PATH")
    return []


def check_budget(over_budget: OverBudget, source: PairOptions, output: PageOptions) -> None:
    """End with exit code 4 where something has more tokens than are allowed."""
    if over_budget.first is None:
        return
    name, count, budget = over_budget.first
    more = f", and {over_budget.count - 1:,} more" if over_budget.count > 1 else ""
    over = f"{budget.over:,} over the {budget.allowed:,} that are allowed{more}"
    message = f"{name}: {count:,} token{'s' * (count != 1)}, {over}"
    fail_check(CheckFailed(message), output, written=output.json or source.lines)
