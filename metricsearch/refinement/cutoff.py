"""When to stop reading: a bound on the estimates of candidates, driven by the k-th distance found so far.

Candidates come in order of their estimates (see `metricsearch.sketches`). After each step of reading, the ratio of
the next estimate to a power of the k-th distance so far tells how unlikely it is that anything better follows. The
bound on this ratio is learnt: training queries are searched deeply once, and any stop can then be replayed.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import CorruptedError, InvalidInputError

FIRST_STEP = 16  # candidates read before the first decision, at least k
STEP_GROWTH = 1.2  # each further step reads so many times as many in all ...
LEAST_STEP = 8  # ... and at least so many more


def reading_steps(k: int, most: int) -> list[int]:
    """How many candidates have been read after each step, ascending; the last is `most`."""
    steps = [min(max(k, FIRST_STEP), most)]
    while steps[-1] < most:
        steps.append(min(max(int(steps[-1] * STEP_GROWTH), steps[-1] + LEAST_STEP), most))
    return steps


def stop_ratio(next_estimate: float, kth_distance: float, power: float) -> float:
    """What is compared with the learnt bound; infinity where all k are at distance 0."""
    scale = kth_distance**power
    return next_estimate / scale if scale > 0 else np.inf


@dataclass(frozen=True, slots=True, eq=False)
class ReadingRecord:
    """Deep searches of training queries, from which a cut-off is learnt for any k and recall.

    estimates, distances: (q, r) float32, of the r first candidates in order of their estimates. truth: (q, m) float32,
    distances of the m nearest objects that any candidate list held, ascending. power: the estimates grow with
    distance^power.
    """

    estimates: NDArray[np.float32]
    distances: NDArray[np.float32]
    truth: NDArray[np.float32]
    power: float

    @property
    def n_queries(self) -> int:
        """q."""
        return len(self.estimates)

    @property
    def depth(self) -> int:
        """r: no search reads more."""
        return int(self.estimates.shape[1])

    def bound(self, k: int, target_recall: float) -> float:
        """The least bound on `stop_ratio` with which the training queries reach `target_recall` on average.

        Minus infinity: one step is enough; infinity: read to the depth.
        Raises InvalidInputError for a k that the record does not hold.
        """
        if k > self.truth.shape[1]:
            raise InvalidInputError(
                f"k: the cut-off was learnt for up to k = {self.truth.shape[1]}, got {k}; pass n_candidates as a number"
            )
        highest, recalls = self._replayed(k)
        candidates = np.concatenate([[-np.inf], np.unique(highest[np.isfinite(highest)])])
        low, high = 0, len(candidates)
        while low < high:  # recall does not fall as the bound grows
            middle = (low + high) // 2
            if self._recall(highest, recalls, candidates[middle]) >= target_recall:
                high = middle
            else:
                low = middle + 1
        return float(candidates[low]) if low < len(candidates) else np.inf

    def _replayed(self, k: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """After every step (q, steps): the highest ratio so far, at which reading has stopped, and the recall."""
        steps = reading_steps(k, self.depth)
        ratios, recalls = np.empty((2, self.n_queries, len(steps)))
        reached = self.truth[:, k - 1 : k].astype(np.float64) * (1 + 1e-6)
        for i, step in enumerate(steps):
            read = self.distances[:, :step]
            recalls[:, i] = np.minimum((read <= reached).sum(axis=1), k) / k
            kth = np.partition(read, min(k, step) - 1, axis=1)[:, min(k, step) - 1].astype(np.float64)
            following = self.estimates[:, step] if step < self.depth else np.full(self.n_queries, np.inf)
            scale = kth**self.power
            ratios[:, i] = np.divide(following, scale, out=np.full(len(scale), np.inf), where=scale > 0)
        return np.maximum.accumulate(ratios, axis=1), recalls

    @staticmethod
    def _recall(highest: NDArray[np.float64], recalls: NDArray[np.float64], bound: float) -> float:
        """Mean recall where every query stops after the first step whose ratio exceeds the bound."""
        stop = np.argmax(highest > bound, axis=1)  # the last ratio is infinite
        return float(recalls[np.arange(len(stop)), stop].mean())

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """All arrays by name, for saving."""
        return {
            "estimates": self.estimates,
            "distances": self.distances,
            "truth": self.truth,
            "power": np.array([self.power]),
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[np.generic]], where: str) -> Self:
        """What gave `arrays()`. Raises CorruptedError."""
        try:
            estimates, distances, truth, power = (arrays[name] for name in ("estimates", "distances", "truth", "power"))
        except KeyError as missing:
            raise CorruptedError(f"{where}: array {missing} of the cut-off is missing; build the index again") from None
        tables = (estimates, distances, truth)
        is_sound = all(table.ndim == 2 and table.dtype == np.float32 and np.isfinite(table).all() for table in tables)
        is_sound &= power.dtype == np.float64 and power.shape == (1,) and len(truth) == len(estimates)
        if not is_sound or estimates.shape != distances.shape:
            raise CorruptedError(f"{where}: the arrays of the cut-off do not fit each other; build the index again")
        return cls(estimates, distances, truth, float(power[0]))  # type: ignore[arg-type]
