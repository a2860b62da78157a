"""Heads that say something else than the next token: labels of a text, a label a token, the span that answers, how well
one of several choices fits.

Devlin et al. 2019, "BERT", section 4 (the first token through one more layer, a matrix; two numbers a token for the
start and the end of a span); decoders read the last token. Lewis et al. 2020, "BART", section 3 (the decoder reads the
text once more, one place later, and what it makes of the end of the text is what the head reads).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from llminspect.core.array import Array, mapped
from llminspect.core.dataclass import dataclass
from llminspect.core.feedforward import ACTIVATIONS
from llminspect.core.tap import Tap
from llminspect.errors import ModelError, UsageError
from llminspect.model.config import Config
from llminspect.model.layer import final_norm, norm
from llminspect.model.params import Params

Kind = Literal["sequence classification", "token classification", "question answering", "multiple choice"]
Problem = Literal["single_label_classification", "multi_label_classification", "regression"]
Reads = Literal["first", "last", "mean"]
CAPABILITIES: dict[Kind, str] = {
    "sequence classification": "classify",
    "token classification": "tag",
    "question answering": "answer",
    "multiple choice": "choose",
}


NO_LAYER = ("", "", "")


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
    choice: tuple[str, str, str] | None = None
    """The same layer, of a head that gives each of several choices a number; NO_LAYER: its last token is read without
    one; None: the family has no such head."""
    between: str | None = None
    """Of choices: the matrix, where that layer gives only as many numbers as there are labels."""
    end_id: int | None = None
    """Of an encoder–decoder: the end of a text where a file names no other; labels are read at the last one."""
    wraps: bool = False
    """Of an encoder–decoder: whether the decoder starts with the last token of the text, not with a start token."""
    special: tuple[tuple[str, OutputHead], ...] = ()
    """The ends of the names of classes that few families have, and the head of each."""
    summary: bool = False
    """Whether a file's `summary_type` says which token a text is read at; else the family does."""

    def of(self, kind: Kind) -> str | None:
        """What the files call the matrix of a head of that kind."""
        names: dict[Kind, str | None] = {
            "sequence classification": self.sequence,
            "token classification": self.token,
            "question answering": self.question,
            "multiple choice": self.between or (self.sequence if self.choice == self.dense else self.token),
        }
        return names[kind] if kind != "multiple choice" or self.choice else None

    def layer_of(self, kind: Kind) -> tuple[str, str, str] | None:
        """The layer in front of that matrix, if there is one."""
        of_text = kind == "sequence classification" or self.everywhere
        if kind == "multiple choice":
            return None if self.choice == NO_LAYER else self.choice
        return self.dense if of_text else None


DECODER_HEADS = HeadFiles("score", "score", sequence_bias=False)
OLDER_DECODER_HEADS = HeadFiles("score", "classifier", sequence_bias=False)
FUNCTIONS: dict[str, Callable[[Array], Array]] = {**ACTIVATIONS, "tanh": np.tanh}
TAPS = {
    "pooler": "final.pooled",
    "labels.dense": "final.dense",
    "sequence classification": "final.labels",
    "token classification": "final.token_labels",
    "question answering": "final.span",
    "multiple choice": "final.choice",
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
    end_id: int | None = None
    """Of an encoder–decoder: the end of a text, the last of which is read."""
    beside: bool = False
    """Whether it stands beside what predicts words; else in its place."""
    reads: Reads | None = None
    """What of a text is read, where the file says it."""
    width: int | None = None
    """How many numbers the layer in front of the matrix gives; None: as many as it takes."""

    @property
    def of_text(self) -> bool:
        """Whether it says something of a whole text."""
        return self.kind in ("sequence classification", "multiple choice")

    @property
    def capability(self) -> str:
        return CAPABILITIES[self.kind]


def scores(params: Params, config: Config, head: OutputHead, ids_T: Array, stream_TD: Array, tap: Tap) -> Array:
    """What the head gives for the last stream: a number a label, [N]; of each token, [T, N]; its start and end, [T, 2].

    A text is read at its first token, at the last that is not padding, or at its last end: the head's files say which;
    or the mean of its tokens is, before the head or after it (`Config.reads`).
    """
    stream_TD = final_norm(params, config, stream_TD, tap)
    of_text, files = head.of_text, head.files
    layer = files.layer_of(head.kind)
    if head.reads is not None:
        stream_TD = {"first": stream_TD[0], "last": stream_TD[-1], "mean": stream_TD.mean(axis=0)}[head.reads]
    elif of_text and head.end_id is not None:
        stream_TD = stream_TD[read_at(head, ids_T)]
    elif of_text and layer is None:
        stream_TD = stream_TD[last_token(ids_T, head.padding_id)]
    elif of_text and config.reads != "late":
        stream_TD = stream_TD[0] if config.reads == "first" else stream_TD.mean(axis=0)
    if layer is not None:
        name, _, function = layer
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


def read_at(head: OutputHead, ids: Sequence[int] | Array) -> int:
    """The position that an encoder–decoder's head reads labels of a text at: that of its last end; of other heads the
    last. Raises UsageError where the text has no end."""
    if head.end_id is None or not head.of_text:
        return len(ids) - 1
    places, end_id = np.flatnonzero(np.asarray(ids) == head.end_id), head.end_id
    if not len(places):
        raise UsageError(
            f"the text has no end (id {end_id}), and this model's labels are read there",
            "end the ids with it; special tokens end a text",
        )
    return int(places[-1])


def no_words(params: Params, config: Config, stream_TD: Array, tap: Tap) -> Array:
    """See `spec.Readout`: in place of one that there is not. Raises ModelError, after the final norm."""
    final_norm(params, config, stream_TD, tap)
    raise ModelError("this model has a head of another kind in place of an output matrix: it predicts no words")
