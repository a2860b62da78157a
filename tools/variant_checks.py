"""What `variants.py` asks of a part of the variants besides their logits: the streams and weights inside, the tokens
that follow with and without the cache, and the same weights in a GGUF file, where llama.cpp has the kind."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import golden_exact
import numpy as np
import torch

import llminspect
from llminspect.analysis.completion import turned_anew
from llminspect.analysis.vectors import vectors_at
from llminspect.core.tap import Capture
from llminspect.errors import ModelError
from llminspect.files.gguf import GGUFFile
from llminspect.model.opened import Model
from llminspect.model.params import Params
from llminspect.model.registry import architecture_for, claim
from tests.model import gguf_of
from tests.model.golden import Golden, weights

BOUND = 1e-5
TOKENS = 12
SMALLEST_MARGIN = 1e-3
"""Between the best and the second logit, as a part of the largest: closer ones float noise may swap."""


def distance(found: np.ndarray, wanted: np.ndarray) -> float:
    """The largest difference, as a part of the largest value."""
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())


def compared(found: np.ndarray, wanted: np.ndarray, bound: float) -> str:
    if found.shape != wanted.shape:
        return f"wrong: {found.shape} instead of {wanted.shape}"
    off = distance(found, wanted)
    return "right" if off <= bound else f"wrong: off by {off:.1e} of the largest value"


def insides(model: Any, given: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """What the reference has inside: the stream before each layer (Mamba's keeps those after it), and each stack's
    weights."""
    output = model(**given, output_hidden_states=True, output_attentions=True, use_cache=False)
    parts = {
        "": ("hidden_states", "attentions"),
        "decoder ": ("decoder_hidden_states", "decoder_attentions"),
        "cross ": ("", "cross_attentions"),
        "encoder ": ("encoder_hidden_states", "encoder_attentions"),
    }
    kept_after = model.config.model_type in ("mamba", "mamba2", "falcon_mamba")
    found = {}
    for part, (streams, attentions) in parts.items():
        before = [stream[0].numpy() for stream in (getattr(output, streams, None) or ())[:-1]] if streams else []
        if before and before[0].ndim == 2:  # Not of several streams at once.
            found[f"{part}{'outputs' if kept_after else 'streams'}"] = np.stack(before)
        stacked = [one[0].numpy() for one in getattr(output, attentions, None) or () if one is not None]
        if stacked:
            found[f"{part}weights"] = np.stack(stacked)
    return found


def inside(references: tuple[Any, Any], model: Model, given: dict[str, torch.Tensor]) -> str:
    """The stream before each layer, and what each token looks at in each layer with attention, in float32 and in
    float64."""
    try:
        single = insides(references[0], given)
        with golden_exact.in_float64():
            double = insides(references[1], given)
    except Exception as error:
        return f"unknown: {type(error).__name__}: {error}"
    tap, ids, layers = Capture("*"), given["input_ids"][0].tolist(), range(model.config.sizes.L)
    steps = {"": ("layers", "attention"), "decoder ": ("layers", "attention")}
    steps |= {"cross ": ("layers", "cross_attention"), "encoder ": ("encoder.layers", "attention")}
    if "decoder_input_ids" in given:
        model.run(given["decoder_input_ids"][0].tolist(), tap, model.encode_source(ids, tap))
    else:
        model.run(ids, tap)
    for name, wanted in double.items():
        part, _, kind = name.rpartition(" ")
        stack, step = steps[part and f"{part} "]
        if kind in ("streams", "outputs"):
            place = "input" if kind == "streams" else "output"
            found = np.stack([tap[f"{stack}.{index}.{place}"] for index in range(len(wanted))])
        else:
            encoder = stack.startswith("encoder")
            attending = range(len(wanted)) if encoder else layers if part else model.config.attending
            found = weights(tap, attending, stack, step)
        answer = compared(found, wanted, max(BOUND, 8 * distance(single[name], wanted)))
        if answer != "right":
            return f"{answer} ({name})"
    return "right"


def following(exact: Any, model: Model, given: dict[str, torch.Tensor]) -> str:
    """The most probable tokens, one by one, past every window and chunk that is drawn: of the reference without a
    cache, of this with and without one. Where a choice is close, the reference's is taken for both."""
    name = "decoder_input_ids" if "decoder_input_ids" in given else "input_ids"
    ids, other = given[name][:, :5], {key: value for key, value in given.items() if key != name}
    source = model.encode_source(given["input_ids"][0].tolist()) if other else None
    # Of a model that sees pictures as well, ids of pictures are no text.
    most = 34 if "text_config" in exact.config.to_dict() else None
    kept, new = source, ids[0].tolist()
    for step in range(TOKENS):
        best = exact(**{name: ids}, **other, use_cache=False).logits[0, -1, :most].topk(2)
        close = best.values[0] - best.values[1] < SMALLEST_MARGIN * best.values[0].abs()
        anew = turned_anew(model, ids.shape[1] - len(new), ids.shape[1])
        result = model.run(ids[0].tolist(), cache=source) if anew else model.run(new, cache=kept)
        whole = model.run(ids[0].tolist(), cache=source)
        kept, wanted = result.cache, int(best.indices[0])
        for way, stream_TD in (("with", result.stream_TD), ("without", whole.stream_TD)):
            chosen = int(np.argmax(model.logits(stream_TD[-1:])[0, :most]))
            if chosen != wanted and not close:
                return f"wrong: {chosen} instead of {wanted} {way} the cache, token {step}"
        new, ids = [wanted], torch.cat([ids, best.indices[:1][None]], dim=-1)
    return "right"


@cache
def kinds_in_gguf() -> dict[str, str]:
    """The golden model that `tests/model/gguf_of` writes as a file of llama.cpp's, by its kind."""
    found: dict[str, str] = {}
    for name in gguf_of.KINDS:
        written = Golden(name).config()
        if "text_config" not in written and name != "apertus":  # Whose curves are read from the golden model.
            found.setdefault(written["model_type"], name)
    return found


WITH_WIDTHS = ("llama", "mixtral", "starcoder2", "arcee", "granite", "granitemoe", "granitemoehybrid")
"""Kinds of which the converter writes the width of a head though it is D / H."""


@dataclass(frozen=True)
class Plain:
    """A folder as the reference saved it, for `gguf_of.write`."""

    name: str
    folder: Path

    def config(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "config.json").read_text())
        if found.get("head_dim") is None and found["model_type"] in WITH_WIDTHS:
            found["head_dim"] = found["hidden_size"] // found["num_attention_heads"]
        if "n_embd" in found and found.get("n_inner") is None:
            found["n_inner"] = 4 * found["n_embd"]
        return found


def in_gguf(exact: Any, folder: Path, given: dict[str, torch.Tensor], bound: float, kind: str) -> str:
    """The same weights in a GGUF file. What such a file cannot say (an activation, a scaling that llama.cpp has not) is
    taken from the folder's configuration, and named."""
    plain = Plain(kinds_in_gguf()[json.loads((folder / "config.json").read_text())["model_type"]], folder)
    try:
        gguf_of.write(plain, folder / "model.gguf")  # type: ignore[arg-type]
    except (KeyError, StopIteration, TypeError, ValueError, AttributeError, IndexError) as error:
        return f"unknown: not written: {type(error).__name__} {error}"
    known = llminspect.open_model(str(folder))
    file = GGUFFile(folder / "model.gguf")
    architecture = architecture_for(str(file.metadata["general.architecture"]), "gguf")
    assert architecture.config_from_gguf is not None
    try:
        config = architecture.config_from_gguf(file.metadata)
        config = config if architecture.settle is None else architecture.settle(config, file)
    except ModelError as error:
        return f"refused: {error}"
    divided = "rotary.divisors" in str(file.tensors) or "rope_freqs" in str(file.tensors)
    config, unsaid = completed(config, known.config, divided, "output.weight" not in file.tensors)
    arrays = {}
    try:
        for spec in claim(architecture, config, "gguf", {name: info.shape for name, info in file.tensors.items()}):
            (source,), fix = spec.sources("gguf"), spec.gguf_fix
            array = file.array(source)
            arrays[spec.name] = array if fix is None else fix(array, config)
    except ModelError as error:
        return f"refused: {error} (unsaid: {unsaid})"
    model = Model(plain.name, architecture, config, Params(arrays), None)
    output = exact(**given, **({"use_cache": False} if kind == "decoder" else {}))
    wanted = (output.logits if hasattr(output, "logits") else output.last_hidden_state)[0].numpy()
    ids = given["input_ids"][0].tolist()
    if "decoder_input_ids" in given:
        stream = model.run(given["decoder_input_ids"][0].tolist(), cache=model.encode_source(ids)).stream_TD
    else:
        stream = model.run(ids).stream_TD
    found = vectors_at(model, ids, "final") if kind == "encoder" else model.logits(stream)
    answer = compared(found, wanted, bound)
    return answer if answer == "right" else f"{answer} (unsaid: {unsaid})"


OF_THE_FILE = ("biased", "tied", "head_norms", "split", "gate_last", "two_norms", "curves")
"""What the tensors of a file say."""


def completed(config: Any, known: Any, divided: bool, tied: bool) -> tuple[Any, str]:
    """The configuration of a GGUF file with what the folder's says otherwise."""
    if type(config) is not type(known):
        return config, f"{type(config).__name__} for {type(known).__name__}"
    unsaid = {}
    in_weights = ("embedding_scale", "logit_scale") if hasattr(config, "multipliers") else ()
    if (
        in_weights and tied and known.logit_scale != known.embedding_scale
    ):  # Falcon-H1: for the logits too the file has the embedding, multiplied as one.
        unsaid["logit_scale"] = known.logit_scale / known.embedding_scale
    for field in fields(config):
        ours, theirs = getattr(config, field.name), getattr(known, field.name)
        if ours == theirs or field.name in (*OF_THE_FILE, *in_weights) or (field.name == "rotary" and divided):
            continue
        unsaid[field.name] = theirs
    return replace(config, **unsaid), ", ".join(
        f"{key}: {getattr(config, key)} for {value}" for key, value in unsaid.items()
    )
