"""The index of now: loaded when first needed, followed as the objects change here or in another process, saved."""

import threading
from dataclasses import dataclass, replace
from typing import Any

from metricsearch.collection.cutoff_files import load_cutoff, save_cutoff
from metricsearch.collection.disk import Disk
from metricsearch.collection.index_files import load_index, save_index
from metricsearch.collection.manifest import CutoffEntry
from metricsearch.errors import CorruptedError, MissingIndexError, OutdatedIndexError
from metricsearch.ppp import PPPCodes, RankingOptions
from metricsearch.refinement import CheckedObjects, LearntCutoff
from metricsearch.spaces import Metric
from metricsearch.store import ObjectStore, Snapshot


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """An index in memory with what belongs to it.

    version: of the store, whose objects it covers. is_saved: the manifest names it. checked: the checksums compared.
    learnt: what searches with n_candidates="auto" go by; None = nothing, or not loaded yet.
    """

    index: PPPCodes
    version: int
    is_saved: bool
    checked: CheckedObjects
    learnt: LearntCutoff[RankingOptions] | None = None


class CurrentIndex:
    """The index of a collection, as it is now. Several threads may ask for it at once."""

    def __init__(self, disk: Disk, metric: Metric, n_threads: int) -> None:
        self._disk, self._metric, self._n_threads = disk, metric, n_threads
        self._loaded: Loaded | None = None
        self._lock = threading.RLock()  # while something is loaded

    def now(self) -> Loaded:
        """The index of the present objects. Raises MissingIndexError, OutdatedIndexError, CorruptedError."""
        with self._lock:
            if self._disk.readonly and (self._loaded is None or self._loaded.version != self._disk.version):
                self._refresh()
            version = self._disk.version
            if self._loaded is None or self._loaded.version != version:
                self._loaded = self._load(version)
            return self._loaded

    def if_covering(self) -> Loaded | None:
        """The index if there is one and it covers the present objects. Raises CorruptedError."""
        try:
            return self.now()
        except (MissingIndexError, OutdatedIndexError):
            return None

    def with_cutoff(self) -> Loaded:
        """`now`, with what was learnt for it, None: nothing. Raises CorruptedError, too, where that is damaged."""
        with self._lock:
            loaded, entry = self.now(), self._disk.manifest.cutoff
            if loaded.learnt is None:
                try:
                    learnt = None if entry is None else load_cutoff(self._disk.path, entry, loaded.index)
                except CorruptedError:
                    if not self._refresh():
                        raise
                    return self.with_cutoff()  # another process has replaced it meanwhile
                if learnt is None and self._refresh():
                    return self.with_cutoff()  # or has learnt for the first time
                loaded = self._loaded = replace(loaded, learnt=learnt)
            return loaded

    def pinned(self, store: ObjectStore, needs_cutoff: bool) -> tuple[Loaded, Snapshot]:
        """The index and a snapshot of the very objects that it covers, whatever another process does meanwhile."""
        while True:
            loaded = self.with_cutoff() if needs_cutoff else self.now()
            snapshot = store.snapshot()
            if store.version == loaded.version:
                return loaded, snapshot
            snapshot.close()

    def _load(self, version: int) -> Loaded:
        entry = self._disk.manifest.index
        if entry is None:
            raise MissingIndexError(f"{self._disk.path}: no index yet; call build_index() (or: metricsearch build)")
        if entry.store_version != version:
            where = "in the process that changes them" if self._disk.readonly else "again (or: metricsearch build)"
            raise OutdatedIndexError(
                f"{self._disk.path}: the index is older than the objects (they changed since it was saved); "
                f"call build_index() {where}"
            )
        try:
            index = load_index(self._disk.path, entry, self._metric, self._n_threads)
        except CorruptedError:
            if not self._refresh():
                raise
            return self._load(self._disk.version)  # another process has replaced the index meanwhile
        return Loaded(index, version, is_saved=True, checked=CheckedObjects(index.n_ordinals))

    def _refresh(self) -> bool:
        """Read what the process that may change the collection has saved; returns whether there was anything new.

        An index or a cut-off that it has replaced is forgotten here, so that those in use are always a pair.
        """
        if not self._disk.readonly:
            return False
        before = self._disk.manifest
        is_new = self._disk.refresh()
        if self._disk.manifest.index != before.index:
            self._loaded = None
        elif self._loaded is not None and self._disk.manifest.cutoff != before.cutoff:
            self._loaded = replace(self._loaded, learnt=None)
        return is_new

    # ------------------------------------------------------------------ changing

    def follow(self, loaded: Loaded) -> None:
        """Use `loaded`, whose index was changed in memory as the store was; what was learnt stays."""
        checked = CheckedObjects(loaded.index.n_ordinals)
        self._loaded = replace(loaded, version=self._disk.version, is_saved=False, checked=checked)

    def replace_by(self, index: PPPCodes, version: int) -> None:
        """Save a newly built index, which covers the store's `version`, and use it; what was learnt is forgotten.

        Raises StorageError.
        """
        self._save(Loaded(index, version, is_saved=False, checked=CheckedObjects(index.n_ordinals)), None)

    def learn(self, loaded: Loaded, learnt: LearntCutoff[RankingOptions]) -> None:
        """Save what was learnt with `loaded`, the index of now, together with it if it changed in memory.

        Raises StorageError.
        """
        generation = self._disk.manifest.next_generation()
        entry = save_cutoff(self._disk.path, learnt, generation)
        self._save(replace(loaded, learnt=learnt), entry)

    def save_changes(self) -> None:
        """Save an index that changed in memory; what was learnt with it before stays. Raises StorageError."""
        if self._loaded is not None and not self._loaded.is_saved:
            self._save(self._loaded, self._disk.manifest.cutoff)

    def _save(self, loaded: Loaded, cutoff: CutoffEntry | None) -> None:
        """Name the index and its cut-off in one manifest, written after their files: a crash leaves the pair before."""
        changed: dict[str, Any] = {"cutoff": cutoff}
        if not loaded.is_saved:
            loaded.index.consolidate()  # gives the objects other ordinals, also where saving fails
            checked = CheckedObjects(loaded.index.n_ordinals)
            if self._loaded is not None and self._loaded.index is loaded.index:
                self._loaded = replace(self._loaded, checked=checked)
            generation = self._disk.manifest.next_generation()
            entry = save_index(self._disk.path, loaded.index, loaded.version, generation)
            changed |= {"index": entry, "index_parameters": entry.parameters}
            loaded = replace(loaded, is_saved=True, checked=checked)
        self._disk.write(**changed)
        self._loaded = loaded
        self._disk.delete_leftovers()
