"""The tokenizer that a GGUF file carries in its metadata (`tokenizer.ggml.*`).

Source for the keys: the GGUF specification, section "Tokenizer"; for what is assumed where a key is left out:
llama.cpp, `llama-vocab.cpp`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from llminspect.errors import ModelError, reader
from llminspect.text.bpe import ByteLevelBPE
from llminspect.text.pairs import pair_of_bert, pair_of_roberta
from llminspect.text.pretokenize import ADD_BOS, WHOLE_WORDS_FIRST, patterns_named
from llminspect.text.special_tokens import strips_of_gguf
from llminspect.text.tokenizer import Tokenizer

# Kinds of token (`tokenizer.ggml.token_type`).
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6

END_OF_TURN = ("<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<|eom_id|>", "<EOT>", "</s>")
"""Spellings of tokens that end a turn, at which generation stops too where the vocabulary holds them as special."""


@reader("the tokenizer in the metadata")
def tokenizer_from_gguf(metadata: Mapping[str, Any], name: str = "gguf") -> Tokenizer:
    """Build the tokenizer from a GGUF file's metadata, strings and lists under their keys.

    Raises ModelError where the file carries no tokenizer, or one of a kind not known.
    """
    _check_forms(metadata)
    model = metadata.get("tokenizer.ggml.model")
    builders: dict[str, Callable[[str, Mapping[str, Any], _Kinds], Tokenizer]] = {
        "gpt2": _bpe,
        "gemma4": _bpe,
        "whitespace": _bpe,
        "hybriddna": _hybrid_dna,
        "rwkv": _longest_match,
        "plamo2": _plamo,
        "llama": _sentencepiece,
        "t5": _sentencepiece,
        "bert": _wordpiece,
    }
    if model is None or not metadata.get(TOKENS):
        raise ModelError("the file carries no tokenizer (tokenizer.ggml.model and tokenizer.ggml.tokens)")
    if model not in builders:
        raise ModelError(f"the file's tokenizer is of the kind {model!a}", "known are " + ", ".join(builders))
    if model in ("gemma4", "whitespace"):  # Which have one pre-tokenizer each.
        metadata = {**metadata, "tokenizer.ggml.pre": model}
    tokenizer = builders[model](name, metadata, _kinds(metadata))
    _add_rules(tokenizer, metadata)
    return tokenizer


_PREFIX = "tokenizer.ggml."
TOKENS = "tokenizer.ggml.tokens"
_ROLES = ("bos", "eos", "eot", "eom", "unknown", "seperator", "padding", "cls", "mask")
_FORMS: dict[str, tuple[Any, str]] = {
    **dict.fromkeys(("model", "pre"), (str, "a text")),
    **dict.fromkeys((f"{role}_token_id" for role in _ROLES), (int, "a whole number")),
}
_LIST_FORMS: dict[str, tuple[Any, str]] = {
    **dict.fromkeys(("tokens", "merges"), (str, "texts")),
    **dict.fromkeys(("token_type", "precompiled_charsmap"), (int, "whole numbers")),
    "scores": (int | float, "numbers"),
}


def _check_forms(metadata: Mapping[str, Any]) -> None:
    """Raise ModelError where a key holds another kind of value than it must. All members of a GGUF array are alike."""
    for key, (kind, named) in _FORMS.items():
        if not isinstance(metadata.get(_PREFIX + key), kind | None):
            raise ModelError(f"the tokenizer's {_PREFIX}{key} is not {named}")
    for key, (kind, named) in _LIST_FORMS.items():
        value = metadata.get(_PREFIX + key)
        if value is not None and not (isinstance(value, list) and (not value or isinstance(value[0], kind))):
            raise ModelError(f"the tokenizer's {_PREFIX}{key} is not a list of {named}")


_Kinds = tuple[dict[str, int], dict[str, int]]


def _kinds(metadata: Mapping[str, Any]) -> _Kinds:
    """The special tokens (control, unknown) and the user-defined ones: spelling to id."""
    tokens: Sequence[str] = metadata[TOKENS]
    kinds: Sequence[int] = metadata.get("tokenizer.ggml.token_type") or [NORMAL] * len(tokens)
    if len(kinds) != len(tokens):
        raise ModelError(f"the tokenizer lists {len(tokens)} tokens but the kinds of {len(kinds)}")
    special, always = {}, {}
    for i in [i for i, kind in enumerate(kinds) if kind != NORMAL]:  # Few of very many.
        if kinds[i] in (CONTROL, UNKNOWN):
            special[tokens[i]] = i
        elif kinds[i] == USER_DEFINED:
            always[tokens[i]] = i
    return special, always


def _bpe(name: str, metadata: Mapping[str, Any], kinds: _Kinds) -> Tokenizer:
    """Byte-pair encoding with a list of merges, of bytes or of characters."""
    merges = metadata.get("tokenizer.ggml.merges")
    if not merges:
        raise ModelError("the tokenizer is a byte-pair encoding without merges (tokenizer.ggml.merges)")
    pre = metadata.get("tokenizer.ggml.pre")
    if pre in _OF_CHARACTERS and metadata["tokenizer.ggml.model"] != "hybriddna":
        return _character_bpe(name, metadata, kinds, merges, pre)
    whole_first = pre in WHOLE_WORDS_FIRST
    tokenizer = ByteLevelBPE(
        name, metadata[TOKENS], merges, patterns_named(pre or "default"), *kinds, ignore_merges=whole_first
    )
    if pre is None:
        tokenizer.note = (
            "the file does not say how text is cut into words (tokenizer.ggml.pre), so the cut is a guess, as "
            "llama.cpp guesses, and the tokens may not be those that the model was trained on"
        )
    return tokenizer


_OF_CHARACTERS = frozenset(("gemma4", "granite-embed-multi-311m", "sarvam-moe", "whitespace"))
"""Pre-tokenizers of vocabularies that spell characters, not bytes."""


def _character_bpe(name: str, metadata: Mapping[str, Any], kinds: _Kinds, merges: Sequence[str], pre: str) -> Tokenizer:
    from llminspect.text.character_bpe import CharacterBPE, SpacedBPE
    from llminspect.text.sentencepiece import Pieces, byte_ids

    tokens = metadata[TOKENS]
    bytes_ = byte_ids(tokens, range(len(tokens)))
    unknown = metadata.get("tokenizer.ggml.unknown_token_id")
    pieces = Pieces(tokens, [0.0] * len(tokens), *kinds, byte_ids=bytes_, unknown_id=unknown, space_prefix=False)
    if pre == "whitespace":
        return SpacedBPE(name, pieces, merges, bool(metadata.get("tokenizer.ggml.normalizer.lowercase", False)))
    return CharacterBPE(name, pieces, merges, whole_breaks=pre != "sarvam-moe")


def _hybrid_dna(name: str, metadata: Mapping[str, Any], kinds: _Kinds) -> Tokenizer:
    from llminspect.text.hybrid_dna import HybridDNA

    text = _bpe(name, metadata, kinds)
    assert isinstance(text, ByteLevelBPE), "a pre-tokenizer of characters is another kind"
    made = HybridDNA(text)
    made.note = text.note
    return made


def _longest_match(name: str, metadata: Mapping[str, Any], kinds: _Kinds) -> Tokenizer:
    """RWKV's, which has no merges."""
    from llminspect.text.longest_match import LongestMatch

    return LongestMatch(name, metadata[TOKENS], kinds[0], _of_kind(metadata, UNUSED))


def _scores(metadata: Mapping[str, Any]) -> Sequence[float]:
    scores: Sequence[float] | None = metadata.get("tokenizer.ggml.scores")
    if scores is None or len(scores) != len(metadata[TOKENS]):
        raise ModelError("the tokenizer needs a score for each token (tokenizer.ggml.scores)")
    return scores


def _of_kind(metadata: Mapping[str, Any], wanted: int) -> list[int]:
    """The ids of the tokens of a kind."""
    return [i for i, kind in enumerate(metadata.get("tokenizer.ggml.token_type") or []) if kind == wanted]


def _plamo(name: str, metadata: Mapping[str, Any], kinds: _Kinds) -> Tokenizer:
    from llminspect.text.unigram import Plamo

    tokens, special = metadata[TOKENS], {**kinds[0], **kinds[1]}
    return Plamo(name, tokens, _scores(metadata), special, _of_kind(metadata, BYTE))


def _sentencepiece(name: str, metadata: Mapping[str, Any], kinds: _Kinds) -> Tokenizer:
    """One of SentencePiece's two algorithms, byte-pair encoding ("llama") or the unigram model ("t5")."""
    from llminspect.text.sentencepiece import Pieces, SentencePieceBPE, byte_ids

    tokens, scores = metadata[TOKENS], _scores(metadata)
    merges = metadata["tokenizer.ggml.model"] == "llama"
    unknown = metadata.get("tokenizer.ggml.unknown_token_id", 0 if merges else 2)
    pieces = Pieces(
        tokens,
        scores,
        *kinds,
        byte_ids=byte_ids(tokens, _of_kind(metadata, BYTE)),
        unknown_id=int(unknown) if 0 <= int(unknown) < len(tokens) else None,
        space_prefix=bool(metadata.get("tokenizer.ggml.add_space_prefix", True)),
    )
    if merges:
        return SentencePieceBPE(name, pieces)
    from llminspect.text.character_map import CharacterMap
    from llminspect.text.unigram import Unigram

    charsmap = metadata.get("tokenizer.ggml.precompiled_charsmap")
    return Unigram(
        name,
        pieces,
        remove_extra_spaces=bool(metadata.get("tokenizer.ggml.remove_extra_whitespaces", False)),
        characters=CharacterMap(bytes(value & 0xFF for value in charsmap)) if charsmap else None,
    )


def _wordpiece(name: str, metadata: Mapping[str, Any], kinds: _Kinds) -> Tokenizer:
    """A GGUF spells a piece that begins a word with a ▁ in front, and one inside a word without."""
    from llminspect.text.wordpiece import WordPiece

    tokens = metadata[TOKENS]
    # Older files call the special tokens normal; BERT spells them all in brackets.
    special = kinds[0] or {token: i for i, token in enumerate(tokens) if token[:1] == "[" and token[-1:] == "]"}
    taken = set(special.values())
    first = {token[1:]: i for i, token in enumerate(tokens) if token[:1] == "▁" and i not in taken}
    inside = {token: i for i, token in enumerate(tokens) if token[:1] != "▁" and i not in taken}
    cased = any("A" <= character <= "Z" for token in first for character in token)
    unknown = metadata.get("tokenizer.ggml.unknown_token_id", special.get("[UNK]"))
    lowercase = bool(metadata.get("tokenizer.ggml.normalizer.lowercase", not cased))
    accents = metadata.get("tokenizer.ggml.normalizer.strip_accents")
    strip_accents = None if accents is None else bool(accents)
    return WordPiece(name, first, inside, special, len(tokens), unknown, lowercase, strip_accents)


_ADDS_BY_DEFAULT = {"llama": (True, False), "bert": (True, True), "t5": (False, True)}
"""Whether BOS (CLS) goes in front and EOS (SEP) after it where the file does not say."""

_IDS_BY_DEFAULT: dict[str, dict[str, int]] = {
    "llama": {"bos": 1, "eos": 2, "unknown": 0},
    "plamo2": {"bos": 1, "eos": 2, "unknown": 0},
    "t5": {"eos": 1, "unknown": 2},
    "bert": {"cls": 101, "seperator": 102, "unknown": 100, "mask": 103},
}
"""The ids where the file does not say, if these are special tokens in it. Of "gpt2" llama.cpp assumes Falcon's; here
there are none."""


def _token_id(tokenizer: Tokenizer, metadata: Mapping[str, Any], key: str) -> int | None:
    value = metadata.get(f"tokenizer.ggml.{key}_token_id")
    if value is not None and 0 <= int(value) < tokenizer.vocabulary_size:
        return int(value)
    found = _IDS_BY_DEFAULT.get(metadata["tokenizer.ggml.model"], {}).get(key)
    return found if found in tokenizer.special_tokens.values() else None


def _add_rules(tokenizer: Tokenizer, metadata: Mapping[str, Any]) -> None:
    """Prefix, suffix, the ids that stop generation, and the chat template."""
    model, pre = metadata["tokenizer.ggml.model"], metadata.get("tokenizer.ggml.pre")
    token_id = partial(_token_id, tokenizer, metadata)
    front, after = _ADDS_BY_DEFAULT.get(model, (pre in ADD_BOS, False))
    bos, eos, sep = token_id("bos"), token_id("eos"), token_id("seperator")  # The specification spells it so.
    if model == "bert":
        bos, last = token_id("cls") if bos is None else bos, eos if sep is None else sep
        after = bool(metadata.get("tokenizer.ggml.add_sep_token", metadata.get("tokenizer.ggml.add_eos_token", True)))
    else:
        last = eos
        after = bool(metadata.get("tokenizer.ggml.add_eos_token", after))
    # Files of Gemma 4 were made that say no by mistake (llama.cpp, pull request 21500).
    front = bool(metadata.get("tokenizer.ggml.add_bos_token", front)) or pre == "gemma4"
    tokenizer.bos_id, tokenizer.end_id = bos, eos
    tokenizer.prefix_ids = (bos,) if front and bos is not None else ()
    tokenizer.suffix_ids = (last,) if after and last is not None else ()
    if model == "bert":
        tokenizer.pair_template = pair_of_bert(tokenizer.prefix_ids, tokenizer.suffix_ids)
    elif metadata.get("general.architecture") == "bert":
        doubled = metadata.get("tokenizer.ggml.add_sep_token", True) is not False
        between = [eos if sep is None else sep] * doubled
        tokenizer.pair_template = pair_of_roberta(tokenizer.prefix_ids, tokenizer.suffix_ids, between)
    tokenizer.strips = strips_of_gguf(metadata, {**tokenizer.special_tokens, **tokenizer.always_tokens})
    if any(tokenizer.strips):  # After a cut a token would not find the white space that it takes.
        tokenizer.cut_pattern = None
    unknown = token_id("unknown")
    tokenizer.unknown_id = tokenizer.unknown_id if unknown is None else unknown
    tokenizer.mask_id = token_id("mask")
    stated = metadata.get("tokenizer.ggml.eos_token_ids") or ()
    several = {int(end) for end in stated if 0 <= int(end) < tokenizer.vocabulary_size}
    stops = (
        {eos, token_id("eot"), token_id("eom")} | several | {tokenizer.special_tokens.get(text) for text in END_OF_TURN}
    )
    tokenizer.eos_ids = frozenset(stop for stop in stops if stop is not None)
    template, for_tools = (metadata.get(f"tokenizer.chat_template{name}") for name in ("", ".tool_use"))
    tokenizer.chat_template = template if isinstance(template, str) else None
    if template == "rwkv-world":
        from llminspect.text.longest_match import CHAT_TEMPLATE

        tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.tool_template = for_tools if isinstance(for_tools, str) else None
