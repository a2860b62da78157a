"""What lies in the cache, beside a model or in a file of the user's, and what the hub answers."""

from __future__ import annotations

import json
import math
import os
import time
import zlib
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from llminspect.errors import UserError
from llminspect.files import hashes, kept_header, prepared_file, sentence_modules, source
from llminspect.files.adapter import locate_adapter
from llminspect.files.quantized import opened
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
