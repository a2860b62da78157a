"""How `generate` looks: the text coloured by how sure the model was, a line a token, and what the options add."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console, ConsoleOptions, Group, RenderableType

from llminspect.analysis.beams import Beam, BranchToken
from llminspect.analysis.completion import Completion, Filters, StepRecord, Stop, Unmasking
from llminspect.analysis.generate import CompletionChange, GenerateResult, UnchangedCompletion
from llminspect.analysis.model_settings import listed
from llminspect.commands.forward.answers import experiments_made
from llminspect.commands.generate.unmasking import unmasking_view
from llminspect.core.numbers import count, fixed, number, percent, several
from llminspect.render import theme
from llminspect.render.bars import BarCell, probability_bars
from llminspect.render.prose import Text
from llminspect.render.safe import label, quoted, visible
from llminspect.render.section import Drawn, remark
from llminspect.render.sized_table import SizedTable, first_fitting
from llminspect.render.table import Cell, Column, Columns, Entries, table
from llminspect.render.token_strip import value_strip
from llminspect.render.tree import Branch, branch_tree

LONGEST_WHOLE = 24
"""Cells of a token that is not broken into lines."""
_STOPS = {
    "length": "as many as were allowed (--max-tokens)",
    "eos": "the model said that the text ends here",
    "stop": "the text came to a --stop",
}


def render(result: GenerateResult, *, streamed: bool = False) -> RenderableType:
    """With `streamed` the text itself has been shown already."""
    parts: list[RenderableType] = []
    if result.samples is not None:
        parts += samples(result, result.samples)
    elif result.beams is not None:
        parts += [beam_table(result.beams), *([] if result.steps else [Text()])]
    elif not streamed:
        parts += [_text(_prompt(result, result.unmasking), _completion(result, result.completion, result.ids))]
        parts += [] if result.steps and result.unmasking is None else [Text()]
    if result.samples is None and result.unmasking is not None:
        parts += [unmasking_view(result.unmasking, len(result.prompt_ids), result.seed), Text()]
    if result.samples is None and result.steps:
        parts += [
            Text(),
            confidence(result.steps),
            Text(),
            step_table(result.steps),
            Text(),
            *filter_views(result.steps),
        ]
    if result.model_settings:
        parts += [Text(f"by the model's own settings: {visible(listed(result.model_settings))}", theme.QUIET), Text()]
    if result.tree is not None:
        end = result.prompt if len(result.prompt) <= 40 else "…" + result.prompt[-39:]
        end = end or _ids(result.prompt_ids)
        end = end if result.target_ids is None else f"{end} becomes"
        parts += [branch_tree(end, map(_branch, result.tree), title=TREE_TITLE), remark(TREE_KEY), Text()]
    if result.baseline is not None and result.change is not None:
        parts += [change_view(result.baseline, result.change, result.completion), Text()]
    seed = "" if result.seed is None else f"; seed {result.seed} repeats it"
    runs = "" if result.passes is None else "pass" if result.passes == 1 else "passes"
    passes = "" if result.passes is None else f" in {count(result.passes)} {runs}"
    why = "the model can hold no more" if result.context_full else why_ended(result.stop, result.steps)
    for key in ("max_new_tokens", "max_length"):
        why = why.replace("--max-tokens", key) if key in (result.model_settings or ()) else why
    tokens = several(len(result.ids), "token")
    if result.samples is not None and result.unmasking is not None:
        passes = f" in {several(sum(sample.passes or 0 for sample in result.samples), 'pass', 'passes')}"
        tokens = several(len(result.samples), "sample")
    elif result.unmasking is not None:
        tokens = filled(result.unmasking)
    reason = "" if result.unmasking is not None and result.stop == "length" else f": {why}"
    parts.append(Text(f"{tokens}{passes}{reason}{seed}", theme.QUIET))
    return Group(*parts)


TREE_TITLE = "branches: the one taken ◀, and those not taken"
TREE_KEY = "bar and %: how probable the token is after the text and the tokens that its branch goes through; ◀ taken"


def why_ended(stop: Stop, steps: Sequence[StepRecord]) -> str:
    """Why a text ended; where the model ended it, by which token: that may be one that looks like any other."""
    if stop == "eos" and steps:
        return f"the last one, “{visible(steps[-1].text, True)}”, is the model's sign that the text ends"
    return _STOPS[stop]


BECOMES = "\nbecomes\n"
"""What stands between the text that an encoder–decoder reads and the one that it writes."""


def in_front(prompt: str, ids: Sequence[int], starts: Sequence[object], *, becomes: bool = False) -> str:
    """What stands in front of the completion: the prompt, ids where there is no text; a gap where tokens that are not
    of the text (of a chat's template) stand between the two. `starts` say where each token is in the text; `becomes`:
    it is not continued, it becomes another."""
    if becomes:
        return (prompt or _ids(ids)) + BECOMES
    if not prompt:
        return _ids(ids)
    between = starts[-1] is None and any(start is not None for start in starts)
    return prompt + "\n\n" if between else prompt


def filled(found: Unmasking) -> str:
    """How many masks were filled, and how many the model left."""
    done = sum(place.step is not None for place in found.positions)
    left = len(found.positions) - done
    return f"{several(done, 'mask')} filled" + (f", {count(left)} left" if left else "")


def _prompt(result: GenerateResult, found: Unmasking | None) -> str:
    if found is not None and found.prompt_ids is not None:
        return found.prompt or _ids(found.prompt_ids)
    starts, becomes = [token["start"] for token in result.tokens], result.target_ids is not None
    return in_front(result.prompt, result.prompt_ids, starts, becomes=becomes)


def _completion(result: GenerateResult, completion: str, ids: Sequence[int]) -> str:
    """The text; ids where there is no tokenizer, so that the prompt has no text either."""
    gap = "" if result.target_ids else " "
    return completion if result.prompt else f"{gap}{_ids(ids)}"


def _ids(ids: Sequence[int]) -> str:
    return " ".join(f"#{token_id}" for token_id in ids)


def _text(prompt: str, completion: str) -> Text:
    """The prompt in a quiet voice and what follows."""
    text = Text(_lines(prompt), theme.QUIET)
    return text.append(_lines(completion), theme.STRONG)


def _lines(text: str) -> str:
    return "\n".join(visible(f"x{line}")[1:] for line in text.split("\n"))


def confidence(steps: Sequence[StepRecord]) -> RenderableType:
    """The completion's tokens, each coloured by its probability."""
    return value_strip(
        [step.text for step in steps],
        [step.prob for step in steps],
        limits=(0, 1),
        name="probability that the model gave the token",
    )


def step_table(steps: Sequence[StepRecord]) -> SizedTable:
    """A line a token; without the bars where the line is short, and without the entropy where it is very short."""
    rows: list[list[Cell]] = []
    for index, step in enumerate(steps):
        others = Entries([Text(f"{visible(other.text, True)} {percent(other.prob)}") for other in step.alternatives])
        token = Text.assemble((visible(step.text, True), theme.STRONG), " (given)" if step.forced else "")
        drawn = None if step.drawn_prob is None else percent(step.drawn_prob)
        row: list[Cell] = [str(index), token, percent(step.prob), BarCell(step.prob, 10)]
        rows.append([*row, drawn, others, fixed(step.entropy, 1)])
    # Without a filter a token is drawn at the model's own probability.
    drawn_at_all = any(step.drawn_prob is not None and abs(step.drawn_prob - step.prob) > 1e-9 for step in steps)
    columns: Columns = [Column("", "right", quiet=True, whole=True), "token", Column("prob", "right", whole=True)]
    drawn_note = "drawn at: after temperature and filters"
    columns += ["", Column("drawn at", "right", whole=True, note=drawn_note) if drawn_at_all else None]
    columns.append("runners-up" if any(step.alternatives for step in steps) else None)
    bits_note = "bits: the entropy of the model's choice, 0 when it is certain"
    columns.append(Column("bits", "right", quiet=True, whole=True, spared=1, note=bits_note))
    return table(columns, rows, note="prob: the model's own")


def filter_views(steps: Sequence[StepRecord]) -> list[RenderableType]:
    """With --steps what the filters did at each step."""
    shown = [filter_view(index, step) for index, step in enumerate(steps) if step.filters is not None]
    return [part for view in shown for part in (view, Text())]


def filter_view(index: int, step: StepRecord) -> RenderableType:
    """The tables of a step, and which it is."""
    title = f"step {index}: {quoted(step.text)} was {'given' if step.forced else 'taken'}"
    return Group(Text(title, theme.TITLE), filter_tables(step))


def filter_tables(step: StepRecord) -> RenderableType:
    """From the model's own probabilities to those drawn from, the tokens cut away still there; in as many tables as the
    width needs."""
    assert step.filters is not None
    stages = len(step.filters.names)
    sizes = range(stages, 0, -1)
    ways = ([_filter_table(step, step.filters, at, at + size) for at in range(0, stages, size)] for size in sizes)
    return first_fitting(*ways)


def _filter_table(step: StepRecord, filters: Filters, first: int, end: int) -> SizedTable:
    """The stages from `first` to before `end`."""
    rows: list[list[Cell]] = []
    names = [*(Text(visible(token.text, True)) for token in filters.tokens), Text("tokens left", theme.QUIET)]
    for name, token in zip(names, filters.tokens, strict=False):
        cells: list[Cell] = [name]
        for stage, probability in enumerate(token.probs[first:end], first):
            gone = 0 in token.probs[:stage]
            shown = "" if gone else "cut" if probability == 0 else percent(probability, 2)
            cells.append(Text(shown, "" if probability else theme.QUIET))
        rows.append(cells)
    left: list[Cell] = [Text(count(kept), theme.QUIET) for kept in filters.kept[first:end]]
    rows.append([names[-1], *left])
    strong = [place for place, token in enumerate(filters.tokens) if token.id == step.id]
    columns = [Column("token", whole=max(name.cell_len for name in names) <= LONGEST_WHOLE)]
    columns += [Column(name, "right", whole=True) for name in filters.names[first:end]]
    return table(columns, rows, strong=strong)


def samples(result: GenerateResult, completions: Sequence[Completion]) -> list[RenderableType]:
    """Each completion with its whole log-probability."""
    parts: list[RenderableType] = []
    for index, completion in enumerate(completions):
        logprob = sum(step.logprob for step in completion.steps)
        found = completion.unmasking
        ended = why_ended(completion.stop, completion.steps) if found is None else filled(found)
        parts.append(Text(f"sample {index}   log p {number(logprob)}, {ended}", theme.QUIET))
        parts += [_text(_prompt(result, found), _completion(result, completion.completion, completion.ids)), Text()]
        if any(step.filters for step in completion.steps):
            parts += [step_table(completion.steps), Text(), *filter_views(completion.steps)]
    return parts


SCORE = (
    "log p: the natural logarithm of the probability of all its tokens; score: log p divided by the number of tokens "
    "(to the power --length-penalty), by which they are ranked"
)


def beam_table(beams: Sequence[Beam]) -> RenderableType:
    rows: list[list[Cell]] = [
        [index, beam.score, beam.logprob, len(beam.ids), Text(visible(beam.completion, True) or _ids(beam.ids))]
        for index, beam in enumerate(beams)
    ]
    columns: Columns = [Column("", quiet=True), "score", "log p", "tokens", "completion"]
    return table(columns, rows, title="beams, best first", note=SCORE, strong=[0])


def change_view(baseline: UnchangedCompletion, change: CompletionChange, completion: str) -> RenderableType:
    """What the model writes before and after the change."""
    first = change.first_difference
    line = "no token differs" if first is None else f"token {first} is the first that differs"
    rows = [["before", label(baseline.completion)], ["after", label(completion)]]
    shown = table([Column("", quiet=True), Column("completion")], rows)
    return Group(*experiments_made(change.experiments), shown, Text(line, theme.QUIET))


def _branch(twig: BranchToken) -> Branch:
    return Branch(twig.text, float(twig.prob), tuple(map(_branch, twig.children)), twig.chosen)


def watch_view(prompt: str, text: str, step: StepRecord) -> RenderableType:
    """The end of the text so far, as much as there is room for, and the bars of its last token."""
    shown = sorted(
        [(step.prob, step.text, True), *((other.prob, other.text, False) for other in step.alternatives)],
        key=lambda entry: -entry[0],
    )

    def tail(console: Console, options: ConsoleOptions) -> Iterator[Text]:
        lines = _text(prompt, text).wrap(console, options.max_width)
        yield Text("\n").join(lines[-max(1, options.size.height - len(shown) - 2) :])

    return Group(
        Drawn(tail),
        Text(),
        probability_bars(
            [text for _, text, _ in shown],
            [probability for probability, _, _ in shown],
            maximum=1.0,
            strong=[index for index, (_, _, chosen) in enumerate(shown) if chosen],
        ),
    )
