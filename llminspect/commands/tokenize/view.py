"""How `tokenize` looks: a strip of coloured tokens, a table of them, tokenizers side by side."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table

from llminspect.analysis.compare_tokenizers import CompareResult
from llminspect.analysis.count_files import FilesResult
from llminspect.analysis.result import shown_text
from llminspect.analysis.tokenize import CountResult, TokenizeResult
from llminspect.commands.tokenize.alignment import aligned
from llminspect.commands.tokenize.counts import counted, files_view, headline, money
from llminspect.core.numbers import fixed, several
from llminspect.render import theme
from llminspect.render.bars import BarCell
from llminspect.render.prose import Text
from llminspect.render.safe import quoted, visible
from llminspect.render.table import Cell, Column, Columns, table
from llminspect.render.token_strip import Kind, token_strip

STRIP = 1000
"""Tokens shown in the strip."""
HEAD, TAIL = 80, 20
"""Rows shown of a longer table."""


def tokenized(result: TokenizeResult) -> RenderableType:
    """The count, the strip, the table, and what to know about the tokenizer."""
    parts: list[RenderableType] = [_headline(result), Text()]
    if result.tokens:
        parts += [strip(result), Text()]
    if result.steps is not None:
        from llminspect.commands.tokenize.steps import steps_view

        parts += [steps_view(result.steps), Text()]
    elif result.tokens:
        parts += [token_table(result), Text()]
    parts += remarks(result)
    return Group(*parts)


def _headline(result: TokenizeResult) -> RenderableType:
    facts = []
    if result.chat is not None:
        facts = [f"{message.count:,} {message.role}" for message in result.chat.messages[-8:]]
        formula, rest = result.chat.formula, result.chat.template
        if formula is not None and formula.images:
            facts.append(f"{formula.images:,} of images")
            rest -= formula.images
        facts.append(f"{rest:,} " + ("of the template" if formula is None else "beside them, by OpenAI's formula"))
    elif result.characters is not None and result.bytes is not None:
        facts = [several(result.characters, "character"), several(result.bytes, "byte")]
        if result.count:
            facts.append(f"{fixed(result.characters / result.count, 2)} characters per token")
    return headline(result.count, facts, result.cost)


def kind_of(token: dict[str, Any], chat: bool = False) -> Kind:
    if token.get("special"):
        return "special"
    if chat and "message" not in token:
        return "template"
    return "partial" if token.get("partial") else "text"


def readable(token: dict[str, Any]) -> str:
    """A token's text; what is not whole characters as bytes in hex."""
    return shown_text(token)[1:-1] if token.get("partial") else shown_text(token)


def strip(result: TokenizeResult) -> RenderableType:
    """The tokens side by side; of very many the first."""
    shown = result.tokens[:STRIP]
    kinds = [kind_of(token, result.chat is not None) for token in shown]
    drawn = token_strip([readable(token) for token in shown], kinds)
    if len(result.tokens) == len(shown):
        return drawn
    return Group(drawn, Text(f"… and {several(len(result.tokens) - len(shown), 'more token')}", theme.QUIET))


def token_table(result: TokenizeResult) -> RenderableType:
    """A row a token; of many the first and the last."""
    tokens = result.tokens
    shown = [*tokens[:HEAD], *tokens[-TAIL:]] if len(tokens) > HEAD + TAIL else list(tokens)
    remarks = [note_on(token, result) for token in shown]
    spans = any(token["start"] is not None for token in shown)
    columns: Columns = [Column("index", "right"), Column("token", spaces=True), Column("id", "right")]
    columns += [Column("bytes", quiet=True), Column("span", "right", quiet=True) if spans else None]
    columns.append(Column("segment", "right", quiet=True) if result.pair is not None else None)
    columns.append(Column("", quiet=True) if any(remarks) else None)
    rows = [
        [
            str(token["index"]),
            cell(token),
            str(token["id"]),
            spaced(token["bytes"]),
            span(token),
            str(token.get("segment", "")),
            remark,
        ]
        for token, remark in zip(shown, remarks, strict=True)
    ]
    left_out = len(tokens) - len(shown)
    if left_out:
        rows.insert(HEAD, ["⋮", *[""] * (len(columns) - 1)])
    notes = [f"{several(left_out, 'token')} left out in the middle; --json has all of them"] if left_out else []
    notes += ["span: the first byte of the text that is in the token, and the first one after it"] if spans else []
    return table(columns, rows, note="; ".join(notes))


def cell(token: dict[str, Any]) -> str:
    return f"‹{readable(token)}›" if token.get("partial") else str(token["text"]) or "∅"


def spaced(hexadecimal: str) -> str:
    """`416c 69` as `41 6c 69`; of a long one the start."""
    pairs = [hexadecimal[i : i + 2] for i in range(0, min(len(hexadecimal), 48), 2)]
    return " ".join(pairs) + (f" … ({len(hexadecimal) // 2})" if len(hexadecimal) > 48 else "")


def span(token: dict[str, Any]) -> str:
    return "–" if token["start"] is None else f"{token['start']}–{token['end']}"


def note_on(token: dict[str, Any], result: TokenizeResult) -> str:
    """Of which text, special, added by the model, part of which character; in a chat whose it is."""
    if result.chat is not None:
        message = token.get("message")
        wrote = "template" if result.chat.formula is None else "role"
        owner = wrote if message is None else result.chat.messages[message].role
        return f"{owner}, special" if token.get("special") else owner
    second, text = token.get("second"), result.text
    remarks = ["second text"] if second else []
    if token.get("special"):
        remarks.append("special" if token["start"] is not None or text is None else "special, added")
    elif token.get("partial"):
        around = whole_characters(token, result.pair if second else text)
        remarks.append(f"part of {quoted(around)}" if around else "not whole characters")
    return ", ".join(remarks)


def whole_characters(token: dict[str, Any], text: str | None) -> str:
    """The characters of the text that the token holds some bytes of but not all; "" where the bytes are no text."""
    if text is None or token["start"] is None:
        return ""
    data = text.encode("utf-8", "surrogateescape")
    start, end = token["start"], token["end"]
    while start > 0 and 0x80 <= data[start] < 0xC0:
        start -= 1
    while end < len(data) and 0x80 <= data[end] < 0xC0:
        end += 1
    try:
        around = data[start:end].decode()
    except UnicodeDecodeError:
        return ""
    places = [start]
    for char in around:
        places.append(places[-1] + len(char.encode()))
    return "".join(
        char
        for char, (first, last) in zip(around, pairwise(places), strict=True)
        if first < token["start"] < last or first < token["end"] < last
    )


def remarks(result: TokenizeResult) -> list[RenderableType]:
    """The key of the strip where it needs one, the tokenizer's kind, and what this text loses in it."""
    lines: list[RenderableType] = []
    kinds = {kind_of(token, result.chat is not None) for token in result.tokens}
    if "template" in kinds:
        formula = result.chat is not None and result.chat.formula is not None
        what = "a role or a name" if formula else "written by the model's chat template"
        lines.append(keyed(theme.TOKENS_TEMPLATE[0], what))
    if "special" in kinds:
        lines.append(keyed(theme.TOKEN_SPECIAL, "special token, with a meaning of its own"))
    if "partial" in kinds:
        lines.append(keyed(theme.TOKEN_PARTIAL, "part of a character, as bytes in hex"))
    if result.round_trip is False:
        lost = f": it loses {result.tokenizer.loss}" if result.tokenizer.loss else ""
        lines.append(Text(visible(f"decoding these ids does not give this text back{lost}"), theme.STRONG))
    size = result.tokenizer.vocabulary_size
    lines.append(Text(visible(result.tokenizer.kind) + (f", a vocabulary of {size:,}" if size else ""), theme.QUIET))
    return lines


def keyed(style: Any, text: str) -> Text:
    return Text.assemble(("  ", style), (f" {text}", theme.QUIET))


def comparison(result: CompareResult) -> RenderableType:
    """The counts, the strips over the same text, and what they share."""
    parts: list[RenderableType] = [summary(result)]
    shown = [model for model in result.models if model.tokens is not None]
    if shown and result.text is not None:
        named = [(model.model, model.tokens or []) for model in shown]
        parts += [Text(), aligned(result.text, named, result.shared.spans if result.shared else [])]
    lines = [*shared_lines(result), *difference_lines(result)]
    return Group(*parts, *([Text(), *lines] if lines else []))


def summary(result: CompareResult) -> RenderableType:
    """A row a tokenizer; where they do not fit, without the columns that can be worked out or looked up."""
    errors = [Text(visible(f"{model.model}: {model.error}"), theme.STRONG) for model in result.models if model.error]
    return Group(tokenizer_table(result), *errors)


def tokenizer_table(result: CompareResult) -> Table:
    """A row a tokenizer."""
    most = max((model.count or 0 for model in result.models), default=0) or 1
    currencies = {model.cost.currency for model in result.models if model.cost}
    named = next(iter(currencies)) if len(currencies) == 1 else ""
    named = "" if len(named) == 1 else named  # A sign stands in front of each.

    def right(name: str, spared: int = 0) -> Column:
        return Column(name, "right", whole=True, spared=spared)

    columns: Columns = ["tokenizer", right("tokens"), "", right("characters per token"), right("bytes per token", 1)]
    columns += [right(f"cost {visible(named)}".rstrip()) if currencies else None, right("vocabulary", 2)]
    rows: list[list[Cell]] = []
    for model in result.models:
        rates = (model.characters_per_token, model.bytes_per_token)
        row = [model.model, None if model.count is None else f"{model.count:,}", BarCell((model.count or 0) / most, 8)]
        row += [None if rate is None else fixed(rate, 2) for rate in rates]
        size = model.tokenizer.vocabulary_size
        cost = money(replace(model.cost, currency="") if named else model.cost) if model.cost else None
        rows.append([*row, cost, f"{size:,}" if size else None])
    return table(columns, rows, note=f"{several(result.characters, 'character')}, {several(result.bytes, 'byte')}")


def shared_lines(result: CompareResult) -> list[RenderableType]:
    """What all of them cut in the same places."""
    if result.shared is None or result.text is None or not result.shared.cuts_of_any:
        return []
    shared = result.shared
    data = result.text.encode("utf-8", "surrogateescape")
    pieces = [data[start:end].decode("utf-8", "replace") for start, end in shared.spans]
    some = "  ".join(visible(piece, True) for piece in list(dict.fromkeys(pieces))[:8])
    line = Text.assemble((f"{len(pieces):,}" if pieces else "No", theme.STRONG))
    line.append(f" piece{' is' if len(pieces) <= 1 else 's are'} one token in every tokenizer", theme.QUIET)
    line.append(f": {some}{' …' if len(set(pieces)) > 8 else ''}" if some else "", theme.QUIET)
    cuts = Text.assemble(
        (f"{shared.cuts_of_any:,}", theme.STRONG),
        f" place{' is' if shared.cuts_of_any == 1 else 's are'} cut by one tokenizer or more, ",
    )
    cuts.append(f"{shared.cuts:,}", theme.STRONG).append(" of them by all")
    return [line, cuts]


def difference_lines(result: CompareResult) -> list[RenderableType]:
    """Whether the ids are the same, and if not where they first differ."""
    if result.same_ids:
        return [Text("all of them give the very same ids", theme.STRONG)]
    if result.parting is None or result.parting.index == 0:
        return []
    parting = result.parting
    line = Text.assemble(("the ids are the same ", theme.QUIET))
    line.append(f"up to token {parting.index}", theme.STRONG)
    line.append(f" (byte {parting.byte:,}): ", theme.QUIET)
    continuations = [
        f"{model} has " + ("no more tokens" if token_id is None else f"{quoted(text or '')} {token_id}")
        for model, token_id, text in zip(parting.models, parting.ids, parting.texts, strict=True)
    ]
    line.append(", ".join(continuations))
    return [line]


def render(result: TokenizeResult | CountResult | CompareResult | FilesResult) -> RenderableType:
    """Whichever of them it is."""
    if isinstance(result, FilesResult):
        return files_view(result)
    if isinstance(result, TokenizeResult):
        return tokenized(result)
    return counted(result) if isinstance(result, CountResult) else comparison(result)
