"""Chats with the templates that real GGUF files carry, against the ids of transformers' `apply_chat_template`."""

from __future__ import annotations

import pytest

from llminspect.analysis.prompt import chat_prompt
from llminspect.files.gguf import GGUFFile
from llminspect.text.from_gguf import tokenizer_from_gguf
from llminspect.text.messages import ChatInput
from tools.vocabularies import folder

CHAT = ChatInput(
    [
        {"role": "user", "content": "  Hi\n"},
        {"role": "assistant", "content": "Hello!"},
        {"role": "user", "content": "2+2?"},
    ]
)
# Of transformers 5.24, with tokenizer.json files made of the same vocabularies and the flags of the published ones.
IDS = {
    "phi-3": "1 32010 6324 13 32007 32001 15043 29991 32007 32010 29871 29906 29974 29906 29973 32007 32001",
    "qwen2": "151644 8948 198 2610 525 264 10950 17847 151645 198 151644 872 198 220 21018 198 151645 198 151644 77091 "
    "198 9707 0 151645 198 151644 872 198 17 10 17 30 151645 198 151644 77091 198",
    "gemma-4": "2 105 2364 107 10979 106 107 105 4368 107 9259 236888 106 107 105 2364 107 236778 236862 236778 236881 "
    "106 107 105 4368 107 100 45518 107 101",
}


@pytest.mark.parametrize("name", IDS)
def test_chats_of_real_files(name: str) -> None:
    with GGUFFile(folder() / f"ggml-vocab-{name}.gguf") as file:
        tokenizer = tokenizer_from_gguf(file.metadata, name)
    assert chat_prompt(CHAT, tokenizer, None).ids == [int(token_id) for token_id in IDS[name].split()]
