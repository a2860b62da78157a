"""`llminspect encode`: a text as the ids that a model reads, and ids as text again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llminspect.commands._documents import Tokens
from llminspect.commands._encode_ids import bare, decode_all, line_of_ids
from llminspect.commands._encode_search import Found, SearchOptions, found_view, run_search
from llminspect.commands._input import Prompt, line_prompt, read_prompts, token_documents
from llminspect.commands._lines import LineWork, run_lines
from llminspect.commands._options import ModelOptions, OutputOptions, SourceOptions, Workers, takes_groups
from llminspect.commands._output import write_text
from llminspect.commands._run import emit, noting_empty, open_tokenizer_for, run_each
from llminspect.commands._save import check_ending
from llminspect.errors import UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from llminspect.text.tokenizer import Tokenizer

ONE_HOT = 20_000_000
"""Numbers in the one-hot rows at most."""


@dataclass(frozen=True)
class Encoded:
    """A text and its ids."""

    text: str | None
    ids: list[int]
    tokens: Tokens
    vocabulary_size: int
    one_hot: list[list[int]] | None = None
    """With --one-hot: [T, V], a row a token, 1 at its id and 0 elsewhere."""


@dataclass(frozen=True)
class Decoded:
    """Ids and the text that they stand for."""

    ids: list[int]
    text: str
    """With U+FFFD where the bytes are not whole characters."""
    bytes: str
    """In hex."""
    whole: bool
    """Whether the bytes are whole characters."""


Result = Encoded | Decoded | Found


def run(tokenizer: Tokenizer, one_hot: bool, prompt: Prompt) -> Encoded:
    """The ids of one text."""
    size = tokenizer.vocabulary_size
    if one_hot and len(prompt.ids) * size > ONE_HOT:
        raise UsageError(
            f"the one-hot rows would hold {len(prompt.ids)} × {size:,} numbers",
            "take a shorter text, or a small vocabulary: --letters, --model toy, --model bytes",
        )
    rows = [[int(place == token_id) for place in range(size)] for token_id in prompt.ids] if one_hot else None
    return Encoded(prompt.text, prompt.ids, token_documents(prompt.tokens), size, rows)


def run_back(tokenizer: Tokenizer, keep_special: bool, prompt: Prompt) -> Decoded:
    """The bytes that ids stand for, without what the model expects around a text unless that is to be kept."""
    ids = prompt.ids if keep_special else without_added(prompt.ids, tokenizer)
    data = tokenizer.decode(ids)
    text = data.decode("utf-8", "replace")
    return Decoded(prompt.ids, text, data.hex(), text.encode() == data)


def without_added(ids: list[int], tokenizer: Tokenizer) -> list[int]:
    """The ids without the prefix and the suffix that encoding puts around a text."""
    front, behind = list(tokenizer.prefix_ids), list(tokenizer.suffix_ids)
    if front and ids[: len(front)] == front:
        ids = ids[len(front) :]
    if behind and ids[-len(behind) :] == behind:
        ids = ids[: -len(behind)]
    return ids


def render(result: Result) -> RenderableType:
    """The tokens over their ids, the one-hot rows, or the text."""
    if isinstance(result, Found):
        return found_view(result, None)
    from llminspect.commands import _encode_render as views

    return views.encoded(result) if isinstance(result, Encoded) else views.decoded(result)


def encode_lines(
    decode: bool, one_hot: bool, source: SourceOptions, model: ModelOptions, output: OutputOptions, workers: int | None
) -> None:
    """Every line of standard input as ids, or every line of ids as text."""
    work = open_lines(decode, one_hot, source, model, output)
    own, quiet = replace(model, offline=True), replace(output, quiet=True)
    run_lines(source, output, work, partial(open_lines, decode, one_hot, source, own, quiet), workers)


def open_lines(
    decode: bool, one_hot: bool, source: SourceOptions, model: ModelOptions, output: OutputOptions
) -> LineWork[Any]:
    """What is done with a line, in this process or another."""
    tokenizer, provenance = open_tokenizer_for(model, output)
    front = "encode", model.model, provenance, output.digits
    if decode:
        prompt, back = partial(line_of_ids, source, tokenizer), partial(run_back, tokenizer, bool(source.special))
        return LineWork(*front, prompt, back, in_turn=tokenizer.learns)
    prompt, there = partial(line_prompt, source, tokenizer), partial(run, tokenizer, one_hot)
    return LineWork(*front, prompt, there, in_turn=tokenizer.learns)


@takes_groups
def command(
    source: SourceOptions,
    model: ModelOptions,
    output: OutputOptions,
    searched: SearchOptions,
    decode: Annotated[
        bool,
        typer.Option(
            "--decode",
            help="Back to text: TEXT (or standard input, --file, --ids) holds ids; of a text, there and back.",
        ),
    ] = False,
    one_hot: Annotated[bool, typer.Option("--one-hot", help="A row a token: 1 at its id, 0 elsewhere.")] = False,
    letters: Annotated[bool, typer.Option("--letters", help="The letter code, A = 1, B = 2; as --model letters.")] = (
        False
    ),
    workers: Workers = None,
) -> None:
    """Write a text as the ids that a model reads, or ids as text.

    \b
    llminspect encode "Alice gave Bob her book"
    llminspect encode --decode 7356,4502,8363
    llminspect encode HI --letters
    llminspect encode --search "*ization" --longest
    """
    check_ending(output, arrays=False)
    searched.check(source)
    if decode and one_hot:
        raise UsageError("--one-hot shows ids, --decode makes text of them", "leave out one of the two")
    model = replace(model, model="letters") if letters else model
    if source.lines and searched.search is None and output.save is None:
        encode_lines(decode, one_hot, source, model, output, workers)
        return
    tokenizer, provenance = open_tokenizer_for(model, output)
    if searched.search is not None:
        found = run_search(tokenizer, searched)
        emit("encode", model.model, provenance, found, output, partial(found_view, limit=searched.limit))
        return
    if decode:
        decode_all(source, model.model, tokenizer, provenance, output)
        return
    prompts = noting_empty(read_prompts(source, tokenizer, may_be_empty=True), output)
    if bare(source, output) and not one_hot:
        for prompt in prompts:
            write_text(" ".join(map(str, prompt.ids)) + "\n")
        return
    run_each("encode", model.model, provenance, prompts, output, partial(run, tokenizer, one_hot), render)
