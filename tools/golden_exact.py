"""What the reference computes in float64: the same model, its residual stream, and greedy tokens."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from golden_drawn import computed

if TYPE_CHECKING:
    from collections.abc import Iterator

GREEDY_TOKENS = 12


SMALLEST_MARGIN = 1e-3
"""Between the best and the second logit of a greedy step, so that float noise decides nothing."""


@contextmanager
def in_float64() -> Iterator[None]:
    """PyTorch without float32: the reference casts to it by name in norms, softmaxes and rotations."""
    names = {"float": torch.float64, "float32": torch.float64, "FloatTensor": torch.DoubleTensor}
    before, cast = {name: getattr(torch, name) for name in names}, torch.Tensor.float
    try:
        for name, value in names.items():
            setattr(torch, name, value)
        torch.Tensor.float = torch.Tensor.double  # type: ignore[method-assign,assignment]
        torch.set_default_dtype(torch.float64)
        yield
    finally:
        for name, value in before.items():
            setattr(torch, name, value)
        torch.Tensor.float = cast  # type: ignore[method-assign]
        torch.set_default_dtype(before["float32"])


def exact(model: Any, untied: bool = False) -> Any:
    """The same model in float64, also what it computes from its configuration (rotations, waves); see `in_float64`."""
    double = type(model)(model.config).double().eval()
    if untied:
        double.lm_head.weight = torch.nn.Parameter(torch.empty_like(double.lm_head.weight))
    weights = {name: value for name, value in model.state_dict().items() if not computed(model, name)}
    double.load_state_dict(weights, strict=False)
    return double


class Stream:
    """The residual stream, seen by hooks: what comes into the first layer, and what leaves each layer."""

    def __init__(self, layers: Any, active: int | None = None) -> None:
        self.active = active
        self.arrays: list[np.ndarray[Any, Any]] = []
        self.hooks = [layers[0].register_forward_pre_hook(self._before, with_kwargs=True)]
        self.hooks += [layer.register_forward_hook(self._after) for layer in layers]

    def _before(self, _: Any, arguments: Any, keywords: Any) -> None:
        if self.arrays:  # A layer that comes again (ALBERT).
            return
        self.arrays = [self._kept(arguments[0] if arguments else keywords["hidden_states"])]

    def _after(self, _: Any, __: Any, output: Any) -> None:
        self.arrays.append(self._kept(output[0] if isinstance(output, tuple | list) else output))

    def _kept(self, stream: Any) -> np.ndarray[Any, Any]:
        kept: np.ndarray[Any, Any] = (stream if self.active is None else stream[self.active])[0].numpy().copy()
        return kept

    def taken(self) -> np.ndarray[Any, Any]:
        for hook in self.hooks:
            hook.remove()
        return np.stack(self.arrays)


def stacked(attentions: Any) -> np.ndarray[Any, Any]:
    """[L, H, T, S]."""
    return np.stack([weights[0].numpy() for weights in attentions])


def greedy(model: Any, ids: torch.Tensor, **given: Any) -> np.ndarray[Any, Any]:
    """12 tokens, each from a pass over everything before it. Raises ValueError where a choice is close."""
    name = "decoder_input_ids" if given else "input_ids"
    start = ids.shape[-1]
    for _ in range(GREEDY_TOKENS):
        best = model(**{name: ids}, use_cache=False, **given).logits[0, -1].topk(2)
        if best.values[0] - best.values[1] < SMALLEST_MARGIN:
            raise ValueError("a greedy choice is too close to call")
        ids = torch.cat([ids, best.indices[:1][None]], dim=-1)
    return ids[0, start:].numpy()
