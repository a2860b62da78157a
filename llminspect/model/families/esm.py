"""ESM-1b and ESM-2: encoders of proteins, an amino acid a token; norms before the steps, positions turned or learned.

Rives et al. 2021, "Biological structure and function emerge from scaling unsupervised learning to 250 million protein
sequences"; Lin et al. 2023, "Evolutionary-scale prediction of atomic-level protein structure", appendix A.1.
"""

from __future__ import annotations

from llminspect.core.dataclass import dataclass
from llminspect.core.rotary import Rotary
from llminspect.model.config import HUGGINGFACE, read_sizes
from llminspect.model.copies import Copy, speeds
from llminspect.model.families.bert import DEFAULTS, ROBERTA_HEAD, BertConfig, copies, kin, tensors
from llminspect.model.heads import HeadFiles
from llminspect.model.maps import attention_maps
from llminspect.model.settings import Settings
from llminspect.model.spec import TensorSpec, linear_specs


@dataclass(frozen=True, kw_only=True)
class EsmConfig(BertConfig):
    stated = f"{BertConfig.stated} norm_before blanked_id"
    norm_before: bool
    """Whether what enters the stream is normed."""


def from_huggingface(settings: Settings) -> EsmConfig:
    settings.only("is_folding_model", False)
    settings.only("is_decoder", False)
    settings.only("add_cross_attention", False)
    settings.only("hidden_act", "gelu")
    settings.skip("esmfold_config", "vocab_list")  # Of the model that folds proteins.
    turned = settings.one_of("position_embedding_type", {"rotary": True, "absolute": False})
    positions, padding_id = settings.whole("max_position_embeddings"), settings.get("pad_token_id")
    if not turned and not (type(padding_id) is int and 0 <= padding_id < positions - 1):
        raise settings.wrong("pad_token_id", f"0 to {positions - 2}: positions count from after it")
    sizes = read_sizes(settings, HUGGINGFACE, context=positions if turned else positions - padding_id - 1)
    blanks = settings.flag("token_dropout")
    base = settings.number("rope_theta")
    return EsmConfig(
        sizes=sizes,
        norm_epsilon=settings.number("layer_norm_eps"),
        activation="gelu",  # Fixed in the family's definition.
        positions=0 if turned else positions,
        padding_id=None if turned else padding_id,
        tied=settings.flag("tie_word_embeddings"),
        rotary=Rotary(sizes.E, base) if turned else None,
        norm_before=settings.flag("emb_layer_norm_before"),
        blanked_id=settings.need("mask_token_id") if blanks else None,
    )


LAYER = linear_specs(
    ("attention.norm", "D", "attention.LayerNorm", None),
    *attention_maps("attention.self.{part}", "attention.output.dense"),
    ("feedforward.norm", "D", "LayerNorm", None),
    ("feedforward.up", "F D", "intermediate.dense", None),
    ("feedforward.down", "D F", "output.dense", None),
    bias=True,
)


def its_tensors(config: EsmConfig) -> list[TensorSpec]:
    norm = "embeddings.layer_norm" if config.norm_before else None
    return [
        *tensors(config, LAYER, "encoder.layer", ROBERTA_HEAD, norm=norm),
        *linear_specs(("final.norm", "D", "encoder.emb_layer_norm_after", None), bias=True),
    ]


ARCHITECTURE = kin(
    "esm",
    ROBERTA_HEAD,
    read_huggingface=from_huggingface,
    tensors=its_tensors,
    heads=HeadFiles("classifier.out_proj", "classifier", ("labels.dense", "classifier.dense", "tanh"), question=None),
    defaults={
        **{key: value for key, value in DEFAULTS.items() if key not in ("hidden_act", "pad_token_id")},
        "max_position_embeddings": 1026,
        "position_embedding_type": "absolute",
        "rope_theta": 10_000.0,
    },
    ignored=(
        *copies(ROBERTA_HEAD),
        Copy("*rotary_embeddings.inv_freq", agrees=speeds),
        Copy("contact_head.*"),  # Which says which amino acids touch, and not what stands where.
        Copy("embeddings.position_embeddings.weight"),  # Not used where positions are turned.
    ),
)
