"""What a model with a head says of a text: its labels, a label a token, the span of it that answers,
or how well each of several choices fits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from llminspect.analysis.result import token_documents
from llminspect.analysis.trace import WatchedPass, watch_pass
from llminspect.core.activations import sigmoid
from llminspect.core.array import Array
from llminspect.core.attention import softmax
from llminspect.core.dataclass import dataclass
from llminspect.errors import UsageError
from llminspect.model.heads import OutputHead
from llminspect.model.opened import Model
from llminspect.text.prompt import Prompt
from llminspect.text.tokenizer import utf8

if TYPE_CHECKING:
    from llminspect.analysis.experiments import Experiment


@dataclass(frozen=True)
class Label:
    """A label and how well it fits the text."""

    label: str
    logit: float
    prob: float
    """The softmax of the logits; the sigmoid of its own, where several labels may fit at once; NaN (null in JSON) where
    the number is a quantity and no probability."""


@dataclass(frozen=True)
class TokenLabel(Label):
    """The label that fits a token best."""

    index: int


@dataclass(frozen=True)
class SpanLogits:
    """How well a token fits as the start and as the end of the answer."""

    index: int
    start: float
    end: float


@dataclass(frozen=True)
class AnswerSpan:
    """The answer: of all starts and ends that do not come before them those with the largest sum of logits, among the
    tokens that are not special, and of a pair those of the second text. Of an encoder–decoder tokens of the source."""

    start: int
    """The index of its first token …"""
    end: int
    """… and of its last."""
    text: str
    logit: float
    """The sum of the two."""
    prob: float
    """The product of the probabilities of this start and this end among those tokens."""


def probabilities(head: OutputHead, logits: Array) -> Array:
    """Of labels, over the last axis, as `problem` says."""
    if head.problem == "regression":
        return np.full_like(logits, np.nan)
    if head.problem == "multi_label_classification":
        return sigmoid(logits)
    return softmax(logits)


def text_labels(head: OutputHead, logits_N: Array, top: int | None = None) -> list[Label]:
    """The `top` best or all, best first."""
    probs_N = probabilities(head, logits_N)
    order_N = np.argsort(-logits_N, kind="stable")[:top].tolist()
    return [Label(head.labels[index], logits_N[index], probs_N[index]) for index in order_N]


def head_parts(
    model: Model, prompt: Prompt, watched: WatchedPass, made: Sequence[Experiment], top: int | None
) -> dict[str, Any]:
    """The fields of the Result that are about what the head gives, of labels of a text the `top` best; with experiments
    also what it gives without them."""
    assert watched.scores is not None
    parts = _parts(model, prompt, watched.scores, top)
    if made:
        plain = watch_pass(model, prompt.ids, 0).scores
        assert plain is not None
        parts |= {f"baseline_{name}": part for name, part in _parts(model, prompt, plain, top).items()}
    return parts


def _parts(model: Model, prompt: Prompt, scores: Array, top: int | None) -> dict[str, Any]:
    """What the head's numbers say."""
    head = model.architecture.head
    assert head is not None
    if head.kind == "sequence classification":
        return {"labels": text_labels(head, scores, top)}
    if head.kind == "multiple choice":  # Which says something beside other choices only: see `of_choices`.
        return {"labels": [Label(prompt.pair or "this text", scores[0], math.nan)]}
    if head.kind == "token classification":
        alone = len(head.labels) == 1 and head.problem == "multi_label_classification"
        probs_TN, best_T = (
            probabilities(head, scores) if alone else softmax(scores),
            np.argmax(scores, axis=-1).tolist(),
        )
        rows = enumerate(best_T)
        return {"token_labels": [TokenLabel(head.labels[n], scores[t, n], probs_TN[t, n], t) for t, n in rows]}
    logits = [SpanLogits(index, *row_N) for index, row_N in enumerate(scores)]
    text = prompt.text if prompt.pair is None else prompt.pair
    documents = token_documents(prompt.tokens, second=prompt.second)
    return {"span": answer_span(scores, text, documents), "span_logits": logits}


def of_choices(found: Sequence[Sequence[Label] | None], top: int | None = None) -> list[Label] | None:
    """Of choices, each with its one number, the `top` best or all, best first: what the softmax makes of all."""
    labels = [label for each in found for label in each or ()]
    if not labels:
        return None
    probs = softmax(np.array([label.logit for label in labels], np.float64))
    ranked = [replace(label, prob=float(prob)) for label, prob in zip(labels, probs, strict=True)]
    return sorted(ranked, key=lambda label: -label.logit)[:top]


def no_next_token(model: Model, option: str) -> UsageError:
    """What to say to an option that is about the next token, of a model that predicts none."""
    head = model.architecture.head
    if head is None:
        given, hint = "vectors", "llminspect embed shows its vectors"
    else:
        given, hint = GIVEN[head.kind], f"leave out {option}: llminspect forward shows them"
    return UsageError(f"{option}: {model.name} gives {given}, no next token: {model.no_next_token()}", hint)


GIVEN = {
    "sequence classification": "labels of a text",
    "token classification": "labels of tokens",
    "question answering": "a part of the text",
    "multiple choice": "how well a choice fits",
}
"""By the kind of head."""


def answer_span(scores_TN: Array, text: str | None, documents: Sequence[Mapping[str, Any]]) -> AnswerSpan:
    """See AnswerSpan; `text` is that which the answer is a part of, of a pair the second."""
    two = any(token.get("second") for token in documents)
    able = [not token.get("special") and (not two or bool(token.get("second"))) for token in documents]
    allowed_T = np.array(able) if any(able) else np.ones(len(able), bool)
    start_T, end_T = np.where(allowed_T[:, None], scores_TN.astype(np.float64), -math.inf).T
    best_start_T = np.maximum.accumulate(start_T)  # Of all starts up to each token.
    end = int(np.argmax(best_start_T + end_T))
    start = int(np.argmax(start_T[: end + 1]))
    chance = softmax(start_T)[start] * softmax(end_T)[end]
    written = _text(text, documents[start : end + 1])
    return AnswerSpan(start, end, written, float(start_T[start] + end_T[end]), float(chance))


def _text(text: str | None, tokens: Sequence[Mapping[str, Any]]) -> str:
    """As the text has it, where the tokens are of it; else as they are written in the vocabulary."""
    first, last = tokens[0].get("start"), tokens[-1].get("end")
    if text is None or first is None or last is None:
        return "".join(str(token["text"]) for token in tokens)
    return utf8(text)[first:last].decode("utf-8", "replace")
