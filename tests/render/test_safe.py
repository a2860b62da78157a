"""Texts of strangers in a terminal: shown and never executed, and as wide as they say."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llminspect.render.safe import chop, fit, label, quoted, shorten, visible, width
from tests.render.samples import EVERYTHING, STRANGE, Color, shown

# What rich itself emits: Select Graphic Rendition, and nothing else.
SGR = re.compile(r"\x1b\[[0-9;]*m")
ANY_TEXT = st.text(st.characters(exclude_categories=[]))


def unsafe(text: str) -> list[str]:
    """The characters of `text` that a terminal would obey, hide or reorder."""
    return [char for char in text if unicodedata.category(char) in {"Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp"}]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b[31m", "␛[31m"),
        ("\n", "⏎"),
        ("\t", "⇥"),
        ("\r\x00\x7f", "␍␀␡"),
        ("\x9b", "‹U+009B›"),
        ("a\u202eb", "a‹U+202E›b"),
        ("\u200b\ufeff", "‹U+200B›‹U+FEFF›"),
        ("\udce2", "‹0xE2›"),
        ("\ud800", "‹U+D800›"),
        ("\ufffd", "\ufffd"),
        ("\u0301", "◌\u0301"),
        ("e\u0301", "e\u0301"),
        ("\u3164", "‹U+3164›"),
        ("\U000e0041", "‹U+E0041›"),
        ("日本 [/b]", "日本 [/b]"),
    ],
)
def test_visible(text: str, expected: str) -> None:
    assert visible(text) == expected


def test_visible_spaces() -> None:
    assert visible(" a b", spaces=True) == "·a·b"
    assert visible("a\u00a0b") == "a\u00a0b"
    assert visible("a\u00a0b", spaces=True) == "a‹U+00A0›b"


def test_in_a_sentence_a_token_is_in_quotes() -> None:
    assert [quoted(text) for text in (" to", ",", "two words", "a\nb")] == ["“·to”", "“,”", "“two words”", "“a⏎b”"]


def test_label() -> None:
    assert label(" Bob") == "·Bob"
    assert label("layer 3 ") == "layer 3·"
    assert label("   ") == "···"
    assert label("") == "∅"
    assert label("\u00a0a\n") == "‹U+00A0›a⏎"


@given(ANY_TEXT)
def test_visible_text_is_harmless_idempotent_and_encodable(text: str) -> None:
    once = visible(text)
    assert unsafe(once) == []
    assert visible(once) == once
    once.encode("utf-8")
    assert unsafe(label(text)) == []


@given(ANY_TEXT.map(visible), st.integers(2, 30))
def test_cells_are_counted(text: str, cells: int) -> None:
    assert width(shorten(text, cells)) <= cells
    for align in ("left", "right", "center"):
        assert width(fit(text, cells, align)) == cells
    assert "".join(chop(text, cells)) == text


def test_wide_characters_keep_their_cells() -> None:
    assert fit("日本", 6) == "日本  "
    assert fit("日本語", 5) == "日本…"
    assert fit("日本語", 4) == "日…" + " "


@pytest.mark.parametrize("name", EVERYTHING)
@pytest.mark.parametrize("color", [None, "standard", "truecolor"])
def test_strange_texts_are_shown_and_never_executed(name: str, color: Color) -> None:
    check_harmless(name, STRANGE, color)


@pytest.mark.parametrize("name", EVERYTHING)
@settings(max_examples=20, deadline=None)
@given(texts=st.lists(ANY_TEXT, min_size=2, max_size=6))
def test_any_text_is_shown_and_never_executed(name: str, texts: list[str]) -> None:
    check_harmless(name, texts, "truecolor")


def check_harmless(name: str, texts: list[str], color: Color) -> None:
    output = shown(EVERYTHING[name](texts), 80, color)
    assert unsafe(SGR.sub("", output).replace("\n", "")) == []


@pytest.mark.parametrize("name", EVERYTHING)
@pytest.mark.parametrize("columns", [20, 80, 160])
@pytest.mark.parametrize("color", [None, "truecolor"])
def test_nothing_is_wider_than_the_terminal(name: str, columns: int, color: Color) -> None:
    output = shown(EVERYTHING[name](STRANGE), columns, color)
    for line in SGR.sub("", output).splitlines():
        assert width(line) <= columns
