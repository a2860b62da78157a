r"""RWKV's tokenizer: at each place the longest token of the vocabulary, byte by byte; "rwkv" in a GGUF.

The file writes bytes as Python does in `b"…"`: a line break is `\n`, a byte that is no printable character `\xff`.
Sources: RWKV-LM, `rwkv_tokenizer.py` (`TRIE_TOKENIZER`); llama.cpp, `llama-vocab.cpp`, `llm_tokenizer_rwkv`. There the
control token `<s>` is found in a text as well; here, as in RWKV's, a text that spells it stays a text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from llminspect.errors import ModelError
from llminspect.text.tokenizer import Tokenizer, utf8

CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message.role | capitalize }}: {{ message.content | trim }}\n\n{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)
"""What a file means whose template is `rwkv-world`: the name of one that llama.cpp has."""
_ESCAPED = re.compile(rb"\\(?:x([0-9a-f]{2})|(.))", re.DOTALL)
_LETTERS = {b"t": b"\t", b"n": b"\n", b"r": b"\r"}


def unescaped(token: str) -> bytes:
    r"""The bytes of a token as the file writes it.

    >>> unescaped(r"a\n\xff\\")
    b'a\n\xff\\'
    """
    return _ESCAPED.sub(
        lambda found: bytes.fromhex(found[1].decode()) if found[1] else _LETTERS.get(found[2], found[2]), utf8(token)
    )


class LongestMatch(Tokenizer):
    """`unused` are ids that no text has. ModelError: a byte has no token, so that not every text has some."""

    kind = "longest match"

    def __init__(self, name: str, tokens: Sequence[str], special: Mapping[str, int], unused: Iterable[int]) -> None:
        self.name, self.special_tokens, self.vocabulary_size = name, special, len(tokens)
        literal = frozenset((*special.values(), *unused))
        self._data = [utf8(token) if i in literal else unescaped(token) for i, token in enumerate(tokens)]
        self._ids = {data: i for i, data in enumerate(self._data) if data and i not in literal}
        missing = 256 - sum(bytes([byte]) in self._ids for byte in range(256))
        if missing:
            raise ModelError(f"of the 256 single bytes {missing} have no token, so not every text has tokens")
        sizes: dict[bytes, set[int]] = {}
        for data in self._ids:
            sizes.setdefault(data[:2], set()).add(len(data))
        # The sizes of the tokens that begin with two bytes, the largest first.
        self._sizes = {begin: sorted(found, reverse=True) for begin, found in sizes.items()}

    def token_bytes(self, token_id: int) -> bytes:
        if not 0 <= token_id < len(self._data):
            raise self.outside(token_id)
        return self._data[token_id]

    def ids_plain(self, text: str) -> list[int]:
        data, at, ids = utf8(text), 0, []
        while at < len(data):
            for size in self._sizes.get(data[at : at + 2], ()):
                found = self._ids.get(data[at : at + size])
                if found is not None and at + size <= len(data):
                    break
            else:
                found, size = self._ids[data[at : at + 1]], 1
            ids.append(found)
            at += size
        return ids
