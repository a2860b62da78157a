"""One drawing of a dark and a light one: it is dark, and light for whoever reads light pages, without a second file."""

from __future__ import annotations

import re
from collections import Counter, defaultdict

COLOR = re.compile(r'(fill|stroke)="(#[0-9a-f]{6})"')


def in_both(dark: str, light: str) -> str:
    """The dark drawing, with a rule for each colour that is another one in the light drawing of the same shapes.

    A program that knows no such rules shows the dark one.

    >>> in_both('<svg>\\n<a fill="#000000"/>', '<svg>\\n<a fill="#ffffff"/>').split("\\n")[1]
    '<style>@media (prefers-color-scheme: light) { [fill="#000000"] { fill: #ffffff } }</style>'
    """
    if COLOR.sub(r"\1", dark) != COLOR.sub(r"\1", light):
        raise ValueError("the two drawings have other shapes")
    both = zip(COLOR.finditer(dark), COLOR.finditer(light), strict=True)
    pairs = [(found[1], found[2], other[2]) for found, other in both]
    counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for attribute, color, lit in pairs:
        counts[attribute, color][lit] += 1
    usual = {place: lit.most_common(1)[0][0] for place, lit in counts.items()}
    # Where one dark colour stands for two light ones, the rarer has a class, whose rule comes after that of the colour.
    rarer = dict.fromkeys(pair for pair in pairs if usual[pair[:2]] != pair[2])
    classes = {pair: f"c{number}" for number, pair in enumerate(rarer)}
    rules = [f'[{name}="{color}"] {{ {name}: {lit} }}' for (name, color), lit in usual.items() if lit != color]
    rules += [f".{name} {{ {attribute}: {lit} }}" for (attribute, _, lit), name in classes.items()]
    rest = iter(pairs)

    def named(found: re.Match[str]) -> str:
        name = classes.get(next(rest))
        return found[0] if name is None else f'class="{name}" {found[0]}'

    opening, _, body = COLOR.sub(named, dark).partition("\n")
    return f"{opening}\n<style>@media (prefers-color-scheme: light) {{ {' '.join(rules)} }}</style>\n{body}"
