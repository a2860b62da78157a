"""The options of the functions: every one is shown, every wrong value refused, natural values taken."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, cast, get_origin

import numpy as np
import pytest

import llminspect
from llminspect.arguments.option import alternatives, fields_of
from llminspect.errors import UsageError
from llminspect.library import inputs as options_of
from llminspect.library import passes

GIVEN: dict[str, tuple[Any, ...]] = {
    "tokenize": ("A cat sat.", "toy-attention"),
    "count_files": ("README.md", "bytes"),
    "encode": ("A cat sat.", "toy-attention"),
    "search": ("*", "toy-attention"),
    "embed": ("A cat sat.",),
    "attend": ("A cat sat.", "toy-attention"),
    "forward": ("A cat sat.", "toy-attention"),
    "generate": ("A cat sat.", "toy"),
    "walk": ("world", "toy"),
    "diff": ("world", "toy"),
    "diff_models": ("toy", "toy"),
    "open_model": ("toy",),
    "verify": ("toy",),
    "cache": (),
    "info": ("toy",),
    "pull": ("toy",),
    "head": ("1.0", "toy"),
    "neuron": ("0.1", "toy"),
    "features": ("tests/golden/dictionaries/toy", "world", "toy"),
    "probe": ([{"text": "world", "label": "a"}], "toy"),
    "circuit": ("world", "hello", "toy"),
}


def groups_of(name: str) -> list[Any]:
    """The dataclasses of a function's options."""
    function = getattr(llminspect, name).__wrapped__
    kinds = [function.__globals__.get(one.annotation) for one in inspect.signature(function).parameters.values()]
    return [kind for kind in kinds if inspect.isclass(kind) and hasattr(kind, "__dataclass_fields__")]


OPTIONS = [
    (name, field, hint, option)
    for name in GIVEN
    if hasattr(getattr(llminspect, name), "__wrapped__")
    for group in groups_of(name)
    for field, (hint, option) in fields_of(group).items()
    if field in inspect.signature(getattr(llminspect, name)).parameters
    and field not in ("text", "place", "records", "dictionary", "clean", "corrupt")
]


def test_every_function_with_options_is_tried() -> None:
    wrapped = [name for name in llminspect.__all__ if hasattr(getattr(llminspect, name), "__wrapped__")]
    assert {name for name in wrapped if groups_of(name)} <= set(GIVEN)


def wrong_values(hint: Any, option: Any) -> list[Any]:
    """What no option of that type takes: other types, other choices, numbers outside the range."""
    kinds, wrong = alternatives(hint), [object(), {"a": 1}]
    origins = {get_origin(kind) or kind for kind in kinds}
    if str not in kinds and Path not in kinds:
        wrong += ["no such word", ""]
    if bool not in kinds:
        wrong += [True]
    if bool in kinds:
        wrong += [2, 0.0]
    if int in kinds or float in kinds:
        wrong += [float("nan"), float("inf"), 10**400, -(10**400), np.float32("nan")]
        wrong += [] if option.min is None else [option.min - 1]
        wrong += [] if option.max is None else [option.max + 1]
    if int in kinds:
        wrong += [1.5, 2**64]
    if not origins & {list, tuple, Sequence}:
        wrong += [[object()], ["a", "b"]]
    if Literal in origins and str not in kinds:
        wrong += ["Zero", 3]
    return wrong


@pytest.mark.parametrize(
    ("name", "field", "hint", "option"), OPTIONS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_wrong_value_is_refused(name: str, field: str, hint: Any, option: Any) -> None:
    function, more = getattr(llminspect, name), {"model": "toy-attention"} if name == "embed" else {}
    for value in wrong_values(hint, option):
        with pytest.raises(UsageError) as raised:
            function(*GIVEN[name], **more, **{field: value})
        assert len(str(raised.value)) < 700, value


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: llminspect.forward("world", "toy", ablate_with="shuffle"), "'zero', 'mean', 'resample'"),
        (
            lambda: llminspect.embed("cat", model="toy-attention", pool="meen"),
            "'none', 'mean', 'first', 'last', 'model'",
        ),
        (lambda: llminspect.embed("cat", model="toy-attention", metric="euclid"), "'cosine', 'dot'"),
        (lambda: llminspect.embed("cat", model="toy-attention", project="tsne"), "'pca'"),
        (lambda: llminspect.attend("A cat", "toy-attention", measure="inductoin"), "'induction'"),
        (lambda: llminspect.forward("world", "toy", parse="specail"), "'text', 'special', 'error'"),
        (lambda: llminspect.generate("world", "toy", temperature=-1), "a number from 0 up"),
        (lambda: llminspect.generate("world", "toy", top_p=3), "a number from 0 to 1"),
        (lambda: llminspect.generate("world", "toy", top_k=0), "a number from 1 up"),
        (lambda: llminspect.generate("world", "toy", max_tokens=-3), "a number from 0 up"),
        (lambda: llminspect.forward("world", "toy", top=-1), "a number from 0 up"),
        (lambda: llminspect.open_model("toy", engine="tpu"), "'numpy', 'jax'"),
        (lambda: llminspect.open_model("toy", kernels="cuda"), "'compiled', 'none'"),
        (lambda: llminspect.cache(cast("Any", "remove")), "'show', 'verify', 'clear'"),
        (lambda: llminspect.verify("toy", bound=-1), "a number from 0 up"),
        (lambda: llminspect.diff("world", "toy", against="hello", top=0), "a number from 1 up"),
    ],
)
def test_what_would_do_is_said(call: Any, named: str) -> None:
    with pytest.raises(UsageError) as raised:
        call()
    assert named in raised.value.message


def heads(result: Any) -> list[tuple[int, int]]:
    return [(head.layer, head.head) for head in result.heads]


def test_natural_types_are_taken(smollm2: Any) -> None:
    text = "Alice gave Bob her book"
    attend, forward = llminspect.attend, llminspect.forward
    assert heads(attend(text, smollm2, layer=3, head=range(2))) == [(3, 0), (3, 1)]
    assert heads(attend(text, smollm2, layer=[4, 3, 4], head=np.array([5]))) == [(3, 5), (4, 5)]
    assert heads(attend(text, smollm2, layer="3-4", head="5")) == [(3, 5), (4, 5)]
    answer = attend(text, smollm2, layer=3, head=1, query=1).query
    assert answer is not None and answer.text.strip() == "gave"
    found = forward(text, smollm2, target=5, attribution=True).attribution
    assert found is not None and found.target.id == 5
    for one, several in (("3.2", ["3.2"]), ("3.attention", ("3.attention",))):
        assert same(forward(text, smollm2, ablate=one), forward(text, smollm2, ablate=several))
    patch = "Alice gave Tom her book"
    assert same(
        forward(text, smollm2, patch=patch, into="3.stream", position=2),
        forward(text, smollm2, patch=patch, into=["3.stream"], position="2"),
    )
    assert llminspect.embed(text, model=smollm2, at=15).at == llminspect.embed(text, model=smollm2, at="15").at == "15"


def same(one: Any, other: Any) -> bool:
    def answers(result: Any) -> list[tuple[int, float]]:
        return [(token.id, float(token.logit)) for token in result.next]

    return answers(one) == answers(other)


def test_the_signature_shows_every_option_with_its_type_and_default() -> None:
    parameters = inspect.signature(llminspect.generate).parameters
    assert list(parameters)[:2] == ["text", "model"] and parameters["model"].default == "smollm2"
    assert parameters["max_tokens"].default == 32 and parameters["max_tokens"].annotation is int
    assert not {"file", "ids", "lines", "user", "workers", "json", "save"} & set(parameters)
    written = inspect.getdoc(llminspect.generate) or ""
    for name, parameter in parameters.items():
        if parameter.kind is parameter.KEYWORD_ONLY and name != "taps":  # Of Python alone.
            assert f"\n    {name}: " in written and f" = {parameter.default!r}\n        " in written
    assert "--" not in written.partition("Options:")[2]


def test_every_option_of_a_command_is_one_of_its_function() -> None:
    """Save those that only a terminal has a use for, and those that stand in front under another name."""
    for name, field, _, _ in OPTIONS:
        assert field in inspect.signature(getattr(llminspect, name)).parameters
    for name in GIVEN:
        if hasattr(getattr(llminspect, name), "__wrapped__"):
            fields = {field for group in groups_of(name) for field in fields_of(group)}
            assert fields - options_of.TERMINAL <= set(inspect.signature(getattr(llminspect, name)).parameters)


def test_an_unknown_option_is_a_type_error_that_names_the_nearest() -> None:
    with pytest.raises(TypeError, match=r"forward\(\) has no option 'depth'$"):
        llminspect.forward("world", "toy", depth=3)
    with pytest.raises(TypeError, match=r"generate\(\) has no option 'max_token'; is it 'max_tokens'\?"):
        llminspect.generate("world", "toy", max_token=3)
    with pytest.raises(TypeError, match="lens"):
        llminspect.lens("world", "toy", lens=True)


def test_the_model_that_was_not_given_is_told_from_the_same_by_name() -> None:
    """With one other tokenizer the model's stands beside it; with several only where it was given."""
    compare, pair = ["bytes", "characters"], ["smollm2", "bytes"]
    assert [each.model for each in llminspect.tokenize("a", compare="bytes").models] == pair
    assert [each.model for each in llminspect.tokenize("a", compare=compare).models] == compare
    assert [each.model for each in llminspect.tokenize("a", "smollm2", compare=compare).models] == ["smollm2", *compare]


def test_the_sentence_of_walk_is_that_of_the_command() -> None:
    from llminspect.commands import walk

    assert passes.SENTENCE == walk.SENTENCE


def test_the_path_of_a_model_stands_for_its_name() -> None:
    path, ids = Path(__file__).parent.parent / "golden" / "llama", [5, 6, 7]
    by_name, by_path = llminspect.forward(ids, str(path)), llminspect.forward(ids, path)
    assert by_name.next is not None and same(by_name, by_path) and same(by_name, llminspect.forward(ids, model=path))
    assert llminspect.diff(ids, path, against_model=path).kl_ab == 0
    assert llminspect.open_model(path).name == str(path) and llminspect.info(path).family == "llama"
    with pytest.raises(UsageError, match="not a text"):
        llminspect.forward(cast("Any", path), path)


def test_a_place_stands_for_its_text_where_one_part_is_looked_at() -> None:
    head, neuron = llminspect.Place(1, "head", 2), llminspect.Place(1, "neuron", neuron=3)
    assert (llminspect.head(head, "smollm2", top=1).layer, llminspect.head(head, "smollm2", top=1).head) == (1, 2)
    assert llminspect.neuron(neuron, "smollm2", top=1).neuron == 3
    for function, wrong in (
        (llminspect.head, [neuron, (1, 2), None, 1.2, llminspect.Place(1, "stream")]),
        (llminspect.neuron, [head, (1, 2), 5]),
    ):
        for place in cast("Any", wrong):
            with pytest.raises(UsageError, match=r"place|names no"):
                function(place, "smollm2")


def test_a_place_stands_for_its_text_in_an_experiment() -> None:
    model, ids = llminspect.open_model(Path(__file__).parent.parent / "golden" / "llama"), [5, 6, 7]
    head, stream = llminspect.Place(1, "head", 2), llminspect.Place(1, "stream")
    plain, silent = llminspect.forward(ids, model), llminspect.forward(ids, model, ablate="1.2")
    assert not same(plain, silent)
    assert same(silent, llminspect.forward(ids, model, ablate=head))
    assert same(silent, llminspect.forward(ids, model, ablate=[head]))
    both = llminspect.forward(ids, model, ablate=["0.attention", "1.2"])
    assert same(both, llminspect.forward(ids, model, ablate=("0.attention", head)))
    for into in ("1.stream", stream, [stream]):
        assert llminspect.forward(ids, model, patch=[5, 8, 7], into=into, position=1).change is not None
    with pytest.raises(UsageError, match="not a part of the model"):
        llminspect.forward(ids, model, ablate=stream)
