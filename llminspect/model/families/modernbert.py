"""ModernBERT: an encoder with norms before its steps, gated feed-forward steps, and windows on most of its layers.

Warner et al. 2024, "Smarter, Better, Faster, Longer", section 2.1. The first layer reads the normed embedding as it is;
layers with a window turn queries and keys faster than those without.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from llminspect.core.dataclass import dataclass
from llminspect.core.feedforward import Glu
from llminspect.core.rotary import Rotary
from llminspect.model import decoder_files as files
from llminspect.model import rotary_files
from llminspect.model.families.bert import readout
from llminspect.model.heads import HeadFiles
from llminspect.model.settings import ACTIVATIONS
from llminspect.model.spec import Architecture, for_layers


@dataclass(frozen=True, kw_only=True)
class ModernBertConfig(files.DecoderConfig):
    """Its `activation` is that of the layer in front of words and labels."""

    stated = f"{files.DecoderConfig.stated} activation reads"


UNREAD = """
    layer_norm_eps repad_logits_with_grad reference_compile deterministic_flash_attn initializer_cutoff_factor
    mlp_dropout sparse_prediction sparse_pred_ignore_index
""".split()
"""Of training, and of the class that its first files name."""
READS: dict[str, Literal["first", "mean"]] = {"cls": "first", "mean": "mean"}
NORMS = ("embedding.norm", "attention.norm", "feedforward.norm", "final.norm", "head.norm")


def from_huggingface(settings: files.Settings, causal: bool = False) -> ModernBertConfig:
    settings.only("position_embedding_type", "absolute")  # Of the class it comes from; nothing reads it.
    settings.skip(*UNREAD)
    sizes = files.sizes_from_huggingface(settings)
    settings.only("num_key_value_heads", sizes.H)
    if settings.get("rope_parameters") is not None:
        local, everywhere = rotary_files.two_rotations(settings, sizes.E, sizes.context, "local_rope_theta")
    else:
        local, everywhere = (Rotary(sizes.E, settings.number(f"{kind}_rope_theta")) for kind in ("local", "global"))
    every = settings.whole("global_attn_every_n_layers", 3)
    settings.defaults["sliding_window"] = settings.whole("local_attention") // 2
    biases = {
        files.ATTENTION: settings.flag("attention_bias"),
        files.FEED_FORWARD: settings.flag("mlp_bias"),
        NORMS: settings.flag("norm_bias"),
        ("head",): settings.flag("classifier_bias"),
        ("unembedding",): settings.flag("decoder_bias", True),
    }
    found = ModernBertConfig(
        sizes=sizes,
        norm="layer",
        norm_epsilon=settings.number("norm_eps"),
        scale=sizes.E**-0.5,
        rotary=everywhere,
        local_rotary=local,
        tied=settings.flag("tie_word_embeddings"),
        biased=tuple(name for names, biased in biases.items() if biased for name in names),
        unit=Glu(settings.one_of("hidden_activation", ACTIVATIONS)),
        causal=causal,
        activation=settings.one_of("classifier_activation", ACTIVATIONS),
        reads=settings.one_of("classifier_pooling", READS),
    )
    settings.only("is_causal", causal)
    settings.only("sliding_window", settings.defaults["sliding_window"])
    return files.with_windows(found, settings, lambda index: index % every != 0)  # type: ignore[return-value]


def from_gguf(settings: files.Settings) -> ModernBertConfig:
    """Every third layer sees all where the file does not say which; a file holds no head that fills masks."""
    settings.only("attention.causal", False)
    sizes = files.sizes_from_gguf(settings)
    everywhere = rotary_files.from_gguf(settings, sizes.E, sizes.context)
    found = ModernBertConfig(
        sizes=sizes,
        norm="layer",
        norm_epsilon=settings.number("attention.layer_norm_epsilon"),
        scale=sizes.E**-0.5,
        rotary=everywhere,
        local_rotary=Rotary(everywhere.width, settings.number("rope.freq_base_swa", everywhere.base)),
        tied=True,
        biased=(),
        unit=Glu("gelu"),
        causal=False,
        activation="gelu",
    )
    if not settings.get("attention.sliding_window"):
        return found
    every = settings.whole("attention.sliding_window_pattern", 3)
    windowed = tuple(index for index in range(sizes.L) if index % every)
    return replace(found, window=settings.whole("attention.sliding_window") // 2, windowed=windowed)


PARTS = files.attention_maps("attn.{}_proj", "attn.Wo")[:3]
"""What the decoder's files hold apart."""


def tensors(config: ModernBertConfig, head: str = "head") -> list[files.TensorSpec]:
    """`head`: what the files call the layer in front of the words."""
    biased = config.biased or ()

    def layer(index: int) -> list[files.TensorSpec]:
        attention = dict.fromkeys(files.QUERY_KEY_VALUE, "HE D")
        halves = {"feedforward.gate": "F D", "feedforward.up": "F D"}
        norms = (("attention.norm", "D", "attn_norm", "attn_norm"), ("feedforward.norm", "D", "mlp_norm", "ffn_norm"))
        fused = files.fused_specs(attention, "attn.Wqkv", "attn_qkv", bias="attention.query" in biased)
        return [
            *files.linear_specs(*norms[index == 0 :], bias=biased),
            *(files.linear_specs(*PARTS, bias=biased) if config.causal else fused),
            *files.linear_specs(("attention.output", "D HE", "attn.Wo", "attn_output"), bias=biased),
            *files.fused_specs(halves, "mlp.Wi", "ffn_up", bias="feedforward.up" in biased),
            *files.linear_specs(("feedforward.down", "D F", "mlp.Wo", "ffn_down"), bias=biased),
        ]

    before = (("head", "D D", f"{head}.dense", None), ("head.norm", "D", f"{head}.norm", None))
    words = files.linear_specs(("unembedding", "V D", "decoder", None), bias=biased)
    return [
        files.TensorSpec("embedding.weight", "V D", "embeddings.tok_embeddings.weight", "token_embd.weight"),
        *files.linear_specs(
            ("embedding.norm", "D", "embeddings.norm", "token_embd_norm"),
            ("final.norm", "D", "final_norm", "output_norm"),
            bias=biased,
        ),
        *for_layers(config.sizes.L, layer, huggingface="layers.{}.", gguf="blk.{}."),
        # The parts of the head are all there, or none; a matrix that is the embedding once more is mostly left out.
        *(replace(spec, optional="head") for spec in files.linear_specs(*before, bias=biased)),
        replace(words[0], optional=True if config.tied else "head"),
        *(replace(spec, optional="head") for spec in words[1:]),
    ]


ARCHITECTURE = Architecture(
    name="modernbert",
    gguf_names=("modern-bert",),
    read_huggingface=from_huggingface,
    read_gguf=from_gguf,
    tensors=tensors,
    readout=readout,
    capabilities=frozenset({"encode", "fill"}),
    requires={"fill": "head.weight"},
    prefix="model.",
    heads=HeadFiles(
        "classifier",
        "classifier",
        ("labels.dense", "head.dense", ""),
        choice=("labels.dense", "head.dense", ""),
        question="classifier",
        dense_bias=None,
        norm="head.norm",
        everywhere=True,
    ),
    defaults={
        "hidden_activation": "gelu",
        "norm_eps": 1e-5,
        "global_rope_theta": 160_000.0,
        "local_rope_theta": 10_000.0,
        "rope_theta": 160_000.0,
        "local_attention": 128,
        "max_position_embeddings": 8192,
        "classifier_pooling": "cls",
        "classifier_activation": "gelu",
        "tie_word_embeddings": True,
    },
)
