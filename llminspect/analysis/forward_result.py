"""What `llminspect forward` is asked, and what comes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from typing import TYPE_CHECKING

from llminspect.analysis.result import Result, Tokens
from llminspect.arguments.experiments import ExperimentOptions
from llminspect.arguments.forward import ForwardOptions, SweepOptions
from llminspect.core.dataclass import dataclass

if TYPE_CHECKING:
    from llminspect.analysis.ablation import Instead
    from llminspect.analysis.attribution import Attribution
    from llminspect.analysis.by_hand import Written
    from llminspect.analysis.candidates import Candidate, FilledMask, ProbableToken, RankedToken
    from llminspect.analysis.continuations import Continuation
    from llminspect.analysis.experiments import AnswerChange, Baseline
    from llminspect.analysis.feed_forward import FeedForward
    from llminspect.analysis.labels import AnswerSpan, Label, SpanLogits, TokenLabel
    from llminspect.analysis.lens import LensLayer
    from llminspect.analysis.silencing import Silencing
    from llminspect.analysis.sweeping import Sweep
    from llminspect.analysis.swept import Watcher
    from llminspect.analysis.token_scores import Saliency, Surprise
    from llminspect.analysis.trace import LayerTrace, Routing
    from llminspect.core.array import Array
    from llminspect.core.trace import TraceStep
    from llminspect.text.special_tokens import Parse


@dataclass(frozen=True)
class ForwardResult(Result):
    """What a pass over the text gives. A key is there where an option wants it."""

    text: str | None
    tokens: Tokens
    position: int
    """The position whose next token is predicted."""
    layers: list[LayerTrace]
    pair: str | None = None
    """The second text, with --pair."""
    source: Tokens | None = None
    """For an encoder–decoder: the text's tokens; `tokens` are then those of the target so far, or where a head takes
    the place of words, the text once more, one place later."""
    choices: list[Tokens] | None = None
    """With several --pair: the tokens of the text with each, in the order given; all else is of the best."""
    next: list[Candidate] | None = None
    no_next: str | None = None
    """Why nothing is predicted, where the model has vectors alone."""
    labels: list[Label] | None = None
    """For a classifier of texts, in place of `next`: its labels, best first."""
    token_labels: list[TokenLabel] | None = None
    """For a classifier of tokens: the best label of each."""
    span: AnswerSpan | None = None
    """For a model that answers with a part of the text: that part …"""
    span_logits: list[SpanLogits] | None = None
    """… and how well each token fits as its start and as its end."""
    baseline_labels: list[Label] | None = None
    """With an experiment: `labels` without it …"""
    baseline_token_labels: list[TokenLabel] | None = None
    """… or `token_labels` …"""
    baseline_span: AnswerSpan | None = None
    """… or `span` …"""
    baseline_span_logits: list[SpanLogits] | None = None
    """… and `span_logits`."""
    target_spaced: RankedToken | None = None
    """Where the target is a word without its space, and the token with it is more probable: that token."""
    masked: list[FilledMask] | None = None
    """For a masked model, in place of `next`: what each mask token stands for."""
    before: list[TraceStep] | None = None
    """With --trace: the steps before the first layer."""
    after: list[TraceStep] | None = None
    """With --trace: the steps after the last layer."""
    feedforward: list[FeedForward] | None = None
    experts: list[Routing] | None = None
    """For a mixture of experts: which of them each token went to."""
    steps: list[Written] | None = None
    lens: list[LensLayer] | None = None
    tuned_lens: list[LensLayer] | None = None
    """With --tuned-lens: the same through its maps."""
    grid: list[list[ProbableToken]] | None = None
    """With --lens --all: the most probable token after each layer [L] at each position [T]."""
    attribution: Attribution | None = None
    saliency: Saliency | None = None
    surprise: Surprise | None = None
    scores: list[Continuation] | None = None
    """With --score or --scores: the continuations, the most probable first."""
    target: RankedToken | None = None
    """Where the token of --target stands among the next tokens."""
    sweep: Sweep | None = None
    silencing: Silencing | None = None
    """With --ablate each."""
    baseline: Baseline | None = None
    change: AnswerChange | None = None


@dataclass(frozen=True)
class ForwardQuestion:
    """All options of `forward`. `source_ids` is the text that --patch takes from, of an encoder–decoder another source
    in front of the same target."""

    look: ForwardOptions = field(default_factory=ForwardOptions)
    patch: SweepOptions = field(default_factory=SweepOptions)
    experiments: ExperimentOptions = field(default_factory=ExperimentOptions)
    source_ids: Sequence[int] | None = None
    target_as_given: bool = False
    """Whether no start token is put in front of --target-ids (--no-special)."""
    parse: Parse = "text"
    """How a special token's spelling in a text is read."""
    ways: Sequence[tuple[str, str]] = ()
    """The continuations to score, each with where it stands (`ForwardOptions.continuations`)."""
    instead: Instead | None = None
    """What stands in the place of ablated parts, where it is not made of the text alone (`ablation.instead_of`)."""
    of_examples_D: Array | None = None
    """The direction of --steer-from, where it was computed before: for many texts once."""
    watcher: Watcher | None = None
    """Who is told how long a sweep takes, and how far it is."""
