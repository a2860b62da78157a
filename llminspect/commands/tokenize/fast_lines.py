"""`tokenize --lines` for long input: the same documents as everywhere, put together from pieces that are made once.

What of a token does not hang on its place (id, text, bytes) is written once; numbers are looked up; what all documents
have alike is cut out of one that was made the usual way. A line that is out of the ordinary is left to that way.
"""

from __future__ import annotations

import re
from itertools import accumulate, chain
from typing import TYPE_CHECKING, Any

import orjson

from llminspect.analysis.tokenize import CountResult, TokenizeResult, about
from llminspect.cli.json_text import json_bytes
from llminspect.text.bpe import ByteLevelBPE
from llminspect.text.prompt import Prompt
from llminspect.text.tiktoken_encodings import TiktokenTokenizer
from llminspect.text.tokenizer import Token, Tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from llminspect.arguments.shared import SourceOptions
    from llminspect.arguments.tokenize import TokenizeOptions
    from llminspect.cli.stream import LineWork

LONGEST = 1 << 14
"""Bytes of a line that is written so: as many numbers are held."""
MANY = 1 << 19
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
        self._patterns: dict[bool, bytes] = {}
        self._front: dict[int, bytes] = {}
        self._data: dict[int, bytes] = {}
        self._size: dict[int, int] = {}
        self._may_lose = not isinstance(tokenizer, TiktokenTokenizer)  # Whose tokens hold every byte of a text.
        self._partial: set[int] = set()
        self._index: list[bytes] = []
        self._start: list[bytes] = []
        self._end: list[bytes] = []

    def __call__(self, work: LineWork[Any], number: int, text: str) -> bytes | None:
        """The document of a line of text, with its end; None where the usual way has to make it."""
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
        return b"%b%d%b" % (self._before, number, known)

    def _after(self, work: LineWork[Any], text: str) -> bytes | None:
        """What stands in the document after the number of the line."""
        try:
            data = text.encode()
        except UnicodeEncodeError:
            return None
        if len(data) > LONGEST:
            return None
        if self._seen <= MANY:
            self._look_ahead(len(text))
        if self._added is not None:
            count = self._tokenizer.count(text) + self._added
            return self._pattern(work, True) % (count, len(text), len(data))
        ids = self._ids(text)
        tokens = self._tokens(ids, data)
        if tokens is None:
            return None
        pattern, sizes = self._pattern(work, bool(ids)), (len(ids), len(text), len(data))
        written = orjson.dumps(text)
        return pattern % ((orjson.dumps(ids), written, tokens, *sizes) if ids else (written, tokens, *sizes))

    def _look_ahead(self, size: int) -> None:
        """Once there was much, take the library that a tokenizer has for that."""
        self._seen += size
        if self._seen - size <= MANY < self._seen and isinstance(self._tokenizer, TiktokenTokenizer):
            self._ids = self._tokenizer.library.encode_ordinary

    def _pattern(self, work: LineWork[Any], with_ids: bool) -> bytes:
        """What of a document stands after the number of its line, with %b and %d for what each has of its own."""
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
        self._before, *rest = (piece.replace(b"%", b"%%") for piece in pieces[::2])
        self._before = self._before.replace(b"%%", b"%")
        signs = [b"%d" if name in (b"count", b"characters", b"bytes") else b"%b" for name in pieces[3::2]]
        pattern = self._patterns[with_ids] = b"".join(chain.from_iterable(zip(rest, [*signs, b""], strict=True)))
        return pattern

    def _tokens(self, ids: Sequence[int], data: bytes) -> bytes | None:
        """The tokens of a text; None unless their bytes, one after another, are the text's: each then begins where the
        last one ends."""
        try:
            fronts = list(map(self._front.__getitem__, ids))
        except KeyError:
            self._learn({token_id for token_id in ids if token_id not in self._front})
            fronts = list(map(self._front.__getitem__, ids))
        if self._partial and not self._partial.isdisjoint(ids):
            return None
        if self._may_lose and b"".join(map(self._data.__getitem__, ids)) != data:
            return None
        if len(data) >= len(self._end):
            self._count_to(2 * len(data) + 64)
        cuts = list(accumulate(map(self._size.__getitem__, ids), initial=0))
        starts = map(self._start.__getitem__, cuts)
        pieces = zip(self._index, fronts, starts, map(self._end.__getitem__, cuts[1:]), strict=False)
        return b"[%b]" % b"".join(chain.from_iterable(pieces))

    def _learn(self, ids: set[int]) -> None:
        for token_id in ids:
            data = self._data[token_id] = self._tokenizer.token_bytes(token_id)
            self._size[token_id] = len(data)
            text = data.decode("utf-8", "replace")
            if "\ufffd" in text:
                self._partial.add(token_id)
            written = (token_id, orjson.dumps(text), data.hex().encode())
            self._front[token_id] = b'%d,"text":%b,"bytes":"%b","start":' % written

    def _count_to(self, most: int) -> None:
        numbers = range(len(self._end), most)
        self._index += [b'%b{"index":%d,"id":' % (b"," if number else b"", number) for number in numbers]
        self._start += [b'%d,"end":' % number for number in numbers]
        self._end += [b"%d}" % number for number in numbers]
