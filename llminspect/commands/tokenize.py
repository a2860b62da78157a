"""`llminspect tokenize`: a text cut into the tokens that a model sees."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import typer  # noqa: TC002 (Typer reads the annotations when the program runs.)

from llminspect.commands._chat import is_chat
from llminspect.commands._input import Prompt, read_prompts, read_texts, token_documents
from llminspect.commands._lines import LineWork, Over, run_lines
from llminspect.commands._options import ModelOptions, OutputOptions, PageOptions, SourceOptions, takes_groups
from llminspect.commands._run import fail_check, noting_empty, open_tokenizer_for, run_each
from llminspect.commands._save import check_ending, is_page
from llminspect.commands._tokenize_options import TokenizeOptions
from llminspect.commands._tokenize_results import (
    ChatMessage,
    Comparison,
    Conversation,
    Counted,
    Tokenized,
    about,
    budget_of,
    cost_of,
)
from llminspect.commands._tokenize_work import exceeded, open_compared, open_one, work_of
from llminspect.errors import CheckFailed, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from llminspect.commands._chat import Chat
    from llminspect.text.steps import Steps
    from llminspect.text.tokenizer import Parse, Tokenizer

Result = Tokenized | Counted | Comparison
R = TypeVar("R")

MOST_WORDS, MOST_STEPS = 200, 200
"""Words whose steps are given, and steps of each."""


def run(tokenizer: Tokenizer, asked: TokenizeOptions, source: SourceOptions, prompt: Prompt) -> Tokenized | Counted:
    """The tokens of one text, or how many there are."""
    from llminspect.text.tokenizer import utf8

    truncated = None
    if asked.truncate is not None:
        from llminspect.commands._tokenize_truncate import truncate

        prompt, truncated = truncate(prompt, asked, source, tokenizer)
    count = len(prompt.tokens)
    cost, budget = cost_of(asked.price, count), budget_of(asked.max_tokens_allowed, count)
    data = None if prompt.text is None else utf8(prompt.text)
    characters, size = (None, None) if data is None else (len(prompt.text or ""), len(data))
    if asked.count:
        return Counted(count, characters, size, cost, budget)
    own = [token.id for token in prompt.tokens if token.start is not None]
    return Tokenized(
        text=prompt.text,
        tokens=token_documents(prompt.tokens) if prompt.chat is None else chat_documents(prompt.chat),
        count=count,
        tokenizer=about(tokenizer),
        characters=characters,
        bytes=size,
        round_trip=None if data is None or prompt.chat or truncated else tokenizer.decode(own) == data,
        cost=cost,
        budget=budget,
        chat=None if prompt.chat is None else conversation(prompt.chat),
        truncated=truncated,
        steps=steps_of(tokenizer, prompt, source) if asked.steps else None,
    )


def steps_of(tokenizer: Tokenizer, prompt: Prompt, source: SourceOptions) -> Steps:
    """How the tokens of the text came to be; in a chat those of its last message."""
    from llminspect.text.steps import tokenization_steps

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
        ChatMessage(message["role"], message["content"], owners.count(number))
        for number, message in enumerate(chat.messages)
    ]
    return Conversation(messages, owners.count(None))


def render(result: Result) -> RenderableType:
    """The coloured strip and the table, the comparison, or the bare number."""
    from llminspect.commands import _tokenize_render as views

    if isinstance(result, Tokenized):
        return views.tokenized(result)
    if isinstance(result, Counted):
        return views.counted(result)
    return views.comparison(result)


@takes_groups
def command(
    context: typer.Context,
    source: SourceOptions,
    model: ModelOptions,
    output: PageOptions,
    asked: TokenizeOptions,
) -> None:
    """Cut a text into the tokens that a model sees.

    \b
    llminspect tokenize "Alice gave Bob her book"
    llminspect tokenize "Alice gave Bob her book" --compare smollm2 --compare o200k_base
    llminspect tokenize --count --file book.txt --model o200k_base --cost '$2.50'
    """
    check_ending(output, arrays=False)
    if is_page(output) and (not asked.compare or asked.count):
        raise UsageError("--interactive goes with --compare here", "add --compare NAME, without --count")
    asked.check()
    names = compared_names(context, model, asked)
    if asked.count and not (source.lines or source.ids or is_chat(source)):
        from llminspect.commands._tokenize_count import count_compared, count_one

        over = Over()
        counted = (
            count_compared(names, source, model, output, asked) if names else count_one(source, model, output, asked)
        )
        for counted_name, result in counted:
            over.add(exceeded(counted_name, result.count, result.budget))
    elif names:
        over = compare_all(names, source, model, output, asked)
    else:
        over = tokenize_all(source, model, output, asked)
    if over.first is not None:
        name, count, budget = over.first
        more = f", and {over.count - 1:,} more" if over.count > 1 else ""
        message = f"{name}: {count:,} tokens, {budget.allowed:,} are allowed{more}"
        fail_check(CheckFailed(message), output, written=output.json or source.lines)


def compared_names(context: typer.Context, model: ModelOptions, asked: TokenizeOptions) -> list[str]:
    """The tokenizers of --compare; --model goes in front where it was given, or where there is only one other."""
    if not asked.compare:
        return []
    chosen = context.get_parameter_source("model")
    named = chosen is not None and chosen.name == "COMMANDLINE"
    names = [model.model, *asked.compare] if named or len(asked.compare) == 1 else asked.compare
    return list(dict.fromkeys(names))


def tokenize_all(source: SourceOptions, model: ModelOptions, output: OutputOptions, asked: TokenizeOptions) -> Over:
    """Every text in the one tokenizer; those that have more tokens than are allowed."""
    tokenizer, provenance = open_tokenizer_for(model, output)
    work = work_of(tokenizer, provenance, source, model, output, asked)
    if source.lines and output.save is None:
        elsewhere = partial(open_one, source, replace(model, offline=True), replace(output, quiet=True), asked)
        return run_lines(source, output, work, elsewhere, asked.workers)
    over = Over()
    prompts = noting_empty(read_prompts(source, tokenizer, may_be_empty=True), output)
    tokenized = partial(watched, work, over)
    if asked.truncate is not None and not (output.json or source.lines or output.save):
        from llminspect.commands._tokenize_truncate import write_kept

        for prompt in prompts:
            result = tokenized(prompt)
            assert isinstance(result, Tokenized)
            write_kept(result, output)
    else:
        run_each("tokenize", model.model, provenance, prompts, output, tokenized, render)
    return over


def compare_all(
    names: Sequence[str], source: SourceOptions, model: ModelOptions, output: OutputOptions, asked: TokenizeOptions
) -> Over:
    """Every text in every tokenizer."""
    work = open_compared(names, source, model, output, asked)
    if source.lines and output.save is None:
        own, quiet = replace(model, offline=True), replace(output, quiet=True)
        return run_lines(source, output, work, partial(open_compared, names, source, own, quiet, asked), asked.workers)
    over = Over()
    texts = (Prompt(text, (), line) for text, line in read_texts(source, may_be_empty=True))
    prompts, compared = noting_empty(texts, output), partial(watched, work, over)
    run_each("tokenize", names[0], work.provenance, prompts, output, compared, render)
    return over


def watched(work: LineWork[R], over: Over, prompt: Prompt) -> R:
    """The result of one input, which is remembered where it has more tokens than are allowed."""
    result = work.run(prompt)
    over.add(work.over(result))
    return result
