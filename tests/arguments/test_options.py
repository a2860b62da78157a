"""Every option of every command with values that nobody should give: one line, never a traceback, in Python as well."""

from __future__ import annotations

import dataclasses
import importlib
import math
import pkgutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import numpy as np
import pytest
from typer.models import OptionInfo

import llminspect
from llminspect import arguments, commands
from llminspect.arguments.attend import AttendOptions
from llminspect.arguments.embed import EmbedOptions
from llminspect.arguments.experiments import ExperimentOptions
from llminspect.arguments.generate import SamplingOptions
from llminspect.arguments.option import alternatives, checked, fields_of
from llminspect.errors import UsageError

if TYPE_CHECKING:
    from tests.conftest import Program

MODULES = [
    importlib.import_module(f"llminspect.arguments.{found.name}") for found in pkgutil.iter_modules(arguments.__path__)
]
GROUPS: list[Any] = [
    kind
    for module in MODULES
    for name, kind in vars(module).items()
    if dataclasses.is_dataclass(kind) and name.endswith("Options") and kind.__module__ == module.__name__
]
FIELDS = [(group, name) for group in GROUPS for name in fields_of(group)]
HUGE = "9" * 5000
NO_INTEGERS = ["9" * 25, "-" + "9" * 25, HUGE, "٣", "", "x", "1.5", "nan", "inf", "1e3"]
NO_NUMBERS = [HUGE, "٣", "", "x", "nan", "inf", "-inf", "1e999"]
INPUT = {
    "attend": ["A cat sat.", "--model", "toy-attention"],
    "diff": ["world", "--model", "toy"],
    "info": [],
    "verify": ["toy"],
    "cache": ["clear"],
}
TEXTS = {
    "layer": ["9", "5-3", "0-9999999999", HUGE, f"0-{HUGE}", "٣", "", "-1", "0,,0", "0-"],
    "target_ids": [HUGE, "٣", "1,x", "-1"],
    "ids": [HUGE, "٣", "1,x", "-1"],
    "ablate": ["9.9", f"{HUGE}.0", f"0.{HUGE}", "٠.٠", "", "0", "0.stream"],
    "scale": ["0.feedforward*٢", "0.feedforward*nan", f"0.feedforward*{HUGE}", f"{HUGE}.0*2", "0.feedforward", "*2"],
    "steer": [f"world@{HUGE}", "world@٠", "world", "world@0*nan", "world*2@0", "world / hello@0", "world -@0", "@0"],
    "target": [f"#{HUGE}", "#٣", "#3", ""],
    "versus": [f"#{HUGE}", "#٣", "#3", ""],
    "query": [HUGE, "٣", "", "9"],
    "find": [HUGE, f"{HUGE}->0", "٣->0", "0->", "0"],
    "at": [HUGE, "٣", "", "-1", "9"],
    "cost": [HUGE, "٣", "", "nan", "-1"],
    "limit": [HUGE * 2, "٣", "", "-1"],
    "show": ["", "weigths", "weights,"],
    "analogy": ["", "a *", "٣*world", f"{HUGE}*world", "world hello"],
}
NEEDED = {"versus": ["--attribution"], "show": ["--layer", "0"]}


def names_of(command: str) -> list[tuple[str, str, Any]]:
    """Each option of a command: its field, its name, and what Typer is told of it."""
    parameters = commands.function(command).__signature__.parameters
    entries = [(name, get_args(parameter.annotation)[1:]) for name, parameter in parameters.items()]
    # Typer takes the first of the names for the default, until it sees that it is a name.
    return [
        (name, entry.default, entry)
        for name, metadata in entries
        for entry in metadata
        if isinstance(entry, OptionInfo) and isinstance(entry.default, str)
    ]


NUMBERS = [
    (command, option, entry.click_type.name)
    for command in commands.names()
    for _, option, entry in names_of(command)
    if entry.click_type is not None and entry.click_type.name != "path"
]
PATHS = [
    (command, option)
    for command in commands.names()
    for _, option, entry in names_of(command)
    if entry.click_type is not None and entry.click_type.name == "path"
]


def refused(called: Program, command: str, *arguments: str, given: list[str] | None = None, **environment: str) -> None:
    """Exit code 2, one line, and with --json the same as a document."""
    given = INPUT.get(command, ["world", "--model", "toy"]) if given is None else given
    for form in ([], ["--json"]):
        ran = called(command, *given, *arguments, *form, **environment)
        assert ran.code == 2, (arguments[-1][:40], ran.err)
        assert len(ran.err.splitlines()) == 1
        assert len(ran.err) < 1000
        if form:
            assert ran.json["error"]["code"] == "usage"
        else:
            assert ran.out in ("", "world\n")  # `generate` shows the text that it continues first.


@pytest.mark.parametrize(("command", "option", "kind"), NUMBERS)
def test_numbers_that_are_none_are_refused(called: Program, command: str, option: str, kind: str) -> None:
    for value in NO_INTEGERS if kind.startswith("int") else NO_NUMBERS:
        refused(called, command, option, value)


@pytest.mark.parametrize("given", [["--parse", HUGE], [f"--{HUGE}"], ["--steps", HUGE]])
def test_a_long_word_is_quoted_in_part(called: Program, given: list[str]) -> None:
    refused(called, "embed", *given)


@pytest.mark.parametrize(
    "given", ["forward world -m toy", "pull smollm2", "info minilm", "tokenize a -m bytes -c letters"]
)
def test_a_revision_is_of_a_model_on_the_hub(called: Program, given: str) -> None:
    command, *rest = given.split()
    refused(called, command, *rest, "--revision", "main", given=[])


def test_a_revision_of_one_of_several_is_used(called: Program) -> None:
    ran = called("tokenize", "a", "-m", "bytes", "-c", "no/such", "--revision", "x", "--offline", "--json")
    assert "no/such at x is not in the local hub cache" in ran.out
    with pytest.raises(UsageError, match="models on the hub"):
        llminspect.open_model("toy", revision="x")


@pytest.mark.parametrize(("command", "option"), PATHS)
def test_no_path_is_empty(called: Program, command: str, option: str) -> None:
    refused(called, command, option, "")


def test_every_number_is_in_the_list() -> None:
    options = {option for _, option, _ in NUMBERS}
    expected = "--seed --top --top-k --alternatives --nearest --truncate --max-tokens-allowed --max-tokens --n --beams"
    assert options >= {
        *expected.split(),
        *"--tree --lookup --window --workers --limit --digits --width --bound".split(),
    }


@pytest.mark.parametrize(
    ("command", "field", "option"),
    [
        (command, field, option)
        for command in ("tokenize", "embed", "attend", "forward", "generate", "cache")
        for field, option, entry in names_of(command)
        if field in TEXTS and entry.click_type is None and (command, field) != ("attend", "target")
    ],
)
def test_texts_that_say_nothing_are_refused(
    called: Program, tmp_path: Path, command: str, field: str, option: str
) -> None:
    model = ["--model", "toy-attention" if command == "attend" else "toy"]
    for value in TEXTS[field]:
        given = model if field in ("ids", "analogy") else None
        refused(called, command, *NEEDED.get(field, []), option, value, given=given, LLMINSPECT_HOME=str(tmp_path))


@pytest.mark.parametrize(("group", "name"), FIELDS, ids=lambda entry: getattr(entry, "__name__", entry))
def test_python_is_refused_what_the_command_line_is(group: Any, name: str) -> None:
    hint, option = fields_of(group)[name]
    for value in wrong_values(hint, option):
        with pytest.raises(UsageError, match="Invalid value for"):
            checked(dataclasses.replace(group(), **{name: value}))


def wrong_values(hint: Any, option: Any) -> list[Any]:
    """Values that do not fit a field of this type."""
    kinds = alternatives(hint)
    wrong: list[Any] = [object(), 1j, *([] if any(get_origin(kind) is dict for kind in kinds) else [{"a": 1}])]
    if int in kinds:
        wrong += [True, 2**63, -(2**63), 10**5000, 1.5, [[]]]
    if float in kinds:
        wrong += [math.nan, math.inf, -math.inf, 10**400, True]
    if int in kinds and str not in kinds:
        wrong += ["3", ""]
    if bool in kinds:
        wrong += [1, "yes"]
    if Path in kinds:
        wrong.append("")
    if option.min is not None:
        wrong.append(option.min - 1)
    if option.max is not None:
        wrong.append(option.max + 1)
    if any(get_origin(kind) is Literal for kind in kinds):
        wrong += ["resampled", "", 3, True]
    return wrong


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (ExperimentOptions(ablate_with="x"), "'--ablate-with': 'x' is not one of 'zero', 'mean', 'resample'"),  # type: ignore[arg-type]
        (EmbedOptions(pool="meen"), "'--pool': 'meen' is not one of 'none', 'mean', 'first', 'last', 'model'"),  # type: ignore[arg-type]
        (SamplingOptions(temperature=-1), "'--temperature': -1 is not a number from 0 up"),
        (SamplingOptions(top_p=3), "'--top-p': 3 is not a number from 0 to 1"),
        (SamplingOptions(top_k=0), "'--top-k': 0 is not a number from 1 up"),
        (AttendOptions(layer=1.5), "'--layer': 1.5 is not a text or a whole number or a list, each a whole number"),  # type: ignore[arg-type]
    ],
)
def test_the_words_are_those_of_the_command_line(options: Any, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        checked(options)
    assert caught.value.message == f"Invalid value for {message}"


def test_natural_types_are_taken() -> None:
    found = checked(AttendOptions(layer=np.int64(3), head=np.arange(4), query=1, find=("her", 2), show=["scores"]))  # type: ignore[arg-type]
    assert (found.layer, found.head, found.query, found.find) == (3, [0, 1, 2, 3], 1, ("her", 2))
    assert type(found.layer) is int
    assert found.show == ("scores",)
    assert checked(SamplingOptions(temperature=np.float32(0.5))).temperature == 0.5  # type: ignore[arg-type]
    assert checked(AttendOptions(layer=range(10**12))).layer == range(10**12)
    with pytest.raises(UsageError, match="'--show'"):
        checked(AttendOptions(show=range(10**12)))  # type: ignore[arg-type]
    plain = ExperimentOptions(ablate="3.2", steer=["a@0", "b@1"])
    assert checked(plain) is plain
