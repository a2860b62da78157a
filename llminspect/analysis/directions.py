"""Directions in the stream that come from files: those that a probe found, and the difference of two lists of texts."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import numpy as np

from llminspect.analysis.prompt import text_prompt
from llminspect.analysis.text_streams import streams_of
from llminspect.arguments.directions import ExampleDirection, SavedDirection
from llminspect.arguments.ranges import check_exists, shortened
from llminspect.arguments.shared import SourceOptions
from llminspect.core.array import Array
from llminspect.core.numbers import ranges
from llminspect.errors import UsageError, UserError, reader
from llminspect.files.npz import read_arrays
from llminspect.files.source import text_lines
from llminspect.model.opened import Model
from llminspect.text.prompt import Prompt

LARGEST = 1 << 29
"""Bytes of the directions in a file."""
MOST_EXAMPLES = 10_000
HINT = "llminspect probe FILE.jsonl --save FILE.npz writes such a file"


def saved_direction(model: Model, saved: SavedDirection) -> Array:
    """The direction [D] that the file has, times its factor. UserError: it holds none such. UsageError: none after that
    layer, of that name, or of that width."""
    check_exists(saved.layer, model.config.sizes.L, "layer")
    layers, directions_LKD, classes = _read(saved.path)
    path = f"--steer {str(saved.path)!r:.200}"
    if directions_LKD.shape[2] != model.config.sizes.D:
        width, needed = directions_LKD.shape[2], model.config.sizes.D
        raise UsageError(f"{path} has directions of {width} numbers, and the stream of {model.name} has {needed}")
    if saved.layer not in layers:
        raise UsageError(f"{path} has no direction after layer {saved.layer}", f"it has {ranges(layers)}")
    if classes is None:
        if saved.name is not None:
            raise UsageError(f"{path} names no classes", "leave out the name")
        at = 0
    elif saved.name is None and len(classes) != 2:
        raise UsageError(f"{path} has {len(classes)} classes", f"name one, as in FILE.npz:{shortened(classes[0])}@10*4")
    else:
        name = classes[-1] if saved.name is None else saved.name
        if name not in classes:
            shown = ", ".join(shortened(entry) for entry in classes[:10])
            raise UsageError(f"{path} has no class {shortened(name)!r}", f"it has {shown}")
        at = classes.index(name)
    with np.errstate(over="ignore"):  # The logits say so.
        found_D: Array = directions_LKD[layers.index(saved.layer), at] * np.float32(saved.factor)
    return found_D


@reader("the file of directions", UserError, HINT)
def _read(path: Path) -> tuple[list[int], Array, list[str] | None]:
    """The layers, the directions [L, K, D], and the names of the classes."""
    arrays = read_arrays(path, ("layers", "directions", "classes"), largest=LARGEST, hint=HINT)
    what = f"{str(path)!r:.300}"
    if not {"layers", "directions"} <= arrays.keys():
        raise UserError(f"{what} holds no directions", HINT)
    layers, directions_LKD = arrays["layers"], arrays["directions"]
    fits = layers.ndim == 1 and directions_LKD.ndim == 3 and len(layers) == len(directions_LKD) and directions_LKD.size
    if not fits or layers.dtype.kind not in "iu" or directions_LKD.dtype.kind != "f":
        raise UserError(f"{what}: its layers and directions do not belong together", HINT)
    with np.errstate(over="ignore"):
        directions_LKD = directions_LKD.astype(np.float32)
    if not np.isfinite(directions_LKD).all():
        raise UserError(f"{what} holds a direction that is not finite", HINT)
    classes = None
    if "classes" in arrays:
        classes = json.loads(arrays["classes"].astype(np.uint8).tobytes())
        if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
            raise UserError(f"{what}: its classes are no list of names", HINT)
    if (1 if classes is None else len(classes)) != directions_LKD.shape[1]:
        raise UserError(f"{what}: it has {directions_LKD.shape[1]} directions a layer for other classes", HINT)
    return layers.tolist(), directions_LKD, classes


def difference_of_texts(model: Model, examples: ExampleDirection) -> Array:
    """The mean stream after the layer at the last token of the texts of one file, less that of the other, times the
    factor, [D]. Rimsky et al. 2024, "Steering Llama 2 via Contrastive Activation Addition".

    UserError: a file cannot be read, or holds no text or too many. UsageError: there is no such layer.
    """
    check_exists(examples.layer, model.config.sizes.L, "layer")
    means = []
    for path in (examples.positive, examples.negative):
        means.append(
            streams_of(model, prompts_of(model, path), [examples.layer], "last")[0].mean(axis=0, dtype=np.float64)
        )
    with np.errstate(over="ignore"):
        found_D: Array = (examples.factor * (means[0] - means[1])).astype(np.float32)
    return found_D


def prompts_of(model: Model, path: Path) -> list[Prompt]:
    """The texts of a file of --steer-from as the model reads them. UserError: it has none, or too many."""
    return [text_prompt(text, SourceOptions(), model.tokenizer, None) for text in _texts(path)]


def _texts(path: Path) -> list[str]:
    """The lines of a file that are not empty."""
    texts = list(islice((line for line in text_lines(path) if line.strip()), MOST_EXAMPLES + 1))
    if not texts:
        raise UserError(f"--steer-from: {str(path)!r:.300} holds no text", "one text a line")
    if len(texts) > MOST_EXAMPLES:
        raise UserError(
            f"--steer-from: {str(path)!r:.300} holds more than {MOST_EXAMPLES:,} texts", "take a part of it"
        )
    return texts
