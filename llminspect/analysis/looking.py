"""A whole pass with taps of one's own: the source of an encoder–decoder, the layers, what is read out at the end.

`run_with_cache` and `run_with_taps` of the library; numpy in, Results out.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, TypeAlias

from llminspect.analysis.prompt import check_prompt, decoder_text, of_segments, target_prompt, with_source
from llminspect.analysis.result import Dims, Result, Tokens, token_documents
from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass
from llminspect.core.tap import Capture, Chain, Quiet, Tap, unreached
from llminspect.errors import ModelError, UsageError
from llminspect.model.opened import Model, never_reached
from llminspect.text.prompt import Prompt

Target: TypeAlias = str | Sequence[int] | None

READ_OUT = ("norm", "narrow", "head", "unscaled", "uncapped", "logits")
"""Steps of `final` that come after the layers, where words are read out."""


@dataclass(frozen=True)
class RunResult(Result):
    """What was kept of a pass over one text."""

    text: str | None
    tokens: Tokens
    """Those of the text; of an encoder–decoder it is the source."""
    arrays: dict[str, Array]
    """By their names, in the order of the pass, with the shapes of docs/shapes.md."""
    logits: Annotated[Array, Dims("V")] | None = None
    """How well each token of the vocabulary fits after the text; None of a model that predicts no next token."""
    target_tokens: Tokens | None = None
    """Of an encoder–decoder: what its decoder has read."""

    def __getitem__(self, name: str) -> Array:
        return self.arrays[name]


def looked_at(
    model: Model, prompt: Prompt, patterns: Sequence[str], taps: Sequence[Tap] = (), target: Target = None
) -> RunResult:
    """A pass in which `taps` act, and what it left of the arrays that the patterns name. Raises UserError for a
    pattern, or a tap, that names no step."""
    kept = Capture(*patterns)
    read, logits_V = whole_pass(model, prompt, Chain([*taps, kept]), target)
    return RunResult(
        prompt.text,
        token_documents(prompt.tokens, prompt.segments, prompt.second),
        kept.arrays,
        logits_V,
        None if read is prompt else token_documents(read.tokens),
    )


def whole_pass(model: Model, prompt: Prompt, tap: Tap, target: Target = None) -> tuple[Prompt, Array | None]:
    """Everything that a text goes through, by `tap`: what was read last, the text or the target, and the logits [V]
    after it. Raises UserError where the tap names what is not reached."""
    quiet, whole = Quiet(tap), model
    check_prompt(model, prompt)
    if model.can("source"):
        model = with_source(model, prompt.ids, quiet)
        read = decoder_text(whole, prompt) if model.architecture.head is not None else _target(whole, target)
    elif target is not None:
        raise UsageError(f"target: {model.name} reads one text, and continues it", "leave it out")
    else:
        model, read = of_segments(model, prompt.segments), prompt
    check_prompt(model, read)
    stream_TD = model.run(read.ids, quiet).stream_TD
    logits_V = None
    if model.architecture.head is not None:
        model.label_scores(read.ids, stream_TD, quiet)
    else:
        watched = any(tap.wants(f"final.{step}") for step in READ_OUT)
        with suppress(ModelError):  # Of a model without an output matrix: after its last norm.
            if model.can("generate"):
                logits_V = model.logits(stream_TD if watched else stream_TD[-1:], quiet)[-1]
            elif watched:
                model.logits(stream_TD, quiet)
    missing = unreached(tap)
    if missing:
        raise never_reached(missing[0], whole.names())
    return read, logits_V


def _target(model: Model, target: Target) -> Prompt:
    if target is None or isinstance(target, str):
        return target_prompt(model, target, None)
    return target_prompt(model, None, list(target))
