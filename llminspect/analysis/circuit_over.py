"""`circuit --over`: one graph for many pairs of texts, by scores that are means over them (Hanna et al. 2024)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from llminspect.analysis.candidates import named_token
from llminspect.analysis.circuit import (
    Progress,
    Work,
    check_different,
    check_effect,
    check_texts,
    cost,
    methods_of,
    searched,
    seconds_of,
)
from llminspect.analysis.circuit_page import with_page
from llminspect.analysis.circuit_result import CircuitPair, CircuitResult
from llminspect.analysis.circuit_scores import MOST, Contrast, Contrasts, contrast, edge_scores
from llminspect.analysis.long_texts import noted_of_texts
from llminspect.analysis.over import OverFile, of_record
from llminspect.analysis.prompt import prompt_of_ids, text_prompt
from llminspect.arguments.circuit import CircuitOptions
from llminspect.arguments.ranges import parse_ids
from llminspect.arguments.shared import SourceOptions
from llminspect.arguments.words import one_token
from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass
from llminspect.errors import UsageError, UserError
from llminspect.model.graph_pass import graph_pass
from llminspect.model.opened import Model
from llminspect.text.prompt import Prompt

EXAMPLE = 'as in {"clean": "Anne met Tom. Tom saw", "corrupt": "Anne met Tom. Anne saw", "target": " Anne"}'


@dataclass(frozen=True)
class TextPair:
    """A record: two texts of as many tokens, and the ids of target and versus where they are named."""

    clean: Prompt
    corrupt: Prompt
    answers: tuple[int | None, int | None]


def circuit_over(
    model: Model,
    records: Sequence[Mapping[str, Any]],
    options: CircuitOptions,
    progress: Progress | None = None,
    announce: Callable[[str], object] | None = None,
    note: Callable[[list[str]], object] | None = None,
    file: str | None = None,
    *,
    page: bool = False,
) -> CircuitResult:
    """The circuit of all pairs together. Each record has `clean` and `corrupt`, texts or lists of ids, and may have
    `target` and `versus` in place of the options'. `note` is given what is noted of long texts, `announce` what it
    costs, before the work starts.

    Raises UserError, which names the record (from 0), for one that cannot be done, and UsageError as `circuit`.
    """
    pairs = [pair_of(model, options, record, number) for number, record in enumerate(records)]
    noted = noted_of_texts(model, [len(pair.clean.ids) for pair in pairs])
    if note is not None:
        note(noted)
    check_room(model, pairs)
    found, scored, work = _scored(model, pairs, options, progress, announce)
    contrasts = Contrasts(found)
    check_effect(contrasts)
    result, graphs, size = searched(contrasts, scored, options, work)
    kept = [float(each) for each in contrasts.kept(graphs.of(size))[:, 0]]
    entries = [
        CircuitPair(
            pair.clean.text, pair.corrupt.text, named_token(model, one.target), named_token(model, one.versus),
            one.whole, one.nothing, share / (one.whole - one.nothing) if one.whole != one.nothing else float("nan"),
        )
        for pair, one, share in zip(pairs, found, kept, strict=True)
    ]  # fmt: skip
    result = replace(result, over=OverFile(len(pairs), file), pairs=entries, notes=noted or None)
    return with_page(result, graphs, size, model, None) if page else result


def _scored(
    model: Model,
    pairs: Sequence[TextPair],
    options: CircuitOptions,
    progress: Progress | None,
    announce: Callable[[str], object] | None,
) -> tuple[tuple[Contrast, ...], list[Array], Work]:
    """The passes of each pair, and the means of the scores by both methods."""
    passes = {tokens: graph_pass(model, tokens) for tokens in {len(pair.clean.ids) for pair in pairs}}
    edges = int(next(iter(passes.values())).wiring.possible_RU.sum())
    found: list[Contrast] = []
    work, sums = Work(progress, options, len(pairs), edges), [np.zeros(1)] * 2
    for number, pair in enumerate(pairs):
        try:
            one = contrast(model, pair.clean.ids, pair.corrupt.ids, pair.answers, passes[len(pair.clean.ids)])
            check_different(one)
        except UserError as error:
            raise of_record(number, error) from None
        if announce is not None and number == 0:
            announce(cost(one, options, seconds_of(one), len(pairs)))
        sums = [
            total + edge_scores(one, steps, work.scored) for total, steps in zip(sums, methods_of(options), strict=True)
        ]
        found.append(one.without_parts())
    return tuple(found), [total / len(pairs) for total in sums], work


def pair_of(model: Model, options: CircuitOptions, record: Mapping[str, Any], number: int) -> TextPair:
    """The texts of a record, and its answers or else the options'. Raises UserError, which names it."""
    try:
        clean, corrupt = (_prompt(model, options, record.get(name), name) for name in ("clean", "corrupt"))
        check_texts(model, clean, corrupt)
        given = [record.get(name, getattr(options, name)) for name in ("target", "versus")]
        for name, token in zip(("target", "versus"), given, strict=True):
            if token is not None and type(token) not in (str, int):
                raise UserError(f"its {name} is not a text or a whole number")
        target, versus = (
            None if token is None else one_token(model, token, name)
            for token, name in zip(given, ("target", "versus"), strict=True)
        )
    except UserError as error:
        raise of_record(number, error) from None
    return TextPair(clean, corrupt, (target, versus))


def _prompt(model: Model, options: CircuitOptions, text: Any, name: str) -> Prompt:
    if isinstance(text, str) and text:
        return text_prompt(text, SourceOptions(special=options.special), model.tokenizer, None)
    if isinstance(text, list) and text and all(type(entry) is int for entry in text):
        return prompt_of_ids(parse_ids(text), model.tokenizer, None)
    raise UserError(f"it has no {name} that is a text or a list of ids", EXAMPLE)


def check_room(model: Model, pairs: Sequence[TextPair]) -> None:
    """Raise UsageError where what is kept of all pairs takes too much: what each part writes in the corrupt text, and
    the stream before each half of a layer."""
    sizes, lengths = model.config.sizes, [len(pair.clean.ids) for pair in pairs]
    nodes = 1 + sizes.L * (sizes.H + 1) + 2 * sizes.L + 2
    takes = sum(lengths) * nodes * sizes.D * 4
    if takes > MOST:
        most = int(len(pairs) * MOST / takes)
        raise UsageError(
            f"what the parts of {model.name} write in {len(pairs):,} texts takes {takes / 1e9:.3g} GB",
            f"give at most {most:,} pairs" if most else "give shorter texts",
        )
