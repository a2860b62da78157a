"""The interactive pages: what is in the file, and what happens when a person points, clicks and types."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import TYPE_CHECKING

import pytest

from tests.conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Program
    from tests.pages.browser import Browser

COMPARED = ("--compare", "o200k_base", "--compare", "bytes")
HOSTILE = "a</script><script>alert(1)</script><!-- <img src=x onerror=alert(2)> \u2028\u202e café 日"


def saved(program: Program, folder: Path, *arguments: str) -> Path:
    path = folder / "page.html"
    result = program(*arguments, "--quiet", "--save", str(path), "--interactive")
    assert result.code == 0, result.err
    return path


@pytest.fixture(scope="module")
def attention(program: Program, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(program, tmp_path_factory.mktemp("attend"), "attend", "Alice gave Bob her book")


def test_the_policy_names_the_only_script(program: Program, tmp_path: Path) -> None:
    page = saved(program, tmp_path, "tokenize", HOSTILE, "--compare", "bytes", "--compare", "o200k_base").read_text(
        "utf-8"
    )
    scripts = re.findall(r"<script>(.*?)</script>", page, re.S)
    assert len(scripts) == 1
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page
    assert "default-src 'none'" in page
    assert "http" not in page.replace("http-equiv", "")


def test_text_cannot_end_its_script_element(program: Program, tmp_path: Path) -> None:
    page = saved(program, tmp_path, "tokenize", HOSTILE, *COMPARED).read_text("utf-8")
    data = page.split('id="data">')[1].split("</script>")[0]
    assert not set(data) & set("<>&\u2028\u2029")
    assert (
        b"".join(bytes.fromhex(token["bytes"]) for token in json.loads(data)["models"][1]["tokens"]) == HOSTILE.encode()
    )
    assert page.count("<script") == 2


@pytest.mark.browser
def test_attend_shows_a_head_when_it_is_clicked(browser: Browser, attention: Path) -> None:
    browser.open(attention)
    browser.click('[data-head="3.1"]')
    assert browser.value("document.querySelector('#about').textContent").startswith("Layer 3, head 1")
    data = browser.value("data.heads.find(h => h.layer === 3 && h.head === 1).weights[3]")
    assert sum(data) == pytest.approx(1, abs=1e-3)
    browser.hover('[data-cell="3.0"]')
    line = browser.value("document.querySelector('#said').textContent")
    assert line.startswith("“·her” (token 3) gives") and line.endswith("“Alice” (token 0).")
    share = float(browser.value("document.querySelector('[data-cell=\"3.0\"]').style.getPropertyValue('--share')"))
    assert share == pytest.approx(data[0], abs=1e-4)
    assert browser.complaints() == []


@pytest.mark.browser
def test_attend_opens_on_the_link_that_is_least_usual(browser: Browser, attention: Path) -> None:
    browser.open(attention)
    first = browser.value("data.first")
    opened = browser.value("document.querySelector('#about').textContent")
    assert opened.startswith(f"Layer {first['layer']}, head {first['head']} ") and opened != "Layer 0, head 0"
    line = browser.value("document.querySelector('#said').textContent")
    assert line.startswith("“·Bob” (token 2) looks at “·gave” 88.7")
    assert re.findall(r"\d+\.(\d+)%", line) == re.findall(r"\.(\d\d)%", line) != []


@pytest.mark.browser
def test_attend_goes_by_keys_alone(browser: Browser, attention: Path) -> None:
    browser.open(attention)
    browser.value("document.querySelector('[data-head=\"0.0\"]').focus()")
    browser.press("ArrowDown")
    browser.press("ArrowRight")
    assert browser.value("document.activeElement.dataset.head") == "1.1"
    assert browser.value("document.querySelector('#about').textContent").startswith("Layer 1, head 1")
    browser.press("Tab")
    browser.press("ArrowRight")
    assert browser.value("document.activeElement.dataset.token") == "1"
    assert browser.value("document.querySelector('#said').textContent").startswith("“·gave” (token 1) looks at")


@pytest.mark.browser
def test_the_map_is_coloured_by_the_measure_that_is_chosen(browser: Browser, attention: Path) -> None:
    browser.open(attention)
    cell = "Number(document.querySelector('[data-head=\"18.7\"]').style.getPropertyValue('--share'))"
    entropy = browser.value(cell)
    browser.value(
        "(s => { s.value = 'sink'; s.dispatchEvent(new Event('change')); })(document.querySelector('select'))"
    )
    assert browser.value(cell) > 0.9 > entropy


@pytest.mark.browser
def test_the_lens_tells_what_would_be_said(browser: Browser, program: Program, tmp_path: Path) -> None:
    page = saved(program, tmp_path, "forward", "The capital of France is", "--lens", "--all")
    browser.open(page)
    browser.hover('[data-cell="29.4"]')
    line = browser.value("document.querySelector('#said').textContent")
    assert line.startswith("After layer 29, at “·is” (token 4): “·Paris” 77.25%, “·the” 6.45%, ")
    assert browser.complaints() == []


@pytest.mark.browser
@pytest.mark.parametrize(
    ("arguments", "keys", "line"),
    [
        (
            ("forward", "The capital of France is", "--lens", "--all"),
            ["ArrowDown", "ArrowRight"],
            "After layer 1, at",
        ),
        (("tokenize", "A cat sat.", *COMPARED), ["ArrowRight"], "“·cat” is token 1 of"),
    ],
)
def test_the_other_pages_go_by_keys_alone(
    browser: Browser, program: Program, tmp_path: Path, arguments: tuple[str, ...], keys: list[str], line: str
) -> None:
    browser.open(saved(program, tmp_path, *arguments))
    for key in ["Tab", *keys]:
        browser.press(key)
    assert browser.value("document.querySelector('#said').textContent").startswith(line)
    assert browser.complaints() == []


@pytest.mark.browser
def test_compare_lights_the_same_bytes_and_runs_nothing_of_the_text(
    browser: Browser, program: Program, tmp_path: Path
) -> None:
    page = saved(program, tmp_path, "tokenize", HOSTILE, *COMPARED)
    browser.open(page)
    spans = browser.value("data.models.map(m => m.tokens.map(t => [t.start, t.end]))")
    start, end = spans[0][1]
    browser.hover('[data-token="0.1"]')
    lit = browser.value("[...document.querySelectorAll('[data-token^=\"1.\"].lit')].map(e => e.dataset.token)")
    assert lit == [f"1.{place}" for place in range(start, end)]
    assert browser.value("document.querySelectorAll('img, main script').length") == 0
    assert "‹U+202E›" in browser.value("document.querySelector('main').textContent")
    assert browser.complaints() == []


@pytest.mark.browser
@pytest.mark.parametrize("dark", [False, True])
def test_a_narrow_page_does_not_overflow(browser: Browser, attention: Path, dark: bool) -> None:
    browser.open(attention, width=400, dark=dark)
    assert browser.value("document.documentElement.scrollWidth") <= 400
    background = browser.value("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(20, 23, 27)" if dark else "rgb(255, 255, 255)")


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("attend", "a b", "--model", "toy-attention", "--interactive"), "--save page.html"),
        (("forward", "world", "--model", "toy", "--interactive", "--save", "{}/a.html"), "--lens"),
        (("tokenize", "a", "--interactive", "--save", "{}/a.html"), "--compare"),
        (("attend", "a b", "--interactive", "--save", "{}/a.svg"), "--save page.html"),
        (("attend", "word " * 600, "--interactive", "--save", "{}/a.html"), "--layer"),
    ],
)
def test_what_has_no_page_is_refused(program: Program, tmp_path: Path, arguments: tuple[str, ...], hint: str) -> None:
    result = program(*(argument.replace("{}", str(tmp_path)) for argument in arguments))
    assert (result.code, result.out) == (2, "")
    assert hint in result.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.browser
def test_all_three_attentions_of_an_encoder_decoder_can_be_chosen(
    browser: Browser, program: Program, tmp_path: Path
) -> None:
    model = ("--model", str(ROOT / "tests/golden/t5"))
    browser.open(saved(program, tmp_path, "attend", "--ids", "5,6,7,1", "--target-ids", "5,3", *model))
    shape = "['row', 'column'].map(n => document.querySelectorAll(`[data-${n}]`).length).join('x')"
    assert browser.value(shape) == "3x3"
    for part, expected in (("1", "3x4"), ("2", "4x4")):
        change = f"s => {{ s.value = '{part}'; s.dispatchEvent(new Event('change')); }}"
        browser.value(f"({change})(document.querySelector('#attention'))")
        assert browser.value(shape) == expected
    assert browser.complaints() == []
