"""k-means inside the cells of one level (Nistér & Stewénius 2006, section 3; decisions of NS06 §1.2).

Lloyd cycles: every point to its nearest centre (ties: the lowest number), every centre to the mean of its points, until
nothing changes or the cycles are used up. An empty cluster takes the point farthest from its centre. Centres of bytes
are whole numbers all the time: the rounded mean is the best whole-number centre, so each cycle still lowers the
distortion, and all distances are exact. At the end the points are distributed once more by the final centres, so that
a training descriptor descends into the very cell it helped to train.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metricsearch.threads import thread_map
from metricsearch.vocabulary import _kernels
from metricsearch.vocabulary.assignment import Cells, assign_nearest, plain_view

PIECE_POINTS = 16384  # points of one kernel call; fixed, since float sums depend on it
STARTS = ("random", "k-means++")


class Split(NamedTuple):
    """Cells that were split into clusters.

    n_children : (cells,) int64, 0 for a leaf; centres : (children, d) of all cells one after the other
    begin, end : (children,) int64, the runs of the children's points
    """

    n_children: NDArray[np.int64]
    centres: NDArray[Any]
    begin: NDArray[np.int64]
    end: NDArray[np.int64]


def split_cells(
    x: NDArray[Any],
    y: NDArray[Any] | None,
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
    seeds: NDArray[np.uint64],
    *,
    branching: int,
    cycles: int,
    start: str,
    n_threads: int,
    tick: Callable[[int], None],
) -> Split:
    """Cluster the points begin[c] .. end[c] - 1 of every cell into at most `branching` clusters.

    x: (n, d) uint8 or float32; y: like x, gets the points ordered by cluster (None: they are not moved).
    A cell of at most `branching` points, or of equal points, is a leaf. seeds: (cells,), one for each cell: what
    becomes of a cell depends on nothing else. tick: called with the number of points of each finished pass, which are
    `cycles` + 1 for every point.
    """
    x = plain_view(x)
    count = np.empty(len(begin), dtype=np.int64)
    _kernels.find_leaves(x, begin, end, branching, count)
    if not count.any():
        return Split(count, np.empty((0, x.shape[1]), x.dtype), *np.empty((2, 0), dtype=np.int64))
    run, offset = slice(begin[0], end[-1]), int(begin[0])
    x, y = x[run], None if y is None else y[run]
    cells = Cells(begin - offset, end - offset, np.cumsum(count) - count, count)
    labels = np.zeros(len(x), dtype=np.uint16)
    span = int((end - begin)[count > 0].sum())
    centres = np.ascontiguousarray(x[_starts(x, cells, seeds, start, n_threads)])
    n_passes = _lloyd(x, cells, centres, labels, cycles, n_threads, lambda: tick(span))
    tick(span * (cycles + 1 - n_passes))
    return _distribute(x, y, cells, centres, labels, offset)


def split_by_centres(
    x: NDArray[Any],
    y: NDArray[Any] | None,
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
    count: NDArray[np.int64],
    centres: NDArray[Any],
    n_threads: int,
) -> Split:
    """What `split_cells` did, again, from its centres: count (cells,) of them for each cell."""
    cells = Cells(begin, end, np.cumsum(count) - count, count)
    labels = np.zeros(len(x), dtype=np.uint16)
    thread_map(lambda piece: _assign_piece(x, piece, centres, labels), _pieces(cells), n_threads)
    return _distribute(plain_view(x), y, cells, centres, labels, 0)


def _starts(x: NDArray[Any], cells: Cells, seeds: NDArray[np.uint64], start: str, n_threads: int) -> NDArray[np.int64]:
    """Numbers of the points that the centres start from."""
    chosen = np.empty(int(cells.n_centres.sum()), dtype=np.int64)
    if start == "random":
        _kernels.choose_random(*cells, seeds, chosen)
        return chosen
    weights, states = np.ones(len(x)), seeds.copy()
    pieces = _pieces(cells)
    for j in range(int(cells.n_centres.max())):
        _kernels.draw_weighted(*cells, j, weights, states, chosen)
        thread_map(partial(_lower_weights, x, j, chosen, weights), pieces, n_threads)
    return chosen


def _lower_weights(
    x: NDArray[Any], j: int, chosen: NDArray[np.int64], weights: NDArray[np.float64], piece: Cells
) -> None:
    _kernels.lower_weights(x, *piece, j, chosen, weights)


def _lloyd(
    x: NDArray[Any],
    cells: Cells,
    centres: NDArray[Any],
    labels: NDArray[np.uint16],
    cycles: int,
    n_threads: int,
    tick: Callable[[], None],
) -> int:
    """Move the centres in at most `cycles` cycles and leave every point's nearest one in `labels`; passes made."""
    active = cells.n_centres.copy()
    for cycle in range(cycles + 1):
        pieces = _pieces(cells._replace(n_centres=active))
        found = thread_map(lambda piece: _assign_piece(x, piece, centres, labels), pieces, n_threads)
        tick()
        if cycle == cycles:
            break
        if cycle > 0:  # at first all are new
            changed = np.concatenate(found) if len(cells.begin) > 1 else np.array([np.concatenate(found).any()])
            active[~changed] = 0
        if not active.any():
            break
        running = cells._replace(n_centres=active)
        _kernels.fill_empty(x, *running, plain_view(centres), labels)
        _update(x, running, pieces, centres, labels, n_threads)
    return cycle + 1


def _assign_piece(
    x: NDArray[Any], piece: Cells, centres: NDArray[Any], labels: NDArray[np.uint16]
) -> NDArray[np.bool_]:
    low, high = int(piece.begin[0]), int(piece.end[-1])
    here = piece._replace(begin=piece.begin - low, end=piece.end - low)
    return assign_nearest(x[low:high], np.arange(high - low), here, centres, labels[low:high])


def _update(
    x: NDArray[Any],
    cells: Cells,
    pieces: list[Cells],
    centres: NDArray[Any],
    labels: NDArray[np.uint16],
    n_threads: int,
) -> None:
    whole = x.dtype == np.uint8
    if len(pieces) == 1:
        _kernels.update_centres(x, *cells, labels, whole, centres)
        return
    k = int(cells.n_centres[0])
    sums, sizes = np.zeros((k, x.shape[1])), np.zeros(k, dtype=np.int64)

    def add(piece: Cells) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        own = np.zeros_like(sums), np.zeros_like(sizes)
        _kernels.add_points(x, piece.begin[0], piece.end[0], labels, *own)
        return own

    for first in range(0, len(pieces), 2 * n_threads):  # few sums at a time: they are large with many centres
        for own_sums, own_sizes in thread_map(add, pieces[first : first + 2 * n_threads], n_threads):
            sums += own_sums
            sizes += own_sizes
    _kernels.set_centres(sums, sizes, 0, k, whole, centres)


def _pieces(cells: Cells) -> list[Cells]:
    """One cell in pieces of PIECE_POINTS points; several cells, which are small, in one piece."""
    if len(cells.begin) > 1:
        return [cells]
    cuts = np.append(np.arange(cells.begin[0], cells.end[0], PIECE_POINTS), cells.end[0])
    return [Cells(cuts[i : i + 1], cuts[i + 1 : i + 2], cells.first, cells.n_centres) for i in range(len(cuts) - 1)]


def _distribute(
    x: NDArray[Any],
    y: NDArray[Any] | None,
    cells: Cells,
    centres: NDArray[Any],
    labels: NDArray[np.uint16],
    offset: int,
) -> Split:
    """The clusters that have points; `offset` is added to their runs."""
    begin, end = np.empty((2, len(centres)), dtype=np.int64)
    target = np.empty((0, x.shape[1]), x.dtype) if y is None else y
    _kernels.distribute(x, *cells, labels, y is not None, target, begin, end)
    filled = end > begin
    owner = np.repeat(np.arange(len(cells.n_centres)), cells.n_centres)
    n_children = np.bincount(owner[filled], minlength=len(cells.n_centres))
    return Split(n_children, centres[filled], begin[filled] + offset, end[filled] + offset)
