"""Reading a configuration so that nothing in it is dropped: what is never asked for is refused in the end."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from llminspect.errors import ModelError, as_json
from llminspect.model.known_settings import HARMLESS, LISTS, MAY_BE_OFF, RANGES, WHOLE, says_nothing

Value = TypeVar("Value")

ACTIVATIONS = {
    "silu": "silu",
    "swish": "silu",
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "relu": "relu",
    "relu2": "relu_squared",
    "gelu_python": "gelu",
    "gelu_python_tanh": "gelu_tanh",
    "quick_gelu": "quick_gelu",
    "tanh": "tanh",
    "gelu_accurate": "gelu_tanh",
    "sqrtsoftplus": "sqrt_softplus",
    **{name: name for name in ("gelu_10", "mish", "relu6", "hardswish", "leaky_relu", "laplace", "sigmoid", "linear")},
}
"""`core.feedforward.ACTIVATIONS` by their names in `config.json`."""

MOST_REPEATED = 4096
"""Layers, experts, streams: published models have some hundreds. A file's own number is a promise, not a fact."""
_REPEATED = ("layer", "layers", "block_count", "experts", "expert_count", "num_inputs")
_LARGEST = 1 << 40


def _is_list(value: Any, nested: bool) -> bool:
    """Whether it is one, or nothing; of single values unless lists and objects may stand in it."""
    if not isinstance(value, list):
        return value is None
    return nested or not any(isinstance(one, list | dict) for one in value)


class Settings:
    """A configuration and which of its keys were read.

    `defaults` are what the reference takes where the file lacks a key; a key that is there and is null is None.
    `ignored` are keys that the user wants passed over. Raises ModelError: a key that is needed is missing, a value is
    none of those that are known, and at `done` a key that nobody read, whatever it says, unless its name is known.
    """

    def __init__(
        self,
        values: Mapping[str, Any],
        where: str,
        metadata: Mapping[str, Any] | None = None,
        *,
        defaults: Mapping[str, Any] = MappingProxyType({}),
        ignored: Collection[str] = (),
    ) -> None:
        self.values, self.where, self.ignored = values, where, ignored
        self.metadata = values if metadata is None else metadata
        """All that the file says: of a GGUF file also what is not of its family."""
        self.defaults = dict(defaults)
        self._read: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        """The value, or `default` where there is none."""
        self._read.add(key)
        value = self.values.get(key, self.defaults.get(key))
        if key in LISTS and not _is_list(value, LISTS[key]):
            raise self.wrong(key, "a list" if LISTS[key] else "a list of names or numbers")
        if key in WHOLE and (isinstance(value, bool) or not isinstance(value, int | None)):
            raise self.wrong(key, "a whole number")
        return default if value is None else value

    def need(self, key: str, default: Any = None) -> Any:
        value = self.get(key, default)
        if value is None:
            raise ModelError(f"{self.where} lacks the setting {key!r}")
        return value

    def skip(self, *keys: str) -> None:
        """Keys that change no number of this family, or repeat what others say."""
        self._read.update(keys)

    def flag(self, key: str, default: bool = False) -> bool:
        """True or false; null is false, as the reference reads it, whatever a missing key means."""
        value = False if key in self.values and self.get(key) is None else self.get(key, default)
        if not isinstance(value, bool):
            raise self.wrong(key, "true or false")
        return value

    def perhaps(self, key: str) -> float | None:
        """A number, or None where there is none."""
        return None if self.get(key) is None else self.number(key)

    def whole(self, key: str, default: int | None = None) -> int:
        """A whole number above 0; of layers and experts not more than there can be."""
        value = self.need(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self.wrong(key, "a whole number above 0")
        if value > (most := MOST_REPEATED if key.endswith(_REPEATED) else _LARGEST):
            raise self.wrong(key, f"at most {most:,}")
        return value

    def between(self, key: str, least: int, most: float, known: str, default: int | None = None) -> int:
        """A whole number of a range; `known` says in words what would do."""
        value = self.get(key, default)
        if type(value) is not int or not least <= value <= most:
            raise self.wrong(key, known)
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """A number within its range (`known_settings.RANGES`)."""
        value = self.need(key, default)
        low, high = RANGES[key]
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise self.wrong(key, f"a number from {low:g} to {high:g}")
        return float(value)

    def numbers(self, key: str, many: int) -> tuple[float, ...]:
        """So many numbers above 0, each within the range of the key."""
        value, (low, high) = self.need(key), RANGES[key]
        fit = [not isinstance(one, bool) and isinstance(one, int | float) and low <= one <= high for one in value]
        if len(value) != many or not all(fit):
            raise self.wrong(key, f"{many} numbers from {low:g} to {high:g}")
        return tuple(map(float, value))

    def one_of(self, key: str, known: Mapping[str, Value], default: str | None = None) -> Value:
        """What `known` has for the value."""
        value = self.need(key, default)
        if not isinstance(value, str) or value not in known:
            raise self.wrong(key, " or ".join(known))
        return known[value]

    def only(self, key: str, *accepted: Any) -> None:
        """Any other value would be a model that this is not."""
        value = self.get(key)
        if value is not None and value not in accepted:
            raise self.wrong(key, " or ".join(each if isinstance(each, str) else as_json(each) for each in accepted))

    def wrong(self, key: str, known: str) -> ModelError:
        if key not in self.values and self.defaults.get(key) is None:
            return ModelError(f"{self.where} lacks the setting {key!r}", f"known: {known}")
        value = self.values.get(key, self.defaults.get(key))
        needed = (
            "; the model needs this setting, so --ignore-setting cannot pass over it" if key in self.ignored else ""
        )
        return ModelError(f"{self.where}: {key} = {as_json(value)} is not understood", f"known: {known}{needed}")

    def classes(self) -> list[str]:
        """The names under `architectures`."""
        found = self.get("architectures") or []
        if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
            raise self.wrong("architectures", "a list of names")
        return found

    def under(self, key: str) -> Settings:
        """A configuration inside this one; null is that of the definition, as the reference reads it."""
        value = self.need(key, self.defaults.get(key))
        if not isinstance(value, dict):
            raise self.wrong(key, "an object")
        return Settings(value, f"{self.where}, {key}", ignored=self.ignored)

    def done(self) -> None:
        strange = sorted(
            key
            for key, value in self.values.items()
            if key not in self._read | HARMLESS and not (key in MAY_BE_OFF and says_nothing(key, value))
        )
        strange = [key for key in strange if key not in self.ignored]
        if strange:
            named = ", ".join(f"{key} = {as_json(self.values[key])}" for key in strange)
            needed = [key for key in self.ignored if key in self.values and key in self._read]
            not_these = f"; {', '.join(needed)}: understood, and not passed over" if needed else ""
            raise ModelError(
                f"{self.where} has settings that are not understood: {named}",
                "a setting that is not understood could change every number, so the model is not opened; "
                f"--ignore-setting NAME opens it all the same{not_these}",
            )


def huggingface(
    config: Mapping[str, Any], defaults: Mapping[str, Any] = MappingProxyType({}), ignored: Collection[str] = ()
) -> Settings:
    """Of a `config.json`; how its weights are quantized is read with them (`files.quantized`)."""
    return Settings(config, "config.json", defaults=defaults, ignored=ignored)


def gguf(metadata: Mapping[str, Any], ignored: Collection[str] = ()) -> Settings:
    """The keys of a GGUF file that begin with its family's name, without that, and the size of its vocabulary."""
    prefix = f"{metadata['general.architecture']}."
    values = {key.removeprefix(prefix): value for key, value in metadata.items() if key.startswith(prefix)}
    tokens = metadata.get("tokenizer.ggml.tokens")
    if isinstance(tokens, list):
        values["vocab_size"] = len(tokens)
    return Settings(values, f"this GGUF file ({prefix}*)", metadata, ignored=ignored)
