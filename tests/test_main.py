"""The end of a process: quick, and nothing is lost by that."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SLOWLY_FREED = """
import os, sys
from llminspect.__main__ import end
class Loud:
    def __del__(self, write=os.write):
        write(1, b"taken apart")
kept = Loud()
{before}
sys.stdout.write("out")
sys.stderr.write("err")
end({code})
"""


def ended(before: str = "", code: int = 0, *options: str) -> subprocess.CompletedProcess[str]:
    script = SLOWLY_FREED.format(before=before, code=code)
    return subprocess.run([sys.executable, *options, "-c", script], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("code", [0, 1, 4, 130])
def test_the_code_and_all_output_arrive_and_nothing_is_taken_apart(code: int) -> None:
    done = ended(code=code)
    assert (done.returncode, done.stdout, done.stderr) == (code, "out", "err")


def test_what_is_to_be_done_at_exit_is_done() -> None:
    assert ended("import atexit; atexit.register(print, 'last words')").stdout == "outlast words\n"


def test_a_thread_is_waited_for() -> None:
    work = "import threading, time\ndef work(seconds):\n    time.sleep(seconds)\n    print('done')\n"
    assert "done\n" in ended(work + "threading.Thread(target=work, args=(0.5,)).start()").stdout
    assert "done\n" not in ended(work + "threading.Thread(target=work, args=(600,), daemon=True).start()").stdout


@pytest.mark.parametrize("watch", ["sys.setprofile(lambda *_: None)", "sys.settrace(lambda *_: None)"])
def test_whoever_watches_the_program_can_go_on(watch: str) -> None:
    assert "taken apart" in ended(watch).stdout


def test_a_profile_of_the_command_is_written(tmp_path: Path) -> None:
    file = tmp_path / "profile"
    command = [sys.executable, "-m", "cProfile", "-o", str(file), "-m", "llminspect", "tokenize", "-m", "bytes", "a"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    assert file.stat().st_size > 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no device that is always full")
def test_output_that_cannot_be_written_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)  # Written at the end only.
    script = "import sys\nfrom llminspect.__main__ import end\nsys.stdout.write('out')\nend(0)"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", script], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60
        )
    assert done.returncode == 120 and "No space left" in done.stderr
