"""GPT (the first): GPT-2's layers with the norms after each sum, as in BERT, and none at the end.

Radford et al. 2018, "Improving Language Understanding by Generative Pre-Training", section 4.1.
"""

from __future__ import annotations

from dataclasses import replace

from llminspect.model.config import read_sizes
from llminspect.model.copies import Copy, causal_rule, row_numbers
from llminspect.model.families.gpt2 import ARCHITECTURE as GPT2
from llminspect.model.families.gpt2 import KEYS, LAYER, GPT2Config
from llminspect.model.heads import HeadFiles
from llminspect.model.settings import Settings
from llminspect.model.spec import TensorSpec, for_layers

FUNCTIONS = {"relu": "relu", "silu": "silu", "swish": "silu", "gelu": "gelu_tanh"}
NORMS = {"attention.norm": "middle.norm", "feedforward.norm": "output.norm"}


def from_huggingface(settings: Settings) -> GPT2Config:
    sizes = read_sizes(settings, KEYS, F=4 * settings.whole("n_embd"))
    settings.only("n_ctx", sizes.context)
    settings.only("is_causal", True)
    settings.skip(
        "n_special", "predict_special_tokens", *(key for key in settings.values if key.startswith("summary_"))
    )
    return GPT2Config(
        sizes=sizes,
        norm_epsilon=settings.number("layer_norm_epsilon"),
        activation=settings.one_of("afn", FUNCTIONS),
        scale=sizes.E**-0.5,
        tied=settings.flag("tie_word_embeddings"),
    )


def after(spec: TensorSpec) -> TensorSpec:
    """A norm of GPT-2 as one after the sum."""
    name, _, part = spec.name.rpartition(".")
    return replace(spec, name=f"{NORMS.get(name, name)}.{part}", gguf=None)


def tensors(config: GPT2Config) -> list[TensorSpec]:
    return [
        TensorSpec("embedding.weight", "V D", "tokens_embed.weight"),
        TensorSpec("position.weight", f"{config.sizes.context} D", "positions_embed.weight"),
        TensorSpec("unembedding.weight", "V D", "lm_head.weight", optional=True),
        *for_layers(config.sizes.L, [after(spec) for spec in LAYER], huggingface="h.{}."),
    ]


ARCHITECTURE = replace(
    GPT2,
    name="openai-gpt",
    model_types=("openai-gpt",),
    read_huggingface=from_huggingface,
    tensors=tensors,
    gguf_names=(),
    read_gguf=None,
    heads=HeadFiles("score", None, sequence_bias=False, question=None),
    defaults={"afn": "gelu", "layer_norm_epsilon": 1e-5, "n_positions": 512, "tie_word_embeddings": True},
    ignored=(Copy("h.*.attn.bias", agrees=causal_rule), Copy("position_ids", agrees=row_numbers)),
)
