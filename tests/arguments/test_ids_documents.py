"""JSON that is given as ids: a key that stands twice is refused, since only one of its values could count."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Program


@pytest.mark.parametrize(
    "document",
    [
        '{"ids": [0, 1], "ids": [2]}',
        '{"command": "encode", "ids": [0], "command": "tokenize"}',
        '{"tokens": [{"id": 0, "id": 1}]}',
    ],
)
def test_a_key_that_stands_twice_is_refused(document: str, called: Program) -> None:
    ran = called("forward", "--ids", "-", "--model", "toy", stdin=document)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert "twice" in ran.err


def test_a_document_of_encode_is_read(called: Program) -> None:
    document = called("encode", "hello world", "--model", "toy", "--json").out
    assert len(json.loads(document)["ids"]) == 2
    assert called("forward", "--ids", "-", "--model", "toy", stdin=document).code == 0
