"""OpenAI's encodings: byte-level BPE whose merges are the ranks of the merged bytes themselves.

Long texts go through the tiktoken library, built from the tables that the package carries. Short ones do not need it:
building it takes longer than encoding a page by `bpe.py`, which also takes what tiktoken cannot (bytes that are not
UTF-8; a million spaces, at which its regular expressions run out of stack).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import field
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, TypeVar

from llminspect.core.dataclass import dataclass
from llminspect.errors import UsageError
from llminspect.text.bpe import WordCache, merge_word
from llminspect.text.chunks import WORDS, blocks
from llminspect.text.pretokenize import GPT4O, Patterns, pretokenize
from llminspect.text.tokenizer import Tokenizer, utf8

if TYPE_CHECKING:
    import tiktoken

Result = TypeVar("Result")

# As in tiktoken_ext/openai_public.py, with \Z for $, which in Python also matches before a last line break.
_R50K = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++\Z|\s+(?!\S)|\s"
_CL100K = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"
    r"|\s++\Z|\s*[\r\n]|\s+(?!\S)|\s"
)
_FIM = ("<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>")
_HARMONY = {
    "<|startoftext|>": 199998,
    "<|return|>": 200002,
    "<|constrain|>": 200003,
    "<|channel|>": 200005,
    "<|start|>": 200006,
    "<|end|>": 200007,
    "<|message|>": 200008,
    "<|call|>": 200012,
}


@dataclass(frozen=True)
class Encoding:
    """What a table of ranks leaves open: how text is cut, and which tokens are special."""

    table: str
    pattern: str
    special_tokens: dict[str, int]
    stops: tuple[str, ...] = field(default=("<|endoftext|>",))


_OLD, _NEW = {"<|endoftext|>": 50256}, {"<|endoftext|>": 199999, "<|endofprompt|>": 200018}
_TAKEN = {199999, 200018, *_HARMONY.values()}
_RESERVED = {f"<|reserved_{i}|>": i for i in range(200000, 201088) if i not in _TAKEN or i == 200018}
ENCODINGS = {
    "o200k_base": Encoding("o200k_base", GPT4O, _NEW),
    "o200k_harmony": Encoding(
        "o200k_base", GPT4O, {**_NEW, **_HARMONY, **_RESERVED}, ("<|endoftext|>", "<|return|>", "<|call|>")
    ),
    "cl100k_base": Encoding(
        "cl100k_base",
        _CL100K,
        {"<|endoftext|>": 100257, "<|endofprompt|>": 100276, **{name: 100258 + i for i, name in enumerate(_FIM)}},
    ),
    "p50k_base": Encoding("p50k_base", _R50K, _OLD),
    "p50k_edit": Encoding("p50k_base", _R50K, {**_OLD, **{name: 50281 + i for i, name in enumerate(_FIM)}}),
    "r50k_base": Encoding("r50k_base", _R50K, _OLD),
    "gpt2": Encoding("r50k_base", _R50K, _OLD),
}
TIKTOKEN_NAMES = tuple(ENCODINGS)

_OPENAI = re.compile(r"(chatgpt|gpt|o\d|ft:|davinci|curie|babbage|ada|cushman|text-|code-)[\w.:-]*")

OPENAI_NAMES = ("gpt-3.5-turbo", "gpt-4", "gpt-4o", "gpt-4.1", "gpt-5")
"""Some of OpenAI's models, to be offered to whoever misspells one."""


def encoding_of_openai_model(name: str) -> str | None:
    """The name of the encoding that an OpenAI model uses, as tiktoken maps it; None for any other name."""
    if not _OPENAI.fullmatch(name):  # Spares every other name the import.
        return None
    import tiktoken

    try:
        return tiktoken.encoding_name_for_model(name)
    except KeyError:
        return None


class TiktokenTokenizer(Tokenizer):
    """One of `TIKTOKEN_NAMES`, or the `encoding` that is given. `read_table` gives the tokens of a rank table by rank
    (`files.encodings.rank_table`)."""

    kind = "byte-level BPE"
    cut_pattern = WORDS
    LIBRARY_FROM = 20_000
    """Characters from which building the library pays."""
    BLOCK = 1 << 16
    """Characters given to the library at once; it fails from about ten times as many in one run of spaces."""

    def __init__(self, name: str, read_table: Callable[[str], list[bytes]], encoding: Encoding | None = None) -> None:
        encoding = encoding or ENCODINGS[name]
        self.name = name
        self.special_tokens = encoding.special_tokens
        self.eos_ids = frozenset(map(encoding.special_tokens.__getitem__, encoding.stops))
        self.patterns: Patterns = (encoding.pattern,)
        self._tokens = read_table(encoding.table)
        self.vocabulary_size = max((len(self._tokens), *(i + 1 for i in encoding.special_tokens.values())))
        self._spellings = {token_id: utf8(text) for text, token_id in encoding.special_tokens.items()}
        self._cache = WordCache(self.word_ids)

    @cached_property
    def ranks(self) -> dict[bytes, int]:
        """The rank of each token's bytes, which is its id; the lower is merged first."""
        ranks = dict(zip(self._tokens, range(len(self._tokens)), strict=True))
        ranks.pop(b"", None)
        return ranks

    @cached_property
    def library(self) -> tiktoken.Encoding:
        """The tiktoken library's encoding, built from the same ranks."""
        import tiktoken

        return tiktoken.Encoding(
            self.name,
            pat_str=self.patterns[0].replace(r"\Z", "$"),
            mergeable_ranks=self.ranks,
            special_tokens=dict(self.special_tokens),
        )

    def token_bytes(self, token_id: int) -> bytes:
        if token_id in self._spellings:
            return self._spellings[token_id]
        if not 0 <= token_id < self.vocabulary_size:
            raise self.outside(token_id)
        token = self._tokens[token_id] if token_id < len(self._tokens) else b""
        if not token:
            raise UsageError(f"{self.name} has no token with the id {token_id}", "some ids are left out on purpose")
        return token

    def pieces(self, text: str) -> list[str]:
        """The words that no merge crosses."""
        return pretokenize(text, self.patterns)

    def ids_plain(self, text: str) -> list[int]:
        if len(text) <= self.BLOCK and "library" in self.__dict__ and _is_utf8(text):
            return self.library.encode_ordinary(text)
        by_block = self._by_block(text, lambda block: self.library.encode_ordinary(block), lambda ids: ids)
        return list(chain.from_iterable(by_block))

    def count_plain(self, text: str) -> int:
        if len(text) <= self.BLOCK and "library" in self.__dict__ and _is_utf8(text):
            return _counted(self.library, text)
        return sum(self._by_block(text, lambda block: _counted(self.library, block), len))

    def _by_block(
        self, text: str, by_library: Callable[[str], Result], of_ids: Callable[[list[int]], Result]
    ) -> Iterator[Result]:
        """What the library makes of each block of a long text; of what it does not take, the same by `bpe.py`."""
        if len(text) < self.LIBRARY_FROM and "library" not in self.__dict__:
            yield of_ids(self._cache.ids(self.pieces(text)))
            return
        for block in blocks(text, self.BLOCK, WORDS):
            taken = len(block) <= 2 * self.BLOCK and _is_utf8(block)
            yield by_library(block) if taken else of_ids(self._cache.ids(self.pieces(block)))

    def word_ids(self, piece: str) -> list[int]:
        """The ids of one word of `pieces`."""
        data = utf8(piece)
        rank = self.ranks.get(data)
        return [self.ranks[token] for token in merge_word(data, self.ranks, b"")] if rank is None else [rank]


def _counted(library: tiktoken.Encoding, text: str) -> int:
    """Ids as an array: making a Python number of each takes as long as finding it."""
    to_bytes = getattr(library._core_bpe, "encode_to_tiktoken_buffer", None)
    if to_bytes is None:  # It is the library's own, which may change. This imports numpy.
        return len(library.encode_to_numpy(text, disallowed_special=()))
    return memoryview(to_bytes(text, set())).nbytes // 4  # Of 32 bits each.


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
