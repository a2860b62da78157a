"""A tokenizer.json, which may be any pipeline of the parts of the `tokenizers` library: the library encodes.

What it does not do is done here: spans in bytes, special tokens in untrusted text, arbitrary bytes, what stands around
a text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any, Literal

from llminspect.text.bpe import BYTE_ALPHABET, missing_bytes, unspell
from llminspect.text.chunks import WORDS, blocks
from llminspect.text.spans import Places, byte_spans
from llminspect.text.special_tokens import Parse, Range, split_at_specials
from llminspect.text.tokenizer import PairPart, Token, Tokenizer, canonical, readable, utf8
from llminspect.text.tokenizer_bounds import written_out
from llminspect.text.tokenizers_library import in_one_line, library_of, loaded, without_pieces

if TYPE_CHECKING:
    import tokenizers

    from llminspect.text.protected import SecretSpellings

BLOCK = 1 << 16
"""Characters given to the library at once when only counting."""
FAILS = "the model's tokenizer fails on this text"


class HuggingFaceTokenizer(Tokenizer):
    """A pipeline of the `tokenizers` library."""

    def __init__(self, name: str, library: tokenizers.Tokenizer, guarded: bool = False) -> None:
        self.name = name
        library.no_padding()
        library.no_truncation()
        if getattr(library.model, "dropout", None):
            library.model.dropout = None  # Left over from training: it drops merges at random.
        before, plain = loaded(lambda: _with_and_without(library))
        self.pair_template = loaded(lambda: _pair_template(library))
        places = [i for i in range(len(before)) if before[i : i + len(plain)] == plain]
        if plain and places:
            self.prefix_ids = tuple(before[: places[0]])
            self.suffix_ids = tuple(before[places[0] + len(plain) :])
        # What remains of post-processing only takes the spaces off the spans of words.
        library.post_processor = None
        self._guarded = guarded
        self.library = self._guard(library)
        self._for_text = self.library
        """What reads text in which special tokens are not looked for."""
        added = library.get_added_tokens_decoder()
        self._spellings = {token_id: token.content for token_id, token in added.items()}
        self.special_tokens = {token.content: token_id for token_id, token in added.items() if token.special}
        self.always_tokens = {token.content: token_id for token_id, token in added.items() if not token.special}
        self._special_ids = frozenset(self.special_tokens.values())
        self.vocabulary_size = max(library.get_vocab_size(), *(i + 1 for i in added), 1)
        parts = f"{library.pre_tokenizer!r} {library.decoder!r}"
        algorithm = type(library.model).__name__
        self._byte_level = "ByteLevel(" in parts
        self._byte_fallback = bool(getattr(library.model, "byte_fallback", False)) or "ByteFallback(" in parts
        self._marks = {"prefix": getattr(library.model, "continuing_subword_prefix", None) or ""}
        self._marks["suffix"] = getattr(library.model, "end_of_word_suffix", None) or ""
        self.kind = {"BPE": "byte-level BPE" if self._byte_level else "BPE"}.get(algorithm, algorithm)
        if self._byte_level and algorithm == "BPE" and library.model.unk_token is None:
            self.missing_bytes = missing_bytes(
                {char for char in BYTE_ALPHABET if library.token_to_id(char) is not None}
            )
        self._decoded: set[int] = set()
        """Ids that are known to be of tokens."""
        self.lossless = False
        exact = self._byte_level and library.normalizer is None and "add_prefix_space=True" not in parts
        self.loss = "bytes that are not UTF-8" if exact else "what normalising changes, and bytes that are not UTF-8"

    def _guard(self, library: tokenizers.Tokenizer) -> Any:
        """What runs the library's patterns, where they may take for ever in a process of its own."""
        if not self._guarded:
            return library
        from llminspect.text.guarded_library import Guarded

        return Guarded(library)

    @cached_property
    def cut_pattern(self) -> str | None:  # type: ignore[override]
        """Nowhere unless every part of the pipeline is known to leave both sides alone."""
        from llminspect.text.pretokenize import PRE_TOKENIZERS, cuts_before_spaces

        cutter, normaliser = repr(self.library.pre_tokenizer), repr(self.library.normalizer)
        known = "use_regex=True" in cutter or "BertPreTokenizer(" in cutter
        known = known or any(
            (json.dumps(all_of[-1])[1:-1] in cutter or all_of[-1] in cutter) and cuts_before_spaces(all_of)
            for all_of in PRE_TOKENIZERS.values()
        )
        harmless = normaliser == "None" or re.fullmatch(r"(BertNormalizer|NFC|Lowercase)\(.*\)", normaliser)
        if not known or not harmless or "add_prefix_space=True" in cutter or "Metaspace(" in cutter:
            return None
        # One that takes the spaces after it would not find them after a cut.
        added = self.library.get_added_tokens_decoder().values()
        return None if any(token.rstrip or re.search(WORDS, token.content) for token in added) else WORDS

    def encode(self, text: str, parse: Parse = "text") -> list[Token]:
        return self.encode_plain(text, 0, self._special(text, parse))

    def encode_protected(self, text: str, protected: Sequence[Range]) -> list[Token]:
        from llminspect.text.protected import intrudes

        tokens = self.encode_plain(text, 0, True)
        if not intrudes(text, tokens, protected, self._unknown):
            return tokens
        return self._secretly.encode(text, protected, tokens)

    @cached_property
    def _secretly(self) -> SecretSpellings:
        from llminspect.text.protected import SecretSpellings

        return SecretSpellings(
            self, written_out(self.library), lambda text: HuggingFaceTokenizer(self.name, *library_of(text))
        )

    def encode_ids(self, text: str, parse: Parse = "text") -> list[int]:
        return self.ids_plain(text, self._special(text, parse))

    def count(self, text: str, parse: Parse = "text", *, at: int = 0, goes_on: bool = False) -> int:
        special = self._special(text, parse, at)
        # The library keeps about a hundred bytes a token while it works.
        parts = [text] if self.cut_pattern is None else blocks(text, BLOCK, self.cut_pattern)
        return sum(len(self.ids_plain(part, special)) for part in parts)

    def _special(self, text: str, parse: Parse, at: int = 0) -> bool:
        """Whether special tokens are to be found in the text. Raises UsageError where there must be none and is one."""
        if parse == "error":
            for _ in split_at_specials(canonical(text), self.special_tokens, parse, at=at):
                pass
        return parse == "special"

    def ids_plain(self, text: str, special: bool = False) -> list[int]:
        return self._encoding(canonical(text), special).ids

    def ids_and_places(self, text: str) -> tuple[list[int], Places]:
        """The ids of a text in which nothing is special, and the library's places of the tokens, in characters."""
        encoding = self._encoding(text, False)
        return encoding.ids, encoding.offsets

    def encode_plain(self, text: str, at: int, special: bool = False) -> list[Token]:
        text = canonical(text)
        encoding = self._encoding(text, special)
        data = [self.token_bytes(token_id) for token_id in encoding.ids]
        if b"".join(data) == utf8(text):
            spans = list(pairwise(accumulate(map(len, data), initial=at)))
        else:
            spans = byte_spans(text, at, encoding.offsets, data)
        return [
            Token(token_id, part, start, end, special and token_id in self._special_ids)
            for token_id, part, (start, end) in zip(encoding.ids, data, spans, strict=True)
        ]

    def _encoding(self, text: str, special: bool) -> Any:
        found = self._encoded(text, special)
        return self._encoded(text, special) if not special and self._spells(text, found.ids) else found

    def _encoded(self, text: str, special: bool) -> Any:
        library = self.library if special else self._for_text
        library.encode_special_tokens = not special
        # It fails at a word that is unknown, where the file names no token for such words.
        return in_one_line(lambda: library.encode(readable(text), add_special_tokens=False), FAILS)

    def _spells(self, text: str, ids: Iterable[int]) -> bool:
        """Whether a text brought out special tokens: then the model has them as pieces, and from now on it has not."""
        found = self._special_ids.intersection(ids)
        if self._for_text is not self.library or not found:
            return False
        if found == {self._unknown} and not any(self._spellings[i] in self._normalised(text) for i in found):
            return False  # It stands for what the model does not know.
        self._for_text = self._guard(in_one_line(lambda: without_pieces(self.library, self.special_tokens), FAILS))
        return True

    @cached_property
    def _unknown(self) -> int | None:
        """What stands for characters that the model does not know."""
        model = self.library.model
        if hasattr(model, "unk_token"):
            return None if model.unk_token is None else self.library.token_to_id(model.unk_token)
        try:  # A Unigram does not tell.
            return int(model.tokenize("\uffff")[0].id)
        except Exception:  # The library's own for one that has none.
            return None

    def _normalised(self, text: str) -> str:
        plain = readable(text)
        normaliser = self.library.normalizer
        return in_one_line(lambda: normaliser.normalize_str(plain), FAILS) if normaliser else plain

    def word_ids(self, word: str) -> list[int]:
        """The ids of a word, a piece of text as the pre-tokenizer cuts and spells it."""
        ids = self._ids_of_word(word)
        return self._ids_of_word(word) if self._spells(word, ids) else ids

    def _ids_of_word(self, word: str) -> list[int]:
        library = self._for_text
        if self._guarded:
            return in_one_line(lambda: library.word_ids(word), FAILS)
        return [token.id for token in library.model.tokenize(word)]

    def token_bytes(self, token_id: int) -> bytes:
        if token_id in self._spellings:
            return utf8(self._spellings[token_id])
        token = self.library.id_to_token(token_id) if 0 <= token_id < self.vocabulary_size else None
        if token is None:
            raise self.outside(token_id)
        if self._byte_level:
            return unspell(token)
        if self._byte_fallback and len(token) == 6 and token.startswith("<0x"):
            return bytes([int(token[3:5], 16)])
        if self._marks["suffix"]:
            return utf8(token.removesuffix(self._marks["suffix"]))
        return utf8(token.removeprefix(self._marks["prefix"]).replace("▁", " "))

    def reaches(self, token_id: int) -> bool:
        if self._byte_level and _is_text(self.token_bytes(token_id)):
            return super().reaches(token_id)
        token = self.library.id_to_token(token_id)
        return token is not None and self.word_ids(token) == [token_id]

    def decode(self, ids: Iterable[int]) -> bytes:
        ids = list(ids)
        # Where tokens are bytes the library would put U+FFFD for those that are no whole character.
        if self._byte_level:
            return super().decode(ids)
        for token_id in set(ids) - self._decoded:  # The library leaves out what is no token's.
            self.token_bytes(token_id)
            self._decoded.add(token_id)
        return utf8(in_one_line(lambda: self.library.decode(ids, skip_special_tokens=False), FAILS))


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _with_and_without(library: tokenizers.Tokenizer) -> tuple[list[int], list[int]]:
    """The ids of "a" with what stands around a text, and without."""
    _check_templates(_state(library))
    return library.encode("a", add_special_tokens=True).ids, library.encode("a", add_special_tokens=False).ids


def _pair_template(library: tokenizers.Tokenizer) -> list[tuple[PairPart, int]]:
    """What the post-processor makes of two texts; nothing where there is none that says how they stand together."""
    both = library.encode("a", "a", add_special_tokens=True)
    which = [
        token_id if text is None else _TEXTS[text] for token_id, text in zip(both.ids, both.sequence_ids, strict=True)
    ]
    template: list[tuple[PairPart, int]] = []
    for part, segment in zip(which, both.type_ids, strict=True):
        if isinstance(part, int) or template[-1:] != [(part, segment)]:  # A text is one part, whatever its tokens.
            template.append((part, segment))
    stated = any(isinstance(part, int) for part in which) or _has_template(_state(library))
    return template if stated and {*_TEXTS} <= {*which} else []


def _state(library: tokenizers.Tokenizer) -> Any:
    """The post-processor as a tokenizer.json has it; an empty one where there is none."""
    return {} if library.post_processor is None else json.loads(library.post_processor.__getstate__())


def _has_template(processor: Any) -> bool:
    """Whether it says how two texts stand together, be it without a special token; without one the library puts the
    second after the first."""
    return bool(processor.get("pair")) or any(map(_has_template, processor.get("processors", ())))


_TEXTS: tuple[Literal["first"], Literal["second"]] = ("first", "second")


def _check_templates(processor: Any) -> None:
    """The library panics, with words on stderr, at a template whose tokens it does not know."""
    for inner in processor.get("processors", ()):
        _check_templates(inner)
    known = processor.get("special_tokens", {})
    pieces = [*processor.get("single", ()), *processor.get("pair", ())] if "single" in processor else []
    for piece in pieces:
        token = piece.get("SpecialToken", {}).get("id")
        if token is not None and token not in known:
            raise ValueError(f"its template names {token!r:.100}, which is not among its special tokens")
