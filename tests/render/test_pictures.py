"""Steps of a calculation, trees, scatter plots and histograms as text."""

from __future__ import annotations

import numpy as np
import pytest
from rich.style import Style

from llminspect.core.numbers import matrix
from llminspect.render.bars import histogram, spark_row
from llminspect.render.curve import Series, curve, series
from llminspect.render.plot import scatter
from llminspect.render.section import facts, headed, steps
from llminspect.render.tree import Branch, branch_tree
from tests.render.samples import lines, shown


def test_steps_are_aligned_on_the_equals_sign() -> None:
    made = steps(
        [
            ("E", matrix([[0.1, 0.2], [0.3, 0.4]])),
            ("hidden", "e·W + b", "[0.3, 0.4]·W + [0.5, 0.5]", "[2.0, 2.7]"),
        ],
        title="by hand",
    )
    expected = [
        "by hand",
        "E      = [[0.1, 0.2]",
        "          [0.3, 0.4]]",
        "",
        "hidden = e·W + b",
        "       = [0.3, 0.4]·W + [0.5, 0.5]",
        "       = [2.0, 2.7]",
    ]
    assert lines(made, 80) == lines(made, 160) == expected
    assert lines(made, 24)[-3:] == ["       = [0.3, 0.4]·W", "         + [0.5, 0.5]", "       = [2.0, 2.7]"]


def test_steps_break_between_vectors() -> None:
    row = "row 1 of E = [[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]]"
    exact = "e^[0.74, 1.68] / Σ e^logit = [2.10, 5.37] / 7.47"
    assert lines(steps([("e", row)]), 40) == ["e = row 1 of E = [[0.1, 0.2],", "    [0.3, 0.4], [0.5, 0.6]]"]
    assert lines(steps([("p", exact)]), 40) == ["p = e^[0.74, 1.68] / Σ e^logit", "    = [2.10, 5.37] / 7.47"]
    assert "".join(lines(steps([("v", "[0.25, 0.5, 0.75, 1.0]")]), 15)).replace(" ", "") == "v=[0.25,0.5,0.75,1.0]"


def test_single_lines_of_steps_stand_together() -> None:
    assert lines(steps([("a", "1"), ("bc", "2")])) == ["a  = 1", "bc = 2"]


def test_tree() -> None:
    tree = branch_tree(
        "France is",
        [Branch(" Paris", 0.75, (Branch("\n", 0.5), Branch(",", 1e-6)), chosen=True), Branch(" a", 0.1)],
    )
    assert lines(tree) == [
        "France is",
        "├── ▆  75.0%  ·Paris ◀",
        "│   ├── ▅  50.0%  ⏎",
        "│   └── ▁  <0.1%  ,",
        "└── ▂  10.0%  ·a",
    ]


def test_a_deep_tree_is_shown() -> None:
    branch = Branch("end", 1.0)
    for _ in range(200):
        branch = Branch("x", 0.5, (branch,))
    output = lines(branch_tree("deep", [branch]), 80)
    assert len(output) == 1 + 11
    assert output[-1].endswith("x  … 190 more below")
    assert len(lines(branch_tree("deep", [branch]), 1000)) == 202


def test_scatter_labels_its_points_and_axes() -> None:
    picture = scatter([[0, 0], [4, 0], [0, 2]], ["low", " right", "up"], axes=("PC 1 (60%)", "PC 2"), height=6)
    assert lines(picture, 40) == [
        "     ↑ PC 2",
        " 2.1 │    ● up",
        "     │    ┊",
        "     │    ┊",
        "     │    ┊",
        "     │    ┊",
        "-0.1 │┈┈┈┈● low ┈┈┈┈┈┈┈ ·right ●┈┈┈┈",
        "     └──────────────────────────────",
        "      -0.75        PC 1 (60%) → 4.75",
    ]


@pytest.mark.parametrize("columns", [40, 80, 160])
def test_no_label_is_lost_or_overlaps(columns: int) -> None:
    generator = np.random.default_rng(1)
    words = [f"word{index}" for index in range(40)]
    text = "\n".join(lines(scatter(generator.normal(size=(40, 2)), words), columns))
    for word in words:
        assert text.count(word) >= 1


def test_points_on_one_place_share_a_label() -> None:
    text = "\n".join(lines(scatter(np.zeros((3, 2)), ["a", "b", "c"]), 60))
    assert "● a, b, c" in text
    crowded = "\n".join(lines(scatter(np.zeros((9, 2)), ["a long word", "another one", "a long word"] * 3), 60))
    assert "points: 1 a long word ×6, another one ×3" in crowded
    nearly = np.array([[0, 0], [0, 0], [1, 1e-14], [1, -1e-14]])
    assert "b ×2" in "\n".join(lines(scatter(nearly, ["a", "a", "b", "b"], height=20), 60))
    assert "● the ×4" in "\n".join(lines(scatter(np.zeros((4, 2)), ["the"] * 4), 60))


def test_scatter_has_equal_units_on_both_axes() -> None:
    picture = scatter([[0, 0], [10, 0], [0, 1]], ["a", "b", "c"])
    rows = [index for index, line in enumerate(lines(picture, 80)) if "●" in line]
    # Ten units are about 64 columns, so that one unit is 6 columns, 3 lines.
    assert rows[1] - rows[0] == 3


def test_scatter_says_what_it_leaves_out_and_refuses_what_does_not_match() -> None:
    assert "1 point not finite" in shown(scatter([[0.0, 0.0], [np.nan, 1.0]], ["a", "b"]))
    assert lines(scatter(np.zeros((0, 2)), [])) == ["nothing to show: no points"]
    many = scatter(np.random.default_rng(0).normal(size=(900, 2)), ["word"] * 900)
    assert "without room for a label" in shown(many)
    with pytest.raises(ValueError, match="shape"):
        scatter(np.zeros((2, 3)), ["a", "b"])
    with pytest.raises(ValueError, match="1 labels for 2 points"):
        scatter(np.zeros((2, 2)), ["a"])


def test_histogram() -> None:
    picture = histogram([-1, -1, 0.1, 1, np.nan], bins=9, height=2, title="values", name="numbers")
    assert lines(picture) == [
        "values",
        "2 █",
        "  █   █   █",
        "  -1  0   1",
        "4 numbers · mean -0.225 · standard deviation 0.838 · from -1 to 1 · 1 not finite",
    ]


def test_histogram_counts_what_is_beyond_the_limits() -> None:
    output = lines(histogram([0, 0.5, 1, 50], bins=4, height=1, limits=(0.0, 1.0)))
    assert output[:2] == ["2 ▄ ▄█", "  0 ≥ 1"]
    assert lines(histogram([])) == ["nothing to show: no finite values"]


def test_a_heading_breaks_between_its_parts() -> None:
    heading = headed("What “·is” (token 4) looks at in layer 23 · head 4", "habit: sink")
    assert lines(heading, 80) == ["What “·is” (token 4) looks at in layer 23 · head 4  habit: sink"]
    assert lines(heading, 56) == ["What “·is” (token 4) looks at in layer 23 · head 4", "habit: sink"]
    assert lines(heading, 44) == ["What “·is” (token 4) looks at in", "layer 23 · head 4", "habit: sink"]


def test_facts_break_between_two() -> None:
    made = facts(["11 tokens", "33 characters", "3.00 characters per token"], strong=9)
    assert lines(made, 60) == ["11 tokens · 33 characters · 3.00 characters per token"]
    assert lines(made, 40) == ["11 tokens · 33 characters ·", "3.00 characters per token"]


def test_a_sparkline_is_as_wide_as_the_page() -> None:
    row = spark_row("values", [0, 1, 0, 1] * 16, "64", limits=(0, 1))
    assert lines(row, 80) == ["values " + "▁█" * 32 + "  64"]
    assert lines(row, 72) == ["values 64", "▁█" * 32]
    assert lines(row, 60) == ["values 64; each mark the mean of 2", "▅" * 32]


def test_the_ends_of_an_axis_have_equal_decimals() -> None:
    means = Series("●", Style(), "mean", [4.97, -0.84])
    drawn = lines(series([means], ["0", "1"], axis="layer", limits=(-0.84, 4.97)), 40)
    assert [line.partition("│")[0].strip() for line in (drawn[0], drawn[11])] == ["5.0", "-0.8"]
    bent = shown(curve([-8.5, 2.25], [-0.278, 8.5], []), 40)
    assert " 8.50 │" in bent and "-0.28 │" in bent and "-8.50" in bent and "→ 2.25" in bent
    across = shown(histogram([-0.5, 1.25], bins=30, height=1), 40)
    assert "-0.50" in across and "from -0.50 to 1.25" in across
