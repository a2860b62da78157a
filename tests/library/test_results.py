"""A Result prints in a few lines, and a notebook draws it."""

from __future__ import annotations

import dataclasses
import sys
from functools import cache
from html.parser import HTMLParser
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import llminspect
from llminspect import commands
from llminspect.analysis.explore.session import Session
from llminspect.analysis.explore.state import ExploreState
from llminspect.analysis.result import Result
from llminspect.core.dataclass import dataclass
from llminspect.errors import UsageError, UserError
from llminspect.render import picture

if TYPE_CHECKING:
    from collections.abc import Callable

CAT = ("A cat sat.", "toy-attention")
RESULTS: dict[str, Callable[[], Any]] = {
    "tokenize": lambda: llminspect.tokenize(*CAT),
    "count": lambda: llminspect.tokenize(*CAT, count=True),
    "compare": lambda: llminspect.tokenize("A cat sat.", compare=["toy-attention", "bytes"]),
    "count_files": lambda: llminspect.count_files("README.md", "bytes"),
    "encode": lambda: llminspect.encode(*CAT),
    "search": lambda: llminspect.search("*", "toy-attention"),
    "embed": lambda: llminspect.embed("A cat sat.", model="toy-attention"),
    "attend": lambda: llminspect.attend(*CAT),
    "forward": lambda: llminspect.forward("world", "toy"),
    "generate": lambda: llminspect.generate("world", "toy", max_tokens=2),
    "over": lambda: llminspect.over("attend", [{"text": "A cat"}, {"text": "A cat sat."}], "toy-attention"),
    "head": lambda: llminspect.head("1.0", "smollm2", top=1),
    "neuron": lambda: llminspect.neuron("1.0", "smollm2", top=1),
    "features": lambda: llminspect.features("tests/golden/dictionaries/toy", "world", "toy"),
    "probe": lambda: llminspect.probe([{"text": word, "label": word > "c"} for word in "abcdef"], "smollm2", at=0),
    "circuit": lambda: llminspect.circuit("Mr Toad. Mr", "Mr Hen. Mr", "toy-induction"),
    "walk": lambda: llminspect.walk(model="smollm2"),
    "explore": lambda: Session(llminspect.open_model("toy-attention"), ExploreState("A cat sat.")).result(),
    "diff": lambda: llminspect.diff("world", "toy", against="hello"),
    "diff_models": lambda: llminspect.diff_models("toy", "toy", weights=True),
    "models": llminspect.models,
    "info": lambda: llminspect.info("toy"),
    "pull": lambda: llminspect.pull("smollm2"),
    "verify": lambda: llminspect.verify("toy"),
    "cache": llminspect.cache,
    "schema": llminspect.schema,
    "help": llminspect.help,
}


@cache
def made(name: str) -> Any:
    with TemporaryDirectory() as home, pytest.MonkeyPatch.context() as patch:
        if name == "cache":  # A developer's own may hold tens of thousands of files.
            patch.setenv("LLMINSPECT_HOME", home)
        return RESULTS[name]()


@pytest.fixture(scope="module", params=sorted(RESULTS))
def result(request: pytest.FixtureRequest) -> Any:
    return made(request.param)


def test_every_kind_of_result_is_tried() -> None:
    kinds = {kind for name in commands.names() for kind in commands.result_types(name)}
    assert all(issubclass(kind, Result) for kind in kinds)
    assert set(map(type, map(made, RESULTS))) | {kinds_of("DecodeResult", kinds)} == kinds


def kinds_of(name: str, kinds: set[Any]) -> Any:
    return next(kind for kind in kinds if kind.__name__ == name)


def test_it_prints_short(result: Any) -> None:
    lines = repr(result).split("\n")
    assert len(lines) <= 10 and max(map(len, lines)) <= 100
    for field in dataclasses.fields(result):
        assert (f"{field.name}=" in repr(result)) == (getattr(result, field.name) is not None)


def test_what_is_printed_of_each_kind_of_value() -> None:
    @dataclass(frozen=True)
    class Part:
        name: str

    @dataclass(frozen=True)
    class SomeResult(Result):
        text: str
        array: Any
        few: list[int]
        many: list[float]
        parts: list[Part]
        grid: list[list[Part]]
        part: Part
        keys: dict[str, int]
        empty: list[int]
        missing: int | None = None

    shown = repr(
        SomeResult(
            "a" * 200,
            np.zeros((3, 4), np.float32),
            [1, 2, 3],
            [0.1234567] * 40,
            [Part("x")] * 7,
            [[Part("x")] * 2] * 5,
            Part("y"),
            {"a": 1},
            [],
        )
    )
    assert shown.replace("\n           ", " ") == (
        f"SomeResult(text='{'a' * 47}…', array=float32[3, 4], few=[1, 2, 3], many=[40 × float], parts=[7 × Part], "
        "grid=[5 × 2 × Part], part=Part(…), keys={1 keys}, empty=[])"
    )


class Seen(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.style: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            (self.style if self.open[-1] == "style" else self.text).append(data)


def test_a_notebook_shows_what_the_command_line_draws(result: Any) -> None:
    page, seen, saved = result._repr_html_(), Seen(), Seen()
    assert page is not None
    seen.feed(page)
    assert seen.open == []
    saved.feed(picture.html(view_of(result)(result), 100, "light").partition("<body>\n")[2].partition("</body>")[0])
    assert "".join(seen.text).strip("\n") == "".join(saved.text).strip("\n")
    style = "".join(seen.style)
    light, _, dark = style.partition("@media (prefers-color-scheme: dark)")
    assert "background: #ffffff" in light and "background: #111318" in dark


def view_of(result: Any) -> Any:
    return commands.render(next(name for name in commands.names() if type(result) in commands.result_types(name)))


def test_the_rules_of_one_picture_do_not_reach_another() -> None:
    one, other = (llminspect.forward(text, "toy")._repr_html_() for text in ("hello", "world"))
    names = []
    for page in (one, other):
        assert page is not None
        name = page.partition('<pre id="')[2].partition('"')[0]
        assert all(
            line.startswith((f"#{name} ", "@media", "}")) for line in page.split("</style>")[0].split("\n")[1:-1]
        )
        names.append(name)
    assert names[0] != names[1]


def test_what_no_command_draws_has_no_picture() -> None:
    @dataclass(frozen=True)
    class OtherResult(Result):
        text: str

    assert OtherResult("a")._repr_html_() is None


def test_results_put_together_are_one_table() -> None:
    texts = ["A cat", "A cat sat."]
    found = llminspect.encode(texts, "toy-attention") + llminspect.encode("A", "toy-attention")
    assert type(found) is llminspect.Results and [len(result.ids) for result in found] == [2, 4, 1]
    assert type(found[0] + found[1]) is type(found[0] + found[1:]) is llminspect.Results
    rows = found.rows("tokens")
    assert [(row["result"], row["input"], row["tokens"]) for row in rows] == [
        (number, result.text, at) for number, result in enumerate(found) for at in range(len(result.ids))
    ]
    assert [row["id"] for row in rows] == [token_id for result in found for token_id in result.ids]
    assert found.to_dict()[1]["ids"] == [0, 1, 2, 3] == found[1].to_dict()["ids"]
    assert [row["ids"] for row in found.rows()] == [result.ids for result in found]


def test_an_array_is_a_row_a_number_with_its_axes() -> None:
    result = llminspect.attend("A cat sat.", "smollm2")
    assert result.overview is not None
    measures = result.overview.measures
    rows = result.rows("overview.measures.entropy")
    assert [list(row) for row in rows] == [["result", "input", "L", "H", "value"]] * measures["entropy"].size
    assert all(row["value"] == measures["entropy"][row["L"], row["H"]] for row in rows)
    assert {row["name"] for row in result.rows("overview.measures")} == set(measures)
    of_heads = llminspect.attend("A cat sat.", "smollm2", layer=[2, 3], head=1).rows("heads.weights")
    assert len(of_heads) == 32 and [row["heads"] for row in of_heads] == [0] * 16 + [1] * 16
    assert {"T", "S"} <= set(of_heads[0])
    model: Any = llminspect.open_model("toy-attention")
    seen = model.run_with_cache(["A", "A cat"], "layers.*.attention.weights")
    rows = seen.rows("arrays")
    assert [row["value"] for row in rows] == [float(x) for one in seen for x in one["layers.0.attention.weights"].flat]


def test_what_makes_no_table_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = llminspect.encode("A", "toy-attention"), llminspect.attend("A cat", "toy-attention")
    with pytest.raises(UsageError, match="no 'token' here"):
        one.rows("token")
    with pytest.raises(UsageError, match="of one kind, not of AttendResult, EncodeResult"):
        (one + other).rows()
    monkeypatch.setattr("llminspect.analysis.table.MOST", 3)
    with pytest.raises(UsageError, match="more than 3 rows"):
        llminspect.encode("A cat sat.", "toy-attention").rows("tokens")


def test_a_frame_needs_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    result = llminspect.encode("A cat", "toy-attention")
    monkeypatch.setattr("llminspect.analysis.table.find_spec", lambda name: None)
    with pytest.raises(UserError, match="needs pandas") as raised:
        result.to_pandas("tokens")
    assert raised.value.hint == "pip install pandas, or take rows()"
    monkeypatch.setattr("llminspect.analysis.table.find_spec", lambda name: True)
    monkeypatch.setitem(sys.modules, "pandas", SimpleNamespace(DataFrame=lambda rows: rows))
    assert result.to_pandas("tokens") == result.rows("tokens")
