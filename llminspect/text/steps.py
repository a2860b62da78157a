"""How the tokens of a text came to be, as data: what was normalised, where it was cut, what happened in each word."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from llminspect.text.bpe import ByteLevelBPE, Merge, merge_pairs, merge_word, spell, unspell
from llminspect.text.tokenizer import Tokenizer, utf8

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import AnyStr

    from llminspect.text.sentencepiece import PieceTokenizer
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


def words_of(tokenizer: Tokenizer, text: str, at: int) -> tuple[str | None, list[Callable[[], WordSteps]]]:
    """The text as the vocabulary spells it, and for each word what makes its steps."""
    from llminspect.text.sentencepiece import PieceTokenizer
    from llminspect.text.tiktoken_encodings import TiktokenTokenizer
    from llminspect.text.wordpiece import WordPiece

    if isinstance(tokenizer, ByteLevelBPE | TiktokenTokenizer):
        steps = _byte_level if isinstance(tokenizer, ByteLevelBPE) else _tiktoken
        return None, [partial(steps, tokenizer, *piece) for piece in _placed(tokenizer.pieces(text), at)]  # type: ignore[arg-type]
    if isinstance(tokenizer, PieceTokenizer):
        normalised = tokenizer.normalise(text, at)
        return normalised.text, list(_sentencepiecewords_of(tokenizer, normalised.text, normalised.spans))
    if isinstance(tokenizer, WordPiece):
        words = list(tokenizer.words(text, at))
        normal = " ".join(word.text for word in words)
        return normal, [
            partial(wordpiece_steps, tokenizer, word.text, word.spans[0][0], word.spans[-1][1]) for word in words
        ]
    tokens = tokenizer.encode_plain(text, at)
    return None, [partial(WordSteps, t.text, t.start or 0, t.end or 0, [t.text], [t.id]) for t in tokens]


def _placed(pieces: Sequence[str], at: int) -> Iterator[tuple[str, int]]:
    for piece in pieces:
        yield piece, at
        at += len(utf8(piece))


def shown(data: bytes) -> str:
    """Bytes as text where they are whole characters, else each byte as <F0>."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "".join(f"<{byte:02X}>" for byte in data)


def merge_steps(
    symbols: list[AnyStr],
    ranks: Mapping[AnyStr, int],
    joiner: AnyStr,
    show: Callable[[AnyStr], str],
    score: Callable[[AnyStr], float] | None = None,
) -> tuple[list[MergeStep], list[AnyStr]]:
    """Every merge of a word, and the parts at the end."""
    trace: list[Merge[AnyStr]] = []
    final = merge_pairs(symbols, ranks, joiner, trace)
    parts = dict(enumerate(symbols))
    places = list(parts)
    steps = []
    for merge in trace:
        right = places[places.index(merge.position) + 1]
        places.remove(right)
        parts[merge.position] += parts.pop(right)
        its_score = score(parts[merge.position]) if score else None
        after = [show(parts[place]) for place in places]
        steps.append(MergeStep(show(merge.left), show(merge.right), merge.rank, its_score, after))
    return steps, final


def _byte_level(tokenizer: ByteLevelBPE, piece: str, at: int) -> WordSteps:
    return byte_level_steps(tokenizer, piece, at, tokenizer.ids_plain(piece), tokenizer.ranks, tokenizer.ignore_merges)


def byte_level_steps(
    tokenizer: Tokenizer, piece: str, at: int, ids: list[int], ranks: Mapping[str, int], whole_first: bool
) -> WordSteps:
    """`ranks` by `left + " " + right` in the byte alphabet. A word taken whole (`whole_first`) needs no merges."""

    def show(part: str) -> str:
        return shown(unspell(part))

    data = utf8(piece)
    end, tokens = at + len(data), [shown(tokenizer.token_bytes(token_id)) for token_id in ids]
    symbols = list(spell(data))
    if len(symbols) > LONGEST_WORD:
        return WordSteps(piece, at, end, tokens, ids, left_out=len(symbols) - len(ids))
    merges = [] if whole_first and len(ids) == 1 else merge_steps(symbols, ranks, " ", show)[0]
    return WordSteps(piece, at, end, tokens, ids, symbols=[show(symbol) for symbol in symbols], merges=merges)


def _tiktoken(tokenizer: Tokenizer, piece: str, at: int) -> WordSteps:
    ranks: Mapping[bytes, int] = tokenizer.ranks  # type: ignore[attr-defined]
    data = utf8(piece)
    ids = [ranks[token] for token in merge_word(data, ranks, b"")] if data not in ranks else [ranks[data]]
    end, tokens = at + len(data), [shown(tokenizer.token_bytes(token_id)) for token_id in ids]
    if len(data) > LONGEST_WORD:
        return WordSteps(piece, at, end, tokens, ids, left_out=len(data) - len(ids))
    symbols = [data[i : i + 1] for i in range(len(data))]
    merges, _ = merge_steps(symbols, ranks, b"", shown)
    return WordSteps(piece, at, end, tokens, ids, symbols=[shown(symbol) for symbol in symbols], merges=merges)


def _sentencepiecewords_of(
    tokenizer: PieceTokenizer, text: str, spans: list[tuple[int, int]]
) -> Iterator[Callable[[], WordSteps]]:
    place = 0
    for word in tokenizer.words(text):
        start, end = spans[place][0], spans[place + len(word) - 1][1]
        place += len(word)
        yield partial(sentencepiece_steps, tokenizer, word, start, end)


def sentencepiece_steps(tokenizer: PieceTokenizer, word: str, start: int, end: int) -> WordSteps:
    """The merges (BPE) or the best path (Unigram) of a word in which spaces are ▁."""
    from llminspect.text.sentencepiece import SentencePieceBPE
    from llminspect.text.unigram import Unigram

    ids = tokenizer.word_ids(word)
    tokens = [shown(tokenizer.token_bytes(token_id)) for token_id in ids]
    if len(word) > LONGEST_WORD:
        return WordSteps(word, start, end, tokens, ids, left_out=len(word) - len(ids))
    if isinstance(tokenizer, Unigram):
        path = [PathStep(step.text, step.score, step.total) for step in tokenizer.best_path(word)]
        return WordSteps(word, start, end, tokens, ids, path=path)
    assert isinstance(tokenizer, SentencePieceBPE)
    merges, _ = merge_steps(list(word), tokenizer.ranks, "", str, tokenizer.score)
    return WordSteps(word, start, end, tokens, ids, symbols=list(word), merges=merges)


def wordpiece_steps(tokenizer: WordPiece, word: str, start: int, end: int) -> WordSteps:
    """For each piece what was tried before it, longest first; only what begins like some piece is worth naming."""
    pieces = tokenizer.pieces(word)
    ids = [tokenizer.unknown_id] if pieces is None else [token_id for token_id, _ in pieces]
    tokens = [shown(tokenizer.token_bytes(token_id)) for token_id in ids]
    return WordSteps(word, start, end, tokens, ids, matches=list(_matches(tokenizer, word)))


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
