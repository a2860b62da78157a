"""Encoders in `variants.py`: the classes of each, and what its configurations hold beside what all hold."""

from __future__ import annotations

from collections.abc import Callable
from random import Random  # noqa: TC003
from typing import Any

import transformers as t
from variant_draw import EPSILONS, Draw, perhaps

SWITCH = (True, False)
BIASES = {"attention_bias": SWITCH, "mlp_bias": SWITCH}
ACTIVATIONS = ("gelu", "silu", "gelu_new", "relu")
SIZES = {
    "hidden_size": 24,
    "intermediate_size": 30,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "vocab_size": 83,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
HEADS = (
    "ForMaskedLM",
    "ForSequenceClassification",
    "ForTokenClassification",
    "ForQuestionAnswering",
    "Model",
    "ForMultipleChoice",
)
ENCODERS: dict[str, tuple[str, dict[str, tuple[Any, ...]]]] = {
    "modernbert": (
        "ModernBert",
        {
            **BIASES,
            "norm_bias": SWITCH,
            "norm_eps": EPSILONS,
            "decoder_bias": SWITCH,
            "classifier_bias": SWITCH,
            "classifier_pooling": ("cls", "mean"),
            "classifier_activation": ACTIVATIONS,
            "hidden_activation": ACTIVATIONS,
            "local_attention": (4, 9, 128),
            "layer_types": (["sliding_attention", "full_attention", "sliding_attention"], None),
        },
    ),
    "eurobert": (
        "EuroBert",
        {
            **BIASES,
            "classifier_pooling": ("bos", "mean", "late"),
            "hidden_act": ACTIVATIONS,
            "num_key_value_heads": (1, 3),
            "rms_norm_eps": EPSILONS,
        },
    ),
    "nomic_bert": (
        "NomicBert",
        {"hidden_act": ACTIVATIONS, "layer_norm_eps": EPSILONS, "head_dim": (6, None), "type_vocab_size": (1, 2)},
    ),
    "mpnet": ("MPNet", {"hidden_act": ACTIVATIONS, "layer_norm_eps": EPSILONS, "pad_token_id": (1, 0)}),
    "esm": (
        "Esm",
        {
            "layer_norm_eps": EPSILONS,
            "position_embedding_type": ("rotary", "absolute"),
            "emb_layer_norm_before": SWITCH,
            "token_dropout": SWITCH,
            "mask_token_id": (7, 40),
            "rope_theta": (50.0, 10_000.0),
        },
    ),
    "deberta": (
        "DebertaV2",
        {
            "relative_attention": SWITCH,
            "pos_att_type": (["p2c", "c2p"], ["c2p"], ["p2c"], "p2c|c2p"),
            "share_att_key": SWITCH,
            "position_buckets": (8, 4, -1),
            "max_relative_positions": (-1, 20),
            "norm_rel_ebd": ("layer_norm", "none"),
            "position_biased_input": SWITCH,
            "type_vocab_size": (0, 2),
            "hidden_act": ACTIVATIONS,
        },
    ),
    "electra": (
        "Electra",
        {"hidden_act": ACTIVATIONS, "layer_norm_eps": EPSILONS, "embedding_size": (10, 24), "type_vocab_size": (1, 2)},
    ),
    "albert": (
        "Albert",
        {
            "hidden_act": ACTIVATIONS,
            "layer_norm_eps": EPSILONS,
            "embedding_size": (10, 24),
            "num_hidden_layers": (1, 4),
            "num_hidden_groups": (1, 2, 3),
        },
    ),
}
LIMITS = {"eurobert": HEADS[:3], "esm": (*HEADS[:3], "Model"), "nomic_bert": (*HEADS[:3], "Model")}
"""Those that have not every head."""


def drawing(name: str) -> Callable[[Random], Draw]:
    def draw(random: Random) -> Draw:
        prefix, choices = ENCODERS[name]
        found = SIZES | perhaps(random, **choices) | perhaps(random, tie_word_embeddings=SWITCH)
        if name == "albert" and "num_hidden_groups" in found:
            found["num_hidden_groups"] = min(found["num_hidden_groups"], found["num_hidden_layers"])
        if name == "deberta":
            found["pos_att_type"] = random.choice(choices["pos_att_type"])
        head = random.choice(LIMITS.get(name, HEADS))
        if head in HEADS[1:3]:
            found["num_labels"] = random.choice((1, 2, 5))
        if head == "ForMultipleChoice" and name == "electra":
            found |= perhaps(random, summary_type=("first", "mean"), summary_activation=("gelu", "tanh"))
        config = getattr(t, f"{prefix}Config")(**found)
        return Draw(name, config, getattr(t, f"{prefix}{head}"), "encoder" if head == "Model" else "head")

    draw.__name__ = name
    return draw


FAMILIES = tuple(drawing(name) for name in ENCODERS)
