"""How files keep mixtures of experts: the settings of the router, its tensors and those of the experts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from llminspect.core.routing import Groups
from llminspect.model.config import DecoderConfig, Experts
from llminspect.model.decoder_files import chosen_experts, feed_forward_specs, sizes_from_gguf
from llminspect.model.decoder_files import from_gguf as decoder_from_gguf
from llminspect.model.maps import expert_specs, gated_maps
from llminspect.model.maps import first_half as first_half
from llminspect.model.maps import second_half as second_half
from llminspect.model.settings import Settings
from llminspect.model.spec import TensorSpec, linear_specs


def grouped_router(settings: Settings, experts: int, **known: Any) -> Experts:
    """The router of DeepSeek-V3 and those after it: sigmoids, of which groups of experts decide; and what is `known`.

    Raises ModelError for groups that the experts do not fill evenly, and for more groups looked at than there are.
    """
    groups = settings.whole("n_group", 1)
    if experts % groups or (groups > 1 and experts // groups < 2):
        raise settings.wrong("n_group", f"a number that parts {experts} experts evenly, into groups of at least two")
    looked_at, chosen = settings.whole("topk_group", 1), settings.whole("num_experts_per_tok")
    if looked_at > groups:
        raise settings.wrong("topk_group", f"at most {groups}, as many groups as there are")
    if chosen > looked_at * (experts // groups):
        raise settings.wrong("num_experts_per_tok", f"at most {looked_at * (experts // groups)}, the experts looked at")
    return Experts(
        chosen=chosen,
        among_chosen=settings.flag("norm_topk_prob"),
        kind="sigmoid",
        by_group=None if groups == looked_at else Groups(experts // groups, looked_at),
        factor=settings.number("routed_scaling_factor"),
        **known,
    )


def choice_spec(huggingface: str) -> TensorSpec:
    """What is added to the scores for the choice alone."""
    return TensorSpec("feedforward.router.choice", "X", huggingface, "exp_probs_b.bias")


def shared_specs(config: DecoderConfig, expert: str, share: str | None = None) -> list[TensorSpec]:
    """The expert that works on every token, and the map that says by how much it counts; none where there is none."""
    width = config.experts.shared_width if config.experts else None
    if width is None:
        return []
    specs = linear_specs(*gated_maps(expert, str(width), part="feedforward.shared", gguf="_shexp"))
    if share is None:
        return specs
    # GGUF files keep its one row as a vector.
    share_specs = linear_specs(("feedforward.shared.share", "1 D", share, "ffn_gate_inp_shexp"), gguf_fix=_one_row)
    return [*specs, *share_specs]


def _one_row(array: Any, _: Any) -> Any:
    return array.reshape(1, -1)


def layers(
    config: DecoderConfig, before: Sequence[TensorSpec], mixture: Sequence[TensorSpec]
) -> Callable[[int], list[TensorSpec]]:
    """The specs of each layer: those `before` the feed-forward step, and a mixture, or the one network of a layer that
    has only one."""
    experts = config.experts
    if experts is None or not experts.plain_layers:
        return lambda _: [*before, *mixture]
    plain = feed_forward_specs(config, str(experts.plain_width))
    return lambda index: [*before, *(plain if index in experts.plain_layers else mixture)]


def stacked_specs(router: str, gate_and_up: str, down: str) -> list[TensorSpec]:
    """The router and the experts where one tensor holds the gates of all experts and, after each, what they gate."""
    gate, up = "feedforward.experts.gate.weight", "feedforward.experts.up.weight"
    return [
        TensorSpec("feedforward.router.weight", "X D", router, "ffn_gate_inp.weight"),
        TensorSpec(gate, "X F D", gate_and_up, "ffn_gate_exps.weight", first_half),
        TensorSpec(up, "X F D", gate_and_up, "ffn_up_exps.weight", second_half),
        TensorSpec("feedforward.experts.down.weight", "X D F", down, "ffn_down_exps.weight"),
    ]


def plain_layers(settings: Settings, layers: int) -> tuple[int, ...]:
    """Those with one network: as `mlp_layer_types` says, or else the first so many of `first_k_dense_replace`."""
    first = first_plain(settings, layers)
    kinds = settings.get("mlp_layer_types", ["dense"] * first + ["sparse"] * (layers - first))
    if not isinstance(kinds, list) or len(kinds) != layers or not set(kinds) <= {"dense", "sparse"}:
        raise settings.wrong("mlp_layer_types", f"dense or sparse for each of {layers} layers")
    return tuple(index for index, kind in enumerate(kinds) if kind == "dense")


def first_plain(settings: Settings, layers: int) -> int:
    """How many layers have one network, before those with a mixture."""
    known = f"how many layers have one network, 0 to {layers}"
    return settings.between("first_k_dense_replace", 0, layers, known, 0)


def layers_after(settings: Settings) -> int:
    """How many layers a `config.json` has after the last, which predict further tokens."""
    older = settings.get("num_mtp_layers", 0)
    return settings.between("num_nextn_predict_layers", 0, MOST_AFTER, FURTHER, older)


def grouped_specs(config: DecoderConfig, chosen_by: bool = True) -> list[TensorSpec]:
    """The mixture of DeepSeek-V3 and those after it; `chosen_by`: with what is added to the scores for the choice."""
    return [
        *expert_specs(config.sizes.X, "mlp.gate", "mlp.experts.{}"),
        *([choice_spec("mlp.gate.e_score_correction_bias")] if chosen_by else []),
        *shared_specs(config, "mlp.shared_experts"),
    ]


def specs_beside(units: str, folded: bool) -> list[TensorSpec]:
    """Router, experts and a network beside them of so many `units` that works on every token: each reads the stream
    through a norm of its own; `folded`: the experts may be multiplied by the numbers that the router has for each."""
    both, halves = ("experts.gate_up_proj", "ffn_gate_up_exps.weight"), (first_half, second_half)
    return [
        *linear_specs(
            ("feedforward.shared.norm", "D", "pre_feedforward_layernorm", "ffn_norm"),
            *gated_maps("mlp", units, part="feedforward.shared"),
            ("feedforward.shared.norm_after", "D", "post_feedforward_layernorm_1", "post_ffw_norm_1"),
            ("feedforward.routed.norm", "D", "pre_feedforward_layernorm_2", "pre_ffw_norm_2"),
            ("feedforward.routed.norm_after", "D", "post_feedforward_layernorm_2", "post_ffw_norm_2"),
            ("feedforward.router", "X D", "router.proj", "ffn_gate_inp"),
        ),
        TensorSpec("feedforward.router.norm.weight", "D", "router.scale", "ffn_gate_inp.scale", over_root, over_root),
        TensorSpec("feedforward.router.gain", "X", "router.per_expert_scale", "ffn_down_exps.scale", optional=folded),
        *(
            TensorSpec(f"feedforward.experts.{part}.weight", "X F D", *both, half, half)
            for part, half in zip(("gate", "up"), halves, strict=True)
        ),
        TensorSpec("feedforward.experts.down.weight", "X D F", "experts.down_proj", "ffn_down_exps.weight"),
    ]


def over_root(scale_D: Any, config: Any) -> Any:
    return scale_D * config.sizes.D**-0.5


def same_in_all(settings: Settings, key: str, layers: int, default: int | None = None) -> int:
    """A whole number that a file may also state for each layer. Raises ModelError where the layers differ."""
    stated = settings.get(key)
    if not isinstance(stated, list):
        return settings.whole(key, default)
    if len(stated) != layers or type(stated[0]) is not int or stated[0] < 1 or set(stated) != {stated[0]}:
        raise settings.wrong(key, f"one whole number above 0, or the same for each of {layers} layers")
    return stated[0]


def from_gguf(settings: Settings, *, router: Mapping[str, Any] = MappingProxyType({}), **known: Any) -> DecoderConfig:
    """Of a GGUF file of a mixture: what is `known` of the `router`, and else. The first layers may have one network; an
    expert that works on every token is as wide as so many of the others as the file counts."""
    sizes = sizes_from_gguf(settings, settings.whole("expert_count"))
    width, shared = settings.whole("expert_feed_forward_length", sizes.F), settings.get("expert_shared_count") or 0
    kind = router.get("kind", "softmax")
    settings.only("expert_gating_func", GATING[kind])
    experts = Experts(
        **{
            "chosen": chosen_experts(settings, "expert_used_count", sizes.X),
            "plain_width": sizes.F,
            "plain_layers": tuple(range(settings.get("leading_dense_block_count") or 0)),
            "shared_width": settings.whole("expert_shared_count") * width if shared else None,
            **router,
        }
    )
    return decoder_from_gguf(settings, replace(sizes, F=width), experts=experts, **known)


def grouped_in_gguf(settings: Settings) -> dict[str, Any]:
    """The same router in a GGUF file, of the kinds whose experts are published in one group."""
    settings.only("expert_group_count", 1)
    settings.only("expert_group_used_count", 1)
    factor = settings.number("expert_weights_scale", 1.0)
    return {"kind": "sigmoid", "among_chosen": settings.flag("expert_weights_norm"), "factor": factor}


def without_last(config: DecoderConfig, settings: Settings) -> DecoderConfig:
    """Without the layers that predict further tokens, which a GGUF file counts among the others."""
    more = settings.between("nextn_predict_layers", 0, min(config.sizes.L - 1, MOST_AFTER), FURTHER, 0)
    left = config.sizes.L - more
    windowed = tuple(index for index in config.windowed if index < left)
    return replace(config, sizes=replace(config.sizes, L=left), layers_after=more, windowed=windowed)


MOST_AFTER = 8
FURTHER = f"how many layers predict further tokens, 0 to {MOST_AFTER}"
GATING = {"softmax": 1, "sigmoid": 2}
"""What GGUF files call the kinds of router."""
