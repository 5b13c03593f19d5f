"""A file of features: HDF5, photo i is row i of everything; nobody ever sees half of one.

/path, /sha256 (of the photo's bytes), /size (n, 2) int32: width, height; /failed_path, /failed_reason. Attributes:
format, version. A global feature NAME: dataset /NAME (n, d) float32 with attributes provenance and metric (JSON), and
what it learned from other photos in the group /trained/NAME. A local feature NAME: group /NAME with attribute
provenance, descriptors (N, 128) uint8, keypoints (N, 4) float32 and starts (n + 1,) int64: photo i has rows
starts[i]..starts[i+1]-1. Chunks carry HDF5's checksum (Fletcher-32).
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import (
    CorruptedError,
    FormatVersionError,
    InvalidInputError,
    MetricSearchError,
    MissingDataError,
    UnknownNameError,
)
from metricsearch.features.local import DIMENSION, LocalFeatureOptions, LocalFeatures
from metricsearch.validation import check_integer

FORMAT = "metricsearch-features"
FORMAT_VERSION = 2
TRAINED = "trained"
RESERVED = ("path", "sha256", "size", "failed_path", "failed_reason", TRAINED)  # no feature is called so
_FORMAT_1 = "metricsearch-local-features"


class FeatureFile:
    """Features of photos, read when asked for; photo i is number i in `paths`.

    paths: as they were given when extracting. sha256: of each photo's bytes. sizes: (n, 2) int32, width and height.
    failures: (path, reason) of the photos that could not be read. names: of the features, sorted.
    Open with `FeatureFile.open`, close it or use it in `with`.
    """

    def __init__(self, path: Path, file: Any) -> None:
        self.path = path
        self._file = file
        self.paths: list[str] = _strings(file["path"])
        self.sha256: list[str] = [value.decode() for value in file["sha256"][:].tolist()]
        self.sizes: NDArray[np.int32] = file["size"][:]
        self.failures: list[tuple[str, str]] = list(
            zip(_strings(file["failed_path"]), _strings(file["failed_reason"]), strict=True)
        )
        self.names: tuple[str, ...] = tuple(sorted(set(file) - set(RESERVED)))
        n = len(self.paths)
        self._local = {name: LocalTable(self, name, file[name]) for name in self.names if hasattr(file[name], "keys")}
        _check_fit(len(self.sha256) == n and self.sizes.shape == (n, 2))
        for name in self.names:
            if name not in self._local:
                _check_fit(file[name].ndim == 2 and len(file[name]) == n and file[name].dtype == np.float32)

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

    def provenance(self, name: str) -> dict[str, Any]:
        """Everything that the values of a feature depend on, see `Feature.provenance`. Raises UnknownNameError."""
        return self._json(name, "provenance")

    def metric(self, name: str) -> dict[str, Any]:
        """Spec of the distance meant for a global feature. Raises UnknownNameError, InvalidInputError."""
        self._check_global(name)
        return self._json(name, "metric")

    def vectors(self, name: str) -> Any:
        """(n, d) float32, the h5py dataset of a global feature. Raises UnknownNameError, InvalidInputError."""
        self._check_global(name)
        return self._file[name]

    def trained_arrays(self, name: str) -> dict[str, NDArray[Any]]:
        """What a global feature learned from other photos, see `GlobalFeature.arrays`; {} for most.

        Raises UnknownNameError, InvalidInputError, CorruptedError.
        """
        self._check_global(name)
        with self.reading():
            group = self._file.get(f"{TRAINED}/{name}", {})
            return {key: dataset[()] for key, dataset in group.items()}

    def is_local(self, name: str) -> bool:
        """Whether a feature has any number of rows per photo, see `local`; else `vectors`. Raises UnknownNameError."""
        self._check_known(name)
        return name in self._local

    def local(self, name: str | None = None) -> "LocalTable":
        """A local feature; None: the only one there is. Raises UnknownNameError, InvalidInputError."""
        if name is None and len(self._local) == 1:
            return next(iter(self._local.values()))
        if name is None:
            held = f"has {', '.join(self._local)}; say which" if self._local else f"has {_list(self.names)}"
            raise InvalidInputError(f"{self.path}: expected one local feature, such as sift; it {held}")
        self._check_known(name)
        if name not in self._local:
            raise InvalidInputError(f"{self.path}: {name} is one vector per photo; expected a local feature")
        return self._local[name]

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Errors while something is read become those of this package."""
        if not self._file:
            raise InvalidInputError(f"{self.path}: the file is closed; open it again")
        try:
            yield
        except OSError as error:
            raise CorruptedError(f"{self.path}: damaged ({error}); extract the photos again") from None

    def _json(self, name: str, attribute: str) -> dict[str, Any]:
        self._check_known(name)
        with self.reading():
            try:
                value: dict[str, Any] = json.loads(self._file[name].attrs[attribute])
            except (KeyError, ValueError):
                raise CorruptedError(
                    f"{self.path}: {name} has no readable {attribute}; delete the file and extract the photos again"
                ) from None
        return value

    def _check_known(self, name: str) -> None:
        if name not in self.names:
            raise UnknownNameError(
                f"{self.path}: it has no feature {name!r}; it has {_list(self.names)}; extract that one too"
            )

    def _check_global(self, name: str) -> None:
        self._check_known(name)
        if name in self._local:
            raise InvalidInputError(
                f"{self.path}: {name} describes places of a photo; expected a feature with one vector per photo"
            )


class LocalTable:
    """A local feature of all photos of a file.

    options, provenance: how it was extracted. starts: (n + 1,) int64. descriptors: (N, 128) uint8, the h5py dataset of
    all photos together, to train from; photo i has rows starts[i]..starts[i+1]-1.
    """

    def __init__(self, file: FeatureFile, name: str, group: Any) -> None:
        self.name = name
        self._file = file
        self.path = file.path
        self.provenance: dict[str, Any] = json.loads(group.attrs["provenance"])
        self.options = _options(file.path, self.provenance)
        self.starts: NDArray[np.int64] = group["starts"][:]
        self.descriptors: Any = group["descriptors"]
        self._keypoints: Any = group["keypoints"]
        n_rows = len(self.descriptors)
        _check_fit(
            len(self) == len(file.paths)
            and self.starts[0] == 0
            and self.starts[-1] == n_rows
            and bool((np.diff(self.starts) >= 0).all())
            and self.descriptors.shape == (n_rows, DIMENSION)
            and self._keypoints.shape == (n_rows, 4)
        )

    def __len__(self) -> int:
        """Number of photos."""
        return len(self.starts) - 1

    def features(self, i: int) -> LocalFeatures:
        """Keypoints and descriptors of photo i. Raises InvalidInputError, CorruptedError."""
        rows = self._rows(i)
        with self._file.reading():
            keypoints, descriptors = self._keypoints[rows], self.descriptors[rows]
        width, height = self._file.sizes[i].tolist()
        return LocalFeatures(keypoints, descriptors, width, height)

    def descriptors_of(self, i: int) -> NDArray[np.uint8]:
        """Descriptors (m, 128) uint8 of photo i. Raises InvalidInputError, CorruptedError."""
        rows = self._rows(i)
        with self._file.reading():
            descriptors: NDArray[np.uint8] = self.descriptors[rows]
        return descriptors

    def _rows(self, i: int) -> slice:
        if not len(self):
            raise InvalidInputError(f"{self.path}: it holds no photos")
        i = check_integer(i, "photo", 0, len(self) - 1)
        return slice(int(self.starts[i]), int(self.starts[i + 1]))


def _check_format(path: Path, file: Any) -> None:
    found = file.attrs.get("format")
    if found not in (FORMAT, _FORMAT_1):
        raise InvalidInputError(f"{path}: not a file of features; give one that `metricsearch extract` made")
    version = 1 if found == _FORMAT_1 else file.attrs["version"]
    if version != FORMAT_VERSION:
        raise FormatVersionError(
            f"{path}: format version {version}, but this program reads version {FORMAT_VERSION}; "
            "extract the photos again"
        )


def _check_fit(fits: bool) -> None:
    if not fits:
        raise ValueError("its parts do not fit together")


def _options(path: Path, provenance: dict[str, Any]) -> LocalFeatureOptions:
    values = provenance["options"]
    if set(values) != {field.name for field in fields(LocalFeatureOptions)}:
        raise FormatVersionError(f"{path}: its options are of another program version; extract the photos again")
    return LocalFeatureOptions(**values)


def _strings(dataset: Any) -> list[str]:
    return [value.decode(errors="surrogateescape") for value in dataset[:].tolist()]


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "none"
