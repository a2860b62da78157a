"""Byte-pair encoding that starts from characters, as a GGUF of kind "gemma4" or "whitespace" holds it.

The vocabulary is one of SentencePiece's form (spaces as ▁, bytes as `<0x0A>`), the merges are a list as in a tokenizer
of bytes. Source: llama.cpp, `llama-vocab.cpp`, `llm_tokenizer_bpe_session` where `byte_encode` is false and
`llm_tokenizer_whitespace_session`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from llminspect.text.bpe import merge_word
from llminspect.text.sentencepiece import Pieces, PieceTokenizer
from llminspect.text.tokenizer import Normalised, utf8


class CharacterBPE(PieceTokenizer):
    """Merges by rank, within a line. `whole_breaks`: a run of line breaks that is a token is taken whole."""

    kind = "BPE of characters"

    def __init__(self, name: str, pieces: Pieces, merges: Sequence[str], whole_breaks: bool = False) -> None:
        super().__init__(name, pieces)
        self.pair_ranks = dict(zip(merges, range(len(merges)), strict=True))
        self._whole_breaks = whole_breaks

    def words(self, text: str) -> list[str]:
        """Lines and runs of line breaks; lines in words where no token crosses them."""
        return [word for line in re.findall(r"[^\n]+|\n+", text) for word in super(CharacterBPE, self).words(line)]

    def segment(self, word: str) -> list[str]:
        if self._whole_breaks and word in self.ids and not word.strip("\n"):
            return [word]
        return merge_word(word, self.pair_ranks, " ")


class SpacedBPE(CharacterBPE):
    """White space separates words and is no token; a character without a token is dropped, as llama.cpp drops it."""

    def __init__(self, name: str, pieces: Pieces, merges: Sequence[str], lowercase: bool) -> None:
        super().__init__(name, pieces, merges)
        self._lowercase = lowercase
        self.loss = "case, " * lowercase + "white space, and characters that are not in the vocabulary"

    def normalise(self, text: str, at: int, begins: bool = True, ends: bool = True) -> Normalised:
        """Lower case where the file says so; white space stays, for `words` to cut at."""
        characters, spans = [], []
        for character in text:
            end = at + len(utf8(character))
            new = character.lower() if self._lowercase else character
            characters.append(new)
            spans += [(at, end)] * len(new)
            at = end
        return Normalised("".join(characters), spans)

    def words(self, text: str) -> list[str]:
        return re.findall(r"\s+|\S+", text)

    def _piece_ids(self, piece: str) -> list[int]:
        if piece in self.ids:
            return [] if piece.isspace() else [self.ids[piece]]
        return [self._byte_ids[value] for value in utf8(piece) if value in self._byte_ids and not piece.isspace()]
