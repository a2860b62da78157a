"""Which tiny models stand for the encoder–decoders that are kin of BART."""

from __future__ import annotations

from typing import Any

import transformers as t
from golden_families import Family, eager


def bart(name: str, config: Any, model: Any, **settings: Any) -> Family:
    """The encoder has other numbers of heads and of widths than the decoder."""
    sizes = {
        "vocab_size": 41,
        "d_model": 18,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 3,
        "encoder_ffn_dim": 22,
        "decoder_ffn_dim": 26,
        "max_position_embeddings": 29,
        "pad_token_id": 1,
        "decoder_start_token_id": 2,
        "activation_function": "gelu",
    }
    padding = settings.pop("padding", 0)
    return Family(
        name,
        eager(config, **{**sizes, **settings}),
        model,
        "encoder-decoder",
        lambda model: model.model.decoder.layers,
        lambda model: model.model.encoder.layers,
        tokens=13,
        prompt=8,
        vocabulary=41,
        padding=padding,
    )


FAMILIES = [
    bart("bart", t.BartConfig, t.BartForConditionalGeneration),
    bart("mbart", t.MBartConfig, t.MBartForConditionalGeneration, scale_embedding=True),
    bart("pegasus", t.PegasusConfig, t.PegasusForConditionalGeneration, activation_function="relu"),
    # Positions count from after the padding, of which some stands in the source.
    bart(
        "m2m_100",
        t.M2M100Config,
        t.M2M100ForConditionalGeneration,
        d_model=21,
        encoder_attention_heads=3,
        activation_function="relu",
        pad_token_id=4,
        padding=2,
    ),
    bart("blenderbot", t.BlenderbotConfig, t.BlenderbotForConditionalGeneration),
    bart("blenderbot-small", t.BlenderbotSmallConfig, t.BlenderbotSmallForConditionalGeneration),
    bart("plbart", t.PLBartConfig, t.PLBartForConditionalGeneration, d_model=12),
    Family(
        "umt5",
        eager(
            t.UMT5Config,
            vocab_size=41,
            d_model=18,
            d_kv=5,
            d_ff=22,
            num_layers=2,
            num_decoder_layers=2,
            num_heads=3,
            relative_attention_num_buckets=8,
            relative_attention_max_distance=20,
            tie_word_embeddings=False,
            decoder_start_token_id=0,
        ),
        t.UMT5ForConditionalGeneration,
        "encoder-decoder",
        lambda model: model.decoder.block,
        lambda model: model.encoder.block,
        tokens=13,
        prompt=8,
        vocabulary=41,
        untied=True,
    ),
]
