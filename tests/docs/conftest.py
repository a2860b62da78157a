"""Commands of the pages: `llminspect` runs in this process, which takes half of the time, also in front of a pipe; the
rest of a line and other programs in a shell, as a reader's would."""

from __future__ import annotations

import re
import shlex
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import Ran

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.conftest import Program

    Typed = Callable[[str, Path, Mapping[str, str]], Ran]

PLAIN = re.compile(r"""llminspect ((?:'[^']*'|"[^"$`\\]*"|[^'"|&;<>$`\\*?~#\n])*)(?:#[^\n]*|\|([^|].*))?""", re.DOTALL)
"""Arguments that a shell would only take apart, and what they are piped into."""


@pytest.fixture
def typed(called: Program, monkeypatch: pytest.MonkeyPatch) -> Typed:
    """What a command leaves that is typed in a folder: `typed("llminspect models", folder, environment)`."""

    def run(shell: str, folder: Path, environ: Mapping[str, str]) -> Ran:
        plain = PLAIN.fullmatch(shell)
        given = None
        if plain is not None:
            monkeypatch.chdir(folder)
            named = {key: environ[key] for key in environ.keys() & {"COLUMNS", "LLMINSPECT_HOME"}}
            ran = called(*shlex.split(plain[1]), **named)
            if plain[2] is None:
                return ran
            shell, given = plain[2], ran.raw
        source: dict[str, Any] = {"stdin": subprocess.DEVNULL} if given is None else {"input": given}
        left = subprocess.run(["sh", "-c", shell], capture_output=True, cwd=folder, env=environ, check=False, **source)
        return Ran(left.returncode, left.stdout, left.stderr)

    return run
