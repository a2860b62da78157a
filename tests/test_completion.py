"""The shell completes commands, models, layers and heads."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Program


def completed(program: Program, line: str) -> list[str]:
    """What bash offers at the end of `line`."""
    words = line.split(" ")
    environment = {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1), "_LLMINSPECT_COMPLETE": "complete_bash"}
    ran = program(**environment)
    assert ran.err == ""
    return ran.out.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("llminspect inf", ["info"]),
        ("llminspect verify toy", ["toy", "toy-relu", "toy-attention", "toy-induction", "toy-translate"]),
        ("llminspect verify --model sm", ["smollm2"]),
        ("llminspect forward x --layer 2", ["2", *map(str, range(20, 30))]),
        ("llminspect forward x --layer 0,3-1", ["0,3-1", *(f"0,3-{layer}" for layer in range(10, 20))]),
        ("llminspect forward x --model toy --layer ", ["0"]),
        ("llminspect forward x --model no-such-model --layer ", []),
        ("llminspect info o200k", ["o200k_base", "o200k_harmony"]),
        ("llminspect schema ver", ["verify"]),
        ("llminspect help log", ["logit"]),
        ("llminspect help ver", ["verify"]),
        ("llminspect pull min", ["minilm"]),
    ],
)
def test_completion(program: Program, line: str, offered: list[str]) -> None:
    assert completed(program, line) == offered


def test_model_files_and_folders_complete(program: Program, tmp_path: Path) -> None:
    for name in ("model.gguf", "my\x1b[31mmodel.gguf", "model.txt"):
        (tmp_path / name).touch()
    (tmp_path / "mod").mkdir()
    (tmp_path / "mod" / "config.json").touch()
    (tmp_path / "models").mkdir()
    found = completed(program, f"llminspect info {tmp_path}/m")
    assert found == [f"{tmp_path}/{name}" for name in ("mod", "model.gguf", "models/")]


@pytest.mark.parametrize(
    ("shell", "registers"),
    [
        ("bash", "complete -o default -F _llminspect_completion llminspect"),
        ("zsh", "compdef _llminspect_completion llminspect"),
        ("fish", "complete --command llminspect"),
    ],
)
def test_each_shell_has_a_script(program: Program, shell: str, registers: str) -> None:
    script = program(_LLMINSPECT_COMPLETE=f"source_{shell}").out
    assert registers in script
    assert f"_LLMINSPECT_COMPLETE=complete_{shell}" in script


def test_zsh_and_fish_are_offered_the_heads(program: Program) -> None:
    typed = {"_TYPER_COMPLETE_ARGS": "llminspect attend x --layer 0 --head "}
    zsh = program(_LLMINSPECT_COMPLETE="complete_zsh", **typed).out
    assert re.findall(r'"(\d+)"', zsh) == list(map(str, range(9)))
    fish = {"_LLMINSPECT_COMPLETE": "complete_fish", **typed}
    assert program(_TYPER_COMPLETE_FISH_ACTION="is-args", **fish).code == 0
    assert program(_TYPER_COMPLETE_FISH_ACTION="get-args", **fish).out.split() == list(map(str, range(9)))


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("llminspect wa", ["walk"]),
        ("llminspect attend x --layer 2", ["2", *map(str, range(20, 30))]),
        ("llminspect attend x --layer 0 --head ", list(map(str, range(9)))),
        ("llminspect walk --model sm", ["smollm2"]),
    ],
)
def test_bash_completes_with_the_script(program: Program, tmp_path: Path, line: str, offered: list[str]) -> None:
    script = program(_LLMINSPECT_COMPLETE="source_bash").out  # Not --show-completion: that asks which shell it is in.
    started = tmp_path / "llminspect"
    started.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m llminspect "$@"\n', encoding="utf-8")
    started.chmod(0o755)
    words = " ".join(shlex.quote(word) for word in line.split(" "))
    typed = f"COMP_WORDS=({words}); COMP_CWORD={len(line.split(' ')) - 1}; _llminspect_completion llminspect"
    ran = subprocess.run(
        ["bash", "-c", f'{script}\n{typed}\nprintf "%s\\n" "${{COMPREPLY[@]}}"'],
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert ran.stdout.split() == offered, ran.stderr
