"""Jina's BERT, jina-embeddings-v2: a BERT without positions whose scores fall with the distance, before and after.

Günther et al. 2023, "Jina Embeddings 2", section 3.1; the penalty is ALiBi's (Press et al. 2022), the feed-forward
steps are gated (Shazeer 2020). The model for code norms queries and keys besides, and adds a layer's input twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass
from llminspect.core.feedforward import GatedUnit, Glu
from llminspect.files.weights import WeightFile
from llminspect.model.config import HUGGINGFACE, read_older, read_sizes
from llminspect.model.families.bert import BERT_HEAD, BERT_LAYER, BertConfig, bert_from_gguf, kin, tensors
from llminspect.model.settings import Settings
from llminspect.model.spec import TensorSpec, linear_specs


@dataclass(frozen=True, kw_only=True)
class JinaConfig(BertConfig):
    alibi: bool = True
    mirrored: bool = True
    gate: str
    """The activation of what gates."""
    gate_last: bool = False
    """Whether the matrix of both halves of the feed-forward step ends with the gate (the model for code)."""
    split: bool = False
    """Whether the two are apart, as in older GGUF files."""

    @property
    def unit(self) -> GatedUnit:
        return Glu(self.gate)


GATES = {"geglu": "gelu", "reglu": "relu"}


def from_huggingface(settings: Settings) -> JinaConfig:
    settings.only("position_embedding_type", "alibi")
    settings.only("is_decoder", False)
    settings.skip("emb_pooler", "attn_implementation")  # What stands after the model; how it is computed.
    gate, segments = settings.one_of("feed_forward_type", GATES), settings.whole("type_vocab_size")
    return read_older(JinaConfig, settings, read_sizes(settings, HUGGINGFACE), gate=gate, segments=segments)


def from_gguf(settings: Settings) -> JinaConfig:
    return JinaConfig(
        **vars(bert_from_gguf(settings)) | {"positions": 0, "gate": "gelu", "alibi": True, "mirrored": True}
    )


def settle(config: JinaConfig, weights: WeightFile) -> JinaConfig:
    """Only the model for code norms queries and keys. llama.cpp takes the first half of its matrix for the gate, where
    the model's own code takes the second: here it is the model's."""
    ends = ("attention.self.layer_norm_q.weight", "attn_q_norm.weight")
    code = any(name.endswith(ends) for name in weights.tensors)
    return replace(config, gate_last=code, split="blk.0.ffn_gate.weight" in weights.tensors)


def half(gate: bool) -> Callable[[Array, Any], Array]:
    """The rows of the gate, or those of what it gates."""

    def cut(both_FD: Array, config: JinaConfig) -> Array:
        rows = len(both_FD) // 2
        return both_FD[rows:] if gate == config.gate_last else both_FD[:rows]

    return cut


def its_tensors(config: JinaConfig) -> list[TensorSpec]:
    both, step = "mlp.gated_layers.weight", "feedforward"
    halves = [
        TensorSpec(f"{step}.{part}.weight", "F D", both, "ffn_up.weight", half(part == "gate"), half(part == "gate"))
        for part in ("gate", "up")
    ]
    if config.split:
        halves = linear_specs(*((f"{step}.{part}", "F D", None, f"ffn_{part}") for part in ("gate", "up")))
    norms = linear_specs(
        ("attention.query.norm", "HE", "attention.self.layer_norm_q", "attn_q_norm"),
        ("attention.key.norm", "HE", "attention.self.layer_norm_k", "attn_k_norm"),
        ("middle.twice.norm", "D", "layer_norm_1", "attn_norm_2"),
        bias=True,
    )
    layer = [
        *(spec for spec in BERT_LAYER if not spec.name.startswith((f"{step}.", "output."))),
        *halves,
        *linear_specs(
            (f"{step}.down", "D F", "mlp.wo", "ffn_down"),
            ("output.norm", "D", "mlp.layernorm", "layer_output_norm"),
            bias=True,
        ),
        *(replace(spec, optional="norms of queries and keys") for spec in norms),
    ]
    return tensors(config, layer, "encoder.layer", BERT_HEAD)


ARCHITECTURE = kin(
    "jina-bert",
    BERT_HEAD,
    model_types=("jina_bert",),
    gguf_names=("jina-bert-v2",),
    read_huggingface=from_huggingface,
    read_gguf=from_gguf,
    settle=settle,
    tensors=its_tensors,
    prefix="bert.",
    older_spellings=tuple(
        (f"{other}.{part}", f"{its}.{part}")
        for other, its in (
            (".mlp.up_gated_layer", ".mlp.gated_layers"),
            (".mlp.down_layer", ".mlp.wo"),
            (".layer_norm_2", ".mlp.layernorm"),
        )
        for part in ("weight", "bias")
    ),
)
