"""T5: an encoder–decoder whose attention knows only how far apart two tokens stand; plain (1.0) or gated (1.1).

Raffel et al. 2020, "Exploring the Limits of Transfer Learning", section 2.1; Shazeer 2020 for the gated form; Xue et
al. 2021, "mT5"; Chung et al. 2023, "UniMax" (umT5: each layer has distances of its own).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass
from llminspect.core.feedforward import GatedUnit, Glu
from llminspect.core.tap import Tap
from llminspect.core.unembed import logits
from llminspect.files.weights import WeightFile
from llminspect.model.config import GGUF, Config, read_sizes, start_token
from llminspect.model.copies import Copy
from llminspect.model.heads import HeadFiles
from llminspect.model.layer import norm
from llminspect.model.maps import attention_maps
from llminspect.model.params import Params
from llminspect.model.settings import ACTIVATIONS, Settings
from llminspect.model.spec import Architecture, TensorSpec, for_layers, linear_specs
from llminspect.model.transformer import encode_source, output_matrix


@dataclass(frozen=True, kw_only=True)
class T5Config(Config):
    """L counts the decoder's layers; no `activation`: gelu_tanh where the feed-forward step is gated, else relu."""

    stated = """
        sizes encoder_layers norm_epsilon buckets farthest start_id gated activation distances_in_layers scaled causal
    """
    encoder_layers: int
    scale: float = 1.0
    start_id: int | None
    """What the decoder starts from; None: the file does not say."""
    gated: bool | None
    """None: the file's tensors say."""
    distances_in_layers: bool = False
    """Whether each layer has numbers for distances of its own, as umT5 does; else the first layer's are for all."""
    scaled: bool | None
    """Whether what is read out is divided by √D. None: where the file has no output matrix of its own (GGUF)."""

    @property
    def unit(self) -> GatedUnit:
        return Glu(self.activation or "gelu_tanh")

    @property
    def encoder(self) -> T5Config:
        return replace(self, sizes=replace(self.sizes, L=self.encoder_layers), causal=False)


KEYS = {"D": "d_model", "H": "num_heads", "E": "d_kv", "F": "d_ff"}
ALONE = ("EncoderModel", "ForTokenClassification")
"""Ends of classes that have no decoder."""
STARTS = ("padding_token_id", "bos_token_id")
"""What a target starts with where no start token is stated."""
FIRST = {"t5": "relu"}
"""The first T5s were plain, and their files do not say so; mT5 and umT5 are gated."""


def from_huggingface(settings: Settings) -> T5Config:
    layers, family = settings.whole("num_layers"), settings.get("model_type", "t5")
    stated = settings.get("feed_forward_proj", FIRST.get(family, "gated-gelu"))
    kind, _, activation = stated.rpartition("-") if isinstance(stated, str) else ("?", "", "")
    if kind not in ("", "gated") or activation not in ACTIVATIONS:
        raise settings.wrong("feed_forward_proj", "relu, gated-gelu and the like")
    # The encoder alone, as sentence encoders and image models have it: its class says so, and mostly not the other key.
    alone = any(name.endswith(ALONE) for name in settings.classes())
    settings.only("is_encoder_decoder", True, not alone)
    # They repeat what `feed_forward_proj` says; where they say otherwise, null included, the reference follows them.
    if "dense_act_fn" in settings.values and settings.get("dense_act_fn") is None:
        raise settings.wrong("dense_act_fn", f"the function of feed_forward_proj = {stated}")
    if kind == "gated" and "is_gated_act" in settings.values:
        settings.flag("is_gated_act")
        if settings.get("is_gated_act") is None:
            raise settings.wrong("is_gated_act", "true, as feed_forward_proj says")
    settings.only("dense_act_fn", "gelu_new" if (kind, activation) == ("gated", "gelu") else activation)
    settings.only("is_gated_act", kind == "gated")
    decoder, context = settings.whole("num_decoder_layers", layers), settings.whole("n_positions", 512)
    sizes = read_sizes(settings, KEYS, L=layers if alone else decoder, context=context)
    ends = settings.get("pad_token_id"), settings.get("bos_token_id")
    tied = settings.flag("tie_word_embeddings") or settings.get("tie_word_embeddings") is None
    buckets, farthest = (settings.whole(f"relative_attention_{name}") for name in ("num_buckets", "max_distance"))
    if buckets < 4:
        raise settings.wrong("relative_attention_num_buckets", "at least 4")
    # So many distances have a bucket each, in the decoder and in an encoder; the others reach farther.
    if farthest <= (single := buckets // (4 if alone else 2)):
        raise settings.wrong("relative_attention_max_distance", f"above {single} where there are {buckets} buckets")
    return T5Config(
        sizes=sizes,
        encoder_layers=layers,
        norm_epsilon=settings.number("layer_norm_epsilon"),
        buckets=buckets,
        farthest=farthest,
        start_id=0 if alone else start_token(settings, sizes.V, *ends),
        gated=kind == "gated",
        # "gated-gelu" has always meant the tanh form.
        activation="gelu_tanh" if (kind, activation) == ("gated", "gelu") else ACTIVATIONS[activation],
        distances_in_layers=family == "umt5",
        # Before transformers 5 the second said the first; the file's output matrix, if it has one, is used.
        scaled=settings.flag("scale_decoder_outputs", tied or settings.get("tie_word_embeddings") is None)
        and not alone
        and family != "mt5",
        causal=not alone,
    )


def from_gguf(settings: Settings) -> T5Config:
    layers, alone = settings.whole("block_count"), settings.metadata["general.architecture"] == "t5encoder"
    decoder = layers if alone else settings.whole("decoder_block_count", layers)
    known = {"L": decoder, "E": settings.whole("attention.key_length")}
    sizes = read_sizes(settings, GGUF, **known)
    settings.only("attention.value_length", sizes.E)
    settings.only("attention.head_count_kv", sizes.H)
    epsilon = settings.number("attention.layer_norm_rms_epsilon")
    settings.only("attention.layer_norm_epsilon", epsilon)
    starts = (settings.metadata.get(f"tokenizer.ggml.{key}") for key in STARTS)
    if not 4 <= (buckets := settings.whole("attention.relative_buckets_count")) < 256:
        raise settings.wrong("attention.relative_buckets_count", "from 4 to 255")
    return T5Config(
        sizes=sizes,
        encoder_layers=layers,
        norm_epsilon=epsilon,
        buckets=buckets,
        farthest=128,  # Not in the file; every published T5 has it.
        start_id=0 if alone else start_token(settings, sizes.V, *starts),
        gated=None,
        scaled=False if alone else None,
        causal=not alone,
    )


def settle(config: T5Config, weights: WeightFile) -> T5Config:
    """A GGUF file has no key for `scale_decoder_outputs` or `tie_word_embeddings`: llama.cpp's converter
    (of T5) writes none, and its graph (src/models/t5.cpp) never divides; its tokens come in the same order,
    their probabilities do not. So the rule is that of transformers before these were two: a model that is tied divides.
    Tied is also one whose file has the embedding twice, as files made of the first checkpoints do.
    """
    embedding, output = "token_embd.weight", "output.weight"
    if embedding not in weights.tensors:  # No GGUF file: there the settings say it all.
        return config
    # Where only the first layer has distances they are for all; umT5 has them in each.
    config = replace(config, distances_in_layers="enc.blk.1.attn_rel_b.weight" in weights.tensors)
    if output not in weights.tensors or weights.tensors[output].shape != weights.tensors[embedding].shape:
        return config
    rows_ND, others_ND = (weights.rows(name, 0, min(COMPARED, config.sizes.V)) for name in (embedding, output))
    apart = np.linalg.norm(rows_ND - others_ND) / max(float(np.linalg.norm(rows_ND)), 1e-30)
    return replace(config, scaled=True) if apart < SAME else config


COMPARED = 64
"""Rows of the two matrices."""
SAME = 0.5
"""How far they may be apart, relative to their length: what rounds most comes to 0.3, two matrices to 1.4."""


def _attention(step: str, norm: str, huggingface: str, gguf: str) -> list[TensorSpec]:
    maps = attention_maps(f"{huggingface}.{{}}", f"{huggingface}.o", (f"{gguf}_{{}}", f"{gguf}_o"), step=step)
    return linear_specs((f"{step}.norm", "D", norm, f"{gguf}_norm"), *maps)


def _feed_forward(config: T5Config, number: int) -> list[TensorSpec]:
    inner = f"layer.{number}.DenseReluDense"
    gate = TensorSpec(
        "feedforward.gate.weight", "F D", f"{inner}.wi_0.weight", "ffn_gate.weight", optional=config.gated is None
    )
    return [
        *linear_specs(("feedforward.norm", "D", f"layer.{number}.layer_norm", "ffn_norm")),
        *([] if config.gated is False else [gate]),
        *linear_specs(
            ("feedforward.up", "F D", f"{inner}.wi_1" if config.gated else f"{inner}.wi", "ffn_up"),
            ("feedforward.down", "D F", f"{inner}.wo", "ffn_down"),
        ),
    ]


def tensors(config: T5Config) -> list[TensorSpec]:
    of_self = _attention("attention", "layer.0.layer_norm", "layer.0.SelfAttention", "attn")
    of_source = _attention("cross_attention", "layer.1.layer_norm", "layer.1.EncDecAttention", "cross_attn")
    encoder, decoder = [*of_self, *_feed_forward(config, 1)], [*of_self, *of_source, *_feed_forward(config, 2)]
    layers, table = config.encoder_layers, f"{config.buckets} H"
    relative = "block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    inside = relative.removeprefix("block.0.")
    if config.distances_in_layers:
        of_layer = [TensorSpec("attention.relative.weight", table, inside, "attn_rel_b.weight")]
        encoder, decoder = [*of_layer, *encoder], [*of_layer, *decoder]

    def of_all(front: str, stack: str, gguf: str) -> list[TensorSpec]:
        shared = TensorSpec(f"{front}relative.weight", table, f"{stack}.{relative}", gguf)
        return [] if config.distances_in_layers else [shared]

    front = "encoder." if config.causal else ""
    encoding = [
        TensorSpec("embedding.weight", "V D", "shared.weight", "token_embd.weight"),
        *of_all(front, "encoder", "enc.blk.0.attn_rel_b.weight"),
        *for_layers(layers, encoder, huggingface="encoder.block.{}.", gguf="enc.blk.{}.", stack=f"{front}layers"),
        *linear_specs((f"{front}final.norm", "D", "encoder.final_layer_norm", "enc.output_norm")),
    ]
    if not config.causal:  # The encoder alone.
        return encoding
    return [
        *encoding,
        *of_all("", "decoder", "dec.blk.0.attn_rel_b.weight"),
        *for_layers(config.sizes.L, decoder, huggingface="decoder.block.{}.", gguf="dec.blk.{}."),
        *linear_specs(("final.norm", "D", "decoder.final_layer_norm", "dec.output_norm")),
        TensorSpec("unembedding.weight", "V D", "lm_head.weight", "output.weight", optional=True),
    ]


def readout(params: Params, config: T5Config, stream_TD: Array, tap: Tap) -> Array:
    hidden_TD = norm(params, "final.norm", stream_TD, config)
    if config.scaled or (config.scaled is None and "unembedding.weight" not in params):
        hidden_TD = hidden_TD * config.sizes.D**-0.5
    hidden_TD = tap("final.norm", hidden_TD)
    return tap("final.logits", logits(hidden_TD, output_matrix(params, config)))


ARCHITECTURE = Architecture(
    name="t5",
    model_types=("t5", "mt5", "umt5"),
    gguf_names=("t5", "t5encoder"),
    read_huggingface=from_huggingface,
    read_gguf=from_gguf,
    settle=settle,
    tensors=tensors,
    readout=readout,
    encode_source=encode_source,
    capabilities=frozenset({"generate", "source"}),
    requires={"source": "layers.0.cross_attention.query.weight"},
    prefix="transformer.",
    heads=HeadFiles(
        "classification_head.out_proj", "classifier", ("labels.dense", "classification_head.dense", "tanh"), end_id=1
    ),
    defaults={
        "layer_norm_epsilon": 1e-6,
        "relative_attention_num_buckets": 32,
        "relative_attention_max_distance": 128,
        "tie_word_embeddings": True,
        "pad_token_id": 0,
    },
    ignored=(
        Copy("*coder.embed_tokens.weight", of="embedding.weight"),
        # No version of the model has used this table.
        Copy("decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"),
        Copy("dec.blk.0.cross_attn_rel_b.weight"),
    ),
)
