"""What `quantization_config` says, read so that nothing of it is dropped; and which modules it leaves as they are."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from llminspect.errors import ModelError, as_json

_LARGEST = 1 << 20
_LEFT_OUT = ("modules_to_not_convert", "ignored_layers", "ignore", "exclude_modules", "llm_int8_skip_modules")
_SIMPLE = re.compile(r"(?:[\w.^$\-|()\[\]]|\\[.dw]|[*+?](?![*+?]))*")
"""A pattern without a quantifier of a quantifier side by side; `_pattern` bounds the rest."""


class Stated:
    """The settings of one method. Raises ModelError: an unknown value, and at `done` a key that nobody read."""

    def __init__(self, method: str, key: str, values: dict[str, Any]) -> None:
        self.method, self.where, self.values = method, f"config.json, {key} ({method})", values
        self._read = {"quant_method"}
        self.left_out = [name for key in _LEFT_OUT for name in self.names(key)]
        """Modules that are stored as they were: names, parts of names, or patterns after `re:`."""

    def get(self, key: str, default: Any = None) -> Any:
        self._read.add(key)
        value = self.values.get(key)
        return default if value is None else value

    def skip(self, *keys: str) -> None:
        """Keys that say how it was made, or what is done to activations."""
        self._read.update(keys)

    def one_of(self, key: str, *known: Any, default: Any = None) -> Any:
        value = self.get(key, default)
        if not any(value == each and type(value) is type(each) for each in known):
            raise self.wrong(key, ", ".join(map(as_json, known)))
        return value

    def only(self, key: str, *known: Any) -> None:
        """Another value would be stored otherwise; none is as good as these."""
        if self.get(key) is not None:
            self.one_of(key, *known)

    def nothing(self, *keys: str) -> None:
        """Keys that may be there and say nothing."""
        for key in keys:
            if self.get(key):
                raise self.wrong(key, "none")

    def whole(self, key: str, default: int | None = None) -> int:
        value = self.get(key, default)
        if type(value) is not int or not 1 <= value <= _LARGEST:
            raise self.wrong(key, "a whole number above 0")
        return value

    def pair(self, key: str) -> tuple[int, int] | None:
        """The sides of a block; None where there is none."""
        value = self.get(key)
        if value is None:
            return None
        if (
            not isinstance(value, list)
            or len(value) != 2
            or not all(type(n) is int and 0 < n <= _LARGEST for n in value)
        ):
            raise self.wrong(key, "two whole numbers above 0")
        return value[0], value[1]

    def names(self, key: str) -> list[str]:
        value = self.get(key, [])
        if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            raise self.wrong(key, "a list of names")
        return value

    def under(self, key: str, values: Any) -> Stated:
        if not isinstance(values, dict):
            raise ModelError(f"{self.where}: {key} is not an object")
        inner = Stated(self.method, key, values)
        inner.where = f"{self.where}, {key}"
        return inner

    def wrong(self, key: str, known: str) -> ModelError:
        return ModelError(f"{self.where}: {key} = {as_json(self.values.get(key))} is not understood", f"known: {known}")

    def done(self) -> None:
        unread = self.values.keys() - self._read
        strange = sorted(key for key in unread if self.values[key] not in (None, {}, []))
        if strange:
            named = ", ".join(f"{key} = {as_json(self.values[key])}" for key in strange)
            raise ModelError(
                f"{self.where} has settings that are not understood: {named}",
                f"known: {', '.join(sorted(self._read))}; take the model's unquantized weights, or a GGUF file of it",
            )

    def check_left_out(self, names: Iterable[str]) -> None:
        """Raise ModelError where a module that stays as it is, by these settings, is stored quantized all the same."""
        for name in names:
            module = name.removesuffix(".weight")
            for stated in self.left_out:
                if self.names_module(stated, module):
                    raise ModelError(
                        f"{self.where} leaves {stated!r:.100} as it is, and tensor {name!r:.100} is stored quantized",
                        "fetch config.json and the weights again, from one place",
                    )

    def names_module(self, stated: str, module: str) -> bool:
        """Whether a name, the end or the beginning of one, or a pattern after `re:`, is that of the module."""
        if stated.startswith("re:"):
            return self._pattern(stated[3:]).match(module) is not None
        if "*" in stated:
            return (
                self._pattern(re.sub(r"\\?\*+", ".*", re.sub(r"\\?\.", r"\\.", stated))).fullmatch(module) is not None
            )
        return f".{module}.".find(f".{stated}.") >= 0

    def _pattern(self, pattern: str) -> re.Pattern[str]:
        """A stranger's pattern, where it is short and no loop of loops; ModelError otherwise."""
        loops = len(re.findall(r"[*+]", pattern.replace(r"\*", "")))
        if len(pattern) > 500 or loops > 3 or re.search(r"\)[*+?{]", pattern) or not _SIMPLE.fullmatch(pattern):
            raise ModelError(f"{self.where}: the pattern {pattern!r:.200} is not understood", "a simpler one is")
        try:
            return re.compile(pattern)
        except re.error as error:
            raise ModelError(f"{self.where}: the pattern {pattern!r:.200} is not understood: {error}") from None
