"""A tokenizer that cannot be read: ids are shown as numbers, and a text is refused with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from llminspect.errors import ModelError, UsageError
from llminspect.text.tokenizer import Tokenizer


class Unreadable(Tokenizer):
    """What stands in its place."""

    lossless = False
    loss = "everything"

    def __init__(self, name: str, metadata: Mapping[str, Any], why: ModelError) -> None:
        self.name, self.why = name, why.message
        self.kind = f"cannot be read: {why.message}"
        tokens, end = (metadata.get(f"tokenizer.ggml.{key}") for key in ("tokens", "eos_token_id"))
        self.vocabulary_size = len(tokens) if isinstance(tokens, list) else 0
        if type(end) is int:
            self.end_id, self.eos_ids = end, frozenset([end])

    def encode_plain(self, text: str, at: int) -> NoReturn:
        raise UsageError(f"the model's tokenizer cannot be read: {self.why}", "give ids: --ids 1,2,3")

    def token_bytes(self, token_id: int) -> bytes:
        return f"#{token_id}".encode()
