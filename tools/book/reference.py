"""The pages of docs/reference/: every command's help and the JSON Schema of what it writes, made from the code."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import orjson

from llminspect.cli.schema import result_keys
from llminspect.commands import names as command_names
from llminspect.commands import result_types
from llminspect.commands.schema import schema as command_schema
from tools.book.blocks import COLUMNS, ROOT

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = ROOT / "docs" / "reference"


def written(name: str) -> str:
    """The page of one command."""
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

```text
{help_of()}
```
"""


def pages() -> dict[Path, str]:
    """Every page of the reference, as it should be."""
    return {FOLDER / "README.md": contents()} | {FOLDER / f"{name}.md": written(name) for name in command_names()}


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
