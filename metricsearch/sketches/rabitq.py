"""RaBitQ codes of Euclidean vectors (Gao & Long, SIGMOD 2024): one bit per dimension after a random rotation.

Vectors only, so a ceiling for what codes from pivot distances can reach.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import CorruptedError
from metricsearch.sketches import _kernels
from metricsearch.sketches.coordinates import Coordinates
from metricsearch.sketches.sketch import Sketch, SketchQuery
from metricsearch.spaces import Batch, Metric

FACTOR_BYTES = 8  # two float32 per object


@dataclass(frozen=True, slots=True, eq=False)
class RaBitQQuery:
    """tables: of the signs of the query's components, summed over the bits of a byte."""

    signs: SketchQuery
    squared_length: float

    def estimates(self, codes: NDArray[np.uint8], rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """(m,) float32 estimates of the squared distances (equation (12)); what the components leave out is missing."""
        sums = self.signs.estimates(codes[:, :-FACTOR_BYTES], rows)
        factors = np.ascontiguousarray(codes[rows, -FACTOR_BYTES:]).view(np.float32)
        return np.asarray(factors[:, 0] + np.float32(self.squared_length) - factors[:, 1] * sums)


class RaBitQSketch(Sketch):
    """x - c in its first D principal components, rotated at random: the signs z_i > 0, |x - c|^2, 2 |z|^2 / Σ |z_i|."""

    def __init__(self, n_bytes: int, coordinates: Coordinates, unit: float) -> None:
        """unit: squared distances are given in it, so that float32 holds them."""
        self.kind, self.n_bytes, self.coordinates, self.unit = "rabitq", n_bytes, coordinates, unit

    @classmethod
    def fit(cls, sample: NDArray[np.float64], n_bytes: int, rng: np.random.Generator) -> Self:
        """sample: (s, d). D = 8 (n_bytes - 8), or fewer where vectors or the sample have fewer."""
        coordinates = Coordinates.principal(sample, 8 * (n_bytes - FACTOR_BYTES))
        n = coordinates.n_coordinates
        rotation, _ = np.linalg.qr(rng.standard_normal((n, n)))
        unit = float(((sample - coordinates.offset) ** 2).sum(axis=1).mean()) or 1.0
        rotated = Coordinates(1, coordinates.offset, coordinates.projection @ rotation, of_vectors=True)
        return cls(n_bytes, rotated, unit)

    def encode(self, metric: Metric, objects: Batch, pivots: Batch) -> NDArray[np.uint8]:
        """See `Sketch.encode`. The factors are sums in a fixed order, too, so all come from exact coordinates."""
        vectors = np.asarray(objects, dtype=np.float64)
        z = self.coordinates.locate_exactly(vectors).coordinates / np.sqrt(self.unit)
        squares, sums = (z**2).sum(axis=1), np.abs(z).sum(axis=1)
        factors = np.empty((len(vectors), 2), dtype=np.float32)
        factors[:, 0] = ((vectors - self.coordinates.offset) ** 2).sum(axis=1) / self.unit
        factors[:, 1] = np.divide(2 * squares, sums, out=np.zeros(len(z)), where=sums > 0)
        bits = np.packbits(z > 0, axis=1, bitorder="little")
        codes = np.zeros((len(vectors), self.n_bytes), dtype=np.uint8)
        codes[:, : bits.shape[1]] = bits
        codes[:, -FACTOR_BYTES:] = factors.view(np.uint8)
        return codes

    def query(self, query: Batch, pivot_distances: NDArray[np.float64]) -> RaBitQQuery:
        """See `Sketch.query`."""
        vector = np.asarray(query, dtype=np.float64)
        z = self.coordinates.locate_exactly(vector).coordinates[0] / np.sqrt(self.unit)
        n = len(z)
        tables = np.zeros((self.n_bytes - FACTOR_BYTES, 256), dtype=np.float32)
        costs = np.column_stack([-z, z]).ravel()
        bits, places = np.ones(n, dtype=np.int64), np.arange(n)
        _kernels.fill_tables(costs, bits, 2 * np.arange(n + 1), places // 8, places % 8, tables)
        return RaBitQQuery(SketchQuery(tables, 0.0), float(((vector - self.coordinates.offset) ** 2).sum()) / self.unit)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """See `Sketch.arrays`."""
        return {**self.coordinates.arrays(), "unit": np.array([self.unit])}

    @classmethod
    def from_arrays(
        cls, n_bytes: int, coordinates: Coordinates, arrays: dict[str, NDArray[np.generic]], where: str
    ) -> Self:
        """The sketch that gave `arrays()`. Raises CorruptedError."""
        unit = arrays.get("unit")
        fits = unit is not None and unit.dtype == np.float64 and unit.shape == (1,)
        if unit is None or not fits or not 0 < float(unit[0]) < np.inf:
            raise CorruptedError(f"{where}: the unit of the sketch makes no sense; rebuild the index")
        if coordinates.n_coordinates > 8 * (n_bytes - FACTOR_BYTES):
            raise CorruptedError(f"{where}: the arrays of the sketch do not fit its codes; rebuild the index")
        return cls(n_bytes, coordinates, float(unit[0]))
