"""Folders walked as git lists them (git 2.39, `git ls-files -co --exclude-standard`)."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from llminspect.errors import UserError
from llminspect.files.walk import found_files, ignore_patterns, leaves_out

if TYPE_CHECKING:
    from pathlib import Path


def tree(folder: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode())


def listed(folder: Path, *inner: str) -> list[str]:
    return [os.path.relpath(file.path, folder) for file in found_files([folder.joinpath(*inner)])]


@pytest.mark.parametrize(
    ("lines", "path", "out"),
    [
        (["*.log"], "a/x.log", True),
        (["*.log", "!keep.log"], "keep.log", False),
        (["!keep.log", "*.log"], "keep.log", True),
        (["/a"], "b/a", None),
        (["b/a"], "c/b/a", None),
        (["a/"], "a", None),
        (["**/tmp"], "x/y/tmp", True),
        (["a/**/b"], "a/b", True),
        (["a/**/b"], "a/x/y/b", True),
        (["a/**"], "a", None),
        (["a**"], "d/ab", True),
        (["*"], "a/b", True),
        (["a/*"], "a/b/c", None),
        (["?", "!keep"], "keep/a", True),
        (["?"], "ü", None),
        (["[!ab]"], "c", True),
        (["[[:digit:]]x"], "7x", True),
        *((["[a-"], "a", None), (["x["], "x[", None), (["a\\"], "a\\", None), (["[[:alpha:]"], "a", None)),
        *((["[[:foo:]]"], "f", None), (["[!]]"], "a", True), (["[]a]"], "]", True), (["[z-a]"], "z", True)),
        *((["[z-a]"], "b", None), (["[a-]"], "-", True), (["[\\]]"], "]", True), (["[a\\-z]"], "m", None)),
        *((["[[:cntrl:]]"], "\x01", True), (["[[x]"], "[", True), (["[!a]"], "x/y", True), (["x[!a]y"], "x/y", None)),
        (["\\!x", "\\#y"], "!x", True),
        (["# a", "", "b  ", "c\\ "], "b", True),
        (["# a", "", "b  ", "c\\ "], "c ", True),
        *((["a\t"], "a", None), (["a\t "], "a\t", True), (["a\\\\ "], "a\\", True), (["a\\  "], "a ", True)),
        *((["a\r"], "a", None), (["a b  c "], "a b  c", True)),
        *((["*a*b*c"], "abac", True), (["/**/a/**/b/**/c"], "x/a/b/a/c", True)),
        (["*a*b*/**/c*d"], "xaybz/q/r/czd", True),
        (["/**/a/b/**/a/c"], "a/a/b/b/a/b/a/c", True),
        (["a/**/**/*c"], "a/b/c", True),
        (["*a" * 30 + "b"], "a" * 200, None),  # Would take for ever where all ways to cut a name are tried.
        (["**/a/*/" * 9 + "b"], "a/" * 200, None),
        (["/a" + "/**/a" * 30 + "/b"], "a/" * 200 + "c", None),
    ],
)
def test_patterns_match_as_in_git(lines: list[str], path: str, out: bool | None) -> None:
    assert leaves_out(ignore_patterns(lines), path, is_folder=False) is out


def test_a_tree_is_listed_as_git_lists_it(tmp_path: Path) -> None:
    tree(
        tmp_path,
        {
            ".git/config": "x",
            ".git/info/exclude": "secret\n",
            ".gitignore": "*.log\nbuild/\n!build/keep\n",
            "a.log": "",
            "build/keep": "",
            "secret": "",
            "src/.gitignore": "!*.log\n/deep/\r",
            "src/a.log": "",
            "src/build/x": "",
            "src/deep/x": "",
            "src/z/deep/x": "",
            "src-2": "",
        },
    )
    expected = [".gitignore", "src/.gitignore", "src/a.log", "src/z/deep/x", "src-2"]
    assert listed(tmp_path) == expected
    assert listed(tmp_path, "src") == expected[1:4]  # The patterns above hold there as well.
    assert listed(tmp_path, "a.log") == ["a.log"]  # What is named is wanted.
    twice = [file.path for file in found_files([tmp_path / "src", tmp_path / "src" / "a.log", tmp_path])]
    assert sorted(twice) == sorted(str(tmp_path / name) for name in expected)


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_links_and_pipes_are_named_and_not_followed(tmp_path: Path) -> None:
    tree(tmp_path, {"a/text": "x"})
    (tmp_path / "a" / "circle").symlink_to(tmp_path)
    (tmp_path / "a" / "other").symlink_to(tmp_path / "a" / "text")
    os.mkfifo(tmp_path / "a" / "pipe")
    found = {os.path.basename(file.path): file.skipped for file in found_files([tmp_path])}
    assert found == {"circle": "a link", "other": "a link", "pipe": "no plain file", "text": ""}
    assert [file.path for file in found_files([tmp_path / "a" / "other"])] == [str(tmp_path / "a" / "other")]


def test_a_path_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read .*nothing"):
        list(found_files([tmp_path / "nothing"]))
