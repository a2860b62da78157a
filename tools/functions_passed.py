"""How many functions a command passes, and in how many files: `python -m tools.functions_passed attend "A cat sat."`.

Each function counts once that is entered at least once, in every thread; class bodies, comprehensions and lambdas do
not, nor what Python's `dataclasses` writes. `--list` in front names them in the order in which they are entered, each
below the one that it is called from.
"""

from __future__ import annotations

import contextlib
import io
import runpy
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import CodeType, FrameType

PACKAGE = Path(__file__).parent.parent / "llminspect"
OF_A_FUNCTION = 1
"""The flag of code that a class body does not have (CO_OPTIMIZED)."""


def passed(words: list[str]) -> dict[CodeType, int]:
    """The functions that one run of the command line enters, and how many others of the package each lies below."""
    found: dict[CodeType, int] = {}

    def depth(frame: FrameType | None) -> int:
        below = 0
        while (frame := frame.f_back if frame else None) is not None:
            below += frame.f_code.co_filename.startswith(str(PACKAGE))
        return below

    def look(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        ours = event == "call" and code not in found and code.co_filename.startswith(str(PACKAGE))
        if ours and code.co_flags & OF_A_FUNCTION and not code.co_name.startswith("<"):
            found[code] = depth(frame)

    sys.argv = ["llminspect", *words]
    threading.setprofile(look)
    sys.setprofile(look)
    try:
        with contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO())), contextlib.suppress(SystemExit):
            runpy.run_module("llminspect", run_name="__main__", alter_sys=True)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return found


def main() -> None:
    listed, words = sys.argv[1:2] == ["--list"], sys.argv[1:]
    found = passed(words[listed:])
    files = {code.co_filename for code in found}
    for code, below in found.items() if listed else ():
        print("  " * below + Path(code.co_filename).relative_to(PACKAGE).as_posix(), code.co_qualname)
    print(f"{len(found)} functions in {len(files)} files")


if __name__ == "__main__":
    main()
