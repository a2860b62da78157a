"""ByT5's tokenizer: the ids are those of transformers' `ByT5Tokenizer`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from llminspect.errors import ModelError
from llminspect.text.from_huggingface import can_be_read, tokenizer_from_files

if TYPE_CHECKING:
    from llminspect.text.tokenizer import Tokenizer

IDS = {
    "héy <extra_id_0></s>x": [107, 198, 172, 124, 35, 259, 1, 123],
    "a </s> b <extra_id_1> c": [100, 1, 101, 35, 260, 35, 102],
}


def made(**settings: object) -> Tokenizer:
    return tokenizer_from_files({"tokenizer_config.json": json.dumps(settings).encode()})


@pytest.mark.parametrize("text", IDS)
def test_ids_are_bytes_and_three(text: str) -> None:
    tokenizer = made(tokenizer_class="ByT5Tokenizer", extra_ids=0)  # As transformers writes it.
    assert [token.id for token in tokenizer.encode(text, "special")] == IDS[text]
    assert (tokenizer.vocabulary_size, tokenizer.suffix_ids, tokenizer.eos_ids) == (384, (1,), frozenset({1}))
    assert b"".join(map(tokenizer.token_bytes, IDS["héy <extra_id_0></s>x"][:6])) == "héy <extra_id_0>".encode()
    with pytest.raises(Exception, match="outside"):
        tokenizer.token_bytes(384)


def test_settings_alone_are_no_other_tokenizer() -> None:
    assert not can_be_read({"tokenizer_config.json": b'{"tokenizer_class": "T5Tokenizer"}'})
    with pytest.raises(ModelError, match="extra_ids"):
        made(tokenizer_class="ByT5Tokenizer", extra_ids=-1)
