"""Building a binary k-means tree: large cells one by one, small ones whole branches at a time."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metricsearch.baselines.k_means_tree import _kernels
from metricsearch.threads import thread_map

MAX_CYCLES = 25  # of Lloyd's algorithm per split
BRANCH_SIZE = 4096  # cells up to this size are split, with all that comes of them, by one thread in one go
ROWS_AT_ONCE = 1024  # rows moved at a time


class _Cell(NamedTuple):
    begin: int
    end: int
    depth: int
    parent: int  # the split it is a side of; 0 for the root, since no cell is split at position 0
    side: int


@dataclass(frozen=True, slots=True, eq=False)
class SplitTree:
    """A binary tree over n objects; split i lies between leaf i and leaf i + 1.

    centres: (n_splits, 2, d) float32, of both sides. gaps: (n_splits,) float64, the distance between them. offsets:
    (n_splits,) float64, the difference of squared distances to both, above which an object is on the right.
    children: (n_splits, 2) int32, a split, or -1 - leaf. root: likewise.
    starts: (n_leaves + 1,) int32, of the leaves in the order (n,) int32 of ordinals; ascending in a leaf.
    """

    centres: NDArray[np.float32]
    gaps: NDArray[np.float64]
    offsets: NDArray[np.float64]
    children: NDArray[np.int32]
    root: int
    starts: NDArray[np.int32]
    order: NDArray[np.int32]

    @property
    def splits(self) -> tuple[NDArray[np.generic], ...]:
        """What the kernels call `splits`."""
        return self.centres, self.gaps, self.offsets, self.children

    @property
    def leaves(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """What the kernels call `leaves`."""
        return self.starts, self.order


def empty_tree() -> SplitTree:
    """The tree over no objects."""
    children = np.zeros((1, 2), dtype=np.int64)
    none = (np.empty((1, 2, 0), dtype=np.float32), np.zeros(1), np.empty(1), children)
    return _number(*none, np.empty(0, dtype=np.int32))


def grow_tree(
    objects: NDArray[np.float32],
    rows: NDArray[np.int64],
    *,
    leaf_size: int,
    max_depth: int | None,
    balanced: bool,
    seed: int,
    n_threads: int,
) -> SplitTree:
    """Tree over checked vectors (n, d), a `dense_view`. rows: (n,), of every ordinal. The others: see `KMeansTree`."""
    n, d = objects.shape
    members = rows.astype(np.int64)
    draws = np.random.default_rng(seed).random((n, 2))
    limits = min(leaf_size, n), n if max_depth is None else min(max_depth, n)  # within the integers of a kernel
    # Rows of splits that are never made are never touched, so they take no memory.
    children = np.zeros((max(n, 1), 2), dtype=np.int64)
    splits = (np.empty((max(n, 1), 2, d), dtype=np.float32), np.zeros(max(n, 1)), np.empty(max(n, 1)), children)

    def split(cell: _Cell) -> int:
        draw = draws[_kernels.draw_of(cell.begin, cell.depth, n)]
        made = _kernels.split_cell(objects, members, cell.begin, cell.end, draw, balanced, MAX_CYCLES, splits)
        return int(made)

    def grow(cell: _Cell) -> None:
        _kernels.grow_cell(objects, members, tuple(cell), draws, limits, balanced, MAX_CYCLES, splits)

    large, small = [_Cell(0, n, 0, 0, 0)], []
    while large:
        small += [cell for cell in large if cell.end - cell.begin <= BRANCH_SIZE]
        large = [
            cell for cell in large if cell.end - cell.begin > max(BRANCH_SIZE, limits[0]) and cell.depth < limits[1]
        ]
        made = thread_map(split, large, n_threads)
        halves = []
        for cell, at in zip(large, made, strict=True):
            children[cell.parent, cell.side] = at
            if at:
                halves.append(_Cell(cell.begin, at, cell.depth + 1, at, 0))
                halves.append(_Cell(at, cell.end, cell.depth + 1, at, 1))
        large = halves
    thread_map(grow, small, n_threads)
    ordinals = np.empty(n, dtype=np.int32)
    ordinals[rows] = np.arange(n, dtype=np.int32)
    return _number(*splits, ordinals[members])


def _number(
    centres: NDArray[np.float32],
    gaps: NDArray[np.float64],
    offsets: NDArray[np.float64],
    children: NDArray[np.int64],
    order: NDArray[np.int32],
) -> SplitTree:
    """Keep the rows of the splits that were made, and number them from 0."""
    made = np.flatnonzero(gaps)
    centres = _keep_rows(centres, made)
    # The leaf left of the first split is the first, so split i has the leaves i and i + 1 beside it.
    numbers = np.searchsorted(made, children[made])
    kept = np.where(children[made] > 0, numbers, -1 - (np.arange(len(made))[:, None] + np.arange(2)))
    root = int(np.searchsorted(made, children[0, 0])) if len(made) else -1
    starts = np.concatenate([[0], made, [len(order)]]).astype(np.int32)
    return SplitTree(centres, gaps[made], offsets[made], kept.astype(np.int32), root, starts, order)


def _keep_rows(array: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """`array` with only these ascending rows, moved in place: a copy might not fit into memory beside it."""
    for start in range(0, len(rows), ROWS_AT_ONCE):
        part = rows[start : start + ROWS_AT_ONCE]
        array[start : start + len(part)] = array[part]
    array.resize((len(rows), *array.shape[1:]), refcheck=False)
    return array
