"""One question over many texts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from llminspect.arguments.attend import AttendOptions, check_attend
from llminspect.arguments.circuit import CircuitOptions
from llminspect.arguments.experiments import ExperimentOptions
from llminspect.arguments.forward import ForwardOptions, SweepOptions
from llminspect.arguments.shared import OverOptions, SourceOptions
from llminspect.arguments.together import check_together
from llminspect.errors import UsageError
from llminspect.library.inputs import DEFAULT, Opened, noted, opened, takes_options
from llminspect.library.parts import records_of
from llminspect.library.passes import instead_for

if TYPE_CHECKING:
    from llminspect.analysis.circuit_result import CircuitResult
    from llminspect.analysis.over import OverResult

    Records = str | Path | Iterable[Mapping[str, Any]]


@overload
def over(
    question: Literal["forward", "attend"], records: Records, model: Opened = DEFAULT, **options: Any
) -> OverResult: ...
@overload
def over(question: Literal["circuit"], records: Records, model: Opened = DEFAULT, **options: Any) -> CircuitResult: ...


def over(question: str, records: Records, model: Opened = DEFAULT, **options: Any) -> OverResult | CircuitResult:
    """A question over many texts: of each number its mean, its spread, and the 95% interval of the mean.

    `question` is "forward" or "attend", with options of that function: `attribution`, `lens`, `surprise`, `ablate` …;
    `find`, `measure`. `records` are dictionaries, in whatever can be gone through, with `text` and what differs from
    text to text (`target`, `versus`, `patch`, `align`, `at`; `find`), or the path of a file with one a line as JSON.
    Gives `places`, each with its `measure`, `layer`, `head` and `position`, `mean`, `std`, `low`, `high` and `count`;
    `rows("places")` is a table. "circuit" takes records of `clean` and `corrupt`, `target` and `versus`, and gives what
    `circuit` gives: one graph for all pairs, by `scores` [R, U] that are means over them, and `pairs`, each with its
    numbers.
    Raises UserError for a record that cannot be done.

    >>> import llminspect
    >>> records = [{"text": f"The capital of {land} is", "target": f" {city}"} for land, city in
    ...            {"France": "Paris", "Italy": "Rome", "Japan": "Tokyo"}.items()]
    >>> found = llminspect.over("forward", records, "smollm2", lens=True)
    >>> [round(place.mean, 2) for place in found.places if place.layer in (20, 26, 29) and "prob" in place.measure]
    [0.0, 0.0, 0.62]
    """
    if question not in QUESTIONS:
        raise UsageError(f"there is no question {question!r:.40} over many texts", f"there are {', '.join(QUESTIONS)}")
    # By name: a list of dictionaries in front would be taken for the messages of a conversation.
    found: OverResult | CircuitResult = QUESTIONS[question](records=records, model=model, **options)
    return found


@takes_options
def _forward(
    records: Records,
    model: Opened = DEFAULT,
    *,
    source: SourceOptions,
    look: ForwardOptions,
    patch: SweepOptions,
    experiments: ExperimentOptions,
) -> OverResult:
    from llminspect.analysis.forward_result import ForwardQuestion
    from llminspect.analysis.over_questions import forward_over

    check_together("forward", look, patch, experiments, source, OVER)
    model, (given, file) = opened(model), _given(records)
    instead = instead_for(model, experiments, source, patch)
    question = ForwardQuestion(look, patch, experiments, None, source.special is False, source.parse, instead=instead)
    return noted(forward_over(model, question, source, given, None, file), model.provenance)


@takes_options
def _attend(records: Records, model: Opened = DEFAULT, *, source: SourceOptions, options: AttendOptions) -> OverResult:
    from llminspect.analysis.attend import with_mask
    from llminspect.analysis.over_questions import attend_over

    check_together("attend", options, source, OVER)
    check_attend(options)
    model, (given, file) = with_mask(opened(model), options.mask), _given(records)
    return noted(attend_over(model, options, source, given, None, file), model.provenance)


@takes_options
def _circuit(records: Records, model: Opened = DEFAULT, *, options: CircuitOptions) -> CircuitResult:
    from llminspect.analysis.circuit_over import circuit_over

    check_together("circuit", options)
    model, (given, file) = opened(model), _given(records)
    return noted(circuit_over(model, given, options, file=file), model.provenance)


OVER = OverOptions(Path("records"))
"""For the rules: texts were given so."""
QUESTIONS: dict[str, Callable[..., Any]] = {"forward": _forward, "attend": _attend, "circuit": _circuit}


def _given(records: Records) -> tuple[Sequence[Mapping[str, Any]], str | None]:
    from llminspect.files.source import read_records

    if isinstance(records, str | Path):
        return read_records(Path(records)), str(records)
    return records_of(records), None
