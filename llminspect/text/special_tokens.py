"""Special tokens inside a text: where they are, and which white space goes with them.

Which of a GGUF file take the white space beside them the file does not say, its model's name does: llama.cpp,
`llama-vocab.cpp`, "Handle per token attributes". A `tokenizer.json` says it token by token.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from llminspect.errors import UsageError

Parse = Literal["text", "special", "error"]
"""How a special token that is spelled out in a text is read: as text, as the token, or as an error."""
SPACES = " \t\n\v\f\r"
"""What C's `isspace` takes for white space, by which llama.cpp strips."""
Range = tuple[int, int]
"""Characters of a text, from the first to before the second."""


class Strips(NamedTuple):
    """The ids of the tokens that take the white space before them, and of those that take what follows them."""

    left: frozenset[int] = frozenset()
    right: frozenset[int] = frozenset()


@lru_cache(maxsize=16)
def _any_of(spellings: tuple[str, ...]) -> re.Pattern[str] | None:
    # Longest first: where two spellings start at one place, the longer is meant.
    in_order = sorted(filter(None, spellings), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, in_order))) if in_order else None


def split_at_specials(
    text: str,
    specials: Mapping[str, int],
    parse: Parse,
    always: Mapping[str, int] | None = None,
    at: int = 0,
    *,
    strips: Strips = Strips(),  # noqa: B008
    protected: Sequence[Range] = (),
) -> Iterator[tuple[str, int | None]]:
    """Cut a text into plain parts (id None) and special tokens (their id, with the white space that they take).

    Untrusted text is why `parse` is "text" unless asked otherwise: whoever can type `<|im_end|>` must not thereby end
    the user's turn. For the same reason no special token is found that reaches into one of the `protected` ranges,
    which are in order. Spellings in `always` (a GGUF's user-defined tokens) are cut out whatever `parse` says, because
    the model was made to meet them as ordinary text. Raises UsageError where `parse` is "error" and a special token
    is spelt; it names the byte, the first of `text` being byte `at` of the input.
    """
    harmless = always or {}
    wanted = harmless if parse == "text" else {**harmless, **specials}
    every, others = _any_of(tuple(wanted)), _any_of(tuple(harmless)) if protected else None
    ends = [end for _, end in protected]
    done = place = 0
    while every is not None and (match := every.search(text, place)) is not None:
        if parse != "text" and match.group() in specials:
            if parse == "error":
                raise _spelled(match, at)
            first = bisect_right(ends, match.start())
            if first < len(protected) and protected[first][0] < match.end():
                place = match.start() + 1
                other = others.match(text, match.start()) if others else None
                if other is None:
                    continue
                match = other
        token_id = (harmless if match.re is others else wanted)[match.group()]
        start, place = match.span()
        while token_id in strips.left and start > done and text[start - 1] in SPACES:
            start -= 1
        while token_id in strips.right and place < len(text) and text[place] in SPACES:
            place += 1
        if start > done:
            yield text[done:start], None
        yield text[start:place], token_id
        done = place
    if done < len(text):
        yield text[done:], None


def _spelled(match: re.Match[str], at: int) -> UsageError:
    place = at + len(match.string[: match.start()].encode("utf-8", "surrogateescape"))
    return UsageError(
        f"the text spells the special token {match.group()} at byte {place}",
        "use --parse text to take it as plain text, --parse special to take it as the token",
    )


_TAKE_SPACE = (
    ("tokenizer.ggml.pre", ("jina-v2-de", "jina-v2-es", "jina-v2-code"), "<mask>"),
    ("general.architecture", ("nomic-bert-moe", "jina-bert-v3"), "<mask>"),
    ("general.name", ("phi-3", "phi3"), None),
    ("general.name", ("modern-bert",), "[MASK]"),
)
"""Where the value of a key holds one of these words, the token takes the white space before it; None: all tokens but a
few take that after them. The first rule that holds counts."""
_NOT_OF_PHI_3 = ("<unk>", "<s>", "<|endoftext|>")


def strips_of_gguf(metadata: Mapping[str, Any], tokens: Mapping[str, int]) -> Strips:
    """The rules for the special and user-defined `tokens`, spelling to id.

    >>> strips_of_gguf({"general.name": "Phi-3 mini"}, {"<s>": 1, "<|user|>": 32010})
    Strips(left=frozenset(), right=frozenset({32010}))
    """
    for key, words, spelling in _TAKE_SPACE:
        value = metadata.get(key)
        value = value.lower() if key == "general.name" and isinstance(value, str) else value
        if isinstance(value, str) and any(word in value for word in words):
            if spelling is None:
                return Strips(right=frozenset(tokens[text] for text in tokens if text not in _NOT_OF_PHI_3))
            return Strips(left=frozenset({tokens[spelling]} if spelling in tokens else ()))
    return Strips()
