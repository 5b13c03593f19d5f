"""Statistics that decide how hard a set is to search, to compare synthetic with real descriptors."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.datasets.sources import ArraySource, ObjectSource
from metricsearch.errors import InvalidInputError
from metricsearch.spaces import Batch, Metric, Ragged, get_metric
from metricsearch.validation import check_integer, check_positive

if TYPE_CHECKING:
    import pandas as pd

_NEIGHBORS = (1, 10)
_CHUNK_SIZE = 512  # bounds the distances held at once: n_queries * 512
_ROW_NAMES = {
    "n": "objects",
    "nonzero_share": "share of non-zeros",
    "mean_distance": "mean distance",
    "intrinsic_dimensionality": "intrinsic dimensionality rho",
    "nn1_ratio": "mean 1-NN distance / mean distance",
    "nn10_ratio": "mean 10-NN distance / mean distance",
}


@dataclass(frozen=True, slots=True)
class DescriptorStatistics:
    """Statistics of a set of n objects; distances are from `n_queries` sampled objects to all others, exact."""

    n: int
    n_queries: int
    nonzero_share: float  # of all components; NaN for objects that are no vectors
    mean_distance: float
    intrinsic_dimensionality: float  # rho = mu^2 / (2 sigma^2) of the distances (Chavez et al. 2001)
    nn1_ratio: float  # mean distance to the nearest other object / mean distance; depends on n
    nn10_ratio: float  # the same for the 10th nearest


def descriptor_statistics(
    vectors: Batch | ObjectSource, seed: int = 0, n_queries: int = 1000, metric: Any = "euclidean"
) -> DescriptorStatistics:
    """Statistics of `vectors`, a batch or source of n > 10 objects, read in chunks.

    n_queries : objects, drawn by `seed`, whose distances to all others are computed (at most n).
    metric : name, spec or Metric.  Raises InvalidInputError (too few objects, all equal).
    """
    source = vectors if isinstance(vectors, ObjectSource) else ArraySource(vectors, "vectors")
    distance = get_metric(metric)
    n = len(source)
    if n <= max(_NEIGHBORS):
        raise InvalidInputError(f"vectors: expected more than {max(_NEIGHBORS)} objects, got {n}")
    rng = np.random.default_rng(check_integer(seed, "seed", 0))
    rows = np.sort(rng.choice(n, min(n, check_positive(n_queries, "n_queries")), replace=False)).astype(np.int64)
    sample = _scan(source, rows, distance)
    if not sample.mean > 0:
        raise InvalidInputError("vectors: all sampled distances are 0; the statistics do not exist")
    variance = sample.variance
    return DescriptorStatistics(
        n=n,
        n_queries=rows.size,
        nonzero_share=sample.nonzero_share,
        mean_distance=sample.mean,
        intrinsic_dimensionality=sample.mean**2 / (2 * variance) if variance > 0 else float("inf"),
        nn1_ratio=float(sample.nearest[:, 0].mean() / sample.mean),
        nn10_ratio=float(sample.nearest[:, 9].mean() / sample.mean),
    )


@dataclass(frozen=True, slots=True)
class _Scan:
    mean: float
    variance: float
    nearest: NDArray[np.float64]  # (n_queries, 10) distances to the nearest others, ascending
    nonzero_share: float


def _scan(source: ObjectSource, rows: NDArray[np.int64], metric: Metric) -> _Scan:
    """Distances of `rows` to all other objects, one pass over `source`."""
    queries = source.take(rows)
    k = max(_NEIGHBORS)
    nearest = np.full((rows.size, k), np.inf)
    total = squares = 0.0
    n_values = n_nonzero = start = 0
    for chunk in source.chunks(_CHUNK_SIZE):
        distances = metric.pairwise(queries, chunk, dtype=np.float64).astype(np.float64, copy=False)
        own = np.flatnonzero((rows >= start) & (rows < start + len(chunk)))
        distances[own, rows[own] - start] = 0
        total += float(distances.sum())
        squares += float((distances * distances).sum())
        distances[own, rows[own] - start] = np.inf
        nearest = np.partition(np.hstack([nearest, distances]), k - 1, axis=1)[:, :k]
        if metric.kind.name == "vectors" and not isinstance(chunk, Ragged):
            n_values += chunk.size
            n_nonzero += int(np.count_nonzero(chunk))
        start += len(chunk)
    n_pairs = rows.size * (start - 1)
    mean = total / n_pairs
    return _Scan(
        mean,
        max(squares / n_pairs - mean**2, 0.0),
        np.sort(nearest, axis=1),
        n_nonzero / n_values if n_values else float("nan"),
    )


def comparison_table(
    sets: Mapping[str, Batch | ObjectSource], seed: int = 0, n_queries: int = 1000, metric: Any = "euclidean"
) -> "pd.DataFrame":
    """One column of statistics per set; with two sets a third column, second / first.

    sets : name to objects, for example {"synthetic": ..., "real": ...}; give sets of equal size, since the k-NN
    distances shrink as n grows. Raises InvalidInputError.
    """
    import pandas as pd

    columns = {
        name: {
            label: asdict(statistics)[field]
            for statistics in [descriptor_statistics(objects, seed, n_queries, metric)]
            for field, label in _ROW_NAMES.items()
        }
        for name, objects in sets.items()
    }
    table = pd.DataFrame(columns)
    if len(columns) == 2:
        first, second = table.columns
        table["ratio"] = table[second] / table[first]
    return table
