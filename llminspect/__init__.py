"""llminspect: open a real language model and see, number by number, how text becomes text.

`open_model` opens one; each command of the command line is a function of the same name. They are imported when they are
first used: `import llminspect` by itself loads nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llminspect.version import __version__ as __version__

if TYPE_CHECKING:
    from llminspect.analysis.result import Results
    from llminspect.core.intervention import Place, added, replaced, scaled
    from llminspect.core.tap import Capture, Chain, Edit, Visit
    from llminspect.errors import UserError
    from llminspect.library import as_json
    from llminspect.library.answers import attribution, contributions, lens, rollout, saliency, surprise
    from llminspect.library.circuits import circuit
    from llminspect.library.looking import OpenModel
    from llminspect.library.models import cache, diff_models, help, info, models, open_model, pull, schema, verify
    from llminspect.library.over import over
    from llminspect.library.parts import features, head, neuron, probe
    from llminspect.library.passes import attend, diff, embed, forward, generate, walk
    from llminspect.library.tokens import count_files, decode, encode, search, tokenize
    from llminspect.model.opened import Model

_PLACES = {
    "analysis.result": "Results",
    "core.intervention": "Place added replaced scaled",
    "core.tap": "Capture Chain Edit Visit",
    "errors": "UserError",
    "library.answers": "attribution contributions lens rollout saliency surprise",
    "library": "as_json",
    "library.circuits": "circuit",
    "library.looking": "OpenModel",
    "library.models": "cache diff_models help info models open_model pull schema verify",
    "library.over": "over",
    "library.parts": "features head neuron probe",
    "library.passes": "attend diff embed forward generate walk",
    "library.tokens": "count_files decode encode search tokenize",
    "model.opened": "Model",
}
_MODULES = {name: f"llminspect.{module}" for module, names in _PLACES.items() for name in names.split()}

__all__ = [
    "Capture",
    "Chain",
    "Edit",
    "Model",
    "OpenModel",
    "Place",
    "Results",
    "UserError",
    "Visit",
    "added",
    "as_json",
    "attend",
    "attribution",
    "cache",
    "circuit",
    "contributions",
    "count_files",
    "decode",
    "diff",
    "diff_models",
    "embed",
    "encode",
    "features",
    "forward",
    "generate",
    "head",
    "help",
    "info",
    "lens",
    "models",
    "neuron",
    "open_model",
    "over",
    "probe",
    "pull",
    "replaced",
    "rollout",
    "saliency",
    "scaled",
    "schema",
    "search",
    "surprise",
    "tokenize",
    "verify",
    "walk",
]


def __getattr__(name: str) -> Any:
    """A public name, imported when it is asked for (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module 'llminspect' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
