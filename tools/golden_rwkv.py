"""RWKV-7 as its paper's equations have it, one token after the other: transformers has no class for it.

Peng et al. 2025, "RWKV-7 'Goose' with Expressive Dynamic State Evolution" (arXiv 2503.14456), section 4, equations 3 to
24; names of parameters and settings are those of flash-linear-attention, whose files are published.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from golden_families import Family
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel


class Rwkv7Config(PretrainedConfig):
    model_type = "rwkv7"
    norm_first, norm_bias, norm_eps, hidden_act = True, True, 1e-5, "sqrelu"


def low_rank(width: int, rank: int, bias: bool = True) -> nn.Module:
    pair = nn.Module()
    pair.lora = nn.ModuleDict({"0": nn.Linear(width, rank, bias=False), "2": nn.Linear(rank, width, bias=bias)})
    return pair


class Attn(nn.Module):
    def __init__(self, config: Any, index: int) -> None:
        super().__init__()
        width, head = config.hidden_size, config.head_dim
        self.index, self.head, self.epsilon = index, head, head * config.norm_eps
        for purpose in "rwkvag":
            setattr(self, f"x_{purpose}", nn.Parameter(torch.zeros(1, 1, width)))
        for part in ("k_k", "k_a"):
            setattr(self, part, nn.Parameter(torch.zeros(width)))
        self.r_k = nn.Parameter(torch.zeros(width // head, head))
        for part in "rkvo":
            setattr(self, f"{part}_proj", nn.Linear(width, width, bias=False))
        self.w_lora = low_rank(width, config.decay_low_rank_dim)
        self.a_lora = low_rank(width, config.a_low_rank_dim)
        if index:
            self.v_lora = low_rank(width, config.v_low_rank_dim)
        self.g_lora = low_rank(width, config.gate_low_rank_dim, bias=False)
        self.g_norm = nn.GroupNorm(width // head, width, eps=self.epsilon)

    def token(self, x: Any, previous: Any, state: list[Any], first: Any) -> Any:
        """A token's vector, that of the one before it, the state of each head [value, key], the first layer's value."""

        def mixed(purpose: str) -> Any:
            return torch.lerp(x, previous, getattr(self, f"x_{purpose}").flatten())

        def through(pair: Any, x: Any, bend: Any = lambda x: x) -> Any:
            return pair.lora["2"](bend(pair.lora["0"](x)))

        receptance, key, value = self.r_proj(mixed("r")), self.k_proj(mixed("k")), self.v_proj(mixed("v"))
        decay = torch.exp(-torch.exp(torch.tensor(-0.5)) * torch.sigmoid(through(self.w_lora, mixed("w"), torch.tanh)))
        rate = torch.sigmoid(through(self.a_lora, mixed("a")))
        gate = through(self.g_lora, mixed("g"), torch.sigmoid)
        if self.index:
            value = torch.lerp(value, first, torch.sigmoid(through(self.v_lora, mixed("v"))))
        removal = key * self.k_k
        written = key * torch.lerp(torch.ones_like(rate), rate, self.k_a)
        read, bonus = [], []
        for head in range(len(state)):
            part = slice(head * self.head, (head + 1) * self.head)
            hat = removal[part] / removal[part].norm()
            transition = torch.diag(decay[part]) - torch.outer(hat, rate[part] * hat)
            state[head] = state[head] @ transition + torch.outer(value[part], written[part])
            read.append(state[head] @ receptance[part])
            bonus.append((receptance[part] * self.r_k[head] * written[part]).sum() * value[part])
        normed = self.g_norm(torch.cat(read)[None])[0]
        return self.o_proj((normed + torch.cat(bonus)) * gate), value


class Ffn(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        self.x_k = nn.Parameter(torch.zeros(config.hidden_size))
        self.key = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.value = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def token(self, x: Any, previous: Any) -> Any:
        return self.value(torch.relu(self.key(torch.lerp(x, previous, self.x_k))) ** 2)


def norm_of(config: Any) -> nn.Module:
    return nn.LayerNorm(config.hidden_size, eps=config.norm_eps, bias=config.norm_bias)


class Block(nn.Module):
    def __init__(self, config: Any, index: int) -> None:
        super().__init__()
        if index == 0 and config.norm_first:
            self.pre_norm = norm_of(config)
        self.attn_norm, self.ffn_norm = norm_of(config), norm_of(config)
        self.attn, self.ffn = Attn(config, index), Ffn(config)

    def forward(self, hidden_states: Any, firsts: list[Any]) -> Any:
        tokens, width = hidden_states.shape[1:]
        heads, head, nothing = width // self.attn.head, self.attn.head, torch.zeros(width)
        state, previous, previous_read, out = [torch.zeros(head, head) for _ in range(heads)], nothing, nothing, []
        for at in range(tokens):
            stream = hidden_states[0, at]
            read = self.attn_norm(stream)
            added, value = self.attn.token(read, previous, state, firsts[at] if self.attn.index else None)
            if not self.attn.index:
                firsts.append(value)
            stream = stream + added
            fed = self.ffn_norm(stream)
            out.append(stream + self.ffn.token(fed, previous_read))
            previous, previous_read = read, fed
        return torch.stack(out)[None]


class Body(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        self.embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Block(config, index) for index in range(config.num_hidden_layers))
        self.norm = norm_of(config)


class RWKV7ForCausalLM(PreTrainedModel):
    config_class = Rwkv7Config

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.model = Body(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def forward(self, input_ids: Any, **_: Any) -> Any:
        stream, firsts = self.model.embeddings(input_ids), []
        stream = self.model.layers[0].pre_norm(stream) if self.config.norm_first else stream
        for layer in self.model.layers:
            stream = layer(hidden_states=stream, firsts=firsts)
        return SimpleNamespace(logits=self.lm_head(self.model.norm(stream)))


def rwkv7() -> Rwkv7Config:
    ranks = {"decay_low_rank_dim": 3, "a_low_rank_dim": 2, "v_low_rank_dim": 4, "gate_low_rank_dim": 5}
    sizes = {"vocab_size": 47, "hidden_size": 12, "head_dim": 4, "num_hidden_layers": 2, "intermediate_size": 14}
    known = {"hidden_act": "sqrelu", "norm_eps": 16e-5, "norm_first": True, "norm_bias": True, "hidden_ratio": 4.0}
    more = {"attn": None, "value_dim": [12, 12], "num_heads": 32, "fuse_norm": False, "attn_mode": "chunk"}
    return Rwkv7Config(**sizes, **ranks, **known, **more, tie_word_embeddings=False)


FAMILIES = [Family("rwkv7", rwkv7, RWKV7ForCausalLM, tokens=11, vocabulary=47)]
