"""A file of local features: HDF5, one row per descriptor, photos one after another.

/descriptors (N, d) uint8, /keypoints (N, 4) float32, /starts (n + 1,) int64: photo i has rows starts[i]..starts[i+1]-1;
/path, /sha256 (of the photo's bytes), /size (n, 2) int32: width, height; /failed_path, /failed_reason. Attributes:
format, version, feature, options (JSON), extractor. Chunks carry HDF5's checksum (Fletcher-32).
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import (
    CorruptedError,
    FormatVersionError,
    InvalidInputError,
    MetricSearchError,
    MissingDataError,
)
from metricsearch.features.local import DIMENSION, LocalFeatureOptions, LocalFeatures
from metricsearch.files import system_errors, written_atomically
from metricsearch.validation import check_integer

FORMAT = "metricsearch-local-features"
FORMAT_VERSION = 1
_CHUNK_ROWS = 4096
_BUFFERED_ROWS = 65536


class PhotoFeatures(NamedTuple):
    """What a file holds of one photo."""

    path: str
    sha256: str
    features: LocalFeatures


class FeatureFile:
    """Features of photos, read when asked for; photo i is number i in `paths`.

    paths: as they were given when extracting. sha256: of each photo's bytes. options: what was extracted. starts:
    (n + 1,) int64. descriptors: (N, d) uint8, the h5py dataset of all photos together, to train from. failures:
    (path, reason) of the photos that could not be read. extractor: the program that found the features.
    Open with `FeatureFile.open`, close it or use it in `with`.
    """

    def __init__(self, path: Path, file: Any) -> None:
        self.path = path
        self._file = file
        self.options = _options_of(path, file)
        self.extractor = str(file.attrs["extractor"])
        self.paths: list[str] = _strings(file["path"])
        self.sha256: list[str] = [value.decode() for value in file["sha256"][:].tolist()]
        self.failures: list[tuple[str, str]] = list(
            zip(_strings(file["failed_path"]), _strings(file["failed_reason"]), strict=True)
        )
        self.starts: NDArray[np.int64] = file["starts"][:]
        self.descriptors: Any = file["descriptors"]
        self._keypoints: Any = file["keypoints"]
        self._sizes: NDArray[np.int32] = file["size"][:]
        n, n_rows = len(self.paths), len(self.descriptors)
        sound = (
            len(self.sha256) == len(self._sizes) == n == len(self.starts) - 1
            and self.starts[0] == 0
            and self.starts[-1] == n_rows
            and bool((np.diff(self.starts) >= 0).all())
            and self.descriptors.shape == (n_rows, DIMENSION)
            and self._keypoints.shape == (n_rows, 4)
        )
        if not sound:
            raise ValueError("its parts do not fit together")

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> "FeatureFile":
        """Open for reading. Raises MissingDataError, CorruptedError, FormatVersionError, InvalidInputError."""
        import h5py

        path = Path(path)
        if path.is_dir():
            raise InvalidInputError(f"{path}: a folder; expected a feature file")
        if not path.is_file():
            raise MissingDataError(f"{path}: no such file; make it with: metricsearch extract PHOTOS --out {path}")
        file = None
        try:
            file = h5py.File(path, "r")
            _check_format(path, file)
            return cls(path, file)
        except BaseException as error:
            if file is not None:
                file.close()
            if isinstance(error, MetricSearchError) or not isinstance(error, Exception):
                raise
            raise CorruptedError(
                f"{path}: not a readable feature file ({' '.join(str(error).split())}); give another, or delete it and "
                "extract the photos again"
            ) from None

    def close(self) -> None:
        """Close the file; reading from it is an error afterwards."""
        self._file.close()

    def __enter__(self) -> "FeatureFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self.paths)

    def features(self, i: int) -> LocalFeatures:
        """Keypoints and descriptors of photo i. Raises InvalidInputError, CorruptedError."""
        rows = self._rows(i)
        with self._reading():
            keypoints, descriptors = self._keypoints[rows], self.descriptors[rows]
        width, height = self._sizes[i].tolist()
        return LocalFeatures(keypoints, descriptors, width, height)

    def descriptors_of(self, i: int) -> NDArray[np.uint8]:
        """Descriptors (m, d) uint8 of photo i. Raises InvalidInputError, CorruptedError."""
        rows = self._rows(i)
        with self._reading():
            descriptors: NDArray[np.uint8] = self.descriptors[rows]
        return descriptors

    def photos(self) -> Iterator[PhotoFeatures]:
        """All photos, in their order."""
        for i, (path, sha256) in enumerate(zip(self.paths, self.sha256, strict=True)):
            yield PhotoFeatures(path, sha256, self.features(i))

    def _rows(self, i: int) -> slice:
        i = check_integer(i, "photo", 0, len(self) - 1) if len(self) else _no_photos(self.path)
        return slice(int(self.starts[i]), int(self.starts[i + 1]))

    @contextmanager
    def _reading(self) -> Iterator[None]:
        if not self._file:
            raise InvalidInputError(f"{self.path}: the file is closed; open it again")
        try:
            yield
        except OSError as error:
            raise CorruptedError(f"{self.path}: damaged ({error}); extract the photos again") from None


def write_feature_file(
    path: Path,
    photos: Iterable[PhotoFeatures],
    options: LocalFeatureOptions,
    extractor: str,
    failures: Sequence[tuple[str, str]] = (),
) -> None:
    """Write `photos`, as they come, to `path`; nobody ever sees half a file. Raises StorageError."""
    import h5py

    with system_errors(path), written_atomically(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["format"] = FORMAT
        file.attrs["version"] = FORMAT_VERSION
        file.attrs["feature"] = options.kind
        file.attrs["options"] = json.dumps(options.to_dict(), sort_keys=True)
        file.attrs["extractor"] = extractor
        about = _write_rows(file, photos)
        counts = [0, *(count for *_, count in about)]
        file["starts"] = np.cumsum(np.array(counts, dtype=np.int64))
        file["sha256"] = np.array([sha256 for _, sha256, _, _ in about], dtype="S64")
        file["size"] = np.array([size for _, _, size, _ in about], dtype=np.int32).reshape(-1, 2)
        for name, values in (
            ("path", [path for path, *_ in about]),
            ("failed_path", [path for path, _ in failures]),
            ("failed_reason", [reason for _, reason in failures]),
        ):
            encoded = [value.encode(errors="surrogateescape") for value in values]
            file.create_dataset(name, (len(values),), h5py.string_dtype(), data=encoded if encoded else None)


def _write_rows(file: Any, photos: Iterable[PhotoFeatures]) -> list[tuple[str, str, tuple[int, int], int]]:
    """Append the rows of all photos; path, sha256, size and number of rows of each."""
    stored = {
        name: file.create_dataset(
            name, (0, width), dtype, maxshape=(None, width), chunks=(_CHUNK_ROWS, width), fletcher32=True
        )
        for name, width, dtype in (("descriptors", DIMENSION, np.uint8), ("keypoints", 4, np.float32))
    }
    about: list[tuple[str, str, tuple[int, int], int]] = []
    waiting: list[LocalFeatures] = []

    def flush() -> None:
        for name, dataset in stored.items():
            rows = np.concatenate([getattr(features, name) for features in waiting])
            dataset.resize(len(dataset) + len(rows), axis=0)
            if len(rows):
                dataset[-len(rows) :] = rows
        waiting.clear()

    n_waiting = 0
    for path, sha256, features in photos:
        about.append((path, sha256, (features.width, features.height), len(features)))
        waiting.append(features)
        n_waiting += len(features)
        if n_waiting >= _BUFFERED_ROWS:
            flush()
            n_waiting = 0
    if waiting:
        flush()
    return about


def _check_format(path: Path, file: Any) -> None:
    if file.attrs.get("format") != FORMAT:
        raise InvalidInputError(f"{path}: not a file of local features; give one that `metricsearch extract` made")
    if file.attrs["version"] != FORMAT_VERSION:
        raise FormatVersionError(
            f"{path}: format version {file.attrs['version']}, but this program reads version {FORMAT_VERSION}; "
            "extract the photos again"
        )


def _options_of(path: Path, file: Any) -> LocalFeatureOptions:
    values: Mapping[str, Any] = json.loads(file.attrs["options"])
    if set(values) != {field.name for field in fields(LocalFeatureOptions)}:
        raise FormatVersionError(f"{path}: its options are of another program version; extract the photos again")
    return LocalFeatureOptions(**values)


def _strings(dataset: Any) -> list[str]:
    return [value.decode(errors="surrogateescape") for value in dataset[:].tolist()]


def _no_photos(path: Path) -> int:
    raise InvalidInputError(f"{path}: it holds no photos")
