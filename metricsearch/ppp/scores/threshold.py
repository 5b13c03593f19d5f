"""The exact R objects of smallest sum of scores, from spaces read only as deep as it takes.

Fagin's threshold algorithm without random access: an object not met in a space has at least the score of what comes
next there. Once no object that was not met everywhere can still reach the R-th best sum, the R best are certain.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from metricsearch.ppp.aggregation import Block, Progress, SampleQuantiles, SpaceStream, deliver
from metricsearch.ppp.scores import _kernels
from metricsearch.ppp.scores.scoring import SpaceScores


class ScoreDepths(SampleQuantiles):
    """How deep the spaces must be read, judged by running the threshold algorithm on the sample."""

    def __init__(self, keys: NDArray[np.float64], n: int, scores: list[SpaceScores]) -> None:
        """keys: (λ, s) ranking distances of the sample; n: number of objects."""
        super().__init__(keys, n)
        ranks = self.ranks * (n / max(self.n_sample, 1))
        self._scores = np.stack([of.of_sample(keys[j], ranks[j]) for j, of in enumerate(scores)])
        self._by_rank = np.take_along_axis(self._scores, np.argsort(keys, axis=1), axis=1)

    def depth(self, n_wanted: int) -> float:
        """Share of each space to begin with for `n_wanted` candidates."""
        if not self.n_sample:
            return 1.0
        limit = np.sort(self._scores.sum(axis=0))[self.place(n_wanted)]
        place = 1.0
        while place < self.n_sample:
            frontiers = self._by_rank[:, int(place), None]
            met = self.ranks <= int(place)
            bounds = np.where(met, self._scores, frontiers).sum(axis=0)
            if not (~met.all(axis=0) & (bounds <= limit)).any():
                break
            place *= 1.2
        return float(min(place / self.n_sample, 1.0))


class _Met:
    """The objects met so far, with their scores by space."""

    def __init__(self, n_ordinals: int, n_objects: int, n_spaces: int) -> None:
        self._n_objects = n_objects
        self._rows = np.zeros(n_ordinals, dtype=np.int32)
        # Rows are used from the front: memory beyond those is never touched.
        self._ordinals = np.empty(n_objects, dtype=np.int64)
        self._n_seen = np.empty(n_objects, dtype=np.uint8)
        self._table = np.empty((n_objects, n_spaces))
        self._n = 0

    def enter(self, ordinals: NDArray[np.int64], scores: NDArray[np.float64], space: int) -> None:
        """Note records of one space."""
        self._n = _kernels.enter(
            ordinals, scores, space, self._n, self._rows, self._ordinals, self._n_seen, self._table
        )

    def sums(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """(ordinals, sums of scores) of the objects met in all spaces."""
        full, sums = np.empty(self._n, dtype=np.int64), np.empty(self._n)
        n_full = _kernels.full_sums(self._n, self._n_seen, self._table, full, sums)
        return self._ordinals[full[:n_full]], sums[:n_full]

    def open_spaces(self, frontiers: NDArray[np.float64], limit: float) -> list[int]:
        """Spaces in which objects were not met that may still reach a sum <= limit."""
        needed = np.zeros(len(frontiers), dtype=np.bool_)
        if self._n < self._n_objects and _sum(frontiers) <= limit:
            needed[:] = True
        else:
            _kernels.open_spaces(self._n, self._n_seen, self._table, frontiers, limit, needed)
        return np.flatnonzero(needed).tolist()


def aggregate_scores(
    streams: list[SpaceStream],
    scores: list[SpaceScores],
    depths: ScoreDepths,
    n_objects: int,
    block_sizes: list[int],
    progress: Progress,
    n_threads: int,
) -> Iterator[Block]:
    """Blocks of (ordinals, sums, hits) of smallest sum, until sum(block_sizes) <= n_objects ordinals are out.

    A block holds all objects up to a sum, and beyond those of the block before; their order in it is not yet the
    final one. hits: all spaces.
    """
    n_spaces = len(streams)
    met = _Met(depths.n, n_objects, n_spaces)
    reached = [0.0] * n_spaces
    n_out = n_wanted = 0
    last = -np.inf
    for block_size in block_sizes:
        n_wanted += block_size
        if n_out >= n_wanted:
            continue
        target = depths.depth(n_wanted)
        behind = [j for j in range(n_spaces) if reached[j] < target and not streams[j].exhausted]
        while True:
            deliver(streams, behind, reached, target, depths, n_threads)
            _enter(streams, scores, met, progress)
            ordinals, sums = met.sums()
            # Summands may overflow to infinity, which is a sum like any other: only a missing R-th is no limit.
            limit = np.partition(sums, n_wanted - 1)[n_wanted - 1] if len(sums) >= n_wanted else np.inf
            frontiers = np.array([of.least_after(stream.reach) for of, stream in zip(scores, streams, strict=True)])
            behind = [j for j in met.open_spaces(frontiers, limit) if not streams[j].exhausted]
            if not behind:
                break
            target = 0.0
        new = np.flatnonzero((sums > last) & (sums <= limit))
        yield ordinals[new], sums[new], np.full(len(new), n_spaces, dtype=np.uint8)
        n_out += len(new)
        last = limit


def _enter(streams: list[SpaceStream], scores: list[SpaceScores], met: _Met, progress: Progress) -> None:
    """Score and note what was delivered."""
    for j, stream in enumerate(streams):
        keys, ordinals = stream.take()
        if len(keys):
            met.enter(ordinals, scores[j].of_next(keys), j)
            stream.consume(len(keys))
            progress.n_ids_ranked[j] += len(keys)
    progress.n_looked = sum(stream.n_looked for stream in streams)


def _sum(terms: NDArray[np.float64]) -> float:
    """In the order of the kernels, which numpy's sum does not keep."""
    total = 0.0
    for term in terms.tolist():
        total += term
    return total
