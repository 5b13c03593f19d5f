"""The LMDB file as a file: looked at with plain reads before it is mapped, and sealed with a checksum.

LMDB maps its file. A file that was cut off would kill the process (SIGBUS) at the first touch of a missing page, and a
flipped bit in a page of LMDB's own trees may do so too. Both are found here without mapping anything.

Layout of LMDB 0.9 on 64-bit machines (mdb.c, structs MDB_page, MDB_meta, MDB_db, MDB_node): pages 0 and 1 are meta
pages, of which the one with the larger transaction number counts.
"""

import ctypes
import json
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import lmdb
import numpy as np

from metricsearch.errors import CorruptedError, MetricSearchError, MissingDataError, StorageError
from metricsearch.files import sha256_of, sync, system_errors, written_atomically

PAGE_HEADER_BYTES = 16
P_LEAF = 0x02  # page flag: keys and short values
P_OVERFLOW = 0x04  # page flag: a long value begins here

_MAGIC, _VERSION = 0xBEEFC0DE, 1
_NO_PAGE = 2**64 - 1
_P_BRANCH, _F_BIGDATA = 0x01, 0x01
_MAX_DEPTH = 32
_DAMAGED = (
    lmdb.CorruptedError,
    lmdb.InvalidError,
    lmdb.PageNotFoundError,
    lmdb.PageFullError,
    lmdb.PanicError,
    lmdb.VersionMismatchError,
)


@dataclass(frozen=True, slots=True)
class FileHeader:
    """What the newer meta page says."""

    page_bytes: int
    last_page: int
    transaction: int
    free_root: int  # root page of the tree of free pages


@contextmanager
def lmdb_errors(path: Path) -> Iterator[None]:
    """Turn errors of LMDB and of the system into CorruptedError or StorageError that name the file."""
    try:
        yield
    except MetricSearchError:
        raise
    except _DAMAGED as error:
        raise CorruptedError(
            f"{path}: damaged LMDB file ({error}); restore it from a copy or build it again"
        ) from error
    except lmdb.MapFullError as error:
        raise StorageError(f"{path}: the file has reached its map size; open it with a larger map_size") from error
    except lmdb.Error as error:
        if "already open in this process" in str(error):
            raise StorageError(f"{path}: already open in this process; share that store, or close it first") from error
        raise StorageError(f"{path}: {error}") from error


def read_header(path: Path) -> FileHeader:
    """The header of an LMDB file, from plain reads.

    Raises MissingDataError where there is no file, CorruptedError unless it is an LMDB file that has all pages in use.
    """
    if not path.is_file():
        raise MissingDataError(f"{path}: there is no object store file here; create one with ObjectStore.create")
    try:
        with path.open("rb") as file:
            header = _newer_meta(path, file)
            _check_size(path, file, header)
    except CorruptedError:
        raise
    except OSError as error:
        raise StorageError(f"{path}: cannot be read ({error.strerror})") from error
    return header


def _newer_meta(path: Path, file: BinaryIO) -> FileHeader:
    first = _meta(path, file, 0)
    second = _meta(path, file, first.page_bytes)
    if second.page_bytes != first.page_bytes:
        raise CorruptedError(f"{path}: its two meta pages contradict each other; restore the file from a copy")
    return max(first, second, key=lambda header: header.transaction)


def _meta(path: Path, file: BinaryIO, at: int) -> FileHeader:
    file.seek(at)
    page = file.read(152)
    if len(page) < 152 or struct.unpack_from("<II", page, 16) != (_MAGIC, _VERSION):
        raise CorruptedError(f"{path}: not an object store (no LMDB meta page at byte {at}); restore it from a copy")
    (page_bytes,) = struct.unpack_from("<I", page, 40)
    (free_root,) = struct.unpack_from("<Q", page, 80)
    last_page, transaction = struct.unpack_from("<QQ", page, 136)
    if not 512 <= page_bytes <= 65536 or page_bytes & (page_bytes - 1):
        raise CorruptedError(f"{path}: impossible page size of {page_bytes} bytes; restore the file from a copy")
    return FileHeader(page_bytes, last_page, transaction, free_root)


def _check_size(path: Path, file: BinaryIO, header: FileHeader) -> None:
    """Raise CorruptedError where a page that is in use lies beyond the end of the file.

    LMDB does not write a page that a transaction took from the end and gave back, so that a sound file may lack some of
    its last pages. These are in LMDB's tree of free pages.
    """
    size = os.fstat(file.fileno()).st_size
    n_missing = header.last_page + 1 - size // header.page_bytes
    if n_missing <= 0:
        return
    free = _free_pages(file, header, size) if n_missing < header.last_page else set()
    if n_missing > len(free) or any(header.last_page - i not in free for i in range(n_missing)):
        expected = (header.last_page + 1) * header.page_bytes
        raise CorruptedError(
            f"{path}: file has {size:,} bytes but its header promises {expected:,}; it was probably truncated while "
            "copying: copy it again or build it again"
        )


def _free_pages(file: BinaryIO, header: FileHeader, size: int) -> set[int]:
    """Page numbers in LMDB's tree of free pages; what cannot be read counts as not free."""
    free: set[int] = set()

    def read(at: int, n_bytes: int) -> bytes:
        if not 0 <= at <= size - n_bytes:
            raise ValueError("outside of the file")
        file.seek(at)
        return file.read(n_bytes)

    def visit(number: int, depth: int) -> None:
        if number == _NO_PAGE:
            return
        page = read(number * header.page_bytes, header.page_bytes)
        flags, lower = struct.unpack_from("<HH", page, 10)
        if depth > _MAX_DEPTH or not flags & (_P_BRANCH | P_LEAF) or lower < PAGE_HEADER_BYTES:
            raise ValueError("not a page of a tree")
        for (node,) in struct.iter_unpack("<H", page[PAGE_HEADER_BYTES:lower]):
            low, high, node_flags, key_bytes = struct.unpack_from("<HHHH", page, node)
            if flags & _P_BRANCH:
                visit(low | high << 16 | node_flags << 32, depth + 1)
                continue
            data = node + 8 + key_bytes
            n_bytes = low | high << 16
            value = page[data : data + n_bytes]
            if node_flags & _F_BIGDATA:
                (overflow,) = struct.unpack_from("<Q", page, data)
                value = read(overflow * header.page_bytes + PAGE_HEADER_BYTES, n_bytes)
            numbers = struct.unpack(f"<{n_bytes // 8}Q", value)
            free.update(numbers[1 : 1 + numbers[0]])

    try:
        visit(header.free_root, 0)
    except (ValueError, struct.error, IndexError):
        return set()
    return free


def page_of(value: Any, page_bytes: int, flag: int) -> tuple[int, int]:
    """(page number, address of the page) of a value that LMDB has handed out as a buffer inside a transaction.

    flag: P_OVERFLOW for a value long enough to have pages of its own, P_LEAF for a short one. The page begins with its
    number; the flags are the 2 bytes at 10. Raises CorruptedError where the page is of another kind.
    """
    address = int(np.frombuffer(value, dtype=np.uint8).__array_interface__["data"][0])
    page = address - PAGE_HEADER_BYTES if flag == P_OVERFLOW else address - address % page_bytes
    words = (ctypes.c_uint64 * 2).from_address(page)
    if not words[1] >> 16 & flag:
        raise CorruptedError("a page of the file is damaged; restore the file from a copy")
    return int(words[0]), page


def seal_path(path: Path) -> Path:
    """The sidecar file of the checksum: objects.mdb -> objects.seal."""
    return path.with_suffix(".seal")


def write_seal(path: Path) -> None:
    """Write the size, last transaction and sha256 of the file at `path` to its seal; nobody may be writing to it."""
    header = read_header(path)
    content = {"file_bytes": path.stat().st_size, "transaction": header.transaction, "sha256": sha256_of(path)}
    target = seal_path(path)
    with system_errors(target), written_atomically(target) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def remove_seal(path: Path) -> None:
    """Remove the seal, durably: to be done before the first change, so that a seal that exists always holds."""
    target = seal_path(path)
    with system_errors(target):
        target.unlink(missing_ok=True)
        sync(target.parent)


def verify_file(path: str | os.PathLike[str]) -> list[str]:
    """Problems of a store file that show in plain reads, without mapping it; an empty list means none.

    Checks the meta pages and the file size, and every byte against the seal. A store has a seal unless it was changed
    and not closed (crash, or open for writing now): then the bytes are not compared, see ObjectStore.verify.
    """
    path = Path(path)
    while True:
        seal = _read_seal(path)
        problems = _file_problems(path, seal)
        if not problems or seal == _read_seal(path):  # else a writer came in between
            return problems


def _file_problems(path: Path, seal: bytes | None) -> list[str]:
    try:
        header = read_header(path)
    except MetricSearchError as error:
        return [str(error)]
    if seal is None:
        return []
    where = seal_path(path)
    try:
        expected = json.loads(seal)
        file_bytes, transaction, sha256 = (expected[key] for key in ("file_bytes", "transaction", "sha256"))
    except (ValueError, KeyError, TypeError):
        return [f"{where}: not a seal; if the store is sound, seal it again"]
    size = path.stat().st_size
    if size != file_bytes:
        return [f"{path}: file has {size:,} bytes, its seal says {file_bytes:,}"]
    if header.transaction != transaction:
        return [f"{path}: last transaction is {header.transaction}, its seal says {transaction}"]
    if sha256_of(path) != sha256:
        return [f"{path}: its sha256 differs from its seal: bytes have changed; restore it from a copy"]
    return []


def _read_seal(path: Path) -> bytes | None:
    try:
        return seal_path(path).read_bytes()
    except FileNotFoundError:
        return None
