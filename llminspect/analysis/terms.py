"""`llminspect help TOPIC`: what a word means here, in two lines, and where the book explains it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from llminspect.analysis.term_list import TERMS
from llminspect.core.dataclass import dataclass
from llminspect.errors import UsageError


@dataclass(frozen=True)
class Topic:
    """A word of the field."""

    name: str
    also: list[str]
    """What else it is called."""
    text: str
    """What it means, in two sentences or so."""
    page: str
    """The page of the documentation that explains it."""
    heading: str
    """The heading there."""
    example: str
    """A command that shows it."""


@cache
def terms() -> tuple[Topic, ...]:
    """All words, in the order of the alphabet."""
    return tuple(map(_term, TERMS.strip().split("\n\n")))


def _term(lines: str) -> Topic:
    names, first, second, place, example = lines.split("\n")
    name, _, also = names.partition(" | ")
    page, _, heading = place.partition(" # ")
    return Topic(name, also.split(", ") if also else [], f"{first} {second}", page, heading, example)


def plain(word: str) -> str:
    """A word as it is looked up: `Residual-Streams` is `residual stream`."""
    letters = " ".join(word.casefold().replace("-", " ").replace("_", " ").split())
    return letters[:-1] if len(letters) > 2 and letters.endswith("s") and not letters.endswith("ss") else letters


def term_of(word: str) -> Topic | None:
    """The term of that name, or that is also called so; of its plural as well. None where there is none.

    >>> term_of("Heads").name, term_of("rope").name
    ('head', 'rotary position')
    """
    wanted = plain(word)
    named = {plain(name): term for term in reversed(terms()) for name in term.also}
    named |= {plain(term.name): term for term in terms()}
    return named.get(wanted)


def unknown_topic(word: str, commands: tuple[str, ...] = ()) -> UsageError:
    """What to raise for a word that is neither a topic nor one of `commands`: it names the nearest that there are."""
    from difflib import get_close_matches

    names = {plain(name): name for term in terms() for name in term.also}
    names |= {plain(name): name for name in (*commands, *(term.name for term in terms()))}
    near = [names[name] for name in get_close_matches(plain(word), names, 3, 0.6)]
    hint = f"did you mean {' or '.join(near)}?" if near else "llminspect help lists the topics"
    return UsageError(f"there is no topic and no command {word!r}", hint)


def unknown_command(word: str, commands: Sequence[str]) -> UsageError:
    """What to raise for a word that stands where a command should, and is none: it names what can have been meant."""
    from difflib import get_close_matches

    if near := get_close_matches(word.casefold(), commands, 2, 0.7):
        hint = f"did you mean {' or '.join(near)}?"
    elif term_of(word):
        hint = f"llminspect help {word} says what it is and which command shows it"
    elif len(word.split()) > 1:
        hint = 'a command comes before the text: llminspect forward "TEXT"'
    else:
        hint = "llminspect --help lists the commands"
    shown = word if len(word) <= 40 else f"{word[:39]}…"
    return UsageError(f"there is no command {shown!r}", hint)
