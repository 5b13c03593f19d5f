"""Product codes: each byte says which of 256 centres is nearest in a few coordinates (Jégou, Douze & Schmid 2011)."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import CorruptedError
from metricsearch.sketches import _kernels

N_CENTRES = 256
_ROUNDS = 10  # of k-means


def group_coordinates(importance: NDArray[np.float64], n_bytes: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Share M coordinates among at most n_bytes bytes ("eigenvalue allocation", Ge, He, Ke & Sun 2013).

    The most important one left goes to the byte whose product of importance is least so far, if that has room for it.
    importance: (M,) > 0, variance times weight. Returns the coordinates (M,), byte after byte, and where each byte's
    begin, (bytes + 1,).
    """
    n_groups = min(n_bytes, len(importance))
    if not n_groups:
        return np.empty(0, dtype=np.int64), np.zeros(1, dtype=np.int64)
    room = -(-len(importance) // n_groups)
    logs = np.log(importance) - np.log(importance.min())
    groups: list[list[int]] = [[] for _ in range(n_groups)]
    loads = np.zeros(n_groups)
    for c in np.argsort(-importance, kind="stable").tolist():
        # An empty byte comes before any other: with ratios of 1 it would not be seen.
        byte = min((b for b in range(n_groups) if len(groups[b]) < room), key=lambda b: (len(groups[b]) > 0, loads[b]))
        groups[byte].append(c)
        loads[byte] += logs[c]
    starts = np.concatenate([[0], np.cumsum([len(group) for group in groups])])
    return np.concatenate([np.array(group, dtype=np.int64) for group in groups]), starts.astype(np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class ProductCode:
    """How M coordinates become B bytes.

    starts: (G + 1,) int64, byte g codes the coordinates starts[g] .. starts[g + 1] - 1; bytes beyond G are 0.
    centres: (M, 256) float64, the values of each coordinate. weights: (M,) float64, of squared differences.
    """

    n_bytes: int
    starts: NDArray[np.int64]
    centres: NDArray[np.float64]
    weights: NDArray[np.float64]

    @classmethod
    def fit(
        cls,
        sample: NDArray[np.float64],
        starts: NDArray[np.int64],
        weights: NDArray[np.float64],
        n_bytes: int,
        rng: np.random.Generator,
    ) -> Self:
        """Centres by k-means (Lloyd) of each byte on coordinates (s, M), s > 0, started from objects of the sample."""
        drawn = np.resize(rng.permutation(len(sample))[:N_CENTRES], N_CENTRES)
        code = cls(n_bytes, starts, np.ascontiguousarray(sample[drawn].T), weights)
        none = np.zeros(sample.shape)
        for _ in range(_ROUNDS):
            cells, _ = code.encode(sample, none)
            for group in range(len(starts) - 1):
                sizes = np.bincount(cells[:, group], minlength=N_CENTRES)
                for c in range(starts[group], starts[group + 1]):
                    sums = np.bincount(cells[:, group], weights=sample[:, c], minlength=N_CENTRES)
                    code.centres[c] = np.where(sizes > 0, sums / np.maximum(sizes, 1), code.centres[c])
        return code

    def encode(
        self, coordinates: NDArray[np.float64], tolerance: NDArray[np.float64]
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Codes (n, B) of coordinates (n, M), and which of them no error within `tolerance` could change."""
        codes = np.zeros((len(coordinates), self.n_bytes), dtype=np.uint8)
        certain = np.ones(len(coordinates), dtype=np.bool_)
        _kernels.nearest_centres(
            np.ascontiguousarray(coordinates),
            np.ascontiguousarray(tolerance),
            self.starts,
            self.centres,
            self.weights,
            codes,
            certain,
        )
        return codes, certain

    def decode(self, codes: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Coordinates (n, M) of the centres that codes (n, B) say."""
        byte_of = np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))
        return self.centres[np.arange(len(self.centres)), codes[:, byte_of]]

    def squared_tables(self, query: NDArray[np.float64]) -> NDArray[np.float32]:
        """Tables (B, 256): weighted squared differences of the query's coordinates (M,) to the centres of each byte."""
        costs = self.weights[:, None] * (query[:, None] - self.centres) ** 2
        tables = np.zeros((self.n_bytes, N_CENTRES), dtype=np.float32)
        if len(costs):
            tables[: len(self.starts) - 1] = np.add.reduceat(costs, self.starts[:-1], axis=0)
        return tables

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """All arrays by name, for saving."""
        return {"starts": self.starts, "centres": self.centres, "weights": self.weights}

    @classmethod
    def from_arrays(cls, n_bytes: int, arrays: dict[str, NDArray[np.generic]], n_coordinates: int, where: str) -> Self:
        """The code that gave `arrays()`. Raises CorruptedError: kernels read without checking bounds."""
        try:
            starts, centres, weights = (arrays[name] for name in ("starts", "centres", "weights"))
        except KeyError as missing:
            raise CorruptedError(f"{where}: sketch array {missing} is missing; rebuild the index") from None
        code = cls(n_bytes, starts, centres, weights)  # type: ignore[arg-type]
        if not code._is_sound(n_coordinates):
            raise CorruptedError(f"{where}: the arrays of the sketch do not fit each other; rebuild the index")
        return code

    def _is_sound(self, n_coordinates: int) -> bool:
        starts, centres, weights = self.starts, self.centres, self.weights
        return bool(
            starts.dtype == np.int64
            and starts.ndim == 1
            and 1 <= len(starts) <= self.n_bytes + 1
            and starts[0] == 0
            and starts[-1] == n_coordinates
            and (starts[1:] > starts[:-1]).all()
            and centres.dtype == np.float64
            and centres.shape == (n_coordinates, N_CENTRES)
            and np.isfinite(centres).all()
            and weights.dtype == np.float64
            and weights.shape == (n_coordinates,)
            and np.isfinite(weights).all()
            and (weights >= 0).all()
        )
