"""How a model's own files say that its tokens are to be chosen, and what of it is applied (`--model-settings`).

The settings are those of transformers' `generate`, read from `generation_config.json` or of older models from
`config.json`; where one is absent, the default is that of `generate`. What was given as an option comes first.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal

from llminspect.arguments.generate import draws
from llminspect.arguments.option import checked, option
from llminspect.arguments.together import check_together
from llminspect.core.rules import Rules
from llminspect.errors import ModelError, UsageError, UserError
from llminspect.model.opened import end_ids

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llminspect.arguments.generate import GenerateOptions, SamplingOptions
    from llminspect.core.decoding import EarlyStopping
    from llminspect.model.opened import Model

SMALLEST, LARGEST = 1e-6, 1e6


@dataclass(frozen=True)
class ModelSettings:
    """The settings that are applied, by their names in the file, with the defaults of `generate`."""

    do_sample: bool = option(False)
    temperature: float = option(1.0, min=SMALLEST, max=LARGEST)
    top_k: int = option(50, min=0)
    top_p: float = option(1.0, min=0, max=1)
    min_p: float | None = option(min=0, max=1)
    typical_p: float = option(1.0, min=0, max=1)
    num_beams: int = option(1, min=1, max=1000)
    length_penalty: float = option(1.0, min=-LARGEST, max=LARGEST)
    early_stopping: bool | Literal["never"] = option(False)
    renormalize_logits: bool = option(False)
    repetition_penalty: float = option(1.0, min=SMALLEST, max=LARGEST)
    no_repeat_ngram_size: int = option(0, min=0)
    bad_words_ids: tuple[tuple[int, ...], ...] = option((), min=0)
    min_length: int = option(0, min=0)
    min_new_tokens: int = option(0, min=0)
    forced_bos_token_id: int | None = option(min=0)
    forced_eos_token_id: int | tuple[int, ...] | None = option(min=0)
    suppress_tokens: tuple[int, ...] = option((), min=0)
    begin_suppress_tokens: tuple[int, ...] = option((), min=0)


OF_DRAWS = ("temperature", "top_k", "top_p", "min_p", "typical_p")
OF_BEAMS = ("length_penalty", "early_stopping", "renormalize_logits")
GIVEN_AS = {"typical_p": "typical", "no_repeat_ngram_size": "no_repeat_ngram", "num_beams": "beams"}
"""The options that take the place of settings, where their names are others."""
NOT_DONE: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(("encoder_no_repeat_ngram_size", "diversity_penalty", "epsilon_cutoff", "eta_cutoff"), (0,)),
    **dict.fromkeys(("encoder_repetition_penalty", "num_beam_groups", "guidance_scale"), (1,)),
    **dict.fromkeys(
        (
            *("exponential_decay_length_penalty", "top_h", "sequence_bias", "penalty_alpha", "forced_decoder_ids"),
            *("watermarking_config", "constraints", "force_words_ids", "dola_layers", "stop_strings", "max_time"),
        ),
        (),
    ),
}
"""What `generate` knows and is not computed here, with the values that change nothing."""


@dataclass(frozen=True)
class StatedSettings:
    """What the model's own settings add to the options."""

    applied: dict[str, Any]
    """Those that say anything beside the options, by their names in the file."""
    rules: Rules
    early_stopping: EarlyStopping


def read_settings(model: Model) -> ModelSettings:
    """What the files say. Raises ModelError for values that cannot be."""
    stated = {field.name: model.generation.get(field.name) for field in fields(ModelSettings)}
    where = f"the settings of {model.name} for generating"
    try:
        settings = checked(ModelSettings(**{key: value for key, value in stated.items() if value is not None}))
    except UsageError as error:
        name, _, wrong = error.message.partition("'--")[2].partition("'")
        hint = "without --model-settings options say how tokens are chosen"
        raise ModelError(f"{where} are not understood: {name.replace('-', '_')}{wrong}", hint) from None
    ids = [*_ids(settings.forced_bos_token_id), *_ids(settings.forced_eos_token_id), *settings.suppress_tokens]
    ids += [*settings.begin_suppress_tokens, *(token_id for word in settings.bad_words_ids for token_id in word)]
    outside = [token_id for token_id in ids if not 0 <= token_id < model.config.sizes.V]
    if outside or not all(settings.bad_words_ids):
        what = f"id {outside[0]} is outside the vocabulary" if outside else "one of bad_words_ids is empty"
        raise ModelError(f"{where} are not understood: {what}")
    # An end of the text may be taken even if it is called a bad word, as in transformers.
    ends = [(end,) for end in end_ids(model.generation)]
    return replace(settings, bad_words_ids=tuple(word for word in settings.bad_words_ids if word not in ends))


def with_model_settings(
    model: Model, sampling: SamplingOptions, options: GenerateOptions, *others: Any
) -> tuple[SamplingOptions, GenerateOptions, StatedSettings | None]:
    """The options filled with what the model's own settings say, and the rest of these, with --model-settings.

    Raises UsageError for a model that has none, and for options that do not go with its beams (`others` are further
    options of the command); UserError for what is not computed here.
    """
    if not options.model_settings:
        return sampling, options, None
    if not _has_settings(model):
        raise UsageError(f"--model-settings: {model.name} has no generation_config.json", "leave it out")
    if undone := _not_done(model):
        raise UserError(
            f"{model.name} is to be run with {listed(undone)}, which is not computed here",
            "without --model-settings options say how tokens are chosen",
        )
    settings = read_settings(model)
    drawn, beams = _way(settings, sampling, options)
    if drawn and beams:
        raise UserError(
            f"{model.name} is to be run with {beams} beams that are drawn, which is not computed here",
            f"--beams {beams} searches without drawing, --temperature 1 draws without beams",
        )
    values = {key: getattr(settings, key) for key in ("repetition_penalty", "no_repeat_ngram_size")}
    if drawn:
        values |= {key: getattr(settings, key) for key in OF_DRAWS} | {"top_k": settings.top_k or None}
    taken = _given(sampling)
    values = {GIVEN_AS.get(key, key): value for key, value in values.items() if GIVEN_AS.get(key, key) not in taken}
    filled = replace(options, beams=beams)
    if beams and "length_penalty" not in _given(options):
        filled = replace(filled, length_penalty=settings.length_penalty)
    stated = StatedSettings(speaking(model, sampling, options), _rules(model, settings), settings.early_stopping)
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
    if options.model_settings or not _has_settings(model):
        return None
    try:
        stated = speaking(model, sampling, options) | _not_done(model)
    except ModelError as error:
        return f"{error.message}; nothing of them is applied"
    return f"not applied: {listed(stated)}; --model-settings chooses as {model.name} states" if stated else None


def speaking(model: Model, sampling: SamplingOptions, options: GenerateOptions) -> dict[str, Any]:
    """The settings of the model that say anything beside these options, by their names in the file."""
    settings, taken = read_settings(model), _given(sampling) | _given(options)
    drawn, beams = _way(settings, sampling, options)
    speaks = dict.fromkeys(OF_DRAWS, drawn) | dict.fromkeys(OF_BEAMS, bool(beams))
    speaks |= {"do_sample": drawn and not draws(sampling, options), "num_beams": bool(beams)}
    return {
        field.name: model.generation[field.name]
        for field in fields(settings)
        if getattr(settings, field.name) != field.default
        and speaks.get(field.name, True)
        and GIVEN_AS.get(field.name, field.name) not in taken
    }


def listed(settings: Mapping[str, Any]) -> str:
    """Settings in a line."""
    return ", ".join(f"{key} = {str(value) if len(str(value)) <= 40 else '…'}" for key, value in settings.items())


def _has_settings(model: Model) -> bool:
    return bool(model.generation) and "general.architecture" not in model.generation


def _not_done(model: Model) -> dict[str, Any]:
    stated = {key: model.generation.get(key) for key in NOT_DONE}
    return {key: value for key, value in stated.items() if value not in (None, False, [], {}, *NOT_DONE[key])}


def _way(settings: ModelSettings, sampling: SamplingOptions, options: GenerateOptions) -> tuple[bool, int]:
    """Whether tokens are drawn, and the number of beams: as the options say, else as the settings do."""
    if (drawn := draws(sampling, options)) or sampling.temperature == 0 or options.beams:
        return drawn, options.beams
    return settings.do_sample, settings.num_beams if settings.num_beams > 1 else 0


def _given(group: SamplingOptions | GenerateOptions) -> set[str]:
    return {field.name for field in fields(group) if getattr(group, field.name) != field.default}


def _ids(stated: int | tuple[int, ...] | None) -> tuple[int, ...]:
    return () if stated is None else (stated,) if isinstance(stated, int) else tuple(stated)


def _rules(model: Model, settings: ModelSettings) -> Rules:
    return Rules(
        bad_words=settings.bad_words_ids,
        min_length=settings.min_length,
        min_new_tokens=settings.min_new_tokens,
        ends=end_ids(model.generation),
        first=settings.forced_bos_token_id,
        last=_ids(settings.forced_eos_token_id),
        never=settings.suppress_tokens,
        never_first=settings.begin_suppress_tokens,
        renormalize=settings.renormalize_logits,
    )
