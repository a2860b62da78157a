"""What the files of a sparse dictionary say, setting by setting; one that is not known is refused, whatever it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass
from llminspect.core.dictionary import Dictionary
from llminspect.errors import ModelError, as_json
from llminspect.files.dictionaries import CONFIG

LARGEST_K = 1 << 20


@dataclass(frozen=True)
class StatedDictionary:
    """A dictionary, and what its files say of it."""

    dictionary: Dictionary
    maker: str
    kind: str
    """Its architecture in the maker's own word."""
    hook: str | None
    """Where it reads, in the maker's own words; None: the files do not say."""
    hook_out: str | None = None
    """Where it writes, if elsewhere."""
    centred: bool = False
    """Whether the mean of each vector is to be taken away first."""
    trained_on: str | None = None
    """The model, as the files name it."""


def check_known(stated: Mapping[str, Any], known: Any, front: str = "") -> None:
    for name, value in stated.items():
        if name not in known:
            refuse_setting(f"{front}{name}", value)


def refuse_setting(name: str, value: object, hint: str = "") -> NoReturn:
    raise ModelError(f"{CONFIG} of the dictionary: {name!r:.100} = {as_json(value)} is not understood", hint or None)


def either_name(stated: Mapping[str, Any], name: str, older: str, usual: Any) -> Any:
    """A setting that has two names. ModelError: no text, or the two differ."""
    if name in stated and older in stated and stated[name] != stated[older]:
        refuse_setting(older, stated[older], f"{name} is {as_json(stated[name])}")
    found = stated.get(name, stated.get(older, usual))
    if found is not None and not isinstance(found, str):
        refuse_setting(name, found)
    return found


def text_of(stated: Mapping[str, Any], name: str) -> str | None:
    found = stated.get(name)
    if found is not None and not isinstance(found, str):
        refuse_setting(name, found)
    return found


def flag_of(stated: Mapping[str, Any], name: str, usual: bool) -> bool:
    found = stated.get(name, usual)
    if not isinstance(found, bool):
        refuse_setting(name, found, "it is true or false")
    return found


def count_of(stated: Mapping[str, Any], name: str) -> int:
    found = stated.get(name)
    if type(found) is not int or not 0 < found < LARGEST_K:
        refuse_setting(name, found, "it is a whole number above 0")
    return found


def check_sizes(stated: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
    for name, size in sizes.items():
        if name in stated and stated[name] != size:
            refuse_setting(name, stated[name], f"the arrays have {size}")


def check_arrays(arrays: Mapping[str, Array], wanted: list[str]) -> None:
    for name in wanted:
        if name not in arrays:
            raise ModelError(f"the dictionary holds no array {name}", f"it has {', '.join(sorted(arrays))[:200]}")
    for name in arrays:
        if name not in wanted:
            raise ModelError(f"the dictionary holds an array {name!r:.100}, which is not understood")
    for name in ("W_enc", "W_dec", "encoder.weight", "W_skip"):
        if name in arrays and (arrays[name].ndim != 2 or not arrays[name].size):
            raise ModelError(f"the array {name} of the dictionary has the shape {list(arrays[name].shape)}")
