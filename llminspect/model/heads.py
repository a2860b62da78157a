"""Heads that say something else than the next token: labels of a text, a label a token, the span that answers.

Devlin et al. 2019, "BERT", section 4 (the first token through one more layer, a matrix; two numbers a token for the
start and the end of a span); decoders read the last token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from llminspect.core.array import mapped
from llminspect.core.dataclass import dataclass
from llminspect.core.feedforward import ACTIVATIONS
from llminspect.errors import ModelError
from llminspect.model.layer import final_norm, norm

if TYPE_CHECKING:
    from collections.abc import Callable

    from llminspect.core.array import Array
    from llminspect.core.tap import Tap
    from llminspect.model.config import Config
    from llminspect.model.params import Params

Kind = Literal["sequence classification", "token classification", "question answering"]
Problem = Literal["single_label_classification", "multi_label_classification", "regression"]
CAPABILITIES: dict[Kind, str] = {
    "sequence classification": "classify",
    "token classification": "tag",
    "question answering": "answer",
}


@dataclass(frozen=True)
class HeadFiles:
    """How the files of a family keep such heads."""

    sequence: str | None
    """The matrix of labels of a text …"""
    token: str | None
    """… and of labels of each token; None: the family has no such head, or it is not known."""
    dense: tuple[str, str, str] | None = None
    """For a text: one more layer on its first token (its name in the core and in the files, its function; "" for that
    of the configuration's `activation`)."""
    sequence_bias: bool | None = True
    """None: the file knows."""
    question: str | None = "qa_outputs"
    """The matrix of starts and ends."""
    dense_bias: bool | None = True
    """None: the file knows."""
    norm: str | None = None
    """What the files call the norm after that layer's function, if there is one."""
    everywhere: bool = False
    """Whether that layer stands in front of labels of tokens and of spans as well."""
    special: tuple[str, OutputHead] | None = None
    """The end of the name of a class that no other family has, and its head."""

    def of(self, kind: Kind) -> str | None:
        """What the files call the matrix of a head of that kind."""
        names: dict[Kind, str | None] = {
            "sequence classification": self.sequence,
            "token classification": self.token,
            "question answering": self.question,
        }
        return names[kind]


DECODER_HEADS = HeadFiles("score", "score", sequence_bias=False)
OLDER_DECODER_HEADS = HeadFiles("score", "classifier", sequence_bias=False)
FUNCTIONS: dict[str, Callable[[Array], Array]] = {**ACTIVATIONS, "tanh": np.tanh}
TAPS = {
    "pooler": "final.pooled",
    "labels.dense": "final.dense",
    "sequence classification": "final.labels",
    "token classification": "final.token_labels",
    "question answering": "final.span",
}


@dataclass(frozen=True)
class OutputHead:
    kind: Kind
    labels: tuple[str, ...]
    """One for each number that it gives."""
    problem: Problem
    """How those of a text become probabilities: softmax, sigmoid, not at all."""
    files: HeadFiles
    padding_id: int | None = None
    """Where the last token is read: the last that is not this one."""

    @property
    def capability(self) -> str:
        return CAPABILITIES[self.kind]


def scores(params: Params, config: Config, head: OutputHead, ids_T: Array, stream_TD: Array, tap: Tap) -> Array:
    """What the head gives for the last stream: a number a label, [N]; of each token, [T, N]; its start and end, [T, 2].

    A text is read at its first token, or at the last that is not padding: the head's files say which; or the mean of
    its tokens is, before the head or after it (`Config.reads`).
    """
    stream_TD = final_norm(params, config, stream_TD, tap)
    of_text, files = head.kind == "sequence classification", head.files
    if of_text and files.dense is None:
        stream_TD = stream_TD[last_token(ids_T, head.padding_id)]
    elif of_text and config.reads != "late":
        stream_TD = stream_TD[0] if config.reads == "first" else stream_TD.mean(axis=0)
    if files.dense is not None and (of_text or files.everywhere):
        name, _, function = files.dense
        stream_TD = FUNCTIONS[function or str(config.activation)](mapped(params, name, stream_TD))
        if files.norm is not None:
            stream_TD = norm(params, f"{name}.norm", stream_TD, config)
        stream_TD = tap(TAPS[name] if stream_TD.ndim == 1 else "final.head", stream_TD)
    labels = mapped(params, "labels", stream_TD)
    return tap(TAPS[head.kind], labels.mean(axis=0) if of_text and labels.ndim > 1 else labels)


def last_token(ids_T: Array, padding_id: int | None) -> int:
    """The place of the last token that is not padding; 0 where all are."""
    if padding_id is None:
        return len(ids_T) - 1
    return int(np.max(np.flatnonzero(ids_T != padding_id), initial=0))


def no_words(params: Params, config: Config, stream_TD: Array, tap: Tap) -> Array:
    """See `spec.Readout`: in place of one that there is not. Raises ModelError, after the final norm."""
    final_norm(params, config, stream_TD, tap)
    raise ModelError("this model has a head of another kind in place of an output matrix: it predicts no words")
