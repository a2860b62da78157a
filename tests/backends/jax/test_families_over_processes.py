"""Every shape of a tensor, and SmolLM2, over two real processes says what it says on numpy; each holds its share of the
weights. Every layout over several devices of one process is in `test_families_over_devices`.

The processes are started once and go through all of them; each test looks at what they left of one.
"""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

import numpy as np
import orjson
import pytest
from filelock import FileLock

from llminspect.model.spec import expanded_shape
from tests.backends.jax.answers import answers_of_smollm2, assert_same, several
from tests.backends.jax.divided import cuts, write_divided
from tests.backends.jax.two import ended, two

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from llminspect.core.array import Array
    from llminspect.model.opened import Model
    from tests.backends.jax.divided import Divided

    Job = tuple[str, str, str | None]

CUT = "HKFVXZQ"
"""The letters that are cut over the processes."""
SECONDS = 1200
"""After which two processes are killed; they need 60 on two cores that nothing else runs on."""


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of this run of the tests see."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "over_processes"
    folder.mkdir(exist_ok=True)
    return folder


def made_once(folder: Path, jobs: Callable[[], Sequence[Job]], devices: tuple[int, int] = (1, 1)) -> Path:
    """The folder in which two processes left what they were told, by whichever worker of pytest came first."""
    folder.mkdir(exist_ok=True)
    with FileLock(folder / "lock"):
        if not (folder / "ended").exists():
            command = ("-m", "tests.backends.jax.one_process", orjson.dumps(jobs()).decode(), str(folder))
            with two(*command, devices=devices) as running:
                found = ended(running, SECONDS)
            failed = [
                f"\nprocess {number} ended with {code}:\n{err}" for number, (code, _, err) in enumerate(found) if code
            ]
            (folder / "ended").write_text("".join(failed))
    return folder


@pytest.fixture(scope="session")
def over_two(shared: Path) -> Path:
    """Every shape cut over two processes of one device; SmolLM2's texts over the same two."""

    def jobs() -> list[Job]:
        for name in cuts():
            (shared / name).mkdir(exist_ok=True)
            write_divided(several(name), shared / name)
        return [*((name, str(shared / name), None) for name in cuts()), ("smollm2", "smollm2", "data=2")]

    return made_once(shared / "two", jobs)


@pytest.fixture(scope="session")
def over_three(shared: Path) -> Path:
    """SmolLM2, whose 9 heads share 3 keys, cut over three devices: one of process 0, two of process 1."""
    return made_once(shared / "three", lambda: [("smollm2", "smollm2", "model=3")], (1, 2))


def answers_of_all(folder: Path, name: str) -> list[dict[str, Array]]:
    if not all((folder / f"{name}.{number}.npz").exists() for number in range(2)):
        pytest.fail(f"{name} did not come to its end{(folder / 'ended').read_text()}", pytrace=False)
    return [dict(np.load(folder / f"{name}.{number}.npz")) for number in range(2)]


def bytes_by_cut(model: Model) -> tuple[int, int]:
    """Of the weights that have an axis to cut, and of those that have none: biases, norms, tables of positions."""
    cut, whole, sizes = 0, 0, model.config.sizes
    for spec in model.architecture.tensors(model.config):
        if spec.name in model.params:
            count = 4 * math.prod(expanded_shape(spec.shape, sizes))
            cut, whole = (cut + count, whole) if set(spec.shape) & set(CUT) else (cut, whole + count)
    return cut, whole


@pytest.mark.parametrize("name", cuts())
def test_shapes_over_two_processes(name: str, over_two: Path, divided: Callable[[str], Divided]) -> None:
    plain = divided(name)
    cut, whole = bytes_by_cut(plain.model)
    # Near half of all; in so small a model what is whole weighs much: positions, heads, shared keys and experts.
    assert (cut / 2 + whole) / (cut + whole) < 0.65
    for answers in answers_of_all(over_two, name):
        assert answers.pop("bytes") == cut / 2 + whole
        assert_same(answers, plain.answers)


def test_both_processes_end_well(over_two: Path, over_three: Path) -> None:
    assert [(folder / "ended").read_text() for folder in (over_two, over_three)] == ["", ""]


def test_smollm2_with_its_texts_cut(over_two: Path, smollm2: Model) -> None:
    for answers in answers_of_all(over_two, "smollm2"):
        assert answers.pop("bytes") == sum(bytes_by_cut(smollm2))
        assert_same(answers, answers_of_smollm2(smollm2))


def test_smollm2_cut_over_three_devices_of_two_processes(over_three: Path, smollm2: Model) -> None:
    cut, whole = bytes_by_cut(smollm2)
    for answers, devices in zip(answers_of_all(over_three, "smollm2"), (1, 2), strict=True):
        assert answers.pop("bytes") == devices * (cut / 3 + whole)
        assert_same(answers, answers_of_smollm2(smollm2))
