"""Short entries one after the other, such as a token and its probability; a line ends between two, never inside one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions
from rich.containers import Lines
from rich.measure import Measurement
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

GAP = "  "


class Entries(Text):
    """Entries with a gap between them; with `one_line` as many as fit on one."""

    def __init__(self, entries: Sequence[Text], *, one_line: bool = False) -> None:
        super().__init__()
        self.entries, self.one_line = entries, one_line
        self.append_text(Text(GAP).join(entries))

    @property
    def longest(self) -> int:
        """Cells of the longest entry."""
        return max((entry.cell_len for entry in self.entries), default=0)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        most = options.max_width
        return Measurement(min(self.longest, most), min(self.cell_len, most))

    def wrap(self, console: Console, width: int, **settings: Any) -> Lines:
        """The lines; an entry that is wider than the width is folded as a text is."""
        lines = Lines()
        for line in self._filled(width):
            lines.extend(line.wrap(console, width, **settings))
            if self.one_line:
                break
        return lines

    def _filled(self, width: int) -> Iterator[Text]:
        line: Text | None = None
        for entry in self.entries:
            if line is None:
                line = entry.copy()
            elif line.cell_len + len(GAP) + entry.cell_len <= width:
                line.append(GAP).append_text(entry)
            else:
                yield line
                line = entry.copy()
        yield Text() if line is None else line
