"""The rotary settings of a configuration, in the three ways in which files write them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from llminspect.core import rotary as rotations
from llminspect.errors import ModelError
from llminspect.model.settings import Settings


def from_huggingface(settings: Settings, head_width: int, context: int) -> rotations.Rotary:
    """From `rope_parameters`, or from `rope_theta` and `rope_scaling` as most published models have it."""
    stated = settings.get("rope_parameters", settings.defaults.get("rope_parameters"))
    if not settings.get("rope_scaling") and stated is not None:
        return from_parameters(settings.under("rope_parameters"), settings, head_width, context)
    base, width = settings.number("rope_theta"), _turned(settings, settings, head_width)
    plain = rotations.Rotary(width, base)
    return replace(plain, scaling=older_scaling(settings, plain, context))


def _turned(settings: Settings, outer: Settings, head_width: int) -> int:
    """How many of a head's numbers are turned: pairs, and at least one.

    Only kinds that have a default for it turn a part: of others the reference turns the whole head whatever is written.
    """
    share = settings.number("partial_rotary_factor", outer.number("partial_rotary_factor", 1.0))
    if share != 1 and "partial_rotary_factor" not in outer.defaults:
        stating = outer if settings.get("partial_rotary_factor") is None else settings
        raise stating.wrong("partial_rotary_factor", "1: of this kind the reference turns whole heads")
    width = int(head_width * share)
    if width < 2 or width % 2:
        raise ModelError(
            f"{settings.where}: {width} of the {head_width} numbers of a head (head_dim) are turned, and not in pairs",
            "partial_rotary_factor says how many of them are",
        )
    return width


def two_rotations(
    settings: Settings, head_width: int, context: int, local_key: str = "rope_theta", whole_width: int | None = None
) -> tuple[rotations.Rotary, rotations.Rotary]:
    """From `rope_parameters` that has one object for the layers with a window, and one for those without, whose heads
    may have a width of their own."""
    both = settings.under("rope_parameters")
    found = []
    kinds = (("sliding_attention", local_key, head_width), ("full_attention", "rope_theta", whole_width or head_width))
    for kind, key, width in kinds:
        inner = both.under(kind)
        inner.only("truncate", True)  # Which the reference implementation does not find in here.
        found.append(from_parameters(inner, settings, width, context, key))
    both.done()
    local, everywhere = found
    return local, everywhere


def older_scaling(settings: Settings, plain: rotations.Rotary, context: int) -> rotations.Scaling | None:
    """From `rope_scaling`, whose kind is called `type` or `rope_type`."""
    if not settings.get("rope_scaling"):
        return None
    inner = settings.under("rope_scaling")
    found = _scaling(inner, settings, plain, context)
    inner.only("rope_theta", plain.base)
    inner.done()
    return found


def from_parameters(
    inner: Settings, outer: Settings, head_width: int, context: int, base_key: str = "rope_theta"
) -> rotations.Rotary:
    """From one `rope_parameters` object; what it lacks, the configuration around it says."""
    whole = inner.get("rope_type") == "proportional"
    width = head_width if whole else _turned(inner, outer, head_width)
    base = inner.number("rope_theta", outer.number(base_key))
    plain = rotations.Rotary(width, base)
    scaling = _scaling(inner, outer, plain, context)
    inner.done()
    return replace(plain, scaling=scaling)


def _scaling(inner: Settings, outer: Settings, plain: rotations.Rotary, context: int) -> rotations.Scaling | None:
    kind = "type" if inner.get("rope_type") is None and inner.get("type") is not None else "rope_type"
    make = inner.one_of(kind, SCALINGS)
    if kind == "rope_type":
        inner.only("type", inner.get("rope_type"))
    return make(inner, outer, plain, context)


def _proportional(inner: Settings, *_: Any) -> rotations.Scaling:
    return rotations.Proportional(inner.number("partial_rotary_factor", 1.0), inner.number("factor", 1.0))


def _dynamic(inner: Settings, _: Settings, __: rotations.Rotary, context: int) -> rotations.Scaling:
    inner.only("original_max_position_embeddings", context)
    return rotations.Dynamic(inner.number("factor"), context)


def _llama3(inner: Settings, *_: Any) -> rotations.Scaling:
    low, high = inner.number("low_freq_factor"), inner.number("high_freq_factor")
    if not low < high:
        raise inner.wrong("high_freq_factor", f"more than low_freq_factor, {low:g}")
    return rotations.Llama3(inner.number("factor"), low, high, inner.whole("original_max_position_embeddings"))


def _yarn(inner: Settings, outer: Settings, plain: rotations.Rotary, context: int) -> rotations.Scaling:
    if plain.base == 1:
        raise (inner if "rope_theta" in inner.values else outer).wrong("rope_theta", "more than 1")
    original = inner.whole("original_max_position_embeddings", context)
    factor = inner.number("factor", context / original)
    gain = rotations.yarn_gain(factor)
    weight, weight_of_all = (inner.number(key) if inner.get(key) else None for key in ("mscale", "mscale_all_dim"))
    if weight and weight_of_all:
        gain = rotations.yarn_gain(factor, weight) / rotations.yarn_gain(factor, weight_of_all)
    return rotations.Yarn(
        factor,
        original,
        inner.number("attention_factor", gain),
        inner.number("beta_fast", 32.0),
        inner.number("beta_slow", 1.0),
        inner.flag("truncate", True),
    )


def _long(inner: Settings, outer: Settings, plain: rotations.Rotary, context: int) -> rotations.Scaling:
    # The length in training stands inside, or beside, the settings of the rotation.
    original = inner.get("original_max_position_embeddings") or outer.whole("original_max_position_embeddings")
    outer.only("original_max_position_embeddings", original)
    stretch = inner.number("factor", context / original)
    short, long = (inner.numbers(key, plain.width // 2) for key in ("short_factor", "long_factor"))
    return rotations.LongRope(
        short, long, original, inner.number("attention_factor", rotations.long_rope_gain(stretch, original))
    )


SCALINGS: dict[str, Callable[[Settings, Settings, rotations.Rotary, int], rotations.Scaling | None]] = {
    "default": lambda *_: None,
    "linear": lambda inner, *_: rotations.Linear(inner.number("factor")),
    "proportional": _proportional,
    "dynamic": _dynamic,
    "llama3": _llama3,
    "yarn": _yarn,
    "longrope": _long,
    "su": _long,  # What the first Phi-3 files call it.
}


def from_gguf(settings: Settings, head_width: int, context: int) -> rotations.Rotary:
    """From the `rope.*` keys of a GGUF file. Llama-3 and Phi-3 scalings are tensors there (`rotary.divisors`)."""
    width = settings.whole("rope.dimension_count", head_width)
    if width > head_width:
        raise settings.wrong("rope.dimension_count", f"at most {head_width}, the width of a head")
    base = settings.number("rope.freq_base", 10000.0)
    kind = settings.one_of("rope.scaling.type", {"none": "none", "linear": "linear", "yarn": "yarn"}, "none")
    settings.get("rope.scaling.finetuned")  # Whether the model was trained with it.
    if kind == "none":
        return rotations.Rotary(width, base)
    factor = settings.number("rope.scaling.factor")
    if kind == "linear":
        return rotations.Rotary(width, base, rotations.Linear(factor))
    if base == 1:
        raise settings.wrong("rope.freq_base", "more than 1")
    original = settings.whole("rope.scaling.original_context_length", context)
    fast, slow = (
        settings.number(f"rope.scaling.yarn_beta_{end}", usual) for end, usual in (("fast", 32.0), ("slow", 1.0))
    )
    return rotations.Rotary(width, base, rotations.Yarn(factor, original, rotations.yarn_gain(factor), fast, slow))
