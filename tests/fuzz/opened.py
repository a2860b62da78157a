"""What a user opens: configurations, tokenizers, whole models, and what each is used for."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np

from llminspect.errors import UserError
from llminspect.opening import describe_model, open_model, tokenizer_of
from llminspect.text.from_huggingface import tokenizer_from_files
from tests.fuzz import mutate, samples

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

    from llminspect.text.tokenizer import Tokenizer
from tests.fuzz.refusal import refused

MOST_WEIGHTS = 200_000
"""Of an accepted model, for a pass through it: those that a few changes made larger take too long."""


def check_gguf_model(folder: Path, content: bytes) -> bool:
    """What a user opens: header, configuration, tensors by name, tokenizer, and a pass through what was accepted."""
    path = folder / "model.gguf"
    path.write_bytes(content)
    return _model(str(path))


def _model(name: str) -> bool:
    try:
        description = describe_model(name, offline=True)
        sizes = description.config.sizes
        tokenizer = tokenizer_of(description)
        ids = [0, sizes.V - 1]
        if tokenizer is not None:
            ids = [i for i in use(tokenizer) if i < sizes.V] or ids
        located = description.located
        assert located is not None
        assert located.weights is not None
        weights = sum(info.size for info in located.weights.tensors.values())
        if weights <= MOST_WEIGHTS:
            model = open_model(name, offline=True, streamed=True)
            with np.errstate(all="ignore"):
                logits = model.logits(model.run(ids[: min(sizes.context, 4)]).stream_TD)
            assert logits.shape == (min(len(ids), sizes.context, 4), sizes.V)
    except UserError as error:
        return refused(error)
    return True


def changed_config(random: Random) -> bytes:
    """The name of a golden model, and a changed configuration for its weights."""
    name, config = random.choice(samples.configs())
    return name.encode() + b"\n" + mutate.json_bytes(random, mutate.changed_json(random, config))


def check_config(folder: Path, content: bytes) -> bool:
    name, _, config = content.partition(b"\n")
    place = folder / name.decode()
    if not place.exists():
        place.mkdir()
        for path in (samples.GOLDEN / name.decode()).glob("*.safetensors*"):
            shutil.copy(path, place)
    (place / "config.json").write_bytes(config)
    return _model(str(place))


def use(tokenizer: Tokenizer) -> list[int]:
    """Everything that a command does with a tokenizer; the ids of a text."""
    tokens = tokenizer.wrap(tokenizer.encode(samples.TEXT, "text"))
    ids = [token.id for token in tokenizer.encode(samples.TEXT, "special")]
    for token in tokens:
        assert 0 <= token.id < max(tokenizer.vocabulary_size, 1), f"id {token.id} of {tokenizer.vocabulary_size}"
        assert isinstance(token.text, str)
        if token.start is not None:
            assert 0 <= token.start <= token.end  # type: ignore[operator]
    assert tokenizer.encode_ids(samples.TEXT) == [token.id for token in tokenizer.encode(samples.TEXT)]
    assert isinstance(tokenizer.decode(ids), bytes)
    for token_id in {0, tokenizer.vocabulary_size - 1, *tokenizer.special_tokens.values()}:
        try:
            tokenizer.token_bytes(token_id)
        except UserError as error:
            refused(error)
    return [token.id for token in tokens]


def changed_tokenizer(random: Random) -> bytes:
    """A JSON object of the tokenizer's files by name; a text stands for a file that is not whole JSON."""
    files: dict[str, Any] = {
        "tokenizer.json": random.choice(samples.tokenizer_files()),
        "tokenizer_config.json": samples.TOKENIZER_CONFIG,
    }
    kind = random.random()
    if kind < 0.15:
        del files["tokenizer.json"]
        vocabulary = {"H": 0, "e": 1, "He": 2, "<s>": 3, "</s>": 4, "Ġ": 5}
        files |= {"vocab.json": vocabulary, "merges.txt": "#version: 0.2\nH e\n"}
    elif kind < 0.25:
        del files["tokenizer.json"]
        files |= {"vocab.txt": "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nhello\n##lo\na\n"}
    changed = random.choice(sorted(files))
    value = files[changed]
    if isinstance(value, str):
        files[changed] = mutate.changed_bytes(random, value.encode()).decode("latin-1")
    else:
        data = mutate.json_bytes(random, mutate.changed_json(random, value))
        files[changed] = data.decode("latin-1")
    return json.dumps(files).encode()


def check_tokenizer(folder: Path, content: bytes) -> bool:
    files = json.loads(content)
    data = {
        name: value.encode("latin-1") if isinstance(value, str) else json.dumps(value).encode()
        for name, value in files.items()
    }
    try:
        use(tokenizer_from_files(data))
    except UserError as error:
        return refused(error)
    return True
