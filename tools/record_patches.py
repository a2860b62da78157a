"""Record what the reference gives with queries, keys, values and patterns of another text: `tests/golden/patches.npz`.

    cd tools && PYTHONPATH=.. python record_patches.py

Needs torch and transformers (the extra `golden`). In layer 1, of query head 1 (and of all heads that share its keys and
values); `same`: at the same positions of a text of one length, `aligned`: other positions of a longer one. Patched are
the arguments of the reference's own attention, after norm and rotation, and the outputs of its linear maps, before
both. Logits after the last token, everything computed in float64.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import transformers as t
from make_golden import exact, in_float64

from tests.drawn import make_all
from tests.model.golden import FOLDER, Golden

CASES = {
    "llama": t.LlamaForCausalLM,
    "gpt2": t.GPT2LMHeadModel,
    "gemma2": t.Gemma2ForCausalLM,
    "qwen3": t.Qwen3ForCausalLM,
    "gpt-oss": t.GptOssForCausalLM,
    "deepseek-v3": t.DeepseekV3ForCausalLM,
}
PARTS = ("query", "key", "value", "pattern")
MAPS = {"query.projected": "q_proj", "key.projected": "k_proj"}
LAYER, HEAD = 1, 1
SAME = {3: 3, 5: 5}
ALIGNED = {3: 4, 5: 7}
"""Positions of this text, and of the other."""


@dataclass
class Inside:
    """The reference's attention, of which one part is kept, or replaced by what was kept."""

    module: Any
    part: str
    pairs: dict[int, int]
    kept: torch.Tensor | None = None
    putting: bool = False
    plain: Any = field(init=False)

    def __post_init__(self) -> None:
        self.plain = self.module.eager_attention_forward

    def __call__(self, module: Any, query: Any, key: Any, value: Any, *given: Any, **named: Any) -> Any:
        arrays = {"query": query, "key": key, "value": value}
        shared = query.shape[1] // key.shape[1]
        if module.layer_idx == LAYER and self.part in arrays:
            head = HEAD if self.part == "query" else HEAD // shared
            arrays[self.part] = self.seen(arrays[self.part], head)
        output, weights = self.plain(module, *arrays.values(), *given, **named)
        if module.layer_idx == LAYER and self.part == "pattern":
            weights = self.seen(weights, HEAD)
            output = (weights @ arrays["value"].repeat_interleave(shared, dim=1)).transpose(1, 2)
        return output, weights

    def seen(self, array: torch.Tensor, head: int) -> torch.Tensor:
        if not self.putting:
            self.kept = array[:, head].clone()
            return array
        assert self.kept is not None
        array = array.clone()
        for here, there in self.pairs.items():
            array[:, head, here] = self.kept[:, there]
        return array


@dataclass
class Map:
    """A hook on a linear map, of whose output the columns of one head are kept, or replaced."""

    columns: slice
    pairs: dict[int, int]
    kept: torch.Tensor | None = None
    putting: bool = False

    def __call__(self, module: Any, given: Any, output: torch.Tensor) -> torch.Tensor:
        if not self.putting:
            self.kept = output[..., self.columns].clone()
            return output
        assert self.kept is not None
        output = output.clone()
        for here, there in self.pairs.items():
            output[:, here, self.columns] = self.kept[:, there]
        return output


def texts(name: str) -> tuple[list[int], dict[str, tuple[list[int], dict[int, int]]]]:
    """A text, and others, each with the positions that are taken from it."""
    ids = Golden(name).expected["ids"].tolist()
    return ids[:6], {"same": (ids[5:11], SAME), "aligned": (ids[3:11], ALIGNED)}


def recorded(name: str, model: Any) -> dict[str, np.ndarray[Any, Any]]:
    here, others = texts(name)
    source = sys.modules[type(model).__module__]
    found = {"plain": last(model, here)}
    for way, (there, pairs) in others.items():
        for part in PARTS if way == "same" else PARTS[:3]:
            inside = Inside(source, part, pairs)
            source.eager_attention_forward = inside
            last(model, there)
            inside.putting = True
            found[f"{part}/{way}"] = last(model, here)
            source.eager_attention_forward = inside.plain
        if name in ("llama", "qwen3", "gemma2"):
            attention = model.model.layers[LAYER].self_attn
            for part, of in MAPS.items():
                head = HEAD if part.startswith("query") else HEAD // attention.num_key_value_groups
                hook = Map(slice(head * attention.head_dim, (head + 1) * attention.head_dim), pairs)
                handle = getattr(attention, of).register_forward_hook(hook)
                last(model, there)
                hook.putting = True
                found[f"{part}/{way}"] = last(model, here)
                handle.remove()
    return found


def last(model: Any, ids: list[int]) -> np.ndarray[Any, Any]:
    with torch.no_grad():
        logits: np.ndarray[Any, Any] = model(input_ids=torch.tensor(ids)[None], use_cache=False).logits[0, -1].numpy()
    return logits


if __name__ == "__main__":
    make_all()
    eager = {"attn_implementation": "eager", "experts_implementation": "eager"}
    plain = {name: kind.from_pretrained(FOLDER / name, **eager) for name, kind in CASES.items()}
    with in_float64():
        every = {f"{name}/{key}": value for name in CASES for key, value in recorded(name, exact(plain[name])).items()}
    np.savez_compressed(FOLDER / "patches.npz", **every)
