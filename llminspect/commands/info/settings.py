"""What the settings of a model are called in `info`, and how their values read: a school word where there is one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from llminspect.core.numbers import count, number, ranges

SIZES = {
    "L": "layers",
    "D": "model width",
    "H": "query heads",
    "K": "key/value heads",
    "E": "width of a head",
    "F": "feed-forward width",
    "X": "experts",
    "V": "vocabulary",
    "U": "width of a value",
    "M": "key width without rotation",
    "G": "rotated key width",
    "Z": "compressed keys, values",
    "Q": "compressed queries",
}
_NAMES = {
    "scale": "scale of the scores",
    "rotary": "rotary positions",
    "local_rotary": "… with a window",
    "windowed": "layers with a window",
    "unturned": "layers without positions",
    "biased": "biases in",
    "unit": "feed forward",
    "experts": "choice of experts",
    "causal": "a token sees",
    "norm": "norms",
    "score_cap": "scores stay within",
    "logit_cap": "logits stay within",
    "clip": "vectors stay within",
    "embedding_scale": "scale of the embedding",
    "residual_scale": "scale of each step",
    "logit_scale": "scale of the logits",
    "head_norms": "norms of each head",
    "value_norms": "norms of values",
    "heads_normed": "norms of rotated heads",
    "embedding_normed": "norm of what enters",
    "windows": "window to each side",
    "groups": "maps in groups",
    "without_attention": "layers without attention",
    "state_layers": "layers with a state",
    "parallel": "both steps in parallel",
    "borrowing": "layers that share keys",
    "layers_after": "prediction layers, not run",
    "per_layer": "embedding of each layer",
    "per_layer_tokens": "… for so many tokens",
    "streams": "streams side by side",
    "active": "stream of the layers",
    "sparsity": "share of units cut off",
    "low_rank": "rank beside attention",
    "embedding_norm": "norm of the embedding",
    "positions": "table of positions",
    "segments": "kinds of segment",
    "buckets": "distances in groups",
    "farthest": "farthest distance",
    "span": "vectors of distances each way",
    "normed": "norm of the distances",
    "pairs": "scores also from",
    "shared": "same matrices for distances",
    "blanked_id": "id whose vector is zero",
    "latent_epsilon": "epsilon of compressed norms",
    "masking": "masks",
    "multipliers": "scales of parts",
}
_PARTS: dict[str, dict[str, str]] = {
    "rotary": {
        "width": "{} numbers a head",
        "share": "{} of them",
        "fast": "fast from {} turns on",
        "slow": "slow up to {} turns",
        "gain": "scores times {}",
        "context": "trained on {} tokens",
        "truncate": "limits in whole numbers: {}",
    },
    "experts": {
        "chosen": "{} for each token",
        "among_chosen": "their weights sum to 1: {}",
        "kind": "weights by {}",
        "by_group": "first groups ({})",
        "near": "only scores nearer than {}",
        "factor": "times {}",
        "added": "{} added to their sum",
        "latent": "{} numbers in and out of each",
        "plain_width": "width {} in layers without",
        "plain_layers": "none in layers {}",
        "shared_width": "one more for all, width {}",
    },
    "state": {
        "named": "{}",
        "heads": "{} heads",
        "channels": "{} channels",
        "width": "{} numbers a head",
        "values": "a value of {} numbers",
        "keys": "a key of {} numbers",
        "groups": "{} groups of heads that share keys",
        "kernel": "first mixed with the {} last tokens",
        "each": "what is forgotten is chosen for each {}",
        "rank": "rank of the step {}",
        "limits": "least and largest step {}",
        "normed": "a norm at the end: {}",
        "gate_last": "the gate after it: {}",
        "decay_rank": "rank of the decay {}",
        "rate_rank": "of the learning rate {}",
        "value_rank": "of the values {}",
        "gate_rank": "of the gate {}",
    },
    "masking": {
        "mask_id": "id {} is filled",
        "order": "first where {} is best",
        "even": "as many each step: {}",
        "shifted": "a place is filled by the row before it: {}",
    },
    "unit": {"activation": "{}", "alpha": "g · sigmoid({} g) · (u + 1)", "limit": "g at most {0}, u within ±{0}"},
    "multipliers": {},
    "by_group": {"size": "of {} experts", "chosen": "{} for each token", "best": "by the sum of their best {} scores"},
}
_PARTS["local_rotary"] = _PARTS["scaling"] = _PARTS["rotary"]
_USUAL = (("gain", 1), ("factor", 1))
_ONE = re.compile(r"^1 (head|channel|group|number)s")
"""One thing, in words for several."""
_TERMS = {
    "silu": "SiLU",
    "gelu": "GELU",
    "gelu_tanh": "GELU (tanh)",
    "relu": "ReLU",
    "relu_squared": "ReLU²",
    "halves": "first half with second",
    "interleaved": "neighbours together",
    "c2p": "a token's content with a distance",
    "p2c": "a distance with a token's content",
}
_VALUES: dict[str, dict[object, str]] = {
    "norm": {"rms": "root mean square (RMS)", "layer": "layer norm"},
    "causal": {True: "itself and the tokens before it", False: "every token"},
}


def in_words(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The rows of `info` for what the files set; what most models do not have is left out where it is not there."""
    for name, value in config.items():
        if name == "tied" or value is None or value in ((), []):
            continue
        if name in _VALUES:
            yield _NAMES[name], _VALUES[name][value]
        elif (value == 0) or (value == 1 and name.endswith("_scale")):
            continue
        else:
            yield _NAMES.get(name, name.replace("_", " ")), written(value, name)


def written(value: object, name: str = "") -> str:
    """A value as people read it, also one with parts, whose words are those of the setting `name`."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        if set(value) == {"entries"}:
            return f"{value['entries']:,} entries"
        words = _PARTS.get(name, {})
        stated = {part: of for part, of in value.items() if of not in (None, [], ()) and (part, of) not in _USUAL}
        order = sorted(stated, key=lambda part: part != "named")
        return ", ".join(_part(part, stated[part], words) for part in order)
    if isinstance(value, list | tuple):
        whole = all(type(item) is int for item in value)
        return ranges(value) if whole else ", ".join(map(written, value))
    if not isinstance(value, float):
        return _TERMS.get(str(value), str(value))
    return count(int(value)) if value.is_integer() and abs(value) < 1e15 else number(value, 6)


def _part(name: str, value: object, words: Mapping[str, str]) -> str:
    word = words.get(name, "{}" if name in ("activation", "pairs") else name.replace("_", " ") + " {}")
    return _ONE.sub(r"1 \1", word.format(written(value, name)))
