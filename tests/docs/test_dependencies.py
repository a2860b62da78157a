"""What is installed is what the lock, the table of licences and the bill of materials say."""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.conftest import ROOT
from tools import dependencies

LOCK = ROOT / "requirements.lock"
PAGE = (ROOT / "docs/dependencies.md").read_text("utf-8")
LOCKED = dependencies.locked()


def rows() -> dict[str, tuple[str, str]]:
    """Licence and use by package, as the page has them."""
    found = re.findall(r"^\| ([a-z0-9-]+) \| (.+) \| (running|development) \|$", PAGE, re.M)
    assert len(found) == len({name for name, _, _ in found}) > 50
    return {name: (licence, use) for name, licence, use in found}


def test_the_lock_names_what_the_package_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    versions = [(dependencies.canonical(one.name), one.version) for one in LOCKED if one.here]
    for stated in (*project["dependencies"], *project["optional-dependencies"]["dev"]):
        wanted = Requirement(stated)
        found = [number for name, number in versions if name == dependencies.canonical(wanted.name)]
        assert len(found) == 1 and wanted.specifier.contains(found[0]), stated


def test_each_has_the_hashes_of_all_systems_and_no_index_is_named() -> None:
    assert not re.search(r"https?:|file:|--\S*index|--find-links|--trusted", LOCK.read_text("utf-8"))
    for name in ("numpy", "tokenizers", "orjson", "jaxlib"):  # Linux, macOS and Windows, two processors, four Pythons.
        assert all(len(one.hashes) > 10 for one in LOCKED if one.name == name), name


@pytest.mark.parametrize("line", ["numpy==2.0", "numpy>=2 --hash=sha256:" + "0" * 64, "numpy==2 --hash=sha256:0"])
def test_a_line_without_a_version_and_its_hash_is_refused(line: str, tmp_path: Path) -> None:
    (tmp_path / "lock").write_text(line)
    with pytest.raises(ValueError, match="no version with its hashes"):
        dependencies.locked(tmp_path / "lock")


def test_the_table_has_the_licence_of_each_as_it_says_itself() -> None:
    found = rows()
    assert set(found) == {dependencies.canonical(one.name) for one in LOCKED}
    to_run = dependencies.needed()
    for one in LOCKED:
        name = dependencies.canonical(one.name)
        try:
            installed = version(name)
        except PackageNotFoundError:
            assert not one.here or Path(sys.prefix) != ROOT / ".venv", name
            continue
        if installed == one.version and name not in dependencies.ELSEWHERE:  # Not the newest.
            assert found[name] == (dependencies.licence(name), "running" if name in to_run else "development")


def test_the_bill_names_what_is_needed_and_each_of_its_parts_once() -> None:
    bill = dependencies.bill()
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    names = [part["bom-ref"] for part in bill["components"]]
    assert len(names) == len(set(names)) == len(LOCKED)
    required = {part["name"] for part in bill["components"] if part["scope"] == "required"}
    assert {"numpy", "typer", "tokenizers", "huggingface-hub", "pip"} <= required and "pytest" not in required
    itself, *others = bill["dependencies"]
    assert len(itself["dependsOn"]) >= len(required) and set(itself["dependsOn"]) <= set(names)
    assert [other["ref"] for other in others] == names
    assert all(part["hashes"] and part["licenses"][0]["license"]["name"] for part in bill["components"])
