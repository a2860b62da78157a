"""A question's Result, by the very function that the command calls."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from llminspect.analysis.explore.events import LONGEST_TEXT
from llminspect.analysis.explore.questions import PaneQuestion, groups_of
from llminspect.analysis.explore.state import ExploreState
from llminspect.analysis.result import Result
from llminspect.arguments.directions import parse_saved
from llminspect.arguments.experiments import (
    ExperimentOptions,
    PatchOptions,
    parse_neuron_steering,
    parse_place,
    parse_steered,
)
from llminspect.arguments.features import FEATURE_KINDS, names_feature, parse_feature_edit
from llminspect.arguments.ranges import shortened
from llminspect.arguments.shared import SourceOptions
from llminspect.arguments.words import parse_direction, parse_factor
from llminspect.errors import UsageError
from llminspect.model.opened import Model
from llminspect.text.prompt import Prompt
from llminspect.text.tokenizer import Tokenizer, utf8

SOURCE = SourceOptions()
AT = "--features-at"
"""The option of `explore` that says where a dictionary reads."""
MOST_TOKENS = 2048
"""Of a text: what follows each key, and what is drawn, is made for texts that a person reads."""


def prompt_of_state(model: Model, state: ExploreState) -> Prompt:
    """The text, and the tokens that were taken after it. It is a text still where that would be cut into these very
    tokens; else ids are all that says what it is."""
    from llminspect.analysis.prompt import prompt_of_ids, text_prompt

    source = SourceOptions(user=state.text) if state.chat else SOURCE
    if model.tokenizer is None and not state.chat:
        from llminspect.arguments.ranges import parse_ids

        return prompt_of_ids([*(parse_ids(state.text) or ()), *state.taken_ids()], None, None)
    prompt, taken = text_prompt(state.text, source, model.tokenizer, None), state.taken_ids()
    if not taken:
        return prompt
    ids, tokenizer = [*prompt.ids, *taken], model.tokenizer
    if tokenizer is not None and not state.chat:
        added = b"".join(map(tokenizer.shown_bytes, taken)).decode("utf-8", "replace")
        longer = text_prompt(state.text + added, source, tokenizer, None)
        if longer.ids == ids:
            return longer
    return prompt_of_ids(ids, tokenizer, None)


def check_length(model: Model, state: ExploreState) -> None:
    """Raise UsageError for a text that is too long to be looked at so, before anything is computed of it."""
    if len(state.text) > LONGEST_TEXT:
        found = f"{len(state.text):,} characters", f"{LONGEST_TEXT:,}"
    else:
        # A token is a byte at least.
        tokens = 0 if len(utf8(state.text)) < MOST_TOKENS // 2 else len(prompt_of_state(model, state).tokens)
        if tokens <= MOST_TOKENS:
            return
        found = f"{tokens:,} tokens", f"{MOST_TOKENS:,}"
    raise UsageError(
        f"the text has {found[0]}, and explore takes {found[1]} at most", "the other commands take longer ones"
    )


def check_dictionary(model: Model, state: ExploreState) -> int:
    """How many features the dictionary has, if there is one. Raises UserError for one that is none, or does not fit."""
    if state.features is None:
        if state.features_at is not None:
            raise UsageError("--features-at has no effect without --features", "give --features as well")
        return 0
    from llminspect.analysis.opened_dictionary import open_dictionary

    return open_dictionary(model, state.features, state.features_at, option=AT).made.features


def check_change(model: Model, state: ExploreState, kind: str, value: str) -> None:
    """Raise UsageError for a change to what is not there, before anything is computed."""
    if names_feature(value) and kind in FEATURE_KINDS:
        if state.features is None:
            raise UsageError("there is no dictionary of features", "explore --features PATH opens one")
        parse_feature_edit(kind, value, check_dictionary(model, state))
        return
    if kind == "steer":
        if parse_saved(value) is None and parse_neuron_steering(model, value) is None:
            parse_steered(model, parse_direction(value)[1])
        return
    where, times = value, "1"
    if kind == "scale":
        where, _, times = value.rpartition("*")
    if parse_factor(times) is None or not where:
        raise UsageError(f"--scale {shortened(value)!r} does not end in a factor", "for example 3.2*0.5")
    parse_place(model, where, "--into" if kind == "patch" else f"--{kind}", stream=kind == "patch")


def answer(
    model: Model,
    one: PaneQuestion,
    prompt: Prompt,
    state: ExploreState,
    progress: Callable[[int, int], object] | None = None,
) -> Result:
    """What the command would give; `progress` is told the tokens of a corpus that were read. Raises UserError as it
    would."""
    if one.command == "head":
        return _head(model, one, progress)
    answers = {
        "generate": _generate, "forward": _forward, "attend": _attend, "tokenize": _tokenize, "features": _features,
    }  # fmt: skip
    return answers[one.command](model, one, prompt, state)


def _second_ids(model: Model, options: PatchOptions, state: ExploreState) -> list[int] | None:
    from llminspect.analysis.prompt import text_prompt

    if options.patch is None:
        return None
    if state.chat:
        raise UsageError("patches are for a text as it is, not for a chat", "leave the chat, or undo the patch")
    return text_prompt(str(options.patch), SOURCE, model.tokenizer, None).ids


def _generate(model: Model, one: PaneQuestion, prompt: Prompt, state: ExploreState) -> Result:
    from llminspect.analysis.generate import GenerateQuestion, generate
    from llminspect.arguments.generate import GenerateOptions, SamplingOptions, seed_of

    kinds = (SamplingOptions, GenerateOptions, PatchOptions, ExperimentOptions)
    sampling, options, patch, changes = groups_of(one, *kinds)
    second = _second_ids(model, patch, state)
    return generate(
        model, GenerateQuestion(sampling, options, changes, seed_of(sampling, options), patch, second), prompt
    )


def _forward(model: Model, one: PaneQuestion, prompt: Prompt, state: ExploreState) -> Result:
    from llminspect.analysis.forward import forward
    from llminspect.analysis.forward_result import ForwardQuestion
    from llminspect.arguments.forward import ForwardOptions, SweepOptions

    look, patch, changes = groups_of(one, ForwardOptions, SweepOptions, ExperimentOptions)
    return forward(model, ForwardQuestion(look, patch, changes, _second_ids(model, patch, state)), prompt)


def _attend(model: Model, one: PaneQuestion, prompt: Prompt, state: ExploreState) -> Result:
    from llminspect.analysis.attend import attend
    from llminspect.analysis.changed import ModelChanges
    from llminspect.arguments.attend import AttendOptions

    options, patch, changes = groups_of(one, AttendOptions, PatchOptions, ExperimentOptions)
    return attend(model, options, prompt, changes=ModelChanges(changes, patch, _second_ids(model, patch, state)))


def _head(model: Model, one: PaneQuestion, progress: Callable[[int, int], object] | None) -> Result:
    from llminspect.analysis.head import head
    from llminspect.arguments.parts import CorpusOptions, HeadOptions

    options = dict(one.options)
    corpus = CorpusOptions(Path(options["corpus"]), options["most"]) if "corpus" in options else CorpusOptions()
    return head(model, HeadOptions(one.name), corpus, progress)


def _features(model: Model, one: PaneQuestion, prompt: Prompt, state: ExploreState) -> Result:
    from llminspect.analysis.features import features
    from llminspect.analysis.opened_dictionary import open_dictionary
    from llminspect.arguments.features import FeatureEdits, FeaturesOptions
    from llminspect.arguments.parts import CorpusOptions

    (options,) = groups_of(one, FeaturesOptions)
    opened = open_dictionary(model, one.name, options.at, option=AT)
    return features(model, opened, options, FeatureEdits(), CorpusOptions(), prompt)


@lru_cache(maxsize=8)  # The text changes with each key, they do not.
def _opened(name: str) -> Tokenizer:
    from llminspect.opening import open_tokenizer

    return open_tokenizer(name)[0]


def _tokenize(model: Model, one: PaneQuestion, prompt: Prompt, state: ExploreState) -> Result:
    from llminspect.analysis.compare_tokenizers import compare
    from llminspect.analysis.tokenize import tokenize
    from llminspect.arguments.tokenize import TokenizeOptions

    if model.tokenizer is None:
        raise UsageError(f"{model.name} comes without a tokenizer")
    others = dict(one.options).get("compare", ())
    if not others:
        return tokenize(model.tokenizer, TokenizeOptions(), SOURCE, prompt)
    if prompt.text is None:
        raise UsageError(
            "other tokenizers cut a text, and no text is cut into these very tokens",
            "Backspace takes the last of them away",
        )
    known = [(name, model.tokenizer if name == model.name else _opened(name)) for name in others]
    return compare(known, prompt.text, SOURCE, TokenizeOptions())
