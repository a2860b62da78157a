"""A rendering as a piece of a page that is not ours, for notebooks: in the colours of the reader's screen."""

from __future__ import annotations

import hashlib
import io
from html import escape
from typing import TYPE_CHECKING

from rich.console import Console
from rich.segment import Segment

from llminspect.render.cells import THEMES
from llminspect.render.picture import FONTS

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.style import Style

_HTML = """<style>
#{name} {{ font: 13px/1.25 {fonts}; margin: 0; padding: 1em; overflow-x: auto; white-space: pre; border-radius: 6px; \
text-align: left; {light} }}
{light_rules}
@media (prefers-color-scheme: dark) {{
#{name} {{ {dark} }}
{dark_rules}
}}
</style><pre id="{name}">{body}</pre>"""


def notebook(rendering: RenderableType, width: int) -> str:
    """The rendering in `width` columns as HTML: light, and dark where the reader's screen is.

    Its rules hold for its own element alone, which is named after what it shows: several stand side by side.
    """
    console = Console(
        file=io.StringIO(),
        width=width,
        force_terminal=True,
        highlight=False,
        markup=False,
        emoji=False,
        color_system="truecolor",
        legacy_windows=False,
    )
    names: dict[tuple[str, str], str] = {}
    body = []
    for text, style, _ in Segment.simplify(Segment.filter_control(console.render(rendering))):
        rules = _rules(style)
        if any(rules):
            body.append(f'<span class="{names.setdefault(rules, f"c{len(names)}")}">{escape(text)}</span>')
        else:
            body.append(escape(text))
    whole = "".join(body)
    name = f"llminspect-{hashlib.sha256(whole.encode('utf-8', 'replace')).hexdigest()[:12]}"
    light, dark = (
        f"color: {theme.foreground_color.hex}; background: {theme.background_color.hex};"
        for theme in (THEMES["light"], THEMES["dark"])
    )
    return _HTML.format(
        name=name,
        fonts=FONTS,
        light=light,
        dark=dark,
        light_rules="\n".join(f"#{name} .{short} {{ {rules[0]} }}" for rules, short in names.items()),
        dark_rules="\n".join(
            f"#{name} .{short} {{ {rules[1]} }}" for rules, short in names.items() if len(set(rules)) > 1
        ),
        body=whole,
    )


def _rules(style: Style | None) -> tuple[str, str]:
    """The CSS of a style on a light page and on a dark one."""
    return ("", "") if style is None else tuple(style.get_html_style(THEMES[name]) for name in ("light", "dark"))  # type: ignore[return-value]
