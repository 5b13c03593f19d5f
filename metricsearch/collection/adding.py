"""What an add hands to the object store: checked chunks with their IDs, and the codes of the index on the way."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import InvalidInputError
from metricsearch.ppp import Codes
from metricsearch.spaces import Batch
from metricsearch.validation import MAX_ID

Ids = NDArray[np.int64]


class Addition:
    """Iterates once over (ids, batch); keeps the IDs given out and, with an index, their codes.

    numbers: one ID per object, or None: next_id, next_id + 1, ... codes_of: of a batch; None = no index.
    Raises InvalidInputError where numbers do not match the objects, before the last chunk is handed on.
    """

    def __init__(
        self,
        chunks: Iterator[Batch],
        numbers: Ids | None,
        next_id: int,
        codes_of: Callable[[Batch], Codes] | None,
    ) -> None:
        self._chunks, self._numbers, self._next_id, self._codes_of = chunks, numbers, next_id, codes_of
        self._ids: list[Ids] = []
        self._codes: list[Codes] = []

    def __iter__(self) -> Iterator[tuple[Ids, Batch]]:
        start = 0
        for batch in self._chunks:
            ids = self._take(start, start + len(batch))
            if self._codes_of is not None:
                self._codes.append(self._codes_of(batch))
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
    def codes(self) -> Codes:
        """Codes of the same objects."""
        return Codes.joined(self._codes)
