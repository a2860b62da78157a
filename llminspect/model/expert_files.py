"""How Hugging Face files keep the matrices of experts: each in a tensor of its own, or all in one."""

from __future__ import annotations

from typing import Any

from llminspect.model.spec import TensorSpec


def first_half(array: Any, _: Any) -> Any:
    """The first half of the rows of a matrix, or of each of many."""
    return array[..., : array.shape[-2] // 2, :]


def second_half(array: Any, _: Any) -> Any:
    """The others."""
    return array[..., array.shape[-2] // 2 :, :]


GATE_UP_DOWN = ("gate_proj", "up_proj", "down_proj")


def expert_specs(
    experts: int, router: str, expert: str, names: tuple[str, str, str] = GATE_UP_DOWN
) -> list[TensorSpec]:
    """The router and the experts, each in tensors of its own or all in one (transformers since 5).

    `expert` has `{}` for its number, `names` are those of gate, up and down.
    """
    shapes = {"gate": "X F D", "up": "X F D", "down": "X D F"}
    whole = expert.removesuffix(".{}")
    in_one: dict[str, tuple[str, Any]] = {
        "gate": (f"{whole}.gate_up_proj", first_half),
        "up": (f"{whole}.gate_up_proj", second_half),
        "down": (f"{whole}.down_proj", None),
    }
    return [
        TensorSpec("feedforward.router.weight", "X D", f"{router}.weight", "ffn_gate_inp.weight"),
        *(
            TensorSpec(
                f"feedforward.experts.{part}.weight",
                shape,
                tuple(f"{expert.format(index)}.{name}.weight" for index in range(experts)),
                f"ffn_{part}_exps.weight",
                other=in_one[part],
            )
            for (part, shape), name in zip(shapes.items(), names, strict=True)
        ),
    ]


def in_one(block: str, *more: str) -> tuple[tuple[str, str], ...]:
    """The ends of names where a file has all experts in one tensor and calls their `block` "mlp"."""
    ends = ("experts.gate_up_proj", "experts.down_proj", *more)
    return tuple((f".mlp.{end}", f".{block}.{end}") for end in ends)
