"""Texture: local binary patterns (Ojala et al. 2002; S1), by scikit-image."""

import numpy as np
from numpy.typing import NDArray

from metricsearch.features.classic.base import ClassicFeature, Values, shrunk_grey
from metricsearch.features.extras import scikit_image
from metricsearch.features.photo import Photo

N_NEIGHBOURS, RADIUS = 8, 1
N_CODES = N_NEIGHBOURS + 2  # uniform patterns by their number of ones, and one code for all others
MAX_SIDE = 320  # pixels: codes compare neighbouring pixels, so photos are brought to one scale first


class LocalBinaryPatterns(ClassicFeature):
    """Shares of the rotation-invariant uniform patterns LBP 8,1: of the whole photo, or of each cell of a grid.

    grid: cells per side, row by row in the vector; 1 = the whole photo. Patterns hardly change when all grey values
    are multiplied by one factor or shifted: only where a neighbour between pixels equals its centre does rounding
    decide, and at the border, beyond which all is black. A cell without pixels (of a photo smaller than the grid) is
    zeros.
    """

    metric = "manhattan"
    libraries = ("opencv", "scikit-image")

    def __init__(self, grid: int = 1) -> None:
        self.grid = grid
        self.name = "lbp" if grid == 1 else "lbp-grid"
        self.dimension = grid * grid * N_CODES
        self.parameters = {"neighbours": N_NEIGHBOURS, "radius": RADIUS, "max_side": MAX_SIDE, "grid": grid}

    def extract(self, photo: Photo) -> Values:
        """(10 grid^2,) float32; each cell has the sum 1 / grid^2."""
        codes = photo.once("lbp codes", lambda: _codes(photo))
        rows, columns = (np.arange(side) * self.grid // side for side in codes.shape)
        cells = rows[:, None] * self.grid + columns
        counts = np.bincount((cells * N_CODES + codes).ravel(), minlength=self.dimension).reshape(-1, N_CODES)
        sizes = np.maximum(counts.sum(axis=1, keepdims=True), 1)
        shares: Values = (counts / (sizes * len(counts))).astype(np.float32).ravel()
        return shares


def _codes(photo: Photo) -> NDArray[np.int64]:
    """(h, w) in 0..9; beyond the border there is black."""
    patterns = scikit_image("feature").local_binary_pattern
    codes: NDArray[np.float64] = patterns(shrunk_grey(photo, MAX_SIDE), N_NEIGHBOURS, RADIUS, method="uniform")
    return codes.astype(np.int64)
