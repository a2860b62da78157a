"""GGUF vocabularies that do not say which of their tokens begin and end a text."""

from __future__ import annotations

from typing import Any

import pytest

from llminspect.text.from_gguf import tokenizer_from_gguf


@pytest.mark.parametrize(
    ("kind", "normal", "prefix", "suffix", "unknown"),
    [
        ("llama", (), (1,), (), 0),
        ("llama", (1,), (), (), 0),
        ("t5", (), (), (1,), 2),
        ("bert", (), (101,), (102,), 100),
        ("bert", (101, 102), (), (), 100),
    ],
)
def test_ids_that_a_file_leaves_out_are_those_that_llama_cpp_assumes(
    kind: str, normal: tuple[int, ...], prefix: tuple[int, ...], suffix: tuple[int, ...], unknown: int
) -> None:
    """As its own code has it for ggml-vocab-llama-spm, -phi-3 and -bert-bge without these keys."""
    tokens = ["[UNK]" if i == 100 else f"▁{i}" for i in range(110)]
    special = {"llama": (0, 1, 2), "t5": (0, 1, 2), "bert": (100, 101, 102)}[kind]
    metadata: dict[str, Any] = {
        "tokenizer.ggml.model": kind,
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": [-1.0] * len(tokens),
        "tokenizer.ggml.token_type": [3 if i in special and i not in normal else 1 for i in range(len(tokens))],
    }
    made = tokenizer_from_gguf(metadata)
    assert (made.prefix_ids, made.suffix_ids, made.unknown_id) == (prefix, suffix, unknown)
    stated = {f"tokenizer.ggml.{'cls' if kind == 'bert' else 'bos'}_token_id": 7, "tokenizer.ggml.add_bos_token": True}
    assert tokenizer_from_gguf({**metadata, **stated}).prefix_ids == (7,)
