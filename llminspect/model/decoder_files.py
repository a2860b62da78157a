"""How files keep the shared decoder: the settings that its families write alike, and their tensors."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from llminspect.core.feedforward import Glu
from llminspect.model import rotation
from llminspect.model.decoder import Config
from llminspect.model.spec import Sizes, TensorSpec, at_layer, linear_specs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from llminspect.model.settings import Settings

ACTIVATIONS = {
    "silu": "silu",
    "swish": "silu",
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
}
"""By their names in `config.json`."""
QUERY_KEY_VALUE = ("attention.query", "attention.key", "attention.value")
ATTENTION = (*QUERY_KEY_VALUE, "attention.output")
FEED_FORWARD = ("feedforward.gate", "feedforward.up", "feedforward.down")


def sizes_from_huggingface(settings: Settings, width_key: str = "intermediate_size", experts: int = 0) -> Sizes:
    width, heads = settings.whole("hidden_size"), settings.whole("num_attention_heads")
    return Sizes(
        L=settings.whole("num_hidden_layers"),
        D=width,
        H=heads,
        K=settings.whole("num_key_value_heads", heads),
        E=settings.whole("head_dim", width // heads),
        F=settings.whole(width_key),
        V=settings.whole("vocab_size"),
        context=settings.whole("max_position_embeddings"),
        X=experts,
    )


def from_huggingface(settings: Settings, sizes: Sizes, *, tied: bool = False, base: float | None = 10000.0) -> Config:
    """What every family writes alike; `tied` and `base` are what the family's format takes where none is written."""
    return Config(
        sizes=sizes,
        norm_epsilon=settings.number("rms_norm_eps"),
        scale=sizes.E**-0.5,
        rotary=rotation.from_huggingface(settings, sizes.E, sizes.context, base),
        tied=bool(settings.get("tie_word_embeddings", tied)),
    )


def gated_unit(settings: Settings) -> Glu:
    return Glu(settings.one_of("hidden_act", ACTIVATIONS))


def with_windows(config: Config, settings: Settings, sliding: Callable[[int], bool]) -> Config:
    """A window on the layers that `layer_types` names, or `sliding` (of a layer's number) where the file has none."""
    layers = config.sizes.L
    kinds = settings.get("layer_types")
    if kinds is None:
        kinds = ["sliding_attention" if sliding(index) else "full_attention" for index in range(layers)]
    if len(kinds) != layers or not set(kinds) <= {"sliding_attention", "full_attention"}:
        raise settings.wrong("layer_types", f"sliding_attention or full_attention for each of {layers} layers")
    windowed = tuple(index for index, kind in enumerate(kinds) if kind == "sliding_attention")
    settings.get("sliding_window")  # May be written where no layer has one.
    return replace(config, window=settings.whole("sliding_window") if windowed else None, windowed=windowed)


def sizes_from_gguf(settings: Settings, experts: int = 0) -> Sizes:
    width, heads = settings.whole("embedding_length"), settings.whole("attention.head_count")
    head_width = settings.whole("attention.key_length", width // heads)
    settings.only("attention.value_length", head_width)
    return Sizes(
        L=settings.whole("block_count"),
        D=width,
        H=heads,
        K=settings.whole("attention.head_count_kv", heads),
        E=head_width,
        F=settings.whole("feed_forward_length"),
        V=settings.whole("vocab_size"),
        context=settings.whole("context_length"),
        X=experts,
    )


def from_gguf(settings: Settings, sizes: Sizes) -> Config:
    """What every family writes alike. Whether there is an output matrix and which biases, the file's tensors say."""
    return Config(
        sizes=sizes,
        norm_epsilon=settings.number("attention.layer_norm_rms_epsilon"),
        scale=sizes.E**-0.5,
        rotary=rotation.from_gguf(settings, sizes.E, sizes.context),
        tied=True,
        biased=None,
    )


def around_layers(config: Config, layer: Callable[[int], Iterable[TensorSpec]]) -> list[TensorSpec]:
    """The embedding, the final norm and the output matrix, and the specs of each layer."""
    return [
        TensorSpec("embedding.weight", "V D", "embed_tokens.weight", "token_embd.weight"),
        TensorSpec("final.norm.weight", "D", "norm.weight", "output_norm.weight"),
        TensorSpec("unembedding.weight", "V D", "lm_head.weight", "output.weight", optional=config.tied),
        *(
            spec
            for index in range(config.sizes.L)
            for spec in at_layer(index, layer(index), huggingface="layers.{}.", gguf="blk.{}.")
        ),
    ]


NORMS_IN_FRONT = (
    TensorSpec("attention.norm.weight", "D", "input_layernorm.weight", "attn_norm.weight"),
    TensorSpec("feedforward.norm.weight", "D", "post_attention_layernorm.weight", "ffn_norm.weight"),
)
HEAD_NORMS = (
    TensorSpec("attention.query.norm.weight", "E", "self_attn.q_norm.weight", "attn_q_norm.weight"),
    TensorSpec("attention.key.norm.weight", "E", "self_attn.k_norm.weight", "attn_k_norm.weight"),
)


def maps(config: Config, *names: tuple[str, str, str, str], **fixes: Any) -> list[TensorSpec]:
    """Linear maps (name, shape, Hugging Face, GGUF), each with a bias if the configuration says so."""
    return [
        spec
        for name, shape, huggingface, gguf in names
        for spec in linear_specs(
            name, shape, huggingface, gguf, None if config.biased is None else name in config.biased, **fixes
        )
    ]


def attention_specs(config: Config, query_and_key_fixes: tuple[Any, Any] = (None, None)) -> list[TensorSpec]:
    query_fix, key_fix = query_and_key_fixes
    return [
        *maps(config, ("attention.query", "HE D", "self_attn.q_proj", "attn_q"), gguf_fix=query_fix),
        *maps(config, ("attention.key", "KE D", "self_attn.k_proj", "attn_k"), gguf_fix=key_fix),
        *maps(
            config,
            ("attention.value", "KE D", "self_attn.v_proj", "attn_v"),
            ("attention.output", "D HE", "self_attn.o_proj", "attn_output"),
        ),
    ]


def feed_forward_specs(config: Config, letter: str = "F") -> list[TensorSpec]:
    return maps(
        config,
        ("feedforward.gate", f"{letter} D", "mlp.gate_proj", "ffn_gate"),
        ("feedforward.up", f"{letter} D", "mlp.up_proj", "ffn_up"),
        ("feedforward.down", f"D {letter}", "mlp.down_proj", "ffn_down"),
    )


def expert_specs(experts: int, router: str, expert: str, names: tuple[str, str, str]) -> list[TensorSpec]:
    """The router and the experts; `expert` has `{}` for its number, `names` are those of gate, up and down."""
    own_names = dict(zip(("gate", "up", "down"), names, strict=True))
    shapes = {"gate": "X F D", "up": "X F D", "down": "X D F"}
    return [
        TensorSpec("feedforward.router.weight", "X D", f"{router}.weight", "ffn_gate_inp.weight"),
        *(
            TensorSpec(
                f"feedforward.experts.{part}.weight",
                shapes[part],
                tuple(f"{expert.format(index)}.{own_name}.weight" for index in range(experts)),
                f"ffn_{part}_exps.weight",
            )
            for part, own_name in own_names.items()
        ),
    ]
