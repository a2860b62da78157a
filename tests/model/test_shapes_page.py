"""docs/shapes.md lists every name that goes through the tap, with its shape, in the order of the pass."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from llminspect.core.tap import Capture
from tests.model.golden import FOLDER, NAMES, computed

if TYPE_CHECKING:
    from llminspect.core.array import Array
    from llminspect.model.opened import Model
    from tests.model.conftest import Opened

PAGE = FOLDER.parent.parent / "docs" / "shapes.md"
ROW = re.compile(r"^\| `(?P<name>[^`]+)` \| (?P<shape>[A-Z1 ]+) \|", re.MULTILINE)
LISTED = {row["name"]: row["shape"].split() for row in ROW.finditer(PAGE.read_text(encoding="utf-8"))}


NARROW = ("embedding.tokens", "embedding.positions", "embedding.segment", "embedding.sum", "final.norm")
"""What is as wide as a row of the embedding; the last after the layer of the head that predicts words."""


class Recorder(Capture):
    """Keeps everything, and the order in which it came."""

    def __init__(self) -> None:
        super().__init__("*")
        self.order: list[str] = []

    def __call__(self, name: str, array: Array) -> Array:
        self.order.append(name)
        return super().__call__(name, array)


def as_listed(name: str) -> str:
    name = re.sub(r"layers\.\d+\.", "layers.{n}.", name.removeprefix("encoder."))
    return re.sub(r"experts\.\d+\.", "experts.{x}.", name)


@pytest.mark.parametrize("name", NAMES)
def test_the_page_has_every_name_and_shape_in_order(name: str, opened: Opened) -> None:
    golden, model = opened(name)
    tap = Recorder()
    computed(model, golden, tap)
    assert [found for found in tap.order if as_listed(found) not in LISTED] == []
    for found, array in tap.arrays.items():
        assert_shape(found, array, sizes_of(model, found))
    page = list(LISTED)
    layer = [page.index(as_listed(found)) for found in tap.order if found.startswith("layers.0.") and in_pass(found)]
    in_order = [place for place in layer if "experts" not in page[place]]
    if golden.name == "falcon_h1":  # Attention and state side by side: both are mixed before either is added.
        in_order.remove(page.index("layers.{n}.attention.output"))
    assert in_order == sorted(in_order)


def sizes_of(model: Model, name: str) -> dict[str, int]:
    """By letter; a layer may have another number of keys, and heads of another width, than most."""
    config, layer = model.config, re.match(r"layers\.(\d+)\.", name)
    sizes = vars(config.sizes) | {"U": config.sizes.value_width, "M": getattr(config, "embedding_width", 0)}
    sizes["widened"] = "embedding.tokens.projection.weight" in model.params  # Before positions are added.
    if name == "final.norm":
        sizes["M"] = getattr(config, "head_width", 0) or sizes["M"]
    if ".experts." in name and config.experts is not None:
        sizes["D"] = config.experts.latent or sizes["D"]
    keys, width = config.heads_of(0 if layer is None else int(layer[1]))
    return sizes if (keys, width) == (sizes["K"], sizes["U"]) else {**sizes, "K": keys, "E": width, "U": width}


def assert_shape(name: str, array: Array, sizes: dict[str, int]) -> None:
    """T, S, P and N follow the text; an encoder may have heads and widths of its own."""
    letters = LISTED[as_listed(name)]
    assert array.ndim == len(letters), name
    if name in NARROW and sizes["M"] and not sizes["widened"]:
        letters = ["M" if letter == "D" else letter for letter in letters]
    if not name.startswith("encoder."):
        given = [
            (size, sizes[letter]) for size, letter in zip(array.shape, letters, strict=True) if letter in "DHKEVXUZQGM"
        ]
        assert all(size == expected for size, expected in given), (name, array.shape)


def in_pass(name: str) -> bool:
    """The source's keys and values are made before the pass."""
    return not name.endswith(("cross_attention.key", "cross_attention.value"))


def test_the_page_lists_nothing_that_no_family_has(opened: Opened) -> None:
    seen: set[str] = set()
    for name in NAMES:
        golden, model = opened(name)
        tap = Recorder()
        computed(model, golden, tap)
        seen |= set(map(as_listed, tap.order))
    assert set(LISTED) - seen == {"final.choice"}  # Of several texts at once: tests/commands/test_classes_of_heads.py.
