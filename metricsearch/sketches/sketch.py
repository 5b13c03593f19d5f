"""Sketches: a few bytes per object that tell how far it is from a query, well enough to choose what to read.

A sketch is a second, in-memory stage between an index that names candidates and the disk: candidates are put in order
of their sketches, and only the first are read.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from metricsearch.sketches import _kernels
from metricsearch.sketches.coding import ScalarCode
from metricsearch.sketches.coordinates import Coordinates, Located
from metricsearch.sketches.product import ProductCode
from metricsearch.spaces import Batch, Metric

ALTITUDE_LEVELS = 256  # of one byte
_LEAST_SPREAD = 1e-9  # of altitudes, relative to the largest: equal ones differ by rounding


@dataclass(frozen=True, slots=True, eq=False)
class SketchQuery:
    """A query ready to be compared with codes: tables (B, 256) float32, summed over the bytes, and a constant."""

    tables: NDArray[np.float32]
    constant: float

    def estimates(self, codes: NDArray[np.uint8], rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """(m,) float32, increasing with the distances of the objects `rows` of codes (n, B), as far as one can tell."""
        sums = np.empty(len(rows), dtype=np.float32)
        _kernels.sum_tables(self.tables, codes, rows, sums)
        return np.asarray(sums + np.float32(self.constant))


class Sketch(ABC):
    """Codes of `n_bytes` per object, and the comparison of a query with them. kind: one of SKETCHES."""

    kind: str
    n_bytes: int

    @property
    def power(self) -> int:
        """Estimates grow with distance ** power."""
        return 2

    @abstractmethod
    def encode(self, metric: Metric, objects: Batch, pivots: Batch) -> NDArray[np.uint8]:
        """Codes (n, B); the bits depend on each object alone, not on the batch."""

    @abstractmethod
    def query(self, query: Batch, pivot_distances: NDArray[np.float64]) -> Any:
        """What has `estimates`, for a batch of one and its distances (P,) to the pivots."""

    @abstractmethod
    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """All arrays by name; with `kind` and `n_bytes` all that `from_arrays` needs."""

    @property
    def nbytes(self) -> int:
        """Bytes that do not grow with the objects."""
        return sum(array.nbytes for array in self.arrays().values())


@dataclass(frozen=True, slots=True, eq=False)
class Altitude:
    """How altitudes are coded in a byte of their own: weight · (low + step · (code + 1/2)) is added to the estimate."""

    low: float
    step: float
    weight: float

    @classmethod
    def fit(cls, sample: NDArray[np.float64], weight: float) -> Self:
        """256 equal steps from the least to the largest altitude of a sample (s,)."""
        low, high = float(sample.min()), float(sample.max())
        least = _LEAST_SPREAD * max(abs(low), abs(high)) or 1.0
        return cls(low, max(high - low, least) / ALTITUDE_LEVELS, weight)

    def encode(
        self, altitudes: NDArray[np.float64], tolerance: NDArray[np.float64]
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Codes (n,), and which of them no error within `tolerance` could change."""
        places = (altitudes - self.low) / self.step
        slack = tolerance / self.step + 1e-9
        certain = np.abs(places - np.rint(places)) > slack
        return np.clip(np.floor(places), 0, ALTITUDE_LEVELS - 1).astype(np.uint8), certain

    def costs(self) -> NDArray[np.float64]:
        """(256,) what each code adds."""
        return np.asarray(self.weight * (self.low + self.step * (np.arange(ALTITUDE_LEVELS) + 0.5)))


class CodedSketch(Sketch):
    """Coordinates in few bits, and the altitude in a byte where there is one.

    estimate = Σ w_c (z_c(q) - z_c(x))^2 + w (altitude of q + altitude of x), x as coded, q not. Weights are such that
    estimates are near 1, whatever the unit of the distances: tables are float32.
    """

    def __init__(
        self,
        kind: str,
        n_bytes: int,
        coordinates: Coordinates,
        code: ScalarCode | ProductCode,
        altitude: Altitude | None = None,
    ) -> None:
        self.kind, self.n_bytes = kind, n_bytes
        self.coordinates, self.code, self.altitude = coordinates, code, altitude

    @property
    def power(self) -> int:
        """See `Sketch.power`; squared lengths of vectors are their coordinates' own."""
        return 2 if self.coordinates.of_vectors else self.coordinates.power

    def encode(self, metric: Metric, objects: Batch, pivots: Batch) -> NDArray[np.uint8]:
        """See `Sketch.encode`: where rounding could change a code, it is computed again from exact distances."""
        if self.coordinates.of_vectors:
            inputs = np.asarray(objects, dtype=np.float64)
            errors = np.zeros(inputs.shape)
        else:
            inputs = metric.pairwise(objects, pivots, np.float64)
            errors = metric.pairwise_error(objects, pivots, inputs)
        codes, certain = self._codes(self.coordinates.locate(inputs, errors))
        rows = np.flatnonzero(~certain)
        if len(rows):
            is_exact = self.coordinates.of_vectors or not metric.batched
            exact = inputs[rows] if is_exact else metric.exact_pairwise(objects[rows], pivots)
            codes[rows] = self._codes(self.coordinates.locate_exactly(exact))[0]
        return codes

    def _codes(self, located: Located) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        codes, certain = self.code.encode(located.coordinates, located.tolerance)
        if self.altitude is None:
            return codes, certain
        last, certain_too = self.altitude.encode(located.altitudes, located.altitude_tolerance)
        return np.column_stack([codes, last]), certain & certain_too

    def query(self, query: Batch, pivot_distances: NDArray[np.float64]) -> SketchQuery:
        """See `Sketch.query`."""
        row = np.asarray(query, dtype=np.float64) if self.coordinates.of_vectors else pivot_distances.reshape(1, -1)
        located = self.coordinates.locate_exactly(row)
        tables = self._tables(located.coordinates[0])
        if self.altitude is None:
            return SketchQuery(tables, 0.0)
        last = self.altitude.costs().astype(np.float32)
        return SketchQuery(np.vstack([tables, last]), float(self.altitude.weight * located.altitudes[0]))

    def _tables(self, query: NDArray[np.float64]) -> NDArray[np.float32]:
        return self.code.squared_tables(query)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """See `Sketch.arrays`."""
        arrays = self.coordinates.arrays() | self.code.arrays()
        if self.altitude is not None:
            arrays["altitude"] = np.array([self.altitude.low, self.altitude.step, self.altitude.weight])
        return arrays


class HyperplaneSketch(CodedSketch):
    """One bit per pair of pivots: on whose side the object is.

    estimate = Σ of the squared distances of the query to those borders that have the object on the other side, in
    units of their mean over the sample.
    """

    code: ScalarCode

    def _tables(self, query: NDArray[np.float64]) -> NDArray[np.float32]:
        ahead = np.repeat(query[self.code.columns], 2)
        costs = np.repeat(self.code.weights, 2) * ahead**2
        return self.code.tables(np.where((ahead >= 0) == (self.code.centres >= 0), 0.0, costs))
