"""The readers of strangers' files: how to make an input for each, and what must hold whatever the input is.

`check(folder, content)` gives True where the input is accepted and False where it is refused in one clear line.
Anything else that it raises is a finding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

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
}
