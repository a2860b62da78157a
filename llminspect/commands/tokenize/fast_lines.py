"""`tokenize --lines` for long input: the same documents as everywhere, put together from pieces that are made once.

What of a token does not hang on its place (id, text, bytes) is written once; numbers are looked up; what all documents
have alike is cut out of one that was made the usual way. A line that is out of the ordinary is left to that way.
"""

from __future__ import annotations

import re
from itertools import accumulate, chain
from typing import TYPE_CHECKING, Any

import orjson

from llminspect.analysis.result import is_partial
from llminspect.analysis.tokenize import CountResult, TokenizeResult, about
from llminspect.cli.json_text import json_bytes
from llminspect.text.bpe import ByteLevelBPE
from llminspect.text.prompt import Prompt
from llminspect.text.tiktoken_encodings import TiktokenTokenizer
from llminspect.text.tokenizer import Token, Tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from llminspect.arguments.shared import SourceOptions
    from llminspect.arguments.tokenize import TokenizeOptions
    from llminspect.cli.stream import LineWork

LONGEST = 1 << 14
"""Bytes of a line that is written so: as many numbers are held."""
MANY = 1 << 17
"""Characters after which it pays to build the library that a tokenizer has for long texts."""
HELD = 32 << 20
"""Bytes of documents that are held, since texts repeat their lines."""
_PLACE = re.compile('\\[?"\ue0f2(\\w+)\ue0f3"\\]?'.encode())


def fast_lines(tokenizer: Tokenizer, source: SourceOptions, options: TokenizeOptions) -> FastLines | None:
    """For options that make no document out of the ordinary, and a tokenizer whose tokens' bytes are the text's."""
    given = {**vars(source), **vars(options)}
    slow = "chat system user ids pair compare steps truncate by_line cost budget max_tokens_allowed"
    twice = tokenizer.always_tokens.keys() & tokenizer.special_tokens.keys()
    if any(given.get(name) is not None and given[name] is not False for name in slow.split()):
        return None
    if source.parse != "text" or twice or tokenizer.learns:
        return None
    around = 0 if source.special is False else len(tokenizer.prefix_ids) + len(tokenizer.suffix_ids)
    if options.count:
        return None if around and tokenizer.always_tokens else FastLines(tokenizer, around)
    known = isinstance(tokenizer, ByteLevelBPE) or (isinstance(tokenizer, TiktokenTokenizer) and tokenizer.lossless)
    return FastLines(tokenizer) if known and not around else None


class FastLines:
    """Writes the document of a line. `added` are the tokens around a text where only the count is wanted."""

    def __init__(self, tokenizer: Tokenizer, added: int | None = None) -> None:
        self._tokenizer, self._added = tokenizer, added
        self._ids: Callable[[str], list[int]] = tokenizer.ids_plain
        if tokenizer.always_tokens:
            self._ids = tokenizer.encode_ids
        self._seen = 0
        self._known: dict[str, bytes] = {}
        self._held = 0
        self._before = b""
        self._patterns: dict[bool, list[bytes]] = {}
        self._may_lose = not isinstance(tokenizer, TiktokenTokenizer)  # Whose tokens hold every byte of a text.
        self._data: list[Any] = [None] * tokenizer.vocabulary_size
        """By id, as `_front` and `_size`; None until a token is met."""
        self._front, self._size = self._data.copy(), self._data.copy()
        self._partial: set[int] = set()
        self._index: list[bytes] = []
        self._start: list[bytes] = []
        self._end: list[bytes] = []

    def __call__(self, work: LineWork[Any], number: int, text: str) -> tuple[bytes, ...] | None:
        """The document of a line of text in pieces, and its end; None where the usual way has to make it."""
        known = self._known.get(text)
        if known is None:
            known = self._after(work, text)
            if known is None:
                return None
            if self._held > HELD:
                self._known.clear()
                self._held = 0
            self._known[text] = known
            self._held += len(known) + len(text) + 100
        return self._before, b"%d" % number, known

    def _after(self, work: LineWork[Any], text: str) -> bytes | None:
        """What stands in the document after the number of the line."""
        try:
            data = text.encode()
        except UnicodeEncodeError:
            return None
        size = len(data)
        missing = self._tokenizer.missing_bytes
        if size > LONGEST or (missing and len(data.translate(None, missing)) != size):
            return None
        if self._seen <= MANY:
            self._look_ahead(len(text))
        if self._added is not None:
            count = self._tokenizer.count(text) + self._added
            return b"".join(self._pattern(work, True)) % (count, len(text), size)
        ids = self._ids(text)
        tokens = self._tokens(ids, data)
        if tokens is None:
            return None
        *between, last = self._pattern(work, bool(ids))
        written = [orjson.dumps(text), between[-1], *tokens, last % (len(ids), len(text), size)]
        return b"".join([between[0], orjson.dumps(ids), between[1], *written] if ids else [between[0], *written])

    def _look_ahead(self, size: int) -> None:
        """Once there was much, take the library that a tokenizer has for that, without what catches half characters."""
        self._seen += size
        if self._seen - size <= MANY < self._seen and isinstance(self._tokenizer, TiktokenTokenizer):
            self._ids = self._tokenizer.library._core_bpe.encode_ordinary

    def _pattern(self, work: LineWork[Any], with_ids: bool) -> list[bytes]:
        """What of a document stands after the number of its line: the pieces between ids, text and tokens, and the last
        one with %d for each of the sizes."""
        if with_ids in self._patterns:
            return self._patterns[with_ids]

        def place(name: str) -> Any:
            return f"\ue0f2{name}\ue0f3"

        sizes = {"count": place("count"), "characters": place("characters"), "bytes": place("bytes")}
        result: Any = CountResult(**sizes)
        if self._added is None:
            text, tokens = place("text"), [place("tokens")]
            result = TokenizeResult(text, tokens, tokenizer=about(self._tokenizer), round_trip=True, **sizes)
        prompt = Prompt(None, [Token(place("ids"), b"", None, None)] if with_ids else [], place("line"))
        pieces = _PLACE.split(json_bytes(work.document(result, prompt), work.digits))
        names = b" ".join(pieces[1::2]).decode()
        ids = "ids " if with_ids else ""
        assert names == "line " + (f"{ids}text tokens " if self._added is None else "") + "count characters bytes"
        self._before, *between = pieces[::2]
        last = b"%d".join(piece.replace(b"%", b"%%") for piece in between[-4:])
        if self._added is None:
            between[-5] += b"["
            last = b"]" + last
        self._patterns[with_ids] = [*between[:-4], last]
        return self._patterns[with_ids]

    def _tokens(self, ids: Sequence[int], data: bytes) -> Iterable[bytes] | None:
        """The tokens of a text in pieces; None unless their bytes, one after another, are the text's: each then begins
        where the last one ends."""
        try:
            cuts = list(accumulate(map(self._size.__getitem__, ids), initial=0))
        except TypeError:  # One was not met before.
            self._learn({token_id for token_id in ids if self._size[token_id] is None})
            cuts = list(accumulate(map(self._size.__getitem__, ids), initial=0))
        if self._may_lose and b"".join(map(self._data.__getitem__, ids)) != data:
            return None
        if len(data) >= len(self._end):
            self._count_to(2 * len(data) + 64)
        ends: Iterable[bytes] = map(self._end.__getitem__, cuts[1:])
        if not self._partial.isdisjoint(ids):
            closes = ((end[:-1] + b',"partial":true}', end) for end in ends)
            ends = [close[token_id not in self._partial] for token_id, close in zip(ids, closes, strict=True)]
        starts = map(self._start.__getitem__, cuts)
        fronts = map(self._front.__getitem__, ids)
        return chain.from_iterable(zip(self._index, fronts, starts, ends, strict=False))

    def _learn(self, ids: set[int]) -> None:
        for token_id in ids:
            data = self._data[token_id] = self._tokenizer.token_bytes(token_id)
            text = data.decode("utf-8", "replace")
            if "\ufffd" in text and is_partial(data):
                self._partial.add(token_id)
            written = (token_id, orjson.dumps(text), data.hex().encode())
            self._front[token_id] = b'%d,"text":%b,"bytes":"%b","start":' % written
            self._size[token_id] = len(data)

    def _count_to(self, most: int) -> None:
        numbers = range(len(self._end), most)
        self._index += [b'%b{"index":%d,"id":' % (b"," if number else b"", number) for number in numbers]
        self._start += [b'%d,"end":' % number for number in numbers]
        self._end += [b"%d}" % number for number in numbers]
