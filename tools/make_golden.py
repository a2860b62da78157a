"""Make the golden data: for each family a tiny random model and what the reference implementation computes with it.

    PYTHONPATH=. python tools/make_golden.py tests/golden [family ...]

Needs torch and transformers (the extra `golden`). A folder a family: `config.json` in today's form, `config.older.json`
in the form that most published models have, `weights.txt` (see `tests/drawn.py`), and `expected.npz`: the ids, the
logits, the attention weights, the residual stream (after the embedding and after each layer, the last before the final
norm) and 12 tokens chosen greedily, each from a whole new pass. Everything is computed and written in float64.
"""

from __future__ import annotations

import json
import math
import re
import shutil
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import golden_decoders
import golden_encoders
import golden_experts
import golden_families
import golden_gemma
import golden_grown
import golden_hybrids
import golden_kin
import golden_latent
import golden_later
import golden_masking
import golden_mixtures
import golden_more
import golden_older
import golden_others
import golden_parallel
import golden_rwkv
import golden_seq2seq
import golden_small
import golden_state
import numpy as np
import torch
from safetensors.torch import load_file, save_file
from transformers.utils import logging

from tests import drawn as drawn_weights

if TYPE_CHECKING:
    from collections.abc import Iterator

GREEDY_TOKENS = 12
KINDS = {None: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}
SMALLEST_MARGIN = 1e-3
"""Between the best and the second logit of a greedy step, so that float noise decides nothing."""


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
        self.arrays.append(self._kept(output[0] if isinstance(output, tuple) else output))

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


def expected_values(family: Any, model: Any, ids: torch.Tensor) -> dict[str, np.ndarray[Any, Any]]:
    """What the reference computes, by the names of `expected.npz`."""
    stream = Stream(family.layers(model), family.active)
    if family.kind == "encoder-decoder":
        source, target = ids, ids[:, : family.prompt].flip(-1)
        encoder = Stream(family.encoder_layers(model))
        output = model(input_ids=source, decoder_input_ids=target, output_attentions=True, use_cache=False)
        return {
            "source_ids": source[0].numpy(),
            "ids": target[0].numpy(),
            "encoder_hidden": encoder.taken(),
            "encoder_attentions": stacked(output.encoder_attentions),
            "cross_attentions": stacked(output.cross_attentions),
            "attentions": stacked(output.decoder_attentions),
            "hidden": stream.taken(),
            "logits": output.logits[0].numpy(),
            "greedy_prompt": target[0, :1].numpy(),
            "greedy": greedy(model, target[:, :1], input_ids=source),
        }
    output = model(input_ids=ids, output_attentions=True)
    values = {"ids": ids[0].numpy(), "hidden": stream.taken()}
    if getattr(output, "attentions", None):  # Of the layers that have any.
        values["attentions"] = stacked([weights for weights in output.attentions if weights is not None])
    if family.kind == "encoder":
        values["pooled"] = output.pooler_output[0].numpy()
    elif family.kind == "body":
        values["normed"] = output.last_hidden_state[0].numpy()
    elif family.kind == "labels":
        labels = output.logits[0].numpy()  # One number a token has no axis of labels there.
        values["labels"] = labels[:, None] if labels.shape == (family.tokens,) else labels
    elif family.kind == "span":
        values["labels"] = np.stack([output.start_logits[0].numpy(), output.end_logits[0].numpy()], axis=-1)
    else:
        values["logits"] = output.logits[0].numpy()
    if family.kind == "decoder":
        values["greedy_prompt"] = ids[0, : family.prompt].numpy()
        values["greedy"] = greedy(model, ids[:, : family.prompt])
    return values


def make(family: Any, folder: Path) -> None:
    config = family.config()
    model = family.model(config)
    if family.untied:
        model.lm_head.weight = torch.nn.Parameter(torch.empty_like(model.lm_head.weight))
    lines = described(model, family)
    for seed in range(100):
        description = "\n".join([f"seed {seed} {KINDS[family.rounded_to]}", *lines]) + "\n"
        model = drawn(family, description)
        ids = torch.randint(3, family.vocabulary, (1, family.tokens), generator=torch.Generator().manual_seed(seed))
        if family.padding:
            ids[:, -family.padding :] = config.pad_token_id
        if getattr(config, "token_dropout", False) and config.mask_token_id not in ids:
            continue
        try:
            with torch.no_grad(), in_float64():
                values = expected_values(family, exact(model, family.untied), ids)
            break
        except ValueError:
            continue
    else:
        raise SystemExit(f"{family.name}: no seed gives choices that are clear")
    shutil.rmtree(folder, ignore_errors=True)
    whole = model if family.rounded_to is None else model.to(family.rounded_to)
    whole.save_pretrained(folder, max_shard_size=family.shard)
    (folder / "generation_config.json").unlink(missing_ok=True)
    if family.published:
        as_published(family, folder)
    written = json.loads((folder / "config.json").read_text())
    older = golden_older.older_form(written)
    (folder / "config.older.json").write_text(json.dumps(older, indent=2, sort_keys=True) + "\n")
    np.savez_compressed(folder / "expected.npz", **values)
    (folder / drawn_weights.DESCRIPTION).write_text(description)
    before = read(folder)
    drawn_weights.make(folder)
    after = read(folder)
    if before.keys() != after.keys() or not all(torch.equal(before[name], after[name]) for name in before):
        raise SystemExit(f"{family.name}: what is drawn is not what the reference would write")
    size = sum(file.stat().st_size for file in folder.iterdir() if file.suffix != ".safetensors")
    print(f"{family.name}: seed {seed}, {size / 1000:.0f} kB")


def read(folder: Path) -> dict[str, torch.Tensor]:
    return {name: tensor for path in folder.glob("*.safetensors") for name, tensor in load_file(path).items()}


def as_published(family: Any, folder: Path) -> None:
    """A model that the reference has no class for, in the form of its own files."""
    config = family.published(json.loads((folder / "config.json").read_text()))
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    tensors = load_file(folder / "model.safetensors")
    save_file({family.renamed(name): tensor for name, tensor in tensors.items()}, folder / "model.safetensors")


def main(arguments: list[str]) -> None:
    target, wanted = Path(arguments[0]), set(arguments[1:])
    logging.disable_progress_bar()
    for family in [
        *golden_families.FAMILIES,
        *golden_grown.FAMILIES,
        *golden_latent.FAMILIES,
        *golden_mixtures.FAMILIES,
        *golden_experts.FAMILIES,
        *golden_later.FAMILIES,
        *golden_small.FAMILIES,
        *golden_decoders.FAMILIES,
        *golden_parallel.FAMILIES,
        *golden_masking.FAMILIES,
        *golden_state.FAMILIES,
        *golden_hybrids.FAMILIES,
        *golden_encoders.FAMILIES,
        *golden_kin.FAMILIES,
        *golden_seq2seq.FAMILIES,
        *golden_gemma.FAMILIES,
        *golden_rwkv.FAMILIES,
        *golden_more.FAMILIES,
        *golden_others.OTHERS,
    ]:
        if not wanted or family.name in wanted:
            make(family, target / family.name)


if __name__ == "__main__":
    main(sys.argv[1:])
