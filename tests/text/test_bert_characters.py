"""BERT's cleaning, for every character; by three of its four settings those that have a small letter or a mark."""

from __future__ import annotations

import pytest
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from llminspect.text.wordpiece import cleaned

BLOCK = 1 << 14
CHANGED = 0x20000
"""Beyond it no character has a small letter or a mark."""
BEYOND = [*range(CHANGED, 0x110000)]


@pytest.mark.parametrize(
    ("lowercase", "strip_accents", "beyond"),
    [(True, True, BEYOND), (False, False, []), (True, False, []), (False, True, [])],
    ids=["both", "neither", "lowercase", "strip_accents"],
)
def test_every_character_is_cleaned_as_the_library_does(
    lowercase: bool, strip_accents: bool, beyond: list[int]
) -> None:
    codes = [code for code in [*range(CHANGED), *beyond] if not 0xD800 <= code <= 0xDFFF]
    normaliser, cutter = BertNormalizer(lowercase=lowercase, strip_accents=strip_accents), BertPreTokenizer()
    for start in range(0, len(codes), BLOCK):
        characters = [chr(code) for code in codes[start : start + BLOCK]]
        words: list[str] = []
        for character in characters:
            kind, becomes = cleaned.__wrapped__(character, lowercase, strip_accents)
            if kind == "alone":
                words += ["x", becomes, "x"]
            else:
                words += ["x", "x"] if kind == "space" else [f"x{becomes}x"]
        text = " ".join(f"x{character}x" for character in characters)
        assert words == [word for word, _ in cutter.pre_tokenize_str(normaliser.normalize_str(text))]
