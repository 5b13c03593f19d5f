"""Bags of words: how often each visual word occurs in a photo (Sivic and Zisserman 2003)."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import InvalidInputError
from metricsearch.features.normalisation import unit_length
from metricsearch.validation import check_positive


def bow(words: Any, n_words: int, idf: Any) -> NDArray[np.float32]:
    """Occurrences of each word times its idf, to unit length: (n_words,) float32; no words give zeros.

    words: (n,) whole numbers in 0..n_words - 1; idf: (n_words,) finite numbers >= 0. Spec: vocabulary_tree.md §5.5.
    Raises InvalidInputError.
    """
    n_words = check_positive(n_words, "n_words")
    weights = np.asarray(idf, dtype=np.float64)
    if weights.shape != (n_words,) or not (np.isfinite(weights) & (weights >= 0)).all():
        raise InvalidInputError(f"idf: expected ({n_words},) finite numbers >= 0, got shape {weights.shape}")
    return unit_length(_counts(words, n_words) * weights).astype(np.float32)


def inverse_document_frequencies(photos: Iterable[Any], n_words: int) -> NDArray[np.float64]:
    """ln(N / N_i) of each word: N photos, N_i of them with word i; (n_words,) float64.

    photos: the words of each photo, (n,) each. A word in none of them gets ln N, as one in a single photo.
    """
    n_photos, n_with = 0, np.zeros(n_words, dtype=np.int64)
    for words in photos:
        n_photos += 1
        n_with += _counts(words, n_words) > 0
    frequencies: NDArray[np.float64] = np.log(max(n_photos, 1) / np.maximum(n_with, 1))
    return frequencies


def _counts(words: Any, n_words: int) -> NDArray[np.int64]:
    array = np.asarray(words)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise InvalidInputError(f"words: expected (n,) whole numbers, got shape {array.shape}, dtype {array.dtype}")
    if array.size and not 0 <= int(array.min()) <= int(array.max()) < n_words:
        raise InvalidInputError(f"words: expected numbers in 0..{n_words - 1}, got {array.min()}..{array.max()}")
    return np.bincount(array.astype(np.int64), minlength=n_words)
