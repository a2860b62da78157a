"""The text as a strip of tokens: which is looked at, and which it looks at."""

from __future__ import annotations

from rich.style import Style

from llminspect.analysis.explore.questions import place
from llminspect.analysis.explore.state import ExploreState
from llminspect.analysis.result import shown_text, token_documents
from llminspect.render import theme
from llminspect.render.prose import Text
from llminspect.render.safe import visible
from llminspect.text.prompt import Prompt

MOST = 400
"""Tokens that are shown, those around the one that is looked at."""


def token_line(state: ExploreState, prompt: Prompt) -> Text:
    """Each token on its own background; ▸ ◂ stand around the one that is looked at, › ‹ around the one it looks at, so
    that no colour is needed to tell."""
    at = place(state, len(prompt.tokens))[0]
    first = max(0, min(at - MOST // 2, len(prompt.tokens) - MOST))
    line = Text("… " if first else "").append_text(part_of_strip(state, prompt, first, first + MOST))
    return line.append(" …") if first + MOST < len(prompt.tokens) else line


def part_of_strip(state: ExploreState, prompt: Prompt, first: int, end: int) -> Text:
    """Some of the tokens."""
    at, key = place(state, len(prompt.tokens))
    line = Text()
    documents = token_documents(prompt.tokens[first:end])
    of_text = [token.start is not None for token in prompt.tokens[first:end]]
    plain = any(token.start is not None for token in prompt.tokens)
    for offset, (token, inside) in enumerate(zip(documents, of_text, strict=True)):
        index = first + offset
        tones = theme.TOKENS_SPECIAL if token.get("special") else theme.TOKENS
        tones = theme.TOKENS_TEMPLATE if plain and not inside and not token.get("special") else tones
        style = tones[index % len(tones)] + Style.from_meta({"token": index})
        name = visible(shown_text(token), True) or "∅"
        if index == at:
            line.append(f"▸{name}◂", style + Style(bold=True, underline=True))
        elif index == key:
            line.append(f"›{name}‹", style + Style(italic=True))
        else:
            line.append(name, style)
    return line
