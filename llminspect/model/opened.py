"""An open model, and a description of one whose weights were not touched."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from llminspect.core.tap import NO_TAP

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llminspect.core.array import Array
    from llminspect.core.cache import Cache
    from llminspect.core.tap import Tap
    from llminspect.files.locate import Located
    from llminspect.model.params import Params
    from llminspect.model.spec import Architecture, Config, Pass, TensorSpec
    from llminspect.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class Model:
    """An open model: its family, its configuration, its arrays and, where it has one, its tokenizer."""

    name: str
    architecture: Architecture
    config: Config
    params: Params
    tokenizer: Tokenizer | None
    provenance: dict[str, Any] = field(default_factory=dict)
    source: Cache | None = None
    """What the decoder of an encoder–decoder has read: every pass that is given no cache starts from it."""
    engine: Engine | None = None
    """What computes in place of numpy."""
    finite: bool = True
    """Whether logits that are no numbers are an error."""

    def run(
        self,
        ids: Sequence[int] | Array,
        tap: Tap = NO_TAP,
        cache: Cache | None = None,
        hidden_S: Array | None = None,
    ) -> Pass:
        """Ids [..., T] through every layer: the residual stream [..., T, D] after the last, and the cache."""
        import numpy as np

        cache = self.source if cache is None else cache
        if self.engine is not None:
            return self.engine.run(np.asarray(ids), tap, cache, hidden_S)
        with np.errstate(over="ignore", invalid="ignore"):
            return self.architecture.forward(self.params, self.config, np.asarray(ids), tap, cache, hidden_S)

    def logits(self, stream_TD: Array, tap: Tap = NO_TAP) -> Array:
        """The final norm and the product with the vocabulary, for a residual stream [..., T, D] of any layer.

        UserError: what comes of it are no numbers, unless `finite` is false.
        """
        if self.engine is not None:
            return self.engine.logits(stream_TD, tap)
        from llminspect.model.finite import readable

        return readable(lambda: self.architecture.readout(self.params, self.config, stream_TD, tap), self.finite)

    def encode_source(self, ids: Sequence[int] | Array, tap: Tap = NO_TAP, hidden_S: Array | None = None) -> Cache:
        """A source text's ids [..., S] through the encoder: the cache to `run` the decoder with (can "source")."""
        import numpy as np

        encode = self.architecture.encode_source
        assert encode is not None, "only an encoder–decoder takes a source"
        if self.engine is not None:
            return self.engine.encode_source(np.asarray(ids), tap, hidden_S)
        return encode(self.params, self.config, np.asarray(ids), tap, hidden_S)

    def can(self, capability: str) -> bool:
        """Whether it can "generate", "fill" masks, "encode" (sees both ways), or takes a "source"."""
        return capability in self.architecture.capabilities_with(self.params)


class Engine(Protocol):
    """What a model runs on in place of numpy: the same passes, arrays given back as numpy's (the cache is its own)."""

    def run(self, ids: Array, tap: Tap, cache: Cache | None, hidden_S: Array | None) -> Pass: ...

    def logits(self, stream_TD: Array, tap: Tap) -> Array: ...

    def encode_source(self, ids: Array, tap: Tap, hidden_S: Array | None) -> Cache: ...

    def agreed(self, number: int) -> int:
        """A number that was drawn, the same wherever this run has several processes."""
        ...

    def gradients(
        self, ids: Sequence[int], names: Sequence[str], position: int, target: int, versus: int | None, tap: Tap
    ) -> tuple[float, dict[str, Array], dict[str, Array]]:
        """A score (the logit of `target` − that of `versus`, or without it log p of `target`) at a position; the named
        intermediates; and the gradient of the score by each."""
        ...


@dataclass(frozen=True)
class Description:
    """What a model is, known without touching its weights: its family, its configuration, its arrays by their specs."""

    name: str
    architecture: Architecture
    config: Config
    specs: Sequence[TensorSpec]
    located: Located | None = None
    """Its files; None for a toy, which is built in."""

    @property
    def capabilities(self) -> frozenset[str]:
        """What it can do: "generate", "fill" masks, "encode" (sees both ways), "source" (takes a source text)."""
        return self.architecture.capabilities_with({spec.name for spec in self.specs})
