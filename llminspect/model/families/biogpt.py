"""BioGPT and XGLM: biases on every map, layer norms before each step, and embeddings times the root of D; positions
are learned in the first, sines and cosines in the second.

Luo et al. 2022, "BioGPT: generative pre-trained transformer for biomedical text generation and mining", section 2.2;
Lin et al. 2022, "Few-shot Learning with Multilingual Generative Language Models" (XGLM), section 3.1.
"""

from __future__ import annotations

from llminspect.core.dataclass import dataclass
from llminspect.model.config import HUGGINGFACE, OlderConfig, read_sizes
from llminspect.model.copies import Copy, waves
from llminspect.model.families.opt import layer_specs, without_first_rows
from llminspect.model.heads import OLDER_DECODER_HEADS
from llminspect.model.settings import ACTIVATIONS, Settings
from llminspect.model.spec import Architecture, TensorSpec, for_layers, linear_specs


@dataclass(frozen=True, kw_only=True)
class BioGptConfig(OlderConfig):
    stated = "sizes activation embedding_scale tied causal waves first_wave norm_epsilon"
    norm_epsilon: float = 1e-5
    """Of every norm: that of the files is not what the reference implementation takes."""


def from_huggingface(settings: Settings) -> BioGptConfig:
    sizes = read_sizes(settings, HUGGINGFACE)
    settings.number("layer_norm_eps", 1e-12)  # Written in every file, and read by nobody.
    return BioGptConfig(
        sizes=sizes,
        activation=settings.one_of("hidden_act", ACTIVATIONS),
        embedding_scale=sizes.D**0.5 if settings.flag("scale_embedding") else 1.0,
        tied=settings.flag("tie_word_embeddings"),
        causal=settings.flag("is_causal", True),
    )


def xglm_from_huggingface(settings: Settings) -> BioGptConfig:
    sizes = read_sizes(settings, XGLM_KEYS)
    if sizes.D < 4:
        raise settings.wrong("d_model", "4 or more: its half less one divides")
    padding = settings.get("pad_token_id", 1)
    if padding not in (0, 1):  # Whose row of waves is nought: no token stands there, as the first is at 2.
        raise settings.wrong("pad_token_id", "0 or 1")
    return BioGptConfig(
        sizes=sizes,
        activation=settings.one_of("activation_function", ACTIVATIONS),
        embedding_scale=sizes.D**0.5 if settings.flag("scale_embedding") else 1.0,
        tied=settings.flag("tie_word_embeddings"),
        causal=settings.flag("is_causal", True),
        waves="fairseq",
        first_wave=2,
    )


def tensors(config: BioGptConfig) -> list[TensorSpec]:
    table = TensorSpec(
        "position.weight", f"{config.sizes.context} D", "embed_positions.weight", huggingface_fix=without_first_rows
    )
    words = "lm_head" if config.waves else "output_projection"
    return [
        TensorSpec("embedding.weight", "V D", "embed_tokens.weight"),
        *(() if config.waves else (table,)),
        *linear_specs(("final.norm", "D", "layer_norm", None), bias=True),
        TensorSpec("unembedding.weight", "V D", f"{words}.weight", optional=True),
        *for_layers(config.sizes.L, layer_specs(), huggingface="layers.{}."),
    ]


XGLM_KEYS = {
    "L": "num_layers",
    "D": "d_model",
    "H": "attention_heads",
    "F": "ffn_dim",
    "context": "max_position_embeddings",
}
ARCHITECTURES = (
    Architecture(
        name="xglm",
        read_huggingface=xglm_from_huggingface,
        tensors=tensors,
        prefix="model.",
        defaults={
            "activation_function": "gelu",
            "max_position_embeddings": 2048,
            "scale_embedding": True,
            "tie_word_embeddings": True,
        },
        ignored=(Copy("embed_positions.weights", agrees=waves),),
    ),
    Architecture(
        name="biogpt",
        read_huggingface=from_huggingface,
        tensors=tensors,
        prefix="biogpt.",
        defaults={
            "hidden_act": "gelu",
            "max_position_embeddings": 1024,
            "scale_embedding": True,
            "tie_word_embeddings": True,
        },
        heads=OLDER_DECODER_HEADS,
    ),
)
