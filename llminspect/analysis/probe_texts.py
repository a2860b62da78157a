"""Texts with labels for `probe`: read, checked, split into parts, and their labels shuffled for the control."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from llminspect.analysis.prompt import text_prompt
from llminspect.arguments.ranges import shortened
from llminspect.arguments.shared import SourceOptions
from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass
from llminspect.core.numbers import several
from llminspect.errors import UsageError, UserError
from llminspect.model.opened import Model
from llminspect.text.prompt import Prompt

MOST_CLASSES = 100
LONGEST_LABEL = 200
LARGEST_NUMBER = 1e100
FEWEST = 4
"""Texts with numbers."""
ONE_SPLIT = 2000
"""From more texts on one part is held out, and not each in its turn."""


@dataclass(frozen=True)
class LabelledTexts:
    """Different texts, each with what is said of it."""

    prompts: list[Prompt]
    classes: list[str] | None
    """The names of the classes; None where labels are numbers."""
    target_NK: Array
    """A 1 at each text's class; or [N, 1], its number."""
    notes: list[str]

    @property
    def class_N(self) -> Array:
        """The class of each."""
        found_N: Array = self.target_NK.argmax(axis=1)
        return found_N


def labelled_texts(
    model: Model, records: Sequence[Mapping[str, Any]], kind: Literal["classes", "numbers"] | None
) -> LabelledTexts:
    """The texts of records with `text` and `label`; of equal texts the first. Raises UserError, which names the record
    (from 0), for labels that are none, too few texts and too many classes."""
    if model.tokenizer is None:
        raise UsageError(f"probe takes texts; {model.name} comes without a tokenizer")
    labels: dict[str, Any] = {}
    repeated = conflicts = 0
    for number, record in enumerate(records):
        text, label = _checked(record, number)
        if text in labels:
            repeated += 1
            conflicts += _name(labels[text]) != _name(label)
        labels.setdefault(text, label)
    kind = kind or _kind(list(labels.values()))
    if kind == "numbers":
        classes, target_NK = None, _numbers(labels)
    else:
        classes, target_NK = _classes([_name(label) for label in labels.values()])
    prompts = [_prompt(model, text) for text in labels]
    notes = []
    if repeated:
        other = f", {conflicts} of them with another label" if conflicts else ""
        notes.append(f"{several(repeated, 'record')} repeat a text{other}: only the first of each counts")
    return LabelledTexts(prompts, classes, target_NK, notes)


def _checked(record: Mapping[str, Any], number: int) -> tuple[str, Any]:
    missing = [name for name in ("text", "label") if record.get(name) is None]
    if missing:
        raise UserError(f"record {number} has no {missing[0]!r}", 'as in {"text": "A cat sat.", "label": "cat"}')
    text, label = record["text"], record["label"]
    if not isinstance(text, str) or not text:
        raise UserError(f"record {number}: its text is empty, or not a text", "give at least one character")
    if not isinstance(label, str | int | float) or (isinstance(label, float) and not math.isfinite(label)):
        raise UserError(f"record {number}: its label is not a text, a number, true or false")
    if isinstance(label, str) and len(label) > LONGEST_LABEL:
        raise UserError(f"record {number}: its label has more than {LONGEST_LABEL} characters")
    return text, label


def _name(label: Any) -> str:
    """A label as the name of a class."""
    return str(label).lower() if isinstance(label, bool) else str(label)


def _is_number(label: Any) -> bool:
    return isinstance(label, int | float) and not isinstance(label, bool)


def _kind(labels: Sequence[Any]) -> Literal["classes", "numbers"]:
    numbers = [_is_number(label) for label in labels]
    if any(numbers) and not all(numbers):
        raise UserError(
            "some labels are numbers and others are not", "make them all of one kind, or say --labels classes"
        )
    return "numbers" if all(numbers) and len(set(labels)) > 2 else "classes"


def _numbers(labels: Mapping[str, Any]) -> Array:
    wrong = next((label for label in labels.values() if not _is_number(label)), None)
    if wrong is not None:
        raise UserError(f"--labels numbers: {shortened(_name(wrong))!r} is no number", "leave out --labels")
    if len(labels) < FEWEST:
        raise UserError(f"{len(labels)} different texts are too few", f"at least {FEWEST} are needed")
    if any(abs(label) > LARGEST_NUMBER for label in labels.values()):
        raise UserError(f"a label is beyond ±{LARGEST_NUMBER:g}", "take smaller units")
    target_N1 = np.array([[float(label)] for label in labels.values()])
    if not target_N1.std():
        raise UserError("all labels are the same number", "a probe tells labels apart")
    return target_N1


def _classes(names: Sequence[str]) -> tuple[list[str], Array]:
    counts = Counter(names)
    classes = sorted(counts)
    if len(classes) < 2:
        raise UserError(
            f"all texts have the label {shortened(classes[0])!r}", "a probe tells two or more classes apart"
        )
    if len(classes) > MOST_CLASSES:
        raise UserError(
            f"{len(classes)} classes are more than {MOST_CLASSES}", "of numbers: --labels numbers; else take fewer"
        )
    rare = min(classes, key=counts.__getitem__)
    if counts[rare] < 2:
        raise UserError(
            f"the class {shortened(rare)!r} has one text", "each class needs two: one to learn from, one held out"
        )
    place = {name: index for index, name in enumerate(classes)}
    return classes, np.eye(len(classes))[[place[name] for name in names]]


def _prompt(model: Model, text: str) -> Prompt:
    try:
        return text_prompt(text, SourceOptions(), model.tokenizer, None)
    except UserError as error:
        raise UserError(f"{shortened(text)!r}: {error.message}", error.hint) from None


def parts_of(texts: LabelledTexts, folds: int, seed: int) -> Array:
    """Which part [N] each text is of: in each part as much of every class, or of small and large numbers."""
    draw, part_N = np.random.default_rng(seed), np.zeros(len(texts.prompts), np.int64)
    if texts.classes is None:
        order = np.argsort(texts.target_NK[:, 0] + 0.0, kind="stable")
        for start in range(0, len(order), folds):
            some = order[start : start + folds]
            part_N[some] = draw.permutation(folds)[: len(some)]
        return part_N
    next_part = 0
    for index in range(len(texts.classes)):
        of_class = draw.permutation(np.flatnonzero(texts.class_N == index))
        part_N[of_class] = (next_part + np.arange(len(of_class))) % folds
        next_part += len(of_class)
    return part_N


def fitting_folds(texts: LabelledTexts, folds: int) -> int:
    """As many parts as leave each class a text in two of them."""
    fewest = len(texts.prompts) // 2 if texts.classes is None else int(texts.target_NK.sum(axis=0).min())
    return max(2, min(folds, fewest))


def shuffled(texts: LabelledTexts, part_N: Array, seed: int) -> Array:
    """The labels [N, K] in another order, within each part: what a probe says of them it did not read in the texts."""
    draw, order_N = np.random.default_rng([seed, 1]), np.arange(len(part_N))
    for part in np.unique(part_N):
        of_part = np.flatnonzero(part_N == part)
        order_N[of_part] = draw.permutation(of_part)
    found_NK: Array = texts.target_NK[order_N]
    return found_NK
