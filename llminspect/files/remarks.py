"""What is to be said of numbers for the way in which their model was read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

PASSED_OVER = "settings were passed over, so the numbers may not be the model's: "
ROUNDED = "activations were rounded to 8 bits, as llama.cpp rounds them: "
ALWAYS = (PASSED_OVER, ROUNDED)
"""What begins a remark that every output has, --quiet or not."""


listener: Callable[[str], None] | None = None
"""Who passes notices on to the person; None: the log of the name `llminspect`, for programs that import this one."""


def notice(text: str) -> None:
    """Say what becomes of a model while it is opened."""
    if listener is not None:
        listener(text)
        return
    import logging

    logging.getLogger("llminspect").warning(text)


def remarks(provenance: Mapping[str, Any]) -> Iterator[str]:
    """What to tell the reader of a model's numbers, by its provenance."""
    if "ignored_settings" in provenance:
        yield PASSED_OVER + ", ".join(provenance["ignored_settings"])
    if "rounding" in provenance:
        yield ROUNDED + _difference(**provenance["rounding"])
    if "adapter_beside" in provenance and "adapter" not in provenance:
        yield "an adapter lies beside the model (adapter_config.json) and is not added; --adapter FOLDER adds one"
    if "tokenizer_note" in provenance:
        yield provenance["tokenizer_note"]


def _difference(of: str, tokens: int, largest: float, relative: float, same_best: int | None = None, **_: str) -> str:
    best = "" if same_best is None else f", and the most probable token is the same after {same_best} of them"
    return (
        f"over a text of {tokens} tokens the {of} differ from the exact ones by up to {largest:.2g}, "
        f"{relative:.2g} of their length{best}"
    )
