"""How the tokens of a text came to be, as data; and what happened in one word, by each algorithm."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, AnyStr

from llminspect.text.bpe import Merge, merge_pairs, spell, unspell
from llminspect.text.tokenizer import Tokenizer, utf8

if TYPE_CHECKING:
    from llminspect.text.sentencepiece import PieceTokenizer
    from llminspect.text.tiktoken_encodings import TiktokenTokenizer
    from llminspect.text.wordpiece import WordPiece

LONGEST_WORD = 2000
"""Symbols of a word beyond which its steps are only counted."""


@dataclass(frozen=True, slots=True)
class MergeStep:
    """A merge: the pair, its rank (or the score of what it makes), and the word after it."""

    left: str
    right: str
    rank: int
    score: float | None
    parts: list[str]


@dataclass(frozen=True, slots=True)
class MatchStep:
    """WordPiece: what was tried, longest first, and the piece that was found (None: the word is unknown)."""

    tried: list[str]
    found: str | None


@dataclass(frozen=True, slots=True)
class PathStep:
    """Unigram: a token of the best path, its score (log probability) and the sum up to here."""

    text: str
    score: float
    total: float


@dataclass(frozen=True, slots=True)
class WordSteps:
    """What happened in one word. Only the steps of its algorithm are there.

    `start` and `end` are bytes of the input; `symbols` is what merging starts from; `left_out` counts the steps that
    are not shown. A special token is a word without steps.
    """

    text: str
    start: int
    end: int
    tokens: list[str]
    ids: list[int]
    special: bool = False
    symbols: list[str] = field(default_factory=list)
    merges: list[MergeStep] = field(default_factory=list)
    matches: list[MatchStep] = field(default_factory=list)
    path: list[PathStep] = field(default_factory=list)
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Steps:
    """`normalised` is the text as the vocabulary spells it, None where it is taken as it is."""

    algorithm: str
    normalised: str | None
    words: list[WordSteps]
    words_left_out: int


def shown(data: bytes) -> str:
    """Bytes as text where they are whole characters, else each byte as <F0>."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "".join(f"<{byte:02X}>" for byte in data)


def word_steps(tokenizer: Tokenizer, text: str, start: int, end: int, ids: list[int], **steps: Any) -> WordSteps:
    """A word with its tokens, and what else is known of how they came to be."""
    return WordSteps(text, start, end, [shown(tokenizer.token_bytes(token_id)) for token_id in ids], ids, **steps)


def _merged(
    word: WordSteps,
    symbols: list[AnyStr],
    ranks: Mapping[AnyStr, int],
    joiner: AnyStr,
    show: Callable[[AnyStr], str],
    score: Callable[[AnyStr], float] | None = None,
) -> WordSteps:
    """The word with every merge that its symbols went through."""
    if len(symbols) > LONGEST_WORD:
        return replace(word, left_out=len(symbols) - len(word.ids))
    trace: list[Merge[AnyStr]] = []
    merge_pairs(symbols, ranks, joiner, trace)
    parts = dict(enumerate(symbols))
    places = list(parts)
    merges = []
    for merge in trace:
        right = places[places.index(merge.position) + 1]
        places.remove(right)
        parts[merge.position] += parts.pop(right)
        its_score = score(parts[merge.position]) if score else None
        after = [show(parts[place]) for place in places]
        merges.append(MergeStep(show(merge.left), show(merge.right), merge.rank, its_score, after))
    return replace(word, symbols=[show(symbol) for symbol in symbols], merges=merges)


def byte_level_steps(
    tokenizer: Tokenizer, piece: str, start: int, end: int, ids: list[int], ranks: Mapping[str, int], whole_first: bool
) -> WordSteps:
    """`ranks` by `left + " " + right` in the byte alphabet. A word taken whole (`whole_first`) needs no merges."""
    taken_whole = whole_first and len(ids) == 1
    word = word_steps(tokenizer, piece, start, end, ids)
    return _merged(word, list(spell(utf8(piece))), {} if taken_whole else ranks, " ", lambda part: shown(unspell(part)))


def tiktoken_steps(tokenizer: TiktokenTokenizer, piece: str, start: int, end: int) -> WordSteps:
    """The merges of bytes by the ranks of what they make."""
    symbols = [bytes([byte]) for byte in utf8(piece)]
    word = word_steps(tokenizer, piece, start, end, tokenizer.word_ids(piece))
    return _merged(word, symbols, tokenizer.ranks, b"", shown)


def sentencepiece_steps(tokenizer: PieceTokenizer, text: str, start: int, end: int) -> WordSteps:
    """The merges (BPE) or the best path (Unigram) of a word in which spaces are ▁."""
    from llminspect.text.character_bpe import CharacterBPE
    from llminspect.text.sentencepiece import SentencePieceBPE
    from llminspect.text.unigram import Unigram

    word = word_steps(tokenizer, text, start, end, tokenizer.word_ids(text))
    if text in tokenizer.symbols:
        return replace(word, special=True)
    if isinstance(tokenizer, Unigram) and len(text) <= LONGEST_WORD:
        return replace(word, path=[PathStep(*step) for step in tokenizer.best_path(text)])
    if isinstance(tokenizer, CharacterBPE):
        whole = tokenizer.segment(text) == [text] and not text.strip("\n")
        return _merged(word, list(text), {} if whole else tokenizer.pair_ranks, " ", str)
    ranks = tokenizer.ranks if isinstance(tokenizer, SentencePieceBPE) else {}
    return _merged(word, list(text), ranks, "", str, tokenizer.scores.__getitem__)


def wordpiece_steps(tokenizer: WordPiece, word: str, start: int, end: int) -> WordSteps:
    """For each piece what was tried before it, longest first; only what begins like some piece is worth naming."""
    pieces = tokenizer.pieces(word)
    ids = [tokenizer.unknown_id] if pieces is None else [token_id for token_id, _ in pieces]
    return word_steps(tokenizer, word, start, end, ids, matches=list(_matches(tokenizer, word)))


def _matches(tokenizer: WordPiece, word: str) -> Iterator[MatchStep]:
    from llminspect.text.wordpiece import LONGEST_WORD as LONGEST

    place = 0
    while place < len(word) <= LONGEST:
        vocabulary = tokenizer.inside if place else tokenizer.first
        tried: list[str] = []
        for end in range(len(word), place, -1):
            tried.append(("##" if place else "") + word[place:end])
            if word[place:end] in vocabulary:
                yield MatchStep(tried, tried[-1])
                place = end
                break
        else:
            yield MatchStep(tried, None)
            return
