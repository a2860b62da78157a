"""`llminspect walk`: the whole way from text to text, step by step, by hand on the toys and then on the real model.

A step is a chapter: which commands show it, on which model, and what is kept of their results. The titles are those of
the tutorial's pages, which go the same way with more words.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from llminspect.analysis.attend import attend
from llminspect.analysis.embed import embed
from llminspect.analysis.encode import encode
from llminspect.analysis.forward import ForwardQuestion, forward
from llminspect.analysis.generate import GenerateQuestion, generate
from llminspect.analysis.info import info
from llminspect.analysis.prompt import check_prompt, text_prompt
from llminspect.analysis.result import Result, Tokens, token_documents
from llminspect.analysis.tokenize import tokenize
from llminspect.arguments.attend import AttendOptions
from llminspect.arguments.embed import EmbedOptions
from llminspect.arguments.experiments import ExperimentOptions
from llminspect.arguments.forward import ForwardOptions
from llminspect.arguments.generate import GenerateOptions
from llminspect.arguments.shared import ModelOptions, SourceOptions
from llminspect.arguments.tokenize import TokenizeOptions
from llminspect.errors import UsageError
from llminspect.opening import describe_model, open_model

if TYPE_CHECKING:
    from llminspect.analysis.forward import ForwardResult
    from llminspect.model.opened import Model
    from llminspect.text.prompt import Prompt


@dataclass(frozen=True)
class CommandExcerpt:
    """What one command says about a step."""

    model: str
    arguments: list[str]
    """`llminspect` with these says the same, and more of it."""
    result: Any
    """What that command writes, as `llminspect schema` describes it; keys that say nothing about the step are left
    out."""


@dataclass(frozen=True)
class WalkChapter:
    """One step of the way."""

    number: int
    title: str
    says: str
    by_hand: list[CommandExcerpt]
    """On a model that is small enough for paper."""
    model: list[CommandExcerpt]
    """The same in the real model."""


@dataclass(frozen=True)
class WalkResult(Result):
    """The way of one text, a chapter a step."""

    text: str | None
    tokens: Tokens
    chapters: list[WalkChapter]


WRITTEN = 5
"""Tokens that the model writes at the end."""
NEAREST = 5
SAYS = {
    "A giant pile of matrix products": "A language model is one kind of step, repeated: output = activation(W × input "
    "+ b). W and b are all that was learned. The toy does the whole of it with three words.",
    "Tokens": "A model reads pieces of text from a fixed list, its vocabulary: words, parts of words, single bytes.",
    "Encoding": "Each token is known by its place in the list, its id. As a vector: all zeros, and a 1 at that place.",
    "Embeddings": "The 1 picks a row out of a table that was learned. From here on a token is this list of numbers; "
    "tokens that are used alike have rows that point in like directions.",
    "The Transformer": "All tokens at once go through the layers. In each layer they look at each other, then each is "
    "worked on alone; both steps add to the vector and replace nothing.",
    "Self-attention": "A token's query is compared with the keys of the tokens up to it (in the toy: of all); the "
    "softmax makes weights of the products, and the values are mixed by these weights.",
    "Feed forward": "Then each token alone: h = W z + b, a = f(h), and back to the width of the stream. Each hidden "
    "unit waits for something and writes something when it comes.",
    "The next token, and text again": "The last vector is compared with every row of the vocabulary. The softmax makes "
    "probabilities of the products, one token is chosen, put after the text, and all begins again.",
    "Looking inside": "Which of these numbers matter? Ask every layer what it would say, change a part, and see what "
    "the model does then.",
}


def walk(model: Model, options: ModelOptions, source: SourceOptions, prompt: Prompt) -> WalkResult:
    """Every step of the way of one text, in the order of the tutorial.

    Raises UsageError for a model that does not go from text to text.
    """
    sizes = model.config.sizes
    if not (model.can("generate") and sizes.H and sizes.F and model.tokenizer is not None):
        raise UsageError(
            f"{model.name} does not go from text through attention and feed forward to the next token",
            "take a model that generates, such as smollm2; the toys stand beside it anyway",
        )
    check_prompt(model, prompt)
    toys, real = _Toys(), _RealModel(model, options, source, prompt)
    excerpts = (
        (toys.whole(), real.parameters()),
        (toys.tokens(), real.tokens()),
        (toys.ids(), real.ids()),
        (toys.vectors(), real.vectors()),
        (toys.added(), real.layers()),
        (toys.attention(), real.attention()),
        (toys.whole(), real.feed_forward()),
        (toys.whole(), [*real.next(), *real.written()]),
        (toys.changed(), [*real.lens(), *real.changed()]),
    )
    chapters = [
        WalkChapter(number, title, says, by_hand, in_model)
        for number, ((title, says), (by_hand, in_model)) in enumerate(zip(SAYS.items(), excerpts, strict=True), 1)
    ]
    return WalkResult(prompt.text, token_documents(prompt.tokens), chapters)


class _Toys:
    """What can be checked on paper."""

    def __init__(self) -> None:
        self.toy, self.attending = open_model("toy"), open_model("toy-attention")

    def _part(self, result: Any, command: str, *arguments: str) -> list[CommandExcerpt]:
        return [CommandExcerpt(arguments[-1], [command, *arguments], result)]

    def whole(self) -> list[CommandExcerpt]:
        result = forward(self.toy, ForwardQuestion(), _prompt(self.toy, "world"))
        return self._part(_kept(result, "next", "steps"), "forward", "world", "--model", "toy")

    def tokens(self) -> list[CommandExcerpt]:
        return self._part(_tokenized(self.toy, "hello world !"), "tokenize", "hello world !", "--model", "toy")

    def ids(self) -> list[CommandExcerpt]:
        assert self.toy.tokenizer is not None
        result = encode(self.toy.tokenizer, True, _prompt(self.toy, "hello world !"))
        return self._part(result, "encode", "hello world !", "--one-hot", "--model", "toy")

    def vectors(self) -> list[CommandExcerpt]:
        result = embed(self.toy, EmbedOptions(), [], _prompt(self.toy, "world"))
        return self._part(result, "embed", "world", "--model", "toy")

    def added(self) -> list[CommandExcerpt]:
        result = forward(self.attending, ForwardQuestion(), _prompt(self.attending, "A cat sat."))
        return self._part(_kept(result, "layers", "steps"), "forward", "A cat sat.", "--model", "toy-attention")

    def attention(self) -> list[CommandExcerpt]:
        result = attend(self.attending, AttendOptions(query="cat"), _prompt(self.attending, "A cat sat."))
        return self._part(result, "attend", "A cat sat.", "--query", "cat", "--model", "toy-attention")

    def changed(self) -> list[CommandExcerpt]:
        turned = "0.feedforward*-1"
        question = ForwardQuestion(experiments=ExperimentOptions(scale=[turned]))
        result = _kept(forward(self.toy, question, _prompt(self.toy, "world")), "next", "baseline", "change")
        return self._part(result, "forward", "world", "--scale", turned, "--model", "toy")


class _RealModel:
    """The model and the text of the command line."""

    def __init__(self, model: Model, options: ModelOptions, source: SourceOptions, prompt: Prompt) -> None:
        self.model, self.options, self.source, self.prompt = model, options, source, prompt

    def _part(self, result: Any, command: str, *arguments: str) -> list[CommandExcerpt]:
        chosen = [] if self.options.model == ModelOptions().model else ["--model", self.options.model]
        return [CommandExcerpt(self.model.name, [command, *self._text(), *arguments, *chosen], result)]

    def _text(self) -> list[str]:
        """The text as another command takes it; its ids where it was not read as plain text."""
        text, source = self.prompt.text, self.source
        plain = self.prompt.chat is None and source.special is None and source.parse == "text"
        if text is not None and plain and not text.startswith("-"):
            return [text]
        return ["--ids", ",".join(map(str, self.prompt.ids))]

    def parameters(self) -> list[CommandExcerpt]:
        options = self.options
        description = describe_model(options.model, revision=options.revision, offline=options.offline)
        result = info(description, None, self.model.name)
        kept = replace(result, tensors=None, chat_template=None, metadata=None)
        return [CommandExcerpt(self.model.name, ["info", options.model], kept)]

    def tokens(self) -> list[CommandExcerpt]:
        return self._part(_tokenized(self.model, self.prompt), "tokenize")

    def ids(self) -> list[CommandExcerpt]:
        assert self.model.tokenizer is not None
        return self._part(encode(self.model.tokenizer, False, self.prompt), "encode")

    def vectors(self) -> list[CommandExcerpt]:
        result = embed(self.model, EmbedOptions(nearest=NEAREST), [], self.prompt)
        return self._part(result, "embed", "--nearest", str(NEAREST))

    @cached_property
    def passed(self) -> ForwardResult:
        """One pass for the layers, the feed forward, the answer and the lens."""
        return forward(self.model, ForwardQuestion(ForwardOptions(lens=True)), self.prompt)

    def layers(self) -> list[CommandExcerpt]:
        return self._part(_kept(self.passed, "layers"), "forward")

    def attention(self) -> list[CommandExcerpt]:
        last = str(len(self.prompt.tokens) - 1)
        return self._part(attend(self.model, AttendOptions(query=last), self.prompt), "attend", "--query", last)

    def feed_forward(self) -> list[CommandExcerpt]:
        return self._part(_kept(self.passed, "feedforward", "experts"), "forward")

    def next(self) -> list[CommandExcerpt]:
        return self._part(_kept(self.passed, "next"), "forward")

    def written(self) -> list[CommandExcerpt]:
        question = GenerateQuestion(options=GenerateOptions(max_tokens=WRITTEN))
        return self._part(generate(self.model, question, self.prompt), "generate", "--max-tokens", str(WRITTEN))

    def lens(self) -> list[CommandExcerpt]:
        return self._part(_kept(self.passed, "lens"), "forward", "--lens")

    def changed(self) -> list[CommandExcerpt]:
        silenced = "0.feedforward"
        question = ForwardQuestion(experiments=ExperimentOptions(ablate=[silenced]))
        result = forward(self.model, question, self.prompt)
        return self._part(_kept(result, "next", "baseline", "change"), "forward", "--ablate", silenced)


def _prompt(model: Model, text: str) -> Prompt:
    return text_prompt(text, SourceOptions(), model.tokenizer, None)


def _tokenized(model: Model, text: str | Prompt) -> Any:
    assert model.tokenizer is not None
    prompt = _prompt(model, text) if isinstance(text, str) else text
    return tokenize(model.tokenizer, TokenizeOptions(), SourceOptions(), prompt)


def _kept(result: ForwardResult, *keys: str) -> ForwardResult:
    """Of a pass only what a step is about."""
    always = {"text", "tokens", "position"}
    gone: dict[str, Any] = {
        field.name: [] if field.name == "layers" else None
        for field in fields(result)
        if field.name not in {*always, *keys}
    }
    return replace(result, **gone)
