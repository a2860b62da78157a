"""Many inputs without growth, an end at once when it is asked for, and outputs that take no more."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import ROOT
from tests.fuzz.samples import llama, vocabulary
from tests.hostile.terminal import PROGRESS, Session, shown

if TYPE_CHECKING:
    from tests.conftest import Program

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("LLMINSPECT_HOME", str(tmp_path / "cache"))
    keys = vocabulary("llama")
    path = tmp_path / "model.gguf"
    path.write_bytes(llama(keys, len(dict(keys)["tokenizer.ggml.tokens"]), layers=2).build())
    return str(path)


@pytest.mark.parametrize("command", ["tokenize", "forward", "attend", "embed", "generate"])
def test_a_thousand_lines_without_growth(command: str, model: str) -> None:
    arguments = [sys.executable, "-m", "llminspect", command, "--lines", "--model", model]
    sizes = {}
    with subprocess.Popen(
        [*arguments, *(["--max-tokens", "2"] if command == "generate" else [])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for number in range(1000):
            process.stdin.write(f"Hello {number % 7} all of it\n".encode())
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["line"] == number
            if number in (200, 999):
                sizes[number] = resident(process.pid)
    assert process.returncode == 0
    assert sizes[999] - sizes[200] < 4 << 20, sizes


def resident(process: int) -> int:
    """Bytes of its own that a process holds."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def endless(folder: Path) -> Path:
    """A model whose chat template does not come to an end."""
    keys = [(key, ENDLESS if key == "tokenizer.chat_template" else value) for key, value in vocabulary("llama")]
    path = folder / "endless.gguf"
    path.write_bytes(llama(keys, len(dict(keys)["tokenizer.ggml.tokens"])).build())
    return path


ENDLESS = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
SLOW = """
import sys, time
from llminspect.files import catalogue, pull
from llminspect.core import attention
from llminspect.__main__ import run

def slowly(*_, **__):
    sys.stderr.write("NOW")
    sys.stderr.flush()
    while True:  # One long sleep would not see an interrupt that comes just before it begins.
        time.sleep(0.05)

def download(entry, folder, progress):
    progress("download", 0, 100)
    pull.subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    slowly()

phase = sys.argv.pop(1)
if phase == "download":
    pull.pip_download = download
elif phase == "prepare":
    from llminspect.files import prepared
    prepared.write_prepared = slowly
elif phase == "pass":
    attention.softmax = slowly
elif phase == "stream":
    softmax, quick = attention.softmax, iter(range(9))
    attention.softmax = lambda *a, **k: slowly() if next(quick, None) is None else softmax(*a, **k)
elif phase == "template":
    from llminspect.text import chat_template
    started = chat_template.PROCESS.started

    def starting():
        sys.stderr.write("NOW")
        sys.stderr.flush()
        return started()

    chat_template.PROCESS.started = starting
elif phase == "lines":
    from llminspect.cli import input as _input
    _input._lines = lambda *_: iter(slowly, 0)
sys.exit(run(sys.argv[1:]))
"""


@pytest.mark.parametrize("phase", ["download", "prepare", "pass", "stream", "lines", "template"])
def test_an_interrupt_ends_it_at_once(phase: str, model: str, tmp_path: Path) -> None:
    arguments = {
        "download": ["pull", "minilm"],
        "prepare": ["attend", "Hello", "--model", model],
        "pass": ["attend", "Hello", "--model", model],
        "stream": ["generate", "--stream", "--ignore-eos", "Hello", "--model", model],
        "lines": ["forward", "--lines", "--model", model],
        "template": ["tokenize", "--chat", "Hello", "--model", str(endless(tmp_path))],
    }[phase]
    program = tmp_path / "slow.py"
    program.write_text(SLOW)
    session = Session(arguments, {"LLMINSPECT_HOME": str(tmp_path / "other")}, [str(program), phase])
    session.read_until(b"NOW", 60)
    session.process.send_signal(signal.SIGINT)
    assert session.finish(60) == 130, session.raw
    assert b"interrupted" in session.raw
    assert b"Traceback" not in session.raw
    assert session.mode_after == session.mode
    text = session.raw.decode()
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h"), "the cursor stays hidden"
    shown(session.raw, PROGRESS | {"tab"})


@pytest.mark.parametrize("arguments", [["tokenize"], ["forward"], ["forward", "--json"], ["generate"]], ids=" ".join)
def test_an_output_that_is_full(arguments: list[str], model: str) -> None:
    with Path("/dev/full").open("wb") as full:
        ran = subprocess.run(
            [sys.executable, "-m", "llminspect", *arguments, "Hello", "--quiet", "--model", model],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            check=False,
        )
    assert ran.returncode == 1
    assert ran.stderr.lower().count("no space left") == 1
    assert ran.stderr.count("\n") == 1, ran.stderr


@pytest.mark.parametrize("arguments", [["tokenize"], ["forward"], ["forward", "--json"], ["generate"]], ids=" ".join)
def test_a_reader_that_goes_away(arguments: list[str], model: str) -> None:
    read, write = os.pipe()
    os.close(read)
    ran = subprocess.run(
        [sys.executable, "-m", "llminspect", *arguments, "Hello", "--quiet", "--model", model],
        stdout=write,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        check=False,
    )
    os.close(write)
    assert (ran.returncode, ran.stderr) == (0, b"")


def test_a_wheel_of_a_thousand_lines_with_errors(model: str, called: Program) -> None:
    """One that cannot be done does not end the others."""
    ran = called("encode", "--lines", "--ids", "-", "--model", model, "--json", stdin="1,2\nnone\n3\n" * 100)
    assert ran.out.count("\n") == 300
    assert ran.out.count('"error"') == 100
