"""Parts of `Collection.copy_in_leaf_order`: the objects of one state in another order, and no copy left half made."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from metricsearch.ppp import PPPCodes
from metricsearch.spaces import Batch
from metricsearch.store import Snapshot


class LeafOrder:
    """The objects of a snapshot in the order of the leaves of the index's first pivot space: by prefix, then by ID.

    An object to `Collection.add`: sized, and read chunk by chunk. index: of the very objects of the snapshot.
    ids: (n,) int64, all of them in this order.
    """

    def __init__(self, index: PPPCodes, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        ids = index.ids()
        prefixes = index.prefixes_of(ids)[:, 0]
        self.ids = ids[np.lexsort(prefixes.T[::-1])]  # the last key counts most; stable, so ties stay by ID

    def __len__(self) -> int:
        return len(self.ids)

    def chunks(self, size: int) -> Iterator[Batch]:
        """All objects in this order, `size` at a time, checksums compared. Raises CorruptedError."""
        for start in range(0, len(self.ids), size):
            located = self._snapshot.locate(self.ids[start : start + size])
            self._snapshot.prefetch(located)
            yield self._snapshot.decode(located, check_crc=True)


@contextmanager
def removed_on_error(folder: Path) -> Iterator[None]:
    """After an error or an interrupt, delete the new folder of a collection that is not complete."""
    try:
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
