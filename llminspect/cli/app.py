"""The command line: imports the command that is asked for, and turns errors into one line."""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Annotated, Any, Protocol

import typer
from typer.core import TyperCommand, TyperGroup

from llminspect.cli.code_page import fit_streams
from llminspect.cli.help_lines import bound, names_width, unbound
from llminspect.cli.waiting import waiting
from llminspect.errors import UsageError, UserError

# What the command-line library raises for a wrong command line; its own module is private to it.
_ClickException: type[Exception] = typer.BadParameter.__mro__[2]


class InterruptedRun(Exception):
    """Ctrl-C, by a name that the command-line library does not know: it would end the run without a word."""


class ReaderGone(Exception):
    """A closed pipe, by a name that the command-line library does not know: it would make an error of it."""


class Commands(Protocol):
    """Where the commands are (`llminspect.commands`): names, a line about each, what each calls and draws with."""

    def names(self) -> tuple[str, ...]: ...

    def summary(self, name: str) -> str: ...

    def function(self, name: str) -> Any: ...

    def render(self, name: str) -> Any: ...


HEADINGS = ("What to look at", "", "Input", "Model", "Output", "Engine")
"""The order of headings: a command's own first, what many commands take after them."""


class Once(TyperCommand):
    """A command that refuses an option given twice, of which the last alone would count; its options in groups."""

    examples: Callable[[], dict[str, str]]
    """Gives one of each group, by its heading."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Its arguments, then each group of options under its heading with an example, the command's own first."""
        arguments, examples = list[Any](), self.examples()
        groups: dict[str, list[Any]] = {}
        of_help = "Output" if "Output" in examples or not examples else next(iter(examples))
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and parameter.param_type_name == "argument":
                arguments.append(record)
            elif record is not None:  # --help has no heading of its own.
                name, text = record
                group = groups.setdefault(getattr(parameter, "rich_help_panel", None) or of_help, [])
                group.append((name, bound(text)))
        if arguments:
            with formatter.section("Arguments"):
                formatter.write_dl(arguments, names_width(formatter.width))
        for heading in sorted(groups, key=lambda heading: HEADINGS.index(heading if heading in HEADINGS else "")):
            with formatter.section(heading):
                if heading in examples:
                    formatter.write(f"{'':{formatter.current_indent}}llminspect {examples[heading]}\n\n")
                formatter.write_dl(groups[heading], names_width(formatter.width))

    def get_help(self, ctx: Any) -> str:
        formatter = ctx.make_formatter()
        self.format_help(ctx, formatter)
        return unbound(formatter.getvalue().rstrip("\n"), formatter.width)

    def make_parser(self, ctx: Any) -> Any:
        parser: Any = super().make_parser(ctx)
        parse = parser.parse_args

        def parse_once(args: list[str]) -> Any:
            options, left, given = parse(args=args)
            single = [entry for entry in given if not getattr(entry, "multiple", True)]
            for index, entry in enumerate(single):
                if entry in single[:index]:
                    raise UsageError(f"{entry.opts[0]} was given twice", "give it once")
            return options, left, given

        if not ctx.resilient_parsing:
            parser.parse_args = parse_once
        return parser


class LazyCommands(TyperGroup):
    """Imports a command's file when the command is used, so that no run pays for the others."""

    known: Commands

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, self.known.summary(name)) for name in self.known.names()])

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise InterruptedRun from None
        except BrokenPipeError:
            raise ReaderGone from None

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.known.names())

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return command_of(cmd_name, self.known.function(cmd_name)) if cmd_name in self.known.names() else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name = args[0]
        # The library answers a flag in a command's place, and whatever stands there while Tab completes.
        if name in self.known.names() or name.startswith("-") or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        from llminspect.analysis.terms import unknown_command

        raise unknown_command(name, self.known.names())


@cache
def command_of(name: str, function: Callable[..., Any]) -> Any:
    """The command that Typer makes of a function: once, however often it is called in this process."""
    single = typer.Typer(add_completion=False, rich_markup_mode=None)
    single.command(name, cls=Once, context_settings={"help_option_names": ["-h", "--help"]})(function)
    command: Any = typer.main.get_command(single)
    text: str = command.help or ""
    command.help, command.short_help = bound(text), text.partition("\n")[0]
    command.examples = function.examples  # type: ignore[attr-defined]
    return command


app = typer.Typer(
    name="llminspect",
    cls=LazyCommands,
    rich_markup_mode=None,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from llminspect.cli.output import version_text, write_text

        write_text(version_text())
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the versions and exit.")
    ] = False,
) -> None:
    """Open a real language model and see, number by number, how text becomes text.

    text -> tokenize -> encode -> embed -> attend -> forward -> generate -> text

    Try: llminspect tokenize "Alice gave Bob her book"
    """


_group = cache(partial(typer.main.get_command, app))
"""All commands, as Typer makes them: once, however many command lines this process runs."""


def run(arguments: Sequence[str], commands: Commands) -> int:
    """Run one command line; the exit code. Whatever a user can cause becomes one line on stderr."""
    LazyCommands.known = commands
    fit_streams()
    code = _run(_spelled_out(arguments))
    hosts = sys.modules.get("llminspect.backends.jax.hosts")
    if hosts is not None:
        hosts.conclude(code)
    return code


def _run(arguments: Sequence[str]) -> int:
    try:
        with waiting(arguments[0] if arguments else "", not {"-q", "--quiet"} & {*arguments}):
            result: object = _group().main(list(arguments), prog_name="llminspect", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except UserError as error:
        return _report(arguments, error.code, error.message, error.hint, error.exit_code)
    except (BrokenPipeError, ReaderGone):
        # The reader has what it wanted.
        _discard_output()
        return 0
    except (KeyboardInterrupt, InterruptedRun, typer.Abort):
        return _report(arguments, "interrupted", "interrupted", None, 130)
    except MemoryError:
        return _report(arguments, "memory", "out of memory", "take a shorter text, or fewer layers and heads", 1)
    except OSError as error:
        return _report(arguments, "system", _os_error_text(error), None, 1)
    except _ClickException as error:
        return _report_usage(arguments, error)


def _spelled_out(arguments: Sequence[str]) -> Sequence[str]:
    """`--saliency gradient`: an option that may stand alone cannot take a word, so the word becomes an option."""
    before, ways = ["", *arguments], ("gradient", "integrated")
    return [
        f"--{argument}" if before[at] == "--saliency" and argument in ways else argument
        for at, argument in enumerate(arguments)
    ]


def _report_usage(arguments: Sequence[str], error: Any) -> int:
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        return 2
    from llminspect.arguments.option import range_in_words

    context = getattr(error, "ctx", None)
    hint = f"see {context.command_path} --help" if context else None
    message = error.format_message().rstrip(".")
    message = RANGE.sub(lambda found: range_in_words(found["low"] or found["least"], found["high"]), message)
    if words := LEFT_OVER.fullmatch(message):
        of_text = context is not None and any(parameter.name == "text" for parameter in context.command.params)
        message, hint = _left_over(words[1], arguments, of_text, hint)
    return _report(arguments, "usage", message, hint, error.exit_code)


# What the parser of the command line says, in its own terms.
RANGE = re.compile(r"in the range (?:(?P<low>[^\s<]+)<=)?x(?:<=(?P<high>\S+)|>=(?P<least>\S+))")
LEFT_OVER = re.compile(r"Got unexpected extra argument(?:s|\(s\))? \((.*)\)", re.DOTALL)


def _left_over(words: str, arguments: Sequence[str], of_text: bool, hint: str | None) -> tuple[str, str | None]:
    """What to say of words that no option takes: a text without its quotes, or a file after --json."""
    before = {word: arguments[at - 1] for at, word in enumerate(arguments) if at}
    if before.get(words) == "--json":
        return f"--json takes no file, and got {words}", f"--save {words}, or --json > {words}"
    if of_text:
        return (
            f"{words!r} is one argument too many: only one TEXT is read",
            f'put a text of several words in quotes: "… {words}"',
        )
    return f"{words!r} is not expected", hint


def _os_error_text(error: OSError) -> str:
    if error.errno == errno.EBADF and not error.filename:
        return "standard input or standard output is closed"
    reason = (error.strerror or str(error)).lower()
    return f"{error.filename}: {reason}" if error.filename else reason


LONGEST_WORD = 300
"""Characters of an argument that is quoted whole in an error: a path is, a long text is not."""


def _report(arguments: Sequence[str], code: str, message: str, hint: str | None, exit_code: int) -> int:
    from llminspect.cli.output import report_error

    for word in arguments:
        if len(word) > LONGEST_WORD:
            message = message.replace(word, f"{word[:LONGEST_WORD]}…")
            hint = hint and hint.replace(word, f"{word[:LONGEST_WORD]}…")
    try:
        report_error(arguments, code, message, hint)
        sys.stdout.flush()
    except (OSError, KeyboardInterrupt):
        # Not even the error can be written there, or nobody waits for it; the line on standard error has said why.
        _discard_output()
    return exit_code


def _discard_output() -> None:
    """Send what is left for standard output nowhere: Python would complain again when it flushes at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
