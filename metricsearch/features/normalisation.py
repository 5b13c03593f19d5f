"""Lengths and roots, as they end most descriptors."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def unit_length(vectors: NDArray[Any]) -> NDArray[np.float64]:
    """Each row of (n, d), or the one vector (d,), divided by its Euclidean length, float64; zeros stay zeros."""
    x = np.asarray(vectors, dtype=np.float64)
    lengths = np.linalg.norm(x, axis=-1, keepdims=True)
    scaled: NDArray[np.float64] = np.divide(x, lengths, out=np.zeros_like(x), where=lengths > 0)
    return scaled


def signed_root(vectors: NDArray[Any]) -> NDArray[np.float64]:
    """sign(z) sqrt(|z|) of each number, float64 (power normalisation with exponent 1/2; Perronnin et al. 2010)."""
    x = np.asarray(vectors, dtype=np.float64)
    return np.copysign(np.sqrt(np.abs(x)), x)
