"""The C code itself: without instructions of one processor, and watched by the compiler's sanitizers."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import llminspect.backends.kernels
from llminspect.backends.kernels import library
from llminspect.backends.kernels.matrices import Blocks
from llminspect.backends.kernels.rounded import RoundedBlocks
from llminspect.files.quant_types import COMPILED
from tests.backends.kernels.test_blocks import numpys, random_blocks
from tests.backends.kernels.test_digits import activations, assert_near
from tests.backends.kernels.test_rounded import ROUNDED, assert_rounded
from tests.closeness import assert_close

if TYPE_CHECKING:
    import pytest

    from llminspect.core.array import Array

SOURCE = Path(llminspect.backends.kernels.__file__).with_name("products.c")
COMPILER = shutil.which("gcc") or shutil.which("cc")
OPTIONS = ("-std=gnu11", "-ffp-contract=fast", "-Wall", "-Wextra", "-Werror", "-Wno-psabi")


UNWATCHED = "-fno-sanitize=null,alignment,object-size"
"""What is read and written by copies of bytes alone needs none of these, and they take half of the compiler's time."""


def built(folder: Path, *options: str) -> Path:
    assert COMPILER, "a C compiler is needed"
    target = folder / "built.so"
    subprocess.run([COMPILER, *OPTIONS, *options, "-o", target], check=True, capture_output=True)
    return target


def test_the_code_for_any_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = built(tmp_path, "-O1", "-DONE_FOR_ALL", "-DPORTABLE", "-shared", "-fPIC", str(SOURCE))
    monkeypatch.setattr(library, "EXTENSION_SUFFIXES", [".so"])
    monkeypatch.setattr(library, "__file__", str(tmp_path / "library.py"))
    made.rename(tmp_path / "_products.so")
    library.library.cache_clear()
    try:
        for name in COMPILED:
            raw = random_blocks(name, 29, 6)
            weights_OI = numpys(name, raw)
            for number in (1, 4, 9, 17):
                x_NI = np.random.default_rng(number).normal(size=(number, weights_OI.shape[1])).astype(np.float32)
                assert_close(Blocks(COMPILED[name], raw, 1).products(x_NI), x_NI @ weights_OI.T, what=name)
            if name in ROUNDED:
                assert_rounded(name, raw, number=6)
                assert_near(name, random_blocks(name, 3, 1536 // COMPILED[name].weights), activations(0, 1536))
    finally:
        library.library.cache_clear()


def test_a_processor_without_the_fused_instruction_gives_the_same_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sums of whole numbers are exact: both ways end in the same bits, or this processor has the one way alone."""
    monkeypatch.setattr(library, "EXTENSION_SUFFIXES", [".so"])
    found: dict[str, list[Array]] = {}
    for option in ("-DFUSED_WHERE_IT_CAN_BE", "-DNOT_FUSED"):
        folder = tmp_path / option
        folder.mkdir()
        made = built(folder, "-O1", "-DONE_FOR_ALL", option, "-shared", "-fPIC", str(SOURCE))
        made.rename(folder / "_products.so")
        monkeypatch.setattr(library, "__file__", str(folder / "library.py"))
        library.library.cache_clear()
        try:
            for name in ROUNDED:
                raw = random_blocks(name, 40, 2048 // COMPILED[name].weights)
                of_one, of_five = activations(5, 2048)[None], np.stack([activations(n, 2048) for n in range(5)])
                for kind in (Blocks, RoundedBlocks):
                    matrix = kind(COMPILED[name], raw, 1)
                    found.setdefault(name, []).append(
                        np.concatenate([matrix.products(x_NI) for x_NI in (of_one, of_five)])
                    )
        finally:
            library.library.cache_clear()
    for name, (exact_NO, rounded_NO, unfused_exact_NO, unfused_rounded_NO) in found.items():
        assert np.array_equal(exact_NO, unfused_exact_NO), name
        assert np.array_equal(rounded_NO, unfused_rounded_NO), name


def test_nothing_beyond_its_arrays_is_read_or_written(tmp_path: Path) -> None:
    watched = (
        "-O1",
        "-DONE_FOR_ALL",
        "-g",
        "-fsanitize=address,undefined",
        "-fno-sanitize-recover=all",
        UNWATCHED,
        "-I",
        str(SOURCE.parent),
    )
    program = built(tmp_path, *watched, str(Path(__file__).with_name("hostile.c")), "-lm")
    # The search for leaks follows the process from outside, which not every container allows.
    alone = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}
    ran = subprocess.run([program], capture_output=True, text=True, check=False, env=alone)
    assert (ran.returncode, ran.stdout) == (0, "all right\n"), ran.stderr[:2000]
