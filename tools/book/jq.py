"""`jq` where the program is not installed: its own library through the binding `jq`, with the options of the demos."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

import jq


def main() -> int:
    parser = argparse.ArgumentParser(prog="jq")
    for short, long in (("-r", "--raw-output"), ("-c", "--compact-output"), ("-s", "--slurp")):
        parser.add_argument(short, long, action="store_true")
    parser.add_argument("--arg", nargs=2, action="append", default=[])
    parser.add_argument("--argjson", nargs=2, action="append", default=[])
    parser.add_argument("filter")
    words = parser.parse_args()
    named: dict[str, Any] = {**dict(words.arg), **{name: json.loads(text) for name, text in words.argjson}}
    try:
        results = jq.compile(words.filter, args=named).input_text(sys.stdin.read(), slurp=words.slurp).all()
    except ValueError as error:
        print(f"jq: {error}", file=sys.stderr)
        return 5
    for result in results:
        if words.raw_output and isinstance(result, str):
            print(result)
        else:
            compact = {"separators": (",", ":")} if words.compact_output else {"indent": 2}
            print(json.dumps(result, ensure_ascii=False, **compact))
    return 0


if __name__ == "__main__":
    sys.exit(main())
