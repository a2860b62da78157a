"""What is known of long texts before anything is computed, and said then: the passes may take minutes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from llminspect.analysis.lengths import beyond_context, longest_computed
from llminspect.arguments.experiments import ExperimentOptions
from llminspect.errors import UserError

if TYPE_CHECKING:
    from llminspect.model.opened import Model
    from llminspect.text.prompt import Prompt


def noted_before(
    model: Model, prompt: Prompt, window: int | None = None, others: Sequence[Prompt | None] = ()
) -> list[str]:
    """What `beyond_context` will note of the text, or of its windows, and of the `others` beside it; nothing where one
    of them is going to be refused."""
    prompts = [each for each in (prompt, *others) if each is not None]
    counts = [len(each.tokens) for each in prompts]
    noted = beyond_context(model, *(count if window is None else min(count, window) for count in counts)) or []
    vocabulary = model.config.sizes.V
    reads = (
        noted and all(_read(model, count) for count in counts) and all(max(each.ids) < vocabulary for each in prompts)
    )
    return noted if reads else []


def noted_of_texts(model: Model, counts: Iterable[int]) -> list[str]:
    """What is noted of many texts of so many tokens, of which each is read by itself: the longest that the model was
    not made for, and how many others."""
    beyond = [count for count in counts if _read(model, count) and count > model.config.sizes.context]
    noted = (beyond_context(model, *beyond) or []) if beyond else []
    return noted if len(beyond) < 2 else [f"{note} (the longest of {len(beyond):,} such texts)" for note in noted]


def noted_of_examples(model: Model, experiments: ExperimentOptions) -> list[str]:
    """The same of the texts of --steer-from; nothing where they are going to be refused."""
    if experiments.steer_from is None:
        return []
    from llminspect.analysis.directions import prompts_of
    from llminspect.arguments.directions import parse_examples

    try:
        examples = parse_examples(experiments.steer_from)
        prompts = [each for path in (examples.positive, examples.negative) for each in prompts_of(model, path)]
    except UserError:
        return []
    return noted_of_texts(model, [len(each.tokens) for each in prompts])


def noted_of_all(
    model: Model, prompt: Prompt, other: Prompt | None, experiments: ExperimentOptions
) -> list[str] | None:
    """What is noted of a text, of another beside it, and of those of --steer-from."""
    lengths = [len(text.tokens) for text in (prompt, other) if text is not None]
    return [*(beyond_context(model, *lengths) or ()), *noted_of_examples(model, experiments)] or None


def _read(model: Model, count: int) -> bool:
    """Whether a text of so many tokens is read at all."""
    most = longest_computed(model) if model.most_tokens is None else min(model.most_tokens, longest_computed(model))
    return 0 < count <= most
