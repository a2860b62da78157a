"""SentencePiece's file as ALBERT, XLNet and XLM-R read it: with rules of their own, written as a `tokenizer.json`.

Source: transformers, `tokenization_albert.py`, `tokenization_xlnet.py`, `tokenization_xlm_roberta.py`.
"""

from __future__ import annotations

import json
from base64 import b64encode
from typing import TYPE_CHECKING, Any

from llminspect.errors import ModelError
from llminspect.text.sentencepiece_model import CONTROL, UNIGRAM, UNKNOWN, USER_DEFINED, parsed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
