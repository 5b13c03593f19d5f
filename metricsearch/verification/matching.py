"""Pairs of local features of two photos whose descriptors are near to each other and to nothing else.

Source: D. Lowe, Distinctive image features from scale-invariant keypoints, IJCV 2004, section 7.1 (the ratio test).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metricsearch.errors import InvalidInputError
from metricsearch.validation import check_vectors
from metricsearch.verification._kernels import two_nearest

# The squared distance of bytes is a whole number of at most 255^2 * d, and float32 holds those up to 2^24 exactly.
_EXACT_DIMENSIONS = 2**24 // 255**2


@dataclass(frozen=True, slots=True, eq=False)
class PreparedDescriptors:
    """Descriptors as the matcher wants them; worth keeping for a query that is matched with many images."""

    kind: str  # of the descriptors as given: "uint8" or "float"
    rows: NDArray[Any]  # (n, d) float32 for bytes of up to 258 dimensions, float64 otherwise

    def __len__(self) -> int:
        return len(self.rows)


def prepare_descriptors(descriptors: ArrayLike | PreparedDescriptors, name: str) -> PreparedDescriptors:
    """Check (n, d) uint8 or float descriptors and convert them; InvalidInputError names `name` and the bad row."""
    if isinstance(descriptors, PreparedDescriptors):
        return descriptors
    array = np.asarray(descriptors)
    if array.dtype == np.uint8 and array.ndim == 2 and array.shape[1]:
        exact = np.float32 if array.shape[1] <= _EXACT_DIMENSIONS else np.float64
        return PreparedDescriptors("uint8", np.ascontiguousarray(array, dtype=exact))
    if array.dtype.kind != "f":
        raise InvalidInputError(
            f"{name}: expected (n, d) uint8 or float descriptors, got shape {array.shape}, dtype {array.dtype}"
        )
    return PreparedDescriptors("float", check_vectors(array, name).astype(np.float64))


def match_descriptors(
    query: ArrayLike | PreparedDescriptors,
    image: ArrayLike | PreparedDescriptors,
    ratio: float,
    *,
    mutual: bool = False,
) -> NDArray[np.int64]:
    """Pairs (query feature, image feature) that pass the ratio test, (p, 2) int64, ascending by query feature.

    A query descriptor is matched with its nearest image descriptor (Euclidean; ties: the lower index) if its distance
    is less than `ratio` times that to the second nearest. An image feature is kept once, with the nearest of the query
    features that chose it (ties: the lower index): many features on one would pass any geometric test. With `mutual`
    the query descriptor must also be the nearest one to its image descriptor, at twice the time.

    query: (n, d), image: (m, d), both uint8 or both float. Distances of bytes are exact, those of floats are of their
    float32 values, added in float64. Nothing is matched with an image of fewer than two descriptors, which leave
    nothing to compare with.
    Raises InvalidInputError for other shapes or types, NaN, different widths, and a ratio outside (0, 1].
    """
    left, right = prepare_descriptors(query, "query descriptors"), prepare_descriptors(image, "image descriptors")
    if left.kind != right.kind or left.rows.shape[1] != right.rows.shape[1]:
        raise InvalidInputError(
            f"image descriptors: {right.kind} of {right.rows.shape[1]} dimensions, but the query has {left.kind} of "
            f"{left.rows.shape[1]}; extract both with the same options"
        )
    if not 0 < ratio <= 1:
        raise InvalidInputError(f"ratio: expected a number in (0, 1], got {ratio!r}")
    if not len(left) or len(right) < 2:
        return np.empty((0, 2), dtype=np.int64)
    nearest, sq_first, sq_second = _two_nearest(left, right)
    passed = np.flatnonzero(sq_first < float(ratio) ** 2 * sq_second)
    if mutual:
        backward, _, _ = _two_nearest(right, left)
        passed = passed[backward[nearest[passed]] == passed]
    order = passed[np.lexsort((passed, sq_first[passed], nearest[passed]))]
    once = np.ones(len(order), dtype=np.bool_)
    once[1:] = nearest[order[1:]] != nearest[order[:-1]]
    kept = np.sort(order[once])
    return np.column_stack([kept, nearest[kept]])


def _two_nearest(
    query: PreparedDescriptors, image: PreparedDescriptors
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Per query descriptor: index of the nearest image descriptor, squared distances of the nearest two."""
    dtype = query.rows.dtype.type
    nearest = np.empty(len(query), dtype=np.int64)
    first, second = np.empty(len(query), dtype=dtype), np.empty(len(query), dtype=dtype)
    two_nearest(query.rows, image.rows, dtype(0), dtype(np.inf), nearest, first, second)
    return nearest, first.astype(np.float64), second.astype(np.float64)
