"""One vector for a whole text: as the user chose, or as the model's own files declare it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from llminspect.arguments.embed import EmbedOptions
from llminspect.arguments.embed import Pool as Choice
from llminspect.core.dataclass import dataclass
from llminspect.core.pooling import MODES, Dense, Normalize, Pool, Step
from llminspect.errors import ModelError, UsageError
from llminspect.model.opened import Model
from llminspect.text.prompt import Prompt


@dataclass(frozen=True)
class PoolingStep:
    """One step from the tokens' vectors to that of the text."""

    kind: Literal["pool", "dense", "normalize"]
    modes: list[str] | None = None
    """Of pool; several stand side by side. first, max, mean, last; mean_sqrt: the sum divided by the square root of the
    number of tokens; weighted_mean: token t counts t + 1 times."""
    inputs: int | None = None
    """Of dense: how many numbers go in …"""
    outputs: int | None = None
    """… and come out."""
    activation: str | None = None

    def __str__(self) -> str:
        if self.kind == "dense":
            return f"dense {self.inputs} to {self.outputs}, {self.activation}"
        return " + ".join(self.modes or ["length 1"]).replace("_", " ")


@dataclass(frozen=True)
class Pooling:
    """What became of the tokens' vectors, in order."""

    declared: bool
    """Whether the model's files say so."""
    steps: list[PoolingStep]


def pool_of(model: Model, options: EmbedOptions, several: bool) -> Choice:
    """How vectors are pooled: as was chosen; else, where several texts are compared or vectors normalized, as the model
    declares."""
    if options.pool is not None:
        return options.pool
    compared = several and (options.similarity or options.project is not None)
    wanted = (compared or options.normalize) and options.at in (None, "final")
    declared = model.declared_pooling() if wanted else None
    return "model" if declared is not None and declared.steps else "none"


def steps_of(model: Model, options: EmbedOptions, pool: Choice) -> tuple[list[Step], list[str]]:
    """The steps, and what is to be noted of them: that the model declares others than the user chose.

    Raises UsageError where the model declares none.
    """
    steps: list[Step] = []
    notes: list[str] = []
    if pool == "model":
        declared = model.declared_pooling()
        if declared is None:
            hint = "take --pool mean, first or last"
            raise UsageError(f"{model.name} declares no pooling: no modules.json, no pooling_type", hint)
        steps += declared.steps
    elif pool in MODES:
        steps.append(Pool((pool,)))
        notes += _differing(model, steps) if options.at in (None, "final") else []
    if options.normalize and not (steps and isinstance(steps[-1], Normalize)):
        steps.append(Normalize())
    return steps, notes


def _differing(model: Model, chosen: Sequence[Step]) -> list[str]:
    """Whether the model declares another pooling, lengths aside, in a line."""
    try:
        declared = model.declared_pooling()
    except ModelError as error:
        return [error.message]
    if declared is None or not declared.steps:
        return []
    if [step for step in declared.steps if not isinstance(step, Normalize)] == chosen:
        return []
    return [f"{model.name} declares another pooling: {declared}; --pool model does so"]


def treated(model: Model, prompts: Sequence[Prompt]) -> list[str]:
    """What the model's own settings would do to these texts first, a line each."""
    declared, tokenizer, notes = model.declared_pooling(), model.tokenizer, list[str]()
    if declared is None:
        return notes
    longest = max(len(prompt.tokens) for prompt in prompts)
    if declared.longest is not None and longest > declared.longest:
        notes.append(
            f"{longest} tokens: the settings of {model.name} cut a text off at {declared.longest}, which is not done "
            "here"
        )
    texts = [prompt.text for prompt in prompts if prompt.text is not None]
    if (
        declared.lowercase
        and tokenizer
        and any(tokenizer.encode_ids(text) != tokenizer.encode_ids(text.lower()) for text in texts)
    ):
        notes.append(f"the settings of {model.name} put a text in lower case first, which is not done here")
    usual = declared.default_prompt
    if usual is not None and not all(text.startswith(declared.prompts[usual]) for text in texts):
        prompt = declared.prompts[usual]
        notes.append(
            f"the settings of {model.name} put {prompt!r:.100} ({usual:.40}) in front of a text, which is not done here"
        )
    if not declared.prompt_counts and any(text.startswith(tuple(declared.prompts.values())) for text in texts):
        notes.append(
            f"the settings of {model.name} leave the tokens of a prompt out of the pooling, which is not done here"
        )
    return notes


def document_of_step(step: Step) -> PoolingStep:
    """As a Result has it."""
    if isinstance(step, Pool):
        return PoolingStep("pool", list(step.modes))
    if isinstance(step, Dense):
        outputs, inputs = step.weight_OI.shape
        return PoolingStep("dense", inputs=inputs, outputs=outputs, activation=step.activation)
    return PoolingStep("normalize")
