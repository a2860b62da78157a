"""A GGUF file of a golden model, made as llama.cpp's converter makes it: names, keys, changes to the weights.

The names of tensors come from the `gguf` package, not from our tables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gguf
import numpy as np

from llminspect.files.folder import open_safetensors
from tests.model.gguf_of.keys import written_keys
from tests.model.gguf_of.kinds import KINDS, UNSAID, WITH_HEADS
from tests.model.gguf_of.rotation import divisors
from tests.model.gguf_of.tensors import changed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.model.golden import Golden

__all__ = ["KINDS", "UNSAID", "WITH_HEADS", "changed", "write"]


def write(golden: Golden, path: Path, more: Callable[[Any], None] = lambda writer: None) -> None:
    """`more` adds keys of its own."""
    config, kind = golden.config(), (KINDS | WITH_HEADS)[golden.name]
    file = open_safetensors(golden.folder)
    arrays = {name: file.array(name) for name in file.tensors}
    if "text_config" in config:
        config = {**config["text_config"], "model_type": config["model_type"]}
        arrays = {name.replace("language_model.", ""): arrays[name] for name in arrays if "visual." not in name}
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[kind])
    for key, value in written_keys(config).items():
        getattr(writer, f"add_{key}")(value)
    more(writer)
    writer.add_token_list([f"<{index}>" for index in range(config["vocab_size"])])
    # llama.cpp has no Qwen 3 mixture with layers without experts, as the golden one has.
    plain = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN3, 8)
    names = gguf.get_tensor_name_map(kind, config.get("num_hidden_layers") or config.get("n_layer") or 8)
    for name, array in changed(config, arrays):
        in_file = next(
            found
            for table in (names, plain)
            if (found := name if name.startswith("blk.") else table.get_name(name, try_suffixes=(".weight", ".bias")))
        )
        writer.add_tensor(in_file, np.ascontiguousarray(array, dtype=np.float32))
    for in_file, array in divisors(config):
        writer.add_tensor(in_file, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
