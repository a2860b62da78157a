"""`llminspect tokenize`: a text cut into the tokens that a model sees; with `--truncate` to so many of them."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Literal

from llminspect.analysis.cost import Cost, cost_of
from llminspect.analysis.prompt import text_prompt
from llminspect.analysis.result import Result, Tokens, token_documents
from llminspect.arguments.shared import SourceOptions
from llminspect.arguments.tokenize import CountOptions, TokenizeOptions
from llminspect.core.dataclass import dataclass
from llminspect.errors import UsageError
from llminspect.text.messages import content_of
from llminspect.text.prompt import Chat, Prompt
from llminspect.text.special_tokens import Parse
from llminspect.text.tokenizer import Token, Tokenizer, utf8
from llminspect.text.vocabulary import truncate as truncated_tokens

if TYPE_CHECKING:
    from llminspect.text.openai_formula import ChatCount
    from llminspect.text.steps import Steps

MOST_WORDS, MOST_STEPS = 200, 200
"""Words whose steps are given, and steps of each."""


@dataclass(frozen=True)
class TokenizerSummary:
    """A tokenizer, in a few words."""

    kind: str
    """The algorithm."""
    vocabulary_size: int
    lossless: bool
    """Whether decoding gives back every text byte by byte."""
    loss: str | None = None
    """What it loses, where it is not lossless."""


@dataclass(frozen=True)
class TokenBudget:
    """With --max-tokens-allowed or --budget."""

    allowed: int
    within: bool
    over: int = 0
    """Tokens above that."""


@dataclass(frozen=True)
class TruncatedText:
    """What --truncate kept of the text."""

    text: str
    start: int
    """In bytes of the text."""
    end: int
    of: int
    """Tokens of the whole."""
    side: Literal["start", "end"]
    """Where it was cut off."""


@dataclass(frozen=True)
class ChatMessage:
    """One message of a conversation, and how many tokens it has."""

    role: str
    content: str
    """Its text; of a content in parts that of all of them."""
    count: int
    name: str | None = None


@dataclass(frozen=True)
class Conversation:
    """The messages of --chat, and what the template adds."""

    messages: list[ChatMessage]
    template: int
    """Tokens that the model's chat template wrote, or that a formula counts beside those of the messages."""
    formula: ChatCount | None = None
    """Of OpenAI's models: how they were counted."""


@dataclass(frozen=True)
class TokenizeResult(Result):
    """One text and its tokens."""

    text: str | None
    tokens: Tokens
    count: int
    tokenizer: TokenizerSummary
    characters: int | None = None
    """Of the text."""
    bytes: int | None = None
    """Of the text in UTF-8."""
    round_trip: bool | None = None
    """Whether decoding the ids gives back this text, byte by byte."""
    cost: Cost | None = None
    budget: TokenBudget | None = None
    chat: Conversation | None = None
    truncated: TruncatedText | None = None
    steps: Steps | None = None
    pair: str | None = None
    """The second text, with --pair."""


@dataclass(frozen=True)
class LineCount:
    """The tokens of one line of a text. One that goes over a line break is of the line in which it begins."""

    line: int
    """Counted from 0."""
    count: int
    share: float
    """Of the tokens of the text."""
    cumulative: float
    """The share of this line and all in front of it here."""
    text: str


@dataclass(frozen=True)
class CountResult(Result):
    """How many tokens a text has."""

    count: int
    characters: int | None = None
    bytes: int | None = None
    cost: Cost | None = None
    budget: TokenBudget | None = None
    formula: ChatCount | None = None
    """Of a chat with one of OpenAI's models: how it was counted."""
    lines: list[LineCount] | None = None
    """With --by-line: the lines that have any, the most tokens first."""


def about(tokenizer: Tokenizer) -> TokenizerSummary:
    return TokenizerSummary(tokenizer.kind, tokenizer.vocabulary_size, tokenizer.lossless, tokenizer.loss or None)


def counted(
    tokenizer: Tokenizer, options: CountOptions, count: int, characters: int | None, size: int | None
) -> CountResult:
    """A count with what it costs and whether that many are allowed."""
    cost = None if options.cost is None else cost_of(tokenizer, options, count)
    return CountResult(count, characters, size, cost, budget_of(count, options.most))


def budget_of(count: int, allowed: int | None) -> TokenBudget | None:
    """Whether so many tokens are allowed, where there is a limit."""
    return None if allowed is None else TokenBudget(allowed, count <= allowed, max(0, count - allowed))


def lines_of(prompt: Prompt) -> list[LineCount]:
    """The lines of a text that have tokens, the most first, and of equal ones the first first."""
    text = prompt.text or ""
    lines, counts = text.split("\n"), Counter[int]()
    starts = list(accumulate((len(utf8(line)) + 1 for line in lines), initial=0))
    for token in prompt.tokens:
        if token.start is not None:
            counts[bisect_right(starts, token.start) - 1] += 1
    ranked = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    whole, done = sum(counts.values()), accumulate(count for _, count in ranked)
    return [
        LineCount(line, count, count / whole, so_far / whole, lines[line].removesuffix("\r"))
        for (line, count), so_far in zip(ranked, done, strict=True)
    ]


def exceeded(name: str, count: int, budget: TokenBudget | None) -> list[tuple[str, int, TokenBudget]]:
    """The tokenizer, its tokens and what is allowed, where there are more tokens than that; else nothing."""
    return [] if budget is None or budget.within else [(name, count, budget)]


def tokenize(
    tokenizer: Tokenizer, options: TokenizeOptions, source: SourceOptions, prompt: Prompt
) -> TokenizeResult | CountResult:
    """The tokens of one text, or how many there are."""
    truncated = None
    if prompt.text is None:
        tokenizer.check(prompt.ids)
    if options.truncate is not None:
        prompt, truncated = truncate(prompt, options, source, tokenizer)
    data = None if prompt.text is None else utf8(prompt.text) + utf8(prompt.pair or "")
    characters, size = (None, None) if data is None else (len(prompt.text or "") + len(prompt.pair or ""), len(data))
    count = counted(tokenizer, options, prompt.count, characters, size)
    formula = None if prompt.chat is None else prompt.chat.counted
    if options.count:
        found = replace(count, formula=formula)
        return replace(found, lines=lines_of(prompt)) if options.by_line else found
    text_ids = [token.id for token in prompt.tokens if token.start is not None]
    return TokenizeResult(
        text=prompt.text,
        pair=prompt.pair,
        tokens=chat_documents(prompt.chat)
        if prompt.chat is not None
        else token_documents(prompt.tokens, prompt.segments, prompt.second),
        count=count.count,
        tokenizer=about(tokenizer),
        characters=characters,
        bytes=size,
        round_trip=None
        if data is None or prompt.chat or truncated or prompt.pair is not None
        else tokenizer.decode(text_ids) == data,
        cost=count.cost,
        budget=count.budget,
        chat=None if prompt.chat is None else conversation(prompt.chat),
        truncated=truncated,
        steps=steps_of(tokenizer, prompt, source) if options.steps else None,
    )


def steps_of(tokenizer: Tokenizer, prompt: Prompt, source: SourceOptions) -> Steps:
    """How the tokens of the text came to be; in a chat those of its last message."""
    from llminspect.text.tokenization_steps import tokenization_steps

    if prompt.text is None:
        raise UsageError("--steps shows how a text is cut", "leave out --ids, or leave out --steps")
    parse: Parse = "text" if prompt.chat is not None else source.parse
    return tokenization_steps(tokenizer, prompt.text, parse, MOST_WORDS, MOST_STEPS)


def chat_documents(chat: Chat) -> list[dict[str, Any]]:
    """The tokens of a conversation, each with the number of its message; those of the template have none."""
    documents = token_documents([item.token for item in chat.items])
    return [
        document if item.message is None else {**document, "message": item.message}
        for document, item in zip(documents, chat.items, strict=True)
    ]


def conversation(chat: Chat) -> Conversation:
    """The messages with the number of tokens of each."""
    owners = [item.message for item in chat.items]
    messages = [
        ChatMessage(message["role"], content_of(message), owners.count(number), message.get("name"))
        for number, message in enumerate(chat.messages)
    ]
    unknown = 0 if chat.counted is None else chat.counted.unknown
    return Conversation(messages, owners.count(None) + unknown, chat.counted)


def truncate(
    prompt: Prompt, options: TokenizeOptions, source: SourceOptions, tokenizer: Tokenizer
) -> tuple[Prompt, TruncatedText]:
    """The prompt with at most N tokens, and what of the text was kept.

    What the model expects around a text (BOS, a chat's template) is never cut off and counts. The text that is kept has
    no more than N tokens when it is tokenized on its own as well.
    """
    assert options.truncate is not None
    if prompt.text is None:
        raise UsageError("--truncate cuts a text", "leave out --ids, or leave out --truncate")
    data = utf8(prompt.text)
    total = prompt.count
    inner = [token for token in prompt.tokens if token.start is not None]
    room = options.truncate - (total - len(inner))
    if room < 0:
        raise UsageError(
            f"--truncate {options.truncate} leaves no room for the {total - len(inner)} tokens around the text",
            "allow more, or take --no-special",
        )
    while True:
        start, end = kept_bytes(inner, room, options, len(data))
        text = data[start:end].decode("utf-8", "surrogateescape")
        cut = text_prompt(text, source, tokenizer, prompt.line) if prompt.chat is None else None
        if cut is None or len(cut.tokens) <= options.truncate or room == 0:
            break
        room -= 1
    tokens = [token for token in prompt.tokens if token.start is None or start <= token.start < end]
    if prompt.chat is not None:
        last = len(prompt.chat.messages) - 1
        items = [i for i in prompt.chat.items if i.message != last or start <= (i.token.start or 0) < end]
        prompt = replace(prompt, chat=replace(prompt.chat, items=items))
    return replace(prompt, tokens=tokens), TruncatedText(text, start, end, total, options.side)


def kept_bytes(tokens: Sequence[Token], count: int, options: TokenizeOptions, size: int) -> tuple[int, int]:
    """The bytes of the text, `size` in all, that the first or last `count` tokens cover."""
    kept = truncated_tokens(tokens, count, options.side, options.inside_characters)
    if len(kept) == len(tokens):
        return 0, size
    if options.side == "end":
        return 0, (kept[-1].end or 0) if kept else 0
    return (kept[0].start or 0) if kept else size, size
