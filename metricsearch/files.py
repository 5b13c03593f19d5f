"""Files written so that nobody ever sees half of one, and their checksums."""

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from metricsearch.errors import MetricSearchError, StorageError


def sha256_of(path: Path) -> str:
    """Hexadecimal sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def written_atomically(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` to write to; synced and renamed over `path` on success, deleted on failure."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Make a written file, or the names in a folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def system_errors(path: Path) -> Iterator[None]:
    """Turn errors of the system (disk full, no permission) into StorageError that names the file."""
    try:
        yield
    except MetricSearchError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise StorageError(f"{error.filename or path}: {reason}; check the disk and the permissions") from error
