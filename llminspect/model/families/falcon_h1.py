"""Falcon-H1: in every layer attention and Mamba 2 stand side by side, and nearly every map has a multiplier.

Zuo et al. 2025, "Falcon-H1", section 2. The weights are multiplied as they are read; GGUF files hold them so.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass
from llminspect.model import decoder_files as files
from llminspect.model import state_files
from llminspect.model.families import hybrid
from llminspect.model.selective_states import Mamba2
from llminspect.model.spec import TensorSpec


@dataclass(frozen=True)
class Multipliers:
    """By the map whose weights or result they multiply."""

    attention_in: float = 1.0
    attention_out: float = 1.0
    key: float = 1.0
    state_in: float = 1.0
    state_out: float = 1.0
    state_parts: tuple[float, ...] = (1.0,) * 5
    """Of the gate, the values, what each group writes by, what it reads by, and the steps."""
    gate: float = 1.0
    down: float = 1.0


@dataclass(frozen=True, kw_only=True)
class FalconH1Config(files.DecoderConfig):
    multipliers: Multipliers = Multipliers()


def from_huggingface(settings: files.Settings) -> FalconH1Config:
    given = {name: settings.number(f"{name}_multiplier") for name in ("attention_in", "attention_out", "key")}
    gate, down = _numbers(settings, "mlp_multipliers", 2)
    multipliers = Multipliers(
        **given,
        state_in=settings.number("ssm_in_multiplier"),
        state_out=settings.number("ssm_out_multiplier"),
        state_parts=_numbers(settings, "ssm_multipliers", 5),
        gate=gate,
        down=down,
    )
    settings.only("layer_types", ["hybrid"] * settings.whole("num_hidden_layers"))
    settings.skip("mlp_expansion_factor", "mamba_use_mlp", "attn_layer_indices", "layers_block_type")
    config = files.from_huggingface(
        settings,
        embedding_scale=settings.number("embedding_multiplier"),
        logit_scale=settings.number("lm_head_multiplier"),
        biased=files.all_biases(settings),
    )
    expanded, stated = settings.whole("mamba_expand") * config.sizes.D, settings.get("mamba_d_ssm")
    normed, last = settings.flag("mamba_rms_norm"), settings.flag("mamba_norm_before_gate", True)
    config = hybrid.with_mamba(
        config,
        settings,
        expanded if stated is None else settings.whole("mamba_d_ssm"),
        tuple(range(config.sizes.L)),
        alone=False,
        normed=normed,
        gate_last=normed and last,
    )
    kept = tuple(name for name in config.biased or () if name != "state.output")
    biased = (*kept, "state.output") if settings.flag("projectors_bias") else kept
    return FalconH1Config(**{**vars(config), "biased": biased, "multipliers": multipliers})


def _numbers(settings: files.Settings, key: str, length: int) -> tuple[float, ...]:
    stated = settings.get(key, [1.0] * length)
    known = isinstance(stated, list) and len(stated) == length and all(type(each) in (int, float) for each in stated)
    if not known or not all(1e-6 <= abs(each) <= 1e12 for each in stated):
        raise settings.wrong(key, f"{length} numbers from 1e-06 to 1e+12")
    return tuple(map(float, stated))


def from_gguf(settings: files.Settings) -> FalconH1Config:
    config = files.from_gguf(settings)
    state = state_files.mamba2_of_gguf(settings)
    return FalconH1Config(**vars(state_files.with_state(config, state, tuple(range(config.sizes.L)))))


def tensors(config: FalconH1Config) -> list[TensorSpec]:
    state = config.state
    assert isinstance(state, Mamba2)
    layer = [
        *files.linear_specs(("attention.norm", "D", "input_layernorm", "attn_norm")),
        *files.attention_specs(config),
        *state_files.mamba2_specs(state, "mamba", config.biased),
        *(replace(spec, gguf="ffn_norm") for spec in hybrid.BEFORE_FED),  # Its name ends so in these files.
        *files.linear_specs(*hybrid.FED, bias=config.biased),
    ]
    if config.biased is None:  # A GGUF file does not say whether what is read from the state is normed; it knows.
        layer = [replace(spec, optional=True) if spec.name == "state.read.norm.weight" else spec for spec in layer]
    return files.around_layers(config, [multiplied(spec, config) for spec in layer], hybrid.FINAL)


def multiplied(spec: TensorSpec, config: FalconH1Config) -> TensorSpec:
    """A map with its multipliers: that of what it reads is the weight's alone, that of its result the bias's too."""
    by, state = config.multipliers, config.state
    assert isinstance(state, Mamba2)
    part, _, kind = spec.name.rpartition(".")
    read = {**dict.fromkeys(files.QUERY_KEY_VALUE, by.attention_in), "state.input": by.state_in}
    results = {
        "attention.key": by.key,
        "attention.output": by.attention_out,
        "state.output": by.state_out,
        "feedforward.gate": by.gate,
        "feedforward.down": by.down,
    }
    factor: Array = np.array([results.get(part, 1.0) * (read.get(part, 1.0) if kind == "weight" else 1.0)])
    if part == "state.input":
        written = state.groups * state.keys
        factor = factor * np.repeat(by.state_parts, [state.channels, state.channels, written, written, state.heads])
    if (factor == 1).all():
        return spec

    def times(array: Array, _: object) -> Array:
        by_rows = factor if array.ndim == 1 else factor[:, None]
        return (array * by_rows).astype(array.dtype)

    return replace(spec, huggingface_fix=times)


FACTORS = ("attention_in", "attention_out", "key", "ssm_in", "ssm_out", "embedding", "lm_head")
ARCHITECTURE = files.family(
    "falcon_h1",
    from_huggingface,
    tensors,
    gguf="falcon-h1",
    read_gguf=from_gguf,
    defaults={
        **hybrid.MAMBA,
        **dict.fromkeys((f"{name}_multiplier" for name in FACTORS), 1.0),
        "rms_norm_eps": 1e-5,
        "num_key_value_heads": 8,
        "max_position_embeddings": 8192,
        "mamba_d_ssm": 1024,
    },
)
