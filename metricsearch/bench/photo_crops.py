"""Five crops of every photo, each described by itself: more real descriptors than there are photos (augmented data)."""

from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import InvalidInputError
from metricsearch.features import GlobalFeature, Photo
from metricsearch.features.feature import Feature

CROPS = ".crops"  # how the names of such features end
N_CROPS = 5
SHARE = 0.8  # of the width and the height of the photo


@runtime_checkable
class _OfPixels(Protocol):
    dimension: int

    def of_pixels(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(dimension,) float32 of a patch (h, w, 3) uint8 RGB."""


def five_crops(pixels: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Top left, top right, bottom left, bottom right and centre of (h, w, 3): 4/5 of both sides, at least a pixel."""
    height, width = (max(1, round(SHARE * side)) for side in pixels.shape[:2])
    down, right = pixels.shape[0] - height, pixels.shape[1] - width
    corners = [(0, 0), (0, right), (down, 0), (down, right), (down // 2, right // 2)]
    return [np.ascontiguousarray(pixels[top : top + height, left : left + width]) for top, left in corners]


class CroppedFeature(GlobalFeature):
    """The vectors of the five crops, one behind the other. Raises InvalidInputError for a feature of whole photos."""

    metric = "euclidean"

    def __init__(self, feature: Feature[Any]) -> None:
        if not isinstance(feature, _OfPixels):
            raise InvalidInputError(f"crops: {feature.name} describes whole photos only; use a CNN feature")
        self.name, self._of_crop, self._provenance = f"{feature.name}{CROPS}", feature, feature.provenance()
        self.dimension = N_CROPS * feature.dimension

    def extract(self, photo: Photo) -> NDArray[np.float32]:
        """(5 d,) float32. Raises InvalidInputError."""
        return np.concatenate([self._of_crop.of_pixels(crop) for crop in five_crops(photo.rgb)])

    def provenance(self) -> dict[str, Any]:
        """That of the feature, and the crops."""
        return {"feature": self.name, "of": self._provenance, "crops": N_CROPS, "share": SHARE}
