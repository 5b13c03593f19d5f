"""IDs of the objects in the trees, stored once: none where they are 0, 1, 2, ..., else as small differences."""

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import CorruptedError

BLOCK = 64  # IDs that share a first one; a whole number of words


class PackedIds:
    """Ascending IDs by ordinal, in blocks of 64: the first of each whole, the others less it, all in equally many bits.

    first: (blocks,) int64. rest: uint64 words, ID i less its block's first at bit i · width, and one spare word.
    Where the IDs are the ordinals both are empty.
    """

    def __init__(self, n: int, first: NDArray[np.int64], rest: NDArray[np.uint64], width: int) -> None:
        self.n, self.first, self.rest, self.width = n, first, rest, width

    @classmethod
    def pack(cls, ids: NDArray[np.int64]) -> Self:
        """ids: (n,) >= 0, ascending."""
        n = len(ids)
        if not n or ids[-1] == n - 1:
            return cls(n, np.empty(0, dtype=np.int64), np.empty(0, dtype=np.uint64), 0)
        first = ids[::BLOCK].copy()
        rest = (ids - np.repeat(first, BLOCK)[:n]).astype(np.uint64)
        width = max(int(rest.max()).bit_length(), 1)
        words = np.zeros(len(first) * width + 1, dtype=np.uint64)  # 64 IDs of so many bits fill so many words
        word, shift = _places(np.arange(n), width)
        np.bitwise_or.at(words, word, rest << shift)
        np.bitwise_or.at(words, word + 1, (rest >> np.uint64(1)) >> (np.uint64(63) - shift))
        return cls(n, first, words, width)

    def __len__(self) -> int:
        return self.n

    def of(self, ordinals: NDArray[np.int64]) -> NDArray[np.int64]:
        """IDs of ordinals below n."""
        if not self.width:
            return ordinals
        word, shift = _places(ordinals, self.width)
        mask = (np.uint64(1) << np.uint64(self.width)) - np.uint64(1)
        rest = ((self.rest[word] >> shift) | ((self.rest[word + 1] << np.uint64(1)) << (np.uint64(63) - shift))) & mask
        return np.asarray(self.first[ordinals // BLOCK] + rest.astype(np.int64))

    def ordinals(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Ordinals of IDs; -1 where there is no such object."""
        if not self.width:
            return np.where((ids >= 0) & (ids < self.n), ids, -1)
        low = np.maximum(np.searchsorted(self.first, ids, side="right") - 1, 0) * BLOCK
        for step in (32, 16, 8, 4, 2, 1):  # the last in its block that is not greater
            ahead = np.minimum(low + step, self.n - 1)
            low = np.where((self.of(ahead) <= ids) & (low + step < self.n), ahead, low)
        return np.where(self.of(low) == ids, low, -1)

    @property
    def largest(self) -> int:
        """-1 without IDs."""
        return int(self.of(np.array([self.n - 1]))[0]) if self.n else -1

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return self.first.nbytes + self.rest.nbytes

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All arrays by name, for saving."""
        return {"ids-first": self.first, "ids-rest": self.rest}

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[Any]], n: int, where: str) -> Self:
        """What gave `arrays()`. Raises KeyError for a missing array, CorruptedError for arrays that are no IDs."""
        first, rest = arrays["ids-first"], arrays["ids-rest"]
        n_blocks = len(first) if first.ndim == 1 else -1
        width = (rest.size - 1) // n_blocks if n_blocks > 0 else 0
        is_packed = n_blocks == -(-n // BLOCK) and 1 <= width <= 63 and rest.shape == (n_blocks * width + 1,)
        is_ordinal = n_blocks == 0 and rest.shape == (0,)
        if first.dtype == np.int64 and rest.dtype == np.uint64 and (is_packed or is_ordinal):
            found = cls(n, first, rest, width)
            ids = found.of(np.arange(n))
            if not n or (ids[0] >= 0 and (ids[1:] > ids[:-1]).all()):
                return found
        raise CorruptedError(f"{where}: the IDs of the index make no sense; rebuild the index")


def _places(ordinals: NDArray[np.int64], width: int) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Word and bit where IDs begin."""
    bits = ordinals * width
    return bits >> 6, (bits & 63).astype(np.uint64)
