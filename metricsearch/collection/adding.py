"""What an add hands to the object store: checked chunks with their IDs, and the prefixes of the index on the way."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import InvalidInputError
from metricsearch.spaces import Batch
from metricsearch.validation import MAX_ID

Ids = NDArray[np.int64]


class Addition:
    """Iterates once over (ids, batch); keeps the IDs given out and, with an index, the prefixes (n, λ, l).

    numbers: one ID per object, or None: next_id, next_id + 1, ... prefixes_of: of a batch; None = no index.
    Raises InvalidInputError where numbers do not match the objects, before the last chunk is handed on.
    """

    def __init__(
        self,
        chunks: Iterator[Batch],
        numbers: Ids | None,
        next_id: int,
        prefixes_of: Callable[[Batch], NDArray[np.uint16]] | None,
    ) -> None:
        self._chunks, self._numbers, self._next_id, self._prefixes_of = chunks, numbers, next_id, prefixes_of
        self._ids: list[Ids] = []
        self._prefixes: list[NDArray[np.uint16]] = []

    def __iter__(self) -> Iterator[tuple[Ids, Batch]]:
        start = 0
        for batch in self._chunks:
            ids = self._take(start, start + len(batch))
            if self._prefixes_of is not None:
                self._prefixes.append(self._prefixes_of(batch))
            self._ids.append(ids)
            yield ids, batch
            start += len(batch)
        if self._numbers is not None and start != len(self._numbers):
            raise InvalidInputError(f"ids: expected one ID per object, {start} in total, got {len(self._numbers)}")

    def _take(self, start: int, stop: int) -> Ids:
        """IDs of the objects start..stop-1 of this addition."""
        if self._numbers is None:
            if self._next_id + stop - 1 > MAX_ID:
                raise InvalidInputError(
                    f"ids: none are left to follow the largest one, {self._next_id - 1}; pass IDs with the objects"
                )
            return np.arange(stop - start, dtype=np.int64) + (self._next_id + start)
        if stop > len(self._numbers):
            raise InvalidInputError(
                f"ids: expected one ID per object, got {len(self._numbers)} IDs for {stop} objects or more"
            )
        return self._numbers[start:stop]

    @property
    def ids(self) -> Ids:
        """(n,) int64, all IDs given out so far."""
        return np.concatenate(self._ids) if self._ids else np.empty(0, dtype=np.int64)

    @property
    def prefixes(self) -> NDArray[np.uint16]:
        """Prefixes (n, λ, l) of the same objects."""
        return np.concatenate(self._prefixes)
