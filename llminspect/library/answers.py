"""Single questions about a text: what one option of `forward` or `attend` answers, by itself."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from llminspect.library.inputs import DEFAULT, OfText, Opened, Text, Texts
from llminspect.library.passes import attend, forward

if TYPE_CHECKING:
    from llminspect.analysis.attend import AttendResult
    from llminspect.analysis.attribution import Attribution, Contributions
    from llminspect.analysis.forward_result import ForwardResult
    from llminspect.analysis.lens import LensLayer
    from llminspect.analysis.token_scores import Saliency, Surprise
    from llminspect.core.array import Array

R = TypeVar("R")


def _answer_of(command: OfText[Any], option: str) -> Callable[[Callable[[Any], R]], OfText[R]]:
    """Turn what takes an answer out of a Result into a function of a text: the command with that option given."""

    def decorated(take: Callable[[Any], R]) -> OfText[R]:
        @functools.wraps(take)
        def called(text: Text | Texts, model: Opened = DEFAULT, **options: Any) -> Any:
            found = command(cast("Any", text), model, **{option: True}, **options)
            return [take(result) for result in found] if isinstance(found, list) else take(found)

        whole = inspect.signature(command)
        kept = [parameter for name, parameter in whole.parameters.items() if name != option]
        returned = inspect.signature(take).return_annotation
        called.__signature__ = inspect.Signature(kept, return_annotation=returned)  # type: ignore[attr-defined]
        called.__doc__ = f"{inspect.cleandoc(take.__doc__ or '')}\n\nOptions: as those of `{command.__name__}`.\n"
        return cast("OfText[R]", called)

    return decorated


@_answer_of(forward, "lens")
def lens(result: ForwardResult) -> list[LensLayer] | None:
    """What the model would say after each layer: the final norm and the vocabulary, applied to the stream there.

    One entry a layer, with the most probable tokens; with `target` also where that token stands, with `all` every
    position (`forward(…).grid`). nostalgebraist 2020, "interpreting GPT: the logit lens". Raises UsageError for a model
    that predicts no next token, and for a target that is not one token.

    >>> import llminspect
    >>> layers = llminspect.lens("The capital of France is", "smollm2", target=" Paris")
    >>> [layer.layer for layer in layers if layer.top[0].text == " Paris"], layers[28].target.rank
    ([29], 2)
    """
    return result.lens


@_answer_of(forward, "attribution")
def attribution(result: ForwardResult) -> Attribution | None:
    """What each part of the model adds to the target's logit: each head, each feed-forward step, the embedding.

    `layers` holds them, one entry a layer, each head's in its order. The parts sum to the logit; with `versus` to the
    difference of two. Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits". Raises UsageError for a
    model whose layers do not simply add to the stream, or that predicts no next token.

    >>> import llminspect
    >>> parts = llminspect.attribution("The capital of France is", "smollm2", versus=" London")
    >>> len(parts.layers), round(parts.logit, 2)
    (30, 4.13)
    """
    return result.attribution


@_answer_of(forward, "saliency")
def saliency(result: ForwardResult) -> Saliency | None:
    """Which words the target hangs on: how far its log-probability (in nats) falls without each of them.

    `drops` has a number a token. Li, Monroe and Jurafsky 2016, "Understanding Neural Networks through Representation
    Erasure"; with `gradient` Simonyan et al. 2013, "Deep Inside Convolutional Networks"; with `integrated` Sundararajan
    et al. 2017, "Axiomatic Attribution for Deep Networks": parts that add up to the difference to a `baseline`, but for
    `integrated.error`. Raises UsageError for a model that predicts no next token, and for a target that is not one
    token.

    >>> import llminspect
    >>> hangs = llminspect.saliency("The capital of France is", "smollm2", target=" Paris")
    >>> [round(drop, 1) for drop in hangs.drops]
    [3.5, 6.8, 3.2, 5.9, 0.2]
    >>> parts = llminspect.saliency(
    ...     "The capital of France is", "smollm2", target=" Paris", versus=" Rome", integrated=True,
    ...     baseline="The capital of Italy is",
    ... )
    >>> [round(part, 1) for part in parts.drops], round(parts.integrated.value - parts.integrated.baseline_value, 1)
    ([0.0, 0.0, 0.0, 13.3, 0.0], 13.3)
    """
    return result.saliency


@_answer_of(forward, "surprise")
def surprise(result: ForwardResult) -> Surprise | None:
    """How surprising each token of a text is, in bits, and the perplexity of the whole.

    `probs` and `bits` have an entry a token, None for the first; the perplexity is 2 to the power of the mean (Jelinek
    et al. 1977, "Perplexity – a measure of the difficulty of speech recognition tasks"). Raises UsageError for a model
    that sees the tokens that come after.

    >>> import llminspect
    >>> both = llminspect.surprise(["A cat sat on a mat.", "A cat sat on a moon."], "smollm2")
    >>> [round(one.perplexity, 1) for one in both]
    [125.8, 178.1]
    """
    return result.surprise


@_answer_of(attend, "rollout")
def rollout(result: AttendResult) -> Array | None:
    """Attention followed through all layers: how much of each token's stream comes from each token, [T, S].

    Each row sums to 1. Abnar and Zuidema 2020, "Quantifying Attention Flow in Transformers". Raises UsageError for a
    model of which a layer has no attention.

    >>> import llminspect
    >>> llminspect.rollout("A cat sat.", "smollm2").sum(axis=1).round(3).tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    return result.rollout


@_answer_of(attend, "contributions")
def contributions(result: AttendResult) -> Contributions | None:
    """What each head and each feed-forward step wrote into one token's stream: the last's, or that of `query`.

    `heads` [L, H] and `feedforward` [L] are shares of that stream after the last layer: each part's length along it,
    divided by its own. With `embedding` and `attention_bias` they sum to 1. Raises UserError for a model whose layers
    do not simply add.

    >>> import llminspect
    >>> wrote = llminspect.contributions("A cat sat.", "smollm2", query="cat")
    >>> wrote.heads.shape
    (30, 9)
    """
    return result.contributions
