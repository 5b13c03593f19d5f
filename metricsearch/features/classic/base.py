"""What the classic features share: a provenance, and the sizes at which they look at a photo."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.features.extras import opencv, scikit_image
from metricsearch.features.feature import GlobalFeature
from metricsearch.features.photo import Photo

Grey = NDArray[np.uint8]
Values = NDArray[np.float32]


class ClassicFeature(GlobalFeature):
    """A fixed function of the pixels: nothing is learned, so name, parameters and libraries say what the values are.

    parameters: fit for JSON. libraries: names of the packages that decide the values.
    """

    parameters: dict[str, Any]
    libraries: tuple[str, ...] = ("opencv",)

    def provenance(self) -> dict[str, Any]:
        """Name, parameters and library versions."""
        versions = {name: _version(name) for name in self.libraries}
        return {"feature": self.name, "parameters": self.parameters, "libraries": versions}


def _version(name: str) -> str:
    module = opencv() if name == "opencv" else scikit_image()
    return ".".join(module.__version__.split(".")[:2])


def shrunk_grey(photo: Photo, max_side: int) -> Grey:
    """Grey pixels of the photo, at most `max_side` on its long side; a smaller photo stays as it is."""

    def make() -> Grey:
        height, width = photo.grey.shape
        scale = max_side / max(height, width)
        if scale >= 1:
            return photo.grey
        return _resized(photo.grey, max(1, round(width * scale)), max(1, round(height * scale)))

    return photo.once(("shrunk grey", max_side), make)


def square_grey(photo: Photo, side: int) -> Grey:
    """Grey pixels of the photo squeezed into side x side; its aspect ratio is not kept."""
    return photo.once(("square grey", side), lambda: _resized(photo.grey, side, side))


def _resized(grey: Grey, width: int, height: int) -> Grey:
    cv2 = opencv()
    resized: Grey = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)  # averages: nothing aliases
    return resized
