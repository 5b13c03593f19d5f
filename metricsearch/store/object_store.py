"""The object store: ID -> compressed object, on disk."""

import os
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metricsearch.errors import ExistsError, InvalidInputError, StorageError
from metricsearch.files import sync
from metricsearch.locks import WriterLock
from metricsearch.spaces import Batch, ObjectKind, kind_by_name
from metricsearch.store.check import content_problems
from metricsearch.store.codec import Codec
from metricsearch.store.codecs import get_codec
from metricsearch.store.environment import MAP_SIZE, Environment, open_environment
from metricsearch.store.lmdb_file import lmdb_errors, read_header, seal_path, verify_file, write_seal
from metricsearch.store.segments import HEADER_KEY, SEGMENT_BYTES, StoreHeader, parse_header
from metricsearch.store.snapshot import SegmentMap, Snapshot
from metricsearch.store.writer import Writer
from metricsearch.validation import check_integer, check_positive

Ids = NDArray[np.int64]
Result = TypeVar("Result")

_MAX_SEGMENT_BYTES = 1 << 30


class ObjectStore:
    """ID -> object in one LMDB file, compressed by a codec and packed into segments (see segments.py).

    Changes are all or nothing, and durable when the call returns. One process may have it open for writing, any number
    for reading. Its methods may be called from several threads: changes wait for each other, reading does not wait. In
    a forked child it is open for reading only. It cannot be pickled.

    Beside `objects.mdb` lies LMDB's lock file, and, while nobody is changing it, `objects.seal` with a checksum of it.
    """

    def __init__(self, path: Path, *, readonly: bool, map_size: int) -> None:
        self.path, self._map_size = path, map_size
        self._readonly, self._closed = readonly, False
        self._lock, self._change_lock = threading.Lock(), threading.RLock()  # of snapshots; of changes
        self._changing = False
        self._segments: SegmentMap | None = None
        self._snapshots: weakref.WeakSet[Snapshot] = weakref.WeakSet()
        self._writer: Writer | None = None
        self._writer_lock = None if readonly else WriterLock(path)
        try:
            self._environment = open_environment(path, readonly=readonly, map_size=map_size)
            try:
                header = parse_header(self._environment.meta_value(HEADER_KEY), path)
                self.kind: ObjectKind = kind_by_name(header.kind)
                self.width = header.width
                self.codec: Codec = get_codec(header.codec, self.kind, header.parameters)
                if not readonly:
                    self._writer = Writer(self._environment, self.codec, self.kind)
            except BaseException:
                self._environment.env.close()
                raise
        except BaseException:
            if self._writer_lock is not None:
                self._writer_lock.release()
            raise

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        codec: str | Codec,
        kind: ObjectKind,
        width: int | None,
        *,
        parameters: Mapping[str, Any] | None = None,
        segment_bytes: int = SEGMENT_BYTES,
        map_size: int = MAP_SIZE,
    ) -> "ObjectStore":
        """Make an empty store in the file `path` (objects.mdb) and open it for writing.

        width         : of all objects, see ObjectKind.width; None for strings and sets only
        parameters    : of the codec, see get_codec
        segment_bytes : records are packed into values of about this size
        map_size      : largest size of the file; takes address space only
        Raises ExistsError, InvalidInputError, UnknownNameError, MissingExtraError, StorageError.
        """
        path = Path(path).absolute()
        made = get_codec(codec, kind, parameters)
        if (width is None) is not (kind.name in ("strings", "sets")):
            raise InvalidInputError(f"width: a store of {kind.name} got width {width}")
        if width is not None:
            check_positive(width, "width")
        check_integer(segment_bytes, "segment_bytes", 4096, _MAX_SEGMENT_BYTES)
        if path.exists():
            raise ExistsError(f"{path}: exists already; open it with ObjectStore.open, or choose another name")
        if not path.parent.is_dir():
            raise StorageError(f"{path.parent}: there is no such folder; create it first")
        header = StoreHeader(made.name, kind.name, width, made.parameters(), segment_bytes)
        temporary = path.with_name(path.name + ".new")
        try:
            temporary.unlink(missing_ok=True)
            with lmdb_errors(path):
                environment = open_environment(temporary, readonly=False, create=True, map_size=map_size)
                with environment.env.begin(db=environment.meta, write=True) as txn:
                    txn.put(HEADER_KEY, header.to_bytes())
                environment.env.close()
            os.link(temporary, path)  # unlike a rename, refuses to replace a file
            temporary.unlink()
            sync(path.parent)
        except FileExistsError:
            raise ExistsError(f"{path}: exists already; another process has just made it") from None
        except OSError as error:
            if isinstance(error, StorageError):
                raise
            raise StorageError(f"{path}: cannot be created ({error.strerror})") from error
        return cls.open(path, map_size=map_size)

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, readonly: bool = False, map_size: int = MAP_SIZE) -> "ObjectStore":
        """Open the store in the file `path`.

        Looks at the file with plain reads before it is mapped: a file that is cut off is refused. Opening for writing
        deletes what an interrupted add has left.
        Raises MissingDataError, CorruptedError, FormatVersionError, StorageError (in use, no permission),
        MissingExtraError.
        """
        path = Path(path).absolute()
        read_header(path)
        return cls(path, readonly=readonly, map_size=map_size)

    # --- state

    def __enter__(self) -> "ObjectStore":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return self._header().n_objects

    def __repr__(self) -> str:
        return f"ObjectStore({str(self.path)!r})"

    def __reduce__(self) -> NoReturn:
        raise InvalidInputError(f"{self.path}: an open store cannot be pickled; send its path and open it there")

    @property
    def readonly(self) -> bool:
        """Whether changes are refused."""
        return self._readonly or self._environment.pid != os.getpid()

    @property
    def version(self) -> int:
        """Number of adds and removes committed since the store was made."""
        return self._header().version

    @property
    def payload_bytes(self) -> int:
        """Bytes of all compressed objects, without record headers and directory."""
        return self._header().payload_bytes

    @property
    def file_bytes(self) -> int:
        """Size of the file."""
        return self.path.stat().st_size

    def ids(self) -> Ids:
        """All IDs, (n,) int64, ascending."""
        with self.snapshot() as snapshot:
            return snapshot.ids()

    def next_id(self) -> int:
        """One more than the largest ID."""
        with self.snapshot() as snapshot:
            return snapshot.largest_id() + 1

    # --- reading

    def snapshot(self) -> Snapshot:
        """The newest committed state, to be used in a `with`: later changes do not show in it."""
        environment = self._open_environment()
        with self._lock:
            snapshot = Snapshot(environment, self.codec, self.width, self._segments)
            self._segments = snapshot.segments
            self._snapshots.add(snapshot)
        return snapshot

    def get(self, ids: ArrayLike) -> Batch:
        """The objects `ids` (n,), in this order, checksums compared. Raises UnknownIdError, CorruptedError."""
        with self.snapshot() as snapshot:
            located = snapshot.locate(ids)
            snapshot.prefetch(located)
            return snapshot.decode(located, check_crc=True)

    def chunks(self, chunk_size: int = 1000) -> Iterator[tuple[Ids, Batch]]:
        """All objects of the present state by ascending ID, `chunk_size` at a time, checksums compared."""
        check_positive(chunk_size, "chunk_size")
        with self.snapshot() as snapshot:
            ids = snapshot.ids()
            for start in range(0, len(ids), chunk_size):
                located = snapshot.locate(ids[start : start + chunk_size])
                snapshot.prefetch(located)
                yield located.ids, snapshot.decode(located, check_crc=True)

    # --- changes

    def add(self, chunks: Iterable[tuple[Ids, Batch]]) -> int:
        """Add objects from chunks of (n,) IDs and a batch of n checked objects; return how many.

        All or nothing, durable on return. Reads one chunk at a time; keeps 20 bytes per object until the end.
        Raises DuplicateIdError (in the store, or given twice), InvalidInputError (width, or what the codec cannot
        hold), StorageError; whatever the iterable raises goes through. The store is then as before.
        """
        return self._change(lambda writer: writer.add(chunks))

    def remove(self, ids: ArrayLike) -> None:
        """Remove the objects `ids` (n,). All or nothing, durable on return.

        Raises UnknownIdError, DuplicateIdError (given twice), StorageError. The store is then as before.
        """
        self._change(lambda writer: writer.remove(ids))

    def seal(self) -> None:
        """Write a checksum of the whole file beside it (reads the file once); `close` does it after changes."""
        self._change(self._seal)

    def close(self) -> None:
        """End all snapshots, write the seal if there is none, and unmap the file. May be called again."""
        if self._environment.pid != os.getpid():
            self._leave_parent()
        with self._change_lock, self._lock:
            if self._closed:
                return
            self._closed = True
            for snapshot in list(self._snapshots):
                snapshot.close()
            self._segments = None
            try:
                if self._writer is not None and not seal_path(self.path).exists():
                    self._seal(self._writer)
            finally:
                self._environment.env.close()
                if self._writer_lock is not None:
                    self._writer_lock.release()

    def verify(self) -> list[str]:
        """Problems found by reading everything; an empty list means none.

        First the file against its seal with plain reads (`verify_file`), which ends it when it finds something: a page
        of LMDB's trees may be hit, and following it could crash. Then all records, directory entries and counts.
        """
        environment = self._open_environment()
        with self._change_lock:  # no change between the two
            return verify_file(self.path) or content_problems(environment, self.codec)

    # --- inside

    def _header(self) -> StoreHeader:
        environment = self._open_environment()
        if self._writer is not None:
            return self._writer.header
        return parse_header(environment.meta_value(HEADER_KEY), self.path)

    def _seal(self, writer: Writer) -> None:
        write_seal(self.path)
        writer.sealed()

    def _change(self, action: Callable[[Writer], Result]) -> Result:
        self._open_environment()
        with self._change_lock:
            if self._writer is None:
                raise StorageError(f"{self.path}: opened for reading only; open it with readonly=False to change it")
            if self._changing:
                raise StorageError(f"{self.path}: is being changed by this very thread; finish that add first")
            self._changing = True
            try:
                self._writer.prepare()
                return action(self._writer)
            except BaseException:
                self._writer.recover()
                raise
            finally:
                self._changing = False

    def _open_environment(self) -> Environment:
        """The environment of this process: LMDB's must not cross a fork, so a child opens its own, for reading."""
        if self._closed:
            raise InvalidInputError(f"{self.path}: the store is closed; open it again")
        if self._environment.pid != os.getpid():
            self._leave_parent()
            self._environment = open_environment(self.path, readonly=True, map_size=self._map_size)
        return self._environment

    def _leave_parent(self) -> None:
        """In a forked child: let go of what belongs to the parent, also of a lock that one of its threads may hold."""
        self._lock, self._change_lock, self._changing = threading.Lock(), threading.RLock(), False
        self._readonly, self._writer, self._segments = True, None, None
        if self._writer_lock is not None:
            self._writer_lock.forget()
            self._writer_lock = None
        self._environment.env.close()
