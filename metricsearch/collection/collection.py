"""Collection: objects on disk, their PPP-Codes in memory, and search over both (design section 1)."""

from collections.abc import Callable
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from metricsearch.collection.adding import Addition
from metricsearch.collection.copying import LeafOrder, removed_on_error
from metricsearch.collection.current_index import CurrentIndex, Loaded
from metricsearch.collection.cutoff_files import cutoff_problems
from metricsearch.collection.disk import Disk
from metricsearch.collection.index_files import index_problems
from metricsearch.collection.manifest import Manifest, read_manifest
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
from metricsearch.refinement import (
    ReadingRecord,
    SearchResult,
    check_search,
    learn_cutoff,
    require_learnt,
    search_adaptively,
    search_all,
)
from metricsearch.spaces import Batch, Metric
from metricsearch.spaces.chunks import CHUNK_OBJECTS, iterate_chunks
from metricsearch.store import ObjectStore, get_codec
from metricsearch.threads import resolve_threads
from metricsearch.validation import check_ids


class Collection:
    """A directory of objects with an index: `create`, `add`, `build_index`, `search`, `remove`, `verify`, `close`.

    Use it in a `with` statement. One process may have a collection open for changes, any number with readonly=True;
    these see a change once the other process has saved it (`build_index`, `learn_cutoff`, `close`). Several threads may
    search at once, but not while another one changes the collection.
    """

    def __init__(self, path: Path, manifest: Manifest, metric: Metric, n_threads: int | None, readonly: bool) -> None:
        """Not called directly: see `create` and `open`."""
        self.path = path
        self.metric = metric
        self.n_threads = resolve_threads(n_threads)
        self._codec = get_codec(manifest.codec, metric.kind)
        self._closed = False
        self._disk = Disk(path, manifest, readonly)
        self._current = CurrentIndex(self._disk, metric, self.n_threads)

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
            self._current.save_changes()
        finally:
            self._disk.close()

    def __len__(self) -> int:
        self._check_open()
        return 0 if self._disk.store is None else len(self._disk.store)

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
        if self._disk.store is not None:
            check_same_provenance("objects", provenance, str(self.path), self.provenance)
        numbers = None if ids is None else check_ids(ids, "ids")
        batches = iterate_chunks(objects, self.metric, self._disk.manifest.dimension, self._codec.check)
        chunks = counted(batches, "store", objects, progress)
        first = next(chunks, None)
        if first is None:
            if numbers is not None and len(numbers):
                raise InvalidInputError(f"ids: expected one ID per object, 0 in total, got {len(numbers)}")
            return np.empty(0, dtype=np.int64)
        loaded, is_new = self._current.if_covering(), self._disk.store is None
        store = self._disk.require_store(self.metric.kind.width(first), provenance)
        codes_of = None if loaded is None else loaded.index.compute_codes
        addition = Addition(chain([first], chunks), numbers, store.next_id(), codes_of)
        try:
            store.add(addition)
        except BaseException:
            if is_new:  # else its dimension would bind the next add
                self._disk.discard_store(store)
            raise
        if loaded is not None:
            loaded.index.insert_codes(addition.codes, addition.ids)
            self._current.follow(loaded)
        return addition.ids

    def remove(self, ids: Any) -> None:
        """Delete objects, durable on return. Raises UnknownIdError, DuplicateIdError, and then deletes nothing."""
        self._begin_change()
        numbers = check_ids(ids, "ids")
        if not len(numbers):
            return
        if self._disk.store is None:
            raise UnknownIdError(f"ids: ID {numbers[0]} is not in {self.path}, which is empty")
        loaded = self._current.if_covering()
        self._disk.store.remove(numbers)
        if loaded is not None:
            loaded.index.remove(numbers)
            self._current.follow(loaded)

    def build_index(self, index: PPPCodes | None = None, *, pivots: Any = None, progress: bool = False) -> None:
        """Build the index over all objects and save it; the old one serves until the new one is complete.

        index: an unbuilt PPPCodes with other parameters than before. pivots: λ·k objects to use. progress: show a bar.
        Raises EmptyIndexError, InvalidInputError (too few objects for the pivots), NonMetricError, StorageError.
        """
        self._begin_change()
        if index is not None:
            checked_index(index, self.metric)
        store = self._filled_store("no objects to index; add some first")
        parameters = self._disk.manifest.index_parameters if index is None else index.parameters()
        new = PPPCodes.from_parameters(parameters, metric=self.metric, n_threads=self.n_threads)
        pivots, sample = pivots_for(new, store, pivots, self._disk.manifest.dimension)
        batches = counted((batch for _, batch in store.chunks(CHUNK_OBJECTS)), "index", store, progress)
        new.build(batches, store.ids(), pivots=pivots, sample=sample)
        self._current.replace_by(new, store.version)
        store.seal()

    def learn_cutoff(
        self, queries: Any = None, *, seed: int = 0, options: RankingOptions | None = None
    ) -> ReadingRecord:
        """Learn for n_candidates="auto" when to stop reading, from deep searches of training queries; saved on return.

        queries: like those to come; None = 512 of the objects (seed chooses them), each without itself. Each reads up
        to 5,000 objects, and what it finds there counts as its true neighbours. options: of these searches and of those
        to come; None = those of the index. An index that changed in memory is saved with it.
        What was learnt stays when objects are added or removed, but tells of those that were there: after many changes
        learn again; "auto" refuses a collection that has more than doubled. `build_index` forgets it, for the new index
        may estimate otherwise.
        Raises InvalidInputError (an index without sketches; no other objects), EmptyIndexError, MissingIndexError,
        OutdatedIndexError, CorruptedError, StorageError.
        """
        self._begin_change()
        check_options(options)
        store = self._filled_store("no objects to learn from; add some first")
        loaded, snapshot = self._current.pinned(store, needs_cutoff=False)
        with snapshot:
            options = loaded.index.options if options is None else options
            batch = None if queries is None else self.metric.check(queries, "queries", self._disk.manifest.dimension)
            parts = loaded.index, snapshot, loaded.checked
            learnt = learn_cutoff(*parts, batch, seed, options, self.n_threads)
        self._current.learn(loaded, learnt)
        return learnt.record

    def copy_in_leaf_order(self, path: Any, *, progress: bool = False) -> None:
        """Make a new collection of the same objects, those near each other on the same pages of the disk.

        They are written in the order of the leaves of the first pivot space; what that saves depends on the order that
        they had. IDs, codec, provenance, parameters and pivots stay. The index is built from them anew: answers are the
        same, but for what is learnt besides pivots (sketches, calibrated scores) if objects changed since the last
        `build_index`, and for a rounding in the last digits with codec u8. A learnt cut-off is not copied.
        One state is copied, chunk by chunk, whatever another process changes meanwhile. progress: show bars.
        Raises ExistsError, EmptyIndexError, MissingIndexError, OutdatedIndexError, CorruptedError, InvalidInputError,
        StorageError; after any error the target is removed. One left by a kill has no index.
        """
        self._check_open()
        if self._disk.store is None and self._disk.readonly:
            self._disk.refresh()
        store = self._filled_store("no objects to copy; add some first")
        loaded, snapshot = self._current.pinned(store, needs_cutoff=False)
        with snapshot:
            index = PPPCodes.from_parameters(loaded.index.parameters(), metric=self.metric, n_threads=self.n_threads)
            target = Collection.create(path, index=index, codec=self._codec.name, n_threads=self.n_threads)
            with removed_on_error(target.path), target:
                objects = LeafOrder(loaded.index, snapshot)
                target.add(objects, objects.ids, self.provenance, progress=progress)
                target.build_index(pivots=loaded.index.flat_pivots, progress=progress)

    def _begin_change(self) -> None:
        self._check_open()
        if self._disk.readonly:
            raise InvalidInputError(f"{self.path}: opened read-only; open it with readonly=False to change it")

    def _filled_store(self, problem: str) -> ObjectStore:
        """The store; raise EmptyIndexError, which tells the problem, if it holds no objects."""
        if self._disk.store is None or not len(self._disk.store):
            raise EmptyIndexError(f"{self.path}: {problem}")
        return self._disk.store

    def _check_open(self) -> None:
        if self._closed:
            raise InvalidInputError(f"{self.path}: the collection is closed; open it again")

    # ------------------------------------------------------------------ searching

    @property
    def index(self) -> PPPCodes:
        """The index, loaded when first needed. Raises MissingIndexError, OutdatedIndexError, CorruptedError."""
        self._check_open()
        return self._current.now().index

    def search(
        self,
        queries: Any,
        k: int = 10,
        *,
        n_candidates: int | Literal["auto"] = 1000,
        target_recall: float = 0.9,
        options: RankingOptions | None = None,
    ) -> SearchResult:
        """The k nearest of the n_candidates (R) best-ranked objects, for every query.

        queries: objects of the collection's kind, (n_queries, d) for vectors. n_candidates: "auto" reads, after
        `learn_cutoff`, as many as the training queries needed on average to find target_recall of their k <= 100
        nearest, at most 1,000. options: how prefixes are ranked and aggregated; None = those of the index, or, with
        "auto", those it was learnt with. Many queries share the cores; a single one uses them all. The checksum of
        every object is compared when it is first read.
        Raises InvalidInputError (naming the row; k < 1; R < k; "auto" before `learn_cutoff`), EmptyIndexError,
        MissingIndexError, OutdatedIndexError, CorruptedError.
        """
        self._check_open()
        k = check_search(k, n_candidates, target_recall)
        check_options(options)
        if self._disk.store is None and self._disk.readonly:
            self._disk.refresh()
        store = self._filled_store("the collection is empty; add objects first")
        batch = self.metric.check(queries, "queries", self._disk.manifest.dimension)
        if not len(batch):
            raise InvalidInputError("queries: expected at least one query, got 0")
        loaded, snapshot = self._current.pinned(store, needs_cutoff=n_candidates == "auto")
        parts = loaded.index, snapshot, loaded.checked, batch, k
        with snapshot:
            if n_candidates == "auto":
                learnt = require_learnt(loaded.learnt, options, len(loaded.index))
                return SearchResult.of(search_adaptively(*parts, target_recall, learnt, self.n_threads))
            return SearchResult.of(search_all(*parts, n_candidates, options, self.n_threads))

    def get(self, ids: Any) -> Batch:
        """The objects `ids` as a batch, in this order; checksums compared. Raises UnknownIdError, CorruptedError."""
        self._check_open()
        numbers = check_ids(ids, "ids")
        if self._disk.store is None and not len(numbers):
            raise EmptyIndexError(f"{self.path}: the collection is empty, so the kind of an empty answer is not known")
        if self._disk.store is None:
            raise UnknownIdError(f"ids: ID {numbers[0]} is not in {self.path}, which is empty")
        return self._disk.store.get(numbers)

    def ids(self) -> NDArray[np.int64]:
        """IDs of all objects, ascending."""
        self._check_open()
        return np.empty(0, dtype=np.int64) if self._disk.store is None else self._disk.store.ids()

    # ------------------------------------------------------------------ looking inside

    @property
    def provenance(self) -> Provenance | None:
        """What the objects were made by, as the first add told; None = not known, or nothing was added yet."""
        return self._disk.manifest.provenance

    def verify(self) -> list[str]:
        """Compare every checksum of every file; returns what is wrong, one line each (empty: all is well)."""
        self._check_open()
        problems = [] if self._disk.store is None else self._disk.store.verify()
        try:
            manifest = read_manifest(self.path)
            problems += [] if manifest.index is None else index_problems(self.path, manifest.index)
            problems += [] if manifest.cutoff is None else cutoff_problems(self.path, manifest.cutoff)
            loaded = None if problems else self._current.if_covering()
            if loaded is not None:
                self._current.with_cutoff()
        except MetricSearchError as error:
            return [*problems, str(error)]
        if loaded is not None and not np.array_equal(loaded.index.ids(), self.ids()):
            problems.append(f"{self.path}: the index holds other IDs than the object store; call build_index() again")
        return problems

    def info(self) -> dict[str, Any]:
        """What the collection is: metric, counts, bytes, index parameters and state. For people and for reports.

        index_state: "up to date", "none", "outdated" or "damaged". cutoff_state: of what `learn_cutoff` has learnt for
        that index, "learnt", "none", "outdated" or "damaged".
        """
        self._check_open()
        loaded, index_state = _found(self._current.now)
        with_cutoff, cutoff_state = _found(self._current.with_cutoff)
        if with_cutoff is not None:
            cutoff_state = "none" if with_cutoff.learnt is None else "learnt"
        manifest, store = self._disk.manifest, self._disk.store
        return {
            "path": str(self.path),
            "metric": manifest.metric,
            "kind": manifest.kind,
            "dimension": manifest.dimension,
            "provenance": self.provenance,
            "codec": self._codec.label,
            "count": len(self),
            "store_version": self._disk.version,
            "payload_bytes": 0 if store is None else store.payload_bytes,
            "file_bytes": 0 if store is None else store.file_bytes,
            "index_state": index_state,
            "index_parameters": manifest.index_parameters,
            "index_memory_bytes": None if loaded is None else loaded.index.memory_bytes,
            "cutoff_state": cutoff_state,
        }


def _found(find: Callable[[], Loaded]) -> tuple[Loaded | None, str]:
    """What `find` gives, and a word for it or for why it gives nothing."""
    try:
        return find(), "up to date"
    except MissingIndexError:
        return None, "none"
    except OutdatedIndexError:
        return None, "outdated"
    except CorruptedError:
        return None, "damaged"
