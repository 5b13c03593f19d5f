"""When to stop reading: a bound on the estimates of candidates, driven by the k-th distance found so far.

Candidates come in order of their estimates (see `metricsearch.sketches`). Reading stops when the next estimate exceeds
slope · (k-th distance so far)^power + offset: an object that far down is unlikely to be nearer. Estimates err by a
share of the distance and by a constant, in proportions that differ from data to data; hence both numbers are learnt:
training queries are searched deeply once, and any rule can then be replayed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import CorruptedError, InvalidInputError

STEP_GROWTH = 1.2  # after the k first, each step reads so many times as many in all ...
LEAST_STEP = 2  # ... and at least so many more
MAX_K = 100  # neighbours that a record is good for
_SAVED = {"estimates": ("<f4", 2), "distances": ("<f8", 2), "truth": ("<f8", 2), "power": ("<f8", 1)}  # dtype, ndim
SLOPES = np.array([0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0])  # tried, in units of the usual one


def reading_steps(k: int, most: int) -> list[int]:
    """How many candidates have been read after each step, ascending; the last is `most`."""
    steps = [min(k, most)]
    while steps[-1] < most:
        steps.append(min(max(int(steps[-1] * STEP_GROWTH), steps[-1] + LEAST_STEP), most))
    return steps


@dataclass(frozen=True, slots=True)
class Cutoff:
    """Stop before an estimate above slope · (k-th distance)^power + offset, infinity: never; and at `depth` at last."""

    slope: float
    offset: float
    power: float
    depth: int

    def stops(self, n_read: int, next_estimate: float, kth_distance: float) -> bool:
        """Whether, after n_read objects, the one of `next_estimate` and all that follow are left unread."""
        return n_read >= self.depth or next_estimate - self.slope * kth_distance**self.power > self.offset


@dataclass(frozen=True, slots=True, eq=False)
class ReadingRecord:
    """Deep searches of training queries, from which a cut-off is learnt for any k and recall.

    estimates: (q, r) float32 and distances: (q, r) float64, of the r first candidates in order of their estimates.
    truth: (q, m) float64, distances of the m nearest objects that a deep search found, ascending. power: estimates grow
    with distance^power.
    """

    estimates: NDArray[np.float32]
    distances: NDArray[np.float64]
    truth: NDArray[np.float64]
    power: float

    @property
    def n_queries(self) -> int:
        """q."""
        return len(self.estimates)

    @property
    def depth(self) -> int:
        """r: no search reads more."""
        return int(self.estimates.shape[1])

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """All of it as arrays by name."""
        return {
            "estimates": self.estimates,
            "distances": self.distances,
            "truth": self.truth,
            "power": np.array([self.power]),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], where: str) -> Self:
        """The record that gave `to_arrays()`; they may be memory-mapped. Raises CorruptedError, which says `where`."""
        found = {name: (array.dtype.str, array.ndim) for name, array in arrays.items()}
        if found != _SAVED:
            raise CorruptedError(f"{where}: not the arrays of a cut-off ({found}); call learn_cutoff() again")
        estimates, distances, truth, power = (arrays[name] for name in _SAVED)
        n_queries, depth = estimates.shape
        if not (
            n_queries >= 1
            and distances.shape == estimates.shape
            and truth.shape == (n_queries, min(depth, MAX_K))
            and power.shape == (1,)
            and 0 < float(power[0]) < np.inf
            and all(_ascend(array) for array in (estimates, truth))
            and (distances >= 0).all()
            and (truth >= 0).all()
        ):
            raise CorruptedError(f"{where}: the arrays of the cut-off make no sense; call learn_cutoff() again")
        return cls(estimates, distances, truth, float(power[0]))

    def cutoff(self, k: int, target_recall: float) -> Cutoff:
        """The rule with which the training queries reach `target_recall` on average and read least.

        Among the rules is to read equally much for every query: where it is best, the k-th distance tells nothing.
        Raises InvalidInputError for k > MAX_K.
        """
        if self.truth.shape[1] < MAX_K:  # all objects there are
            k = min(k, self.truth.shape[1])
        if k > MAX_K:
            raise InvalidInputError(
                f"k: the cut-off was learnt for up to k = {MAX_K}, got {k}; pass n_candidates as a number"
            )
        steps, following, kth, recalls = self._replayed(k)
        enough = np.flatnonzero(recalls.mean(axis=0) >= target_recall)
        least = float(steps[enough[0]]) if len(enough) else np.inf
        best = Cutoff(0.0, np.inf, self.power, int(steps[enough[0]]) if len(enough) else self.depth)
        for slope in self._usual_slope(k) * SLOPES:
            highest = np.maximum.accumulate(following - slope * kth**self.power, axis=1)  # the last is infinite
            offset = _least_offset(highest, recalls, target_recall)
            n_read = float(steps[_stops(highest, offset)].mean())
            if offset < np.inf and n_read < least:
                best, least = Cutoff(float(slope), offset, self.power, self.depth), n_read
        return best

    def _usual_slope(self, k: int) -> float:
        """Median of estimate / distance^power over the k first candidates."""
        scale = self.distances[:, :k] ** self.power
        ratios = self.estimates[:, :k][scale > 0] / scale[scale > 0]
        return max(float(np.median(ratios)), 0.0) if len(ratios) else 0.0

    def _replayed(self, k: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
        """(steps,) candidates read; after each step (q, steps): the next estimate, the k-th distance, the recall."""
        steps = np.array(reading_steps(k, self.depth))
        following, kth, recalls = np.full((3, self.n_queries, len(steps)), np.inf)
        reached = self.truth[:, k - 1 : k] * (1 + 1e-6)
        for i, step in enumerate(steps.tolist()):
            read = self.distances[:, :step]
            recalls[:, i] = np.minimum((read <= reached).sum(axis=1), k) / k
            kth[:, i] = np.partition(read, min(k, step) - 1, axis=1)[:, min(k, step) - 1]
            if step < self.depth:
                following[:, i] = self.estimates[:, step]
        return steps, following, kth, recalls


def _ascend(rows: NDArray[Any]) -> bool:
    """Whether every row ascends, at least one number long; none does that holds NaN."""
    return rows.shape[1] >= 1 and bool((rows[:, :1] == rows[:, :1]).all() and (rows[:, 1:] >= rows[:, :-1]).all())


def _stops(highest: NDArray[np.float64], offset: float) -> NDArray[np.int64]:
    """The step at which each query stops. highest: (q, steps) running maxima, the last infinite."""
    return np.argmax(highest > offset, axis=1) if offset < np.inf else np.full(len(highest), highest.shape[1] - 1)


def _least_offset(highest: NDArray[np.float64], recalls: NDArray[np.float64], target: float) -> float:
    """The least offset with which the mean recall reaches the target; minus infinity: one step is enough."""
    candidates = np.concatenate([[-np.inf], np.unique(highest[np.isfinite(highest)])])
    rows = np.arange(len(highest))
    low, high = 0, len(candidates)
    while low < high:  # recall does not fall as the offset grows
        middle = (low + high) // 2
        if recalls[rows, _stops(highest, candidates[middle])].mean() >= target:
            high = middle
        else:
            low = middle + 1
    return float(candidates[low]) if low < len(candidates) else np.inf
