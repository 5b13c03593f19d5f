"""Which squares of a photo a network is shown."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Crops = Literal["centre", "ten"]


def cut_crops(pixels: NDArray[np.uint8], size: int, crops: Crops) -> list[NDArray[np.uint8]]:
    """Squares (size, size, 3) of `pixels` (side, side, 3), side >= size; views where they are not mirrored.

    "centre": the one in the middle, of two the upper left. "ten" (Krizhevsky et al. 2012, section 4.1; DeCAF7 in the
    SIGIR'15 system): the four corners (top left, top right, bottom left, bottom right), the centre, then these five
    mirrored left to right.
    """
    far = len(pixels) - size
    middle = far // 2
    centre = pixels[middle : middle + size, middle : middle + size]
    if crops == "centre":
        return [centre]
    corners = [pixels[top : top + size, left : left + size] for top in (0, far) for left in (0, far)]
    five = [*corners, centre]
    return [*five, *(crop[:, ::-1] for crop in five)]
