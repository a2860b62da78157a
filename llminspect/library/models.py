"""What is asked of models themselves: which there are, what is inside, whether their numbers are right, and what
differs between two of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from llminspect.arguments.option import Texts, checked, each, in_short
from llminspect.arguments.parts import CorpusOptions
from llminspect.arguments.shared import EngineOptions, ModelOptions, NamedOptions
from llminspect.arguments.small import Action, CacheOptions, DiffOptions, ModelsOptions, VerifyOptions, WeightsOptions
from llminspect.arguments.together import check_together
from llminspect.errors import UsageError
from llminspect.library.inputs import DEFAULT, Opened, checked_text, name_of, noted, opened, takes_options

if TYPE_CHECKING:
    from llminspect.analysis.cache import CacheResult, PullResult
    from llminspect.analysis.diff_models import DiffModelsResult
    from llminspect.analysis.info import InfoResult
    from llminspect.analysis.known_models import ModelsResult
    from llminspect.analysis.verify import VerifyResult
    from llminspect.commands.help import HelpResult
    from llminspect.library.looking import OpenModel
    from llminspect.model.opened import Model


@takes_options
def open_model(name: str = DEFAULT, *, streamed: bool = False, where: ModelOptions, engine: EngineOptions) -> OpenModel:
    """Open a model: a built-in toy, a .gguf file, a model folder, a catalogue name, or org/name on the hub.

    What is on the hub is fetched the first time, unless `offline`. With `streamed` a layer's weights are read when they
    are needed, for models larger than the memory. Raises ModelError where there is no such model, or it is of a kind
    that is not known; UserError where an engine is not installed.

    >>> import llminspect
    >>> model = llminspect.open_model("toy-attention")
    >>> model.config.sizes.D, model.run([0, 1, 2]).stream_TD.shape
    (4, (3, 4))
    """
    from llminspect.backends.settings import engine_settings
    from llminspect.library.looking import of_model
    from llminspect.opening import open_model as work

    where = checked(replace(where, model=name))
    check_together("open_model", where)
    settings = engine_settings(**vars(engine))
    return of_model(
        work(
            where.model,
            **where.reading,
            streamed=streamed,
            kernels=engine.kernels,
            precision=engine.precision,
            engine=settings,
        )
    )


def models(kinds: bool = False, picture: Literal["sizes"] | None = None) -> ModelsResult:
    """What `model` can be: the catalogue, the toys, tokenizers by themselves; and how large famous models are.

    Nothing is fetched. `kinds`: also which kinds of model open, and what their files call them. `picture="sizes"`: the
    residual streams of the known models, which the result draws to one scale. Raises UsageError for both.

    >>> import llminspect
    >>> [known.name for known in llminspect.models().catalogue], [toy.name for toy in llminspect.models().toys]
    (['smollm2', 'minilm'], ['toy', 'toy-relu', 'toy-attention', 'toy-induction', 'toy-translate'])
    >>> [kind.gguf for kind in llminspect.models(kinds=True).kinds if kind.family == "cohere"]
    [['command-r']]
    >>> [size.width for size in llminspect.models(picture="sizes").sizes][-2:]
    [12288, 16384]
    """
    from llminspect.analysis.known_models import known_models

    options = checked(ModelsOptions(kinds, picture))
    check_together("models", options)
    return known_models(options)


@takes_options
def pull(name: str = DEFAULT, *, where: NamedOptions) -> PullResult:
    """Fetch a model of the catalogue or of the hub, unless it is there.

    Gives its `path`, its `bytes`, and whether it was `fetched` now. Raises ModelError where there is none such.

    >>> import llminspect
    >>> llminspect.pull("smollm2").fetched
    False
    """
    from llminspect.analysis.cache import pull as work

    where = checked(replace(where, model=name))
    check_together("pull", where)
    return work(where.model, revision=where.revision, offline=where.offline)


@takes_options
def info(name: str = DEFAULT, *, where: ModelOptions) -> InfoResult:
    """What is inside a model (or a tokenizer by itself), read from its headers alone.

    Gives its `family`, `sizes` by the dimension letters, `parameters`, `tensors`, `tokenizer`. Raises ModelError.

    >>> import llminspect
    >>> seen = llminspect.info("smollm2")
    >>> seen.family, seen.sizes["L"], seen.sizes["D"], seen.parameters
    ('llama', 30, 576, 134515008)
    """
    from llminspect.analysis.info import info as work
    from llminspect.analysis.info import inside

    if not isinstance(name, str):
        raise UsageError(
            f"info reads the files of a model, not what open_model gave: {in_short(name)}", "give its name"
        )
    where = checked(replace(where, model=name))
    description, tokenizer, provenance = inside(name, **where.reading)
    return noted(work(description, tokenizer, name), provenance)


@takes_options
def verify(model: Opened = DEFAULT, ids: Sequence[int] | None = None, *, options: VerifyOptions) -> VerifyResult:
    """Are the numbers right, on this machine?

    Compares the model with itself: float32 with float64, token by token with all at once and, where it is given by its
    name, weights read layer by layer with those prepared; or with `against`, a .npz file of recorded activations
    (`llminspect verify --record`). `passed` says whether every relative difference ‖a − b‖ / ‖b‖ stays within `bound`.
    Raises UsageError for a recording that does not fit the model.

    >>> import llminspect
    >>> result = llminspect.verify("toy-attention", [0, 1, 2])
    >>> result.passed, [check.name for check in result.checks]
    (True, ['float64'])
    """
    from llminspect.analysis.verify import ids_of, read_recording
    from llminspect.analysis.verify import verify as work
    from llminspect.opening import open_model as reopen

    options = checked(replace(options, ids=ids))
    read = opened(model)
    built_in = read.provenance.get("file") == "built in"
    streamed = partial(reopen, model, streamed=True, finite=False) if isinstance(model, str) and not built_in else None
    recording = None if options.against is None else read_recording(options.against)
    compared = None if recording is None else (str(options.against), recording)
    input_ids, source_ids = ids_of(read, options.ids, recording)
    found = work(read, input_ids, bound=options.bound, streamed=streamed, against=compared, source_ids=source_ids)[0]
    return noted(found, read.provenance)


def cache(
    action: Action = "show", names: Texts | None = None, limit: str | None = None, *, everything: bool = False
) -> CacheResult:
    """What was fetched and prepared: "show" it, "verify" that it is whole, "clear" it.

    `names` picks by name, kind or model; with "clear", `limit` ("2GB") removes only what was not used for
    longest. Fetched models stay unless they are named or `everything` is true. Only what llminspect made is
    ever removed. Raises UsageError for a name that picks nothing.

    >>> import llminspect
    >>> llminspect.cache().action
    'show'
    """
    from llminspect.analysis.cache import cache as work
    from llminspect.files.cache_folder import parse_size

    options = checked(CacheOptions(action, names, limit, everything))
    check_together("cache", options)
    size = None if options.limit is None else parse_size(options.limit)
    return work(options.action, each(options.names), size, everything=options.everything)


def schema(command: str | None = None) -> Any:
    """The JSON Schema (2020-12) of what a command writes, and of `as_json`; without a command, the keys of all.

    Raises UsageError for a command that writes none.

    >>> import llminspect
    >>> llminspect.schema("pull")["title"]
    'llminspect pull'
    >>> llminspect.schema().commands[0].name
    'tokenize'
    """
    from llminspect.commands.schema import schema as of_command
    from llminspect.commands.schema import schema_keys

    return schema_keys() if command is None else of_command(checked_text(command, "a command", "attend"))


def help(topic: str | None = None) -> HelpResult:
    """What a word means (head, logit, sink …) or a command does, as `llminspect help`; without a word, all of both.

    Raises UsageError for a word that is neither, which names the nearest.

    >>> import llminspect
    >>> llminspect.help("sink").topics[0].page
    'docs/06-attention.md'
    """
    from llminspect.commands.help import help_about

    return help_about(None if topic is None else checked_text(topic, "a topic", "sink"))


@takes_options
def diff_models(
    model: Opened, against_model: Opened, *, top: int = 10, options: WeightsOptions, corpus: CorpusOptions
) -> DiffModelsResult:
    """A model beside its fine-tune, or the same in other bits: their weights, and what differs over a corpus.

    With `weights`: `weights.tensors`, each with ‖b − a‖ / ‖a‖, the same of `weights.parts` and `weights.layers`, and
    what is `left_out`. With `corpus`, a file or folder: `token_changes`, KL(a ‖ b) in bits after each token, its mean
    with a 95% interval and the `top` places where it is largest; `head_changes`, the share of its weight that each
    head gives elsewhere (`moved` [L, H]), and the habits in both. A model with a LoRA is what
    `open_model(name, adapter=folder)` gives. Raises UsageError for models that have nothing to compare.

    >>> import llminspect
    >>> found = llminspect.diff_models("toy", "toy-relu", weights=True)
    >>> [(tensor.name, round(tensor.relative, 2)) for tensor in found.weights.tensors if tensor.relative]
    [('embedding.weight', 2.02)]
    """
    from llminspect.analysis.diff_models import of_weights, over_corpus

    check_together("diff_models", options, corpus)
    top = checked(DiffOptions(top=top)).top
    if not options.weights and corpus.corpus is None:
        raise UsageError("nothing to compare", "give weights=True, or corpus")
    weights = of_weights(_as_stored(model), _as_stored(against_model)) if options.weights else None
    if corpus.corpus is None:
        assert weights is not None
        return weights
    a, b = opened(model), opened(against_model)
    found = over_corpus(a, b, corpus, top)
    return noted(found if weights is None else replace(found, weights=weights.weights), a.provenance)


def _as_stored(model: Opened) -> Model:
    """A model that is named, read from its own files as it is looked through."""
    from llminspect.opening import open_model

    return open_model(name_of(model), streamed=True) if isinstance(model, str) else opened(model)
