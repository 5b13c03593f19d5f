"""One photo as features see it: decoded when first looked at, and what several features share computed once."""

from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import InvalidInputError, MissingDataError
from metricsearch.features.images import PhotoPath, decode_photo, sha256_of_bytes

T = TypeVar("T")


class Photo:
    """A photo of which nothing is decoded yet. Not to be shared between threads.

    `grey` and `rgb` raise InvalidInputError (see `read_photo`) when the photo cannot be decoded.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._made: dict[Hashable, Any] = {}

    @classmethod
    def read(cls, path: PhotoPath) -> "Photo":
        """The photo of a file. Raises MissingDataError, InvalidInputError."""
        try:
            return cls(Path(path).read_bytes())
        except FileNotFoundError:
            raise MissingDataError(f"{path}: no such file") from None
        except OSError as error:
            raise InvalidInputError(f"{path}: cannot be read ({error.strerror})") from None

    @property
    def sha256(self) -> str:
        """Of the file's bytes."""
        return self.once("sha256", lambda: sha256_of_bytes(self._data))

    @property
    def grey(self) -> NDArray[np.uint8]:
        """(h, w) uint8, as `read_photo` gives it."""
        return self.once("grey", lambda: decode_photo(self._data))

    @property
    def rgb(self) -> NDArray[np.uint8]:
        """(h, w, 3) uint8, as `read_photo` gives it."""
        return self.once("rgb", lambda: decode_photo(self._data, colour=True))

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, turned as the photo is."""
        pixels = self._made.get("rgb", self._made.get("grey"))
        height, width = (self.grey if pixels is None else pixels).shape[:2]
        return width, height

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` returns; made at the first call with this `key` only. It must not be changed afterwards."""
        if key not in self._made:
            self._made[key] = make()
        found: T = self._made[key]
        return found
