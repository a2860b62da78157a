"""`llminspect verify`: are the numbers right, on this machine?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llminspect.commands._complete import models
from llminspect.commands._options import ModelOptions, OutputOptions, takes_groups
from llminspect.commands._verify import Check, Difference
from llminspect.errors import CheckFailed, UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from llminspect.commands._verify import Activations
    from llminspect.model import Model

BOUND = 1e-4
"""Of the relative difference. Rounding in float32 stays far below it, a wrong formula far above."""
TOKENS = 16


@dataclass(frozen=True)
class Left:
    """A check that does not apply, and why."""

    name: str
    why: str


@dataclass(frozen=True)
class Result:
    """How far the numbers are from recorded ones, or from the same numbers made another way, layer by layer."""

    ids: list[int]
    """The input of every pass; of an encoder–decoder the target."""
    bound: float
    """The largest relative difference that passes."""
    passed: bool
    checks: list[Check]
    left_out: list[Left]
    not_finite: list[str]
    """Weights that hold NaN or infinity."""
    against: str | None = None
    """The file of recorded activations."""
    recorded: str | None = None
    """The file that was written."""
    source_ids: list[int] | None = None
    """Of an encoder–decoder: the source."""


def run(
    model: Model,
    ids: Sequence[int],
    *,
    bound: float = BOUND,
    streamed: Callable[[], Model] | None = None,
    against: tuple[str, Activations] | None = None,
    source_ids: Sequence[int] | None = None,
) -> tuple[Result, Activations]:
    """Compare with recorded activations, or without any with the model itself; gives the activations as well.

    `streamed` opens the model with its weights read anew from its own file. Raises UsageError where the recording does
    not fit the model.
    """
    import numpy as np

    from llminspect.commands import _verify

    left: list[Left] = []
    model = replace(model, finite=False)
    with np.errstate(invalid="ignore", over="ignore"):  # What is not finite is reported by name.
        found = _verify.activations(model, ids, source_ids)
        if against is not None:
            checks = [_verify.compare("recorded", "this pass against the recording", found, against[1], bound)]
        else:
            checks, left = _against_itself(model, (ids, source_ids), found, bound, streamed)
    broken = _verify.not_finite(model)
    passed = all(check.passed for check in checks) and not broken
    name = None if against is None else against[0]
    source = None if source_ids is None else list(source_ids)
    return Result(list(ids), bound, passed, checks, left, broken, against=name, source_ids=source), found


def _against_itself(
    model: Model,
    given: tuple[Sequence[int], Sequence[int] | None],
    found: Activations,
    bound: float,
    streamed: Callable[[], Model] | None,
) -> tuple[list[Check], list[Left]]:
    from llminspect.commands import _verify

    left = []
    exact = _verify.activations(_verify.in_float64(model), *given)
    checks = [_verify.compare("float64", "float32 against float64", found, exact, bound)]
    if (model.can("generate") or model.can("source")) and model.config.causal:
        by_token = _verify.activations_by_token(model, *given)
        checks.append(
            _verify.compare("cached", "token by token with the cache against all at once", by_token, found, bound)
        )
    else:
        left.append(Left("cached", "a token sees those behind it, so nothing can be kept from one pass to the next"))
    if streamed is None:
        left.append(Left("streamed", "the weights are built in, there is no file to read them from"))
    else:
        anew = _verify.activations(streamed(), *given)
        compared = "weights read from the file layer by layer against those prepared whole"
        checks.append(_verify.compare("streamed", compared, found, anew, bound))
    return checks, left


def render(result: Result) -> RenderableType:
    """The verdict, the checks, then every layer of them."""
    from rich.console import Group
    from rich.text import Text

    from llminspect.render import theme
    from llminspect.render.safe import visible
    from llminspect.render.table import table

    verdict = "the numbers hold" if result.passed else "THE NUMBERS DO NOT HOLD"
    summary = table(
        ["check", "what is compared", "largest", "at", ""],
        [
            [
                check.name,
                check.compared,
                _written(check.relative),
                check.where if check.relative else None,
                "ok" if check.passed else "TOO FAR",
            ]
            for check in result.checks
        ],
        strong=[index for index, check in enumerate(result.checks) if not check.passed],
    )
    parts: list[RenderableType] = [
        Text(f"{verdict}: {len(result.ids)} tokens, relative difference at most {result.bound:g}\n", theme.TITLE),
        summary,
        *(Text(f"\n{left.name} does not apply: {left.why}.", theme.QUIET) for left in result.left_out),
    ]
    if result.not_finite:
        names = ", ".join(map(visible, result.not_finite))
        parts.append(Text(f"\nNaN or infinity in the weights: {names}", theme.STRONG))
    parts += [
        Text("\nLayer by layer: ‖difference‖ / ‖reference‖ of the token where it is largest\n", theme.TITLE),
        _layers_table(result.checks, result.bound),
    ]
    if result.recorded is not None:
        parts.append(Text(f"\nRecorded to {visible(result.recorded)}", theme.QUIET))
    return Group(*parts)


def _layers_table(checks: Sequence[Check], bound: float) -> RenderableType:
    from llminspect.render.table import Column, table

    found: dict[str, dict[str, Difference]] = {}
    for check in checks:
        for difference in check.layers:
            found.setdefault(difference.name, {})[check.name] = difference
    columns: list[str | Column] = ["after", *(Column(check.name, align="right") for check in checks)]
    return table(
        columns,
        [
            [name, *(_written(row[check.name].relative) if check.name in row else None for check in checks)]
            for name, row in found.items()
        ],
        strong=[
            index
            for index, row in enumerate(found.values())
            if any(not difference.relative <= bound for difference in row.values())
        ],
    )


def _written(relative: float) -> str:
    return "not finite" if relative != relative else "0" if relative == 0 else f"{relative:.1e}"


@takes_groups
def command(
    model: ModelOptions,
    output: OutputOptions,
    name: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="As --model.", show_default=False, autocompletion=models)
    ] = None,
    against: Annotated[
        Path | None, typer.Option("--against", metavar="FILE.npz", help="Compare with these recorded activations.")
    ] = None,
    record: Annotated[
        Path | None, typer.Option("--record", metavar="FILE.npz", help="Write the activations of this model.")
    ] = None,
    ids: Annotated[
        str | None,
        typer.Option("--ids", metavar="1,2,3", help="The input. Default: ids from all over the vocabulary."),
    ] = None,
    bound: Annotated[
        float, typer.Option("--bound", min=0, help="The largest relative difference that passes.")
    ] = BOUND,
) -> None:
    """Check the numbers of a model on this machine.

    Exit code 4 when they are too far apart.

    Without --against the model is compared with itself: float32 with float64, token by token with all at once, weights
    read layer by layer with those prepared. A recording holds ids [T], hidden [L+1, T, D] (the stream after the
    embedding and after each layer, before the final norm) and logits [T, V], as forward --save writes it; of an
    encoder–decoder source_ids [S] and encoder_hidden [L+1, S, D] as well.

    llminspect verify smollm2 · llminspect verify ./model --record numbers.npz · … --against numbers.npz
    """
    from llminspect.commands import _verify
    from llminspect.commands._run import emit, fail_check, named, open_for
    from llminspect.commands._save import check_ending
    from llminspect.files.npz import write_npz
    from llminspect.files.source import save_whole

    check_ending(output, arrays=False)
    options = named(model, name)
    if record is not None and record.suffix != ".npz":
        raise UsageError(f"--record writes a .npz file, not {record.name!r}")
    opened = open_for(options, output, finite=False)
    recording = None if against is None else _verify.read_recording(against)
    input_ids, source_ids = ids_of(opened, ids, recording)
    streamed = (
        None
        if opened.provenance.get("file") == "built in"
        else partial(open_for, options, output, streamed=True, finite=False)
    )
    compared = None if recording is None else (str(against), recording)
    result, found = run(opened, input_ids, bound=bound, streamed=streamed, against=compared, source_ids=source_ids)
    if record is not None:
        save_whole(record, lambda file: write_npz(file, _verify.arrays(input_ids, source_ids, found)))
        result = replace(result, recorded=str(record))
    emit("verify", opened.name, {**opened.provenance, "ids": input_ids}, result, output, render)
    if not result.passed:
        fail_check(_failure(result), output)


def ids_of(model: Model, ids: str | None, recording: Activations | None) -> tuple[list[int], list[int] | None]:
    """The input of the passes, and of an encoder–decoder the source: what was given, else what was recorded, else ids
    from all over the vocabulary (of which the target takes the first half, behind its start)."""
    from llminspect.commands._input import read_prompts
    from llminspect.commands._options import SourceOptions
    from llminspect.commands._run import check_prompt
    from llminspect.core.compare import spread_ids

    def checked(listed: str) -> list[int]:
        prompt = next(read_prompts(SourceOptions(ids=listed), model.tokenizer))
        check_prompt(model, prompt)
        return prompt.ids

    sizes, source_ids = model.config.sizes, None
    chosen = spread_ids(sizes.V, min(TOKENS, sizes.context)) if ids is None else checked(ids)
    if model.can("source"):
        start_id: int = model.config.start_id  # type: ignore[attr-defined]
        chosen, source_ids = [start_id, *chosen[: len(chosen) // 2]], chosen
    if ids is None and recording is not None:
        if recording.ids is not None:
            chosen = checked(",".join(map(str, recording.ids)))
        if source_ids is not None and recording.source_ids is not None:
            source_ids = checked(",".join(map(str, recording.source_ids)))
    return chosen, source_ids


def _failure(result: Result) -> CheckFailed:
    if result.not_finite:
        return CheckFailed(
            f"weights hold NaN or infinity: {', '.join(result.not_finite[:3])}",
            "the model's file is broken; fetch it anew",
        )
    worst = next(check for check in result.checks if not check.passed)
    return CheckFailed(
        f"{worst.name}: {_written(worst.relative)} at {worst.where} is beyond the bound {result.bound:g}",
        "--bound sets another",
    )
