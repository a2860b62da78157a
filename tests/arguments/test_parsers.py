"""One parser for each kind of argument: what it reads, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from llminspect.arguments.experiments import parse_place
from llminspect.arguments.ranges import Choice, parse_choice, parse_ids
from llminspect.arguments.words import (
    find_word,
    one_token,
    parse_direction,
    parse_pair,
    parse_sum,
    sign_in_print,
    sum_in_print,
)
from llminspect.errors import UsageError
from llminspect.opening import open_model
from llminspect.text.prompt import Prompt

HUGE = "9" * 5000
KING = [(1, "king"), (-1, "man"), (1, "woman")]


@pytest.mark.parametrize(
    ("choice", "chosen"),
    [
        ("0,3-5", [0, 3, 4, 5]),
        (" 5 , 2-3,3", [2, 3, 5]),
        (3, [3]),
        ([4, 0, 4], [0, 4]),
        (range(2), [0, 1]),
        (None, None),
    ],
)
def test_ranges(choice: Choice | None, chosen: list[int] | None) -> None:
    assert parse_choice(choice, "layer", 6) == chosen


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ("5-3", "--layer 5-3 runs backwards"),
        ("6", "there is no layer 6"),
        (6, "there is no layer 6"),
        (-1, "there is no layer -1"),
        ([0, -2], "there is no layer -2"),
        ("0-9999999999", "there is no layer 9999999999"),
        (range(10**15), "there is no layer"),
        *((text, "--layer cannot read") for text in ("", "x", "-1", "1-", "٣", "²", "1 2", HUGE, f"0-{HUGE}")),
        ([], "--layer is empty"),
    ],
)
def test_ranges_that_are_none(choice: Choice, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        parse_choice(choice, "layer", 6)
    assert len(caught.value.message) < 200


@pytest.mark.parametrize(
    ("expression", "terms"),
    [
        *(
            (text, KING)
            for text in ("king - man + woman", "king − man + woman", "king – man + woman", " king -man +woman")
        ),
        ("2*London", [(2, "London")]),
        ("0.5 · London − 3×Paris", [(0.5, "London"), (-3, "Paris")]),
        ("- hate", [(-1, "hate")]),
    ],
)
def test_sums_read_by_both_options(expression: str, terms: list[tuple[float, str]]) -> None:
    assert parse_sum(expression, "--analogy") == terms
    assert parse_sum(expression, "--steer", phrases=True) == terms


@pytest.mark.parametrize(
    ("expression", "terms"),
    [
        ("well-known", [(1, "well-known")]),
        ("New York - C++", [(1, "New York"), (-1, "C++")]),
        ('don\'t − "a - b"', [(1, "don't"), (-1, "a - b")]),
    ],
)
def test_phrases(expression: str, terms: list[tuple[float, str]]) -> None:
    assert parse_sum(expression, "--steer", phrases=True) == terms


@pytest.mark.parametrize("expression", ["London*2", "a * b", "London- Paris", "a -", "a + + b", "", "٣*London", "'a"])
def test_an_unknown_form_is_no_long_word(expression: str) -> None:
    for phrases in (False, True):
        if not (expression == "London- Paris" and not phrases):  # Without phrases every sign is one.
            with pytest.raises(UsageError, match="--steer"):
                parse_sum(expression, "--steer", phrases=phrases)


@pytest.mark.parametrize(
    ("text", "direction"),
    [
        ("London − Paris@10", ([(1, "London"), (-1, "Paris")], "10", 1)),
        ('"me@home" @ 3 * -2e1', ([(1, "me@home")], "3", -20)),
        ("x@0*−.5", ([(1, "x")], "0", -0.5)),
    ],
)
def test_directions(text: str, direction: Any) -> None:
    assert parse_direction(text) == direction


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("love - hate@6*4", "4 × (love - hate)"),
        ("love - hate@6", "love - hate"),
        ("love - hate@6*-1", "-(love - hate)"),
        ("love + 2*joy - 0.5*hate@6*-0.5", "-0.5 × (love + 2 × joy - 0.5 × hate)"),
        ("love@6*4", "4 × love"),
        ("2*love@6*-4", "-8 × love"),
        ('New York - well-known - "-"@6*2', "2 × (“New York” - well-known - “-”)"),
    ],
)
def test_directions_in_print(text: str, printed: str) -> None:
    terms, _, factor = parse_direction(text)
    assert sum_in_print(factor, terms) == printed


def test_what_is_added_has_one_sign() -> None:
    assert [sign_in_print(value) for value in (3, -0.5)] == ["+ 3", "- 0.5"]


@pytest.mark.parametrize(
    "text", ["x", "@3", "x@", "x@٣", "x@-1", f"x@{HUGE}", "x@3*", "x@3*nan", "x@3*٢", f"x@3*{HUGE}"]
)
def test_directions_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="--steer") as caught:
        parse_direction(text)
    assert len(caught.value.message) < 200


def test_places_tokens_words_and_ids() -> None:
    toy, attention = open_model("toy"), open_model("toy-attention")
    assert str(parse_place(attention, "0.0", "--ablate")) == "0.0"
    assert str(parse_place(toy, " 0.stream", "--into", stream=True)) == "0.stream"
    assert [one_token(toy, token, "--target") for token in ("world", "#1", 1)] == [1, 1, 1]
    assert attention.tokenizer is not None
    prompt = Prompt("A cat sat.", attention.tokenizer.encode("A cat sat."))
    assert [find_word(prompt, word, "--query") for word in ("cat", "1", 1)] == [[1], [1], [1]]
    assert parse_pair("her → Alice") == ("her", "Alice")
    assert parse_pair((4, "Alice")) == (4, "Alice")
    assert (
        parse_ids("1, 2 3")
        == parse_ids(" 1 ,2\n3\n")
        == parse_ids([1, 2, 3])
        == parse_ids('{"ids": [1, 2, 3]}')
        == [1, 2, 3]
    )


@pytest.mark.parametrize(
    "parse",
    [
        *(
            lambda text=text: parse_place(open_model("toy"), text, "--ablate")
            for text in (f"{HUGE}.0", "٠.0", "0.stream")
        ),
        *(lambda token=token: one_token(open_model("toy"), token, "--target") for token in (f"#{HUGE}", "#٣", 3, -1)),
        *(
            lambda ids=ids: parse_ids(ids)
            for ids in (HUGE, "٣", "1,x", "1,,2", "1,2,", ",1", "-1", [-1], [2**63], '["1"]')
        ),
        *(lambda word=word: find_word(Prompt("", ()), word, "--query") for word in (HUGE, 0, -1)),
    ],
)
def test_what_is_not_there(parse: Any) -> None:
    with pytest.raises(UsageError) as caught:
        parse()
    assert len(caught.value.message) < 200
