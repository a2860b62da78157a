"""Where a sparse dictionary reads and writes: from what its maker calls the place to the steps of our pass.

TransformerLens names hook points (`blocks.3.hook_resid_post`), transformers modules (`layers.3.mlp`). SAELens loads its
models without processing, so a stream is the one that the model computes: nothing is folded or centred unless the
dictionary says so.
"""

from __future__ import annotations

import re
from typing import Literal

import numpy as np

from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass
from llminspect.errors import UsageError
from llminspect.model.folded import columns, norm_before, written
from llminspect.model.opened import Model

Form = Literal["stream", "heads", "normalized"]
"""What is read: the array as it is, heads side by side, or the stream divided by its size."""


@dataclass(frozen=True)
class HookPlace:
    """Where a dictionary reads, and where it writes."""

    layer: int
    read: str
    write: str
    form: Form = "stream"
    centred: bool = False

    @property
    def elsewhere(self) -> bool:
        """Whether it writes another vector than the one that it reads."""
        return self.read != self.write

    def vectors(self, model: Model, array: Array) -> Array:
        """What was tapped at `read`, as the vectors that the dictionary takes: [T, D]."""
        if self.form != "normalized":
            return self.targets(array)
        norm = norm_before(model.params.layer(self.layer), "feedforward", model.config)
        return array * norm.scale(array)[:, None]

    def targets(self, array: Array) -> Array:
        """What was tapped at `write`, as vectors."""
        if self.form == "heads":
            return np.moveaxis(array, -3, -2).reshape(array.shape[-2], -1)
        return array - array.mean(axis=-1, keepdims=True) if self.centred else array

    def in_place(self, array: Array, vectors_TO: Array) -> Array:
        """The vectors as what stands at `write`, in whose place they are put; `array` is what stood there."""
        centred = self.centred and self.form != "heads"
        return self.change(array, vectors_TO + array.mean(axis=-1, keepdims=True) if centred else vectors_TO)

    def change(self, array: Array, delta_TO: Array) -> Array:
        """What vectors that are added are there."""
        if self.form == "heads":
            heads, tokens, width = array.shape
            return np.moveaxis(delta_TO.reshape(tokens, heads, width), 0, 1).astype(array.dtype)
        return delta_TO.astype(array.dtype)

    def into_stream(self, model: Model, rows_NO: Array) -> Array:
        """What rows of the decoder add to the stream, [N, D]: through what stands between, without its size."""
        arrays = model.params.layer(self.layer)
        if self.form == "heads":
            weight = arrays["attention.output.weight"]
            out_DI = written(arrays, "attention", model.config, columns(weight, 0, weight.shape[1]))
            return np.asarray(rows_NO @ out_DI.T)
        if self.write.endswith(".unnormed"):
            step = self.write.split(".")[-2]
            return np.asarray(written(arrays, step, model.config, rows_NO.T).T)
        return rows_NO

    def widths(self, model: Model) -> tuple[int, int]:
        """How many numbers it reads and writes."""
        if self.form != "heads":
            return model.config.sizes.D, model.config.sizes.D
        width = model.params.layer(self.layer)["attention.output.weight"].shape[1]
        return width, width


_HOOKS = {
    "hook_resid_pre": "input",
    "hook_resid_mid": "middle",
    "hook_resid_post": "output",
    "hook_attn_out": "attention.output",
    "hook_mlp_out": "feedforward.output",
}
_HEADS, _NORMED = "attn.hook_z", "ln2.hook_normalized"
_MODULE = re.compile(r"(?:(?:model|transformer|gpt_neox|decoder)\.)*(?:layers|h|blocks)\.([0-9]{1,6})(?:\.(\w+))?")
_STEPS = {"mlp": "feedforward", "feed_forward": "feedforward", "attn": "attention", "self_attn": "attention"}
_STEPS |= {"attention": "attention"}
KNOWN = f"those that are read: blocks.L.{', blocks.L.'.join([*_HOOKS, _HEADS, _NORMED])}; layers.L, layers.L.mlp"


def place_of(model: Model, hook: str, hook_out: str | None, centred: bool) -> HookPlace:
    """Raises UsageError for a place that the model does not have, or that is none of those that are read."""
    found = re.fullmatch(r"blocks\.([0-9]{1,6})\.([\w.]+)", hook)
    if found is not None and found[2] in (*_HOOKS, _HEADS, _NORMED):
        place = _of_hook(model, hook, _layer(model, hook, found[1]), found[2], hook_out, centred)
    elif (module := _MODULE.fullmatch(hook)) and (module[2] is None or module[2] in _STEPS) and found is None:
        place = _of_module(model, _layer(model, hook, module[1]), module[2], hook_out)
    else:
        raise UsageError(f"the dictionary reads at {hook!r:.100}, which is not read", KNOWN)
    if place.read.split(".")[-2] == "attention" and not model.config.attends(place.layer):
        raise UsageError(f"the dictionary reads at {hook!r:.100}: layer {place.layer} has no attention")
    return place


def _layer(model: Model, hook: str, text: str) -> int:
    layer, count = int(text), model.config.sizes.L
    if layer >= count:
        raise UsageError(
            f"the dictionary reads at {hook!r:.100}, and {model.name} has no layer {layer}",
            f"its layers run from 0 to {count - 1}",
        )
    return layer


def _of_hook(model: Model, hook: str, layer: int, part: str, hook_out: str | None, centred: bool) -> HookPlace:
    """A hook point of TransformerLens."""
    front, arrays, config = f"layers.{layer}", model.params.layer(layer), model.config
    if config.parallel and part in ("hook_resid_mid", _NORMED):
        raise UsageError(f"the dictionary reads at {hook!r:.100}, and the steps of {model.name} stand side by side")
    if hook_out and hook_out != f"blocks.{layer}.hook_mlp_out":
        raise UsageError(f"the dictionary writes at {hook_out!r:.100}, which is not read", "blocks.L.hook_mlp_out is")
    if centred and (config.norm != "layer" or part == _HEADS):
        raise UsageError("the dictionary says center_writing_weights, and this place is not centred by that")
    if part == _HEADS:
        if "attention.gate.weight" in arrays or hook_out:
            raise UsageError(f"the dictionary reads at {hook!r:.100}, and the heads of {model.name} have gates")
        return HookPlace(layer, f"{front}.attention.mixed", f"{front}.attention.mixed", "heads")
    write = f"{front}.feedforward.output" if hook_out else f"{front}.{_HOOKS.get(part, '')}"
    if part != _NORMED:
        return HookPlace(layer, f"{front}.{_HOOKS[part]}", write, centred=centred)
    if not hook_out:
        raise UsageError(f"the dictionary reads at {hook!r:.100} and does not say where it writes", KNOWN)
    # There TransformerLens has LayerNorm with its gain and bias, and RMSNorm without its gain.
    if config.norm == "layer":
        return HookPlace(layer, f"{front}.feedforward.norm", write)
    return HookPlace(layer, f"{front}.middle", write, "normalized")


def _of_module(model: Model, layer: int, name: str | None, hook_out: str | None) -> HookPlace:
    """A module of transformers: its output, of a transcoder its input as well."""
    front, arrays, writes = f"layers.{layer}", model.params.layer(layer), hook_out is not None
    if name is None:
        return HookPlace(layer, f"{front}.{'input' if writes else 'output'}", f"{front}.output")
    step = _STEPS[name]
    after = f"{step}.norm_after.weight" in arrays or model.config.residual_scale != 1
    write = f"{front}.{step}.{'unnormed' if after else 'output'}"
    if not writes:
        return HookPlace(layer, write, write)
    normed = f"{step}.norm.weight" in arrays or model.config.weightless_norms
    if model.config.parallel or not normed or step == "attention":
        raise UsageError(
            f"the dictionary reads what enters {name} of layer {layer}, which {model.name} has no step for"
        )
    return HookPlace(layer, f"{front}.{step}.norm", write)
