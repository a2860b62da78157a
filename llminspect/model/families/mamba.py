"""Mamba, Falcon-Mamba, which norms what a token chooses, and Mamba 2: every layer keeps a state, there is no attention
and no feed-forward step.

Gu and Dao 2023, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", section 3.4; Zuo et al. 2024,
"Falcon Mamba", section 2.1; Dao and Gu 2024, "Transformers are SSMs", section 7.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from llminspect.core.dataclass import dataclass
from llminspect.model import decoder_files as files
from llminspect.model import state_files
from llminspect.model.config import Config, read_sizes
from llminspect.model.selective_states import Mamba, Mamba2
from llminspect.model.spec import Architecture, around
from llminspect.model.states import State

NO_ATTENTION = {"H": 0, "K": 0, "E": 0, "F": 0, "context": 1 << 20}
"""Nothing counts positions, so the context is as long as one cares to wait; llama.cpp writes the same."""


@dataclass(frozen=True, kw_only=True)
class MambaConfig(Config):
    stated = "sizes norm_epsilon tied state state_layers biased causal"
    biased: tuple[str, ...] | None
    """The linear maps that have a bias; None: the file knows."""


def mamba_from_huggingface(settings: files.Settings) -> MambaConfig:
    channels = inner_width(settings, settings.whole("hidden_size"))
    rank = settings.get("time_step_rank", "auto")
    rank = -(settings.whole("hidden_size") // -16) if rank == "auto" else settings.whole("time_step_rank")
    settings.skip("use_mambapy", "use_associative_scan", "time_step_scale", "time_step_init_scheme")
    return _from_huggingface(
        settings, Mamba(channels, settings.whole("state_size"), rank, settings.whole("conv_kernel"))
    )


def falcon_from_huggingface(settings: files.Settings) -> MambaConfig:
    epsilon = settings.number("mixer_rms_eps")
    config = mamba_from_huggingface(settings)
    assert isinstance(config.state, Mamba)
    return replace(config, state=replace(config.state, norm_epsilon=epsilon))


def mamba2_from_huggingface(settings: files.Settings) -> MambaConfig:
    settings.skip("chunk_size", "time_step_rank")  # How it is computed; no number hangs on it.
    heads, values = settings.whole("num_heads"), settings.whole("head_dim")
    if heads * values != inner_width(settings, settings.whole("hidden_size")):
        raise settings.wrong("num_heads", "as many as head_dim has room for in expand · hidden_size")
    state = Mamba2(
        heads,
        values,
        state_files.groups(settings, "n_groups", heads),
        settings.whole("state_size"),
        settings.whole("conv_kernel"),
        settings.number("layer_norm_epsilon"),
        state_files.step_limits(settings),
    )
    return _from_huggingface(settings, state)


def inner_width(settings: files.Settings, width: int) -> int:
    settings.only("intermediate_size", stated := int(settings.number("expand") * width))
    return stated


def _from_huggingface(settings: files.Settings, state: State) -> MambaConfig:
    settings.only("hidden_act", "silu")
    settings.only(
        "rescale_prenorm_residual", False
    )  # Where it is true, the reference makes weights smaller on reading.
    settings.skip("residual_in_fp32", "time_step_min", "time_step_max", "time_step_floor")
    sizes = read_sizes(settings, {"L": "num_hidden_layers", "D": "hidden_size"}, **NO_ATTENTION)
    causal = settings.flag("is_causal", True)
    if not causal:
        raise settings.wrong("is_causal", "true: a state is made from the front")
    return MambaConfig(
        sizes=sizes,
        norm_epsilon=settings.number("layer_norm_epsilon"),
        tied=settings.flag("tie_word_embeddings"),
        state=state,
        state_layers=tuple(range(sizes.L)),
        biased=state_files.biases(settings, "use_bias", "use_conv_bias"),
    )


def mamba_from_gguf(settings: files.Settings) -> MambaConfig:
    """A file of Falcon-Mamba is one of Mamba that says so; the ε of its norms is that of the others."""
    epsilon = None
    if settings.flag("ssm.dt_b_c_rms"):
        epsilon = settings.number("attention.layer_norm_rms_epsilon")
    return _from_gguf(settings, Mamba(*state_files.of_gguf(settings), epsilon))


def mamba2_from_gguf(settings: files.Settings) -> MambaConfig:
    return _from_gguf(settings, state_files.mamba2_of_gguf(settings))


def _from_gguf(settings: files.Settings, state: State) -> MambaConfig:
    settings.skip("feed_forward_length", "attention.head_count", "context_length")  # 0, and a number that is made up.
    sizes = read_sizes(settings, {"L": "block_count", "D": "embedding_length"}, **NO_ATTENTION)
    epsilon = settings.number("attention.layer_norm_rms_epsilon")
    every = tuple(range(sizes.L))
    return MambaConfig(sizes=sizes, norm_epsilon=epsilon, state=state, state_layers=every, biased=None)


def tensors(config: MambaConfig) -> list[files.TensorSpec]:
    state = config.state
    assert isinstance(state, Mamba | Mamba2)
    layer = [
        *files.linear_specs(("state.norm", "D", "norm", "attn_norm")),
        *(
            state_files.mamba_specs(state, "mixer", config.biased)
            if isinstance(state, Mamba)
            else state_files.mamba2_specs(state, "mixer", config.biased)
        ),
    ]
    return around(config.sizes.L, layer, "embeddings", "norm_f", "layers.{}.", bias=False)


DEFAULTS = {"layer_norm_epsilon": 1e-5, "expand": 2, "conv_kernel": 4, "hidden_act": "silu"}


def _architecture(
    name: str,
    read_huggingface: Callable[[files.Settings], MambaConfig],
    read_gguf: Callable[[files.Settings], MambaConfig],
    **defaults: object,
) -> Architecture:
    return Architecture(
        name=name,
        read_huggingface=read_huggingface,
        tensors=tensors,
        gguf_names=(name,),
        read_gguf=read_gguf,
        prefix="backbone.",
        older_spellings=(("embedding.weight", "embeddings.weight"),),
        defaults={**DEFAULTS, **defaults},
    )


ARCHITECTURES = (
    _architecture("mamba", mamba_from_huggingface, mamba_from_gguf, state_size=16, tie_word_embeddings=True),
    replace(
        _architecture(
            "falcon_mamba",
            falcon_from_huggingface,
            mamba_from_gguf,
            state_size=16,
            tie_word_embeddings=True,
            mixer_rms_eps=1e-6,
        ),
        gguf_names=(),
    ),
    _architecture(
        "mamba2", mamba2_from_huggingface, mamba2_from_gguf, state_size=128, num_heads=128, head_dim=64, n_groups=8
    ),
)
