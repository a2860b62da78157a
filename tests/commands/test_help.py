"""`llminspect help`: words, commands, and what is near to neither; the pages that the words point at."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import pytest

from llminspect import commands
from llminspect.analysis.terms import Topic, plain, term_of, terms
from llminspect.cli.app import command_of
from tests.conftest import ROOT
from tests.schemas import assert_fits

if TYPE_CHECKING:
    from tests.conftest import Program

WANTED = """
head logit entropy sink residual-stream token embedding attention-weight query key value softmax lens KL perplexity
surprise temperature top-p rotary-position norm feed-forward neuron patching ablation steering cache chat-template
""".split()


def test_every_word_is_known_by_all_of_its_names() -> None:
    assert all(term_of(name) for name in WANTED)
    names = [plain(name) for term in terms() for name in (term.name, *term.also)]
    assert sorted(set(names)) == sorted(names)
    for term in terms():
        assert all(term_of(name) is term for name in (term.name, term.name.upper(), *term.also))
    assert term_of("Heads") is term_of("attention-head") is term_of("head")
    assert [term.name.casefold() for term in terms()] == sorted(term.name.casefold() for term in terms())


@pytest.mark.parametrize("term", terms(), ids=lambda term: term.name)
def test_each_points_at_a_heading_and_shows_a_command(term: Topic, called: Program) -> None:
    page = (ROOT / term.page).read_text("utf-8")
    assert re.search(rf"^#+ {re.escape(term.heading)}$", page, re.MULTILINE)
    program, command, *options = shlex.split(term.example)
    assert (program, command in commands.names()) == ("llminspect", True)
    listed = called(command, "--help").out
    assert all(option in listed for option in options if option.startswith("--"))


def test_what_a_topic_shows_to_try_is_copied_whole(called: Program) -> None:
    shown = called("help", "patching", COLUMNS="60").out
    assert '--patch "The capital of Italy is"' in shown and " \\\n" in shown
    names = called("help", COLUMNS="60").out
    assert all(any(term.name in line for line in names.splitlines()) for term in terms())


def test_a_word_a_command_both_or_all(called: Program) -> None:
    assert "score of a token" in called("help", "logits").out
    assert called("help", "residual", "stream").out.startswith("residual stream")
    by_option = called("verify", "--help").out
    assert called("help", "verify").out.split() == by_option.split()
    both = called("help", "head").out
    assert both.startswith("head")
    assert "llminspect head [OPTIONS]" in both
    everything = " ".join(called("help").out.split())
    assert all(name in everything for name in (*commands.names(), "entropy", "KV cache"))
    for words in ([], ["head"], ["verify"]):
        assert_fits(called("help", *words, "--json").json, "help")


@pytest.mark.parametrize("columns", ["60", "80"])
def test_no_line_of_help_ends_inside_a_word(columns: str, called: Program) -> None:
    ends = [line for name in commands.names() for line in called(name, "--help", COLUMNS=columns).out.splitlines()]
    assert [line for line in ends if re.search(r"\w-$", line)] == []


@pytest.mark.parametrize("columns", [60, 80, 160])
def test_help_is_no_wider_than_the_screen_and_its_examples_are_copied_whole(columns: int, called: Program) -> None:
    for name in commands.names():
        shown = called(name, "--help", COLUMNS=str(columns)).out
        assert [line for line in shown.splitlines() if len(line) > columns] == []
        copied = " ".join(shown.replace("\\\n", " ").split())
        examples = [*command_of(name, commands.function(name)).examples().values()]
        assert [example for example in examples if " ".join(example.split()) not in copied] == []
        assert [
            word
            for word in ("blocks.20.hook_resid_post", '"France=New Zealand"', "[default: weights]")
            if word in " ".join(copied.split()) and not any(word in line for line in shown.splitlines())
        ] == []


def test_what_is_unknown_names_the_nearest(called: Program) -> None:
    ran = called("help", "entrpy")
    assert (ran.code, len(ran.err.splitlines())) == (2, 1)
    assert "did you mean entropy?" in ran.err
    assert "did you mean verify" in called("help", "verfy").err
    assert "llminspect help lists the topics" in called("help", "zzzz").err
