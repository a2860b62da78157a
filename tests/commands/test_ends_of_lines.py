"""No line that a command prints for a person ends in spaces: they break what is copied, and show in a comparison."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import pytest

from llminspect import commands

if TYPE_CHECKING:
    from tests.conftest import Program

COMMANDS = [
    *("attend 'A cat sat.' -m toy-attention", "attend 'A cat sat.' --query cat -m toy-attention", "cache", "help"),
    *("attend --ids 5,6,7,8 -m tests/golden/llama", "attend --ids 5,6,7 --query 2 --steps -m tests/golden/llama"),
    *("attend --ids 5,6,7 --layer 1 --head 0 -m tests/golden/llama", "diff hello --against world -m toy", "help head"),
    *("embed 'hello world' -m toy", "embed --ids 5,6,7,8 --nearest 3 -m tests/golden/llama", "schema encode"),
    *("encode 'hello world' -m toy", "encode 'hello world' --one-hot -m toy", "forward world -m toy"),
    *("forward --ids 5,6 -m tests/golden/llama", "forward --ids 5,6 --trace -m tests/golden/llama"),
    *("forward --ids 5,6 --lens --all -m tests/golden/llama", "forward --ids 5,6 --attribution -m tests/golden/llama"),
    *("forward hello -m toy-relu", "forward --ids 5,6 --layer 1 -m tests/golden/llama", "generate hello -m toy"),
    *("generate hello --tree 2 --max-tokens 2 -m toy", "head 1.0 -m tests/golden/llama", "info toy", "models"),
    *("info tests/golden/llama --tensors", "models --kinds", "models --picture sizes", "neuron 0.2 -m toy-relu"),
    *("neuron 1.3 -m tests/golden/llama", "tokenize 'naïve  café' -m bytes", "tokenize 'a b' --compare bytes"),
    *("tokenize hello --steps -m cl100k_base", "tokenize hello --count -m bytes", "verify tests/golden/llama"),
    *("walk 'A cat sat.' --no-pause", *(f"{name} --help" for name in ["", *commands.names()])),
]


@pytest.mark.parametrize("columns", ["44", "100"])
@pytest.mark.parametrize("line", COMMANDS)
def test_no_line_ends_in_spaces(called: Program, line: str, columns: str) -> None:
    ran = called(*shlex.split(line), COLUMNS=columns)
    assert ran.code == 0, ran.err
    assert not re.search(r" +$", ran.out + ran.err, re.M)
