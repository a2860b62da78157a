"""`llminspect models`: which models there are; with `--kinds` which kinds open, by the names that files have."""

from __future__ import annotations

from llminspect.analysis.result import Result
from llminspect.arguments.small import ModelsOptions
from llminspect.core.dataclass import dataclass
from llminspect.files.catalogue import CATALOGUE, FAMOUS, FamousModel
from llminspect.files.pull import fetched
from llminspect.model.registry import architectures, by_module
from llminspect.model.text_part import TEXTS
from llminspect.model.toy import TOYS
from llminspect.text.standalone import standalone_names


@dataclass(frozen=True)
class ModelKind:
    """A family of models."""

    family: str
    huggingface: list[str]
    """Its names in a `config.json`, under `model_type`."""
    gguf: list[str]
    """Its names in a GGUF file, under `general.architecture`."""
    about: str
    """What makes it what it is."""


def known_kinds() -> list[ModelKind]:
    """All that the registry has, and those that see pictures as well."""
    found = [
        ModelKind(family.name, list(family.model_types), list(family.gguf_names), " ".join(first.split()))
        for about, families in by_module()
        for first in [about.split("\n\n")[0]]
        for family in families
    ]
    about = "The text part of a model that sees pictures, or hears, as well."
    seeing = [ModelKind(kind, [kind], [], about) for kind in TEXTS]
    return sorted([*found, *seeing], key=lambda kind: kind.family)


@dataclass(frozen=True)
class CatalogueModel:
    """A model of the catalogue."""

    name: str
    title: str
    use: str
    """What it is good for."""
    family: str
    parameters: int
    width: int
    """D, the numbers in the vector of one token."""
    layers: int
    heads: int
    context: int
    """The longest text, in tokens."""
    size: int
    """Bytes on the disk."""
    licence: str
    fetched: bool
    path: str | None = None
    """Where it is, if it was fetched."""


@dataclass(frozen=True)
class ToyModel:
    """A model that is built in, small enough to check by hand."""

    name: str
    vocabulary: list[str]
    parameters: int
    width: int
    layers: int
    heads: int


@dataclass(frozen=True)
class StreamSize:
    """How large a model's residual stream is."""

    name: str
    width: int
    """D, the numbers in the vector of one token."""
    layers: int
    parameters: int


@dataclass(frozen=True)
class ModelsResult(Result):
    """The catalogue, the toys, the tokenizers that need no model, and famous sizes."""

    catalogue: list[CatalogueModel]
    toys: list[ToyModel]
    tokenizers: list[str]
    """For tokenize and encode; OpenAI's model names work too."""
    famous: list[FamousModel]
    families: list[str]
    """The kinds of models that files and names on the hub may hold."""
    kinds: list[ModelKind] | None = None
    """With --kinds: the same with what their files call them."""
    sizes: list[StreamSize] | None = None
    """With --picture sizes: the models of the catalogue and the famous ones, the smallest first."""


def known_models(options: ModelsOptions) -> ModelsResult:
    """What is known; nothing is fetched."""
    families = [architecture.name for architecture in architectures()]
    return ModelsResult(
        catalogue=[_known(name) for name in CATALOGUE],
        toys=_toys(),
        tokenizers=list(standalone_names()),
        famous=list(FAMOUS),
        families=list(dict.fromkeys(families)),
        kinds=known_kinds() if options.kinds else None,
        sizes=_sizes() if options.picture == "sizes" else None,
    )


def _sizes() -> list[StreamSize]:
    known: list[CatalogueModel | FamousModel] = [*map(_known, CATALOGUE), *FAMOUS]
    ordered = sorted(known, key=lambda model: (model.width * model.layers, model.parameters))
    return [StreamSize(model.name, model.width, model.layers, model.parameters) for model in ordered]


def _known(name: str) -> CatalogueModel:
    entry = CATALOGUE[name]
    path = fetched(entry)
    facts = {key: getattr(entry, key) for key in CatalogueModel.__dataclass_fields__ if key not in ("fetched", "path")}
    return CatalogueModel(**facts, fetched=path is not None, path=None if path is None else str(path))


def _toys() -> list[ToyModel]:
    made = []
    for name, toy in ((name, make()) for name, make in TOYS.items()):
        sizes, parameters = toy.config.sizes, sum(array.size for array in toy.params.arrays.values())
        made.append(ToyModel(name, list(toy.vocabulary), parameters, sizes.D, sizes.L, sizes.H))
    return made
