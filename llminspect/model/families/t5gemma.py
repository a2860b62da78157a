"""T5Gemma: an encoder and a decoder with Gemma 2's layers, the decoder's with an attention to the source between them.

Zhang et al. 2025, "Encoder-Decoder Gemma: Improving the Quality-Efficiency Trade-Off via Adaptation", section 3.1.
"""

from __future__ import annotations

from dataclasses import replace

from llminspect.core.dataclass import dataclass
from llminspect.model import decoder_files as files
from llminspect.model.config import Config, start_token
from llminspect.model.families.gemma import SECOND, gemma2_from_huggingface
from llminspect.model.spec import Architecture, for_layers, plus_one
from llminspect.model.transformer import encode_source


@dataclass(frozen=True, kw_only=True)
class T5GemmaConfig(files.DecoderConfig):
    encoder_stack: files.DecoderConfig
    start_id: int | None
    """What the decoder starts from; None: the file does not say."""

    @property
    def encoder(self) -> Config:
        return self.encoder_stack

    @property
    def encoder_layers(self) -> int:
        return self.encoder_stack.sizes.L


def from_huggingface(settings: files.Settings) -> T5GemmaConfig:
    settings.only("is_encoder_decoder", True)
    settings.skip("classifier_dropout_rate")
    encoder, decoder = (stack(settings, name) for name in ("encoder", "decoder"))
    if replace(encoder.sizes, L=decoder.sizes.L) != decoder.sizes:
        raise settings.wrong("encoder", "the sizes of the decoder, but for the number of layers")
    if encoder.norm_epsilon != decoder.norm_epsilon:
        raise settings.wrong("encoder", f"rms_norm_eps = {decoder.norm_epsilon:g}, as in the decoder")
    settings.only("vocab_size", decoder.sizes.V)
    return T5GemmaConfig(
        **{**vars(decoder), "tied": settings.flag("tie_word_embeddings", True)},
        encoder_stack=replace(encoder, causal=False, logit_cap=None),
        start_id=start_token(settings, decoder.sizes.V, settings.get("bos_token_id")),
    )


def stack(settings: files.Settings, name: str) -> files.DecoderConfig:
    inner = settings.under(name)
    inner.defaults = {**files.DEFAULTS, **SECOND, "vocab_size": 256_000}
    inner.skip("is_decoder", "classifier_dropout_rate")
    found = gemma2_from_huggingface(inner)
    inner.only("cross_attention_hidden_size", found.sizes.D)
    inner.done()
    return found


def tensors(config: T5GemmaConfig) -> list[files.TensorSpec]:
    around = files.linear_specs(*(norm for step in STEPS for norm in norms(*step)), huggingface_fix=plus_one)
    crossed = files.linear_specs(*norms("cross_attention", "cross_attn"), huggingface_fix=plus_one)
    layer = [*around, *files.attention_specs(config), *files.feed_forward_specs(config)]
    biased = "attention.query" in (config.biased or ())
    maps = files.attention_maps("cross_attn.{}_proj", "cross_attn.o_proj", step="cross_attention", keys="KE")
    to_source = files.linear_specs(*maps, bias=biased)
    decoder = [*layer, *crossed, *to_source]
    finals = (("encoder.final.norm", "D", "encoder.norm", None), ("final.norm", "D", "decoder.norm", None))
    return [
        files.TensorSpec("embedding.weight", "V D", "decoder.embed_tokens.weight"),
        files.TensorSpec("encoder.embedding.weight", "V D", "encoder.embed_tokens.weight"),
        *files.linear_specs(*finals, huggingface_fix=plus_one),
        files.TensorSpec("unembedding.weight", "V D", "lm_head.out_proj.weight", optional=True),
        *for_layers(config.encoder_layers, layer, huggingface="encoder.layers.{}.", stack="encoder.layers"),
        *for_layers(config.sizes.L, decoder, huggingface="decoder.layers.{}."),
    ]


def norms(step: str, name: str) -> tuple[tuple[str, str, str, None], ...]:
    """Those before and after a step."""
    return (
        (f"{step}.norm", "D", f"pre_{name}_layernorm", None),
        (f"{step}.norm_after", "D", f"post_{name}_layernorm", None),
    )


STEPS = (("attention", "self_attn"), ("feedforward", "feedforward"))
ARCHITECTURE = Architecture(
    name="t5gemma",
    read_huggingface=from_huggingface,
    tensors=tensors,
    encode_source=encode_source,
    capabilities=frozenset({"generate", "source"}),
    prefix="model.",
    defaults={"tie_word_embeddings": True},
)
