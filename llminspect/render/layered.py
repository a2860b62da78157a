"""Where the nodes of a layered graph stand: ranks from the top down, lines of one source together, few crossings.

Sugiyama et al. 1981, "Methods for Visual Understanding of Hierarchical System Structures": a line that passes a
rank has a place of its own there; each rank is ordered by the means of its neighbours' places, down and up again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

SWEEPS, SETTLED = 10, 4
"""Sweeps over all ranks, and how many of them leave the order as it is."""
PASSING = 1
"""Cells of a line that passes a rank."""
GAPS = (4, 3, 2, 1)
"""Cells between two neighbours: as many as there is room for."""


def arranged(
    ranks: Sequence[int], widths: Sequence[int], ends: Sequence[tuple[int, int]], columns: int
) -> Mapping[tuple[int, int], float] | None:
    """The middle of each node, and of its line where that passes a later rank, by (rank, node); None where a rank is
    wider than `columns`. `ranks` are 0, 1, … without a gap; `ends` are (from, to), from a lower rank to a higher.

    >>> places = arranged([0, 1, 1, 2], [3, 3, 3, 3], [(0, 1), (0, 2), (1, 3), (2, 3)], 11)
    >>> [places[rank, node] for node, rank in enumerate([0, 1, 1, 2])]
    [5.5, 2.0, 9.0, 5.5]
    """
    last = list(ranks)
    for start, end in ends:
        last[start] = max(last[start], ranks[end] - 1)
    nodes = range(len(ranks))
    rows = [[node for node in nodes if ranks[node] <= rank <= last[node]] for rank in range(max(ranks) + 1)]

    def room(rank: int, node: int) -> int:
        return widths[node] if ranks[node] == rank else PASSING

    fill = [(len(row), sum(room(rank, node) for node in row)) for rank, row in enumerate(rows)]
    gap = next((gap for gap in GAPS if all(wide + gap * (count - 1) <= columns for count, wide in fill)), None)
    if gap is None:
        return None
    places = {(rank, node): columns / 2 + 1e-3 * at for rank, row in enumerate(rows) for at, node in enumerate(row)}
    above: dict[tuple[int, int], list[tuple[int, int]]] = {spot: [] for spot in places}
    below: dict[tuple[int, int], list[tuple[int, int]]] = {spot: [] for spot in places}
    passed = [((rank, node), (rank + 1, node)) for node in nodes for rank in range(ranks[node], last[node])]
    for upper, lower in [*passed, *(((ranks[end] - 1, start), (ranks[end], end)) for start, end in ends)]:
        above[lower].append(upper)
        below[upper].append(lower)
    for sweep in range(SWEEPS):
        in_turn = list(enumerate(rows))
        for rank, row in in_turn if sweep % 2 == 0 else reversed(in_turn):
            settled = sweep >= SWEEPS - SETTLED
            sides = (above, below) if settled else (above,) if sweep % 2 == 0 else (below,)
            wanted = {node: _mean(rank, node, sides, places) for node in row}
            if not settled:
                row.sort(key=lambda node: (wanted[node], node))
            found = apart([wanted[node] for node in row], [room(rank, node) for node in row], gap, columns)
            places.update({(rank, node): place for node, place in zip(row, found, strict=True)})
    return places


def _mean(
    rank: int,
    node: int,
    sides: Sequence[Mapping[tuple[int, int], Sequence[tuple[int, int]]]],
    places: Mapping[tuple[int, int], float],
) -> float:
    """The middle of a spot's neighbours on these sides; where it has none, of itself."""
    found = [places[spot] for side in sides for spot in side[rank, node]] or [places[rank, node]]
    return sum(found) / len(found)


def apart(wanted: Sequence[float], widths: Sequence[int], gap: int, columns: int) -> list[float]:
    """The middles nearest to those that are wanted (by least squares: isotonic regression by pooling) where, in this
    order, there is room for all between 0 and `columns`, and for `gap` cells between two."""
    offsets, end = [], 0.0
    for width in widths:
        offsets.append(end + width / 2)
        end += width + gap
    pooled: list[tuple[float, int]] = []
    for value, offset in zip(wanted, offsets, strict=True):
        pooled.append((value - offset, 1))
        while len(pooled) > 1 and pooled[-2][0] > pooled[-1][0]:
            (one, ones), (other, others) = pooled[-2:]
            pooled[-2:] = [((one * ones + other * others) / (ones + others), ones + others)]
    starts = [min(max(value, 0.0), columns - end + gap) for value, count in pooled for _ in range(count)]
    return [start + offset for start, offset in zip(starts, offsets, strict=True)]
