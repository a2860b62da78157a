"""`tokenize --truncate`: a text cut to a number of tokens, never inside a character unless the options allow it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from llminspect.analysis.prompt import text_prompt
from llminspect.analysis.tokenization import TruncatedText
from llminspect.errors import UsageError
from llminspect.text.tokenizer import utf8
from llminspect.text.vocabulary import truncate as truncated_tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llminspect.arguments.shared import SourceOptions
    from llminspect.arguments.tokenize import TokenizeOptions
    from llminspect.text.prompt import Prompt
    from llminspect.text.tokenizer import Token, Tokenizer


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
    total = len(prompt.tokens)
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
