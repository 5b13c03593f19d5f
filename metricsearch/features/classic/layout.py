"""Layout of a scene: energy of Gabor filters on a grid, in the manner of GIST (Oliva and Torralba 2001)."""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from metricsearch.features.classic.base import ClassicFeature, Values, square_grey
from metricsearch.features.extras import opencv, scikit_image
from metricsearch.features.photo import Photo

SIDE = 128  # pixels
N_SCALES, N_ANGLES = 4, 8
FREQUENCY = 0.25  # waves per pixel at the finest scale; each further scale is an octave below
GRID = 4  # cells per side


class GaborLayout(ClassicFeature):
    """Mean magnitude of 4 scales x 8 directions of Gabor filters in each cell of a 4 x 4 grid.

    The photo is squeezed into 128 x 128. Scales are octaves of one filter of scikit-image (bandwidth one octave), run
    over the photo and over copies of half, a quarter and an eighth of its size. Not Oliva and Torralba's own filters,
    and without their prefilter: what makes it like GIST is what is measured where.
    """

    name = "gabor-layout"
    dimension = N_SCALES * N_ANGLES * GRID * GRID
    metric = "manhattan"
    parameters = {"side": SIDE, "scales": N_SCALES, "angles": N_ANGLES, "frequency": FREQUENCY, "grid": GRID}
    libraries = ("opencv", "scikit-image")

    def extract(self, photo: Photo) -> Values:
        """(512,) float32: scale (finest first), then angle, then row and column of the cell, which run fastest."""
        cv2 = opencv()
        values = np.empty((N_SCALES, N_ANGLES, GRID, GRID), dtype=np.float32)
        for scale in range(N_SCALES):
            image = square_grey(photo, SIDE >> scale).astype(np.float32) / np.float32(255)
            for angle, (real, imaginary) in enumerate(_filters()):
                waves = [
                    cv2.filter2D(image, cv2.CV_32F, part, borderType=cv2.BORDER_REFLECT_101)
                    for part in (real, imaginary)
                ]
                magnitude = np.hypot(*waves)  # bits of OpenCV's depend on where in memory the arrays lie
                values[scale, angle] = cv2.resize(magnitude, (GRID, GRID), interpolation=cv2.INTER_AREA)
        return values.ravel()


@lru_cache(maxsize=1)
def _filters() -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Real and imaginary part for each angle; a plain image gives no response."""
    kernels = [
        scikit_image("filters").gabor_kernel(FREQUENCY, theta=math.pi * angle / N_ANGLES) for angle in range(N_ANGLES)
    ]
    return [_without_mean(kernel) for kernel in kernels]


def _without_mean(kernel: NDArray[np.complex128]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    # The envelope times the mean is taken off: the filter then answers to waves only, not to the brightness.
    envelope = np.abs(kernel)
    kernel = kernel - envelope * (kernel.sum() / envelope.sum())
    return kernel.real.astype(np.float32), kernel.imag.astype(np.float32)
