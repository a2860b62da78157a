"""What is asked of a model that reads a text: vectors, attention, probabilities, and how the text goes on."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from llminspect.arguments.attend import AttendOptions, check_attend
from llminspect.arguments.embed import EmbedOptions
from llminspect.arguments.experiments import ExperimentOptions, PatchOptions
from llminspect.arguments.forward import ForwardOptions, SweepOptions
from llminspect.arguments.generate import GenerateOptions, SamplingOptions, check_generate, seed_of
from llminspect.arguments.shared import ChoiceOptions, ModelOptions, PairOptions, SourceOptions
from llminspect.arguments.small import DiffOptions
from llminspect.arguments.together import check_together
from llminspect.errors import UsageError
from llminspect.library.inputs import DEFAULT, each, name_of, noted, of_text, opened, prompt_of, takes_options
from llminspect.library.looking import taps_of

if TYPE_CHECKING:
    from llminspect.analysis.ablation import Instead
    from llminspect.analysis.attend import AttendResult
    from llminspect.analysis.diff import DiffResult
    from llminspect.analysis.forward_result import ForwardResult
    from llminspect.analysis.generate import GenerateResult
    from llminspect.analysis.walk import WalkResult
    from llminspect.library.inputs import Opened, Text, Texts
    from llminspect.library.looking import Taps
    from llminspect.model.opened import Model

SENTENCE = "The capital of France is"
"""What `walk` follows where nothing else is given."""


@takes_options
def embed(*texts: Text | Texts, model: Opened = DEFAULT, source: PairOptions, options: EmbedOptions) -> Any:
    """Tokens as vectors, and what lies near what.

    Gives `vectors` [N, D], one a token, or with `pool="mean"` one a text, and `labels` that say what each stands for;
    with `nearest=5` the nearest tokens of the whole vocabulary, with `similarity` an array [N, N]. Several texts are
    put beside one another; a list of texts gives a Result each. `analogy="king - man + woman"` takes their place.
    Raises UsageError for a place or a word that is not there.

    >>> import llminspect
    >>> llminspect.embed("A cat sat.", model="smollm2", at=15).vectors.shape
    (4, 576)
    >>> both = llminspect.embed("a man eats", "someone is eating", model="minilm", pool="mean", similarity=True)
    >>> both.similarity.round(2)
    array([[1.  , 0.77],
           [0.77, 1.  ]], dtype=float32)
    >>> [found.text for found in llminspect.embed(analogy=" king - man + woman", nearest=2).nearest]
    [' queen', ' king']
    """
    from llminspect.analysis import embed as question

    check_together("embed", options, source)
    if (options.analogy is None) == (not texts):
        raise UsageError("embed takes texts or an analogy", "give one of the two")
    model = question.reading_model(opened(model))
    question.place_of(model, options, len(texts) > 1)
    if options.analogy is not None:
        return noted(
            question.embed_analogy(model, options, question.prompt_of_terms(model, options.analogy)), model.provenance
        )
    first, *others = texts
    beside = [prompt_of(text, source, model.tokenizer) for text in others]
    return each(
        first, source, model.tokenizer, partial(question.embed, model, options, beside), provenance=model.provenance
    )


@of_text
def attend(
    text: Text | Texts,
    model: Opened = DEFAULT,
    *,
    source: PairOptions,
    options: AttendOptions,
    patch: PatchOptions,
    experiments: ExperimentOptions,
) -> AttendResult:
    """Who looks at whom, in every head.

    Gives `heads`, those that `layer` and `head` choose or all, each with its `weights` [T, S] (how much token t takes
    from token s; a row sums to 1) and its habit; `overview` measures all of them [L, H]. A question has an answer of
    its own: `find`, `query`, `rollout`, `contributions` (see the functions of these names). With `ablate`, `scale`,
    `steer` and `patch` all is of the changed model. Raises UsageError for a layer, a head or a word that is not there.

    >>> import llminspect
    >>> head = llminspect.attend("A cat sat.", "smollm2", layer=3, head=1).heads[0]
    >>> head.habit, head.weights.shape, head.weights[1].round(3)
    ('sink', (4, 4), array([0.991, 0.009, 0.   , 0.   ], dtype=float32))
    >>> llminspect.attend("A cat sat.", "smollm2").overview.measures["entropy"].shape
    (30, 9)
    """
    from llminspect.analysis import attend as question
    from llminspect.analysis.changed import ModelChanges

    check_together("attend", options, source, patch, experiments)
    check_attend(options)
    model = question.with_mask(opened(model), options.mask)
    beside = None if options.control is None else prompt_of(options.control, source, model.tokenizer)
    keeping = question.Keeping(every=True, most=1 << 40, may_lack=not options.selects and options.asks)
    exact = source.special is False
    source_ids = None if patch.patch is None else prompt_of(patch.patch, source, model.tokenizer).ids
    changes = ModelChanges(experiments, patch, source_ids, instead_for(model, experiments, source))
    how: dict[str, Any] = {"keeping": keeping, "target_as_given": exact, "control": beside, "changes": changes}
    work = partial(question.attend, model, options, **how)
    return each(text, source, model.tokenizer, work, target_ids=options.target_ids, provenance=model.provenance)


@of_text
def forward(
    text: Text | Texts,
    model: Opened = DEFAULT,
    *,
    source: ChoiceOptions,
    look: ForwardOptions,
    patch: SweepOptions,
    experiments: ExperimentOptions,
) -> ForwardResult:
    """Through every layer to the most probable next tokens, and what changes them.

    Gives `next`, the most probable tokens with their `logit` and `prob`, and `layers`, what each did to the stream. Of
    a classifier, in place of `next`: `labels`, `token_labels`, or the `span` that answers; with several `pair` a model
    with a head for multiple choice gives `labels` that say how well each fits.
    More is there when it is asked for: `lens`, `attribution`, `saliency`, `surprise` (see the functions of these
    names), `trace`, `layer`, `steps`. `ablate`, `scale`, `steer` and `patch` change the model while it runs: `change`
    then says what came of it, `sweep` where a patch restores the other text's answer: `restored` [L, T], or [L, H];
    `silencing`, with `ablate="each"`, what silencing each place does to the target: `change` and `kl`.
    Raises UsageError for what is not there, UserError where the numbers of the model break down.

    >>> import llminspect
    >>> model = llminspect.open_model("smollm2")
    >>> for token in llminspect.forward("The capital of France is", model, top=2).next:
    ...     print(f"{token.text!r} {token.prob:.2f}")
    ' Paris' 0.77
    ' the' 0.06
    >>> without = llminspect.forward("The capital of France is", model, ablate=["15.attention", "20.3"])
    >>> without.baseline.next[0].text, round(without.change.kl, 3)
    (' Paris', 0.144)
    >>> each = llminspect.forward("The capital of France is", model, target=" Paris", ablate="each", sweep="head")
    >>> each.silencing.change.shape, int(each.silencing.kl[23].argmax())
    ((30, 9), 4)
    """
    from llminspect.analysis import forward as passing
    from llminspect.analysis.forward_result import ForwardQuestion

    check_together("forward", look, patch, experiments, source)
    model = opened(model)
    patched = None if patch.patch is None else prompt_of(patch.patch, source, model.tokenizer).ids
    ways = look.continuations()
    instead = instead_for(model, experiments, source, patch)
    whole = ForwardQuestion(look, patch, experiments, patched, source.special is False, source.parse, ways, instead)
    work = partial(passing.forward, model, whole)
    return each(text, source, model.tokenizer, work, target_ids=look.target_ids, provenance=model.provenance)


@of_text
def generate(
    text: Text | Texts,
    model: Opened = DEFAULT,
    *,
    source: SourceOptions,
    sampling: SamplingOptions,
    options: GenerateOptions,
    patch: PatchOptions,
    experiments: ExperimentOptions,
    taps: Taps = None,
) -> GenerateResult:
    """The text continued, each token with its probability and the runners-up.

    Gives `completion`, `ids` and `steps`, one a token; of a model that fills masks also `unmasking`: which position was
    filled in which step, and the guesses at it before. Without sampling options the most probable token is taken each
    time; with any (`temperature`, `top_p`, `seed` …) tokens are drawn, and `seed` repeats the draws. `n`, `beams` and
    `tree` follow several ways. `taps` act in every pass, as in `run_with_taps` of the model: after the first pass on
    the new token's arrays alone. Raises UsageError for options that make no sense, UserError where numbers break down.

    >>> import llminspect
    >>> model = llminspect.open_model("smollm2")
    >>> written = llminspect.generate("The capital of France is", model, max_tokens=3)
    >>> written.completion, [round(step.prob, 2) for step in written.steps]
    (' Paris.\\n', [0.77, 0.68, 0.36])
    >>> [result.completion for result in llminspect.generate(["One, two,", "A, B,"], model, max_tokens=1)]
    [' or', ' C']
    """
    from llminspect.analysis import generate as question
    from llminspect.analysis.model_settings import with_model_settings

    check_generate(sampling)
    check_together("generate", sampling, options, patch, experiments, source)
    model = opened(model, writing=True)
    question.check_writes(model)
    sampling, options, stated = with_model_settings(model, sampling, options, patch, experiments, source)
    seed = seed_of(sampling, options)
    patched = None if patch.patch is None else prompt_of(patch.patch, source, model.tokenizer).ids
    acting = tuple(taps_of(taps))
    instead = instead_for(model, experiments, source)
    whole = question.GenerateQuestion(sampling, options, experiments, seed, patch, patched, stated, acting, instead)
    return each(text, source, model.tokenizer, partial(question.generate, model, whole), provenance=model.provenance)


def instead_for(
    model: Model, experiments: ExperimentOptions, source: SourceOptions, sweep: SweepOptions | None = None
) -> Instead | None:
    """What stands in the place of ablated parts, and of those of a sweep, read once for all texts."""
    if experiments.corpus is None and experiments.ablate_from is None:
        return None
    from llminspect.analysis.ablation import instead_of
    from llminspect.analysis.swept import swept_places

    text, swept = experiments.ablate_from, [] if sweep is None else swept_places(model, sweep, experiments)
    ids = None if text is None else prompt_of(text, source, model.tokenizer).ids
    return instead_of(model, experiments, ids, swept=swept)


@takes_options
def walk(
    text: Text | Texts = SENTENCE, model: Opened = DEFAULT, *, follow: bool = False, source: SourceOptions
) -> WalkResult:
    """The whole way of a text, a chapter a step: by hand on a toy, then in the real model.

    With `follow` also `followed`, what `--interactive` makes its page of: each token of the text, and of the toys', at
    every step. Raises UsageError for a model that does not go from text to text, and with `follow` for a text of more
    than 24 tokens.

    >>> import llminspect
    >>> [chapter.title for chapter in llminspect.walk(model="smollm2").chapters][1:4]
    ['Tokens', 'Encoding', 'Embeddings']
    >>> [text.text for text in llminspect.walk("Hello", "smollm2", follow=True).followed][-1]
    'Hello'
    """
    from llminspect.analysis.walk import walk as work

    name, model = name_of(model), opened(model)
    options = ModelOptions(name, ignore_settings=model.provenance.get("ignored_settings"))
    working = partial(work, model, options, source, follow=follow)
    return each(text, source, model.tokenizer, working, provenance=model.provenance)


@of_text
def diff(
    text: Text | Texts,
    model: Opened = DEFAULT,
    *,
    against: Text | None = None,
    against_model: Opened | None = None,
    source: SourceOptions,
    options: DiffOptions,
) -> DiffResult:
    """Two texts in one model, or one text in two models: what comes next, and where the streams part.

    Gives the sides `a` and `b`, the most probable `tokens` of both, how far the distributions are apart in bits
    (`kl_ab`, `kl_ba`, where both have the same vocabulary) and the streams after each layer (`layers`, where both have
    as many of the same width); of one text in two models `token_changes`, how far they are apart after each token, and
    `head_changes`, which share of its weight each head gives elsewhere (`moved` [L, H]). Raises UsageError for a model
    that does not predict what comes next.

    >>> import llminspect
    >>> apart = llminspect.diff("The capital of France is", against="The capital of Italy is")
    >>> apart.a.next[0].text, apart.b.next[0].text, round(apart.kl_ab, 1)
    (' Paris', ' Rome', 7.7)
    """
    from llminspect.analysis.diff import diff as question

    if against is None and against_model is None:
        raise UsageError("nothing to compare with", "give against or against_model")
    first = opened(model)
    second = first if against_model is None else opened(against_model)
    other = None if against is None else prompt_of(against, source, second.tokenizer)
    work = partial(question, first, second, other, options.top, source=source)
    return each(text, source, first.tokenizer, work, provenance=first.provenance)
