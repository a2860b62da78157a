"""One layer: attention or a state, perhaps attention to a source, the feed-forward step, each added to the stream.

A step does what its arrays ask for: norms before it, after it or after the sum, norms of queries and keys, biases,
sinks, a gate, experts. Vaswani et al. 2017, "Attention Is All You Need", section 3; Touvron et al. 2023, "LLaMA",
section 2.2; the families' own files name the sources of what they add.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from llminspect.core import attention, feedforward
from llminspect.core.activations import sigmoid
from llminspect.core.array import Array, ByName, mapped, mapped_each, namespace
from llminspect.core.cache import Source, StateCache
from llminspect.core.dataclass import dataclass
from llminspect.core.feedforward import mixture
from llminspect.core.mask import hide
from llminspect.core.norm import layer_norm, rms_norm
from llminspect.core.positions import distance_rows, distance_scores
from llminspect.core.recurrence import shifted
from llminspect.core.rotary import rotate
from llminspect.core.tap import NO_TAP, OneRow, Tap
from llminspect.core.threads import parts_of, some_at_once
from llminspect.model.config import Config
from llminspect.model.watched import rows_inside


def norm(arrays: ByName, name: str, x: Array, config: Config) -> Array:
    """The norm of the family's kind with the weight, and the bias if it has one, called `name`."""
    weight = None if config.weightless_norms else arrays[f"{name}.weight"]
    if config.norm == "rms":
        return rms_norm(x, weight, config.norm_epsilon)
    return layer_norm(x, weight, arrays.get(f"{name}.bias"), config.norm_epsilon)


def final_norm(params: ByName, config: Config, stream_TD: Array, tap: Tap) -> Array:
    """The last layer's stream [..., T, D] after the norm at the end, if there is one. Tap: final.norm."""
    if params.get("final.norm.weight") is None and not config.weightless_norms:
        return stream_TD
    return tap("final.norm", norm(params, "final.norm", stream_TD, config))


def distance_table(params: ByName, config: Config) -> Array:
    """The vectors of distances that scores are made of too, normed if they are."""
    table_BD = params["distances.weight"]
    return table_BD if params.get("distances.norm.weight") is None else norm(params, "distances.norm", table_BD, config)


@dataclass(frozen=True)
class Layer:
    """What a layer's steps work with; `name` is in front of what they hand to `tap`."""

    arrays: Mapping[str, Array]
    config: Config
    index: int
    name: str
    tap: Tap
    source: Source | None = None
    distances_BD: Array | None = None
    """The table of distances, where scores are made of contents and distances (DeBERTa)."""

    def into_attention(self, stream_TD: Array, *rotation_TP: Array) -> tuple[Array, ...]:
        """What the attention works on: queries [..., H, T, E], and where the layer has its own, keys and values
        [..., K, T, E]; and where it has one the gate of what each head reads, [..., H, T, E], between 0 and 1.

        `rotation_TP`: cos and sin by which queries and keys are turned, if they are.
        """
        read_TD = self._read("attention", stream_TD)
        if self.config.sizes.Z:
            return self._of_latents(read_TD, rotation_TP)
        heads, (keys, _) = self.config.sizes.H, self.config.heads_of(self.index)
        its_own = self.config.keys_of(self.index) == self.index
        wanted = {"query": heads} | ({"key": keys, "value": keys, "gate": heads} if its_own else {})
        parts = [part for part in wanted if f"attention.{part}.weight" in self.arrays]
        projected = mapped_each(self.arrays, [f"attention.{part}" for part in parts], read_TD)
        made = {part: self._in_heads(x_TW, wanted[part]) for part, x_TW in zip(parts, projected, strict=True)}
        query_HTE = self._positioned("query", made["query"], rotation_TP)
        if not its_own:
            return (query_HTE,)
        key_KTE = self._positioned("key", made["key"], rotation_TP)
        value_KTE = self._values(made["value" if "value" in made else "key"])
        if "gate" not in made:
            return query_HTE, key_KTE, value_KTE
        gate_HTE = self.tap(f"{self.name}.attention.gate", sigmoid(made["gate"]))
        return query_HTE, key_KTE, value_KTE, gate_HTE

    def into_state(self, stream_TD: Array) -> tuple[Array]:
        """What a layer's state works on: the stream [..., T, D], normed."""
        return (self._read("state", stream_TD),)

    def out_of_mixers(self, stream_TD: Array, *mixed: Array) -> tuple[Array]:
        """The stream [..., T, D] after what the heads mixed [..., H, T, E], what was read from the state [..., T, C],
        and what the later steps make of it and of the layer's own vectors of the tokens [..., T, N] were added: each
        where the layer has it."""
        middle_TD, mixed_of = stream_TD, list(mixed)
        if self.config.attends(self.index):
            merged_TD = mapped(self.arrays, "attention.output", attention.merge_heads(mixed_of.pop(0)))
            middle_TD = self._added("attention", "middle", middle_TD, merged_TD)
        if "middle.twice.norm.weight" in self.arrays:
            middle_TD = stream_TD + self.tap(f"{self.name}.middle.once", middle_TD)
            middle_TD = self.tap(f"{self.name}.middle.twice", middle_TD)
            middle_TD = norm(self.arrays, "middle.twice.norm", middle_TD, self.config)
        if self.config.state_of(self.index) is not None:
            middle_TD = self._added("state", "middle", middle_TD, mapped(self.arrays, "state.output", mixed_of.pop(0)))
        if "laurel.left.weight" in self.arrays:
            middle_TD = self._with_low_rank(stream_TD, middle_TD)
        middle_TD = self.tap(f"{self.name}.middle", middle_TD)
        if self.source is not None:
            crossed_TD = self._crossed(self._read("cross_attention", middle_TD), self.source)
            middle_TD = self._added("cross_attention", "crossed", middle_TD, crossed_TD)
            middle_TD = self.tap(f"{self.name}.crossed", middle_TD)
        if "feedforward.shift" in self.arrays or not any(name.startswith("feedforward.") for name in self.arrays):
            return (middle_TD,)
        read_TD = self._read("feedforward", stream_TD if self.config.parallel else middle_TD)
        output_TD = self._added("feedforward", "output", middle_TD, self._fed_forward(read_TD))
        for inputs_TN in mixed_of:
            output_TD = self._added("per_layer", "output", output_TD, self._of_tokens(output_TD, inputs_TN))
        scale_1 = self.arrays.get("output.scale")
        return (output_TD if scale_1 is None else self.tap(f"{self.name}.unscaled", output_TD) * scale_1,)

    def looking_back(
        self, middle_TD: Array, before: StateCache | None, seen: StateCache, hidden_T: Array | None
    ) -> tuple[Array, StateCache]:
        """The stream after a feed-forward step that reads a mix of each token and the one before it (RWKV), and what
        the layer keeps; `before`: what it kept of the tokens so far."""
        read_TD = self._read("feedforward", middle_TD)
        if hidden_T is not None:
            read_TD = read_TD * ~hidden_T[..., None]
        before_TD = shifted(read_TD, None if before is None else before.read_1C)
        mixed_TD = read_TD + (before_TD - read_TD) * self.arrays["feedforward.shift"]
        mixed_TD = self.tap(f"{self.name}.feedforward.mixed", mixed_TD)
        output_TD = self._added("feedforward", "output", middle_TD, self._fed_forward(mixed_TD))
        return output_TD, replace(seen, read_1C=read_TD[..., -1:, :])

    def _with_low_rank(self, stream_TD: Array, middle_TD: Array) -> Array:
        """What the attention read, and a map of it of low rank, added to the stream beside what the attention adds."""
        read_TD = norm(self.arrays, "attention.norm", stream_TD, self.config)
        low_TR = self.tap(f"{self.name}.laurel.low", mapped(self.arrays, "laurel.left", read_TD))
        added_TD = mapped(self.arrays, "laurel.right", low_TR)
        return self._added("laurel", "middle", middle_TD + read_TD, added_TD) * math.sqrt(0.5)

    def _of_tokens(self, stream_TD: Array, inputs_TN: Array) -> Array:
        """What the layer's own vectors of the tokens say, as far as the stream lets them: [..., T, D]."""
        gate_TN = self.tap(f"{self.name}.per_layer.gate", mapped(self.arrays, "per_layer.gate", stream_TD))
        activation_TN = feedforward.ACTIVATIONS[self.config.ungated](gate_TN) * inputs_TN
        return mapped(self.arrays, "per_layer.output", self.tap(f"{self.name}.per_layer.activation", activation_TN))

    def heads(self, part: str, x_TD: Array, heads: int) -> Array:
        """A linear map cut into heads, [..., H, T, E]: `part` is "attention.value" and the like. Tap: `part`."""
        return self.tap(f"{self.name}.{part}", self._projected(part, x_TD, heads))

    def scores_of_distances(self, query_HTE: Array, key_HTE: Array, distances_BD: Array) -> Array:
        """What contents and distances add to the scaled scores [..., H, T, S]."""
        made = [
            self._projected(f"attention.distance_{part}", distances_BD, self.config.sizes.H)
            if f"attention.distance_{part}.weight" in self.arrays
            else None
            for part in ("key", "query")
        ]
        span, (buckets, farthest) = len(distances_BD) // 2, (self.config.buckets, self.config.farthest)
        rows_TS = distance_rows(query_HTE, query_HTE.shape[-2], span, buckets, farthest)
        scores_HTS = distance_scores(query_HTE, key_HTE, made[0], made[1], rows_TS)
        return self.tap(f"{self.name}.attention.distances", scores_HTS * self.config.scale_of(self.index))

    def _projected(self, part: str, x_TD: Array, heads: int) -> Array:
        return self._in_heads(mapped(self.arrays, part, x_TD), heads)

    def _in_heads(self, x_TW: Array, heads: int) -> Array:
        """Cut into heads, and between limits where there are some, [..., H, T, E]."""
        limit = self.config.clip
        return attention.split_heads(x_TW if limit is None else namespace(x_TW).clip(x_TW, -limit, limit), heads)

    def _read(self, step: str, stream_TD: Array) -> Array:
        """What a step reads of the stream: normed, if there is a norm before it. Steps side by side may share one."""
        name = f"{step}.norm"
        if (self.config.parallel or step == "state") and f"{name}.weight" not in self.arrays:
            name = "attention.norm"
        if f"{name}.weight" not in self.arrays and not self.config.weightless_norms:
            return stream_TD
        return self.tap(f"{self.name}.{step}.norm", norm(self.arrays, name, stream_TD, self.config))

    def _added(self, step: str, point: str, stream_TD: Array, added_TD: Array) -> Array:
        """The stream with what a step adds; normed or scaled between the two, or normed after the sum, if it is so."""
        normed, scale = f"{step}.norm_after.weight" in self.arrays, self.config.residual_scale
        if normed or scale != 1:
            added_TD = self.tap(f"{self.name}.{step}.unnormed", added_TD)
        if normed:
            added_TD = norm(self.arrays, f"{step}.norm_after", added_TD, self.config)
        if scale != 1:
            added_TD = added_TD * scale
        sum_TD = stream_TD + self.tap(f"{self.name}.{step}.output", added_TD)
        if f"{point}.norm.weight" not in self.arrays:
            return sum_TD
        return norm(self.arrays, f"{point}.norm", self.tap(f"{self.name}.{point}.sum", sum_TD), self.config)

    def _of_latents(self, read_TD: Array, rotation_TP: tuple[Array, ...]) -> tuple[Array, Array, Array]:
        """The same of shorter vectors (DeepSeek-AI 2024, "DeepSeek-V2", section 2.1): keys and values of Z numbers a
        token, queries of Q. The first M numbers of a head's queries and keys know no position; the other G, of a key
        the same in every head, are turned by it."""
        sizes, name = self.config.sizes, f"{self.name}.attention"
        from_TD = self._latent("attention.query.latent", read_TD) if sizes.Q else read_TD
        query_HTE = self._positioned("query", self._projected("attention.query", from_TD, sizes.H), rotation_TP)
        latent_TZ, xp = self._latent("attention.latent", read_TD), namespace(read_TD)
        plain_HTM = self._projected("attention.key", latent_TZ, sizes.H)
        shared_1TG = self.tap(f"{name}.key.shared", self._projected("attention.key.shared", read_TD, 1))
        shared_HTG = xp.broadcast_to(shared_1TG, (*plain_HTM.shape[:-1], sizes.G))
        key_HTE = self._positioned("key", xp.concat([plain_HTM, shared_HTG], axis=-1), rotation_TP)
        value_HTU = self._projected(f"attention.{self._value_from}", latent_TZ, sizes.H)
        return query_HTE, key_HTE, self._values(value_HTU)

    def _latent(self, part: str, read_TD: Array) -> Array:
        """What the attention reads in fewer numbers, normed."""
        x_TZ = self.tap(f"{self.name}.{part}.projected", mapped(self.arrays, part, read_TD))
        epsilon = self.config.latent_epsilon
        assert epsilon is not None
        return self.tap(f"{self.name}.{part}", rms_norm(x_TZ, self.arrays[f"{part}.norm.weight"], epsilon))

    @property
    def _value_from(self) -> str:
        """Of which map values are made: one of their own, or that of the keys."""
        return "value" if "attention.value.weight" in self.arrays else "key"

    def _values(self, value_KTU: Array) -> Array:
        """[..., K, T, U]; normed, if they are."""
        if self.config.value_norms:
            value_KTU = self.tap(f"{self.name}.attention.value.projected", value_KTU)
            value_KTU = rms_norm(value_KTU, None, self.config.norm_epsilon)
        return self.tap(f"{self.name}.attention.value", value_KTU)

    def _positioned(self, part: str, x_HTE: Array, rotation_TP: tuple[Array, ...]) -> Array:
        """Queries or keys, normed if they have a norm and turned by position where the family turns them."""
        name = f"attention.{part}"
        if self.config.rotary is None and f"{name}.norm.weight" not in self.arrays:
            return self.tap(f"{self.name}.{name}", x_HTE)
        rotary = self.config.rotary_of(self.index)
        x_HTE = self.tap(f"{self.name}.{name}.projected", x_HTE)
        if f"{name}.norm.weight" in self.arrays:
            x_HTE = self.tap(f"{self.name}.{name}.normed", self._norm_heads(f"{name}.norm", x_HTE))
        if rotary is not None:
            x_HTE = rotate(x_HTE, rotation_TP, rotary.pairs, self.config.sizes.M)
            if part == "query":
                for growth_T1 in rotation_TP[2:]:
                    x_HTE = x_HTE * growth_T1
        if f"{name}.norm_after.weight" in self.arrays:
            x_HTE = self._norm_heads(f"{name}.norm_after", self.tap(f"{self.name}.{name}.turned", x_HTE))
        if rotary is not None and self.config.heads_normed:
            x_HTE = rms_norm(self.tap(f"{self.name}.{name}.turned", x_HTE), None, self.config.norm_epsilon)
        return self.tap(f"{self.name}.{name}", x_HTE)

    def _norm_heads(self, name: str, x_HTE: Array) -> Array:
        """Each head by itself where the weight is [E], or [H, E]; all heads of a token at once where it is [H·E]."""
        weight = self.arrays[f"{name}.weight"]
        if weight.ndim == 2:
            return norm({f"{name}.weight": weight[:, None]}, name, x_HTE, self.config)
        if weight.shape[-1] == x_HTE.shape[-1]:
            return norm(self.arrays, name, x_HTE, self.config)
        whole_TD = norm(self.arrays, name, attention.merge_heads(x_HTE), self.config)
        return attention.split_heads(whole_TD, x_HTE.shape[-3])

    def _crossed(self, read_TD: Array, source: Source) -> Array:
        """What the tokens take from the source, [..., T, D]."""
        seen = source.layers[self.index]
        mixed_HTE = attention.attend(
            self.heads("cross_attention.query", read_TD, self.config.sizes.H),
            seen.key_KSE,
            seen.value_KSE,
            scale=self.config.scale_of(self.index),
            mask_TS=hide(None, source.hidden_S),
            cap=self.config.score_cap,
            tap=self.tap,
            name=f"{self.name}.cross_attention",
        )
        return mapped(self.arrays, "cross_attention.output", attention.merge_heads(mixed_HTE))

    def _fed_forward(self, read_TD: Array) -> Array:
        """Through one network, plain or gated, or through those of many that the layer's router chooses.

        A long text goes through it some rows at a time where nobody looks inside: what the wide hidden layer makes of
        all rows at once would be most of the memory of a pass. A row that is looked at goes through alone.
        """
        name, rows = f"{self.name}.feedforward", read_TD.shape[-2]
        if parts_of(rows, read_TD.shape[-1]) == 1 or not isinstance(read_TD, np.ndarray):
            return self._through_network(read_TD, self.tap)
        looked_at = rows_inside(self.tap, name, self.config.sizes.X)
        if looked_at is None:
            return self._through_network(read_TD, self.tap)
        (output_TD,) = some_at_once(lambda some_TD: (self._through_network(some_TD, NO_TAP),), read_TD, rows=rows)
        for row in looked_at:
            alone = slice(row, row + 1)
            output_TD[..., alone, :] = self._through_network(read_TD[..., alone, :], OneRow(self.tap, row))
        return output_TD

    def _through_network(self, read_TD: Array, tap: Tap) -> Array:
        arrays, config, name = self.arrays, self.config, f"{self.name}.feedforward"
        if config.experts is not None and "feedforward.router.weight" in arrays:
            arrays = {key.removeprefix("feedforward."): array for key, array in arrays.items()}
            units: Any = {"unit": config.unit, "ungated": config.ungated, "epsilon": config.norm_epsilon}
            return mixture(read_TD, arrays, router=config.experts, tap=tap, name=name, **units)
        if "feedforward.gate.weight" in arrays:
            share = config.sparsity[self.index] if config.sparsity else 0.0
            known: dict[str, Any] = {"unit": config.unit, "tap": tap, "name": name, "sparsity": share}
            return feedforward.gated(read_TD, arrays, "feedforward", **known)
        curve, xp = config.curve_of(self.index), namespace(read_TD)
        made = {f"feedforward.curve.{part}": value for part, value in zip(feedforward.CURVE, curve, strict=False)}
        arrays = {**arrays, **{part: xp.full((1,), value, dtype=read_TD.dtype) for part, value in made.items()}}
        return feedforward.plain(read_TD, arrays, "feedforward", activation=config.ungated, tap=tap, name=name)
