"""VLAD: vectors of locally aggregated descriptors (Jégou et al. 2010)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import InvalidInputError
from metricsearch.features.normalisation import signed_root, unit_length
from metricsearch.validation import check_choice, check_vectors
from metricsearch.vocabulary.assignment import Cells, assign_nearest
from metricsearch.vocabulary.vocabulary import MAX_BRANCHING

NORMALISATIONS = ("l2", "power", "intra")


def nearest_centres(descriptors: Any, centres: Any) -> NDArray[np.int64]:
    """Number (n,) int64 of the nearest centre of each descriptor: Euclidean distance, ties by the lowest number.

    descriptors: (n, d), n may be 0; centres: (K, d), 1 <= K <= 65,535; of numbers, taken as float32.
    Raises InvalidInputError.
    """
    places = check_vectors(centres, "centres")
    if not 1 <= len(places) <= MAX_BRANCHING:
        raise InvalidInputError(f"centres: expected 1 to {MAX_BRANCHING:,}, got {len(places):,}")
    x = check_vectors(descriptors, "descriptors", places.shape[1])
    labels = np.zeros(len(x), dtype=np.uint16)
    whole = Cells(*(np.array([value], dtype=np.int64) for value in (0, len(x), 0, len(places))))
    assign_nearest(x, np.arange(len(x)), whole, places, labels)
    return labels.astype(np.int64)


def vlad(descriptors: Any, centres: Any, normalisation: str) -> NDArray[np.float32]:
    """v_k = sum of x - c_k over the descriptors x nearest to centre c_k; all v_k in a row, (K*d,) float32.

    descriptors: (n, d) numbers, n = 0 gives zeros; centres: (K, d). Nearest as in `nearest_centres`. normalisation:
    "l2" the whole to unit length (Jégou et al. 2010); "power" sign(v) sqrt(|v|), then "l2" (Jégou et al. 2012);
    "intra" each v_k to unit length, then "l2" (Arandjelovic and Zisserman 2013). Spec: vocabulary_tree.md §5.5.
    Raises InvalidInputError.
    """
    check_choice(normalisation, "normalisation", NORMALISATIONS)
    labels = nearest_centres(descriptors, centres)
    places = np.asarray(centres, dtype=np.float32).astype(np.float64)
    sums = np.zeros_like(places)
    if len(labels):
        order = np.argsort(labels, kind="stable")
        used, first = np.unique(labels[order], return_index=True)
        residuals = np.asarray(descriptors, dtype=np.float32)[order] - places[labels[order]]
        sums[used] = np.add.reduceat(residuals, first, axis=0)
    if normalisation == "power":
        sums = signed_root(sums)
    elif normalisation == "intra":
        sums = unit_length(sums)
    return unit_length(sums.ravel()).astype(np.float32)
