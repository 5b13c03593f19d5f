"""Collection: objects on disk, their PPP-Codes in memory, and search over both (design section 1)."""

import threading
from dataclasses import replace
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.collection.adding import Addition
from metricsearch.collection.index_files import delete_leftovers, index_problems, load_index, save_index
from metricsearch.collection.manifest import Manifest, read_manifest, write_manifest
from metricsearch.collection.objects_file import create_store, delete_store, open_store
from metricsearch.collection.opening import as_path, checked_index, describe_new, make_folder, read_description
from metricsearch.collection.pivots import pivots_for
from metricsearch.errors import (
    CorruptedError,
    EmptyIndexError,
    InvalidInputError,
    MetricSearchError,
    MissingIndexError,
    OutdatedIndexError,
    UnknownIdError,
)
from metricsearch.ppp import PPPCodes, RankingOptions, check_options
from metricsearch.progress import counted
from metricsearch.provenance import Provenance, check_provenance, check_same_provenance
from metricsearch.refinement import CheckedObjects, SearchResult, check_search, search_all
from metricsearch.spaces import Batch, Metric
from metricsearch.spaces.chunks import CHUNK_OBJECTS, iterate_chunks
from metricsearch.store import ObjectStore, Snapshot, get_codec
from metricsearch.threads import resolve_threads
from metricsearch.validation import check_ids


class Collection:
    """A directory of objects with an index: `create`, `add`, `build_index`, `search`, `remove`, `verify`, `close`.

    Use it in a `with` statement. One process may have a collection open for changes, any number with readonly=True;
    these see a change once the other process has saved its index (`build_index`, `close`). Several threads may search
    at once, but not while another one changes the collection.
    """

    def __init__(self, path: Path, manifest: Manifest, metric: Metric, n_threads: int | None, readonly: bool) -> None:
        """Not called directly: see `create` and `open`."""
        self.path = path
        self.metric = metric
        self.n_threads = resolve_threads(n_threads)
        self._manifest = manifest
        self._codec = get_codec(manifest.codec, metric.kind)
        self._readonly = readonly
        self._index: PPPCodes | None = None
        self._index_version = -1  # store version that the index in memory covers
        self._index_saved = True
        self._checked: CheckedObjects | None = None
        self._lock = threading.RLock()  # while the index is loaded
        self._closed = False
        self._store: ObjectStore | None = open_store(path, manifest, readonly) if manifest.has_store else None

    # ------------------------------------------------------------------ life

    @classmethod
    def create(
        cls,
        path: Any,
        *,
        metric: Any = None,
        index: PPPCodes | None = None,
        codec: str | None = None,
        n_threads: int | None = None,
    ) -> "Collection":
        """Make an empty collection in a new directory.

        metric: see `PPPCodes`; None = that of `index`, or euclidean. index: an unbuilt PPPCodes whose parameters are
        used (default: PPPCodes(metric)). codec: see `metricsearch.store.codec_names`; None = the lossless default.
        Raises ExistsError, UnknownNameError, InvalidInputError, StorageError.
        """
        path = as_path(path)
        manifest, found = describe_new(metric, index, codec)
        n_threads = resolve_threads(n_threads)
        make_folder(path, manifest)
        return cls(path, manifest, found, n_threads, readonly=False)

    @classmethod
    def open(
        cls, path: Any, *, metric: Any = None, n_threads: int | None = None, readonly: bool = False
    ) -> "Collection":
        """Open a collection. metric: the function itself, where the collection was created with a user function.

        The index is loaded, and its checksums compared, at the first search. Raises MissingDataError, CorruptedError,
        FormatVersionError, StorageError (in use by another process), InvalidInputError.
        """
        path = as_path(path)
        manifest, found = read_description(path, metric)
        return cls(path, manifest, found, n_threads, readonly)

    def __enter__(self) -> "Collection":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Save an index that changed in memory, and close the files. Closing twice does nothing."""
        if self._closed:
            return
        self._closed = True
        try:
            if not self._index_saved and self._index is not None:
                self._save_index(self._index)
        finally:
            if self._store is not None:
                self._store.close()

    def __len__(self) -> int:
        self._check_open()
        return 0 if self._store is None else len(self._store)

    # ------------------------------------------------------------------ changing

    def add(
        self, objects: Any, ids: Any = None, provenance: Provenance | None = None, *, progress: bool = False
    ) -> NDArray[np.int64]:
        """Store objects; durable on return, all of them or, after an error, none. Returns their IDs.

        objects: a sequence, something with `chunks(size)`, or an iterator of chunks (streamed). ids: one int64 >= 0
        each; None = following the largest that is there. provenance: what the objects were made by, a dict fit for
        JSON, None = not known; the first add settles it. An up-to-date index is extended too. progress: show a bar.
        Raises InvalidInputError (naming the row; another provenance), DuplicateIdError, StorageError.
        """
        self._begin_change()
        provenance = check_provenance(provenance)
        if self._store is not None:
            check_same_provenance("objects", provenance, str(self.path), self.provenance)
        numbers = None if ids is None else check_ids(ids, "ids")
        batches = iterate_chunks(objects, self.metric, self._manifest.dimension, self._codec.check)
        chunks = counted(batches, "store", objects, progress)
        first = next(chunks, None)
        if first is None:
            if numbers is not None and len(numbers):
                raise InvalidInputError(f"ids: expected one ID per object, 0 in total, got {len(numbers)}")
            return np.empty(0, dtype=np.int64)
        index = self._current_index()
        is_new = self._store is None
        store = self._require_store(first, provenance)
        next_id = store.next_id()
        addition = Addition(chain([first], chunks), numbers, next_id, None if index is None else index.compute_codes)
        try:
            store.add(addition)
        except BaseException:
            if is_new:  # else its dimension would bind the next add
                self._discard_store(store)
            raise
        if index is not None:
            index.insert_codes(addition.codes, addition.ids)
            self._adopt(index, store.version, saved=False)
        return addition.ids

    def remove(self, ids: Any) -> None:
        """Delete objects, durable on return. Raises UnknownIdError, DuplicateIdError, and then deletes nothing."""
        self._begin_change()
        numbers = check_ids(ids, "ids")
        if not len(numbers):
            return
        if self._store is None:
            raise UnknownIdError(f"ids: ID {numbers[0]} is not in {self.path}, which is empty")
        index = self._current_index()
        self._store.remove(numbers)
        if index is not None:
            index.remove(numbers)
            self._adopt(index, self._store.version, saved=False)

    def build_index(self, index: PPPCodes | None = None, *, pivots: Any = None, progress: bool = False) -> None:
        """Build the index over all objects and save it; the old one serves until the new one is complete.

        index: an unbuilt PPPCodes with other parameters than before. pivots: λ·k objects to use. progress: show a bar.
        Raises EmptyIndexError, InvalidInputError (too few objects for the pivots), NonMetricError, StorageError.
        """
        self._begin_change()
        if index is not None:
            checked_index(index, self.metric)
        if self._store is None or not len(self._store):
            raise EmptyIndexError(f"{self.path}: no objects to index; add some first")
        store = self._store
        parameters = self._manifest.index_parameters if index is None else index.parameters()
        new = PPPCodes.from_parameters(parameters, metric=self.metric, n_threads=self.n_threads)
        pivots, sample = pivots_for(new, store, pivots, self._manifest.dimension)
        batches = counted((batch for _, batch in store.chunks(CHUNK_OBJECTS)), "index", store, progress)
        new.build(batches, store.ids(), pivots=pivots, sample=sample)
        self._save_index(new, store.version)
        store.seal()

    def _save_index(self, index: PPPCodes, version: int | None = None) -> None:
        """Save `index`, which covers the store's `version` (None: that of the index in memory), and use it."""
        version = self._index_version if version is None else version
        entry = save_index(self.path, index, version, self._manifest.index)
        manifest = replace(self._manifest, index=entry, index_parameters=entry.parameters)
        write_manifest(self.path, manifest)
        self._manifest = manifest
        self._adopt(index, version, saved=True)
        delete_leftovers(self.path, entry)

    def _adopt(self, index: PPPCodes | None, version: int, saved: bool) -> None:
        self._index, self._index_version, self._index_saved = index, version, saved
        self._checked = None if index is None else CheckedObjects(index.n_ordinals)

    def _begin_change(self) -> None:
        self._check_open()
        if self._readonly:
            raise InvalidInputError(f"{self.path}: opened read-only; open it with readonly=False to change it")

    def _require_store(self, first: Batch, provenance: Provenance | None) -> ObjectStore:
        """The object store; made when the first object tells its dimension."""
        if self._store is None:
            width = self.metric.kind.width(first)
            store = create_store(self.path, self._manifest.codec, self._manifest.kind, width)
            manifest = replace(self._manifest, dimension=width, provenance=provenance, has_store=True)
            try:
                write_manifest(self.path, manifest)
            except BaseException:
                store.close()
                raise
            self._store, self._manifest = store, manifest
        return self._store

    def _discard_store(self, store: ObjectStore) -> None:
        """Take back the store of a first add that failed."""
        manifest = replace(self._manifest, dimension=None, provenance=None, has_store=False)
        write_manifest(self.path, manifest)
        self._store, self._manifest = None, manifest
        store.close()
        delete_store(self.path)

    def _check_open(self) -> None:
        if self._closed:
            raise InvalidInputError(f"{self.path}: the collection is closed; open it again")

    # ------------------------------------------------------------------ searching

    @property
    def index(self) -> PPPCodes:
        """The index, loaded when first needed. Raises MissingIndexError, OutdatedIndexError, CorruptedError."""
        return self._index_of_now()[0]

    def _index_of_now(self) -> tuple[PPPCodes, CheckedObjects, int]:
        """The index, with the checksums compared and the store version that belong to it."""
        self._check_open()
        with self._lock:
            version = self._store_version()
            if self._readonly and self._index_version != version:
                self._refresh()
                version = self._store_version()
            if self._index is None or self._index_version != version:
                self._load_index(version)
            if self._index is None or self._checked is None:
                raise MissingIndexError(f"{self.path}: no index yet; call build_index() (or: metricsearch build)")
            return self._index, self._checked, version

    def _load_index(self, version: int) -> None:
        entry = self._manifest.index
        if entry is None:
            return
        if entry.store_version != version:
            where = "in the process that changes them" if self._readonly else "again (or: metricsearch build)"
            raise OutdatedIndexError(
                f"{self.path}: the index is older than the objects (they changed since it was saved); "
                f"call build_index() {where}"
            )
        try:
            index = load_index(self.path, entry, self.metric, self.n_threads)
        except CorruptedError:
            if not self._readonly or not self._refresh():
                raise
            self._load_index(self._store_version())  # another process has replaced the index meanwhile
        else:
            self._adopt(index, version, saved=True)

    def _refresh(self) -> bool:
        """Read what another process has saved; returns whether there was anything new."""
        manifest = read_manifest(self.path)
        is_new = manifest != self._manifest
        self._manifest = manifest
        if self._store is None and manifest.has_store:
            self._store = open_store(self.path, manifest, self._readonly)
        return is_new

    def _store_version(self) -> int:
        return 0 if self._store is None else self._store.version

    def _current_index(self) -> PPPCodes | None:
        """The index if there is one and it covers the present objects."""
        try:
            return self.index
        except (MissingIndexError, OutdatedIndexError):
            return None

    def _pinned(self, store: ObjectStore) -> tuple[PPPCodes, CheckedObjects, Snapshot]:
        """The index and a snapshot of the very objects that it covers, whatever another process does meanwhile."""
        while True:
            index, checked, version = self._index_of_now()
            snapshot = store.snapshot()
            if store.version == version:
                return index, checked, snapshot
            snapshot.close()

    def search(
        self, queries: Any, k: int = 10, *, n_candidates: int = 1000, options: RankingOptions | None = None
    ) -> SearchResult:
        """The k nearest of the n_candidates (R) best-ranked objects, for every query.

        queries: objects of the collection's kind, (n_queries, d) for vectors. options: how prefixes are ranked and
        aggregated; None = those of the index. Many queries share the cores; a single one uses them all. The checksum
        of every object is compared when it is first read.
        Raises InvalidInputError (naming the row; k < 1; R < k), EmptyIndexError, MissingIndexError, OutdatedIndexError,
        CorruptedError.
        """
        self._check_open()
        k = check_search(k, n_candidates)
        check_options(options)
        if self._store is None and self._readonly:
            self._refresh()
        store = self._store
        if store is None or not len(store):
            raise EmptyIndexError(f"{self.path}: the collection is empty; add objects first")
        batch = self.metric.check(queries, "queries", self._manifest.dimension)
        if not len(batch):
            raise InvalidInputError("queries: expected at least one query, got 0")
        index, checked, snapshot = self._pinned(store)
        with snapshot:
            answers = search_all(index, snapshot, checked, batch, k, n_candidates, options, self.n_threads)
        return SearchResult.of(answers)

    def get(self, ids: Any) -> Batch:
        """The objects `ids` as a batch, in this order; checksums compared. Raises UnknownIdError, CorruptedError."""
        self._check_open()
        numbers = check_ids(ids, "ids")
        if self._store is None and not len(numbers):
            raise EmptyIndexError(f"{self.path}: the collection is empty, so the kind of an empty answer is not known")
        if self._store is None:
            raise UnknownIdError(f"ids: ID {numbers[0]} is not in {self.path}, which is empty")
        return self._store.get(numbers)

    def ids(self) -> NDArray[np.int64]:
        """IDs of all objects, ascending."""
        self._check_open()
        return np.empty(0, dtype=np.int64) if self._store is None else self._store.ids()

    # ------------------------------------------------------------------ looking inside

    @property
    def provenance(self) -> Provenance | None:
        """What the objects were made by, as the first add told; None = not known, or nothing was added yet."""
        return self._manifest.provenance

    def verify(self) -> list[str]:
        """Compare every checksum of every file; returns what is wrong, one line each (empty: all is well)."""
        self._check_open()
        problems = [] if self._store is None else self._store.verify()
        try:
            entry = read_manifest(self.path).index
            if entry is not None:
                problems += index_problems(self.path, entry)
            index = None if problems else self._current_index()
        except MetricSearchError as error:
            return [*problems, str(error)]
        if index is not None and not np.array_equal(index.ids(), self.ids()):
            problems.append(f"{self.path}: the index holds other IDs than the object store; call build_index() again")
        return problems

    def info(self) -> dict[str, Any]:
        """What the collection is: metric, counts, bytes, index parameters and state. For people and for reports."""
        self._check_open()
        try:
            index, state = self.index, "up to date"
        except MissingIndexError:
            index, state = None, "none"
        except OutdatedIndexError:
            index, state = None, "outdated"
        except CorruptedError:
            index, state = None, "damaged"
        return {
            "path": str(self.path),
            "metric": self._manifest.metric,
            "kind": self._manifest.kind,
            "dimension": self._manifest.dimension,
            "provenance": self.provenance,
            "codec": self._codec.label,
            "count": len(self),
            "store_version": self._store_version(),
            "payload_bytes": 0 if self._store is None else self._store.payload_bytes,
            "file_bytes": 0 if self._store is None else self._store.file_bytes,
            "index_state": state,
            "index_parameters": self._manifest.index_parameters,
            "index_memory_bytes": None if index is None else index.memory_bytes,
        }
