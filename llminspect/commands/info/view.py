"""How `llminspect info` looks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType

from llminspect.analysis.info import HeadDetails, InfoResult, ModelTensor, TokenizerDetails
from llminspect.commands.info.settings import SIZES, in_words, written
from llminspect.core.numbers import byte_size, column, percent, ranges, several
from llminspect.render import theme
from llminspect.render.bars import BarCell
from llminspect.render.prose import Text
from llminspect.render.safe import visible
from llminspect.render.sized_table import first_fitting
from llminspect.render.table import Cell, Column, Columns, key_values, table

TEMPLATE_LINES = 12
LABELS = 12
"""Labels of a head that are named."""
_DOES = {
    "generate": "predicts the next token",
    "fill": "fills masked tokens",
    "unmask": "writes by filling masks step by step",
    "encode": "lets every token see every other",
    "source": "reads a source text and writes a target",
    "classify": "labels a text",
    "tag": "labels each token",
    "answer": "answers with a part of the text",
    "choose": "says how well each of several texts fits",
}
_OUTPUT = {"own": "the file's own", "embedding": "the embedding, used again", "none": "none: it predicts no words"}
_PROBLEMS = {
    "single_label_classification": "one of",
    "multi_label_classification": "any of",
    "regression": "a number for each of",
}


def render(result: InfoResult, *, every_tensor: bool = False) -> RenderableType:
    """One screen, tensors of equal layers on one line; with `every_tensor` all there is."""
    sections: list[RenderableType] = [Text(visible(result.title), theme.TITLE), key_values(_facts(result))]
    if result.parts:
        sections += [_heading("Parameters by part"), parts_table(result)]
    if result.tensors:
        shown = [_row(tensor) for tensor in result.tensors] if every_tensor else _folded(result.tensors)
        heading = "Tensors" if every_tensor else "Tensors, equal layers on one line (--tensors: each on its own)"
        sections += [_heading(heading), _tensors(shown)]
    if result.tokenizer is not None:
        sections += [_heading("Tokenizer"), key_values(_tokenizer(result.tokenizer, every_tensor))]
    if result.chat_template:
        sections += [_heading("Chat template"), _template(result.chat_template, every_tensor)]
    if every_tensor and result.metadata:
        sections += [_heading("Settings in the file"), key_values((k, written(v)) for k, v in result.metadata.items())]
    return Group(*sections)


def _heading(text: str) -> RenderableType:
    return Text(f"\n{text}", theme.TITLE)


def _facts(result: InfoResult) -> Iterator[tuple[str, Cell]]:
    if result.family is None:
        yield "kind", "a tokenizer without a model"
        return
    does = ", ".join(_DOES.get(what, what) for what in result.capabilities or ()) or "has no output"
    yield "kind", f"{result.family}, {result.format}; {does}"
    yield "parameters", f"{result.parameters or 0:,}"
    memory = f"{byte_size(result.memory_bytes or 0)} as float32"
    if result.weight_types:
        types = ", ".join(f"{name} ×{count}" for name, count in result.weight_types.items())
        memory = f"{byte_size(result.file_bytes or 0)} in the file ({types}), {memory}"
    yield "weights", memory
    for letter, size in (result.sizes or {}).items():
        if size:
            label = SIZES.get(letter, letter)
            yield label if label == letter else f"{label} {letter}", f"{size:,}"
    yield from in_words(result.config or {})
    if result.output is not None:
        yield "output matrix", _OUTPUT[result.output]
    if result.head is not None:
        yield "head", f"{result.head.kind}: {_labels(result.head)}"
    yield from _added(result)


def _added(result: InfoResult) -> Iterator[tuple[str, Cell]]:
    """What is added to the weights, and what the files declare of one vector for a text."""
    if result.adapter is not None:
        added = result.adapter
        matrices = f"{added.matrices:,} {'matrix' if added.matrices == 1 else 'matrices'}"
        ranks = f"rank {', '.join(map(str, added.ranks))}"
        yield (
            "adapter",
            f"{visible(added.name)}: LoRA of {ranks} on {matrices}, {several(added.parameters, 'parameter')}",
        )
    if result.pooling is not None:
        yield "pooling", " → ".join(map(str, result.pooling.steps)) or "none: one vector for each token"
    if result.sentence is not None:
        before, usual = result.sentence, result.sentence.default_prompt
        if before.max_tokens is not None:
            yield "cut off after", f"{before.max_tokens:,} tokens, by the settings for sentences"
        if before.lowercase:
            yield "lower case", "yes, by the settings for sentences"
        if before.prompts is not None:
            named = [
                f"{name} {text!r}{' (put before by default)' * (name == usual)}"
                for name, text in before.prompts.items()
            ]
            yield "prompts", visible(", ".join(named))


def _labels(head: HeadDetails) -> str:
    """How many there are and what the first are called."""
    if head.kind == "question answering":
        return "the start and the end of the answer"
    if head.kind == "multiple choice":
        return "one number for each text, the largest fits best"
    first, more = head.labels[:LABELS], len(head.labels) - LABELS
    named = ", ".join(map(visible, first)) + (f" and {more:,} more" if more > 0 else "")
    chosen = "for each token one of" if head.kind == "token classification" else _PROBLEMS[head.problem]
    return f"{chosen} {len(head.labels):,}: {named}"


def parts_table(result: InfoResult) -> RenderableType:
    """How many numbers each part of the model has, their share, and how many bits the file spends on one."""
    parts = result.parts or []
    rows: list[list[Cell]] = [
        [part.name, f"{part.parameters:,}", percent(part.share), bits, BarCell(part.share, 24)]
        for part, bits in zip(parts, column([part.bits for part in parts]), strict=True)
    ]
    if result.tied:
        rows.append(["unembedding", "0", "0%", "", Text("the embedding, used again", theme.QUIET)])
    numbers = [Column(name, align="right") for name in ("parameters", "share", "bits each")]
    note = "bits each: what the file holds for a weight, its scales counted in" * any(part.bits % 1 for part in parts)
    return table(["part", *numbers, ""], rows, note=note)


def _tensors(rows: Sequence[Sequence[Cell]]) -> RenderableType:
    """No name is broken where that can be helped: a type that all share goes first, which is said above, then axes."""
    columns = [Column(name, whole=True) for name in ("tensor", "axes", "shape", "type")]
    every: Columns = [*columns, Column("parameters", align="right")]
    one_type: Columns = [*every[:3], None if len({row[3] for row in rows}) == 1 else every[3], every[4]]
    no_axes: Columns = [every[0], None, *one_type[2:]]
    last = [[_in_two_lines(str(row[0])), *row[1:]] for row in rows]
    left = [table(no_axes, cells, left_out=("axes",)) for cells in (rows, last)]
    return first_fitting([table(every, rows)], [table(one_type, rows)], *([made] for made in left))


def _in_two_lines(name: str) -> Text:
    """A long name of a tensor, cut after its layer and part."""
    *front, rest = name.split(".", 3)
    return Text(visible(".".join([*front, ""])) + "\n  " + visible(rest) if len(front) == 3 else visible(name))


def _row(tensor: ModelTensor) -> list[Cell]:
    shape = " × ".join(f"{size:,}" for size in tensor.shape)
    return [tensor.name, tensor.axes, shape, ", ".join(tensor.types), f"{tensor.parameters:,}"]


def _folded(tensors: Sequence[ModelTensor]) -> list[list[Cell]]:
    """Tensors that differ only in the number of their layer on one line; types that differ are counted."""
    groups: dict[tuple[str, str, tuple[int, ...]], list[ModelTensor]] = {}
    for tensor in tensors:
        stack, _, rest = tensor.name.partition(".")
        layer, _, short = rest.partition(".")
        pattern = f"{stack}.*.{short}" if layer.isdecimal() and short else tensor.name
        groups.setdefault((pattern, tensor.axes, tuple(tensor.shape)), []).append(tensor)
    return [_folded_row(pattern, group) for (pattern, _, _), group in groups.items()]


def _folded_row(pattern: str, group: Sequence[ModelTensor]) -> list[Cell]:
    name, axes, shape, *_ = _row(group[0])
    if len(group) > 1:
        layers = ranges([int(tensor.name.split(".")[1]) for tensor in group])
        name = pattern.replace("*", layers, 1)
    types = Counter(", ".join(tensor.types) for tensor in group)
    kinds = " ".join(name if len(types) == 1 else f"{name} ×{count}" for name, count in types.most_common())
    return [name, axes, shape, kinds, f"{sum(tensor.parameters for tensor in group):,}"]


def _tokenizer(facts: TokenizerDetails, everything: bool) -> Iterator[tuple[str, Cell]]:
    named = {token_id: spelling for spelling, token_id in facts.special_tokens.items()}

    def of(ids: Sequence[int]) -> str:
        names = (f"{named[token_id]} ({token_id})" if token_id in named else f"id {token_id}" for token_id in ids)
        return ", ".join(names) or "nothing"

    yield "kind", facts.kind
    taken = "none: a new piece of a text takes the next id"
    yield "vocabulary", f"{facts.vocabulary_size:,} tokens" if facts.vocabulary_size else taken
    yield "decoding", "gives back every text" if facts.lossless else "does not give back every text byte by byte"
    yield "put before", of(facts.prefix_ids)
    yield "put after", of(facts.suffix_ids)
    yield "generation stops at", of(facts.eos_ids)
    if facts.mask_id is not None:
        yield "mask", of([facts.mask_id])
    if facts.unknown_id is not None:
        yield "unknown", of([facts.unknown_id])
    if facts.languages:
        yield "languages", ", ".join(facts.languages)
    some = list(facts.special_tokens.values())
    shown = some if everything else some[:8]
    more = "" if len(shown) == len(some) else f" and {len(some) - len(shown):,} more"
    yield "special tokens", of(shown) + more


def _template(template: str, everything: bool) -> RenderableType:
    lines = template.strip("\n").split("\n")
    shown = lines if everything else lines[:TEMPLATE_LINES]
    text = Text("\n".join(visible(line) for line in shown))
    if len(shown) < len(lines):
        text.append(f"\n… {several(len(lines) - len(shown), 'more line')} (--tensors)", theme.QUIET)
    return text
