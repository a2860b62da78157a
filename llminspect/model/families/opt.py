"""OPT: learned positions, biases on every map, layer norms before each step, or after its sum in the smallest but one,
whose embedding is narrower than its stream.

Zhang et al. 2022, "OPT: Open Pre-trained Transformer Language Models", section 2.1.
"""

from __future__ import annotations

from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass
from llminspect.model.config import HUGGINGFACE, Config, OlderConfig, read_sizes
from llminspect.model.heads import OLDER_DECODER_HEADS
from llminspect.model.maps import attention_maps
from llminspect.model.settings import ACTIVATIONS, Settings
from llminspect.model.spec import Architecture, TensorSpec, for_layers, linear_specs


@dataclass(frozen=True, kw_only=True)
class OptConfig(OlderConfig):
    stated = "sizes activation norms_before biased tied embedding_width causal norm_epsilon"
    norms_before: bool
    """Whether the norms stand before each step, and one at the end."""
    biased: bool
    embedding_width: int
    """How many numbers a row of the embedding has."""
    norm_epsilon: float = 1e-5


def from_huggingface(settings: Settings) -> OptConfig:
    sizes = read_sizes(settings, {**HUGGINGFACE, "F": "ffn_dim"})
    settings.only("_remove_final_layer_norm", False)
    settings.only("layer_norm_elementwise_affine", True)
    return OptConfig(
        sizes=sizes,
        activation=settings.one_of("activation_function", ACTIVATIONS),
        norms_before=settings.flag("do_layer_norm_before"),
        biased=settings.flag("enable_bias"),
        tied=settings.flag("tie_word_embeddings"),
        embedding_width=settings.whole("word_embed_proj_dim", sizes.D),
        causal=settings.flag("is_causal", True),
    )


def without_first_rows(array: Array, _: Config) -> Array:
    """The table begins with two rows that no token has."""
    return array[2:]


def layer_specs(norms: tuple[str, str] = ("attention.norm", "feedforward.norm"), bias: bool = True) -> list[TensorSpec]:
    """The arrays of a layer; `norms`: what the two that it has are for."""
    first, second = norms
    return [
        *linear_specs((first, "D", "self_attn_layer_norm", None), (second, "D", "final_layer_norm", None), bias=True),
        *linear_specs(
            *attention_maps("self_attn.{}_proj", "self_attn.out_proj"),
            ("feedforward.up", "F D", "fc1", None),
            ("feedforward.down", "D F", "fc2", None),
            bias=bias,
        ),
    ]


def tensors(config: OptConfig) -> list[TensorSpec]:
    norms = ("attention.norm", "feedforward.norm") if config.norms_before else ("middle.norm", "output.norm")
    layer = layer_specs(norms, config.biased)
    table, context = "decoder.embed_positions.weight", config.sizes.context
    narrow = config.embedding_width
    maps = linear_specs(
        ("embedding.tokens.projection", f"D {narrow}", "decoder.project_in", None),
        ("final.projection", f"{narrow} D", "decoder.project_out", None),
    )
    return [
        TensorSpec("embedding.weight", f"V {narrow}", "decoder.embed_tokens.weight"),
        *(maps if narrow != config.sizes.D else ()),
        TensorSpec("position.weight", f"{context} D", table, huggingface_fix=without_first_rows),
        *(
            linear_specs(("final.norm", "D", "decoder.final_layer_norm", None), bias=True)
            if config.norms_before
            else ()
        ),
        TensorSpec("unembedding.weight", f"V {narrow}", "lm_head.weight", optional=True),
        *for_layers(config.sizes.L, layer, huggingface="decoder.layers.{}."),
    ]


ARCHITECTURE = Architecture(
    name="opt",
    read_huggingface=from_huggingface,
    tensors=tensors,
    prefix="model.",
    defaults={
        "activation_function": "relu",
        "do_layer_norm_before": True,
        "enable_bias": True,
        "max_position_embeddings": 2048,
        "tie_word_embeddings": True,
    },
    heads=OLDER_DECODER_HEADS,
)
