"""Writing feature files, see `metricsearch.features.feature_file`. The same content gives the same bytes."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from metricsearch.errors import InvalidInputError
from metricsearch.features.feature import Feature, GlobalFeature
from metricsearch.features.feature_file import FORMAT, FORMAT_VERSION, RESERVED, TRAINED
from metricsearch.features.local import DIMENSION, LocalFeatures
from metricsearch.files import system_errors, written_atomically

_CHUNK_ROWS = 4096
_CHUNK_BYTES = 1 << 18  # a chunk fits into HDF5's cache, so that neighbouring rows are read from there
_BUFFERED_ROWS = 65536
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+*:-]*")


class PhotoEntry(NamedTuple):
    """What a file says of a photo itself; size: width and height in pixels."""

    path: str
    sha256: str
    size: tuple[int, int]


Columns = Sequence[tuple[Feature[Any], Iterable[Any]]]


def write_feature_file(
    path: Path,
    photos: Sequence[PhotoEntry],
    columns: Columns,
    failures: Sequence[tuple[str, str]] = (),
    *,
    with_arrays: bool = True,
) -> None:
    """Write features of `photos` to `path`.

    columns: each feature with its values, one per photo, in the order of `photos`: (d,) float32 or LocalFeatures.
    with_arrays: also what the features learned. Raises InvalidInputError (a feature of an impossible name; more or
    fewer values than photos), StorageError.
    """
    import h5py

    for feature, _ in columns:
        check_feature_name(feature.name)
    with system_errors(path), written_atomically(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["format"] = FORMAT
        file.attrs["version"] = FORMAT_VERSION
        _write_strings(file, "path", [photo.path for photo in photos])
        _write_strings(file, "failed_path", [path for path, _ in failures])
        _write_strings(file, "failed_reason", [reason for _, reason in failures])
        _write_array(file, "sha256", np.array([photo.sha256 for photo in photos], dtype="S64"))
        _write_array(file, "size", np.array([photo.size for photo in photos], dtype=np.int32).reshape(-1, 2))
        for feature, values in sorted(columns, key=lambda column: column[0].name):
            if isinstance(feature, GlobalFeature):
                n_values = _write_vectors(file, feature, values, len(photos))
                for name, array in sorted(feature.arrays().items()) if with_arrays else ():
                    _write_array(file, f"{TRAINED}/{feature.name}/{name}", np.asarray(array))
            else:
                n_values = _write_local(file, feature, values)
            if n_values != len(photos):
                raise InvalidInputError(
                    f"{path}: {feature.name} has {n_values:,} values for {len(photos):,} photos; give one each"
                )


def check_feature_name(name: str) -> str:
    """Return `name` if a feature may be called so in a file; raise InvalidInputError otherwise."""
    if not _NAME.fullmatch(name) or name in RESERVED:
        raise InvalidInputError(
            f"feature {name!r}: expected a name of letters, digits and -_.+*: that begins with a letter or digit and "
            f"is none of {', '.join(RESERVED)}"
        )
    return name


def to_json(value: Any) -> str:
    """Provenance, or a spec of a metric, as it stands in files."""
    return json.dumps(value, sort_keys=True)


def _write_strings(file: Any, name: str, values: list[str]) -> None:
    import h5py

    encoded = [value.encode(errors="surrogateescape") for value in values]
    file.create_dataset(name, (len(values),), h5py.string_dtype(), data=encoded if encoded else None)


def _write_array(file: Any, name: str, array: Any) -> None:
    options = {}
    if array.ndim and array.size:  # HDF5 has no chunks in the others
        rows = min(len(array), max(1, _CHUNK_BYTES // array[0].nbytes))
        options = _checked((rows, *array.shape[1:]))
    file.create_dataset(name, data=array, **options)


def _checked(chunk: tuple[int, ...]) -> dict[str, Any]:
    return {"chunks": chunk, "fletcher32": True}


def _write_vectors(file: Any, feature: GlobalFeature, values: Iterable[Any], n: int) -> int:
    """The number of values; those beyond n are only counted."""
    d = feature.dimension
    rows = max(1, min(_CHUNK_ROWS, _CHUNK_BYTES // (4 * d)))
    dataset = file.create_dataset(feature.name, (n, d), np.float32, maxshape=(None, d), **_checked((rows, d)))
    metric = {"name": feature.metric} if isinstance(feature.metric, str) else feature.metric
    dataset.attrs["provenance"] = to_json(feature.provenance())
    dataset.attrs["metric"] = to_json(metric)
    done = 0
    for block in _blocks(values, rows):
        if done + len(block) <= n:
            dataset[done : done + len(block)] = np.stack(block)
        done += len(block)
    return done


def _blocks(values: Iterable[Any], size: int) -> Iterator[list[Any]]:
    waiting: list[Any] = []
    for value in values:
        waiting.append(value)
        if len(waiting) == size:
            yield waiting
            waiting = []
    if waiting:
        yield waiting


def _write_local(file: Any, feature: Feature[LocalFeatures], values: Iterable[LocalFeatures]) -> int:
    """The number of values."""
    group = file.create_group(feature.name)
    group.attrs["provenance"] = to_json(feature.provenance())
    stored = {
        name: group.create_dataset(name, (0, width), dtype, maxshape=(None, width), **_checked((_CHUNK_ROWS, width)))
        for name, width, dtype in (("descriptors", DIMENSION, np.uint8), ("keypoints", 4, np.float32))
    }
    counts = [0]
    waiting: list[LocalFeatures] = []
    n_waiting = 0

    def flush() -> None:
        for name, dataset in stored.items():
            rows = np.concatenate([getattr(features, name) for features in waiting])
            dataset.resize(len(dataset) + len(rows), axis=0)
            if len(rows):
                dataset[-len(rows) :] = rows
        waiting.clear()

    for features in values:
        counts.append(len(features))
        waiting.append(features)
        n_waiting += len(features)
        if n_waiting >= _BUFFERED_ROWS:
            flush()
            n_waiting = 0
    if waiting:
        flush()
    _write_array(group, "starts", np.cumsum(counts, dtype=np.int64))
    return len(counts) - 1
