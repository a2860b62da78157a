"""What a GGUF file says of how its tokens are to be chosen: the keys under `general.sampling.`, as llama.cpp does.

gguf-py names them (constants.py) and fills them from a model's `generation_config.json` (metadata.py). llama.cpp takes
them in place of its own defaults (common/common.cpp: common_init_sampler_from_model; common/common.h:
common_params_sampling), and draws.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Literal

from llminspect.analysis.stated_settings import LARGEST, SMALLEST, FileSettings, ModelSettings, not_understood, read_as
from llminspect.arguments.option import option
from llminspect.core.dataclass import dataclass
from llminspect.core.sampling import ORDERS
from llminspect.errors import as_json
from llminspect.model.opened import Model

SAMPLING = "general.sampling."


@dataclass(frozen=True)
class LlamaSettings:
    """The keys, with llama.cpp's defaults."""

    sequence: str | None = option()
    """The filters in their order, as `top_k;top_p;temperature`; what it lacks does not act."""
    temp: float = option(0.8, min=-LARGEST, max=LARGEST)
    """Not above 0: the most probable token is taken."""
    top_k: int = option(40)
    """Not above 0: all are kept."""
    top_p: float = option(0.95, min=0, max=LARGEST)
    min_p: float = option(0.05, min=-LARGEST, max=1)
    penalty_repeat: float = option(1.0, min=SMALLEST, max=LARGEST)
    penalty_last_n: int = option(64, min=-1)
    """Tokens back that the penalty looks; −1: to the first."""
    xtc_probability: float = option(0.0, min=-LARGEST, max=LARGEST)
    xtc_threshold: float = option(0.1, min=-LARGEST, max=LARGEST)
    """Above 0.5 nothing is excluded."""
    mirostat: int = option(0, min=0, max=2)
    mirostat_tau: float = option(5.0)
    mirostat_eta: float = option(0.1)


FILTERS = {
    "penalty": "penalties",
    "top-k": "top_k top-k topk",
    "top-p": "top_p top-p topp nucleus",
    "min-p": "min_p min-p minp",
    "xtc": "xtc",
    "temperature": "temperature temp",
    "": "dry typ_p typ-p typp typ top_n_sigma top-n-sigma topnsigma",
}
"""The names in a sequence (common/sampling.cpp: common_sampler_types_from_names). The last have no key here, and do
nothing by default."""
FIELDS = {
    "temp": "temperature",
    **{name: name for name in ("top_k", "top_p", "min_p")},
    "penalty_repeat": "repetition_penalty",
    "penalty_last_n": "penalty_window",
    "sequence": "sampler_order",
}
"""The keys that are applied, and what they are called in the settings of transformers."""


def of_gguf(model: Model) -> FileSettings | None:
    """What the file says; None where that is nothing. Raises ModelError for what is not understood."""
    values = {key.removeprefix(SAMPLING): value for key, value in model.generation.items() if key.startswith(SAMPLING)}
    strange = sorted(values.keys() - {entry.name for entry in fields(LlamaSettings)})
    if strange:
        raise not_understood(model, ", ".join(f"{SAMPLING}{key} = {as_json(values[key])}" for key in strange))
    if not values:
        return None
    # llama.cpp reads them from a text with six digits after the point.
    values = {key: round(value, 6) if isinstance(value, float) else value for key, value in values.items()}
    stated = read_as(model, LlamaSettings, values)
    order, acting = _in_order(model, stated)
    settings = ModelSettings(
        do_sample=stated.temp > 0 or "temperature" not in acting,
        temperature=stated.temp if stated.temp > 0 and "temperature" in acting else 1.0,
        top_k=stated.top_k if "top-k" in acting else 0,
        top_p=stated.top_p if "top-p" in acting else 1.0,
        min_p=stated.min_p if "min-p" in acting else None,
        repetition_penalty=stated.penalty_repeat if "penalty" in acting else 1.0,
    )
    undone = {"mirostat": stated.mirostat > 0, "xtc_probability": "xtc" in acting}
    looks_back = "penalty" in acting and stated.penalty_last_n > 0
    return FileSettings(
        settings,
        {
            field: (f"{SAMPLING}{key}", values[key])
            for key, field in FIELDS.items()
            if key in values and (looks_back or field != "penalty_window")
        },
        {f"{SAMPLING}{key}": values[key] for key, holds in undone.items() if holds},
        order,
        stated.penalty_last_n if looks_back else None,
    )


def _in_order(model: Model, stated: LlamaSettings) -> tuple[Literal["reference", "llama.cpp"], set[str]]:
    """The order in which the filters act, and those that do. Raises ModelError for an order that is neither."""
    doing: Mapping[str, bool] = {
        "penalty": stated.penalty_repeat != 1 and stated.penalty_last_n != 0,
        "top-k": stated.top_k > 0,
        "top-p": stated.top_p < 1,
        "min-p": stated.min_p > 0,
        "xtc": stated.xtc_probability > 0 and stated.xtc_threshold <= 0.5,
        "temperature": True,
    }
    if not stated.sequence:
        return "llama.cpp", {name for name, does in doing.items() if does}
    listed = []
    for word in stated.sequence.lower().split(";"):
        found = [name for name, spellings in FILTERS.items() if word in spellings.split()]
        if not found:
            raise not_understood(model, f"{SAMPLING}sequence names {as_json(word)}")
        listed += [name for name in found if doing.get(name)]
    for order, names in ORDERS.items():
        if listed == [name for name in ("penalty", *names, "xtc") if name in listed]:
            return order, set(listed)  # type: ignore[return-value]
    raise not_understood(model, f"the order of {SAMPLING}sequence = {as_json(stated.sequence)} is not computed here")
