"""GPT-J: neighbours in part of each head are turned by position, both steps of a layer read one layer norm.

Wang and Komatsuzaki 2021, "GPT-J-6B: A 6 Billion Parameter Autoregressive Language Model" (software).
"""

from __future__ import annotations

from llminspect.core.dataclass import dataclass
from llminspect.core.rotary import Rotary
from llminspect.model.config import OlderConfig, read_older, read_sizes
from llminspect.model.copies import Copy, causal_rule, hiding_number
from llminspect.model.heads import OLDER_DECODER_HEADS
from llminspect.model.maps import attention_maps
from llminspect.model.settings import Settings
from llminspect.model.spec import Architecture, TensorSpec, for_layers, linear_specs

KEYS = {"L": "n_layer", "D": "n_embd", "H": "n_head", "context": "n_positions"}


@dataclass(frozen=True, kw_only=True)
class GPTJConfig(OlderConfig):
    stated = "sizes norm_epsilon activation rotary tied causal"
    parallel: bool = True


def from_huggingface(settings: Settings) -> GPTJConfig:
    sizes = read_sizes(settings, KEYS, F=settings.whole("n_inner", 4 * settings.whole("n_embd")))
    settings.only("rotary", True)
    settings.only("scale_attn_weights", True)
    settings.skip("n_ctx", *(key for key in settings.values if key.startswith("summary_")))
    turned = settings.whole("rotary_dim")
    if turned % 2 or not 2 <= turned <= sizes.E:
        raise settings.wrong("rotary_dim", f"an even number from 2 to {sizes.E}, the width of a head")
    return read_older(
        GPTJConfig,
        settings,
        sizes,
        epsilon="layer_norm_epsilon",
        activation="activation_function",
        rotary=Rotary(turned, 10_000.0, pairs="interleaved"),
        causal=settings.flag("is_causal", True),
    )


def tensors(config: GPTJConfig) -> list[TensorSpec]:
    layer = [
        *linear_specs(("attention.norm", "D", "ln_1", None), bias=True),
        *linear_specs(*attention_maps("attn.{}_proj", "attn.out_proj")),
        *linear_specs(
            ("feedforward.up", "F D", "mlp.fc_in", None), ("feedforward.down", "D F", "mlp.fc_out", None), bias=True
        ),
    ]
    return [
        TensorSpec("embedding.weight", "V D", "wte.weight"),
        *linear_specs(("final.norm", "D", "ln_f", None), bias=True),
        TensorSpec("unembedding.weight", "V D", "lm_head.weight", optional=True),
        TensorSpec("unembedding.bias", "V", "lm_head.bias"),
        *for_layers(config.sizes.L, layer, huggingface="h.{}."),
    ]


ARCHITECTURE = Architecture(
    name="gptj",
    read_huggingface=from_huggingface,
    tensors=tensors,
    prefix="transformer.",
    heads=OLDER_DECODER_HEADS,
    defaults={
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5,
        "n_positions": 2048,
        "rotary_dim": 64,
        "tie_word_embeddings": False,
    },
    ignored=(Copy("h.*.attn.bias", agrees=causal_rule), Copy("h.*.attn.masked_bias", agrees=hiding_number)),
)
