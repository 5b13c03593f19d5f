"""Files of data sets: found, opened, read line by line, written whole or not at all."""

import gzip
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray

from metricsearch import files
from metricsearch.errors import CorruptedError, ExistsError, InvalidInputError, MissingDataError

PathLike = str | os.PathLike[str]
Number = TypeVar("Number", int, float)

_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_ERRORS = (EOFError, gzip.BadGzipFile, zlib.error)


def require_file(path: PathLike) -> Path:
    """`path` as Path; raise MissingDataError unless it is an existing file."""
    path = Path(path)
    if not path.is_file():
        what = "is a folder, expected a file" if path.is_dir() else "no such file"
        raise MissingDataError(f"{path}: {what}; check the name")
    return path


def open_plain_or_gzip(path: PathLike) -> BinaryIO:
    """Open for reading bytes; gzip is known by its first bytes, whatever the name. Raises MissingDataError."""
    path = require_file(path)
    with path.open("rb") as file:
        packed = file.read(2) == _GZIP_MAGIC
    return gzip.open(path, "rb") if packed else path.open("rb")  # type: ignore[return-value]


def read_all(path: PathLike) -> bytes:
    """All bytes, unpacked. Raises MissingDataError, CorruptedError for a damaged gzip stream."""
    with open_plain_or_gzip(path) as file:
        try:
            return file.read()
        except _GZIP_ERRORS as error:
            _raise_gzip(path, error)


def numbered_lines(path: PathLike) -> Iterator[tuple[int, bytes]]:
    """(line number from 1, line without its end) one by one; CRLF is tolerated. Raises as `read_all`."""
    with open_plain_or_gzip(path) as file:
        lines = iter(file)
        number = 0
        while True:
            try:
                line = next(lines)
            except StopIteration:
                return
            except _GZIP_ERRORS as error:
                _raise_gzip(path, error)
            number += 1
            yield number, line.removesuffix(b"\n").removesuffix(b"\r")


def _raise_gzip(path: PathLike, error: BaseException) -> NoReturn:
    raise CorruptedError(f"{path}: damaged gzip stream ({error}); copy or download the file again") from None


def parse_numbers(tokens: list[bytes], convert: Callable[[bytes], Number], where: str) -> list[Number]:
    """The tokens as numbers; raise InvalidInputError that starts with `where` and quotes the first bad one."""
    try:
        return [convert(token) for token in tokens]
    except ValueError:
        for token in tokens:
            try:
                convert(token)
            except ValueError:
                shown = token[:40].decode("utf-8", "replace")
                raise InvalidInputError(f"{where}: expected a number, got {shown!r}") from None
        raise


def check_finite_row(row: NDArray[np.float32], where: str) -> NDArray[np.float32]:
    """`row` unless it has NaN or infinity: InvalidInputError that starts with `where` and names the position."""
    if not np.isfinite(row).all():
        raise InvalidInputError(f"{where}: number {int(np.argmin(np.isfinite(row))) + 1} is NaN or beyond float32")
    return row


def check_rows(array: NDArray[np.generic], where: str, first_row: int = 0) -> NDArray[np.float32]:
    """`array` (n, d) as C-contiguous float32, finite; the row in the message counts from `first_row`.

    Raises InvalidInputError. For rows read from the middle of a file, where a chunk's own row number would mislead.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        vectors = np.ascontiguousarray(array, dtype=np.float32)
        finite = np.isfinite(vectors.sum(axis=1, dtype=np.float64))
    if not finite.all():
        bad = ~np.isfinite(vectors).all(axis=1)
        if bad.any():
            row = first_row + int(np.argmax(bad))
            raise InvalidInputError(f"{where}: row {row} has NaN or infinity; remove or repair it")
    return vectors


@contextmanager
def new_file(path: PathLike, *, overwrite: bool = False) -> Iterator[Path]:
    """A temporary path beside `path` to write to; synced and renamed on success, deleted on failure.

    Raises ExistsError if `path` exists and `overwrite` is False, MissingDataError if its folder does not exist.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise ExistsError(f"{path}: exists already; choose another name, or pass overwrite=True")
    if not path.parent.is_dir():
        raise MissingDataError(f"{path.parent}: no such folder; create it first")
    with files.written_atomically(path) as temporary:
        yield temporary
