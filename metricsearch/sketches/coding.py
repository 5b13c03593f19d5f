"""Scalar codes: coordinates of unequal weight in a few bytes, compared with an uncoded query by look-ups."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import CorruptedError
from metricsearch.sketches import _kernels

MAX_BITS = 8  # per coordinate: a byte has a table of its own
# Least mean squared error of b bits per value of a normal distribution of variance 1 (Max 1960, Lloyd 1982).
_DISTORTIONS = (1.0, 0.3634, 0.1175, 0.03454, 0.009497, 0.002499, 0.0006442, 0.0001634, 0.0000412)
_LLOYD_ROUNDS = 12


def allocate_bits(importance: NDArray[np.float64], n_bits: int) -> NDArray[np.int64]:
    """Bits (M,) per coordinate ("water-filling"): each goes where it lowers Σ importance · squared error most.

    importance: (M,), variance times weight. Coordinates without importance get none; ties: the first.
    """
    bits = np.zeros(len(importance), dtype=np.int64)
    distortions = np.array([*_DISTORTIONS, _DISTORTIONS[-1]])  # a coordinate with MAX_BITS gains nothing more
    for _ in range(n_bits):
        gains = importance * (distortions[bits] - distortions[bits + 1])
        if not gains.max(initial=0.0) > 0:
            break
        bits[np.argmax(gains)] += 1
    return bits


def equal_bits(n_coordinates: int, n_bits: int, bits_each: int) -> NDArray[np.int64]:
    """Bits (M,) where the first coordinates get `bits_each`, as many as there are bits for."""
    bits = np.zeros(n_coordinates, dtype=np.int64)
    bits[: n_bits // bits_each] = bits_each
    return bits


def _packed(bits: NDArray[np.int64], n_bytes: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """(bits, byte, shift) of every coordinate, none across two bytes; one that fits nowhere loses bits, or all."""
    bits = bits.copy()
    byte_of, shift_of = np.zeros_like(bits), np.zeros_like(bits)
    used = np.zeros(n_bytes, dtype=np.int64)
    for c in np.argsort(-bits, kind="stable"):
        if not bits[c]:
            break
        fitting = np.flatnonzero(used + bits[c] <= 8)
        byte = int(fitting[0]) if len(fitting) else int(np.argmin(used))
        bits[c] = min(int(bits[c]), 8 - int(used[byte]))
        byte_of[c], shift_of[c] = byte, used[byte]
        used[byte] += bits[c]
    return bits, byte_of, shift_of


def lloyd_max(values: NDArray[np.float64], n_cells: int) -> NDArray[np.float64]:
    """Centres (n_cells,) of least mean squared error on `values`, ascending; started from their quantiles.

    Cells without values keep their centre.
    """
    ordered = np.sort(values)
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    centres = ordered[((np.arange(n_cells) + 0.5) * len(ordered) / n_cells).astype(np.int64)]
    for _ in range(_LLOYD_ROUNDS):
        ends = np.searchsorted(ordered, (centres[1:] + centres[:-1]) / 2, side="left")
        begin, stop = np.concatenate([[0], ends]), np.concatenate([ends, [len(ordered)]])
        sizes = stop - begin
        centres = np.where(sizes > 0, (sums[stop] - sums[begin]) / np.maximum(sizes, 1), centres)
        centres = np.maximum.accumulate(centres)
    return centres


@dataclass(frozen=True, slots=True, eq=False)
class ScalarCode:
    """How M coordinates become B bytes.

    columns: (M,) int64, which coordinates are coded. bits, byte_of, shift_of: (M,) int64. centres: float64, of all
    cells, coordinate after coordinate. weights: (M,) float64, of squared differences.
    """

    n_bytes: int
    columns: NDArray[np.int64]
    bits: NDArray[np.int64]
    byte_of: NDArray[np.int64]
    shift_of: NDArray[np.int64]
    centres: NDArray[np.float64]
    weights: NDArray[np.float64]

    @classmethod
    def fit(
        cls, sample: NDArray[np.float64], bits: NDArray[np.int64], weights: NDArray[np.float64], n_bytes: int
    ) -> Self:
        """Code for coordinates distributed like `sample` (s, M). bits: wanted per coordinate. weights: (M,)."""
        bits, byte_of, shift_of = _packed(bits, n_bytes)
        columns = np.flatnonzero(bits)
        centres = [lloyd_max(sample[:, c], 1 << int(bits[c])) for c in columns]
        bits, byte_of, shift_of = bits[columns], byte_of[columns], shift_of[columns]
        centres_of_all = np.concatenate([np.empty(0), *centres])
        return cls(n_bytes, columns, bits, byte_of, shift_of, centres_of_all, weights[columns])

    @property
    def starts(self) -> NDArray[np.int64]:
        """(M + 1,) int64: where the cells of each coordinate begin."""
        return np.concatenate([[0], np.cumsum(1 << self.bits)])

    def encode(
        self, coordinates: NDArray[np.float64], tolerance: NDArray[np.float64]
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Codes (n, B) of coordinates (n, all), and which of them no error within `tolerance` could change."""
        codes = np.zeros((len(coordinates), self.n_bytes), dtype=np.uint8)
        certain = np.ones(len(coordinates), dtype=np.bool_)
        centres = self.centres
        borders = np.append((centres[1:] + centres[:-1]) / 2, np.inf)  # those between two coordinates are never read
        _kernels.encode(
            np.ascontiguousarray(coordinates[:, self.columns]),
            np.ascontiguousarray(tolerance[:, self.columns]),
            self.bits,
            self.starts,
            borders,
            self.byte_of,
            self.shift_of,
            codes,
            certain,
        )
        return codes, certain

    def decode(self, codes: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Centres (n, M) of the cells that codes (n, B) say."""
        cells = (codes[:, self.byte_of].astype(np.int64) >> self.shift_of) & ((1 << self.bits) - 1)
        return self.centres[self.starts[:-1] + cells]

    def squared_costs(self, query: NDArray[np.float64]) -> NDArray[np.float64]:
        """Weighted squared difference of the query's coordinates (all,) to the centre of every cell."""
        differences = np.repeat(query[self.columns], 1 << self.bits) - self.centres
        return np.repeat(self.weights, 1 << self.bits) * differences**2

    def tables(self, costs: NDArray[np.float64]) -> NDArray[np.float32]:
        """Tables (B, 256) whose sum over the bytes of a code is the sum of the costs of its cells."""
        tables = np.zeros((self.n_bytes, 256), dtype=np.float32)
        _kernels.fill_tables(costs, self.bits, self.starts, self.byte_of, self.shift_of, tables)
        return tables

    def squared_tables(self, query: NDArray[np.float64]) -> NDArray[np.float32]:
        """`tables` of `squared_costs`."""
        return self.tables(self.squared_costs(query))

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """All arrays by name, for saving."""
        return {
            "columns": self.columns,
            "bits": self.bits,
            "byte-of": self.byte_of,
            "shift-of": self.shift_of,
            "centres": self.centres,
            "weights": self.weights,
        }

    @classmethod
    def from_arrays(cls, n_bytes: int, arrays: dict[str, NDArray[np.generic]], n_coordinates: int, where: str) -> Self:
        """The code that gave `arrays()`. Raises CorruptedError: kernels read without checking bounds."""
        try:
            columns, bits, byte_of, shift_of, centres, weights = (
                arrays[name] for name in ("columns", "bits", "byte-of", "shift-of", "centres", "weights")
            )
        except KeyError as missing:
            raise CorruptedError(f"{where}: sketch array {missing} is missing; rebuild the index") from None
        code = cls(n_bytes, columns, bits, byte_of, shift_of, centres, weights)  # type: ignore[arg-type]
        if not code._is_sound(n_coordinates):
            raise CorruptedError(f"{where}: the arrays of the sketch do not fit each other; rebuild the index")
        return code

    def _bits_are_apart(self) -> bool:
        """Whether no two coordinates share a bit of a byte."""
        masks = ((1 << self.bits) - 1) << self.shift_of
        summed, united = np.zeros((2, self.n_bytes), dtype=np.int64)
        np.add.at(summed, self.byte_of, masks)
        np.bitwise_or.at(united, self.byte_of, masks)
        return np.array_equal(summed, united)

    def _is_sound(self, n_coordinates: int) -> bool:
        counts = (self.columns, self.bits, self.byte_of, self.shift_of)
        if any(array.dtype != np.int64 or array.shape != self.columns.shape or array.ndim != 1 for array in counts):
            return False
        if any(array.dtype != np.float64 or array.ndim != 1 for array in (self.centres, self.weights)):
            return False
        within = (
            (self.columns >= 0) & (self.columns < n_coordinates) & (self.bits >= 1) & (self.bits <= MAX_BITS)
            & (self.byte_of >= 0) & (self.byte_of < self.n_bytes) & (self.shift_of >= 0)
            & (self.shift_of <= 8 - self.bits)
        )  # fmt: skip
        return bool(
            within.all()
            and np.array_equal(self.columns, np.arange(n_coordinates))
            and self._bits_are_apart()
            and self.weights.shape == self.columns.shape
            and len(self.centres) == int((1 << self.bits).sum())
            and np.isfinite(self.centres).all()
            and np.isfinite(self.weights).all()
            and (self.weights >= 0).all()
        )
