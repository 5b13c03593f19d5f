"""Objects by name or path, as the command line takes them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.datasets.binary_formats import VecsSource, read_npy
from metricsearch.datasets.files import open_plain_or_gzip, require_file
from metricsearch.datasets.loading import load_dataset
from metricsearch.datasets.sources import HDF5Source, hdf5_dataset, is_feature_file, open_hdf5
from metricsearch.datasets.text_formats import read_number_table, read_profiset, read_signatures, read_words
from metricsearch.errors import InvalidInputError
from metricsearch.spaces import concatenate

DATASET_PREFIX = "dataset:"
_FORMATS = (
    f"{DATASET_PREFIX}NAME, FILE.npy, FILE.fvecs, FILE.bvecs, FILE.ivecs, FILE.h5[:key], "
    "FILE.hdf5[:key], FILE.csv[.gz] (numbers), FILE.txt, FILE.dic or FILE.words (words), FILE.sig (signatures), "
    "FILE.profiset[.gz]"
)


@dataclass(frozen=True, slots=True)
class OpenedObjects:
    """Objects to read in chunks, their IDs if the file has some, and the usual metric for them if they have one.

    provenance: what they were made by, if the file says so (see `metricsearch.features`).
    """

    objects: Any
    ids: NDArray[np.int64] | None = None
    metric: str | dict[str, Any] | None = None
    provenance: dict[str, Any] | None = None

    def load(self) -> Any:
        """All objects in memory."""
        if hasattr(self.objects, "load"):
            return self.objects.load()
        return concatenate(list(self.objects)) if isinstance(self.objects, Iterator) else self.objects


def open_objects(text: str) -> OpenedObjects:
    """Open `dataset:NAME`, or a file by its ending (`FILE.h5:key` names the dataset inside an HDF5 file).

    Raises InvalidInputError (unknown ending, several HDF5 datasets), MissingDataError, CorruptedError.
    """
    if text.startswith(DATASET_PREFIX):
        dataset = load_dataset(text.removeprefix(DATASET_PREFIX))
        return OpenedObjects(dataset.objects, dataset.ids, dataset.metric)
    for ending in (".h5", ".hdf5"):
        name, _, key = text.partition(f"{ending}:")
        if key:
            return _hdf5(HDF5Source(name + ending, key))
    path = require_file(text)
    endings = [ending for ending in path.suffixes if ending != ".gz"]
    match endings[-1] if endings else "":
        case ".npy":
            return OpenedObjects(read_npy(path))
        case ".fvecs" | ".bvecs" | ".ivecs":
            return OpenedObjects(VecsSource(path))
        case ".h5" | ".hdf5":
            return _hdf5(_only_matrix(path))
        case ".csv":
            return OpenedObjects(read_number_table(path, ","))
        case ".sig":
            return OpenedObjects(read_signatures(path).signatures, metric="sqfd")
        case ".profiset":
            return _profiset(path)
        case ".txt" | ".dic" | ".words":
            with open_plain_or_gzip(path) as file:
                is_profiset = file.readline().startswith(b"#objectKey")
            return _profiset(path) if is_profiset else OpenedObjects(read_words(path), metric="levenshtein")
    raise InvalidInputError(f"{path}: unknown kind of file; expected {_FORMATS}")


def _profiset(path: Path) -> OpenedObjects:
    # Two passes: the IDs are few bytes each, the vectors are streamed.
    ids = [ids for ids, _ in read_profiset(path)]
    return OpenedObjects((vectors for _, vectors in read_profiset(path)), np.concatenate(ids) if ids else None)


def _hdf5(source: HDF5Source) -> OpenedObjects:
    return OpenedObjects(source, metric=source.metric, provenance=source.provenance)


def _only_matrix(path: Path) -> HDF5Source:
    with open_hdf5(path) as file:
        names = [name for name in file if getattr(file[name], "ndim", 0) == 2]
        if is_feature_file(file):  # what else is 2-D describes the photos
            names = [name for name in names if "provenance" in file[name].attrs]
        if "train" in names:
            names = ["train"]
        if len(names) != 1:
            found = ", ".join(names) or "none"
            raise InvalidInputError(f"{path}: expected one 2-D dataset, found {found}; name it: {path}:key")
        hdf5_dataset(file, names[0], path)
    return HDF5Source(path, names[0])
