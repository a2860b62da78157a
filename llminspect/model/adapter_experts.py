"""LoRA on the parameters that hold all experts of a layer (PEFT's `target_parameters`).

PEFT keeps one pair a parameter: A [r·X, I] and B [O, r·X] for X experts, and adds s·B_e·A_e to expert e, whose rank-r
part of A lies together and of B is every X-th column. transformers keeps gate and up in one such parameter. Several
parameters of one module are wrapped one around the other: the last of the class is outermost.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass
from llminspect.errors import ModelError
from llminspect.files.adapter import AdapterFiles
from llminspect.model.config import Sizes
from llminspect.model.spec import TensorSpec, expanded_shape

_MODULE = re.compile(
    r"(?P<stem>(?:.*\.)?layers\.(?P<layer>\d{1,6})\.(?:(?:mlp|block_sparse_moe|feed_forward|mixer)\.)?experts)"
    r"(?P<around>(?:\.base_layer)*)"
)
_WRAPPER = ".base_layer"


@dataclass(frozen=True)
class ExpertPair:
    """What is added to one array of experts [X, O, I]."""

    a: str
    b: str
    scale: float
    experts: int
    rows: slice
    """Which of the rows of B: those of gate, of up, or all."""

    def product(self, files: AdapterFiles) -> Array:
        a_RI, b_OR = files.weights.array(self.a), files.weights.array(self.b)
        a_XrI = a_RI.reshape(self.experts, -1, a_RI.shape[-1])
        b_XOr = b_OR.reshape(len(b_OR), -1, self.experts).transpose(2, 0, 1)[:, self.rows]
        added_XOI: Array = b_XOr @ a_XrI * np.float32(self.scale)
        return added_XOI


def is_of_experts(module: str) -> bool:
    """Whether a module of an adapter is all experts of a layer."""
    return _MODULE.fullmatch(module) is not None


def is_target(parameter: str, targets: Sequence[str]) -> bool:
    """Whether `target_parameters` names a parameter, as PEFT compares them: whole, or by its end."""
    return any(f".{parameter}".endswith(f".{target}") for target in targets)


def expert_pairs(
    files: AdapterFiles,
    modules: Mapping[str, Mapping[str, str]],
    targets: Sequence[str],
    rank_and_scale: Callable[[str], tuple[int, float]],
    specs: Sequence[TensorSpec],
    sizes: Sizes,
    alternating: bool,
) -> dict[str, ExpertPair]:
    """The pairs of `modules` (all of experts), by the arrays of the core that they change.

    `alternating`: gate and up take turns in the rows of their parameter. Raises ModelError where the model has no such
    experts, where the parameters are not those that `target_parameters` names, or for other shapes.
    """
    found: dict[str, ExpertPair] = {}
    stems: dict[str, dict[int, Mapping[str, str]]] = {}
    layers: dict[str, str] = {}
    for module, tensors in modules.items():
        match = _MODULE.fullmatch(module)
        assert match is not None
        stems.setdefault(match["stem"], {})[match["around"].count(_WRAPPER)] = tensors
        layers[match["stem"]] = match["layer"]
    for stem, by_depth in stems.items():
        arrays = {
            spec.name.split(".")[-2]: spec
            for spec in specs
            if re.fullmatch(rf"layers\.{int(layers[stem])}\..*\bexperts\.(gate|up|down)\.weight", spec.name)
        }
        fused = "gate_up_proj" if "gate" in arrays else "up_proj"
        parts = {fused: ("gate", "up") if "gate" in arrays else ("up",), "down_proj": ("down",)}
        named = [name for name in parts if is_target(f"{stem}.{name}", targets)]
        if not arrays or sorted(by_depth) != list(range(len(named))):
            raise ModelError(
                f"the adapter changes {len(by_depth)} parameters of {stem!r:.200}, which are not those that its "
                "target_parameters names here",
                "merge the adapter into its model with PEFT",
            )
        for depth, name in enumerate(reversed(named)):
            rank, scale = rank_and_scale(f"{stem}.{name}")
            changed = [arrays[part] for part in parts[name]]
            if found.keys() & {spec.name for spec in changed}:
                raise ModelError(f"the adapter changes {stem!r:.200} twice", "fetch it again")
            _add(found, files, by_depth[depth], f"{stem}.{name}", rank, scale, changed, sizes, alternating)
    return found


def _add(
    found: dict[str, ExpertPair],
    files: AdapterFiles,
    tensors: Mapping[str, str],
    parameter: str,
    rank: int,
    scale: float,
    changed: Sequence[TensorSpec],
    sizes: Sizes,
    alternating: bool,
) -> None:
    experts, rows, columns = expanded_shape(changed[0].shape, sizes)
    expected = (rank * experts, columns), (rows * len(changed), rank * experts)
    a, b = tensors["A"], tensors["B"]
    shapes = files.weights.tensors[a].shape, files.weights.tensors[b].shape
    if shapes != expected or tensors.keys() != {"A", "B"}:
        raise ModelError(
            f"the adapter's pair of {parameter!r:.200} has the shapes {shapes[0]} and {shapes[1]}; "
            f"with the rank {rank} on {experts} experts they would be {expected[0]} and {expected[1]}",
            "adapters of PEFT before 0.18 keep them the other way round: save it again with a newer one",
        )
    for index, spec in enumerate(changed):
        cut = slice(index, None, len(changed)) if alternating else slice(index * rows, (index + 1) * rows)
        found[spec.name] = ExpertPair(a, b, scale, experts, cut)
