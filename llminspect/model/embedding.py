"""What enters the stream: a vector for each token, with what its place in the text adds."""

from __future__ import annotations

from llminspect.core.array import Array, look_up, mapped, namespace
from llminspect.core.mask import blanked
from llminspect.core.norm import rms_norm
from llminspect.core.positions import sinusoids
from llminspect.core.tap import NO_TAP, Tap
from llminspect.errors import UserError
from llminspect.model.config import Config
from llminspect.model.layer import norm
from llminspect.model.params import Params


def embed(
    params: Params, config: Config, ids_T: Array, start: int, tap: Tap, front: str = "", hidden_S: Array | None = None
) -> Array:
    """What enters the stream, [..., T, D]: a row a token; position and segment added, and their sum normed, if so."""
    name = f"{front}embedding"
    table = f"{name}.weight" if f"{name}.weight" in params else "embedding.weight"
    stream_TD = of_rows(params, config, look_up(params[table], ids_T), tap, front, ids_T, hidden_S)
    if config.waves or f"{front}position.weight" in params or "segment.weight" in params:
        stream_TD = tap(f"{name}.tokens", stream_TD)
    if config.waves:
        stream_TD = stream_TD + tap(f"{name}.positions", wave_positions(stream_TD, config, ids_T, start))
    elif f"{front}position.weight" in params:
        positions_TD = learned_positions(params[f"{front}position.weight"], config, ids_T, start)
        stream_TD = stream_TD + tap(f"{name}.positions", positions_TD)
    if "segment.weight" in params:  # A text is all of segment 0.
        stream_TD = stream_TD + tap(f"{name}.segment", params["segment.weight"][0])
    if "task.weight" in params:
        stream_TD = stream_TD + tap(f"{name}.task", params["task.weight"][0])
    return tap(f"{name}.output", settled(params, config, stream_TD, tap, front))


def of_rows(
    params: Params,
    config: Config,
    rows_TD: Array,
    tap: Tap = NO_TAP,
    front: str = "",
    ids_T: Array | None = None,
    hidden_S: Array | None = None,
) -> Array:
    """What rows of the table are before anything of their place is added: scaled, projected, normed, if so."""
    name = f"{front}embedding"
    # A norm of the tokens alone would take the scale away again, but for its ε: Blenderbot's small decoder has none.
    if config.embedding_scale != 1 and f"{name}.tokens.norm.weight" not in params:
        rows_TD = rows_TD * config.embedding_scale
    if f"{name}.tokens.projection.weight" in params:
        rows_TD = mapped(params, f"{name}.tokens.projection", tap(f"{name}.narrow", rows_TD))
    if config.blanked_id is not None and ids_T is not None:
        rows_TD = blanked(tap(f"{name}.unblanked", rows_TD), ids_T == config.blanked_id, hidden_S)
    if f"{name}.tokens.norm.weight" in params:
        rows_TD = norm(params, f"{name}.tokens.norm", tap(f"{name}.unnormed", rows_TD), config)
    return rows_TD


def settled(params: Params, config: Config, sum_TD: Array, tap: Tap = NO_TAP, front: str = "") -> Array:
    """The sum of all that enters, normed and projected, if so."""
    name = f"{front}embedding"
    if f"{name}.norm.weight" in params:
        sum_TD = norm(params, f"{name}.norm", tap(f"{name}.sum", sum_TD), config)
    if config.embedding_normed:
        sum_TD = rms_norm(tap(f"{name}.sum", sum_TD), None, config.norm_epsilon)
    if f"{name}.projection.weight" in params:
        sum_TD = mapped(params, f"{name}.projection", tap(f"{name}.narrow", sum_TD))
    return sum_TD


def learned_positions(table_PD: Array, config: Config, ids_T: Array, start: int) -> Array:
    """The row of the position table for each token, [..., T, D]. UserError where the text is longer than the table."""
    padding_id, tokens = config.padding_id, ids_T.shape[-1]
    first = start if padding_id is None else padding_id + 1
    if isinstance(first, int) and first + tokens > len(table_PD):  # Of compiled code whoever runs it has counted.
        raise UserError(
            f"{first + tokens} tokens are more than this model has positions for ({len(table_PD)})",
            "give it a shorter text",
        )
    if padding_id is None:
        return look_up(table_PD, start + namespace(ids_T).arange(tokens))
    return look_up(table_PD, counted_positions(ids_T, padding_id))


def wave_positions(stream_TD: Array, config: Config, ids_T: Array, start: int) -> Array:
    """Sines and cosines of each token's position; padding has none where positions count from after it."""
    padding_id, width, kind = config.padding_id, config.sizes.D, config.waves or "marian"
    if padding_id is None:
        places_T = config.first_wave + start + namespace(ids_T).arange(ids_T.shape[-1])
        return sinusoids(stream_TD, places_T, width, kind)
    waves_TD = sinusoids(stream_TD, counted_positions(ids_T, padding_id, start), width, kind)
    known_TD: Array = waves_TD * (ids_T != padding_id)[..., None]
    return known_TD


def counted_positions(ids_T: Array, padding_id: int, start: int = 0) -> Array:
    """Those of tokens that are not padding, from after its id on, and `start` more; padding has its id."""
    counted_T = (ids_T != padding_id).astype(ids_T.dtype)
    places_T: Array = (namespace(ids_T).cumsum(counted_T, axis=-1) + start) * counted_T + padding_id
    return places_T
