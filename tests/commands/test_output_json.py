"""What becomes JSON, and what does when Ctrl-C comes meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import orjson
import pytest

from llminspect.cli.json_text import json_bytes


def test_an_interrupt_while_json_is_made_is_an_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library that makes it would say that something cannot be written."""

    def interrupted(value: object) -> dict[str, Any]:
        raise KeyboardInterrupt

    monkeypatch.setattr("llminspect.cli.json_text.given_fields", interrupted)
    with pytest.raises(KeyboardInterrupt):
        json_bytes({"inner": Inner(1.0)})


@dataclass(frozen=True)
class Inner:
    number: float
    text: str | None = None


@dataclass(frozen=True)
class Outer:
    inner: Inner
    parts: tuple[Inner, ...]
    by_name: dict[str, Inner | None]


class Pair(NamedTuple):
    left: int
    right: Inner


def test_dataclasses_become_json_without_what_is_none() -> None:
    value = Outer(Inner(0.123), (Inner(1.0, "x\ud800"), Inner(2.0)), {"a": Inner(0.126), "b": None})
    inner: list[Any] = [{"number": 1.0, "text": "x\ufffd"}, {"number": 2.0}]
    whole = {"inner": {"number": 0.123}, "parts": inner, "by_name": {"a": {"number": 0.126}, "b": None}}
    assert orjson.loads(json_bytes(value)) == whole
    rounded = {"inner": {"number": 0.1}, "parts": inner, "by_name": {"a": {"number": 0.1}, "b": None}}
    assert orjson.loads(json_bytes(value, 1)) == rounded
    assert orjson.loads(json_bytes([Pair(1, Inner(2.0)), np.ones(1, np.float32)])) == [[1, {"number": 2.0}], [1.0]]
