"""The lens: what would be said after each layer at each token, and the target's rank on the way up."""

from __future__ import annotations

import numpy as np
from rich.console import RenderableType

from llminspect.analysis.forward_result import ForwardResult
from llminspect.commands.explore.panes import Seen
from llminspect.commands.forward.answers import lens_grid, lens_table, neurons_that_add
from llminspect.commands.forward.view import labels
from llminspect.render import theme
from llminspect.render.curve import curve
from llminspect.render.prose import Text
from llminspect.render.safe import quoted
from llminspect.render.section import page, section


def view(seen: Seen) -> RenderableType:
    parts: list[RenderableType] = []
    for _, result in seen.found:
        if not isinstance(result, ForwardResult) or result.lens is None:
            if isinstance(result, ForwardResult) and result.attribution is not None and result.attribution.neurons:
                name = f"logit of {quoted(result.attribution.target.text)}"
                parts.append(neurons_that_add(result.attribution.neurons, name))
            continue
        ranks = [layer.target.rank for layer in result.lens if layer.target is not None]
        if len(ranks) > 1 and result.target is not None:
            names = ("layer", "log10 of the rank + 1; 0: the most probable")
            drawn = curve(np.arange(len(ranks)), np.log10(np.asarray(ranks) + 1.0), axes=names)
            parts.append(section(f"Where {quoted(result.target.text)} stands after each layer", drawn))
        elif seen.state.target is None:
            parts.append(Text("t sets a target: then its rank after each layer is drawn", theme.QUIET))
        parts += [] if result.grid is None else [lens_grid(result.grid, labels(result.tokens))]
        parts.append(lens_table(result.lens))
    return page(parts)
