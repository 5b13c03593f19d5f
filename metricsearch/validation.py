"""The gate: every array and number that a user hands over is checked here, with the row in the message."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import DuplicateIdError, InvalidInputError

MAX_ID = 2**63 - 1
LARGEST_EXACT_INTEGER = 2**24  # vectors are float32


def check_integer(value: Any, name: str, low: int, high: int | None = None) -> int:
    """Return `value` as int; raise InvalidInputError unless it is a whole number in low..high."""
    allowed = f">= {low}" if high is None else f"in {low}..{high}"
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise InvalidInputError(f"{name}: expected a whole number {allowed}, got {value!r}")
    if value < low or (high is not None and value > high):
        raise InvalidInputError(f"{name}: expected a whole number {allowed}, got {value}")
    return int(value)


def check_positive(value: Any, name: str) -> int:
    """Return `value` as int >= 1; raise InvalidInputError otherwise."""
    return check_integer(value, name, 1)


def check_fraction(value: Any, name: str) -> float:
    """Return `value` as float in [0, 1]; raise InvalidInputError otherwise."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating) or not 0 <= value <= 1:
        raise InvalidInputError(f"{name}: expected a number in [0, 1], got {value!r}")
    return float(value)


def check_choice(value: Any, name: str, choices: Sequence[str]) -> str:
    """Return `value` if it is one of `choices`; raise InvalidInputError otherwise."""
    if not isinstance(value, str) or value not in choices:
        raise InvalidInputError(f"{name}: expected one of {', '.join(choices)}; got {value!r}")
    return str(value)


def check_vectors(x: Any, name: str, width: int | None = None) -> NDArray[np.float32]:
    """Return `x` as C-contiguous (n, d) float32; raise InvalidInputError that names the first bad row."""
    try:
        array = np.asarray(x)
    except ValueError:
        raise InvalidInputError(f"{name}: expected an (n, d) array, got {_ragged_rows(x)}") from None
    if array.ndim == 1 and array.size and array.dtype.kind in "fiub":
        raise InvalidInputError(
            f"{name}: expected an (n, d) array, got shape {array.shape}; for one vector pass x[None]"
        )
    if array.ndim != 2 or array.shape[1] == 0 or array.dtype.kind not in "fiub":
        raise InvalidInputError(
            f"{name}: expected an (n, d) array of numbers, got shape {array.shape}, dtype {array.dtype}"
        )
    if width is not None and array.shape[1] != width:
        raise InvalidInputError(f"{name}: expected {width} dimensions per vector, got {array.shape[1]}")
    if array.dtype.kind in "iu" and array.size and max(-int(array.min()), int(array.max())) > LARGEST_EXACT_INTEGER:
        row = int(np.argmax((np.abs(array.astype(np.float64)) > LARGEST_EXACT_INTEGER).any(axis=1)))
        raise InvalidInputError(
            f"{name}: row {row} has an integer beyond {LARGEST_EXACT_INTEGER:,}, which float32 cannot hold exactly; "
            "subtract an offset, or pass floats to accept the rounding"
        )
    with np.errstate(over="ignore"):  # float64 beyond float32 becomes inf and is reported below
        vectors = np.ascontiguousarray(array, dtype=np.float32)
    # A sum is finite unless a value is not, or it overflows; only then look at single rows.
    with np.errstate(invalid="ignore", over="ignore"):
        sums = vectors.sum(axis=1, dtype=np.float64)
    if not np.isfinite(sums).all():
        bad = ~np.isfinite(vectors).all(axis=1)
        if bad.any():
            raise InvalidInputError(
                f"{name}: row {int(np.argmax(bad))} has NaN or infinity ({int(bad.sum())} bad rows in total)"
            )
    return vectors


def _ragged_rows(rows: Any) -> str:
    """What is wrong with a sequence that is no array."""
    shapes = [_shape_of(row) for row in rows]
    other = next((row for row, shape in enumerate(shapes) if shape != shapes[0]), None)
    if other is None:
        return "rows of different lengths"
    return f"rows of different lengths: row 0 has shape {shapes[0]}, row {other} has {shapes[other]}"


def _shape_of(row: Any) -> tuple[int, ...] | str:
    try:
        return tuple(np.shape(row))
    except ValueError:
        return "no one shape"


def check_ids(ids: Any, name: str, n: int | None = None) -> NDArray[np.int64]:
    """Return `ids` as (n,) int64, all >= 0 and different; raise InvalidInputError or DuplicateIdError."""
    try:
        array = np.asarray(ids)
    except ValueError:
        raise InvalidInputError(f"{name}: expected a 1-D array of whole numbers, got {_ragged_rows(ids)}") from None
    if array.size == 0:
        array = array.astype(np.int64).reshape(-1)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise InvalidInputError(
            f"{name}: expected a 1-D array of whole numbers, got shape {array.shape}, {array.dtype}"
        )
    if n is not None and array.size != n:
        raise InvalidInputError(f"{name}: expected one ID per object, {n} in total, got {array.size}")
    bad = (array < 0) | (array > MAX_ID)
    if bad.any():
        row = int(np.argmax(bad))
        raise InvalidInputError(f"{name}: row {row} is {array[row]}; IDs are whole numbers in 0..{MAX_ID}")
    array = array.astype(np.int64)
    values, first, counts = np.unique(array, return_index=True, return_counts=True)
    if (counts > 1).any():
        which = int(np.argmax(counts > 1))
        raise DuplicateIdError(
            f"{name}: ID {values[which]} is given {counts[which]} times, first in row {first[which]}"
        )
    return array
