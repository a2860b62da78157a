"""The commands as functions: what a script or a notebook calls. Import them from `llminspect` itself.

Each takes a text (or a list of ids), a model (its name, as `--model` takes it, or one that `open_model` opened), and
the options of its command by their names with `_` for `-`; what is not given is as on the command line. Each gives the
Result that `--json` writes, with numpy arrays for the numbers. Raises UserError and its kinds (`llminspect.errors`)
where the command line would write a line and an exit code.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, TypeVar

from llminspect.model import Model, open_model

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias

    from llminspect.commands._input import Prompt
    from llminspect.commands._options import SourceOptions
    from llminspect.commands._tokenize_results import Tokenized
    from llminspect.commands.attend import Result as Attended
    from llminspect.commands.embed import Result as Embedded
    from llminspect.commands.encode import Encoded
    from llminspect.commands.forward import Result as Forwarded
    from llminspect.commands.generate import Result as Generated
    from llminspect.commands.info import Result as Described
    from llminspect.commands.models import Result as Listed
    from llminspect.commands.pull import Result as Pulled
    from llminspect.commands.verify import Result as Verified
    from llminspect.text.tokenizer import Tokenizer

    Text: TypeAlias = str | Sequence[int]
    Opened: TypeAlias = str | Model

G = TypeVar("G")
DEFAULT = "smollm2"


def tokenize(text: Text, model: Opened = DEFAULT, **options: Any) -> Tokenized:
    """A text cut into tokens; `steps=True` for how they came to be."""
    from llminspect.commands import tokenize as command
    from llminspect.commands._tokenize_options import TokenizeOptions
    from llminspect.commands._tokenize_results import Tokenized

    source, asked = _source(options), _group(TokenizeOptions, options)
    _refuse("tokenize", options, {"count": asked.count, "compare": asked.compare})
    asked.check()
    tokenizer = _tokenizer(model)
    result = command.run(tokenizer, asked, source, _prompt(text, source, tokenizer))
    assert isinstance(result, Tokenized)
    return result


def encode(text: Text, model: Opened = DEFAULT, *, one_hot: bool = False, **options: Any) -> Encoded:
    """A text as the ids that the model reads."""
    from llminspect.commands import encode as command

    source = _source(options)
    _refuse("encode", options)
    tokenizer = _tokenizer(model)
    return command.run(tokenizer, one_hot, _prompt(text, source, tokenizer))


def decode(ids: Sequence[int], model: Opened = DEFAULT) -> str:
    """The text that ids stand for, with U+FFFD where their bytes are not whole characters."""
    return _tokenizer(model).decode(list(ids)).decode("utf-8", "replace")


def embed(*texts: Text, model: Opened = DEFAULT, **options: Any) -> Embedded:
    """Tokens as vectors [T, D], of one text or of several; with `pool="mean"` a vector a text.

    `analogy="king - man + woman"` takes the place of the texts.
    """
    from llminspect.commands import embed as command
    from llminspect.commands._embed_vectors import check_place, usual_place
    from llminspect.errors import UsageError

    placed = "at" in options
    source, asked = _source(options), _group(command.Options, options)
    _refuse("embed", options)
    if (asked.analogy is None) == (not texts):
        raise UsageError("embed takes texts or an analogy", "give one of the two")
    opened = command.reader(_opened(model))
    asked = asked if placed else dataclasses.replace(asked, at=usual_place(opened, asked.pool))
    check_place(asked.at, opened.config.sizes.L)
    if asked.analogy is not None:
        return command.run_analogy(opened, asked, command.prompt_of_terms(opened, asked.analogy))
    first, *others = (_prompt(text, source, opened.tokenizer) for text in texts)
    return command.run(opened, asked, others, first)


def attend(text: Text, model: Opened = DEFAULT, *, control: str | None = None, **options: Any) -> Attended:
    """Who looks at whom: `heads` holds the weights [T, S] of every head that `layer` and `head` name, or of all."""
    from llminspect.commands import attend as command
    from llminspect.commands._attend_options import Asked, Keeping

    source, asked = _source(options), dataclasses.replace(_group(Asked, options), control=control)
    _refuse("attend", options)
    command.check(asked)
    opened = command.masked(_opened(model), asked.mask)
    beside = None if control is None else _prompt(control, source, opened.tokenizer)
    keeping = Keeping(every=True, most=1 << 40, may_lack=not asked.selects and asked.asks)
    return command.run(opened, asked, _prompt(text, source, opened.tokenizer), keeping=keeping, control=beside)


def forward(text: Text, model: Opened = DEFAULT, **options: Any) -> Forwarded:
    """Through every layer to the most probable next tokens; `lens`, `attribution`, `ablate=["3.2"]` and so on."""
    from llminspect.commands import forward as command
    from llminspect.commands._experiments import ExperimentOptions
    from llminspect.commands._forward_options import LookOptions, SweepOptions, check_options

    source, look, patch = _source(options), _group(LookOptions, options), _group(SweepOptions, options)
    experiments = _group(ExperimentOptions, options)
    _refuse("forward", options)
    check_options(look, patch, experiments)
    opened = _opened(model)
    patched = None if patch.patch is None else _prompt(patch.patch, source, opened.tokenizer).ids
    asked = command.Asked(look, patch, experiments, patched)
    return command.run(opened, asked, _prompt(text, source, opened.tokenizer))


def generate(text: Text, model: Opened = DEFAULT, **options: Any) -> Generated:
    """The text continued, each token with its probability and the runners-up."""
    from llminspect.commands import generate as command
    from llminspect.commands._experiments import ExperimentOptions
    from llminspect.commands._generate_options import GenerateOptions, SamplingOptions, seed_of
    from llminspect.commands._patch import PatchOptions, check_place

    source, sampling, asked = _source(options), _group(SamplingOptions, options), _group(GenerateOptions, options)
    experiments, patch = _group(ExperimentOptions, options), _group(PatchOptions, options)
    _refuse("generate", options)
    check_place(patch)
    opened = _opened(model)
    patched = None if patch.patch is None else _prompt(patch.patch, source, opened.tokenizer).ids
    whole = command.Asked(sampling, asked, experiments, seed_of(sampling, asked), patch, patched)
    return command.run(opened, whole, _prompt(text, source, opened.tokenizer))


def models() -> Listed:
    """The catalogue; nothing is fetched."""
    from llminspect.commands import models as command

    return command.run()


def pull(name: str, *, revision: str | None = None) -> Pulled:
    """Fetch a model of the catalogue or of the hub unless it is there."""
    from llminspect.commands import pull as command

    return command.run(name, revision=revision)


def info(name: str) -> Described:
    """What is inside a model, read from its headers alone."""
    from llminspect.commands import info as command
    from llminspect.model import describe_model, tokenizer_of

    description = describe_model(name)
    return command.run(description, tokenizer_of(description), name)


def verify(model: Opened = DEFAULT, ids: Sequence[int] | None = None, **options: Any) -> Verified:
    """Compare the model with itself: float32 with float64, cached with uncached, and, given by name, streamed."""
    from functools import partial

    from llminspect.commands import verify as command

    bound = options.pop("bound", command.BOUND)
    _refuse("verify", options)
    opened = _opened(model)
    built_in = opened.provenance.get("file") == "built in"
    streamed = partial(open_model, model, streamed=True) if isinstance(model, str) and not built_in else None
    listed = None if ids is None else ",".join(map(str, ids))
    input_ids, source_ids = command.ids_of(opened, listed, None)
    return command.run(opened, input_ids, bound=bound, streamed=streamed, source_ids=source_ids)[0]


def as_json(result: Any) -> str:
    """A Result as the JSON that its command writes, without what says where it came from."""
    from llminspect.commands._output import json_bytes
    from llminspect.commands._run import fields_of

    return json_bytes(fields_of(result)).decode()


def _opened(model: Opened) -> Model:
    return open_model(model) if isinstance(model, str) else model


def _tokenizer(model: Opened) -> Tokenizer:
    from llminspect.errors import UsageError
    from llminspect.model import open_tokenizer

    if isinstance(model, str):
        return open_tokenizer(model)[0]
    if model.tokenizer is None:
        raise UsageError(f"{model.name} comes without a tokenizer", "give ids")
    return model.tokenizer


def _prompt(text: Text, source: SourceOptions, tokenizer: Tokenizer | None) -> Prompt:
    from llminspect.commands._input import prompt_of_ids, text_prompt

    return (
        text_prompt(text, source, tokenizer, None)
        if isinstance(text, str)
        else prompt_of_ids(list(text), tokenizer, None)
    )


def _source(options: dict[str, Any]) -> SourceOptions:
    """How a text becomes tokens: `special`, `parse`, `chat`, `system`."""
    from llminspect.commands._options import SourceOptions

    named = ("special", "parse", "chat", "system")
    return SourceOptions(**{name: options.pop(name) for name in named if name in options})


def _names(group: Any) -> set[str]:
    return {field.name for field in dataclasses.fields(group)}


def _group(group: type[G], options: dict[str, Any]) -> G:
    """Those of the options that belong to a group, taken out of them."""
    return group(**{name: options.pop(name) for name in _names(group) if name in options})


def _refuse(function: str, left: dict[str, Any], others: dict[str, Any] | None = None) -> None:
    """Raise TypeError for options that are not known, as Python does."""
    for name, value in {**left, **(others or {})}.items():
        if name in left or value:
            raise TypeError(f"{function}() has no option {name!r}")
