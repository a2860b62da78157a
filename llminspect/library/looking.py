"""What `open_model` gives: a model whose passes can be looked into and changed by functions of one's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from llminspect.arguments.shared import PairOptions
from llminspect.core.intervention import Outside, Place
from llminspect.core.tap import Edit
from llminspect.errors import UsageError
from llminspect.library.inputs import Text, Texts, each, prompt_of, several, takes_options
from llminspect.model.opened import Model

if TYPE_CHECKING:
    from llminspect.analysis.gradients import GradientResult
    from llminspect.analysis.looking import RunResult, Target
    from llminspect.core.array import Array
    from llminspect.core.tap import Tap
    from llminspect.text.prompt import Prompt

    Names = str | Place | Sequence[str | Place]
    """A name of docs/shapes.md, a pattern of names (`layers.*.output`), a place, or several."""
    Taps = Mapping[str | Place, Callable[[Array], Any]] | Sequence[Tap] | Tap | None
    """Functions by what they change, each given an array [..., T, …] and giving back one of that shape; or taps, as
    `scaled(…)` and the like make them."""
    Of = str | int | tuple[str | int, str | int] | Callable[[Mapping[str, Any]], Any]

R = TypeVar("R")


class OpenModel(Model):
    """An open model. Beside `run`, which takes ids, it takes texts, as the functions of `llminspect` do.

    >>> import llminspect
    >>> model = llminspect.open_model("toy-attention")
    >>> model.run_with_cache("A cat sat", "layers.*.attention.weights")
    RunResult(text='A cat sat', tokens=[3 × dict], arrays={1 keys}, logits=float32[4])
    """

    @takes_options
    def run_with_cache(
        self, text: Text | Texts, *names: Names, target: Target = None, source: PairOptions
    ) -> RunResult:
        """A pass over the text, and what it leaves of the arrays that are named: no others are kept.

        `names` are those of docs/shapes.md, patterns of them (`layers.*.attention.weights`), or places; `target` is
        what the decoder of an encoder–decoder has read. Gives `arrays` by their names (`result[name]` is one), of numpy
        and without an axis for the batch, and `logits` [V] after the text, where the model predicts a next token. A
        list of texts, of any lengths, goes through in batches and gives a list of Results, each that of the text alone
        but for the rounding of sums (some 1e-6 of the largest number). Raises UserError for a name or a pattern that
        names no step of the pass, with those that are near.

        >>> import llminspect
        >>> model = llminspect.open_model("smollm2")
        >>> seen = model.run_with_cache("The capital of France is", "layers.*.attention.weights", "layers.29.output")
        >>> len(seen.arrays), seen["layers.3.attention.weights"].shape, seen["layers.29.output"].shape
        (31, (9, 5, 5), (5, 576))
        >>> llminspect.decode([seen.logits.argmax()])
        ' Paris'
        """
        from llminspect.analysis.batches import looked_at_together
        from llminspect.analysis.looking import looked_at

        patterns = names_of(names)
        if several(text) and target is None:
            prompts = [prompt_of(one, source, self.tokenizer) for one in text]
            found = iter(looked_at_together(self, prompts, patterns))
            return self._each(text, source, lambda prompt: next(found))
        return self._each(text, source, lambda prompt: looked_at(self, prompt, patterns, (), target))

    @takes_options
    def run_with_taps(
        self, text: Text | Texts, taps: Taps, *names: Names, target: Target = None, source: PairOptions
    ) -> RunResult:
        """A pass in which functions change what goes by, and what it then leaves of the arrays that are named.

        `taps` are functions by the names, patterns or places that they change: each is given a copy of the array and
        gives back one of the same shape. Edits do as well (`scaled`, `replaced`, `added`). Gives what
        `run_with_cache` gives, of the changed pass. Raises UserError for a name that names no step of the pass, and for
        a function that gives back none, or an array of another shape; what a function itself raises goes on.

        >>> import llminspect
        >>> model = llminspect.open_model("smollm2")
        >>> def silenced(mixed_HTE):
        ...     mixed_HTE[3] = 0
        ...     return mixed_HTE
        >>> seen = model.run_with_taps("The capital of France is", {"layers.0.attention.mixed": silenced})
        >>> llminspect.decode([seen.logits.argmax()])
        ' Paris'
        >>> both = llminspect.scaled(llminspect.Place(0, "head", 3), 0)
        >>> bool((model.run_with_taps("The capital of France is", both).logits == seen.logits).all())
        True
        """
        from llminspect.analysis.looking import looked_at

        patterns = names_of(names)
        return self._each(text, source, lambda prompt: looked_at(self, prompt, patterns, taps_of(taps), target))

    @takes_options
    def gradients(
        self, text: Text | Texts, *, of: Of, at: Names, taps: Taps = None, target: Target = None, source: PairOptions
    ) -> GradientResult:
        """How a number that the pass gives changes with arrays on the way to it.

        `of` is a token (a text, or an id), for its log-probability after the text in nats; two, for the difference of
        their logits; or a function of the arrays by their names that gives one number, made with numpy's functions.
        `at` names arrays, as in `run_with_cache`; `taps` act as in `run_with_taps`. Gives the `value`, the `arrays` and
        their `gradients`: how much the value grows for each unit added to what the step gives. It goes back over what
        numpy computed, exactly, whatever engine the model has; an expert that a token did not choose counts as nothing,
        and rounded weights as what they stand for. Raises UsageError for an `of` that is none or hangs on no array of
        `at`, UserError for a name that names no step, and for a text too long to keep what its pass computes.

        >>> import llminspect
        >>> model = llminspect.open_model("smollm2")
        >>> found = model.gradients("The capital of France is", of=" Paris", at="layers.0.input")
        >>> round(found.value, 3), found["layers.0.input"].shape
        (-0.258, (5, 576))
        >>> def looks_back(seen):
        ...     return seen["layers.3.attention.weights"][:, -1, 0].sum()
        >>> model.gradients("A cat sat.", of=looks_back, at="layers.2.output")["layers.2.output"].shape
        (4, 576)
        """
        from llminspect.analysis.gradients import gradients

        patterns, wanted = names_of((at,)), of if callable(of) else self._answers(of)
        if not patterns:
            raise UsageError("at names no array", "for example at='layers.*.output'")
        return self._each(text, source, lambda prompt: gradients(self, prompt, wanted, patterns, taps_of(taps), target))

    def _each(self, text: Any, source: PairOptions, work: Callable[[Prompt], R]) -> R:
        return each(text, source, self.tokenizer, work, provenance=self.provenance)

    def _answers(self, of: Any) -> Any:
        """The id of a token, or the ids of two."""
        from llminspect.arguments.words import one_token

        if isinstance(of, list | tuple):
            if len(of) != 2:
                raise UsageError(
                    f"of takes one token or two, not {len(of)}", "of=' Paris', or of=(' Paris', ' London')"
                )
            return tuple(self._answers(one) for one in of)
        if type(of) not in (str, int):
            raise UsageError(f"of takes a token, two, or a function, not {of!r}", "of=' Paris'")
        return one_token(self, of, "of")


def of_model(model: Model) -> OpenModel:
    """The same model with these methods."""
    return OpenModel(**vars(model))


def names_of(names: Any) -> list[str]:
    """The names and patterns of what was given. Raises UsageError for what is none."""
    if isinstance(names, str | Place):
        return [names.tap if isinstance(names, Place) else names]
    if isinstance(names, list | tuple):
        return [name for one in names for name in names_of(one)]
    raise UsageError(f"not a name of an array: {type(names).__name__}", "docs/shapes.md lists them, model.names() too")


def taps_of(taps: Any) -> list[Tap]:
    """The taps of what was given. Raises UsageError for what is none."""
    if taps is None:
        return []
    if isinstance(taps, Mapping):
        named = [(name, function) for keys, function in taps.items() for name in names_of(keys)]
        for name, function in named:
            if not callable(function):
                raise UsageError(f"the tap of {name!r} is no function", "give one that takes an array and returns one")
        return [Edit(name, Outside(function, name)) for name, function in named]
    if isinstance(taps, list | tuple):
        return [tap for one in taps for tap in taps_of(one)]
    if callable(taps) and hasattr(taps, "wants"):
        return [taps]
    raise UsageError(f"not a tap: {type(taps).__name__}", "give functions by names, {name: function}, or scaled(…)")
