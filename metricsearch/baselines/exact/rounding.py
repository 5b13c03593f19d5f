"""Distances kept as float32, and how far a bound made of them may be off."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

RELATIVE_SLACK = 1e-6  # what `check_postulates` lets pass; a float32 is off by 6e-8 at most
_FLOAT32 = np.finfo(np.float32)


def as_float32(distances: NDArray[np.float64]) -> NDArray[np.float32]:
    """Distances in half the memory; those beyond float32 become its largest number.

    |a - b| stays a lower bound when both distances are cut off at the same number.
    """
    return np.minimum(distances, float(_FLOAT32.max)).astype(np.float32)


def bound_slack(largest: Any) -> float:
    """How much more than a distance its lower bound |d(q, p) - d(x, p)| may be, for distances up to `largest`.

    Rounded distances keep the triangle inequality only nearly.
    """
    return RELATIVE_SLACK * float(largest) + float(_FLOAT32.tiny)
