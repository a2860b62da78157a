"""Matrices in colours: what stands on the axes, in the cells, in the key, and what is folded where it does not fit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from llminspect.render import theme
from llminspect.render.grid import Fold, bin_size, fold_columns, fold_note, fold_rows
from llminspect.render.heatmap import head_map, heatmap
from llminspect.render.ramp_key import Ramp, limits_of, ramp_key
from tests.render.samples import WORDS, Color, causal, lines, shown, wave


def test_five_tokens_have_numbers_and_labels_on_both_axes() -> None:
    weights = np.array([[1, np.nan, np.nan], [0.25, 0.75, np.nan], [0.5, 0, 0.5]])
    picture = heatmap(
        weights, WORDS[:3], WORDS[:3], title="head", row_name="queries", column_name="keys", value_name="weight"
    )
    for columns in (80, 160):
        assert lines(picture, columns) == [
            "head",
            "queries down, keys across",
            "      Alice ·gave  ·Bob",
            "Alice  1.00   ·     ·",
            "·gave  0.25  0.75   ·",
            "·Bob   0.50  0.00  0.50",
            "",
            "weight  0 to 1  · = masked",
        ]


def test_cells_have_their_own_background_and_a_contrasting_foreground() -> None:
    output = shown(heatmap([[0.0, 1.0]]), 80, "truecolor")
    dark, bright = theme.ramp("sequential", 0), theme.ramp("sequential", 1)
    assert "38;2;255;255;255;48;2;{};{};{}m".format(*dark) in output
    assert "38;2;0;0;0;48;2;{};{};{}m".format(*bright) in output


@given(st.sampled_from(["sequential", "diverging"]), st.floats(0, 1))
def test_numbers_in_cells_contrast(scale: theme.Scale, position: float) -> None:
    style = theme.cell_style(scale, position)
    assert style.color is not None and style.color.triplet is not None
    assert style.bgcolor is not None and style.bgcolor.triplet is not None
    light, dark = sorted((theme.luminance(style.color.triplet), theme.luminance(style.bgcolor.triplet)), reverse=True)
    assert (light + 0.05) / (dark + 0.05) > 4.5  # WCAG 2, level AA


def test_the_sequential_ramp_grows_lighter_all_the_way() -> None:
    luminances = [theme.luminance(theme.ramp("sequential", step / 50)) for step in range(51)]
    assert luminances == sorted(luminances)


def test_120_tokens_are_folded_and_it_says_so() -> None:
    words = WORDS * 24
    picture = heatmap(causal(120), words, words, fold="max", row_name="queries", column_name="keys")
    output = lines(picture, 80)
    assert output[1:3] == [
        "120 queries folded to 60 rows: each shows the largest of 2",
        "120 keys folded to 60 columns: each shows the largest of 2",
    ]
    assert output[3].split() == [str(index) for index in range(0, 120, 10)]
    assert output[4].startswith("  0 Alice")
    assert output[5].startswith("  2 ·Bob")
    assert len(output) == 3 + 1 + 60 + 2
    colored = lines(picture, 80, "truecolor")
    assert sum("▀" in line for line in colored) == 30
    assert any("each line shows two rows" in line for line in colored)


def test_many_dimensions_are_folded_and_it_says_so() -> None:
    picture = heatmap(wave(2, 576), WORDS[:2], scale="diverging", column_name="dimensions", row_name="tokens")
    assert lines(picture, 80) == [
        "tokens down, dimensions across",
        "576 dimensions folded to 72 columns: each shows the mean of 8",
        "      0    40   80   120  160  200  240  280  320  360  400  440  480  520  560",
        "Alice ░▒░⠂⠒ ▒▒ ⠒⠂░▒░⠂⠒ ▒▒ ⠒⠂░▒░⠂⠒ ▒▒ ⠒⠂░▒░⠂⠒ ▒░ ⠒⠂░▒░⠂⠒ ▒░ ⠒⠂░▒░⠂⠒ ▒░ ⠒⠂░▒░⠂⠒",
        lines(picture, 80)[4],
        "",
        "-1 ⠿⠶⠒⠂  0  ░▒▓█ 1",
    ]
    # Rather shorter labels than folded columns.
    narrow = lines(heatmap(wave(1, 68), ["a rather long label"], numbers=False), 80)
    assert narrow[1].startswith("a rather l… ") and len(narrow) == 4
    assert "576 dimensions folded to 144 columns: each shows the mean of 4" in lines(picture, 160)


def test_columns_that_cannot_be_named_are_numbered_with_a_legend() -> None:
    picture = heatmap(wave(2, 25), None, WORDS * 5, numbers=False)
    output = lines(picture, 60)
    assert output[0].split() == [str(index) for index in range(0, 25, 2)]
    legend = output.index("", 3) + 2
    assert output[legend].startswith("columns: 0 Alice  1 ·gave  2 ·Bob")
    assert output[-1].endswith("24 ·book")


def test_head_map_shows_marks() -> None:
    picture = head_map([[0.0, 1.0], [0.5, 0.25]], title="sink", marks=[["S", "P"], ["i", "·"]])
    assert lines(picture) == [
        "sink",
        "layers down, heads across",
        "   0  1",
        "0  S  P",
        "1  i  ·",
        "",
        "0 to 1",
    ]


def test_values_beyond_the_limits_are_marked_in_the_key() -> None:
    assert lines(heatmap([[-5.0, 5.0]], limits=(0.0, 1.0)))[-1] == "≤ 0 to ≥ 1"
    values = np.append(np.linspace(-1, 1, 999), 1000.0)[None]
    low, high = limits_of(values, "sequential", "robust")
    assert -1 < low < -0.9 and 0.9 < high < 1.1


def test_one_value_has_no_ramp_whose_other_end_is_made_up() -> None:
    assert lines(heatmap([[0.2, 0.2]], value_name="share"))[-1] == "share  0.2"
    assert lines(heatmap([[0.2, 0.2]], value_name="share", limits=(0, 1)))[-1] == "share  0 to 1"


@pytest.mark.parametrize(
    "matrix", [np.full((3, 3), np.nan), np.zeros((2, 2)), np.array([[np.inf, -np.inf]]), np.array([[1e30, -1e-30]])]
)
@pytest.mark.parametrize("color", [None, "truecolor"])
def test_degenerate_values_are_shown(matrix: np.ndarray, color: Color) -> None:
    scale: theme.Scale
    for scale in ("sequential", "diverging"):
        assert shown(heatmap(matrix, scale=scale), 80, color)
        assert shown(heatmap(matrix, scale=scale, numbers=False, max_rows=2), 20, color)


def test_empty_and_wrong_matrices() -> None:
    assert lines(heatmap(np.zeros((0, 4)))) == ["nothing to show: 0 rows × 4 columns"]
    with pytest.raises(ValueError, match="shape"):
        heatmap(np.zeros(3))
    with pytest.raises(ValueError, match="2 labels for 3 rows"):
        heatmap(np.zeros((3, 3)), ["a", "b"])
    with pytest.raises(ValueError, match="marks"):
        head_map(np.zeros((2, 2)), marks=[["a"]])


MAYBE_MASKED = arrays(
    np.float64, st.tuples(st.integers(1, 4), st.integers(1, 20)), elements=st.floats(-9, 9) | st.just(float("nan"))
)


@given(MAYBE_MASKED, st.integers(1, 7), st.sampled_from(["mean", "max", "extreme", "thin"]))
def test_fold_equals_a_loop(values: np.ndarray, size: int, how: Fold) -> None:
    def one(group: list[float]) -> float:
        seen = [value for value in group if value == value]
        if how == "thin" or not seen:
            return group[0]
        return {"mean": sum(seen) / len(seen), "max": max(seen), "extreme": max(seen, key=abs)}[how]

    expected = [[one(list(row[start : start + size])) for start in range(0, len(row), size)] for row in values]
    np.testing.assert_allclose(fold_columns(values, size, how), expected, atol=1e-12)
    np.testing.assert_allclose(fold_rows(values.T, size, how), np.transpose(expected), atol=1e-12)


@given(st.integers(1, 5000), st.integers(1, 300))
def test_bins_fit(count: int, room: int) -> None:
    assert -(-count // bin_size(count, room)) <= room


def test_fold_note() -> None:
    assert fold_note(577, 9, "mean", "dimensions", "columns") == (
        "577 dimensions folded to 65 columns: each shows the mean of 9 (the last of 1)"
    )
    assert fold_note(10, 4, "thin", "tokens", "rows") == "10 tokens thinned to 3 rows: each shows the first of 4"


def test_whole_numbers_have_whole_ends() -> None:
    counts = np.array([[0.0, 0, 1, 1], [2, 2, 1, 3]])
    assert limits_of(counts, "sequential", "robust") == (0, 3)
    assert limits_of(-counts, "diverging", "robust") == (-3, 3)
    assert limits_of(counts + 0.5, "sequential", "robust") != (0.5, 3.5)


@pytest.mark.parametrize("width", [44, 60, 74, 75, 84])
def test_an_end_of_the_ramp_stays_with_it(width: int) -> None:
    """Where the name and the ramp have no room side by side, the ramp is on the next line, whole."""
    values, name = np.array([[0.0, 2.0]]), "share of the other answer's lead that comes back"
    written = lines(ramp_key(values, Ramp("diverging", -1, 1), name=name), width=width)
    assert [line for line in written if "-1" in line] == [line for line in written if "≥ 1" in line] != []
    assert " ".join(" ".join(written).split()).startswith(name)


def test_numbers_in_front_of_rows_stand_on_the_right() -> None:
    numbered = lines(heatmap(np.eye(12), [str(row) for row in range(12)], list("abcdefghijkl")), 80)
    assert [line[:3] for line in numbered[1:13]] == [f"{row:2d} " for row in range(12)]


def test_labels_over_cells_are_whole_where_there_is_room() -> None:
    texts = ["a man eats", "someone is eating", "Paris is in France"]
    assert all(text in lines(heatmap(np.eye(3), texts, texts), 80)[0] for text in texts)
    assert "someone is…" in lines(heatmap(np.eye(3), texts, texts), 60)[0]
