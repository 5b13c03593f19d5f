"""What a search of a vocabulary tree returns: images, and what it cost to find them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeSearchStats:
    """Costs of one query.

    n_words: different words of the query. n_lists: inverted files read. n_entries: entries read in them, those of
    removed images included. n_images_touched: images that share a weighted node with the query. quantise_ms: from
    descriptors to words. score_ms: from words to the result. Wall time.
    """

    n_words: int
    n_lists: int
    n_entries: int
    n_images_touched: int
    quantise_ms: float
    score_ms: float


@dataclass(frozen=True, slots=True)
class TreeSearchResult:
    """Images of one query, the best first.

    ids: (k',) int64, k' <= k; images that share no weighted node with the query are not among them.
    scores: (k',) float64, smaller is better, ascending, ties by ID. Formula (3) of NS06: 0..2 for L1, 0..sqrt 2 for L2
    (more where a weight is below zero); with Hamming embedding 1 - similarity. stats: see TreeSearchStats.
    """

    ids: NDArray[np.int64]
    scores: NDArray[np.float64]
    stats: TreeSearchStats
