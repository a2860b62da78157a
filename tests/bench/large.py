"""A model larger than memory: the shape of a Llama of 8 B parameters, random weights in 4 bits."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import numpy as np

from tests.bench.measure import ROOT, environment
from tests.bench.report import Bench, say, table, title, verdict

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOKENS = 64
LAYERS, WIDTH, HIDDEN, HEADS, KEY_HEADS, VOCABULARY = 32, 4096, 14336, 32, 8, 128_256
BLOCK = 32
ROWS_AT_ONCE = 4096
WATCHED = """
import sys, threading, time
most, going = 0, True
def watch():
    global most
    while going:
        for line in open("/proc/self/status"):
            if line.startswith("RssAnon:"):
                most = max(most, int(line.split()[1]))
        time.sleep(0.01)
watcher = threading.Thread(target=watch)
watcher.start()
from llminspect.__main__ import run
try:
    run(sys.argv[1:])
finally:
    going = False
    watcher.join()
    print("most", most, file=sys.stderr)
"""


def large(bench: Bench) -> None:
    """One pass of 64 tokens, and what was in memory beside the mapped file."""
    title("A model larger than memory")
    path = bench.scratch / "large.gguf"
    try:
        write(path)
        ids = ",".join(str(7 * index % VOCABULARY) for index in range(TOKENS))
        rows, reached = [], True
        for arguments in (["forward"], ["attend", "--layer", "5"]):
            command = [*arguments, "--ids", ids, "--json", "--model", str(path)]
            start = time.perf_counter()
            ran = subprocess.run(
                [sys.executable, "-c", WATCHED, *command],
                cwd=ROOT,
                env=environment(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            found = re.search(r"most (\d+)", ran.stderr)
            if ran.returncode or found is None:
                raise RuntimeError(ran.stderr[-400:])
            gigabytes = int(found[1]) * 1024 / 1e9
            reached &= gigabytes < 3
            rows.append((f"`{' '.join(arguments)}`", f"{time.perf_counter() - start:.1f} s", f"{gigabytes:.2f} GB"))
        say(
            f"{LAYERS} layers, width {WIDTH}, {VOCABULARY} tokens in the vocabulary, Q4_0: a file of "
            f"{path.stat().st_size / 1e9:.2f} GB; as float32 {parameters() * 4 / 1e9:.1f} GB. "
            f"{TOKENS} tokens in one pass."
        )
        table(("", "time", "most memory beside the mapped file"), rows)
        say(f"To reach: under 3 GB: {verdict(reached)}.")
    finally:
        path.unlink(missing_ok=True)


def shapes() -> Iterator[tuple[str, tuple[int, ...]]]:
    key_width = WIDTH // HEADS * KEY_HEADS
    yield "token_embd.weight", (VOCABULARY, WIDTH)
    for layer in range(LAYERS):
        own = f"blk.{layer}"
        yield f"{own}.attn_norm.weight", (WIDTH,)
        yield f"{own}.attn_q.weight", (WIDTH, WIDTH)
        yield f"{own}.attn_k.weight", (key_width, WIDTH)
        yield f"{own}.attn_v.weight", (key_width, WIDTH)
        yield f"{own}.attn_output.weight", (WIDTH, WIDTH)
        yield f"{own}.ffn_norm.weight", (WIDTH,)
        yield f"{own}.ffn_gate.weight", (HIDDEN, WIDTH)
        yield f"{own}.ffn_up.weight", (HIDDEN, WIDTH)
        yield f"{own}.ffn_down.weight", (WIDTH, HIDDEN)
    yield "output_norm.weight", (WIDTH,)
    yield "output.weight", (VOCABULARY, WIDTH)


def parameters() -> int:
    return sum(int(np.prod(shape)) for _, shape in shapes())


def write(path: Path) -> None:
    """The file, a few rows at a time."""
    import gguf

    from llminspect.text.bpe import BYTE_ALPHABET

    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(LAYERS)
    writer.add_context_length(8192)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(500_000.0)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(VOCABULARY)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    alphabet = [*BYTE_ALPHABET, "ab"]
    writer.add_token_list([*alphabet, *(f"<{index}>" for index in range(len(alphabet), VOCABULARY))])
    writer.add_token_merges(["a b"])
    types = gguf.GGMLQuantizationType
    for name, shape in shapes():
        plain = len(shape) == 1
        nbytes = shape[0] * 4 if plain else shape[0] * shape[1] // BLOCK * 18
        dtype = np.dtype(np.float32 if plain else np.uint8)
        quantized = shape if plain else (shape[0], shape[1] // BLOCK * 18)
        writer.add_tensor_info(name, quantized, dtype, nbytes, raw_dtype=types.F32 if plain else types.Q4_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    random = np.random.default_rng(0)
    for _, shape in shapes():
        if len(shape) == 1:
            writer.write_tensor_data(np.ones(shape, np.float32))
        else:
            writer.write_tensor_data(_blocks(random, shape))
    writer.close()


def _blocks(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Q4_0: a scale in float16 and 32 numbers from −8 to 7; the scale keeps what a product adds up to near 1."""
    blocks = random.integers(0, 256, (shape[0], shape[1] // BLOCK, 18), np.uint8)
    blocks[..., :2] = np.array([0.2 / shape[1] ** 0.5], np.float16).view(np.uint8)
    return blocks.reshape(shape[0], -1)
