"""How the tables of keys say what stands in a file: `Value`, and what gives it from a configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

Config = dict[str, Any]
Value = Any
"""Of a key in a table: a string is the configuration's key that holds it, a function computes it from the
configuration, and all else is written as it stands. What comes out as None is not written."""
Table = dict[str, Value]
"""Values by the end of the name of the writer's method: `"head_count": "num_heads"` is `add_head_count`."""


def first(*keys: str) -> Callable[[Config], Any]:
    """What stands in one of the keys; one must be there."""

    def value(config: Config) -> Any:
        found = perhaps(*keys)(config)
        if found is None:
            raise KeyError(keys)
        return found

    return value


def perhaps(*keys: str) -> Callable[[Config], Any]:
    return lambda config: next((config[key] for key in keys if config.get(key) is not None), None)


def filled(table: Table, config: Config) -> dict[str, Any]:
    values = {key: config[value] if isinstance(value, str) else value for key, value in table.items()}
    values = {key: value(config) if callable(value) else value for key, value in values.items()}
    return {key: value for key, value in values.items() if value is not None}


def width(config: Config) -> int:
    """How much of each head is turned."""
    whole = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    return int(config.get("rope_parameters", {}).get("partial_rotary_factor", 1.0) * whole)


def slides(config: Config) -> list[bool]:
    return [kind == "sliding_attention" for kind in config["layer_types"]]


def keys_where(kind: str, kinds: str) -> Callable[[Config], list[int]]:
    """How many keys each layer has: none where it has no attention."""
    return lambda config: [config["num_key_value_heads"] * (name == kind) for name in config[kinds]]
