"""Files of ranks, as tiktoken merges by them: `*.tiktoken`, a `tokenizer.model` of that form, Mistral's `tekken.json`.

Sources: tiktoken, `load.py` (a token in base64 and its rank a line); mistral-common, its `tekken` module;
for the patterns and special tokens that a file of ranks does not hold: `tokenization_qwen.py` of Qwen's first models,
which compose characters first (NFC, Unicode Standard Annex 15), the `tokenizer` module of llama_models' llama3.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any
from unicodedata import combining, is_normalized, normalize

from llminspect.errors import ModelError
from llminspect.text.pretokenize import PRE_TOKENIZERS
from llminspect.text.tiktoken_encodings import ENCODINGS, Encoding, TiktokenTokenizer
from llminspect.text.tokenizer import Token, utf8

MOST = 1 << 24
"""More ids than this no file may name."""

_LLAMA3_SPECIAL = (
    *("<|begin_of_text|>", "<|end_of_text|>", "<|reserved_special_token_0|>", "<|reserved_special_token_1|>"),
    *("<|finetune_right_pad_id|>", "<|step_id|>", "<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>"),
    *("<|eot_id|>", "<|python_tag|>"),
)
_QWEN_SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


def is_ranks(data: bytes) -> bool:
    """Whether a file's first line is a token in base64 and its rank."""
    return re.match(rb"[A-Za-z0-9+/]+={0,2} \d+\r?\n", data) is not None


def tokenizer_of_ranks(data: bytes, name: str, file: str) -> TiktokenTokenizer:
    """The tokenizer of a `*.tiktoken` file, or of a `tokenizer.model` of that form, called `file`.

    It says nothing of how text is cut and which tokens are special: OpenAI's names of files, Qwen's and the number of
    Llama 3's ranks do. What is none of these is cut as by cl100k_base, with a note. ModelError: not such a file.
    """
    ranks = _ranks(data)
    base = file.removesuffix(".tiktoken")
    if base in ENCODINGS and all(i >= len(ranks) or not ranks[i] for i in ENCODINGS[base].special_tokens.values()):
        encoding = ENCODINGS[base]
    elif base == "qwen":
        extra = [*_QWEN_SPECIAL, *(f"<|extra_{i}|>" for i in range(205))]
        encoding = _encoding(PRE_TOKENIZERS["qwen2"][0], extra, len(ranks), ("<|endoftext|>", "<|im_end|>"))
    elif len(ranks) == 128_000:
        reserved = [f"<|reserved_special_token_{i}|>" for i in range(2, 247)]
        special = [*_LLAMA3_SPECIAL, *reserved]
        encoding = _encoding(PRE_TOKENIZERS["llama-bpe"][0], special, len(ranks), ("<|end_of_text|>", "<|eot_id|>"))
    else:
        encoding = Encoding("", ENCODINGS["cl100k_base"].pattern, {}, ())
    kind = ComposingTokenizer if base == "qwen" else TiktokenTokenizer
    tokenizer = kind(name, lambda _: ranks, encoding)
    if not encoding.special_tokens:
        tokenizer.note = (
            f"{file} holds ranks alone and does not say how text is cut into words, so the cut is a guess (that of "
            "cl100k_base), and special tokens are not known"
        )
    begin = encoding.special_tokens.get("<|begin_of_text|>")
    if begin is not None:
        tokenizer.bos_id, tokenizer.prefix_ids = begin, (begin,)
    return tokenizer


def _encoding(pattern: str, special: list[str], first: int, stops: tuple[str, ...]) -> Encoding:
    return Encoding("", pattern, {spelling: first + i for i, spelling in enumerate(special)}, stops)


def _ranks(data: bytes) -> list[bytes]:
    """The tokens by rank, b"" where one is left out."""
    found: dict[int, bytes] = {}
    try:
        for line in data.splitlines():
            if line:
                token, rank = line.split(b" ")
                found[int(rank)] = b64decode(token, validate=True)
    except ValueError:
        raise ModelError("the file does not hold a token in base64 and its rank in each line") from None
    return _in_order(found)


def _in_order(found: Mapping[int, bytes]) -> list[bytes]:
    if not found or not 0 <= min(found) <= max(found) < MOST:
        raise ModelError("the file of ranks names none, or ones that cannot be")
    missing = 256 - len({token for token in found.values() if len(token) == 1})
    if missing:
        raise ModelError(f"of the 256 single bytes {missing} have no rank, so not every text has tokens")
    return [found.get(rank, b"") for rank in range(max(found) + 1)]


# -- Tekken ------------------------------------------------------------------------------------------------------------

_OLDER_SPECIAL = (
    *("<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]"),
    *("[/TOOL_RESULTS]", "[TOOL_CALLS]", "[IMG]", "<pad>", "[IMG_BREAK]", "[IMG_END]", "[PREFIX]", "[MIDDLE]"),
    *("[SUFFIX]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[TOOL_CONTENT]"),
)
"""Of files that do not list them (before Mistral's version 7)."""


def tokenizer_of_tekken(data: bytes, name: str) -> TiktokenTokenizer:
    """Mistral's tokenizer: special tokens first, then as many ranks as the vocabulary has room for.

    ModelError: not such a file, or text is cut by a pattern that is not known.
    """
    try:
        document: dict[str, Any] = json.loads(data)
        config, listed = document["config"], document.get("special_tokens")
        special_count, size = int(config["default_num_special_tokens"]), int(config["default_vocab_size"])
        special = {int(entry["rank"]): str(entry["token_str"]) for entry in listed or ()}
        special = special or dict(enumerate(_OLDER_SPECIAL))
        ranks = {int(entry["rank"]): b64decode(entry["token_bytes"], validate=True) for entry in document["vocab"]}
        pattern = str(config["pattern"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ModelError("tekken.json does not hold a configuration, ranks and special tokens") from None
    known = PRE_TOKENIZERS["tekken"][0]
    if pattern != known:
        raise ModelError("tekken.json cuts text by a pattern that is not known", f"known is {known}")
    if not 0 <= special_count <= size < MOST or max(special, default=0) >= special_count:
        raise ModelError("tekken.json has more special tokens than it has room for")
    kept = {rank: token for rank, token in ranks.items() if 0 <= rank < size - special_count}
    named = {i: special.get(i, f"<SPECIAL_{i}>") for i in range(special_count)}
    spellings = {spelling: i for i, spelling in named.items()}
    encoding = Encoding("", known, spellings, tuple(stop for stop in ("</s>",) if stop in spellings))
    tokens = [b""] * special_count + _in_order(kept)
    tokenizer = TiktokenTokenizer(name, lambda _: tokens, encoding)
    tokenizer.bos_id, tokenizer.end_id = spellings.get("<s>"), spellings.get("</s>")
    tokenizer.unknown_id = spellings.get("<unk>")
    tokenizer.prefix_ids = () if tokenizer.bos_id is None else (tokenizer.bos_id,)
    return tokenizer


class ComposingTokenizer(TiktokenTokenizer):
    """A composed character owns all the bytes that it was made from."""

    lossless = False
    loss = "how characters are composed (NFC)"

    def pieces(self, text: str) -> list[str]:
        return super().pieces(normalize("NFC", text))

    def ids_plain(self, text: str) -> list[int]:
        return super().ids_plain(normalize("NFC", text))

    def count_plain(self, text: str) -> int:
        return super().count_plain(normalize("NFC", text))

    def encode_plain(self, text: str, at: int) -> list[Token]:
        tokens = super().encode_plain(text, 0)
        if is_normalized("NFC", text):
            return [replace(token, start=(token.start or 0) + at, end=(token.end or 0) + at) for token in tokens]
        before, after = [0], [0]
        for stretch in stretches(text):
            before.append(before[-1] + len(utf8(stretch)))
            after.append(after[-1] + len(utf8(normalize("NFC", stretch))))

        def place(byte: int) -> int:
            """The byte of the text as it was; inside a changed stretch as far in as there is room."""
            number = min(bisect_right(after, byte), len(after) - 1) - 1
            return at + min(before[number] + byte - after[number], before[number + 1]) if byte < after[-1] else end

        end = at + before[-1]
        return [replace(token, start=place(token.start or 0), end=place(token.end or 0)) for token in tokens]


def stretches(text: str) -> Iterator[str]:
    """The text in pieces that are composed each by itself.

    >>> [len(stretch) for stretch in stretches("a\\u0301b")]
    [2, 1]
    """
    stretch = ""
    for character in text:
        alone = not combining(character) and normalize("NFC", stretch + character) == normalize(
            "NFC", stretch
        ) + normalize("NFC", character)
        if alone and stretch:
            yield stretch
            stretch = ""
        stretch += character
    if stretch:
        yield stretch
