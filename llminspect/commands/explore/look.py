"""How the screen is laid out and coloured, and the line of the panes."""

from __future__ import annotations

from rich.style import Style

from llminspect.analysis.explore.state import PANES
from llminspect.render.prose import Text

CSS = """
Screen { layers: base above; }
Screen:light { background: #ffffff; }
* { scrollbar-color: #767676; scrollbar-color-hover: #767676; scrollbar-color-active: #767676;
  scrollbar-background: $background; scrollbar-background-hover: $background;
  scrollbar-background-active: $background; }
*:light { scrollbar-background: #ffffff; scrollbar-background-hover: #ffffff; scrollbar-background-active: #ffffff; }
#text, #line { height: 1; border: none; padding: 0 1; background: $surface; }
#text:focus, #line:focus { border: none; background: $boost; }
#tokens { height: auto; max-height: 4; padding: 0 1; }
#tabs, #about { height: 1; padding: 0 1; }
#key { height: auto; max-height: 3; padding: 0 1; }
#status { height: auto; max-height: 4; padding: 0 1; }
#about { text-style: italic; }
#panes { height: 1fr; }
#body { width: 1fr; padding: 0 1; scrollbar-size-vertical: 1; }
#side { width: 62; padding: 0 1; border-left: solid $panel; display: none; scrollbar-size-vertical: 1; }
#side.wide { display: block; }
#line { display: none; }
"""


def use_colors() -> None:
    """Let Textual draw in the colours that the terminal has; it takes them for granted, and the views ask for them."""
    from rich.console import Console
    from textual import constants

    found = Console()
    vars(constants)["COLOR_SYSTEM"] = (found.color_system if found.is_terminal else None) or "truecolor"


def tabs(pane: str, changes: int, columns: int) -> Text:
    """The panes by their numbers; [ ] stand around the one that is open. Where there is no room for all names, only
    the open one has its name."""
    names = [f"{name} {changes}" if name == "changes" and changes else name for name in PANES]
    narrow = sum(len(name) + 4 for name in names) + 2 > columns
    line = Text(no_wrap=True, overflow="crop")
    for number, (name, shown) in enumerate(zip(PANES, names, strict=True), 1):
        here = name == pane
        text = f"{number} {shown}" if here or not narrow else str(number)
        line.append(
            f"[{text}]" if here else f" {text} ", Style(bold=here, reverse=here) + Style.from_meta({"pane": name})
        )
    return line
