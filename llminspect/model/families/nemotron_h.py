"""Nemotron-H and Nemotron 3: each layer is one thing, Mamba 2, attention without positions, a network or a mixture.

NVIDIA 2025, "Nemotron-H", section 2.1; NVIDIA 2025, "Nemotron 3" (the mixtures, some of which work on fewer numbers).
"""

from __future__ import annotations

from dataclasses import replace

from llminspect.core.feedforward import Glu
from llminspect.model import decoder_files as files
from llminspect.model import mixture_files as mixtures
from llminspect.model import state_files
from llminspect.model.config import HUGGINGFACE, read_sizes
from llminspect.model.copies import Copy
from llminspect.model.families.jamba import settle
from llminspect.model.selective_states import Mamba2
from llminspect.model.spec import TensorSpec

OLDER = {"M": "linear_attention", "*": "full_attention", "-": "mlp", "E": "moe"}
KINDS = {**OLDER, "mamba": "linear_attention", "attention": "full_attention", **{kind: kind for kind in OLDER.values()}}
"""How the files write the kinds of layer."""


def from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    kinds = layer_kinds(settings)
    settings.only("mamba_hidden_act", "silu")
    settings.only("mlp_hidden_act", "relu2")
    settings.skip(*OF_TRAINING)
    settings.number("expand", 2.0)  # Stated, and what the heads say is taken.
    mixing = "moe" in kinds
    experts = settings.whole("n_routed_experts") if mixing else 0
    sizes = read_sizes(
        settings,
        {**HUGGINGFACE, "F": "moe_intermediate_size" if mixing else "intermediate_size"},
        L=len(kinds),
        K=settings.whole("num_key_value_heads", settings.whole("num_attention_heads")),
        E=settings.whole("head_dim", settings.get("attention_head_dim", 128)),
        X=experts,
    )
    of_state = state_files.biases(settings, "use_bias", "use_conv_bias")
    fed = ("feedforward.up", "feedforward.down", "feedforward.shared.up", "feedforward.shared.down", *LATENTS)
    biased = (*files.attention_biases(settings), *of_state, *(fed if settings.flag("mlp_bias") else ()))
    router = None
    if mixing:
        latent = settings.get("moe_latent_size")
        router = mixtures.grouped_router(
            settings,
            experts,
            plain_width=settings.whole("intermediate_size"),
            plain_layers=tuple(index for index, kind in enumerate(kinds) if kind == "mlp"),
            shared_width=settings.whole("moe_shared_expert_intermediate_size"),
            latent=None if latent is None else settings.whole("moe_latent_size"),
        )
    else:
        settings.skip(*OF_EXPERTS)
    config = files.from_huggingface(
        settings, sizes, epsilon="layer_norm_epsilon", unit=Glu("relu_squared"), experts=router, biased=biased
    )
    heads, least = settings.whole("mamba_num_heads"), settings.need("time_step_min")
    if type(least) not in (int, float) or not 0 <= least <= 1e6:
        raise settings.wrong("time_step_min", "a number from 0 to 1e+06")
    state = Mamba2(
        heads,
        settings.whole("mamba_head_dim"),
        state_files.groups(settings, "n_groups", heads),
        settings.whole("ssm_state_size"),
        settings.whole("conv_kernel"),
        config.norm_epsilon,
        limits=(float(least), float("inf")) if least else None,
    )
    return with_layers(config, state, kinds)


def layer_kinds(settings: files.Settings) -> list[str]:
    """Of each layer, by a list of names or a line of letters."""
    stated = settings.get("layers_block_type", settings.get("layer_types"))
    settings.only("layer_types", stated)  # Another name of it.
    key = "layers_block_type"
    if stated is None:
        stated, key = settings.need("hybrid_override_pattern"), "hybrid_override_pattern"
    settings.skip("hybrid_override_pattern", "layer_types", "layers_block_type", "num_hidden_layers")
    if not isinstance(stated, list | str) or not stated or not all(kind in list(KINDS) for kind in stated):
        raise settings.wrong(key, f"{', '.join(OLDER.values())} for each layer, or {' '.join(OLDER)}")
    layers = settings.get("num_hidden_layers")
    if layers is not None and layers != len(stated):
        raise settings.wrong("num_hidden_layers", f"{len(stated)}, as many as {key} names")
    return [KINDS[kind] for kind in stated]


def with_layers(config: files.DecoderConfig, state: Mamba2, kinds: list[str]) -> files.DecoderConfig:
    stateful = tuple(index for index, kind in enumerate(kinds) if kind == "linear_attention")
    others = tuple(index for index, kind in enumerate(kinds) if kind != "full_attention")
    config = replace(state_files.without_rotation(config), without_attention=others)
    return state_files.with_state(config, state, stateful, others)


def from_gguf(settings: files.Settings) -> files.DecoderConfig:
    settings.skip("attention.layer_norm_epsilon")  # The norms are of the other kind, whose ε is stated beside it.
    attending, key = state_files.attending_of_gguf(settings), "feed_forward_length"
    stated, layers = settings.need(key), settings.whole("block_count")
    stated = [stated] * layers if type(stated) is int else stated
    if (
        not isinstance(stated, list)
        or len(stated) != layers
        or not all(type(width) is int and width >= 0 for width in stated)
    ):
        raise settings.wrong(key, f"a number, or 0, for each of {layers} layers")
    settings.values = {**settings.values, key: max(stated) or 1}
    mixing = bool(settings.get("expert_count"))
    if mixing:
        width, latent = settings.whole("expert_shared_feed_forward_length"), settings.get("moe_latent_size")
        router = {**mixtures.grouped_in_gguf(settings), "shared_width": width, "latent": latent}
        config = mixtures.from_gguf(settings, router=router, unit=Glu("relu_squared"))
    else:
        config = files.from_gguf(settings, unit=Glu("relu_squared"))
    if not any(stated):  # No layer has such a step.
        config = replace(config, sizes=replace(config.sizes, F=0))
    fed = "moe" if mixing else "mlp"
    kinds = [
        "full_attention" if index in attending else fed if stated[index] else "linear_attention"
        for index in range(layers)
    ]
    return with_layers(config, state_files.mamba2_of_gguf(settings), kinds)


def tensors(config: files.DecoderConfig) -> list[TensorSpec]:
    state, experts = config.state, config.experts
    attention = [
        replace(spec, huggingface=str(spec.huggingface).replace("self_attn", "mixer"))
        for spec in files.attention_specs(config)
    ]

    def fed(width: str) -> list[TensorSpec]:
        return files.linear_specs(
            ("feedforward.up", f"{width} D", "mixer.up_proj", "ffn_up"),
            ("feedforward.down", f"D {width}", "mixer.down_proj", "ffn_down"),
            bias=config.biased,
        )

    def layer(index: int) -> list[TensorSpec]:
        if config.attends(index):
            mixer, specs = "attention", attention
        elif index in config.state_layers:
            assert isinstance(state, Mamba2)
            mixer, specs = "state", state_files.mamba2_specs(state, "mixer", config.biased)
        elif experts is None or index in experts.plain_layers:
            mixer, specs = "feedforward", fed("F" if experts is None else str(experts.plain_width))
        else:
            mixer, specs = "feedforward", mixture_specs(config, experts)
        return [*files.linear_specs((f"{mixer}.norm", "D", "norm", "attn_norm")), *specs]

    return [
        replace(spec, huggingface="embeddings.weight") if spec.name == "embedding.weight" else spec
        for spec in files.around_layers(config, layer, files.linear_specs(("final.norm", "D", "norm_f", "output_norm")))
    ]


LATENTS = ("feedforward.routed.narrow", "feedforward.routed.wide")


def mixture_specs(config: files.DecoderConfig, experts: files.Experts) -> list[TensorSpec]:
    latent, width = experts.latent, experts.shared_width
    inner = "D" if latent is None else str(latent)
    stacks = {"up": f"X F {inner}", "down": f"X {inner} F"}
    narrow, wide = LATENTS
    return [
        files.TensorSpec("feedforward.router.weight", "X D", "mixer.gate.weight", "ffn_gate_inp.weight"),
        mixtures.choice_spec("mixer.gate.e_score_correction_bias"),
        *(
            files.TensorSpec(
                f"feedforward.experts.{part}.weight",
                shape,
                tuple(f"mixer.experts.{index}.{part}_proj.weight" for index in range(config.sizes.X)),
                f"ffn_{part}_exps.weight",
            )
            for part, shape in stacks.items()
        ),
        *files.linear_specs(
            ("feedforward.shared.up", f"{width} D", "mixer.shared_experts.up_proj", "ffn_up_shexp"),
            ("feedforward.shared.down", f"D {width}", "mixer.shared_experts.down_proj", "ffn_down_shexp"),
            bias=config.biased,
        ),
        *files.linear_specs(
            *(
                (
                    (narrow, f"{latent} D", "mixer.fc1_latent_proj", "ffn_latent_down"),
                    (wide, f"D {latent}", "mixer.fc2_latent_proj", "ffn_latent_up"),
                )
                if latent
                else ()
            ),
            bias=config.biased,
        ),
    ]


OF_TRAINING = """
    use_mamba_kernels chunk_size mamba_proj_bias mamba_ssm_cache_dtype time_step_max time_step_floor
    time_step_limit residual_in_fp32 rescale_prenorm_residual num_logits_to_keep moe_shared_expert_overlap
    n_shared_experts mtp_layers_block_type mtp_hybrid_override_pattern num_nextn_predict_layers mamba_dt_min
    mamba_dt_max mamba_dt_limit mamba_dt_init_floor rms_norm_eps intermediate_size
""".split()
"""What no number of a pass hangs on in the reference; those that it does not read are among them."""
OF_EXPERTS = """
    n_routed_experts moe_intermediate_size moe_shared_expert_intermediate_size moe_latent_size num_experts_per_tok
    routed_scaling_factor n_group topk_group norm_topk_prob
""".split()
ARCHITECTURE = files.family(
    "nemotron_h",
    from_huggingface,
    tensors,
    gguf=("nemotron_h", "nemotron_h_moe"),
    read_gguf=from_gguf,
    ignored=(Copy("mtp.*"),),
    fronts=("backbone.",),
    settle=settle,
    defaults={
        "num_key_value_heads": 8,
        "head_dim": 128,
        "max_position_embeddings": 4096,
        "intermediate_size": 21_504,
        "ssm_state_size": 128,
        "mamba_num_heads": 128,
        "mamba_head_dim": 64,
        "n_groups": 8,
        "conv_kernel": 4,
        "layer_norm_epsilon": 1e-5,
        "time_step_min": 0.001,
        "n_routed_experts": 8,
        "moe_intermediate_size": 7688,
        "moe_shared_expert_intermediate_size": 7688,
        "num_experts_per_tok": 2,
        "routed_scaling_factor": 1.0,
        "norm_topk_prob": True,
    },
)
