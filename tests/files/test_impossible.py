"""Files that say something impossible: one line and an exit code, whichever reader meets them."""

from __future__ import annotations

import http.server
import io
import json
import os
import shutil
import struct
import threading
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from llminspect.analysis.explore.session import read_session
from llminspect.errors import ModelError, UserError, reader, understood
from llminspect.files.gguf import GGUFFile
from llminspect.files.npz import read_arrays
from llminspect.files.safetensors import SafetensorsFile
from llminspect.files.source import read_json
from llminspect.files.torch_archive import read_tensors
from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Program


def npy(kind: str, shape: str, data: bytes = b"") -> bytes:
    header = f"{{'descr': {kind}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


MEMBERS = {
    "a shape larger than any memory": npy("'<i8'", "(4611686018427387904,)"),
    "a shape larger than its bytes": npy("'<f4'", "(100000000000,)", bytes(8)),
    "a negative shape": npy("'<i8'", "(-3,)", bytes(24)),
    "a shape of no numbers": npy("'<i8'", "('a',)", bytes(24)),
    "a shape of 70 dimensions": npy("'<f4'", "(" + "1, " * 70 + ")", bytes(4)),
    "text": npy("'|S5'", "(2,)", b"hellohello"),
    "dates": npy("'<M8[s]'", "(2,)", bytes(16)),
    "dates of no known unit": npy("'<M8[zz]'", "(2,)", bytes(16)),
    "objects": npy("'|O'", "(2,)", b"\x80\x04N."),
    "records": npy("[('a', '<i4')]", "(2,)", bytes(8)),
    "a type within a type": npy("('<i4', (1000000000,))", "(2,)", bytes(16)),
    "a header that never ends": npy("(" * 5000, "(2,)"),
    "a header that is code": npy("__import__('os')", "(2,)"),
    "cut short": npy("'<i8'", "(3,)", bytes(19)),
    "a version that is none": b"\x93NUMPY\x09\x00" + bytes(20),
    "a header longer than the file": b"\x93NUMPY\x01\x00\xff\xff{",
    "no array": b"hello",
    "nothing": b"",
}


def archive(member: bytes) -> bytearray:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("ids.npy", member)
    return bytearray(file.getvalue())


@pytest.mark.parametrize("what", MEMBERS)
def test_an_array_that_is_none(what: str, tmp_path: Path, called: Program) -> None:
    (tmp_path / "a.npz").write_bytes(archive(MEMBERS[what]))
    with pytest.raises(UserError, match="not an archive of arrays"):
        read_arrays(tmp_path / "a.npz", ["ids"])
    ran = called("verify", "toy", "--against", str(tmp_path / "a.npz"))
    assert (ran.out, len(ran.err.splitlines())) == ("", 1)


@pytest.mark.parametrize(
    ("local", "central", "value"), [(6, 8, 1), (8, 10, 97), (None, 42, 0x70), (14, 16, 1)],
    ids=["encrypted", "packed in an unknown way", "in another place", "another sum"],
)  # fmt: skip
def test_an_archive_that_is_none(local: int | None, central: int, value: int, tmp_path: Path) -> None:
    data = archive(npy("'<i8'", "(3,)", bytes(24)))
    if local is not None:
        data[data.index(b"PK\3\4") + local] ^= value
    data[data.index(b"PK\1\2") + central] ^= value
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(UserError, match="not an archive of arrays"):
        read_arrays(tmp_path / "a.npz", ["ids"])


ARRAYS = [
    np.arange(6).reshape(2, 3),
    np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    np.array(3, np.float16),
    np.zeros((0, 3), "<f4"),
    np.zeros(4, bool),
    np.arange(3, dtype=">i4"),
    np.ones((1, 2, 3, 4)),
]


@pytest.mark.parametrize("packed", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("number", range(len(ARRAYS)))
def test_what_numpy_writes_is_read(number: int, packed: object, tmp_path: Path) -> None:
    packed(tmp_path / "a.npz", ids=ARRAYS[number])  # type: ignore[operator]
    found = read_arrays(tmp_path / "a.npz", ["ids", "other"])
    assert found.keys() == {"ids"}
    assert found["ids"].dtype == ARRAYS[number].dtype
    np.testing.assert_array_equal(found["ids"], ARRAYS[number])


def test_half_a_character_in_the_name_of_a_shard(tmp_path: Path, called: Program) -> None:
    shutil.copy(ROOT / "tests" / "golden" / "llama" / "config.json", tmp_path)
    index = {"weight_map": {"a": "\ud800.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    ran = called("forward", "--ids", "1", "-m", str(tmp_path))
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (3, "", 1)
    assert "not a .safetensors file beside it" in ran.err


@pytest.mark.parametrize("value", [99_999_999, -5, "x", 1.5, True, [1], 10**30])
def test_a_first_token_of_a_target_that_is_no_id(value: object, tmp_path: Path, called: Program) -> None:
    for path in (ROOT / "tests" / "golden" / "t5").glob("*.*"):
        shutil.copy(path, tmp_path)
    (tmp_path / "generation_config.json").write_text(json.dumps({"decoder_start_token_id": value}))
    ran = called("generate", "--ids", "1,2", "--max-tokens", "2", "-m", str(tmp_path))
    assert (ran.code, len(ran.err.splitlines())) == (3, 1)
    assert "decoder_start_token_id" in ran.err
    config = json.loads((tmp_path / "config.json").read_bytes())
    (tmp_path / "generation_config.json").unlink()
    (tmp_path / "config.json").write_text(json.dumps({**config, "decoder_start_token_id": value}))
    ran = called("generate", "--ids", "1,2", "--max-tokens", "2", "-m", str(tmp_path))
    assert (ran.code, len(ran.err.splitlines())) == (3, 1)
    assert "decoder_start_token_id" in ran.err


COMMIT = b"0123456789abcdef0123456789abcdef01234567"
ANSWERS = {
    "a page": b"<html>log in</html>",
    "nothing": b"",
    "a list": b"[1, 2]",
    "a number": b"5",
    "no text": b"\xff\xfe\x00",
    "nested": b"[" * 100_000,
    "files that are a number": b'{"id": "a/b", "sha": "x", "siblings": 5}',
    "a name that is a number": b'{"id": "a/b", "siblings": [{"rfilename": 5}]}',
    "a commit that is a number": b'{"id": "a/b", "sha": 5, "siblings": []}',
    "a size that is a text": b'{"id": "a/b", "siblings": [{"rfilename": "a", "size": "5"}]}',
    "a negative size": b'{"id": "a/b", "siblings": [{"rfilename": "a", "size": -5}]}',
    "half a character": b'{"id": "a/b", "sha": "' + COMMIT + b'", "siblings": [{"rfilename": "\\ud800", "size": 3}]}',
    "a large file without a hash": b'{"id": "a/b", "siblings": [{"rfilename": "a", "lfs": {"size": 5}}]}',
}


@pytest.fixture(scope="module")
def hub() -> Iterator[http.server.HTTPServer]:
    """A server that answers everything with `answer`, in good order."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer: bytes = self.server.answer  # type: ignore[attr-defined]
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("what", ANSWERS)
def test_an_answer_of_the_hub_that_is_none(
    what: str, hub: http.server.HTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from llminspect.files.hub import find

    hub.answer = ANSWERS[what]  # type: ignore[attr-defined]
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{hub.server_port}")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match="the answer that came for org/model is not one of the hub"):
        find("org/model", None, offline=False, weights=True)


# -- The boundary ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a\nb\x1b[31m"),
        KeyError("\ud800"),
        struct.error("x"),
        zipfile.BadZipFile(),
        RecursionError(),
        EOFError(),
    ],
)
def test_whatever_a_reader_meets_is_one_line_that_can_be_shown(error: Exception) -> None:
    @reader("the file")
    def fail() -> None:
        raise error

    with pytest.raises(ModelError, match="the file is not understood") as caught:
        fail()
    assert caught.value.message.isprintable()
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [UserError("known"), OSError(5, "disk"), MemoryError(), KeyboardInterrupt()])
def test_what_is_no_fault_of_the_file_goes_on(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, understood("the file"):
        raise error
    assert caught.value is error


def test_neither_a_message_nor_its_hint_is_without_end() -> None:
    error = UserError("m" * 10_000, "h" * 10_000)
    assert len(error.message) == len(error.hint or "") == 601


def a_session(place: Path, named: str) -> str:
    """A session whose steering comes from that file."""
    change = {"do": "change", "kind": "steer", "value": f"{named}@0*4"}
    document = {"schema": 1, "session": "explore", "model": "toy", "text": "hello world", "chat": False}
    place.write_text(json.dumps({**document, "events": [{"do": "pane", "pane": "changes"}, change]}))
    return str(place)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="has no named pipes")
@pytest.mark.parametrize("read", [read_json, read_arrays, read_tensors, SafetensorsFile, GGUFFile, read_session])
def test_a_pipe_or_a_device_is_not_waited_for(read: Any, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(UserError, match="it is a pipe or a device, and no file"):
            read(place, ("ids",)) if read is read_arrays else read(place)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="has no named pipes")
def test_no_command_waits_for_a_pipe_that_a_file_names(called: Program, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.npz"
    os.mkfifo(pipe)
    for given in (
        ("explore", "--session", str(pipe), "--json"),
        ("verify", "toy", "--against", str(pipe)),
        ("forward", "hello", "-m", "toy", "--steer", f"{pipe}@0*4"),
    ):
        ran = called(*given)
        assert ran.code in (1, 3) and ran.err.count("\n") == 1 and "it is a pipe or a device" in ran.err
    ran = called("explore", "--session", a_session(tmp_path / "s.json", str(pipe)), "--json")
    assert "it is a pipe or a device" in json.dumps(ran.json) or "it is a pipe or a device" in ran.err
