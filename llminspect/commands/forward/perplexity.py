"""`forward --perplexity`: one number a text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llminspect.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from llminspect.analysis.token_scores import Surprise
    from llminspect.text.prompt import Prompt


def write_perplexities(prompts: Iterable[Prompt], score: Callable[[Prompt], Surprise | None]) -> None:
    """A number a text: as many lines out as in. A line that cannot be scored is nan, and the run goes on."""
    from llminspect.cli.output import report_error, write_text

    code = 0
    for prompt in prompts:
        value = None
        try:
            if prompt.error is not None:
                raise prompt.error
            scores = score(prompt)
            value = None if scores is None else scores.perplexity
        except UserError as error:
            if prompt.line is None:
                raise
            code = code or error.exit_code
            report_error((), error.code, f"line {prompt.line}: {error.message}", error.hint)
        write_text("nan\n" if value is None else f"{value:.6g}\n")
    if code:
        raise SystemExit(code)
