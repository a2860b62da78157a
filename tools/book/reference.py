"""The pages of docs/reference/: every command's help and the JSON Schema of what it writes, made from the code."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import orjson

from llminspect.analysis.terms import terms
from llminspect.cli.schema import result_keys
from llminspect.commands import names as command_names
from llminspect.commands import result_types
from llminspect.commands.schema import schema as command_schema
from tools.book.blocks import COLUMNS, ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from llminspect.analysis.terms import Topic

FOLDER = ROOT / "docs" / "reference"


def written(name: str) -> str:
    """The page of one command."""
    if not result_types(name):
        return f"# llminspect {name}\n\n```text\n{help_of(name)}\n```\n"
    schema = orjson.dumps(command_schema(name), option=orjson.OPT_INDENT_2).decode()
    keys = ", ".join(f"`{key}`" for key in result_keys(result_types(name)))
    return f"""# llminspect {name}

```text
{help_of(name)}
```

## JSON

`llminspect {name} … --json` writes one document: `schema`, `command`, `model`, `provenance`, and of these what was
asked for: {keys}.

<details><summary>JSON Schema</summary>

```json
{schema}
```

</details>
"""


def help_of(*command: str) -> str:
    """What `--help` prints, without what hangs on the machine."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("LLMINSPECT_")}
    environ = {**kept, "COLUMNS": str(COLUMNS), "TERMINAL_WIDTH": str(COLUMNS), "PYTHONPATH": str(ROOT)}
    program = [sys.executable, "-m", "llminspect", *command, "--help"]
    shown = subprocess.run(program, capture_output=True, text=True, env=environ, cwd=ROOT, check=True).stdout
    return "\n".join(line.rstrip() for line in shown.strip("\n").split("\n"))


def contents() -> str:
    """The page that lists the others."""
    lines = "\n".join(f"- [{name}]({name}.md)" for name in command_names())
    return f"""# Reference

Made from the code by `make docs WRITE=1`: the options of every command and the JSON Schema of what it writes.

{lines}

The [words](terms.md) that these pages use, each in two lines.

```text
{help_of()}
```
"""


def words() -> str:
    """The page of the words, as `llminspect help TOPIC` has them."""
    return "\n".join(["# Words\n", "As `llminspect help TOPIC` explains them.\n", *map(_word, terms())])


def _word(term: Topic) -> str:
    also = f" ({', '.join(term.also)})" if term.also else ""
    page = f"../{term.page.removeprefix('docs/')}" if term.page.startswith("docs/") else f"../../{term.page}"
    return f"**{term.name}**{also}: {term.text} [{term.heading}]({page}), `{term.example}`\n"


def pages() -> dict[Path, str]:
    """Every page of the reference, as it should be."""
    made = {FOLDER / "README.md": contents(), FOLDER / "terms.md": words()}
    return made | {FOLDER / f"{name}.md": written(name) for name in command_names()}


def check(*, write: bool = False) -> list[str]:
    """The pages that are not as the code says; with `write` they are written."""
    wanted = pages()
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text("utf-8") != text]
    gone = [path for path in FOLDER.glob("*.md") if path not in wanted]
    if write:
        FOLDER.mkdir(exist_ok=True)
        for path in stale:
            path.write_text(wanted[path], encoding="utf-8")
        for path in gone:
            path.unlink()
    return sorted(path.relative_to(ROOT).as_posix() for path in [*stale, *gone])
