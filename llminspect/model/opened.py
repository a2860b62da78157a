"""An open model, and a description of one whose weights were not touched."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any, Protocol

from llminspect.core.dataclass import dataclass
from llminspect.core.tap import NO_TAP, Capture, Chain, Edit, matches, unreached
from llminspect.errors import ModelError, UsageError, UserError
from llminspect.files.machine import check_room

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from llminspect.core.array import Array
    from llminspect.core.cache import Cache, Pass
    from llminspect.core.tap import Tap
    from llminspect.core.unembed import Score
    from llminspect.files.locate import Located
    from llminspect.files.weights import WeightFile
    from llminspect.model.adapter import Adapter
    from llminspect.model.config import Config
    from llminspect.model.params import Params
    from llminspect.model.pooling import Declared
    from llminspect.model.spec import Architecture, TensorSpec
    from llminspect.text.tokenizer import Tokenizer


def no_pooling() -> None:
    """How a model without files says that its tokens' vectors become one: not at all."""


@dataclass(frozen=True)
class Model:
    """An open model (`open_model` gives one): its family, its configuration, its arrays, its tokenizer if it has one.

    `run` takes ids [..., T] through every layer, `logits` reads the stream out, `names` lists the steps that a tap may
    see and change, `config.sizes` says how large it is by the dimension letters (docs/shapes.md).

    >>> import llminspect
    >>> model = llminspect.open_model("toy")
    >>> model
    Model('toy', family 'toy', L=1 D=2 H=0 V=3)
    >>> model.logits(model.run([1]).stream_TD).round(2)
    array([[0.74, 1.68, 2.62]], dtype=float32)
    >>> model.names()[:3]
    ['embedding.output', 'layers.0.input', 'layers.0.feedforward.hidden']
    """

    name: str
    architecture: Architecture
    config: Config
    params: Params
    tokenizer: Tokenizer | None
    provenance: dict[str, Any] = field(default_factory=dict)
    generation: Mapping[str, Any] = field(default_factory=dict)
    """What its files say of generating: `generation_config.json`, or where there is none `config.json`."""
    source: Cache | None = None
    """What the decoder of an encoder–decoder has read: every pass that is given no cache starts from it."""
    source_ids: tuple[int, ...] | None = None
    """The ids of that text."""
    engine: Engine | None = None
    """What computes in place of numpy."""
    segments: tuple[int, ...] | None = None
    """Of which segment each token of the text is; None: all are of segment 0."""
    declared_pooling: Callable[[], Declared | None] = no_pooling
    """How its files say that the tokens' vectors become one, read when called for. ModelError: not understood."""
    finite: bool = True
    """Whether logits that are no numbers are an error."""

    def __repr__(self) -> str:
        sizes = " ".join(f"{letter}={getattr(self.config.sizes, letter)}" for letter in "LDHV")
        return f"Model({self.name!r}, family {self.architecture.name!r}, {sizes})"

    @property
    def eos_ids(self) -> frozenset[int]:
        """The ids that end a completion: the tokenizer's, and those that its files name."""
        return end_ids(self.generation) | (self.tokenizer.eos_ids if self.tokenizer else frozenset())

    @property
    def most_tokens(self) -> int | None:
        """So many tokens it has positions for where these stand in a table; None: they are computed for any."""
        table = self.config.waves == "marian" or "position.weight" in self.params
        return self.config.sizes.context if table else None

    def run(
        self, ids: Sequence[int] | Array, tap: Tap = NO_TAP, cache: Cache | None = None, hidden_S: Array | None = None
    ) -> Pass:
        """Ids [..., T] through every layer: the residual stream [..., T, D] after the last, and the cache.

        `tap` sees, and may replace, every named step (`names`). With `cache` the ids are those that follow the cached
        ones; `hidden_S` [..., S] marks positions (True) that no token may attend to. Raises UsageError for ids that are
        none of the vocabulary's, UserError for more than the memory holds, and where the tap names what the whole pass
        never reached.
        """
        import numpy as np

        ids_T = self._checked_ids(np.asarray(ids))
        cache, looking = self.source if cache is None else cache, tap
        if self.segments is not None:
            tap = self.with_segments(tap, ids_T.shape[-1])
        if self.engine is not None:
            done = self.engine.run(ids_T, tap, cache, hidden_S)
        else:
            sizes = self.config.sizes
            check_room(ids_T.size, sizes.D + sizes.E * (sizes.H + 2 * sizes.K))
            with np.errstate(all="ignore"):
                done = self.architecture.forward(self.params, self.config, ids_T, tap, cache, hidden_S)
        self._check_reached(looking, later="final.")  # Which is the logits'.
        return done

    def with_segments(self, tap: Tap, tokens: int) -> Tap:
        """`tap`, and before it what gives each of the first `tokens` tokens the row of its segment."""
        if not any(self.segments or ()):
            return tap
        import numpy as np

        rows_TD = np.take(self.params["segment.weight"], (self.segments or ())[:tokens], axis=0)
        return Chain([Edit("embedding.segment", in_place_of, rows_TD), tap])

    def _checked_ids(self, ids_T: Array) -> Array:
        size = self.config.sizes.V
        if not ids_T.size or ids_T.dtype.kind not in "iu":
            raise UsageError(
                "ids are whole numbers, and at least one", f"those of {self.name} run from 0 to {size - 1}"
            )
        if ids_T.min() < 0 or ids_T.max() >= size:
            wrong = ids_T[(ids_T < 0) | (ids_T >= size)].flat[0]
            raise UsageError(f"id {wrong} is outside the vocabulary", f"ids of {self.name} run from 0 to {size - 1}")
        return ids_T

    def logits(self, stream_TD: Array, tap: Tap = NO_TAP) -> Array:
        """The final norm and the product with the vocabulary, for a residual stream [..., T, D] of any layer.

        Raises UserError where what comes of it are no numbers, unless `finite` is false, and as `run` for the tap.
        """
        if self.engine is not None:
            logits_TV = self.engine.logits(stream_TD, tap)
        else:
            import numpy as np

            with np.errstate(all="ignore"):
                logits_TV = self.architecture.readout(self.params, self.config, stream_TD, tap)
                if self.finite and not np.isfinite(np.max(logits_TV, axis=-1)).all():
                    raise not_numbers("logits")
        self._check_reached(tap)
        return logits_TV

    def label_scores(self, ids: Sequence[int] | Array, stream_TD: Array, tap: Tap = NO_TAP) -> Array:
        """What the head of a classifier gives for one text's ids [T] and last stream [T, D] (can "classify", "tag",
        "answer", "choose"): a number a label [N], of each token [T, N], the start and the end of an answer [T, 2], or
        how well the text fits [1]. An encoder–decoder has read the text, which its decoder reads again: the stream is
        the decoder's. Raises UsageError where that text has no end."""
        import numpy as np

        from llminspect.model.heads import scores

        head = self.architecture.head
        assert head is not None, "only a model with a head for labels or spans scores them"
        with np.errstate(all="ignore"):
            found_N = scores(self.params, self.config, head, np.asarray(self.source_ids or ids), stream_TD, tap)
        if self.finite and not np.isfinite(found_N).all():
            raise not_numbers("scores of the labels")
        self._check_reached(tap)
        return found_N

    def encode_source(self, ids: Sequence[int] | Array, tap: Tap = NO_TAP, hidden_S: Array | None = None) -> Cache:
        """A source text's ids [..., S] through the encoder: the cache to `run` the decoder with (can "source")."""
        import numpy as np

        encode = self.architecture.encode_source
        assert encode is not None, "only an encoder–decoder takes a source"
        if self.engine is not None:
            cache = self.engine.encode_source(self._checked_ids(np.asarray(ids)), tap, hidden_S)
        else:
            cache = encode(self.params, self.config, self._checked_ids(np.asarray(ids)), tap, hidden_S)
        self._check_reached(tap)
        return cache

    def names(self) -> list[str]:
        """The names of all that a pass, and then the logits, hand to a tap, in order: found by a pass over one token.

        `docs/shapes.md` says what they are. Those of experts that this token does not choose are not among them.
        """
        import numpy as np

        seen, ids = Capture("*"), np.zeros(1, np.int64)
        with np.errstate(all="ignore"):
            cache = self.source
            if self.architecture.encode_source is not None and self.can("source") and cache is None:
                cache = self.architecture.encode_source(self.params, self.config, ids, seen)
            stream_TD = self.architecture.forward(self.params, self.config, ids, seen, cache).stream_TD
            with suppress(ModelError):  # Of a model without an output matrix, after the final norm.
                self.architecture.readout(self.params, self.config, stream_TD, seen)
            head = self.architecture.head
            if head is not None:
                replace(self, source_ids=(head.end_id or 0,)).label_scores(ids, stream_TD, seen)
        return list(seen.arrays)

    def _check_reached(self, tap: Tap, later: str | None = None) -> None:
        """Raise UserError where a tap names what the pass that is over never reached."""
        if missing := unreached(tap, later):
            raise never_reached(missing[0], self.names())

    def no_next_token(self) -> str | None:
        """Why it predicts no next token; None where it does."""
        if self.can("generate"):
            return None
        if self.can("unmask"):
            return "it writes by filling masks, in any order"
        why = self.architecture.without_output(self.config, self.params)
        return why if why and (self.config.causal or self.architecture.instead) else "it reads a text both ways"

    def can(self, capability: str) -> bool:
        """Whether it can "generate", "fill" masks, "unmask" (write by filling them), "encode" (sees both ways), takes a
        "source", or has a head that can "classify" a text, "tag" its tokens, "answer" with a span of it, or "choose"
        between several."""
        return capability in self.architecture.capabilities_with(self.config, self.params)


def stated_ends(stated: Mapping[str, Any]) -> dict[str, list[Any]]:
    """What files name as ends of a text, by the key that names one or a list: `eos_token_id`, or those of GGUF."""
    gguf = ("eos_token_id", "eot_token_id", "eom_token_id", "eos_token_ids")
    keys = ("eos_token_id", *(f"tokenizer.ggml.{key}" for key in gguf))
    found = {key: stated[key] for key in keys if stated.get(key) is not None}
    return {key: value if isinstance(value, list) else [value] for key, value in found.items()}


def end_ids(stated: Mapping[str, Any]) -> frozenset[int]:
    """The ids under `eos_token_id`, which names one or a list."""
    ends = stated_ends(stated).get("eos_token_id", ())
    return frozenset(end for end in ends if type(end) is int and end >= 0)


class Slopes(Protocol):
    """What finds gradients."""

    def gradients(
        self, ids: Sequence[int], names: Sequence[str], of: Score, tap: Tap
    ) -> tuple[float, dict[str, Array], dict[str, Array]]:
        """A score; the named intermediates; and the gradient of the score by each."""
        ...


class Engine(Slopes, Protocol):
    """What a model runs on in place of numpy: the same passes, arrays given back as numpy's (the cache is its own)."""

    def run(self, ids: Array, tap: Tap, cache: Cache | None, hidden_S: Array | None) -> Pass: ...

    def logits(self, stream_TD: Array, tap: Tap) -> Array: ...

    def encode_source(self, ids: Array, tap: Tap, hidden_S: Array | None) -> Cache: ...

    def agreed(self, number: int) -> int:
        """A number that was drawn, the same wherever this run has several processes."""
        ...


def in_place_of(array: Array, other: Array) -> Array:
    """`other`."""
    return other


@dataclass(frozen=True)
class Description:
    """What a model is, known without touching its weights: its family, its configuration, its arrays by their specs."""

    name: str
    architecture: Architecture
    config: Config
    specs: Sequence[TensorSpec]
    located: Located | None = None
    """Its files; None for a toy, which is built in."""
    adapter: Adapter | None = None
    """What is added to its arrays."""

    @property
    def files(self) -> Located:
        """Its files, where it has some."""
        assert self.located is not None
        return self.located

    @property
    def weights(self) -> WeightFile:
        assert self.files.weights is not None
        return self.files.weights

    @property
    def capabilities(self) -> frozenset[str]:
        """What it can do, of what `Model.can` names."""
        return self.architecture.capabilities_with(self.config, {spec.name for spec in self.specs})


def not_numbers(what: str) -> UserError:
    return UserError(
        f"the numbers grow beyond what float32 holds, so the {what} are not finite",
        "llminspect verify shows in which layer",
    )


def never_reached(name: str, names: Sequence[str]) -> UserError:
    """The error for a name, or a pattern, that was not met; `names` are all that there are, of the pass and the logits.

    It says which come nearest, with `*` for the numbers of layers where the pattern has one.
    """
    from difflib import get_close_matches

    elsewhere = [found for found in names if matches(found, name)]
    if elsewhere:
        where = "logits" if elsewhere[0].startswith("final.") else "encode_source"
        return UserError(
            f"a tap waits for {name!r}, and this pass does not come there", f"give the tap to model.{where}"
        )
    known = [re.sub(r"\d+", "*", found) for found in names] if "*" in name else names
    near = get_close_matches(name, list(dict.fromkeys(known)), 3, 0.5)
    hint = f"the nearest names are {', '.join(near)}" if near else "model.names() lists all names"
    return UserError(f"a tap waits for {name!r}, and no step of the pass has that name", hint)
