"""Every public function and class says what it is, with an example; the examples are run."""

from __future__ import annotations

import dataclasses
import doctest
import importlib
import inspect
import pkgutil
import re
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest

import llminspect
from llminspect import analysis
from llminspect.analysis.result import Result

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FINDER = doctest.DocTestFinder(recurse=False)


@pytest.mark.parametrize("name", llminspect.__all__)
def test_every_public_name_has_an_example_that_holds(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "cache":  # A developer's own may hold tens of thousands of files.
        monkeypatch.setenv("LLMINSPECT_HOME", str(tmp_path))
    (found,) = FINDER.find(getattr(llminspect, name), name, globs={})
    assert found.examples
    written: list[str] = []
    doctest.DocTestRunner().run(found, out=written.append)
    assert not written, "".join(written)


@pytest.mark.parametrize("method", ["run_with_cache", "run_with_taps", "gradients", "to_dict", "rows"])
def test_the_examples_of_methods_hold(method: str) -> None:
    of = llminspect.OpenModel if hasattr(llminspect.OpenModel, method) else Result
    (found,) = FINDER.find(getattr(of, method), method, globs={})
    assert found.examples
    written: list[str] = []
    doctest.DocTestRunner().run(found, out=written.append)
    assert not written, "".join(written)


@pytest.mark.parametrize("name", llminspect.__all__)
def test_every_public_name_says_what_it_is(name: str) -> None:
    public = getattr(llminspect, name)
    first = (inspect.getdoc(public) or "").split("\n")[0]
    assert first.endswith((".", ":", "?", "`")) and first[0].isupper()
    for member, value in vars(public).items() if inspect.isclass(public) else ():
        if inspect.isfunction(value) and not member.startswith("_"):
            assert inspect.getdoc(value) or member in ("wants", "unreached"), member


FUNCTIONS = [name for name in llminspect.__all__ if not inspect.isclass(getattr(llminspect, name))]
REFUSE_NOTHING = ("models",)
SHAPE = re.compile(r"\[(?:\.\.\., )?(?:[A-Z]|positions)(?:[+]1)?(?:, (?:[A-Z]|width))*\]")
"""`[T, S]`, `[..., positions, width]`."""


def prose(name: str) -> str:
    """What a docstring says before its examples."""
    return (inspect.getdoc(getattr(llminspect, name)) or "").partition(">>>")[0]


@cache
def kinds() -> dict[str, type]:
    """The classes of `analysis/` by their names."""
    modules = [
        importlib.import_module(f"llminspect.analysis.{found.name}")
        for found in pkgutil.iter_modules(analysis.__path__)
    ]
    return {name: kind for module in modules for name, kind in vars(module).items() if inspect.isclass(kind)}


def holds_arrays(annotation: str, on_the_way: tuple[str, ...] = ()) -> bool:
    """Whether what is written of a type names an array, or a class that has one among its fields."""
    words = re.findall(r"\w+", annotation)
    known = [(word, kinds()[word]) for word in words if word in kinds() and word not in on_the_way]
    return "Array" in words or any(
        holds_arrays(str(field.type), (*on_the_way, word))
        for word, kind in known
        if dataclasses.is_dataclass(kind)
        for field in dataclasses.fields(kind)
    )


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_says_what_it_raises(name: str) -> None:
    assert name in REFUSE_NOTHING or re.search(r"\bRaises\s+\w+Error\b", prose(name))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_that_gives_arrays_says_their_shapes(name: str) -> None:
    given = str(inspect.signature(getattr(llminspect, name)).return_annotation)
    assert SHAPE.search(prose(name)) or not (holds_arrays(given) or name == "embed")


def test_what_holds_arrays_is_found() -> None:
    assert holds_arrays("Array | None") and holds_arrays("AttendResult") and holds_arrays("Contributions | None")
    assert not holds_arrays("GenerateResult") and not holds_arrays("list[LensLayer] | None")


@pytest.mark.parametrize(
    "call",
    [
        lambda: llminspect.replaced("3.2", 0.0),  # type: ignore[arg-type]
        lambda: llminspect.added(None, 1.0),  # type: ignore[arg-type]
        lambda: llminspect.added(llminspect.Place(0, "query"), np.ones(3)),
        *(
            lambda vector=vector: llminspect.added(llminspect.Place(0, "stream"), vector)
            for vector in (float("nan"), 3, "x", [1.0, float("inf")], np.ones((2, 3)))
        ),
        lambda: llminspect.added(llminspect.Place(0, "neuron", neuron=1), [2.0]),
        *(
            lambda factor=factor: llminspect.scaled(llminspect.Place(0, "stream"), factor)
            for factor in (float("nan"), float("inf"), "2", None, True)
        ),
        lambda: llminspect.scaled("0.stream", 2),  # type: ignore[arg-type]
        lambda: llminspect.Place(0, "hed"),  # type: ignore[arg-type]
        lambda: llminspect.as_json([]),  # type: ignore[arg-type]
        lambda: llminspect.as_json(Result),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_place_no_factor_and_no_result_is_refused(call: Callable[[], object]) -> None:
    with pytest.raises(llminspect.UserError):
        call()
