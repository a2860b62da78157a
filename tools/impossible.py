"""What becomes of a model whose configuration says what cannot be?

    python tools/impossible.py [NAME ...]

Each key of each golden configuration, also of the objects in it, is given each of some impossible values. A pass over a
text of that folder has to end with numbers or with an error of one line: no traceback, no warning of a library, no exit
code that is not one of ours. Exits with 1 where one does not.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from defaults import changed, places

from llminspect.__main__ import run
from llminspect.errors import UserError, understood
from llminspect.model.registry import architecture_of
from tests.drawn import make_all

if TYPE_CHECKING:
    from collections.abc import Iterator

GOLDEN = Path(__file__).parent.parent / "tests" / "golden"
NUMBERS = (-1, 0, 1, 3, 1e-300, -1e-9, 1e300, 10**30, float("nan"), float("inf"))
OTHERS = (True, False, None, "", "1", "strange", [], [1], [[]], {}, {"a": 1})
SENT = ["forward", "--ids", "5,6,7", "--json", "--model"]


def opened(config: dict[str, Any]) -> Any:
    """What is read of a configuration; a text where it is refused."""
    try:
        with understood("config.json"):
            return architecture_of(config, "huggingface", "it").config_from_huggingface(config)
    except UserError as error:
        return error.message


def faults(
    name: str, folder: Path, counts: Counter[str], seen: set[tuple[str, str]], unnamed: set[str]
) -> Iterator[str]:
    for path in (GOLDEN / name).glob("model*.safetensors*"):
        shutil.copy(path, folder)
    for file in ("config.json", "config.older.json"):
        config = json.loads((GOLDEN / name / file).read_text())
        (folder / "config.json").write_text(json.dumps(config))
        if code := program(str(folder))[0]:
            raise SystemExit(f"{name}: the model as it is ends with {code}")
        whole = opened(config)
        for place in places(config):
            if place[-1] == "model_type":  # Which says whose keys they are.
                continue
            for value in (*NUMBERS, *OTHERS):
                other = changed(config, place, value)
                (folder / "config.json").write_text(json.dumps(other))
                found = opened(other)
                if isinstance(found, str):
                    counts["refused"] += 1
                    if place[-1] not in found:
                        unnamed.add(f"{config['model_type']}: {'.'.join(place)} = {value!r}: {found}")
                    continue
                # What the reading of a configuration does not see is the same for all.
                if found == whole and (place[-1], repr(value)) in seen and "label" not in place[-1]:
                    continue
                seen.add((place[-1], repr(value)))
                code, out, answer = program(str(folder))
                counts["refused" if code else "computed"] += 1
                if what := wrong(code, out, answer):
                    yield f"{name}: {'.'.join(place)} = {value!r}: {what}"


def wrong(code: int | str, out: str, answer: str) -> str:
    lines = [line for line in answer.splitlines() if line.strip()]
    if code == 0:
        if "NaN" in out or "Infinity" in out:
            return "NaN in the output"
        return f"says {answer!r}" if "arning" in answer else ""
    if code not in (1, 2, 3):
        return f"{code}: {answer[-300:]!r}"
    return "" if len(lines) <= 2 and lines[0].startswith("llminspect: ") else f"{code}: {answer!r}"


def program(folder: str) -> tuple[int | str, str, str]:
    """The exit code, and what is written on both streams; the name of the error where one comes through."""
    out, answer = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(answer), warnings.catch_warnings():
        warnings.simplefilter("always")
        try:
            code: int | str = run([*SENT, folder])
        except BaseException as error:
            code = f"{type(error).__name__}: {error}"
    return code, written(out), written(answer)


def written(stream: io.TextIOWrapper) -> str:
    stream.flush()
    stream.seek(0)
    return stream.read()


def main() -> None:
    make_all()
    names = sys.argv[1:] or sorted(path.parent.name for path in GOLDEN.glob("*/expected.npz"))
    counts: Counter[str] = Counter()
    number, seen, unnamed = 0, set[tuple[str, str]](), set[str]()
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["LLMINSPECT_HOME"] = f"{folder}/home"
            for what in faults(name, Path(folder), counts, seen, unnamed):
                print(what, flush=True)
                number += 1
    for what in sorted(unnamed):
        print(f"the key is not named: {what}")
    print(", ".join(f"{count:,} {what}" for what, count in counts.items()), f"{number} wrong", sep="; ")
    sys.exit(bool(number))


if __name__ == "__main__":
    main()
