"""Two processes over loopback: one result, half of the weights each, and no hang when one is killed."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import jax
import numpy as np
import orjson
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from llminspect.analysis.token_scores import by_gradient
from llminspect.backends.jax import programs
from llminspect.backends.jax.settings import EngineSettings
from llminspect.backends.jax.start import on_jax
from llminspect.core.tap import NO_TAP, Edit
from llminspect.opening import open_model
from tests.backends.jax.divided import quickly_compiled
from tests.backends.jax.eight import EIGHT, write_model
from tests.backends.jax.two import ended, two
from tests.closeness import assert_close

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from llminspect.core.tap import Tap
    from llminspect.model.opened import Model
    from tests.backends.jax.two import Running
    from tests.conftest import Program

    Own = tuple[tuple[str, ...], tuple[str, ...]]

# The program, which says how many bytes of weights lie on this process's devices.
MEASURED = """
import sys
from llminspect.__main__ import run
from llminspect.backends.jax import start
load = start.load
def measured(*arguments):
    arrays = load(*arguments)
    own = sum(shard.data.nbytes for array in arrays.values() for shard in array.addressable_shards)
    sys.stderr.write(f"own {own} of {sum(array.nbytes for array in arrays.values())}\\n")
    return arrays
start.load = measured
sys.exit(run(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = tmp_path_factory.mktemp("eight")
    write_model(made, replace(EIGHT, context=4096))  # Long enough to be killed in the middle.
    # With a tokenizer it writes while it goes on.
    Tokenizer(WordLevel({f"w{number}": number for number in range(EIGHT.V)}, "w0")).save(str(made / "tokenizer.json"))
    return made


def started(folder: Path, *arguments: str, apart: Own = ((), ())) -> AbstractContextManager[Running]:
    """Both are given the model in `folder`, unless `own` names one for each."""
    model = () if any("--model" in part for part in apart) else ("--model", str(folder))
    given = ("-c", MEASURED, *arguments, *model, "--engine", "jax")
    return two(*given, apart=apart, LLMINSPECT_HOME=str(folder / "home"))


def test_two_processes_give_one_result(folder: Path) -> None:
    given = ("generate", "--ids", "3,1,4,1,5", "--max-tokens", "4", "--temperature", "0", "--json")
    with started(folder, *given) as running:
        (code, out, err), (other_code, other_out, other_err) = ended(running, 120)
    assert (code, other_code) == (0, 0), err + other_err
    assert other_out == "" and other_err.startswith("own ")  # Nothing but what this test asked for.
    model = open_model(str(folder), offline=True, streamed=True)
    cache, ids, chosen = None, [3, 1, 4, 1, 5], []
    for _ in range(4):
        result = model.run(ids, cache=cache)
        cache, ids = result.cache, [int(np.argmax(model.logits(result.stream_TD[-1:])[0]))]
        chosen += ids
    assert orjson.loads(out)["ids"] == chosen
    for errors in (err, other_err):
        found = re.search(r"own (\d+) of (\d+)", errors)
        assert found is not None
        assert 0.5 <= int(found[1]) / int(found[2]) < 0.52


def test_gradients_of_two_processes_are_those_of_one(folder: Path) -> None:
    given = ("forward", "--ids", "3,1,4,1,5", "--saliency", "gradient", "--json")
    with started(folder, *given) as running:
        (code, out, err), (other_code, _, other_err) = ended(running, 120)
    assert (code, other_code) == (0, 0), err + other_err
    found = orjson.loads(out)["saliency"]
    model = on_jax(open_model(str(folder), offline=True, streamed=True), EngineSettings())
    alone = by_gradient(model, [3, 1, 4, 1, 5], 4, found["target"]["id"], [])
    assert_close(found["drops"], alone.drops)


def test_what_is_drawn_without_a_seed_is_repeated_by_the_seed_that_is_said(folder: Path, called: Program) -> None:
    """Each process draws for itself: from one seed, or they would compute with one another's tokens."""
    given = ("generate", "--ids", "3,1,4,1,5", "--max-tokens", "8", "--temperature", "1.5", "--json")
    with started(folder, *given) as running:
        (code, out, err), (other_code, _, other_err) = ended(running, 120)
    assert (code, other_code) == (0, 0), err + other_err
    found = orjson.loads(out)
    repeated = called(*given, "--model", str(folder), "--seed", str(found["provenance"]["seed"])).json
    assert found["ids"] == repeated["ids"]
    assert_close([step["prob"] for step in found["steps"]], [step["prob"] for step in repeated["steps"]])


def test_processes_that_are_asked_different_things_say_so(folder: Path) -> None:
    with started(folder, "forward", "--json", apart=(("--ids", "3,1,4"), ("--ids", "9,9,9"))) as running:
        found = ended(running, 120)
    (code, out, err), (other_code, other_out, other_err) = found
    assert (code, other_code, other_out) == (2, 2, ""), found
    assert orjson.loads(out)["error"]["code"] == "usage"
    for errors in (err, other_err):
        assert "were started with different arguments or texts" in errors.splitlines()[-1] and "gone" not in errors, (
            found
        )


def test_what_processes_compare_differs_by_text_length_place_number_weights_and_mesh(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What each of several would hand to the check, in this process."""
    compared: list[bytes] = []
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(programs, "check_agreement", compared.append)
    monkeypatch.setattr(jax.stages.Lowered, "compile", quickly_compiled)
    plain = open_model(str(folder), offline=True, streamed=True)
    over = {axes: on_jax(plain, EngineSettings({"data": axes, "model": 8 // axes})) for axes in (1, 2)}
    rounded = on_jax(plain, EngineSettings({"data": 1, "model": 8}, "bfloat16"))

    def scaled(layer: int, factor: float) -> Edit:
        return Edit(f"layers.{layer}.attention.mixed", lambda array, by: array * by, factor)

    passes: list[tuple[Model, list[int], Tap]] = [
        *((over[1], [3, 1, 4], NO_TAP) for _ in range(2)),
        (over[1], [9, 9, 9], NO_TAP),
        (over[1], [3, 1, 4, 1], NO_TAP),
        *((over[1], [3, 1, 4], scaled(*place)) for place in ((0, 0.5), (0, 2), (1, 2))),
        (rounded, [3, 1, 4], NO_TAP),
        (over[2], [3, 1, 4], NO_TAP),
    ]
    for model, ids, tap in passes:
        model.run(ids, tap)
    assert len(compared) == 9 and compared[0] == compared[1]
    assert len(set(compared)) == 8


@pytest.mark.parametrize("killed", [0, 1])
def test_one_that_is_killed_ends_the_other(folder: Path, killed: int) -> None:
    with started(folder, "generate", "--ids", "3,1,4", "--max-tokens", "4000", "--ignore-eos") as running:
        assert running[0].stdout is not None
        assert running[0].stdout.read(1)  # The first token: in the middle of it.
        running[killed].send_signal(signal.SIGKILL)
        ((code, _, err),) = ended([running[1 - killed]], 60)
    assert code == 1
    lines = [line for line in err.splitlines() if "gone" in line]
    assert len(lines) == 1 and f"this is process {1 - killed} of 2" in lines[0]
    assert "Traceback" not in err and "F1" not in err and "***" not in err


@pytest.mark.parametrize("failing", [0, 1])
def test_one_that_fails_says_why_and_the_other_that_it_is_gone(folder: Path, failing: int) -> None:
    here, nowhere = (("--model", str(place)) for place in (folder, folder / "nowhere"))
    apart = (nowhere, here) if failing == 0 else (here, nowhere)
    with started(folder, "generate", "--ids", "3,1,4", "--max-tokens", "4", "--json", apart=apart) as running:
        found = ended(running, 120)
    code, out, err = found[failing]
    assert code == 3 and out.count("\n") == (failing == 0), found  # One document, of process 0.
    (line,) = err.splitlines()
    assert "there is no file" in line
    code, out, err = found[1 - failing]
    assert code == 1 and out.count("\n") == (failing == 1), found
    assert "gone" in err.splitlines()[-1] and "Traceback" not in err


@pytest.mark.parametrize("mesh", [(), ("--mesh", "model=1"), ("--mesh", "model=2")])
def test_a_mesh_that_does_not_fit_ends_both_with_one_that_does(mesh: tuple[str, ...]) -> None:
    """SmolLM2's 9 heads share 3 keys, which two do not divide."""
    with two("-m", "llminspect", "forward", "A cat", "--engine", "jax", *mesh) as running:
        found = ended(running, 120)
    for code, out, err in found:
        assert (code, out) == (2, ""), found
        assert err.count("\n") == 1 and "--mesh data=2" in err


LEFT_HANGING = """
import time
from llminspect.backends.jax import hosts
from llminspect.backends.jax import programs
from llminspect.backends.jax.settings import EngineSettings
hosts.GOODBYE = 1
hosts._watched_child(EngineSettings())
hosts.conclude(5)
time.sleep(100)
"""


def test_the_exit_code_does_not_wait_for_ever_for_a_goodbye() -> None:
    ran = subprocess.run([sys.executable, "-c", LEFT_HANGING], capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (5, "", "")
