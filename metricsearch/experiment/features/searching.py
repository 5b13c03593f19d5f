"""Every query against the whole database by exhaustive scan, and what its answer is worth."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.datasets import ImageQuery
from metricsearch.evaluation import average_precision
from metricsearch.spaces.metric import Metric
from metricsearch.threads import available_cores, thread_map

N_FIRST = 10  # best answers that are kept, and that precision_10 looks at

Arrays = dict[str, NDArray[Any]]


def search_all(
    database: NDArray[np.float32],
    query_vectors: NDArray[np.float32],
    queries: tuple[ImageQuery, ...],
    metric: Metric,
    seed: int,
) -> Arrays:
    """Per-query arrays: average_precision (NaN without right images), precision_10, top_1, first_ids, groups.

    database: (n, d), query_vectors: (m, d), one per query. Images of equal distance stand in a random order drawn with
    `seed`, the same for every query: in that of the files, those of one category would stand together. Images whose
    vector is zero come last: nothing was seen in them (no local descriptor), yet among vectors of length 1 in many
    dimensions the zero vector is nearer to all others than they are to each other.
    """
    objects, points = metric.check(database, "database"), metric.check(query_vectors, "queries")
    is_empty = ~database.any(axis=1)
    ties = np.random.default_rng(seed).permutation(len(database))

    def one(i: int) -> dict[str, Any]:
        distances = metric.distances(points[i : i + 1], objects)
        return evaluated(np.lexsort((ties, distances, is_empty)), queries[i])

    found = thread_map(one, range(len(queries)), available_cores())
    arrays = {name: np.array([values[name] for values in found]) for name in found[0]}
    return {**arrays, "groups": _group_numbers(queries)}


def evaluated(ranking: NDArray[np.int64], query: ImageQuery) -> dict[str, Any]:
    """Values of one query. ranking: all images of the database, best first.

    The query's own image, where it is in the database, and its junk are taken out before anything is counted.
    precision_10 is the share of right images among the first ten places, even where there are fewer right ones.
    """
    own = frozenset() if query.index is None else frozenset({query.index})
    ignored = query.junk | (own - query.relevant)
    answer = ranking[~np.isin(ranking, list(ignored))]
    is_right = np.isin(answer, list(query.relevant))
    first = np.full(N_FIRST, -1, dtype=np.int64)
    first[: min(N_FIRST, len(answer))] = answer[:N_FIRST]
    return {
        "average_precision": average_precision(answer, query.relevant),
        "precision_10": is_right[:N_FIRST].sum() / N_FIRST,
        "top_1": float(is_right[:1].any()),
        "first_ids": first,
    }


def _group_numbers(queries: tuple[ImageQuery, ...]) -> NDArray[np.int64]:
    numbers = {label: i for i, label in enumerate(dict.fromkeys(query.group for query in queries))}
    return np.array([numbers[query.group] for query in queries])
