"""Where the vectors of `embed` come from: the table, a layer of the model, the end; words and sums of words."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from llminspect.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from llminspect.core.array import Array
    from llminspect.model import Model
    from llminspect.text.tokenizer import Token, Tokenizer


@dataclass(frozen=True)
class Term:
    """One word of an expression and what it is multiplied by; of several tokens the mean of their vectors is taken."""

    factor: float
    text: str
    ids: list[int]
    tokens: list[str]


def usual_place(model: Model, pool: str) -> str:
    """Where vectors are taken from unless it is said: an encoder was made for those that it gives out, pooled."""
    return "final" if pool != "none" and model.can("encode") else "embedding"


def check_place(at: str, layers: int) -> None:
    """Raise UsageError where `at` is neither "embedding" nor "final" nor a layer of the model."""
    if at in ("embedding", "final"):
        return
    if not (at.isascii() and at.isdecimal()) or int(at) >= layers:
        have = f"layers run from 0 to {layers - 1}" if layers > 1 else "the only layer is 0"
        raise UsageError(f"there is no layer {at!r} for --at", f"{have}; embedding and final are the two ends")


def vectors_at(model: Model, ids: Sequence[int], at: str) -> Array:
    """The vectors [T, D] of the tokens at a place of the model.

    "embedding": the rows of the table, as they are stored. A layer: the residual stream behind it. "final": what is
    compared with the vocabulary in the end (behind the final norm), or for an encoder what it gives out.
    """
    import numpy as np

    from llminspect.core.embedding import look_up
    from llminspect.core.tap import Capture, Enough, Until

    if at == "embedding":
        return look_up(model.params["embedding.weight"], np.asarray(ids))
    if at == "final":
        stream_TD = model.run(ids).stream_TD
        if model.can("encode"):
            return stream_TD
        kept = Capture("final.norm")
        with suppress(Enough):
            model.logits(stream_TD, Until(kept, "final.norm"))
        return kept.arrays.get("final.norm", stream_TD)
    name = f"layers.{at}.output"
    kept = Capture(name)
    with suppress(Enough):
        model.run(ids, Until(kept, name))
    return kept[name]


def vocabulary_table(model: Model, at: str) -> tuple[Literal["embedding", "unembedding"], Array]:
    """The table [V, D] in which neighbours are looked for, and its name.

    At the end of a model that has a table of its own for its output, that one: there the final vectors are compared.
    """
    import numpy as np

    output_VD = model.params.get("unembedding.weight") if at == "final" else None
    name: Literal["embedding", "unembedding"] = "embedding" if output_VD is None else "unembedding"
    return name, np.asarray(model.params["embedding.weight"] if output_VD is None else output_VD)


# -- Words -------------------------------------------------------------------------------------------------------------


def word_tokens(tokenizer: Tokenizer, word: str) -> list[Token]:
    """The tokens of a word as it stands inside a sentence, with a space in front where the vocabulary has it so."""
    spellings = [tokenizer.encode(f" {word}"), tokenizer.encode(word)]
    return min(spellings, key=len)


def is_whole_word(text: str, *, spaced: bool) -> bool:
    """Whether the text of a token is a word by itself: letters only, behind a space where the vocabulary has them."""
    return text[1:].isalpha() and text.startswith(" ") if spaced else text.isalpha()


def has_spaced_words(tokenizer: Tokenizer) -> bool:
    """Whether the vocabulary keeps the space in front of a word in its token."""
    try:
        tokens = tokenizer.encode(" a a")
    except UsageError:
        return False
    return any(token.text.startswith(" ") for token in tokens)


_TERM = re.compile(
    r"""\s* (?P<sign>[+\-−–]?) \s*
        (?: (?P<factor>\d+(?:\.\d+)?) \s* [*·×] \s* )?
        (?: "(?P<quoted>[^"]+)" | '(?P<single>[^']+)' | (?P<word>[^\s+\-−–*·×"']+) )""",
    re.VERBOSE,
)


def parse_expression(expression: str) -> list[tuple[float, str]]:
    """`king - man + woman`, `2*Paris - France + Italy`: each word with its factor.

    A word that holds a sign or a space goes in quotes. Raises UsageError for what is not such a sum.
    """
    terms: list[tuple[float, str]] = []
    place = 0
    while expression[place:].strip():
        found = _TERM.match(expression, place)
        if found is None or (terms and not found["sign"]):
            raise UsageError(
                f"--analogy cannot read {expression[place:].strip()!r} in {expression!r}",
                'words with + and - between them: "king - man + woman"',
            )
        sign = -1.0 if found["sign"] in ("-", "−", "–") else 1.0
        terms.append((sign * float(found["factor"] or 1), found["quoted"] or found["single"] or found["word"]))
        place = found.end()
    if not terms:
        raise UsageError("--analogy is empty", 'give a sum of words: "king - man + woman"')
    return terms


def terms_of(expression: str, tokenizer: Tokenizer | None) -> list[tuple[Term, list[Token]]]:
    """The words of an expression with their tokens."""
    if tokenizer is None:
        raise UsageError("this model comes without a tokenizer", "--analogy needs one")
    found = []
    for factor, word in parse_expression(expression):
        tokens = word_tokens(tokenizer, word)
        if not tokens:
            raise UsageError(f"the word {word!r} gives no tokens")
        term = Term(factor, word, [token.id for token in tokens], [token.text for token in tokens])
        found.append((term, tokens))
    return found


def sum_of(terms: Sequence[Term], table_VD: Array) -> Array:
    """Σ factor · vector over the words, [1, D]; the vector of a word of several tokens is the mean of theirs."""
    import numpy as np

    total_D = np.zeros(table_VD.shape[1], np.float32)
    for term in terms:
        rows = np.take(table_VD, np.asarray(term.ids), axis=0)
        total_D = total_D + np.float32(term.factor) * rows.mean(axis=0)
    summed_1D: Array = total_D[None]
    return summed_1D


def best_ids(scores_V: Array, count: int, tokens: TokenTexts, *, words: bool, without: frozenset[int]) -> Iterator[int]:
    """The ids with the highest scores, best first; of equal ones the lower id first."""
    import numpy as np

    wanted = count + len(without)
    if not words and wanted < len(scores_V):
        pool = np.argpartition(-scores_V, wanted)[: wanted + 1]
        pool = np.sort(pool)
        order = pool[np.argsort(-scores_V[pool], kind="stable")]
    else:
        order = np.argsort(-scores_V, kind="stable")
    given = 0
    for token_id in map(int, order):
        if given == count:
            return
        if token_id in without or (words and not tokens.whole_word(token_id)):
            continue
        given += 1
        yield token_id


class TokenTexts:
    """The text of each id, also of rows that a table has beyond its vocabulary."""

    def __init__(self, tokenizer: Tokenizer | None) -> None:
        self.tokenizer = tokenizer
        self.spaced = has_spaced_words(tokenizer) if tokenizer else False

    def __call__(self, token_id: int) -> str:
        if self.tokenizer is None or token_id >= self.tokenizer.vocabulary_size:
            return f"<{token_id}>"
        return self.tokenizer.token_bytes(token_id).decode("utf-8", "replace")

    def whole_word(self, token_id: int) -> bool:
        return is_whole_word(self(token_id), spaced=self.spaced)
