"""The settings that `variants.py` draws from, a family a function: what configurations on the hub hold, and sizes that
are odd on purpose. A draw is the reference's own configuration and model class, and the number of ids."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random  # noqa: TC003
from typing import Any

Settings = dict[str, Any]


@dataclass(frozen=True)
class Draw:
    family: str
    config: Any
    model: Any
    kind: str = "decoder"
    """Or "masked", "encoder", "encoder-decoder"."""
    prefix: str = ""
    change: Callable[[Settings, Any], tuple[Settings, Any]] | None = None
    """Of a kind that the reference has no class for: what its own `config.json` and arrays are, of those of what stands
    for it."""


ACTIVATIONS = ("silu", "gelu", "gelu_new", "gelu_pytorch_tanh", "relu")
EPSILONS = (1e-5, 1e-6, 1e-8, 1e-12, 1e-3)
BASES = (100.0, 10_000.0, 500_000.0, 1_000_000.0)


def sizes(random: Random, layers: tuple[int, int] = (1, 4)) -> Settings:
    """Of most families. One head's width is even, as a rotation needs it."""
    heads = random.choice((1, 2, 3, 4, 6))
    return {
        "vocab_size": random.randint(40, 140),
        "hidden_size": heads * random.choice((2, 4, 6, 8, 10)),
        "num_attention_heads": heads,
        "num_hidden_layers": random.randint(*layers),
        "intermediate_size": random.randint(5, 60),
        "max_position_embeddings": random.choice((16, 24, 64)),
        "bos_token_id": 1,
        "eos_token_id": random.choice((2, [2, 3])),
        "pad_token_id": 0,
    }


def grouped(random: Random, layers: tuple[int, int] = (1, 4)) -> Settings:
    found = sizes(random, layers)
    heads = found["num_attention_heads"]
    found["num_key_value_heads"] = random.choice([number for number in range(1, heads + 1) if heads % number == 0])
    found["rms_norm_eps"] = random.choice(EPSILONS)
    found["tie_word_embeddings"] = random.random() < 0.5
    return found


def perhaps(random: Random, **choices: tuple[Any, ...]) -> Settings:
    """Some of the keys, each with one of its values; a key that is left out has the reference's default."""
    return {key: random.choice(values) for key, values in choices.items() if random.random() < 0.5}


def head_width(random: Random) -> Settings:
    return perhaps(random, head_dim=(2, 6, 8, 14))


def rope(random: Random, width: int, context: int, partial: bool = False) -> Settings:
    """One of the ways in which published models slow their rotation."""
    kind = random.choice(("default", "default", "linear", "dynamic", "llama3", "yarn"))
    if kind == "dynamic" and width <= (8 if partial else 2):  # Its base grows by a power of width / (width − 2).
        kind = "linear"
    found: Settings = {"rope_type": kind, "rope_theta": random.choice(BASES)}
    if partial and random.random() < 0.5:
        found["partial_rotary_factor"] = random.choice([share for share in (0.25, 0.5, 1.0) if width * share % 2 == 0])
    if kind != "default":
        found["factor"] = random.choice((1.5, 2.0, 4.0, 8.0))
    if kind == "llama3":
        found |= {"low_freq_factor": 1.0, "high_freq_factor": 4.0}
    if kind in ("llama3", "yarn"):
        found["original_max_position_embeddings"] = random.choice((8, context))
    if kind == "yarn":
        found |= perhaps(random, beta_fast=(32.0, 2.0), beta_slow=(1.0, 0.5), attention_factor=(1.0, 0.7))
        found |= perhaps(random, truncate=(True, False))
        if random.random() < 0.3:
            found |= {"mscale": random.choice((1.0, 0.7)), "mscale_all_dim": random.choice((1.0, 0.5))}
    return found


def with_rope(random: Random, found: Settings, partial: bool = False) -> Settings:
    width = found.get("head_dim") or found["hidden_size"] // found["num_attention_heads"]
    if random.random() < 0.7:
        found["rope_parameters"] = rope(random, width, found["max_position_embeddings"], partial)
    return found


def layer_types(random: Random, layers: int) -> Settings:
    """Which layers have a window, where a configuration names them."""
    kinds = ("full_attention", "sliding_attention")
    return {"layer_types": [random.choice(kinds) for _ in range(layers)]} if random.random() < 0.4 else {}
