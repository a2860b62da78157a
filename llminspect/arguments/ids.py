"""Ids from text: `1,2,3`, or JSON of `encode` or `tokenize`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from llminspect.arguments.option import LARGEST
from llminspect.arguments.ranges import is_index, shortened
from llminspect.errors import UsageError

Ids: TypeAlias = str | Sequence[int]


def parse_ids(ids: Ids) -> list[int]:
    """Ids from `1,2,3`, from numbers with spaces between, or from a JSON list or document of `encode` or `tokenize`."""
    found = _listed(ids) if isinstance(ids, str) else list(ids)
    negative = [token_id for token_id in found if token_id < 0]
    if negative:
        raise UsageError(f"id {negative[0]} is negative", "ids count from 0")
    if any(token_id > LARGEST for token_id in found):
        raise UsageError("an id has more than 64 bits", "ids are smaller than the vocabulary")
    return found


def _listed(text: str) -> list[int]:
    import orjson

    text = text.strip()
    try:
        if text.startswith(("{", "[")):
            document = orjson.loads(text)
            if isinstance(document, dict):
                document = document.get("ids") or [token["id"] for token in document["tokens"]]
            if not all(type(entry) is int for entry in document):
                raise ValueError
            return list(document)
        parts = text.replace(",", " ").split()
        if not all(is_index(part.removeprefix("-")) for part in parts):
            raise ValueError
        return [int(part) for part in parts]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UsageError(
            f"not a list of ids: {shortened(text)!r}", "ids are whole numbers: 1,2,3, or JSON of encode"
        ) from None
