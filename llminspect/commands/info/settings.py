"""What the settings of a model are called in `info`, and how their values read: a school word where there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llminspect.core.numbers import ranges

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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
    "M": "part of a key by content",
    "G": "part of a key that turns",
    "Z": "compressed keys, values",
    "Q": "compressed queries",
}
_NAMES = {
    "scale": "scores times",
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
    "embedding_scale": "embedding times",
    "residual_scale": "each step times",
    "logit_scale": "logits times",
    "head_norms": "norms of each head",
    "value_norms": "norms of values",
    "without_attention": "layers without attention",
    "state_layers": "layers with a state",
    "parallel": "both steps at once",
    "borrowing": "layers that share keys",
    "layers_after": "guessing layers, not run",
    "per_layer": "embedding of each layer",
    "per_layer_tokens": "… for so many tokens",
    "streams": "streams side by side",
    "active": "stream of the layers",
    "sparsity": "share of units shut",
    "low_rank": "rank beside attention",
    "embedding_norm": "norm of the embedding",
    "positions": "table of positions",
    "segments": "kinds of segment",
    "buckets": "distances in groups",
    "farthest": "farthest distance",
}
_PARTS = {
    "width": "{} numbers a head",
    "share": "{} of them",
    "fast": "fast from {} turns on",
    "slow": "slow up to {} turns",
    "gain": "scores times {}",
    "chosen": "{} for each token",
    "among_chosen": "their weights sum to 1: {}",
    "kind": "weights by {}",
    "by_group": "groups: {}",
    "factor": "times {}",
    "plain_width": "width {} in layers without",
    "plain_layers": "none in layers {}",
    "shared_width": "one more for all, width {}",
}
_USUAL = (("gain", 1), ("factor", 1))
_FUNCTIONS = {"silu": "SiLU", "gelu": "GELU", "gelu_tanh": "GELU (tanh)", "relu": "ReLU", "relu_squared": "ReLU²"}
_VALUES: dict[str, dict[object, str]] = {
    "norm": {"rms": "root mean square (RMS)", "layer": "layer norm"},
    "causal": {True: "itself and what stands before it", False: "every token"},
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
            yield _NAMES.get(name, name.replace("_", " ")), written(value)


def written(value: object) -> str:
    """A value as people read it, also one with parts."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        if set(value) == {"entries"}:
            return f"{value['entries']:,} entries"
        stated = [(name, part) for name, part in value.items() if part not in (None, [], ())]
        return ", ".join(_part(name, part) for name, part in stated if (name, part) not in _USUAL)
    if isinstance(value, list | tuple):
        whole = len(value) > 2 and all(type(item) is int for item in value)
        return ranges(value) if whole else ", ".join(map(written, value))
    return f"{value:g}" if isinstance(value, float) else _FUNCTIONS.get(str(value), str(value))


def _part(name: str, value: object) -> str:
    if name == "activation":
        return written(value)
    if name == "pairs":
        return {"halves": "first half with second", "interleaved": "neighbours together"}.get(str(value), str(value))
    return _PARTS.get(name, name.replace("_", " ") + " {}").format(written(value))
