"""PPP-Codes for ann-benchmarks: this folder goes to ann_benchmarks/algorithms/ of its checkout."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch import Collection, PPPCodes

from ..base.module import BaseANN

METRICS = ("euclidean", "angular")


class PPPCodesANN(BaseANN):
    """A collection in a temporary folder: codes in memory, vectors on disk, exact comparison of the candidates.

    metric: "euclidean" or "angular". parameters: keywords of `PPPCodes`. It uses all cores that it may run on, of
    which ann-benchmarks leaves one, but in batch mode all. Its size in memory is that of the index by its own account.
    """

    def __init__(self, metric: str, parameters: dict[str, Any]) -> None:
        if metric not in METRICS:
            raise ValueError(f"metric: expected one of {', '.join(METRICS)}, got {metric!r}")
        self.metric, self.parameters = metric, parameters
        self.n_candidates = 0
        self._n_distances = 0
        self._results: NDArray[np.int64] | None = None
        self._collection: Collection | None = None
        self._folder: Path | None = None

    def fit(self, X: NDArray[np.float32]) -> None:  # noqa: N803 (its name there)
        """Store and index the rows of X; row i has ID i."""
        self.done()
        self._folder = Path(tempfile.mkdtemp(prefix="metricsearch-"))
        index = PPPCodes(self.metric, **self.parameters)
        self._collection = Collection.create(self._folder / "collection", index=index)
        self._collection.add(X)
        self._collection.build_index()
        self._collection.search(X[:1], 1, n_candidates=1)  # compiles what only queries need

    def set_query_arguments(self, n_candidates: int) -> None:
        """How many candidates are read from disk and compared; never fewer than neighbours are asked for."""
        self.n_candidates = n_candidates
        self._n_distances = 0

    def query(self, v: NDArray[np.float32], n: int) -> NDArray[np.int64]:
        """Rows of the n nearest of the candidates, nearest first."""
        return self._search(v[None], n)[0]

    def batch_query(self, X: NDArray[np.float32], n: int) -> None:  # noqa: N803
        """Search for all rows of X in one call; see `get_batch_results`."""
        self._results = self._search(X, n)

    def get_batch_results(self) -> NDArray[np.int64] | None:
        """(n_queries, n) rows found by `batch_query`."""
        return self._results

    def _search(self, queries: NDArray[np.float32], n: int) -> NDArray[np.int64]:
        if self._collection is None:
            raise RuntimeError("no data yet: call fit first")
        found = self._collection.search(queries, n, n_candidates=max(n, self.n_candidates))
        self._n_distances += int(found.stats.n_distances.sum())
        return found.ids

    def get_memory_usage(self) -> float:
        """Kilobytes of the index in memory; the vectors are on disk."""
        return 0.0 if self._collection is None else self._collection.index.memory_bytes / 1024

    def get_additional(self) -> dict[str, Any]:
        """dist_comps: distances computed since the query arguments were set, to pivots and to candidates."""
        return {"dist_comps": self._n_distances}

    def done(self) -> None:
        """Close the collection and delete its folder."""
        if self._collection is not None:
            self._collection.close()
        if self._folder is not None:
            shutil.rmtree(self._folder)
        self._collection = self._folder = None

    def __str__(self) -> str:
        return f"PPP-Codes({self.parameters}, n_candidates={self.n_candidates})"
