"""What a model's chat template makes of a conversation, and which of it the people in it wrote.

The template is rendered a second time with a mark in place of each text of somebody else; what stands between the marks
is the template's, and what stands in their places in the first rendering is theirs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any

from llminspect.core.dataclass import dataclass
from llminspect.errors import UsageError, UserError
from llminspect.text.messages import KNOWN, REASONING, ChatInput, Leaf, images_of, only_texts
from llminspect.text.special_tokens import split_at_specials
from llminspect.text.tokenizer import Tokenizer, utf8
from llminspect.text.unwritten import unwritten

JOINED = "the template takes a content as one text, so the parts of a content are joined by a line break"
_PLAIN = re.compile(r"[\w .,:/+-]*")
"""A text without marks that could make up a special token."""
GIVEN_VARIABLES = frozenset(("messages", "tools", "bos_token", "eos_token", "unk_token"))
"""Variables of a template that are no options."""


@dataclass(frozen=True)
class ChatPart:
    """A stretch of the rendered text: the template's (message None), or of the message of this number.

    `start` is the byte of the message's content where it begins; None: it is another text of the message, or it stands
    there in another spelling. `foreign` is a text that is neither the template's nor a message's: a tool's.
    """

    text: str
    message: int | None
    start: int | None = 0
    foreign: bool = False

    @property
    def protected(self) -> bool:
        """Whether special tokens are plain text in it."""
        return self.foreign or self.message is not None


def render_chat(tokenizer: Tokenizer, chat: ChatInput) -> list[ChatPart]:
    """The text that the model sees, in parts. It ends where the assistant is to speak; raises as `rendered_chat`."""
    return rendered_chat(tokenizer, chat)[0]


def rendered_chat(tokenizer: Tokenizer, chat: ChatInput) -> tuple[list[ChatPart], list[str]]:
    """The text that the model sees, in parts, and what is to be noted of it.

    Raises UserError where the model has no chat template or the template fails, UsageError where the template has no
    place for something that is given.
    """
    template = tokenizer.tool_template if chat.tools and tokenizer.tool_template else tokenizer.chat_template
    if not template:
        raise UserError(f"{tokenizer.name} has no chat template", "leave out --chat, or take a model made for chat")
    _check_places(tokenizer, template, chat)
    _check_names(tokenizer, chat)
    options = dict(chat.options)
    goes_on = options.pop("continue_final_message", False)
    render = _rendering(tokenizer, template, options, goes_on=bool(goes_on))
    given = chat
    rendered, chat = _written(render, given)
    parts = _Marks(render, rendered, chat, template).parts(tokenizer)
    notes = [JOINED] if given.in_parts and not chat.in_parts and _several(given) else []
    notes += unwritten(render, rendered, chat, tokenizer.name, {part.message for part in parts})
    return _until_last(parts, chat) if goes_on else parts, notes


def _several(chat: ChatInput) -> bool:
    """Whether a message has more than one part."""
    return any(isinstance(each.get("content"), list) and len(each["content"]) > 1 for each in chat.messages)


def _written(render: Callable[[ChatInput], str], chat: ChatInput) -> tuple[str, ChatInput]:
    """What the template writes; where it takes no content that is null, of an empty one; where it takes none in parts,
    of contents as one text. The last form is taken as it comes, with the error that it may end in."""
    forms = [chat, *[chat.without_null()] * chat.has_null, *[chat.with_plain_contents()] * chat.in_parts]
    for form in forms[:-1]:
        try:
            rendered = render(form)
            nulls = form.has_null and rendered.count("None") > render(form.without_null()).count("None")
        except UserError:
            continue
        if not nulls and not (form.in_parts and "{'type': '" in rendered):  # How Python writes a list of them.
            return rendered, form
    return render(forms[-1]), forms[-1]


class _Marks:
    """Finds the texts of other people in a rendering, by rendering with marks in their places."""

    MOST = 100
    """Renderings at most, of a template that decides by what many texts say."""

    def __init__(self, render: Callable[[ChatInput], str], rendered: str, chat: ChatInput, template: str) -> None:
        self._render, self._rendered, self._chat = render, rendered, chat
        self._leaves = list(chat.leaves())
        known = template + "".join(leaf.text for leaf in self._leaves)
        self._mark = next(mark for mark in (f"\ue0f0{i}\ue0f1" for i in count()) if mark not in known)
        self._renderings = 0

    def parts(self, tokenizer: Tokenizer) -> list[ChatPart]:
        """The parts of the rendering. A text that the template writes otherwise than it is counts as the template's,
        which is harmless unless it spells a special token. Raises UserError where it does."""
        wanted = [number for number, leaf in enumerate(self._leaves) if _is_marked(leaf)]
        kept = self._findable(wanted)
        parts = self._aligned(kept)
        if parts is None:
            kept, parts = [], [ChatPart(self._rendered, None)]
        for number in sorted({*wanted} - {*kept}):
            parts = _with_found(tokenizer, parts, self._leaves[number])
        return [part for part in parts if part.text]

    def _findable(self, numbers: Sequence[int]) -> Sequence[int]:
        """Those of the texts whose places a mark shows: the template writes the same whatever they say."""
        if self._renderings >= self.MOST:
            return []
        if not numbers or self._aligned(numbers) is not None:
            return numbers
        half = len(numbers) // 2
        return [*self._findable(numbers[:half]), *self._findable(numbers[half:])] if half else []

    def _aligned(self, numbers: Sequence[int]) -> list[ChatPart] | None:
        """The parts of the rendering with these texts marked; None where it is another one then."""
        mark, index, wanted = self._mark, count(), frozenset(numbers)

        def marked(leaf: Leaf) -> str:
            number = next(index)
            return f"{mark}{number}{mark}" if number in wanted else leaf.text

        self._renderings += 1
        try:
            pieces = re.split(f"{mark}(\\d+){mark}", self._render(self._chat.with_texts(marked)))
        except UserError:
            return None
        parts, place = [ChatPart(pieces[0], None)], len(pieces[0])
        if not self._rendered.startswith(pieces[0]):
            return None
        for number, after in zip(map(int, pieces[1::2]), pieces[2::2], strict=True):
            forms = _forms(self._leaves[number])
            part = next((part for part in forms if self._rendered.startswith(part.text + after, place)), None)
            if part is None:
                return None
            parts += [part, ChatPart(after, None)]
            place += len(part.text) + len(after)
        return parts if place == len(self._rendered) else None


def _is_marked(leaf: Leaf) -> bool:
    """An empty text is false in a template, and stays so; words by which it may decide stay as well."""
    return bool(leaf.text) and (leaf.start is not None or _PLAIN.fullmatch(leaf.text) is None)


def _forms(leaf: Leaf) -> Iterator[ChatPart]:
    """The spellings that a template gives a text: as it is, without white space around it, inside JSON."""
    text, foreign = leaf.text, leaf.message is None
    for form in dict.fromkeys((text, text.strip(), text.rstrip(), text.lstrip())):
        before = len(utf8(text[: text.index(form)]))
        yield ChatPart(form, leaf.message, None if leaf.start is None else leaf.start + before, foreign)
    for form in (text, text.strip()):
        for ascii_only in (False, True):
            yield ChatPart(json.dumps(form, ensure_ascii=ascii_only)[1:-1], leaf.message, None, foreign)


def _until_last(parts: Sequence[ChatPart], chat: ChatInput) -> list[ChatPart]:
    """The rendering up to the end of the last message's content, which the model is to go on with."""
    ends = [i for i, part in enumerate(parts) if part.message == len(chat.messages) - 1 and part.start is not None]
    if not ends:
        raise UserError(
            "the chat template does not write the last message as it is, so that message cannot be continued",
            "leave out continue_final_message",
        )
    return list(parts[: ends[-1] + 1])


def _with_found(tokenizer: Tokenizer, parts: Sequence[ChatPart], leaf: Leaf) -> list[ChatPart]:
    """The parts with a content, by which the template decides what to write, where it stands in one place only."""
    content = leaf.text.strip()
    spelled = spelled_in(tokenizer, content)
    places = [
        (number, match.start())
        for number, part in enumerate(parts)
        if not part.protected and content
        for match in re.finditer(
            re.escape(content), part.text if spelled else _without_specials(tokenizer, part.text, content)
        )
    ]
    if spelled and (len(places) != 1 or leaf.start is None):
        whose = "a tool" if leaf.message is None else f"message {leaf.message}"
        raise UserError(
            f"the chat template rewrites {whose}, which spells a special token",
            f"take the special token out of {'it' if leaf.message is None else 'the message'}",
        )
    if len(places) != 1 or leaf.start is None:
        return list(parts)
    number, start = places[0]
    text, end = parts[number].text, start + len(content)
    at = leaf.start + len(utf8(leaf.text[: leaf.text.index(content)]))
    found = [ChatPart(text[:start], None), ChatPart(content, leaf.message, at), ChatPart(text[end:], None)]
    return [*parts[:number], *found, *parts[number + 1 :]]


def _without_specials(tokenizer: Tokenizer, text: str, content: str) -> str:
    """The text with something else in place of its special tokens, so that the content is not found in one."""
    other = next(character for character in map(chr, range(0xE000, 0xF900)) if character not in content)
    parts = split_at_specials(text, tokenizer.special_tokens, "special")
    return "".join(part if token_id is None else other * len(part) for part, token_id in parts)


def spelled_in(tokenizer: Tokenizer, text: str) -> bool:
    """Whether a text spells a special token."""
    return any(spelling and spelling in text for spelling in tokenizer.special_tokens)


def _check_names(tokenizer: Tokenizer, chat: ChatInput) -> None:
    for name in chat.names():
        if spelled_in(tokenizer, name):
            raise UsageError(f"the name {name[:60]!r} in the chat spells a special token", "give it another name")


def _check_places(tokenizer: Tokenizer, template: str, chat: ChatInput) -> None:
    """Raise UsageError for what the template does not read: it would be dropped without a word."""

    def reads(*names: str) -> bool:
        return re.search(rf"\b({'|'.join(map(re.escape, names))})\b", template) is not None

    shows = "llminspect info shows the template"
    if chat.tools and not reads("tools"):
        raise UsageError(f"the chat template of {tokenizer.name} has no place for tools", "leave out --tools")
    for name in chat.options:
        if name in GIVEN_VARIABLES:
            raise UsageError(f"{name} is no option of a template", "the messages come as JSON, tools with --tools")
        if name != "continue_final_message" and not reads(name):
            raise UsageError(f"the chat template of {tokenizer.name} has no option {name}", shows)
    for number, message in enumerate(chat.messages):
        for image in images_of(message):
            raise only_texts(number, image["type"])
        if message.get("tool_calls") and not reads("tool_calls"):
            raise UsageError(
                f"the chat template of {tokenizer.name} has no place for tool_calls (message {number})", shows
            )
        for name in message:
            if name not in KNOWN and not reads(name):
                raise UsageError(f"{name!r} of message {number} is not understood, and the template does not read it")


def _rendering(
    tokenizer: Tokenizer, template: str, options: Mapping[str, Any], *, goes_on: bool
) -> Callable[[ChatInput], str]:
    """What the model's template makes of a chat."""
    from llminspect.text.chat_template import render_template

    def spelling(token_id: int | None) -> str:
        return "" if token_id is None else tokenizer.token_bytes(token_id).decode("utf-8", "replace")

    def render(chat: ChatInput) -> str:
        messages = [dict(message) for message in chat.messages]
        for message in messages:
            thought = next((message[name] for name in REASONING if name in message), None)
            if thought is not None:  # Some templates read the one name, some the other.
                message |= {"thinking": message.get("thinking", thought), "reasoning_content": thought}
        return render_template(template, {**variables, "messages": messages, "tools": chat.tools or None})

    eos = tokenizer.end_id if tokenizer.end_id is not None else min(tokenizer.eos_ids, default=None)
    variables: dict[str, Any] = {
        "bos_token": spelling(tokenizer.bos_id),
        "eos_token": spelling(eos),
        "unk_token": spelling(tokenizer.unknown_id),
        "add_generation_prompt": not goes_on,
        "documents": None,
        **options,
    }
    return render
