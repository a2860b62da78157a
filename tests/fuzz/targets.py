"""The readers of strangers' files: how to make an input for each, and what must hold whatever the input is.

`check(folder, content)` gives True where the input is accepted and False where it is refused in one clear line.
Anything else that it raises is a finding.
"""

from __future__ import annotations

import json
import math
import shutil
import struct
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from llminspect.arguments.ranges import parse_ids
from llminspect.errors import UserError
from llminspect.files.folder import open_safetensors
from llminspect.files.gguf import GGUFFile
from llminspect.files.safetensors import SafetensorsFile
from llminspect.files.weights import DECODABLE
from llminspect.opening import describe_model, open_model, tokenizer_of
from llminspect.text import chat_template
from llminspect.text.from_huggingface import tokenizer_from_files
from tests.fuzz import mutate, samples

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from random import Random

    from llminspect.files.weights import WeightFile
    from llminspect.text.tokenizer import Tokenizer

MOST_WEIGHTS = 200_000
"""Of an accepted model, for a pass through it: those that a few changes made larger take too long."""
LONGEST_LINE = 2000


class Target(NamedTuple):
    make: Callable[[Random], bytes]
    check: Callable[[Path, bytes], bool]


def refused(error: UserError) -> bool:
    """False, after a look at the line that a person would read."""
    text = f"{error.message} {error.hint or ''}"
    assert error.message.strip(), "an empty message"
    assert len(text) < LONGEST_LINE, f"a message of {len(text)} characters: {text[:300]}"
    return False


# -- Weights -----------------------------------------------------------------------------------------------------------


def read_all(file: WeightFile, size: int) -> None:
    for name, info in file.tensors.items():
        assert info.offset + info.nbytes <= size
        if info.type in DECODABLE:
            array = file.array(name)
            assert array.shape == info.shape
            assert array.dtype == np.float32
            if info.shape and info.shape[0]:
                assert file.rows(name, 0, 1).shape == (1, *info.shape[1:])


def check_gguf(folder: Path, content: bytes) -> bool:
    """The file alone: header and tensors."""
    path = folder / "model.gguf"
    path.write_bytes(content)
    try:
        with GGUFFile(path) as file:
            read_all(file, len(content))
    except UserError as error:
        return refused(error)
    return True


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


def changed_gguf(random: Random) -> bytes:
    return mutate.changed_gguf(random, random.choice(samples.gguf_files()))


@cache
def _right_safetensors() -> list[bytes]:
    found = [path.read_bytes()[:4096] for path in sorted(samples.GOLDEN.glob("*/model.safetensors"))[:1]]
    header = {
        "__metadata__": {"format": "pt"},
        "w": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
        "v": {"dtype": "BF16", "shape": [4], "data_offsets": [24, 32]},
        "e": {"dtype": "F16", "shape": [0, 4], "data_offsets": [32, 32]},
        "s": {"dtype": "I64", "shape": [], "data_offsets": [32, 40]},
    }
    text = json.dumps(header).encode()
    return [*found, struct.pack("<Q", len(text)) + text + bytes(range(40))]


BITS = {"F64": 64, "F32": 32, "F16": 16, "BF16": 16, "I64": 64, "I32": 32, "I16": 16, "I8": 8, "U64": 64, "U32": 32}
BITS |= {"U16": 16, "U8": 8, "BOOL": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F4": 4, "C64": 64}


def built_safetensors(random: Random) -> bytes:
    """A file of other tensors than the samples', all of it in order (but for halves of bytes, and a name twice)."""
    header: dict[str, Any] = {}
    position = 0
    for _ in range(random.randrange(6)):
        dtype, shape = random.choice(list(BITS)), random.choices((0, 1, 2, 3, 4), k=random.randrange(4))
        end = position + math.prod(shape) * BITS[dtype] // 8
        header[random.choice(mutate.STRINGS)] = {"dtype": dtype, "shape": shape, "data_offsets": [position, end]}
        position = end
    if random.random() < 0.3:
        header["__metadata__"] = {random.choice(mutate.STRINGS): random.choice(mutate.STRINGS)}
    text = json.dumps(header, ensure_ascii=random.random() < 0.5).encode("utf-8", "surrogatepass")
    text += b" " * random.choice((0, 0, -len(text) % 8, 9))
    return struct.pack("<Q", len(text)) + text + bytes(position)


def changed_safetensors(random: Random) -> bytes:
    kind = random.random()
    if kind < 0.4:
        built = built_safetensors(random)
        return built if kind < 0.2 else mutate.changed_bytes(random, built)
    content = random.choice(_right_safetensors())
    if kind < 0.6:
        return mutate.changed_bytes(random, content)
    content = _right_safetensors()[-1]
    (length,) = struct.unpack_from("<Q", content)
    header = mutate.changed_json(random, json.loads(content[8 : 8 + length]))
    text = mutate.json_bytes(random, header)
    stated = len(text) if random.random() < 0.95 else mutate.edge(random)
    return struct.pack("<Q", stated) + text + content[8 + length :][: random.choice((40, 40, 40, 39, 0))]


def check_safetensors(folder: Path, content: bytes) -> bool:
    """One file; never more is accepted than the `safetensors` package accepts."""
    import safetensors

    path = folder / "model.safetensors"
    path.write_bytes(content)
    try:
        file = SafetensorsFile(path)
        read_all(file, len(content))
        file.close()
    except UserError as error:
        return refused(error)
    safetensors.deserialize(content)  # type: ignore[no-untyped-call]
    return True


INDEX = {
    "metadata": {"total_size": 64},
    "weight_map": {"w": "a.safetensors", "v": "a.safetensors", "x": "b.safetensors"},
}


def changed_index(random: Random) -> bytes:
    names = ["a.safetensors", "../a.safetensors", "/etc/passwd", "b.safetensors", "c.safetensors", "a\0.safetensors"]
    index = mutate.changed_json(random, INDEX)
    if random.random() < 0.3 and isinstance(index.get("weight_map"), dict):
        index["weight_map"][random.choice(("w", "y"))] = random.choice(names)
    return mutate.json_bytes(random, index)


def check_index(folder: Path, content: bytes) -> bool:
    """A folder of two shards and an index."""
    if not (folder / "b.safetensors").exists():
        whole = _right_safetensors()[-1]
        (folder / "a.safetensors").write_bytes(whole)
        text = json.dumps({"x": {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]}}).encode()
        (folder / "b.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + b"ab")
    (folder / "model.safetensors").unlink(missing_ok=True)
    (folder / "model.safetensors.index.json").write_bytes(content)
    try:
        file = open_safetensors(folder)
        for name in file.tensors:
            file.array(name)
        file.close()
    except UserError as error:
        return refused(error)
    return True


# -- Configurations and tokenizers -------------------------------------------------------------------------------------


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


# -- What is executed, and what is piped in ----------------------------------------------------------------------------

PIECES = """
{% for message in messages %} {% endfor %} {% for i in range(1000000) %} {% if true %} {% endif %} {% else %}
{% set x = messages[0].content %} {% set x = x ~ x %} {% set x = x * 9999999 %} {% macro f(n) %} {% endmacro %}
{{ f(1) }} {{ x }} {{ f.__globals__ }} {{ ''.__class__.__mro__[1].__subclasses__() }} {{ messages.append(1) }}
{{ x | length }} {{ x | replace('a', x) }} {{ '%999999999d' % 1 }} {{ x | center(999999999) }} {{ x | list | join(x) }}
{{ cycler.__init__.__globals__ }} {{ namespace(a=x) }} {{ lipsum(9999) }} {{ raise_exception('\x1b[2J') }} {{ 9**9**9 }}
{{ messages | tojson(indent=99999999) }} {{ dict(a=1) | xmlattr }} {% include 'x' %} {% import 'os' as os %} {{ self }}
{{ joiner()._module }} {{ messages | map(attribute='__class__') | list }} {{ range(99999999) | sum }} {{ x.format(x) }}
{{ '{:>99999999}'.format(1) }} {{ '{0.__class__}'.format(x) }} {{ x | batch(99999999, 'a') | list }} {{ x | slice(9) }}
{% generation %} {% endgeneration %} {% break %} {% continue %} {{ strftime_now('%Y') }} {{ x | pprint }} {{ 1 / 0 }}
{{ x | wordwrap(1) }} {{ x | urlize }} {{ x | groupby('a') }} {{ loop.index }} {{- x -}} {{ messages[9] }} {# # {{ }} {%
""".split("\n")


def made_template(random: Random) -> bytes:
    if random.random() < 0.3:
        return mutate.changed_bytes(random, samples.CHAT.encode())
    pieces = [piece for line in PIECES for piece in _templates(line)]
    return "".join(random.choice(pieces) for _ in range(random.randint(1, 12))).encode()


@cache
def _templates(line: str) -> list[str]:
    return [part.strip() + close for open_ in ("}}", "%}") for part in line.split(open_) if (close := open_)]


def check_template(folder: Path, content: bytes) -> bool:
    messages = [{"role": "user", "content": "abc"}]
    try:
        text = chat_template.render_template(content.decode("utf-8", "surrogateescape"), {"messages": messages})
    except UserError as error:
        return refused(error)
    assert len(text) <= chat_template.LARGEST + len("userabc")
    return True


def made_ids(random: Random) -> bytes:
    if random.random() < 0.5:
        return mutate.changed_bytes(random, b"1, 2 3,4444")
    document = {"schema": 1, "ids": [1, 2, 3], "tokens": [{"id": 1, "text": "a"}]}
    return mutate.json_bytes(random, mutate.changed_json(random, document))


def check_ids(folder: Path, content: bytes) -> bool:
    try:
        ids = parse_ids(content.decode("utf-8", "surrogateescape"))
    except UserError as error:
        return refused(error)
    assert all(type(i) is int and i >= 0 for i in ids)
    return True


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
