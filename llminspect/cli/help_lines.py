"""Help in lines of the screen's width: what is to be copied stays whole, and no line is longer than the screen."""

from __future__ import annotations

import re
import shutil
import textwrap

from llminspect.core.words import HELD, held, released

_HYPHEN = "\u2011"
"""Stands for a hyphen while lines are made: the name of an option, to be copied, is not broken there."""
_UNIT = 22
"""Characters of the longest words that are held together: the column of a narrow screen has room for them."""
_NAMES = 30
"""Characters of the column of options' names at most; longer ones have a line of their own."""
_QUOTED = re.compile(r'"[^"\n]{1,22}"')
_OF_CLICK = re.compile(r"(?:env var|[Dd]efault): (?=\S)|env (?=var:)")
"""What the library writes after an option's help."""
_WORD = re.compile(r"""(?:"[^"]*"|'[^']*'|\S)+""")


def bound(text: str) -> str:
    """`text` with stand-ins for the hyphens and the spaces at which no line may end."""
    kept = _QUOTED.sub(lambda found: found[0].replace(" ", HELD), text)
    kept = _OF_CLICK.sub(lambda found: found[0].replace(" ", HELD), kept)
    return held(kept, _UNIT).replace("-", _HYPHEN)


def names_width(cells: int) -> int:
    """Characters of the column of names: on a narrow screen what is said of them has more than half of it."""
    return min(_NAMES, cells * 2 // 5)


def unbound(text: str, cells: int) -> str:
    """The lines with their hyphens and spaces, each that is too long folded by what it is; a command only at the end of
    the screen, which may be wider than is good to read."""
    lines = released(text.replace(_HYPHEN, "-")).split("\n")
    return "\n".join(line if len(line) <= cells else _folded(line, cells) for line in lines)


def _folded(line: str, cells: int) -> str:
    indent = " " * (len(line) - len(line.lstrip()))
    if line.startswith(f"{indent}llminspect "):
        return command_lines(line.strip(), indent, max(cells, shutil.get_terminal_size().columns - 2))
    if line.startswith(f"{indent}-") and "|" in line:  # Of an option, the words that it takes.
        parts = [part.replace("|", "| ") for part in line.strip().split("| ")]
        folded = textwrap.wrap(" ".join(parts), cells, initial_indent=indent, subsequent_indent=f"{indent}    ")
        return "\n".join(one.replace("| ", "|") for one in folded)
    return textwrap.fill(
        line.strip(), cells, initial_indent=indent, subsequent_indent=f"{indent}  ",
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def command_lines(line: str, indent: str, cells: int) -> str:
    r"""A command over several lines, each but the last with \ at its end, for the shell. An option stays with its
    value, the program with its command, and what comes after a pipe together."""
    units: list[str] = []
    for word in _WORD.findall(line):
        last = units[-1] if units else ""
        valued = last.startswith("-") and " " not in last and not word.startswith("-") and word != "|"
        if valued or last == "llminspect" or last.startswith("|"):
            units[-1] += f" {word}"
        else:
            units.append(word)
    lines, begun = list[str](), indent
    for unit in units:
        if begun.strip() and len(begun) + 1 + len(unit) + 2 > cells:
            lines.append(f"{begun} \\")
            begun = f"{indent}    {unit}"
        else:
            begun += f" {unit}" if begun.strip() else unit
    return "\n".join([*lines, begun])
