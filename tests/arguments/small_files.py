"""A small model and the files that options name, for tests that run thousands of command lines."""

from __future__ import annotations

import itertools
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.fuzz.samples import llama, vocabulary

if TYPE_CHECKING:
    from collections.abc import Callable


LENS = Path(__file__).parent.parent / "golden" / "tuned-lens" / "small"
DICTIONARY = Path(__file__).parent.parent / "golden" / "dictionaries" / "sparsify" / "layers.1"
"""Of vectors as wide as the model's."""


def small_files(folder: Path) -> Path:
    """Write them there: a llama of two layers with random weights and a tokenizer, a text, a corpus, records."""
    tokenizer = vocabulary("llama", ["▁b", "▁H"])
    model = llama(tokenizer, len(dict(tokenizer)["tokenizer.ggml.tokens"]), layers=2)
    draw = np.random.default_rng(3)
    model.tensors = [
        replace(tensor, data=draw.normal(0, 0.6, len(tensor.data) // 4).astype("<f4").tobytes())
        for tensor in model.tensors
    ]
    (folder / "small.gguf").write_bytes(model.build())
    (folder / "text").write_text("b a<s>\n")
    (folder / "ways").write_text("b\nH\n")
    (folder / "corpus").write_text("b a H b b H H a " * 20)
    texts = [" ".join(words) for words in itertools.product("bHa", repeat=3)]
    records = [{"text": text, "label": at * at % 7 % 2} for at, text in enumerate(texts)]
    (folder / "labels").write_text("".join(json.dumps(record) + "\n" for record in records))
    (folder / "records").write_text('{"text": "a b a H<s>"}\n{"text": "b b a H<s>"}\n')
    pairs = [{"clean": "b e b", "corrupt": "b h b", "target": "#5"}, {"clean": "a b", "corrupt": "a H", "target": "#7"}]
    (folder / "pairs").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    (folder / "tools").write_text('[{"name": "f"}]')
    shutil.copytree(DICTIONARY, folder / "layers.1")
    shutil.copytree(LENS, folder / "lens")
    return folder


def once(make: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which makes a thing once of each file and way."""
    made: dict[Any, Any] = {}

    def kept(what: Any, *how: Any, **named: Any) -> Any:
        key = getattr(what, "located", what).path, *(entry for entry in how if not callable(entry)), *named.items()
        if key not in made:
            made[key] = make(what, *how, **named)
        return made[key]

    return kept
