"""The options that change a running model: `--ablate`, `--scale`, `--steer`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from llminspect.arguments.option import Option
from llminspect.arguments.places import Texts


@dataclass(frozen=True)
class ExperimentOptions:
    """Changes to the running model."""

    ablate: Annotated[
        Texts | None,
        Option("--ablate", metavar="L.H", help="Silence a head 3.2, or 3.attention, 3.feedforward; repeatable."),
    ] = None
    ablate_with: Annotated[
        Literal["zero", "mean"],
        Option("--ablate-with", help="What an ablated part gives: nothing, or its mean over the text."),
    ] = "zero"
    scale: Annotated[
        Texts | None,
        Option("--scale", metavar="L.H*X", help="Multiply a head, attention or feedforward: 3.2*0.5."),
    ] = None
    steer: Annotated[
        Texts | None,
        Option("--steer", metavar="EXPR@L*X", help='Add a direction after layer L: "London - Paris@10*1".'),
    ] = None
