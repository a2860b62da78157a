"""The numbers of docs/scale.md are what the formulas give, and the formulas what small runs measure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from llminspect.backends.jax.mesh import cache_bytes, size, weights_bytes
from llminspect.backends.jax.settings import EngineSettings
from llminspect.backends.jax.start import on_jax
from llminspect.model.registry import architecture_for
from llminspect.opening import open_model
from tests.backends.jax.eight import EIGHT, write_model
from tests.conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from llminspect.model.config import Sizes

SHAPES = {  # Layers, width, query heads, key/value heads, feed-forward width: those of Llama 3.1.
    "8 B": (32, 4096, 32, 8, 14336),
    "70 B": (80, 8192, 64, 8, 28672),
    "405 B": (126, 16384, 128, 8, 53248),
}
TOKENS = 8192


def reduced_bytes(sizes: Sizes, tokens: int, parts: int) -> int:
    """What each device sends in a pass: two sums of the stream a layer and one of the embedding, each over a ring.

    A sum over a ring of n sends 2 (n − 1) / n of the array (Patarasuk and Yuan 2009). The stream is float32.
    """
    return (2 * sizes.L + 1) * 2 * (parts - 1) * 4 * sizes.D * tokens // parts


def rows() -> list[str]:
    """The table of the page: a model and a number of devices a line."""
    family = architecture_for("llama", "huggingface")
    lines = []
    for name, (layers, width, heads, shared, hidden) in SHAPES.items():
        config = family.config_from_huggingface(
            {
                "model_type": "llama",
                "hidden_size": width,
                "num_hidden_layers": layers,
                "num_attention_heads": heads,
                "num_key_value_heads": shared,
                "intermediate_size": hidden,
                "vocab_size": 128256,
                "max_position_embeddings": 131072,
                "rms_norm_eps": 1e-5,
                "rope_theta": 500000.0,
                "hidden_act": "silu",
                "tie_word_embeddings": False,
            }
        )
        specs = [spec for spec in family.tensors(config) if not spec.optional or spec.name == "unembedding.weight"]
        for devices in (1, 8):
            lines.append(
                f"| {name} | {devices} | {size(weights_bytes(specs, config.sizes, 'bfloat16', devices))} "
                f"| {size(weights_bytes(specs, config.sizes, 'float32', devices))} "
                f"| {size(cache_bytes(config.sizes, TOKENS, devices))} "
                f"| {size(reduced_bytes(config.sizes, 1, devices))} "
                f"| {size(reduced_bytes(config.sizes, TOKENS, devices))} |"
            )
    return lines


def test_the_table_is_what_the_formulas_give() -> None:
    page = (ROOT / "docs" / "scale.md").read_text("utf-8")
    assert [row for row in rows() if row not in page] == []


def test_the_traffic_is_that_of_the_compiled_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMINSPECT_HOME", str(tmp_path / "home"))
    write_model(tmp_path)
    model = on_jax(open_model(str(tmp_path), offline=True, streamed=True), EngineSettings({"model": 4}))
    tokens = 6
    model.run(list(range(tokens)))
    (program,) = model.engine.programs.values()  # type: ignore[union-attr]
    text = program.call.as_text()
    assert [int(times) for times in re.findall(r'"known_trip_count":{"n":"(\d+)"}', text)] == [EIGHT.L]
    before, entry = text.split("\nENTRY ")  # The loop over the layers is a function in front of the whole.
    inside, outside = (
        [int(a) * int(b) for a, b in re.findall(r"= f32\[(\d+),(\d+)\]\S* all-reduce\(", part)]
        for part in (before, entry)
    )
    summed = [*inside * EIGHT.L, *outside]
    assert summed == [tokens * EIGHT.D] * (2 * EIGHT.L + 1)
    assert not re.search(r" (all-gather|all-to-all|collective-permute|reduce-scatter)\(", text)
    assert reduced_bytes(EIGHT, tokens, 4) == sum(4 * numbers * 2 * 3 // 4 for numbers in summed)
