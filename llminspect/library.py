"""The commands as functions: what a script or a notebook calls. Import them from `llminspect` itself.

Each takes a text (or a list of ids), a model (its name, as `--model` takes it, or one that `open_model` opened), and
the options of its command by their names with `_` for `-`; what is not given is as on the command line. Each gives the
Result that `--json` writes, with numpy arrays for the numbers. Raises UserError and its kinds (`llminspect.errors`)
where the command line would write a line and an exit code.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, TypeVar

from llminspect.opening import open_model

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias

    from llminspect.analysis.attend import AttendResult as Attended
    from llminspect.analysis.embed import EmbedResult as Embedded
    from llminspect.analysis.encode import EncodeResult as Encoded
    from llminspect.analysis.forward import ForwardResult as Forwarded
    from llminspect.analysis.generate import GenerateResult as Generated
    from llminspect.analysis.info import InfoResult as Described
    from llminspect.analysis.known_models import ModelsResult as Listed
    from llminspect.analysis.pull import PullResult as Pulled
    from llminspect.analysis.tokenization import TokenizeResult as Tokenized
    from llminspect.analysis.verify import VerifyResult as Verified
    from llminspect.arguments.shared import SourceOptions
    from llminspect.model.opened import Model
    from llminspect.text.prompt import Prompt
    from llminspect.text.tokenizer import Tokenizer

    Text: TypeAlias = str | Sequence[int]
    Opened: TypeAlias = str | Model

G = TypeVar("G")
DEFAULT = "smollm2"


def tokenize(text: Text, model: Opened = DEFAULT, **options: Any) -> Tokenized:
    """A text cut into tokens; `steps=True` for how they came to be."""
    from llminspect.analysis import tokenize as question
    from llminspect.analysis.tokenization import TokenizeResult as Tokenized
    from llminspect.arguments.tokenize import TokenizeOptions

    source, asked = _source(options), _group(TokenizeOptions, options)
    _refuse("tokenize", options, {"count": asked.count, "compare": asked.compare})
    asked.check()
    tokenizer = _tokenizer(model)
    result = question.tokenize(tokenizer, asked, source, _prompt(text, source, tokenizer))
    assert isinstance(result, Tokenized)
    return result


def encode(text: Text, model: Opened = DEFAULT, *, one_hot: bool = False, **options: Any) -> Encoded:
    """A text as the ids that the model reads."""
    from llminspect.analysis import encode as question

    source = _source(options)
    _refuse("encode", options)
    tokenizer = _tokenizer(model)
    return question.encode(tokenizer, one_hot, _prompt(text, source, tokenizer))


def decode(ids: Sequence[int], model: Opened = DEFAULT) -> str:
    """The text that ids stand for, with U+FFFD where their bytes are not whole characters."""
    return _tokenizer(model).decode(list(ids)).decode("utf-8", "replace")


def embed(*texts: Text, model: Opened = DEFAULT, **options: Any) -> Embedded:
    """Tokens as vectors [T, D], of one text or of several; with `pool="mean"` a vector a text.

    `analogy="king - man + woman"` takes the place of the texts.
    """
    from llminspect.analysis import embed as question
    from llminspect.arguments.embed import EmbedOptions
    from llminspect.errors import UsageError

    source, asked = _source(options), _group(EmbedOptions, options)
    _refuse("embed", options)
    if (asked.analogy is None) == (not texts):
        raise UsageError("embed takes texts or an analogy", "give one of the two")
    opened = question.reading_model(_opened(model))
    if asked.analogy is not None:
        return question.embed_analogy(opened, asked, question.prompt_of_terms(opened, asked.analogy))
    first, *others = (_prompt(text, source, opened.tokenizer) for text in texts)
    return question.embed(opened, asked, others, first)


def attend(text: Text, model: Opened = DEFAULT, *, control: str | None = None, **options: Any) -> Attended:
    """Who looks at whom: `heads` holds the weights [T, S] of every head that `layer` and `head` name, or of all."""
    from llminspect.analysis import attend as question
    from llminspect.analysis.attend import Keeping
    from llminspect.arguments.attend import AttendOptions, check_attend

    source, asked = _source(options), dataclasses.replace(_group(AttendOptions, options), control=control)
    _refuse("attend", options)
    check_attend(asked)
    opened = question.with_mask(_opened(model), asked.mask)
    beside = None if control is None else _prompt(control, source, opened.tokenizer)
    keeping = Keeping(every=True, most=1 << 40, may_lack=not asked.selects and asked.asks)
    return question.attend(opened, asked, _prompt(text, source, opened.tokenizer), keeping=keeping, control=beside)


def forward(text: Text, model: Opened = DEFAULT, **options: Any) -> Forwarded:
    """Through every layer to the most probable next tokens; `lens`, `attribution`, `ablate=["3.2"]` and so on."""
    from llminspect.analysis import forward as question
    from llminspect.arguments.experiments import ExperimentOptions
    from llminspect.arguments.forward import ForwardOptions, SweepOptions, check_forward

    source, look, patch = _source(options), _group(ForwardOptions, options), _group(SweepOptions, options)
    experiments = _group(ExperimentOptions, options)
    _refuse("forward", options)
    check_forward(look, patch, experiments)
    opened = _opened(model)
    patched = None if patch.patch is None else _prompt(patch.patch, source, opened.tokenizer).ids
    asked = question.ForwardQuestion(look, patch, experiments, patched)
    return question.forward(opened, asked, _prompt(text, source, opened.tokenizer))


def generate(text: Text, model: Opened = DEFAULT, **options: Any) -> Generated:
    """The text continued, each token with its probability and the runners-up."""
    from llminspect.analysis import generate as question
    from llminspect.arguments.experiments import ExperimentOptions
    from llminspect.arguments.generate import GenerateOptions, SamplingOptions, seed_of
    from llminspect.arguments.patch import PatchOptions, check_patch

    source, sampling, asked = _source(options), _group(SamplingOptions, options), _group(GenerateOptions, options)
    experiments, patch = _group(ExperimentOptions, options), _group(PatchOptions, options)
    _refuse("generate", options)
    check_patch(patch)
    opened = _opened(model)
    patched = None if patch.patch is None else _prompt(patch.patch, source, opened.tokenizer).ids
    whole = question.GenerateQuestion(sampling, asked, experiments, seed_of(sampling, asked), patch, patched)
    return question.generate(opened, whole, _prompt(text, source, opened.tokenizer))


def models() -> Listed:
    """The catalogue; nothing is fetched."""
    from llminspect.analysis import known_models as question

    return question.known_models()


def pull(name: str, *, revision: str | None = None) -> Pulled:
    """Fetch a model of the catalogue or of the hub unless it is there."""
    from llminspect.analysis import pull as question

    return question.pull(name, revision=revision)


def info(name: str) -> Described:
    """What is inside a model, read from its headers alone."""
    from llminspect.analysis import info as question
    from llminspect.opening import describe_model, tokenizer_of

    description = describe_model(name)
    return question.info(description, tokenizer_of(description), name)


def verify(model: Opened = DEFAULT, ids: Sequence[int] | None = None, **options: Any) -> Verified:
    """Compare the model with itself: float32 with float64, cached with uncached, and, given by name, streamed."""
    from functools import partial

    from llminspect.analysis import verify as question
    from llminspect.arguments.verify import BOUND

    bound = options.pop("bound", BOUND)
    _refuse("verify", options)
    opened = _opened(model)
    built_in = opened.provenance.get("file") == "built in"
    streamed = partial(open_model, model, streamed=True) if isinstance(model, str) and not built_in else None
    listed = None if ids is None else ",".join(map(str, ids))
    input_ids, source_ids = question.ids_of(opened, listed, None)
    return question.verify(opened, input_ids, bound=bound, streamed=streamed, source_ids=source_ids)[0]


def as_json(result: Any) -> str:
    """A Result as the JSON that its command writes, without what says where it came from."""
    from llminspect.analysis.documents import fields_of
    from llminspect.cli.json_text import json_bytes

    return json_bytes(fields_of(result)).decode()


def _opened(model: Opened) -> Model:
    return open_model(model) if isinstance(model, str) else model


def _tokenizer(model: Opened) -> Tokenizer:
    from llminspect.errors import UsageError
    from llminspect.opening import open_tokenizer

    if isinstance(model, str):
        return open_tokenizer(model)[0]
    if model.tokenizer is None:
        raise UsageError(f"{model.name} comes without a tokenizer", "give ids")
    return model.tokenizer


def _prompt(text: Text, source: SourceOptions, tokenizer: Tokenizer | None) -> Prompt:
    from llminspect.analysis.prompt import prompt_of_ids, text_prompt

    return (
        text_prompt(text, source, tokenizer, None)
        if isinstance(text, str)
        else prompt_of_ids(list(text), tokenizer, None)
    )


def _source(options: dict[str, Any]) -> SourceOptions:
    """How a text becomes tokens: `special`, `parse`, `chat`, `system`."""
    from llminspect.arguments.shared import SourceOptions

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
