"""Each command's picture at 60, 80 and 160 columns, in true and in 256 colours: nothing cut, all of it readable; ramps.

A picture does not know whether the terminal is dark or light, so each of its cells has to contrast with both.
"""

from __future__ import annotations

import itertools
import math
import re
from typing import TYPE_CHECKING, get_args

import pytest
from rich.ansi import AnsiDecoder
from rich.cells import cell_len
from rich.color import Color, ColorSystem

from llminspect.render.cells import THEMES
from llminspect.render.theme import RGB, STEPS, Scale, cell_style, luminance
from tests.model.golden import Golden
from tools.book.blocks import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.style import Style
    from rich.text import Text

    from tests.conftest import Program

GOLDEN = ROOT / "tests" / "golden"
CAT = ("A cat sat.", "--model", "toy-attention")
TOADS = ("Mr Toad met Mrs Hen. Mr", "Mrs Toad met Mr Hen. Mr")
INDUCTION = ("--model", "toy-induction")
CIRCUIT = ("circuit", *TOADS)
LABELLED = "".join(
    f'{{"text": "{one} Toad met {other} Hen. {last}", "label": "{last}"}}\n'
    for one, other, last in itertools.product(("Mr", "Mrs"), repeat=3)
)
"""Records for `-`: the last word is the label."""
DICTIONARY = str(GOLDEN / "dictionaries" / "toy")
GPT = ("--ids", "5,6,7,8,9", "--model", str(Golden("gpt2").folder))
PICTURES: dict[str, tuple[str, ...]] = {
    "tokens": ("tokenize", "naïve café 🙂 日本\nand a second line", "--model", "gpt-4o"),
    "compare": ("tokenize", "naïve café", "--compare", "o200k_base", "--compare", "bytes"),
    "merges": ("tokenize", "unbelievable", "--model", "gpt-4o", "--steps"),
    "chat": ("tokenize", "--chat", "--user", "hello", "--model", "gpt-4o"),
    "ids": ("encode", "Alice gave Bob her book", "--model", "gpt-4o"),
    "one-hot": ("encode", "HI", "--letters", "--one-hot"),
    "vectors": ("embed", *GPT),
    "similarity": ("embed", *GPT, "--similarity", "--nearest", "3", "--project", "pca"),
    "positions": ("embed", *GPT, "--positions"),
    "attention": ("attend", *GPT),
    "a head": ("attend", *GPT, "--layer", "1", "--head", "1", "--show", "weights,scores,scaled,values"),
    "by hand": ("attend", *CAT, "--query", "cat"),
    "find": ("attend", *GPT, "--find", "3->1"),
    "rollout": ("attend", *GPT, "--rollout", "--contributions"),
    "steps": ("forward", "world", "--model", "toy"),
    "forward": ("forward", *GPT),
    "trace": ("forward", *GPT, "--trace"),
    "lens": ("forward", *GPT, "--lens", "--all"),
    "why": ("forward", *GPT, "--attribution", "--saliency"),
    "surprise": ("forward", *GPT, "--surprise"),
    "a layer": ("forward", *GPT, "--layer", "1"),
    "ablation": ("forward", *GPT, "--ablate", "1.0"),
    "patch": ("forward", "hello", "--model", "toy", "--patch", "world"),
    "writing": ("generate", *GPT, "--max-tokens", "4", "--alternatives", "3", "--steps"),
    "tree": ("generate", *GPT, "--max-tokens", "3", "--tree", "2"),
    "diff": ("diff", "hello", "--model", "toy", "--against", "world"),
    "inside": ("info", str(Golden("gpt2").folder)),
    "checked": ("verify", "toy"),
    "models": ("models",),
    "kinds": ("models", "--kinds"),
    "sizes": ("models", "--picture", "sizes"),
    "words": ("help",),
    "a word": ("help", "logit"),
    "keys": ("schema",),
    "a head's weights": ("head", "0.0", "--model", "toy-induction", "--no-words"),
    "a neuron": ("neuron", "0.1", "--model", "toy-relu", "--no-words"),
    "a circuit": (*CIRCUIT, "--model", "toy-induction", "--keep", "0.5"),
    "weights apart": ("diff", "--model", "toy", "--against-model", "toy-relu", "--weights"),
    "half blocks": ("attend", "--ids", ",".join(map(str, range(4))) + ",0,1,2,3" * 14, *CAT[1:], "--layer", "0"),
    "curve": ("forward", "hello", "--model", "toy-relu", "--layer", "0"),
    "beams": ("generate", *GPT, "--max-tokens", "3", "--beams", "2"),
    "scores": ("forward", *GPT, "--score", "1,2", "--score", "3"),
    "gradients": ("forward", *GPT, "--saliency", "integrated"),
    "the whole way": ("walk", "--no-pause", "A cat sat."),
    "text of ids": ("encode", "--decode", "7356 4502 8363 874 1863", "--model", "gpt-4o"),
    "a probe": ("probe", "-", *INDUCTION, "--folds", "2"),
    "many texts": ("forward", "--over", "-", *INDUCTION, "--attribution"),
    "heads over texts": ("attend", "--over", "-", *INDUCTION),
    "each silenced": ("forward", TOADS[0], *INDUCTION, "--ablate", "each", "--gradient", "--exact"),
    "a sweep": ("forward", TOADS[0], "--patch", TOADS[1], "--sweep", "head", *INDUCTION),
    "noising": ("forward", TOADS[0], "--patch", TOADS[1], "--sweep", "head-position", "--noising", *INDUCTION),
    "pairs": ("circuit", "--over", str(ROOT / "docs" / "demos" / "toads.jsonl"), *INDUCTION),
    "features": ("features", DICTIONARY, "hello world !", "--model", "toy"),
    "a feature": ("features", DICTIONARY, "--feature", "1", "--model", "toy"),
    "a feature changed": ("features", DICTIONARY, "hello world !", "--model", "toy", "--steer", "feature.1*2"),
}
COLORS = (ColorSystem.TRUECOLOR, ColorSystem.EIGHT_BIT)
DRAWN = re.compile(r"[\s─-╿▀-▟⠀-⣿◀▸→←↑↓·•●○◆■▲▼…]*")
"""What is a line, a bar, a dot: a contrast of 3 is enough there (WCAG 2, 1.4.11), where letters need 4.5 (1.4.3)."""
LETTERS, GRAPHICS = 4.5, 3.0
SCALES = get_args(Scale)
ROUNDING = 0.002
"""By how much a colour in whole numbers may be darker than the one before it on a ramp."""


def drawn(called: Program, name: str, width: int, colors: str) -> list[Text]:
    """The lines of a picture, with their styles in true colour (`truecolor`) or in 256 colours (nothing)."""
    environment = {"COLUMNS": str(width), "TERM": "xterm-256color", "COLORTERM": colors}
    records = LABELLED if "-" in PICTURES[name] else None
    ran = called(*PICTURES[name], "--color", "always", stdin=records, **environment)
    assert ran.code == 0, ran.err
    return list(AnsiDecoder().decode(ran.out))


def runs(line: Text) -> Iterator[tuple[str, Style]]:
    """The parts of a line that have one style."""
    from rich.console import Console

    console = Console()
    for segment in line.render(console):
        yield segment.text, segment.style or console.get_style("none")


def shown_colors(style: Style, theme: str) -> tuple[RGB, RGB]:
    """The letters' colour and the one under them, as a terminal with that background shows them."""
    known = THEMES[theme]
    color = known.foreground_color if style.color is None else style.color.get_truecolor(known)
    under = known.background_color if style.bgcolor is None else style.bgcolor.get_truecolor(known, foreground=False)
    if style.reverse:
        color, under = under, color
    if style.dim:
        color = [(part + base) / 2 for part, base in zip(color, under, strict=True)]  # type: ignore[assignment]
    return tuple(color), tuple(under)  # type: ignore[return-value]


def contrast(one: RGB, other: RGB) -> float:
    """The contrast ratio of WCAG 2."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def shaded(text: str, color: RGB, under: RGB) -> tuple[RGB, RGB]:
    """The colours where ░, ▒ and ▓ let a part of what is under them through."""
    part = {"░": 0.25, "▒": 0.5, "▓": 0.75}.get(text.strip()[:1], 1.0)
    red, green, blue = (round(ink * part + paper * (1 - part)) for ink, paper in zip(color, under, strict=True))
    return (red, green, blue), under


def on_no_ramp(style: Style, colors: str) -> list[Color]:
    """Those of the colours that are on neither ramp."""
    system = ColorSystem.TRUECOLOR if colors else ColorSystem.EIGHT_BIT
    known = {
        as_shown(cell_style(scale, place / STEPS).bgcolor, system) for scale in SCALES for place in range(STEPS + 1)
    }
    return [color for color in (style.color, style.bgcolor) if color and as_shown(color, system) not in known]


@pytest.mark.parametrize("name", PICTURES)
def test_every_cell_is_readable_and_nothing_is_cut(name: str, called: Program) -> None:
    wrong = set()
    for width, colors in ((60, "truecolor"), (80, "truecolor"), (80, ""), (160, "truecolor")):
        for line in drawn(called, name, width, colors):
            if cell_len(line.plain) > width and "llminspect" not in line.plain:
                wrong.add(f"{width}: wider: {line.plain}")
            if re.search(r"\d…", line.plain):
                wrong.add(f"{width}: a number is cut: {line.plain}")
            for text, style in runs(line):
                if text.strip("▀▄") == "":  # Two cells of a ramp in one: their colours are their numbers.
                    wrong |= {f"{text} is not on the ramp" for color in on_no_ramp(style, colors)}
                    continue
                least = GRAPHICS if DRAWN.fullmatch(text) else LETTERS
                for theme in ("dark", "light") if text.strip() else ():
                    ratio = contrast(*shaded(text, *shown_colors(style, theme)))
                    if ratio < least:
                        wrong.add(f"{colors or 256} {theme} {ratio:.2f}: {style} {text[:30]!r}")
    assert not wrong, "\n".join(sorted(wrong))


@pytest.mark.parametrize("name", ["many texts", "a circuit"])
def test_a_title_stands_out_from_the_line_below_it(name: str, called: Program) -> None:
    """What is appended to a Text takes on the style that this began with."""
    title, below = drawn(called, name, 160, "truecolor")[:2]
    assert all(style.bold for _, style in runs(title)) and not any(style.bold for _, style in runs(below))


NUMBER = re.compile(r"(?<![\w.…·])[-+]?\d+(\.\d+)?(?=  |$)")
UNITS_OF_ROWS = {"trace", "a layer", "curve", "the whole way", "many texts", "inside"}
"""Pictures with a table whose rows have units, or sizes, of their own."""


def uneven(lines: list[str]) -> list[tuple[str, list[str]]]:
    """The columns of tables, by their names, in which numbers end at the same place and have other decimals."""
    found = []
    for at, rule in enumerate(lines):
        if not re.fullmatch(r" ?─{8,}", rule.rstrip()):
            continue
        rows = list(itertools.takewhile(str.strip, lines[at + 1 :]))
        for name in re.finditer(r"\S+(?: \S+)*", lines[at - 1]):
            numbers = [one[0] for row in rows for one in NUMBER.finditer(row) if one.end() == name.end()]
            if len({len(one.partition(".")[2]) for one in numbers}) > 1:
                found.append((name[0], numbers))
    return found


@pytest.mark.parametrize("name", [name for name in PICTURES if name not in UNITS_OF_ROWS])
def test_numbers_under_each_other_have_the_same_decimals(name: str, called: Program) -> None:
    assert uneven([line.plain for line in drawn(called, name, 160, "truecolor")]) == []


@pytest.mark.parametrize("system", COLORS)
@pytest.mark.parametrize("scale", SCALES)
def test_a_ramp_becomes_lighter_towards_its_end(scale: Scale, system: ColorSystem) -> None:
    """Of a diverging one each half towards the middle; and what stands on it is readable, also in 256 colours."""
    styles = [cell_style(scale, place / STEPS) for place in range(STEPS + 1)]
    lights = []
    for style in styles:
        under, ink = (as_shown(color, system) for color in (style.bgcolor, style.color))
        assert contrast(ink, under) >= LETTERS
        lights.append(luminance(under))
    halves = [lights] if scale == "sequential" else [lights[: STEPS // 2], lights[: STEPS // 2 + 1 : -1]]
    for half in halves:
        assert all(later > earlier - ROUNDING for earlier, later in itertools.pairwise(half))
        assert len(set(half)) >= 7


STEPS_OF_A_HALF = 6
"""Of the diverging ramp in 256 colours, beside the grey in the middle."""


def half_in_256(first: float) -> list[RGB]:
    """The colours of half a diverging ramp in 256 colours, from an end to the middle."""
    places = (first + (0.5 - first) * place / STEPS for place in range(STEPS + 1))
    return [as_shown(cell_style("diverging", place).bgcolor, ColorSystem.EIGHT_BIT) for place in places]


def strengths(half: list[RGB]) -> list[float]:
    """How far each colour is from that of the middle, to the eye."""
    return [math.dist(oklab(color), oklab(half[-1])) for color in half]


@pytest.mark.parametrize("first", [0.0, 1.0])
def test_in_256_colours_half_a_diverging_ramp_has_one_hue_and_even_steps_to_its_grey(first: float) -> None:
    half = half_in_256(first)
    steps = [color for color, _ in itertools.groupby(half)]
    assert len(steps) == len(set(steps)) == STEPS_OF_A_HALF + 1 and len(set(steps[-1])) == 1
    strong = strengths(steps)
    assert all(later < before for before, later in itertools.pairwise(strong))
    hues = [math.degrees(math.atan2(b, a)) % 360 for _, a, b in map(oklab, steps[:-1])]
    assert max(hues) - min(hues) <= 20
    apart = [math.dist(oklab(before), oklab(later)) for before, later in itertools.pairwise(steps)]
    assert max(apart) <= 2 * min(apart)
    lasts = [len(list(run)) for _, run in itertools.groupby(half)]
    assert max(lasts[1:-1]) - min(lasts[1:-1]) <= 4


def test_in_256_colours_both_halves_of_a_diverging_ramp_are_as_strong() -> None:
    negative, positive = half_in_256(0.0), half_in_256(1.0)
    assert negative[-1] == positive[-1]
    grey = [half.count(half[-1]) for half in (negative, positive)]
    assert abs(grey[0] - grey[1]) <= 1 and 0.04 * STEPS <= grey[0] <= 0.12 * STEPS
    steps = ([color for color, _ in itertools.groupby(half)] for half in (negative, positive))
    for one, other in zip(*map(strengths, steps), strict=True):
        assert abs(one - other) <= 0.1


def oklab(color: RGB) -> tuple[float, float, float]:
    """Lightness, green to red, blue to yellow, in which distances are as the eye sees them (Ottosson 2020)."""
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (p / 255 for p in color))
    long = math.cbrt(0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue)
    middle = math.cbrt(0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue)
    short = math.cbrt(0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue)
    return (
        0.2104542553 * long + 0.7936177850 * middle - 0.0040720468 * short,
        1.9779984951 * long - 2.4285922050 * middle + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * middle - 0.8086757660 * short,
    )


def as_shown(color: Color | None, system: ColorSystem) -> RGB:
    assert color is not None
    red, green, blue = color.downgrade(system).get_truecolor()
    return red, green, blue


def test_cosines_that_are_compared_have_equal_decimals(called: Program) -> None:
    out = called("embed", " happy glad sad big large table", "--similarity").out
    assert "Mean cosine of these vectors with each other: 0.210. To judge a cosine" in out
