"""What changes a running model, `--ablate`, `--scale`, `--steer`, `--patch`, and where: `3.2`, `3.attention`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from llminspect.arguments.features import FEATURE_KINDS, names_feature, texts_of
from llminspect.arguments.option import Texts, each, option
from llminspect.arguments.ranges import Choice, Ids, check_exists, is_index, shortened
from llminspect.arguments.words import parse_factor
from llminspect.core.dataclass import dataclass
from llminspect.errors import UsageError

if TYPE_CHECKING:
    from llminspect.core.intervention import Place
    from llminspect.model.opened import Model


def parse_place(model: Model, text: str, option: str, *, stream: bool = False) -> Place:
    """`3.2`, `3.attention`, `3.feedforward`, `3.feedforward.7`, `3.2.query` … (and with `stream` `3.stream`).

    Raises UsageError for what is not there."""
    from llminspect.arguments.inside_attention import FORMS, check_attends, parse_inside
    from llminspect.core.intervention import Place
    from llminspect.core.numbers import ranges

    if names_feature(text):
        raise UsageError(
            f"{option} {shortened(text)!r} is a feature of a sparse dictionary", "--ablate, --scale and --steer take it"
        )
    states = model.config.state_layers
    forms = "3.2 (layer 3, head 2), 3.attention, 3.feedforward, 3.feedforward.7 (neuron 7)"
    forms += (f", {states[0]}.state" if states else "") + (", 3.stream" if stream else "") + f", or {FORMS}"
    inside = parse_inside(model, text.strip(), option)
    if inside is not None:
        return inside
    layer_text, _, part = text.strip().partition(".")
    step, _, neuron = part.partition(".")
    if is_index(layer_text) and step == "feedforward" and is_index(neuron):
        return _neuron(model, int(layer_text), int(neuron), f"{option} {shortened(text)!r}")
    parts = ["attention", "feedforward", *(["stream"] if stream else []), *(["state"] if states else [])]
    if not is_index(layer_text) or not (is_index(part) or part in parts):
        raise UsageError(f"{option} {shortened(text)!r} is not a part of the model", f"write {forms}")
    layer, sizes = int(layer_text), model.config.sizes
    check_exists(layer, sizes.L, "layer")
    if part == "state" and layer not in states:
        raise UsageError(f"{option} {text!r}: that layer has no state", f"those that have: {ranges(states)}")
    if is_index(part) or part == "attention":
        check_attends(model, layer, f"{option} {text!r}")
    if is_index(part):
        check_exists(int(part), sizes.H, "head")
        return Place(layer, "head", int(part))
    if part == "attention" and not sizes.H:
        raise UsageError(f"{option} {text!r}: {model.name} has no attention")
    if part == "feedforward" and not sizes.F:
        raise UsageError(f"{option} {text!r}: {model.name} has no feed-forward step")
    return Place(layer, part)  # type: ignore[arg-type]


def _neuron(model: Model, layer: int, neuron: int, what: str) -> Place:
    """A neuron of a feed-forward step. Raises UsageError where there is none such."""
    from llminspect.core.intervention import Place

    check_exists(layer, model.config.sizes.L, "layer")
    name = f"layers.{layer}.feedforward"
    if f"{name}.router.weight" in model.params:
        raise UsageError(
            f"{what}: layer {layer} is a mixture of experts: a neuron works only on tokens that chose its expert",
            f"the whole step is {layer}.feedforward",
        )
    if f"{name}.down.weight" not in model.params:
        raise UsageError(f"{what}: layer {layer} of {model.name} has no neurons")
    check_exists(neuron, model.params[f"{name}.down.weight"].shape[1], "neuron")
    return Place(layer, "neuron", neuron=neuron)


def ablated_places(model: Model, options: ExperimentOptions) -> list[Place]:
    """The places that `--ablate` names. Raises UsageError for one that has no such mean."""
    places = [parse_place(model, part, "--ablate") for entry in each(options.ablate) for part in entry.split(",")]
    patterns = [place for place in places if place.part == "pattern"]
    if patterns and options.ablate_with == "mean":
        raise UsageError(
            f"--ablate {patterns[0]}: in a mean of patterns a query would look at tokens that come after it",
            "take --ablate-with zero or resample, or the mean of its query or key",
        )
    return places


def features_and_others(options: ExperimentOptions) -> tuple[FeatureTexts, ExperimentOptions]:
    """The changes at features, and the options without them. Raises UsageError where the one or the other lacks what it
    needs: a dictionary, or a feature of it."""
    features, others = (_some_changes(options, wanted) for wanted in (True, False))
    if not texts_of(features):
        if options.features is not None:
            raise UsageError("--features is given, and no change names a feature", "for example --ablate feature.5")
        return FeatureTexts(), options
    if options.features is None:
        named = texts_of(features)[0][1]
        raise UsageError(
            f"{shortened(named)!r} is a feature of a sparse dictionary, and none is given", "say which: --features PATH"
        )
    if features.ablate and options.ablate_with != "zero":
        raise UsageError(f"--ablate-with {options.ablate_with} is not for features", "their activation becomes 0")
    of_others = {"ablate": others.ablate, "scale": others.scale, "steer": others.steer}
    return features, replace(options, features=None, features_at=None, **of_others)  # type: ignore[arg-type]


def _some_changes(options: ExperimentOptions, features: bool) -> FeatureTexts:
    """Those that name a feature, or the others."""
    texts = [(kind, text) for kind, text in texts_of(options) if names_feature(text) is features]
    return FeatureTexts(*([text for of, text in texts if of == kind] for kind in FEATURE_KINDS))


EACH = "each"
"""In place of a part: every one, in turn."""


def ablates_each(options: ExperimentOptions) -> bool:
    """Whether every place is to be silenced in turn."""
    return any(part.strip() == EACH for entry in each(options.ablate) for part in entry.split(","))


def without_each(options: ExperimentOptions) -> ExperimentOptions:
    """The same without that: what else is changed, in every pass."""
    parts = [part for entry in each(options.ablate) for part in entry.split(",") if part.strip() != EACH]
    return replace(options, ablate=parts or None)


def parse_neuron_steering(model: Model, text: str) -> tuple[Place, float] | None:
    """`3.feedforward.7*2`: a neuron, and what is added to its activation; None for what is no such text."""
    place_text, star, factor_text = text.rpartition("*")
    if "@" in text or ".feedforward." not in text:
        return None
    value = parse_factor(factor_text) if star else None
    if value is None:
        raise UsageError(f"--steer {shortened(text)!r} does not say neuron*number", "for example 3.feedforward.7*2")
    return parse_place(model, place_text, "--steer"), value


def parse_steered(model: Model, text: str) -> Place:
    """Where a direction of words is added: `10` after layer 10, or another place that has a vector for each token."""
    from llminspect.core.intervention import INNER, Place

    if is_index(text):
        check_exists(int(text), model.config.sizes.L, "layer")
        return Place(int(text), "stream")
    place, what = parse_place(model, text, "--steer", stream=True), f"--steer …@{shortened(text)}"
    if place.neuron is not None or place.part.endswith("pattern"):
        raise UsageError(f"{what}: there is no vector there that words give", "a neuron: --steer 3.feedforward.7*2")
    if place.head is None and (place.part in INNER or place.part.startswith("cross.")):
        raise UsageError(f"{what}: name the head", "for example 3.2.value")
    if place.part in ("query", "key") and model.config.rotary_of(place.layer) is not None:
        raise UsageError(
            f"{what}: a {place.part} is turned by its position, and a direction has none", f"take {place}.projected"
        )
    return place


@dataclass(frozen=True)
class ExperimentOptions:
    """Changes to the running model."""

    heading: ClassVar[str] = "Change the model"
    example: ClassVar[str] = '{command} "The capital of France is" --ablate 0.attention'

    ablate: Texts | None = option(
        metavar="L.H",
        help="Silence a head 3.2, or 3.attention, 3.feedforward, a neuron 3.feedforward.7, or of a head 3.2.query, "
        "3.2.key, 3.2.value, 3.2.pattern; repeatable. forward: each tries every place of --sweep.",
    )
    ablate_with: Literal["zero", "mean", "resample"] = option(
        "zero",
        help="What an ablated part gives: nothing, its mean over the text (or --corpus), or what it gives in another "
        "text (--ablate-from or --corpus).",
    )
    ablate_from: Ids | None = option(
        metavar="TEXT",
        help="With --ablate-with resample: the other text. Each position takes what the same position gives there.",
    )
    ablate_seed: int | None = option(
        min=0, metavar="N", usual=0, help="With --corpus and resample: which text is drawn.", show_default=False
    )
    corpus: Path | None = option(
        metavar="PATH",
        help="With --ablate-with mean: the mean over this file, over all files of this folder, or one that --save "
        "FILE.npz saved. With resample: the text is drawn from there.",
    )
    most: int | None = option(
        min=2, metavar="N", usual=8192, help="With --corpus: read at most N tokens of it.", show_default=False
    )
    length: int | None = option(
        min=2, metavar="N", usual=128, help="With --corpus and mean: how many tokens the model sees at once.",
        show_default=False,
    )  # fmt: skip
    scale: Texts | None = option(metavar="L.H*X", help="Multiply what one of these places gives: 3.2*0.5, 3.2.query*2.")
    steer: Texts | None = option(
        metavar="EXPR@L*X",
        help='Add a direction after layer L: "London - Paris@10*1", or one that probe saved: mood.npz:good@10*4. Or '
        'add a number to a neuron: 3.feedforward.7*2. At another place than the stream: "London - Paris@3.2.value*1".',
    )
    steer_from: tuple[str, str] | None = option(
        metavar="FILE FILE@L*X",
        help="Add after layer L the mean vector of one file's texts minus that of another's, one text a line: "
        "good.txt bad.txt@10*4.",
    )
    features: str | None = option(
        metavar="PATH",
        help="A sparse dictionary, as the command features reads: its features are places as well, to --ablate "
        "feature.5, --scale feature.5*2 and --steer feature.5*10.",
    )
    features_at: str | None = option(
        metavar="HOOK", help="Where it reads, if its files do not say: blocks.20.hook_resid_post."
    )


@dataclass(frozen=True)
class FeatureTexts:
    """Some of the changes, as they were given."""

    ablate: Texts | None = None
    scale: Texts | None = None
    steer: Texts | None = None


@dataclass(frozen=True)
class PatchOptions:
    """What is put in from another text."""

    heading: ClassVar[str] = "Change the model"
    example: ClassVar[str] = '{command} "The capital of France is" --patch "The capital of Italy is" --into 15.stream'

    patch: Ids | None = option(metavar="TEXT", help="Put vectors of a run on this text into this run, place by place.")
    into: Texts | None = option(
        metavar="PLACE",
        help="With --patch: only at this place: 3.stream, 3.attention, 3.2 (a head); what that works with: 3.2.query, "
        "3.2.key, 3.2.value, 3.2.pattern; of an encoder–decoder 3.cross, 3.2.cross.",
    )
    position: Choice | None = option(metavar="0,3-5", help="With --into: only at these positions. Default: at all.")
    align: Texts | None = option(
        metavar="HERE=THERE",
        help="With --patch, texts of different lengths: which words or positions stand for one another, as in "
        '"France=New Zealand" or 3=5; repeatable. Or start, or end: counted from there.',
    )
