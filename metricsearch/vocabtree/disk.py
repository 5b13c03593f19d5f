"""A vocabulary tree on disk: folders of memory-mapped arrays, and a manifest that says which of them belong to it.

    photos.vt/manifest.json            what the tree is, the folders below, sha256 of every file
    photos.vt/lock                     held by the one process that has the tree open for changes
    photos.vt/vocabulary/000001/*.npy  likewise hamming, weights, segments and, per segment, removed
    photos.vt/checkpoint/              finished levels of a training that has not ended

A change writes new folders beside the present ones and then the manifest that names them: it is there as a whole or not
at all. What the manifest does not name is deleted after the change and when the tree is next opened for changes.
"""

import glob
import json
import os
import shutil
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from metricsearch.array_folders import checksum_problems, delete_other_folders, map_array_folder, write_array_folder
from metricsearch.errors import CorruptedError, ExistsError, InvalidInputError, MetricSearchError, StorageError
from metricsearch.files import sync, system_errors
from metricsearch.locks import WriterLock
from metricsearch.manifests import damaged_manifest, delete_temporary_manifests
from metricsearch.validation import check_integer
from metricsearch.vocabtree.hamming import HammingModel
from metricsearch.vocabtree.manifest import FolderEntry, SegmentEntry, TreeManifest, read_manifest, write_manifest
from metricsearch.vocabtree.segment import Segment, check_segment
from metricsearch.vocabtree.state import TreeState, Weights
from metricsearch.vocabulary import Vocabulary

CHECKPOINT = "checkpoint"
CHECKED_BYTES = 1 << 24  # opening compares the sha256 of all files but of larger ones among these:
_PAYLOADS = ("forward.npy", "names.npy", "postings.npy", "signatures.npy")
_LOCK = "lock"
_REMOVED = "removed"
_NONE = np.empty(0, dtype=np.uint32)

Part = TypeVar("Part")
Arrays = dict[str, NDArray[Any]]


def _segment(parameters: dict[str, Any], arrays: Arrays, where: str) -> Segment:
    return Segment.from_arrays(arrays, where)


def _removed(parameters: dict[str, Any], arrays: Arrays, where: str) -> NDArray[np.uint32]:
    """Numbers of the removed images of one segment."""
    numbers = arrays.get(_REMOVED)
    if numbers is None or numbers.ndim != 1 or numbers.dtype != np.uint32:
        raise CorruptedError(f"{where}: not the numbers of removed images; restore it from a copy")
    return numbers


# folder of a part -> the part from its parameters and arrays
_LOADERS: dict[str, Callable[[dict[str, Any], Arrays, str], Any]] = {
    "vocabulary": Vocabulary.from_arrays,
    "hamming": HammingModel.from_arrays,
    "weights": Weights.from_arrays,
    "segments": _segment,
    _REMOVED: _removed,
}


def _dismantled(part: Any) -> tuple[dict[str, Any], Arrays]:
    """Parameters and arrays of a part."""
    if isinstance(part, np.ndarray):
        return {}, {_REMOVED: part}
    return {} if isinstance(part, Segment) else part.parameters(), part.to_arrays()


def _delete_unfinished(path: Path) -> None:
    """Delete what processes that were killed while they saved to `path` have left beside it."""
    for folder in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        try:
            lock = WriterLock(folder / _LOCK)
        except StorageError:  # one that is at it now
            continue
        shutil.rmtree(folder, ignore_errors=True)
        lock.release()


class TreeStorage:
    """The folder of one tree. `create` or `open` it, `load` the state, `commit` each new one, `close` it.

    One process at a time may have it open for changes, any number read-only. Not for several threads at once. After a
    fork the parent stays the one that has it open for changes.
    """

    def __init__(self, path: Path, manifest: TreeManifest, lock: WriterLock | None) -> None:
        """Not called directly: see `create` and `open`."""
        self.path = path
        self._manifest = manifest
        self._next_number = manifest.next_number
        self._lock = lock
        self._pid = os.getpid()
        self._saved: dict[int, tuple[Any, FolderEntry]] = {}  # id(part in memory): the part, kept alive, its folder
        self._closed = False

    @classmethod
    def create(
        cls, path: Path, parameters: dict[str, Any], features: dict[str, Any] | None, state: TreeState
    ) -> tuple["TreeStorage", TreeState]:
        """Save `state` in the new folder `path`, which appears as a whole, and open it for changes.

        Returns the storage, and the state as `commit` does. Raises ExistsError, InvalidInputError, StorageError.
        """
        try:
            features = json.loads(json.dumps(features))  # as it will be read again: keys are text
        except (TypeError, ValueError) as error:
            raise InvalidInputError(f"features: expected what JSON can hold ({error}), got {features!r:.60}") from None
        with system_errors(path):
            if os.path.lexists(path):
                raise ExistsError(f"{path}: exists already; choose another path, or use VocabularyTree.open")
            if not path.parent.is_dir():
                raise InvalidInputError(f"{path}: the folder {path.parent} does not exist; create it first")
            _delete_unfinished(path)
            temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
            temporary.mkdir()
            try:
                (temporary / _LOCK).touch()
                storage = cls(temporary, TreeManifest(parameters=parameters, features=features), None)
                storage._lock = WriterLock(temporary / _LOCK)
                state = storage.commit(state)
                temporary.rename(path)
            except BaseException:
                shutil.rmtree(temporary, ignore_errors=True)
                raise
            storage.path = path
            sync(path.parent)
        return storage, state

    @classmethod
    def open(cls, path: Path, *, readonly: bool) -> "TreeStorage":
        """Open the folder of a tree. Raises MissingDataError, CorruptedError, FormatVersionError, StorageError."""
        manifest = read_manifest(path)
        if readonly:
            return cls(path, manifest, None)
        with system_errors(path):
            (path / _LOCK).touch()  # a copy of a tree may lack it
        lock = WriterLock(path / _LOCK)
        try:
            storage = cls(path, read_manifest(path), lock)  # again: what it was before the lock may be old
            storage._delete_unnamed()
        except BaseException:
            lock.release()
            raise
        return storage

    def close(self) -> None:
        """Give up the lock, unless it is that of a parent process. What was loaded stays valid. May be called again."""
        self._closed = True
        if self._lock is not None and self._pid == os.getpid():
            self._lock.release()
            self._lock = None

    @property
    def parameters(self) -> dict[str, Any]:
        """Parameters of the tree, as they were saved."""
        return self._manifest.parameters

    @property
    def features(self) -> dict[str, Any] | None:
        """What made the descriptors, as it was told when the tree was saved; None where nobody said."""
        return self._manifest.features

    # ------------------------------------------------------------------ writing

    def check_writable(self) -> None:
        """Raise InvalidInputError where the tree was opened read-only, or before a fork, or is closed."""
        if self._closed:
            raise InvalidInputError(f"{self.path}: the tree is closed; open it again")
        if self._lock is None:
            raise InvalidInputError(f"{self.path}: opened read-only; open it with readonly=False to change it")
        if self._pid != os.getpid():
            raise InvalidInputError(f"{self.path}: opened for changes by another process; change it there")

    def commit(self, state: TreeState) -> TreeState:
        """Save what is new in `state`, durable on return; after an error nothing has changed, on disk or here.

        Returns the state to use from now on: the same, but with its new segments memory-mapped.
        Raises InvalidInputError (read-only), StorageError.
        """
        self.check_writable()
        try:
            with system_errors(self.path):
                manifest, state, saved = self._write(state)
                write_manifest(self.path, manifest)
        except BaseException:
            self._delete_unnamed()
            raise
        self._manifest, self._saved = manifest, saved
        self._delete_unnamed()
        return state

    def _write(self, state: TreeState) -> tuple[TreeManifest, TreeState, dict[int, tuple[Any, FolderEntry]]]:
        """Write the parts that are new; returns the manifest that names all, and the state made of what was saved."""
        saved: dict[int, tuple[Any, FolderEntry]] = {}

        def save(folder: str, part: Part) -> tuple[Part, FolderEntry]:
            known = self._saved.get(id(part)) or self._save(folder, part)
            saved[id(known[0])] = known
            return known

        def save_optional(folder: str, part: Part | None) -> tuple[Part | None, FolderEntry | None]:
            return (None, None) if part is None else save(folder, part)

        vocabulary, vocabulary_entry = save_optional("vocabulary", state.vocabulary)
        hamming, hamming_entry = save_optional("hamming", state.hamming)
        weights, weights_entry = state.weights, None
        if weights.counts is not None:
            weights, weights_entry = save("weights", weights)
        segments, removed, entries = [], [], []
        for segment, numbers in zip(state.segments, state.removed, strict=True):
            segment, entry = save("segments", segment)
            removed_entry = None
            if len(numbers):
                numbers, removed_entry = save(_REMOVED, numbers)
            segments.append(segment)
            removed.append(numbers)
            entries.append(SegmentEntry(content=entry, removed=removed_entry))
        manifest = replace(
            self._manifest,
            next_number=self._next_number,
            vocabulary=vocabulary_entry,
            hamming=hamming_entry,
            weights=weights_entry,
            segments=tuple(entries),
        )
        state = replace(
            state,
            vocabulary=vocabulary,
            hamming=hamming,
            weights=weights,
            segments=tuple(segments),
            removed=tuple(removed),
        )
        return manifest, state, saved

    def _save(self, folder: str, part: Any) -> tuple[Any, FolderEntry]:
        """Write one part; returns it as it is when loaded, memory-mapped, and its entry."""
        name = f"{folder}/{self._next_number:06d}"
        self._next_number += 1  # also after an error: no name is used twice
        parameters, arrays = _dismantled(part)
        files = write_array_folder(self.path / name, arrays)
        entry = FolderEntry(folder=name, parameters=parameters, files=files)
        return self._load(folder, entry, unchecked=files), entry

    def _delete_unnamed(self) -> None:
        """Delete what no manifest names: neither the one on disk nor, after an error, the one that was to stay.

        What cannot be deleted is left for the next time: a change that is on disk does not fail for it.
        """
        with suppress(MetricSearchError, OSError):
            on_disk = read_manifest(self.path)
            named = {entry.folder for manifest in (on_disk, self._manifest) for entry in manifest.folders()}
            delete_temporary_manifests(self.path)
            for folder in _LOADERS:
                delete_other_folders(
                    self.path / folder, {Path(name).name for name in named if Path(name).parts[0] == folder}
                )
            if on_disk.vocabulary is not None:
                shutil.rmtree(self.path / CHECKPOINT, ignore_errors=True)

    # ------------------------------------------------------------------ reading

    def load(self) -> TreeState:
        """The saved state, memory-mapped.

        All files are compared with their sha256, but for lists of words and names of more than CHECKED_BYTES; for these
        see `verify`.
        Raises CorruptedError, StorageError.
        """
        while True:
            try:
                return self._load_all()
            except (CorruptedError, StorageError):
                manifest = read_manifest(self.path)
                if manifest == self._manifest:
                    raise
                self._manifest = manifest  # another process has changed the tree meanwhile, and deleted what was old

    def _load_all(self) -> TreeState:
        manifest = self._manifest
        saved: dict[int, tuple[Any, FolderEntry]] = {}

        def load(folder: str, entry: FolderEntry | None) -> Any:
            if entry is None:
                return None
            large = [name for name in _PAYLOADS if name in entry.files and entry.files[name].n_bytes > CHECKED_BYTES]
            part = self._load(folder, entry, large)
            saved[id(part)] = (part, entry)
            return part

        try:
            state = TreeState(
                branching=check_integer(manifest.parameters["branching"], "branching", 2),
                depth=check_integer(manifest.parameters["depth"], "depth", 1),
                vocabulary=load("vocabulary", manifest.vocabulary),
                hamming=load("hamming", manifest.hamming),
                segments=tuple(load("segments", entry.content) for entry in manifest.segments),
                removed=tuple(
                    _NONE if entry.removed is None else load(_REMOVED, entry.removed) for entry in manifest.segments
                ),
                weights=load("weights", manifest.weights) or Weights(),
            )
        except (KeyError, InvalidInputError) as error:
            raise damaged_manifest(self.path, error) from None
        vocabulary = state.vocabulary
        if vocabulary is not None and (vocabulary.branching, vocabulary.depth) != (state.branching, state.depth):
            raise CorruptedError(f"{self.path}: its vocabulary is that of another tree; restore it from a copy")
        for entry, segment, numbers in zip(manifest.segments, state.segments, state.removed, strict=True):
            if len(numbers) and not _ascending_below(numbers, segment.n_images):
                where = self.path / entry.content.folder
                raise CorruptedError(f"{where}: its removed images are not in it; restore it from a copy")
        self._saved = saved
        return state

    def _load(self, folder: str, entry: FolderEntry, unchecked: Collection[str]) -> Any:
        """One part from its folder."""
        where = self.path / entry.folder
        try:
            arrays = map_array_folder(where, entry.files, unchecked)
            return _LOADERS[folder](entry.parameters, arrays, str(where))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise damaged_manifest(self.path, error) from None

    def verify(self) -> list[str]:
        """Compare the sha256 of every file, then the content of all segments; what is wrong, one line each."""
        try:
            while True:
                manifest = read_manifest(self.path)
                problems = self._problems(manifest)
                if not problems or manifest == read_manifest(self.path):  # else another process has changed it
                    return problems
        except MetricSearchError as error:
            return [str(error)]

    def _problems(self, manifest: TreeManifest) -> list[str]:
        try:
            with system_errors(self.path):
                return _file_problems(self.path, manifest) or self._content_problems(manifest)
        except MetricSearchError as error:
            return [str(error)]

    def _content_problems(self, manifest: TreeManifest) -> list[str]:
        """What is wrong with arrays whose bytes are those that were written."""
        state = TreeStorage(self.path, manifest, None)._load_all()
        problems, ids = [], []
        for entry, segment, numbers in zip(manifest.segments, state.segments, state.removed, strict=True):
            where = self.path / entry.content.folder
            problems += [f"{where}: {problem}" for problem in check_segment(segment.to_arrays(), state.n_words)]
            ids.append(np.delete(segment.image_ids, numbers))
        values, counts = np.unique(np.concatenate(ids), return_counts=True) if ids else (_NONE, _NONE)
        problems += [f"{self.path}: two images have ID {image_id}" for image_id in values[counts > 1][:10]]
        return problems

    def disk_report(self) -> dict[str, int]:
        """Bytes of the files, by part."""
        entries = self._manifest.folders()
        report = {
            part: sum(entry.n_bytes for entry in entries if Path(entry.folder).parts[0] == part) for part in _LOADERS
        }
        return {part: n_bytes for part, n_bytes in report.items() if n_bytes}


def _ascending_below(numbers: NDArray[np.uint32], n: int) -> bool:
    return bool((np.diff(numbers.astype(np.int64)) > 0).all()) and int(numbers[-1]) < n


def _file_problems(path: Path, manifest: TreeManifest) -> list[str]:
    return [
        problem
        for entry in manifest.folders()
        for problem in checksum_problems(
            path / entry.folder, {name: file.sha256 for name, file in entry.files.items()}, "file"
        )
    ]
