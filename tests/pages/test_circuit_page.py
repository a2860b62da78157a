"""The page of a circuit: its numbers are those of the command, and a node shows its edges when it is chosen."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.fuzz.samples import llama, vocabulary
from tests.pages.test_walk_page import CONTRAST

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Program
    from tests.pages.browser import Browser

TOAD = ("Mr Toad met Mrs Hen. Mr", "Mrs Toad met Mr Hen. Mr", "--model", "toy-induction")
HOSTILE = "</script><b a=x>\u202e"
SHOWN = "[...document.querySelectorAll('.node')].map(e => e.dataset.node)"
SPOKEN = "document.querySelector('#said').textContent"


class CircuitPageFile:
    """A saved page, the data in it, and the document that was written with it."""

    def __init__(self, program: Program, folder: Path, *arguments: str) -> None:
        self.path = folder / "circuit.html"
        saving = ("--quiet", "--json", "--save", str(self.path), "--interactive", "--controls", "1")
        ran = program("circuit", *arguments, *saving)
        assert ran.code == 0, ran.err
        self.document: dict[str, Any] = ran.json
        self.text = self.path.read_text("utf-8")
        self.data: dict[str, Any] = json.loads(self.text.split('id="data">')[1].split("</script>")[0])


@pytest.fixture(scope="module")
def toad(program: Program, tmp_path_factory: pytest.TempPathFactory) -> CircuitPageFile:
    return CircuitPageFile(program, tmp_path_factory.mktemp("toad"), *TOAD)


@pytest.fixture(scope="module")
def drawn(program: Program, tmp_path_factory: pytest.TempPathFactory) -> CircuitPageFile:
    """Of a model with many edges, and a text that would like to run."""
    folder = tmp_path_factory.mktemp("drawn")
    letters = vocabulary("llama")
    model = folder / "small.gguf"
    model.write_bytes(llama(letters, len(dict(letters)["tokenizer.ggml.tokens"]), layers=2).build())
    texts = HOSTILE, HOSTILE.replace("x", "y")
    return CircuitPageFile(program, folder, *texts, "--model", str(model), "--target", "#200", "--versus", "#201")


def test_what_the_page_holds_is_in_the_result(toad: CircuitPageFile) -> None:
    page, whole = toad.data["page"], toad.document
    assert page["sizes"][page["found"]]["faithfulness"] == pytest.approx(whole["faithfulness"], abs=1e-6)
    measured = {size["edges"]: size["faithfulness"] for size in page["sizes"]}
    for point in whole["curve"]:
        assert measured[point["edges"]] == pytest.approx(point["faithfulness"], abs=1e-6)
    count = page["sizes"][page["found"]]["edges"]
    for edge in whole["edges"]:
        (same,) = (one for one in page["edges"][:count] if (one["from"], one["to"]) == (edge["from"], edge["to"]))
        assert same["score"] == pytest.approx(edge["score"], abs=1e-6)
    assert len(page["edges"]) == whole["of_edges"]


def test_the_heads_look_as_attend_says(toad: CircuitPageFile, called: Program) -> None:
    heads = called("attend", TOAD[0], *TOAD[2:], "--layer", "0-1", "--json").json["heads"]
    for head in toad.data["page"]["heads"]:
        (same,) = (one for one in heads if f"{one['layer']}.{one['head']}" == head["name"])
        for at, row in enumerate(head["weights"]):
            assert row == pytest.approx(same["weights"][at][: at + 1], abs=1e-4)
    assert {head["name"] for head in toad.data["page"]["heads"]} == {"0.0", "0.1", "1.0", "1.1"}


def test_the_page_loads_nothing_and_text_stays_text(toad: CircuitPageFile, drawn: CircuitPageFile) -> None:
    for one in (toad, drawn):
        assert one.text.count("<script") == 2 and "default-src 'none'" in one.text
        rest = re.sub(r"http-equiv|http://www\.w3\.org/2000/svg", "", one.text)
        assert "http" not in rest and "url(" not in rest and "@import" not in rest
        assert not set(one.text.split('id="data">')[1].split("</script>")[0]) & set("<>&\u202e")


def test_without_interactive_there_is_no_page_in_the_json(called: Program) -> None:
    assert "page" not in called("circuit", *TOAD, "--json", "--controls", "1").json


@pytest.mark.browser
def test_a_node_shows_its_edges_when_it_is_chosen(browser: Browser, toad: CircuitPageFile) -> None:
    browser.open(toad.path)
    assert browser.value(SHOWN) == ["embedding", "0.0", "1.0", "logits"]
    browser.hover('[data-node="1.0"]')
    assert browser.value(SPOKEN).startswith("layer 1, head 0: reads 1 of these edges, +15.61 in all; writes 1")
    tables = "[...document.querySelectorAll('#details .figures')].map(e => e.textContent)"
    assert browser.value(tables) == ["0.0, as its key+15.61", "logits+15.75"]
    near = "[...document.querySelectorAll('path.near')].map(e => e.dataset.from + '>' + e.dataset.to)"
    assert sorted(browser.value(near)) == ["0.0>1.0", "1.0>logits"]
    cells = "[...document.querySelectorAll('#details td .cell')].length"
    assert browser.value(cells) == 7 * 8 / 2
    width = "Number(document.querySelector('path[data-from=\"1.0\"]').getAttribute('stroke-width'))"
    assert browser.value(width) == 9
    assert browser.complaints() == []


@pytest.mark.browser
def test_the_keys_name_the_curve_and_the_nodes(browser: Browser, toad: CircuitPageFile, drawn: CircuitPageFile) -> None:
    browser.open(drawn.path)
    whole = browser.value("document.querySelector('main').textContent")
    step = r"(\d+)\.ff: \3\.feedforward, the feed-forward step of layer \3"
    assert re.search(rf"(\d+)\.(\d+): head \2 of layer \1; {step}", whole)
    assert "share of the effect that is kept, by the number of edges" in whole
    browser.open(toad.path)  # It has no feed-forward step.
    assert ".ff" not in browser.value("document.body.innerText")


@pytest.mark.browser
def test_the_graph_is_as_wide_as_its_place(browser: Browser, drawn: CircuitPageFile) -> None:
    for width in (375, 768, 1280):
        browser.open(drawn.path, width=width)
        wait = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
        browser.call("Runtime.evaluate", expression=wait, awaitPromise=True)
        needed, there = browser.value("(e => [e.scrollWidth, e.clientWidth])(document.querySelector('.boxed'))")
        assert needed <= there


@pytest.mark.browser
def test_the_slider_goes_over_the_sizes_that_were_measured(browser: Browser, drawn: CircuitPageFile) -> None:
    browser.open(drawn.path)
    sizes, edges = drawn.data["page"]["sizes"], drawn.data["page"]["edges"]
    for at in range(0, len(sizes), 4):
        browser.value(
            f"(e => {{ e.value = {at}; e.dispatchEvent(new Event('input')); }})(document.querySelector('#size'))"
        )
        line = browser.value("document.querySelector('#told').textContent")
        assert line.startswith(f"{sizes[at]['edges']:,} of ")
        share = float(re.search(r"([-\d.]+)% of the effect$", line)[1])  # type: ignore[index]
        assert share == pytest.approx(100 * sizes[at]["faithfulness"], abs=0.051)
        lines = browser.value("document.querySelectorAll('.graph path').length")
        assert lines == len(on_ways(edges[: sizes[at]["edges"]]))
    assert browser.complaints() == []


def node(name: str) -> str:
    """`1.0` of `1.0.key`."""
    return re.sub(r"\.(query|key|value)$", "", name)


def on_ways(edges: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Edges that lead from the embedding to the logits, by walking until nothing changes."""
    kept = edges
    while True:
        fed = {"embedding", *(node(edge["to"]) for edge in kept)}
        used = {"logits", *(edge["from"] for edge in kept)}
        fewer = [edge for edge in kept if edge["from"] in fed and node(edge["to"]) in used]
        if len(fewer) == len(kept):
            return kept
        kept = fewer


@pytest.mark.browser
def test_the_circuit_goes_by_keys_alone(browser: Browser, toad: CircuitPageFile) -> None:
    browser.open(toad.path)
    browser.press("Tab")
    assert browser.value("document.activeElement.id") == "size"
    browser.press("ArrowRight")
    assert browser.value("Number(document.activeElement.value)") == toad.data["page"]["found"] + 1
    browser.press("Tab")
    assert browser.value("document.activeElement.dataset.node") == "embedding"
    browser.press("ArrowDown")
    browser.press("ArrowRight")
    chosen = browser.value("document.activeElement.dataset.node")
    assert chosen.startswith("0.") and browser.value(SPOKEN).startswith(f"layer 0, head {chosen[-1]}")
    assert browser.value("document.activeElement.getAttribute('aria-pressed')") == "true"
    assert browser.value("document.activeElement.getAttribute('aria-label')").startswith("layer 0, head ")
    assert browser.complaints() == []


@pytest.mark.browser
@pytest.mark.parametrize("dark", [False, True])
def test_the_circuit_fits_a_phone_and_can_be_read(browser: Browser, drawn: CircuitPageFile, dark: bool) -> None:
    for width in (390, 800, 1600):
        browser.open(drawn.path, width=width, dark=dark)
        assert browser.value("document.documentElement.scrollWidth") <= width
        assert browser.value(CONTRAST) == []


@pytest.mark.browser
def test_nothing_of_the_texts_runs(browser: Browser, drawn: CircuitPageFile) -> None:
    browser.open(drawn.path)
    for name in browser.value(SHOWN):
        browser.click(f'[data-node="{name}"]')
    assert browser.value("document.querySelectorAll('main b, main script, main img').length") == 0
    whole = browser.value("document.querySelector('main').textContent")
    assert "<" in whole and "\u202e" not in whole
    assert browser.complaints() == []
