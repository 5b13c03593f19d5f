"""Sizes that follow the number of photos: of the index, of the vocabulary, of a search."""

import math
from typing import Any

from metricsearch.ppp import PPPCodes

BRANCHING = 10
MAX_DEPTH = 6
N_SAMPLED = 2_000_000  # local features that a vocabulary is trained from, at most
_FEATURES_PER_WORD = 20
_MAX_SPACES, _MAX_PIVOTS, _MAX_PREFIX = 4, 512, 8
_ALL_WHILE_FEWER = 10_000  # so many vectors of 1024 dimensions are read and compared within some 20 ms


def index_for(n: int, metric: Any, n_threads: int | None) -> PPPCodes:
    """An unbuilt index for n >= 1 objects: about sqrt(n) pivots in each of four spaces."""
    n_pivots = min(_MAX_PIVOTS, math.isqrt(n))
    n_spaces = _MAX_SPACES if n >= _MAX_SPACES * n_pivots else 1  # no object is a pivot twice
    return PPPCodes(
        metric,
        n_spaces=n_spaces,
        n_pivots=n_pivots,
        prefix_length=min(_MAX_PREFIX, n_pivots),
        n_threads=n_threads,
    )


def n_candidates(n: int, k: int) -> int:
    """Objects of n whose exact distance a search for k computes: all of them while they are few."""
    return max(1, min(n, max(k, _ALL_WHILE_FEWER)))


def vocabulary_depth(n_features: int) -> int:
    """Levels of a tree whose words are seen about 20 times each in n_features local features."""
    return min(MAX_DEPTH, max(1, round(math.log(max(1, n_features) / _FEATURES_PER_WORD, BRANCHING))))
