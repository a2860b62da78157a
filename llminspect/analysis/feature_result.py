"""What `features` says: the parts of its Result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llminspect.analysis.result import Result, Tokens
from llminspect.core.dataclass import dataclass

if TYPE_CHECKING:
    from llminspect.analysis.candidates import Candidate
    from llminspect.analysis.experiments import AnswerChange, Baseline
    from llminspect.analysis.firing import Firing, FiringPlace
    from llminspect.analysis.neighbours import LogitToken
    from llminspect.analysis.opened_dictionary import DictionaryFacts


@dataclass(frozen=True)
class ActiveFeature:
    """A feature that is on at a token."""

    index: int
    token: int
    activation: float
    writes: list[LogitToken]
    """What an activation of 1 raises most: logits above their mean over the vocabulary, through the final norm."""


@dataclass(frozen=True)
class FeatureByItself:
    """A feature of --feature."""

    index: int
    writes: list[LogitToken]
    lowers: list[LogitToken]
    size: float
    """The root mean square over the vocabulary of what an activation of 1 adds to the logits."""
    length: float
    """Of the vector that an activation of 1 writes."""
    activations: list[float] | None = None
    """At each token of the text."""
    examples: list[FiringPlace] | None = None
    """With --corpus: where it is highest, at most one place of each piece."""
    firing: Firing | None = None
    """With --corpus: its activation over all of it."""


@dataclass(frozen=True)
class LossRecovered:
    """How well the model goes on with the rebuilt vectors in place of its own, in bits per token."""

    model: float
    """The model left alone."""
    rebuilt: float
    zero: float
    """With nothing at all in that place."""
    recovered: float | None
    """(zero − rebuilt) / (zero − model): 1 where nothing is lost; None where zeros do no worse than the model."""


@dataclass(frozen=True)
class FeaturesResult(Result):
    """A text, or single features, through a sparse dictionary."""

    dictionary: DictionaryFacts
    folded: list[str]
    """What of the model beside the dictionary is in the logits …"""
    left_out: list[str]
    """… and what is not."""
    words: bool
    """Whether only tokens that begin a word and consist of letters are listed."""
    text: str | None = None
    tokens: Tokens | None = None
    features: list[ActiveFeature] | None = None
    """Of each token those with the highest activations."""
    positions: list[int] | None = None
    """With --position: the tokens that `features` and `active` are of; else of all."""
    active: list[int] | None = None
    """How many features are on at each token."""
    explained_variance: float | None = None
    """1 − Σ (x − x̂)² / Σ (x − mean)² over the text's own tokens; not there for a text of one token."""
    explained_variance_without_first: float | None = None
    """The same without the first token, whose vector is in many models far longer than all others."""
    loss: LossRecovered | None = None
    chosen: list[FeatureByItself] | None = None
    """With --feature."""
    next: list[Candidate] | None = None
    """With a change: the most probable next tokens …"""
    baseline: Baseline | None = None
    """… and those of the model left alone."""
    change: AnswerChange | None = None
