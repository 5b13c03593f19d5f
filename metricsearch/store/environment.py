"""One open LMDB environment with the three databases of a store."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lmdb

from metricsearch.errors import CorruptedError
from metricsearch.store.lmdb_file import lmdb_errors

MAP_SIZE = 1 << 40  # address space, not disk
_MAX_READERS = 512
_NAMES = (b"segments", b"directory", b"meta")


@dataclass(frozen=True, slots=True)
class Environment:
    """An LMDB environment and the handles of its databases; belongs to the process `pid`."""

    path: Path
    env: Any
    segments: Any
    directory: Any
    meta: Any
    pid: int

    def read(self, *, buffers: bool = False) -> Any:
        """A read transaction on the directory; `buffers`: values are views of the map."""
        with lmdb_errors(self.path):
            return self.env.begin(db=self.directory, buffers=buffers)

    def meta_value(self, key: bytes) -> bytes | None:
        """A value of `meta` in the newest committed state."""
        with lmdb_errors(self.path), self.env.begin(db=self.meta) as txn:
            value: bytes | None = txn.get(key)
            return value


def open_environment(path: Path, *, readonly: bool, create: bool = False, map_size: int = MAP_SIZE) -> Environment:
    """Map the LMDB file at `path`; `create` makes the databases. Raises CorruptedError, StorageError."""

    def attempt(lock: bool) -> lmdb.Environment:
        # readahead off: reads are random; what is worth reading ahead is asked for (see Snapshot.prefetch)
        return lmdb.open(
            str(path),
            subdir=False,
            map_size=map_size,
            max_dbs=len(_NAMES),
            max_readers=_MAX_READERS,
            readonly=readonly,
            readahead=False,
            lock=lock,
        )

    with lmdb_errors(path):
        try:
            env = attempt(not create)
        except lmdb.Error as error:
            refused = "Permission" in str(error) or "Read-only" in str(error)
            if not (readonly and refused) or os.access(path.parent, os.W_OK):
                raise
            env = attempt(False)  # no lock file can be made in this folder, so nobody writes to it either
        try:
            segments, directory, meta = (env.open_db(name, create=create) for name in _NAMES)
        except BaseException as error:
            env.close()
            if isinstance(error, lmdb.NotFoundError):
                raise CorruptedError(f"{path}: not an object store: an LMDB file of another program") from None
            raise
    return Environment(path, env, segments, directory, meta, os.getpid())
