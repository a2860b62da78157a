"""SentencePiece's unigram model, as a GGUF of kind "t5" holds it: of all ways to cut a word, the most probable.

Sources: Kudo, "Subword Regularization" (2018), section 3.2; Viterbi, "Error Bounds for Convolutional Codes" (1967).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llminspect.errors import ModelError
from llminspect.text.sentencepiece import PieceTokenizer
from llminspect.text.tokenizer_bounds import LONGEST_PIECE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from llminspect.text.character_map import CharacterMap
    from llminspect.text.sentencepiece import Pieces

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
