"""The user's own files: read as they are, saved whole or not at all."""

from __future__ import annotations

import errno
import os
from typing import IO, TYPE_CHECKING

import pytest

from llminspect.errors import ModelError, UserError
from llminspect.files.source import read_bytes, read_json, read_lines, read_text, save_whole

if TYPE_CHECKING:
    from pathlib import Path


def test_text_keeps_every_byte(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_bytes(b"na\xc3\xafve \xff\r\nend")
    assert read_text(path) == "naïve \udcff\r\nend"
    assert read_text(path).encode("utf-8", "surrogateescape") == read_bytes(path)


def test_lines_end_at_line_feeds_only(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_bytes("a\u2028b\r\n\n\rc\r".encode())
    assert list(read_lines(path)) == ["a\u2028b", "", "\rc\r"]


@pytest.mark.parametrize("name", ["missing", "a\0b", "."])
def test_what_cannot_be_read_is_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"cannot read|is a folder") as caught:
        read_bytes(f"{tmp_path}/{name}")
    assert caught.value.exit_code == 1
    assert "\0" not in caught.value.message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[1]", "no JSON object"),
        (b"{", "not JSON"),
        (b"\xff{}", "not UTF-8"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "a key twice"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b'{"a": ' + b"9" * 10_000 + b"}", "more than 4300 digits"),
    ],
)
def test_json_of_strangers(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=message):
        read_json(path)


def test_saved_whole_over_an_older_file_keeping_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "out.npz"
    save_whole(path, b"old")
    path.chmod(0o640)
    save_whole(path, lambda file: file.write(b"new"))
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_the_older_file(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    path.write_bytes(b"old")

    def full(file: IO[bytes]) -> None:
        file.write(b"{")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def stopped(file: IO[bytes]) -> None:
        file.write(b"{")
        raise KeyboardInterrupt

    with pytest.raises(UserError, match="No space left"):
        save_whole(path, full)
    with pytest.raises(KeyboardInterrupt):
        save_whole(path, stopped)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)
    save_whole(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_a_device_is_written_to_and_not_replaced() -> None:
    save_whole("/dev/null", b"gone")
    assert not os.path.isfile("/dev/null")


@pytest.mark.parametrize("name", ["no/such/folder/x", "a\0b", "."])
def test_what_cannot_be_written_is_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="cannot write"):
        save_whole(f"{tmp_path}/{name}", b"")
