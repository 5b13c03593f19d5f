"""Data sets by name, ready for an experiment."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.datasets.binary_formats import read_ann_hdf5, read_idx
from metricsearch.datasets.registry import describe, fetch
from metricsearch.datasets.sources import ArraySource, HDF5Source, ObjectSource, RowsSource, hdf5_dataset, open_hdf5
from metricsearch.datasets.synthetic import Decaf7Like
from metricsearch.datasets.text_formats import (
    read_dna,
    read_number_table,
    read_profiset,
    read_signatures,
    read_words,
)
from metricsearch.errors import CorruptedError, InvalidInputError
from metricsearch.spaces import Batch, kind_by_name
from metricsearch.validation import check_integer, check_positive


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Objects to index and, where there are any, queries that are not among them."""

    name: str
    metric: str | dict[str, Any]  # what `get_metric` takes
    kind: str  # name of the kind of objects
    objects: ObjectSource
    provenance: str  # origin and licence, one line
    synthetic: bool
    labels: NDArray[Any] | None = None  # (n,) of the objects
    ids: NDArray[np.int64] | None = None  # (n,) when the data set has IDs of its own
    queries: Batch | None = None
    query_labels: NDArray[Any] | None = None  # (n_queries,)
    query_rows: NDArray[np.int64] | None = None  # rows of the whole set that were held out as queries
    neighbors: NDArray[np.int64] | None = None  # (n_queries, k) published exact neighbours; None for a part of the set


def load_dataset(
    name: str, *, n: int | None = None, n_queries: int | None = None, seed: int = 0, **params: Any
) -> Dataset:
    """The data set `name` of the catalogue; public ones are downloaded at first use, all are checked by sha256.

    n         : objects wanted; None: all (decaf7-like: 100,000). A part is drawn by `seed`, in the order of the set.
    n_queries : queries wanted. A set with its own query set gives the first ones (None: all); otherwise they are held
                out of the objects by `seed` before the part is drawn, so they do not depend on `n` (None: no queries).
    params    : decaf7-like takes none besides n and seed; unknown ones are refused.
    Raises UnknownNameError, InvalidInputError (more than there are), MissingDataError, MissingExtraError,
    CorruptedError.
    """
    entry = describe(name)
    if params:
        raise InvalidInputError(f"{name}: unknown parameters {', '.join(sorted(params))}; known: n, n_queries, seed")
    n = None if n is None else check_positive(n, "n")
    n_queries = None if n_queries is None else check_integer(n_queries, "n_queries", 0)
    seed = check_integer(seed, "seed", 0)
    if entry["access"] == "synthetic":
        return _synthetic(entry, n, n_queries, seed)
    if entry["access"] == "manual":
        return _first_records(entry, n, n_queries, seed)
    paths = fetch(name)
    whole = _READERS[entry["reader"]["format"]](entry, paths)
    if len(whole.objects) != entry["n"]:
        files = ", ".join(map(str, paths))
        raise CorruptedError(
            f"{name}: expected {entry['n']:,} objects, found {len(whole.objects):,}; delete {files} and fetch again"
        )
    return _drawn(whole, n, n_queries, seed)


def split_queries(dataset: Dataset, n_queries: int, seed: int = 0) -> tuple[ObjectSource, Batch, NDArray[np.int64]]:
    """Hold out `n_queries` objects drawn by `seed`: (source without them, the queries, their rows ascending).

    Rows are those of `dataset.objects`; 0 < n_queries < n. Raises InvalidInputError.
    """
    n = len(dataset.objects)
    if n < 2:
        raise InvalidInputError(f"{dataset.name}: has {n} objects, too few to hold out queries")
    n_queries = check_integer(n_queries, "n_queries", 1, n - 1)
    rows = _sample(n, n_queries, seed)
    kept = np.setdiff1d(np.arange(n), rows, assume_unique=True)
    return RowsSource(dataset.objects, kept), dataset.objects.take(rows), rows


def _sample(n: int, size: int, seed: int) -> NDArray[np.int64]:
    """`size` different rows of 0..n-1, ascending."""
    return np.sort(np.random.default_rng(seed).choice(n, size, replace=False)).astype(np.int64)


def _drawn(whole: Dataset, n: int | None, n_queries: int | None, seed: int) -> Dataset:
    """The part of a data set that was asked for."""
    result = whole
    if whole.queries is not None:
        available = len(whole.queries)
        if n_queries is not None and n_queries > available:
            raise InvalidInputError(f"n_queries: {whole.name} has {available:,} queries, {n_queries:,} were asked for")
        if n_queries is not None:
            neighbors = None if whole.neighbors is None else whole.neighbors[:n_queries]
            result = replace(whole, queries=whole.queries[:n_queries], neighbors=neighbors)
    elif n_queries:
        objects, queries, rows = split_queries(whole, n_queries, seed)
        held_out = np.zeros(len(whole.objects), dtype=bool)
        held_out[rows] = True
        result = replace(whole, objects=objects, queries=queries, query_rows=rows)
        if whole.labels is not None:
            result = replace(result, labels=whole.labels[~held_out], query_labels=whole.labels[rows])
        if whole.ids is not None:
            result = replace(result, ids=whole.ids[~held_out])
    available = len(result.objects)
    if n is None or n == available:
        return result
    if n > available:
        raise InvalidInputError(f"n: {whole.name} has {available:,} objects without its queries, {n:,} were asked for")
    rows = _sample(available, n, seed + 1)
    return replace(
        result,
        objects=RowsSource(result.objects, rows),
        labels=None if result.labels is None else result.labels[rows],
        ids=None if result.ids is None else result.ids[rows],
        neighbors=None,
    )


def _synthetic(entry: dict[str, Any], n: int | None, n_queries: int | None, seed: int) -> Dataset:
    objects = Decaf7Like(entry["default_n"] if n is None else n, seed)
    count = entry["default_n_queries"] if n_queries is None else n_queries
    queries = Decaf7Like(count, seed, stream=1).load() if count else None
    return replace(_dataset(entry, objects), queries=queries)


def _first_records(entry: dict[str, Any], n: int | None, n_queries: int | None, seed: int) -> Dataset:
    """The first n records (and as many more as queries are asked for) of a text too long to load."""
    (path,) = fetch(entry["name"])
    if n is None:
        raise InvalidInputError(f"{entry['name']}: give n; all of it is streamed with datasets.read_profiset({path})")
    wanted = n + (n_queries or 0)
    ids, vectors, count = [], [], 0
    for chunk_ids, chunk in read_profiset(path, dimension=entry["width"]):
        ids.append(chunk_ids)
        vectors.append(chunk)
        count += len(chunk_ids)
        if count >= wanted:
            break
    if count < wanted:
        raise InvalidInputError(f"n: {path} has {count:,} records, {wanted:,} were asked for")
    whole = replace(
        _dataset(entry, ArraySource(np.concatenate(vectors)[:wanted], str(path))), ids=np.concatenate(ids)[:wanted]
    )
    return _drawn(whole, None, n_queries, seed)


def _dataset(entry: dict[str, Any], objects: ObjectSource) -> Dataset:
    return Dataset(
        name=entry["name"],
        metric=entry["metric"],
        kind=entry["kind"],
        objects=objects,
        provenance=f"{entry['title']}. Origin: {entry['origin']}. Licence: {entry['licence']}",
        synthetic=entry["access"] == "synthetic",
    )


def _in_memory(entry: dict[str, Any], objects: Any, path: Path) -> Dataset:
    batch = kind_by_name(entry["kind"]).check(objects, str(path))
    return _dataset(entry, ArraySource(batch, str(path)))


def _read_strings(read: Callable[[Path], list[str]]) -> Callable[[dict[str, Any], list[Path]], Dataset]:
    return lambda entry, paths: _in_memory(entry, read(paths[0]), paths[0])


def _read_hdf5(entry: dict[str, Any], paths: list[Path]) -> Dataset:
    reader = entry["reader"]
    dataset = _dataset(entry, HDF5Source(paths[0], reader["key"]))
    with open_hdf5(paths[0]) as file:
        labels = hdf5_dataset(file, reader["labels"], paths[0]).asstr()[:]
    return replace(dataset, labels=labels.astype(np.str_))


def _read_table(entry: dict[str, Any], paths: list[Path]) -> Dataset:
    tables = [read_number_table(path, entry["reader"]["delimiter"]) for path in paths]
    queries = tables[1] if len(tables) > 1 else None
    return replace(_in_memory(entry, tables[0], paths[0]), queries=queries)


def _read_signature_file(entry: dict[str, Any], paths: list[Path]) -> Dataset:
    content = read_signatures(paths[0])
    return replace(_in_memory(entry, content.signatures, paths[0]), labels=np.array(content.names, dtype=np.str_))


def _read_mnist(entry: dict[str, Any], paths: list[Path]) -> Dataset:
    images, labels = (read_idx(path) for path in paths)
    if images.ndim != 3 or labels.shape != images.shape[:1]:
        raise CorruptedError(f"{paths[0]}: expected images and as many labels, got {images.shape} and {labels.shape}")
    dataset = _in_memory(entry, images.reshape(len(images), -1).astype(np.float32), paths[0])
    return replace(dataset, labels=labels.astype(np.int64))


def _read_ann(entry: dict[str, Any], paths: list[Path]) -> Dataset:
    content = read_ann_hdf5(paths[0])
    if content.distance != entry["metric"]:
        raise CorruptedError(f"{paths[0]}: expected distance {entry['metric']}, the file says {content.distance}")
    return replace(_dataset(entry, content.train), queries=content.test.load(), neighbors=content.neighbors)


_READERS: dict[str, Callable[[dict[str, Any], list[Path]], Dataset]] = {
    "hdf5": _read_hdf5,
    "words": _read_strings(read_words),
    "dna": _read_strings(read_dna),
    "table": _read_table,
    "signatures": _read_signature_file,
    "idx": _read_mnist,
    "ann-hdf5": _read_ann,
}
