"""Where a key of a configuration is left out: do we take the default that the reference takes?

    python tools/defaults.py [--write] [NAME ...]

Needs transformers (the extra `golden`). Every golden configuration, in both its forms, is read without each key in turn
that it holds or that its family reads, also of the objects in it, and without all that can be left out at once. The
reference's class for it is made from the same JSON. Read with what that class takes for the key, it has to be the same
model, or refused. Keys of which the class knows nothing are named at the end. Exits with 1 where a model differs.

--write records the defaults that make another model of a golden one (tests/golden/defaults.json), for the tests.
"""

from __future__ import annotations

import copy
import json
import logging
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.utils.logging import set_verbosity_error

from llminspect.errors import ModelError, as_json, understood
from llminspect.model.known_settings import HARMLESS
from llminspect.model.registry import architecture_of
from llminspect.model.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

GOLDEN = Path(__file__).parent.parent / "tests" / "golden"
Place = tuple[str, ...]
"""The names of a key and of the objects around it, the outermost first."""
NOTHING = object()
KNOWN = {
    *((kind, "num_key_value_heads") for kind in ("deepseek_v3", "glm4_moe_lite", "minicpm3", "youtu")),
    *((kind, "num_nextn_predict_layers") for kind in ("deepseek_v3", "glm4_moe")),
    ("qwen3_vl_moe", "tie_word_embeddings"),
}
"""Keys whose default in the class is not ours, and why: where keys are made of latents, the reference computes nothing
with another number of them than of heads; layers that guess are not run, and a file that has some must say so; whether
the text part's matrix is tied is said outside it."""


@contextmanager
def watched() -> Iterator[set[Place]]:
    """The keys that are read in the meantime."""
    found: set[Place] = set()
    get = Settings.get

    def noting(self: Settings, key: str, default: Any = None) -> Any:
        found.add((*self.where.split(", ")[1:], key))
        return get(self, key, default)

    Settings.get = noting  # type: ignore[method-assign]
    try:
        yield found
    finally:
        Settings.get = get  # type: ignore[method-assign]


def places(config: dict[str, Any], around: Place = ()) -> Iterator[Place]:
    for key, value in config.items():
        yield (*around, key)
        if isinstance(value, dict):
            yield from places(value, (*around, key))


def at(config: Any, place: Place) -> Any:
    for key in place:
        if not isinstance(config, dict) or key not in config:
            return NOTHING
        config = config[key]
    return config


def changed(config: dict[str, Any], place: Place, value: Any) -> dict[str, Any]:
    """The configuration with another value there; without the key where it is NOTHING."""
    found = copy.deepcopy(config)
    inner: Any = found
    for key in place[:-1]:
        inner = inner.setdefault(key, {})
    if value is NOTHING:
        inner.pop(place[-1], None)
    else:
        inner[place[-1]] = value
    return found


def read(config: dict[str, Any]) -> Any:
    """What we make of it, or the error."""
    try:
        with understood("it"):
            return architecture_of(config, "huggingface", "it").config_from_huggingface(config)
    except ModelError as error:
        return error


def reference(config: dict[str, Any]) -> dict[str, Any] | None:
    """What the reference's class holds of it; None where it refuses."""
    kind = config["model_type"]
    try:
        found: dict[str, Any] = json.loads(CONFIG_MAPPING[kind].from_dict(copy.deepcopy(config)).to_json_string(False))
    except Exception:  # Whatever a class says of what it does not take.
        return None
    return found


def differences(config: dict[str, Any], unknown: set[tuple[str, str]]) -> Iterator[str]:
    with watched() as wanted:
        whole = read(config)
    if isinstance(whole, ModelError):
        yield f"the whole configuration: {whole}"
        return
    droppable = copy.deepcopy(config)
    agrees = read(reference(config) or {"model_type": "none"}) == whole
    for place in sorted(wanted | set(places(config))):
        if place[-1] in HARMLESS or place == ("model_type",) or (config["model_type"], place[-1]) in KNOWN:
            continue
        for left in (NOTHING, None):
            without = changed(config, place, left)
            found, classes = read(without), reference(without)
            if isinstance(found, ModelError) or classes is None:
                continue
            value = at(classes, place)
            if left is None and (value is None or value is NOTHING):
                continue
            stated = read(classes) if value is NOTHING else read(changed(without, place, value))
            if stated != found and value is not NOTHING:  # Not beside what an older form of the file says.
                stated = read(classes) if agrees else stated
            if value is NOTHING and (isinstance(stated, ModelError) or not agrees):
                unknown.add((config["model_type"], ".".join(place)))
            elif stated != found:
                how = "null" if left is None else "left out"
                yield f"{'.'.join(place)} {how}: {shown(stated, found)} where the class has {as_json(value)}"
            elif left is NOTHING and place in places(droppable):
                droppable = changed(droppable, place, NOTHING)
    found, classes = read(droppable), reference(droppable)
    if agrees and classes is not None and not isinstance(found, ModelError) and (stated := read(classes)) != found:
        yield f"without {len(config) - len(droppable)} keys at once: {shown(stated, found)}"


def recorded(config: dict[str, Any]) -> dict[str, Any]:
    """What the class takes for each key whose absence makes another model."""
    whole, found = read(config), dict[str, Any]()
    for place in sorted(places(config)):
        without = changed(config, place, NOTHING)
        if place == ("model_type",) or (config["model_type"], place[-1]) in KNOWN:
            continue
        other, value = read(without), at(reference(without), place)
        if value is NOTHING or isinstance(other, ModelError) or other == whole:
            continue
        if not isinstance(read(changed(without, place, value)), ModelError):  # An id that a small model has not.
            found[".".join(place)] = value
    return found


def shown(stated: Any, found: Any) -> str:
    """What differs between two configurations, or the error."""
    if isinstance(stated, ModelError):
        return f"refused if stated ({stated.message})"
    mine, theirs = vars(found), vars(stated)
    return "; ".join(f"{key} {mine[key]}, not {theirs.get(key)}" for key in mine if mine[key] != theirs.get(key))


def write() -> None:
    configs = {path.parent.name: json.loads(path.read_text()) for path in sorted(GOLDEN.glob("*/config.json"))}
    found = {name: recorded(config) for name, config in configs.items() if config["model_type"] in CONFIG_MAPPING}
    lines = [f"{json.dumps(name)}: {json.dumps(values)}" for name, values in found.items() if values]
    (GOLDEN / "defaults.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


def main() -> None:
    set_verbosity_error()
    logging.disable(logging.WARNING)
    names = sys.argv[1:] or sorted(path.parent.name for path in GOLDEN.glob("*/expected.npz"))
    if sys.argv[1:] == ["--write"]:
        write()
        return
    unknown: set[tuple[str, str]] = set()
    seen: set[str] = set()
    count = 0
    for name in names:
        for file in ("config.json", "config.older.json"):
            config = json.loads((GOLDEN / name / file).read_text())
            if config["model_type"] not in CONFIG_MAPPING:
                print(f"{name}: no class of the reference")
                break
            for what in differences(config, unknown):
                count += 1
                if f"{name}: {what}" not in seen:
                    print(f"{name}, {file}: {what}", flush=True)
                seen.add(f"{name}: {what}")
    for kind, key in sorted(unknown):
        print(f"not known to the class of {kind}: {key}")
    sys.exit(bool(count))


if __name__ == "__main__":
    main()
