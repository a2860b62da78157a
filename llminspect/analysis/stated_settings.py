"""What a model's own files say of how its tokens are to be chosen: `generation_config.json`, of older models
`config.json`. The settings are those of transformers' `generate`; where one is absent, its default counts.
Of a GGUF file the keys under `general.sampling.`: gguf-py names them (constants.py) and fills them from a model's
`generation_config.json` (metadata.py); llama.cpp takes them in place of its own defaults (common/common.cpp:
common_init_sampler_from_model; common/common.h: common_params_sampling), and draws.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, fields, replace
from typing import Any, Literal, TypeVar

from llminspect.arguments.option import checked, option
from llminspect.core.dataclass import dataclass
from llminspect.core.sampling import ORDERS
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


SAMPLING = "general.sampling."


@dataclass(frozen=True)
class LlamaSettings:
    """The keys, with llama.cpp's defaults."""

    sequence: str | None = option()
    """The filters in their order, as `top_k;top_p;temperature`; what it lacks does not act."""
    temp: float = option(0.8, min=-LARGEST, max=LARGEST)
    """Not above 0: the most probable token is taken."""
    top_k: int = option(40)
    """Not above 0: all are kept."""
    top_p: float = option(0.95, min=0, max=LARGEST)
    min_p: float = option(0.05, min=-LARGEST, max=1)
    penalty_repeat: float = option(1.0, min=SMALLEST, max=LARGEST)
    penalty_last_n: int = option(64, min=-1)
    """Tokens back that the penalty looks; −1: to the first."""
    xtc_probability: float = option(0.0, min=-LARGEST, max=LARGEST)
    xtc_threshold: float = option(0.1, min=-LARGEST, max=LARGEST)
    """Above 0.5 nothing is excluded."""
    mirostat: int = option(0, min=0, max=2)
    mirostat_tau: float = option(5.0)
    mirostat_eta: float = option(0.1)


FILTERS = {
    "penalty": "penalties",
    "top-k": "top_k top-k topk",
    "top-p": "top_p top-p topp nucleus",
    "min-p": "min_p min-p minp",
    "xtc": "xtc",
    "temperature": "temperature temp",
    "": "dry typ_p typ-p typp typ top_n_sigma top-n-sigma topnsigma",
}
"""The names in a sequence (common/sampling.cpp: common_sampler_types_from_names). The last have no key here, and do
nothing by default."""
FIELDS = {
    "temp": "temperature",
    **{name: name for name in ("top_k", "top_p", "min_p")},
    "penalty_repeat": "repetition_penalty",
    "penalty_last_n": "penalty_window",
    "sequence": "sampler_order",
}
"""The keys that are applied, and what they are called in the settings of transformers."""


def of_gguf(model: Model) -> FileSettings | None:
    """What the file says; None where that is nothing. Raises ModelError for what is not understood."""
    values = {key.removeprefix(SAMPLING): value for key, value in model.generation.items() if key.startswith(SAMPLING)}
    strange = sorted(values.keys() - {entry.name for entry in fields(LlamaSettings)})
    if strange:
        raise not_understood(model, ", ".join(f"{SAMPLING}{key} = {as_json(values[key])}" for key in strange))
    if not values:
        return None
    # llama.cpp reads them from a text with six digits after the point.
    values = {key: round(value, 6) if isinstance(value, float) else value for key, value in values.items()}
    stated = read_as(model, LlamaSettings, values)
    order, acting = _in_order(model, stated)
    settings = ModelSettings(
        do_sample=stated.temp > 0 or "temperature" not in acting,
        temperature=stated.temp if stated.temp > 0 and "temperature" in acting else 1.0,
        top_k=stated.top_k if "top-k" in acting else 0,
        top_p=stated.top_p if "top-p" in acting else 1.0,
        min_p=stated.min_p if "min-p" in acting else None,
        repetition_penalty=stated.penalty_repeat if "penalty" in acting else 1.0,
    )
    undone = {"mirostat": stated.mirostat > 0, "xtc_probability": "xtc" in acting}
    looks_back = "penalty" in acting and stated.penalty_last_n > 0
    return FileSettings(
        settings,
        {
            field: (f"{SAMPLING}{key}", values[key])
            for key, field in FIELDS.items()
            if key in values and (looks_back or field != "penalty_window")
        },
        {f"{SAMPLING}{key}": values[key] for key, holds in undone.items() if holds},
        order,
        stated.penalty_last_n if looks_back else None,
    )


def _in_order(model: Model, stated: LlamaSettings) -> tuple[Literal["reference", "llama.cpp"], set[str]]:
    """The order in which the filters act, and those that do. Raises ModelError for an order that is neither."""
    doing: Mapping[str, bool] = {
        "penalty": stated.penalty_repeat != 1 and stated.penalty_last_n != 0,
        "top-k": stated.top_k > 0,
        "top-p": stated.top_p < 1,
        "min-p": stated.min_p > 0,
        "xtc": stated.xtc_probability > 0 and stated.xtc_threshold <= 0.5,
        "temperature": True,
    }
    if not stated.sequence:
        return "llama.cpp", {name for name, does in doing.items() if does}
    listed = []
    for word in stated.sequence.lower().split(";"):
        found = [name for name, spellings in FILTERS.items() if word in spellings.split()]
        if not found:
            raise not_understood(model, f"{SAMPLING}sequence names {as_json(word)}")
        listed += [name for name in found if doing.get(name)]
    for order, names in ORDERS.items():
        if listed == [name for name in ("penalty", *names, "xtc") if name in listed]:
            return order, set(listed)  # type: ignore[return-value]
    raise not_understood(model, f"the order of {SAMPLING}sequence = {as_json(stated.sequence)} is not computed here")
