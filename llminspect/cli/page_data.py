"""What a page to point at holds of its document: what it shows, and no more."""

from __future__ import annotations

from typing import Any

from llminspect.errors import UsageError

DECIMALS = 6
"""Of the numbers in a page: two more than a percentage shows, so that rounding twice hardly ever tells."""
SHORT = 8
"""A vector of so many numbers is written out by hand."""
NUMBERS = 1024
"""Of an embedding so many numbers are drawn."""
TOP = 5
"""So many of the tokens that a layer would say."""
_OF_CIRCUIT = (
    *("model", "tokens", "corrupt_tokens", "target", "versus", "pairs", "difference", "corrupt_difference"),
    *("of_edges", "page"),
)
_OF_HEAD = ("layer", "head", "kv_head", "habit", "weights")
_VECTORS = ("keys", "values", "keys_unrotated", "query_unrotated", "query_unnormed", "query", "output", "input")


def page_data(document: dict[str, Any]) -> dict[str, Any]:
    """What the page shows of the document. Raises UsageError for a result that has no page."""
    command = document["command"]
    if command == "attend":
        shown = _named(document, "model", "tokens", "heads", "causal", "source", "cross", "encoder")
        return shown | {"first": next(iter(getattr(document.get("overview"), "links", None) or ()), None)}
    if command == "forward" and document.get("lens") is not None:
        return {name: document.get(name) for name in ("model", "tokens", "position", "lens", "grid")}
    if command == "tokenize" and document.get("models") is not None:
        return {"models": document["models"]}
    if command == "circuit":
        return _named(document, *_OF_CIRCUIT)
    if command == "walk":
        return _walk(document)
    option = {"forward": "--lens", "tokenize": "--compare"}[command]
    raise UsageError(f"--interactive goes with {option} here", f"add {option}, or leave it out")


def _walk(document: dict[str, Any]) -> dict[str, Any]:
    """The chapters and each token's way, without the long vectors but for the embeddings."""
    import orjson

    from llminspect.cli.json_text import json_bytes

    shown = _named(document, "model", "text", "tokens", "chapters", "followed")
    plain: dict[str, Any] = orjson.loads(json_bytes(shown, DECIMALS))
    for chapter in plain["chapters"]:
        for part in (*chapter["by_hand"], *chapter["model"]):
            _shorten(part["result"])
    for text in plain["followed"]:
        for token in text["each"]:
            for part in (token["forward"], *([token["query"]] if "query" in token else [])):
                _shorten(part["result"])
                part["result"].pop("tokens")
        if "heads" in text:
            heads = text["heads"]["result"]
            text["heads"]["result"] = {
                "causal": heads["causal"],
                "heads": [_row_by_row(_named(head, *_OF_HEAD), heads["causal"]) for head in heads["heads"]],
            }
    return plain


def _shorten(result: dict[str, Any]) -> None:
    """Take out what is long and not drawn: parts of one head's sum and of one feed-forward step, later candidates."""
    for part in (result.get("query"), *result.get("feedforward", ())):
        for name in _VECTORS if isinstance(part, dict) else ():
            if len(_first(part.get(name))) > SHORT:
                del part[name]
    for layer in result.get("lens") or ():
        del layer["top"][TOP:]
    if "vectors" in result:
        result["vectors"] = [vector[:NUMBERS] for vector in result["vectors"]]
    for name in ("config", "templates"):
        result.pop(name, None)


def _first(value: Any) -> Any:
    """A vector: this one, or the first of several."""
    return _first(value[0]) if value and isinstance(value[0], list) else value or ()


def _row_by_row(head: dict[str, Any], causal: bool) -> dict[str, Any]:
    """The head's weights, of a token that sees only what came before it those alone."""
    return {**head, "weights": [row[: at + 1] if causal else row for at, row in enumerate(head["weights"])]}


def _named(document: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: document[name] for name in names if name in document}
