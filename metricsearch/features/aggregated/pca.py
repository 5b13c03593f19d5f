"""Principal components: fewer dimensions, with or without whitening."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from metricsearch.errors import InvalidInputError
from metricsearch.features.normalisation import unit_length as to_unit_length
from metricsearch.validation import check_positive

_PIECE_BYTES = 32 * 2**20
_LEAST_VARIANCE = 1e-10  # of the largest; directions with less are rounding errors, which whitening would blow up


@dataclass(frozen=True, slots=True, eq=False)
class PCA:
    """y = U^T (x - m), divided by the square roots of the variances if `whiten` (spec: vocabulary_tree.md §5.7).

    mean: (d,); components: (k, d), rows of U^T, orthonormal, largest variance first; variances: (k,), along them, of
    the vectors it was fitted to. All float64.
    """

    mean: NDArray[np.float64]
    components: NDArray[np.float64]
    variances: NDArray[np.float64]
    whiten: bool = False

    def __post_init__(self) -> None:
        for name in ("mean", "components", "variances"):
            object.__setattr__(self, name, np.ascontiguousarray(getattr(self, name), dtype=np.float64))
        k, d = self.components.shape if self.components.ndim == 2 else (0, 0)
        if not k or self.mean.shape != (d,) or self.variances.shape != (k,) or not (self.variances > 0).all():
            raise InvalidInputError(
                "PCA: expected mean (d,), components (k, d) and variances (k,) > 0, got shapes "
                f"{self.mean.shape}, {self.components.shape}, {self.variances.shape}"
            )

    @property
    def dimension(self) -> int:
        """k, the numbers per vector that `apply` gives."""
        return len(self.components)

    def apply(self, vectors: Any, *, unit_length: bool = False) -> NDArray[np.float32]:
        """(n, k) float32 of (n, d) numbers. unit_length: each row becomes y / |y|. Raises InvalidInputError."""
        x = np.asarray(vectors)
        _check_shape(x, self.components.shape[1])
        x = _finite(x, 0) - self.mean
        y = x @ self.components.T
        if self.whiten:
            y /= np.sqrt(self.variances)
        return (to_unit_length(y) if unit_length else y).astype(np.float32)

    def arrays(self, prefix: str) -> dict[str, NDArray[Any]]:
        """The arrays by name, for a file."""
        return {f"{prefix}{name}": getattr(self, name) for name in ("mean", "components", "variances")}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], prefix: str, whiten: bool) -> "PCA":
        """The PCA that gave these `arrays(prefix)`. Raises KeyError, InvalidInputError."""
        mean, components, variances = (arrays[f"{prefix}{name}"] for name in ("mean", "components", "variances"))
        return cls(mean, components, variances, whiten)


def fit_pca(vectors: Any, dimension: int, whiten: bool = False, *, unit_length: bool = False) -> PCA:
    """The first `dimension` principal components of (n, d) numbers: an array, or an h5py dataset, read in pieces.

    unit_length: of the rows divided by their lengths.
    Covariance in float64, divided by n - 1; where n < d, through the n x n products of the vectors, which are then all
    in memory. The number of largest size in each component is positive, so that the same vectors give the same signs.
    The last bits depend on the number of threads of the matrix products (BLAS).
    Raises InvalidInputError: too few vectors, or all in fewer than `dimension` dimensions.
    """
    dimension = check_positive(dimension, "dimension")
    _check_shape(vectors, None)
    n, d = vectors.shape
    if dimension > min(d, n - 1):
        least = f"at least {dimension + 1:,} vectors" if dimension <= d else f"a dimension of at most {d:,}"
        raise InvalidInputError(f"dimension: {dimension:,} of {n:,} vectors of {d:,} numbers; expected {least}")
    mean = np.zeros(d)
    for piece in _pieces(vectors, unit_length):
        mean += piece.sum(axis=0) / n
    centred = np.concatenate([piece - mean for piece in _pieces(vectors, unit_length)]) if n < d else None
    products = _covariances(_pieces(vectors, unit_length), mean) if centred is None else centred @ centred.T
    last = len(products) - 1
    values, directions = scipy.linalg.eigh(products, overwrite_a=True, subset_by_index=[last + 1 - dimension, last])
    values, directions = values[::-1], directions[:, ::-1]
    noise = n * (n * np.finfo(np.float64).eps) ** 2 * float(mean @ mean)  # what rounding leaves of equal vectors
    _check_rank(values, n, noise)
    components = directions.T if centred is None else (directions / np.sqrt(values)).T @ centred
    largest = components[np.arange(dimension), np.abs(components).argmax(axis=1)]
    return PCA(mean, components * np.sign(largest)[:, None], values / (n - 1), whiten)


def _covariances(pieces: Iterator[NDArray[np.float64]], mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums (d, d) of products of the centred numbers."""
    products = np.zeros((len(mean), len(mean)))
    for piece in pieces:
        piece -= mean
        products += piece.T @ piece
    return products


def _check_rank(values: NDArray[np.float64], n: int, noise: float) -> None:
    """Raise InvalidInputError unless the vectors vary in all of the directions with these variances, falling."""
    n_sound = int(np.count_nonzero(values > max(float(values[0]) * _LEAST_VARIANCE, noise)))
    if not n_sound:
        raise InvalidInputError(f"dimension: all {n:,} vectors are equal; give others")
    if n_sound < len(values):
        raise InvalidInputError(
            f"dimension: the {n:,} vectors vary in {n_sound:,} directions only, expected {len(values):,}; ask for at "
            f"most {n_sound:,}, or give more vectors"
        )


def _pieces(vectors: Any, unit_length: bool) -> Iterator[NDArray[np.float64]]:
    """Rows a few at a time, as new float64 arrays."""
    n, d = vectors.shape
    size = max(1, _PIECE_BYTES // (8 * d))
    for start in range(0, n, size):
        piece = _finite(np.asarray(vectors[start : start + size]), start)
        yield to_unit_length(piece) if unit_length else piece


def _check_shape(vectors: Any, width: int | None) -> None:
    shape: tuple[int, ...] = getattr(vectors, "shape", ())
    dtype = getattr(vectors, "dtype", None)
    if len(shape) != 2 or not shape[1] or dtype is None or dtype.kind not in "fiu":
        raise InvalidInputError(f"vectors: expected an (n, d) array of numbers, got shape {shape}, dtype {dtype}")
    if width is not None and shape[1] != width:
        raise InvalidInputError(f"vectors: expected {width:,} numbers per vector, got {shape[1]:,}")


def _finite(vectors: NDArray[Any], first_row: int) -> NDArray[np.float64]:
    x = vectors.astype(np.float64)
    bad = ~np.isfinite(x).all(axis=1)
    if bad.any():
        raise InvalidInputError(f"vectors: row {first_row + int(bad.argmax())} has NaN or infinity; remove it")
    return x
