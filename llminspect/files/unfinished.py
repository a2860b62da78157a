"""What a long run has found so far, kept in the cache until it is done: a stopped run goes on from there."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from llminspect.errors import UserError
from llminspect.files.home import existing, subfolder, write_whole

LARGEST = 64 << 20
"""Bytes of a state that is read."""


class Unfinished:
    """The state of one run, by a hash of all that it hangs on."""

    def __init__(self, *of: Any) -> None:
        whole = json.dumps(of, sort_keys=True, default=str, ensure_ascii=True)
        self._key = hashlib.sha256(whole.encode()).hexdigest()

    def _path(self, folder: Path) -> Path:
        return folder / f"{self._key[:32]}.json"

    def read(self) -> dict[str, Any] | None:
        """The state of a run that was stopped; None where there is none, or none that is whole."""
        with suppress(OSError, ValueError, RecursionError, UserError):
            path = self._path(existing("unfinished"))
            if path.stat().st_size <= LARGEST:
                state = json.loads(path.read_bytes())
                if isinstance(state, dict) and state.get("key") == self._key:
                    return state
        return None

    def write(self, state: dict[str, Any]) -> None:
        """Keep a state. Where the cache cannot be written the run goes on without."""
        with suppress(OSError, UserError):
            write_whole(self._path(subfolder("unfinished")), json.dumps({**state, "key": self._key}).encode())

    def remove(self) -> None:
        """It is done."""
        with suppress(OSError, UserError):
            self._path(existing("unfinished")).unlink(missing_ok=True)
