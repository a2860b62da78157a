"""What is not read is said at once: types of tensors without a decoder, and the tokenizer of a GGUF file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from llminspect.errors import ModelError
from llminspect.files.quant_types import BY_NAME, TYPES
from llminspect.files.weights import DECODABLE
from llminspect.opening import open_model
from tests.files.gguf_writer import GGUF, Tensor
from tests.fuzz.samples import llama, vocabulary

if TYPE_CHECKING:
    from pathlib import Path

    from llminspect.files.quant_types import NumberType
    from tests.conftest import Program

UNKNOWN = [kind for kind in TYPES if kind.number is not None and not kind.plain and not kind.decode]


def wide(folder: Path, *kinds: int) -> str:
    """A llama of width 256 whose first tensors of a layer are of these types."""
    small = llama(vocabulary("gpt2"), 264)
    metadata = [(key, 256 if key == "llama.embedding_length" else value) for key, value in small.metadata]
    metadata = [(key, 128 if key == "llama.rope.dimension_count" else value) for key, value in metadata]
    tensors, by_number, left = [], {kind.number: kind for kind in TYPES}, list(kinds)
    for tensor in small.tensors:
        name = str(tensor.name)
        shape = tuple({8: 256, 4: 128}.get(size, size) for size in tensor.shape)
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        kind = by_number[left.pop(0) if left and "attn_" in name and len(shape) == 2 else 0]
        data = b"\0" * (count // kind.weights * kind.bytes)
        tensors.append(Tensor(name, shape, data, kind.number or 0))
    path = folder / "m.gguf"
    path.write_bytes(GGUF(metadata, tensors).build())
    return str(path)


@pytest.mark.parametrize("kind", UNKNOWN, ids=lambda kind: kind.name)
def test_types_that_are_not_decoded_are_named_before_anything_is_prepared(
    kind: NumberType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llminspect.files.prepared.prepared", lambda *_, **__: pytest.fail("prepared"))
    path = wide(tmp_path, *[kind.number or 0] * 4)
    for streamed in (False, True):
        with pytest.raises(ModelError) as caught:
            open_model(path, streamed=streamed)
        expected = (
            f"4 tensors are {kind.name}, which is not decoded here: blk.0.attn_k.weight, blk.0.attn_output.weight, "
        )
        assert caught.value.message == f"{expected}blk.0.attn_q.weight and 1 more"
        assert "Q4_K" in (caught.value.hint or "")


def test_one_tensor_and_two_types(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = UNKNOWN[0], BY_NAME["Q4_K"]
    monkeypatch.setattr("llminspect.files.weights.DECODABLE", DECODABLE - {"Q4_K"})
    with pytest.raises(
        ModelError, match=rf"^1 tensor is {first.name}, 2 {second.name}, which are not decoded here: blk"
    ):
        open_model(wide(tmp_path, first.number or 0, second.number or 0, second.number or 0))


def test_info_shows_such_a_file(tmp_path: Path, called: Program) -> None:
    path = wide(tmp_path, UNKNOWN[0].number or 0)
    assert called("info", path, "--json").json["weight_types"][UNKNOWN[0].name] == 1
    ran = called("forward", "--ids", "1", "--model", path)
    assert (ran.code, len(ran.err.splitlines())) == (3, 1)


BROKEN: dict[str, tuple[list[tuple[str | bytes, Any]], str]] = {
    "none": ([("llama.vocab_size", 264)], "carries no tokenizer"),
    "a kind not known": ([("tokenizer.ggml.model", "plamo9"), ("tokenizer.ggml.tokens", ["a"] * 264)], "'plamo9'"),
    "a cut not known": (
        [
            ("tokenizer.ggml.pre", "strange") if key == "tokenizer.ggml.pre" else (key, value)
            for key, value in vocabulary("gpt2")
        ],
        "strange",
    ),
}
COMMANDS = {
    "forward": "--ids 5,6 --lens",
    "attend": "--ids 5,6",
    "embed": "--ids 5,6 --nearest 3",
    "generate": "--ids 5,6 --max-tokens 3 --alternatives 2",
    "verify": "",
    "info": "",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_whose_tokenizer_cannot_be_read_takes_ids(name: str, tmp_path: Path, called: Program) -> None:
    tokenizer, reason = BROKEN[name]
    file = llama(tokenizer, 264)
    path = tmp_path / "m.gguf"
    path.write_bytes(file.build())
    model = ("--model", str(path))
    for command, given in COMMANDS.items():
        for more in ((), ("--json",)):
            ran = called(command, *given.split(), *model, *more)
            assert ran.code == 0, ran.err
    seen = called("info", *model, "--json").json
    assert reason in seen["tokenizer"]["kind"]
    assert called("forward", "--ids", "5,6", *model, "--json").json["next"][0]["text"].startswith("#")
    for line in ("forward a", "embed a", "attend a", "generate a", "embed --analogy a-b"):
        ran = called(*line.split(), *model)
        assert (ran.code, len(ran.err.splitlines())) == (2, 1), ran.err
        assert "the model's tokenizer cannot be read" in ran.err and reason in ran.err and "--ids 1,2,3" in ran.err
    for command in ("tokenize", "encode"):
        ran = called(command, "a", *model)
        assert ran.code == 3 and reason in ran.err
