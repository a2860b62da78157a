"""Which tiny models stand for kinds that came last: decoders of which few are published, and further kin of BERT."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
import transformers as t
from golden_decoders import PART, SMALL, small
from golden_encoders import BASES
from golden_families import Family, eager
from golden_kin import Seen, by_names, kin
from golden_later import ROTATION_IN_THREE, with_pictures
from transformers.models.eurobert.modeling_eurobert import EuroBertAttention


class SqueezeBert(t.SqueezeBertForMaskedLM):
    """The reference gives the scores in place of the weights."""

    def forward(self, *arguments: Any, **given: Any) -> Any:
        output = super().forward(*arguments, **given)
        output.attentions = tuple(scores.softmax(dim=-1) for scores in output.attentions or ())
        return output


class Upright:
    """The streams of a layer that works on the numbers of all tokens side by side."""

    def __init__(self, module: Any, after: bool) -> None:
        self.module, self.after = module, after

    def register_forward_pre_hook(self, hook: Any, with_kwargs: bool) -> Any:
        turned = lambda module, given, more: hook(module, (given[0].mT,), more)  # noqa: E731
        return self.module.register_forward_pre_hook(turned, with_kwargs=with_kwargs)

    def register_forward_hook(self, hook: Any) -> Any:
        return self.module.register_forward_hook(lambda module, given, output: hook(module, given, output.mT))


def squeezed(model: Any) -> Any:
    layers = model.transformer.encoder.layers
    return [Seen(Upright(layer.attention, False), Upright(layer.output, True)) for layer in layers]


class Longformer(t.LongformerForMaskedLM):
    """The reference gives the weights of each token's window."""

    def forward(self, *arguments: Any, **given: Any) -> Any:
        output = super().forward(*arguments, **given)
        output.attentions = tuple(self.spread(weights) for weights in output.attentions or ())
        return output

    @staticmethod
    def spread(near: torch.Tensor) -> torch.Tensor:
        """[..., H, T, 2W + 1] to [..., H, T, T]."""
        *_, tokens, width = near.shape
        whole = near.new_zeros(*near.shape[:-1], tokens + width - 1)
        for at in range(tokens):
            whole[..., at, at : at + width] = near[..., at, :]
        return whole[..., width // 2 : width // 2 + tokens]


class NeoAttention(EuroBertAttention):
    """Queries, keys and values of one matrix, head by head; neighbours turned as complex numbers."""

    def __init__(self, config: Any, layer_idx: int) -> None:
        super().__init__(config, layer_idx)
        del self.q_proj, self.k_proj, self.v_proj
        self.qkv = torch.nn.Linear(config.hidden_size, 3 * config.hidden_size, bias=False)

    def forward(self, hidden_states: torch.Tensor, position_embeddings: Any, **_: Any) -> Any:
        batch, tokens, width = hidden_states.shape
        heads = self.config.num_attention_heads
        query, key, value = self.qkv(hidden_states).view(batch, tokens, heads, -1).chunk(3, dim=-1)
        cos, sin = (part[0, :, None, : self.head_dim // 2] for part in position_embeddings)
        turn = torch.complex(cos, sin)
        query, key = (
            torch.view_as_real(torch.view_as_complex(part.reshape(*part.shape[:-1], -1, 2)) * turn).flatten(3)
            for part in (query, key)
        )
        scores = query.transpose(1, 2) @ key.permute(0, 2, 3, 1) * self.scaling
        weights = scores.softmax(dim=-1)
        mixed = (weights @ value.transpose(1, 2)).transpose(1, 2).reshape(batch, tokens, width)
        return self.o_proj(mixed), weights


class NeoFeedForward(torch.nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        units = -(-int(2 * config.intermediate_size / 3) // 8) * 8
        self.w12 = torch.nn.Linear(config.hidden_size, 2 * units, bias=False)
        self.w3 = torch.nn.Linear(units, config.hidden_size, bias=False)

    def forward(self, read: torch.Tensor) -> torch.Tensor:
        gate, up = self.w12(read).chunk(2, dim=-1)
        return self.w3(torch.nn.functional.silu(gate) * up)


class NeoBert(t.EuroBertForMaskedLM):
    """The reference has no class for NeoBERT: EuroBERT's, with these."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        for index, layer in enumerate(self.model.layers):
            layer.self_attn, layer.mlp = NeoAttention(config, index), NeoFeedForward(config)
        self.lm_head = torch.nn.Linear(config.hidden_size, config.vocab_size)


LATENT = {"q_lora_rank": 7, "kv_lora_rank": 9, "qk_nope_head_dim": 6, "qk_rope_head_dim": 8, "v_head_dim": 5}
GEMMA = {
    **{key: value for key, value in SMALL.items() if key != "vocab_size"},
    "vocab_size": 41,
    "head_dim": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "sliding_window": 4,
    "query_pre_attn_scalar": 7,
    "attn_logit_softcapping": 3.0,
    "final_logit_softcapping": 4.0,
}
NEO = {
    "lm_head": "decoder",
    "embed_tokens": "encoder",
    r"model\.norm": "model.layer_norm",
    "layers": "transformer_encoder",
    r"self_attn\.qkv": "qkv",
    r"self_attn\.o_proj": "wo",
    "mlp": "ffn",
    "input_layernorm": "attention_norm",
    "post_attention_layernorm": "ffn_norm",
}


def published_neo(config: dict[str, Any]) -> dict[str, Any]:
    same = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size", "dtype")
    found = {key: config[key] for key in (*same, "pad_token_id", "transformers_version")}
    found |= {"norm_eps": config["rms_norm_eps"], "max_length": config["max_position_embeddings"]}
    return found | {"model_type": "neobert", "architectures": ["NeoBERTLMHead"]}


FAMILIES = [
    small("nanochat", t.NanoChatConfig, t.NanoChatForCausalLM, rope_parameters=PART, final_logit_softcapping=2.0),
    small(
        "mistral4",
        t.Mistral4Config,
        t.Mistral4ForCausalLM,
        23,
        **LATENT,
        num_hidden_layers=3,
        num_key_value_heads=2,
        head_dim="none",
        moe_intermediate_size=6,
        num_experts_per_tok=3,
        n_routed_experts=10,
        n_shared_experts=2,
        first_k_dense_replace=1,
        n_group=2,
        topk_group=1,
        routed_scaling_factor=1.4,
        rope_parameters={
            "rope_type": "yarn",
            "rope_theta": 50.0,
            "factor": 4.0,
            "original_max_position_embeddings": 16,
            "beta_fast": 2.0,
            "beta_slow": 0.5,
            "mscale": 1.0,
            "mscale_all_dim": 1.0,
            "llama_4_scaling_beta": 0.3,
        },
    ),
    replace(
        small(
            "openai-gpt",
            t.OpenAIGPTConfig,
            t.OpenAIGPTLMHeadModel,
            layers=lambda model: model.transformer.h,
        ),
        config=eager(t.OpenAIGPTConfig, vocab_size=47, n_positions=40, n_embd=16, n_layer=2, n_head=2),
    ),
    Family(
        "modernbert-decoder",
        eager(
            t.ModernBertDecoderConfig,
            **{key: value for key, value in SMALL.items() if key not in ("head_dim", "num_key_value_heads")},
            local_attention=6,
            rope_parameters=BASES,
            cls_token_id=1,
            sep_token_id=2,
        ),
        t.ModernBertDecoderForCausalLM,
        tokens=11,
        prompt=5,
        vocabulary=47,
    ),
    replace(
        with_pictures(
            "glm4v",
            t.Glm4vConfig,
            t.Glm4vForConditionalGeneration,
            {
                "hidden_size": 16,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "num_key_value_heads": 1,
                "rope_parameters": {**ROTATION_IN_THREE, "mrope_section": [1, 1, 0], "partial_rotary_factor": 0.5},
            },
            {
                "hidden_size": 8,
                "depth": 1,
                "num_heads": 2,
                "image_size": 8,
                "patch_size": 4,
                "out_hidden_size": 16,
                "intermediate_size": 10,
            },
        ),
        tokens=11,
        prompt=5,
    ),
    kin(
        "squeezebert",
        t.SqueezeBertConfig,
        SqueezeBert,
        squeezed,
        embedding_size=8,
        q_groups=2,
        intermediate_groups=2,
        output_groups=1,
    ),
    replace(
        kin(
            "longformer",
            t.LongformerConfig,
            Longformer,
            lambda model: model.longformer.encoder.layer,
            attention_window=[4, 6],
            pad_token_id=1,
        ),
        tokens=12,
    ),
    by_names(
        kin(
            "neobert",
            t.EuroBertConfig,
            NeoBert,
            lambda model: model.model.layers,
            num_key_value_heads=2,
            intermediate_size=14,
            rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        ),
        NEO,
        published_neo,
    ),
    Family(
        "t5gemma",
        eager(t.T5GemmaConfig, encoder=GEMMA, decoder={**GEMMA, "num_hidden_layers": 3}, vocab_size=41),
        t.T5GemmaForConditionalGeneration,
        "encoder-decoder",
        lambda model: model.model.decoder.layers,
        lambda model: model.model.encoder.layers,
        tokens=13,
        prompt=8,
        vocabulary=41,
    ),
]
