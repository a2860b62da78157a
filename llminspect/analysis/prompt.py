"""From what is given to tokens: a text, ids, the messages of `--chat`, and the target of an encoder–decoder.

There the source text is TEXT, the target so far `--target` or `--target-ids`. A model that has read its source is a
model of the target alone; everything else works on that.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llminspect.analysis.languages import language_id, languages
from llminspect.analysis.lengths import longest_computed
from llminspect.arguments.option import Texts, each
from llminspect.arguments.ranges import Ids, parse_ids, shortened
from llminspect.arguments.shared import SourceOptions
from llminspect.core.tap import NO_TAP, Tap
from llminspect.errors import ModelError, UsageError, as_json, json_fault, reader
from llminspect.text.lost_bytes import lost_bytes
from llminspect.text.messages import ChatInput, chat_in, checked_tools
from llminspect.text.prompt import Chat, Prompt, encode_chat
from llminspect.text.rendering import rendered_chat
from llminspect.text.tokenizer import Token, Tokenizer

if TYPE_CHECKING:
    from llminspect.analysis.result import Tokens
    from llminspect.model.opened import Model


def text_prompt(text: str, source: SourceOptions, tokenizer: Tokenizer | None, line: int | None) -> Prompt:
    """The tokens of one text, or of the messages that it holds as JSON, wrapped as the options and the model say.

    Raises UsageError for messages that are none, and for what says nothing to a text that is no chat.
    """
    if tokenizer is None:
        from llminspect.text.from_huggingface import READABLE

        raise UsageError(f"this model comes without a tokenizer: no {READABLE}", "give ids: --ids 1,2,3")
    if is_chat(source):
        return chat_prompt(chat_of(text, source), tokenizer, line)
    for option, value in (("--tools", source.tools), ("--template-option", source.template_options)):
        if value:
            raise UsageError(f"{option} has no effect without --chat", "give --chat as well")
    tokens = tokenizer.encode(text, source.parse)
    pairs = each(getattr(source, "pair", None))
    remarks = lost_bytes(tokenizer, [text, *pairs])
    if pairs:
        prompts = []
        for pair in pairs:
            other = tokenizer.encode(pair, source.parse)
            both, segments, second = tokenizer.wrap_pair(tokens, other, source.special is not False)
            prompts.append(Prompt(text, both, line, pair=pair, second=second, segments=segments, remarks=remarks))
        return replace(prompts[0], choices=prompts) if len(prompts) > 1 else prompts[0]
    return Prompt(text, tokens if source.special is False else tokenizer.wrap(tokens), line, remarks=remarks)


def prompt_of_ids(ids: Sequence[int], tokenizer: Tokenizer | None, line: int | None) -> Prompt:
    """Ids as an input; a model without a tokenizer shows their numbers."""
    from llminspect.text.tokenizer import Token

    special = set(tokenizer.special_tokens.values()) if tokenizer else set()
    data = (tokenizer.shown_bytes(token_id) if tokenizer else str(token_id).encode() for token_id in ids)
    tokens = [Token(token_id, text, None, None, token_id in special) for token_id, text in zip(ids, data, strict=True)]
    return Prompt(None, tokens, line)


def is_chat(source: SourceOptions) -> bool:
    """Whether the command line asks for the model's chat template; a role asks for it as well."""
    return source.chat or source.system is not None or source.user is not None


def chat_of(text: str, source: SourceOptions) -> ChatInput:
    """The conversation: the text as a user's message, or the messages that it holds as JSON; with the system message,
    the tools and the options that were given. Raises UsageError for messages, tools and options that are none."""
    chat = chat_of_json(text) if source.text in (None, "-") and source.user is None else None
    messages = [{"role": "user", "content": text}] if chat is None else chat.messages
    if source.system is not None:
        messages = [{"role": "system", "content": source.system}, *messages]
    tools = given_tools(source.tools)
    if tools and chat is not None and chat.tools:
        raise UsageError("the JSON of messages holds tools, and --tools was given", "give them once")
    return ChatInput(
        messages, tools or (None if chat is None else chat.tools), template_options(source.template_options)
    )


def given_tools(given: str | Sequence[Mapping[str, Any]] | None) -> list[Mapping[str, Any]] | None:
    """The functions of `--tools`: those in a file of JSON, or a list of them."""
    if given is None:
        return None
    if not isinstance(given, str):
        return checked_tools(list(given))
    try:
        return checked_tools(_read_json(given))
    except UsageError as error:
        raise UsageError(f"--tools {given}: {error.message}", error.hint) from None


@lru_cache(maxsize=4)  # With --lines it is the same for each line.
def _read_json(path: str) -> Any:
    from llminspect.files.source import read_text

    try:
        return json.loads(read_text(Path(path)))
    except (ValueError, RecursionError) as error:
        raise UsageError(json_fault(error)) from None


def template_options(given: Texts | Mapping[str, Any] | None) -> dict[str, Any]:
    """What `--template-option` gives the chat template: each NAME=JSON, or values by name."""
    if isinstance(given, Mapping):
        return dict(given)
    options: dict[str, Any] = {}
    for text in each(given):
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise UsageError(f"--template-option {shortened(text)!r} is not NAME=VALUE", "enable_thinking=false")
        try:
            options[name] = json.loads(value)
        except (ValueError, RecursionError):
            raise UsageError(
                f"--template-option {shortened(text)!r}: the value is not JSON",
                f"""{name}=false, {name}=2, {name}='"high"'""",
            ) from None
    return options


def chat_prompt(chat: ChatInput, tokenizer: Tokenizer, line: int | None) -> Prompt:
    """The conversation in the model's chat template, or counted as OpenAI documents it where that is its model's.
    Raises UserError where the model has neither, or the template fails."""
    if tokenizer.chat_template is None and tokenizer.chat_formula is not None:
        from llminspect.text.openai_chat import openai_chat

        made = openai_chat(tokenizer, chat)
    else:
        parts, notes = rendered_chat(tokenizer, chat)
        made = Chat(chat, encode_chat(tokenizer, parts), notes=notes)
    remarks = lost_bytes(tokenizer, [leaf.text for leaf in chat.leaves()])
    return Prompt(made.text, made.tokens, line, chat=made, remarks=remarks)


@reader("the conversation", UsageError)
def chat_of_json(text: str) -> ChatInput | None:
    """The conversation of a JSON document: messages, one of them, or an object with them; None for a text.

    Raises UsageError for a list, an object and null that are none, and for what begins as messages do and is no JSON:
    they would pass for a text unseen.
    """
    if not text.lstrip().startswith(("[", "{", "null")):
        return None
    try:
        value = json.loads(text)  # Takes lone surrogates, which the faster library refuses.
    except (ValueError, RecursionError) as error:
        if re.match(r'\s*(\[\s*)?\{\s*"(role|content|messages|tools|model)"\s*:', text):
            raise UsageError(
                f"the messages are {json_fault(error)}", "a text that looks like it: --user TEXT"
            ) from None
        return None
    return chat_in(value)


def check_prompt(model: Model, prompt: Prompt) -> None:
    """Raise UsageError for ids outside the vocabulary, and for a text longer than the model's table of positions, or
    than any that is computed."""
    sizes, most = model.config.sizes, model.most_tokens
    outside = [token_id for token_id in prompt.ids if token_id >= sizes.V]
    if outside:
        raise UsageError(
            f"id {outside[0]} is outside the vocabulary", f"ids of {model.name} run from 0 to {sizes.V - 1}"
        )
    if prompt.segments is not None and not model.can("encode") and model.architecture.head is None:
        raise UsageError(f"--pair: {model.name} is not an encoder, and reads one text", "leave out --pair")
    if prompt.choices:
        raise UsageError(
            f"{len(prompt.choices)} --pair were given, and {model.name} does not choose between texts",
            "give one; a model with a head for multiple choice takes several",
        )
    if not prompt.tokens:
        raise UsageError("the text gives no tokens", "give at least one character")
    if most is not None and len(prompt.tokens) > most:
        raise UsageError(
            f"the text has {len(prompt.tokens)} tokens, the context of {model.name} ends at {most}",
            f"shorten it: llminspect tokenize --truncate {most}",
        )
    if len(prompt.tokens) > (longest := longest_computed(model)):
        raise UsageError(
            f"the text has {len(prompt.tokens)} tokens, and {longest} are the most that are computed with {model.name}",
            f"shorten it: llminspect tokenize --truncate {longest}",
        )


def of_segments(model: Model, segments: Sequence[int] | None) -> Model:
    """The model in which the tokens are of these segments, as far as it has such: one that knows one segment, or none,
    takes all tokens as of segment 0."""
    if segments is None:
        return model
    table_SD = model.params.get("segment.weight")
    return replace(
        model, segments=tuple(segments if table_SD is not None and len(table_SD) > 1 else [0] * len(segments))
    )


def segments_of(tokens: Tokens) -> list[int] | None:
    """The segments of the tokens of a Result; None where it is of one text."""
    return [token["segment"] for token in tokens] if tokens and "segment" in tokens[0] else None


def decoder_and_target(
    model: Model,
    source: Prompt,
    text: str | int | None,
    ids: Ids | None,
    *,
    as_given: bool = False,
    language: str | None = None,
) -> tuple[Model, Prompt]:
    """The decoder once the encoder has read `source`, and the target so far: a model and a text like any other."""
    check_prompt(model, source)
    if model.architecture.head is not None:
        given = {"--target": text, "--target-ids": ids, "--target-language": language}
        if name := next((name for name, value in given.items() if value is not None), None):
            raise UsageError(
                f"{name}: {model.name} has labels or spans in place of words, "
                "and its decoder reads the text itself once more",
                "leave it out",
            )
        return with_source(model, source.ids), decoder_text(model, source)
    return with_source(model, source.ids), target_prompt(model, text, ids, as_given=as_given, language=language)


def with_source(model: Model, source_ids: Sequence[int], tap: Tap = NO_TAP) -> Model:
    """The decoder, which sees `source_ids` through the encoder in every pass. Beside taking a source, it writes.
    `tap` sees what the encoder does."""
    decoder = replace(model.architecture, capabilities=frozenset({"generate"}))
    return replace(
        model, architecture=decoder, source=model.encode_source(source_ids, tap), source_ids=tuple(map(int, source_ids))
    )


def decoder_text(model: Model, source: Prompt) -> Prompt:
    """What the decoder reads where a head takes the place of words: the text once more, one place later, in front of
    it the start token, or where the family has none the text's last token that is not padding. Raises UsageError where
    a text has no end that labels could be read at, or no start token is stated."""
    from llminspect.model.heads import read_at

    head, ids = model.architecture.head, source.ids
    assert head is not None
    read_at(head, ids)
    words = [token_id for token_id in ids if token_id != head.padding_id]
    # As `shift_tokens_right` of transformers counts, wherever the padding stands.
    first = ids[len(words) - 1] if head.files.wraps else target_prompt(model, None, None).ids[0]
    return Prompt(None, [bare_token(model, first, special=True), *source.tokens[:-1]])


def bare_token(model: Model, token_id: int, special: bool) -> Token:
    """A token that is of no text."""
    from llminspect.text.tokenizer import Token

    data = str(token_id).encode() if model.tokenizer is None else model.tokenizer.shown_bytes(token_id)
    return Token(token_id, data, None, None, special)


def start_token(model: Model) -> int | None:
    """What the target of an encoder–decoder starts from: as its settings for generating say, else its configuration.
    ModelError: those settings say what is no id of the vocabulary."""
    stated, size = model.generation.get("decoder_start_token_id"), model.config.sizes.V
    if stated is None:
        return model.config.start_id  # type: ignore[attr-defined, no-any-return]
    if type(stated) is not int or not 0 <= stated < size:
        raise ModelError(
            f"the model's decoder_start_token_id = {as_json(stated)} is not understood",
            f"known: an id from 0 to {size - 1}",
        )
    return stated


def target_prompt(
    model: Model, text: str | int | None, ids: Ids | None, *, as_given: bool = False, language: str | None = None
) -> Prompt:
    """The target so far. The start token is put in front, unless ids begin with it or are taken `as_given`; after it
    the token of the `language`, which takes its place where that is a language as well (the first mBART).

    Raises UsageError for text and ids at once, and where a start token is needed that the model does not state.
    """
    if text is not None and ids is not None:
        raise UsageError("--target and --target-ids were given", "give one of them")
    if isinstance(text, int):
        raise UsageError("--target of an encoder–decoder is a text: the target so far", "give ids as --target-ids")
    start_id, given = start_token(model), [] if ids is None else parse_ids(ids)
    in_language = [] if language is None else [language_id(model, language)]
    if in_language and start_id in languages(model.tokenizer).values():
        start_id, in_language = in_language[0], []
    if ids is not None and not given:
        raise UsageError("--target-ids: no ids were given", "give at least one, as in --target-ids 0,5,6")
    if start_id is None and not given:
        raise UsageError(
            f"{model.name} does not say which token a target starts with",
            "give the whole target to forward or attend, as in --target-ids 0,5,6",
        )
    if text is not None and model.tokenizer is None:
        raise UsageError("this model comes without a tokenizer", "give ids: --target-ids 1,2,3")
    tokens = [] if text is None or model.tokenizer is None else model.tokenizer.encode(text)
    bare = partial(bare_token, model)
    starts = start_id is not None and not (given and (as_given or given[0] == start_id))
    front = [bare(start_id, True)] if starts and start_id is not None else []
    front += [bare(token_id, True) for token_id in in_language]
    return Prompt(text, [*front, *tokens, *(bare(token_id, token_id == start_id) for token_id in given)])
