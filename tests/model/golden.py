"""The golden models: what transformers computed with tiny random weights, and the same by this program."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from llminspect.core.tap import Capture, Chain
from llminspect.errors import ModelError
from llminspect.model.params import Params
from tests.closeness import DOUBLE, SINGLE, assert_close

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from llminspect.core.array import Array
    from llminspect.core.cache import Cache
    from llminspect.model.opened import Model

FOLDER = Path(__file__).parent.parent / "golden"
NAMES = sorted(path.parent.name for path in FOLDER.glob("*/expected.npz"))


@dataclass(frozen=True)
class Golden:
    name: str

    @property
    def folder(self) -> Path:
        return FOLDER / self.name

    @cached_property
    def expected(self) -> Mapping[str, Array]:
        return dict(_recorded(self.name))

    def config(self, file: str = "config.json") -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / file).read_text())
        return found

    @property
    def has_source(self) -> bool:
        return "source_ids" in self.expected


@cache
def _recorded(name: str) -> dict[str, Array]:
    """Read once, as many tests are chosen by what was recorded; nobody writes into it."""
    with np.load(FOLDER / name / "expected.npz") as file:
        arrays = dict(file)
    for array in arrays.values():
        array.setflags(write=False)
    return arrays


def computed(model: Model, golden: Golden, tap: Capture | None = None) -> dict[str, Array]:
    """What `expected.npz` holds, by this program: one pass over all the ids."""
    tap = Capture("*") if tap is None else tap
    expected = golden.expected
    cache = model.encode_source(expected["source_ids"], tap) if golden.has_source else None
    result = model.run(expected["ids"], tap, cache)
    found = {"hidden": stream(tap, model.config.sizes.L)}
    if "attentions" in expected:
        found["attentions"] = weights(tap, model.config.attending)
    if golden.has_source:
        layers = len(expected["encoder_hidden"]) - 1
        found["encoder_hidden"] = stream(tap, layers, "encoder.layers")
        found["encoder_attentions"] = weights(tap, range(layers), "encoder.layers")
        found["cross_attentions"] = weights(tap, range(model.config.sizes.L), step="cross_attention")
    if "pooled" in expected and "pooler.weight" in model.params:  # GGUF files leave the pooler out.
        found["pooled"] = tap["final.pooled"]
    if "labels" in expected:
        ids, streams = expected["ids"], result.stream_TD
        found["labels"] = (
            np.stack([model.label_scores(*text, tap) for text in zip(ids, streams, strict=True)])
            if ids.ndim == 2
            else model.label_scores(ids, streams, tap)
        )
    if "normed" in expected and model.engine is None:  # Compiled code ends with the error, and gives nothing.
        last = Capture("final.norm")
        with suppress(ModelError):  # A decoder has no output matrix.
            model.logits(result.stream_TD, Chain([tap, last]))
        found["normed"] = last["final.norm"]
    # GGUF files leave out the layer between the last norm and the words.
    if "logits" in expected and model.architecture.without_output(model.config, model.params) is None:
        found["logits"] = model.logits(result.stream_TD, tap)
    return found


def stream(tap: Capture, layers: int, stack: str = "layers") -> Array:
    return np.stack([tap[f"{stack}.0.input"], *(tap[f"{stack}.{index}.output"] for index in range(layers))])


def weights(tap: Capture, layers: Iterable[int], stack: str = "layers", step: str = "attention") -> Array:
    return np.stack([tap[f"{stack}.{index}.{step}.weights"] for index in layers])


def assert_as_expected(found: Mapping[str, Array], golden: Golden) -> None:
    """Within SINGLE of the reference's float64, and within DOUBLE where the values are float64 themselves."""
    # The weights of these are multiplied or added to, and rounded to float32, when the model is opened.
    rounded = golden.name.startswith(
        ("gemma", "t5gemma", "vaultgemma", "nemotron", "qwen3_5", "qwen3_next", "falcon_h1")
    )
    double = 1e-5 if rounded and golden.name not in ("gemma3n", "gemma4", "gemma4-same-keys") else DOUBLE
    if golden.name.startswith("bloom"):  # The reference writes √(2/π) with 8 digits.
        double = 1e-8
    for name, values in found.items():
        assert_close(values, golden.expected[name], double if values.dtype == np.float64 else SINGLE, name)


def greedy(model: Model, golden: Golden, cached: bool) -> list[int]:
    """As many tokens as were recorded, each the most probable after those before it."""
    given = [int(token) for token in golden.expected["greedy_prompt"]]
    chosen: list[int] = []
    source = model.encode_source(golden.expected["source_ids"]) if golden.has_source else None
    cache: Cache | None = source
    for _ in golden.expected["greedy"]:
        if cached:
            result = model.run(given if not chosen else chosen[-1:], cache=cache)
            cache = result.cache
        else:
            result = model.run([*given, *chosen], cache=source)
        chosen.append(int(np.argmax(model.logits(result.stream_TD[-1:])[0])))
    return chosen


def with_arrays(model: Model, arrays: Mapping[str, Array]) -> Model:
    return replace(model, params=Params({**model.params.arrays, **arrays}))
