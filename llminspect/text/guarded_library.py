"""A tokenizer of the `tokenizers` library whose patterns may take for ever: what runs them runs in another process."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llminspect.core.dataclass import dataclass
from llminspect.errors import ModelError
from llminspect.text.bounded_process import BoundedProcess
from llminspect.text.tokenizer_bounds import written_out

if TYPE_CHECKING:
    import tokenizers

SECONDS = 5.0
PER_CHARACTER = 1e-5
"""Seconds more for each character of a text and of the tokenizer itself."""
PROCESS = BoundedProcess("llminspect.text.tokenizer_sandbox", "runs tokenizers")


@dataclass(frozen=True)
class Found:
    """What `tokenizers.Encoding` has, as far as it is used."""

    ids: list[int]
    offsets: list[tuple[int, int]]


def answer_of(definition: str, do: str, size: int = 0, **request: Any) -> dict[str, Any]:
    """What the tokenizer of this definition makes of a request. Raises ModelError, in one line, where it fails."""
    key = hashlib.sha256(definition.encode("utf-8", "surrogatepass")).hexdigest()
    request = {"key": key, "do": do, **request}
    seconds = SECONDS + size * PER_CHARACTER
    answer = PROCESS.answer(request, seconds)
    if "missing" in answer:
        answer = PROCESS.answer({**request, "definition": definition}, seconds + len(definition) * PER_CHARACTER)
    if "error" in answer:
        raise ModelError(answer["error"])
    return answer


class Guarded:
    """The library's tokenizer in all but what may take for ever."""

    def __init__(self, library: tokenizers.Tokenizer) -> None:
        self._library, self._definition = library, written_out(library)
        self.encode_special_tokens = False
        self.normalizer = library.normalizer and _Normaliser(self._definition, repr(library.normalizer))
        self.pre_tokenizer = library.pre_tokenizer and _Cutter(self._definition, repr(library.pre_tokenizer))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._library, name)

    def encode(self, text: str, add_special_tokens: bool = False) -> Found:
        assert not add_special_tokens
        answer = answer_of(self._definition, "encode", len(text), text=text, plain=self.encode_special_tokens)
        return Found(answer["ids"], [(start, end) for start, end in answer["offsets"]])

    def word_ids(self, word: str) -> list[int]:
        found: list[int] = answer_of(self._definition, "word", len(word), text=word)["ids"]
        return found

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = False) -> str:
        assert not skip_special_tokens
        text: str = answer_of(self._definition, "decode", len(ids), ids=list(ids))["text"]
        return text


@dataclass(frozen=True, repr=False)
class _Part:
    definition: str
    written: str

    def __repr__(self) -> str:
        return self.written


class _Normaliser(_Part):
    def normalize_str(self, text: str) -> str:
        made: str = answer_of(self.definition, "normalise", len(text), text=text)["text"]
        return made


class _Cutter(_Part):
    def pre_tokenize_str(self, text: str) -> list[tuple[str, tuple[int, int]]]:
        pieces = answer_of(self.definition, "cut", len(text), text=text)["pieces"]
        return [(piece, (start, end)) for piece, (start, end) in pieces]
