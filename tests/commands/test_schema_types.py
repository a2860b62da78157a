"""The JSON Schema follows the types of a Result, and a wrong document fails it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import jsonschema
import numpy as np
import orjson
import pytest

from llminspect.analysis.result import Dims, Tokens, fields_of
from llminspect.cli.json_text import json_bytes
from llminspect.cli.schema import Schema, schema_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from llminspect.core.array import Array


@dataclass(frozen=True)
class Inner:
    """A part."""

    kind: Literal["a", "b"]
    """Which of the two."""
    prob: float


@dataclass(frozen=True)
class Outer:
    tokens: Tokens
    vectors: Annotated[Array, Dims("T D")]
    """One row a token."""
    anything: Array
    parts: Sequence[Inner]
    by_name: Mapping[str, tuple[int, ...]]
    pair: tuple[str, int]
    either: int | list[str] | None = None
    file: Path | None = None
    extra: Any = None


TOKEN = {"index": 0, "id": 7, "text": "a", "bytes": "61", "start": 0, "end": 1}
VECTORS = np.array([[1.5, np.nan]], np.float32)


def outer(**changes: Any) -> Outer:
    values: dict[str, Any] = {
        "tokens": [TOKEN],
        "vectors": VECTORS,
        "anything": np.zeros((1, 2, 1)),
        "parts": (Inner("a", 0.5),),
        "by_name": {"x": (1, 2, 3)},
        "pair": ("a", 1),
    }
    return Outer(**values | changes)


def schema() -> Schema:
    definitions: dict[str, Schema] = {}
    reference = schema_of(Outer, definitions)
    return {**reference, "$defs": definitions}


def document(result: Any) -> Any:
    return orjson.loads(json_bytes(fields_of(result)))


def test_the_schema_is_valid_and_real_output_fits_it() -> None:
    made = schema()
    jsonschema.Draft202012Validator.check_schema(made)
    for result in (outer(), outer(either=["x"], extra={"a": 1}), outer(either=3)):
        jsonschema.validate(document(result), made)


def test_fields_that_may_be_none_may_be_absent_and_are_never_null() -> None:
    made = schema()["$defs"]["Outer"]
    assert set(made["required"]) == {"tokens", "vectors", "anything", "parts", "by_name", "pair"}
    assert {"type": "null"} not in made["properties"]["either"]["anyOf"]


def test_docstrings_become_descriptions() -> None:
    made = schema()["$defs"]
    assert made["Inner"]["description"] == "A part."
    assert made["Inner"]["properties"]["kind"] == {"enum": ["a", "b"], "description": "Which of the two."}
    assert made["Outer"]["properties"]["vectors"]["description"] == "[T, D] One row a token."


@pytest.mark.parametrize(
    "changes",
    [
        {"tokens": [{**TOKEN, "id": "7"}]},
        {"tokens": [{key: value for key, value in TOKEN.items() if key != "bytes"}]},
        {"vectors": [1.0, 2.0]},
        {"vectors": [[["deep"]]]},
        {"anything": [[["word"]]]},
        {"parts": [Inner("c", 0.5)]},  # type: ignore[arg-type]
        {"by_name": {"x": ["y"]}},
        {"pair": ("a", 1, 2)},
        {"either": {"a": 1}},
    ],
)
def test_a_wrong_document_fails(changes: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document(outer(**changes)), schema())


def test_a_type_without_a_form_in_json_is_refused() -> None:
    with pytest.raises(TypeError, match="no JSON Schema"):
        schema_of(complex, {})
