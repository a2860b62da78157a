"""`--over FILE.jsonl`: one question in many texts, and of each number its mean, its spread and how sure the mean is.

Each record is a text with what differs from text to text; its Result is that of the text alone, and what of it is a
number at a place is summed up as it comes. Texts of one length run as one batch. What was found is kept now and then,
so that a stopped run goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from copy import copy
from typing import Any, Literal

import numpy as np

from llminspect.analysis.gathering import side_by_side
from llminspect.analysis.long_texts import noted_of_texts
from llminspect.analysis.over_numbers import TARGET_FIRST, Numbers, Where
from llminspect.analysis.result import Result
from llminspect.analysis.text_streams import batches_of_one_length
from llminspect.core.dataclass import dataclass
from llminspect.core.intervals import of_mean, of_share
from llminspect.core.numbers import several
from llminspect.errors import UserError
from llminspect.files.unfinished import Unfinished
from llminspect.model.opened import Model
from llminspect.version import __version__

TOGETHER = 16
"""Texts that run together at most."""
SHARES = (TARGET_FIRST,)
"""What is 0 or 1 in each text: the interval of its mean is that of a share (Wilson)."""
SECONDS = 5.0
"""What was found is kept so often."""


@dataclass(frozen=True)
class OverPlace:
    """A number at one place, over the texts that have it."""

    measure: str
    mean: float
    std: float
    """The standard deviation from text to text (divided by n − 1); no number for one text."""
    low: float
    """The ends of the 95% interval of the mean, by Student's t; of a share Wilson's."""
    high: float
    count: int
    layer: int | None = None
    head: int | None = None
    position: int | None = None


@dataclass(frozen=True)
class OverFile:
    """The texts."""

    count: int
    file: str | None


@dataclass(frozen=True)
class OverResult(Result):
    """A question over many texts."""

    over: OverFile
    question: str
    """The command."""
    places: list[OverPlace]
    made: list[str] | None = None
    """What was changed in the model, as the options say it, and whether gradients only estimate the numbers."""
    versus: Literal["all", "some"] | None = None
    """Whether all texts, or some, have a versus: their logits are those of the target less those of the versus."""


@dataclass(frozen=True)
class TextWork:
    """One record: how many tokens its text has, and what gives its numbers."""

    record: int
    tokens: int
    work: Callable[[Model], Numbers]


class Sums:
    """Numbers of texts, place by place, as they come: how many, their mean, the squares around it (Welford 1962)."""

    def __init__(self) -> None:
        self.places: list[Where] = []
        self.count_P = np.zeros(0)
        self.mean_P = np.zeros(0)
        self.squares_P = np.zeros(0)

    def add(self, numbers: Numbers) -> None:
        """One text. What is no number counts as not there. Raises UserError for other places than earlier texts had."""
        if not self.places:
            self.places = list(numbers)
            self.count_P, self.mean_P, self.squares_P = (np.zeros(len(numbers)) for _ in range(3))
        if list(numbers) != self.places:
            raise UserError("its numbers are at other places than those of the texts before", "ask for one at a time")
        value_P = np.array(list(numbers.values()), np.float64)
        there_P = np.isfinite(value_P)
        value_P = np.where(there_P, value_P, self.mean_P)
        self.count_P = self.count_P + there_P
        moved_P = value_P - self.mean_P
        self.mean_P = self.mean_P + moved_P / np.maximum(self.count_P, 1)
        self.squares_P = self.squares_P + np.where(there_P, moved_P * (value_P - self.mean_P), 0.0)

    def found(self) -> list[OverPlace]:
        """What they sum up to."""
        entries = []
        for (measure, *where), count, mean, squares in zip(
            self.places, self.count_P, self.mean_P, self.squares_P, strict=True
        ):
            std = float(np.sqrt(squares / (count - 1))) if count > 1 else float("nan")
            middle, texts = float(mean) if count else float("nan"), int(count)
            share = measure in SHARES and texts
            ends = of_share(round(middle * texts), texts) if share else of_mean(middle, std, texts)
            entries.append(OverPlace(measure, middle, std, *ends, texts, *where))
        return entries

    def state(self) -> dict[str, Any]:
        """It as JSON."""
        return {
            "places": self.places,
            "sums": [array_P.tolist() for array_P in (self.count_P, self.mean_P, self.squares_P)],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """What `state` gave. Raises ValueError, TypeError or KeyError for what is no such state."""
        places = [(str(entry[0]), *entry[1:4]) for entry in state["places"]]
        arrays = [np.array(entry, np.float64) for entry in state["sums"]]
        if len(arrays) != 3 or any(array.shape != (len(places),) for array in arrays):
            raise ValueError
        self.places = places
        self.count_P, self.mean_P, self.squares_P = arrays


def over_texts(
    model: Model,
    question: str,
    texts: Sequence[TextWork],
    of: Sequence[Any],
    progress: Callable[[int, int], object] | None = None,
    file: str | None = None,
    announce: Callable[[list[str]], object] | None = None,
    window: int | None = None,
    noted: Sequence[str] = (),
    together: bool = True,
) -> OverResult:
    """Every text's numbers, summed up. `of` is all that the answer hangs on: a run that was stopped goes on where it is
    the same. `announce` is given what is noted of long texts, and what else is `noted`, before anything is computed;
    texts are read in windows of `window` tokens, those of one length `together`. Raises UserError, which names the
    record (from 0), for one that cannot be done."""
    lengths = [text.tokens if window is None else min(text.tokens, window) for text in texts]
    noted = [*noted_of_texts(model, lengths), *noted]
    if announce is not None:
        announce(noted)
    sums, done, kept = Sums(), 0, Unfinished(__version__, question, model.provenance, *of)
    resumed = _resumed(kept, sums)
    saved, whole = time.monotonic(), copy(sums)
    try:
        for places in batches_of_one_length([text.tokens for text in texts], TOGETHER):
            batch = [texts[at] for at in places]
            if done + len(batch) <= resumed:
                done += len(batch)
                continue
            for text, numbers in zip(batch, side_by_side(model, [text.work for text in batch], together), strict=True):
                if isinstance(numbers, UserError):
                    raise of_record(text.record, numbers)
                try:
                    sums.add(numbers)
                except UserError as error:
                    raise of_record(text.record, error) from None
            done, whole = done + len(batch), copy(sums)
            if progress is not None:
                progress(done, len(texts))
            if time.monotonic() - saved > SECONDS:
                kept.write({"done": done, **sums.state()})
                saved = time.monotonic()
    except KeyboardInterrupt:
        kept.write({"done": done, **whole.state()})  # Of whole batches: `sums` may hold a part of one.
        raise
    kept.remove()
    if resumed:
        noted = [*noted, f"an earlier run that was stopped had already done {several(resumed, 'text')}"]
    return OverResult(OverFile(len(texts), file), question, sums.found(), notes=noted or None)


def of_record(number: int, error: UserError) -> UserError:
    """What could not be done with one record, whatever it was that the record says: one kind, and one exit code."""
    return UserError(f"record {number}: {error.message}", error.hint)


def _resumed(kept: Unfinished, sums: Sums) -> int:
    """How many texts an earlier run has done, with what it found."""
    state = kept.read()
    try:
        if state is not None and type(state["done"]) is int:
            sums.restore(state)
            return int(state["done"])
    except (KeyError, TypeError, ValueError, IndexError):
        pass
    return 0
