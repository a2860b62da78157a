"""The `tokenizers` library as it is used here: its failures in one line, and a model without its special pieces.

A tokenizer.json whose model holds special tokens as pieces finds them in any text that spells them. The library can be
told not to look for special tokens, but not to keep its model from them: a Unigram model reads the text "</s>" as the
piece </s>, and so as the end of the text (T5, XLM-R).
"""

from __future__ import annotations

import json
import os
import secrets
import threading
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from llminspect.errors import ModelError

if TYPE_CHECKING:
    import tokenizers

    from llminspect.text.guarded_library import Guarded

Built = TypeVar("Built")


UNREADABLE = "the tokenizer cannot be read"


def loaded(build: Callable[[], Built]) -> Built:
    """What `build` makes of a tokenizer's files. Raises ModelError, in one line and nothing else on standard error."""
    return in_one_line(build, UNREADABLE)


def library_of(text: str) -> tuple[tokenizers.Tokenizer, bool]:
    """The library's tokenizer of a tokenizer.json, and whether it has to be `Guarded`: what its patterns do with a text
    may take for ever. Raises ModelError for one that cannot be read, or not within bounds of time and memory."""
    from tokenizers import Tokenizer

    from llminspect.text.tokenizer_bounds import check_growth, is_slow_model, may_take_long, sections

    parts = sections(text)
    check_growth(parts)
    guarded = may_take_long(parts)
    if guarded:  # Reading it runs the patterns on the added tokens.
        from llminspect.text.guarded_library import answer_of

        in_one_line(lambda: answer_of(text, "open"), UNREADABLE)
    library = loaded(lambda: Tokenizer.from_str(text))
    return library, guarded or is_slow_model(library.model, text)


def in_one_line(work: Callable[[], Built], what: str) -> Built:
    """What `work` gets from the library. Raises ModelError, which begins with `what`, for whatever it ends in."""
    try:
        with _SILENCE:
            return work()
    except Exception as error:
        text = " ".join(str(error).split())
        raise ModelError(f"{what}: {text if len(text) <= 300 else text[:300] + '…'}") from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # How the library's Rust code ends; it cannot be imported.
            raise
        raise ModelError(f"{what}: its parts do not fit together") from None


class _Silence:
    """Standard error led to nowhere: Rust writes to the process's own, past Python's, before a panic is an exception.

    Several threads may be in it at once; the last one out leads it back.
    """

    def __init__(self) -> None:
        self._lock, self._inside, self._kept = threading.Lock(), 0, -1
        self._nowhere = -1
        """Kept open: with `--lines` this is entered twice a line."""

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                try:
                    self._kept = os.dup(2)
                except OSError:  # It is closed.
                    self._kept = -1
                    return
                if self._nowhere < 0:
                    self._nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(self._nowhere, 2)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0 and self._kept >= 0:
                os.dup2(self._kept, 2)
                os.close(self._kept)


_SILENCE = _Silence()


_FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")


def add_stated_tokens(library: tokenizers.Tokenizer, settings: Mapping[str, Any]) -> None:
    """Added tokens as `added_tokens_decoder` of tokenizer_config.json has them, which transformers takes before what
    tokenizer.json says of them. Raises ModelError for entries that are none."""
    from tokenizers import AddedToken

    stated = settings.get("added_tokens_decoder") or {}
    added = library.get_added_tokens_decoder().values()
    known = {(token.content, *(getattr(token, flag) for flag in _FLAGS)) for token in added}
    try:
        in_order = sorted(((int(token_id), entry) for token_id, entry in stated.items()), key=lambda pair: pair[0])
        flags = [{flag: entry[flag] for flag in _FLAGS if flag in entry} for _, entry in in_order]
        tokens = [AddedToken(entry["content"], **flag) for (_, entry), flag in zip(in_order, flags, strict=True)]
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ModelError("added_tokens_decoder of tokenizer_config.json does not list tokens by their ids") from None
    new = [token for token in tokens if (token.content, *(getattr(token, flag) for flag in _FLAGS)) not in known]
    if new:
        loaded(lambda: library.add_tokens(new))


def without_pieces(library: tokenizers.Tokenizer | Guarded, spellings: Collection[str]) -> tokenizers.Tokenizer:
    """A copy whose model has other spellings for these pieces, which nobody can guess; ids stay as they are."""
    from tokenizers import Tokenizer

    from llminspect.text.tokenizer_bounds import written_out

    written = written_out(library)
    whole: dict[str, Any] = json.loads(written)
    model = renamed_model(whole["model"], {text: f"\uffff{secrets.token_hex(16)}" for text in spellings})
    nothing = dict.fromkeys(("truncation", "padding", "normalizer", "pre_tokenizer", "post_processor", "decoder"))
    copy = Tokenizer.from_str(written)
    # With the others in one file they would get new ids, as the model no longer knows them.
    copy.model = Tokenizer.from_str(
        json.dumps({"version": whole.get("version", "1.0"), "added_tokens": [], **nothing, "model": model})
    ).model
    return copy


def renamed_model(model: Mapping[str, Any], hidden: Mapping[str, str]) -> dict[str, Any]:
    """The model of a tokenizer.json with other spellings for some pieces, without the merges that made them."""
    model = dict(model)
    if isinstance(model["vocab"], dict):
        model["vocab"] = {hidden.get(piece, piece): i for piece, i in model["vocab"].items()}
    else:
        model["vocab"] = [[hidden.get(piece, piece), score] for piece, score in model["vocab"]]
    if "merges" in model:
        model["merges"] = [merge for merge in model["merges"] if not _makes_one_of(hidden, merge)]
    if model.get("unk_token") in hidden:
        model["unk_token"] = hidden[model["unk_token"]]
    return model


def _makes_one_of(spellings: Collection[str], merge: str | list[str]) -> bool:
    left, right = merge.split(" ", 1) if isinstance(merge, str) else merge
    return left in spellings or right in spellings or left + right in spellings
