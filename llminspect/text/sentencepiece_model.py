"""SentencePiece's own file (`tokenizer.model`, `spiece.model`): a protocol buffer with pieces, scores and settings.

Source: sentencepiece, `sentencepiece_model.proto` and `sentencepiece_processor.cc`. What Hugging Face adds to it
(BOS, EOS, more tokens) stands in `tokenizer_config.json` and `added_tokens.json`. ALBERT, XLNet and XLM-R read it by
rules of their own, which are written as a `tokenizer.json`: transformers, `tokenization_albert.py`,
`tokenization_xlnet.py`, `tokenization_xlm_roberta.py`.
"""

from __future__ import annotations

import json
import struct
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llminspect.errors import ModelError
from llminspect.text.sentencepiece import SPACE, Pieces, PieceTokenizer, SentencePieceBPE, byte_ids

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
UNIGRAM, BPE = 1, 2
ADDS_BOS = ("llama", "codellama", "mistral", "mixtral", "gemma", "gemma2", "gemma3", "gemma3_text")
"""Whose tokenizers put a BOS in front of a text where their settings do not say; T5's puts an EOS after it."""
EXTRA_IDS = 100
"""So many tokens `<extra_id_0>` … T5's tokenizer adds where its settings do not say."""


def sentencepiece_from_bytes(
    data: bytes, name: str, settings: Mapping[str, Any], added: Mapping[str, tuple[int, bool]], family: str = ""
) -> PieceTokenizer:
    """The tokenizer of a model file.

    `settings` are those of `tokenizer_config.json`; `added` more tokens, each with its id and whether it is special;
    `family` the model's kind, where one stands beside. ModelError: not such a file, or of a kind that is not read.
    """
    pieces, trainer, normalizer = parsed(data)
    # In a text these are looked for as they are meant.
    pieces = [
        (piece.replace(SPACE, " ") if kind == USER_DEFINED else piece, score, kind) for piece, score, kind in pieces
    ]
    if trainer.get(3, UNIGRAM) not in (UNIGRAM, BPE) or trainer.get(24) or not normalizer.get(5, 1):
        raise ModelError("the SentencePiece model cuts text in a way that is not known", "known are BPE and unigram")
    named = str(settings.get("tokenizer_class") or family).removesuffix("Fast").removesuffix("Tokenizer").lower()
    added = {**_extra_ids(settings, len(pieces), named), **added}
    size = max((len(pieces), *(token_id + 1 for token_id, _ in added.values())))
    tokens = [piece for piece, _, _ in pieces] + [""] * (size - len(pieces))
    for spelling, (token_id, _) in added.items():
        tokens[token_id] = spelling
    special = {piece: i for i, (piece, _, kind) in enumerate(pieces) if kind in (CONTROL, UNKNOWN)}
    always = {piece: i for i, (piece, _, kind) in enumerate(pieces) if kind == USER_DEFINED}
    special |= {spelling: token_id for spelling, (token_id, is_special) in added.items() if is_special}
    always |= {spelling: token_id for spelling, (token_id, is_special) in added.items() if not is_special}
    unknown = [i for i, (_, _, kind) in enumerate(pieces) if kind == UNKNOWN]
    held = Pieces(
        tokens,
        [score for _, score, _ in pieces] + [0.0] * (size - len(pieces)),
        special,
        {spelling: i for spelling, i in always.items() if spelling not in special},
        byte_ids(tokens, [i for i, (_, _, kind) in enumerate(pieces) if kind == BYTE]),
        unknown[0] if unknown else None,
        bool(normalizer.get(3, 1)),
    )
    tokenizer = _made(name, held, trainer, normalizer)
    tokenizer.joined_tokens = frozenset(i for i, (_, _, kind) in enumerate(pieces) if kind == USER_DEFINED)
    if tokenizer.joined_tokens:
        tokenizer.cut_pattern = None
    _add_ends(tokenizer, trainer, settings, named)
    return tokenizer


def _made(name: str, pieces: Pieces, trainer: Mapping[int, Any], normalizer: Mapping[int, Any]) -> PieceTokenizer:
    from llminspect.text.character_map import CharacterMap
    from llminspect.text.unigram import Unigram

    charsmap = normalizer.get(2)
    characters = CharacterMap(charsmap) if charsmap else None
    kind = SentencePieceBPE if trainer.get(3, UNIGRAM) == BPE else Unigram
    return kind(name, pieces, bool(normalizer.get(4, 1)), characters)


def _add_ends(tokenizer: PieceTokenizer, trainer: Mapping[int, Any], settings: Mapping[str, Any], named: str) -> None:
    """BOS and EOS: which they are, and whether they stand around a text."""

    def role(field: int, default: int) -> int | None:
        token_id = _signed(trainer.get(field, default))
        return token_id if 0 <= token_id < tokenizer.vocabulary_size else None

    tokenizer.bos_id, tokenizer.end_id = role(41, 1), role(42, 2)
    front = settings.get("add_bos_token", named in ADDS_BOS)
    after = settings.get("add_eos_token", named in ("t5", "mt5", "umt5"))
    tokenizer.prefix_ids = (tokenizer.bos_id,) if front and tokenizer.bos_id is not None else ()
    tokenizer.suffix_ids = (tokenizer.end_id,) if after and tokenizer.end_id is not None else ()


def _extra_ids(settings: Mapping[str, Any], size: int, named: str) -> dict[str, tuple[int, bool]]:
    """What T5 fills in: `<extra_id_0>` is the last of them."""
    count = settings.get("extra_ids", EXTRA_IDS if named in ("t5", "mt5", "umt5") else 0)
    if type(count) is not int or not 0 <= count <= 10_000:
        raise ModelError("the tokenizer's extra_ids is not a number of tokens")
    return {f"<extra_id_{i}>": (size + count - 1 - i, True) for i in range(count)}


def _signed(value: int) -> int:
    """A protocol buffer writes a negative number as one of 64 bits."""
    return value - (1 << 64) if value >= 1 << 63 else value


# -- The protocol buffer -----------------------------------------------------------------------------------------------


def parsed(data: bytes) -> tuple[list[tuple[str, float, int]], dict[int, Any], dict[int, Any]]:
    """The pieces (text, score, kind), the trainer's settings and the normalizer's."""
    try:
        pieces, trainer, normalizer = list[tuple[str, float, int]](), dict[int, Any](), dict[int, Any]()
        for field, value in _fields(data):
            if field == 1:
                parts = dict(_fields(value))
                score = struct.unpack("<f", parts.get(2, bytes(4)))[0]
                kind, piece = int(parts.get(3, NORMAL)), parts[1].decode()
                # A user's own symbol is looked for in the text as it is.
                pieces.append((piece.replace(SPACE, " ") if kind == USER_DEFINED else piece, score, kind))
            elif field in (2, 3):
                (trainer if field == 2 else normalizer).update(_fields(value))
    except (KeyError, IndexError, ValueError, TypeError, AttributeError, struct.error):
        raise ModelError("the file is not a SentencePiece model, or a damaged one") from None
    if not pieces:
        raise ModelError("the file is not a SentencePiece model: it holds no pieces")
    return pieces, trainer, normalizer


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """The number and value of each field: whole numbers, or bytes. ValueError: there is less than it says."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == 0:
            value: Any
            value, at = _varint(data, at)
        else:
            size, at = (8 if kind == 1 else 4, at) if kind in (1, 5) else _varint(data, at)
            if kind not in (1, 2, 5) or at + size > len(data):
                raise ValueError("no such field")
            value, at = data[at : at + size], at + size
        yield tag >> 3, value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError("no such number")


_ENDS: dict[str, tuple[Sequence[str], Sequence[str]]] = {
    "albert": (("[CLS]:0", "$A:0", "[SEP]:0"), ("[CLS]:0", "$A:0", "[SEP]:0", "$B:1", "[SEP]:1")),
    "xlnet": (("$A:0", "<sep>:0", "<cls>:2"), ("$A:0", "<sep>:0", "$B:1", "<sep>:1", "<cls>:2")),
    "xlmroberta": (("<s>:0", "$A:0", "</s>:0"), ("<s>:0", "$A:0", "</s>:0", "</s>:0", "$B:0", "</s>:0")),
}
"""What stands around a text and around two, each with its segment."""
OTHERS = frozenset(
    "camembert mbart mbart50 nllb nllbmoe m2m100 barthez xglm speech2text plbart marian pegasus rembert fnet reformer "
    "bigbird debertav2 cpm mluke seamlessm4t".split()
)
"""Whose rules around their SentencePiece file are not known here: read as it is it would give wrong ids."""


def document_for(data: bytes, settings: Mapping[str, Any], family: str) -> str | None:
    """A tokenizer.json for these three; None for others. ModelError: one that has rules which are not known here."""
    named = str(settings.get("tokenizer_class") or family).removesuffix("Fast").removesuffix("Tokenizer")
    named = named.lower().replace("-", "").replace("_", "")
    if named in OTHERS:
        raise ModelError(
            f"the rules by which {named} reads its SentencePiece file are not known", "a tokenizer.json has them in it"
        )
    if named not in _ENDS:
        return None
    pieces, trainer, normalizer = parsed(data)
    if trainer.get(3, UNIGRAM) != UNIGRAM:
        raise ModelError(f"the SentencePiece file is no unigram model, as {named} has")
    vocabulary = [[piece, score] for piece, score, _ in pieces]
    special = {piece: i for i, (piece, _, kind) in enumerate(pieces) if kind in (CONTROL, UNKNOWN, USER_DEFINED)}
    unknown = next(i for i, (_, _, kind) in enumerate(pieces) if kind == UNKNOWN)
    if named == "xlmroberta":  # fairseq's order, and a token for masks at the end.
        first = ["<s>", "<pad>", "</s>", "<unk>"]
        vocabulary = [*([piece, 0.0] for piece in first), *vocabulary[3:], ["<mask>", 0.0]]
        special = {**{piece: i for i, piece in enumerate(first)}, "<mask>": len(vocabulary) - 1}
        unknown = 3
    single, pair = ([_part(entry) for entry in entries] for entries in _ENDS[named])
    around = {entry["SpecialToken"]["id"] for entry in single if "SpecialToken" in entry}
    if not around <= special.keys():
        raise ModelError(
            f"the SentencePiece file has no {', '.join(sorted(around - special.keys()))}, as {named} needs"
        )
    return json.dumps({
        "version": "1.0",
        "added_tokens": [_added(i, piece) for piece, i in sorted(special.items(), key=lambda entry: entry[1])],
        "normalizer": {"type": "Sequence", "normalizers": _normalizers(named, settings, normalizer.get(2))},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, _METASPACE]},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": single,
            "pair": pair,
            "special_tokens": {name: {"id": name, "ids": [special[name]], "tokens": [name]} for name in around},
        },
        "decoder": _METASPACE,
        "model": {"type": "Unigram", "unk_id": unknown, "vocab": vocabulary, "byte_fallback": False},
    })  # fmt: skip


_METASPACE = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}


def _part(entry: str) -> dict[str, Any]:
    name, _, segment = entry.partition(":")
    kind = "Sequence" if name[0] == "$" else "SpecialToken"
    return {kind: {"id": name.removeprefix("$"), "type_id": int(segment)}}


def _added(token_id: int, content: str) -> dict[str, Any]:
    takes = content in ("<mask>", "[MASK]")  # The white space in front of it.
    flags = {"single_word": False, "lstrip": takes, "rstrip": False, "normalized": False, "special": True}
    return {"id": token_id, "content": content, **flags}


def _normalizers(named: str, settings: Mapping[str, Any], charsmap: bytes | None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if named != "xlmroberta":
        found += [{"type": "Replace", "pattern": {"String": quotes}, "content": '"'} for quotes in ("``", "''")]
        if named == "xlnet" or not settings.get("keep_accents", False):
            found += [{"type": "NFKD"}, {"type": "StripAccents"}]
        if settings.get("do_lower_case", named == "albert"):
            found.append({"type": "Lowercase"})
    if charsmap:
        found.append({"type": "Precompiled", "precompiled_charsmap": b64encode(charsmap).decode()})
    return found
