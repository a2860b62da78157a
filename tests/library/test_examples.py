"""Every public function and class says what it is, with an example; the examples are run."""

from __future__ import annotations

import doctest
import inspect
from typing import TYPE_CHECKING

import pytest

import llminspect
from llminspect.analysis.result import Result

if TYPE_CHECKING:
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
