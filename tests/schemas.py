"""Documents against the JSON Schema of their command, made once a process: `jsonschema.validate` checks the schema
itself each time, which takes far longer than the document (`test_schema.py` does it once for each command)."""

from __future__ import annotations

from functools import cache
from typing import Any

import jsonschema

from llminspect.commands.schema import schema as command_schema


@cache
def validator(command: str) -> Any:
    return jsonschema.Draft202012Validator(command_schema(command))


def assert_fits(document: Any, command: str) -> None:
    """The document is one that `llminspect schema COMMAND` describes."""
    validator(command).validate(document)
