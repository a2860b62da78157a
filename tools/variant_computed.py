"""What `variants.py` computes of a drawn model: the reference, this program, and the folder and the texts of both."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from random import Random  # noqa: TC003
from typing import Any

import numpy as np
import torch
import transformers as t
from golden_drawn import randomize
from safetensors.numpy import save_file
from safetensors.torch import load_file
from variant_draw import Draw  # noqa: TC002

from llminspect.analysis.prompt import decoder_and_target, prompt_of_ids
from llminspect.analysis.vectors import vectors_at
from llminspect.model.opened import Model  # noqa: TC001

EAGER = {"attn_implementation": "eager", "experts_implementation": "eager"}


def with_head(random: Random, draw: Draw) -> Draw:
    """A decoder with another head, or without any, where the reference has the class."""
    name = draw.model.__name__
    if draw.kind != "decoder" or draw.change is not None or "ForCausalLM" not in name or random.random() < 0.85:
        return draw
    endings = ("Model", "ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering")
    ending = random.choice(endings)
    model = getattr(t, name.replace("ForCausalLM", ending), None)
    if model is None or draw.config.__class__ is not getattr(model, "config_class", None):
        return draw
    if getattr(draw.config, "word_embed_proj_dim", None) not in (None, draw.config.hidden_size):
        return draw  # Whose body ends with the last matrix but one.
    if ending in endings[1:3]:
        draw.config.num_labels = random.choice((1, 2, 5))
    return replace(draw, model=model, kind="encoder" if ending == "Model" else "head")


def eager(draw: Draw) -> dict[str, str]:
    """How the reference computes: Falcon's own attention adds the penalty on distances twice, the other once."""
    distant = draw.config.model_type == "falcon" and draw.config.alibi
    return {**EAGER, "attn_implementation": "sdpa"} if distant else EAGER


def computed_by_reference(model: Any, draw: Draw, given: dict[str, torch.Tensor]) -> np.ndarray:
    """Logits, or the last hidden state of a model without them, of one text."""
    output = model(**given, **({"use_cache": False} if draw.kind == "decoder" else {}))
    if hasattr(output, "start_logits"):
        return np.stack([output.start_logits[0].numpy(), output.end_logits[0].numpy()], axis=-1)
    found: np.ndarray = getattr(output, "last_hidden_state" if draw.kind == "encoder" else "logits")[0].numpy()
    return found


def computed(draw: Draw, model: Model, ids: list[int], target: list[int]) -> np.ndarray:
    if draw.kind == "encoder-decoder":
        return model.logits(model.run(target, cache=model.encode_source(ids)).stream_TD)
    if draw.kind == "read-twice":
        model, prompt = decoder_and_target(model, prompt_of_ids(ids, None, None), None, None)
        ids = prompt.ids
    stream_TD = model.run(ids).stream_TD
    if model.architecture.head is not None:
        return model.label_scores(ids, stream_TD)
    return vectors_at(model, ids, "final") if draw.kind == "encoder" else model.logits(stream_TD)


HALVES = 0.3
"""Of the files that hold bfloat16, of which the reference computes in float32."""


def saved(draw: Draw, folder: Path, random: Random, generator: torch.Generator) -> tuple[Any, dict[str, Any], bool]:
    """A model with random weights in a folder, its configuration as it was saved, and whether bfloat16 holds them."""
    model = draw.model(draw.config).eval()
    half = random.random() < HALVES
    randomize(model, generator, torch.bfloat16 if half else None)
    (model.to(torch.bfloat16) if half else model).save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    return model.to(torch.float32), json.loads((folder / "config.json").read_text()), half


def texts(draw: Draw, model: Any, random: Random, generator: torch.Generator) -> dict[str, torch.Tensor]:
    # Of a model that sees pictures as well, ids of pictures are no text.
    most = 34 if "text_config" in model.config.to_dict() else min(model.config.get_text_config().vocab_size, 40)
    ids = torch.randint(3, most, (1, random.choice((1, 9, 30))), generator=generator)
    target = torch.randint(3, most, (1, 7), generator=generator)
    if draw.kind == "read-twice":  # Labels are read at an end, and mBART's decoder starts with the last token.
        ids[:, -1] = model.config.eos_token_id
    given = {"input_ids": ids[None] if draw.model.__name__.endswith("MultipleChoice") else ids}
    return given | ({"decoder_input_ids": target} if draw.kind == "encoder-decoder" else {})


def read(path: Path) -> dict[str, np.ndarray]:
    return {name: array.to(torch.float32).numpy() for name, array in load_file(path).items()}


def changed(draw: Draw, folder: Path) -> None:
    """The folder as the makers of a kind write it that the reference has no class for."""
    assert draw.change is not None
    path = folder / "model.safetensors"
    config, arrays = draw.change(json.loads((folder / "config.json").read_text()), read(path))
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    save_file({key: np.ascontiguousarray(array) for key, array in arrays.items()}, path)
