"""Nothing that a stranger wrote moves the cursor, sets the title, rings, reverses or scripts, whatever draws it."""

from __future__ import annotations

import re
import xml.etree.ElementTree
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from tests.hostile import model
from tests.hostile.terminal import COLOURS, PROGRESS, DisobeyedError, Session, shown

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Program, Ran

MODEL = "MODEL"
"""Stands for the path of the hostile model."""

RENDERINGS = [
    ["tokenize"],
    ["tokenize", "--steps"],
    ["tokenize", "--special"],
    ["tokenize", "--compare", "o200k_base", "--compare", "words"],
    ["tokenize", "--chat"],
    ["encode"],
    ["encode", "--one-hot"],
    ["embed"],
    ["embed", "--nearest", "5"],
    ["embed", "--similarity"],
    ["embed", "--nearest", "3", "--words"],
    ["embed", "--project", "pca"],
    ["embed", "--positions"],
    ["attend"],
    ["attend", "--layer", "0", "--head", "1"],
    ["attend", "--query", "2"],
    ["attend", "--find", "alert->taken"],
    ["attend", "--rollout"],
    ["attend", "--layer", "1", "--head", "0", "--contributions"],
    ["forward"],
    ["forward", "--trace"],
    ["forward", "--lens"],
    ["forward", "--attribution"],
    ["forward", "--saliency"],
    ["forward", "--surprise"],
    ["forward", "--ablate", "0.1"],
    ["forward", "--patch", model.TEXT.swapcase(), "--into", "1.stream"],
    ["forward", "--chat"],
    ["generate", "--temperature", "9", "--seed", "3", "--max-tokens", "30"],
    ["generate", "--steps", "--temperature", "9", "--seed", "3", "--max-tokens", "9"],
    ["generate", "--beams", "3", "--max-tokens", "5"],
    ["generate", "--tree", "2", "--max-tokens", "5"],
    ["generate", "--n", "3", "--temperature", "9", "--seed", "1", "--max-tokens", "5"],
    ["generate", "--stream", "--temperature", "9", "--seed", "3", "--max-tokens", "30"],
    ["generate", "--watch", "--temperature", "9", "--seed", "3", "--max-tokens", "5"],
    ["diff", "--against", "\x1b[2J\u202e[/red]"],
]
INFORMATION = [
    ["info", MODEL],
    ["info", MODEL, "--tensors"],
    ["models"],
    ["cache"],
    ["verify", MODEL],
    ["encode", "--search", "*", "--longest", "--limit", "60", "--model", MODEL],
    ["encode", "--search", "*taken*", "--model", MODEL],
    ["forward", "--chat", "\x1b[2J", "--model", MODEL],
]


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LLMINSPECT_HOME", str(tmp_path / "cache\x1b[2J"))
    return model.write(tmp_path)


def arguments_for(rendering: list[str], path: Path) -> list[str]:
    """With the hostile text and the hostile model where they belong."""
    if rendering in INFORMATION:
        return [str(path) if argument is MODEL else argument for argument in rendering]
    return [*rendering, model.TEXT, "--model", str(path)]


def name_of(rendering: list[str]) -> str:
    return " ".join(rendering).encode("unicode_escape").decode()


@pytest.mark.parametrize("rendering", [*RENDERINGS, *INFORMATION], ids=name_of)
def test_renderings(rendering: list[str], hostile: Path, called: Program, tmp_path: Path) -> None:
    arguments = arguments_for(rendering, hostile)
    ran = called(*arguments, FORCE_COLOR="1", COLUMNS="100")
    assert ran.code in (0, 4), ran.err
    text = shown(ran.raw, PROGRESS if "--watch" in rendering else COLOURS | {"tab"})
    shown(ran.err.encode())
    if rendering[0] in ("tokenize", "forward", "generate") and "--chat" not in rendering:
        assert re.search("[\u2400-\u2421‹]", text), text  # It was there to be drawn.


SAVED = [one for one in (*RENDERINGS, *INFORMATION) if not {"--stream", "--watch"} & set(one)]
"""What streams or is redrawn has no form of its own in a file."""


@pytest.mark.parametrize("rendering", SAVED, ids=name_of)
def test_what_is_saved(rendering: list[str], hostile: Path, called: Program, tmp_path: Path) -> None:
    for ending in ("svg", "html", "txt"):
        path = tmp_path / f"saved\x1b[2J.{ending}"
        ran = called(*arguments_for(rendering, hostile), "--save", str(path), FORCE_COLOR="1", COLUMNS="100")
        assert ran.code in (0, 4), ran.err
        shown(ran.raw + ran.err.encode(), COLOURS | {"tab"})
        data = path.read_bytes()
        shown(data, COLOURS - {"select_graphic_rendition"})
        if ending == "svg":
            check_svg(data.decode())
        elif ending == "html":
            check_html(data.decode())


PAGES = (["attend"], ["forward", "--lens"], ["tokenize", "--compare", "bytes"])


@pytest.mark.parametrize("rendering", PAGES, ids=name_of)
def test_a_page_to_point_at_has_marks_for_what_a_name_hides(
    rendering: list[str], hostile: Path, called: Program, tmp_path: Path
) -> None:
    """In its title, where no script can put them, as in everything else that the file holds."""
    path = tmp_path / "page.html"
    ran = called(*arguments_for(rendering, hostile), "--save", str(path), "--interactive")
    assert ran.code == 0, ran.err
    page = path.read_text("utf-8")
    shown(page.encode(), COLOURS - {"select_graphic_rendition"} | {"tab"})
    (title,) = re.findall("<title>(.*?)</title>", page, re.S)
    assert "␛" in title and "‹U+202E›" in title and title.isprintable()
    assert "Content-Security-Policy" in page


def test_a_picture_of_pixels_holds_no_words(hostile: Path, called: Program, tmp_path: Path) -> None:
    """No title, no comment: nothing but its size, its pixels and its end."""
    path = tmp_path / "saved.png"
    assert called("tokenize", "a", "--model", str(hostile), "--save", str(path)).code == 0
    data, at, found = path.read_bytes(), 8, set()
    while at < len(data):
        found.add(data[at + 4 : at + 8])
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    assert found == {b"IHDR", b"IDAT", b"IEND"}


SVG = {
    "svg": {"width", "height", "viewBox"},
    "rect": {"x", "y", "width", "height", "rx", "fill", "shape-rendering"},
    "circle": {"cx", "cy", "r", "fill"},
    "g": {"font-family", "font-size", "transform"},
    "text": {"x", "y", "textLength", "lengthAdjust", "fill", "font-weight", "font-style"},
}


def check_svg(text: str) -> None:
    """Elements and attributes that draw, and no others."""
    for element in xml.etree.ElementTree.fromstring(text).iter():
        name = element.tag.removeprefix("{http://www.w3.org/2000/svg}")
        assert name in SVG, name
        assert set(element.attrib) <= SVG[name], element.attrib


META = {("meta", "http-equiv"), ("meta", "content")}


class Page(HTMLParser):
    """A page that scripts nothing and loads nothing."""

    allowed = frozenset({"html", "head", "meta", "title", "style", "body", "pre", "span"})

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in self.allowed, tag
        for name, value in attrs:
            assert name in ("lang", "charset", "class", "style") or (tag, name) in META, (name, value)
            assert "url" not in (value or "")

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)

    def unknown_decl(self, data: str) -> None:
        raise AssertionError(data)


def check_html(text: str) -> None:
    Page(convert_charrefs=True).feed(text)


ERRORS = [
    ["tokenize", "a", "--model", "no\x1b]0;taken\x07\u202e such"],
    ["tokenize", "a", "--model", "no/\x1b[2J"],
    ["tokenize", "--file", "/nowhere/\x1b]0;taken\x07\x9b2J\u202e"],
    ["tokenize", "a", "--\x1b[2Joption"],
    ["tokenize", "a", "--save", "\x1b[2J.\u202e"],
    ["tokenize", "a", "--parse", "\x1b[2J"],
    ["tokenize", "a", "--compare", "\x1b[2J"],
    ["\x1b]0;taken\x07"],
    ["encode", "--ids", "\x1b[2J", "--model", MODEL],
    ["encode", "--search", "no\x1b[2J", "--model", MODEL],
    ["attend", "a", "--query", "no\x1b[2J\u202e", "--model", MODEL],
    ["attend", "a", "--find", "no\x1b[2J->x\x07", "--model", MODEL],
    ["attend", "a", "--layer", "\x1b[2J", "--model", MODEL],
    ["forward", "a", "--target", "no\x1b[2J", "--model", MODEL],
    ["forward", "a", "--ablate", "\x1b[2J\u202e", "--model", MODEL],
    ["forward", "a", "--steer", "\x1b[2J\u202e", "--model", MODEL],
    ["embed", "--analogy", "\x1b[2J +- \u202e", "--model", MODEL],
    ["cache", "clear", "\x1b[2J\u202e"],
    ["cache", "clear", "--limit", "\x1b[2J"],
    ["pull", "\x1b[2J"],
    ["pull", "a\x1b[2J/b"],
    ["info", "\x1b[2J"],
    ["schema", "\x1b[2J"],
    ["verify", MODEL, "--against", "/nowhere/\x1b[2J.npz"],
    ["walk", "\x1b[2J"],
]


@pytest.mark.parametrize("given", ERRORS, ids=name_of)
@pytest.mark.parametrize("json", [False, True])
def test_errors(given: list[str], json: bool, hostile: Path, called: Program) -> None:
    arguments = [str(hostile) if argument is MODEL else argument for argument in given]
    ran = called(*arguments, *(["--json"] if json else []), FORCE_COLOR="1", LLMINSPECT_OFFLINE="1", HF_HUB_OFFLINE="1")
    assert ran.code in (1, 2, 3) or given[:2] == ["encode", "--search"]
    assert one_line(ran) or not ran.code
    if json and ran.code:
        assert ran.json["error"]["message"]


def one_line(ran: Ran) -> str:
    """The error, with nothing else on standard error."""
    text = shown(ran.err.encode())
    assert "Traceback" not in text
    assert text.count("\n") <= 1
    return text


FILES = {
    "not a model.gguf": b"\x1b[2J" * 9,
    "unclaimed.gguf": model.content().replace(b"output_norm.weight", b"output_\x1b[2J\x07.weigh"),
    "kind.gguf": model.content().replace(b"llama", b"\x1b[2J\x07"),
    "template.gguf": model.content(model.RAISING),
    "weights.safetensors": b'\x08\0\0\0\0\0\0\0{"\x1b[2J"',
}


@pytest.mark.parametrize("name", FILES)
def test_errors_of_files(name: str, called: Program, tmp_path: Path) -> None:
    path = tmp_path / f"\x1b[2J{name}"
    path.write_bytes(FILES[name])
    ran = called("forward", "--chat", "a", "--model", str(path), FORCE_COLOR="1")
    assert ran.code in (1, 2, 3)
    assert one_line(ran)


@pytest.mark.parametrize(
    "arguments",
    [
        ["forward"],
        ["forward", "--json"],
        ["generate", "--stream", "--temperature", "9", "--seed", "3", "--max-tokens", "30"],
        ["generate", "--watch", "--temperature", "9", "--seed", "3", "--max-tokens", "5"],
        ["tokenize", "--json"],
        ["encode", "--decode", "--ids", "260,261,262,263,270,3"],
        ["tokenize", "--truncate", "30"],
    ],
    ids=name_of,
)
def test_in_a_terminal(arguments: list[str], hostile: Path) -> None:
    """With progress bars and whatever is redrawn, which only a terminal gets."""
    text = [] if "--ids" in arguments else [model.TEXT]
    session = Session([*arguments, *text, "--model", str(hostile)], {})
    assert session.finish() == 0, session.raw
    shown(session.raw, PROGRESS | {"tab"})


@pytest.mark.parametrize("attack", [*model.ATTACKS[:7], model.ATTACKS[12], "\x1b", "\x1b[2", "\x1b[?25l", "\x1bc"])
def test_the_terminal_of_these_tests_sees_attacks(attack: str) -> None:
    with pytest.raises(DisobeyedError):
        shown(f"a{attack}b".encode())


@pytest.mark.parametrize("text", ["<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>", "<svg onload='a()'/>"])
def test_the_checks_of_these_tests_see_scripts(text: str) -> None:
    with pytest.raises(AssertionError):
        check_svg(text)
    with pytest.raises(AssertionError):
        check_html(text)
