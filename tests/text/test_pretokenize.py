"""The split patterns."""

from __future__ import annotations

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from llminspect.errors import ModelError
from llminspect.text.pretokenize import PRE_TOKENIZERS, patterns_named, pretokenize

TRICKY = st.text("aZé字ि ’'slLreEVvm19²½.,!/(\t\n\r\u00a0\u3000🙂\udc80", max_size=30)


@pytest.mark.parametrize("name", sorted({patterns: name for name, patterns in PRE_TOKENIZERS.items()}.values()))
@given(text=TRICKY | st.text(st.characters(max_codepoint=127), max_size=30))
def test_ascii_text_is_cut_as_by_the_full_pattern_and_nothing_is_dropped(name: str, text: str) -> None:
    pieces = [text] if text else []
    for pattern in PRE_TOKENIZERS[name]:
        pieces = [part for piece in pieces for part in regex.split(f"({pattern})", piece) if part]
    assert pretokenize(text, PRE_TOKENIZERS[name]) == pieces
    assert "".join(pieces) == text


@pytest.mark.parametrize(
    ("name", "text", "pieces"),
    [
        ("gpt-2", "I've  2 cats\n\n", ["I", "'ve", " ", " 2", " cats", "\n\n"]),
        ("smollm", "in  2024: x", ["in", "  ", "2", "0", "2", "4", ":", " x"]),
        ("llama-bpe", "A12345\n  I'LL", ["A", "123", "45", "\n", " ", " I", "'LL"]),
        ("qwen2", "x=12;\n", ["x", "=", "1", "2", ";\n"]),
        ("gpt-4o", "camelCase IS'd //", ["camel", "Case", " IS'd", " //"]),
        ("tekken", "camelCase IT's 12", ["camel", "Case", " IT", "'s", " ", "1", "2"]),
        ("deepseek-llm", "ԱԲ Բարև ab a𝐀", ["ԱԲ", " Բ", "արև", " ab", " a", "𝐀"]),
        ("deepseek-v3", "漢字x12345!", ["漢字", "x", "123", "45", "!"]),
        ("superbpe", "1234567", ["1", "234", "567"]),
        ("kimi-k2", "漢字word", ["漢字", "word"]),
        ("afmoe", "12345678 漢 123!", ["12", "345", "678", " ", "漢", " ", "123", "!"]),
        ("chameleon", "xIMGIMGACZy a\t9+!", ["x", "IMGIMGACZ", "y", " a", "\t", "9", "+", "!"]),
        ("exaone-moe", "a b c1\n\n", ["a b c", "1", "\n\n"]),
        ("jais-2", " " * 7 + "x", [" " * 4, " " * 2, " x"]),
        ("laguna", "a.\n\nb", ["a", ".", "\n\n", "b"]),
        ("minicpm5", "x12345", ["x", "123", "45"]),
        ("spark2_5", "a!\n\n 12", ["a", "!", "\n", "\n", " ", "1", "2"]),
        ("youtu", "한국ab、12", ["한국", "ab", "、", "1", "2"]),
        ("glm5", "I'LL 1234", ["I", "'LL", " ", "123", "4"]),
    ],
)
def test_what_the_patterns_do(name: str, text: str, pieces: list[str]) -> None:
    assert pretokenize(text, patterns_named(name)) == pieces


def test_an_unknown_name_says_which_are_known() -> None:
    with pytest.raises(ModelError, match="not known") as caught:
        patterns_named("nonesuch")
    assert "smollm" in str(caught.value.hint)
