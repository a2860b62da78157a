"""The readers of strangers' files: how to make an input for each, and what must hold whatever the input is.

`check(folder, content)` gives True where the input is accepted and False where it is refused in one clear line.
Anything else that it raises is a finding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tests.fuzz import dictionaries, given, kept, means
from tests.fuzz.executed import check_ids, check_template, made_ids, made_template
from tests.fuzz.opened import changed_config, changed_tokenizer, check_config, check_gguf_model, check_tokenizer
from tests.fuzz.weights import (
    changed_gguf,
    changed_index,
    changed_safetensors,
    check_gguf,
    check_index,
    check_safetensors,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from random import Random


class Target(NamedTuple):
    make: Callable[[Random], bytes]
    check: Callable[[Path, bytes], bool]


TARGETS = {
    "gguf": Target(changed_gguf, check_gguf),
    "gguf-model": Target(changed_gguf, check_gguf_model),
    "safetensors": Target(changed_safetensors, check_safetensors),
    "index": Target(changed_index, check_index),
    "config": Target(changed_config, check_config),
    "tokenizer": Target(changed_tokenizer, check_tokenizer),
    "template": Target(made_template, check_template),
    "ids": Target(made_ids, check_ids),
    "messages": Target(kept.json_maker(*given.MESSAGES), given.check_messages),
    "json": Target(kept.json_maker(kept.ADAPTER, given.PRICES, *kept.QUANTIZED), kept.check_json),
    "modules": Target(kept.json_maker(kept.MODULES), kept.check_modules),
    "adapter": Target(kept.changed_adapter, kept.check_adapter),
    "quantized": Target(kept.json_maker(*kept.QUANTIZED), kept.check_quantized),
    "prices": Target(kept.json_maker(given.PRICES), given.check_prices),
    "archive": Target(given.changed_archive, given.check_archive),
    "listing": Target(kept.json_maker(given.LISTING), given.check_listing),
    "hash": Target(kept.json_maker(kept.HASH), kept.check_hash),
    "header": Target(kept.changed_kept_header, kept.check_kept_header),
    "records": Target(given.changed_records, given.check_records),
    "directions": Target(given.changed_directions, given.check_directions),
    "prepared": Target(kept.changed_prepared, kept.check_prepared),
    "means": Target(means.changed_means, means.check_means),
    "session": Target(kept.json_maker(given.SESSION), given.check_session),
    "lens": Target(dictionaries.changed_lens, dictionaries.check_lens),
    "dictionary": Target(dictionaries.changed_dictionary, dictionaries.check_dictionary),
}

READERS = {
    ("model/describing.py", "describe"): "config",
    ("text/chat_template.py", "render_template"): "template",
    ("text/from_huggingface.py", "tokenizer_from_files"): "tokenizer",
    ("text/from_gguf.py", "tokenizer_from_gguf"): "gguf-model",
    ("arguments/ranges.py", "parse_ids"): "ids",
    ("files/quantized/__init__.py", "opened"): "quantized",
    ("files/prepared_file.py", "_read"): "prepared",
    ("files/sentence_modules.py", "read_modules"): "modules",
    ("files/source.py", "read_json"): "json",
    ("files/hashes.py", "_record"): "hash",
    ("files/gguf.py", "_read_header"): "gguf",
    ("files/prices.py", "price_table"): "prices",
    ("files/hub_library.py", "_listed"): "listing",
    ("files/safetensors.py", "_read_header"): "safetensors",
    ("files/kept_header.py", "unpacked"): "header",
    ("files/npz.py", "read_arrays"): "archive",
    ("files/adapter.py", "locate_adapter"): "adapter",
    ("files/folder.py", "shard_names"): "index",
    ("analysis/prompt.py", "chat_of_json"): "messages",
    ("files/source.py", "read_records"): "records",
    ("analysis/explore/session.py", "read_session"): "session",
    ("analysis/directions.py", "_read"): "directions",
    ("analysis/ablation.py", "_read"): "means",
    ("files/dictionaries.py", "read_dictionary"): "dictionary",
    ("files/dictionaries.py", "read_tuned_lens"): "lens",
    ("files/torch_archive.py", "read_tensors"): "lens",
    ("model/dictionary_files.py", "dictionary_of"): "dictionary",
}
"""Every function of the package that is marked as a `reader`, by file and name, and the target that it is tried by."""
