"""Where a person who explores a model is: the text, the tokens taken after it, what is looked at, what is changed."""

from __future__ import annotations

from typing import Literal, get_args

from llminspect.core.dataclass import dataclass

Pane = Literal["next", "tokens", "heads", "head", "lens", "changes", "features"]
PANES: tuple[Pane, ...] = get_args(Pane)
Measure = Literal["entropy", "sink", "previous", "same", "induction", "excess", "attribution"]
MEASURES: tuple[Measure, ...] = get_args(Measure)
"""What colours the map of heads; `excess` is of the chosen pair of tokens, `attribution` of the target."""
ChangeKind = Literal["ablate", "scale", "steer", "patch"]


@dataclass(frozen=True)
class MadeChange:
    """One change to the model: the option that makes it, and its value, as on the command line."""

    kind: ChangeKind
    value: str


@dataclass(frozen=True)
class TakenToken:
    """A token that was taken after the text, or after another that was."""

    parent: int | None
    """The number of the token before it; None: the text's end."""
    id: int


@dataclass(frozen=True)
class Knobs:
    """How the next token is drawn, as the options of `generate`; None: left as it is."""

    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None


@dataclass(frozen=True)
class ExploreState:
    """All of it. A token's index may lie beyond a text that was made shorter: then the last one is meant."""

    text: str
    chat: bool = False
    features: str | None = None
    """A sparse dictionary …"""
    features_at: str | None = None
    """… and where it reads, if its files do not say."""
    pane: Pane = "next"
    cursor: int | None = None
    """The token that is looked at; None: the last."""
    key: int | None = None
    """The token that it looks at."""
    layer: int = 0
    head: int = 0
    measure: Measure = "entropy"
    target: str | None = None
    versus: str | None = None
    knobs: Knobs = Knobs()
    beside: str | None = None
    """The tokenizers that the model's own is compared with; None: o200k_base."""
    corpus: str | None = None
    """The file or folder over which the head's habits are measured."""
    second: str | None = None
    """The text that is patched from."""
    changes: tuple[MadeChange, ...] = ()
    taken: tuple[TakenToken, ...] = ()
    """The tree of tokens that were taken …"""
    at: int | None = None
    """… and where in it the text ends now."""

    def way(self) -> list[int]:
        """The tokens of the tree from the text's end to where it ends now, by their numbers."""
        found, at = list[int](), self.at
        while at is not None:
            found.append(at)
            at = self.taken[at].parent
        return found[::-1]

    def taken_ids(self) -> list[int]:
        """Their ids."""
        return [self.taken[number].id for number in self.way()]

    def children(self, parent: int | None) -> list[int]:
        """The tokens that were taken after one, or after the text, by their numbers."""
        return [number for number, token in enumerate(self.taken) if token.parent == parent]
