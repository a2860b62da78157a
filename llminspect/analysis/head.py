"""`head`: what one head writes and looks for, of its weights alone, and what it does over a corpus."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from llminspect.analysis.candidates import NamedToken
from llminspect.analysis.head_notes import PositionScores, folded_parts, left_out_parts, position_scores
from llminspect.analysis.neighbours import LogitToken, ReadToken, Words
from llminspect.analysis.result import Result
from llminspect.arguments.option import each
from llminspect.arguments.parts import CorpusOptions, HeadOptions, parse_head
from llminspect.arguments.words import one_token
from llminspect.core.array import Array
from llminspect.core.circuits import Decomposed, best_pairs, copying_score, decomposed, eigenvalues, sizes_of_writes
from llminspect.core.dataclass import dataclass
from llminspect.model.folded import check_words, logits_of, vocabulary
from llminspect.model.head_maps import HeadMaps, Scores, head_maps
from llminspect.model.opened import Model

if TYPE_CHECKING:
    from llminspect.analysis.habits import HeadHabits

DIRECTIONS = 3
"""So many singular directions are named by tokens."""


@dataclass(frozen=True)
class SourceToken(NamedToken):
    """What a token's presence writes, through this head, where all of the head's weight is on it: beyond what the mean
    token writes, and above the mean of all logits."""

    size: float
    """The root mean square over the vocabulary of what is added to the logits."""
    writes: list[LogitToken]
    """What is raised most."""
    itself: float
    """What is added to the token's own logit …"""
    rank: int
    """… and how many tokens of the vocabulary are raised more."""


@dataclass(frozen=True)
class DirectionSide:
    """One of the two ways along a direction: tokens that are read so, and those that are then raised."""

    reads: list[ReadToken]
    writes: list[LogitToken]


@dataclass(frozen=True)
class SingularDirection:
    """One of the directions that the head reads, and the one that it writes for it."""

    value: float
    plus: DirectionSide
    minus: DirectionSide


@dataclass(frozen=True)
class ConstantWrites:
    """What the head writes whatever it looks at, since its weights sum to 1: the mean of what all tokens write, and
    what biases make of it."""

    size: float
    writes: list[LogitToken]


@dataclass(frozen=True)
class OvCircuit:
    """What a token's presence writes (Elhage et al. 2021): unembedding · output · value · embedding."""

    top: list[SourceToken]
    """Of the tokens of --token; without it those of which most is written."""
    copying: float
    """Σ λ / Σ |λ| over the eigenvalues of the circuit, a matrix of vocabulary × vocabulary: from −1 to 1."""
    positive: float
    """Which share of those eigenvalues that are not 0 has a positive real part."""
    singular: list[float]
    """The singular values of output · value, largest first."""
    directions: list[SingularDirection]
    constant: ConstantWrites


@dataclass(frozen=True)
class AttendedPair:
    """A query token and a key token, and their score: beyond that of the mean query with this key, and above the mean
    over all keys (what all scores of a query have more of, a softmax does not see)."""

    query: NamedToken
    key: NamedToken
    score: float


@dataclass(frozen=True)
class WantedKey(NamedToken):
    """A key token, and how far its score lies above the mean of all, for the mean query of the vocabulary."""

    score: float


@dataclass(frozen=True)
class QkCircuit:
    """Which pairs of tokens score high (Elhage et al. 2021): embedding · query · key · embedding, each token alone in
    the stream, the key `distance` tokens before the query."""

    top: list[AttendedPair]
    """Of each token of --token the best keys; without it the best key of each query, best first."""
    distance: int
    wanted: list[WantedKey]
    """What any query looks for."""
    tried: int
    """Of how many query tokens the pairs are the best: of those with the longest vectors …"""
    exact: bool
    """… and whether those of no other token are better."""
    position: PositionScores | None = None
    """What positions add, whatever the tokens are; None where the scores know none."""


@dataclass(frozen=True)
class HeadResult(Result):
    """One head."""

    layer: int
    head: int
    kv_head: int
    kv_layer: int
    """Whose keys and values it works with: mostly its own layer's."""
    sharing: list[int]
    """The heads of the layer that work with the same keys and values."""
    ov: OvCircuit
    qk: QkCircuit
    folded: list[str]
    """What of the model beside the head's own matrices is in the numbers …"""
    left_out: list[str]
    """… and what is not."""
    words: bool
    """Whether only tokens that begin a word and consist of letters are listed."""
    habits: HeadHabits | None = None
    """What the head does over a corpus."""


def head(
    model: Model, options: HeadOptions, corpus: CorpusOptions, progress: Callable[[int, int], object] | None = None
) -> HeadResult:
    """The circuits of a head; with --corpus its habits there too, of which `progress` is told the tokens done."""
    place = parse_head(model, options.place)
    assert place.head is not None
    check_words(model, f"head {place}")
    chosen = [one_token(model, token, "--token") for token in each(options.token)]
    words, maps = Words(model, options.words), head_maps(model, place.layer, place.head)
    scores, parts = Scores(model, maps), decomposed(maps.write_DE, maps.read_ED)
    seen = _scanned(model, maps, scores, parts)
    habits = None
    if corpus.corpus is not None:
        from llminspect.analysis.habits import head_habits

        habits = head_habits(model, place, corpus, progress)
    return HeadResult(
        place.layer, place.head, maps.kv_head, maps.kv_layer, maps.sharing,
        _ov(model, maps, parts, seen, words, chosen, options.top),
        _qk(model, scores, seen, words, chosen, options),
        [*folded_parts(model, place.layer)], [*left_out_parts(model, place.layer)], not words.all, habits,
    )  # fmt: skip


@dataclass(frozen=True)
class ScannedVocabulary:
    """What the head makes of each token that stands alone in the stream."""

    value_VE: Array
    """read · x, not divided by the size of x."""
    scale_V: Array
    """1 / that size."""
    along_VN: Array
    """How far each token, divided by its size, lies along the first directions that are read."""
    query_VE: Array
    key_VE: Array


def _scanned(model: Model, maps: HeadMaps, scores: Scores, parts: Decomposed) -> ScannedVocabulary:
    """All of the vocabulary, some at a time: no more of a token is kept than the head's own few numbers."""
    read_ED, in_DN = maps.read_ED, parts.in_DE[:, :DIRECTIONS].astype(np.float32)
    found: list[list[Array]] = [[] for _ in range(5)]
    for _, x_TD in vocabulary(model):
        scale_T = maps.norm.scale(x_TD)
        query_TE, key_TE = scores.vectors(x_TD)
        made = (x_TD @ read_ED.T, scale_T, x_TD @ in_DN * scale_T[:, None], query_TE, key_TE)
        for kept, array in zip(found, made, strict=True):
            kept.append(np.ascontiguousarray(array))
    return ScannedVocabulary(*(np.concatenate(kept) for kept in found))


def _ov(
    model: Model,
    maps: HeadMaps,
    parts: Decomposed,
    seen: ScannedVocabulary,
    words: Words,
    chosen: Sequence[int],
    count: int,
) -> OvCircuit:
    write_EV = logits_of(model, np.ascontiguousarray(maps.write_DE.T))
    write_EV -= write_EV.mean(axis=1, keepdims=True)  # A softmax sees only how far logits are apart.
    values = eigenvalues(seen.value_VE, write_EV)
    value_VE = seen.value_VE * seen.scale_V[:, None]
    mean_E = value_VE.mean(axis=0)
    value_VE -= mean_E
    size_V = sizes_of_writes(value_VE, write_EV)
    sources = chosen or [token_id for token_id, _, _ in words.best(size_V, count)]
    tops = []
    for token_id in sources:
        logits_V = value_VE[token_id] @ write_EV
        itself = float(logits_V[token_id])
        rank = int((logits_V > logits_V[token_id]).sum())
        raised = words.raised(logits_V, count)
        tops.append(SourceToken(token_id, words.text(token_id), float(size_V[token_id]), raised, itself, rank))
    always_V = (mean_E if maps.value_bias_E is None else mean_E + maps.value_bias_E) @ write_EV
    constant = ConstantWrites(float(np.sqrt(np.mean(always_V**2))), words.raised(always_V, count))
    return OvCircuit(
        tops, copying_score(values), float((values.real > 0).mean()) if len(values) else 0.0, parts.value_E.tolist(),
        _directions(model, parts, seen, words, count), constant,
    )  # fmt: skip


def _directions(
    model: Model, parts: Decomposed, seen: ScannedVocabulary, words: Words, count: int
) -> list[SingularDirection]:
    """The first directions, each turned so that the tokens that lie farthest along it do so on its plus side."""
    out_DN = parts.out_DE[:, :DIRECTIONS] * parts.value_E[:DIRECTIONS]
    logits_NV = logits_of(model, np.ascontiguousarray(out_DN.T, np.float32))
    found = []
    for place, logits_V in enumerate(logits_NV):
        along_V = seen.along_VN[:, place]
        shown = along_V[words.ids]
        sign = 1 if shown.max() >= -shown.min() else -1
        logits_V = (logits_V - logits_V.mean()) * sign
        along_V = along_V * sign
        sides = [
            DirectionSide(words.read(way * along_V, count), words.raised(way * logits_V, count)) for way in (1, -1)
        ]
        found.append(SingularDirection(float(parts.value_E[place]), *sides))
    return found


def _qk(
    model: Model, scores: Scores, seen: ScannedVocabulary, words: Words, chosen: Sequence[int], options: HeadOptions
) -> QkCircuit:
    query_VE, key_VE = scores.queries(seen.query_VE, options.distance), scores.keys(seen.key_VE)
    mean_E = key_VE.mean(axis=0)
    centred_VE, any_E = key_VE - mean_E, query_VE.mean(axis=0)
    wanted_V = centred_VE @ any_E
    query_VE = query_VE - any_E
    wanted = [WantedKey(*entry) for entry in words.best(wanted_V, options.top)]

    def named(token_id: int) -> NamedToken:
        return NamedToken(token_id, words.text(token_id))

    if chosen:
        tops = [
            AttendedPair(named(query), NamedToken(key, text), score)
            for query in chosen
            for key, text, score in words.best(centred_VE @ query_VE[query], options.top)
        ]
        tried, exact = len(chosen), True
    else:
        best = best_pairs(query_VE, centred_VE, words.ids, words.ids, options.top)
        tops = [AttendedPair(named(query), named(key), score) for score, query, key in best.pairs]
        tried, exact = best.tried, best.exact
    position = position_scores(model, scores, seen.query_VE.mean(axis=0), mean_E)
    return QkCircuit(tops, options.distance, wanted, tried, exact, position)
