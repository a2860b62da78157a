"""Ids from text: `1,2,3`, or JSON of `encode` or `tokenize`."""

from __future__ import annotations

from llminspect.errors import UsageError


def parse_ids(text: str) -> list[int]:
    """Ids from `1,2,3`, from numbers with spaces between, or from a JSON list or document of `encode` or `tokenize`."""
    import orjson

    text = text.strip()
    try:
        if text.startswith(("{", "[")):
            document = orjson.loads(text)
            if isinstance(document, dict):
                document = document.get("ids") or [token["id"] for token in document["tokens"]]
            ids = [entry for entry in document if type(entry) is int]
            if len(ids) != len(document):
                raise ValueError
        else:
            ids = [int(part) for part in text.replace(",", " ").split()]
    except (ValueError, KeyError, TypeError, RecursionError):
        shown = text if len(text) <= 40 else text[:40] + "…"
        raise UsageError(f"not a list of ids: {shown!r}", "ids are whole numbers: 1,2,3, or JSON of encode") from None
    negative = [token_id for token_id in ids if token_id < 0]
    if negative:
        raise UsageError(f"id {negative[0]} is negative", "ids count from 0")
    return ids
