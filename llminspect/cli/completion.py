"""What the shell completes: models, layers and heads. Nothing is fetched, and whatever fails completes nothing."""

from __future__ import annotations

import re

import typer  # noqa: TC002 (Typer reads the annotations when the program runs.)

from llminspect.errors import UserError


def models(ctx: typer.Context, incomplete: str) -> list[str]:
    """Toys, catalogue names, and the .gguf files and model folders at the place that is being typed."""
    from llminspect.files.catalogue import CATALOGUE
    from llminspect.files.locate import model_paths
    from llminspect.model.toy import TOYS

    return [name for name in (*CATALOGUE, *TOYS) if name.startswith(incomplete)] + model_paths(incomplete)


def catalogue(ctx: typer.Context, incomplete: str) -> list[str]:
    from llminspect.files.catalogue import CATALOGUE

    return [name for name in CATALOGUE if name.startswith(incomplete)]


def tokenizers(ctx: typer.Context, incomplete: str) -> list[str]:
    """What `models` gives, and the tokenizers that stand alone."""
    from llminspect.text.standalone import standalone_names

    return models(ctx, incomplete) + [name for name in standalone_names() if name.startswith(incomplete)]


def layers(ctx: typer.Context, incomplete: str) -> list[str]:
    """The layers of the model that the command line names so far; of a list, its last number."""
    return _numbers(ctx, incomplete, "L")


def heads(ctx: typer.Context, incomplete: str) -> list[str]:
    """The query heads, as `layers`."""
    return _numbers(ctx, incomplete, "H")


def _numbers(ctx: typer.Context, incomplete: str, letter: str) -> list[str]:
    from llminspect.opening import describe_model

    try:
        name = ctx.params.get("model") or "smollm2"
        sizes = describe_model(name, revision=ctx.params.get("revision"), offline=True).config.sizes
    except (UserError, OSError):
        return []
    match = re.search(r"\d*$", incomplete)
    begun = match[0] if match else ""
    front = incomplete.removesuffix(begun)
    return [f"{front}{number}" for number in range(getattr(sizes, letter)) if str(number).startswith(begun)]


BY_OPTION = {
    "model": models,
    "layer": layers,
    "head": heads,
    "models": models,
    "tokenizers": tokenizers,
    "catalogue": catalogue,
}
"""Options of these names, or that say so (`completes="models"`), complete so."""
