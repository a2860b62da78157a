"""docs/architecture.md is true: it names every package, no file that is gone, and the rules as the tests have them."""

from __future__ import annotations

import re

from tests import test_structure
from tests.test_structure import ORDER, PACKAGE, ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
TREE, ARROWS = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)


def test_the_tree_has_every_package_and_no_other() -> None:
    """The rooms of the commands aside: each has its command's name."""
    packages = {init.parent for init in PACKAGE.rglob("__init__.py")} - {PACKAGE}
    there = {package.name for package in packages if package.parent.name != "commands"}
    assert set(re.findall(r"([a-z]+)/(?=\s)", TREE)) - {PACKAGE.name} == there | {"library"}


def test_the_arrows_go_the_way_that_is_tested() -> None:
    drawn = [word for word in re.findall(r"[a-z]+", "".join(re.findall(r"^(.{0,28})", ARROWS, re.M))) if word in ORDER]
    assert set(drawn) == set(ORDER)
    assert [name for name in drawn if name not in ("render", "files", "text")] == [
        name for name in reversed(ORDER) if name not in ("render", "files", "text")
    ]


def test_every_rule_names_its_test() -> None:
    named = re.findall(r"`(test_\w+)`", PAGE)
    assert [name for name in named if not hasattr(test_structure, name)] == []
    assert len(named) > 5
