"""Every kind of model that opens is drawn in `tools/variants.py`, or named there with a reason."""

from __future__ import annotations

import re
from pathlib import Path

from llminspect.model.registry import architectures
from llminspect.model.text_part import TEXTS

TOOLS = Path(__file__).parents[2] / "tools"


def test_each_kind_is_drawn_or_named_with_a_reason() -> None:
    """Drawings are functions, rows of tables and models of `golden_*.py`; those need torch, so their text is read."""
    text = "".join(path.read_text(encoding="utf-8") for path in sorted(TOOLS.glob("variant_*.py")))
    drawn = {plain(name) for pair in re.findall(r'"([\w.-]+)"|def (\w+)\(', text) for name in pair if name}
    kinds = {kind for one in architectures() for kind in one.model_types} | set(TEXTS)
    assert sorted(kind for kind in kinds if plain(kind) not in drawn) == []


def plain(name: str) -> str:
    return re.sub(r"[-_]|text$", "", name.lower())
