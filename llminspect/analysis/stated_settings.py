"""What a model's own files say of how its tokens are to be chosen: `generation_config.json`, of older models
`config.json`. The settings are those of transformers' `generate`; where one is absent, its default counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, fields, replace
from typing import Any, Literal, TypeVar

from llminspect.arguments.option import checked, option
from llminspect.core.dataclass import dataclass
from llminspect.errors import ModelError, UsageError, as_json
from llminspect.files.folder import GENERATION
from llminspect.model.opened import Model, end_ids

Settings = TypeVar("Settings")

SMALLEST, LARGEST = 1e-6, 1e6
OPTIONS_INSTEAD = "without --model-settings options say how tokens are chosen"


@dataclass(frozen=True)
class ModelSettings:
    """The settings that are applied, by their names in `generation_config.json`, with the defaults of `generate`."""

    do_sample: bool = option(False)
    temperature: float = option(1.0, min=SMALLEST, max=LARGEST)
    top_k: int = option(50, min=0)
    top_p: float = option(1.0, min=0, max=1)
    min_p: float | None = option(min=0, max=1)
    typical_p: float = option(1.0, min=0, max=1)
    num_beams: int = option(1, min=1, max=1000)
    num_return_sequences: int = option(1, min=1, max=1000)
    length_penalty: float = option(1.0, min=-LARGEST, max=LARGEST)
    early_stopping: bool | Literal["never"] = option(False)
    renormalize_logits: bool = option(False)
    repetition_penalty: float = option(1.0, min=SMALLEST, max=LARGEST)
    no_repeat_ngram_size: int = option(0, min=0)
    encoder_repetition_penalty: float = option(1.0, min=SMALLEST, max=LARGEST)
    encoder_no_repeat_ngram_size: int = option(0, min=0)
    bad_words_ids: tuple[tuple[int, ...], ...] = option((), min=0)
    max_new_tokens: int | None = option(min=1)
    max_length: int | None = option(min=1)
    min_length: int = option(0, min=0)
    min_new_tokens: int = option(0, min=0)
    forced_bos_token_id: int | None = option(min=0)
    forced_eos_token_id: int | tuple[int, ...] | None = option(min=0)
    suppress_tokens: tuple[int, ...] = option((), min=0)
    begin_suppress_tokens: tuple[int, ...] = option((), min=0)


CACHES = "dynamic static hybrid sliding_window offloaded offloaded_static offloaded_hybrid hybrid_chunked".split()
NOT_DONE: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(("diversity_penalty", "epsilon_cutoff", "eta_cutoff"), (0,)),
    **dict.fromkeys(("num_beam_groups", "guidance_scale"), (1,)),
    **dict.fromkeys(
        (
            *("exponential_decay_length_penalty", "top_h", "sequence_bias", "penalty_alpha", "forced_decoder_ids"),
            *("watermarking_config", "constraints", "force_words_ids", "dola_layers", "stop_strings", "max_time"),
            "token_healing",
        ),
        (),
    ),
    "cache_implementation": (*CACHES, *(f"offloaded_{name}" for name in CACHES)),  # A quantized one rounds.
}
"""What `generate` knows and is not computed here, with the values that change nothing."""
SAYS_NOTHING = frozenset(
    """
    bos_token_id eos_token_id pad_token_id decoder_start_token_id transformers_version _from_model_config _commit_hash
    _name_or_path use_cache cache_config max_cache_len output_attentions output_hidden_states output_scores
    output_logits return_dict_in_generate remove_invalid_values low_memory prefill_chunk_size compile_config
    disable_compile continuous_batching_config is_assistant num_assistant_tokens num_assistant_tokens_schedule
    assistant_confidence_threshold prompt_lookup_num_tokens max_matching_ngram_size assistant_early_exit
    assistant_lookbehind target_lookbehind assistant_ensemble_weight speculation_type use_mtp
    """.split()
)
"""Keys of `generation_config.json` that choose no other token: ids that are read elsewhere, and how fast it goes."""


@dataclass(frozen=True)
class FileSettings:
    """What the files say."""

    settings: ModelSettings
    stated: Mapping[str, tuple[str, Any]]
    """What says anything beside the defaults, by its field here: its name in the file, and its value there."""
    not_done: Mapping[str, Any] = field(default_factory=dict)
    """What is stated, and not computed here."""
    sampler_order: Literal["reference", "llama.cpp"] = "reference"
    penalty_window: int | None = None
    """How many tokens back the repetition penalty looks; None: to the first."""


def of_transformers(model: Model) -> FileSettings | None:
    """What the files of a folder say; None where that is nothing. Raises ModelError for what is not understood."""
    values = {key: value for key, value in model.generation.items() if value is not None}
    if GENERATION in values:
        raise ModelError(f"{values[GENERATION]} ({model.name})", OPTIONS_INSTEAD)
    known = {entry.name for entry in fields(ModelSettings)} | NOT_DONE.keys()
    if "model_type" in values:  # `config.json`, which says all that a model is as well.
        if values.get("force_bos_token_to_be_generated") and "bos_token_id" in values:  # BART's older key.
            values["forced_bos_token_id"] = values["bos_token_id"]
        values = {key: values[key] for key in known & values.keys()}
    if not values:
        return None
    if strange := sorted(values.keys() - known - SAYS_NOTHING):
        raise not_understood(model, ", ".join(f"{key} = {as_json(values[key])}" for key in strange))
    settings = read_as(model, ModelSettings, values)
    _check_ids(model, settings)
    several = settings.num_return_sequences
    if not settings.do_sample and several > settings.num_beams:
        found = "one text" if settings.num_beams == 1 else f"{settings.num_beams} texts"
        raise not_understood(model, f"num_return_sequences = {several}, and {found} can be found")
    # An end of the text may be taken even if it is called a bad word, as in transformers.
    ends = [(end,) for end in end_ids(model.generation)]
    settings = replace(settings, bad_words_ids=tuple(word for word in settings.bad_words_ids if word not in ends))
    speaks = [entry.name for entry in fields(settings) if getattr(settings, entry.name) != entry.default]
    undone = {key: values[key] for key in NOT_DONE if values.get(key, False) not in (False, [], {}, *NOT_DONE[key])}
    return FileSettings(settings, {key: (key, values[key]) for key in speaks}, undone)


def _check_ids(model: Model, settings: ModelSettings) -> None:
    ids = [*ids_of(settings.forced_bos_token_id), *ids_of(settings.forced_eos_token_id), *settings.suppress_tokens]
    ids += [*settings.begin_suppress_tokens, *(token_id for word in settings.bad_words_ids for token_id in word)]
    outside = [token_id for token_id in ids if not 0 <= token_id < model.config.sizes.V]
    if outside or not all(settings.bad_words_ids):
        what = f"id {outside[0]} is outside the vocabulary" if outside else "one of bad_words_ids is empty"
        raise not_understood(model, what)


def ids_of(stated: int | tuple[int, ...] | None) -> tuple[int, ...]:
    """One id, several or none, as several."""
    return () if stated is None else (stated,) if isinstance(stated, int) else tuple(stated)


def not_understood(model: Model, what: str) -> ModelError:
    """The error for settings that cannot be, or are not known."""
    return ModelError(f"the settings of {model.name} for generating are not understood: {what}", OPTIONS_INSTEAD)


def read_as(model: Model, kind: type[Settings], values: Mapping[str, Any]) -> Settings:
    """Settings of a kind, checked. Raises ModelError for a value that is none."""
    names = [entry.name for entry in fields(kind)]  # type: ignore[arg-type]
    try:
        return checked(kind(**{name: values[name] for name in names if name in values}))
    except UsageError as error:
        name = error.message.partition("'--")[2].partition("'")[0].replace("-", "_")
        known = error.message.rpartition(" is not ")[2]
        raise not_understood(model, f"{name} = {as_json(values[name])} is not {known}") from None
