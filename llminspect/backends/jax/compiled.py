"""The passes of a model, forward and back, as programs that JAX compiles from the family's own functions."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from llminspect.backends.jax.plan import Plan, Recorder, planned
from llminspect.backends.jax.programs import Program, Programs, of_first
from llminspect.backends.jax.scanned import Scanned
from llminspect.backends.jax.values import Widened, as_tree, from_tree, roomy
from llminspect.core.array import Array
from llminspect.core.cache import Cache, Pass
from llminspect.core.tap import Capture, Chain, Edit, Tap
from llminspect.core.unembed import Score
from llminspect.errors import UserError
from llminspect.model.params import Params


class Compiled(Programs):
    """A model on JAX: an `Engine`."""

    def run(self, ids: Array, tap: Tap, cache: Cache | None, hidden_S: Array | None) -> Pass:
        tokens, before = ids.shape[-1], cache.length if cache is not None else 0
        self._check_length(before + tokens)
        given = cache if cache is None or self.exact else roomy(cache, before + tokens)
        try:
            stream_TD, tree, plan, program, kept = self._forward(ids, tap, given, hidden_S)
        except jax.errors.ConcretizationTypeError:
            if self.exact or given is None or given.places is None or (cache and cache.places is not None):
                raise
            self.exact = True
            return self.run(ids, tap, cache, hidden_S)
        places = None if given is None else given.places
        self.show(plan, program, kept, None if places is None else before + tokens)
        extended = from_tree(tree, before + tokens, places)
        if extended is not None:
            extended = replace(extended, length=before + tokens)
        return Pass(stream_TD, extended)

    def _forward(
        self, ids: Array, tap: Tap, cache: Cache | None, hidden_S: Array | None
    ) -> tuple[Array, Any, Plan, Program, list[Array]]:
        length, places = (0, None) if cache is None else (cache.length, cache.places)

        def forward(params: Params, recorder: Recorder, ids_T: Array, tree: Any, hidden_S: Array | None) -> Any:
            result = self.architecture.forward(
                params, self.config, self.layout.batch(ids_T), recorder, from_tree(tree, length, places), hidden_S
            )
            extended = as_tree(result.cache)
            if extended is not None:
                extended = {**extended, "length": None, "layers": self.layout.cache(extended["layers"])}
            return self.layout.everywhere(result.stream_TD), extended

        if hidden_S is not None and places is not None:
            room = [(0, 0)] * (hidden_S.ndim - 1) + [(0, places - hidden_S.shape[-1])]
            hidden_S = np.pad(hidden_S, room, constant_values=True)
        plan = planned(tap)
        static = ("forward", None if places is not None else length, places)
        program, (result, kept) = self.call(static, forward, plan, ids.astype(np.int32), as_tree(cache), hidden_S)
        stream_TD, tree = (None, None) if result is None else result
        return self._host(stream_TD), tree, plan, program, kept

    def logits(self, stream_TD: Array, tap: Tap) -> Array:
        def readout(params: Params, recorder: Recorder, stream_TD: Array) -> Array:
            logits_TV: Array = self.layout.everywhere(
                self.architecture.readout(params, self.config, stream_TD, recorder)
            )
            return logits_TV

        plan = planned(tap)
        program, (logits_TV, kept) = self.call(("logits",), readout, plan, stream_TD)
        self.show(plan, program, kept, None)
        return self._host(logits_TV)

    def encode_source(self, ids: Array, tap: Tap, hidden_S: Array | None) -> Cache:
        encode = self.architecture.encode_source
        assert encode is not None, "only an encoder–decoder takes a source"

        def encoded(params: Params, recorder: Recorder, ids_S: Array, hidden_S: Array | None) -> Any:
            tree = as_tree(encode(params, self.config, self.layout.batch(ids_S), recorder, hidden_S))
            assert tree is not None
            stream_SD, layers, hidden_S = tree["source"]
            return {**tree, "source": (self.layout.everywhere(stream_SD), self.layout.cache(layers), hidden_S)}

        plan = planned(tap)
        program, (tree, kept) = self.call(("source",), encoded, plan, ids.astype(np.int32), hidden_S)
        self.show(plan, program, kept, None)
        cache = from_tree(tree, 0, None)
        assert cache is not None and cache.source is not None
        return replace(cache, source=replace(cache.source, stream_SD=self._host(cache.source.stream_SD)))

    def gradients(
        self, ids: Sequence[int], names: Sequence[str], of: Score, tap: Tap
    ) -> tuple[float, dict[str, Array], dict[str, Array]]:
        """A score, and for each named intermediate its value and the gradient of the score: that by something added to
        it, which is nothing."""
        ids_T = np.asarray(ids, np.int32)
        nothing = {name: np.zeros(shape, np.float32) for name, shape in self._shapes(ids_T, names, tap).items()}
        kept, added = Capture(*names), [Edit(name, operator.add, array) for name, array in nothing.items()]
        plan = planned(Chain([tap, kept, *added]))

        def score(params: Params, recorder: Recorder, ids_T: Array, place: Array, answers: Any) -> Any:
            stream_TD = self.architecture.forward(params, self.config, ids_T, recorder).stream_TD
            row_1D = jax.lax.dynamic_slice_in_dim(jnp.asarray(stream_TD), place, 1)
            logits_V = self.architecture.readout(params, self.config, row_1D, recorder)[0]  # type: ignore[arg-type]
            of_answers = replace(of, **dict(zip(("target", "versus"), answers, strict=False)))
            return of_answers.of(logits_V)

        answers = tuple(np.int32(number) for number in (of.target, of.versus) if number is not None)
        program, ((value, slopes), arrays) = self.call(
            ("gradients", of.logit), score, plan, ids_T, np.int32(of.position), answers, derive=True
        )
        self.show(plan, program, arrays, None)
        by_name = dict(zip(nothing, slopes[-len(added) :], strict=True))
        return float(value), kept.arrays, {name: np.asarray(slope[0]) for name, slope in by_name.items()}

    def _shapes(self, ids_T: Array, names: Sequence[str], tap: Tap) -> dict[str, tuple[int, ...]]:
        """The shapes of the named intermediates, found without computing anything."""
        plan = planned(Chain([tap, Capture(*names)]))
        found: dict[str, tuple[int, ...]] = {}

        def whole(arrays: Any, operands: Any, ids_T: Array) -> Array:
            recorder = Recorder(plan.parts, operands)
            params = Scanned(Widened(arrays, self.places))
            stream_TD = self.architecture.forward(params, self.config, ids_T, recorder).stream_TD
            for name, part, slot, row in recorder.shown:
                if part == len(plan.parts) - 1:
                    shape = recorder.kept[slot].shape
                    found[name] = shape if row is None else shape[1:]
            return stream_TD

        operands = [tuple(map(np.asarray, values)) for values in plan.operands]
        jax.eval_shape(whole, self.arrays, operands, ids_T)
        return {name: found[name] for name in names}

    def agreed(self, number: int) -> int:
        """The same number on all processes, which each has drawn for itself: that of process 0."""
        return number if jax.process_count() == 1 else of_first(number)

    def _check_length(self, tokens: int) -> None:
        """What the core checks itself where it runs on numpy."""
        table = self.arrays.get("position.weight")
        if table is not None and tokens > len(table):
            raise UserError(
                f"{tokens} tokens are more than this model has positions for ({len(table)})", "give it a shorter text"
            )
