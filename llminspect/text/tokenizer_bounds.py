"""What a stranger's tokenizer.json may ask of the machine: how much a text may grow in it, and which of its patterns
may take for ever.

Growth is refused before the library reads the file, since reading normalises the added tokens. A pattern that is not
known to be quick makes the tokenizer run in a process of its own (`guarded_library`).
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

from llminspect.errors import ModelError

if TYPE_CHECKING:
    import tokenizers

MOST_GROWTH = 100
"""How many characters may come of one, by all steps together."""
LONGEST_ADDED = 1000
"""Characters that steps may put in front, and special tokens that a template may put around a text."""
LONGEST_REPLACEMENT = 64
"""Bytes of a replacement in SentencePiece's map of characters; of Unicode's own the longest has 33."""
MOST_STEPS = 100
"""Steps of a tokenizer, each of which goes through the text: with more it runs in a process of its own."""
LONGEST_PIECE = 1000
"""Characters of a piece where each place of a text is compared with the pieces: of real ones the longest has 256."""
LARGEST_ID = (1 << 24) - 1
"""Of a piece: 60 times as many as the largest vocabularies have."""
_PARTS = ("added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder")
_GAP = re.compile(r"[\s,:]*")
_ESCAPED = re.compile(r"\\u00[2-7]")
_QUICK = re.compile(
    r"(?:\\[a-zA-Z](?:\{\^?\w+\})?|\\.|\[(?:\\.|[^\]\\\[])+\]|[^\\()|*+?{}\[\]^$])(?:[*+?]|\{\d{1,2}(?:,\d{0,2})?\})?"
)
"""One kind of character, once or repeated: linear, whatever the text."""


def written_out(library: tokenizers.Tokenizer | Any) -> str:
    """The tokenizer.json of a tokenizer. Raises ModelError for one with an id so large that the library, which goes
    through all numbers up to it and lists those that are none, would fill the memory and end the process."""
    largest = max(library.get_vocab(True).values(), default=0)
    if largest > LARGEST_ID:
        raise ModelError(
            f"the tokenizer cannot be read: it has the id {largest:,}", f"ids up to {LARGEST_ID:,} are read"
        )
    text: str = library.to_str()
    return text


def sections(text: str) -> list[tuple[str, Any]]:
    """The parts of a tokenizer.json but for its model, which is large and asks for nothing. A part that is there twice
    is listed twice. Raises ModelError for what is not a JSON object."""
    decoder, found = json.JSONDecoder(), list[tuple[str, Any]]()
    try:
        place = _GAP.match(text, text.index("{") + 1).end()  # type: ignore[union-attr]
        while text[place] != "}":
            name, place = decoder.raw_decode(text, place)
            place = _GAP.match(text, place).end()  # type: ignore[union-attr]
            if name == "model" and not _names_a_part(text, place):
                return found
            value, place = decoder.raw_decode(text, place)
            place = _GAP.match(text, place).end()  # type: ignore[union-attr]
            if name != "model":
                found.append((name, value))
    except (ValueError, IndexError, RecursionError):
        raise ModelError("the tokenizer cannot be read: tokenizer.json is not a JSON object") from None
    return found


def _names_a_part(text: str, place: int) -> bool:
    """Whether a part may come after this place: its name with an object or a list; or a name written with escapes.

    A vocabulary holds such names as well, with a number.
    """
    for name in _PARTS:
        at = text.find(f'"{name}"', place)
        while at >= 0:
            after = _GAP.match(text, at + len(name) + 2)
            if after is not None and text[after.end() : after.end() + 1] in ("{", "["):
                return True
            at = text.find(f'"{name}"', at + 1)
    return _ESCAPED.search(text, place) is not None


def check_growth(parts: list[tuple[str, Any]]) -> None:
    """Raise ModelError where a text may grow in the tokenizer beyond all use."""
    before = 1.0
    for name, part in parts:
        if name in ("normalizer", "decoder", "pre_tokenizer"):
            factor, added = _growth_in_cutting(part) if name == "pre_tokenizer" else _growth(part)
            if name != "decoder":  # What one has made grows in the other.
                before = factor = min(factor * before, 1e12)
            if factor > MOST_GROWTH or added > LONGEST_ADDED:
                raise ModelError(
                    f"the tokenizer's {name} may make {min(factor * max(added, 1), 10**9):,.0f} characters of one, and "
                    f"{MOST_GROWTH} are allowed, {LONGEST_ADDED} in front of a text"
                )
        if name == "post_processor":
            texts, special = _around(part)
            if texts > MOST_GROWTH or special > LONGEST_ADDED:
                raise ModelError(
                    f"the tokenizer's template writes {special:,} special tokens around a text, and the text {texts:,} "
                    f"times; {LONGEST_ADDED} and {MOST_GROWTH} are allowed"
                )


def _growth(step: Any) -> tuple[float, float]:
    """How many characters come of one, and how many are added to a text, at most.

    What a step does is told by its keys: the library takes one without its type as well.
    """
    if not isinstance(step, dict):
        return 1.0, 0.0
    factor, added = 1.0, 0.0
    for inner in (*_list(step.get("normalizers")), *_list(step.get("decoders"))):
        grown, more = _growth(inner)
        factor, added = min(factor * grown, 1e12), min(added * grown + more, 1e12)
    if "content" in step:
        pattern, content = step.get("pattern"), len(_text(step["content"]))
        plain = pattern.get("String") if isinstance(pattern, dict) else None
        factor *= max(1.0, content / len(plain)) if isinstance(plain, str) and plain else 1.0 + content
    if "precompiled_charsmap" in step:
        factor *= _growth_of_map(_text(step["precompiled_charsmap"]))
    if step.get("type") == "ByteLevel" or "handle_chinese_chars" in step:
        factor *= 4.0
    added += max(len(_text(step.get(name))) for name in ("prepend", "prefix", "suffix"))
    return factor, added


def _growth_in_cutting(step: Any) -> tuple[float, float]:
    """The same of a pre-tokenizer, in which a piece may be one character: bytes are spelled, and marks put in front."""
    spelled = marked = 0
    for inner in _steps(step):
        spelled += inner.get("type") == "ByteLevel" or "trim_offsets" in inner
        marked += "replacement" in inner or "add_prefix_space" in inner
    return min(4.0 ** min(spelled, 20) * (1 + marked), 1e12), 0.0


def _steps(value: Any) -> Iterator[dict[str, Any]]:
    """All steps of a part, however deep they are in others."""
    if isinstance(value, dict):
        yield value
        for name in ("normalizers", "pretokenizers", "processors", "decoders"):
            for inner in _list(value.get(name)):
                yield from _steps(inner)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _growth_of_map(written: str) -> float:
    try:
        blob = base64.b64decode(written)
    except ValueError:
        return 1.0  # The library refuses it.
    longest = longest_replacement(blob)
    return 1.0 if longest <= LONGEST_REPLACEMENT else float(longest)


def longest_replacement(blob: bytes) -> int:
    """The bytes of the longest replacement in SentencePiece's map of characters."""
    size = int.from_bytes(blob[:4], "little")
    return max(map(len, blob[4 + size :].split(b"\0")), default=0)


def _around(processor: Any) -> tuple[int, int]:
    """How often post-processing writes the text, and how many special tokens beside it, at most."""
    if not isinstance(processor, dict):
        return 1, 0
    texts, special = 1, 0
    for inner in _list(processor.get("processors")):
        more, around = _around(inner)
        texts, special = min(texts * more, 10**12), min(special * more + around, 10**12)
    known = processor.get("special_tokens")
    for template in ("single", "pair"):
        pieces = [piece for piece in _list(processor.get(template)) if isinstance(piece, dict)]
        for piece in pieces:
            token = piece.get("SpecialToken")
            entry = known.get(token.get("id")) if isinstance(known, dict) and isinstance(token, dict) else None
            special += len(entry["ids"]) if isinstance(entry, dict) and isinstance(entry.get("ids"), list) else 1
        texts = max(texts, sum("Sequence" in piece for piece in pieces))
    return texts, special


def may_take_long(parts: list[tuple[str, Any]]) -> bool:
    """Whether there are very many steps, or a pattern is none of those that are known to be quick on every text."""
    if sum(1 for _, part in parts for _ in _steps(part)) > MOST_STEPS:
        return True
    return any(not is_quick(pattern) for _, part in parts for pattern in _patterns(part))


def is_slow_model(model: Any, text: str) -> bool:
    """Whether the model of the tokenizer.json `text` lets a word take time out of proportion: a WordPiece tries all
    parts of it, a unigram model all pieces at each place, and a mark inside of words is written in front of each
    character."""
    if type(model).__name__ == "Unigram" and max(map(len, text.split('"'))) > LONGEST_PIECE:
        return True
    marks = [getattr(model, name, None) or "" for name in ("continuing_subword_prefix", "end_of_word_suffix")]
    return getattr(model, "max_input_chars_per_word", 0) > LONGEST_ADDED or max(map(len, marks)) > LONGEST_ADDED


def is_quick(pattern: str) -> bool:
    """Whether a pattern is one kind of character, or one that many models use.

    >>> is_quick(r"\\s+"), is_quick("(a+)+$")
    (True, False)
    """
    return _QUICK.fullmatch(pattern) is not None or pattern in _used_by_models()


@cache
def _used_by_models() -> frozenset[str]:
    from llminspect.text.pretokenize import PRE_TOKENIZERS

    return frozenset(pattern for patterns in PRE_TOKENIZERS.values() for pattern in patterns) | _OTHERS


_OTHERS = frozenset((r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+",))
"""CLIP's, of which there is no GGUF."""


def _patterns(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("Regex"), str):
            yield value["Regex"]
        value = list(value.values())
    if isinstance(value, list):
        for entry in value:
            yield from _patterns(entry)
