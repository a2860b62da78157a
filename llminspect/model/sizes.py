"""How large a model is, read from the keys that files have for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llminspect.model.spec import Sizes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llminspect.model.settings import Settings

HUGGINGFACE = {
    "L": "num_hidden_layers",
    "D": "hidden_size",
    "H": "num_attention_heads",
    "F": "intermediate_size",
    "context": "max_position_embeddings",
}
GGUF = {
    "L": "block_count",
    "D": "embedding_length",
    "H": "attention.head_count",
    "F": "feed_forward_length",
    "context": "context_length",
}
"""The keys of most families, by the letter of the size."""


def read_sizes(settings: Settings, keys: Mapping[str, str], **known: int) -> Sizes:
    """The sizes under `keys`, and those that are `known`.

    Where neither says otherwise each head has a key and a value of its own, and D / H numbers.
    """
    found = {letter: settings.whole(key) for letter, key in keys.items() if letter not in known} | known
    return Sizes(**{"K": found["H"], "E": found["D"] // found["H"], "V": settings.whole("vocab_size"), **found})
