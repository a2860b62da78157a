"""A model that keeps what it has read: of the next text the common beginning costs nothing. It can be stopped."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from threading import Event as Flag
from typing import Any

from llminspect.analysis.completion import turned_anew
from llminspect.core.array import Array
from llminspect.core.cache import Cache, Pass
from llminspect.core.tap import NO_TAP, Chain, Quiet, Tap, unreached
from llminspect.model.opened import Model


class Stopped(Exception):
    """Nobody waits for this pass any more."""


class Stopping:
    """A tap that sees and changes nothing, and ends the pass once its flag is set; `layer` is how far that came."""

    def __init__(self, tap: Tap, flag: Flag, layers: list[int]) -> None:
        self.tap, self.flag, self.layers = tap, flag, layers

    def wants(self, name: str) -> bool:
        if self.flag.is_set():
            raise Stopped
        if name.startswith("layers."):
            self.layers[0] = int(name.split(".", 2)[1])
        return self.tap.wants(name)

    def __call__(self, name: str, array: Array) -> Array:
        return self.tap(name, array)

    def unreached(self, later: str | None = None) -> list[str]:
        return unreached(self.tap, later)


class KeptModel(Model):
    """The model, whose passes that nobody looks into go on from the longest beginning that was read before."""

    flag: Flag
    layers: list[int]
    """The layer that a pass is in."""
    _read: dict[str, Any]

    def run(
        self, ids: Sequence[int] | Array, tap: Tap = NO_TAP, cache: Cache | None = None, hidden_S: Array | None = None
    ) -> Pass:
        """As `Model.run`; where no step is looked at, only the rows of the ids that are new."""
        read: dict[str, Any] = vars(self).get("_read", {})
        stopping = Stopping(tap, self.flag, self.layers) if "flag" in vars(self) else tap
        if cache is not None or hidden_S is not None or not _is_plain(tap) or not self._keeps():
            return super().run(ids, stopping, cache, hidden_S)
        wanted, known = [int(one) for one in ids], read.get("ids", [])
        common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(wanted, known, strict=False)))
        common = min(common, len(wanted) - 1)
        if not common or turned_anew(self, common, len(wanted)):
            done = super().run(ids, stopping)
        else:
            # One token through all layers at one stroke is over sooner than it could be stopped.
            at_once = self.params.one_token is not None and common == len(wanted) - 1
            done = super().run(wanted[common:], NO_TAP if at_once else stopping, read["cache"].cut(common))
        read |= {"ids": wanted, "cache": done.cache}
        return done

    def _keeps(self) -> bool:
        config = self.config
        return config.causal and config.state is None and self.engine is None and self.source is None


def _is_plain(tap: Tap) -> bool:
    if isinstance(tap, Quiet):
        return _is_plain(tap.tap)
    return tap is NO_TAP or (isinstance(tap, Chain) and all(map(_is_plain, tap.taps)))


def kept(model: Model) -> KeptModel:
    """The same model, which keeps what it reads."""
    made = KeptModel(**{name: value for name, value in vars(model).items() if not name.startswith("_")})
    for name, value in {"_read": {}, "flag": Flag(), "layers": [0]}.items():
        object.__setattr__(made, name, value)
    return made
