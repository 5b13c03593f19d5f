"""What `Collection.create` and `Collection.open` check before there is a collection."""

from pathlib import Path
from typing import Any

from metricsearch.collection.manifest import Manifest, read_manifest, write_manifest
from metricsearch.errors import ExistsError, InvalidInputError
from metricsearch.files import sync, system_errors
from metricsearch.ppp import PPPCodes
from metricsearch.spaces import Metric, get_metric
from metricsearch.store import default_codec, get_codec


def as_path(path: Any) -> Path:
    """`path` as Path; raise InvalidInputError unless it is one or a str."""
    try:
        return Path(path)
    except TypeError:
        raise InvalidInputError(f"path: expected a path, got {path!r:.60}") from None


def checked_index(index: Any, metric: Metric | None) -> PPPCodes:
    """`index`; raise InvalidInputError unless it is a PPPCodes for `metric` (None: any)."""
    if not isinstance(index, PPPCodes):
        raise InvalidInputError(f"index: expected PPPCodes(...), got {index!r:.60}")
    if metric is not None and metric.spec() != index.metric.spec():
        raise InvalidInputError(
            f"index: it was made for {index.metric.spec()}, the collection for {metric.spec()}; use one metric"
        )
    return index


def describe_new(metric: Any, index: PPPCodes | None, codec: str | None) -> tuple[Manifest, Metric]:
    """Manifest and metric of a new collection; see `Collection.create`."""
    if index is None:
        index = PPPCodes("euclidean" if metric is None else metric)
    else:
        checked_index(index, None if metric is None else get_metric(metric))
    kind = index.metric.kind
    name = default_codec(kind) if codec is None else get_codec(codec, kind).name
    manifest = Manifest(metric=index.metric.spec(), kind=kind.name, codec=name, index_parameters=index.parameters())
    return manifest, index.metric


def make_folder(path: Path, manifest: Manifest) -> None:
    """Make the folder and the manifest, durably. Raises ExistsError, InvalidInputError, StorageError."""
    with system_errors(path):
        if path.exists():
            raise ExistsError(f"{path}: exists already; choose another path, or use Collection.open")
        if not path.parent.is_dir():
            raise InvalidInputError(f"{path}: the folder {path.parent} does not exist; create it first")
        path.mkdir()
        try:
            write_manifest(path, manifest)
        except BaseException:
            path.rmdir()
            raise
        sync(path.parent)


def read_description(path: Path, metric: Any) -> tuple[Manifest, Metric]:
    """Manifest and metric of a collection on disk; see `Collection.open`."""
    manifest = read_manifest(path)
    name = str(manifest.metric.get("name"))
    if metric is None and name.startswith("user:"):
        raise InvalidInputError(
            f"{path}: its metric is the user function {name.removeprefix('user:')!r}, which no file can hold; "
            "pass it: Collection.open(path, metric=function)"
        )
    is_function = callable(metric) and not isinstance(metric, Metric)
    found = get_metric(manifest.metric if metric is None else metric, kind=manifest.kind if is_function else None)
    if found.spec() != manifest.metric:
        raise InvalidInputError(f"{path}: the collection has metric {manifest.metric}, but {found.spec()} was passed")
    return manifest, found
