"""Nomic BERT: a BERT that turns queries and keys by position, with gated feed-forward steps and few biases; its second
version has mixtures of experts, without gates, in every other layer.

Nussbaum et al. 2024, "Nomic Embed: Training a Reproducible Long Context Text Embedder", section 3.1; Nussbaum and
Duderstadt 2025, "Training Sparse Mixture Of Experts Text Embedding Models", section 3.
"""

from __future__ import annotations

from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass
from llminspect.core.rotary import Dynamic, Rotary
from llminspect.model import rotary_files
from llminspect.model.config import HUGGINGFACE, Experts, read_older, read_sizes
from llminspect.model.decoder_files import QUERY_KEY_VALUE, chosen_experts, sizes_from_gguf
from llminspect.model.families.bert import BertConfig, kin, tensors
from llminspect.model.settings import Settings
from llminspect.model.spec import TensorSpec, for_layers, fused_specs, linear_specs


@dataclass(frozen=True, kw_only=True)
class NomicConfig(BertConfig):
    stated = f"{BertConfig.stated} gated biased experts"
    gated: bool = True
    biased: bool = False
    """Whether every map has a bias, but the experts'."""


FIRST_KEYS = {"L": "n_layer", "D": "n_embd", "H": "n_head", "F": "n_inner", "context": "n_positions"}
"""In the files of the family's own code, which is older than that of transformers."""
OFF = """
    prenorm parallel_block parallel_block_tied_norm use_rms_norm causal scale_attn_by_inverse_layer_idx
    rotary_emb_interleaved tie_encoder_decoder num_shared_experts expert_choice_router moe_normalize_expert_weights
""".split()
"""Other forms of the block that this code could take, and no published model of the kind does."""
UNREAD = """
    attn_pdrop embd_pdrop resid_pdrop dense_seq_output fused_bias_fc fused_dropout_add_ln reorder_and_upcast_attn
    max_trained_positions pad_vocab_size_multiple rotary_emb_scale_base use_flash_attn use_xentropy tie_weights_
    summary_activation summary_first_dropout summary_proj_to_labels summary_type summary_use_proj moe_impl
    moe_resid_pdrop
""".split()
UNITS = {"swiglu": ("silu", True), "geglu": ("gelu", True), "gelu": ("gelu", False)}
"""The activation, and whether the feed-forward step has a gate."""


def from_huggingface(settings: Settings) -> NomicConfig:
    settings.only("is_causal", False)
    if "n_embd" in settings.values:
        return first_from_huggingface(settings)
    heads = settings.whole("num_attention_heads")
    width = settings.whole("head_dim", settings.whole("hidden_size") // heads)
    sizes = read_sizes(settings, HUGGINGFACE, H=heads, E=width)
    rotary = rotary_files.from_huggingface(settings, sizes.E, sizes.context)
    return read_older(NomicConfig, settings, sizes, segments=settings.whole("type_vocab_size"), rotary=rotary)


def first_from_huggingface(settings: Settings) -> NomicConfig:
    for key in OFF:
        settings.only(key, False, 0)
    settings.only("rotary_emb_fraction", 1.0)
    settings.only("scale_attn_weights", True)
    settings.only("ffn_div", 1.0)
    settings.skip(*UNREAD)
    activation, gated = settings.one_of("activation_function", UNITS, "swiglu")
    biased = settings.flag("qkv_proj_bias")
    for key in ("mlp_fc1_bias", "mlp_fc2_bias"):
        settings.only(key, biased)
    number = settings.get("num_experts") or 0
    sizes = read_sizes(settings, FIRST_KEYS, X=settings.whole("num_experts") if number else 0)
    stretch, trained = settings.perhaps("rotary_scaling_factor"), settings.get("max_trained_positions")
    scaling = None
    if stretch is not None:
        scaling = Dynamic(stretch, sizes.context if trained is None else settings.whole("max_trained_positions"))
    return NomicConfig(
        sizes=sizes,
        norm_epsilon=settings.number("layer_norm_epsilon"),
        activation=activation,
        gated=gated,
        biased=biased,
        experts=every(settings, "moe_every_n_layers", "moe_top_k", sizes.L, sizes.X),
        segments=settings.whole("type_vocab_size"),
        tied=settings.flag("tie_word_embeddings"),
        rotary=Rotary(sizes.E, settings.number("rotary_emb_base"), scaling),
    )


def every(settings: Settings, step: str, chosen: str, layers: int, experts: int) -> Experts | None:
    """A mixture in the second of so many layers as `step` says, and so on; None where there are no experts."""
    if not experts:
        settings.only(step, 0)
        settings.skip(chosen)
        return None
    width = settings.whole(step)
    if width < 2:
        raise settings.wrong(step, "2 or more")
    plain = tuple(index for index in range(layers) if index % width != 1)
    return Experts(chosen_experts(settings, chosen, experts), among_chosen=False, plain_layers=plain)


def from_gguf(settings: Settings) -> NomicConfig:
    settings.only("attention.causal", False)
    mixed = settings.metadata["general.architecture"] == "nomic-bert-moe"
    sizes = sizes_from_gguf(settings, settings.whole("expert_count") if mixed else 0)
    segments = settings.metadata.get("tokenizer.ggml.token_type_count")
    return NomicConfig(
        sizes=sizes,
        norm_epsilon=settings.number("attention.layer_norm_epsilon"),
        activation="gelu" if mixed else "silu",
        gated=not mixed,
        biased=mixed,
        experts=every(settings, "moe_every_n_layers", "expert_used_count", sizes.L, sizes.X),
        segments=2 if segments is None else int(segments),
        rotary=rotary_files.from_gguf(settings, sizes.E, sizes.context),
    )


def stacked(rows: Array, config: NomicConfig) -> Array:
    """Experts one below the other: [X · F, D] to [X, F, D]."""
    return rows.reshape(config.sizes.X, -1, rows.shape[-1])


def stacked_and_turned(rows: Array, config: NomicConfig) -> Array:
    return stacked(rows, config).swapaxes(1, 2)


def layer(config: NomicConfig, index: int) -> list[TensorSpec]:
    attention = fused_specs(dict.fromkeys(QUERY_KEY_VALUE, "HE D"), "attn.Wqkv", "attn_qkv", bias=config.biased)
    norms = (("middle.norm", "D", "norm1", "attn_output_norm"), ("output.norm", "D", "norm2", "layer_output_norm"))
    gated = (
        ("feedforward.gate", "F D", "mlp.fc12", "ffn_gate"),
        ("feedforward.up", "F D", "mlp.fc11", "ffn_up"),
        ("feedforward.down", "D F", "mlp.fc2", "ffn_down"),
    )
    plain = (("feedforward.up", "F D", "mlp.fc1", "ffn_up"), gated[2])
    step = linear_specs(*(gated if config.gated else plain), bias=config.biased)
    if config.experts is not None and index not in config.experts.plain_layers:
        name, front = "feedforward.experts", "mlp.experts"
        step = [
            TensorSpec("feedforward.router.weight", "X D", "mlp.router.layer.weight", "ffn_gate_inp.weight"),
            TensorSpec(f"{name}.up.weight", "X F D", f"{front}.mlp.w1", "ffn_up_exps.weight", stacked),
            TensorSpec(f"{name}.down.weight", "X D F", f"{front}.mlp.w2", "ffn_down_exps.weight", stacked_and_turned),
            # GGUF files leave it out.
            TensorSpec("feedforward.bias", "D", f"{front}.bias", None, optional=True),
        ]
    return [
        *attention,
        *linear_specs(("attention.output", "D HE", "attn.out_proj", "attn_output"), bias=config.biased),
        *step,
        *linear_specs(*norms, bias=True),
    ]


HEAD = (
    "cls.predictions.transform.dense",
    "cls.predictions.transform.layer_norm",
    "cls.predictions.decoder",
    "cls.predictions.bias",
)


def its_tensors(config: NomicConfig) -> list[TensorSpec]:
    def of_layer(index: int) -> list[TensorSpec]:
        return layer(config, index)

    return [
        *tensors(config, (), "", HEAD, norm="emb_ln"),
        *for_layers(config.sizes.L, of_layer, huggingface="encoder.layers.{}.", gguf="blk.{}."),
    ]


ARCHITECTURE = kin(
    "nomic-bert",
    HEAD,
    model_types=("nomic_bert",),
    gguf_names=("nomic-bert", "nomic-bert-moe"),
    read_huggingface=from_huggingface,
    read_gguf=from_gguf,
    tensors=its_tensors,
    prefix="nomic_bert.",
    fronts=("bert.",),
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
)
