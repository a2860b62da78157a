"""PLaMo 2's tokenizer: of all ways to cut a text the one with the best sum of scores; "plamo2" in a GGUF.

Unlike SentencePiece's unigram model it goes from the end to the start, a text is one word, spaces are spaces, scores
are whole ten-thousandths, and of ways that are equally good the one with the longest token first is taken.
Source: PLaMo 2, `tokenization_plamo.py`, as llama.cpp has it (`llm_tokenizer_plamo2`). There a mark U+FEFF in front of
a text is dropped and control tokens are found in a text as well; here, as in PLaMo's, the mark stays, and a text that
spells one stays a text.
"""

from __future__ import annotations

from math import copysign, floor, inf
from typing import TYPE_CHECKING

from llminspect.errors import ModelError
from llminspect.text.sentencepiece import byte_ids
from llminspect.text.tokenizer import Tokenizer, utf8
from llminspect.text.unigram import lengths_by_start

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

SCALE, UNKNOWN, NEVER = 1e4, -10_000_000, -20_000_000
"""What scores are multiplied by; the score of a character that is spelled in bytes; at which a token is not taken."""


class Plamo(Tokenizer):
    """`bytes_of` are the ids of tokens that stand for one byte each. ModelError: not each of the 256 has one."""

    kind = "Unigram"

    def __init__(
        self,
        name: str,
        tokens: Sequence[str],
        scores: Sequence[float],
        special: Mapping[str, int],
        bytes_of: Iterable[int],
    ) -> None:
        self.name, self.special_tokens, self.vocabulary_size = name, special, len(tokens)
        self._tokens, self._bytes = tokens, byte_ids(tokens, bytes_of)
        if len(self._bytes) != 256:
            raise ModelError(f"of the 256 single bytes {256 - len(self._bytes)} have no token")
        self._values = {token_id: bytes([value]) for value, token_id in self._bytes.items()}
        none = {*special.values(), *self._values}
        whole = {i: floor(abs(score) * SCALE + 0.5) * int(copysign(1, score)) for i, score in enumerate(scores)}
        self.ids = {token: i for i, token in enumerate(tokens) if token and i not in none and whole[i] > NEVER}
        self.scores = {token: whole[i] for token, i in self.ids.items()}
        self._lengths = lengths_by_start(self.ids)

    def token_bytes(self, token_id: int) -> bytes:
        if not 0 <= token_id < self.vocabulary_size:
            raise self.outside(token_id)
        return self._values.get(token_id) or utf8(self._tokens[token_id])

    def ids_plain(self, text: str) -> list[int]:
        best: list[float] = [0] * (len(text) + 1)
        ends = [0] * len(text)
        for start in range(len(text) - 1, -1, -1):
            most: float = -inf
            for length in reversed(self._lengths.get(text[start], ())):
                end = start + length
                score = self.scores.get(text[start:end]) if end <= len(text) else None
                if score is not None and best[end] + score > most:
                    most, ends[start] = best[end] + score, end
            if best[start + 1] + UNKNOWN > most:
                most, ends[start] = best[start + 1] + UNKNOWN, 0  # In bytes.
            best[start] = most
        ids: list[int] = []
        start = 0
        while start < len(text):
            if ends[start]:
                ids.append(self.ids[text[start : ends[start]]])
                start = ends[start]
            else:
                ids += map(self._bytes.__getitem__, utf8(text[start]))
                start += 1
        return ids
