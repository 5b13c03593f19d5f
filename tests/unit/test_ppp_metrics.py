"""PPP-Codes over every metric: from objects to candidates, against prefixes and ranks computed by the oracle.

Distances to the pivots come from the library's own metric, one pair at a time in exact form; what is under test is
everything between them and the candidate list, above all prefixes of metrics whose distances are computed in bulk.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import ppp as oracle

from metricsearch.ppp import PPPCodes, RankingOptions
from metricsearch.spaces import get_metric

N_SPACES, N_PIVOTS, LENGTH = 3, 6, 4
N_DISTINCT, N_OBJECTS = 30, 60

# ---------------------------------------------------------------- objects: small values, so that distances tie


def grid_vectors(rng, n):
    return rng.integers(0, 4, (n, 3)).astype(np.float32)


def nonzero_vectors(rng, n):
    vectors = rng.integers(-2, 3, (n, 3)).astype(np.float32)
    vectors[~vectors.any(axis=1), 0] = 1.0
    return vectors


def histograms(rng, n):
    counts = rng.integers(0, 3, (n, 4))
    counts[~counts.any(axis=1), 0] = 1
    return (counts / counts.sum(axis=1, keepdims=True)).astype(np.float32)


def bits(rng, n):
    return rng.random((n, 11)) < 0.4


def sets(rng, n):
    return [set(rng.integers(0, 6, rng.integers(0, 5)).tolist()) for _ in range(n)]


def strings(rng, n):
    return ["".join(rng.choice(list("abé"), rng.integers(0, 5))) for _ in range(n)]


def signatures(rng, n):
    return [
        np.column_stack([rng.integers(0, 3, (m, 2)), rng.integers(1, 4, m)]).astype(np.float32)
        for m in rng.integers(1, 4, n)
    ]


def point_sets(rng, n):
    return [rng.integers(0, 3, (m, 2)).astype(np.float32) for m in rng.integers(1, 4, n)]


def lattice_distance(a, b):
    """A user's own metric, plain Python."""
    return float(sum(abs(float(x) - float(y)) for x, y in zip(a, b, strict=True)))


def length_distance(a, b):
    """A user's metric on strings; 1 more than the difference in length, since distance 0 means equality."""
    return 0.0 if a == b else 1.0 + abs(len(a) - len(b))


WEIGHTED = {
    "name": "weighted",
    "parts": [
        {"metric": {"name": "euclidean"}, "columns": [0, 2], "weight": 2.0},
        {"metric": {"name": "manhattan"}, "columns": [2, 3], "weight": 0.5},
    ],
}

METRICS = {
    "euclidean": ("euclidean", grid_vectors),
    "manhattan": ("manhattan", grid_vectors),
    "chebyshev": ("chebyshev", grid_vectors),
    "angular": ("angular", nonzero_vectors),
    "hamming": ("hamming", bits),
    "jaccard": ("jaccard", sets),
    "levenshtein": ("levenshtein", strings),
    "jensen_shannon": ("jensen_shannon", histograms),
    "sqfd": ("sqfd", signatures),
    "hausdorff": ("hausdorff", point_sets),
    "weighted": (WEIGHTED, grid_vectors),
    "user function": (lattice_distance, grid_vectors),
    "user function on strings": ("strings", strings),
}


def metric_of(name):
    metric = METRICS[name][0]
    return get_metric(length_distance, kind="strings") if metric == "strings" else get_metric(metric)


def with_duplicates(make, rng):
    """N_OBJECTS objects, every one drawn from N_DISTINCT."""
    pool = make(rng, N_DISTINCT)
    rows = rng.integers(0, N_DISTINCT, N_OBJECTS)
    return pool[rows] if isinstance(pool, np.ndarray) else [pool[i] for i in rows]


def exact_distances(metric, batch, pivots):
    """(n, n_spaces, n_pivots) float64, one object at a time."""
    flat = pivots.reshape(N_SPACES * N_PIVOTS, -1) if isinstance(pivots, np.ndarray) else pivots
    rows = [metric.distances(batch[i : i + 1], flat) for i in range(len(batch))]
    return np.array(rows).reshape(-1, N_SPACES, N_PIVOTS)


@pytest.mark.parametrize("percentile", [0.25, 0.5, 0.75, 1.0])
@pytest.mark.parametrize("name", METRICS)
@settings(max_examples=20)  # each builds an index; there are over fifty parameters
@given(seed=st.integers(0, 2**20), n_candidates=st.integers(1, N_OBJECTS + 5))
def test_candidates_equal_the_oracle(name, percentile, seed, n_candidates):
    rng = np.random.default_rng(seed)
    metric, make = metric_of(name), METRICS[name][1]
    objects, queries = with_duplicates(make, rng), make(rng, 3)
    options = RankingOptions(percentile=percentile)
    index = PPPCodes(metric, n_spaces=N_SPACES, n_pivots=N_PIVOTS, prefix_length=LENGTH, options=options, seed=seed)
    index.build(objects)
    distances = exact_distances(metric, metric.check(objects), index.pivots)
    per_space = [oracle.prefixes_from_distances(distances[:, j], LENGTH) for j in range(N_SPACES)]
    prefixes = np.stack(per_space, axis=1)
    assert np.array_equal(index.prefixes_of(np.arange(N_OBJECTS)), prefixes)
    query_distances = exact_distances(metric, metric.check(queries), index.pivots)
    for i in range(3):
        assert np.array_equal(index.pivot_distances(index.check_query(queries[i])), query_distances[i])
        ref = oracle.rank(prefixes, query_distances[i], n_candidates, percentile=percentile)
        assert index.candidates(queries[i], n_candidates).tolist() == ref.ids
