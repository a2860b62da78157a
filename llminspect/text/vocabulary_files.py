"""Tokenizers of models that come with a vocabulary alone, and how a model's small files are read.

GPT-2 and RoBERTa came as `vocab.json` with `merges.txt`, BERT as `vocab.txt`, before there was a `tokenizer.json`.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from llminspect.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import tokenizers

    from llminspect.text.tokenizer import Tokenizer


Built = TypeVar("Built")


def from_vocabulary_and_merges(files: Mapping[str, bytes], settings: Mapping[str, Any]) -> tokenizers.Tokenizer:
    """GPT-2's files. RoBERTa's are the same with <s> before a text and </s> after it."""
    from tokenizers import AddedToken, decoders, models, pre_tokenizers, processors
    from tokenizers import Tokenizer as Library

    vocabulary = json_object(files, "vocab.json")
    lines = files["merges.txt"].decode("utf-8", "replace").split("\n")
    pairs = [line.rstrip("\r").split(" ") for line in lines if not line.startswith("#version")]
    merges = [(pair[0], pair[1]) for pair in pairs if len(pair) == 2]
    library = loaded(lambda: Library(models.BPE(vocabulary, merges)))
    spaced = bool(settings.get("add_prefix_space", False))
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=spaced)
    library.decoder = decoders.ByteLevel()
    named = [spelling_of(value) for key, value in settings.items() if key.endswith("_token")]
    special = [token for token in dict.fromkeys([*named, *_SPECIAL]) if token in vocabulary]
    library.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    if "<s>" in vocabulary and "</s>" in vocabulary:
        library.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", special_tokens=[(token, vocabulary[token]) for token in ("<s>", "</s>")]
        )
    return library


_SPECIAL = ("<|endoftext|>", "<s>", "<pad>", "</s>", "<unk>", "<mask>")


def from_vocabulary(name: str, data: bytes, settings: Mapping[str, Any]) -> Tokenizer:
    """BERT's file: a piece a line, ## in front of those inside a word."""
    from llminspect.text.wordpiece import WordPiece

    tokens = data.decode("utf-8", "replace").removesuffix("\n").split("\n")
    ids = {token.rstrip("\r"): i for i, token in enumerate(tokens)}
    special: dict[str, int] = {
        token: ids[token] for token in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]") if token in ids
    }
    first = {token: i for token, i in ids.items() if not token.startswith("##") and token not in special}
    inside = {token[2:]: i for token, i in ids.items() if token.startswith("##")}
    cased = any("A" <= character <= "Z" for token in first if token[:1] != "[" for character in token)
    lowercase = bool(settings.get("do_lower_case", not cased))
    tokenizer = WordPiece(name, first, inside, special, len(tokens), special.get("[UNK]"), lowercase)
    tokenizer.prefix_ids = (special["[CLS]"],) if "[CLS]" in special else ()
    tokenizer.suffix_ids = (special["[SEP]"],) if "[SEP]" in special else ()
    return tokenizer


def spelling_of(token: object) -> str | None:
    """A special token is written as its spelling, or as an object that holds it."""
    if isinstance(token, dict):
        token = token.get("content")
    return token if isinstance(token, str) else None


def json_object(files: Mapping[str, bytes], name: str) -> dict[str, Any]:
    if name not in files:
        return {}
    try:
        value = json.loads(files[name])
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{name} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ModelError(f"{name} is not a JSON object")
    return value


def loaded(build: Callable[[], Built]) -> Built:
    """What `build` makes of a tokenizer's files. Raises ModelError, in one line and nothing else on standard error."""
    with _without_panics():
        return in_one_line(build, "the tokenizer cannot be read")


def in_one_line(work: Callable[[], Built], what: str) -> Built:
    """What `work` gets from the library. Raises ModelError, which begins with `what`, for whatever it ends in."""
    try:
        return work()
    except Exception as error:
        raise ModelError(f"{what}: {briefly(error)}") from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # How the library's Rust code ends; it cannot be imported.
            raise
        raise ModelError(f"{what}: its parts do not fit together") from None


@contextmanager
def _without_panics() -> Iterator[None]:
    """Rust writes to the process's standard error, past Python's, before a panic becomes an exception."""
    try:
        kept = os.dup(2)
    except OSError:  # It is closed.
        yield
        return
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(null)


def briefly(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else text[:300] + "…"
