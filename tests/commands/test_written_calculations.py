"""Every calculation that is written out gives, with the numbers as they are printed, the result as it is printed."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from llminspect.core.numbers import fixed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from tests.conftest import Program

TEXTS = {
    "toy": ["hello", "hello world", "!"],
    "toy-relu": ["hello", "world", "!"],
    "toy-attention": ["A", "A cat", "A cat sat.", "cat cat A"],
    "toy-induction": ["Mr Toad met Mrs Hen. Mr"],
}
SIGNS = {"·": "@", "−": "-", "×": "@"}


class Number:
    """A number, vector or matrix with the signs of a printed calculation."""

    def __init__(self, value: Any) -> None:
        self.value = np.asarray(value, dtype=float)

    def __matmul__(self, other: Number) -> Number:
        return Number(np.dot(self.value, other.value))

    def __add__(self, other: Number) -> Number:
        return Number(self.value + other.value)

    def __sub__(self, other: Number) -> Number:
        return Number(self.value - other.value)

    def __truediv__(self, other: Number) -> Number:
        return Number(self.value / other.value)


def worked_out(written: str) -> NDArray[np.float64] | None:
    """What the printed numbers give; None for a formula, and for a sum that is not all there."""
    text = re.sub(r"e\^(\[[^\]]*\]|\([^()]*\)|-?[\d.]+)", r"exp(\1)", written).replace("√", "root")
    text = re.sub(r"root(\d+)", r"root(\1)", text)
    if re.fullmatch(r"\[.*\]|[-\d.]+", text) and " · " not in text and " + " not in text:
        return None  # Nothing is computed.
    if not re.fullmatch(r"[-−+·×/()\[\],.\d\s]+", re.sub(r"exp|root|max|\de-?\d", "", text)) or "…" in text:
        return None
    for sign, other in SIGNS.items():
        text = text.replace(sign, other)
    text = re.sub(r"(?<![\w.])(\[(?:[^\[\]]|\[[^\]]*\])*\]|\d[\d.]*(?:e-?\d+)?)", r"N(\1)", text)
    text = re.sub(r"(?<=[(@+/,] )-N|(?<=\()-N", "N(-1)@N", text)
    names = {
        "N": Number, "exp": lambda one: Number(np.exp(one.value)), "root": lambda one: Number(np.sqrt(one.value)),
        "max": lambda one, other: Number(np.maximum(one.value, other.value)),
    }  # fmt: skip
    found: Number = eval(text.strip().lstrip("-") if text.startswith("-N") else text, names)
    return -np.ravel(found.value) if text.startswith("-N") else np.ravel(found.value)


def texts_of(shown: str) -> list[str]:
    return [text.strip() for text in shown.strip("[]").split(",")]


def holds(made: NDArray[np.float64], shown: str) -> bool:
    texts = texts_of(shown)
    return len(made) == len(texts) and all(
        fixed(value, len(text.partition(".")[2])) == text for value, text in zip(made, texts, strict=True)
    )


def blocks(out: str) -> Iterator[tuple[str, list[str]]]:
    """Each name with all that it equals, of a page so wide that no line but those of a long sum is broken."""
    name, parts = "", list[str]()
    for line in [*out.splitlines(), "x = "]:
        head, equals, rest = line.partition(" = ") if re.match(r"^(\S.{0,40}?)?\s+= ", line) else ("", "", line)
        if head.strip() and equals:
            if len(parts) > 1:
                yield name, parts
            name, parts = head.strip(), [rest.strip()]
        elif equals:
            parts.append(rest.strip())
        elif parts and re.match(r"\s+[+/\[]", line):
            parts[-1] += f" {line.strip()}"
    return


def checked(out: str) -> int:
    """How many calculations there are; all of them hold."""
    count, scores = 0, list[str]()
    for name, parts in blocks(out):
        shown = parts[-1]
        scores += [shown] if name.startswith("q · k of") else []
        for part in parts[:-1]:
            steps = re.split(r" = ", part.replace(" / Σ e^logit", ""))
            if name == "scaled" and "(q · k)" in part:
                if len(scores) != len(texts_of(shown)):
                    continue
                steps = [f"[{', '.join(scores)}]{part.removeprefix('(q · k)')}"]
            for step, then in zip(steps, [*steps[1:], shown], strict=True):
                if step.endswith(" / Σ"):
                    powers = worked_out(step.removesuffix(" / Σ"))
                    assert powers is not None
                    made = powers / powers.sum()
                elif (found := worked_out(step)) is None:
                    continue
                else:
                    made = found
                if then is not shown:  # The powers of a softmax, and their sum below the line.
                    row, _, total = then.partition(" / ")
                    assert holds(made, row) and holds(np.array([made.sum()]), total), (name, step, then)
                    assert sum(map(Decimal, texts_of(row))) == Decimal(total), (name, then)
                else:
                    assert holds(made, shown), (name, step, shown, made)
                count += 1
    return count


@pytest.mark.parametrize(("model", "text"), [(name, text) for name, texts in TEXTS.items() for text in texts])
def test_the_calculations_of_the_toys_hold(called: Program, model: str, text: str) -> None:
    out = called("forward", text, "--model", model, "--steps", COLUMNS="400").out
    assert checked(out) >= 1


@pytest.mark.parametrize("text", TEXTS["toy-attention"])
def test_one_query_by_hand_holds(called: Program, text: str) -> None:
    for at, _ in enumerate(text.replace(".", " .").split()):
        out = called("attend", text, "--query", str(at), "--model", "toy-attention", COLUMNS="400").out
        assert checked(out) >= 2 * (at + 1) + 3


@pytest.mark.parametrize("head", ["0", "3"])
def test_the_softmax_of_a_query_of_a_real_model_holds(called: Program, head: str) -> None:
    for layer in ("0", "3", "12", "29"):
        given = ("attend", "Alice gave Bob her book", "--layer", layer, "--head", head, "--query", "her")
        assert checked(called(*given, COLUMNS="400").out) >= 1


def test_the_powers_of_a_softmax_are_written_with_equal_decimals(called: Program) -> None:
    given = ("attend", "The capital of France is", "--query", "4", "--layer", "23", "--head", "4")
    out = called(*given, COLUMNS="200").out
    powers = re.findall(r"e\^-?\d+\.(\d+)", out)
    assert len(powers) == 6 and {len(decimals) for decimals in powers} == {6}


def test_each_sign_of_a_calculation_has_a_key(called: Program) -> None:
    out = called("forward", "hello", "--model", "toy", "--steps").out
    assert "e^: about 2.718 to the power of; Σ: the sum of; ᵀ: with its rows as columns\n" in out


def test_a_number_is_the_same_in_a_vector_and_in_a_sum_of_it(called: Program) -> None:
    out = called("forward", "The capital of France is", "--layer", "20", COLUMNS="200").out
    assert "z = [0.084, -0.128, " in out and "0.0546·0.084 + 0.105·(-0.128) + …" in out
    out = called("forward", "The capital of France is", "--steps", COLUMNS="200").out
    assert "= [-0.973, -2.134, " in out and "(-0.973)·(-0.0919) + (-2.134)·(-0.0533) + " in out
    given = ("attend", "Alice gave Bob her book", "--layer", "3", "--head", "0", "--query", "her", "--steps")
    out = called(*given, COLUMNS="200").out
    assert "= [-0.386, -1.669, 0.061, 2.232, …]" in out and "= [0.0299, -0.0118, 0.1170, 0.1555, …]" in out
    assert "= (-0.386)·0.0299 + (-1.669)·(-0.0118) + 0.061·0.1170 + …  (64 products)" in out
    assert re.search(r"0  +Alice .* 0\.9613  ", out) and "= 0.9613·[0.1626, " in out and "+ 0.0100·[" in out


def test_what_is_not_written_with_enough_digits_is_found() -> None:
    assert holds(worked_out("7.3891 / 12.107"), "0.6103")  # type: ignore[arg-type]
    assert not holds(worked_out("7.389 / 12.11"), "0.6103")  # type: ignore[arg-type]
    assert not holds(worked_out("[2.7, 148.4, 54.6] / 205.7"), "[0.0132, 0.7214, 0.2654]")  # type: ignore[arg-type]
    assert worked_out("q · k for each key") is None and worked_out("0.1·2 + …") is None
    assert holds(worked_out("e^(1.5 − 2) / 1.25"), "0.4852")  # type: ignore[arg-type]


def test_the_signs_of_a_calculation_have_a_key(called: Program) -> None:
    key = "e^: about 2.718 to the power of; Σ: the sum of"
    assert key in called("attend", "A cat sat.", "--query", "cat", "--model", "toy-attention").out
    assert key + "; ᵀ: with its rows as columns" in called("forward", "hello", "--model", "toy-relu", "--steps").out
