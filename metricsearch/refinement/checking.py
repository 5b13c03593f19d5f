"""Checksums of the objects that searches read, each compared once."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import CorruptedError
from metricsearch.store.segments import record_checksums, stored_checksums


class CheckedObjects:
    """Which objects of a collection had their checksum compared since it was opened or changed: one bit each.

    Comparing costs about as much as computing a distance, so a search does it only for objects never read before.
    n: number of ordinals of the index.
    """

    def __init__(self, n: int) -> None:
        self._bits = np.zeros(n // 8 + 1, dtype=np.uint8)

    def check(self, snapshot: Any, located: Any, ordinals: NDArray[np.int64]) -> None:
        """Raise CorruptedError that names the first object whose bytes differ from its checksum.

        located: of the objects `ordinals` (n,) of the index, in the same order. Threads may call it at once: a bit
        that gets lost between them means one more comparison.
        """
        place, bit = ordinals >> 3, np.left_shift(1, ordinals & 7).astype(np.uint8)
        new = (self._bits[place] & bit) == 0
        if not new.any():
            return
        fresh = located[np.flatnonzero(new)]
        memory = snapshot.memory
        wrong = record_checksums(memory, fresh.offsets, fresh.lengths) != stored_checksums(memory, fresh.offsets)
        if wrong.any():
            raise CorruptedError(
                f"object {fresh.ids[np.argmax(wrong)]}: its checksum differs, bytes of objects.mdb have changed; "
                "see verify(), and restore the file from a copy"
            )
        np.bitwise_or.at(self._bits, place[new], bit[new])
