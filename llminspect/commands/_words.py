"""Between ids and what a person types and reads: a token's text, and the token that `--target` means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from llminspect.errors import UsageError

if TYPE_CHECKING:
    from llminspect.model import Model


@dataclass(frozen=True)
class Candidate:
    """A token that may come next."""

    id: int
    text: str
    logit: float
    prob: float


def token_text(model: Model, token_id: int) -> str:
    """The token's text, with U+FFFD where its bytes are not whole characters; its number where there is no tokenizer.

    Rows of the vocabulary that no token of the tokenizer fills (padding) are named by their number as well.
    """
    if model.tokenizer is None:
        return f"#{token_id}"
    try:
        return model.tokenizer.token_bytes(token_id).decode("utf-8", errors="replace")
    except UsageError:
        return f"#{token_id}"


def one_token(model: Model, text: str, option: str) -> int:
    """The id that `text` means: one token of the model's vocabulary exactly as written, or `#ID`.

    Raises UsageError where it is several tokens, none, or outside the vocabulary.
    """
    if text.startswith("#") and text[1:].isdecimal():
        token_id = int(text[1:])
        if token_id >= model.config.sizes.V:
            raise UsageError(
                f"id {token_id} is outside the vocabulary",
                f"ids of {model.name} run from 0 to {model.config.sizes.V - 1}",
            )
        return token_id
    if model.tokenizer is None:
        raise UsageError(f"{option}: this model comes without a tokenizer", f"give an id: {option} '#123'")
    tokens = model.tokenizer.encode(text, "special")
    if len(tokens) != 1:
        parts = " + ".join(repr(token.text) for token in tokens) or "no token"
        raise UsageError(
            f"{option} takes one token; {text!r} is {parts}", "a word in mid-sentence starts with a space: ' Paris'"
        )
    return tokens[0].id


def candidates(model: Model, logits_V: object, count: int) -> list[Candidate]:
    """The `count` most probable next tokens for logits [V]."""
    import numpy as np

    from llminspect.core.attention import softmax
    from llminspect.core.sampling import top_ids

    logits = np.asarray(logits_V)
    probabilities = softmax(logits)
    return [
        Candidate(token_id, token_text(model, token_id), logits[token_id], probabilities[token_id])
        for token_id in top_ids(logits, count)
    ]


def select(text: str | None, count: int, what: str, option: str) -> list[int] | None:
    """`0,3-5` as [0, 3, 4, 5]; None stays None. Raises UsageError for what is not a number or does not exist."""
    if text is None:
        return None
    chosen: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise UsageError(f"{option} {text!r} is not a number or a range", f"for example {option} 0,3-5")
        chosen += range(int(first), (int(last) if dash else int(first)) + 1)
        check_exists(chosen[-1] if chosen else int(first), count, what)
    return sorted(set(chosen))


def check_exists(index: int, count: int, what: str) -> None:
    """Raise UsageError where there is no layer, head or position of that number; the line says which there are."""
    if not 0 <= index < count:
        have = f"the {what}s run from 0 to {count - 1}" if count else f"this model has no {what}s"
        raise UsageError(f"there is no {what} {index}", have)
