"""`tokenize --truncate`: the text that was kept, as its bytes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from llminspect.cli.output import note
from llminspect.cli.stdout import write_bytes

if TYPE_CHECKING:
    from llminspect.analysis.tokenization import CountResult, TokenizeResult
    from llminspect.arguments.shared import OutputOptions


def write_kept(result: TokenizeResult | CountResult, output: OutputOptions) -> None:
    """The text that was kept as its bytes; on a terminal made harmless and ended by a newline."""
    kept = getattr(result, "truncated", None)
    assert kept is not None, "only a text that was cut"
    data = kept.text.encode("utf-8", "surrogateescape")
    if sys.stdout.isatty():
        from llminspect.render.safe import visible

        data = "\n".join(visible(line) for line in kept.text.split("\n")).encode() + b"\n"
    write_bytes(data)
    if kept.of > result.count:
        note(f"kept {result.count:,} of {kept.of:,} tokens, cut off at the {kept.side}", output)
