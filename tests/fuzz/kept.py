"""What lies in the cache, beside a model or in a file of the user's, and what the hub answers."""

from __future__ import annotations

import io
import json
import math
import os
import time
import zipfile
import zlib
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from llminspect.analysis import directions
from llminspect.analysis.prompt import chat_of_json
from llminspect.errors import UserError
from llminspect.files import hashes, hub_library, kept_header, npz, prepared_file, prices, sentence_modules, source
from llminspect.files.adapter import locate_adapter
from llminspect.files.quantized import opened
from llminspect.files.records import read_records
from llminspect.files.safetensors import SafetensorsFile
from tests.fuzz import mutate
from tests.fuzz.refusal import refused
from tests.fuzz.weights import changed_safetensors, right_safetensors

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from random import Random


def json_maker(*values: Any) -> Callable[[Random], bytes]:
    """Makes changed copies of JSON documents."""

    def made(random: Random) -> bytes:
        return mutate.json_bytes(random, mutate.changed_json(random, random.choice(values)))

    return made


def accepts(read: Callable[[], Any]) -> bool:
    """Whether it reads something; False for nothing and for one clear line."""
    try:
        return read() is not None
    except UserError as error:
        return refused(error)


# -- The cache ---------------------------------------------------------------------------------------------------------

STATE = "a" * 64


def changed_kept_header(random: Random) -> bytes:
    document = {
        "of": STATE,
        "version": 3,
        "metadata": {"a": ["text"], "b": ["q", 16], "c": ["\0", 5], "d": ["d", 8]},
        "tensors": [["w", [2, 3], "F32", 0, 24], ["v", [32], "Q8_0", 32, 34]],
    }
    text = mutate.json_bytes(random, mutate.changed_json(random, document) if random.random() < 0.9 else document)
    content = len(text).to_bytes(4, "little") + text + bytes(16) + b"ab\0cd" + bytes(8)
    return mutate.changed_bytes(random, content) if random.random() < 0.3 else content


def check_kept_header(folder: Path, content: bytes) -> bool:
    found = kept_header.unpacked(content, STATE, 1000)
    if found is None:
        return False
    version, metadata, tensors = found
    assert type(version) is int and all(type(key) is str for key in metadata)
    assert all(info.offset + info.nbytes <= 1000 for info in tensors.values())
    return True


HASH = {"sha256": "0" * 64, "of": "/models/a.gguf", "git": "0" * 40}


def check_hash(folder: Path, content: bytes) -> bool:
    place = folder / "record.json"
    place.write_bytes(content)
    record = hashes._record(place)
    assert record is None or (set(record) <= set(HASH) and all(type(value) is str for value in record.values()))
    return record is not None


PREPARED: dict[str, Any] = {
    "source": {"sha256": "0" * 64},
    "size": prepared_file.PAGE + 4096,
    "finished": 1_700_000_000,
    "arrays": [["w", [2, 3], prepared_file.PAGE, "0" * 16], ["v", [4], prepared_file.PAGE + 2048, "0" * 16]],
    "not_finite": [],
}


def changed_prepared(random: Random) -> bytes:
    """A file whose checksum is right, whatever its header says."""
    header = mutate.changed_json(random, PREPARED) if random.random() < 0.9 else PREPARED
    text = mutate.json_bytes(random, header)[: prepared_file.PAGE - prepared_file._FRONT.size]
    front = prepared_file._FRONT.pack(prepared_file.MAGIC, len(text), zlib.crc32(text), 0)
    content = (front + text).ljust(PREPARED["size"], b"\0")
    return mutate.changed_bytes(random, content) if random.random() < 0.1 else content


def check_prepared(folder: Path, content: bytes) -> bool:
    path = folder / "prepared"
    path.write_bytes(content)
    os.utime(path, ns=(time.time_ns(), PREPARED["finished"] * 10**9))
    found = prepared_file._read(path)
    if found is None:
        return False
    for array in found[1].values():
        assert array.dtype == np.float32 and array.nbytes <= len(content)
        float(array.sum())
    return True


# -- Beside a model ----------------------------------------------------------------------------------------------------


def check_json(folder: Path, content: bytes) -> bool:
    path = folder / "any.json"
    path.write_bytes(content)
    try:
        assert isinstance(source.read_json(path), dict)
    except UserError as error:
        return refused(error)
    return True


MODULES = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
]


def check_modules(folder: Path, content: bytes) -> bool:
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling/config.json").write_text('{"word_embedding_dimension": 8, "pooling_mode_mean_tokens": true}')
    (folder / sentence_modules.MODULES).write_bytes(content)
    return accepts(lambda: sentence_modules.read_modules(folder))


ADAPTER = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj"], "bias": "none"}


def changed_adapter(random: Random) -> bytes:
    """The configuration in front, the weights after a mark."""
    config = json_maker(ADAPTER)(random) if random.random() < 0.6 else json.dumps(ADAPTER).encode()
    weights = changed_safetensors(random) if random.random() < 0.6 else right_safetensors()[-1]
    return config + b"\n--\n" + weights


def check_adapter(folder: Path, content: bytes) -> bool:
    place = folder / "adapter"
    place.mkdir(exist_ok=True)
    config, _, weights = content.partition(b"\n--\n")
    (place / "adapter_config.json").write_bytes(config)
    (place / "adapter_model.safetensors").write_bytes(weights)

    def read() -> Any:
        found = locate_adapter(str(place))
        found.weights.close()
        return found

    return accepts(read)


QUANTIZED: list[dict[str, Any]] = [
    {"quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 8, "desc_act": False, "sym": True}},
    {"quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 8, "version": "gemm", "zero_point": True}},
    {"quantization_config": {"quant_method": "fp8", "weight_block_size": [8, 8], "activation_scheme": "dynamic"}},
    {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}},
    {"quantization": {"bits": 4, "group_size": 32}},
    {},
]


@cache
def _packed_weights() -> bytes:
    """Arrays of every form that the kinds keep theirs in: which are whole is for the reader to say."""
    header: dict[str, Any] = {}
    position = 0
    stored = {"qweight": ("I32", [8, 8]), "qzeros": ("I32", [8, 1]), "scales": ("F16", [8, 8]), "g_idx": ("I32", [64])}
    stored |= {"weight": ("F8_E4M3", [8, 8]), "weight_scale_inv": ("F32", [1, 1]), "weight_scale": ("F32", [1])}
    stored |= {"weight.absmax": ("F32", [1]), "weight.quant_map": ("F32", [16]), "biases": ("F16", [8, 8])}
    for name, (kind, shape) in stored.items():
        width = {"I32": 4, "F16": 2, "F32": 4, "F8_E4M3": 1}[kind]
        end = position + math.prod(shape) * width
        header[f"model.layers.0.mlp.up_proj.{name}"] = {"dtype": kind, "shape": shape, "data_offsets": [position, end]}
        position = end
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(position)


def check_quantized(folder: Path, content: bytes) -> bool:
    path = folder / "packed.safetensors"
    path.write_bytes(_packed_weights())
    (folder / "config.json").write_bytes(content)
    try:
        file = SafetensorsFile(path)
        try:
            whole = opened(file, source.read_json(folder / "config.json"))
            for name in whole.tensors:
                whole.array(name)
        finally:
            file.close()
    except UserError as error:
        return refused(error)
    return True


# -- Files of the user's, and the hub ----------------------------------------------------------------------------------

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
    records: list[Any] = [{"text": "A cat", "label": "animal"}, {"text": "é", "label": 1, "more": [1, None]}]
    lines = [mutate.json_bytes(random, mutate.changed_json(random, random.choice(records))) for _ in range(2)]
    return random.choice((b"\n", b"\r\n", b"\n\n", b"")).join([*lines, json.dumps(records[0]).encode()])


def check_records(folder: Path, content: bytes) -> bool:
    path = folder / "records.jsonl"
    path.write_bytes(content)
    try:
        records = read_records(path)
    except UserError as error:
        return refused(error)
    assert records and all(isinstance(record, dict) for record in records)
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
        {"rfilename": "config.json", "size": 10, "blob_id": "1" * 40, "lfs": None},
        {"rfilename": "model.safetensors", "size": 1 << 30, "blob_id": "2" * 40, "lfs": {"sha256": "3" * 64}},
    ],
}


def check_listing(folder: Path, content: bytes) -> bool:
    """What the hub's library makes of an answer, whose members it sets as they come."""
    try:
        answer = json.loads(content, object_hook=lambda members: SimpleNamespace(**members))
    except (ValueError, RecursionError, TypeError):
        return False
    try:
        commit, listed = hub_library._listed(answer, "org/name")
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
