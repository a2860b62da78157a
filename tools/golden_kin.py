"""Which tiny models stand for the further kin of BERT; those that the reference has no class for are put together here
of its parts, by what their makers' own code does."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
import transformers as t
from golden_encoders import encoder
from golden_families import eager

if TYPE_CHECKING:
    from golden_families import Family

SMALL = {
    "vocab_size": 29,
    "hidden_size": 8,
    "intermediate_size": 10,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 16,
}


def kin(name: str, config: Any, model: Any, layers: Any, **settings: Any) -> Family:
    return replace(encoder(name, config, model, layers, "masked", 9, **{**SMALL, **settings}), vocabulary=29)


class Gated(torch.nn.Module):
    """Both halves of a gated step in one matrix, the gate first or last."""

    def __init__(self, config: Any, gate_last: bool) -> None:
        super().__init__()
        self.gated = torch.nn.Linear(config.hidden_size, 2 * config.intermediate_size, bias=False)
        self.gate_last = gate_last

    def forward(self, read: torch.Tensor) -> torch.Tensor:
        first, second = self.gated(read).chunk(2, dim=-1)
        gate, up = (second, first) if self.gate_last else (first, second)
        return torch.nn.functional.gelu(gate) * up


class Twice(torch.nn.Module):
    """What the attention gives, added to its input, normed, added and normed once more."""

    def __init__(self, config: Any, once: Any) -> None:
        super().__init__()
        self.once, self.norm = once, torch.nn.LayerNorm(config.hidden_size, config.layer_norm_eps)

    def forward(self, given: torch.Tensor, read: torch.Tensor) -> torch.Tensor:
        return self.norm(read + self.once(given, read))


class Nowhere(torch.nn.Module):
    def forward(self, places: torch.Tensor) -> float:
        return 0.0


class Jina(t.BertForMaskedLM):
    """Jina's BERT: the reference's, with a penalty on distances in place of positions, and gated steps."""

    code = False

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.bert.embeddings.position_embeddings = Nowhere()
        for layer in self.bert.encoder.layer:
            layer.intermediate = Gated(config, self.code)
            if self.code:
                layer.attention.output = Twice(config, layer.attention.output)
                attending = layer.attention.self
                for part in ("query", "key"):
                    norm = torch.nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
                    setattr(attending, part, torch.nn.Sequential(getattr(attending, part), norm))

    def forward(self, input_ids: torch.Tensor, **given: Any) -> Any:
        heads, places = self.config.num_attention_heads, torch.arange(input_ids.shape[1])
        slopes = torch.tensor([2.0 ** (-8 * (head + 1) / heads) for head in range(heads)], dtype=self.dtype)
        assert math.log2(heads).is_integer()
        away = -slopes[:, None, None] * (places[:, None] - places).abs()
        return super().forward(input_ids=input_ids, attention_mask=away[None], **given)


class JinaForCode(Jina):
    code = True


JINA = {
    "intermediate.gated": "mlp.gated_layers",
    r"(\d+)\.output\.dense": r"\1.mlp.wo",
    r"(\d+)\.output\.LayerNorm": r"\1.mlp.layernorm",
}
CODE = {
    "intermediate.gated": "mlp.up_gated_layer",
    r"(\d+)\.output\.dense": r"\1.mlp.down_layer",
    r"(\d+)\.output\.LayerNorm": r"\1.layer_norm_2",
    r"attention\.output\.once": "attention.output",
    r"attention\.output\.norm": "layer_norm_1",
    r"(query|key)\.0": r"\1",
    r"query\.1": "layer_norm_q",
    r"key\.1": "layer_norm_k",
}


def published_jina(config: dict[str, Any]) -> dict[str, Any]:
    return config | {"position_embedding_type": "alibi", "feed_forward_type": "geglu", "emb_pooler": "mean"}


class Mixture(torch.nn.Module):
    """Nomic's experts, one below the other."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        width, units, self.number = config.hidden_size, config.intermediate_size, config.num_experts
        self.router = torch.nn.Linear(width, self.number, bias=False)
        self.w1 = torch.nn.Parameter(torch.zeros(self.number * units, width))
        self.w2 = torch.nn.Parameter(torch.zeros(self.number * units, width))
        self.bias = torch.nn.Parameter(torch.zeros(width))

    def forward(self, read: torch.Tensor) -> torch.Tensor:
        share, chosen = self.router(read).softmax(dim=-1).topk(2, dim=-1)
        made = torch.zeros_like(read)
        parts = zip(self.w1.chunk(self.number), self.w2.chunk(self.number), strict=True)
        for expert, (first, second) in enumerate(parts):
            weight = (share * (chosen == expert)).sum(dim=-1, keepdim=True)
            made = made + weight * (torch.nn.functional.gelu(read @ first.T) @ second)
        return made + self.bias


class NomicMixture(t.JinaEmbeddingsV3ForMaskedLM):
    """Nomic's second: with biases it is built as the third of Jina, but for every other feed-forward step."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        for layer in self.roberta.layers[1::2]:
            layer.mlp = Mixture(config)


NOMIC = {
    "roberta.": "",
    "mixer": "attn",
    r"mlp\.w(\d)": r"mlp.experts.mlp.w\1",
    r"mlp\.bias": "mlp.experts.bias",
    r"mlp\.router": "mlp.router.layer",
    r"lm_head\.(dense|layer_norm)": r"cls.predictions.transform.\1",
    r"lm_head\.": "cls.predictions.",
}


def published_nomic(config: dict[str, Any]) -> dict[str, Any]:
    given = {"num_hidden_layers": "n_layer", "hidden_size": "n_embd", "num_attention_heads": "n_head"}
    given |= {"intermediate_size": "n_inner", "max_position_embeddings": "n_positions", "vocab_size": "vocab_size"}
    given |= {
        "layer_norm_eps": "layer_norm_epsilon",
        "type_vocab_size": "type_vocab_size",
        "num_experts": "num_experts",
    }
    found = {name: config[key] for key, name in given.items()}
    found |= dict.fromkeys(("qkv_proj_bias", "mlp_fc1_bias", "mlp_fc2_bias"), True)
    found |= {"moe_every_n_layers": 2, "moe_top_k": 2, "activation_function": "gelu", "ffn_div": 1.0}
    return found | {
        "model_type": "nomic_bert",
        "architectures": ["NomicBertModel"],
        "rotary_emb_base": config["rope_parameters"]["rope_theta"],
        "rotary_emb_fraction": 1.0,
        "num_shared_experts": 0,
        "moe_normalize_expert_weights": False,
        "expert_choice_router": False,
        "causal": False,
    }


def by_names(family: Family, names: dict[str, str], published: Any) -> Family:
    def renamed(name: str) -> str:
        for pattern, other in names.items():
            name = re.sub(pattern, other, name)
        return name

    return replace(family, renamed=renamed, published=published)


def in_bert(model: Any) -> Any:
    return model.bert.encoder.layer


def in_roberta(model: Any) -> Any:
    return model.roberta.encoder.layer


class Seen:
    """A layer that is no module by itself: what begins it, and what ends it."""

    def __init__(self, begins: Any, ends: Any) -> None:
        self.register_forward_pre_hook = begins.register_forward_pre_hook
        self.register_forward_hook = ends.register_forward_hook


def in_xlm(model: Any) -> Any:
    return [Seen(*pair) for pair in zip(model.transformer.attentions, model.transformer.layer_norm2, strict=True)]


def convolved(model: Any) -> Any:
    encoder = model.deberta.encoder
    return [Seen(encoder.layer[0], encoder.conv), *encoder.layer[1:]]


ENTITIES = {"entity_vocab_size": 3, "entity_emb_size": 2}
LATER: list[tuple[str, Any, Any, Any, dict[str, Any]]] = [
    ("megatron-bert", t.MegatronBertConfig, t.MegatronBertForMaskedLM, in_bert, {}),
    ("xlm-roberta-xl", t.XLMRobertaXLConfig, t.XLMRobertaXLForMaskedLM, in_roberta, {}),
    (
        "roberta-prelayernorm",
        t.RobertaPreLayerNormConfig,
        t.RobertaPreLayerNormForMaskedLM,
        lambda model: model.roberta_prelayernorm.encoder.layer,
        {},
    ),
    (
        "rembert",
        t.RemBertConfig,
        t.RemBertForMaskedLM,
        lambda model: model.rembert.encoder.layer,
        {"input_embedding_size": 6, "output_embedding_size": 10},
    ),
    (
        "roformer",
        t.RoFormerConfig,
        t.RoFormerForMaskedLM,
        lambda model: model.roformer.encoder.layer,
        {"embedding_size": 6},
    ),
    ("ernie", t.ErnieConfig, t.ErnieForMaskedLM, lambda model: model.ernie.encoder.layer, {"use_task_id": True}),
    (
        "deberta-first",
        t.DebertaConfig,
        t.DebertaForMaskedLM,
        lambda model: model.deberta.encoder.layer,
        {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "max_relative_positions": 5},
    ),
    (
        "deberta-convolution",
        t.DebertaV2Config,
        t.DebertaV2ForMaskedLM,
        convolved,
        {"conv_kernel_size": 3, "conv_act": "gelu", "position_biased_input": True},
    ),
    ("luke", t.LukeConfig, t.LukeForMaskedLM, lambda model: model.luke.encoder.layer, ENTITIES),
]
ROTATION = {"rope_parameters": {"rope_type": "default", "rope_theta": 70.0}}
FAMILIES = [
    by_names(kin("jina-bert", t.BertConfig, Jina, in_bert), JINA, published_jina),
    by_names(kin("jina-bert-code", t.BertConfig, JinaForCode, in_bert), CODE, published_jina),
    kin(
        "jina-v3",
        t.JinaEmbeddingsV3Config,
        t.JinaEmbeddingsV3ForMaskedLM,
        lambda model: model.roberta.layers,
        **ROTATION,
    ),
    by_names(
        kin(
            "nomic-mixture",
            t.JinaEmbeddingsV3Config,
            NomicMixture,
            lambda model: model.roberta.layers,
            **ROTATION,
            num_experts=4,
        ),
        NOMIC,
        published_nomic,
    ),
    kin("gte", t.GteConfig, t.GteForMaskedLM, lambda model: model.gte.layers, **ROTATION),
    replace(
        kin("flaubert", None, t.FlaubertWithLMHeadModel, in_xlm),
        config=eager(
            t.FlaubertConfig,
            vocab_size=29,
            emb_dim=8,
            n_layers=2,
            n_heads=2,
            max_position_embeddings=16,
            pad_token_id=0,
            gelu_activation=True,
        ),
    ),
    *(kin(name, config, model, layers, **settings) for name, config, model, layers, settings in LATER),
]
