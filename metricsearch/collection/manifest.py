"""manifest.json: what a collection is, and which index files belong to it."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from metricsearch.manifests import ManifestKind, damaged_manifest

_KIND = ManifestKind(format="metricsearch-collection", version=1, noun="collection", make="Collection.create")


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexEntry:
    """The saved index: its folder, parameters, object count, the store version it covers, sha256 of every file."""

    folder: str
    parameters: dict[str, Any]
    count: int
    store_version: int
    files: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class CutoffEntry:
    """The saved cut-off: its folder, the ranking options and the number of objects that it was learnt with, sha256s."""

    folder: str
    n_objects: int
    options: dict[str, Any]
    files: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Contents of manifest.json, which holds their sha256 too.

    dimension: width of the objects, None before the first add and for kinds without one. provenance: what the objects
    were made by, None before the first add and where it is not known (as in manifests written before there was this
    key). has_store: objects.mdb was created. index_parameters: parameters the next `build_index` uses. index: the saved
    index, or None. cutoff: what was learnt with this very index or before its objects changed; None = nothing (as in
    manifests written before there was this key). One file names both, so neither is ever read with another's.
    """

    metric: dict[str, Any]
    kind: str
    codec: str
    index_parameters: dict[str, Any]
    dimension: int | None = None
    provenance: dict[str, Any] | None = None
    has_store: bool = False
    index: IndexEntry | None = None
    cutoff: CutoffEntry | None = None

    def next_generation(self) -> int:
        """Number of the folder to save an index or a cut-off in, which no earlier one had: readers may still map it."""
        saved = [entry for entry in (self.index, self.cutoff) if entry is not None]
        return 1 + max((int(Path(entry.folder).name) for entry in saved), default=0)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Replace manifest.json as a whole, durable on return. Raises StorageError."""
    _KIND.write(folder, asdict(manifest))


def read_manifest(folder: Path) -> Manifest:
    """Parse manifest.json. Raises MissingDataError, CorruptedError, FormatVersionError, StorageError."""
    content = _KIND.read(folder)
    try:
        index, cutoff = content.pop("index"), content.pop("cutoff", None)
        return Manifest(
            **content,
            index=None if index is None else IndexEntry(**index),
            cutoff=None if cutoff is None else CutoffEntry(**cutoff),
        )
    except (TypeError, KeyError) as error:
        raise damaged_manifest(folder, error) from None
