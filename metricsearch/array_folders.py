"""Folders of .npy files that are written once, as a whole, and then only read.

A folder is written under a temporary name, synced and renamed; a manifest then names it. Until that moment readers see
what was there before, and a crash leaves at most a folder that nobody names.
"""

import math
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import CorruptedError
from metricsearch.files import sha256_of, sync, system_errors

_TEMPORARY = ".tmp"


@dataclass(frozen=True, slots=True)
class ArrayFile:
    """One .npy file as it was written: sha256 and number of its bytes, dtype and shape of its array."""

    sha256: str
    n_bytes: int
    dtype: str
    shape: tuple[int, ...]


def write_array_folder(target: Path, arrays: Mapping[str, NDArray[Any]]) -> dict[str, ArrayFile]:
    """Write `arrays` as the files NAME.npy of the new folder `target`, durable on return; what was written, by file.

    A folder of that name, which nothing names, is replaced. Raises StorageError, and then leaves nothing.
    """
    temporary = target.with_name(target.name + _TEMPORARY)
    with system_errors(target):
        for leftover in (temporary, target):
            shutil.rmtree(leftover, ignore_errors=True)
        temporary.mkdir(parents=True)
        try:
            files = {f"{name}.npy": _write(temporary / f"{name}.npy", array) for name, array in arrays.items()}
            sync(temporary)
            temporary.rename(target)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)  # above all where the disk is full
            raise
        sync(target.parent)
    return files


def _write(path: Path, array: NDArray[Any]) -> ArrayFile:
    array = np.ascontiguousarray(array)
    np.save(path, array, allow_pickle=False)
    sync(path)
    return ArrayFile(sha256_of(path), path.stat().st_size, array.dtype.str, array.shape)


def map_array(path: Path) -> NDArray[Any]:
    """The array of a .npy file, memory-mapped, as a plain read-only view: kernels compile for ndarray once.

    Raises CorruptedError where there is none: another process may just have replaced it.
    """
    try:
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except FileNotFoundError:
        raise CorruptedError(f"{path}: the file is missing") from None


def map_array_folder(
    folder: Path, files: Mapping[str, ArrayFile], unchecked: Collection[str] = ()
) -> dict[str, NDArray[Any]]:
    """The arrays of a folder by name (without .npy), memory-mapped as `map_array` does.

    Raises CorruptedError where a file is missing or has another size or sha256 than was written; to compare the sha256
    reads it whole, and is left out for the files `unchecked`. The headers are not needed: dtype and shape are those
    that were written.
    """
    return {name.removesuffix(".npy"): _mapped(folder / name, file, name in unchecked) for name, file in files.items()}


def _mapped(path: Path, file: ArrayFile, unchecked: bool) -> NDArray[Any]:
    with system_errors(path):
        if not path.is_file():
            raise CorruptedError(f"{path}: the file is missing; restore it from a copy")
        if (size := path.stat().st_size) != file.n_bytes:
            raise CorruptedError(
                f"{path}: file has {size:,} bytes but the manifest promises {file.n_bytes:,}; it was probably "
                "truncated while copying: copy it again"
            )
        if not unchecked and sha256_of(path) != file.sha256:
            raise CorruptedError(f"{path}: damaged (its sha256 is not the one in the manifest); restore it from a copy")
        dtype = np.dtype(file.dtype)
        offset = size - dtype.itemsize * math.prod(file.shape)
        return np.asarray(np.memmap(path, dtype, mode="r", offset=offset, shape=file.shape))


def checksum_problems(folder: Path, checksums: Mapping[str, str], what: str) -> list[str]:
    """What is wrong with files of `folder`, by name and sha256: missing, or other bytes; one line each.

    what: how the messages call such a file, for example "index file".
    """
    problems = []
    for name, checksum in checksums.items():
        path = folder / name
        try:
            is_sound = sha256_of(path) == checksum
        except (FileNotFoundError, IsADirectoryError):
            problems.append(f"{path}: {what} is missing")
        else:
            if not is_sound:
                problems.append(f"{path}: {what} is damaged (its sha256 is not the one in the manifest)")
    return problems


def delete_other_folders(parent: Path, names: Collection[str]) -> None:
    """Delete the folders in `parent` that are not in `names`: older ones and leftovers of a crash."""
    if not parent.is_dir():
        return
    for path in parent.iterdir():
        if path.name not in names and path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
