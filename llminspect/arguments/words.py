"""Words: which tokens of the text one means, the one token of `--target`, sums like `king - man + woman`."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeAlias

from llminspect.arguments.option import option
from llminspect.arguments.ranges import is_index, shortened
from llminspect.errors import UsageError

if TYPE_CHECKING:
    from llminspect.model.opened import Model
    from llminspect.text.prompt import Prompt

WORD_STARTS = "tokens that begin a word and consist of letters"
"""What `--words` lists: whether the word ends there too, only the next token would say."""

Word: TypeAlias = str | int
"""A word of the text, or the index of a token."""
Pair: TypeAlias = str | tuple[Word, Word]
"""`"her->Alice"`, from Python `("her", "Alice")` or `(4, 0)` as well."""


def find_word(prompt: Prompt, word: Word, option: str) -> list[int]:
    """The indices of the tokens that a word, or an index, means.

    The text of a number below the count of tokens is an index. A word is a token that reads so, or several in a row
    that spell it. Raises UsageError where it is not there, or there several times.
    """
    tokens = len(prompt.tokens)
    if isinstance(word, int):
        if not 0 <= word < tokens:
            raise UsageError(f"{option}: there is no token {word}", f"tokens run from 0 to {tokens - 1}")
        return [word]
    if is_index(word) and int(word) < tokens:
        return [int(word)]
    places = _places(prompt, word)
    if len(places) > 1:
        named = ", ".join("-".join(map(str, sorted({place[0], place[-1]}))) for place in places)
        raise UsageError(
            f"{option}: {shortened(word)!r} is in the text {len(places)} times", f"give one of the tokens: {named}"
        )
    if not places:
        shown = " ".join(f"{index}:{label.strip()}" for index, label in enumerate(prompt.labels[:12]))
        more = " …" if tokens > 12 else ""
        raise UsageError(f"{option}: {shortened(word)!r} is not in the text", f"its tokens are {shown}{more}")
    return places[0]


def _places(prompt: Prompt, word: str) -> list[list[int]]:
    """Each place where the tokens read `word`: the token itself, or several in a row that spell it."""
    labels = [label.strip() for label in prompt.labels]
    exact = [[index] for index, label in enumerate(labels) if label == word.strip()]
    if exact:
        return exact
    found = []
    data = [token.data for token in prompt.tokens]
    wanted = word.strip().encode("utf-8", "surrogateescape")
    for first in range(len(data)):
        if not data[first].strip():
            continue
        joined = b""
        for last in range(first, len(data)):
            joined += data[last].removeprefix(b"##") if last > first else data[last]
            if joined.strip() == wanted:
                found.append(list(range(first, last + 1)))
            if not wanted.startswith(joined.strip()):
                break
    return found or _places_in_text(prompt, word.strip())


def _places_in_text(prompt: Prompt, word: str) -> list[list[int]]:
    """The tokens that were cut from each place of the text where the word stands, however the vocabulary spells it."""
    import re

    found, tokens = [], list(enumerate(prompt.tokens))
    first = [(index, token) for index, token in tokens if index not in prompt.second]
    second = [tokens[index] for index in prompt.second]
    pattern = rf"(?<!\w){re.escape(word)}(?!\w)"
    for text, inside in ((prompt.text or "", first), (prompt.pair or "", second)):
        for match in re.finditer(pattern, text):
            start, end = (len(text[:place].encode("utf-8", "surrogateescape")) for place in match.span())
            found.append(
                [
                    index
                    for index, token in inside
                    if token.start is not None and token.end is not None and token.start < end and token.end > start
                ]
            )
    return [place for place in found if place]


def parse_pair(pair: Pair) -> tuple[Word, Word]:
    """`her->Alice` (or `her→Alice`) as its two words."""
    if not isinstance(pair, str):
        return pair
    query, arrow, key = pair.replace("→", "->").partition("->")
    if not arrow or not query.strip() or not key.strip():
        raise UsageError(f"--find cannot read {shortened(pair)!r}", 'who looks at whom: "her->Alice"')
    return query.strip(), key.strip()


TokenChoice: TypeAlias = str | int
"""A token's text exactly as the vocabulary has it (`" Paris"`), or its id: `"#12366"`, from Python `12366` as well."""


def one_token(model: Model, token: TokenChoice, option: str) -> int:
    """The id of the token that is meant.

    Raises UsageError where it is several tokens, none, or outside the vocabulary.
    """
    if isinstance(token, int) or (token.startswith("#") and token[1:].isascii() and token[1:].isdecimal()):
        token_id = token if isinstance(token, int) else int(token[1:] if is_index(token[1:]) else -1)
        if not 0 <= token_id < model.config.sizes.V:
            raise UsageError(
                f"id {shortened(str(token).removeprefix('#'))} is outside the vocabulary",
                f"ids of {model.name} run from 0 to {model.config.sizes.V - 1}",
            )
        return token_id
    if model.tokenizer is None:
        raise UsageError(f"{option}: this model comes without a tokenizer", f"give an id: {option} '#123'")
    tokens = model.tokenizer.encode(token, "special")
    if len(tokens) != 1:
        parts = " + ".join(repr(part.text) for part in tokens[:20]) or "no token"
        more = " + …" if len(tokens) > 20 else ""
        raise UsageError(
            f"{option} takes one token; {shortened(token)!r} is {parts}{more}",
            f"with its space it is one: {option} {' ' + token!r}"
            if len(model.tokenizer.encode(f" {token}", "special")) == 1
            else "a word in mid-sentence starts with a space, as in ' Paris'; or give an id: #123",
        )
    return tokens[0].id


def parse_baseline(
    model: Model, baseline: str, ids: Sequence[int], kept: Sequence[int]
) -> Literal["zero", "mean"] | list[int]:
    """`zero`, `mean`, or the ids of a text that stands in for `ids`: one token everywhere, or as many as these are; the
    places `kept`, of tokens that were added to the text, keep theirs.

    Raises UsageError for a text of another length.
    """
    from llminspect.core.numbers import several

    if baseline == "zero":
        return "zero"
    if baseline == "mean":
        return "mean"
    if re.fullmatch("#[0-9]+", baseline):
        others = [one_token(model, baseline, "--baseline")]
    elif model.tokenizer is None:
        raise UsageError("--baseline: this model comes without a tokenizer", "zero, mean, or an id: --baseline '#123'")
    else:
        others = [token.id for token in model.tokenizer.encode(baseline, "special")]
    free = [index for index in range(len(ids)) if index not in set(kept)]
    if len(others) == 1:
        others *= len(free)
    if len(others) != len(free):
        raise UsageError(
            f"--baseline {shortened(baseline)!r} has {several(len(others), 'token')}, and the text has {len(free)}",
            "zero, mean, one token (' the' or '#123'), or a text of as many tokens",
        )
    found = list(ids)
    for index, token_id in zip(free, others, strict=True):
        found[index] = token_id
    return found


_FRONT = r"""\s* (?P<sign>[+\-−–]?) \s* (?: (?P<factor>[0-9]{1,30}(?:\.[0-9]{1,30})?) \s* [*·×] \s* )?
    (?: "(?P<double>[^"]+)" | '(?P<single>[^']+)' | (?P<word>"""
_PIECE = r"""[^\s+\-−–*·×"'] [^\s−–*·×"]*"""
_WORD = rf"""{_FRONT} [^\s+\-−–*·×"']+ ) )"""
_PHRASE = rf"""{_FRONT} {_PIECE} (?: (?<![+\-])\s+{_PIECE} )* ) ) (?=\s|[−–]|$)"""


def parse_sum(expression: str, option: str, *, phrases: bool = False) -> list[tuple[float, str]]:
    """`king - man + woman`, `2*Paris − France`: each word with its factor.

    A word that holds a sign, a `*` or a space goes in quotes. With `phrases` it may hold spaces, and `-` and `+` inside
    (`New York - well-known`), so that a sign has a space before it. Raises UsageError for what is not such a sum.
    """
    terms: list[tuple[float, str]] = []
    place, pattern = 0, re.compile(_PHRASE if phrases else _WORD, re.VERBOSE)
    while expression[place:].strip():
        found = pattern.match(expression, place)
        if found is None or (terms and not found["sign"]):
            raise UsageError(
                f"{option} cannot read {shortened(expression[place:].strip())!r} in {shortened(expression)!r}",
                'words with + and - between them: "king - man + woman"',
            )
        sign = -1.0 if found["sign"] in ("-", "−", "–") else 1.0
        terms.append((sign * float(found["factor"] or 1), found["double"] or found["single"] or found["word"]))
        place = found.end()
    if not terms:
        raise UsageError(f"{option} is empty", 'give a sum of words: "king - man + woman"')
    return terms


def parse_direction(text: str) -> tuple[list[tuple[float, str]], str, float]:
    """`London - Paris@10*1.5`: the words of the sum with their factors, the place, the factor.

    Quotes around the whole sum are dropped, and a sum without a factor has 1. Raises UsageError.
    """
    example = 'for example --steer "London - Paris@10*1"'
    expression, at, place = text.rpartition("@")
    place, star, factor = place.partition("*")
    expression, place = expression.strip(), place.strip()
    if expression[:1] in ('"', "'") and expression.find(expression[0], 1) == len(expression) - 1:
        expression = expression[1:-1].strip()
    if not at or not expression or not is_index(place.partition(".")[0]):
        raise UsageError(f"--steer {shortened(text)!r} does not say words@layer*factor", example)
    times = parse_factor(factor) if star else 1.0
    if times is None:
        raise UsageError(f"--steer: {shortened(factor)!r} is not a number", example)
    return parse_sum(expression, "--steer", phrases=True), place, times


def sum_in_print(factor: float, terms: Sequence[tuple[float, str]]) -> str:
    """`4 × (love − hate)`: a factor and a sum as a formula has them; what has a space, or is a sign, in quotes."""
    if len(terms) == 1:
        return _term(factor * terms[0][0], terms[0][1], first=True)
    inside = "".join(_term(weight, word, first=not index) for index, (weight, word) in enumerate(terms))
    return inside if factor == 1 else _scaled(factor, f"({inside})")


def _term(weight: float, word: str, *, first: bool) -> str:
    """A word of a sum, with the sign that it has there."""
    name = f"“{word}”" if re.search(r"\s", word) or not re.search(r"\w", word) else word
    sign = "" if first else " - " if weight < 0 else " + "
    return sign + _scaled(weight if first else abs(weight), name)


def sign_in_print(value: float) -> str:
    """`+ 3`, `- 0.5`: what is added."""
    return f"{'-' if value < 0 else '+'} {abs(value):g}"


def _scaled(factor: float, what: str) -> str:
    sign = "-" if factor < 0 else ""
    return f"{sign}{what}" if abs(factor) == 1 else f"{sign}{abs(factor):g} × {what}"


def parse_factor(text: str) -> float | None:
    """A finite number in the digits 0 to 9, with the minus sign of the keyboard or of print; None for all else."""
    found = re.fullmatch(
        r"[+-]?(?:[0-9]{1,40}\.?[0-9]{0,40}|\.[0-9]{1,40})(?:[eE][+-]?[0-9]{1,4})?", text.strip().replace("−", "-")
    )
    value = float(found[0]) if found else math.inf
    return value if math.isfinite(value) else None


language = partial(
    option, metavar="NAME", help="Of a translator of many languages: the one to write, such as fr or fra_Latn."
)
"""The field for the language of a target."""
