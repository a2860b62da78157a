"""Progress bars on standard error."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llminspect.arguments.shared import OutputOptions
    from llminspect.opening import Progress

MOMENT = 4 << 20
"""Bytes that are fetched or prepared before anybody wonders."""


class ProgressBars:
    """A progress bar on standard error where that is a terminal; where it is not, a line for what is worth one."""

    def __init__(self, output: OutputOptions) -> None:
        self.quiet = output.quiet
        self.bar: Any = None
        self.tasks: dict[str, Any] = {}

    def __enter__(self) -> Progress | None:
        return None if self.quiet else self._step

    def _step(self, what: str, done: int, total: int | None) -> None:
        if what not in self.tasks:
            self._start(what, total)
        elif self.bar is not None:
            self.bar.update(self.tasks[what], completed=done, total=total)

    def _start(self, what: str, total: int | None) -> None:
        if not sys.stderr.isatty():
            self.tasks[what] = None
            if total is None or total > MOMENT:
                sys.stderr.write(f"llminspect: {what} …\n")
            return
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

        if self.bar is None:
            columns = (
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                DownloadColumn(),
                TimeRemainingColumn(),
            )
            self.bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self.bar.start()
        self.tasks[what] = self.bar.add_task(what, total=total)

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()
