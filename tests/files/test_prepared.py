"""Prepared weights: made once, mapped after that, and never read when they are not whole."""

from __future__ import annotations

import json
import os
import zlib
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import pytest

from llminspect.errors import UserError
from llminspect.files import prepared_file as module
from llminspect.files.prepared import prepared
from llminspect.files.prepared_file import Planned, damaged_arrays

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

ARRAYS: dict[str, NDArray[np.float32]] = {
    "embedding.weight": np.arange(12, dtype=np.float32).reshape(4, 3),
    "layers.0.attention.query.weight": np.linspace(-1, 1, 5000, dtype=np.float32).reshape(50, 100),
    "scale": np.array([np.nan, np.inf, -0.0], np.float32),
    "empty": np.zeros((0, 3), np.float32),
}


class Plan:
    """A plan that counts how often it was carried out."""

    def __init__(self, arrays: dict[str, NDArray[np.float32]] = ARRAYS) -> None:
        self.reads = 0
        self.planned = [Planned(name, array.shape, self._reader(array)) for name, array in arrays.items()]

    def _reader(self, array: NDArray[np.float32]) -> Callable[[], NDArray[np.float32]]:
        def read() -> NDArray[np.float32]:
            self.reads += 1
            return array

        return read


def fail(line: str) -> None:
    pytest.fail(f"notice: {line}")


def assert_right(arrays: Any) -> None:
    assert list(arrays) == list(ARRAYS)
    for name, expected in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], expected)
        assert not arrays[name].flags.writeable


def file_of(cache: Path, key: str = "key") -> Path:
    return cache / "prepared" / key


def test_made_once_and_mapped_after_that(cache: Path) -> None:
    plan, steps = Plan(), list[tuple[str, int, int | None]]()
    assert_right(prepared("key", plan.planned, progress=lambda *step: steps.append(step), notice=fail))
    assert plan.reads == len(ARRAYS)
    total = sum(array.nbytes for array in ARRAYS.values())
    assert steps[-1] == ("prepare", total, total)
    arrays = prepared("key", plan.planned, notice=fail)
    assert plan.reads == len(ARRAYS)
    assert_right(arrays)
    for array in arrays.values():
        assert array.ctypes.data % 64 == 0
        assert not array.flags.owndata
    assert [path.name for path in file_of(cache).parent.iterdir()] == ["key"]
    assert damaged_arrays(file_of(cache)) == []


def test_another_key_another_file_and_a_strange_key_a_safe_name(cache: Path) -> None:
    for key in ("key", "../../escape", "x" * 500, "a/b", ".hidden"):
        prepared(key, Plan().planned, notice=fail)
    assert len(list((cache / "prepared").iterdir())) == 5
    assert {path.name for path in cache.iterdir()} == {"prepared", "locks"}


def test_another_plan_under_the_same_key_is_made_anew() -> None:
    prepared("key", Plan().planned, notice=fail)
    arrays = prepared("key", Plan({"other": np.ones(3, np.float32)}).planned, notice=fail)
    assert list(arrays) == ["other"]
    assert_right(prepared("key", Plan().planned, notice=fail))


def _cut(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 1)


def _emptied(path: Path) -> None:
    path.write_bytes(b"")


def _flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-5000] ^= 1
    path.write_bytes(content)


def _header_broken_and_time_kept(path: Path) -> None:
    finished = path.stat().st_mtime
    content = path.read_bytes()
    assert b", 4096, " in content  # Where the first array lies.
    path.write_bytes(content.replace(b", 4096, ", b", 4160, ", 1))
    os.utime(path, (finished, finished))


def _longer_and_time_kept(path: Path) -> None:
    finished = path.stat().st_mtime
    with path.open("ab") as file:
        file.write(bytes(4096))
    os.utime(path, (finished, finished))


@pytest.mark.parametrize("harm", [_cut, _emptied, _flipped, _header_broken_and_time_kept, _longer_and_time_kept])
def test_a_file_that_is_not_as_it_was_written_is_made_anew(cache: Path, harm: Callable[[Path], None]) -> None:
    plan = Plan()
    prepared("key", plan.planned, notice=fail)
    harm(file_of(cache))
    assert_right(prepared("key", plan.planned, notice=fail))
    assert plan.reads == 2 * len(ARRAYS)


def test_a_flipped_bit_under_the_same_time_is_found_by_the_full_check(cache: Path) -> None:
    prepared("key", Plan().planned, notice=fail)
    path = file_of(cache)
    finished, content = path.stat().st_mtime, bytearray(path.read_bytes())
    at = content.index(ARRAYS["layers.0.attention.query.weight"].tobytes())
    content[at + 7] ^= 1
    path.write_bytes(content)
    os.utime(path, (finished, finished))
    assert damaged_arrays(path) == ["layers.0.attention.query.weight"]
    _cut(path)
    assert damaged_arrays(path) is None


def test_a_cache_that_cannot_be_written_leaves_the_arrays_in_memory(cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    notices: list[str] = []
    assert_right(prepared("key", Plan().planned, notice=notices.append))
    assert len(notices) == 1
    assert "\n" not in notices[0]
    assert "cannot be kept" in notices[0]


def test_a_full_disk_leaves_the_arrays_in_memory_and_no_files(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(file: IO[bytes]) -> Callable[[memoryview, int], None]:
        def write(data: memoryview, offset: int) -> None:
            raise OSError(28, "No space left on device")

        return write

    monkeypatch.setattr(module, "_writer_at", no_space)
    notices: list[str] = []
    assert_right(prepared("key", Plan().planned, notice=notices.append))
    assert "no space left" in notices[0]
    assert list((cache / "prepared").iterdir()) == []


def test_too_little_room_is_seen_before_anything_is_written(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 100}))
    notices: list[str] = []
    assert_right(prepared("key", Plan().planned, notice=notices.append))
    assert "room for less than" in notices[0]


def test_too_little_memory_is_one_line(cache: Path) -> None:
    cache.write_text("")

    def read() -> NDArray[np.float32]:
        raise MemoryError

    with pytest.raises(UserError, match="4 MB of memory"):
        prepared("key", [Planned("w", (1000, 1000), read)], notice=lambda _: None)


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), ValueError("broken tensor")])
def test_a_failure_while_preparing_leaves_nothing(cache: Path, failure: BaseException) -> None:
    def read() -> NDArray[np.float32]:
        raise failure

    with pytest.raises(type(failure)):
        prepared("key", [*Plan().planned, Planned("bad", (1,), read)], notice=fail)
    assert list((cache / "prepared").iterdir()) == []


def test_a_shape_that_is_not_the_planned_one_is_a_bug_and_says_so() -> None:
    with pytest.raises(ValueError, match=r"planned as \(3,\) and read as \(2,\)"):
        prepared("key", [Planned("w", (3,), lambda: np.zeros(2, np.float32))], notice=fail)


def test_leftovers_of_a_killed_process_are_cleared(cache: Path) -> None:
    folder = cache / "prepared"
    folder.mkdir(parents=True)
    (folder / ".key.0123456789ab.partial").write_bytes(b"half")
    prepared("key", Plan().planned, notice=fail)
    assert [path.name for path in folder.iterdir()] == ["key"]


def _rewritten(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the header of a prepared file, its checksum and its time made right."""
    content, finished = path.read_bytes(), path.stat().st_mtime_ns
    _, length, _, _ = module._FRONT.unpack_from(content)
    header = json.loads(content[module._FRONT.size : module._FRONT.size + length])
    encoded = json.dumps(change(header) or header).encode()
    front = module._FRONT.pack(module.MAGIC, len(encoded), zlib.crc32(encoded), 0) + encoded
    path.write_bytes(front + content[len(front) :])
    os.utime(path, ns=(finished, finished))


ODD: dict[str, Callable[[dict[str, Any]], object]] = {
    "a list": lambda header: [header],
    "no size": lambda header: header.pop("size"),
    "a time that is text": lambda header: header.update(finished="now"),
    "no arrays": lambda header: header.update(arrays=None),
    "an array without a place": lambda header: header["arrays"][0].pop(),
    "a name that is a list": lambda header: header["arrays"][0].__setitem__(0, []),
    "an array after the end": lambda header: header["arrays"][0].__setitem__(2, 1 << 40),
    "an array in the header": lambda header: header["arrays"][0].__setitem__(2, 0),
    "an array between two numbers": lambda header: header["arrays"][0].__setitem__(2, 4097),
    "a negative shape": lambda header: header["arrays"][0].__setitem__(1, [-4, 3]),
    "a shape as large as no memory": lambda header: header["arrays"][0].__setitem__(1, [1 << 62, 4]),
    "what is not finite, as a number": lambda header: header.update(not_finite=5),
    "what is not finite, as numbers": lambda header: header.update(not_finite=[5]),
}


@pytest.mark.parametrize("what", ODD)
def test_odd_content_with_the_right_sum_is_made_anew(what: str, cache: Path) -> None:
    plan = Plan()
    prepared("key", plan.planned, notice=fail)
    _rewritten(file_of(cache), ODD[what])
    assert damaged_arrays(file_of(cache)) is None
    assert_right(prepared("key", plan.planned, notice=fail))
    assert plan.reads == 2 * len(ARRAYS)
    assert damaged_arrays(file_of(cache)) == []
