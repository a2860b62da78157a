"""`llminspect verify`: are the numbers right, on this machine?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from llminspect.arguments.shared import ModelOptions, OutputOptions
from llminspect.arguments.small import VerifyOptions
from llminspect.cli.groups import takes_groups
from llminspect.cli.opening import named, open_model_for
from llminspect.cli.run import emit, fail_check, show_notes
from llminspect.errors import CheckFailed, UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from llminspect.analysis.verify import ArrayDifference, VerifyCheck, VerifyResult

RESULTS = "analysis.verify.VerifyResult"


def render(result: VerifyResult) -> RenderableType:
    """The verdict, the checks, then every layer of them."""
    from rich.console import Group

    from llminspect.core.numbers import several
    from llminspect.render import theme
    from llminspect.render.prose import Text
    from llminspect.render.safe import visible
    from llminspect.render.table import table

    verdict = "the numbers hold" if result.passed else "THE NUMBERS DO NOT HOLD"
    summary = table(
        ["check", "what is compared", "largest", "at", ""],
        [
            [
                *(check.name, check.compared, _written(check.relative), check.where if check.relative else None),
                "ok" if check.passed else "TOO FAR",
            ]
            for check in result.checks
        ],
        strong=[index for index, check in enumerate(result.checks) if not check.passed],
    )
    parts: list[RenderableType] = [
        Text(
            f"{verdict}: {several(len(result.ids), 'token')}, relative difference at most {result.bound:g}\n",
            theme.TITLE,
        ),
        summary,
        *(Text(f"\n{check.name} does not apply: {check.why}.", theme.QUIET) for check in result.left_out),
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


def _layers_table(checks: Sequence[VerifyCheck], bound: float) -> RenderableType:
    from llminspect.render.table import Column, Columns, table

    found: dict[str, dict[str, ArrayDifference]] = {}
    for check in checks:
        for difference in check.layers:
            found.setdefault(difference.name, {})[check.name] = difference
    rows = [
        [name, *(_written(row[check.name].relative) if check.name in row else None for check in checks)]
        for name, row in found.items()
    ]
    far = [any(not difference.relative <= bound for difference in row.values()) for row in found.values()]
    columns: Columns = ["after", *(Column(check.name, align="right") for check in checks)]
    return table(columns, rows, strong=[index for index, is_far in enumerate(far) if is_far])


def _written(relative: float) -> str:
    return "not finite" if relative != relative else "0" if relative == 0 else f"{relative:.1e}"


@takes_groups
def command(model: ModelOptions, output: OutputOptions, options: VerifyOptions) -> None:
    """Check the numbers of a model on this machine.

    Exit code 4 when numbers that should be equal are too far apart.

    Without --against the model is compared with itself: float32 with float64, one token at a time with all at once,
    weights read layer by layer with prepared weights. A recording holds ids [T], hidden [L+1, T, D] (the stream after
    the embedding and after each layer, before the final norm) and logits [T, V], as forward --save writes it; of an
    encoder–decoder source_ids [S] and encoder_hidden [L+1, S, D] as well.

    \b
    llminspect verify smollm2
    llminspect verify ./model --record numbers.npz
    llminspect verify ./model --against numbers.npz
    """
    from llminspect.analysis.lengths import beyond_context
    from llminspect.analysis.verify import arrays, ids_of, read_recording, verify
    from llminspect.files.npz import write_npz
    from llminspect.files.remarks import remarks
    from llminspect.files.source import save_whole

    model, against, record = named(model, options.name), options.against, options.record
    if record is not None and record.suffix != ".npz":
        raise UsageError(f"--record writes a .npz file, not {record.name!r}")
    opened = open_model_for(model, output, finite=False)
    recording = None if against is None else read_recording(against)
    input_ids, source_ids = ids_of(opened, options.ids, recording)
    streamed = (
        None
        if opened.provenance.get("file") == "built in"
        else partial(open_model_for, model, output, streamed=True, finite=False)
    )
    compared = None if recording is None else (str(against), recording)
    show_notes(noted := beyond_context(opened, len(input_ids)) or [], None, output)
    result, found = verify(
        opened, input_ids, bound=options.bound, streamed=streamed, against=compared, source_ids=source_ids
    )
    if record is not None:
        notes = [*remarks(opened.provenance), *(result.notes or ())]
        held: dict[str, Any] = {**arrays(input_ids, source_ids, found), **({"notes": notes} if notes else {})}
        save_whole(record, lambda file: write_npz(file, held))
        result = replace(result, recorded=str(record))
    emit("verify", opened.name, {**opened.provenance, "ids": input_ids}, result, output, noted=noted)
    if not result.passed:
        fail_check(_failure(result), output)


def _failure(result: VerifyResult) -> CheckFailed:
    if result.not_finite:
        return CheckFailed(
            f"weights hold NaN or infinity: {', '.join(result.not_finite[:3])}",
            "the model's file is broken; fetch it again",
        )
    worst = next(check for check in result.checks if not check.passed)
    return CheckFailed(
        f"{worst.name}: {_written(worst.relative)} at {worst.where} is beyond the bound {result.bound:g}",
        "--bound sets another",
    )
