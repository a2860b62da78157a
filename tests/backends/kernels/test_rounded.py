"""x rounded to 8 bits and multiplied as whole numbers, against numpy; and what is said of a model that rounds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from llminspect.backends.kernels import library as kernels_library
from llminspect.backends.kernels.library import library
from llminspect.backends.kernels.matrices import BESIDE, UNIT, WORTH_SHARING
from llminspect.backends.kernels.rounded import RoundedBlocks
from llminspect.core.array import linear
from llminspect.errors import UserError
from llminspect.files.quant_types import COMPILED
from llminspect.opening import open_model
from tests.backends.kernels.test_blocks import numpys, random_blocks
from tests.conftest import ROOT

if TYPE_CHECKING:
    from llminspect.core.array import Array
    from llminspect.model.opened import Model
    from tests.conftest import Program

ROUNDED = [name for name, kind in COMPILED.items() if kind.weights > 1]


def rounded(name: str, x_NI: Array) -> tuple[Array, Array]:
    """Whole numbers [N, blocks, length] and their scales [N, blocks, 1], float32 throughout."""
    blocks = x_NI.reshape(len(x_NI), -1, COMPILED[name].weights)
    most = np.abs(blocks).max(-1, keepdims=True)
    by = np.where(most > 2.0**-100, np.float32(127) / np.maximum(most, np.float32(2.0**-100)), np.float32(0))
    return np.rint(blocks * by).astype(np.int8), most / np.float32(127)


def numbers(tokens: int, width: int) -> Array:
    """Some large, a block of zeros, one of numbers too small to divide by."""
    x_NI = np.random.default_rng(tokens).standard_t(3, size=(tokens, width)).astype(np.float32)
    x_NI[0, :32], x_NI[-1, 32:64] = 0, 1e-40
    return x_NI


@pytest.mark.parametrize("name", ROUNDED)
def test_x_is_rounded_bit_for_bit(name: str) -> None:
    x_NI = numbers(3, 768)
    codes, scales = rounded(name, x_NI)
    made = np.empty((768 // UNIT, 3, UNIT + BESIDE), np.uint8)
    library().write_pieces(1, COMPILED[name].number, x_NI.ctypes.data, 3, 768, made.ctypes.data)
    found = made[..., :UNIT].view(np.int8).swapaxes(0, 1)
    in_order = (
        np.sort(found, axis=-1),
        np.sort(codes.reshape(3, -1, UNIT), axis=-1),
    )  # Each kind has an order of its own.
    assert np.array_equal(*in_order)
    beside = np.ascontiguousarray(made[..., UNIT:]).view(np.float32).swapaxes(0, 1)
    of_blocks = beside[..., :4:2] if COMPILED[name].weights == 32 else beside[:, ::4, :1]
    assert np.array_equal(of_blocks.reshape(scales.shape), scales)


@pytest.mark.parametrize("name", ROUNDED)
def test_products_are_those_of_rounded_numbers(name: str) -> None:
    for number in (1, 2, 3, 4, 5, 11):
        assert_rounded(name, random_blocks(name, 37, 6), number)


def assert_rounded(name: str, raw: Array, number: int) -> None:
    weights_OI = numpys(name, raw).astype(np.float64)
    x_NI = numbers(number, weights_OI.shape[1])
    codes, scales = rounded(name, x_NI)
    near_NI = (codes * scales.astype(np.float64)).reshape(number, -1)
    got_NO = linear(x_NI, RoundedBlocks(COMPILED[name], raw, 2))
    assert (np.abs(got_NO - near_NI @ weights_OI.T) <= 1e-6 * (np.abs(near_NI) @ np.abs(weights_OI).T)).all(), name


def test_the_largest_codes_do_not_overflow() -> None:
    """All codes of weights at their ends and x at its: sums of two products must fit 16 bits."""
    for name in ROUNDED:
        for byte in (0x00, 0x80, 0x7F, 0xFF):
            raw = random_blocks(name, 2, 6).copy()
            scales = {at + more for at in COMPILED[name].scales for more in (0, 1)} | (
                {0} if name == "MXFP4" else set()
            )
            for at in set(range(COMPILED[name].bytes)) - scales:
                raw.reshape(-1, COMPILED[name].bytes)[:, at] = byte
            weights_OI = numpys(name, raw).astype(np.float64)
            x_NI = np.where(np.arange(weights_OI.shape[1]) % 64 < 40, -1, 1).astype(np.float32)[None]
            got_NO, size = linear(x_NI, RoundedBlocks(COMPILED[name], raw, 1)), np.abs(weights_OI).sum(1)
            assert (np.abs(got_NO - x_NI @ weights_OI.T) <= 1e-6 * size).all(), (name, byte)


def test_threads_and_numbers_that_are_none() -> None:
    raw = random_blocks("Q4_0", WORTH_SHARING // 64 + 1, 2)
    x_NI = numbers(2, 64)
    alone, three = (RoundedBlocks(COMPILED["Q4_0"], raw, threads).products(x_NI) for threads in (1, 3))
    assert np.array_equal(alone, three)
    for wrong in (np.nan, np.inf):
        x_NI[1, 5] = wrong
        assert np.isfinite(RoundedBlocks(COMPILED["Q4_0"], raw, 1).products(x_NI)).all(axis=1).tolist() == [True, False]


@pytest.fixture(scope="module")
def int8() -> Model:
    return open_model("smollm2", offline=True, precision="int8")


def test_a_model_says_how_far_off_it_is(int8: Model, smollm2: Model) -> None:
    stated = int8.provenance["rounding"]
    ids = smollm2.tokenizer.encode_ids("The capital of France is the city of")[: stated["tokens"]]  # type: ignore[union-attr]
    a_TV, b_TV = (model.logits(model.run(ids).stream_TD) for model in (int8, smollm2))
    assert stated["largest"] == pytest.approx(np.abs(a_TV - b_TV).max(), rel=0.01)
    assert stated["relative"] == pytest.approx(np.linalg.norm(a_TV - b_TV) / np.linalg.norm(b_TV), rel=0.01)
    assert 0.001 < stated["relative"] < 0.1
    assert stated["same_best"] == (a_TV.argmax(-1) == b_TV.argmax(-1)).sum() > 5


def test_streamed_it_gives_the_same(int8: Model) -> None:
    streamed = open_model("smollm2", offline=True, precision="int8", streamed=True)
    assert np.array_equal(streamed.run([5, 6, 7]).stream_TD, int8.run([5, 6, 7]).stream_TD)
    assert streamed.provenance == int8.provenance


def test_every_output_says_it(called: Program, tmp_path: Any) -> None:
    given = ("generate", "The capital of France is", "--max-tokens", "1", "--temperature", "0", "--precision", "int8")
    ran = called(*given, "--quiet")
    assert "Paris" in ran.out and "activations were rounded to 8 bits" in ran.err
    page = tmp_path / "page.html"
    document = called(*given, "--json", "--save", str(page)).json
    assert document["provenance"]["rounding"]["activations"] == "int8"
    assert any("differ from the exact ones" in note for note in document["notes"])
    assert "activations were rounded" in page.read_text()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--model", "smollm2", "--kernels", "none"), "--kernels none does not"),
        (("--model", "smollm2", "--engine", "jax"), "--precision has no effect on the engine jax"),
        (("--model", "toy"), "has no matrix of"),
        (("--model", str(ROOT / "tests" / "golden" / "llama")), "has no matrix of"),
        (("--model", "smollm2", "--adapter", str(ROOT / "tests" / "golden" / "adapters" / "llama")), "no adapter can"),
    ],
)
def test_what_it_cannot_serve_is_refused(called: Program, more: tuple[str, ...], message: str) -> None:
    ran = called("forward", "the cat", "--precision", "int8", *more)
    assert ran.code == 2 and message in ran.err and ran.out == ""


def test_a_library_of_another_version_is_not_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(kernels_library._FUNCTIONS, "of_a_later_version", ())
    library.cache_clear()
    try:
        with pytest.raises(UserError, match="another version"):
            library()
    finally:
        library.cache_clear()
