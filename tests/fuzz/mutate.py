"""Changes to well-formed inputs that keep most of their structure: where a reader trusts one part about another."""

from __future__ import annotations

import copy
import json
import struct
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tests.files.gguf_writer import GGUF, SCALARS, Tensor

if TYPE_CHECKING:
    from random import Random

EDGES = [
    *(0, 1, 2, 3, 7, 8, 31, 32, 33, 63, 64, 127, 128, 255, 256, 257, 65_535, 65_536),
    *(2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**53, 2**62, 2**63 - 1, 2**63, 2**64 - 1),
]
STRINGS = [
    *("", " ", "a", "\0", "\n", "\x1b]0;title\x07", "\u202e", "\ud800", "\udcff", "▁", "##", "Ġ", "<0x0A>", "[UNK]"),
    *("é" * 40, "x" * 5000, "../../etc/passwd", "/dev/zero", "{{", "%s%n", "[/red]", "llama", "bert", "gpt2", "t5"),
    *("silu", "gelu", "relu", "linear", "yarn", "llama3", "longrope", "dynamic", "none", "default", "1e400"),
]
JSON_LEAVES: list[Any] = [
    *(None, True, False, -1, -(2**63), 0.0, -0.0, 0.5, 1e308, 1e-308, float("inf"), float("nan"), 10**400),
    *([], {}, [[]], [{}], {"": None}, [1, 2, 3], ["a", "b"], {"type": None}, [None], [1e9] * 3, [["a", "b"]], [[0, 1]]),
]


def edge(random: Random) -> int:
    """A number at which a reader may turn over."""
    return random.choice(EDGES) if random.random() < 0.8 else random.getrandbits(random.choice((8, 16, 32, 64)))


def changed_bytes(random: Random, content: bytes) -> bytes:
    """Some bytes, or numbers of 1, 4 or 8, replaced; a stretch cut out, doubled or moved; the end cut off."""
    data = bytearray(content)
    for _ in range(random.randint(1, 4)):
        if not data:
            break
        place, length = random.randrange(len(data)), random.choice((1, 2, 4, 8, 30, 200))
        match random.randrange(7):
            case 0:
                data[place] = random.getrandbits(8)
            case 1:
                data[place] ^= 1 << random.randrange(8)
            case 2:
                layout = random.choice(("<B", "<I", "<Q"))
                value = edge(random) % (1 << 8 * struct.calcsize(layout))
                data[place : place + struct.calcsize(layout)] = struct.pack(layout, value)
            case 3:
                del data[place : place + length]
            case 4:
                data[place:place] = data[place : place + length]
            case 5:
                other = random.randrange(len(data))
                data[place : place + length] = data[other : other + length]
            case _:
                del data[random.randrange(len(data)) :]
    return bytes(data)


# -- JSON --------------------------------------------------------------------------------------------------------------


def json_leaf(random: Random) -> Any:
    kind = random.random()
    if kind < 0.3:
        return edge(random)
    return copy.deepcopy(random.choice(STRINGS if kind < 0.6 else JSON_LEAVES))


def changed_json(random: Random, value: Any) -> Any:
    """A copy with one to three of its values, keys or members changed, somewhere."""
    value = copy.deepcopy(value)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        _change_inside(random, value)
    return value


def _change_inside(random: Random, value: Any) -> None:
    places = list(_places(value))
    if not places:
        return
    holder, key = random.choice(places)
    match random.randrange(6):
        case 0 | 1 | 2:
            holder[key] = json_leaf(random)
        case 3:
            del holder[key]
        case 4:
            other, other_key = random.choice(places)
            if random.random() < 0.5 or other is holder:
                holder[key] = copy.deepcopy(other[other_key]) if other_key in _keys(other) else None
            else:
                holder[key] = [copy.deepcopy(holder[key])]
        case _:
            if isinstance(holder, dict):
                holder[random.choice(STRINGS) or "key"] = holder.pop(key)
            else:
                holder[key:key] = [json_leaf(random)] * random.choice((1, 2, 300))


def _keys(holder: Any) -> Any:
    return holder if isinstance(holder, dict) else range(len(holder))


def _places(value: Any, depth: int = 0) -> Any:
    """Every (holder, key) of the value, those near the top first; of long lists the ends."""
    if isinstance(value, dict):
        members = list(value.items())
    elif isinstance(value, list):
        members = list(enumerate(value))
    else:
        return
    for key, member in members[:40] + members[40:][-10:]:
        yield value, key
        if depth < 6:
            yield from _places(member, depth + 1)


def json_bytes(random: Random, value: Any) -> bytes:
    """The value as JSON; now and then not quite: a key twice, deep nesting, bytes changed."""
    text = json.dumps(value)
    kind = random.random()
    if kind < 0.03 and text.startswith("{") and len(text) > 2:
        end = text.find(",")
        text = "{" + (text[1:end] if end > 0 else text[1:-1]) + "," + text[1:]
    elif kind < 0.04:
        text = text.replace("1", "[" * 20_000, 1)
    elif kind < 0.05:
        text = text.replace(":", ": " + "[" * 3000 + "]" * 3000 + ', "again":', 1)
    data = text.encode()
    return changed_bytes(random, data) if random.random() < 0.15 else data


# -- GGUF --------------------------------------------------------------------------------------------------------------


def gguf_scalar(random: Random) -> tuple[str, Any]:
    layout = random.choice(sorted(SCALARS))
    if layout in "fd":
        return layout, random.choice((0.0, -1.0, 1e30, float("inf"), float("nan"), random.random()))
    if layout == "?":
        return layout, random.random() < 0.5
    bits = 8 * struct.calcsize(layout)
    value = edge(random) % (1 << bits)
    return layout, value - (1 << bits) if layout.islower() and value >= 1 << bits - 1 else value


def gguf_value(random: Random, depth: int = 0) -> Any:
    kind = random.random()
    if kind < 0.4:
        return gguf_scalar(random)
    if kind < 0.7:
        return random.choice(STRINGS).encode("utf-8", "surrogatepass")
    if depth > 2:
        return []
    item = gguf_value(random, depth + 1)
    return [item] * random.choice((0, 1, 2, 5, 20 if depth else 300))


def changed_gguf(random: Random, file: GGUF) -> bytes:
    """The file with some of its metadata, tensors and counts changed."""
    file = replace(file, metadata=list(file.metadata), tensors=list(file.tensors))
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        kind = random.random()
        if kind < 0.7 and file.metadata:
            _change_metadata(random, file.metadata)
        elif kind < 0.92 and file.tensors:
            _change_tensors(random, file.tensors)
        elif kind < 0.94:
            file.version = random.choice((0, 1, 2, 4, 3 << 24))
        elif kind < 0.97:
            file.metadata_count = edge(random)
        else:
            file.tensor_count = edge(random)
    data = file.build()
    return changed_bytes(random, data) if random.random() < 0.15 else data


def _change_metadata(random: Random, metadata: list[tuple[str | bytes, Any]]) -> None:
    index = random.randrange(len(metadata))
    key, value = metadata[index]
    match random.randrange(8):
        case 0 | 1 | 2:
            metadata[index] = key, gguf_value(random)
        case 3:
            del metadata[index]
        case 4:
            metadata.append((random.choice((key, b"\xff", *STRINGS[:6])), gguf_value(random)))
        case 5:
            metadata[index] = random.choice(metadata)[0], value
        case 6 if isinstance(value, list) and value:
            changed = list(value)
            place = random.randrange(len(changed))
            if random.random() < 0.4:
                del changed[place:]
            elif isinstance(changed[place], str | bytes):
                changed[place] = random.choice(STRINGS).encode("utf-8", "surrogatepass")
            else:
                changed[place] = changed[random.randrange(len(changed))]
            metadata[index] = key, changed
        case _ if isinstance(value, int):
            metadata[index] = key, ("Q", edge(random))
        case _:
            metadata[index] = key, random.choice(metadata)[1]


def _change_tensors(random: Random, tensors: list[Tensor]) -> None:
    index = random.randrange(len(tensors))
    tensor = tensors[index]
    match random.randrange(6):
        case 0:
            del tensors[index]
        case 1:
            tensors.append(replace(tensor, name=random.choice((tensor.name, b"\xff\x00", "blk.999.attn_q.weight"))))
        case 2:
            shape = list(tensor.shape) or [1]
            shape[random.randrange(len(shape))] = edge(random)
            tensors[index] = replace(tensor, shape=tuple(shape))
        case 3:
            shape = list(tensor.shape)
            shape = shape[::-1] if random.random() < 0.5 else [*shape, 1][-random.randint(1, 5) :]
            tensors[index] = replace(tensor, shape=tuple(shape))
        case 4:
            tensors[index] = replace(tensor, type=random.choice((*range(42), 2**32 - 1)))
        case _:
            tensors[index] = replace(tensor, offset=edge(random))
