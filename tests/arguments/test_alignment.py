"""`--align`: which positions stand for which, said by hand; and that patching follows it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

import llminspect
from llminspect.arguments.alignment import parse_alignment
from llminspect.errors import UsageError
from llminspect.text.prompt import Prompt
from llminspect.text.tokenizer import Token
from tests.closeness import assert_close
from tests.commands.patched import Acts, values_at
from tests.commands.plain_llama import plain_forward
from tests.model.golden import FOLDER

if TYPE_CHECKING:
    from pathlib import Path

    from llminspect.model.opened import Model
    from tests.conftest import Program

HERE, THERE = "The capital of France is", "The capital of New Zealand is"


def words(text: str) -> Prompt:
    """A token a word."""
    return Prompt(None, [Token(at, f" {word}".encode(), None, None) for at, word in enumerate(text.split())])


@pytest.mark.parametrize(
    ("align", "here", "there", "pairs"),
    [
        ("start", "a b c", "d e f g h", "0=0 1=1 2=2"),
        ("end", "a b c", "d e f g h", "0=2 1=3 2=4"),
        ("end", "d e f g h", "a b c", "2=0 3=1 4=2"),
        # A word of one token, and one of two: the last of each; what lies around them has one length.
        ("France=New Zealand", HERE, THERE, "0=0 1=1 2=2 3=4 4=5"),
        ("New Zealand=France", THERE, HERE, "0=0 1=1 2=2 4=3 5=4"),
        # As many tokens: one by one.
        ("New York=San Jose", "in New York now", "they live in San Jose now", "1=3 2=4 3=5"),
        # Only what follows has one length.
        ("b=y", "a b c", "w x y z", "1=2 2=3"),
        ("b=y", "a b c d", "w x y z", "1=2"),
        (["b=w", "d=z"], "a b c d", "v w x y z", "0=0 1=1 3=4"),
        # Words that cross: nothing but these.
        (["John=John", "Mary=Mary"], "and John and Mary left", "and Mary and John left", "1=3 3=1"),
        (["a=a", "b=b"], "a b c", "b a", "0=1 1=0"),
        ("1=2", "a b c", "a b c d", "1=2 2=3"),
        ("0-1=1-2", "a b c", "a b c d", "0=1 1=2 2=3"),
        ("-1=-1", "a b c", "a b c d", "2=3"),
        (["-1=-1", "0=0"], "a b c", "a b c d", "0=0 2=3"),
    ],
)
def test_what_stands_for_what(align: Any, here: str, there: str, pairs: str) -> None:
    found = parse_alignment(align, words(here), words(there))
    assert sorted(found.pairs) == [tuple(map(int, pair.split("="))) for pair in pairs.split()]
    for side, left, text in ((0, found.left_out, here), (1, found.left_out_there, there)):
        assert sorted([*left, *(pair[side] for pair in found.pairs)]) == list(range(len(text.split())))


@pytest.mark.parametrize(
    ("align", "message"),
    [
        ("a=b", "this text: 'a' is in the text 2 times"),
        ("b=a", "the other: 'a' is in the text 2 times"),
        ("c=b", "'c' is not in the text"),
        ("3=9", "the other: there is no token 9"),
        ("-9=0", "this text: there is no token -9"),
        ("2-1=0", "there is no token 2-1"),
        (["0=0", "0=1"], "names token 0 of this text twice"),
        (["0=0", "1=0"], "names token 0 of the other text twice"),
        ("b", "cannot read 'b'"),
        ("b=", "cannot read 'b='"),
        ("b=b=b", "cannot read 'b=b=b'"),
        (["start", "0=0"], "cannot read 'start'"),
        ([], "--align is empty"),
    ],
)
def test_what_is_not_clear_is_refused(align: Any, message: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_alignment(align, words("a b a d"), words("a b a e f"))
    assert message in str(refused.value)


def test_a_plain_pass_with_the_same_vectors_gives_the_same(smollm2: Model) -> None:
    """The vector of Zealand after layer 22 in the place of that of France."""
    assert smollm2.tokenizer is not None
    here, there = (smollm2.tokenizer.encode_ids(text) for text in (HERE, THERE))
    stream = values_at(smollm2, there, "layers.22.output")[4]

    def swap(array: Any) -> Any:
        changed = array.copy()
        changed[3] = stream
        return changed

    expected = smollm2.logits(smollm2.run(here, Acts({"layers.22.output": swap})).stream_TD)[-1]
    options: dict[str, Any] = {"patch": THERE, "into": "22.stream", "align": "France=New Zealand"}
    found = llminspect.forward(HERE, smollm2, position=3, top=3, **options)
    assert found.next is not None and found.change is not None
    assert_close([token.logit for token in found.next], sorted(expected)[::-1][:3])
    (made,) = found.change.experiments
    assert made.aligned is not None and made.aligned.pairs == [(3, 4)] and made.aligned.left_out_there == [3]
    written = llminspect.generate(HERE, smollm2, position=3, max_tokens=2, **options)
    assert written.completion == " New Zealand"


def test_a_key_before_the_rotation_is_turned_to_its_new_position() -> None:
    """By hand: what another text's map gave at position 2 is turned as position 1; after the rotation it stays as 2."""
    model, ids, other = llminspect.open_model(str(FOLDER / "llama")), [5, 6, 7], [8, 9, 10, 11]
    for part in ("key.projected", "key"):
        kept: list[Any] = []

        def keep(name: str, layer: int, head: int, at: int, vector: Any, part: str = part, kept: Any = kept) -> Any:
            kept += [vector] if (name, layer, head, at) == (part, 0, 0, 2) else []
            return vector

        def swap(name: str, layer: int, head: int, at: int, vector: Any, part: str = part, kept: Any = kept) -> Any:
            return kept[0] if (name, layer, head, at) == (part, 0, 0, 1) else vector

        plain_forward(model, other, inside=keep)
        expected = plain_forward(model, ids, inside=swap)[0]
        given: dict[str, Any] = {"patch": other, "into": f"0.0.{part}", "align": "1=2", "position": 1}
        found = llminspect.forward(ids, model, top=1 << 20, **given).next
        assert found is not None
        assert_close([token.logit for token in sorted(found, key=lambda token: token.id)], expected)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"into": "0.pattern"}, "a pattern has a column for each token of its text"),
        ({"into": "0.stream", "position": 0, "align": "1=2"}, "--position 0 stands for no token of the other text"),
        ({"into": "0.stream", "align": None}, "the texts have 3 and 4 tokens"),
    ],
)
def test_what_cannot_be_aligned_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as refused:
        llminspect.forward([5, 6, 7], str(FOLDER / "llama"), patch=[8, 9, 10, 11], **{"align": "end", **given})
    assert message in str(refused.value)


def test_patterns_of_texts_of_one_length_that_stand_side_by_side() -> None:
    given: dict[str, Any] = {"patch": [8, 9, 10], "into": "0.pattern", "top": 5}
    plain, aligned = (
        llminspect.forward([5, 6, 7], str(FOLDER / "llama"), **given, align=align).next for align in (None, "start")
    )
    assert plain == aligned


def test_each_of_many_texts_has_an_alignment_of_its_own(called: Program, tmp_path: Path, smollm2: Model) -> None:
    align: list[Any] = ["France=New Zealand", ["Italy=Sri Lanka"]]
    texts = [("France", "New Zealand"), ("Italy", "Sri Lanka")]
    records = [
        {"text": f"The capital of {land} is", "patch": f"The capital of {other} is", "align": one}
        for (land, other), one in zip(texts, align, strict=True)
    ]
    alone = [
        llminspect.forward(one["text"], smollm2, patch=one["patch"], align=one["align"], into="22.stream").change
        for one in records
    ]
    places = llminspect.over("forward", records, smollm2, into="22.stream").places
    mean = next(place.mean for place in places if place.measure.startswith("KL"))
    assert_close(mean, sum(change.kl for change in alone if change is not None) / 2, 1e-4)
    path = tmp_path / "records.jsonl"
    for changed, into, message in (
        (5, ("--into", "22.stream"), "record 0: its align is not a text or a list of texts"),
        ([5], ("--into", "22.stream"), "record 0: its align is not a text or a list of texts"),
    ):
        path.write_text(json.dumps({**records[0], "align": changed}))
        ran = called("forward", "--over", str(path), *into)
        assert (ran.code, ran.err) == (1, f"llminspect: {message}\n")
