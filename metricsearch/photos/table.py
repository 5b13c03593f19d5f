"""Photos by object ID: an ID is made of the photo's content, so equal photos are one object with several paths."""

import hashlib
import json
import os
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import InvalidInputError, UnknownIdError
from metricsearch.features import FeatureFile

_CHUNK_ROWS = 1024

Ids = NDArray[np.int64]


def photo_id(sha256: str) -> int:
    """Object ID of a photo: the first 63 bits of its sha256 (hexadecimal)."""
    return int(sha256[:16], 16) >> 1


class PhotoTable:
    """What a feature file holds, by object ID.

    ids: (m,) int64, ascending, one per different photo. Raises InvalidInputError if two different photos have one ID,
    which among a million photos happens once in twenty million collections.
    """

    def __init__(self, file: FeatureFile) -> None:
        self.file = file
        all_ids = np.array([photo_id(sha256) for sha256 in file.sha256], dtype=np.int64)
        self._order = np.argsort(all_ids, kind="stable")  # rows of one ID in the order of the file
        self.ids: Ids
        self.ids, starts = np.unique(all_ids[self._order], return_index=True)
        self._bounds = np.append(starts, len(all_ids))
        self._check_collisions(all_ids[self._order])

    def _check_collisions(self, ids: Ids) -> None:
        contents = np.array(self.file.sha256, dtype="S64")[self._order]
        collided = np.flatnonzero((ids[1:] == ids[:-1]) & (contents[1:] != contents[:-1]))
        if len(collided):
            first, other = (self.file.paths[row] for row in self._order[collided[0] : collided[0] + 2])
            raise InvalidInputError(
                f"{first}, {other}: two different photos whose sha256 begin alike; one collection cannot hold both, "
                "save one of them anew"
            )

    def __len__(self) -> int:
        """Number of different photos."""
        return len(self.ids)

    def row(self, image_id: int) -> int:
        """Number in the file of the first photo with this ID. Raises UnknownIdError."""
        return int(self._rows(image_id)[0])

    def rows(self, ids: Ids) -> NDArray[np.int64]:
        """`row` of each of several IDs that are there."""
        rows: NDArray[np.int64] = self._order[self._bounds[np.searchsorted(self.ids, ids)]]
        return rows

    def paths(self, image_id: int) -> tuple[str, ...]:
        """Where this photo is, in the order in which the photos were given. Raises UnknownIdError."""
        return tuple(self.file.paths[row] for row in self._rows(image_id))

    def sha256(self, image_id: int) -> str:
        """Of the photo's bytes. Raises UnknownIdError."""
        return str(self.file.sha256[self.row(image_id)])

    def find(self, sha256: str) -> int | None:
        """ID of the photo of these bytes; None: it is not there."""
        place = int(np.searchsorted(self.ids, photo_id(sha256)))
        found = place < len(self.ids) and self.sha256(int(self.ids[place])) == sha256
        return photo_id(sha256) if found else None

    def _rows(self, image_id: int) -> NDArray[np.int64]:
        place = int(np.searchsorted(self.ids, image_id))
        if place == len(self.ids) or self.ids[place] != image_id:
            raise UnknownIdError(f"{self.file.path}: it has no photo with ID {image_id}")
        rows: NDArray[np.int64] = self._order[self._bounds[place] : self._bounds[place + 1]]
        return rows

    def vectors(self, name: str, rows: NDArray[np.int64]) -> Iterator[NDArray[np.float32]]:
        """Vectors of the global feature `name` in these rows, which ascend; in chunks. Raises CorruptedError."""
        stored = self.file.vectors(name)
        for low in range(0, len(self.file), _CHUNK_ROWS):
            wanted = rows[slice(*np.searchsorted(rows, (low, low + _CHUNK_ROWS)))]
            if len(wanted):
                with self.file.reading():
                    chunk: NDArray[np.float32] = stored[low : low + _CHUNK_ROWS][wanted - low]
                yield chunk

    def fingerprint(self) -> str:
        """sha256 over the paths, the contents and what was computed of them."""
        told = hashlib.sha256()
        for path, sha256 in zip(self.file.paths, self.file.sha256, strict=True):
            told.update(os.fsencode(path) + b"\0" + sha256.encode() + b"\0")
        made = {name: self.file.provenance(name) for name in self.file.names}
        told.update(json.dumps(made, sort_keys=True).encode())
        return told.hexdigest()
