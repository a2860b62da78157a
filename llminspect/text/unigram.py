"""Tokenizers that take, of all ways to cut a text, the one with the best sum of scores: unigram models, and PLaMo 2's.

SentencePiece's, as a GGUF of kind "t5" holds it: Kudo, "Subword Regularization" (2018), section 3.2; Viterbi, "Error
Bounds for Convolutional Codes" (1967). PLaMo 2's ("plamo2" in a GGUF) goes from the end to the start, a text is one
word, spaces are spaces, scores are whole ten-thousandths, and of ways that are equally good the one with the longest
token first is taken: `tokenization_plamo.py`, as llama.cpp has it (`llm_tokenizer_plamo2`). There a mark U+FEFF in
front of a text is dropped and control tokens are found in a text as well; here, as in PLaMo's, the mark stays, and a
text that spells one stays a text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import copysign, floor, inf
from typing import TYPE_CHECKING

from llminspect.errors import ModelError
from llminspect.text.sentencepiece import Pieces, PieceTokenizer, byte_ids
from llminspect.text.tokenizer import Tokenizer, utf8
from llminspect.text.tokenizer_bounds import LONGEST_PIECE

if TYPE_CHECKING:
    from llminspect.text.character_map import CharacterMap

UNKNOWN_PENALTY = 10.0
"""How far an unknown character scores below the least probable token (sentencepiece `kUnkPenalty`)."""


def lengths_by_start(pieces: Iterable[str]) -> dict[str, list[int]]:
    """How many characters the pieces have that begin with each character, and 1, from few to many.

    Raises ModelError for a piece that is too long to be looked for at each place of a text.

    >>> lengths_by_start(["a", "the", "this", "then"])
    {'a': [1], 't': [1, 3, 4]}
    """
    found: dict[str, set[int]] = {}
    for piece in pieces:
        found.setdefault(piece[:1], {1}).add(len(piece))
    longest = max((max(lengths) for lengths in found.values()), default=0)
    if longest > LONGEST_PIECE:
        raise ModelError(
            f"the tokenizer cannot be read: a piece of it has {longest:,} characters",
            f"pieces of up to {LONGEST_PIECE:,} are read",
        )
    return {start: sorted(lengths) for start, lengths in found.items()}


class Unigram(PieceTokenizer):
    """The best path through all tokens that a word could be cut into."""

    kind = "Unigram"

    def __init__(
        self, name: str, pieces: Pieces, remove_extra_spaces: bool = True, characters: CharacterMap | None = None
    ) -> None:
        super().__init__(name, pieces, remove_extra_spaces, characters)
        self.unknown_score = min(self.scores.values(), default=0.0) - UNKNOWN_PENALTY
        self._lengths = lengths_by_start(self.ids)

    def segment(self, word: str) -> list[str]:
        return [text for text, _, _ in self.best_path(word)]

    def best_path(self, word: str) -> list[tuple[str, float, float]]:
        """The tokens of the best way: each with its score (log probability) and the sum up to it.

        Viterbi: the best way to each place extends the best way to an earlier one. O(n · lengths of tokens).
        """
        total = [0.0] + [float("-inf")] * len(word)
        came_from = [0] * (len(word) + 1)
        for start in range(len(word)):
            for length in self._lengths.get(word[start], (1,)):
                end = start + length
                if end > len(word):
                    break
                score = self.scores.get(word[start:end])
                if score is None:
                    if length > 1:
                        continue
                    score = self.unknown_score
                if total[start] + score > total[end]:
                    total[end], came_from[end] = total[start] + score, start
        steps: list[tuple[str, float, float]] = []
        end, after_unknown = len(word), False
        while end > 0:
            start = came_from[end]
            text, score, reached = word[start:end], total[end] - total[start], total[end]
            unknown = text not in self.scores and not self._byte_ids
            if unknown and after_unknown:
                # Unknown characters side by side are one unknown token.
                text, score, reached = text + steps[-1][0], score + steps[-1][1], steps.pop()[2]
            steps.append((text, score, reached))
            end, after_unknown = start, unknown
        return steps[::-1]


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
