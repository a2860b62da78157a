"""What of a model's own settings for choosing tokens is applied (`--model-settings`).

They are read by stated_settings.py and gguf_settings.py. What was given as an option comes first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, Literal

from llminspect.analysis.stated_settings import OPTIONS_INSTEAD, FileSettings, ids_of, of_gguf, of_transformers
from llminspect.arguments.generate import GenerateOptions, SamplingOptions, draws
from llminspect.arguments.together import check_together
from llminspect.core.dataclass import dataclass
from llminspect.core.decoding import EarlyStopping
from llminspect.core.rules import Rules
from llminspect.errors import ModelError, UsageError, as_json
from llminspect.model.opened import Model, end_ids

OF_DRAWS = ("temperature", "top_k", "top_p", "min_p", "typical_p")
OF_LENGTH = ("max_new_tokens", "max_length")
OF_BEAMS = ("length_penalty", "early_stopping", "renormalize_logits")
GIVEN_AS = {
    "typical_p": "typical",
    "no_repeat_ngram_size": "no_repeat_ngram",
    "num_beams": "beams",
    "num_return_sequences": "n",
    "penalty_window": "repetition_penalty",
    **dict.fromkeys(OF_LENGTH, "max_tokens"),
}
"""The options that take the place of settings, where their names are others."""


@dataclass(frozen=True)
class StatedSettings:
    """What the model's own settings add to the options."""

    applied: dict[str, Any]
    """Those that say anything beside the options, by their names in the file."""
    rules: Rules
    early_stopping: EarlyStopping
    sampler_order: Literal["reference", "llama.cpp"]
    max_length: int | None
    """Where the completion ends, in tokens from the prompt's first, unless its own length is stated or given."""
    notes: Sequence[str] = ()
    """What of them does not go with the options, and is left out."""


def settings_in_files(model: Model) -> FileSettings | None:
    """What the files say; None where that is nothing. Raises ModelError for what is not understood."""
    return (of_gguf if "general.architecture" in model.generation else of_transformers)(model)


def with_model_settings(
    model: Model, sampling: SamplingOptions, options: GenerateOptions, *others: Any
) -> tuple[SamplingOptions, GenerateOptions, StatedSettings | None]:
    """The options filled with what the model's own settings say, and the rest of these, with --model-settings.

    Raises UsageError for a model that has none, and for options that do not go with its beams (`others` are further
    options of the command); ModelError for settings that are not understood or not computed here.
    """
    if not options.model_settings:
        return sampling, options, None
    found = settings_in_files(model)
    if found is None:
        raise UsageError(
            f"--model-settings: the files of {model.name} do not say how its tokens are chosen", "leave it out"
        )
    if found.not_done:
        raise ModelError(
            f"{model.name} is meant to run with {listed(found.not_done)}, which is not computed here", OPTIONS_INSTEAD
        )
    settings, taken = found.settings, _given(sampling) | _given(options)
    drawn, beams = _way(found, sampling, options)
    if drawn and beams:
        raise ModelError(
            f"{model.name} is meant to run with {beams} beams that are drawn, which is not computed here",
            f"--beams {beams} searches without drawing, --temperature 1 draws without beams",
        )
    values = {key: getattr(settings, key) for key in ("repetition_penalty", "no_repeat_ngram_size")}
    if drawn:
        values |= {key: getattr(settings, key) for key in OF_DRAWS} | {"top_k": settings.top_k or None}
    values = {GIVEN_AS.get(key, key): value for key, value in values.items() if GIVEN_AS.get(key, key) not in taken}
    more: dict[str, Any] = {"max_tokens": settings.max_new_tokens} | (
        {"n": settings.num_return_sequences} if drawn else {}
    )
    more |= {"length_penalty": settings.length_penalty} if beams else {}
    filled = replace(options, beams=beams, **{key: value for key, value in more.items() if key not in taken})
    stated = StatedSettings(
        _speaking(found, sampling, options),
        _rules(model, found, None if "repetition_penalty" in taken else found.penalty_window),
        settings.early_stopping,
        found.sampler_order,
        settings.max_length if filled.max_tokens is None else None,
        [f"num_beams = {settings.num_beams} of {model.name} is left out: tokens are drawn, as the options say"]
        if settings.num_beams > 1 and options.beams is None and draws(sampling, options)
        else (),
    )
    sampling = replace(sampling, **values)
    try:
        check_together("generate", sampling, replace(filled, model_settings=False), *others)
    except UsageError as error:
        how = f"searches with {beams} beams" if beams else "draws" if drawn else "takes the most probable token"
        way_out = "--temperature 0 takes the most probable token instead" if beams else error.hint
        raise UsageError(f"by its own settings {model.name} {how}: {error.message}", way_out) from None
    return sampling, filled, stated


def remark(model: Model, sampling: SamplingOptions, options: GenerateOptions) -> str | None:
    """A line about the settings of the model that would change what is written, and are not applied."""
    if options.model_settings:
        return None
    try:
        found = settings_in_files(model)
    except ModelError as error:
        return f"{error.message}; nothing of them is applied"
    spoken = {} if found is None else _speaking(found, sampling, options, besides=OF_LENGTH) | dict(found.not_done)
    if found is None or not spoken:
        return None
    undone = found.not_done or all(_way(found, sampling, options))
    then = "not all of it is computed here" if undone else f"--model-settings chooses as {model.name} states"
    return f"not applied: {listed(spoken)}; {then}"


def _speaking(
    found: FileSettings, sampling: SamplingOptions, options: GenerateOptions, besides: Sequence[str] = ()
) -> dict[str, Any]:
    """The settings of the model that say anything beside these options, by their names in the file; not `besides`."""
    taken, (drawn, beams) = _given(sampling) | _given(options), _way(found, sampling, options)
    speaks = dict.fromkeys((*OF_DRAWS, "num_return_sequences", "sampler_order"), drawn)
    speaks |= dict.fromkeys(OF_BEAMS, bool(beams)) | dict.fromkeys(besides, False)
    speaks |= {"do_sample": drawn and not draws(sampling, options), "num_beams": bool(beams)}
    if found.settings.max_new_tokens is not None:
        speaks["max_length"] = False
    return {
        name: value
        for field, (name, value) in found.stated.items()
        if speaks.get(field, True) and GIVEN_AS.get(field, field) not in taken
    }


def listed(settings: Mapping[str, Any]) -> str:
    """Settings in a line."""
    return ", ".join(f"{key} = {as_json(value, 40)}" for key, value in settings.items())


def _way(found: FileSettings, sampling: SamplingOptions, options: GenerateOptions) -> tuple[bool, int]:
    """Whether tokens are drawn, and the number of beams: as the options say, else as the settings do."""
    if (drawn := draws(sampling, options)) or sampling.temperature == 0 or options.beams:
        return drawn, options.beams or 0
    beams = found.settings.num_beams if options.beams is None and found.settings.num_beams > 1 else 0
    return found.settings.do_sample, beams


def _given(group: SamplingOptions | GenerateOptions) -> set[str]:
    return {field.name for field in fields(group) if getattr(group, field.name) != field.default}


def _rules(model: Model, found: FileSettings, penalty_window: int | None) -> Rules:
    settings = found.settings
    return Rules(
        bad_words=settings.bad_words_ids,
        min_length=settings.min_length,
        min_new_tokens=settings.min_new_tokens,
        ends=end_ids(model.generation),
        first=settings.forced_bos_token_id,
        last=ids_of(settings.forced_eos_token_id),
        never=settings.suppress_tokens,
        never_first=settings.begin_suppress_tokens,
        renormalize=settings.renormalize_logits,
        source_penalty=settings.encoder_repetition_penalty,
        source_repeats=settings.encoder_no_repeat_ngram_size,
        penalty_window=penalty_window,
    )
