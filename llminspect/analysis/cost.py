"""What tokens cost, and whether that is an estimate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llminspect.arguments.tokenize import CountOptions
from llminspect.core.dataclass import dataclass
from llminspect.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from llminspect.files.prices import ListedPrice


@dataclass(frozen=True)
class Cost:
    """What the tokens cost."""

    price: float
    """Per million tokens."""
    total: float
    currency: str
    """As it was given; empty where there was none."""
    model: str | None = None
    """With the name of a model as --cost: that name, and …"""
    date: str | None = None
    """… of when its price is, and …"""
    source: str | None = None
    """… where from."""
    estimate: str | None = None
    """Why it is one: the price is of a model that makes other tokens, or whose tokens nobody knows."""


def cost_of(tokenizer: Tokenizer, options: CountOptions, count: int) -> Cost | None:
    """What so many tokens cost, where that is wanted."""
    price = options.price
    if price is None:
        return None
    total, estimate = count * price.price / 1e6, estimate_of(tokenizer, price)
    return Cost(price.price, total, price.currency, price.model, price.date, price.source, estimate)


def estimate_of(tokenizer: Tokenizer, price: ListedPrice) -> str | None:
    """Why tokens of this tokenizer at that price are an estimate; None where they are that model's, or the price is the
    user's own."""
    from llminspect.text.tiktoken_encodings import ENCODINGS, encoding_of_openai_model

    if price.model is None:
        return None
    encoding = encoding_of_openai_model(price.model)
    if encoding is not None:
        counted_in = ENCODINGS.get(encoding_of_openai_model(tokenizer.name) or tokenizer.name)
        same = counted_in is not None and counted_in.table == ENCODINGS[encoding].table
        return None if same else f"{price.model} counts in {encoding}, not in the tokens of {tokenizer.name}"
    if not price.packaged:
        return None
    if price.model.startswith("claude-"):
        return f"the tokenizer of {price.model} is not published; the tokens are those of {tokenizer.name}"
    return f"exact only if {price.model} has the tokenizer of {tokenizer.name}"
