"""Objects and queries of a suite: loaded once, written once, mapped by the process of every method."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from metricsearch.bench.config import DataConfig
from metricsearch.datasets import ArraySource, ObjectSource, load_dataset
from metricsearch.errors import InvalidInputError
from metricsearch.files import system_errors
from metricsearch.spaces import Batch, Metric, Ragged, get_metric
from metricsearch.store import ObjectStore, default_codec

CHUNK_SIZE = 1024
_METRIC_FILE = "metric.json"


@dataclass(frozen=True, slots=True, eq=False)
class BenchData:
    """What the methods are compared on. queries: checked, not among the objects. description: origin, one line."""

    name: str
    description: str
    synthetic: bool
    metric: Metric
    objects: ObjectSource
    queries: Batch

    @property
    def width(self) -> int | None:
        """Dimensions of the objects; None for kinds without."""
        return self.metric.kind.width(self.queries)


@dataclass(frozen=True, slots=True, eq=False)
class MappedData:
    """`BenchData` as written: dense objects are mapped from their file, and read-only."""

    metric: Metric
    objects: Batch
    queries: Batch


def load_data(config: DataConfig) -> BenchData:
    """The data set or the descriptors of photos that a suite names.

    Raises what `load_dataset` and `photo_descriptors` raise; InvalidInputError where there are no queries, or where
    the metric does not take the objects.
    """
    if config.name is not None:
        dataset = load_dataset(config.name, n=config.n, n_queries=config.n_queries, seed=config.seed)
        name, description, synthetic, objects = dataset.name, dataset.provenance, dataset.synthetic, dataset.objects
        metric, queries = get_metric(config.metric or dataset.metric), dataset.queries
    else:
        from metricsearch.bench.photo_data import photo_descriptors

        feature = config.feature or ""
        rows, queries, description = photo_descriptors(
            list(config.photos), feature, config.n, config.n_queries, config.seed, crops=config.crops
        )
        of = "five crops of each photo of " if config.crops else ""
        name, synthetic = f"{feature} of {of}{', '.join(config.photos)}", False
        metric, objects = get_metric(config.metric or "euclidean"), ArraySource(rows, feature)
    if queries is None or not len(queries):
        raise InvalidInputError(f"{name}: has no queries; give data.n_queries")
    return BenchData(name, description, synthetic, metric, objects, metric.check(queries, f"{name}: queries"))


def write_data(data: BenchData, folder: Path) -> MappedData:
    """Write objects and queries as .npy files into an empty folder, and map them. Raises StorageError."""
    with system_errors(folder):
        if isinstance(data.queries, Ragged):
            _save(folder, "objects", data.metric.check(data.objects.load(), data.name))
        else:
            _stream(folder / "objects.npy", data)
        _save(folder, "queries", data.queries)
        (folder / _METRIC_FILE).write_text(json.dumps(data.metric.spec()), encoding="utf-8")
    return open_data(folder)


def open_data(folder: Path) -> MappedData:
    """What `write_data` wrote."""
    metric = get_metric(json.loads((folder / _METRIC_FILE).read_text(encoding="utf-8")))
    return MappedData(metric, _open(folder, "objects", "r"), _open(folder, "queries", None))


def write_store(path: Path, data: MappedData, codec: str | None) -> int:
    """Write the object store that all methods read, with the IDs 0, 1, 2, ...; return the size of its file.

    codec: None = the default of the kind of objects. Raises UnknownNameError, InvalidInputError, MissingExtraError,
    StorageError.
    """
    kind = data.metric.kind
    width = kind.width(data.objects)
    with ObjectStore.create(path, codec or default_codec(kind), kind, width) as store:
        store.add(_numbered(data))
        return store.file_bytes


def _numbered(data: MappedData) -> Iterator[tuple[NDArray[np.int64], Batch]]:
    for start in range(0, len(data.objects), CHUNK_SIZE):
        batch = data.metric.check(data.objects[start : start + CHUNK_SIZE], "objects")
        yield np.arange(start, start + len(batch)), batch


def _stream(path: Path, data: BenchData) -> None:
    """Write dense objects piece by piece: there may be more than fit in memory."""
    shape = (len(data.objects), data.width)
    dtype: np.dtype[Any] = np.asarray(data.queries).dtype
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for chunk in data.objects.chunks(CHUNK_SIZE):
            np.asarray(data.metric.check(chunk, data.name, data.width)).tofile(file)


def _save(folder: Path, name: str, batch: Batch) -> None:
    if isinstance(batch, Ragged):
        np.save(folder / f"{name}-values.npy", batch.values)
        np.save(folder / f"{name}-offsets.npy", batch.offsets)
    else:
        np.save(folder / f"{name}.npy", batch)


def _open(folder: Path, name: str, mmap_mode: Literal["r"] | None) -> Batch:
    """A batch as saved; dense ones can be mapped."""
    path = folder / f"{name}.npy"
    if path.exists():
        dense: NDArray[Any] = np.load(path, mmap_mode=mmap_mode, allow_pickle=False)
        return dense
    values, offsets = (np.load(folder / f"{name}-{part}.npy", allow_pickle=False) for part in ("values", "offsets"))
    return Ragged(values, offsets)
