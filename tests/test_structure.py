"""The shape of the code, read from its imports and calls: what may know what."""

from __future__ import annotations

import ast
import re
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
HELPERS = [path for folder in ("tests", "tools") for path in sorted((ROOT / folder).rglob("*.py"))]
LONGEST_FILE, LONGEST_FUNCTION = 320, 60

ORDER = "core text files render model backends opening arguments analysis cli commands library".split()
"""The packages from the ground up: each knows only those in front of it (and `NEVER` some of them)."""
GROUND = {"llminspect", "llminspect.errors", "llminspect.version", "llminspect.processes"}
NEVER = {
    "core": ("text", "files", "render"),
    "text": ("files", "render"),
    "files": ("render", "text"),
    "render": ("text", "files"),
    "model": ("render",),
    "backends": ("render",),
    "opening": ("render",),
    "arguments": ("render",),
    "analysis": ("render",),
}
"""Packages that stand side by side, and what draws: only views and the output know that."""
PLAIN = ("core", "text", "files", "model", "backends", "opening", "arguments", "analysis")
"""What draws nothing and knows no command line."""
OPENING = {"read_text", "read_bytes", "write_text", "write_bytes", "open", "memmap", "fromfile", "tofile", "unlink"}
VAGUE = "asked said spelt alike heard told again behind".split()
"""Words that name nothing in particular: an options object is `options`, a remark `note`, `line` or `text`; what comes
later comes `after`."""
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


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(path): path for path in FILES}


@cache
def arrows() -> dict[str, set[str]]:
    """Which module imports which, inside functions and for type checkers as well."""
    found: dict[str, set[str]] = {name: set() for name in MODULES}
    for name, path in MODULES.items():
        for imported in imports(tree(path)):
            target = imported if imported in MODULES else imported.rpartition(".")[0]
            if target in MODULES and target != name:
                found[name].add(target)
    return found


def package_of(module: str) -> str:
    return module.split(".")[1] if "." in module else module


@pytest.mark.parametrize("package", ORDER)
def test_arrows_between_packages_go_down(package: str) -> None:
    above = {*ORDER[ORDER.index(package) + 1 :], "__main__", *NEVER.get(package, ())}
    wrong = [
        f"{name} imports {target}"
        for name, targets in arrows().items()
        if package_of(name) == package
        for target in targets
        if target not in GROUND and package_of(target) in above
    ]
    assert wrong == []


def test_no_two_files_import_each_other() -> None:
    """No circle at all, however long: files that import nothing that is left are taken away until none is left."""
    left = arrows()
    while left:
        free = {name for name, targets in left.items() if not targets & left.keys()}
        if not free:
            break
        left = {name: targets for name, targets in left.items() if name not in free}
    assert sorted(left) == []


@pytest.mark.parametrize("package", PLAIN)
def test_what_computes_knows_no_terminal(package: str) -> None:
    wrong = [
        f"{name} imports {imported}"
        for name, path in MODULES.items()
        if package_of(name) == package
        for imported in imports(tree(path))
        if imported.split(".")[0] in ("rich", "typer")
    ]
    assert wrong == []


def test_only_the_output_prints() -> None:
    wrong = [
        f"{name_of(path)}:{line} {on}.{name}"
        for path in FILES
        if name_of(path) != "llminspect/cli/output.py"
        for on, name, line in calls(tree(path))
        if (not on and name in ("print", "input")) or (on.startswith("sys.stdout") and name in ("write", "writelines"))
    ]
    assert wrong == []


def test_views_take_their_text_from_one_place() -> None:
    """Where lines are folded so that a word stays with its number. The stream of a model's words is as it is."""
    wrong = [
        name_of(path)
        for path in FILES
        if name_of(path) not in ("llminspect/render/prose.py", "llminspect/cli/output.py")
        and "rich.text.Text" in set(imports(tree(path)))
    ]
    assert wrong == []


def test_what_is_drawn_has_one_sign_for_minus() -> None:
    """That of numbers, which are copied into other programs; a line still may not end after either."""
    drawn = [*(PACKAGE / "commands").rglob("*.py"), *(PACKAGE / "render" / "page").glob("*.js")]
    assert [name_of(path) for path in drawn if "−" in path.read_text("utf-8")] == []


ROUNDED_BY_PYTHON = {
    "llminspect/commands/explore/surface.py",  # Seconds that go on while they are read.
    "llminspect/commands/forward/__init__.py",  # The bare perplexity, for another program.
    "llminspect/commands/verify.py",  # Powers of ten, of which only the size counts.
    "llminspect/render/picture.py",  # Coordinates.
}


def test_numbers_that_are_drawn_are_rounded_in_one_way() -> None:
    """That of `fixed`, by which a half goes up: Python's formats round what the binary number is."""
    drawn = [*(PACKAGE / "commands").rglob("*.py"), *(PACKAGE / "render").rglob("*.py")]
    found = {
        name_of(path)
        for path in drawn
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FormattedValue) and re.search(r"\..*[fge%]'$", ast.unparse(node.format_spec or node))
    }
    assert found == ROUNDED_BY_PYTHON


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


def test_nothing_that_is_read_can_run_code_or_run_away() -> None:
    """Python's own forms of saved objects: read, one runs code and the other may do anything with damaged bytes."""
    saved = {"marshal", "pickle", "cPickle", "shelve", "dill", "joblib", "cloudpickle"}
    found = [(name_of(path), name) for path in FILES for name in imports(tree(path)) if name.partition(".")[0] in saved]
    assert found == []


def test_no_command_loads_anything_heavy_before_it_runs() -> None:
    script = (
        "import importlib, sys; from llminspect.commands import names as command_names\n"
        "for name in command_names(): importlib.import_module(f'llminspect.commands.{name}')\n"
        f"print(sorted(set({HEAVY}) & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    assert result.stdout.strip() == "[]"


def test_every_command_has_its_parts() -> None:
    rooms = [*(PACKAGE / "commands").glob("[!_]*.py"), *(PACKAGE / "commands").glob("*/__init__.py")]
    lacking = [
        f"{name_of(place)}: {part}"
        for path in rooms
        for part in ("RESULTS", "render", "command")
        if part != "render" or 'RESULTS = ""' not in path.read_text()  # Nothing of its own to draw.
        for place in (path.with_name("view.py") if path.stem == "__init__" and part == "render" else path,)
        if part not in names_of(tree(place))
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
    files = [*FILES, *HELPERS]
    long_files = [name_of(path) for path in files if len(path.read_text("utf-8").splitlines()) > LONGEST_FILE]
    long_functions = [
        f"{name_of(path)}:{node.lineno} {node.name}"
        for path in files
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno >= LONGEST_FUNCTION
    ]
    assert long_files + long_functions == []


def test_every_module_says_what_it_is() -> None:
    files = [*FILES, *(path for path in HELPERS if path.name != "__init__.py")]
    assert [name_of(path) for path in files if not ast.get_docstring(tree(path))] == []


def test_no_two_classes_have_one_name() -> None:
    places: dict[str, list[str]] = {}
    for path in FILES:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(f"{name_of(path)}:{node.lineno}")
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def identifiers(module: ast.AST) -> Iterator[tuple[str, int]]:
    """Every name that the file gives or uses, with its line."""
    for node in ast.walk(module):
        for field in ("id", "attr", "arg", "name", "asname"):
            name = getattr(node, field, None)
            if isinstance(name, str):
                yield name.rpartition(".")[2], getattr(node, "lineno", 0)


def words_of(identifier: str) -> list[str]:
    """`asked_again`, `AskedAgain` and `ASKED_AGAIN` are of two words."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", identifier).lower().split("_")


def test_names_say_what_they_name() -> None:
    """Names of tests are sentences, in which these words are verbs."""
    wrong = sorted(
        {
            f"{name_of(path)}:{line} {name}"
            for path in [*FILES, *HELPERS]
            for name, line in [*identifiers(tree(path)), (path.stem, 1)]
            if name == "own" or (set(words_of(name)) & set(VAGUE) and not name.startswith("test_"))
        }
    )
    assert wrong == []
    pages = [page for page in (ROOT / "docs").rglob("*.md") if page.name not in ("decisions.md", "security.md")]
    pages.append(ROOT / "README.md")
    assert [name_of(path) for path in [*FILES, *pages] if re.search(r"\bbehind\b", path.read_text("utf-8"))] == []
    assert words_of("AskedAgain") == words_of("_asked_again")[1:] == words_of("ASKED_AGAIN") == ["asked", "again"]
