"""`dataclasses.dataclass` for values that stay as they are, made in a third of the time.

Python writes each method of a dataclass as text and compiles it, 0.7 ms a class, and a command needs 90 of them
(docs/decisions.md). Here only `__init__` is written; what is compared, shown and refused is the same for every class,
and stands below once. To a type checker, and for a reader, it is Python's own `dataclass`.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(cls: type | None = None, *, frozen: bool = False, slots: bool = False, **more: Any) -> Any:
        """A dataclass; where it is frozen and has a dictionary, with the methods below."""

        if cls is None:
            return partial(dataclass, frozen=frozen, slots=slots, **more)
        if slots or not frozen:
            return dataclasses.dataclass(cls, frozen=frozen, slots=slots, **more)
        equal, shown = more.pop("eq", True), more.pop("repr", True)
        methods = {"__setattr__": set_once, "__delattr__": refuse}
        methods |= {"__eq__": same, "__hash__": of_fields} if equal else {}
        methods |= {"__repr__": written} if shown and cls.__repr__ is object.__repr__ else {}
        for name, method in methods.items():
            if name not in vars(cls) or vars(cls)[name] is None:
                setattr(cls, name, method)
        return dataclasses.dataclass(cls, eq=False, repr=False, **more)


def set_once(self: Any, name: str, value: object) -> None:
    """What `__init__` gives stays: a second value is refused."""
    given = self.__dict__
    if name in given:
        raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")
    given[name] = value


def refuse(self: Any, name: str) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")


def compared(value: Any) -> tuple[Any, ...]:
    return tuple(getattr(value, field.name) for field in dataclasses.fields(value) if field.compare)


def same(self: Any, other: object) -> bool:
    return compared(self) == compared(other) if other.__class__ is self.__class__ else NotImplemented


def of_fields(self: Any) -> int:
    return hash(compared(self))


@recursive_repr()
def written(self: Any) -> str:
    fields = (f"{field.name}={getattr(self, field.name)!r}" for field in dataclasses.fields(self) if field.repr)
    return f"{type(self).__qualname__}({', '.join(fields)})"
