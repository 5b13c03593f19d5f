"""The folder of a run: made, and kept to one process."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from metricsearch.errors import MetricSearchError, StorageError


@contextmanager
def run_folder(directory: Path, what: str) -> Iterator[None]:
    """Make the folder of a run, and keep a second process from measuring the same while the block runs.

    what: "experiment" or "suite", for the message. Raises StorageError, also for what the system refuses inside.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with _locked(directory, what):
            yield
    except MetricSearchError:
        raise
    except OSError as error:
        raise StorageError(
            f"{directory}: cannot be written ({error.strerror or error}); free some space or choose another folder"
        ) from None


@contextmanager
def _locked(directory: Path, what: str) -> Iterator[None]:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StorageError(f"{directory}: another process is running this {what}; wait for it") from None
        yield
    finally:
        os.close(descriptor)
