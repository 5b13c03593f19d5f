"""Coordinates of objects that need nothing but distances to pivots, so that they exist in any metric space.

All are linear in powers of the distances δ(x, p_1) ... δ(x, p_P): z(x) = (offset - δ(x, ·)^power) · projection. With
them goes the altitude, how far x is from the flat that the coordinates span, as a square. Principal components of
vectors, for comparison, are the same map of the vector itself.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import CorruptedError
from metricsearch.sketches import _kernels

EPSILON = np.finfo(np.float64).eps
_LEAST_EIGENVALUE = 1e-9  # of the largest: smaller ones are rounding
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Located:
    """Coordinates (n, M) and altitudes (n,), float64, and how far each may be from the exact value."""

    coordinates: NDArray[np.float64]
    altitudes: NDArray[np.float64]
    tolerance: NDArray[np.float64]
    altitude_tolerance: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Coordinates:
    """A linear map of powers of pivot distances, or of vectors.

    power: 1 or 2. offset: (P,). projection: (P, M). centre: mean of δ(p, p')^power over pairs of pivots, over 2.
    of_vectors: whether it maps vectors of P dimensions (with power 1).
    """

    power: int
    offset: NDArray[np.float64]
    projection: NDArray[np.float64]
    centre: float = 0.0
    of_vectors: bool = False

    @classmethod
    def scaled(cls, pivot_pairs: NDArray[np.float64], power: int, n_coordinates: int) -> Self:
        """Principal coordinates by classical scaling of the pivots (Torgerson 1952), of others as of landmarks.

        pivot_pairs: (P, P) distances of the pivots. If δ^power is a squared Euclidean distance (power 2: Euclidean,
        sqfd, jensen_shannon; power 1: manhattan, jensen_shannon, angular), these are, but for a rotation, the
        coordinates of the n-simplex projection (Connor, Vadicamo, Cardillo, Rabitti 2019), and the altitude is the
        square of its last one. Otherwise directions of negative eigenvalues are left out. At most n_coordinates.
        """
        powers = pivot_pairs**power
        means = powers.mean(axis=0)
        gram = -0.5 * (powers - means[None, :] - means[:, None] + means.mean())
        values, vectors = principal_axes(gram, n_coordinates)
        return cls(power, means, 0.5 * vectors / np.sqrt(values), float(means.mean()) / 2)

    @classmethod
    def whitened(cls, distances: NDArray[np.float64], n_coordinates: int) -> Self:
        """Principal components, of variance 1, of δ^2 over a sample. distances: (s, P), sample to pivots."""
        powers = distances**2
        mean = powers.mean(axis=0)
        rest = powers - mean
        rest[np.abs(rest) <= _ROUNDING * (np.abs(powers) + np.abs(mean))] = 0.0  # equal objects do not vary
        # einsum: its bits do not depend on the threads of BLAS
        values, vectors = principal_axes(np.einsum("si,sj->ij", rest, rest) / len(powers), n_coordinates)
        return cls(2, mean, -vectors / np.sqrt(values))

    @classmethod
    def hyperplanes(cls, pairs: NDArray[np.int64], pivot_pairs: NDArray[np.float64]) -> Self:
        """(δ(x, b)^2 - δ(x, a)^2) / 2 δ(a, b) for pairs of pivots: how far x is on a's side of the border between them.

        pairs: (M, 2). pivot_pairs: (P, P) distances of the pivots. Equal pivots have no border: always 0.
        """
        a, b = pairs.T
        between = pivot_pairs[a, b]
        scale = np.divide(0.5, between, out=np.zeros(len(pairs)), where=between > 0)
        projection = np.zeros((len(pivot_pairs), len(pairs)))
        projection[a, np.arange(len(pairs))] = scale
        projection[b, np.arange(len(pairs))] = -scale
        return cls(2, np.zeros(len(pivot_pairs)), projection)

    @classmethod
    def principal(cls, sample: NDArray[np.float64], n_coordinates: int) -> Self:
        """Principal components of vectors, unscaled. sample: (s, d)."""
        mean = sample.mean(axis=0)
        _, _, axes = np.linalg.svd(sample - mean, full_matrices=False)
        axes = axes[:n_coordinates].T
        return cls(1, mean, -axes * _signs(axes), of_vectors=True)

    def longest(self, n_coordinates: int) -> Self:
        """The first n_coordinates of principal coordinates alone; altitudes are above these."""
        return replace(self, projection=self.projection[:, :n_coordinates])

    def turned(self, axes: NDArray[np.float64]) -> Self:
        """The same seen along other axes (M, M'), orthonormal columns; altitudes are above these."""
        return replace(self, projection=np.ascontiguousarray(self.projection @ axes))

    @property
    def n_inputs(self) -> int:
        """P."""
        return len(self.offset)

    @property
    def n_coordinates(self) -> int:
        """M."""
        return int(self.projection.shape[1])

    def locate(self, distances: NDArray[np.float64], errors: NDArray[np.float64]) -> Located:
        """By matrix products. distances: (n, P) to the pivots. errors: (n, P), how far these may be off."""
        powers = distances**self.power
        coordinates = (self.offset - powers) @ self.projection
        slack = self._slack(powers, distances, errors)
        tolerance = slack @ np.abs(self.projection)
        ahead = 2 * ((np.abs(coordinates) + tolerance) * tolerance).sum(axis=1)
        ahead += 2 * (slack * np.abs(powers - self.offset)).sum(axis=1) if self.of_vectors else slack.mean(axis=1)
        return Located(coordinates, self._altitudes(powers, coordinates), tolerance, ahead)

    def locate_exactly(self, distances: NDArray[np.float64]) -> Located:
        """The same with bits that depend on each object's distances alone, whatever comes with it; slower."""
        powers = distances**self.power
        coordinates = np.empty((len(powers), self.n_coordinates))
        _kernels.project(powers, self.offset, self.projection, coordinates)
        none = np.zeros(coordinates.shape)
        return Located(coordinates, self._altitudes(powers, coordinates), none, np.zeros(len(powers)))

    def _slack(
        self, powers: NDArray[np.float64], distances: NDArray[np.float64], errors: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Bound on the error of each power, and of summing it up in any order."""
        rounding = 4 * EPSILON * self.n_inputs * (np.abs(powers) + np.abs(self.offset))
        return np.asarray(self.power * (distances + errors) ** (self.power - 1) * errors + rounding)

    def _altitudes(self, powers: NDArray[np.float64], coordinates: NDArray[np.float64]) -> NDArray[np.float64]:
        """δ(x, centroid of the pivots)^power less what the coordinates say of it; may be negative off Euclid."""
        of_pivots = powers.mean(axis=1) - self.centre
        whole = ((powers - self.offset) ** 2).sum(axis=1) if self.of_vectors else of_pivots
        return np.asarray(whole - (coordinates**2).sum(axis=1))

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """All arrays by name, for saving."""
        return {
            "offset": self.offset,
            "projection": self.projection,
            "map": np.array([self.power, self.centre, self.of_vectors], dtype=np.float64),
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[np.generic]], n_inputs: int, where: str) -> Self:
        """What gave `arrays()`. Raises CorruptedError."""
        try:
            offset, projection, numbers = (arrays[name] for name in ("offset", "projection", "map"))
        except KeyError as missing:
            raise CorruptedError(f"{where}: sketch array {missing} is missing; rebuild the index") from None
        is_sound = all(
            array.dtype == np.float64 and np.isfinite(array).all() for array in (offset, projection, numbers)
        )
        if not is_sound or offset.shape != (n_inputs,) or projection.shape[:1] != (n_inputs,) or projection.ndim != 2:
            raise CorruptedError(
                f"{where}: the arrays of the sketch do not fit {n_inputs} pivots or dimensions; rebuild the index"
            )
        if numbers.shape != (3,) or numbers[0] not in (1.0, 2.0) or numbers[2] not in (0.0, 1.0):
            raise CorruptedError(f"{where}: the arrays of the sketch do not fit each other; rebuild the index")
        power, centre, of_vectors = int(numbers[0]), float(numbers[1]), bool(numbers[2])
        return cls(power, offset, projection, centre, of_vectors)  # type: ignore[arg-type]


def principal_axes(matrix: NDArray[np.float64], n_wanted: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Largest positive eigenvalues, descending, and their vectors, signs chosen so that a run can be repeated."""
    if not len(matrix):
        return np.empty(0), matrix
    values, vectors = np.linalg.eigh(matrix)
    values, vectors = values[::-1], vectors[:, ::-1]
    n_kept = min(n_wanted, int((values > _LEAST_EIGENVALUE * max(values[0], 0.0)).sum()))
    values, vectors = values[:n_kept], vectors[:, :n_kept]
    return values, vectors * _signs(vectors)


def _signs(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """(M,) 1 or -1: makes the largest component of each column positive."""
    if not vectors.size:
        return np.ones(vectors.shape[1])
    largest = vectors[np.argmax(np.abs(vectors), axis=0), np.arange(vectors.shape[1])]
    return np.where(largest < 0, -1.0, 1.0)
