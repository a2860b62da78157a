"""BERT's cleaning, for every code point."""

from __future__ import annotations

import pytest
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from llminspect.text.bert_characters import cleaned

BLOCK = 1 << 14
ALL, CHANGED = 0x110000, 0x20000
"""Beyond the second no character has a small letter or a mark."""


@pytest.mark.parametrize(
    ("lowercase", "strip_accents", "end"),
    [(True, True, ALL), (False, False, CHANGED), (True, False, CHANGED), (False, True, CHANGED)],
)
def test_every_character_is_cleaned_as_the_library_does(lowercase: bool, strip_accents: bool, end: int) -> None:
    normaliser, cutter = BertNormalizer(lowercase=lowercase, strip_accents=strip_accents), BertPreTokenizer()
    for start in range(0, end, BLOCK):
        characters = [chr(code) for code in range(start, start + BLOCK) if not 0xD800 <= code <= 0xDFFF]
        words: list[str] = []
        for character in characters:
            kind, becomes = cleaned.__wrapped__(character, lowercase, strip_accents)
            if kind == "alone":
                words += ["x", becomes, "x"]
            else:
                words += ["x", "x"] if kind == "space" else [f"x{becomes}x"]
        text = " ".join(f"x{character}x" for character in characters)
        assert words == [word for word, _ in cutter.pre_tokenize_str(normaliser.normalize_str(text))]
