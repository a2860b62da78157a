"""The kin of BERT in `variants.py`: those of the reference, and those that `golden_kin.py` makes of its parts."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from random import Random  # noqa: TC003
from typing import Any

import golden_kin
import transformers as t
from variant_draw import BASES, EPSILONS, Draw, Settings, perhaps
from variant_encoders import ACTIVATIONS, HEADS, SWITCH

KIN: dict[str, tuple[str, dict[str, tuple[Any, ...]]]] = {
    "data2vec-text": ("Data2VecText", {}),
    "megatron-bert": ("MegatronBert", {}),
    "xlm-roberta-xl": ("XLMRobertaXL", {}),
    "roberta-prelayernorm": ("RobertaPreLayerNorm", {}),
    "rembert": ("RemBert", {"input_embedding_size": (6, 24), "output_embedding_size": (10, 24)}),
    "roformer": ("RoFormer", {"embedding_size": (None, 6), "rotary_value": (False, False, False, True)}),
    "ernie": ("Ernie", {"use_task_id": SWITCH, "task_type_vocab_size": (1, 3)}),
    "luke": ("Luke", {"use_entity_aware_attention": SWITCH}),
    "deberta-1": (
        "Deberta",
        {
            "relative_attention": SWITCH,
            "pos_att_type": (["p2c", "c2p"], ["c2p"], ["p2c"], "c2p|p2c"),
            "max_relative_positions": (-1, 5, 20),
            "position_biased_input": SWITCH,
            "type_vocab_size": (0, 2),
        },
    ),
    "deberta-convolution": (
        "DebertaV2",
        {
            "conv_act": ("gelu", "tanh"),
            "relative_attention": SWITCH,
            "position_biased_input": SWITCH,
            "position_buckets": (8, -1),
            "pos_att_type": (["p2c", "c2p"], ["c2p"]),
        },
    ),
    "jina_embeddings_v3": ("JinaEmbeddingsV3", {}),
    "gte": ("Gte", {"type_vocab_size": (0, 1, 2)}),
}
LIMITS = {
    **dict.fromkeys(("deberta-1", "jina_embeddings_v3"), (*HEADS[:4], "Model")),
    "gte": (*HEADS[:3], "Model"),
}
FOLLOWING = ("megatron-bert", "ernie")


def sized(random: Random) -> Settings:
    heads = random.choice((1, 2, 3))
    found: Settings = {"hidden_size": 24, "num_attention_heads": heads, "num_hidden_layers": random.randint(1, 2)}
    found |= {"intermediate_size": random.randint(5, 40), "vocab_size": random.randint(45, 100)}
    found |= {"max_position_embeddings": 64, "type_vocab_size": random.choice((1, 2))}
    found |= perhaps(random, hidden_act=ACTIVATIONS, layer_norm_eps=EPSILONS, pad_token_id=(0, 1))
    return found


def drawing(name: str) -> Callable[[Random], Draw]:
    def draw(random: Random) -> Draw:
        prefix, choices = KIN[name]
        found = sized(random) | perhaps(random, **choices) | perhaps(random, tie_word_embeddings=SWITCH)
        if "pos_att_type" in choices:  # Nothing is published that has places and does not look at them.
            found["pos_att_type"] = random.choice(choices["pos_att_type"])
        if name == "luke":
            found |= {"entity_vocab_size": 3, "entity_emb_size": 2}
        if name == "deberta-convolution":
            found |= {"conv_kernel_size": random.choice((1, 3, 5))}
        if name == "rembert" and random.random() < 0.8:
            found |= {"input_embedding_size": 6, "output_embedding_size": random.choice((6, 10))}
            found["tie_word_embeddings"] = found["output_embedding_size"] == 6 and random.random() < 0.5
        if name in ("jina_embeddings_v3", "gte") and random.random() < 0.7:
            found["rope_parameters"] = {"rope_type": "default", "rope_theta": random.choice(BASES)}
            if random.random() < 0.3:
                found["rope_parameters"] |= {"rope_type": random.choice(("linear", "dynamic")), "factor": 2.0}
        heads = LIMITS.get(name, (*HEADS, "ForNextSentencePrediction") if name in FOLLOWING else HEADS)
        head = random.choice((HEADS[0], *heads))
        if head in HEADS[1:3]:
            found["num_labels"] = random.choice((1, 2, 5))
        config = getattr(t, f"{prefix}Config")(**found)
        return Draw(name, config, getattr(t, f"{prefix}{head}"), "encoder" if head == "Model" else "head")

    draw.__name__ = name
    return draw


def xlm(random: Random, prefix: str = "XLM") -> Draw:
    heads = random.choice((1, 2, 3))
    found: Settings = {"emb_dim": heads * 8, "n_heads": heads, "n_layers": random.randint(1, 2), "vocab_size": 61}
    found |= {"max_position_embeddings": 64, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    found |= perhaps(random, gelu_activation=SWITCH, layer_norm_eps=EPSILONS, tie_word_embeddings=SWITCH)
    found |= perhaps(random, sinusoidal_embeddings=SWITCH, n_langs=(1, 3), use_lang_emb=SWITCH, asm=(False,))
    if prefix == "Flaubert":
        found |= perhaps(random, pre_norm=SWITCH)
    head = random.choice(("WithLMHeadModel", "WithLMHeadModel", "Model", "ForTokenClassification"))
    head = random.choice((head, "ForSequenceClassification", "ForQuestionAnsweringSimple"))
    config = getattr(t, f"{prefix}Config")(**found)
    return Draw(prefix.lower(), config, getattr(t, prefix + head), "encoder" if head == "Model" else "head")


def flaubert(random: Random) -> Draw:
    return xlm(random, "Flaubert")


def new(random: Random) -> Draw:
    """GTE as its makers write it."""
    draw = drawing("gte")(random)
    while not draw.model.__name__.endswith("MaskedLM"):
        draw = drawing("gte")(random)
    rope = draw.config.rope_parameters

    def change(config: Settings, arrays: Any) -> tuple[Settings, Any]:
        config = {key: value for key, value in config.items() if key != "rope_parameters"}
        config |= {"model_type": "new", "rope_theta": rope["rope_theta"], "rope_scaling": None, "pack_qkv": True}
        if rope["rope_type"] != "default":
            config["rope_scaling"] = {"type": rope["rope_type"], "factor": rope["factor"]}
        config |= {"layer_norm_type": "layer_norm", "position_embedding_type": "rope", "unpad_inputs": False}
        return config, {re.sub("^gte", "new", name): array for name, array in arrays.items()}

    return Draw("new", draw.config, draw.model, "head", change=change)


def put_together(name: str) -> Callable[[Random], Draw]:
    """One that `golden_kin.py` makes of parts of the reference."""
    family = next(one for one in golden_kin.FAMILIES if one.name == name)

    def draw(random: Random) -> Draw:
        found = sized(random) | {"num_attention_heads": random.choice((1, 2, 4)), "hidden_act": "gelu"}
        if name == "nomic-mixture":
            found |= {"num_experts": random.choice((2, 4)), "num_hidden_layers": random.choice((2, 3))}
            found["rope_parameters"] = {"rope_type": "default", "rope_theta": random.choice(BASES)}
        config = type(family.config())(**found)

        def change(written: Settings, arrays: Any) -> tuple[Settings, Any]:
            assert family.published is not None
            return family.published(written), {family.renamed(key): array for key, array in arrays.items()}

        return Draw(name, config, family.model, "head", change=change)

    draw.__name__ = name
    return draw


def jina_bert(random: Random) -> Draw:
    """By the kind's other name."""
    draw = put_together("jina-bert")(random)

    def change(written: Settings, arrays: Any) -> tuple[Settings, Any]:
        assert draw.change is not None
        config, renamed = draw.change(written, arrays)
        return {**config, "model_type": "jina_bert"}, renamed

    return replace(draw, family="jina_bert", change=change)


FAMILIES = (
    *(drawing(name) for name in KIN),
    *(xlm, flaubert, new),
    *(put_together(name) for name in ("jina-bert", "jina-bert-code", "nomic-mixture")),
    jina_bert,
)
