"""Emptying the system's cache of one file, so that a measured read comes from the disk."""

import ctypes
import mmap
import os
import sys
from pathlib import Path

from metricsearch.errors import StorageError

_MADV_DONTNEED = 4
_PAGE = mmap.PAGESIZE


def drop_from_page_cache(path: Path) -> None:
    """Make the system forget the contents of `path`, also where this process has it mapped.

    Mapped pages stay in the cache whatever posix_fadvise says, so they are unmapped first: madvise(MADV_DONTNEED) on
    every shared mapping of the file loses nothing, the pages are read again when touched. Caches below the operating
    system (of the disk, of a hypervisor) are out of reach. Linux only. Raises StorageError.
    """
    path = path.resolve()
    if not sys.platform.startswith("linux"):
        raise StorageError(f"{path}: the page cache can be dropped on Linux only; measure with cache = 'warm'")
    libc = ctypes.CDLL(None, use_errno=True)
    for start, stop in _mappings(path):
        if libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(stop - start), _MADV_DONTNEED):
            raise StorageError(
                f"{path}: madvise failed ({os.strerror(ctypes.get_errno())}); measure with cache = 'warm'"
            )
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)  # dirty pages cannot be dropped
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def resident_share(path: Path) -> float:
    """Share of a file's pages that are in the page cache, by mincore. Raises StorageError."""
    size = path.stat().st_size
    if not size:
        return 0.0
    libc = ctypes.CDLL(None, use_errno=True)
    n_pages = (size + _PAGE - 1) // _PAGE
    pages = (ctypes.c_ubyte * n_pages)()
    # A writable private mapping, because ctypes takes the address of nothing else; nothing is written.
    with path.open("rb") as file, mmap.mmap(file.fileno(), size, flags=mmap.MAP_PRIVATE, prot=3) as mapped:
        view = ctypes.c_char.from_buffer(mapped)
        try:
            failed = libc.mincore(ctypes.c_void_p(ctypes.addressof(view)), ctypes.c_size_t(size), pages)
        finally:
            del view
    if failed:
        raise StorageError(f"{path}: mincore failed ({os.strerror(ctypes.get_errno())})")
    return sum(page & 1 for page in pages) / n_pages


def _mappings(path: Path) -> list[tuple[int, int]]:
    """Address ranges where this process maps `path` shared."""
    ranges = []
    for line in Path("/proc/self/maps").read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and fields[5] == str(path) and fields[1].endswith("s"):
            start, stop = (int(bound, 16) for bound in fields[0].split("-"))
            ranges.append((start, stop))
    return ranges
