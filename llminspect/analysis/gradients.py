"""How a number that a pass gives changes with arrays on the way: `gradients` of the library, on numpy alone.

Simonyan et al. 2013, "Deep Inside Convolutional Networks"; `core/tape.py` goes back over what was computed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from llminspect.analysis.labels import no_next_token
from llminspect.analysis.looking import Target, whole_pass
from llminspect.analysis.result import Result, Tokens, token_documents
from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass
from llminspect.core.tap import Chain, Tap, Visit
from llminspect.core.tape import Tape, Traced
from llminspect.core.unembed import Score, log_softmax
from llminspect.errors import UsageError
from llminspect.model.opened import Model, not_numbers
from llminspect.model.watched import steps_within
from llminspect.text.prompt import Prompt


@dataclass(frozen=True)
class GradientResult(Result):
    """A number that a pass gives, and how it changes with arrays on the way."""

    text: str | None
    tokens: Tokens
    value: float
    """The number itself."""
    arrays: dict[str, Array]
    """Those that the gradient is by, by their names."""
    gradients: dict[str, Array]
    """How much the number grows for each unit added to a number of the array: of its shape."""
    target_tokens: Tokens | None = None
    """Of an encoder–decoder: what its decoder has read."""

    def __getitem__(self, name: str) -> Array:
        return self.gradients[name]


class Recording(Visit):
    """A tap that puts the arrays which match the patterns on a tape, and keeps these; with `everything` all arrays."""

    def __init__(self, tape: Tape, *patterns: str, everything: bool = False) -> None:
        super().__init__(lambda name, array: None, *patterns)
        self.tape, self.everything = tape, everything
        self.watched: dict[str, Traced] = {}
        self.seen: dict[str, Any] = {}

    def wants(self, name: str) -> bool:
        # A pass that nobody watches is cut into rows for several threads, which a tape does not follow.
        return self.everything or super().wants(name) or name.endswith(tuple(steps_within(0)))

    def __call__(self, name: str, array: Any) -> Any:
        if super().wants(name):
            self.names.add(name)
            # A step of its own: what was made of the array before it came here is no use of what the tap gives.
            array = array.copy() if isinstance(array, Traced) else self.tape.watch(array)
            self.watched[name] = Traced(self.tape, array.value, array.step)
        if self.everything:
            self.seen[name] = array
        return array

    def slopes(self, value: Traced) -> dict[str, Array]:
        """The gradient of a number by each array. Raises UserError where one is beyond all numbers."""
        found = dict(zip(self.watched, self.tape.gradients(value, list(self.watched.values())), strict=True))
        if not all(np.isfinite(slope).all() for slope in found.values()):
            raise not_numbers("gradients")
        return found


def gradients(
    model: Model,
    prompt: Prompt,
    of: int | tuple[int, int] | Callable[[Mapping[str, Any]], Any],
    at: Sequence[str],
    taps: Sequence[Tap] = (),
    target: Target = None,
) -> GradientResult:
    """How `of` changes with the arrays that the patterns `at` name, going back over what numpy computed.

    `of`: a token, for its log-probability after the text (in nats); two, for the difference of their logits; or a
    function of the arrays of the pass by their names that gives one number. Raises UsageError where that is none, or
    hangs on none of the arrays.
    """
    if not callable(of) and not (model.can("generate") or model.can("source")):
        raise no_next_token(model, "of")
    recording = Recording(Tape(), *at, everything=callable(of))
    with np.errstate(all="ignore"):
        read, logits_V = whole_pass(replace(model, engine=None), prompt, Chain([*taps, recording]), target)
        value: Any
        if callable(of):
            value = of(recording.seen)
        elif isinstance(of, tuple):
            value = logits_V[of[0]] - logits_V[of[1]]  # type: ignore[index]
        else:
            value = log_softmax(logits_V)[of]  # type: ignore[arg-type]
        if not isinstance(value, Traced):
            raise UsageError("of does not depend on any of the arrays in at", "choose arrays that come before it")
        if value.size != 1:
            raise UsageError(
                f"of has to give one number, and gave {list(value.shape)}", "sum it, or choose one of them"
            )
        slopes = recording.slopes(value)
    return GradientResult(
        prompt.text,
        token_documents(prompt.tokens, prompt.segments, prompt.second),
        float(value.value.reshape(())),
        {name: traced.value for name, traced in recording.watched.items()},
        slopes,
        None if read is prompt else token_documents(read.tokens),
    )


class OnTape:
    """A model on numpy, as an engine with gradients."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def gradients(
        self, ids: Sequence[int], names: Sequence[str], of: Score, tap: Tap
    ) -> tuple[float, dict[str, Array], dict[str, Array]]:
        """See `Slopes.gradients`."""
        recording = Recording(Tape(), *names)
        stream_TD = self.model.run(ids, Chain([tap, recording])).stream_TD
        logits_V: Any = self.model.logits(stream_TD[of.position][None])[0]
        value, arrays = of.of(logits_V), {name: traced.value for name, traced in recording.watched.items()}
        return float(value.value), arrays, recording.slopes(value)
