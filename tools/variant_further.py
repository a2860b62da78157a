"""The kinds that came last in `variants.py`: decoders of which few are published, and further kin of BERT."""

from __future__ import annotations

from collections.abc import Callable
from random import Random  # noqa: TC003
from typing import Any

import golden_further
import transformers as t
import variant_latent
from golden_later import EYE
from variant_draw import ACTIVATIONS, BASES, EPSILONS, Draw, Settings, grouped, perhaps, sizes, with_rope
from variant_kin import sized

SWITCH = (True, False)


def nanochat(random: Random) -> Draw:
    found = grouped(random, (1, 3)) | perhaps(random, attention_bias=SWITCH, final_logit_softcapping=(None, 2.0, 30.0))
    return Draw("nanochat", t.NanoChatConfig(**with_rope(random, found)), t.NanoChatForCausalLM)


def openai_gpt(random: Random) -> Draw:
    heads = random.choice((1, 2, 3, 5))
    found: Settings = {"vocab_size": random.randint(40, 140), "n_head": heads, "n_embd": heads * random.choice((3, 4))}
    found |= {"n_positions": random.choice((40, 64)), "n_layer": random.randint(1, 4)}
    found |= perhaps(random, afn=("gelu", "relu", "silu"), layer_norm_epsilon=EPSILONS, tie_word_embeddings=SWITCH)
    return Draw("openai-gpt", t.OpenAIGPTConfig(**found), t.OpenAIGPTLMHeadModel, prefix="transformer.")


def modernbert_decoder(random: Random) -> Draw:
    found = sizes(random, (1, 4)) | {"cls_token_id": 1, "sep_token_id": 2, "local_attention": random.choice((4, 10))}
    found |= perhaps(random, norm_eps=EPSILONS, norm_bias=SWITCH, attention_bias=SWITCH, mlp_bias=SWITCH)
    found |= perhaps(random, decoder_bias=SWITCH, classifier_bias=SWITCH, hidden_activation=ACTIVATIONS)
    found |= perhaps(random, tie_word_embeddings=SWITCH)
    bases = {f"{kind}_attention": random.choice(BASES) for kind in ("full", "sliding")}
    found["rope_parameters"] = {kind: {"rope_type": "default", "rope_theta": base} for kind, base in bases.items()}
    return Draw("modernbert-decoder", t.ModernBertDecoderConfig(**found), t.ModernBertDecoderForCausalLM)


def squeezebert(random: Random) -> Draw:
    found = sized(random) | {"embedding_size": 24, "intermediate_size": random.choice((12, 24, 36))}
    parts = ("q", "k", "v", "post_attention", "intermediate", "output")
    found |= perhaps(random, **{f"{part}_groups": (1, 2, 3, 4) for part in parts}, tie_word_embeddings=SWITCH)
    head = random.choice(("ForMaskedLM", "ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering"))
    return Draw("squeezebert", t.SqueezeBertConfig(**found), getattr(t, f"SqueezeBert{head}"), "head")


def longformer(random: Random) -> Draw:
    found = sized(random) | {"attention_window": random.choice((4, 8))} | perhaps(random, tie_word_embeddings=SWITCH)
    head = random.choice(("ForMaskedLM", "ForTokenClassification", "Model"))
    kind = "encoder" if head == "Model" else "head"
    return Draw("longformer", t.LongformerConfig(**found), getattr(t, f"Longformer{head}"), kind)


def neobert(random: Random) -> Draw:
    found = sized(random) | {"hidden_act": "silu", "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0}}
    found["rms_norm_eps"] = found.pop("layer_norm_eps", 1e-6)
    family = next(one for one in golden_further.FAMILIES if one.name == "neobert")
    config = t.EuroBertConfig(**found, mask_token_id=3)

    def change(written: Settings, arrays: Any) -> tuple[Settings, Any]:
        assert family.published is not None
        return family.published(written), {family.renamed(key): array for key, array in arrays.items()}

    return Draw("neobert", config, family.model, "head", change=change)


def mistral4(random: Random) -> Draw:
    found = grouped(random) | {"num_key_value_heads": None, "qk_rope_head_dim": random.choice((2, 4, 8))}
    found |= {"qk_nope_head_dim": random.choice((1, 3, 8)), "v_head_dim": random.choice((1, 5, 8))}
    found |= {"kv_lora_rank": random.choice((1, 4, 9)), "q_lora_rank": random.choice((None, 1, 5, 12))}
    found |= variant_latent.mixture(random, "mistral4", found["num_hidden_layers"])
    found |= perhaps(random, rope_interleave=SWITCH, norm_topk_prob=SWITCH, attention_bias=SWITCH)
    found["rope_parameters"] = {
        "rope_type": "yarn",
        "rope_theta": random.choice(BASES),
        "factor": random.choice((2.0, 8.0)),
        "original_max_position_embeddings": random.choice((4, 8)),
        "llama_4_scaling_beta": random.choice((0.1, 0.5)),
        **perhaps(random, mscale=(1.0, 0.7), mscale_all_dim=(1.0, 0.5), beta_fast=(32.0, 2.0), beta_slow=(1.0, 0.5)),
    }
    return Draw("mistral4", t.Mistral4Config(**found), t.Mistral4ForCausalLM)


def t5gemma(random: Random) -> Draw:
    found = grouped(random) | {"head_dim": random.choice((2, 6, 8)), "sliding_window": random.choice((3, 7))}
    found |= {"vocab_size": 61, "tie_word_embeddings": True} | perhaps(random, query_pre_attn_scalar=(7, 64))
    found |= perhaps(random, attn_logit_softcapping=(None, 2.0), final_logit_softcapping=(None, 4.0))
    found |= perhaps(random, attention_bias=SWITCH)
    decoder = {**found, "num_hidden_layers": random.randint(1, 3)}
    more = perhaps(random, tie_word_embeddings=SWITCH)
    config = t.T5GemmaConfig(encoder=found, decoder=decoder, vocab_size=61, **more)
    return Draw("t5gemma", config, t.T5GemmaForConditionalGeneration, "encoder-decoder")


SOUND = {"num_hidden_layers": 1, "hidden_size": 8, "intermediate_size": 10, "num_attention_heads": 2}
SOUND |= {"num_mel_bins": 8, "max_source_positions": 16}
OTHERS: dict[str, tuple[str, str, Settings]] = {
    "qwen2_audio": (
        "Qwen2Audio",
        "qwen2",
        {
            "audio_config": {
                "d_model": 8,
                "encoder_layers": 1,
                "encoder_attention_heads": 2,
                "encoder_ffn_dim": 10,
                "num_mel_bins": 8,
                "max_source_positions": 16,
            },
            "audio_token_index": 39,
        },
    ),
    "voxtral": ("Voxtral", "llama", {"audio_config": SOUND, "audio_token_id": 39}),
    "video_llama_3": (
        "VideoLlama3",
        "qwen2",
        {
            "vision_config": {key: EYE[key] for key in EYE if key != "image_size"} | {"patch_size": 4},
            "image_token_id": 39,
            "video_token_id": 38,
        },
    ),
}


def text_part(name: str) -> Callable[[Random], Draw]:
    def draw(random: Random) -> Draw:
        prefix, kind, others = OTHERS[name]
        text = with_rope(random, grouped(random, (1, 3))) | {"model_type": kind}
        text = {key: value for key, value in text.items() if not key.endswith("os_token_id")}
        config = getattr(t, f"{prefix}Config")(text_config=text, **others)
        return Draw(name, config, getattr(t, f"{prefix}ForConditionalGeneration"))

    draw.__name__ = name
    return draw


FAMILIES = (
    *(nanochat, openai_gpt, modernbert_decoder, squeezebert, longformer, neobert, mistral4, t5gemma),
    *(text_part(name) for name in OTHERS),
)
