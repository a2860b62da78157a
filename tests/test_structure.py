"""The shape of the code, read from its imports and calls: what may know what."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "llminspect"
FILES = sorted(PACKAGE.rglob("*.py"))
LONGEST_FILE, LONGEST_FUNCTION = 320, 60

FORBIDDEN = {
    "core": ("rich", "typer", "llminspect.files", "llminspect.render", "llminspect.commands", "llminspect.arch"),
    "text": ("rich", "typer", "llminspect.files", "llminspect.render", "llminspect.commands", "llminspect.arch"),
    "arch": ("rich", "typer", "llminspect.files", "llminspect.render", "llminspect.commands"),
    "render": ("typer", "llminspect.arch", "llminspect.files", "llminspect.commands"),
    "files": ("rich", "typer", "llminspect.arch", "llminspect.render", "llminspect.commands"),
}
OPENING = {"read_text", "read_bytes", "write_text", "write_bytes", "open", "memmap", "fromfile", "tofile", "unlink"}
HEAVY = "numpy rich tokenizers tiktoken huggingface_hub jinja2 orjson regex pydantic".split()


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports(module: ast.AST) -> Iterator[str]:
    """Every module that is imported anywhere, also inside functions and for type checkers only."""
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def calls(module: ast.AST) -> Iterator[tuple[str, str, int]]:
    """What each call is on, its last name, and its line: `np.load(x)` gives ("np", "load", 3)."""
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield "", node.func.id, node.lineno
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield ast.unparse(node.func.value), node.func.attr, node.lineno


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_a_layer_knows_only_those_below_it(folder: str) -> None:
    wrong = [
        f"{name_of(path)} imports {imported}"
        for path in (PACKAGE / folder).rglob("*.py")
        for imported in imports(tree(path))
        if any(imported == name or imported.startswith(f"{name}.") for name in FORBIDDEN[folder])
    ]
    assert wrong == []


def test_only_the_output_prints() -> None:
    wrong = [
        f"{name_of(path)}:{line} {on}.{name}"
        for path in FILES
        if name_of(path) not in ("llminspect/commands/_output.py", "llminspect/commands/_stdout.py")
        for on, name, line in calls(tree(path))
        if (not on and name in ("print", "input")) or (on.startswith("sys.stdout") and name in ("write", "writelines"))
    ]
    assert wrong == []


def test_only_files_opens_files() -> None:
    wrong = [
        f"{name_of(path)}:{line} {on}.{name}"
        for path in FILES
        if "files" not in path.relative_to(PACKAGE).parts
        for on, name, line in calls(tree(path))
        # A function called by its bare name is the package's own; `os.open` replaces a closed pipe by the null device.
        if (name == "open" and on != "os") or (on and name in OPENING - {"open"})
    ]
    assert wrong == []


def test_no_command_loads_anything_heavy_before_it_runs() -> None:
    script = (
        "import importlib, sys; from llminspect.cli import command_names\n"
        "for name in command_names(): importlib.import_module(f'llminspect.commands.{name}')\n"
        f"print(sorted(set({HEAVY}) & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    assert result.stdout.strip() == "[]"


def test_every_command_has_its_parts() -> None:
    lacking = [
        f"{path.name}: {part}"
        for path in (PACKAGE / "commands").glob("[!_]*.py")
        for part in ("Result", "run", "render", "command")
        if part not in names_of(tree(path))
    ]
    assert lacking == []


def names_of(module: ast.Module) -> set[str]:
    """What the top level of a module defines or imports."""
    names: set[str] = set()
    for node in module.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.ImportFrom | ast.Import):
            names.update(alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names.update(target.id for target in targets if isinstance(target, ast.Name))
    return names


def test_nothing_is_left_undone() -> None:
    words = ("raise NotImplementedError", "TODO", "FIXME", "XXX")
    wrong = [f"{name_of(path)}: {word}" for path in FILES for word in words if word in path.read_text("utf-8")]
    assert wrong == []


def test_files_and_functions_fit_a_reader() -> None:
    long_files = [name_of(path) for path in FILES if len(path.read_text("utf-8").splitlines()) > LONGEST_FILE]
    long_functions = [
        f"{name_of(path)}:{node.lineno} {node.name}"
        for path in FILES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno >= LONGEST_FUNCTION
    ]
    assert long_files + long_functions == []


def test_every_module_says_what_it_is() -> None:
    assert [name_of(path) for path in FILES if not ast.get_docstring(tree(path))] == []
