"""Byte-pair encoding with another alphabet between `<dna>` and `</dna>`: six bases a token, "hybriddna" in a GGUF.

Source: llama.cpp, `llama-vocab.cpp`, `llm_tokenizer_hybriddna_session`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from llminspect.text.tokenizer import Token, Tokenizer, utf8

if TYPE_CHECKING:
    from llminspect.text.bpe import ByteLevelBPE

BEGIN, END, UNKNOWN = "<dna>", "</dna>", "<oov>"
BASES = 6
"""Bases a token; the last one of a sequence is filled up with A."""
MARK = "\ue000"
"""Stands in the file after each token of bases, which may be a token of text too."""


class HybridDNA(Tokenizer):
    """`text` is the tokenizer outside of DNA. Lower case counts as upper; what is no base is `<oov>`."""

    kind = "byte-level BPE, and DNA by six bases"
    lossless = False
    loss = "the case of DNA letters, and letters that are not a base; the last token may be filled up with A"

    def __init__(self, text: ByteLevelBPE) -> None:
        self._text = text
        self.name, self.vocabulary_size = text.name, text.vocabulary_size
        self.special_tokens, self.always_tokens = text.special_tokens, text.always_tokens
        self.missing_bytes = text.missing_bytes
        self.bases = {token[:-1].encode(): i for token, i in text.ids.items() if token.endswith(MARK)}
        self._spellings = {i: bases for bases, i in self.bases.items()}
        for tag in (BEGIN, END, UNKNOWN):
            if tag in text.ids:
                self._spellings[text.ids[tag]] = tag.encode()
        self._tags = text.ids if all(tag in text.ids for tag in (BEGIN, END, UNKNOWN)) else None

    def token_bytes(self, token_id: int) -> bytes:
        found = self._spellings.get(token_id)
        return self._text.token_bytes(token_id) if found is None else found

    def encode_plain(self, text: str, at: int) -> list[Token]:
        return list(self._cut(text, at))

    def _cut(self, text: str, at: int) -> Iterator[Token]:
        while text:
            before, tag, text = text.partition(BEGIN) if self._tags is not None else (text, "", "")
            yield from self._text.encode_plain(before, at)
            at += len(utf8(before))
            if not tag or self._tags is None:
                return
            yield Token(self._tags[BEGIN], BEGIN.encode(), at, at + len(BEGIN))
            at += len(BEGIN)
            sequence, tag, text = text.partition(END)
            data = utf8(sequence)
            for i in range(0, len(data), BASES):
                piece = data[i : i + BASES]
                found = self.bases.get(piece.upper().ljust(BASES, b"A"), self._tags[UNKNOWN])
                yield Token(found, self.token_bytes(found), at + i, at + i + len(piece))
            at += len(data)
            if tag:
                yield Token(self._tags[END], END.encode(), at, at + len(END))
                at += len(END)
