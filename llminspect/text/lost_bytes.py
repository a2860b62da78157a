"""What is said of a text some of whose bytes do not reach the model: they are not UTF-8, or no token holds them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

from llminspect.errors import UserError
from llminspect.text.tokenizer import Tokenizer, canonical

SHOWN = 8
"""Bytes that are named."""


def stray_bytes(text: str) -> bytes:
    """The bytes of a text that are not UTF-8, in order.

    >>> stray_bytes(b"caf\\xe9".decode("utf-8", "surrogateescape"))
    b'\\xe9'
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        escaped = (character for character in canonical(text) if "\udc80" <= character <= "\udcff")
        return "".join(escaped).encode("utf-8", "surrogateescape")
    return b""


class ByteTally:
    """Counts those bytes of a text that comes in parts. `missing` are the bytes for which there is no token."""

    def __init__(self, missing: bytes = b"") -> None:
        self._missing = missing
        self.stray, self.lacking = Counter[int](), Counter[int]()

    def add(self, text: str) -> None:
        stray = stray_bytes(text)
        self.stray.update(stray)
        if self._missing:
            data = text.encode("utf-8", "ignore")  # Without those that are no characters.
            self.lacking.update({byte: n for byte in self._missing if (n := data.count(byte))})

    def add_all(self, other: ByteTally) -> None:
        """Those of another one as well."""
        self.stray.update(other.stray)
        self.lacking.update(other.lacking)

    def remarks(self, tokenizer: Tokenizer) -> list[str]:
        """What is to be noted of the text for this tokenizer."""
        found = []
        if self.stray:
            it, is_ = ("it", "is") if self.stray.total() == 1 else ("them", "are")
            kept = all(_keeps(tokenizer, byte) for byte in self.stray)
            outcome = f"keeps {it}" if kept else f"does not keep {it}, so the model does not see {it}"
            found.append(f"{_several(self.stray)} of the text {is_} not UTF-8; the tokenizer {outcome}")
        if self.lacking:
            it = "it" if self.lacking.total() == 1 else "them"
            no_token = f"the vocabulary has no token for {_several(self.lacking)} of the text"
            found.append(f"{no_token}, so the model does not see {it}")
        return found


def lost_bytes(tokenizer: Tokenizer, texts: Collection[str]) -> list[str]:
    """What is to be noted of a text, or of several that the model reads together.

    >>> from llminspect.text.standalone import ByteTokenizer
    >>> lost_bytes(ByteTokenizer(), ["caf\\udce9"])
    ['1 byte (e9) of the text is not UTF-8; the tokenizer keeps it']
    """
    if all(text.isascii() and not any(chr(byte) in text for byte in tokenizer.missing_bytes) for text in texts):
        return []
    tally = ByteTally(tokenizer.missing_bytes)
    for text in texts:
        tally.add(text)
    return tally.remarks(tokenizer)


def _keeps(tokenizer: Tokenizer, byte: int) -> bool:
    """Whether a byte that is not UTF-8 comes back when its ids are decoded."""
    if tokenizer.learns:  # Its words are given ids as they come, and are kept as they came.
        return True
    data = bytes([byte])
    try:
        decoded = tokenizer.decode(tokenizer.encode_ids(data.decode("utf-8", "surrogateescape")))
    except UserError:
        return False
    return stray_bytes(decoded.decode("utf-8", "surrogateescape")) == data


def _several(counts: Mapping[int, int]) -> str:
    """`3 bytes (04, ff)`."""
    total = sum(counts.values())
    named = ", ".join(f"{byte:02x}" for byte in sorted(counts)[:SHOWN]) + ", …" * (len(counts) > SHOWN)
    return f"{total:,} byte{'s' * (total != 1)} ({named})"
