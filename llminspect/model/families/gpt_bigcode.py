"""GPT-BigCode (SantaCoder, StarCoder): GPT-2 whose heads share one key and value.

Li et al. 2023, "StarCoder: may the source be with you!", section 5.2; Shazeer 2019, "Fast Transformer Decoding: One
Write-Head is All You Need".
"""

from __future__ import annotations

from dataclasses import replace

from llminspect.model.config import GGUF, read_sizes
from llminspect.model.families import gpt2
from llminspect.model.families.gpt_neox import part_of_heads
from llminspect.model.settings import Settings
from llminspect.model.spec import TensorSpec, for_layers, fused_specs, linear_specs

RUNNING = (
    *("attention_softmax_in_fp32", "scale_attention_softmax_in_fp32", "inference_runner", "validate_runner_input"),
    *("max_batch_size", "pad_key_length", "pre_allocate_kv_cache"),
)
"""Keys that say how the reference implementation computes."""


def from_huggingface(settings: Settings) -> gpt2.GPT2Config:
    settings.skip(*RUNNING)
    keys = 1 if settings.flag("multi_query") else settings.whole("n_head")
    settings.skip("num_key_value_heads")  # The reference implementation sets it by multi_query, whatever it says.
    settings.only("scale_attn_by_inverse_layer_idx", False)  # The reference scales no layer by its number.
    found = gpt2.from_huggingface(settings)
    return replace(found, sizes=replace(found.sizes, K=keys))


def from_gguf(settings: Settings) -> gpt2.GPT2Config:
    settings.only("attention.head_count_kv", 1)
    sizes = replace(read_sizes(settings, GGUF), K=1)
    return gpt2.GPT2Config(
        sizes=sizes,
        norm_epsilon=settings.number("attention.layer_norm_epsilon"),
        activation="gelu_tanh",
        scale=sizes.E**-0.5,
        causal=settings.flag("attention.causal", True),
    )


def tensors(config: gpt2.GPT2Config) -> list[TensorSpec]:
    """Rows of all queries, of the key and of the value; those of each head together where each has its own."""
    parts = {"attention.query": "HE D", "attention.key": "KE D", "attention.value": "KE D"}
    fused = fused_specs(parts, "attn.c_attn", "attn_qkv", bias=True)
    if config.sizes.K > 1:
        place = {f"{part}.{kind}": index for index, part in enumerate(parts) for kind in ("weight", "bias")}
        fused = [replace(spec, huggingface_fix=part_of_heads(place[spec.name])) for spec in fused]
    layer = (
        *linear_specs(("attention.norm", "D", "ln_1", "attn_norm"), bias=True),
        *fused,
        *linear_specs(("attention.output", "D HE", "attn.c_proj", "attn_output"), bias=True),
        *linear_specs(("feedforward.norm", "D", "ln_2", "ffn_norm"), bias=True),
        *linear_specs(*gpt2.FEED_FORWARD, bias=True),
    )
    around = [spec for spec in gpt2.tensors(config) if not spec.name.startswith("layers.")]
    return [*around, *for_layers(config.sizes.L, layer, huggingface="h.{}.", gguf="blk.{}.")]


ARCHITECTURE = replace(
    gpt2.ARCHITECTURE,
    name="gpt_bigcode",
    model_types=("gpt_bigcode",),
    read_huggingface=from_huggingface,
    tensors=tensors,
    gguf_names=("starcoder",),
    read_gguf=from_gguf,
    input_by_output="",
    defaults={
        **gpt2.ARCHITECTURE.defaults,
        "activation_function": "gelu_pytorch_tanh",
        "multi_query": True,
        "scale_attn_by_inverse_layer_idx": False,
    },
)
