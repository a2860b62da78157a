"""The other side of `guarded_library`: a process that runs a stranger's tokenizer."""

from __future__ import annotations

import os
from typing import Any

from llminspect.text.bounded_server import serve_with

MEMORY = 2 << 30
"""Bytes of address space that the process may have, beyond some for each byte of what it is asked."""
_opened: dict[str, Any] = {}


def serve() -> None:
    """Answer {"key", "do", "text" or "ids"}; with a key that is not known {"missing"}, until its definition comes."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    serve_with(answer, MEMORY)


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """What one of the tokenizer's parts makes of a text, or of ids."""
    if "definition" in request:
        _opened[request["key"]] = _open(request["definition"])
        while len(_opened) > 2:
            _opened.pop(next(iter(_opened)))
    library = _opened.get(request["key"])
    if library is None:
        return {"missing": True}
    kind, text = request["do"], request.get("text", "")
    if kind == "encode":
        library.encode_special_tokens = request["plain"]
        encoding = library.encode(text, add_special_tokens=False)
        return {"ids": encoding.ids, "offsets": encoding.offsets}
    if kind == "word":
        return {"ids": [token.id for token in library.model.tokenize(text)]}
    if kind == "decode":
        return {"text": library.decode(request["ids"], skip_special_tokens=False)}
    if kind == "normalise":
        return {"text": library.normalizer.normalize_str(text)}
    if kind == "cut":
        return {"pieces": library.pre_tokenizer.pre_tokenize_str(text)}
    return {}


def _open(definition: str) -> Any:
    from tokenizers import Tokenizer

    library = Tokenizer.from_str(definition)
    library.no_padding()
    library.no_truncation()
    library.encode("a")
    library.encode("a", "a")
    library.post_processor = None
    if getattr(library.model, "dropout", None):
        library.model.dropout = None
    return library
