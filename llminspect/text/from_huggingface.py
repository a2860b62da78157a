"""Tokenizers in the files that Hugging Face models come with: tokenizer.json, or only a vocabulary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llminspect.errors import ModelError
from llminspect.text.from_gguf import END_OF_TURN
from llminspect.text.huggingface import HuggingFaceTokenizer
from llminspect.text.vocabulary_files import (
    from_vocabulary,
    from_vocabulary_and_merges,
    json_object,
    loaded,
    spelling_of,
)

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    import tokenizers

    from llminspect.text.tokenizer import Tokenizer

READABLE = "tokenizer.json, vocab.json with merges.txt, or vocab.txt"
"""Where a tokenizer can be read from."""


def can_be_read(names: Container[str]) -> bool:
    """Whether the files of these names hold a tokenizer of a kind that is read."""
    return "tokenizer.json" in names or ("vocab.json" in names and "merges.txt" in names) or "vocab.txt" in names


def tokenizer_from_files(files: Mapping[str, bytes], name: str = "huggingface") -> Tokenizer:
    """Build the tokenizer from the contents of a model's files by name.

    Takes `tokenizer.json`, else `vocab.json` with `merges.txt` (GPT-2, RoBERTa), else `vocab.txt` (BERT); beside them
    `tokenizer_config.json`, `special_tokens_map.json`, `generation_config.json` and `chat_template.jinja` where there
    are such. Raises ModelError where there is no tokenizer among them, or one that cannot be read.
    """
    settings: dict[str, Any] = {}
    for file in ("generation_config.json", "special_tokens_map.json", "tokenizer_config.json"):
        settings |= {key: value for key, value in json_object(files, file).items() if value is not None}
    if "tokenizer.json" in files:
        tokenizer: Tokenizer = HuggingFaceTokenizer(name, _from_json(files["tokenizer.json"]))
    elif "vocab.json" in files and "merges.txt" in files:
        tokenizer = HuggingFaceTokenizer(name, from_vocabulary_and_merges(files, settings))
    elif "vocab.txt" in files:
        tokenizer = from_vocabulary(name, files["vocab.txt"], settings)
    else:
        raise ModelError(
            f"the model comes without a tokenizer that can be read ({', '.join(sorted(files)) or 'no files'})",
            f"{READABLE} would do",
        )
    _add_roles(tokenizer, settings)
    tokenizer.chat_template = _chat_template(files, settings)
    return tokenizer


def _from_json(data: bytes) -> tokenizers.Tokenizer:
    from tokenizers import Tokenizer as Library

    return loaded(lambda: Library.from_str(data.decode("utf-8", "replace")))


def _add_roles(tokenizer: Tokenizer, settings: Mapping[str, Any]) -> None:
    """Which tokens begin, end, stand for the unknown or for a mask."""

    def role(key: str) -> int | None:
        spelling = spelling_of(settings.get(key))
        return None if spelling is None else tokenizer.special_tokens.get(spelling)

    tokenizer.bos_id, tokenizer.end_id = role("bos_token"), role("eos_token")
    tokenizer.mask_id = role("mask_token")
    if tokenizer.mask_id is None:
        tokenizer.mask_id = tokenizer.special_tokens.get("[MASK]", tokenizer.special_tokens.get("<mask>"))
    if tokenizer.unknown_id is None:
        tokenizer.unknown_id = role("unk_token")
    stated = settings.get("eos_token_id")
    stops = {tokenizer.end_id, *(id_ for id_ in (stated if isinstance(stated, list) else [stated]) if type(id_) is int)}
    stops |= {tokenizer.special_tokens.get(spelling) for spelling in END_OF_TURN}
    tokenizer.eos_ids = frozenset(stop for stop in stops if stop is not None)


def _chat_template(files: Mapping[str, bytes], settings: Mapping[str, Any]) -> str | None:
    if "chat_template.jinja" in files:
        return files["chat_template.jinja"].decode("utf-8", "replace")
    template = settings.get("chat_template")
    if isinstance(template, list):  # Several by name: tools, retrieval …
        named = [
            entry.get("template") for entry in template if isinstance(entry, dict) and entry.get("name") == "default"
        ]
        template = named[-1] if named else None
    return template if isinstance(template, str) else None
