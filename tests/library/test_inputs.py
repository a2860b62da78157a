"""What the functions are given: texts, ids, messages, models; one, or a list of texts."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import llminspect
from llminspect.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Program

TOY = "toy-attention"


def ids(text: Any, **options: Any) -> Any:
    return llminspect.encode(text, TOY, **options).ids


def test_a_text_ids_and_arrays_of_ids() -> None:
    assert ids("A cat") == ids([0, 1]) == ids((0, 1)) == ids(np.array([0, 1])) == ids(range(2)) == [0, 1]


def test_a_list_of_texts_gives_a_list_of_results() -> None:
    texts = ["A cat", "A cat sat"]
    for function in (llminspect.tokenize, llminspect.encode, llminspect.attend, llminspect.rollout):
        both = function(texts, TOY)
        assert isinstance(both, list) and len(both) == 2
    alone: Any = llminspect.forward("world", "toy")
    one: Any = llminspect.forward(["world"], "toy", top=1)
    assert [result.next[0].id for result in one] == [alone.next[0].id]
    assert [result.dim for result in llminspect.embed(texts, model=TOY)] == [4, 4]
    compared = llminspect.tokenize(texts, compare=[TOY, "bytes"])
    assert [[each.count for each in result.models] for result in compared] == [[2, 5], [3, 9]]


def test_several_texts_of_embed_stand_beside_one_another() -> None:
    both = llminspect.embed("A cat", [0, 1, 2], model=TOY, pool="mean", similarity=True)
    assert both.similarity.shape == (2, 2)


def test_the_model_is_opened_once_for_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    from llminspect import opening

    times: list[str] = []
    opens = opening.open_model

    def counted(name: str, **options: Any) -> Any:
        times.append(name)
        return opens(name, **options)

    monkeypatch.setattr(opening, "open_model", counted)
    llminspect.forward(["hello", "world", "hello"], "toy")
    assert times == ["toy"]


def test_messages_come_with_tools_and_options(smollm2: Any) -> None:
    messages = [{"role": "user", "content": "Hello."}]
    whole = llminspect.tokenize(messages, smollm2)
    bare = llminspect.tokenize(messages, smollm2, template_options={"add_generation_prompt": False})
    assert [token["id"] for token in whole.tokens][: bare.count] == [token["id"] for token in bare.tokens]
    assert bare.count < whole.count
    with pytest.raises(UsageError, match="no place for tools"):
        llminspect.tokenize(messages, smollm2, tools=[{"name": "now"}])
    with pytest.raises(UsageError, match="'--tools': \\[3\\] is not"):
        llminspect.tokenize(messages, smollm2, tools=[3])
    with pytest.raises(UsageError, match="has no effect without --chat"):
        llminspect.tokenize("Hello.", smollm2, tools=[{"name": "now"}])


def test_messages_are_a_conversation(smollm2: Any) -> None:
    messages = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Hello."}]
    written = llminspect.tokenize(messages, smollm2)
    assert [message.role for message in written.chat.messages] == ["system", "user"]
    assert written.tokens == llminspect.tokenize("Hello.", smollm2, chat=True, system="Be short.").tokens


def test_a_text_that_looks_like_json_is_a_text(smollm2: Any) -> None:
    """A pipe may hold messages as JSON; here they are messages when they are given as such."""
    text = '[{"role": "user", "content": "a"}]'
    assert llminspect.tokenize(text, smollm2, chat=True).chat.messages[-1].content == text


@pytest.mark.parametrize("text", [5, None, [1.5], [True], ["a", 1], {"a": 1}, [[1, 2]], [-1], ["a", None], b"a"])
def test_what_is_no_text_is_refused(text: Any) -> None:
    for function in (llminspect.encode, llminspect.forward, llminspect.lens):
        with pytest.raises(UsageError):
            function(text, "toy")


def test_an_empty_text_is_a_text_only_for_tokens() -> None:
    assert llminspect.tokenize("", TOY).count == 0 and ids("") == []
    with pytest.raises(UsageError, match="the text is empty"):
        llminspect.forward("", "toy")
    with pytest.raises(UsageError):
        llminspect.forward([], "toy")


def test_how_a_text_becomes_tokens_says_nothing_of_ids() -> None:
    with pytest.raises(UsageError, match="how a text becomes ids"):
        llminspect.encode([0, 1], TOY, special=False)


@pytest.mark.parametrize("model", [5, None, object(), ["toy"]])
def test_what_is_no_model_is_refused(model: Any) -> None:
    for call in (
        lambda: llminspect.forward("world", model),
        lambda: llminspect.encode("world", model),
        lambda: llminspect.verify(model),
    ):
        with pytest.raises(UsageError, match="not a model"):
            call()
    with pytest.raises(UsageError):
        llminspect.open_model(model)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda wrong: llminspect.search(wrong, "toy"), "not a pattern"),
        (lambda wrong: llminspect.decode(wrong, "toy"), "not a list of ids"),
        (lambda wrong: llminspect.count_files(wrong, "toy"), "not a path"),
        (lambda wrong: llminspect.count_files([wrong], "toy"), "not a path"),
        (lambda wrong: llminspect.features(wrong, model="toy"), "not a path"),
        (lambda wrong: llminspect.head(wrong, "toy-attention"), "not a place"),
        (lambda wrong: llminspect.neuron(wrong, "toy-relu"), "not a place"),
        (lambda wrong: llminspect.help(wrong), "not a topic"),
        (lambda wrong: llminspect.schema(wrong), "not a command"),
        (lambda wrong: llminspect.info(wrong), "info reads the files of a model"),
        (lambda wrong: llminspect.tokenize(wrong, "toy"), "not a text"),
        (lambda wrong: llminspect.probe(wrong, "toy"), "records are dictionaries"),
    ],
)
def test_what_stands_in_the_place_of_a_text_is_checked(call: Callable[[Any], object], message: str) -> None:
    for wrong in (5, 10**5000, 1.5, object()):
        with pytest.raises(UsageError, match=message) as caught:
            call(wrong)
        assert len(str(caught.value)) < 200


def test_a_model_in_the_place_of_a_name_or_a_text_is_refused_with_what_to_give() -> None:
    model: Any = llminspect.open_model("toy")
    with pytest.raises(UsageError, match="not what open_model gave"):
        llminspect.info(model)
    with pytest.raises(UsageError, match="not a text: OpenModel") as caught:
        llminspect.embed([0, 1], model)
    assert "model=" in (caught.value.hint or "")


def test_a_walk_of_a_model_that_is_open(smollm2: Any) -> None:
    by_name, by_model = llminspect.walk(model="smollm2"), llminspect.walk(model=smollm2)
    assert [chapter.title for chapter in by_model.chapters] == [chapter.title for chapter in by_name.chapters]


def test_a_walk_follows_each_token_as_the_page_does(smollm2: Any, called: Program, tmp_path: Path) -> None:
    words = ("walk", "A cat", "--model", "smollm2", "--interactive", "--save", str(tmp_path / "page.html"), "--json")
    page = called(*words).json["followed"]
    result = llminspect.walk("A cat", smollm2, follow=True)
    followed = json.loads(llminspect.as_json(result))["followed"]
    both = followed[-1]["each"], page[-1]["each"]
    here, there = (re.sub(r'"seconds": [^,}]*', "", json.dumps(each)) for each in both)  # Which no two runs share.
    assert here == there
    assert [text["text"] for text in followed] == [text["text"] for text in page]
    assert llminspect.walk("A cat", smollm2).followed is None


def test_a_walk_of_a_long_text_is_followed_nowhere(smollm2: Any, called: Program, tmp_path: Path) -> None:
    text = "cat " * 30
    ran = called("walk", text, "--model", "smollm2", "--interactive", "--save", str(tmp_path / "page.html"))
    assert ran.code == 2
    with pytest.raises(UsageError, match="up to 24 tokens") as caught:
        llminspect.walk(text, smollm2, follow=True)
    assert str(caught.value) in ran.err


@pytest.mark.parametrize("wrong", [[-1], [3], [], [1.5], [[0, 9]]])
def test_a_pass_of_ones_own_refuses_ids_that_are_none(wrong: Any) -> None:
    """-1 would be the last row of the table, as numpy counts."""
    with pytest.raises(UsageError, match=r"run from 0 to 2|vocabulary|whole numbers"):
        llminspect.open_model("toy").run(wrong)


def test_a_part_that_no_layer_has_is_refused() -> None:
    with pytest.raises(UsageError, match="no part 'attenton'"):
        llminspect.Place(1, "attenton")  # type: ignore[arg-type]


def test_the_table_of_an_analogy_may_be_named() -> None:
    named = llminspect.embed(model=TOY, analogy="cat + sat", at="embedding")
    assert (named.vectors == llminspect.embed(model=TOY, analogy="cat + sat").vectors).all()


def test_ids_may_be_whole_numbers_of_numpy() -> None:
    assert llminspect.decode([np.int64(0), np.int32(1)], "toy-attention") == "A cat"  # type: ignore[list-item]
    with pytest.raises(UsageError, match="not a text"):
        llminspect.encode([True, 0], "toy-attention")
