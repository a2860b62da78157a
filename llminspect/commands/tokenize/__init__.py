"""`llminspect tokenize`: a text cut into the tokens that a model sees."""

from __future__ import annotations

import typer

from llminspect.arguments.shared import NamedOptions, PageOptions, PairOptions
from llminspect.arguments.tokenize import TokenizeOptions
from llminspect.cli.groups import takes_groups
from llminspect.cli.run import fail_check
from llminspect.cli.save import is_page
from llminspect.cli.stream import OverBudget
from llminspect.errors import CheckFailed, UsageError

RESULTS = "analysis.tokenize.TokenizeResult analysis.tokenize.CountResult analysis.compare_tokenizers.CompareResult "


@takes_groups
def command(
    context: typer.Context, source: PairOptions, model: NamedOptions, output: PageOptions, options: TokenizeOptions
) -> None:
    """Cut a text into the tokens that a model sees.

    \b
    llminspect tokenize "Alice gave Bob her book"
    llminspect tokenize "Alice gave Bob her book" --compare smollm2 --compare o200k_base
    llminspect tokenize --count --file book.txt --model o200k_base --cost '$2.50'
    """
    from llminspect.analysis.prompt import is_chat
    from llminspect.commands.tokenize.work import count_compared, count_one, tokenize_all

    if is_page(output) and (not options.compare or options.count):
        raise UsageError("--interactive goes with --compare here", "add --compare NAME, without --count")
    options.check(source, model, output)
    names = compared_names(context, model, options)
    over_budget = OverBudget()
    if not options.count or source.lines or source.ids or is_chat(source):
        over_budget = tokenize_all(names, source, model, output, options)
    elif names:
        over_budget.add(count_compared(names, source, model, output, options))
    else:
        over_budget.add(count_one(source, model, output, options))
    check_budget(over_budget, source, output)


def compared_names(context: typer.Context, model: NamedOptions, options: TokenizeOptions) -> list[str]:
    """The tokenizers of --compare; --model comes first where it was given, or where there is only one other."""
    if not options.compare:
        return []
    chosen = context.get_parameter_source("model")
    named = chosen is not None and chosen.name == "COMMANDLINE"
    names = [model.model, *options.compare] if named or len(options.compare) == 1 else options.compare
    return list(dict.fromkeys(names))


def check_budget(over_budget: OverBudget, source: PairOptions, output: PageOptions) -> None:
    """End with exit code 4 where something has more tokens than are allowed."""
    if over_budget.first is None:
        return
    name, count, budget = over_budget.first
    more = f", and {over_budget.count - 1:,} more" if over_budget.count > 1 else ""
    message = f"{name}: {count:,} tokens, {budget.allowed:,} are allowed{more}"
    fail_check(CheckFailed(message), output, written=output.json or source.lines)
