"""objects.mdb of a collection: opened, made with the first objects, and taken back when these are refused."""

from pathlib import Path

from metricsearch.collection.manifest import Manifest
from metricsearch.errors import CorruptedError, ExistsError
from metricsearch.files import system_errors
from metricsearch.spaces import kind_by_name
from metricsearch.store import ObjectStore

OBJECTS = "objects.mdb"


def open_store(folder: Path, manifest: Manifest, readonly: bool) -> ObjectStore:
    """The object store of a collection that has one. Raises CorruptedError, StorageError."""
    path = folder / OBJECTS
    if not path.is_file():
        raise CorruptedError(f"{path}: the objects are missing; restore the file from a copy")
    store = ObjectStore.open(path, readonly=readonly)
    try:
        check_store(store, path, manifest)
    except BaseException:
        store.close()
        raise
    return store


def check_store(store: ObjectStore, path: Path, manifest: Manifest) -> None:
    """Raise CorruptedError unless the store is the one that the manifest describes."""
    found = (store.kind.name, store.codec.name, store.width)
    if found != (manifest.kind, manifest.codec, manifest.dimension):
        raise CorruptedError(
            f"{path}: holds {found[0]} of width {found[2]} in {found[1]}, but the manifest says {manifest.kind} of "
            f"width {manifest.dimension} in {manifest.codec}; a file of another collection was put in its place"
        )
    entry = manifest.index
    if entry is not None and store.version < entry.store_version:
        raise CorruptedError(
            f"{path}: holds version {store.version}, but the index was built on version {entry.store_version}; "
            "an older file was put in its place, restore the right one"
        )


def create_store(folder: Path, codec: str, kind: str, width: int | None) -> ObjectStore:
    """An empty store; one that a crash has left, without objects and not named by the manifest, is replaced."""
    path = folder / OBJECTS
    if path.exists():
        with ObjectStore.open(path) as leftover:  # refused while another process has it
            if len(leftover):
                raise ExistsError(f"{path}: another process has just added objects; open the collection again")
        delete_store(folder)
    return ObjectStore.create(path, codec, kind_by_name(kind), width)


def delete_store(folder: Path) -> None:
    """Delete a closed store with its seal and lock file."""
    path = folder / OBJECTS
    with system_errors(path):
        for file in (path, path.with_suffix(".seal"), path.with_name(f"{OBJECTS}-lock")):
            file.unlink(missing_ok=True)
