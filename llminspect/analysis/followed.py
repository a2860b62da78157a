"""Each token of a text followed through every step, for a page on which one is chosen (`walk --interactive`);
and what one command says about a step of the way, with the words that make it say so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from llminspect.analysis.attend import Keeping, attend
from llminspect.analysis.forward import forward
from llminspect.analysis.forward_result import ForwardQuestion, ForwardResult
from llminspect.analysis.result import Tokens, token_documents
from llminspect.arguments.attend import AttendOptions
from llminspect.arguments.forward import ForwardOptions
from llminspect.core.dataclass import dataclass
from llminspect.core.numbers import several
from llminspect.errors import UsageError
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
class Excerpting:
    """Excerpts of commands about one text in one model."""

    model: str
    given: Sequence[str]
    """The text as a command takes it; its ids where it was not read as plain text."""
    chosen: Sequence[str]
    """The options that name the model."""

    def of(self, result: Any, command: str, *arguments: str) -> CommandExcerpt:
        """The excerpt whose result this is."""
        return CommandExcerpt(self.model, [command, *self.given, *arguments, *self.chosen], result)


def kept(result: ForwardResult, *keys: str) -> ForwardResult:
    """Of a pass only what a step is about."""
    always = {"text", "tokens", "position", *keys}
    names = [field.name for field in fields(result) if field.name not in always]
    gone: dict[str, Any] = {name: [] if name == "layers" else None for name in names}
    return replace(result, **gone)


FOLLOWED = 24
"""Tokens of a text that is followed, at most."""
WEIGHTS = 300_000
"""Weights of its heads, at most: of more, layers are left out."""
_STEPS = ("layers", "feedforward", "experts", "steps", "lens", "next")


@dataclass(frozen=True)
class FollowedToken:
    """One token at every step; what the model does not have is left out."""

    index: int
    forward: CommandExcerpt
    """Its way through the layers, the feed-forward step, what each layer would say, the next token."""
    query: CommandExcerpt | None = None
    """What it looks at, in the head where it does what is least usual."""


@dataclass(frozen=True)
class FollowedText:
    """One text in one model, each of its tokens at every step."""

    model: str
    text: str | None
    tokens: Tokens
    each: list[FollowedToken]
    heads: CommandExcerpt | None = None
    """The weights of all heads."""
    left_out: int = 0
    """Layers whose heads are not there: the text has too many tokens for all of them."""


def check_followed(prompt: Prompt) -> None:
    """Raise UsageError for a text with more tokens than can be followed."""
    if len(prompt.tokens) > FOLLOWED:
        raise UsageError(
            f"every token is followed only in texts of up to {FOLLOWED} tokens, and this one has "
            f"{several(len(prompt.tokens), 'token')}",
            "take a sentence of it",
        )


def followed(model: Model, prompt: Prompt, excerpting: Excerpting) -> FollowedText:
    """Every token of the text through every step that the model has. Raises UsageError as `check_followed`."""
    check_followed(prompt)
    sizes, count = model.config.sizes, len(prompt.tokens)
    heads, layers = None, [*model.config.attending] if sizes.H else []
    shown = layers[:: -(-len(layers) * sizes.H * count**2 // WEIGHTS)] if layers else []
    if layers:
        few = [] if shown == layers else ["--layer", ",".join(map(str, shown))]
        options = AttendOptions(layer=shown if few else None)
        heads = excerpting.of(attend(model, options, prompt, keeping=Keeping(every=True)), "attend", *few)
    each = [_token(model, prompt, excerpting, index, looks=bool(layers)) for index in range(count)]
    tokens = token_documents(prompt.tokens)
    return FollowedText(model.name, prompt.text, tokens, each, heads, len(layers) - len(shown))


def _token(model: Model, prompt: Prompt, excerpting: Excerpting, index: int, *, looks: bool) -> FollowedToken:
    at, query = str(index), None
    lens = model.config.sizes.L > 1
    passed = forward(model, ForwardQuestion(ForwardOptions(at=index, lens=lens)), prompt)
    if looks:
        query = excerpting.of(attend(model, AttendOptions(query=at), prompt), "attend", "--query", at)
    arguments = ["--at", at, *(["--lens"] if lens else [])]
    return FollowedToken(index, excerpting.of(kept(passed, *_STEPS), "forward", *arguments), query)
