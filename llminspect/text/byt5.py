"""ByT5's tokenizer: every byte is a token, three more than its value; it has no file but its settings.

Xue et al. 2022, "ByT5: Towards a Token-Free Future with Pre-trained Byte-to-Byte Models", section 3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llminspect.errors import ModelError
from llminspect.text.special_tokens import Strips
from llminspect.text.tokenizer import Tokenizer, utf8

if TYPE_CHECKING:
    from collections.abc import Mapping

FIRST = {"<pad>": 0, "</s>": 1, "<unk>": 2}
"""In front of the bytes; these take white space beside them."""
EXTRA_IDS = 125
"""What a text is filled in at, after the bytes."""


def is_byt5(settings: Mapping[str, Any]) -> bool:
    """Whether a `tokenizer_config.json` names this tokenizer."""
    return str(settings.get("tokenizer_class")).removesuffix("Fast") == "ByT5Tokenizer"


class ByT5(Tokenizer):
    """`extra_ids`: how many tokens `<extra_id_0>` … there are. ModelError: no number of tokens."""

    kind = "bytes"

    def __init__(self, name: str, extra_ids: object = EXTRA_IDS) -> None:
        if type(extra_ids) is not int or not 0 <= extra_ids <= 10_000:
            raise ModelError("the tokenizer's extra_ids is not a number of tokens")
        self.name = name
        first = len(FIRST) + 256
        self.special_tokens = {**FIRST, **{f"<extra_id_{i}>": first + i for i in range(extra_ids)}}
        self.strips = Strips(frozenset(FIRST.values()), frozenset(FIRST.values()))
        self.vocabulary_size = first + extra_ids
        self.end_id, self.unknown_id, self.suffix_ids = 1, 2, (1,)
        self.eos_ids = frozenset({1})
        self.pair_template = (("first", 0), (1, 0), ("second", 0), (1, 0))
        self._spellings = {token_id: spelling.encode() for spelling, token_id in self.special_tokens.items()}

    def ids_plain(self, text: str) -> list[int]:
        return [byte + len(FIRST) for byte in utf8(text)]

    def token_bytes(self, token_id: int) -> bytes:
        if not 0 <= token_id < self.vocabulary_size:
            raise self.outside(token_id)
        return self._spellings.get(token_id) or bytes([token_id - len(FIRST)])
