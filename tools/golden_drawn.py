"""The weights of golden models: what each tensor is drawn from, and its line in a description (`tests/drawn.py`)."""

from __future__ import annotations

import math
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from tests import drawn as drawn_weights

if TYPE_CHECKING:
    from collections.abc import Iterator

KINDS = {None: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}


def computed(model: Any, name: str) -> bool:
    """Marian's, Pegasus' and RoFormer's waves and ESM's speeds, which are not learned."""
    waves = type(model).__name__.startswith(("Marian", "Pegasus", "RoFormer")) and "embed_positions" in name
    return waves or name.endswith("rotary_embeddings.inv_freq")


def ranges(model: Any) -> Iterator[tuple[Any, float, float]]:
    """Each tensor that is drawn, the mean and the spread of its numbers: weights that leave the size of the numbers as
    it is, and biases and norms far from 0 and 1."""
    norms = {f"{name}.weight" for name, module in model.named_modules() if "norm" in type(module).__name__.lower()}
    name_of_kind = type(model).__name__
    unscaled = name_of_kind.startswith(("Gemma3n", "Gemma4"))
    offset = 0.0 if "Gemma" in name_of_kind and not unscaled else 1.0
    for name, tensor in model.named_parameters():
        if computed(model, name):
            continue
        if name in norms:
            less = 0.4 if unscaled and name.endswith("q_norm.weight") else 1.0  # It does not scale its scores either.
            yield tensor, less * offset, less * 0.3
        elif tensor.ndim == 1 or name.endswith("bias"):
            yield tensor, 0.0, 0.3
        elif "embed" in name or "shared" in name or "wte" in name or "wpe" in name or "relative" in name:
            # Some scale it by √D.
            yield tensor, 0.0, 0.3 if getattr(model.config, "scale_embedding", False) else 1.0
        else:  # T5 does not scale its scores.
            yield tensor, 0.0, (0.3 if name.endswith("Attention.q.weight") else 1.0) * 1.5 / tensor.shape[-1] ** 0.5
    for name, tensor in model.named_buffers():
        if name.endswith("layer_scalar"):
            yield tensor, 0.9, 0.06
        if name.endswith("bias"):
            yield tensor, 0.0, 0.3


def randomize(model: Any, generator: torch.Generator, rounded_to: torch.dtype | None) -> None:
    with torch.no_grad():
        for tensor, mean, spread in ranges(model):
            value = mean + spread * torch.randn(tensor.shape, generator=generator)
            tensor.copy_(value if rounded_to is None else value.to(rounded_to))


def saved(model: Any) -> dict[str, torch.Tensor]:
    """The tensors as the reference writes them into a file, which is not always how it names and cuts its own."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        return load_file(Path(folder) / "model.safetensors")


def described(model: Any, family: Any) -> list[str]:
    """The lines of `tests/drawn.py`: written once with each tensor filled with its mean, once with what lies a spread
    above, the files show what comes of them."""
    files = []
    for share in (0.0, 1.0):
        with torch.no_grad():
            for tensor, mean, spread in ranges(model):
                tensor.fill_(mean + share * spread)
        files.append(saved(model))
    rows: dict[tuple[str, str], list[tuple[str, ...]]] = {}
    for name, low in files[0].items():
        shape, above = "x".join(map(str, low.shape)) or "-", files[1][name] - low
        if (low == low.flatten()[0]).all():
            if not torch.allclose(above, above.flatten()[0]):
                raise SystemExit(f"{family.name}: {name} is made of parts that are drawn in several ways")
            numbers = f"{shape} {low.flatten()[0]:.3g} {above.flatten()[0]:.3g}"
        else:
            numbers = " ".join([shape, "=", *(str(value) for value in low.flatten().numpy())])
        final = family.renamed(name)
        rows.setdefault((re.sub(r"\d+", "{}", final), numbers), []).append(tuple(re.findall(r"\d+", final)))
    return [f"{name} {numbers}" for (pattern, numbers), at in rows.items() for name in together(pattern, at)]


def together(pattern: str, at: list[tuple[str, ...]]) -> list[str]:
    """One name with braces for all, where they are every combination of some numbers; else a name each."""
    axes = [sorted(set(axis), key=int) for axis in zip(*at, strict=True)]
    if math.prod(map(len, axes)) == len(at):
        at = [tuple(axis[0] if len(axis) == 1 else "{" + ",".join(axis) + "}" for axis in axes)]
    return [pattern.format(*numbers) for numbers in at]


def drawn(family: Any, description: str) -> Any:
    """The model with the numbers of a description, as the reference reads them from a file."""
    found = {}
    for name, dtype, array in drawn_weights.tensors(description):
        numbers = torch.from_numpy(array.view(np.int16) if dtype == "BF16" else array)
        found[name] = numbers.view(torch.bfloat16) if dtype == "BF16" else numbers
    model = family.model(family.config())
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        path = Path(folder) / "model.safetensors"
        names = {family.renamed(name): name for name in [*load_file(path), *["lm_head.weight"] * family.untied]}
        save_file({names[name]: tensor for name, tensor in found.items()}, path, {"format": "pt"})
        model, notes = type(model).from_pretrained(
            folder, config=family.config(), dtype=torch.float32, output_loading_info=True
        )
    if family.untied:
        model.lm_head.weight = torch.nn.Parameter(found["lm_head.weight"])
    wrong = [name for name in notes["missing_keys"] if not computed(model, name)]
    if wrong or notes["mismatched_keys"]:
        raise SystemExit(f"{family.name}: not loaded: {wrong} {notes['mismatched_keys']}")
    return model.eval()
