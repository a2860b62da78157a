"""Which head a Hugging Face file has in place of one that predicts words, its labels, and its tensors."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from llminspect.errors import ModelError
from llminspect.model.heads import Kind, OutputHead, Problem, no_words
from llminspect.model.settings import MOST_REPEATED
from llminspect.model.spec import linear_specs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from llminspect.model.spec import Architecture, TensorSpec

PROBLEMS: dict[str, Problem] = {
    "single_label_classification": "single_label_classification",
    "multi_label_classification": "multi_label_classification",
    "regression": "regression",
}
KINDS: dict[str, Kind] = {
    "SequenceClassification": "sequence classification",
    "TokenClassification": "token classification",
    "QuestionAnswering": "question answering",
}
"""By the end of the name of the class in a `config.json`, under `architectures`."""
HEADS = ("classifier.", "score.", "qa_outputs.", "pre_classifier.", "classification_head.")
"""What the tensors of such heads begin with."""


def head_specs(head: OutputHead) -> list[TensorSpec]:
    """Its arrays and what the files call them."""
    rows, dense = f"{len(head.labels)} D", head.files.dense
    if head.kind == "question answering":
        return linear_specs(("labels", rows, "qa_outputs", None), bias=True)
    if head.kind == "token classification":  # The file knows whether there is a bias.
        return linear_specs(("labels", rows, head.files.token, None), bias=None)
    before = [] if dense is None else linear_specs((dense[0], "D D", dense[1], None), bias=True)
    return [*before, *linear_specs(("labels", rows, head.files.sequence, None), bias=head.files.sequence_bias)]


def with_head(architecture: Architecture, config: Mapping[str, Any], names: Iterable[str]) -> Architecture:
    """The family with the head that a `config.json` names; as it is, where it names none.

    Raises ModelError for a head that the family does not have, and for tensors of a head that nothing names.
    """
    classes = config.get("architectures") or [""]
    name = str(classes[0]) if isinstance(classes, list) else str(classes)
    kind, names = KINDS.get(name.rpartition("For")[2]), list(names)
    if kind is None:
        found = next((each for each in names if each.startswith(HEADS)), None)
        if found is not None:
            known = ", ".join(f"…For{each}" for each in KINDS)
            raise ModelError(
                f"tensor {found} belongs to a head, and config.json does not name one that is known ({name or 'none'})",
                f'"architectures" names it: {known}',
            )
        return architecture
    if architecture.heads is None:
        raise ModelError(f"heads for {kind} of the family {architecture.name} are not known ({name})")
    head = _read(kind, architecture, config)
    prefix = architecture.prefix
    if kind == "question answering" and architecture.heads.dense is None and "transformer.norm.weight" in names:
        prefix = "transformer."  # Which most decoders call their body in front of this head.
    replaced = {spec.name for spec in head_specs(head)}

    def tensors(settings: Any) -> list[TensorSpec]:
        return [*(spec for spec in architecture.tensors(settings) if spec.name not in replaced), *head_specs(head)]

    return replace(architecture, tensors=tensors, readout=no_words, head=head, prefix=prefix)


def _read(kind: Kind, architecture: Architecture, config: Mapping[str, Any]) -> OutputHead:
    assert architecture.heads is not None
    if kind == "question answering":
        return OutputHead(kind, ("start", "end"), "single_label_classification", architecture.heads)
    problem = config.get("problem_type")
    if problem is not None and problem not in PROBLEMS:
        raise ModelError(f"config.json: problem_type = {problem!r:.60} is not understood", " or ".join(PROBLEMS))
    labels = _labels(config)
    # As the reference trains it: one number is a quantity.
    usual: Problem = "regression" if len(labels) == 1 else "single_label_classification"
    padding_id = None if architecture.heads.dense else _padding_id(architecture, config)
    return OutputHead(kind, labels, PROBLEMS[problem] if problem else usual, architecture.heads, padding_id)


def _labels(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Their names in order; the reference leaves them out of the file where they are its two or are but numbered."""
    named = config.get("id2label")
    if named is None:
        count = config.get("num_labels", config.get("_num_labels", 2))
        if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MOST_REPEATED:
            raise ModelError(f"config.json: num_labels = {count!r:.60} is not understood", "a whole number above 0")
        return tuple(f"LABEL_{index}" for index in range(count))
    labels = {str(key): label for key, label in named.items()} if isinstance(named, dict) else {}
    if not labels or set(labels) != {str(index) for index in range(len(labels))}:
        raise ModelError("config.json: id2label does not number the labels from 0 on")
    return tuple(str(labels[str(index)]) for index in range(len(labels)))


def _padding_id(architecture: Architecture, config: Mapping[str, Any]) -> int | None:
    found = config.get("pad_token_id", architecture.defaults.get("pad_token_id"))
    if found is not None and (isinstance(found, bool) or not isinstance(found, int)):
        raise ModelError(f"config.json: pad_token_id = {found!r:.60} is not understood", "an id")
    return found
