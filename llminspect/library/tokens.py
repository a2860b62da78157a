"""What is asked of a text's tokens: cutting, counting, ids, the vocabulary."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from llminspect.analysis.result import Results
from llminspect.arguments.option import checked, in_short
from llminspect.arguments.option import each as every
from llminspect.arguments.shared import PairOptions, SourceOptions
from llminspect.arguments.together import check_together
from llminspect.arguments.tokenize import CountOptions, EncodeOptions, SearchOptions, TokenizeOptions
from llminspect.errors import UsageError
from llminspect.library.inputs import (
    DEFAULT,
    checked_text,
    each,
    name_of,
    of_text,
    path_text,
    prompt_of,
    several,
    takes_options,
    tokenizer_of,
)

if TYPE_CHECKING:
    from pathlib import Path

    from llminspect.analysis.count_files import FilesResult
    from llminspect.analysis.encode import EncodeResult, SearchResult
    from llminspect.library.inputs import Opened, Text, Texts
    from llminspect.text.tokenizer import Tokenizer


@of_text
def tokenize(text: Text | Texts, model: Opened = DEFAULT, *, source: PairOptions, options: TokenizeOptions) -> Any:
    """A text cut into the tokens that a model sees.

    Gives a TokenizeResult: `tokens` (each with its id, text, bytes and place), `count`. With `count` only how many
    there are (CountResult), with `compare` the same text in several tokenizers (CompareResult), with `truncate=N` what
    is left of the text when it is cut to N tokens (`truncated.text`), with `steps` how the tokens came to be.
    Raises ModelError for a tokenizer that cannot be found, UsageError for options that make no sense.

    >>> import llminspect
    >>> [token["text"] for token in llminspect.tokenize("Alice gave Bob her book", "smollm2").tokens]
    ['Alice', ' gave', ' Bob', ' her', ' book']
    >>> llminspect.tokenize("Alice gave Bob her book", "smollm2", count=True).count
    5
    >>> both = llminspect.tokenize("Alice gave Bob her book", compare=["smollm2", "bytes"])
    >>> [(each.model, each.count) for each in both.models]
    [('smollm2', 5), ('bytes', 23)]
    >>> llminspect.tokenize("Alice gave Bob her book", truncate=2).truncated.text
    'Alice gave'
    """
    check_together("tokenize", options, source)
    options.check()
    if options.compare:
        return _compared(text, model, source, options)
    from llminspect.analysis.tokenize import tokenize as work

    tokenizer, options = tokenizer_of(model), options.for_model(name_of(model))
    return each(text, source, tokenizer, partial(work, tokenizer, options, source), may_be_empty=True)


@takes_options
def count_files(
    paths: str | Path | Sequence[str | Path], model: Opened = DEFAULT, *, source: SourceOptions, options: CountOptions
) -> FilesResult:
    """How many tokens files have, and all files under folders; `tokenize --count --file PATH PATH`.

    Gives a FilesResult: `total`, `files` (path, count, bytes), `folders` with their sums, and `skipped`: binary files
    and links. What `.gitignore` leaves out is left out. Raises UserError for a path that cannot be read.

    >>> import llminspect, pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = pathlib.Path(folder, "a.txt").write_text("Alice gave Bob her book")
    ...     _ = pathlib.Path(folder, "b.bin").write_bytes(bytes(3))
    ...     counted = llminspect.count_files(folder, "smollm2", cost="gpt-4o")
    >>> counted.total, [file.count for file in counted.files], counted.skipped[0].reason
    (5, [5], 'binary')
    >>> counted.cost.price, counted.cost.currency
    (2.5, 'USD')
    """
    from llminspect.analysis.count_files import count_files as work

    check_together("tokenize", options, source)
    several_paths = isinstance(paths, Iterable) and not isinstance(paths, str)
    given = [path_text(path) for path in (paths if several_paths else [paths])]  # type: ignore[union-attr]
    return work(tokenizer_of(model), given, source, options.for_model(name_of(model)))


def _compared(text: Any, model: Opened, source: PairOptions, options: TokenizeOptions) -> Any:
    """The text in several tokenizers; the model's stands in front where it was given, or where there is one other."""
    from llminspect.analysis.compare_tokenizers import compare

    if not isinstance(text, str) and not several(text):
        raise UsageError("compare compares what tokenizers make of a text", "give a text, or leave out compare")
    others = list(every(options.compare))
    names: list[Any] = [model, *others] if model is not DEFAULT or len(others) == 1 else others
    tokenizers: dict[str, Tokenizer] = {name_of(name): tokenizer_of(name) for name in names}
    compared = [compare(list(tokenizers.items()), one, source, options) for one in (text if several(text) else [text])]
    return Results(compared) if several(text) else compared[0]


@of_text
def encode(text: Text | Texts, model: Opened = DEFAULT, *, source: PairOptions, options: EncodeOptions) -> EncodeResult:
    """A text as the ids that the model reads.

    Gives `ids`, `tokens` and, with `one_hot`, the rows [T, V] of which each has a 1 at its id. Raises ModelError for a
    tokenizer that cannot be found, UsageError for a text that it cannot take.

    >>> import llminspect
    >>> llminspect.encode("Alice gave Bob her book").ids
    [7356, 4502, 8363, 874, 1863]
    >>> [result.ids for result in llminspect.encode(["A cat", "A cat sat"], "toy-attention")]
    [[0, 1], [0, 1, 2]]
    >>> llminspect.encode("A cat", "toy-attention", one_hot=True).one_hot
    [[1, 0, 0, 0], [0, 1, 0, 0]]
    """
    from llminspect.analysis.encode import encode as work

    check_together("encode", options, source)
    tokenizer = tokenizer_of(model)
    return each(text, source, tokenizer, partial(work, tokenizer, options.one_hot), may_be_empty=True)


def decode(ids: Sequence[int], model: Opened = DEFAULT) -> str:
    """The text that ids stand for, with U+FFFD where their bytes are not whole characters.

    Raises UsageError for ids that are none, or outside the vocabulary.

    >>> import llminspect
    >>> llminspect.decode([7356, 4502, 8363])
    'Alice gave Bob'
    """
    if isinstance(ids, str) or not isinstance(ids, Iterable):
        raise UsageError(f"not a list of ids: {in_short(ids)}", "as in [5, 6]")
    tokenizer = tokenizer_of(model)
    return tokenizer.decode(
        prompt_of(ids if hasattr(ids, "tolist") else list(ids), SourceOptions(), tokenizer).ids
    ).decode("utf-8", "replace")


@takes_options
def search(pattern: str, model: Opened = DEFAULT, *, options: SearchOptions) -> SearchResult:
    """The tokens of a vocabulary whose text matches a pattern (`*ing`, `[A-Z]??`); `encode --search`.

    Gives `count`, how many do, and `found`, each with its id and its bytes in hex. Raises ModelError for a
    tokenizer that cannot be found, UsageError for options that make no sense.

    >>> import llminspect
    >>> found = llminspect.search("*ization", longest=True, limit=2)
    >>> found.count, [match.text for match in found.found]
    (54, [' industrialization', ' commercialization'])
    """
    from llminspect.analysis.encode import search_vocabulary

    options = checked(replace(options, search=checked_text(pattern, "a pattern", "*ing")))
    return search_vocabulary(tokenizer_of(model), options)
