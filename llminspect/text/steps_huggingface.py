"""The steps of a tokenizer.json: its own normaliser and pre-tokenizer, and its model's tables in our algorithms."""

from __future__ import annotations

import json
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from llminspect.text.sentencepiece import PieceTokenizer, SentencePieceBPE, byte_ids, escape_spaces
from llminspect.text.special import readable
from llminspect.text.steps import WordSteps, byte_level_steps, sentencepiece_steps, shown, wordpiece_steps
from llminspect.text.tokenizer import utf8
from llminspect.text.unigram import Unigram
from llminspect.text.wordpiece import WordPiece

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from llminspect.text.huggingface import HuggingFaceTokenizer


def words_of_library(
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
def _maker(tokenizer: HuggingFaceTokenizer) -> Callable[[str, int, int], WordSteps]:
    model: dict[str, Any] = json.loads(tokenizer.library.to_str())["model"]
    kind = model.get("type")
    if kind == "WordPiece":
        return partial(wordpiece_steps, _wordpiece(tokenizer, model))
    if kind == "Unigram":
        return partial(sentencepiece_steps, _unigram(tokenizer, model))
    if kind == "BPE":
        pairs = [tuple(merge.split(" ", 1)) if isinstance(merge, str) else merge for merge in model["merges"]]
        if tokenizer.kind == "byte-level BPE":
            special = tokenizer.special_tokens
            ranks = {f"{left} {right}": rank for rank, (left, right) in enumerate(pairs) if left + right not in special}
            return partial(_byte_level, tokenizer, model, ranks)
        if not model.get("end_of_word_suffix") and not model.get("continuing_subword_prefix"):
            return partial(sentencepiece_steps, _sentencepiece(tokenizer, model, pairs))
    return partial(_without_steps, tokenizer)


def _byte_level(
    tokenizer: HuggingFaceTokenizer, model: dict[str, Any], ranks: dict[str, int], word: str, start: int, end: int
) -> WordSteps:
    from dataclasses import replace

    from llminspect.text.bpe import unspell

    data = unspell(word)
    ids = tokenizer.word_ids(word)
    piece = data.decode("utf-8", "surrogateescape")
    steps = byte_level_steps(tokenizer, piece, start, ids, ranks, bool(model.get("ignore_merges")))
    return replace(steps, end=end)


def _without_steps(tokenizer: HuggingFaceTokenizer, word: str, start: int, end: int) -> WordSteps:
    ids = tokenizer.word_ids(word)
    return WordSteps(word, start, end, [shown(tokenizer.token_bytes(token_id)) for token_id in ids], ids)


def _in_order(vocabulary: dict[str, int]) -> list[str]:
    tokens = [""] * (max(vocabulary.values(), default=-1) + 1)
    for token, i in vocabulary.items():
        tokens[i] = token
    return tokens


def _wordpiece(tokenizer: HuggingFaceTokenizer, model: dict[str, Any]) -> WordPiece:
    prefix = model.get("continuing_subword_prefix") or "##"
    vocabulary: dict[str, int] = model["vocab"]
    unknown = vocabulary.get(model.get("unk_token", "[UNK]"))
    vocabulary = {token: i for token, i in vocabulary.items() if token not in tokenizer.special_tokens}
    first = {token: i for token, i in vocabulary.items() if not token.startswith(prefix)}
    inside = {token.removeprefix(prefix): i for token, i in vocabulary.items() if token.startswith(prefix)}
    return WordPiece(tokenizer.name, first, inside, tokenizer.special_tokens, tokenizer.vocabulary_size, unknown)


def _unigram(tokenizer: HuggingFaceTokenizer, model: dict[str, Any]) -> Unigram:
    tokens = [token for token, _ in model["vocab"]]
    fallback = byte_ids(tokens, range(len(tokens))) if model.get("byte_fallback") else {}
    scores = [score for _, score in model["vocab"]]
    unknown = model.get("unk_id")
    special = {**tokenizer.special_tokens, **({} if unknown is None else {tokens[unknown]: unknown})}
    return Unigram(tokenizer.name, tokens, scores, special, {}, fallback, unknown)


def _sentencepiece(tokenizer: HuggingFaceTokenizer, model: dict[str, Any], pairs: list[Any]) -> SentencePieceBPE:
    tokens = _in_order(model["vocab"])
    fallback = byte_ids(tokens, range(len(tokens))) if model.get("byte_fallback") else {}
    made = {left + right: rank for rank, (left, right) in reversed(list(enumerate(pairs)))}
    scores = [-float(made.get(token, len(pairs))) for token in tokens]
    unknown = model["vocab"].get(model.get("unk_token"))
    special = {**tokenizer.special_tokens, **({} if unknown is None else {tokens[unknown]: unknown})}
    return SentencePieceBPE(tokenizer.name, tokens, scores, special, {}, fallback, unknown)
