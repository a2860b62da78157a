"""How large a model is, how its experts share the tokens, how it fills masks: what a configuration is made of."""

from __future__ import annotations

from typing import Literal

from llminspect.core.dataclass import dataclass
from llminspect.core.routing import Router


@dataclass(frozen=True)
class Sizes:
    """How large a model is, by the dimension letters. H = 0: the model has no attention. Z = 0: keys and values are not
    made of a shorter vector; then U, M, G and Q are 0 as well."""

    L: int
    D: int
    H: int
    K: int
    E: int
    F: int
    V: int
    context: int
    X: int = 0
    U: int = 0
    M: int = 0
    G: int = 0
    Z: int = 0
    Q: int = 0

    @property
    def value_width(self) -> int:
        """How many numbers a value of one head has."""
        return self.U or self.E


@dataclass(frozen=True)
class Experts(Router):
    """How a model with several feed-forward networks a layer uses them."""

    plain_width: int | None = None
    """Feed-forward width of the layers that have only one."""
    plain_layers: tuple[int, ...] = ()
    """Those layers."""
    shared_width: int | None = None
    """That of the expert which works on every token; None: there is none."""


@dataclass(frozen=True)
class Masking:
    """How a model writes that fills masks step by step."""

    mask_id: int | None
    """The token that stands where nothing is written yet; None: its files do not name it."""
    order: Literal["confidence", "entropy"]
    """Which masks it fills first, unless an option says otherwise."""
    even: bool
    """Whether as many masks are filled in each step (LLaDA), or a share of those that are left (Dream)."""
    shifted: bool
    """Whether what stands at a position is predicted at the one before it."""
