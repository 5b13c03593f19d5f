"""Reading: one consistent state of the store, as one array that kernels index."""

import ctypes
import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metricsearch.errors import CorruptedError, InvalidInputError, UnknownIdError
from metricsearch.spaces import Batch, Metric
from metricsearch.store import _kernels as kernels
from metricsearch.store.codec import Bytes, Codec, DamagedRecordError, Integers
from metricsearch.store.environment import Environment
from metricsearch.store.lmdb_file import P_LEAF, lmdb_errors, page_of
from metricsearch.store.segments import (
    ENTRY,
    id_keys,
    parse_info,
    record_checksums,
    segment_of_info_key,
    stored_checksums,
)

_BLOCK_BYTES = 1 << 20  # payloads decoded at a time for metrics without a kernel


@dataclass(frozen=True, slots=True, eq=False)
class Located:
    """Where objects lie; valid in the snapshot that made it. Sliced or indexed like an array.

    ids     : (n,) int64
    offsets : (n,) int64, of the payloads in Snapshot.memory, which are their byte positions in the file too
    lengths : (n,) int64, of the payloads in bytes
    """

    ids: Integers
    offsets: Integers
    lengths: Integers

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: Any) -> "Located":
        return Located(self.ids[index], self.offsets[index], self.lengths[index])

    @property
    def n_bytes(self) -> int:
        """Payload bytes of all these objects."""
        return int(self.lengths.sum())


@dataclass(frozen=True, slots=True, eq=False)
class SegmentMap:
    """Where the segments of one transaction lie in the file, and the file as an array.

    numbers, starts, sizes : (n_segments,) int64, ascending numbers; byte positions in the file; bytes
    memory : (size,) uint8, read-only view of LMDB's map from the first byte of the file to the end of the last segment
    """

    transaction: int
    numbers: Integers
    starts: Integers
    sizes: Integers
    memory: Bytes

    @classmethod
    def of(cls, environment: Environment) -> "SegmentMap":
        """The map of the newest committed state.

        The segments themselves are not touched: handing out a value reads all its pages (py-lmdb does so before it
        takes the GIL back), and that would be the whole file. Their positions stand beside their counts; the address
        of a page of these counts tells where the map begins.
        """
        rows = []
        with lmdb_errors(environment.path), environment.read(buffers=True) as txn:
            page_bytes = int(environment.env.stat()["psize"])
            for key, value in txn.cursor(environment.meta):
                number = segment_of_info_key(bytes(key))
                if number is not None:
                    info = parse_info(value, environment.path)
                    page, address = page_of(value, page_bytes, P_LEAF)
                    rows.append((number, info.start, info.used_bytes, address - page * page_bytes))
            transaction = txn.id()
        table = np.array(rows, dtype=np.int64).reshape(-1, 4)
        numbers, starts, sizes, bases = (np.ascontiguousarray(column) for column in table.T)
        if len(bases) == 0:
            return cls(transaction, numbers, starts, sizes, np.empty(0, dtype=np.uint8))
        if (bases != bases[0]).any():
            raise CorruptedError(f"{environment.path}: a page has a wrong number; restore the file from a copy")
        size = int((starts + sizes).max()) & ~7
        memory = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(int(bases[0])))
        memory.flags.writeable = False
        return cls(transaction, numbers, starts, sizes, memory)


class Snapshot:
    """One committed state of a store, unchanged by later writes; closed by `with` or with its store.

    Located objects may be prefetched, decoded and compared by several threads at once; `locate` by one at a time.
    Arrays that it returns are the caller's own, except `memory`, which must not be used after closing.
    """

    def __init__(
        self, environment: Environment, codec: Codec, width: int | None, segments: SegmentMap | None = None
    ) -> None:
        self._environment, self._codec, self._width = environment, codec, width
        while True:
            self._txn = environment.read()
            if segments is not None and segments.transaction == self._txn.id():
                break
            self._txn.abort()
            segments = SegmentMap.of(environment)
        self.segments = segments
        self._closed = False

    def __enter__(self) -> "Snapshot":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the read transaction."""
        if not self._closed:
            self._closed = True
            if self._environment.pid == os.getpid():
                self._txn.abort()

    @property
    def memory(self) -> Bytes:
        """(size,) uint8, read-only: the store's file as LMDB maps it."""
        if self._closed or self._environment.pid != os.getpid():
            raise InvalidInputError("snapshot: it is closed, or belongs to another process; take a new one")
        return self.segments.memory

    def ids(self) -> Integers:
        """All IDs, (n,) int64, ascending."""
        self.memory  # noqa: B018 (refuses a closed snapshot)
        with lmdb_errors(self._environment.path), self._txn.cursor() as cursor:
            return np.frombuffer(joined(cursor.iternext(keys=True, values=False)), dtype=">i8").astype(np.int64)

    def largest_id(self) -> int:
        """The largest ID, -1 if there is none."""
        self.memory  # noqa: B018 (refuses a closed snapshot)
        with lmdb_errors(self._environment.path), self._txn.cursor() as cursor:
            return int.from_bytes(cursor.key(), "big") if cursor.last() else -1

    def locate(self, ids: ArrayLike) -> Located:
        """Where the objects `ids` (n,) lie, in the order given; ascending IDs are the fastest.

        Raises UnknownIdError that names the first unknown ID, CorruptedError.
        """
        size = len(self.memory)
        wanted = np.ascontiguousarray(ids)
        if wanted.ndim != 1 or (wanted.size and wanted.dtype.kind not in "iu"):
            raise InvalidInputError(f"ids: expected a 1-D array of whole numbers, got {wanted.ndim}-D {wanted.dtype}")
        wanted = wanted.astype(np.int64, copy=False)
        entries = lookup(self._txn, wanted, self._environment)
        segment, offset, lengths = (entries[name].astype(np.int64) for name in ("segment", "offset", "length"))
        numbers = self.segments.numbers
        if len(wanted) and not len(numbers):
            raise self._damaged(wanted[0], "its directory entry points nowhere")
        rows = np.minimum(np.searchsorted(numbers, segment), len(numbers) - 1)
        inside = (numbers[rows] == segment) & (offset % 8 == 0) & (offset + lengths <= self.segments.sizes[rows])
        offsets = self.segments.starts[rows] + offset
        inside &= offsets + lengths <= size
        if not inside.all():
            raise self._damaged(wanted[np.argmin(inside)], "its directory entry points nowhere")
        return Located(wanted, offsets, lengths)

    def file_offsets(self, located: Located) -> Integers:
        """(n,) int64: where the payloads begin in the store's file, in bytes."""
        return located.offsets.copy()

    def prefetch(self, located: Located) -> None:
        """Make the pages of these objects resident, all reads under way at once; does not hold the GIL."""
        kernels.prefetch_pages(self.memory, located.offsets, located.lengths, mmap.PAGESIZE)

    def decode(self, located: Located, *, check_crc: bool = False) -> Batch:
        """These objects as a batch.

        Raises CorruptedError where a record is not that of its ID or, with `check_crc`, its checksum differs.
        """
        memory = self.memory
        row = int(kernels.check_headers(memory, located.ids, located.offsets, located.lengths, self._codec.tag))
        if row >= 0:
            raise self._damaged(located.ids[row], "its record header is not that of this object")
        if check_crc:
            sums = record_checksums(memory, located.offsets, located.lengths)
            wrong = sums != stored_checksums(memory, located.offsets)
            if wrong.any():
                raise self._damaged(located.ids[np.argmax(wrong)], "its checksum differs")
        try:
            return self._codec.decode(memory, located.offsets, located.lengths, self._width)
        except DamagedRecordError as error:
            raise self._damaged(located.ids[error.row], error.text) from error

    def distances(self, metric: Metric, query: Batch, located: Located) -> NDArray[np.float64]:
        """(n,) float64 distances of `query`, a batch of one object, to these objects.

        Computed on the compressed form where a kernel exists (Euclidean: raw-f32, sparse-f32, f16, u8), else on decoded
        blocks; equal to metric.distances(query, decoded) within 1e-12. Raises InvalidInputError, CorruptedError.
        """
        memory = self.memory
        if len(query) != 1 or (self._width is not None and metric.kind.width(query) != self._width):
            raise InvalidInputError(f"query: expected one object of width {self._width}, got {len(query)} objects")
        try:
            out = self._codec.distances(metric, query, memory, located.ids, located.offsets, located.lengths)
        except DamagedRecordError as error:
            raise self._damaged(located.ids[error.row], error.text) from error
        if out is not None:
            return out
        out = np.empty(len(located))
        step = max(1, _BLOCK_BYTES * len(located) // max(1, located.n_bytes))
        for start in range(0, len(located), step):
            block = self.decode(located[start : start + step])
            out[start : start + step] = metric.distances(query, block)
        return out

    def _damaged(self, object_id: Any, text: str) -> CorruptedError:
        return CorruptedError(f"{self._environment.path}: object {object_id}: {text}; restore the file from a copy")


def joined(parts: Iterator[bytes]) -> bytearray:
    """All `parts` end to end; never holds many of them as objects."""
    buffer = bytearray()
    while some := b"".join(islice(parts, 10_000)):
        buffer += some
    return buffer


def lookup(txn: Any, ids: Integers, environment: Environment) -> NDArray[Any]:
    """(n,) ENTRY: directory entries of `ids`. Raises UnknownIdError that names the first ID without one.

    A plain loop of gets: cursor.getmulti takes 1.5 to 2 times as long.
    """
    get = txn.get
    with lmdb_errors(environment.path):
        found = [get(key) for key in id_keys(ids)]
    try:
        packed = b"".join(found)
    except TypeError:  # a None
        raise UnknownIdError(f"ID {ids[found.index(None)]} is not in the store {environment.path}") from None
    if len(packed) != ENTRY.itemsize * len(found):
        raise CorruptedError(f"{environment.path}: a directory entry has a wrong length; restore the file from a copy")
    return np.frombuffer(packed, dtype=ENTRY)
