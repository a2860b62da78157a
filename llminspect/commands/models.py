"""`llminspect models`: what `--model` can be, and how large famous models are beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llminspect.arguments.shared import OutputOptions
from llminspect.arguments.small import ModelsOptions
from llminspect.cli.groups import takes_groups
from llminspect.cli.run import emit

if TYPE_CHECKING:
    from rich.console import RenderableType

    from llminspect.analysis.known_models import CatalogueModel, ModelKind, ModelsResult, StreamSize
    from llminspect.files.catalogue import FamousModel

RESULTS = "analysis.known_models.ModelsResult"


def render(result: ModelsResult) -> RenderableType:
    """The catalogue first, then what else `--model` takes, then the famous; or the kinds alone."""
    from rich.console import Group

    from llminspect.core.numbers import byte_size, rough_count
    from llminspect.render import theme
    from llminspect.render.prose import Text
    from llminspect.render.table import Column, table

    if result.kinds is not None:
        return _kinds(result.kinds)
    if result.sizes is not None:
        return _sizes(result.sizes)

    def sizes(model: CatalogueModel | FamousModel) -> tuple[str, ...]:
        numbers = f"{model.width:,}", str(model.layers), str(model.heads)
        return model.name, rough_count(model.parameters), *numbers

    right = [Column(name, align="right") for name in ("parameters", "width D", "layers", "heads")]
    catalogue = table(
        ["name", *right, Column("context", align="right"), Column("size", align="right"), ""],
        [
            [*sizes(known), f"{known.context:,}", byte_size(known.size), "fetched" if known.fetched else "to fetch"]
            for known in result.catalogue
        ],
        strong=[index for index, known in enumerate(result.catalogue) if known.fetched],
    )
    famous = sorted(result.famous, key=lambda model: model.parameters)
    compared = table(
        ["name", *right, Column("year", align="right")], [[*sizes(model), str(model.year)] for model in famous]
    )
    uses = "\n".join(f"{k.name} is {k.title} ({k.family}, {k.licence}): {k.use}." for k in result.catalogue)
    return Group(
        Text("Models with a short name, for --model\n", theme.TITLE),
        catalogue,
        Text(f"\n{uses}\nllminspect pull NAME fetches one; a command that needs it does so by itself.\n", theme.QUIET),
        Text("Also for --model\n", theme.TITLE),
        _also(result),
        Text("\nFor comparison: the width is how many numbers stand for one token\n", theme.TITLE),
        compared,
        Text("\nM million, B billion; --json says where the numbers are from", theme.QUIET),
    )


def _kinds(kinds: list[ModelKind]) -> RenderableType:
    from rich.console import Group

    from llminspect.render import theme
    from llminspect.render.prose import Text
    from llminspect.render.table import table

    groups: dict[str, list[ModelKind]] = {}
    for kind in kinds:
        groups.setdefault(kind.about, []).append(kind)
    rows: list[list[str | Text]] = [
        [
            Text("\n".join(name for kind in group for name in kind.huggingface)),
            Text("\n".join(name for kind in group for name in kind.gguf)),
            about,
        ]
        for about, group in groups.items()
    ]
    spaced = [line for row in rows for line in (row, ["", "", ""])][:-1]
    names = sum(len(kind.huggingface) for kind in kinds)
    return Group(
        Text(
            f"{names} kinds of model open from a folder, {len({n for k in kinds for n in k.gguf})} from GGUF\n",
            theme.TITLE,
        ),
        table(["folder", "GGUF", "what is special"], spaced),
        Text(
            "\nFolder: model_type in config.json. GGUF: general.architecture. Any other is refused by its name.",
            theme.QUIET,
        ),
    )


def _sizes(sizes: list[StreamSize]) -> RenderableType:
    from llminspect.core.numbers import rough_count
    from llminspect.render.rectangles import SizedBlock, rectangles
    from llminspect.render.section import section

    drawn = [
        SizedBlock(
            (size.name, f"{size.width:,} numbers × {size.layers} layers", f"{rough_count(size.parameters)} parameters"),
            size.width,
            size.layers,
        )
        for size in sizes
    ]
    note = (
        "Across: the width D, how many numbers stand for one token. Down: the layers, each of which reads these "
        "numbers and adds to them. M million, B billion."
    )
    return section(
        "What one token is made of, in models large and small", rectangles(drawn, ("number", "layer")), note=note
    )


def _also(result: ModelsResult) -> RenderableType:
    from llminspect.render.table import key_values

    toys = [
        (toy.name, f"built in, {toy.parameters:,} numbers to check by hand; knows {' '.join(toy.vocabulary)}")
        for toy in result.toys
    ]
    return key_values(
        [
            *toys,
            ("FILE.gguf", "a model in one file, also quantized"),
            ("FOLDER", "config.json and safetensors, also quantized"),
            ("org/name", "a model on the Hugging Face hub"),
            ("families", ", ".join(result.families)),
            ("tokenizers", ", ".join(result.tokenizers) + " (tokenize and encode; OpenAI's model names too)"),
        ]
    )


@takes_groups
def command(output: OutputOptions, options: ModelsOptions) -> None:
    """The models with a short name, and famous sizes; --kinds: which kinds of model open.

    \b
    llminspect models --kinds
    llminspect models --picture sizes
    llminspect models --json | jq '.catalogue[] | select(.fetched) | .name'
    """
    from llminspect.analysis.known_models import known_models

    emit("models", None, {}, known_models(options), output)
