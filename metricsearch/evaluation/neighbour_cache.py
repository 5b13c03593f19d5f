"""Exact neighbours kept on disk: a full scan is the dearest part of an experiment and always gives the same."""

import hashlib
import json
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from metricsearch.datasets import cache_directory
from metricsearch.evaluation.ground_truth import Chunked, Neighbours, exact_neighbours
from metricsearch.files import written_atomically
from metricsearch.spaces import Batch, FunctionMetric, Metric, Ragged

FORMAT_VERSION = 1
_HASHED_AT_ONCE = 4096  # objects; part of the key


class Source(Chunked, Protocol):
    """Objects that can be counted and read in chunks."""

    def __len__(self) -> int: ...


def cached_neighbours(
    metric: Metric,
    objects: Source,
    queries: Batch,
    k: int,
    *,
    name: str = "",
    directory: Path | None = None,
    n_threads: int | None = None,
) -> Neighbours:
    """`exact_neighbours`, read from the cache if the same were computed before.

    name: of the data set. directory: default `neighbours/` in `cache_directory()` (METRICSEARCH_CACHE, or
    ~/.cache/metricsearch). The key is made of the metric, k and the bytes of all objects and queries. Nothing is kept
    for a user function, which its name does not tell from another. A damaged file is computed anew; a folder that
    cannot be written costs only the next run.
    """
    if isinstance(metric, FunctionMetric):
        return exact_neighbours(metric, objects, queries, k, n_threads=n_threads)
    folder = cache_directory() / "neighbours" if directory is None else Path(directory)
    path = folder / f"{_key(metric, objects, queries, k, name)}.h5"
    found = _read(path, len(queries), k, len(objects))
    if found is not None:
        return found
    neighbours = exact_neighbours(metric, objects, queries, k, n_threads=n_threads)
    _write(path, neighbours, {"name": name, "metric": json.dumps(metric.spec(), sort_keys=True)})
    return neighbours


def _key(metric: Metric, objects: Source, queries: Batch, k: int, name: str) -> str:
    digest = hashlib.sha256()
    counts = {"n": len(objects), "n_queries": len(queries), "k": k}
    about = {"format": FORMAT_VERSION, "name": name, "metric": metric.spec(), **counts}
    digest.update(json.dumps(about, sort_keys=True).encode())
    for batch in chain(objects.chunks(_HASHED_AT_ONCE), [queries]):
        arrays = (batch.values, batch.offsets) if isinstance(batch, Ragged) else (batch,)
        for array in arrays:
            digest.update(f"{array.shape}{array.dtype}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:32]


def _read(path: Path, n_queries: int, k: int, n: int) -> Neighbours | None:
    """The neighbours in a file, or None if there is no sound one."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            ids, distances, offsets = (np.asarray(file[name][:]) for name in ("ids", "distances", "offsets"))
            sound = file.attrs["sha256"] == _checksum(ids, distances, offsets)
    except (OSError, KeyError, ValueError):
        return None
    if not sound or len(offsets) != n_queries + 1:
        return None
    return Neighbours(ids, distances, offsets, k, n)


def _write(path: Path, neighbours: Neighbours, attributes: dict[str, str]) -> None:
    import h5py

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_atomically(path) as temporary, h5py.File(temporary, "w") as file:
            for name in ("ids", "distances", "offsets"):
                file[name] = getattr(neighbours, name)
            file.attrs["sha256"] = _checksum(neighbours.ids, neighbours.distances, neighbours.offsets)
            file.attrs.update(attributes)
            file.attrs["k"] = neighbours.k
    except OSError:
        return  # the result is at hand; a read-only or full cache must not stop the experiment


def _checksum(*arrays: Any) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
