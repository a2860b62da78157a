"""Texts of different lengths in one pass: filled up at the end, and each given back as if it had gone alone.

A causal model's tokens do not see what comes after them; where tokens see both ways, what fills a text up is hidden
from them. Each number is then that of the text alone, but for the rounding of its sums.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np

from llminspect.analysis.looking import RunResult, looked_at
from llminspect.analysis.prompt import check_prompt, of_segments
from llminspect.analysis.result import token_documents
from llminspect.analysis.token_scores import TOKENS_AT_ONCE
from llminspect.core.array import Array
from llminspect.core.rotary import Divided
from llminspect.core.tap import Capture, matches
from llminspect.model.opened import Model
from llminspect.text.prompt import Prompt

OVER_KEYS = ("scores", "scaled", "capped", "masked", "weights", "distances")
"""Steps whose last two axes are both tokens."""
APART = ("embedding.positions", "embedding.segment", "embedding.task", "*relative", "*.experts.*", "final.*")
"""Steps that have no axis for the texts of a batch, or rows of several texts together."""


def token_axes(name: str) -> tuple[int, ...]:
    """Which axes of an array are the tokens of its text, from the last."""
    part, _, step = name.rpartition(".")
    if step in OVER_KEYS and part.endswith((".attention", ".state")):
        return (-2, -1)
    if name.endswith(".state.rate"):
        return (-1,)
    return (-3,) if name == "embedding.per_layer" else (-2,)


def looked_at_together(model: Model, prompts: Sequence[Prompt], patterns: Sequence[str]) -> list[RunResult]:
    """`looked_at` of each text, as many at once as go together: each Result is that of the text alone, but for
    rounding."""
    found: dict[int, RunResult] = {}
    order = sorted(range(len(prompts)), key=lambda at: len(prompts[at].ids))
    for together in _batches(model, prompts, order, patterns):
        if len(together) == 1:
            found[together[0]] = looked_at(model, prompts[together[0]], patterns)
        else:
            some = _in_one_pass(model, [prompts[at] for at in together], patterns)
            found.update(zip(together, some, strict=True))
    return [found[at] for at in range(len(prompts))]


def _batches(
    model: Model, prompts: Sequence[Prompt], order: Sequence[int], patterns: Sequence[str]
) -> Iterator[list[int]]:
    """Which texts go together; `order` is that of their lengths."""
    if not _goes_together(model, patterns):
        yield from ([at] for at in order)
        return
    for _, similar in groupby(order, lambda at: _kind(model, prompts[at])):
        batch: list[int] = []
        for at in similar:
            if (len(batch) + 1) * len(prompts[at].ids) > TOKENS_AT_ONCE and batch:
                yield batch
                batch = []
            batch.append(at)
        yield batch


def _goes_together(model: Model, patterns: Sequence[str]) -> bool:
    if model.engine is not None or model.can("source") or model.architecture.head is not None:
        return False
    names = [name for name in model.names() if any(matches(name, pattern) for pattern in patterns)]
    experts = model.config.experts is not None and any("experts" in pattern or "*" in pattern for pattern in patterns)
    return bool(names) and not experts and not any(matches(name, apart) for name in names for apart in APART)


def _kind(model: Model, prompt: Prompt) -> object:
    """Equal for texts that may go together: whose tokens are turned at the same speeds, whatever their length."""
    length = len(prompt.ids)
    rotations = [rotary for rotary in (model.config.rotary, model.config.local_rotary) if rotary is not None]
    if prompt.segments is not None or any(isinstance(rotary.scaling, Divided) for rotary in rotations):
        return length, prompt.segments
    return [rotary.speeds(length) for rotary in rotations]


def _in_one_pass(model: Model, prompts: Sequence[Prompt], patterns: Sequence[str]) -> list[RunResult]:
    for prompt in prompts:
        check_prompt(model, prompt)
    lengths = [len(prompt.ids) for prompt in prompts]
    ids_BT = np.zeros((len(prompts), max(lengths)), np.int64)
    for row_T, prompt in zip(ids_BT, prompts, strict=True):
        row_T[: len(prompt.ids)] = prompt.ids
    hidden_BT = np.arange(max(lengths)) >= np.array(lengths)[:, None]
    kept, model = Capture(*patterns), of_segments(model, prompts[0].segments)
    stream_BTD = model.run(ids_BT, kept, hidden_S=None if model.config.causal else hidden_BT).stream_TD
    logits_BV = None
    if model.can("generate"):
        logits_BV = model.logits(stream_BTD[np.arange(len(lengths)), np.array(lengths) - 1])
    return [
        RunResult(
            prompt.text,
            token_documents(prompt.tokens, prompt.segments, prompt.second),
            {name: _of_text(name, array[at], lengths[at]) for name, array in kept.arrays.items()},
            None if logits_BV is None else logits_BV[at],
        )
        for at, prompt in enumerate(prompts)
    ]


def _of_text(name: str, array: Array, tokens: int) -> Array:
    """One text's part, without what filled it up, as an array of its own: the batch need not stay for it."""
    cut = [slice(None)] * array.ndim
    for axis in token_axes(name):
        cut[axis] = slice(tokens)
    return array[tuple(cut)].copy()
