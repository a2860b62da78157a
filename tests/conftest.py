"""What tests share: the real model, opened once a worker, and the program run as a person would run it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from hypothesis import HealthCheck, settings

from tests import cache, drawn
from tests.pages.browser import found as find_browser
from tests.started import end_all

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llminspect.files.locate import Located
    from llminspect.model.opened import Model
    from llminspect.text.tokenizer import Tokenizer

# The tests run side by side: more than one thread of arithmetic each only makes them wait for one another.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Hundreds of processes are started; compiled anew in each, the package would take them a third of their start.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# In the background of a script interrupts are ignored, by this process and by all that it starts; the tests send some.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says something about the machine only.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

ROOT = Path(__file__).parent.parent


OWN_CACHE = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    """The weights of the golden models and the cache folder of this run: made once, before the workers start."""
    drawn.make_all()
    if not hasattr(config, "workerinput"):
        config.stash[OWN_CACHE] = cache.begin()


def pytest_unconfigure(config: pytest.Config) -> None:
    if OWN_CACHE in config.stash:
        cache.end(config.stash[OWN_CACHE])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs a browser where there is none; `pytest_terminal_summary` says so."""
    if find_browser() is None:
        left_out = [item for item in items if item.get_closest_marker("browser")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if find_browser() is None:
        terminalreporter.section("NOT TESTED", red=True, bold=True)
        terminalreporter.line("The interactive pages were not tried in a browser: install chromium, then again.")


@pytest.fixture(autouse=True)
def interrupts_arrive() -> Iterator[None]:
    """What a test leaves deaf to interrupts, all that later tests start would be as well."""
    yield
    handler = signal.getsignal(signal.SIGINT)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ()) if hasattr(signal, "pthread_sigmask") else set()
    if handler is not signal.default_int_handler or signal.SIGINT in blocked:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        raise AssertionError(f"this test leaves interrupts unheard: {handler}, {blocked}")


@pytest.fixture(autouse=True)
def what_is_drawn_without_a_seed_is_the_same_each_time(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A test that passes for most seeds, but not for all, fails at once or never; runs of `program` are given seeds."""
    draws = random.Random(request.node.nodeid)
    monkeypatch.setattr("secrets.randbelow", draws.randrange)


@pytest.fixture(scope="session", autouse=True)
def fetched_tokenizers_are_read_once() -> Iterator[None]:
    """Most of what opening SmolLM2 takes in this process; `program` and every other process reads it anew."""
    from llminspect import opening

    read, known = opening._tokenizer, dict[Any, Any]()

    def once(located: Located) -> Tokenizer | None:
        if located.name not in ("smollm2", "minilm"):
            return read(located)
        key = located.name, located.path, located.identity
        if key not in known:
            known[key] = read(located)
        return known[key]  # type: ignore[no-any-return]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opening, "_tokenizer", once)
        yield


@pytest.fixture(autouse=True)
def no_process_outlives_its_test() -> Iterator[None]:
    yield
    end_all()


class Program(Protocol):
    def __call__(self, *arguments: str, stdin: str | bytes | None = None, **environment: str) -> Ran: ...


class Ran:
    """What a run of the program left: its exit code and what it wrote."""

    def __init__(self, code: int, out: bytes, err: bytes) -> None:
        self.code, self.raw = code, out
        self.out, self.err = out.decode("utf-8", "replace"), err.decode("utf-8")

    @property
    def json(self) -> Any:
        import orjson

        return orjson.loads(self.raw)


@pytest.fixture(scope="session")
def smollm2() -> Model:
    """SmolLM2, which `make test` has fetched."""
    from llminspect.opening import open_model

    return open_model("smollm2", offline=True)


@pytest.fixture(scope="session")
def program() -> Program:
    """Run the command line in a process of its own: `program("tokenize", "a", COLUMNS="80")`."""

    def run(*arguments: str, stdin: str | bytes | None = None, **environment: str) -> Ran:
        clean = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
        data = stdin.encode() if isinstance(stdin, str) else stdin
        given: dict[str, Any] = {"stdin": subprocess.DEVNULL} if data is None else {"input": data}
        finished = subprocess.run(
            [sys.executable, "-m", "llminspect", *arguments],
            capture_output=True,
            cwd=ROOT,
            env={**clean, "PYTHONPATH": str(ROOT), **environment},
            check=False,
            **given,
        )
        return Ran(finished.returncode, finished.stdout, finished.stderr)

    return run


@pytest.fixture
def workers_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is done in this process while others start: they have, before any task is handed out."""
    from llminspect.processes import Workers

    enter = Workers.__enter__

    def enter_and_wait(self: Workers[Any, Any]) -> Workers[Any, Any]:
        enter(self)
        while len(self.idle) < self._count:
            self.wait(None)
            list(self.finished())
        return self

    monkeypatch.setattr(Workers, "__enter__", enter_and_wait)


@pytest.fixture
def called(capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Program:
    """The same as `program` in this process, which is quicker: for what does not hang on a process of its own."""
    import io

    from llminspect.__main__ import run as run_command_line

    def run(*arguments: str, stdin: str | bytes | None = None, **environment: str) -> Ran:
        for key in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
            monkeypatch.delenv(key, raising=False)
        for key, value in environment.items():
            monkeypatch.setenv(key, value)
        data = stdin.encode() if isinstance(stdin, str) else stdin or b""
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        try:
            code = run_command_line(arguments)
        except SystemExit as stop:
            code = int(stop.code or 0)
        sys.stdout.flush()
        captured = capfdbinary.readouterr()
        return Ran(code, captured.out, captured.err)

    return run
