"""Llama models of random weights in 4 bits, as large as those that people have: written block by block."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

PIECE = 1 << 25
"""Bytes that are made at once."""
LAYOUTS = {"F32": (1, 4), "Q4_0": (32, 18), "Q4_K": (256, 144), "Q6_K": (256, 210)}
"""Weights and bytes of a block."""
MIXTURES = ("Q4_0", "Q4_K_M")


class Shape(NamedTuple):
    """The sizes of a model."""

    layers: int
    width: int
    hidden: int
    heads: int
    key_heads: int
    vocabulary: int
    tied: bool
    """Whether the output matrix is the embedding."""

    def matrices(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """The tensors of the file."""
        key_width = self.width // self.heads * self.key_heads
        yield "token_embd.weight", (self.vocabulary, self.width)
        for layer in range(self.layers):
            at = f"blk.{layer}"
            yield f"{at}.attn_norm.weight", (self.width,)
            yield f"{at}.attn_q.weight", (self.width, self.width)
            yield f"{at}.attn_k.weight", (key_width, self.width)
            yield f"{at}.attn_v.weight", (key_width, self.width)
            yield f"{at}.attn_output.weight", (self.width, self.width)
            yield f"{at}.ffn_norm.weight", (self.width,)
            yield f"{at}.ffn_gate.weight", (self.hidden, self.width)
            yield f"{at}.ffn_up.weight", (self.hidden, self.width)
            yield f"{at}.ffn_down.weight", (self.width, self.hidden)
        yield "output_norm.weight", (self.width,)
        if not self.tied:
            yield "output.weight", (self.vocabulary, self.width)

    @property
    def parameters(self) -> int:
        return sum(int(np.prod(shape)) for _, shape in self.matrices())


SHAPES = {
    "1.5B": Shape(28, 1536, 8960, 12, 2, 151_936, tied=True),
    "8B": Shape(32, 4096, 14336, 32, 8, 128_256, tied=False),
}


def kind_of(name: str, shape: tuple[int, ...], mixture: str, model: Shape) -> str:
    """The type of a tensor, by the rules of llama.cpp's quantizer."""
    if len(shape) == 1:
        return "F32"
    if name == "output.weight" or (model.tied and name == "token_embd.weight"):
        return "Q6_K"
    if mixture == "Q4_0":
        return "Q4_0"
    layer, eighth = int(name.split(".")[1]) if name.startswith("blk.") else 0, model.layers // 8
    more = layer < eighth or layer >= 7 * model.layers // 8 or (layer - eighth) % 3 == 2
    return "Q6_K" if more and ("attn_v" in name or "ffn_down" in name) else "Q4_K"


def write(path: Path, model: Shape, mixture: str) -> None:
    """The file, some rows at a time."""
    import gguf

    writer = gguf.GGUFWriter(path, "llama")
    for add, value in (
        (writer.add_block_count, model.layers),
        (writer.add_context_length, 8192),
        (writer.add_embedding_length, model.width),
        (writer.add_feed_forward_length, model.hidden),
        (writer.add_head_count, model.heads),
        (writer.add_head_count_kv, model.key_heads),
        (writer.add_rope_dimension_count, model.width // model.heads),
        (writer.add_vocab_size, model.vocabulary),
    ):
        add(value)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(500_000.0)
    _vocabulary(writer, model.vocabulary)
    kinds = {name: kind_of(name, shape, mixture, model) for name, shape in model.matrices()}
    for name, shape in model.matrices():
        weights, size = LAYOUTS[kinds[name]]
        row_bytes = shape[-1] // weights * size
        stored = shape if len(shape) == 1 else (shape[0], row_bytes)
        dtype = np.dtype(np.float32 if len(shape) == 1 else np.uint8)
        number = gguf.GGMLQuantizationType[kinds[name]]
        writer.add_tensor_info(name, stored, dtype, row_bytes * int(np.prod(shape[:-1])), raw_dtype=number)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    with path.open("ab") as file:
        _numbers(file, kinds, model, writer.data_alignment)


def _vocabulary(writer: object, size: int) -> None:
    from llminspect.text.bpe import BYTE_ALPHABET

    writer.add_tokenizer_model("gpt2")  # type: ignore[attr-defined]
    writer.add_tokenizer_pre("llama-bpe")  # type: ignore[attr-defined]
    alphabet = [*BYTE_ALPHABET, "ab"]
    writer.add_token_list([*alphabet, *(f"<{index}>" for index in range(len(alphabet), size))])  # type: ignore[attr-defined]
    writer.add_token_merges(["a b"])  # type: ignore[attr-defined]


def _numbers(file: object, kinds: dict[str, str], model: Shape, alignment: int) -> None:
    random = np.random.default_rng(0)
    file.write(bytes(-file.tell() % alignment))  # type: ignore[attr-defined]
    for name, shape in model.matrices():
        if kinds[name] == "F32":
            file.write(np.ones(shape, np.float32).tobytes())  # type: ignore[attr-defined]
        else:
            weights, size = LAYOUTS[kinds[name]]
            left = shape[0] * shape[1] // weights
            while left:
                some = min(left, PIECE // size)
                file.write(_blocks(random, kinds[name], some, shape[1]).tobytes())  # type: ignore[attr-defined]
                left -= some
        file.write(bytes(-file.tell() % alignment))  # type: ignore[attr-defined]


def _blocks(random: np.random.Generator, kind: str, number: int, width: int) -> NDArray[np.uint8]:
    """Random bytes, and scales that keep what a product adds up to near 1."""
    size = LAYOUTS[kind][1]
    words = random.integers(0, 1 << 64, -(-number * size // 8), np.uint64)
    blocks = words.view(np.uint8)[: number * size].reshape(number, size)
    near = width**-0.5
    # A code's spread: of −8 to 7 5; times a 6-bit scale 220, of which 7.5 least numbers are taken; times a byte 1365.
    scales = {"Q4_0": [(0, near / 5)], "Q4_K": [(0, near / 300), (2, near / 40)], "Q6_K": [(208, near / 1365)]}
    for at, scale in scales[kind]:
        blocks[:, at : at + 2] = np.array([scale], "<f2").view(np.uint8)
    return blocks
