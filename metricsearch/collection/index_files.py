"""The index of a collection on disk: one folder of .npy files per saved generation.

A generation is written beside the present one; the manifest then names it (see `metricsearch.array_folders`).
"""

from pathlib import Path
from typing import Any

from metricsearch.array_folders import checksum_problems, map_array, write_array_folder
from metricsearch.collection.manifest import IndexEntry
from metricsearch.errors import CorruptedError
from metricsearch.ppp import PPPCodes

INDEX_FOLDER = "index"


def save_index(folder: Path, index: PPPCodes, store_version: int, generation: int) -> IndexEntry:
    """Write the arrays of `index` as this generation; durable on return, but not yet named by the manifest.

    Raises StorageError.
    """
    name = f"{INDEX_FOLDER}/{generation:06d}"
    files = write_array_folder(folder / name, index.to_arrays())
    return IndexEntry(
        folder=name,
        parameters=index.parameters(),
        count=len(index),
        store_version=store_version,
        files={file: written.sha256 for file, written in files.items()},
    )


def load_index(folder: Path, entry: IndexEntry, metric: Any, n_threads: int | None) -> PPPCodes:
    """Memory-map the arrays of a saved index after checking them. Raises CorruptedError."""
    if problems := index_problems(folder, entry):
        raise CorruptedError(f"{problems[0]}; call build_index() to build it anew")
    arrays = {name.removesuffix(".npy"): map_array(folder / entry.folder / name) for name in entry.files}
    return PPPCodes.from_arrays(
        entry.parameters, arrays, n=entry.count, metric=metric, n_threads=n_threads, where=str(folder / entry.folder)
    )


def index_problems(folder: Path, entry: IndexEntry) -> list[str]:
    """What is wrong with the files of a saved index: missing, or other bytes than were written."""
    return checksum_problems(folder / entry.folder, entry.files, "index file")
