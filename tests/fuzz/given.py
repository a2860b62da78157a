"""Files of the user's, and what the hub answers."""

from __future__ import annotations

import io
import json
import math
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

from llminspect.analysis import directions
from llminspect.analysis.explore.session import Session, read_session
from llminspect.analysis.prompt import chat_of_json
from llminspect.errors import UserError
from llminspect.files import hub_library, npz, prices
from llminspect.files.source import KNOWN, read_records
from llminspect.opening import open_model
from tests.fuzz import mutate
from tests.fuzz.kept import accepts
from tests.fuzz.refusal import refused

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random


PRICES = {"date": "2026-08-05", "currency": "USD", "models": {"a": 2.5, "b": {"price": 1, "currency": "EUR"}}}


def check_prices(folder: Path, content: bytes) -> bool:
    path = folder / "prices.json"
    path.write_bytes(content)
    try:
        table = prices.price_table(path)
    except UserError as error:
        return refused(error)
    assert table and all(math.isfinite(entry.price) for entry in table.values())
    return True


def changed_archive(random: Random) -> bytes:
    """A .npz with members that are cut, of other types and shapes, packed in other ways or encrypted by their mark."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name in random.sample(["stream.npy", "ids.npy", "../stream.npy", "x\0.npy", "probs.npy"], 3):
            kind = random.choice(["<f4", "<f8", "<i8", ">f4", "<U4", "|b1", "<c8", "|S3", "<f2"])
            member = io.BytesIO()
            np.save(member, np.zeros(random.choice(((2, 3), (), (0,), (4,))), kind))
            content = member.getvalue()
            if random.random() < 0.5:
                content = mutate.changed_bytes(random, content)
            if random.random() < 0.2:
                content = content.replace(b"(2, 3)", random.choice((b"(9, 9**9)", b"(-1,3)", b"(2,2**62,)", b"[2, 3]")))
            packing = random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2))
            archive.writestr(name, content, packing)
    whole = data.getvalue()
    return mutate.changed_bytes(random, whole) if random.random() < 0.5 else whole


def changed_records(random: Random) -> bytes:
    records: list[Any] = [{"text": "A cat", "label": "animal"}, {"text": "é", "label": 1, "target": [1, None]}]
    lines = [mutate.json_bytes(random, mutate.changed_json(random, random.choice(records))) for _ in range(2)]
    return random.choice((b"\n", b"\r\n", b"\n\n", b"")).join([*lines, json.dumps(records[0]).encode()])


def check_records(folder: Path, content: bytes) -> bool:
    path = folder / "records.jsonl"
    path.write_bytes(content)
    try:
        records = read_records(path)
    except UserError as error:
        return refused(error)
    assert records and all({*record} <= {*KNOWN} for record in records)
    return True


def changed_directions(random: Random) -> bytes:
    names = mutate.json_bytes(random, mutate.changed_json(random, ["a", "b"]) if random.random() < 0.5 else ["a", "b"])
    arrays = {
        "layers": np.arange(2, dtype=random.choice(("i8", "u1", "f4")) if random.random() < 0.3 else "i8"),
        "directions": np.ones((2, random.choice((1, 2, 2, 2)), 4), random.choice(("f4", "f4", "f8", "i8", "f2"))),
        "classes": np.frombuffer(names, np.uint8).astype(random.choice(("u1", "u1", "i8", "f4"))),
    }
    if random.random() < 0.2:
        del arrays[random.choice(list(arrays))]
    if random.random() < 0.1 and "directions" in arrays:
        arrays["directions"] = np.full_like(arrays["directions"], random.choice((np.nan, 1e300)), dtype="f8")
    data = io.BytesIO()
    np.savez(data, **arrays)  # type: ignore[arg-type]
    whole = data.getvalue()
    return mutate.changed_bytes(random, whole) if random.random() < 0.3 else whole


def check_directions(folder: Path, content: bytes) -> bool:
    path = folder / "directions.npz"
    path.write_bytes(content)
    try:
        layers, directions_LKD, classes = directions._read(path)
    except UserError as error:
        return refused(error)
    assert len(layers) == len(directions_LKD) and np.isfinite(directions_LKD).all()
    assert classes is None or len(classes) == directions_LKD.shape[1]
    return True


def check_archive(folder: Path, content: bytes) -> bool:
    path = folder / "arrays.npz"
    path.write_bytes(content)
    try:
        arrays = npz.read_arrays(path, ("stream", "ids", "probs"), largest=1 << 20)
    except UserError as error:
        return refused(error)
    assert all(array.dtype.kind in "biufc" for array in arrays.values())
    return True


LISTING: dict[str, Any] = {
    "sha": "0" * 40,
    "siblings": [
        {"rfilename": "config.json", "size": 10, "blobId": "1" * 40, "lfs": None},
        {"rfilename": "model.safetensors", "size": 1 << 30, "blobId": "2" * 40, "lfs": {"sha256": "3" * 64}},
    ],
}


def check_listing(folder: Path, content: bytes) -> bool:
    try:
        commit, listed = hub_library._listed(content, "org/name")
    except UserError as error:
        return refused(error)
    assert isinstance(commit, str) and all(isinstance(file, hub_library.Listed) for file in listed.values())
    return True


MESSAGES: list[Any] = [
    [{"role": "system", "content": "a"}, {"role": "user", "content": [{"type": "text", "text": "b"}]}],
    {"messages": [{"role": "user", "content": "a"}], "tools": [{"type": "function", "function": {"name": "f"}}]},
    {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]},
    [{"role": "tool", "tool_call_id": "1", "content": "x"}],
]


def check_messages(folder: Path, content: bytes) -> bool:
    return accepts(lambda: chat_of_json(content.decode("utf-8", "surrogateescape")))


# -- Sessions of explore -----------------------------------------------------------------------------------------------

SESSION: dict[str, Any] = {
    "schema": 1,
    "session": "explore",
    "model": "toy-attention",
    "text": "A cat sat.",
    "chat": False,
    "events": [
        {"do": "pane", "pane": "heads"},
        {"do": "head", "layer": 0, "head": 0},
        {"do": "cursor", "index": 1},
        {"do": "key", "index": None},
        {"do": "measure", "measure": "sink"},
        {"do": "target", "target": "cat"},
        {"do": "versus", "versus": None},
        {"do": "knobs", "temperature": 0.5, "top_k": 3, "top_p": None, "min_p": 0.1},
        {"do": "second", "second": "A cat sat."},
        {"do": "change", "kind": "scale", "value": "0.0*2"},
        {"do": "unchange", "index": 0},
        {"do": "text", "text": "A cat"},
        {"do": "take", "id": 1},
        {"do": "back"},
        {"do": "go", "node": 0},
    ],
}


def check_session(folder: Path, content: bytes) -> bool:
    """It is read, and all that was done is done once more."""
    path = folder / "session.json"
    path.write_bytes(content)
    try:
        _, first, events = read_session(path)
        session = Session(open_model("toy-attention"), first, events)
    except UserError as error:
        return refused(error)
    assert len(session.events) <= len(events)
    return True
