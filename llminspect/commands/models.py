"""`llminspect models`: what `--model` can be, and how large famous models are beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from llminspect.commands._options import OutputOptions, takes_groups

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType


@dataclass(frozen=True)
class Known:
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
class Toy:
    """A model that is built in, small enough to check by hand."""

    name: str
    vocabulary: list[str]
    parameters: int
    width: int
    layers: int
    heads: int


@dataclass(frozen=True)
class Famous:
    """A published model, for comparison."""

    name: str
    year: int
    parameters: int
    width: int
    layers: int
    heads: int
    source: str


@dataclass(frozen=True)
class Result:
    """The catalogue, the toys, the tokenizers that need no model, and famous sizes."""

    catalogue: list[Known]
    toys: list[Toy]
    tokenizers: list[str]
    """For tokenize and encode; OpenAI's model names work too."""
    famous: list[Famous]
    families: list[str]
    """The kinds of models that files and names on the hub may hold."""


def run() -> Result:
    """What is known; nothing is fetched."""
    import dataclasses

    from llminspect.arch.registry import architectures
    from llminspect.files.catalogue import CATALOGUE, FAMOUS
    from llminspect.text.standalone import standalone_names

    families = [architecture.name for architecture in architectures()]
    return Result(
        catalogue=[_known(name) for name in CATALOGUE],
        toys=_toys(),
        tokenizers=list(standalone_names()),
        famous=[Famous(**dataclasses.asdict(famous)) for famous in FAMOUS],
        families=list(dict.fromkeys(families)),
    )


def _known(name: str) -> Known:
    from llminspect.files.catalogue import CATALOGUE
    from llminspect.files.pull import fetched

    entry = CATALOGUE[name]
    path = fetched(entry)
    facts = {key: getattr(entry, key) for key in Known.__dataclass_fields__ if key not in ("fetched", "path")}
    return Known(**facts, fetched=path is not None, path=None if path is None else str(path))


def _toys() -> list[Toy]:
    from llminspect.arch.toy import TOYS

    made = []
    for name, make in TOYS.items():
        toy = make()
        sizes, arrays = toy.config.sizes, toy.params.arrays
        parameters = sum(array.size for array in arrays.values())
        made.append(Toy(name, list(toy.vocabulary), parameters, sizes.D, sizes.L, sizes.H))
    return made


def render(result: Result) -> RenderableType:
    """The catalogue first, then what else `--model` takes, then the famous."""
    from rich.console import Group
    from rich.text import Text

    from llminspect.render import theme
    from llminspect.render.numbers import byte_size, rough_count
    from llminspect.render.table import Column, table

    right = [Column(name, align="right") for name in ("parameters", "width D", "layers", "heads")]
    catalogue = table(
        ["name", *right, Column("context", align="right"), Column("size", align="right"), ""],
        [
            [
                *(known.name, rough_count(known.parameters), f"{known.width:,}", str(known.layers), str(known.heads)),
                *(f"{known.context:,}", byte_size(known.size), "fetched" if known.fetched else "to fetch"),
            ]
            for known in result.catalogue
        ],
        strong=[index for index, known in enumerate(result.catalogue) if known.fetched],
    )
    famous = table(
        ["name", *right, Column("year", align="right")],
        [
            [
                *(model.name, rough_count(model.parameters), f"{model.width:,}", str(model.layers), str(model.heads)),
                str(model.year),
            ]
            for model in sorted(result.famous, key=lambda model: model.parameters)
        ],
    )
    uses = "\n".join(f"{k.name} is {k.title} ({k.family}, {k.licence}): {k.use}." for k in result.catalogue)
    return Group(
        Text("Models with a short name, for --model\n", theme.TITLE),
        catalogue,
        Text(f"\n{uses}\nllminspect pull NAME fetches one; a command that needs it does so by itself.\n", theme.QUIET),
        Text("Also for --model\n", theme.TITLE),
        _also(result),
        Text("\nFor comparison: the width is how many numbers stand for one token\n", theme.TITLE),
        famous,
        Text("\nM million, B billion; --json says where the numbers are from", theme.QUIET),
    )


def _also(result: Result) -> RenderableType:
    from llminspect.render.table import key_values

    def words(toys: Sequence[Toy]) -> list[tuple[str, str]]:
        return [
            (toy.name, f"built in, {toy.parameters} numbers to check by hand; knows {' '.join(toy.vocabulary)}")
            for toy in toys
        ]

    return key_values(
        [
            *words(result.toys),
            ("FILE.gguf", "a model in one file, also quantized"),
            ("FOLDER", "config.json and safetensors"),
            ("org/name", "a model on the Hugging Face hub"),
            ("families", ", ".join(result.families)),
            ("tokenizers", ", ".join(result.tokenizers) + " (tokenize and encode; OpenAI's model names too)"),
        ]
    )


@takes_groups
def command(output: OutputOptions) -> None:
    """The models with a short name, and famous sizes.

    llminspect models · llminspect models --json | jq '.catalogue[] | select(.fetched) | .name'
    """
    from llminspect.commands._run import emit
    from llminspect.commands._save import check_ending

    check_ending(output, arrays=False)
    emit("models", None, {}, run(), output, render)
