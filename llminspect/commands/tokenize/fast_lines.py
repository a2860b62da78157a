"""`tokenize --lines` for long input: the same documents as everywhere, put together from pieces that are made once.

What of a token does not hang on its place (id, text, bytes) is written once; numbers are looked up; what all documents
have alike is cut out of one that was made the usual way. A line that is out of the ordinary is left to that way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import accumulate, chain
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeAlias

import orjson

from llminspect.analysis.result import is_partial, token_documents
from llminspect.analysis.tokenize import CountResult, TokenizeResult, about
from llminspect.cli.json_text import json_bytes
from llminspect.text.huggingface import HuggingFaceTokenizer
from llminspect.text.prompt import Prompt
from llminspect.text.sentencepiece import PieceTokenizer
from llminspect.text.spans import plain_spans
from llminspect.text.tiktoken_encodings import TiktokenTokenizer
from llminspect.text.tokenizer import Token, Tokenizer

if TYPE_CHECKING:
    from llminspect.arguments.shared import SourceOptions
    from llminspect.arguments.tokenize import TokenizeOptions
    from llminspect.cli.stream import LineWork

LONGEST = 1 << 14
"""Bytes of a line that is written so: as many numbers are held."""
MANY = 1 << 17
"""Characters after which it pays to build the library that a tokenizer has for long texts."""
HELD = 8 << 20
"""Bytes of documents that are held, since texts repeat their lines."""
REPEATED = 64
"""Characters of a line that may well come once more."""
Spans: TypeAlias = "tuple[Sequence[int], Sequence[int]]"
"""Where each token starts and where it ends."""
_PLACE = re.compile('\\[?"\ue0f2(\\w+)\ue0f3"\\]?'.encode())


def fast_lines(tokenizer: Tokenizer, source: SourceOptions, options: TokenizeOptions) -> FastLines | None:
    """For options that make no document out of the ordinary."""
    given = {**vars(source), **vars(options)}
    slow = "chat system user ids pair compare steps truncate by_line cost budget max_tokens_allowed"
    twice = tokenizer.always_tokens.keys() & tokenizer.special_tokens.keys()
    if any(given.get(name) is not None and given[name] is not False for name in slow.split()):
        return None
    if source.parse != "text" or twice or tokenizer.learns:
        return None
    around = ((), ()) if source.special is False else (tokenizer.prefix_ids, tokenizer.suffix_ids)
    if options.count and any(around) and tokenizer.always_tokens:
        return None
    return FastLines(tokenizer, options.count, *around)


class FastLines:
    """Writes the document of a line, or only the count; `prefix` and `suffix` are the ids around each text."""

    def __init__(
        self, tokenizer: Tokenizer, only_count: bool, prefix: Sequence[int] = (), suffix: Sequence[int] = ()
    ) -> None:
        self._tokenizer, self._only_count = tokenizer, only_count
        self._prefix, self._suffix = list(prefix), list(suffix)
        self._ids: Callable[[str], list[int]] = tokenizer.ids_plain
        if tokenizer.always_tokens:
            self._ids = tokenizer.encode_ids
        self._seen = 0
        self._known: dict[str, bytes] = {}
        self._held = 0
        self._before = b""
        self._patterns: dict[bool, list[bytes]] = {}
        self._keeps_all = isinstance(tokenizer, TiktokenTokenizer)  # Its tokens hold every byte of a text.
        self._joins = self._keeps_all or type(tokenizer).decode is Tokenizer.decode
        self._data: list[Any] = [None] * tokenizer.vocabulary_size
        """By id, as `_front` and `_size`; None until a token is met."""
        self._front, self._size = self._data.copy(), self._data.copy()
        self._before_text, self._after_text = self._around(self._prefix), self._around(self._suffix)
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
            if len(text) > REPEATED:
                return self._before, b"%d" % number, known
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
        size, missing = len(data), self._tokenizer.missing_bytes
        if size > LONGEST or (missing and len(data.translate(None, missing)) != size):
            return None
        if self._seen <= MANY:
            self._look_ahead(len(text))
        if self._only_count:
            count = self._tokenizer.count(text) + len(self._prefix) + len(self._suffix)
            return b"".join(self._pattern(work, True)) % (count, len(text), size)
        ids, spans, whole = self._spans(text, data)
        if spans is None or (self._prefix and list(ids[: len(self._prefix)]) == self._prefix):
            return None
        all_ids = [*self._prefix, *ids, *self._suffix] if self._prefix or self._suffix else ids
        *between, last = self._pattern(work, bool(all_ids))
        tokens = self._tokens(ids, spans, self._keeps_all and size == len(text))
        sizes = (len(all_ids), len(text), size, b"true" if whole else b"false")
        front = [between[0], orjson.dumps(all_ids), between[1]] if all_ids else [between[0]]
        return b"".join([*front, orjson.dumps(text), between[-1], *tokens, last % sizes])

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
        names, first, forms = "count characters bytes", b"", [b"%d"] * 3
        if not self._only_count:
            text, tokens, whole = place("text"), [place("tokens")], place("round_trip")
            result = TokenizeResult(text, tokens, tokenizer=about(self._tokenizer), round_trip=whole, **sizes)
            names, first = ("ids " if with_ids else "") + f"text tokens {names} round_trip", b"]"
            forms.append(b"%b")
        prompt = Prompt(None, [Token(place("ids"), b"", None, None)] if with_ids else [], place("line"))
        pieces = _PLACE.split(json_bytes(work.document(result, prompt), work.digits))
        assert b" ".join(pieces[1::2]).decode() == f"line {names}"
        self._before, *between = pieces[::2]
        ends = [piece.replace(b"%", b"%%") for piece in between[-len(forms) - 1 :]]
        last = first + ends[0] + b"".join(form + end for form, end in zip(forms, ends[1:], strict=True))
        between = between[: -len(forms) - 1]
        if not self._only_count:
            between[-1] += b"["
        self._patterns[with_ids] = [*between, last]
        return self._patterns[with_ids]

    def _spans(self, text: str, data: bytes) -> tuple[Sequence[int], Spans | None, bool]:
        """The ids of a text, where each token starts and ends, and whether decoding them gives the text back. No spans
        where only the usual way knows them."""
        places = None
        if isinstance(self._tokenizer, HuggingFaceTokenizer):
            ids, places = self._tokenizer.ids_and_places(text)
        else:
            ids = self._ids(text) if text else []
        try:
            cuts = list(accumulate(_taken(self._size, ids), initial=0))
        except TypeError:  # One was not met before.
            self._learn({token_id for token_id in ids if self._size[token_id] is None})
            cuts = list(accumulate(_taken(self._size, ids), initial=0))
        if cuts[-1] == len(data) and (self._keeps_all or b"".join(map(self._data.__getitem__, ids)) == data):
            return ids, (cuts[:-1], cuts[1:]), self._joins or self._comes_back(ids, data)
        if places is not None:
            return ids, plain_spans(text, places), self._comes_back(ids, data)
        spaced = isinstance(self._tokenizer, PieceTokenizer) and self._tokenizer.adds_space
        if spaced and cuts[-1] == len(data) + 1 and b"".join(map(self._data.__getitem__, ids)) == b" " + data:
            cuts = [0, *(cut - 1 for cut in cuts[1:])]  # The space in front has no bytes of the text.
            return ids, (cuts[:-1], cuts[1:]), self._comes_back(ids, data)
        return ids, None, False

    def _comes_back(self, ids: Sequence[int], data: bytes) -> bool:
        return self._tokenizer.decode(ids) == data

    def _tokens(self, ids: Sequence[int], spans: Spans, is_ascii: bool) -> list[bytes]:
        """The tokens in pieces, with those around the text; one that `is_ascii` has no half characters."""
        first, after = len(self._prefix), len(self._prefix) + len(ids)
        most = max(after + len(self._suffix), spans[1][-1] if ids else 0)
        if most >= len(self._end):
            self._count_to(2 * most + 64)
        ends: Sequence[bytes] = _taken(self._end, spans[1])
        if not is_ascii and not self._partial.isdisjoint(ids):
            ends = [
                end[:-1] + b',"partial":true}' if token_id in self._partial else end
                for token_id, end in zip(ids, ends, strict=True)
            ]
        tokens = [b""] * (4 * len(ids))
        tokens[::4], tokens[1::4] = self._index[first:after], _taken(self._front, ids)
        tokens[2::4], tokens[3::4] = _taken(self._start, spans[0]), ends
        if not self._prefix and not self._suffix:
            return tokens
        before = zip(self._index, self._before_text, strict=False)
        following = zip(self._index[after:], self._after_text, strict=False)
        return [*chain.from_iterable(before), *tokens, *chain.from_iterable(following)]

    def _around(self, ids: Sequence[int]) -> list[bytes]:
        """What stands after the index in the documents of tokens around a text, which are of no byte of it."""
        tokens = self._tokenizer.wrap_ids(ids)
        documents = [orjson.dumps(token_documents([token])[0]) for token in tokens]
        return [document.removeprefix(b'{"index":0,"id":') for document in documents]

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


def _taken(among: Sequence[Any], places: Sequence[int]) -> Sequence[Any]:
    """`[among[place] for place in places]`, in a loop of C."""
    return itemgetter(*places)(among) if len(places) > 1 else [among[place] for place in places]
