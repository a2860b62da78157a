"""GPT-2: learned positions, layer norms before each step, one plain feed-forward network.

Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.3.
"""

from __future__ import annotations

from dataclasses import replace

from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass
from llminspect.model.config import GGUF, OlderConfig, read_older, read_sizes
from llminspect.model.copies import Copy, causal_rule, hiding_number
from llminspect.model.heads import NO_LAYER, OLDER_DECODER_HEADS, HeadFiles, OutputHead
from llminspect.model.settings import Settings
from llminspect.model.spec import Architecture, TensorSpec, around, fused_specs, linear_specs

KEYS = {"L": "n_layer", "D": "n_embd", "H": "n_head", "context": "n_positions"}


@dataclass(frozen=True, kw_only=True)
class GPT2Config(OlderConfig):
    stated = "sizes norm_epsilon activation scale scale_by_layer tied causal"
    scale_by_layer: bool = False
    """Whether the scores of layer n are divided by n + 1 as well."""

    def scale_of(self, index: int) -> float:
        return super().scale_of(index) / (index + 1 if self.scale_by_layer else 1)


def from_huggingface(settings: Settings) -> GPT2Config:
    sizes = read_sizes(settings, KEYS, F=settings.whole("n_inner", 4 * settings.whole("n_embd")))
    settings.only("n_ctx", sizes.context)
    settings.skip("reorder_and_upcast_attn", *(key for key in settings.values if key.startswith("summary_")))
    return read_older(
        GPT2Config,
        settings,
        sizes,
        epsilon="layer_norm_epsilon",
        activation="activation_function",
        scale=sizes.E**-0.5 if settings.flag("scale_attn_weights") else 1.0,
        scale_by_layer=settings.flag("scale_attn_by_inverse_layer_idx"),
        causal=settings.flag("is_causal", True),
    )


def from_gguf(settings: Settings) -> GPT2Config:
    sizes = read_sizes(settings, GGUF)
    settings.only("attention.head_count_kv", sizes.H)
    return GPT2Config(
        sizes=sizes,
        norm_epsilon=settings.number("attention.layer_norm_epsilon"),
        activation="gelu_tanh",
        scale=sizes.E**-0.5,
        causal=settings.flag("attention.causal", True),
    )


def transposed(array: Array, _: GPT2Config) -> Array:
    """Hugging Face files hold GPT-2's matrices the other way round, input by output."""
    return array.T


QUERY_KEY_VALUE = {"attention.query": "HE D", "attention.key": "HE D", "attention.value": "HE D"}
FEED_FORWARD = (("feedforward.up", "F D", "mlp.c_fc", "ffn_up"), ("feedforward.down", "D F", "mlp.c_proj", "ffn_down"))
LAYER = (
    *linear_specs(("attention.norm", "D", "ln_1", "attn_norm"), bias=True),
    *fused_specs(QUERY_KEY_VALUE, "attn.c_attn", "attn_qkv", bias=True, transposed=True),
    *linear_specs(("attention.output", "D HE", "attn.c_proj", "attn_output"), bias=True, huggingface_fix=transposed),
    *linear_specs(("feedforward.norm", "D", "ln_2", "ffn_norm"), bias=True),
    *linear_specs(*FEED_FORWARD, bias=True, huggingface_fix=transposed),
)


def tensors(config: GPT2Config) -> list[TensorSpec]:
    places = TensorSpec("position.weight", f"{config.sizes.context} D", "wpe.weight", "position_embd.weight")
    return around(config.sizes.L, LAYER, "wte", "ln_f", "h.{}.", after_embedding=[places])


CHOICE = OutputHead(
    "multiple choice",
    ("score",),
    "single_label_classification",
    HeadFiles(None, "multiple_choice_head.summary", choice=NO_LAYER),
    beside=True,
)
"""How well a text fits, read at its last token."""

ARCHITECTURE = Architecture(
    name="gpt2",
    read_huggingface=from_huggingface,
    tensors=tensors,
    gguf_names=("gpt2",),
    read_gguf=from_gguf,
    prefix="transformer.",
    input_by_output="h.*",
    defaults={
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5,
        "n_positions": 1024,
        "scale_attn_weights": True,
        "tie_word_embeddings": True,
    },
    heads=replace(OLDER_DECODER_HEADS, special=(("DoubleHeadsModel", CHOICE),)),
    ignored=(Copy("h.*.attn.bias", agrees=causal_rule), Copy("h.*.attn.masked_bias", agrees=hiding_number)),
)
