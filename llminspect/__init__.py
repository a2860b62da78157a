"""llminspect: open a real language model and see, number by number, how text becomes text.

`open_model` opens one; each command of the command line is a function of the same name (`llminspect.api`). They are
imported when they are first used: `import llminspect` by itself loads nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llminspect.version import __version__ as __version__

if TYPE_CHECKING:
    from llminspect.library import (
        as_json,
        attend,
        decode,
        embed,
        encode,
        forward,
        generate,
        info,
        models,
        pull,
        tokenize,
        verify,
    )
    from llminspect.model.opened import Model
    from llminspect.opening import open_model

__all__ = [
    "Model",
    "as_json",
    "attend",
    "decode",
    "embed",
    "encode",
    "forward",
    "generate",
    "info",
    "models",
    "open_model",
    "pull",
    "tokenize",
    "verify",
]


def __getattr__(name: str) -> Any:
    """A public name, imported when it is asked for (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module 'llminspect' has no attribute {name!r}")
    from importlib import import_module

    place = {"Model": "llminspect.model.opened", "open_model": "llminspect.opening"}.get(name, "llminspect.library")
    return getattr(import_module(place), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
