"""The maps of attention, of a gated feed-forward step and of experts: what the two kinds of file call each.

Experts are each in a tensor of its own, or all in one.
"""

from __future__ import annotations

from typing import Any

from llminspect.model.spec import TensorSpec

GATE_UP_DOWN = ("gate_proj", "up_proj", "down_proj")
"""What most files call the maps of a gated feed-forward step."""


def attention_maps(
    inner: str,
    output: str,
    gguf: tuple[str, str] | None = None,
    *,
    step: str = "attention",
    heads: str = "HE",
    keys: str = "HE",
) -> list[tuple[str, str, str, str | None]]:
    """Of queries, keys, values and what the heads mix, for `linear_specs`: `inner` is what files call the first three,
    with `{part}` for their names and `{}` for these names' first letters; `gguf`: the same two there."""
    shapes = {"query": f"{heads} D", "key": f"{keys} D", "value": f"{keys} D", "output": f"D {heads}"}
    found = []
    for part, shape in shapes.items():
        is_last = part == "output"
        huggingface, in_gguf = output if is_last else inner, gguf and gguf[is_last]
        names = huggingface.format(part[0], part=part), in_gguf and in_gguf.format(part[0])
        found.append((f"{step}.{part}", shape, *names))
    return found


def gated_maps(
    block: str, width: str, *, ends: tuple[str, str, str] = GATE_UP_DOWN, part: str = "feedforward", gguf: str = ""
) -> list[tuple[str, str, str, str]]:
    """Of a gated feed-forward step, for `linear_specs`; `gguf`: what its names end in there."""
    shapes = {"gate": f"{width} D", "up": f"{width} D", "down": f"D {width}"}
    return [
        (f"{part}.{name}", shape, f"{block}.{end}", f"ffn_{name}{gguf}")
        for (name, shape), end in zip(shapes.items(), ends, strict=True)
    ]


def first_half(array: Any, _: Any) -> Any:
    """The first half of the rows of a matrix, or of each of many."""
    return array[..., : array.shape[-2] // 2, :]


def second_half(array: Any, _: Any) -> Any:
    """The others."""
    return array[..., array.shape[-2] // 2 :, :]


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
