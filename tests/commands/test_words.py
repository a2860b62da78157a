"""What the keys say: a sign or a number that is shown has a word for it in the same view."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Program

IDS = ("--ids", "5,6,7", "--model", "tests/golden/llama")


@pytest.mark.parametrize(
    ("arguments", "keys"),
    [
        (("forward", *IDS, "--ablate", "0.1"), ("KL: how far", "only differences between logits count")),
        (("forward", *IDS, "--ablate", "each"), ("KL: how far",)),
        (("diff", "hello", "--against", "world", "--model", "toy"), ("KL: how far",)),
        (("forward", *IDS, "--saliency", "integrated"), ("saliency: each", "gradients averaged on the way from")),
        (("embed", "world", "--model", "toy", "--similarity"), ("1 vector of", "a row of", "the same vectors down")),
    ],
)
def test_what_is_shown_is_explained(called: Program, arguments: tuple[str, ...], keys: tuple[str, ...]) -> None:
    shown = " ".join(called(*arguments).out.split())
    assert [key for key in keys if key not in shown] == []
    assert shown.count("KL: ") <= 1


def test_the_answer_comes_before_its_numbers_and_a_head_has_a_name(called: Program) -> None:
    shown = called("forward", *IDS, "--ablate", "0.1").out
    places = [shown.index(part) for part in ("0.1: head 1 of layer 0", "the answer ", "logit change", "KL: how far")]
    assert places == sorted(places)
    assert "head" not in called("forward", *IDS, "--ablate", "0.attention").out.partition("ablate")[2]
    inside = called("forward", *IDS, "--scale", "0.1.pattern*0.5", "--scale", "0.1.query*0.5").out
    assert "0.1.pattern: the attention weights of head 1 of layer 0\n" in inside
    assert "0.1.query: the query of head 1 of layer 0\n" in inside
    attended = called("attend", *IDS, "--ablate", "0.1").out
    assert attended.startswith("ablate 0.1 (zero)\n0.1: head 1 of layer 0\n")


def test_an_attribution_has_an_article_for_each_logit(called: Program) -> None:
    given = ("--attribution", "--target", "#7", "--versus", "#9", "--quiet")
    shown = " ".join(called("forward", *IDS, *given).out.split())
    assert "adds most to the logit of “#7” - the logit of “#9”, or takes most from it" in shown


@pytest.mark.parametrize("more", [(), ("--gradient",)])
def test_a_map_of_silenced_heads_has_the_words_of_the_other_views(called: Program, more: tuple[str, ...]) -> None:
    shown = " ".join(called("forward", *IDS, "--ablate", "each", "--quiet", *more).out.split())
    assert "change of log p(“" in shown and "”), in nats" in shown
    assert ("(zero), estimated from gradients: below 0" in shown) == bool(more)
    assert ("KL: how far" in shown) == ("KL in bits" in shown) == (not more)


def test_what_has_no_heading_has_a_key(called: Program) -> None:
    assert "the first one after it" in " ".join(called("tokenize", "A cat", "--model", "toy-attention").out.split())
    assert "strongest: layer.head" in called("attend", *IDS).out
    assert called("head", "0.1", *IDS[2:]).out.partition("What it writes")[0].count("A head is one of several") == 1


def test_numbers_of_one_quantity_have_the_same_decimals(called: Program) -> None:
    kl = re.findall(r"KL\(\w ‖ \w\) = [\d.]+", called("diff", "hello", "--against", "world", "--model", "toy").out)
    assert len({len(found.partition(".")[2]) for found in kl}) == 1 == len(kl) - 1
    shown = called("forward", "world", "--model", "toy").out
    assert "!      2.62  64.80%" in shown and shown.endswith("  64.80%\n")
    sums = called("forward", *IDS, "--attribution").out
    added, computed = re.findall(r"[=≈] (-?[\d.]+); the model computed (-?[\d.]+)", " ".join(sums.split()))[0]
    assert added == computed and "." in added
    lens = called("forward", "A cat sat", "--model", "toy-attention", "--lens", "--target", "cat", COLUMNS="80").out
    assert lens.count("47.84%") == 4 and "47.8%" not in lens
