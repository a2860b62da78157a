"""What every command writes fits the JSON Schema that `llminspect schema` prints for it, with no key unlisted."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import jsonschema
import orjson
import pytest

from llminspect.__main__ import run
from llminspect.commands import names as command_names
from llminspect.commands.schema import results_of_commands
from llminspect.commands.schema import schema as command_schema

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

BOB = "Alice gave Bob her book"
INVOCATIONS: dict[str, list[list[str]]] = {
    "tokenize": [
        [BOB],
        ["hello world!", "--model", "toy"],
        [BOB, "--count"],
        ["a ዪ <|im_end|>", "--parse", "special", "--cost", "$2"],
        [BOB, "--compare", "gpt2", "--compare", "letters", "--max-tokens-allowed", "99"],
        [BOB, "--chat", "--truncate", "40"],
        [BOB, "--steps"],
    ],
    "encode": [[BOB], ["HI", "--letters", "--one-hot"], ["--decode", "--ids", "7356"], ["--search", "*zation"]],
    "embed": [
        ["world", "--model", "toy"],
        [" king", "--nearest", "3"],
        ["--analogy", "king - man + woman"],
        ["hello world", "--model", "toy", "--similarity"],
        [BOB, "--project", "pca", "--digits", "3"],
        [BOB, "--at", "final", "--pool", "mean"],
    ],
    "attend": [
        ["A cat sat.", "--model", "toy-attention"],
        ["A cat sat.", "--model", "toy-attention", "--query", "cat"],
        [BOB, "--layer", "0,3-4", "--head", "2"],
    ],
    "forward": [
        ["world", "--model", "toy"],
        [BOB, "--top", "3"],
        ["world", "--model", "toy", "--trace"],
        [BOB, "--lens", "--target", " of", "--all", "--attribution", "--versus", " and", "--saliency", "--top", "2"],
        [BOB, "--ablate", "3.2", "--ablate-with", "mean", "--scale", "4.attention*2", "--steer", "London - Paris@10"],
        ["hello", "--model", "toy", "--patch", "world"],
        ["hello", "--model", "toy", "--patch", "world", "--into", "0.stream"],
        ["hello world", "--model", "toy", "--surprise"],
    ],
    "walk": [["A cat sat."]],
    "explore": [["A cat sat.", "--model", "toy-attention"]],
    "diff": [
        ["hello", "--model", "toy", "--against", "world"],
        ["hello", "--against-model", "toy"],
        ["A cat sat", "--model", "toy-attention", "--against-model", "toy-attention"],
        ["--model", "toy-attention", "--against-model", "toy-attention", "--weights"],
    ],
    "generate": [
        ["hello", "--model", "toy", "--max-tokens", "2"],
        ["The capital of France is", "--max-tokens", "3", "--alternatives", "2"],
        ["hello", "--model", "toy", "--max-tokens", "2", "--steps"],
        ["hello", "--model", "toy", "--max-tokens", "2", "--beams", "2"],
        ["hello", "--model", "toy", "--max-tokens", "2", "--n", "2", "--temperature", "1", "--seed", "1"],
        ["hello", "--model", "toy", "--max-tokens", "2", "--tree", "2"],
        ["hello", "--model", "toy", "--max-tokens", "2", "--ablate", "0.feedforward"],
        ["hello", "--model", "toy", "--max-tokens", "2", "--patch", "world", "--into", "0.stream"],
        ["hello", "--model", "toy", "--max-tokens", "2", "--steer", "world@0*0.5"],
    ],
    "models": [[], ["--kinds"]],
    "pull": [["smollm2", "--offline"]],
    "info": [["toy"], ["smollm2"], ["o200k_base"]],
    "verify": [["toy"], ["toy-attention", "--ids", "0,1"]],
    "cache": [[]],
    "schema": [[]],
    "help": [[], ["logit"], ["head"], ["forward"]],
}
MISTAKES = [
    ["info", "no-such-model", "--json"],
    ["verify", "toy", "--ids", "99", "--json"],
    ["schema", "no-such-command", "--json"],
    ["models", "--no-such-option", "--json"],
]


def strict(schema: Any) -> Any:
    """The schema with every object closed: a key that it does not list is a mistake in the schema."""
    if isinstance(schema, dict):
        closed = {key: strict(value) for key, value in schema.items()}
        if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
            closed.setdefault("additionalProperties", False)
        return closed
    return [strict(entry) for entry in schema] if isinstance(schema, list) else schema


@cache
def closed(command: str) -> Any:
    """What validates by the closed schema of a command; that it is a schema is tested once, below."""
    return jsonschema.Draft202012Validator(strict(command_schema(command)))


@cache
def closed_result(command: str) -> Any:
    """The same for what is no error."""
    schema = {**command_schema(command), "oneOf": [{"$ref": "#/$defs/result"}]}
    return jsonschema.Draft202012Validator(strict(schema))


def document_of(arguments: Sequence[str], capture: pytest.CaptureFixture[bytes]) -> tuple[int, Any]:
    try:
        code = run(arguments)
    except SystemExit as stop:
        code = int(stop.code or 0)
    return code, orjson.loads(capture.readouterr().out)


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        pytest.param(command, arguments, id=" ".join([command, *arguments]))
        for command in command_names()
        for arguments in INVOCATIONS.get(command, [])
    ],
)
def test_output_fits_its_schema(
    command: str,
    arguments: list[str],
    capsysbinary: pytest.CaptureFixture[bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if command == "cache":  # A developer's own may hold tens of thousands of files.
        monkeypatch.setenv("LLMINSPECT_HOME", str(tmp_path))
        (tmp_path / "hashes").mkdir()
        (tmp_path / "hashes" / f"{0:032x}.json").touch()
    code, document = document_of([command, *arguments, "--json"], capsysbinary)
    assert code == 0, document
    result = command_schema(command)["$defs"]["result"]
    closed_result(command).validate(document)
    for alternative in result.get("anyOf", [result]):
        assert list(document)[:3] == list(alternative["properties"])[:3] == ["schema", "command", "model"]


@pytest.mark.parametrize("arguments", MISTAKES, ids=" ".join)
def test_errors_fit_the_schema(arguments: list[str], capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    code, document = document_of(arguments, capsysbinary)
    assert code in (2, 3)
    closed(arguments[0]).validate(document)
    assert "error" in document


@pytest.mark.parametrize("command", results_of_commands())
def test_every_schema_is_a_schema_and_is_printed(command: str, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    jsonschema.Draft202012Validator.check_schema(command_schema(command))
    code, printed = document_of(["schema", command], capsysbinary)
    assert code == 0
    assert printed == command_schema(command)


def test_the_list_of_commands(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    assert run(["schema"]) == 0
    shown = capsysbinary.readouterr().out.decode()
    assert "left_out" in shown
    assert "schema COMMAND" in shown
