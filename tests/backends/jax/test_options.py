"""`--engine` and its options on the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from llminspect.backends.jax.settings import read_mesh, read_process, settings_of
from llminspect.errors import UsageError
from tests.backends.jax.eight import EIGHT, write_model
from tests.closeness import assert_close

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Program

TEXT, OTHER = "w3 w1 w4 w1 w5", "w3 w1 w9 w1 w5"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two layers with words; SmolLM2 on JAX is in `test_smollm2_over_devices`."""
    folder: Path = tmp_path_factory.mktemp("small")
    write_model(folder)
    Tokenizer(WordLevel({f"w{number}": number for number in range(EIGHT.V)}, "w0")).save(str(folder / "tokenizer.json"))
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["pre_tokenizer"] = {"type": "WhitespaceSplit"}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    return str(folder)


def both(called: Program, model: str, *arguments: str) -> tuple[Any, Any]:
    """What numpy and JAX say."""
    given = (*arguments, "--model", model, "--json")
    found = called(*given, "--engine", "jax").json
    assert found["provenance"]["options"]["engine"] == "jax"
    return called(*given).json, found


def test_forward_says_the_same(called: Program, small: str) -> None:
    plain, found = both(called, small, "forward", TEXT, "--lens", "--ablate", "1.2")
    assert [entry["id"] for entry in found["next"]] == [entry["id"] for entry in plain["next"]]
    assert_close([entry["logit"] for entry in found["next"]], [entry["logit"] for entry in plain["next"]])
    assert abs(found["change"]["kl"] - plain["change"]["kl"]) < 1e-6
    for first, other in zip(found["lens"], plain["lens"], strict=True):
        assert first["top"][0]["id"] == other["top"][0]["id"]
    assert_close([layer["norm"] for layer in found["layers"]], [layer["norm"] for layer in plain["layers"]])


def test_attend_says_the_same(called: Program, small: str) -> None:
    plain, found = both(called, small, "attend", TEXT, "--layer", "0,1")
    assert len(found["heads"]) == len(plain["heads"]) == 2 * EIGHT.H
    for first, other in zip(found["heads"], plain["heads"], strict=True):
        assert_close(first["weights"], other["weights"])


def test_embed_and_generate_say_the_same(called: Program, small: str) -> None:
    plain, found = both(called, small, "embed", TEXT, "--at", "final")
    assert_close(found["vectors"], plain["vectors"])
    given = ("generate", TEXT, "--max-tokens", "8", "--temperature", "0", "--json", "--model", small)
    plain, found = called(*given).json, called(*given, LLMINSPECT_ENGINE="jax").json
    assert found["ids"] == plain["ids"] and len(found["ids"]) == 8


def test_a_patched_prompt_is_continued_the_same(called: Program, small: str) -> None:
    patch = ("--patch", OTHER, "--into", "1.stream", "--position", "2,4", "--scale", "0.attention*1.1")
    plain, found = both(called, small, "generate", TEXT, *patch, "--max-tokens", "6")
    assert found["ids"] == plain["ids"] != plain["baseline"]["ids"]
    assert_close([step["prob"] for step in found["steps"]], [step["prob"] for step in plain["steps"]])


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--mesh", "model=2"), "--engine jax"),
        (("--engine", "jax", "--mesh", "models=2"), "--mesh model=8"),
        (("--engine", "jax", "--mesh", "model=0"), "--mesh model=8"),
        (("--engine", "jax", "--mesh", "model=2"), "model=1 or 3 would do"),
        (("--engine", "jax", "--mesh", "data=3,model=3"), "there are 8"),
        (("--engine", "jax", "--process", "0/2"), "--coordinator"),
        (("--model", "toy", "--engine", "jax", "--coordinator", "h"), "--process"),
        (("--engine", "jax", "--coordinator", "h:1", "--process", "2/2"), "--process 0/2"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: tuple[str, ...], line: str, called: Program) -> None:
    ran = called("forward", "A cat", *arguments)
    assert ran.code == 2 and line in ran.err and ran.err.count("\n") == 1


def test_what_is_read() -> None:
    assert read_mesh("data=2,model=4") == {"data": 2, "model": 4}
    assert read_process("1/2") == (1, 2)
    assert settings_of("model=8", None, None, None).axes == {"model": 8}
    with pytest.raises(UsageError):
        settings_of(None, None, "host:99", None)
    for read, text in ((read_mesh, "data=1٣"), (read_process, "٠/٢")):  # Digits, but of another script.
        with pytest.raises(UsageError, match="cannot read"):
            read(text)


def test_without_jax_it_says_what_to_install() -> None:
    code = """
import importlib.util, sys
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "jax" else found(name, *rest)
from llminspect.__main__ import run
sys.exit(run(["forward", "A", "--engine", "jax", "--model", "toy"]))
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 1 and "llminspect-cli[jax]" in ran.stderr and "Traceback" not in ran.stderr


@pytest.mark.parametrize("kind", ["cuda", "nonsense"])
def test_without_such_a_device_it_says_what_to_install(kind: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "llminspect", "forward", "hello world", "--engine", "jax", "--model", "toy"],
        env={**os.environ, "JAX_PLATFORMS": kind},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1 and ran.stdout == ""
    (line,) = [line for line in ran.stderr.splitlines() if line.startswith("llminspect: ")]
    assert kind in line and "llminspect-cli[cuda]" in line and "Traceback" not in ran.stderr


def test_numpy_never_loads_jax() -> None:
    code = """
import sys
from llminspect.__main__ import run
run(["forward", "hello world", "--model", "toy", "--json"])
sys.exit("jax" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
