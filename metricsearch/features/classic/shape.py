"""Shape of the main object (S1): Otsu's threshold, the largest outline, and numbers that describe it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.features.classic.base import ClassicFeature, Values, shrunk_grey
from metricsearch.features.extras import opencv
from metricsearch.features.photo import Photo

MAX_SIDE = 320  # pixels: the outline needs no more, and fine grain costs less
HARMONICS = range(2, 17)
ROUNDING = 1e-28  # a moment below is 0 (of an object like its mirror image); one pixel more makes about 1e-24
N_POINTS = 1024  # of the outline at equal steps; outlines are rarely longer than that many pixels

Outline = NDArray[np.int32]


class HuShape(ClassicFeature):
    """Hu's seven moments of the main outline, -sign(h) log10 |h|, then its aspect ratio, extent and solidity.

    They do not change when the object is shifted, turned or scaled (up to the pixel grid). For that, aspect ratio
    (short / long side) and extent (share that the object fills) are those of the smallest rectangle at any angle.
    Solidity: share of the convex hull. A moment of 0 gives 0. Without an outline all ten are 0.

    The object is the bright part of the photo, unless the larger part of the photo's border is bright: then the dark
    one. S1 leaves this open.
    """

    name = "shape"
    dimension = 10
    metric = "manhattan"
    parameters = {"max_side": MAX_SIDE}

    def extract(self, photo: Photo) -> Values:
        """(10,) float32."""
        outline = main_outline(photo)
        if outline is None:
            return np.zeros(self.dimension, dtype=np.float32)
        cv2 = opencv()
        hu = cv2.HuMoments(cv2.moments(outline)).ravel()
        logarithms = -np.sign(hu) * np.log10(np.abs(hu), where=np.abs(hu) > ROUNDING, out=np.zeros(7))
        area = cv2.contourArea(outline)
        short, long = sorted(cv2.minAreaRect(outline)[1])
        ratios = [short / long, area / (short * long), area / cv2.contourArea(cv2.convexHull(outline))]
        values: Values = np.concatenate([logarithms, ratios]).astype(np.float32)
        return values


class FourierShape(ClassicFeature):
    """|c_k| / |c_1| for k = 2..16, where c_k are Fourier coefficients of the main outline as complex numbers.

    1024 points at equal steps along the outline of `HuShape`, in the direction in which its area counts as positive.
    Shift, turn, scale and starting point do not matter. Without an outline all are 0.
    """

    name = "fourier"
    dimension = len(HARMONICS)
    metric = "euclidean"
    parameters = {"max_side": MAX_SIDE, "points": N_POINTS, "harmonics": [HARMONICS[0], HARMONICS[-1]]}

    def extract(self, photo: Photo) -> Values:
        """(15,) float32."""
        outline = main_outline(photo)
        if outline is None:
            return np.zeros(self.dimension, dtype=np.float32)
        if opencv().contourArea(outline, oriented=True) < 0:
            outline = outline[::-1]
        magnitudes = np.abs(np.fft.fft(_equal_steps(outline)))
        ratios: Values = (magnitudes[HARMONICS] / magnitudes[1]).astype(np.float32)
        return ratios


def main_outline(photo: Photo) -> Outline | None:
    """(n, 2) pixels x, y around the largest connected object; None if no object encloses any area."""
    return photo.once("main outline", lambda: _largest(_object_mask(shrunk_grey(photo, MAX_SIDE))))


def _object_mask(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    cv2 = opencv()
    _, bright = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    border = np.concatenate([bright[0], bright[-1], bright[1:-1, 0], bright[1:-1, -1]])
    mask: NDArray[np.uint8] = ~bright if 2 * np.count_nonzero(border) > border.size else bright
    return mask


def _largest(mask: NDArray[np.uint8]) -> Outline | None:
    cv2 = opencv()
    found: tuple[Any, ...] = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
    areas = [cv2.contourArea(outline) for outline in found]
    if not areas or max(areas) == 0:
        return None
    largest: Outline = found[int(np.argmax(areas))][:, 0]
    return largest


def _equal_steps(outline: Outline) -> NDArray[np.complex128]:
    """N_POINTS points at equal steps along the closed outline."""
    points = outline[:, 0] + 1j * outline[:, 1]
    closed = np.append(points, points[0])
    way = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(closed)))])
    steps = np.arange(N_POINTS) * (way[-1] / N_POINTS)
    resampled: NDArray[np.complex128] = np.interp(steps, way, closed)
    return resampled
