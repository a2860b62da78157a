"""`python -m llminspect` and the command `llminspect`."""

from __future__ import annotations

import sys

from llminspect.cli import run


def main() -> None:
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
