"""Start-up, help, and errors of the command line as a whole."""

from __future__ import annotations

import importlib
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from safetensors.numpy import save_file

from llminspect.cli.app import command_of
from llminspect.commands import function
from llminspect.commands import names as command_names
from tests.conftest import ROOT

if TYPE_CHECKING:
    from tests.conftest import Program

HEAVY = {"numpy", "rich", "tokenizers", "tiktoken", "huggingface_hub", "jinja2", "pydantic"}


def test_help_loads_nothing_heavy() -> None:
    script = (
        f"import sys; from llminspect.__main__ import run; run(['--help']); print(sorted({HEAVY} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    assert result.stdout.splitlines()[-1] == "[]"
    assert "tokenize" in result.stdout


def test_help_lists_each_command_with_the_first_line_of_its_own_help(program: Program) -> None:
    listed = " ".join(program("--help", COLUMNS="80").out.partition("Commands:")[2].split())
    for name in command_names():
        command = importlib.import_module(f"llminspect.commands.{name}").command
        assert f"{name} {command.__doc__.splitlines()[0]}" in listed


def test_version_names_the_libraries(program: Program) -> None:
    result = program("--version")
    assert result.code == 0
    assert "numpy" in result.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["attend", "A", "cat", "sat"], """one TEXT is read (put a text of several words in quotes: "… cat sat")"""),
        (["forward", "hi", "--json", "out.json"], "--save out.json, or --json > out.json"),
        (["models", "x"], "'x' is not expected (see llminspect models --help)"),
        (["generate", "hi", "--temperature", "-1"], "-1.0 is not a number from 0 up"),
        (["generate", "hi", "--top-p", "3"], "3.0 is not a number from 0 to 1"),
        (["forward", "hi", "--model", "gpt4"], "gpt-4 is a tokenizer only, its weights are not public"),
        (["attend", "hi", "--model", "GPT4o"], "gpt-4o is a tokenizer only"),
        (["tokenize", "hi", "--model", "gpt4"], "did you mean gpt-4 or"),
        (["generate", "hi", "--model", "claude"], "known names: smollm2, minilm, toy, toy-relu"),
        (["forward", "hi", "--model", "gpt-4o"], "the weights of gpt-4o are not public"),
    ],
)
def test_a_slip_is_answered_in_words(called: Program, arguments: list[str], words: str) -> None:
    assert words in called(*arguments).err


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("tokenise", "did you mean tokenize?"),
        ("attention", "llminspect help attention says what it is"),
        ("Logits", "llminspect help Logits says what it is and which command shows it"),
        ("residual stream", "llminspect help residual stream says"),
        ("The capital of France is", "a command comes before the text"),
        ("download", "llminspect --help lists the commands"),
    ],
)
def test_an_unknown_command_is_answered_by_what_can_have_been_meant(program: Program, word: str, hint: str) -> None:
    result = program(word, "a")
    assert result.code == 2
    assert result.out == ""
    assert len(result.err.splitlines()) == 1
    assert f"there is no command {word!r} ({hint}" in result.err
    if hint.startswith("llminspect help"):
        assert program("help", *word.split()).code == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no device that is always full")
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_full_disk_is_one_line(form: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        arguments = [sys.executable, "-m", "llminspect", "forward", "world", "--model", "toy", *form]
        ran = subprocess.run(
            arguments, stdout=full, stderr=subprocess.PIPE, env=buffered(), cwd=ROOT, check=False, text=True
        )
    assert ran.returncode == 1
    assert ran.stderr == "llminspect: no space left on device\n"


def buffered() -> dict[str, str]:
    """An environment in which Python keeps what is written for a while, as it does for users."""
    return {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}


@pytest.mark.skipif(sys.platform == "win32", reason="a shell closes the streams")
@pytest.mark.parametrize(
    ("arguments", "closed", "code"),
    [
        ("tokenize hello -m bytes", ">&-", 1),
        ("tokenize hello -m bytes --json", ">&-", 1),
        ("tokenize --lines --count -m bytes < pyproject.toml", ">&-", 1),
        ("--version", ">&-", 1),
        ("tokenize --lines -m bytes", "<&-", 1),
        ("tokenize - -m bytes", "<&-", 1),
        ("tokenize hello -m bytes", "<&-", 0),
    ],
)
def test_a_closed_stream_is_one_line(arguments: str, closed: str, code: int) -> None:
    shell = f'"{sys.executable}" -m llminspect {arguments} {closed}'
    ran = subprocess.run(["sh", "-c", shell], capture_output=True, env=buffered(), cwd=ROOT, check=False, text=True)
    assert ran.returncode == code
    assert ran.stderr == ("llminspect: standard input or standard output is closed\n" if code else "")


@pytest.mark.skipif(sys.platform == "win32", reason="a shell closes the streams")
def test_what_is_written_needs_no_standard_error_and_no_standard_input(tmp_path: Path) -> None:
    """Nor does a file that is opened take the number of one that is closed."""
    text = tmp_path / "text.txt"
    text.write_bytes(b"Alice\n" * 3)
    shell = f'"{sys.executable}" -m llminspect tokenize --lines --count -m bytes --file "$0"'
    expected = subprocess.run(["sh", "-c", shell, text], capture_output=True, cwd=ROOT, check=True).stdout
    assert expected.count(b"\n") == 3
    for closed in ("2>&-", "<&-", "<&- 2>&-"):
        ran = subprocess.run(["sh", "-c", f"{shell} {closed}", text], capture_output=True, cwd=ROOT, check=False)
        assert (ran.returncode, ran.stdout, ran.stderr) == (0, expected, b"")


def test_a_reader_that_leaves_is_no_error() -> None:
    """More than a pipe holds: writing has to fail when the reader has gone."""
    shell = f'"{sys.executable}" -m llminspect tokenize "$(seq 9000)" --model bytes --json | head -c 10'
    ran = subprocess.run(["bash", "-c", f"set -o pipefail; {shell}"], capture_output=True, cwd=ROOT, check=False)
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert ran.stdout == b'{"schema":'


def test_each_example_of_the_help_has_a_line_of_its_own(called: Program) -> None:
    any_command = "|".join(command_names())
    for command in command_names():
        before = re.split(r"\n(?:Arguments|What to .*|Output):", called(command, "--help", COLUMNS="80").out)[0]
        examples = [line for line in before.splitlines()[1:] if re.search(f"llminspect ({any_command})", line)]
        assert examples, command
        assert all(line.startswith("  llminspect ") and line.count("llminspect") == 1 for line in examples), command


SHARED = ["Input", "Model", "Output", "Engine"]


@pytest.mark.parametrize("name", command_names())
def test_options_stand_under_headings_the_command_s_first(name: str, called: Program) -> None:
    shown = called(name, "--help", COLUMNS="100").out
    headings = re.findall(r"^([A-Z].*):$", shown, re.MULTILINE)
    shared = [heading for heading in SHARED if heading in headings]
    assert headings[len(headings) - len(shared) :] == shared
    assert "Options" not in headings and len(set(headings)) == len(headings)
    for part in re.split(r"^[A-Z].*:$", shown.partition("\nArguments:")[2] or shown, flags=re.MULTILINE)[1:]:
        assert part.count("  llminspect ") == 1 and "{" not in part.partition("\n\n")[0]


def examples() -> list[tuple[str, ...]]:
    """The example of each group of options of each command, but what fetches or removes, and pictures."""
    given = []
    for name in command_names():
        for heading, example in command_of(name, function(name)).examples().items():
            if heading not in ("Model", "Output", "What to remove", "What to fetch", "What to offer"):
                given.append(tuple(shlex.split(example)))
    return list(dict.fromkeys(given))


@pytest.mark.parametrize("example", examples(), ids=" ".join)
def test_the_example_of_each_group_of_options_runs(
    example: tuple[str, ...], called: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("A cat sat.\n")
    (tmp_path / "reviews.jsonl").write_text(
        "".join(f'{{"text": "A {word}", "label": "{word > "c"}"}}\n' for word in "abcdef")
    )
    (tmp_path / "texts.jsonl").write_text(
        '{"text": "A cat sat", "target": " on"}\n{"text": "A dog ran", "target": "."}\n'
    )
    pair = {"clean": "Mr Toad met Mrs Hen. Mr", "corrupt": "Mrs Toad met Mr Hen. Mr"}
    (tmp_path / "pairs.jsonl").write_text(json.dumps(pair) + "\n")
    write_dictionary(tmp_path / "sae")
    ran = called(*example, HF_HUB_OFFLINE="1")
    assert ran.code == 0, ran.err


@pytest.mark.parametrize("command", ["tokenize hello", "forward world -m toy", "circuit a b -m toy-induction"])
def test_a_file_in_no_folder_is_refused_before_any_work(command: str, called: Program) -> None:
    ran = called(*command.split(), "--save", "/nowhere/x.json")
    assert (ran.code, ran.out) == (1, "") and "there is no folder '/nowhere'" in ran.err and ran.err.count("\n") == 1


def write_dictionary(folder: Path) -> None:
    """A small dictionary for SmolLM2, drawn, as SAELens saves one."""
    folder.mkdir()
    written = {"d_in": 576, "d_sae": 8, "architecture": "standard", "hook_name": "blocks.10.hook_resid_post"}
    (folder / "cfg.json").write_text(json.dumps({**written, "dtype": "float32", "apply_b_dec_to_input": False}))
    drawn = np.random.default_rng(0).normal(size=(2, 8, 576)).astype(np.float32)
    arrays = {"W_enc": drawn[0].T.copy(), "W_dec": drawn[1], "b_enc": drawn[0, :, 0].copy(), "b_dec": drawn[1, 0]}
    save_file(arrays, folder / "sae_weights.safetensors")


def test_a_variable_that_is_empty_is_none(program: Program) -> None:
    names = ["LLMINSPECT_MODEL", "LLMINSPECT_ENGINE", "LLMINSPECT_HOME", "LLMINSPECT_CACHE_LIMIT"]
    names += ["HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "XDG_CACHE_HOME"]
    ran = program("models", "--json", **dict.fromkeys(names, ""), HOME="/nowhere")
    assert ran.code == 0, ran.err
    assert program("forward", "world", "--json", LLMINSPECT_MODEL="toy").json["model"] == "toy"
    empty = program("encode", "hello", "--json", LLMINSPECT_MODEL="", LLMINSPECT_ENGINE="", HF_HUB_OFFLINE="")
    assert empty.json["model"] == "smollm2"


@pytest.mark.parametrize("command", [["encode", "a"], ["forward", "a"], ["info"]], ids=" ".join)
def test_the_home_of_nobody_is_not_found(command: list[str], program: Program) -> None:
    named = ["~nobody-by-this-name/model"]
    ran = program(*command, *(["--model"] if len(command) > 1 else []), *named)
    assert (ran.code, ran.out, ran.err.count("\n")) == (3, "", 1), ran.err
