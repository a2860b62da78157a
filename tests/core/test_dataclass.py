"""Our faster `dataclass` does what Python's own does."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from functools import cached_property
from typing import Any

import pytest

from llminspect.core.dataclass import dataclass


class Body:
    count: int
    name: str = "a"
    hidden: list[int] = dataclasses.field(default_factory=list, repr=False, compare=False)

    @cached_property
    def twice(self) -> int:
        return 2 * self.count


@dataclass(frozen=True)
class Ours(Body):
    count: int
    name: str = "a"
    hidden: list[int] = dataclasses.field(default_factory=list, repr=False, compare=False)


@dataclasses.dataclass(frozen=True)
class Pythons(Body):
    count: int
    name: str = "a"
    hidden: list[int] = dataclasses.field(default_factory=list, repr=False, compare=False)


def results(kind: Any) -> list[object]:
    """What values of this kind do, apart from the name of the kind."""
    value, other = kind(3, "b", [1]), kind(3, "b")
    errors: list[type | str] = []

    def assign() -> None:
        value.count = 4

    def delete() -> None:
        del value.count

    for change in (assign, delete):
        with pytest.raises(dataclasses.FrozenInstanceError) as error:
            change()
        errors.append(str(error.value))
    with pytest.raises(TypeError):
        kind()
    return [
        *errors,
        value == other,
        value == kind(4, "b"),
        value == (3, "b"),
        hash(value) == hash(other) == hash((3, "b")),
        repr(value).replace(kind.__name__, "KIND"),
        value.twice,
        vars(dataclasses.replace(value, name="c")),
        dataclasses.asdict(value),
        copy.deepcopy(value) == value,
        pickle.loads(pickle.dumps(value)) == value,
        kind.__match_args__,
        value == 3,
    ]


def test_a_value_does_what_pythons_own_does() -> None:
    assert results(Ours) == results(Pythons)


def test_a_kind_keeps_the_methods_that_it_writes() -> None:
    @dataclass(frozen=True)
    class Shown:
        count: int

        def __repr__(self) -> str:
            return "shown"

    @dataclass(frozen=True, eq=False)
    class Alone:
        count: int

    @dataclass(frozen=True, kw_only=True)
    class Named(Alone):
        name: str

    assert repr(Shown(1)) == "shown" and Shown(1) == Shown(1)
    assert Alone(1) != Alone(1)
    assert repr(Named(1, name="a")).endswith("Named(count=1, name='a')")
