"""How the tokens of a text came to be: its special tokens, then the steps of each word.

Those of a tokenizer.json go by its own normaliser and pre-tokenizer, and its model's tables in our algorithms.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

from llminspect.text.bpe import ByteLevelBPE, unspell
from llminspect.text.huggingface import HuggingFaceTokenizer
from llminspect.text.sentencepiece import Pieces, PieceTokenizer, SentencePieceBPE, byte_ids, escape_spaces
from llminspect.text.special_tokens import Parse, split_at_specials
from llminspect.text.steps import (
    Steps,
    WordSteps,
    byte_level_steps,
    sentencepiece_steps,
    tiktoken_steps,
    word_steps,
    wordpiece_steps,
)
from llminspect.text.tiktoken_encodings import TiktokenTokenizer
from llminspect.text.tokenizer import Tokenizer, canonical, readable, utf8
from llminspect.text.tokenizer_bounds import written_out
from llminspect.text.unigram import Unigram
from llminspect.text.wordpiece import WordPiece

MakeWord = Callable[[str, int, int], WordSteps]
"""Makes the steps of a word from its text and its place in the bytes of the input."""


def tokenization_steps(
    tokenizer: Tokenizer, text: str, parse: Parse = "text", most_words: int = 40, most_steps: int = 60
) -> Steps:
    """The steps of each of the first `most_words` words, at most `most_steps` each, and how many were left out.

    Raises UsageError as `tokenizer.encode` does.
    """
    words: list[WordSteps] = []
    left_out = at = 0
    normalised: list[str] = []
    specials, always = tokenizer.special_tokens, tokenizer.always_tokens
    for part, token_id in split_at_specials(canonical(text), specials, parse, always, strips=tokenizer.strips):
        size = len(utf8(part))
        if token_id is None:
            if isinstance(tokenizer, HuggingFaceTokenizer):
                respelled, makers = _words_of_library(tokenizer, part, at)
            else:
                respelled, makers = _words(tokenizer, part, at)
            normalised.append(part if respelled is None else respelled)
        else:
            makers = [partial(WordSteps, part, at, at + size, [part], [token_id], special=True)]
            normalised.append(part)
        room = max(0, most_words - len(words))
        words += [_bounded(make(), most_steps) for make in makers[:room]]
        left_out += len(makers[room:])
        at += size
    joined = "".join(normalised)
    return Steps(tokenizer.kind, None if joined == canonical(text) else joined, words, left_out)


def _bounded(word: WordSteps, most: int) -> WordSteps:
    steps = max(len(word.merges), len(word.matches), len(word.path))
    if steps <= most:
        return word
    return replace(
        word,
        merges=word.merges[:most],
        matches=word.matches[:most],
        path=word.path[:most],
        left_out=word.left_out + steps - most,
    )


def _words(tokenizer: Tokenizer, text: str, at: int) -> tuple[str | None, list[Callable[[], WordSteps]]]:
    """The text as the vocabulary spells it, and for each word what makes its steps."""
    if isinstance(tokenizer, ByteLevelBPE):
        return None, [partial(_byte_level, tokenizer, *piece) for piece in _placed(tokenizer.pieces(text), at)]
    if isinstance(tokenizer, TiktokenTokenizer):
        return None, [partial(tiktoken_steps, tokenizer, *piece) for piece in _placed(tokenizer.pieces(text), at)]
    if isinstance(tokenizer, PieceTokenizer):
        normalised = tokenizer.normalise(text, at)
        words: list[Callable[[], WordSteps]] = []
        place = 0
        for word in tokenizer.words(normalised.text):
            start, end = normalised.spans[place][0], normalised.spans[place + len(word) - 1][1]
            words.append(partial(sentencepiece_steps, tokenizer, word, start, end))
            place += len(word)
        return normalised.text, words
    if isinstance(tokenizer, WordPiece):
        found = tokenizer.words(text, at)
        normal = " ".join(word.text for word in found)
        return normal, [
            partial(wordpiece_steps, tokenizer, word.text, word.spans[0][0], word.spans[-1][1]) for word in found
        ]
    tokens = tokenizer.encode_plain(text, at)
    return None, [partial(WordSteps, t.text, t.start or 0, t.end or 0, [t.text], [t.id]) for t in tokens]


def _placed(pieces: Sequence[str], at: int) -> Iterator[tuple[str, int, int]]:
    for piece in pieces:
        start, at = at, at + len(utf8(piece))
        yield piece, start, at


def _byte_level(tokenizer: ByteLevelBPE, piece: str, start: int, end: int) -> WordSteps:
    ids = tokenizer.word_ids(piece)
    return byte_level_steps(tokenizer, piece, start, end, ids, tokenizer.ranks, tokenizer.ignore_merges)


# -- A tokenizer.json --------------------------------------------------------------------------------------------------


def _words_of_library(
    tokenizer: HuggingFaceTokenizer, text: str, at: int
) -> tuple[str | None, list[Callable[[], WordSteps]]]:
    """The normalised text, and for each word what makes its steps."""
    library, plain = tokenizer.library, readable(text)
    normalised = library.normalizer.normalize_str(plain) if library.normalizer else plain
    make = _maker(tokenizer)
    if library.pre_tokenizer:
        pieces = library.pre_tokenizer.pre_tokenize_str(normalised)
    else:
        pieces = list(_in_words(make, normalised))
    spans = _spans(text, normalised, at)
    makers: list[Callable[[], WordSteps]] = []
    for word, (first, last) in pieces:
        start, end = (spans[first][0], spans[last - 1][1]) if spans and last > first else (at, at + len(utf8(text)))
        makers.append(partial(make, word, start, end))
    return None if normalised == plain else normalised, makers


def _spans(text: str, normalised: str, at: int) -> list[tuple[int, int]] | None:
    """The bytes of the input for each character of the normalised text, where the way back is known."""
    if normalised == readable(text):
        return escape_spaces(text, at, prefix=False).spans
    for prefix in (False, True):
        escaped = escape_spaces(text, at, prefix)
        if readable(escaped.text) == normalised:
            return escaped.spans
    return None


def _in_words(make: Callable[..., WordSteps], text: str) -> Iterator[tuple[str, tuple[int, int]]]:
    """Without a pre-tokenizer the text is one word, but where no token runs over a ▁ it can be read in words."""
    tokenizer = make.args[0] if isinstance(make, partial) else None
    end = 0
    for word in tokenizer.words(text) if isinstance(tokenizer, PieceTokenizer) else [text] * bool(text):
        start, end = end, end + len(word)
        yield word, (start, end)


@lru_cache(maxsize=4)
def _maker(tokenizer: HuggingFaceTokenizer) -> MakeWord:
    model: dict[str, Any] = json.loads(written_out(tokenizer.library))["model"]
    kind = model.get("type")
    if kind == "WordPiece":
        return partial(wordpiece_steps, _wordpiece(tokenizer, model))
    if kind == "Unigram":
        tokens, scores = ([entry[column] for entry in model["vocab"]] for column in (0, 1))
        unigram = Unigram(tokenizer.name, _pieces(tokenizer, model, tokens, scores, model.get("unk_id")))
        return partial(sentencepiece_steps, unigram)
    if kind == "BPE":
        pairs = [tuple(merge.split(" ", 1)) if isinstance(merge, str) else merge for merge in model["merges"]]
        if tokenizer.kind == "byte-level BPE":
            special = tokenizer.special_tokens
            ranks = {f"{left} {right}": rank for rank, (left, right) in enumerate(pairs) if left + right not in special}
            return partial(_byte_level_of_library, tokenizer, ranks, bool(model.get("ignore_merges")))
        if not model.get("end_of_word_suffix") and not model.get("continuing_subword_prefix"):
            return partial(sentencepiece_steps, _sentencepiece(tokenizer, model, pairs))
    return lambda word, start, end: word_steps(tokenizer, word, start, end, tokenizer.word_ids(word))


def _byte_level_of_library(
    tokenizer: HuggingFaceTokenizer, ranks: dict[str, int], whole_first: bool, word: str, start: int, end: int
) -> WordSteps:
    piece = unspell(word).decode("utf-8", "surrogateescape")
    return byte_level_steps(tokenizer, piece, start, end, tokenizer.word_ids(word), ranks, whole_first)


def _wordpiece(tokenizer: HuggingFaceTokenizer, model: dict[str, Any]) -> WordPiece:
    prefix = model.get("continuing_subword_prefix") or "##"
    vocabulary: dict[str, int] = model["vocab"]
    unknown = vocabulary.get(model.get("unk_token", "[UNK]"))
    vocabulary = {token: i for token, i in vocabulary.items() if token not in tokenizer.special_tokens}
    first = {token: i for token, i in vocabulary.items() if not token.startswith(prefix)}
    inside = {token.removeprefix(prefix): i for token, i in vocabulary.items() if token.startswith(prefix)}
    return WordPiece(tokenizer.name, first, inside, tokenizer.special_tokens, tokenizer.vocabulary_size, unknown)


def _sentencepiece(tokenizer: HuggingFaceTokenizer, model: dict[str, Any], pairs: list[Any]) -> SentencePieceBPE:
    vocabulary: dict[str, int] = model["vocab"]
    tokens = [""] * (max(vocabulary.values(), default=-1) + 1)
    for token, i in vocabulary.items():
        tokens[i] = token
    made = {left + right: rank for rank, (left, right) in reversed(list(enumerate(pairs)))}
    scores = [-float(made.get(token, len(pairs))) for token in tokens]
    unknown = model["vocab"].get(model.get("unk_token"))
    return SentencePieceBPE(tokenizer.name, _pieces(tokenizer, model, tokens, scores, unknown))


def _pieces(
    tokenizer: HuggingFaceTokenizer, model: dict[str, Any], tokens: list[str], scores: list[float], unknown: int | None
) -> Pieces:
    fallback = byte_ids(tokens, range(len(tokens))) if model.get("byte_fallback") else {}
    special = {**tokenizer.special_tokens, **({} if unknown is None else {tokens[unknown]: unknown})}
    return Pieces(tokens, scores, special, {}, fallback, unknown)
