"""Text files of the field: Profiset descriptors, word lists, DNA, tables of numbers, image signatures."""

import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.datasets.files import (
    PathLike,
    check_finite_row,
    new_file,
    numbered_lines,
    parse_numbers,
    read_all,
)
from metricsearch.errors import InvalidInputError
from metricsearch.validation import MAX_ID, check_ids, check_positive, check_vectors

PROFISET_DIMENSION = 4096
_OBJECT_KEY = b"#objectKey"
_OBJECT_KEY_CLASS = "messif.objects.keys.AbstractObjectKey"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

IdsAndVectors = tuple[NDArray[np.int64], NDArray[np.float32]]


def read_profiset(
    path: PathLike, chunk_size: int = 1024, dimension: int = PROFISET_DIMENSION
) -> Iterator[IdsAndVectors]:
    """Stream (ids (m,) int64, vectors (m, dimension) float32) from the text format of the Profiset descriptors.

    A record is a line `#objectKey <class> <ID>` and a line of numbers separated by blanks or commas
    (http://disa.fi.muni.cz/profiset/download/); plain or gzip. Empty lines between records are skipped.
    Raises MissingDataError, CorruptedError (gzip), InvalidInputError that names the line.
    """
    chunk_size = check_positive(chunk_size, "chunk_size")
    return _profiset_chunks(path, chunk_size, check_positive(dimension, "dimension"))


def _profiset_chunks(path: PathLike, chunk_size: int, dimension: int) -> Iterator[IdsAndVectors]:
    ids: list[int] = []
    vectors = np.empty((chunk_size, dimension), dtype=np.float32)
    pending: int | None = None  # ID whose line of numbers comes next
    number = 0
    for number, line in numbered_lines(path):
        where = f"{path}: line {number}"
        if line.startswith(_OBJECT_KEY):
            if pending is not None:
                raise InvalidInputError(f"{where}: expected {dimension} numbers of object {pending}, got another key")
            pending = _object_id(line, where)
        elif pending is not None:
            vectors[len(ids)] = _number_row(line.replace(b",", b" ").split(), dimension, where)
            ids.append(pending)
            pending = None
            if len(ids) == chunk_size:
                yield np.array(ids, dtype=np.int64), vectors
                ids, vectors = [], np.empty((chunk_size, dimension), dtype=np.float32)
        elif line.strip():
            raise InvalidInputError(f"{where}: expected a line that begins with #objectKey, got {_shown(line)}")
    if pending is not None:
        raise InvalidInputError(
            f"{path}: line {number + 1}: the file ends where the numbers of object {pending} belong"
        )
    if ids:
        yield np.array(ids, dtype=np.int64), vectors[: len(ids)]


def _object_id(line: bytes, where: str) -> int:
    tokens = line.split()
    if len(tokens) < 2 or not tokens[-1].isdigit() or int(tokens[-1]) > MAX_ID:
        raise InvalidInputError(f"{where}: expected #objectKey ... and a whole number as ID, got {_shown(line)}")
    return int(tokens[-1])


def _number_row(tokens: list[bytes], n: int | None, where: str) -> NDArray[np.float32]:
    if n is not None and len(tokens) != n:
        raise InvalidInputError(f"{where}: expected {n} numbers, got {len(tokens)}")
    with np.errstate(over="ignore"):
        row = np.array(parse_numbers(tokens, float, where), dtype=np.float64).astype(np.float32)
    return check_finite_row(row, where)


def _shown(line: bytes) -> str:
    return repr(line[:60].decode("utf-8", "replace"))


def write_profiset(path: PathLike, ids: Any, vectors: Any, *, packed: bool = False, overwrite: bool = False) -> None:
    """Write the format that `read_profiset` reads; float32 values come back with the same bits.

    packed : gzip.  Raises InvalidInputError, DuplicateIdError, ExistsError.
    """
    array = check_vectors(vectors, "vectors")
    numbers = check_ids(ids, "ids", len(array))
    with (
        new_file(path, overwrite=overwrite) as temporary,
        gzip.open(temporary, "wb") if packed else temporary.open("wb") as file,
    ):
        for identifier, row in zip(numbers.tolist(), array.tolist(), strict=True):
            values = " ".join(f"{value:.9g}" for value in row)  # 9 digits identify a float32
            file.write(f"#objectKey {_OBJECT_KEY_CLASS} {identifier}\n{values}\n".encode())


def read_words(path: PathLike) -> list[str]:
    """The lines of a UTF-8 text file, in order; CRLF and a byte order mark are tolerated, empty lines dropped.

    Raises MissingDataError, InvalidInputError that names the first line that is not UTF-8.
    """
    return [word for _, word in _numbered_words(path)]


def _numbered_words(path: PathLike) -> Iterator[tuple[int, str]]:
    data = read_all(path).removeprefix(_BYTE_ORDER_MARK)
    for number, line in enumerate(data.split(b"\n"), start=1):
        try:
            word = line.removesuffix(b"\r").decode("utf-8")
        except UnicodeDecodeError as error:
            raise InvalidInputError(
                f"{path}: line {number}: expected UTF-8, byte {error.start + 1} is 0x{line[error.start]:02x}; "
                "convert the file, for example with: iconv -f latin1 -t utf-8"
            ) from None
        if word:
            yield number, word


def write_words(path: PathLike, words: Sequence[str], *, overwrite: bool = False) -> None:
    """Write one word per line, UTF-8. Raises InvalidInputError (a word that would not come back), ExistsError."""
    with new_file(path, overwrite=overwrite) as temporary, temporary.open("wb") as file:
        for row, word in enumerate(words):
            if not isinstance(word, str) or not word or "\n" in word or word.endswith("\r"):
                raise InvalidInputError(
                    f"words: row {row}: expected a non-empty string without line ends, got {word!r}"
                )
            try:
                encoded = word.encode("utf-8")
            except UnicodeEncodeError:
                raise InvalidInputError(f"words: row {row}: {word!r} cannot be written as UTF-8") from None
            if row == 0 and encoded.startswith(_BYTE_ORDER_MARK):
                raise InvalidInputError("words: row 0 begins with a byte order mark; remove it")
            file.write(encoded + b"\n")


def read_dna(path: PathLike) -> list[str]:
    """Strings over A, C, G, T, one per line. Raises as `read_words`, and InvalidInputError for another letter."""
    strings = []
    for number, string in _numbered_words(path):
        if other := string.strip("ACGT"):
            raise InvalidInputError(f"{path}: line {number}: expected only A, C, G, T, got {other[0]!r}")
        strings.append(string)
    return strings


def read_number_table(path: PathLike, delimiter: str | None = None) -> NDArray[np.float32]:
    """Rows of numbers, one vector per line, without header; plain or gzip. Returns (n, d) float32.

    delimiter : None for blanks, or a character such as ",".  Empty lines are skipped.
    Raises MissingDataError, CorruptedError (gzip), InvalidInputError that names the line (count, number, NaN).
    """
    separator = None if delimiter is None else delimiter.encode()
    rows: list[NDArray[np.float32]] = []
    for number, line in numbered_lines(path):
        if line.strip():
            width = rows[0].size if rows else None
            rows.append(_number_row(line.split(separator), width, f"{path}: line {number}"))
    if not rows:
        raise InvalidInputError(f"{path}: expected at least one line of numbers, the file is empty")
    return np.stack(rows)


@dataclass(frozen=True, slots=True)
class SignatureFile:
    """Image signatures: what `read_signatures` returns."""

    names: list[str]  # image names, in the order of the file
    signatures: list[NDArray[np.float32]]  # (m, c + 1) each: centre coordinates, weight in the last column
    n_pixels: int  # pixels sampled per image, from the header


def read_signatures(path: PathLike) -> SignatureFile:
    """Signatures in the text format of the SQFD data: a header, then per image a blank line, its name, its clusters.

    The header holds clusters per image m, features per cluster c, pixels sampled; a cluster is a line of c features
    and its weight > 0. Raises MissingDataError, InvalidInputError that names the line.
    """
    lines = numbered_lines(path)
    n_clusters, n_features, n_pixels = _signature_header(lines, path)
    names: list[str] = []
    signatures: list[NDArray[np.float32]] = []
    for number, line in lines:
        if not line.strip():
            continue
        names.append(line.decode("utf-8", "replace").strip())
        rows = []
        for _ in range(n_clusters):
            number, line = next(lines, (number + 1, b""))
            where = f"{path}: line {number}, image {names[-1]}"
            row = _number_row(line.split(), n_features + 1, where)
            if not row[-1] > 0:
                raise InvalidInputError(f"{where}: expected a weight > 0 as last number, got {row[-1]:g}")
            rows.append(row)
        signatures.append(np.stack(rows))
    return SignatureFile(names, signatures, n_pixels)


def _signature_header(lines: Iterator[tuple[int, bytes]], path: PathLike) -> tuple[int, int, int]:
    _, line = next(lines, (1, b""))
    header = [int(token) for token in line.split() if token.isdigit()]
    if len(header) != 3 or len(line.split()) != 3 or min(header) < 1:
        raise InvalidInputError(
            f"{path}: line 1: expected clusters, features, pixels as in '20 7 10000', got {_shown(line)}"
        )
    return header[0], header[1], header[2]
