"""Rank aggregation: the exact R candidates of smallest Ψ_p from λ PPP-trees (spec sections 1.3, 3.2 and 3.3).

The paper pops one equal-distance group after another from a heap per space. Here each space delivers its groups in
slices (low, high] of the ranking distance: a slice is gathered by one pruned depth-first pass and sorted, the merge
consumes the slices round by round, and asks for the next slices where it ran dry. The first slices are sized by
ranking a small sample of the objects. Slices hold whole groups, so the rounds, and with them the result, are those of
the paper's algorithm, whatever the slices.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from metricsearch.ppp import _kernels
from metricsearch.ppp.ranking import RankingTable
from metricsearch.ppp.tree import PPPTree, ordinal_bits, pivot_bits
from metricsearch.threads import thread_map

GROWTH = 1.7  # how much deeper each further slice reaches
LEAST_DEPTH = 1e-4  # of the first

# (m,) int64 ordinals or IDs; (m,) what they are ordered by: int64 aggregated ranks or float64 sums of scores; (m,)
# uint8 hits
Block: TypeAlias = tuple[NDArray[np.int64], NDArray[Any], NDArray[np.uint8]]


@dataclass(frozen=True, slots=True)
class Records:
    """What one space searches: its tree, and the prefixes of objects inserted since it was built.

    removed: (n_total,) bool by ordinal, or empty if nothing was removed.
    inserted: (m, l) uint16, ordinals n_tree .. n_tree + m - 1.
    """

    tree: PPPTree
    n_tree: int
    n_pivots: int
    removed: NDArray[np.bool_]
    inserted: NDArray[np.uint16]


class SpaceStream:
    """The objects of one space in order of ranking distance, delivered in slices of whole equal-distance groups."""

    def __init__(self, records: Records, table: RankingTable) -> None:
        self._records = records
        self._table = table
        self.reach = -np.inf  # all records with ranking distances up to here were delivered
        self._inserted_keys = prefix_keys(records.inserted, table)
        self._keys = np.empty(0)
        self._ordinals = np.empty(0, dtype=np.int64)
        self.exhausted = False
        self.n_looked = 0

    def extend(self, high: float, expected: int) -> None:
        """Deliver all records with ranking distance up to `high`; about `expected` are assumed."""
        if high > self.reach:
            keys, ordinals = self.gather(high, expected)
            order = np.argsort(keys)
            self._keys = np.concatenate([self._keys, keys[order]])
            self._ordinals = np.concatenate([self._ordinals, ordinals[order]])

    def gather(self, high: float, expected: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Keys and ordinals of the records that `extend` would deliver, in any order, instead of delivering them."""
        records, table = self._records, self._table
        widths = (pivot_bits(records.n_pivots), ordinal_bits(records.n_tree), records.n_tree)
        n_found, capacity = -1, min(records.n_tree, expected + 256)
        while n_found < 0 or n_found > capacity:
            capacity = max(capacity, n_found)
            keys, ordinals = np.empty(capacity), np.empty(capacity, dtype=np.int64)
            n_found, n_looked = 0, 0
            if records.n_tree:
                n_found, n_looked = _kernels.collect(
                    records.tree.nodes,
                    records.tree.pools,
                    widths,
                    table.table,
                    table.fill,
                    table.n_kendall,
                    self.reach,
                    high,
                    records.removed,
                    keys,
                    ordinals,
                )
            self.n_looked += n_looked
        keys, ordinals = keys[:n_found], ordinals[:n_found]
        if len(self._inserted_keys):
            keys, ordinals = self._with_inserted(keys, ordinals, high)
        self.reach = high
        self.exhausted = high == np.inf
        return keys, ordinals

    def _with_inserted(
        self, keys: NDArray[np.float64], ordinals: NDArray[np.int64], high: float
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        records = self._records
        wanted = (self._inserted_keys > self.reach) & (self._inserted_keys <= high)
        if records.removed.size:
            wanted &= ~records.removed[records.n_tree :]
        which = np.flatnonzero(wanted)
        return np.concatenate([keys, self._inserted_keys[which]]), np.concatenate([ordinals, which + records.n_tree])

    def take(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Keys and ordinals delivered and not yet consumed."""
        return self._keys, self._ordinals

    def consume(self, n: int) -> None:
        """Forget the first n of them."""
        self._keys, self._ordinals = self._keys[n:], self._ordinals[n:]


@dataclass(slots=True)
class Progress:
    """State of one merge after its latest block.

    n_ids_ranked: (λ,) int64, entries consumed in each space (the probe depth); n_looked: prefixes evaluated.
    """

    n_ids_ranked: NDArray[np.int64]
    n_looked: int = 0


def prefix_keys(prefixes: NDArray[np.uint16], table: RankingTable) -> NDArray[np.float64]:
    """Ranking distances of uncompressed prefixes (n, l), with the bits the tree traversal would give."""
    keys = np.empty(len(prefixes))
    _kernels.flat_keys(prefixes, table.table, table.n_kendall, keys)
    return keys


class SampleQuantiles:
    """What ranking a sample of the objects in all spaces tells about all of them."""

    def __init__(self, keys: NDArray[np.float64], n: int) -> None:
        """keys: (λ, s) ranking distances of the sample; n: number of objects."""
        self.n = n
        self.n_sample = keys.shape[1]
        self._sorted = np.sort(keys, axis=1)
        self.ranks = np.empty(keys.shape)  # 1 .. s in each space
        np.put_along_axis(self.ranks, np.argsort(keys, axis=1), np.arange(1.0, self.n_sample + 1)[None], axis=1)

    def place(self, n_wanted: int) -> int:
        """Where in a sorted sample of s > 0 the `n_wanted` best of all objects surely end."""
        place = n_wanted / max(self.n, 1) * self.n_sample
        # The few sample objects near the top scatter: allow for two standard deviations.
        place += 2.0 * np.sqrt(place + 1.0)
        return int(min(place, self.n_sample - 1))

    def threshold(self, space: int, depth: float) -> float:
        """Ranking distance below which about a share `depth` of the space lies; infinity for all of it."""
        place = int(np.ceil(depth * self.n_sample))
        return float(self._sorted[space, place]) if place < self.n_sample else np.inf

    def next_slice(self, space: int, reached: float, target: float) -> tuple[float, float, int]:
        """The slice after depth `reached`: to depth `target`, and at least GROWTH times deeper than before.

        Returns its depth, its highest ranking distance, and how many objects are expected in it.
        """
        depth = max(target, reached * GROWTH, LEAST_DEPTH)
        return depth, self.threshold(space, depth), int(1.3 * (depth - reached) * self.n)


class PercentileDepths(SampleQuantiles):
    """How deep the merge must reach for Ψ_p."""

    def __init__(self, keys: NDArray[np.float64], n: int, min_hits: int) -> None:
        super().__init__(keys, n)
        self._aggregated = np.sort(np.partition(self.ranks, min_hits - 1, axis=0)[min_hits - 1])

    def depth(self, n_wanted: int) -> float:
        """Share of each space that must be read for `n_wanted` candidates."""
        return float(self._aggregated[self.place(n_wanted)]) / self.n_sample if self.n_sample else 1.0


def aggregate(
    streams: list[SpaceStream],
    depths: PercentileDepths,
    n: int,
    min_hits: int,
    dense: bool,
    block_sizes: list[int],
    progress: Progress,
    n_threads: int,
) -> Iterator[Block]:
    """Blocks of (ordinals, aggregated ranks, hits) in order of Ψ_p, until sum(block_sizes) ordinals are out.

    n: number of ordinals; block_sizes: how many ordinals to find before a block is handed on. Inside a round the
    order is not yet the final one; a block ends with a whole round.
    """
    n_spaces = len(streams)
    hits = np.zeros(n, dtype=np.uint8)
    next_rank = np.ones(n_spaces, dtype=np.int64)
    found = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64), np.empty(n, dtype=np.uint8)
    n_out = n_wanted = 0
    reached = [0.0] * n_spaces
    for block_size in block_sizes:
        n_wanted += block_size
        if n_out >= n_wanted:
            continue
        target = depths.depth(n_wanted)
        behind = [j for j in range(n_spaces) if reached[j] < target and not streams[j].exhausted]
        while True:
            deliver(streams, behind, reached, target, depths, n_threads)
            new, blocked = _merge(streams, next_rank, dense, min_hits, n_wanted - n_out, hits, found, progress)
            if new:
                yield found[0][:new].copy(), found[1][:new].copy(), found[2][:new].copy()
                n_out += new
            if n_out >= n_wanted or not blocked:
                break
            behind = blocked
            target = 0.0
        if all(stream.exhausted for stream in streams) and not any(len(s.take()[0]) for s in streams):
            return


def deliver(
    streams: list[SpaceStream],
    which: list[int],
    reached: list[float],
    target: float,
    quantiles: SampleQuantiles,
    n_threads: int,
) -> None:
    """Deliver the next slices of the spaces `which`. reached: depth of each space so far, advanced."""

    def extend(j: int) -> None:
        reached[j], high, expected = quantiles.next_slice(j, reached[j], target)
        streams[j].extend(high, expected)

    thread_map(extend, which, n_threads)


def _merge(
    streams: list[SpaceStream],
    next_rank: NDArray[np.int64],
    dense: bool,
    min_hits: int,
    n_wanted: int,
    hits: NDArray[np.uint8],
    found: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]],
    progress: Progress,
) -> tuple[int, list[int]]:
    """Run rounds on what is delivered; returns the number of ordinals found and the spaces that ran dry."""
    delivered = [stream.take() for stream in streams]
    lengths = np.array([len(keys) for keys, _ in delivered])
    stop = np.cumsum(lengths)
    begin = stop - lengths
    position = begin.copy()
    exhausted = np.array([stream.exhausted for stream in streams])
    new = _kernels.merge_rounds(
        np.concatenate([keys for keys, _ in delivered]),
        np.concatenate([ordinals for _, ordinals in delivered]),
        position,
        stop,
        exhausted,
        next_rank,
        dense,
        min_hits,
        n_wanted,
        hits,
        found,
    )
    progress.n_ids_ranked += position - begin
    progress.n_looked = sum(stream.n_looked for stream in streams)
    for stream, n_consumed in zip(streams, position - begin, strict=True):
        stream.consume(int(n_consumed))
    dry = [j for j in range(len(streams)) if position[j] == stop[j] and not exhausted[j]]
    return new, dry
