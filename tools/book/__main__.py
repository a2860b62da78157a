"""`python -m tools.book [--write] [PAGE …]`: run the pages' commands and compare, or write what they write now."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tools.book.blocks import ROOT, commands_of, output_of, pages, prepare
from tools.book.compare import differences
from tools.book.pictures import check as check_pictures
from tools.book.reference import check as check_reference


def check(page: Path, folder: Path, *, write: bool = False) -> list[str]:
    """What differs on a page; with `write` the page gets the outputs of now where they differ."""
    environ = prepare(folder)
    text = page.read_text("utf-8")
    lines, wrong = text.split("\n"), []
    found = [(command, output_of(command.shell, folder / "work", environ)) for command in commands_of(text)]
    for command, output in reversed(found):
        changed = differences(command.output, output)
        if changed:
            place = f"{page.relative_to(ROOT) if page.is_relative_to(ROOT) else page}:{command.first} $ {command.shell}"
            wrong.append("\n".join([place, *changed]))
            lines[command.first : command.last] = output.split("\n") if output else []
    if write and wrong:
        page.write_text("\n".join(lines), encoding="utf-8")
    return wrong[::-1]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.book", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the outputs of now into the pages")
    parser.add_argument("pages", nargs="*", type=Path, help="these pages only")
    words = parser.parse_args()
    failed = False
    made = [] if words.pages else [*check_reference(write=words.write), *check_pictures(write=words.write)]
    for stale in made:
        print(f"{stale}: not as the code says")
        failed = True
    for page in [path.resolve() for path in words.pages] or pages():
        with tempfile.TemporaryDirectory() as folder:
            wrong = check(page, Path(folder), write=words.write)
        for difference in wrong:
            print(difference)
        failed = failed or bool(wrong)
    if failed and not words.write:
        print("\nThe outputs have changed. If that is meant: make docs WRITE=1, and read the difference.")
    return int(failed and not words.write)


if __name__ == "__main__":
    sys.exit(main())
