"""Kind "search": whole queries through a collection on disk, one after the other, with what they cost."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.collection import Collection
from metricsearch.evaluation import Neighbours, recall_of_answer
from metricsearch.experiment.parts import Part, Phase
from metricsearch.experiment.ppp.columns import COUNTS, TIMES, recall_column
from metricsearch.experiment.ppp.config import PPPExperiment, PPPPoint
from metricsearch.experiment.ppp.measuring import candidate_sizes, new_index, ranked_arrays, ranking_options
from metricsearch.experiment.ppp.workload import Workload
from metricsearch.indexes import FIXED_PARTS
from metricsearch.ppp import RankingOptions
from metricsearch.store.page_cache import drop_from_page_cache, resident_share

OBJECTS_FILE = "objects.mdb"
N_WARM_UP = 5


class Stores:
    """The collection on disk of the present data and codec; replaced when they change, deleted at the end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key: tuple[int | None, str | None] | None = None
        self.collection: Collection | None = None

    def __enter__(self) -> "Stores":
        return self

    def __exit__(self, *_: object) -> None:
        self._drop()

    def get(self, workload: Workload, point: PPPPoint, phase: Phase) -> Collection:
        """A collection of all objects with the point's codec."""
        if self.collection is None or self._key != (point.n, point.codec):
            self._drop()
            self._folder.mkdir(parents=True, exist_ok=True)
            phase("object store")
            self.collection = Collection.create(
                self._folder / "store.ms", index=new_index(workload, [point]), codec=point.codec
            )
            self._key = (point.n, point.codec)
            self.collection.add(workload.objects)
        return self.collection

    def _drop(self) -> None:
        if self.collection is not None:
            self.collection.close()
            self.collection = None
        shutil.rmtree(self._folder, ignore_errors=True)


def measure_search(
    config: PPPExperiment,
    workload: Workload,
    group: list[PPPPoint],
    pending: list[PPPPoint],
    phase: Phase,
    stores: Stores,
) -> Iterator[Part]:
    """Recall of the answers and costs of every query at every R.

    arrays, one row per R of `sizes`: recall_at_<k> and the times and counts of `QueryStats`, (n_sizes, n_queries);
    distances (n_sizes, n_queries, k), NaN where R < k.
    n_ids_ranked_by_space (n_sizes, n_queries, n_spaces). positions_at_<k>: of the candidate set, as for "candidates".
    """
    phase("exact neighbours")
    queries = workload.require_queries()
    neighbours = workload.neighbours(max(config.measure.k))
    collection = stores.get(workload, pending[0], phase)
    phase("index")
    collection.build_index(new_index(workload, group))
    info = collection.info()
    report = collection.index.memory_report()
    fixed_bytes = sum(report.get(part, 0) for part in FIXED_PARTS)
    sizes = candidate_sizes(config, len(collection))
    index = collection.index
    pivot_distances = [index.pivot_distances(queries[i : i + 1]) for i in range(len(queries))]
    for point in pending:
        options = ranking_options(point.index)
        phase("candidates")
        arrays = ranked_arrays(config, index, pivot_distances, neighbours, sizes[-1], options)
        del arrays["n_ids_ranked"]
        arrays |= _timed(config, collection, workload, neighbours, sizes, options, phase)
        about: dict[str, Any] = {
            "n_objects": len(collection),
            "sizes": sizes,
            "n_ranked": sizes[-1],
            "store_file_bytes": info["file_bytes"],
            "store_payload_bytes": info["payload_bytes"],
            "index_memory_bytes": info["index_memory_bytes"],
            "pivot_memory_bytes": fixed_bytes,
        }
        if config.measure.cache == "cold":
            drop_from_page_cache(collection.path / OBJECTS_FILE)
            about["resident_share_after_drop"] = resident_share(collection.path / OBJECTS_FILE)
        yield Part(point, about, arrays)


def _timed(
    config: PPPExperiment,
    collection: Collection,
    workload: Workload,
    neighbours: Neighbours,
    sizes: list[int],
    options: RankingOptions,
    phase: Phase,
) -> dict[str, NDArray[Any]]:
    queries = workload.require_queries()
    n_queries, k_max = len(queries), min(max(config.measure.k), len(collection))
    arrays: dict[str, NDArray[Any]] = {name: np.empty((len(sizes), n_queries)) for name in TIMES}
    arrays |= {name: np.empty((len(sizes), n_queries), dtype=np.int64) for name in COUNTS}
    arrays["distances"] = np.full((len(sizes), n_queries, k_max), np.nan)
    n_spaces = options.n_spaces or collection.index.n_spaces
    arrays["n_ids_ranked_by_space"] = np.empty((len(sizes), n_queries, n_spaces), dtype=np.int64)
    if config.measure.cache == "warm":
        phase("warming the cache")
        for q in range(n_queries):  # the largest candidate sets contain the smaller ones
            collection.search(queries[q : q + 1], 1, n_candidates=sizes[-1], options=options)
    for i, size in enumerate(sizes):
        phase(f"R={size}")
        k = min(k_max, size)
        for q in range(min(N_WARM_UP, n_queries)):  # compiles kernels, starts threads
            collection.search(queries[q : q + 1], k, n_candidates=size, options=options)
        for q in range(n_queries):
            if config.measure.cache == "cold":
                drop_from_page_cache(collection.path / OBJECTS_FILE)
            result = collection.search(queries[q : q + 1], k, n_candidates=size, options=options)
            arrays["distances"][i, q, :k] = result.distances[0]
            arrays["n_ids_ranked_by_space"][i, q] = result.stats.n_ids_ranked[0]
            for name in (*TIMES, *COUNTS):
                arrays[name][i, q] = getattr(result.stats, name).sum()
    for k in config.measure.k:
        limited = min(k, len(collection))
        kth = neighbours.kth_distances(k)
        rows = [recall_of_answer(arrays["distances"][i], kth, limited) for i in range(len(sizes))]
        arrays[recall_column(k)] = np.stack(rows)
    return arrays
