"""From a photo to what a network wants as input, as its model declares."""

from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from metricsearch.features.extras import pillow_image
from metricsearch.features.photo import Photo

Side = Annotated[int, Field(ge=1, le=4096)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class Preprocessing(BaseModel):
    """What is done with the RGB pixels 0..255 of a photo before the network sees them.

    size: side of the network's input. resized: side of the square that the photo is made first (bilinear, Pillow);
    crops of `size` are cut from it. resize: "squash" makes the whole photo square, whatever its aspect; "square" takes
    the largest central square of it (Krizhevsky et al. 2012, section 2: shorter side resized, central patch cut out).
    Then, in the order of `colours`: (value - mean) * scale.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: Side
    resized: Side
    resize: Literal["squash", "square"] = "squash"
    colours: Literal["RGB", "BGR"]
    mean: tuple[Finite, Finite, Finite] = (0.0, 0.0, 0.0)
    scale: tuple[Finite, Finite, Finite] = (1.0, 1.0, 1.0)

    @model_validator(mode="after")
    def _crops_fit(self) -> Self:
        if self.resized < self.size:
            raise ValueError(f"resized is {self.resized}, less than size, {self.size}")
        return self

    def to_dict(self) -> dict[str, Any]:
        """All values by name, fit for JSON."""
        return self.model_dump(mode="json")


def square_pixels(photo: Photo, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """The photo as (resized, resized, 3) uint8 RGB; made once per photo, whichever networks ask.

    Raises InvalidInputError for a photo that cannot be decoded.
    """
    side, rule = preprocessing.resized, preprocessing.resize

    def make() -> NDArray[np.uint8]:
        height, width = photo.rgb.shape[:2]
        if rule == "squash":
            return resized(photo.rgb, side)
        shorter = min(height, width)
        left, top = (width - shorter) / 2, (height - shorter) / 2
        return resized(photo.rgb, side, (left, top, left + shorter, top + shorter))

    return photo.once(("square pixels", side, rule), make)


def resized(
    pixels: NDArray[np.uint8], side: int, box: tuple[float, float, float, float] | None = None
) -> NDArray[np.uint8]:
    """(h, w, 3) uint8 made (side, side, 3), bilinear (Pillow); of its part `box`: left, top, right, bottom."""
    image_module = pillow_image()
    image = image_module.fromarray(pixels)
    return np.asarray(image.resize((side, side), image_module.Resampling.BILINEAR, box=box))


def network_input(pixels: NDArray[np.uint8], preprocessing: Preprocessing) -> NDArray[np.float32]:
    """(size, size, 3) uint8 RGB as (1, 3, size, size) float32: channels first, in the network's order of colours."""
    channels = pixels.transpose(2, 0, 1)
    if preprocessing.colours == "BGR":
        channels = channels[::-1]
    values = np.ascontiguousarray(channels).astype(np.float32)  # bytes rearranged first: a quarter of the memory
    values -= np.array(preprocessing.mean, np.float32)[:, None, None]
    values *= np.array(preprocessing.scale, np.float32)[:, None, None]
    return values[None]
