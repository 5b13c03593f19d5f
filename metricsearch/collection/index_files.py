"""The index of a collection on disk: one folder of .npy files per saved generation.

A generation is written beside the present one, synced, renamed; the manifest then names it. Until that moment readers
see the old one, and a crash leaves at most a folder that nobody names.
"""

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from metricsearch.collection.manifest import MANIFEST, IndexEntry
from metricsearch.errors import CorruptedError
from metricsearch.files import sha256_of, sync, system_errors
from metricsearch.ppp import PPPCodes

INDEX_FOLDER = "index"
_TEMPORARY = ".tmp"


def save_index(folder: Path, index: PPPCodes, store_version: int, previous: IndexEntry | None) -> IndexEntry:
    """Write the arrays of `index` as the next generation; durable on return, but not yet named by the manifest.

    Raises StorageError.
    """
    with system_errors(folder / INDEX_FOLDER):
        return _save_index(folder, index, store_version, previous)


def _save_index(folder: Path, index: PPPCodes, store_version: int, previous: IndexEntry | None) -> IndexEntry:
    generation = 1 + (int(Path(previous.folder).name) if previous else 0)
    target = folder / INDEX_FOLDER / f"{generation:06d}"
    temporary = target.with_suffix(_TEMPORARY)
    for leftover in (temporary, target):
        shutil.rmtree(leftover, ignore_errors=True)
    temporary.mkdir(parents=True)
    files = {}
    for name, array in index.to_arrays().items():
        path = temporary / f"{name}.npy"
        np.save(path, array, allow_pickle=False)
        files[path.name] = sha256_of(path)
        sync(path)
    sync(temporary)
    temporary.rename(target)
    sync(target.parent)
    return IndexEntry(
        folder=f"{INDEX_FOLDER}/{target.name}",
        parameters=index.parameters(),
        count=len(index),
        store_version=store_version,
        files=files,
    )


def load_index(folder: Path, entry: IndexEntry, metric: Any, n_threads: int | None) -> PPPCodes:
    """Memory-map the arrays of a saved index after checking them. Raises CorruptedError."""
    if problems := index_problems(folder, entry):
        raise CorruptedError(f"{problems[0]}; call build_index() to build it anew")
    arrays = {}
    for name in entry.files:
        mapped = np.load(folder / entry.folder / name, mmap_mode="r", allow_pickle=False)
        arrays[name.removesuffix(".npy")] = np.asarray(mapped)  # a plain view: kernels compile for ndarray once
    return PPPCodes.from_arrays(
        entry.parameters, arrays, n=entry.count, metric=metric, n_threads=n_threads, where=str(folder / entry.folder)
    )


def index_problems(folder: Path, entry: IndexEntry) -> list[str]:
    """What is wrong with the files of a saved index: missing, or other bytes than were written."""
    problems = []
    for name, checksum in entry.files.items():
        path = folder / entry.folder / name
        if not path.is_file():
            problems.append(f"{path}: index file is missing")
        elif sha256_of(path) != checksum:
            problems.append(f"{path}: index file is damaged (its sha256 is not the one in the manifest)")
    return problems


def delete_leftovers(folder: Path, entry: IndexEntry | None) -> None:
    """Remove what the manifest does not name: older generations of the index and leftovers of a crash."""
    for path in folder.glob(f".{MANIFEST}.*.tmp"):
        path.unlink(missing_ok=True)
    parent = folder / INDEX_FOLDER
    if parent.is_dir():
        for path in parent.iterdir():
            if entry is not None and path.name == Path(entry.folder).name:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
