"""`llminspect walk`: the whole way from text to text, step by step, by hand on the toys and then on the real model.

A step is a chapter: which commands show it, on which model, and what is kept of their results. The titles are those of
the tutorial's pages, which go the same way with more words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from llminspect.analysis.attend import attend
from llminspect.analysis.embed import embed
from llminspect.analysis.encode import encode
from llminspect.analysis.followed import CommandExcerpt, Excerpting, FollowedText, check_followed, followed, kept
from llminspect.analysis.forward import forward
from llminspect.analysis.forward_result import ForwardQuestion
from llminspect.analysis.generate import GenerateQuestion, generate
from llminspect.analysis.info import info
from llminspect.analysis.lengths import beyond_context
from llminspect.analysis.prompt import check_prompt, text_prompt
from llminspect.analysis.result import Result, Tokens, token_documents
from llminspect.analysis.tokenize import tokenize
from llminspect.arguments.attend import AttendOptions
from llminspect.arguments.embed import EmbedOptions
from llminspect.arguments.experiments import ExperimentOptions
from llminspect.arguments.forward import ForwardOptions, SweepOptions
from llminspect.arguments.generate import GenerateOptions
from llminspect.arguments.option import each
from llminspect.arguments.shared import ModelOptions, SourceOptions
from llminspect.arguments.tokenize import TokenizeOptions
from llminspect.core.dataclass import dataclass
from llminspect.errors import UsageError
from llminspect.model.opened import Model
from llminspect.opening import describe_model, open_model
from llminspect.text.prompt import Prompt


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
    followed: list[FollowedText] | None = None
    """With --interactive: the toys' words and the text, each token of them at every step."""


WRITTEN = 5
"""Tokens that the model writes at the end."""
NEAREST = 5
FRANCE, ITALY = "The capital of France is", "The capital of Italy is"
"""Two texts that differ in one word, and in what comes next."""
SAYS = {
    "A giant pile of matrix products": "A language model is one kind of step, repeated: output = activation(W × input "
    "+ b). W and b are all that was learned. The toy does the whole of it with three words.",
    "Tokens": "A model reads pieces of text from a fixed list, its vocabulary: words, parts of words, single bytes.",
    "Encoding": "Each token is known by its place in the list, its id. As a vector: all zeros, and a 1 at that place.",
    "Embeddings": "The 1 picks a row out of a table that was learned. From here on a token is this list of numbers; "
    "tokens that are used in similar ways have rows that point in similar directions.",
    "The Transformer": "All tokens at once go through the layers. In each layer they look at each other, then each is "
    "worked on alone; both steps add to the vector and replace nothing.",
    "Self-attention": "A token's query is compared with the keys of the tokens up to it (in the toy: of all); the "
    "softmax makes weights of the products, and the values are mixed by these weights.",
    "Feed forward": "Then each token alone: h = W z + b, a = f(h), and back to the width of the stream. Each hidden "
    "unit waits for a pattern, and writes something when the pattern comes.",
    "The next token, and text again": "The last vector is compared with every row of the vocabulary. The softmax makes "
    "probabilities of the products, one token is chosen, put after the text, and all begins again.",
    "Looking inside": "Which of these numbers matter? Ask every layer what it would say; replace, half way, what one "
    "text gave by what another gave; and see what the model says then.",
}


def walk(
    model: Model, options: ModelOptions, source: SourceOptions, prompt: Prompt, *, follow: bool = False
) -> WalkResult:
    """Every step of the way of one text, in the order of the tutorial; `follow`: of each token, and of the toys'.

    Raises UsageError for a model that does not go from text to text, and for a text that is too long to follow.
    """
    check_walks(model)
    check_prompt(model, prompt)
    if follow:
        check_followed(prompt)
    excerpting = _excerpting(model, options, source, prompt)
    pairs = zip(SAYS.items(), _by_hand(), _in_model(model, options, excerpting, prompt), strict=True)
    chapters = [
        WalkChapter(number, title, says, by_hand, in_model)
        for number, ((title, says), by_hand, in_model) in enumerate(pairs, 1)
    ]
    notes = beyond_context(model, len(prompt.tokens))
    texts = [*_followed_toys(), followed(model, prompt, excerpting)] if follow else None
    return WalkResult(prompt.text, token_documents(prompt.tokens), chapters, texts, notes=notes)


def check_walks(model: Model) -> None:
    """Raise UsageError for a model that does not go from text to text."""
    sizes = model.config.sizes
    if model.can("generate") and sizes.H and sizes.F and model.tokenizer is not None:
        return
    lacks = "attention" if not sizes.H else "feed-forward step"
    why = model.no_next_token() or (f"it has no {lacks}" if not (sizes.H and sizes.F) else "it has no tokenizer")
    if model.config.state is not None and not (sizes.H and sizes.F):
        raise UsageError(
            f"walk goes through attention and a feed-forward step, and {model.name} has no {lacks}",
            "take a model that has both, such as smollm2; attend and forward work with this one",
        )
    raise UsageError(
        f"{model.name} does not go from text to text: {why}",
        "take a model that generates, such as smollm2; the toys stand beside it anyway",
    )


def _by_hand() -> Iterator[list[CommandExcerpt]]:
    """Each chapter on the toys, which can be checked on paper."""
    toy, bending, attending = open_model("toy"), open_model("toy-relu"), open_model("toy-attention")
    assert toy.tokenizer is not None
    world, three = _prompt(toy, "world"), _prompt(toy, "hello world !")
    sat, turned = _prompt(attending, "A cat sat."), "0.feedforward*-1"

    def part(result: Any, *arguments: str) -> list[CommandExcerpt]:
        return [CommandExcerpt(arguments[-1], list(arguments), result)]

    whole = part(kept(forward(toy, ForwardQuestion(), world), "next", "steps"), "forward", "world", "--model", "toy")
    added = kept(forward(attending, ForwardQuestion(), sat), "layers", "steps")
    looked = attend(attending, AttendOptions(query="cat"), sat)
    bent = kept(forward(bending, ForwardQuestion(), _prompt(bending, "hello")), "feedforward", "steps")
    changed = forward(toy, ForwardQuestion(experiments=ExperimentOptions(scale=[turned])), world)
    changed = kept(changed, "next", "baseline", "change")
    yield whole
    yield part(_tokenized(toy, three), "tokenize", "hello world !", "--model", "toy")
    yield part(encode(toy.tokenizer, True, three), "encode", "hello world !", "--one-hot", "--model", "toy")
    yield part(embed(toy, EmbedOptions(), [], world), "embed", "world", "--model", "toy")
    yield part(added, "forward", "A cat sat.", "--model", "toy-attention")
    yield part(looked, "attend", "A cat sat.", "--query", "cat", "--model", "toy-attention")
    yield part(bent, "forward", "hello", "--model", "toy-relu")
    yield whole
    yield part(changed, "forward", "world", "--scale", turned, "--model", "toy")


TOYS = {"toy": "hello world !", "toy-attention": "A cat sat.", "toy-relu": "hello world !"}
"""The text that is followed in each toy."""


def _followed_toys() -> Iterator[FollowedText]:
    for name, text in TOYS.items():
        toy = open_model(name)
        yield followed(toy, _prompt(toy, text), Excerpting(name, [text], ["--model", name]))


def _excerpting(model: Model, options: ModelOptions, source: SourceOptions, prompt: Prompt) -> Excerpting:
    """How another command is given the text and the model of the command line."""
    chosen = [] if options.model == ModelOptions().model else ["--model", options.model]
    chosen += [word for name in each(options.ignore_settings) for word in ("--ignore-setting", name)]
    chosen += ["--adapter", options.adapter] if options.adapter else []
    text, plain = prompt.text, prompt.chat is None and source.special is None and source.parse == "text"
    is_text = text is not None and plain and not text.startswith("-")
    return Excerpting(model.name, [str(text)] if is_text else ["--ids", ",".join(map(str, prompt.ids))], chosen)


def _in_model(
    model: Model, options: ModelOptions, excerpting: Excerpting, prompt: Prompt
) -> Iterator[list[CommandExcerpt]]:
    """Each chapter with the model and the text of the command line."""
    part = excerpting.of

    def passed(*keys: str, arguments: Sequence[str] = ()) -> CommandExcerpt:
        return part(kept(whole, *keys), "forward", *arguments)

    assert model.tokenizer is not None
    ignored = each(options.ignore_settings)
    description = describe_model(
        options.model, revision=options.revision, offline=options.offline, ignore_settings=ignored
    )
    inside = replace(info(description, None, model.name), tensors=None, chat_template=None, metadata=None)
    last = str(len(prompt.tokens) - 1)
    yield [CommandExcerpt(model.name, ["info", options.model], inside)]
    yield [part(_tokenized(model, prompt), "tokenize")]
    yield [part(encode(model.tokenizer, False, prompt), "encode")]
    yield [part(embed(model, EmbedOptions(nearest=NEAREST), [], prompt), "embed", "--nearest", str(NEAREST))]
    # One pass for the layers, the feed forward, the answer and the lens.
    whole = forward(model, ForwardQuestion(ForwardOptions(lens=True)), prompt)
    yield [passed("layers")]
    yield [part(attend(model, AttendOptions(query=last), prompt), "attend", "--query", last)]
    yield [passed("feedforward", "experts")]
    written = generate(model, GenerateQuestion(options=GenerateOptions(max_tokens=WRITTEN)), prompt)
    yield [passed("next"), part(written, "generate", "--max-tokens", str(WRITTEN))]
    yield [passed("lens", arguments=["--lens"]), _patched(model, excerpting.chosen) or _silenced(model, prompt, part)]


def _patched(model: Model, chosen: Sequence[str]) -> CommandExcerpt | None:
    """France with the stream of Italy put in half way; None where the two texts differ in more than one token."""
    france, italy = _prompt(model, FRANCE), _prompt(model, ITALY)
    differing = [at for at, pair in enumerate(zip(france.ids, italy.ids, strict=False)) if pair[0] != pair[1]]
    if len(france.ids) != len(italy.ids) or len(differing) != 1:
        return None
    into, position = f"{model.config.sizes.L // 2}.stream", str(differing[0])
    patch = SweepOptions(patch=ITALY, into=[into], position=position)
    changed = forward(model, ForwardQuestion(patch=patch, source_ids=italy.ids), france)
    arguments = ["forward", FRANCE, "--patch", ITALY, "--into", into, "--position", position, *chosen]
    return CommandExcerpt(model.name, arguments, kept(changed, "next", "baseline", "change"))


def _silenced(model: Model, prompt: Prompt, part: Callable[..., CommandExcerpt]) -> CommandExcerpt:
    """The text without the last layer's feed forward."""
    place = f"{model.config.sizes.L - 1}.feedforward"
    changed = forward(model, ForwardQuestion(experiments=ExperimentOptions(ablate=[place])), prompt)
    return part(kept(changed, "next", "baseline", "change"), "forward", "--ablate", place)


def _prompt(model: Model, text: str) -> Prompt:
    return text_prompt(text, SourceOptions(), model.tokenizer, None)


def _tokenized(model: Model, prompt: Prompt) -> Any:
    assert model.tokenizer is not None
    return tokenize(model.tokenizer, TokenizeOptions(), SourceOptions(), prompt)
