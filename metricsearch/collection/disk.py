"""What a collection has on disk, but for its index: the manifest, and the object store that it tells of."""

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

from metricsearch.array_folders import delete_other_folders
from metricsearch.collection.cutoff_files import CUTOFF_FOLDER
from metricsearch.collection.index_files import INDEX_FOLDER
from metricsearch.collection.manifest import Manifest, read_manifest, write_manifest
from metricsearch.collection.objects_file import create_store, delete_store, open_store
from metricsearch.manifests import delete_temporary_manifests
from metricsearch.provenance import Provenance
from metricsearch.store import ObjectStore


class Disk:
    """The manifest and the object store of one open collection, the store None before the first add.

    Raises what `open_store` does.
    """

    def __init__(self, path: Path, manifest: Manifest, readonly: bool) -> None:
        self.path, self.manifest, self.readonly = path, manifest, readonly
        self.store: ObjectStore | None = open_store(path, manifest, readonly) if manifest.has_store else None
        self._refreshing = threading.Lock()

    @property
    def version(self) -> int:
        """Version of the store, 0 while there is none."""
        return 0 if self.store is None else self.store.version

    def close(self) -> None:
        """Close the store."""
        if self.store is not None:
            self.store.close()

    def write(self, **changed: Any) -> None:
        """Replace the manifest by one with these fields changed, durable on return. Raises StorageError."""
        manifest = replace(self.manifest, **changed)
        write_manifest(self.path, manifest)
        self.manifest = manifest

    def refresh(self) -> bool:
        """Read what another process has saved; returns whether there was anything new. Threads may ask at once."""
        with self._refreshing:  # a store is opened once in a process
            manifest = read_manifest(self.path)
            is_new = manifest != self.manifest
            self.manifest = manifest
            if self.store is None and manifest.has_store:
                self.store = open_store(self.path, manifest, self.readonly)
            return is_new

    def require_store(self, width: int | None, provenance: Provenance | None) -> ObjectStore:
        """The object store; made when the first object tells its width. Raises StorageError, ExistsError."""
        if self.store is None:
            store = create_store(self.path, self.manifest.codec, self.manifest.kind, width)
            try:
                self.write(dimension=width, provenance=provenance, has_store=True)
            except BaseException:
                store.close()
                raise
            self.store = store
        return self.store

    def discard_store(self, store: ObjectStore) -> None:
        """Take back the store of a first add that failed."""
        self.write(dimension=None, provenance=None, has_store=False)
        self.store = None
        store.close()
        delete_store(self.path)

    def delete_leftovers(self) -> None:
        """Remove what the manifest does not name: older generations and leftovers of a crash."""
        delete_temporary_manifests(self.path)
        for folder, entry in ((INDEX_FOLDER, self.manifest.index), (CUTOFF_FOLDER, self.manifest.cutoff)):
            delete_other_folders(self.path / folder, set() if entry is None else {Path(entry.folder).name})
