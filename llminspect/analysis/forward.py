"""`llminspect forward`: a text through every layer to the most probable next tokens, and what changes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from llminspect.analysis.by_hand import by_hand, fits_on_a_page
from llminspect.analysis.candidates import candidates, fill_masks, ranked_token, with_its_space
from llminspect.analysis.feed_forward import feed_forward, rows_kept
from llminspect.analysis.forward_changes import prepared, silenced_each
from llminspect.analysis.forward_result import ForwardQuestion, ForwardResult
from llminspect.analysis.labels import head_parts, no_next_token, of_choices
from llminspect.analysis.lengths import beyond_context
from llminspect.analysis.long_texts import noted_of_examples
from llminspect.analysis.passes import head_reads, streams_shown
from llminspect.analysis.prompt import check_prompt, decoder_and_target, of_segments
from llminspect.analysis.result import token_documents
from llminspect.analysis.trace import WatchedPass, routing, watch_pass
from llminspect.arguments.experiments import ExperimentOptions
from llminspect.arguments.forward import ForwardOptions
from llminspect.arguments.ranges import check_exists, parse_choice
from llminspect.arguments.words import one_token
from llminspect.core.array import Array
from llminspect.core.numbers import several
from llminspect.core.tap import Capture, Chain, Tap
from llminspect.errors import UsageError
from llminspect.model.heads import read_at
from llminspect.model.opened import Model
from llminspect.text.prompt import Prompt

if TYPE_CHECKING:
    from llminspect.analysis.experiments import Experiment


def forward(model: Model, question: ForwardQuestion, prompt: Prompt) -> ForwardResult:
    """One pass over the text, watched, and whatever else the options want of it.

    Of an encoder–decoder the text goes through the encoder, and what follows is about the target so far.
    """
    look, source, as_ids = question.look, None, prompt.text is None and prompt.chat is None
    if prompt.choices and model.can("choose"):
        return _best_choice(model, question, prompt.choices)
    if model.can("source"):
        source = prompt
        how: Any = {"as_given": question.target_as_given, "language": look.target_language}
        model, prompt = decoder_and_target(model, prompt, look.target, look.target_ids, **how)
        as_ids = look.target_ids is not None or model.tokenizer is None
        look_alone = replace(look, target=None, target_ids=None, target_language=None)
        question = replace(question, look=look_alone, parse="text")  # As the target so far was read.
    elif look.target_ids is not None or look.target_language is not None:
        name = "--target-ids" if look.target_language is None else "--target-language"
        raise UsageError(f"{name}: {model.name} has no target apart from its text", "leave it out")
    if look.surprise or look.perplexity:
        result = _scored(model, question, prompt)
    elif question.ways:
        result = _compared(model, question, prompt, as_ids)
    else:
        result = _followed(model, question, prompt, source)
    # Of many texts it was noted before.
    if noted := noted_of_examples(model, question.experiments) if question.of_examples_D is None else []:
        result = replace(result, notes=[*(result.notes or ()), *noted])
    if source is None:
        return result
    notes = beyond_context(model, len(source.tokens), len(prompt.tokens))
    return replace(result, source=token_documents(source.tokens), notes=[*(notes or ()), *noted] or None)


def _best_choice(model: Model, question: ForwardQuestion, prompts: Sequence[Prompt]) -> ForwardResult:
    """The text with each of several others, and which of them fits best."""
    found, top = [forward(model, question, replace(prompt, choices=())) for prompt in prompts], question.look.top
    labels, plain = (
        of_choices([each.labels for each in found]),
        of_choices([each.baseline_labels for each in found], top),
    )
    best = max(found, key=lambda each: each.labels[0].logit if each.labels else 0.0)
    choices = [each.tokens for each in found]
    return replace(best, choices=choices, labels=labels and labels[:top], baseline_labels=plain)


def _followed(model: Model, question: ForwardQuestion, prompt: Prompt, source: Prompt | None = None) -> ForwardResult:
    """The text through every layer to the next token; `source` is what an encoder–decoder has read."""
    check_prompt(model, prompt)
    model = of_segments(model, prompt.segments)
    look, ids, layers = question.look, prompt.ids, model.config.sizes.L
    # The last; of an encoder–decoder with labels the one where they are read.
    head, position = model.architecture.instead, len(ids) - 1 if look.at is None else look.at
    if look.at is None and head is not None:
        position = read_at(head, model.source_ids or ids)
    check_exists(position, len(ids), "position")
    named = {"--target": look.target, "--versus": look.versus}
    answers = [None if token is None else one_token(model, token, option) for option, token in named.items()]
    opened = parse_choice(look.layer, "layer", layers) or []
    taps, made, swept = prepared(model, question, ids, position, answers)
    silenced = silenced_each(model, question, ids, position, answers, taps)
    watched = watch_pass(
        model,
        ids,
        position,
        opened=opened,
        trace=look.trace,
        steps=look.steps or fits_on_a_page(model),
        heads=look.attribution,
        grid=look.all and not _watches_scores(model, look),
        taps=taps,
    )
    if opened or fits_on_a_page(model):
        kept = watched.capture
        fed = [feed_forward(model, rows_kept(kept, at, position), at, kept) for at in opened or [layers - 1]]
    else:
        fed = [feed_forward(model, watched.rows, layers - 1)]
    parts: dict[str, Any] = {}
    if watched.logits_V is None:
        for name in ("lens", "attribution", "saliency", "steps", "target", "versus"):
            if getattr(look, name):
                raise no_next_token(model, f"--{name}")
        parts = {"no_next": model.no_next_token()} if watched.scores is None else {}
    else:
        parts = _answer_parts(model, look, prompt, position, watched, watched.logits_V, taps, made, answers)
    if watched.scores is not None:
        parts |= head_parts(model, source or prompt, watched, made, look.top)
    return ForwardResult(
        text=prompt.text,
        pair=prompt.pair,
        tokens=token_documents(prompt.tokens, model.segments, prompt.second),
        position=position,
        layers=watched.layers,
        before=watched.before if look.trace else None,
        after=watched.after if look.trace else None,
        feedforward=[step for step in fed if step is not None] or None,
        experts=None if model.config.experts is None else routing(model, watched.capture),
        sweep=swept,
        silencing=silenced,
        notes=[*streams_shown(model.config), *(beyond_context(model, len(ids)) or ())] or None,
        **parts,
    )


def _answer_parts(
    model: Model,
    look: ForwardOptions,
    prompt: Prompt,
    position: int,
    watched: WatchedPass,
    logits_V: Array,
    taps: list[Tap],
    made: list[Experiment],
    answers: Sequence[int | None],
) -> dict[str, Any]:
    """The fields of the Result that are about what the model says: each is there where an option wants it."""
    ids, (chosen, versus) = prompt.ids, answers
    target = int(np.argmax(logits_V)) if chosen is None else chosen
    parts: dict[str, Any] = {}
    if model.can("fill"):
        parts["masked"] = fill_masks(model, ids, watched.stream_TD, look.tokens)
    else:
        parts["next"] = candidates(model, logits_V, look.tokens)
        parts["target"] = ranked = None if chosen is None else ranked_token(model, logits_V, chosen)
        parts["target_spaced"] = None if ranked is None else with_its_space(model, logits_V, ranked)
    if look.steps or fits_on_a_page(model):
        parts["steps"] = by_hand(model, watched.capture, ids, position, logits_V, candidates(model, logits_V, 1)[0])
    if look.lens:
        from llminspect.analysis.lens import lens, lens_grid, tuned_lens

        parts["lens"] = lens(model, watched.rows, logits_V, look.tokens, chosen)
        if look.tuned_lens is not None:
            tuned = tuned_lens(model, look.tuned_lens)
            parts["tuned_lens"] = lens(model, watched.rows, logits_V, look.tokens, chosen, tuned)
        parts["grid"] = lens_grid(model, _streams(model, look, ids, watched, taps)) if look.all else None
    if look.attribution:
        from llminspect.analysis.attribution import attribute

        neurons = None
        if look.neurons:
            from llminspect.analysis.attribution import activation_rows

            neurons = look.neurons, activation_rows(model, ids, position, taps)
        parts["attribution"] = attribute(model, watched, target, versus, made, neurons)
    if look.saliency:
        from llminspect.analysis.token_scores import by_gradient, saliency

        if look.integrated:
            from llminspect.analysis.integrated import integrated_gradients

            parts["saliency"] = integrated_gradients(model, prompt, look, position, target, versus, taps)
        else:
            measure = by_gradient if look.gradient else saliency
            parts["saliency"] = measure(model, ids, position, target, taps)
    if made:
        from llminspect.analysis.experiments import compare_answers

        plain_V = watch_pass(model, ids, position).logits_V
        assert plain_V is not None
        parts["baseline"], parts["change"] = compare_answers(model, plain_V, logits_V, look.tokens, made, answers)
    return parts


def _watches_scores(model: Model, look: ForwardOptions) -> bool:
    """Whether the pass shows its scores one by one: it rounds them in another order then."""
    return look.trace or look.steps or look.layer is not None or fits_on_a_page(model)


def _streams(model: Model, look: ForwardOptions, ids: list[int], watched: WatchedPass, taps: list[Tap]) -> Array:
    """Every layer's stream [L, T, D]: of the pass that was watched, or, so that the grid is the same to the last digit
    whatever else is shown, of one that shows no scores."""
    names, capture = [head_reads(model, layer) for layer in range(model.config.sizes.L)], watched.capture
    if _watches_scores(model, look):
        capture = Capture(*names)
        model.run(ids, Chain([*taps, capture]))
    return np.stack([capture.arrays.pop(name) for name in names])


def _scored(model: Model, question: ForwardQuestion, prompt: Prompt) -> ForwardResult:
    """The surprisal of a text of any length; nothing else is watched."""
    from llminspect.analysis.experiments import experiment_taps
    from llminspect.analysis.token_scores import surprise

    option = "--perplexity" if question.look.perplexity else "--surprise"
    if question.look.target is not None:
        raise UsageError(f"{option} scores the tokens of the text, not --target", "ask for one at a time")
    ids, context = prompt.ids, model.config.sizes.context
    check_prompt(model, Prompt(prompt.text, prompt.tokens[:context]))
    taps, _ = experiment_taps(model, question.experiments, ids[:context], question.instead, question.of_examples_D)
    scores = surprise(model, ids, question.look.window, taps, option)
    notes = beyond_context(model, scores.window or len(ids))
    documents = token_documents(prompt.tokens)
    return ForwardResult(prompt.text, documents, len(ids) - 1, [], surprise=scores, notes=notes)


def _compared(model: Model, question: ForwardQuestion, prompt: Prompt, as_ids: bool) -> ForwardResult:
    """How probable each of several continuations is; nothing else is watched."""
    from llminspect.analysis import continuations
    from llminspect.analysis.experiments import experiment_taps

    look, experiments = question.look, question.experiments
    if look.target is not None:
        raise UsageError("--score gives a whole continuation, and --target one token", "use --score alone")

    def taps(ids: Sequence[int]) -> list[Tap]:
        return experiment_taps(model, experiments, list(ids), question.instead, question.of_examples_D)[0]

    compared = continuations.Question(
        question.ways, as_ids, question.parse, None if experiments == ExperimentOptions() else taps
    )
    found, notes = continuations.continuations(model, prompt, compared)
    left = len(found) - len(found[: look.top])
    notes += [f"{several(left, 'continuation')} more {'is' if left == 1 else 'are'} not shown (--top)"] if left else []
    longest = continuations.longest_whole(model, compared, prompt)
    return ForwardResult(
        prompt.text,
        token_documents(prompt.tokens),
        len(prompt.ids) - 1,
        [],
        scores=found[: look.top],
        notes=[*notes, *(beyond_context(model, longest) or ())] or None,
    )
