"""The page of the walk: its numbers are those of the commands that it names, and a token is followed through it."""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING, Any

import pytest

from llminspect.analysis import followed
from tests.closeness import same_document
from tests.fuzz.samples import llama, vocabulary

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Program
    from tests.pages.browser import Browser

SENTENCE = "The capital of France is"
HOSTILE = "</script><b a=x>\u202e"
CONTRAST = """(() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const linear = (part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  const light = ([red, green, blue]) =>
    0.2126 * linear(red / 255) + 0.7152 * linear(green / 255) + 0.0722 * linear(blue / 255);
  const below = (element) => {
    const color = rgba(getComputedStyle(element).backgroundColor);
    return color[3] === 255 || !element.parentElement ? color : below(element.parentElement);
  };
  const written = (element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  return [...document.querySelectorAll("main *")].filter(written).filter((element) => {
    const pair = [light(rgba(getComputedStyle(element).color)), light(below(element))];
    return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05) < 4.5;
  }).map((element) => element.outerHTML.slice(0, 120));
})()"""
"""The elements with text that differs too little from what is below it."""


class Page:
    """A saved page, the data in it, and the document that was written with it."""

    def __init__(self, program: Program, folder: Path, *arguments: str) -> None:
        self.path = folder / "walk.html"
        ran = program("walk", *arguments, "--quiet", "--json", "--save", str(self.path), "--interactive")
        assert ran.code == 0, ran.err
        self.document: dict[str, Any] = ran.json
        self.text = self.path.read_text("utf-8")
        self.data: dict[str, Any] = json.loads(self.text.split('id="data">')[1].split("</script>")[0])


@pytest.fixture(scope="module")
def page(program: Program, tmp_path_factory: pytest.TempPathFactory) -> Page:
    return Page(program, tmp_path_factory.mktemp("walk"), SENTENCE)


@pytest.fixture(scope="module")
def hostile(program: Program, tmp_path_factory: pytest.TempPathFactory) -> Page:
    """Of a model that knows letters, a text that would like to run."""
    folder = tmp_path_factory.mktemp("hostile")
    letters = vocabulary("llama")
    model = folder / "small.gguf"
    model.write_bytes(llama(letters, len(dict(letters)["tokenizer.ggml.tokens"]), layers=2).build())
    return Page(program, folder, HOSTILE, "--model", str(model))


def within(part: Any, whole: Any) -> bool:
    """Whether all that is in the part is in the whole, numbers to six decimals, of lists their beginnings."""
    if isinstance(part, dict):
        return all(key in whole and within(value, whole[key]) for key, value in part.items())
    if isinstance(part, list):
        return len(part) <= len(whole) and all(within(*pair) for pair in zip(part, whole, strict=False))
    return part == pytest.approx(whole, rel=2e-7, abs=6e-7) if isinstance(part, float) else bool(part == whole)


def test_what_the_page_holds_is_in_the_walks_result(page: Page) -> None:
    assert set(page.data) == {"model", "text", "tokens", "chapters", "followed"}
    assert within(page.data, page.document)
    for text in page.data["followed"]:
        assert [token["index"] for token in text["each"]] == list(range(len(text["tokens"])))
    heads = page.data["followed"][-1]["heads"]["result"]["heads"]
    assert len(heads) == 270 and [len(row) for row in heads[0]["weights"]] == [1, 2, 3, 4, 5]


def test_the_last_token_that_is_followed_is_that_of_the_chapters(page: Page) -> None:
    last = page.data["followed"][-1]["each"][-1]
    chapters = page.data["chapters"]
    passed, looked = last["forward"]["result"], last["query"]["result"]
    assert within(passed["next"], chapters[7]["model"][0]["result"]["next"])
    assert within(passed["feedforward"], chapters[6]["model"][0]["result"]["feedforward"])
    assert within(passed["lens"], chapters[8]["model"][0]["result"]["lens"])
    assert within(looked["query"]["weights"], chapters[5]["model"][0]["result"]["query"]["weights"])


def test_each_tokens_numbers_are_those_of_its_commands(page: Page, called: Program) -> None:
    tried = 0
    for text in page.document["followed"]:
        parts = [part for token in text["each"] for part in (token["forward"], token.get("query")) if part]
        for part in parts if text["model"] != "smollm2" else parts[6:8]:
            whole = called(*part["arguments"], "--json").json
            for key in ("next", "lens", "query", "feedforward", "steps"):
                assert key not in part["result"] or same_document(part["result"][key], whole[key], 1e-4), (
                    part["arguments"],
                    key,
                )
            tried += 1
    assert tried == 3 + 2 * 4 + 3 + 2


def test_a_text_that_is_too_long_to_follow_is_refused(called: Program, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    ran = called("walk", "word " * 40, "--save", str(path), "--interactive")
    assert (ran.code, ran.out) == (2, "") and "up to 24 tokens" in ran.err and not path.exists()
    ran = called("walk", SENTENCE, "--interactive")
    assert ran.code == 2 and "add --save page.html" in ran.err


def test_layers_are_left_out_where_there_are_too_many_weights(
    called: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(followed, "WEIGHTS", 9 * 25 * 10)
    ran = called("walk", SENTENCE, "--json", "--save", str(tmp_path / "page.html"), "--interactive", "--quiet")
    text = ran.json["followed"][-1]
    assert text["left_out"] == 20 and text["heads"]["arguments"][-2:] == ["--layer", "0,3,6,9,12,15,18,21,24,27"]
    assert {head["layer"] for head in text["heads"]["result"]["heads"]} == set(range(0, 30, 3))


def test_the_page_loads_nothing_and_stays_small(page: Page, hostile: Page) -> None:
    assert len(page.text) < 400_000
    for one in (page, hostile):
        assert one.text.count("<script") == 2 and "default-src 'none'" in one.text
        rest = re.sub(r"http-equiv|http://www\.w3\.org/2000/svg", "", one.text)
        assert "http" not in rest and "url(" not in rest and "@import" not in rest


@pytest.mark.browser
def test_a_token_is_followed_through_every_step(browser: Browser, page: Page) -> None:
    browser.open(page.path, width=1600)
    steps = "[...document.querySelectorAll('section .model')].map(e => e.textContent)"
    before = browser.value(steps)
    browser.click('[data-key="text.3"]')
    after = browser.value(steps)
    assert [place for place, pair in enumerate(zip(before, after, strict=True)) if pair[0] == pair[1]] == [0, 1]
    pressed = browser.value(
        "[...document.querySelectorAll('.model .token[aria-pressed=true]')].map(e => e.textContent)"
    )
    assert pressed == ["·France", "·France"]
    token = page.data["followed"][-1]["each"][3]
    best = token["forward"]["result"]["next"][0]
    assert f"{100 * best['prob']:.2f}"[:3] in after[7] and f"{best['logit']:.2f}" in after[7]
    assert "4,649" in after[2] and all(
        f"{value:.4f}" in after[5] for value in token["query"]["result"]["query"]["weights"][:4]
    )
    assert browser.complaints() == []


@pytest.mark.browser
@pytest.mark.parametrize(("layer", "index"), [(18, 7), (23, 4)])
def test_lines_are_as_thick_as_the_weights_of_the_head_that_is_chosen(
    browser: Browser, page: Page, layer: int, index: int
) -> None:
    browser.open(page.path, width=1600)
    browser.click('[data-key="text.4"]')
    browser.value(
        f"(e => {{ e.value = {layer}; e.dispatchEvent(new Event('input')); }})(document.querySelector('#layer'))"
    )
    browser.click(f'[data-head="{layer}.{index}"]')
    assert browser.value("document.querySelector('#head').textContent").startswith(f"Layer {layer}, head {index} (its")
    heads = page.data["followed"][-1]["heads"]["result"]["heads"]
    (weights,) = (head["weights"][4] for head in heads if (head["layer"], head["head"]) == (layer, index))
    for column, weight in enumerate(weights):
        line = f"document.querySelector('.model .looking [data-line=\"4.{column}\"]')"
        width = browser.value(f"{line} && Number({line}.getAttribute('stroke-width'))")
        assert width == (None if weight < 0.005 else pytest.approx(max(0.4, 9 * weight), abs=0.006))
    shown = browser.value("[...document.querySelectorAll('[data-weight^=\"look.\"] .quiet')].map(e => e.textContent)")
    assert [float(text.rstrip("%")) for text in shown] == pytest.approx([100 * weight for weight in weights], abs=0.051)


@pytest.mark.browser
def test_the_page_goes_by_keys_alone(browser: Browser, page: Page) -> None:
    browser.open(page.path, width=1600)
    browser.press("Tab")
    assert browser.value("document.activeElement.dataset.key") == "text.4"
    browser.press("ArrowLeft")
    assert browser.value("document.activeElement.dataset.key") == "text.3"
    assert "·France is number 4,649" in browser.value("document.querySelector('#step3').textContent")
    browser.call("Input.dispatchKeyEvent", type="keyDown", key="6", text="6")
    assert browser.value("document.activeElement.id") == "title6"
    browser.press("ArrowRight")  # From a heading the arrows go through the text as well.
    assert "·is is number 314" in browser.value("document.querySelector('#step3').textContent")
    browser.press("ArrowLeft")
    assert "·France is number 4,649" in browser.value("document.querySelector('#step3').textContent")
    assert browser.value("document.activeElement.id") == "title6"
    for _ in range(2):  # The strip of the toy, then a token in its picture.
        browser.press("Tab")
    assert browser.value("document.activeElement.dataset.key").startswith("toylook.")
    browser.press("Tab")
    browser.call("Input.dispatchKeyEvent", type="keyDown", key="Enter", text="\r")
    key, at = browser.value("[document.activeElement.dataset.key, state.toys['toy-attention']]")
    assert key == f"toylook.{at}"
    assert browser.complaints() == []


@pytest.mark.browser
@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_a_phone_and_what_stands_there_can_be_read(browser: Browser, page: Page, dark: bool) -> None:
    for width in (390, 800, 1600):
        browser.open(page.path, width=width, dark=dark)
        assert browser.value("document.documentElement.scrollWidth") <= width
    assert browser.value(CONTRAST) == []
    browser.value("document.body.style.color = '#777'")
    assert browser.value(CONTRAST) != []  # It does look.


@pytest.mark.browser
def test_it_prints_without_what_is_only_for_the_screen(browser: Browser, page: Page) -> None:
    browser.open(page.path, width=720, dark=True)
    browser.call(
        "Emulation.setEmulatedMedia", media="print", features=[{"name": "prefers-color-scheme", "value": "dark"}]
    )
    assert browser.value("document.documentElement.scrollWidth") <= 720
    assert (
        browser.value("[...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth).length")
        == 0
    )
    assert browser.value("getComputedStyle(document.querySelector('nav')).display") == "none"
    assert browser.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.value(CONTRAST) == []
    browser.call("Emulation.setEmulatedMedia", media="")


@pytest.mark.browser
def test_nothing_of_a_text_runs(browser: Browser, hostile: Page) -> None:
    browser.open(hostile.path)
    count = browser.value("real.tokens.length")
    for at in (0, count - 1):
        browser.click(f'[data-key="text.{at}"]')
    assert browser.value("document.querySelectorAll('main b, main script').length") == 0
    whole = browser.value("document.querySelector('main').textContent")
    assert '"</script><b a=x>‹U+202E›"' in whole and "\u202e" not in whole
    assert browser.complaints() == []


@pytest.mark.browser
def test_a_command_prints_what_stands_below_it(browser: Browser, page: Page, called: Program) -> None:
    browser.open(page.path)
    for step, number, rows in ((4, 0, "code"), (5, 0, "tbody tr"), (7, 0, "tbody tr"), (8, 0, "tbody tr")):
        line = browser.value(f"document.querySelectorAll('#step{step} .model .command')[{number}].textContent")
        shown = browser.value(f"document.querySelector('#step{step} .model {rows}').innerText")
        printed = called(*shlex.split(line)[2:], COLUMNS="120").out
        numbers = re.findall(r"-?\d+\.\d+", shown)
        assert numbers and all(value[:4] in printed for value in numbers[:2]), (step, line, shown)
    line = browser.value("document.querySelectorAll('#step6 .model .command')[1].textContent")
    rows = browser.value("[...document.querySelectorAll('#step6 .model .seen .quiet')].map(e => e.textContent)")
    printed = called(*shlex.split(line)[2:], COLUMNS="120").out
    assert " ".join(f"{float(share.rstrip('%')) / 100:.2f}" for share in rows) in " ".join(printed.split())


@pytest.mark.browser
def test_no_table_of_the_layers_is_wider_than_a_phone(browser: Browser, page: Page) -> None:
    browser.open(page.path, width=375)
    wide = "[...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth).length"
    assert browser.value(wide) == 0
