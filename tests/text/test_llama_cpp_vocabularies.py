"""llama.cpp's own tests of tokenizers: real vocabularies, texts that try to break them, the ids that it recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from llminspect.files.gguf import GGUFFile
from llminspect.text.from_gguf import tokenizer_from_gguf
from tests.text.test_spans import check_tiles
from tools.vocabularies import NAMES, folder

if TYPE_CHECKING:
    from llminspect.text.tokenizer import Tokenizer


@pytest.fixture(scope="module", params=NAMES)
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    with GGUFFile(folder() / f"ggml-vocab-{request.param}.gguf") as file:
        return tokenizer_from_gguf(file.metadata, request.param)


def recorded(name: str) -> list[tuple[str, list[int]]]:
    path = folder() / f"ggml-vocab-{name}.gguf"
    texts = path.with_suffix(".gguf.inp").read_bytes().decode().split("\n__ggml_vocab_test__\n")
    ids = [[int(id_) for id_ in line.split()] for line in path.with_suffix(".gguf.out").read_text().splitlines()]
    assert len(ids) >= 46
    return list(zip(texts, ids, strict=False))  # The last separator may have nothing after it.


def test_ids_and_spans(tokenizer: Tokenizer) -> None:
    for text, ids in recorded(tokenizer.name):
        assert tokenizer.encode_ids(text) == ids, text
        assert [token.id for token in tokenizer.encode(text)] == ids
        assert len(ids) == tokenizer.count(text)
        check_tiles(tokenizer, text)
        if tokenizer.kind == "byte-level BPE":
            assert tokenizer.decode(ids) == text.encode()
