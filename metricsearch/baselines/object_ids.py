"""IDs of the objects of a baseline: none are stored where they are 0, 1, 2, ..."""

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from metricsearch.validation import check_ids


class ObjectIds:
    """Objects are numbered by ordinals 0..n-1 in the order of their IDs.

    ascending: (n,) IDs, all different.
    """

    def __init__(self, ascending: NDArray[np.int64]) -> None:
        self._n = len(ascending)
        self._ids = ascending if (ascending != np.arange(self._n)).any() else np.empty(0, dtype=np.int64)

    @classmethod
    def number(cls, ids: Any, n: int) -> tuple[Self, NDArray[np.int64]]:
        """(IDs by ordinal, (n,) rows of the objects by ordinal).

        ids: one per object in the order given; None = 0, 1, 2, ... Raises InvalidInputError, DuplicateIdError.
        """
        given = np.arange(n) if ids is None else check_ids(ids, "ids", n)
        rows = np.argsort(given, kind="stable")
        return cls(given[rows]), rows

    def __len__(self) -> int:
        return self._n

    def all(self) -> NDArray[np.int64]:
        """(n,) IDs, ascending."""
        return self._ids if len(self._ids) else np.arange(self._n)

    def of(self, ordinals: NDArray[np.int64]) -> NDArray[np.int64]:
        """IDs of ordinals."""
        return self._ids[ordinals] if len(self._ids) else ordinals

    def ordinals(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Ordinals of IDs that are there."""
        return np.searchsorted(self._ids, ids) if len(self._ids) else ids

    @property
    def nbytes(self) -> int:
        """Bytes of what is stored."""
        return self._ids.nbytes
