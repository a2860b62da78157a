"""SIGKILL while files come from a hub, which is played by a process of its own and sends slowly."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socketserver
import time
from contextlib import contextmanager
from http.server import HTTPServer
from typing import TYPE_CHECKING
from unittest.mock import patch

from llminspect.files.hashes import git_number, taken
from tests.conftest import ROOT
from tests.files import played_server
from tests.hostile import kills

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PIECE = 1_000
"""Bytes of a file that are sent at a time."""
PAUSE = 0.004
"""Seconds after each."""
REPO = "org/model"


def files() -> dict[str, bytes]:
    """A model's, as the hub has them."""
    place = ROOT / "tests/golden/llama"
    return {name: (place / name).read_bytes() for name in ("config.json", "model.safetensors")}


class Slow(played_server.Handler):
    def answer(self, body: bytes, code: int = 200, length: int | None = None, **headers: object) -> None:
        super().answer(b"", code, len(body), **headers)
        for start in range(0, len(body), PIECE):
            self.wfile.write(body[start : start + PIECE])
            time.sleep(PAUSE)


class Hub(socketserver.ThreadingMixIn, HTTPServer):
    daemon_threads = True
    requests: list[object]

    def attack(self, handler: Slow, name: str) -> None:
        self.requests.clear()
        handler.right(name)


@contextmanager
def played() -> Iterator[None]:
    """The environment of who fetches from a played hub, while it lasts."""
    content = files()
    with patch.object(played_server, "FILES", content):
        server = Hub(("127.0.0.1", 0), Slow)
        server.requests = []
        process = os.fork()
        if not process:
            try:
                server.serve_forever()
            finally:
                os._exit(0)
        server.server_close()
        changes = {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HUB_OFFLINE": "0"}
        try:
            with patch.dict(os.environ, changes):
                from huggingface_hub import constants

                with patch.object(constants, "ENDPOINT", changes["HF_ENDPOINT"]):
                    yield
        finally:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)


def started(home: Path, output: Path, go: float = 0) -> int:
    """As `kills.started`, with the model from the hub."""
    with patch.dict(os.environ, {"HF_HUB_CACHE": str(home / "hub")}):
        return kills.started(home, output, go, options=("--model", REPO))


def whole(home: Path) -> str:
    """What of the hub is in the cache, in words. AssertionError: something that would be read is not whole."""
    content, place = files(), home / "hub" / "models--org--model"
    blobs = list((place / "blobs").glob("*"))
    parts = [blob for blob in blobs if blob.name.endswith(".partial")]
    for blob in blobs:
        assert blob in parts or blob.name in (git_number(blob), taken(blob)), "a blob is not what its name says"
    found = list((place / "snapshots" / played_server.COMMIT).glob("*"))
    there = [path for path in found if not path.name.endswith(".partial")]
    parts += [path for path in found if path not in there]
    assert all(path.read_bytes() == content[path.name] for path in there), "a file of the snapshot is not whole"
    named = (place / "refs" / "main").exists()
    assert not named or len(there) == len(content), "the revision is named before all is there"
    words = [f"{len(there)} of {len(content)} files"] * bool(there) + ["a part of one"] * bool(parts)
    return " and ".join([*words, *[word for word in [kills.whole(home)] if word != "nothing"]]) or "nothing"


def kill(count: int, folder: Path, seed: int = 0) -> kills.Kills:
    """That many runs on an empty cache, each killed at a moment drawn from the time that a whole one takes."""
    moments, found, output = random.Random(seed), kills.Kills(), folder / "output"
    with played():
        began = time.monotonic()
        assert kills.ended(started(folder / "reference", output)) == 0, output.read_text()
        takes, expected = time.monotonic() - began, output.read_bytes()
        done = whole(folder / "reference")
        for number in range(count):
            home = folder / f"home{number}"
            kills.kill_after(found, started(home, output), moments.uniform(0, takes), output)
            found.states[whole(home)] += 1
            assert kills.ended(started(home, output)) == 0, output.read_text()
            assert output.read_bytes() == expected
            left = whole(home).replace("a part of a remembered hash and ", "")
            assert left == done, left
            shutil.rmtree(home)
    return found


def at_once(processes: int, folder: Path) -> None:
    """That many runs that begin together on an empty cache."""
    with played():
        go = time.monotonic() + 0.2
        outputs = [folder / f"output{number}" for number in range(processes)]
        running = [started(folder / "home", output, go) for output in outputs]
        codes = [kills.ended(process) for process in running]
        assert codes == [0] * processes, [output.read_text()[-300:] for output in outputs]
        assert len({output.read_bytes() for output in outputs}) == 1
        assert "part" not in whole(folder / "home")
