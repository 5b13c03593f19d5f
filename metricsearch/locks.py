"""One writer at a time, over all processes of a machine."""

import fcntl
import os
from pathlib import Path

from metricsearch.errors import StorageError


class WriterLock:
    """An exclusive lock (flock) on a file that exists, held until `release` or the end of the process.

    Raises StorageError where the file cannot be written, or is locked already, here or in another process.
    """

    _descriptor = -1

    def __init__(self, path: Path) -> None:
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise StorageError(
                f"{path}: cannot be opened for writing ({error.strerror}); open it with readonly=True"
            ) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.forget()
            raise StorageError(
                f"{path}: it is open for writing already, here or in another process; close it, or use readonly=True"
            ) from None

    def __del__(self) -> None:
        self.forget()

    def release(self) -> None:
        """Give the lock up, also on behalf of children that were forked with it."""
        if self._descriptor >= 0:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        self.forget()

    def forget(self) -> None:
        """Close the descriptor; where it was inherited by a fork, the parent keeps the lock."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
