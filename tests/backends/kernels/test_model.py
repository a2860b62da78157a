"""SmolLM2 multiplied as its file has it gives what prepared weights give; and what is said where that cannot be."""

from __future__ import annotations

from mmap import mmap
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from llminspect.backends.kernels.library import library
from llminspect.backends.kernels.matrices import Blocks
from llminspect.core.tap import Capture
from llminspect.opening import open_model
from tests.closeness import assert_close

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llminspect.model.opened import Model
    from tests.conftest import Program


@pytest.fixture(scope="module")
def in_blocks(smollm2: Model) -> Model:
    return open_model("smollm2", offline=True, kernels="compiled")


@pytest.mark.parametrize("tokens", [1, 3, 12, 40])
def test_logits_and_attention(smollm2: Model, in_blocks: Model, tokens: int) -> None:
    ids, seen = [(id * 977) % 49152 for id in range(3, 3 + tokens)], []
    for model in (smollm2, in_blocks):
        capture = Capture("layers.*.attention.weights")
        logits_TV = model.logits(model.run(ids, capture).stream_TD)
        seen.append((logits_TV, capture.arrays))
    (expected_TV, expected), (logits_TV, arrays) = seen
    assert_close(logits_TV, expected_TV)
    for name in expected:
        assert_close(arrays[name], expected[name], what=name)


def test_every_matrix_stays_in_blocks(in_blocks: Model) -> None:
    whole = {name: array for name, array in in_blocks.params.arrays.items() if not isinstance(array, Blocks)}
    assert all(array.ndim == 1 for array in whole.values())
    assert len(in_blocks.params.arrays) - len(whole) == 211


def test_no_matrix_is_copied_from_the_file(in_blocks: Model) -> None:
    """Those of queries and keys neither, whose rows a GGUF file of Llama has in another order."""
    for name, matrix in in_blocks.params.arrays.items():
        if isinstance(matrix, Blocks):
            held: Any = matrix._blocks_OB
            while isinstance(held, np.ndarray):
                assert not held.flags.owndata, name
                held = held.base
            assert isinstance(held, memoryview | mmap), name
    assert in_blocks.params.arrays["layers.3.attention.key.weight"]._order_O is not None  # type: ignore[attr-defined]


def test_a_streamed_model_keeps_its_blocks(in_blocks: Model) -> None:
    streamed = open_model("smollm2", offline=True, kernels="compiled", streamed=True)
    first, second = (model.run([5, 6, 7]).stream_TD for model in (in_blocks, streamed))
    assert np.array_equal(first, second)
    assert isinstance(streamed.params["embedding.weight"], Blocks)


COMMANDS = (
    ("generate", "The capital of France is", "--temperature", "0", "--max-tokens", "8"),
    ("generate", "The capital of France is", "--beams", "3", "--max-tokens", "3"),
    ("forward", "The cat sat on the mat", "--lens"),
    ("forward", "The cat sat on the mat", "--layer", "0,3"),
    ("forward", "The cat sat on the mat", "--attribution"),
    ("forward", "The cat sat on the mat", "--patch", "The dog sat on the mat", "--into", "12.stream"),
    ("attend", "The cat sat on the mat", "--layer", "3"),
    ("attend", "The cat sat on the mat", "--layer", "3", "--head", "2", "--query", "mat"),
    ("attend", "The cat sat on the mat", "--contributions"),
    ("attend", "The cat sat on the mat", "--layer", "3", "--show", "weights,added"),
    ("embed", "cat", "--nearest", "5"),
)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_commands_answer_the_same(called: Program, smollm2: Model, command: tuple[str, ...]) -> None:
    documents = []
    for kernels in ("none", "compiled"):
        ran = called(*command, "--model", "smollm2", "--offline", "--kernels", kernels, "--json")
        assert (ran.code, ran.err) == (0, "")
        documents.append(ran.json)
    for document in documents:
        del document["provenance"]
    assert_same(*documents)


def assert_same(one: Any, other: Any) -> None:
    """The same texts and whole numbers; numbers with a fraction nearly."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one.keys() - {"seconds"}:
            assert_same(one[key], other[key])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for first, second in zip(one, other, strict=True):
            assert_same(first, second)
    elif isinstance(one, float):
        assert other == pytest.approx(one, rel=1e-3, abs=1e-3)
    else:
        assert one == other


def refused(called: Program, *arguments: str) -> tuple[int, str]:
    ran = called("forward", "the cat", *arguments)
    assert ran.out == ""
    assert len(ran.err.strip().splitlines()) == 1
    return ran.code, ran.err


def test_nothing_quantized(called: Program) -> None:
    code, line = refused(called, "--model", "toy", "--kernels", "compiled")
    assert code == 2
    assert "no matrix of F32, F16, Q4_0" in line


def test_not_with_jax(called: Program) -> None:
    code, line = refused(called, "--model", "toy", "--kernels", "compiled", "--engine", "jax")
    assert code == 2
    assert "--kernels has no effect on the engine jax" in line


@pytest.fixture
def nothing_compiled(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("llminspect.backends.kernels.library.EXTENSION_SUFFIXES", [])
    library.cache_clear()
    yield
    library.cache_clear()


@pytest.mark.usefixtures("nothing_compiled")
def test_without_a_compiler(called: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    code, line = refused(called, "--model", "smollm2", "--kernels", "compiled")
    assert code == 1
    assert "no C compiler was found" in line
    monkeypatch.setattr("llminspect.backends.kernels.LARGE", 0)  # Unless they were asked for it goes on, and says so.
    ran = called("forward", "The capital of France is", "--model", "smollm2", "--top", "1", "--json")
    assert ran.code == 0 and ran.json["next"][0]["text"] == " Paris"
    assert "weights are kept as float32" in called("forward", "the cat", "--model", "smollm2").err


def test_large_models_are_multiplied_with_as_they_are(smollm2: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def kept(**given: Any) -> bool:
        opened = open_model("smollm2", offline=True, **given)
        return isinstance(opened.params["layers.0.attention.query.weight"], Blocks)

    assert not kept()
    assert kept(writing=True) and not kept(writing=True, kernels="none")
    monkeypatch.setattr("llminspect.backends.kernels.WORTH_WRITING", 135_000_000)
    assert not kept(writing=True)
    monkeypatch.setattr("llminspect.backends.kernels.LARGE", 134_000_000)
    assert kept() and not kept(kernels="none")
    monkeypatch.setattr("llminspect.backends.kernels.LARGE", 135_000_000)
    assert not kept()
