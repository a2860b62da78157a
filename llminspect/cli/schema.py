"""JSON Schema (2020-12) of what a command writes, made from the types of its `Result`.

For whoever writes a command: annotate the fields of `Result` with the types they hold and the schema follows.
Understood are bool, int, float, str, bytes (hex), Path, None, Any, Literal, X | None (the key is left out when None),
unions, list, tuple, Sequence, dict and Mapping, TypedDict, dataclasses, and numpy arrays. A bare array
may be nested to any depth; `Annotated` says what its axes are, and `Tokens` is a list of tokens by the contract:

    @dataclass(frozen=True)
    class Result:
        tokens: Tokens
        vectors: Annotated[Array, Dims("T D")]
        \"\"\"One row a token.\"\"\"
        nearest: list[list[Neighbour]] | None = None

Names that a module imports only for type checkers are found too. The class's docstring and the strings under its fields
become descriptions.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import sys
import types
from collections import abc
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict

from llminspect.analysis.result import Dims, TokenDocument

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_NUMBER: Schema = {"type": ["number", "null"]}
"""A value that is not finite is null."""
_PLAIN: dict[Any, Schema] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: _NUMBER,
    str: {"type": "string"},
    bytes: {"type": "string", "pattern": "^([0-9a-f]{2})*$"},
    type(None): {"type": "null"},
    Any: {},
    object: {},
}
_NESTED: Schema = {"anyOf": [_NUMBER, {"type": "boolean"}, {"type": "array", "items": {"$ref": "#/$defs/numbers"}}]}
_ERROR: Schema = {
    "type": "object",
    "description": "What is written in place of a result when it could not be done.",
    "properties": {
        "schema": {"const": 1},
        "command": {"type": ["string", "null"]},
        "line": {"type": "integer", "minimum": 0},
        "error": {
            "type": "object",
            "properties": {
                "code": {"enum": ["failed", "usage", "model", "check", "interrupted", "memory", "system"]},
                "message": {"type": "string"},
                "hint": {"type": ["string", "null"], "description": "What to try."},
            },
            "required": ["code", "message", "hint"],
        },
    },
    "required": ["schema", "command", "error"],
}
_HEADER: Schema = {
    "schema": {"const": 1},
    "model": {"type": ["string", "null"], "description": "Null where no model is looked at."},
    "line": {"type": "integer", "minimum": 0, "description": "With --lines: which line, counted from 0."},
    "provenance": {
        "type": "object",
        "description": "Enough to repeat the run.",
        "properties": {
            "version": {"type": "string"},
            "ids": {"type": "array", "items": {"type": "integer", "minimum": 0}},
            "options": {"type": "object", "description": "The options that differ from their defaults."},
            "line": {"const": 0, "description": "With --count --lines: it stands in the document of that line."},
        },
        "additionalProperties": True,
        "anyOf": [{"required": ["version", "options"]}, {"required": ["line"]}],
    },
}


def command_schema(command: str, results: abc.Sequence[Any]) -> Schema:
    """The JSON Schema of one document that `llminspect COMMAND --json` writes: one of the `results`, or an error."""
    definitions: dict[str, Schema] = {}
    documents = [_with_header(command, _dataclass_schema(result, definitions)) for result in results]
    result = documents[0] if len(documents) == 1 else {"anyOf": documents}
    return {
        "$schema": DIALECT,
        "title": f"llminspect {command}",
        "oneOf": [{"$ref": "#/$defs/result"}, {"$ref": "#/$defs/error"}],
        "$defs": {"result": result, "error": _ERROR, **dict(sorted(definitions.items()))},
    }


def result_keys(results: abc.Sequence[Any]) -> list[str]:
    """The keys of a command's document beside those that every document has."""
    return list(dict.fromkeys(field.name for result in results for field in dataclasses.fields(result)))


def _with_header(command: str, schema: Schema) -> Schema:
    header = {"schema": _HEADER["schema"], "command": {"const": command}, **_HEADER}
    return {
        **schema,
        "properties": {**header, **schema["properties"]},
        "required": ["schema", "command", "model", "provenance", *schema.get("required", [])],
    }


def schema_of(hint: Any, definitions: dict[str, Schema]) -> Schema:
    """The schema of one type; dataclasses go into `definitions` under their name and are referred to.

    Raises TypeError for a type that has no form in JSON.
    """
    if hint in _PLAIN:
        return dict(_PLAIN[hint])
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _annotated(arguments, definitions)
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (Union, types.UnionType):
        return {"anyOf": [schema_of(argument, definitions) for argument in arguments]}
    kind = origin or hint
    if dataclasses.is_dataclass(kind) or is_typeddict(kind):
        return _referred(kind, definitions)
    if not isinstance(kind, type):
        raise TypeError(f"no JSON Schema for {hint!r}")
    return _container_schema(kind, arguments, definitions)


def _container_schema(kind: type, arguments: tuple[Any, ...], definitions: dict[str, Schema]) -> Schema:
    if issubclass(kind, Path):
        return {"type": "string"}
    if kind.__module__.partition(".")[0] == "numpy":
        definitions["numbers"] = _NESTED
        return {"$ref": "#/$defs/numbers"}
    if issubclass(kind, abc.Mapping):
        return {"type": "object"} | (
            {"additionalProperties": schema_of(arguments[1], definitions)} if len(arguments) == 2 else {}
        )
    if issubclass(kind, tuple) and arguments and arguments[-1] is not Ellipsis:
        return {
            "type": "array",
            "prefixItems": [schema_of(argument, definitions) for argument in arguments],
            "minItems": len(arguments),
            "maxItems": len(arguments),
        }
    if issubclass(kind, abc.Iterable):
        return {"type": "array"} | ({"items": schema_of(arguments[0], definitions)} if arguments else {})
    raise TypeError(f"no JSON Schema for {kind!r}")


def _annotated(arguments: tuple[Any, ...], definitions: dict[str, Schema]) -> Schema:
    for note in arguments[1:]:
        if isinstance(note, Dims):
            nested = dict(_NUMBER)
            for _ in note.axes.split():
                nested = {"type": "array", "items": nested}
            return {**nested, "description": f"[{', '.join(note.axes.split())}]"}
        if note is TokenDocument:
            return {"type": "array", "items": _referred(TokenDocument, definitions)}
    return schema_of(arguments[0], definitions)


def _referred(kind: Any, definitions: dict[str, Schema]) -> Schema:
    """A reference to the definition of a class, which is made first if it is not there."""
    name = kind.__name__
    if name not in definitions:
        definitions[name] = {}  # A class may hold itself.
        definitions[name] = _dataclass_schema(kind, definitions)
    return {"$ref": f"#/$defs/{name}"}


def _dataclass_schema(kind: Any, definitions: dict[str, Schema]) -> Schema:
    described = _descriptions(kind)
    properties, required = {}, []
    for name, hint in _hints(kind).items():
        present = _when_there(hint, is_typeddict(kind))
        schema = schema_of(present, definitions)
        if name in described:
            schema["description"] = " ".join(filter(None, [schema.get("description"), described[name]]))
        properties[name] = schema
        if present is hint and hint is not Any:
            required.append(name)
    return {
        "type": "object",
        **({"description": described[""]} if "" in described else {}),
        "properties": properties,
        "required": required,
    }


def _when_there(hint: Any, of_typeddict: bool) -> Any:
    """The type of a key when it is there: a field that is None is left out of the document."""
    origin, arguments = get_origin(hint), get_args(hint)
    if of_typeddict:
        return arguments[0] if origin is NotRequired else hint
    if origin not in (Union, types.UnionType) or type(None) not in arguments:
        return hint
    return Union[tuple(argument for argument in arguments if argument is not type(None))]  # noqa: UP007


# -- The types as written ----------------------------------------------------------------------------------------------


def _hints(kind: Any) -> dict[str, Any]:
    """The types of a class's fields in their order, with names that are imported only for type checkers resolved."""
    names: dict[str, Any] = {}
    for base in reversed(kind.__mro__):
        names |= _names_of(base.__module__)
    found = get_type_hints(kind, localns=names, include_extras=True)
    return found if is_typeddict(kind) else {field.name: found[field.name] for field in dataclasses.fields(kind)}


@cache
def _names_of(module_name: str) -> dict[str, Any]:
    """The names of a module, those that it imports under `if TYPE_CHECKING:` included."""
    names = dict(vars(importlib.import_module(module_name)))
    blocks = [] if module_name == "builtins" else [node for node in _tree(module_name).body if isinstance(node, ast.If)]
    for block in blocks:
        for node in block.body if ast.unparse(block.test) == "TYPE_CHECKING" else ():
            with suppress(ImportError):  # A name may be there for type checkers alone in the other module as well.
                exec(compile(ast.Module([node], []), module_name, "exec"), names)
    return names


@cache
def _tree(module_name: str) -> ast.Module:
    return ast.parse(inspect.getsource(sys.modules[module_name]))


def _descriptions(kind: Any) -> dict[str, str]:
    """The docstring of a class under "", and the string under each field under its name."""
    described = {}
    text = inspect.cleandoc(kind.__doc__ or "")
    if text and not text.startswith(f"{kind.__name__}("):
        described[""] = " ".join(text.split())
    for base in reversed(kind.__mro__):
        for node in () if base in (dict, object) else ast.walk(_tree(base.__module__)):
            if isinstance(node, ast.ClassDef) and node.name == base.__name__:
                described.update(_field_descriptions(node))
    return described


def _field_descriptions(node: ast.ClassDef) -> dict[str, str]:
    return {
        field.target.id: " ".join(below.value.value.split())
        for field, below in zip(node.body, node.body[1:], strict=False)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str)
    }
