"""What signatures are made with: a random projection, and medians learned from training descriptors."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import CorruptedError
from metricsearch.vocabtree.building import offsets_of
from metricsearch.vocabtree.hamming._kernels import (
    group_medians,
    pack_signs,
    project,
)
from metricsearch.vocabtree.scoring_options import SIGNATURE_BITS
from metricsearch.vocabtree.segment import plain
from metricsearch.vocabulary import Vocabulary

MAX_TRAINING = 2**22  # descriptors that medians are learned from; of more, evenly spaced ones
_CHUNK = 2**17
_ARRAYS = {"projection": (np.float32, 2), "words": (np.uint32, 1), "medians": (np.float32, 2)}


@dataclass(frozen=True, slots=True, eq=False)
class HammingModel:
    """What signatures are made with.

    projection: (d, 64) float32, orthonormal columns (rows, if d < 64). words: (n,) uint32, ascending, leaves with
    training descriptors. medians: (n + 1, 64) float32, of these words, then of all, for any other word.
    """

    projection: NDArray[np.float32]
    words: NDArray[np.uint32]
    medians: NDArray[np.float32]

    @property
    def n_bytes(self) -> int:
        """Sum of the sizes of the arrays."""
        return self.projection.nbytes + self.words.nbytes + self.medians.nbytes

    def signatures(self, descriptors: NDArray[Any], words: NDArray[np.uint32]) -> NDArray[np.uint64]:
        """(n,) uint64 of checked descriptors (n, d) and their words (n,); the same for any grouping into calls."""
        place = np.searchsorted(self.words, words)
        known = place < len(self.words)
        known[known] = self.words[place[known]] == words[known]
        place[~known] = len(self.words)
        out = np.empty(len(words), dtype=np.uint64)
        for first in range(0, len(words), _CHUNK):
            part = slice(first, first + _CHUNK)
            pack_signs(_projected(descriptors[part], self.projection), self.medians, place[part], out[part])
        return out

    def parameters(self) -> dict[str, Any]:
        """JSON-able part: none."""
        return {}

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays by name."""
        return {name: getattr(self, name) for name in _ARRAYS}

    @classmethod
    def from_arrays(cls, parameters: dict[str, Any], arrays: dict[str, NDArray[Any]], where: str) -> "HammingModel":
        """Model from `to_arrays`; arrays may be memory-mapped. Raises CorruptedError."""
        for name, (dtype, n_axes) in _ARRAYS.items():
            if name not in arrays or arrays[name].dtype != dtype or arrays[name].ndim != n_axes:
                raise CorruptedError(f"{where}: {name}: expected {n_axes}-D {np.dtype(dtype)}; restore a backup")
        model = cls(**{name: plain(arrays[name], dtype) for name, (dtype, _) in _ARRAYS.items()})
        n = len(model.words)
        if model.projection.shape[1:] != (SIGNATURE_BITS,) or model.medians.shape != (n + 1, SIGNATURE_BITS):
            raise CorruptedError(f"{where}: words, medians and projection do not fit each other; restore a backup")
        return model


def _projected(descriptors: NDArray[Any], projection: NDArray[np.float32]) -> NDArray[np.float32]:
    out = np.empty((len(descriptors), SIGNATURE_BITS), dtype=np.float32)
    project(plain(descriptors, np.float32), projection, out)
    return out


def learn_hamming(descriptors: Any, vocabulary: Vocabulary, seed: int, n_threads: int) -> HammingModel:
    """Projection (QR of a seeded Gaussian matrix) and medians from the training descriptors, an array or h5py dataset.

    Of more than `MAX_TRAINING` descriptors evenly spaced ones are used; they take 260 bytes each meanwhile.
    """
    rng = np.random.default_rng(seed)
    d = vocabulary.dimension
    gaussian = rng.standard_normal((max(d, SIGNATURE_BITS), min(d, SIGNATURE_BITS)))
    orthogonal = np.linalg.qr(gaussian)[0]
    projection = plain(orthogonal if d >= SIGNATURE_BITS else orthogonal.T, np.float32)
    step = -(-len(descriptors) // MAX_TRAINING) or 1
    words, values = [np.empty(0, np.uint32)], [np.empty((0, SIGNATURE_BITS), np.float32)]
    for first in range(0, len(descriptors), _CHUNK * step):
        part = vocabulary.check_descriptors(descriptors[first : first + _CHUNK * step : step], "descriptors")
        words.append(vocabulary.quantize(part, n_threads))
        values.append(_projected(part, projection))
    table = np.concatenate(values)
    del values
    flat = np.concatenate(words)
    order = np.argsort(flat, kind="stable")
    leaves, counts = np.unique(flat, return_counts=True)
    medians = np.zeros((len(leaves) + 1, SIGNATURE_BITS), dtype=np.float32)
    group_medians(table, order, offsets_of(counts), medians[:-1])
    if len(table):
        group_medians(table, order, offsets_of([len(table)]), medians[-1:])
    return HammingModel(projection, plain(leaves, np.uint32), plain(medians, np.float32))
