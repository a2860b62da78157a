"""Nomic BERT: a BERT that turns queries and keys by position, with gated feed-forward steps and few biases.

Nussbaum et al. 2024, "Nomic Embed: Training a Reproducible Long Context Text Embedder", section 3.1.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from llminspect.core.rotary import Dynamic, Rotary
from llminspect.model import rotary_files
from llminspect.model.config import HUGGINGFACE, read_sizes
from llminspect.model.decoder_files import sizes_from_gguf
from llminspect.model.families.bert import HEADS, BertConfig, copies, readout, tensors
from llminspect.model.settings import ACTIVATIONS
from llminspect.model.spec import Architecture, fused_specs, linear_specs
from llminspect.model.transformer import forward

if TYPE_CHECKING:
    from llminspect.model.settings import Settings

FIRST_KEYS = {"L": "n_layer", "D": "n_embd", "H": "n_head", "F": "n_inner", "context": "n_positions"}
"""In the files of the family's own code, which is older than that of transformers."""
OFF = """
    qkv_proj_bias mlp_fc1_bias mlp_fc2_bias prenorm parallel_block parallel_block_tied_norm use_rms_norm causal
    scale_attn_by_inverse_layer_idx rotary_emb_interleaved tie_encoder_decoder num_experts
""".split()
"""Other forms of the block that this code could take, and no published model of the kind does."""
UNREAD = """
    attn_pdrop embd_pdrop resid_pdrop dense_seq_output fused_bias_fc fused_dropout_add_ln reorder_and_upcast_attn
    max_trained_positions pad_vocab_size_multiple rotary_emb_scale_base use_flash_attn use_xentropy tie_weights_
    summary_activation summary_first_dropout summary_proj_to_labels summary_type summary_use_proj
""".split()


def from_huggingface(settings: Settings) -> BertConfig:
    settings.only("is_causal", False)
    if "n_embd" in settings.values:
        return first_from_huggingface(settings)
    heads = settings.whole("num_attention_heads")
    width = settings.whole("head_dim", settings.whole("hidden_size") // heads)
    sizes = read_sizes(settings, HUGGINGFACE, H=heads, E=width)
    return BertConfig(
        sizes=sizes,
        norm_epsilon=settings.number("layer_norm_eps"),
        activation=settings.one_of("hidden_act", ACTIVATIONS),
        positions=0,
        segments=settings.whole("type_vocab_size"),
        tied=settings.flag("tie_word_embeddings"),
        rotary=rotary_files.from_huggingface(settings, sizes.E, sizes.context),
    )


def first_from_huggingface(settings: Settings) -> BertConfig:
    for key in OFF:
        settings.only(key, False, 0)
    settings.only("rotary_emb_fraction", 1.0)
    settings.only("scale_attn_weights", True)
    settings.only("activation_function", "swiglu")
    settings.skip(*UNREAD)
    sizes = read_sizes(settings, FIRST_KEYS)
    stretch, trained = settings.perhaps("rotary_scaling_factor"), settings.get("max_trained_positions")
    scaling = None
    if stretch is not None:
        scaling = Dynamic(stretch, sizes.context if trained is None else settings.whole("max_trained_positions"))
    return BertConfig(
        sizes=sizes,
        norm_epsilon=settings.number("layer_norm_epsilon"),
        activation="silu",
        positions=0,
        segments=settings.whole("type_vocab_size"),
        tied=settings.flag("tie_word_embeddings"),
        rotary=Rotary(sizes.E, settings.number("rotary_emb_base"), scaling),
    )


def from_gguf(settings: Settings) -> BertConfig:
    settings.only("attention.causal", False)
    sizes, segments = sizes_from_gguf(settings), settings.metadata.get("tokenizer.ggml.token_type_count")
    return BertConfig(
        sizes=sizes,
        norm_epsilon=settings.number("attention.layer_norm_epsilon"),
        activation="silu",
        positions=0,
        segments=2 if segments is None else int(segments),
        rotary=rotary_files.from_gguf(settings, sizes.E, sizes.context),
    )


LAYER = (
    *fused_specs(
        dict.fromkeys(("attention.query", "attention.key", "attention.value"), "HE D"), "attn.Wqkv", "attn_qkv"
    ),
    *linear_specs(
        ("attention.output", "D HE", "attn.out_proj", "attn_output"),
        ("feedforward.gate", "F D", "mlp.fc12", "ffn_gate"),
        ("feedforward.up", "F D", "mlp.fc11", "ffn_up"),
        ("feedforward.down", "D F", "mlp.fc2", "ffn_down"),
    ),
    *linear_specs(
        ("middle.norm", "D", "norm1", "attn_output_norm"), ("output.norm", "D", "norm2", "layer_output_norm"), bias=True
    ),
)
HEAD = (
    "cls.predictions.transform.dense",
    "cls.predictions.transform.layer_norm",
    "cls.predictions.decoder",
    "cls.predictions.bias",
)

ARCHITECTURES = (
    Architecture(
        name="nomic-bert",
        model_types=("nomic_bert",),
        gguf_names=("nomic-bert",),
        read_huggingface=from_huggingface,
        read_gguf=from_gguf,
        tensors=partial(tensors, layer=LAYER, stack="encoder.layers", head=HEAD, norm="emb_ln"),
        forward=forward,
        readout=readout,
        capabilities=frozenset({"encode", "fill"}),
        requires={"fill": "head.weight"},
        heads=HEADS["bert"],
        prefix="nomic_bert.",
        fronts=("bert.",),
        ignored=copies(HEAD),
        defaults={
            "hidden_act": "silu",
            "layer_norm_eps": 1e-12,
            "layer_norm_epsilon": 1e-12,
            "rope_theta": 1000.0,
            "rotary_emb_base": 1000.0,
            "type_vocab_size": 2,
            "max_position_embeddings": 2048,
            "tie_word_embeddings": True,
        },
    ),
)
