"""MPNet: a BERT whose scores also have a learned number for each distance, the same in all layers.

Song et al. 2020, "MPNet: Masked and Permuted Pre-training for Language Understanding", section 2.2; the distances as in
Raffel et al. 2020, section 2.1.
"""

from __future__ import annotations

from llminspect.core.dataclass import dataclass
from llminspect.model.config import HUGGINGFACE, read_older, read_sizes
from llminspect.model.families.bert import HEADS, ROBERTA_HEAD, BertConfig, kin, layer_specs, readout_of, tensors
from llminspect.model.settings import Settings
from llminspect.model.spec import TensorSpec

BUCKETS = 32
"""The reference reads no other number of them, whatever the configuration says."""


@dataclass(frozen=True, kw_only=True)
class MPNetConfig(BertConfig):
    stated = f"{BertConfig.stated} buckets farthest"
    buckets: int = BUCKETS
    farthest: int = 128


def from_huggingface(settings: Settings) -> MPNetConfig:
    settings.only("relative_attention_num_buckets", BUCKETS)
    positions = settings.whole("max_position_embeddings")
    sizes = read_sizes(settings, HUGGINGFACE, context=positions - 2)
    # The id of padding is fixed in the family's definition.
    return read_older(MPNetConfig, settings, sizes, positions=positions, padding_id=1)


LAYER = layer_specs(
    *("attention.attn.q", "attention.attn.k", "attention.attn.v", "attention.attn.o", "attention.LayerNorm"),
    *("intermediate.dense", "output.dense", "output.LayerNorm"),
)


def its_tensors(config: MPNetConfig) -> list[TensorSpec]:
    relative = TensorSpec("relative.weight", f"{BUCKETS} H", "encoder.relative_attention_bias.weight")
    return [*tensors(config, LAYER, "encoder.layer", ROBERTA_HEAD), relative]


ARCHITECTURE = kin(
    "mpnet",
    ROBERTA_HEAD,
    read_huggingface=from_huggingface,
    tensors=its_tensors,
    readout=readout_of("gelu"),
    heads=HEADS["roberta"],
)
