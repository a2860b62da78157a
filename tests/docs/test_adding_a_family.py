"""docs/adding-a-family.md is true: its code, put into the package as it stands, gives the reference's numbers."""

from __future__ import annotations

import json
import re
import shutil
import sys
from typing import TYPE_CHECKING

import pytest

from llminspect.errors import ModelError
from llminspect.model import families, registry
from llminspect.opening import open_model
from tests.conftest import ROOT
from tests.model.golden import Golden, assert_as_expected, computed, greedy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Program

GOLDEN = Golden("olmo2")
PAGE = (ROOT / "docs" / "adding-a-family.md").read_text("utf-8")
CODE = "\n".join(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The golden model under the page's name for its family, in a cache of its own."""
    monkeypatch.setenv("LLMINSPECT_HOME", str(tmp_path / "home"))
    folder = tmp_path / "model"
    folder.mkdir()
    shutil.copy(GOLDEN.folder / "model.safetensors", folder)
    (folder / "config.json").write_text(json.dumps({**GOLDEN.config(), "model_type": "my_olmo"}))
    return folder


@pytest.fixture
def family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The page's code as one more file of `families/`."""
    (tmp_path / "families").mkdir()
    (tmp_path / "families" / "my_olmo.py").write_text(CODE, encoding="utf-8")
    monkeypatch.setattr(families, "__path__", [*families.__path__, str(tmp_path / "families")])
    monkeypatch.setattr(registry, "MODULES", [*registry.MODULES, "my_olmo"])
    registry.architectures.cache_clear()
    yield
    registry.architectures.cache_clear()
    sys.modules.pop("llminspect.model.families.my_olmo", None)


def test_the_line_for_the_golden_data_is_olmo_s_own() -> None:
    (line,) = re.findall(r"`(Family\(.*\))`", PAGE)
    families = (ROOT / "tools" / "golden_families.py").read_text("utf-8")
    assert f"    {line.replace('my_olmo', 'olmo2')},\n" in families


def test_without_the_file_the_kind_is_not_known(model: Path) -> None:
    with pytest.raises(ModelError, match="models of the kind 'my_olmo' are not known"):
        open_model(str(model))


@pytest.mark.usefixtures("family")
def test_with_it_the_numbers_are_the_reference_s(model: Path, called: Program) -> None:
    opened = open_model(str(model))
    assert opened.architecture.name == "my_olmo"
    assert_as_expected(computed(opened, GOLDEN), GOLDEN)
    assert greedy(opened, GOLDEN, cached=True) == GOLDEN.expected["greedy"].tolist()
    recorded = called("verify", str(model), "--against", str(GOLDEN.folder / "expected.npz"), "--json")
    assert recorded.code == 0, recorded.err


@pytest.mark.usefixtures("family")
def test_a_key_or_a_tensor_that_is_not_understood_is_named(model: Path) -> None:
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "twisted_heads": 3}))
    with pytest.raises(ModelError, match="twisted_heads"):
        open_model(str(model))
    (model / "config.json").write_text(json.dumps({**config, "attention_bias": True}))
    with pytest.raises(ModelError, match=r"tensors are missing: .*bias"):
        open_model(str(model))
