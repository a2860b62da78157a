"""`forward --over` and `attend --over`: each record of the file as the question that it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any

from llminspect.analysis.attend import attend
from llminspect.analysis.directions import difference_of_texts
from llminspect.analysis.forward import forward
from llminspect.analysis.forward_result import ForwardQuestion
from llminspect.analysis.long_texts import noted_of_examples
from llminspect.analysis.over import OverResult, TextWork, of_record, over_texts
from llminspect.analysis.over_numbers import Numbers, numbers_of_attend, numbers_of_forward
from llminspect.analysis.prompt import text_prompt
from llminspect.arguments.attend import AttendOptions
from llminspect.arguments.directions import parse_examples, parse_saved
from llminspect.arguments.experiments import ablates_each
from llminspect.arguments.option import each
from llminspect.arguments.shared import SourceOptions
from llminspect.core.array import Array
from llminspect.errors import UsageError, UserError
from llminspect.files.source import read_bounded
from llminspect.model.opened import Model
from llminspect.text.prompt import Prompt

LARGEST = 1 << 29
"""Bytes of a file that directions are made of."""


def forward_over(
    model: Model,
    question: ForwardQuestion,
    source: SourceOptions,
    records: Sequence[Mapping[str, Any]],
    progress: Callable[[int, int], object] | None = None,
    file: str | None = None,
    announce: Callable[[list[str]], object] | None = None,
) -> OverResult:
    """`forward` of each record's `text`, with its `target`, `versus`, `patch`, `align`, `at` in place of the options'.

    Raises UserError for a record that is none, or cannot be done; UsageError for a question without a number that all
    texts have.
    """
    made: list[tuple[ForwardQuestion, int]] = []
    for number, record in enumerate(records):
        of_record = _of_record(question, record, number)
        made.append((_patched(model, of_record, source, number), len(_prompt(model, source, record, number).ids)))
        look = of_record.look
        if look.lens and look.target is None:
            raise UserError(f"record {number} has no target for --lens", "give it one, or --target to all")
        if not _asks(of_record):
            raise UsageError(
                "--over gives the means of what an option measures",
                "add --attribution, --lens, --surprise, --ablate, --target …, or give records a patch or a target",
            )
    aligned = len({tokens for _, tokens in made}) == 1
    noted = noted_of_examples(model, question.experiments)

    @cache
    def of_examples_D() -> Array | None:
        """The direction of `--steer-from`, with the first text that is computed."""
        examples = question.experiments.steer_from
        return None if examples is None or model.can("source") else difference_of_texts(model, parse_examples(examples))

    def work(question: ForwardQuestion, number: int, model: Model) -> Numbers:
        prompt = _prompt(model, source, records[number], number)  # Anew: those of all texts would fill any memory.
        return numbers_of_forward(forward(model, replace(question, of_examples_D=of_examples_D()), prompt), aligned)

    works = [
        TextWork(number, tokens, partial(work, question, number)) for number, (question, tokens) in enumerate(made)
    ]
    plain = replace(question, patch=replace(question.patch, patch=str(question.patch.patch)))
    of = [vars(plain.look), vars(plain.patch), vars(plain.experiments), vars(source), list(records)]
    window = (question.look.window or model.config.sizes.context) if question.look.surprise else None
    of.append(_files(question))
    together = not question.look.gradient
    found = over_texts(model, "forward", works, of, progress, file, announce, window, noted, together)
    beside = [one.look.versus is not None for one, _ in made]
    versus: Any = "all" if all(beside) else "some" if any(beside) else None
    return replace(found, made=_made(question) or None, versus=versus)


def _made(question: ForwardQuestion) -> list[str]:
    """What is changed in the model, and which numbers are estimated, for a heading."""
    changed, into = question.experiments, question.patch.into
    what = f" ({changed.ablate_with})" if changed.ablate_with != "zero" else ""
    found = [f"ablate {text}{what}" for text in each(changed.ablate)]
    found += [f"scale {text}" for text in each(changed.scale)] + [f"steer {text}" for text in each(changed.steer)]
    found += [f"steer from {' '.join(changed.steer_from)}"] if changed.steer_from is not None else []
    found += [f"patch {text}" for text in each(into)]
    if question.look.gradient:
        what = "changes" if ablates_each(changed) else "shares"
        # With both, the estimates have a number alone that names them: how well they agree.
        found.append(f"{what} computed exactly" if question.look.exact else f"{what} estimated from gradients")
    return found


def _asks(question: ForwardQuestion) -> bool:
    """Whether something is wanted that all texts have a number for."""
    look, changed = question.look, question.experiments
    changes = changed.ablate or changed.scale or changed.steer or changed.steer_from or question.patch.patch is not None
    return bool(look.lens or look.attribution or look.surprise or changes or look.target is not None)


def _of_record(question: ForwardQuestion, record: Mapping[str, Any], number: int) -> ForwardQuestion:
    """The question with what the record says in place of the options. A text that is scored needs nothing more."""
    if question.look.surprise:
        return question
    given = {
        name: _value(record, name, number, kinds)
        for name, kinds in {"target": (str, int), "versus": (str, int), "at": (int,)}.items()
        if record.get(name) is not None
    }
    patches = {
        name: _value(record, name, number, kinds) for name, kinds in {"patch": (str,), "align": (str, list)}.items()
    }
    if not all(isinstance(entry, str) for entry in each(patches["align"])):
        raise UserError(f"record {number}: its align is not a text or a list of texts")
    patch = replace(question.patch, **{name: value for name, value in patches.items() if value is not None})
    return replace(question, look=replace(question.look, **given), patch=patch)


def _patched(model: Model, question: ForwardQuestion, source: SourceOptions, number: int) -> ForwardQuestion:
    """With the ids of the text that is patched from."""
    if question.patch.patch is None:
        if question.patch.align is not None:
            raise UserError(f"record {number} has an align and no patch", "give it one, or --patch to all")
        of_patches = {"--into": question.patch.into, "--noising": question.patch.noising}
        if not ablates_each(question.experiments):
            of_patches |= {"--sweep": question.patch.sweep, "--gradient": question.look.gradient}
        for name in filter(of_patches.get, of_patches):
            raise UserError(f"record {number} has no patch for {name}", "give it one, or --patch to all")
        return question
    try:
        ids = text_prompt(str(question.patch.patch), source, model.tokenizer, None).ids
    except UserError as error:
        raise of_record(number, error) from None
    return replace(question, source_ids=ids)


def attend_over(
    model: Model,
    options: AttendOptions,
    source: SourceOptions,
    records: Sequence[Mapping[str, Any]],
    progress: Callable[[int, int], object] | None = None,
    file: str | None = None,
    announce: Callable[[list[str]], object] | None = None,
) -> OverResult:
    """`attend` of each record's `text`: every head's measures, or with `find`, its own or the option's, who looks
    there. Raises as `forward_over`."""

    def work(question: AttendOptions, number: int, model: Model) -> Numbers:
        return numbers_of_attend(attend(model, question, _prompt(model, source, records[number], number)))

    works = []
    for number, record in enumerate(records):
        find = _value(record, "find", number, (str,))
        # A measure that was chosen is the question; what else a record would ask is another.
        question = options if find is None or options.measure is not None else replace(options, find=find)
        tokens = len(_prompt(model, source, record, number).ids)
        works.append(TextWork(number, tokens, partial(work, question, number)))
    of = [vars(options), vars(source), list(records)]
    found = over_texts(model, "attend", works, of, progress, file, announce)
    measure = options.measure
    return found if measure is None else replace(found, places=[at for at in found.places if at.measure == measure])


def _prompt(model: Model, source: SourceOptions, record: Mapping[str, Any], number: int) -> Prompt:
    text = _value(record, "text", number, (str,))
    if not text:
        raise UserError(f"record {number} has no text", 'as in {"text": "A cat sat."}')
    try:
        return text_prompt(text, source, model.tokenizer, None)
    except UserError as error:
        raise of_record(number, error) from None


def _value(record: Mapping[str, Any], name: str, number: int, kinds: tuple[type, ...]) -> Any:
    """What a record has under a name; None where it has nothing. Raises UserError for what is of another kind."""
    value = record.get(name)
    if value is not None and type(value) not in kinds:
        words = {str: "a text", int: "a whole number", list: "a list of texts"}
        raise UserError(f"record {number}: its {name} is not {' or '.join(words[kind] for kind in kinds)}")
    return value


def _files(question: ForwardQuestion) -> list[str]:
    """The hash of each file that experiments name: with another content it is another question."""
    import hashlib

    experiments = question.experiments
    paths = [saved.path for text in each(experiments.steer) if (saved := parse_saved(text)) is not None]
    if experiments.steer_from is not None:
        examples = parse_examples(experiments.steer_from)
        paths += [examples.positive, examples.negative]
    found = [hashlib.sha256(read_bounded(path, LARGEST, plain=True)).hexdigest() for path in paths]
    if experiments.features is not None:
        from llminspect.files.dictionaries import read_dictionary

        provenance = read_dictionary(experiments.features).provenance
        found += [value for name, value in provenance.items() if name != "name"]
    return [*found, *([] if question.instead is None else [question.instead.digest()])]
