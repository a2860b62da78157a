"""Tokenizers in the files that models come with: tokenizer.json, or only a vocabulary.

GPT-2 and RoBERTa came as `vocab.json` with `merges.txt`, BERT as `vocab.txt`, before there was a `tokenizer.json`;
Llama and T5 as SentencePiece's own file, Mistral as `tekken.json`, Qwen as `qwen.tiktoken`. ByT5's has no file but its
settings: every byte is a token, three more than its value (Xue et al. 2022, "ByT5: Towards a Token-Free Future with
Pre-trained Byte-to-Byte Models", section 3).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Any

from llminspect.errors import ModelError, json_fault, reader
from llminspect.text.from_gguf import END_OF_TURN
from llminspect.text.huggingface import HuggingFaceTokenizer
from llminspect.text.pairs import pair_of_bert
from llminspect.text.special_tokens import Strips
from llminspect.text.tokenizer import Tokenizer, utf8
from llminspect.text.tokenizers_library import add_stated_tokens, library_of, loaded

if TYPE_CHECKING:
    import tokenizers


READABLE = "tokenizer.json, tekken.json, vocab.json with merges.txt, vocab.txt, tokenizer.model or NAME.tiktoken"
"""Where a tokenizer can be read from."""


def can_be_read(files: Mapping[str, bytes]) -> bool:
    """Whether these files hold a tokenizer of a kind that is read."""
    return _read_from(files) is not None or is_byt5(_json_object(files, "tokenizer_config.json"))


SENTENCEPIECE = ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model")


def _read_from(names: Collection[str]) -> str | None:
    """Which of the files is read first."""
    for name in ("tokenizer.json", "tekken.json", "vocab.json", "vocab.txt", *SENTENCEPIECE):
        if name in names and (name != "vocab.json" or "merges.txt" in names):
            return name
    return next((name for name in sorted(names) if name.endswith(".tiktoken")), None)


def ids_are_enough(names: Collection[str]) -> bool:
    """Whether a model opens although its tokenizer cannot be read: some come in files of many forms."""
    return _read_from(names) not in ("tokenizer.json", "vocab.json", "vocab.txt")


@reader("the tokenizer")
def tokenizer_from_files(files: Mapping[str, bytes], name: str = "huggingface", family: str = "") -> Tokenizer:
    """Build the tokenizer from the contents of a model's files by name.

    Takes `tokenizer.json`, else `tekken.json` (Mistral), `vocab.json` with `merges.txt` (GPT-2, RoBERTa), `vocab.txt`
    (BERT), `tokenizer.model` (SentencePiece, or ranks), `spiece.model` (T5) or a `.tiktoken`; beside them
    `tokenizer_config.json`, `special_tokens_map.json`, `added_tokens.json`, `generation_config.json` and
    `chat_template.jinja` where there are such. `family` is the model's kind, if there is one. Raises ModelError where
    there is no tokenizer among them, or one that cannot be read.
    """
    settings: dict[str, Any] = {}
    for file in ("generation_config.json", "special_tokens_map.json", "tokenizer_config.json"):
        # `generate` says where the first cannot be read (analysis/model_settings.py).
        with suppress(ModelError) if file == "generation_config.json" else nullcontext():
            settings |= {key: value for key, value in _json_object(files, file).items() if value is not None}
    source = _read_from(files) or ("tokenizer_config.json" if is_byt5(settings) else None)
    if source is None:
        raise ModelError(
            f"the model comes without a tokenizer that can be read ({', '.join(sorted(files)) or 'no files'})",
            f"{READABLE} would do",
        )
    tokenizer = _made(source, files, name, settings, family)
    _add_roles(tokenizer, settings)
    tokenizer.chat_template = _chat_template(files, settings)
    tokenizer.tool_template = _named_template(settings, "tool_use")
    return tokenizer


def _made(source: str, files: Mapping[str, bytes], name: str, settings: Mapping[str, Any], family: str) -> Tokenizer:
    """The tokenizer from the file that is read first."""
    data = files[source]
    if source == "tokenizer.json":
        library, guarded = library_of(data.decode("utf-8", "replace"))
        add_stated_tokens(library, settings)
        return HuggingFaceTokenizer(name, library, guarded)
    if source == "vocab.json":
        return HuggingFaceTokenizer(name, _from_vocabulary_and_merges(files, settings))
    if source == "vocab.txt":
        return _from_vocabulary(name, data, settings)
    if source == "tokenizer_config.json":
        return ByT5(name, settings.get("extra_ids") or EXTRA_IDS)  # transformers writes 0 and adds them.
    from llminspect.text.rank_files import is_ranks, tokenizer_of_ranks, tokenizer_of_tekken

    if source == "tekken.json":
        return tokenizer_of_tekken(data, name)
    if source.endswith(".tiktoken") or is_ranks(data):
        return tokenizer_of_ranks(data, name, source)
    from llminspect.text.sentencepiece_model import document_for, sentencepiece_from_bytes

    document = document_for(data, settings, family)
    if document is not None:
        library, guarded = library_of(document)
        add_stated_tokens(library, settings)
        return HuggingFaceTokenizer(name, library, guarded)
    return sentencepiece_from_bytes(data, name, settings, _added(files, settings), family)


def _added(files: Mapping[str, bytes], settings: Mapping[str, Any]) -> dict[str, tuple[int, bool]]:
    """More tokens than the vocabulary holds: each with its id, and whether it is special."""
    found = {text: (i, False) for text, i in _json_object(files, "added_tokens.json").items()}
    for i, entry in (settings.get("added_tokens_decoder") or {}).items():
        if isinstance(entry, dict) and isinstance(entry.get("content"), str) and i.isdecimal():
            found[entry["content"]] = int(i), bool(entry.get("special"))
    wrong = [text for text, (i, _) in found.items() if type(i) is not int or not 0 <= i < 1 << 24]
    if wrong:
        raise ModelError(f"the added token {wrong[0]!a:.100} has no id that can be")
    return found


def _add_roles(tokenizer: Tokenizer, settings: Mapping[str, Any]) -> None:
    """Which tokens begin, end, stand for the unknown or for a mask."""

    def role(key: str) -> int | None:
        spelling = _spelling_of(settings.get(key))
        return None if spelling is None else tokenizer.special_tokens.get(spelling)

    if settings.get("bos_token") is not None or tokenizer.bos_id is None:
        tokenizer.bos_id = role("bos_token")
    if settings.get("eos_token") is not None or tokenizer.end_id is None:
        tokenizer.end_id = role("eos_token")
    tokenizer.mask_id = role("mask_token")
    if tokenizer.mask_id is None:
        tokenizer.mask_id = tokenizer.special_tokens.get("[MASK]", tokenizer.special_tokens.get("<mask>"))
    if tokenizer.unknown_id is None:
        tokenizer.unknown_id = role("unk_token")
    stated = settings.get("eos_token_id")
    stops = {tokenizer.end_id, *(id_ for id_ in (stated if isinstance(stated, list) else [stated]) if type(id_) is int)}
    stops |= {tokenizer.special_tokens.get(spelling) for spelling in END_OF_TURN}
    tokenizer.eos_ids |= frozenset(stop for stop in stops if stop is not None)


def _chat_template(files: Mapping[str, bytes], settings: Mapping[str, Any]) -> str | None:
    if "chat_template.jinja" in files:
        return files["chat_template.jinja"].decode("utf-8", "replace")
    template = settings.get("chat_template")
    return template if isinstance(template, str) else _named_template(settings, "default")


def _named_template(settings: Mapping[str, Any], name: str) -> str | None:
    """One of several: the default, the one for tools, the one for retrieval."""
    several = settings.get("chat_template")
    entries = several if isinstance(several, list) else []
    named = [entry.get("template") for entry in entries if isinstance(entry, dict) and entry.get("name") == name]
    return named[-1] if named and isinstance(named[-1], str) else None


def _from_vocabulary_and_merges(files: Mapping[str, bytes], settings: Mapping[str, Any]) -> tokenizers.Tokenizer:
    """GPT-2's files. RoBERTa's are the same with <s> before a text and </s> after it; Qwen's are cut otherwise.

    Raises ModelError for those of a kind that spells words otherwise (CLIP's end in </w>).
    """
    from tokenizers import AddedToken, decoders, models, processors
    from tokenizers import Tokenizer as Library

    vocabulary = _json_object(files, "vocab.json")
    if any(token.endswith("</w>") for token in vocabulary):
        raise ModelError("vocab.json spells the ends of words (</w>), which is not known", "a tokenizer.json would do")
    lines = files["merges.txt"].decode("utf-8", "replace").split("\n")
    pairs = [line.rstrip("\r").split(" ") for line in lines if not line.startswith("#version")]
    merges = [(pair[0], pair[1]) for pair in pairs if len(pair) == 2]
    library = loaded(lambda: Library(models.BPE(vocabulary, merges)))
    _cut_words(library, settings)
    library.decoder = decoders.ByteLevel()
    named = [_spelling_of(value) for key, value in settings.items() if key.endswith("_token")]
    special = [token for token in dict.fromkeys([*named, *_SPECIAL]) if token in vocabulary]
    library.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    if "<s>" in vocabulary and "</s>" in vocabulary:
        library.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>",
            pair="<s> $A </s> </s> $B:0 </s>",
            special_tokens=[(token, vocabulary[token]) for token in ("<s>", "</s>")],
        )
    for text, (i, is_special) in sorted(_added(files, settings).items(), key=lambda item: item[1]):
        token = AddedToken(text, special=is_special, normalized=False)
        (library.add_special_tokens if is_special else library.add_tokens)([token])
        if library.token_to_id(text) != i:
            raise ModelError(f"the added token {text!a:.100} has the id {i}, before which others are missing")
    return library


def _cut_words(library: tokenizers.Tokenizer, settings: Mapping[str, Any]) -> None:
    """Qwen's models from the second on compose characters first and cut numbers into digits."""
    from tokenizers import Regex, normalizers, pre_tokenizers

    if str(settings.get("tokenizer_class")).removesuffix("Fast") != "Qwen2Tokenizer":
        spaced = bool(settings.get("add_prefix_space", False))
        library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=spaced)
        return
    from llminspect.text.pretokenize import patterns_named

    library.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(patterns_named("qwen2")[0]), "isolated")
    spelling = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    library.pre_tokenizer = pre_tokenizers.Sequence([split, spelling])


_SPECIAL = ("<|endoftext|>", "<s>", "<pad>", "</s>", "<unk>", "<mask>")


def _from_vocabulary(name: str, data: bytes, settings: Mapping[str, Any]) -> Tokenizer:
    """BERT's file: a piece a line, ## in front of those inside a word."""
    from llminspect.text.wordpiece import WordPiece

    tokens = data.decode("utf-8", "replace").removesuffix("\n").split("\n")
    ids = {token.rstrip("\r"): i for i, token in enumerate(tokens)}
    special: dict[str, int] = {
        token: ids[token] for token in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]") if token in ids
    }
    first = {token: i for token, i in ids.items() if not token.startswith("##") and token not in special}
    inside = {token[2:]: i for token, i in ids.items() if token.startswith("##")}
    cased = any("A" <= character <= "Z" for token in first if token[:1] != "[" for character in token)
    lowercase = bool(settings.get("do_lower_case", not cased))
    accents = settings.get("strip_accents")
    strip_accents = None if accents is None else bool(accents)
    tokenizer = WordPiece(name, first, inside, special, len(tokens), special.get("[UNK]"), lowercase, strip_accents)
    tokenizer.prefix_ids = (special["[CLS]"],) if "[CLS]" in special else ()
    tokenizer.suffix_ids = (special["[SEP]"],) if "[SEP]" in special else ()
    tokenizer.pair_template = pair_of_bert(tokenizer.prefix_ids, tokenizer.suffix_ids)
    return tokenizer


def _spelling_of(token: object) -> str | None:
    """A special token is written as its spelling, or as an object that holds it."""
    if isinstance(token, dict):
        token = token.get("content")
    return token if isinstance(token, str) else None


def _json_object(files: Mapping[str, bytes], name: str) -> dict[str, Any]:
    if name not in files:
        return {}
    try:
        value = json.loads(files[name])
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{name} is {json_fault(error)}") from None
    if not isinstance(value, dict):
        raise ModelError(f"{name} is not a JSON object")
    return value


FIRST = {"<pad>": 0, "</s>": 1, "<unk>": 2}
"""In front of the bytes; these take white space beside them."""
EXTRA_IDS = 125
"""What a text is filled in at, after the bytes."""


def is_byt5(settings: Mapping[str, Any]) -> bool:
    """Whether a `tokenizer_config.json` names this tokenizer."""
    return str(settings.get("tokenizer_class")).removesuffix("Fast") == "ByT5Tokenizer"


class ByT5(Tokenizer):
    """`extra_ids`: how many tokens `<extra_id_0>` … there are. ModelError: no number of tokens."""

    kind = "bytes"

    def __init__(self, name: str, extra_ids: object = EXTRA_IDS) -> None:
        if type(extra_ids) is not int or not 0 <= extra_ids <= 10_000:
            raise ModelError("the tokenizer's extra_ids is not a number of tokens")
        self.name = name
        first = len(FIRST) + 256
        self.special_tokens = {**FIRST, **{f"<extra_id_{i}>": first + i for i in range(extra_ids)}}
        self.strips = Strips(frozenset(FIRST.values()), frozenset(FIRST.values()))
        self.vocabulary_size = first + extra_ids
        self.end_id, self.unknown_id, self.suffix_ids = 1, 2, (1,)
        self.eos_ids = frozenset({1})
        self.pair_template = (("first", 0), (1, 0), ("second", 0), (1, 0))
        self._spellings = {token_id: spelling.encode() for spelling, token_id in self.special_tokens.items()}

    def ids_plain(self, text: str) -> list[int]:
        return [byte + len(FIRST) for byte in utf8(text)]

    def token_bytes(self, token_id: int) -> bytes:
        if not 0 <= token_id < self.vocabulary_size:
            raise self.outside(token_id)
        return self._spellings.get(token_id) or bytes([token_id - len(FIRST)])
