"""SIFT of maximally stable regions, each warped so that its ellipse is a circle (NS06 §2, Matas et al. 2002).

NS06 gives no sizes; those here are ours. The ellipse with the second moments of a region's pixels is mapped to a
circle, scaled so that the SIFT grid spans 2 of its diameters, and described at the resolution that SIFT uses for its
own blobs: grid cells of 4.8 pixels after a blur of 1.6.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.features.extras import opencv

MEASURED = 2.0  # side of the SIFT grid, in diameters of the ellipse
DELTA = 3  # grey values over which a region must be stable; OpenCV's 5 finds two thirds as many
MAX_ELONGATION = 8.0  # ratio of the axes; a line is no region that can be found again
MIN_AREA = 30  # pixels
MAX_AREA_SHARE = 0.1  # of the image

_BLUR = 1.6  # of the image that SIFT describes, in pixels
_DIAMETER = 2 * _BLUR  # of the keypoint in a tile: its grid has cells of 1.5 diameters
_RADIUS = 3 * _DIAMETER / MEASURED  # of the region's circle in a tile
_TILE = 49  # pixels: the grid at any angle, its interpolation and the blur reach no further than 24 from the centre
_TILES_AT_ONCE = 1024
_TILES_PER_ROW = 32
_WINDOW = 10  # pixels around the centre whose gradients choose the angle: the grid's half side
_N_BINS = 36
_PEAK_SHARE = 0.8  # of the highest peak: lower ones give no further angle (Lowe 2004 §5)

Floats = NDArray[np.float64]
Grey = NDArray[np.uint8]


def mser_features(grey: Grey, n_features: int) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.uint8]]:
    """Keypoints (n, 4): x, y, diameter of a circle as large as the ellipse, angle; area (n,); descriptors (n, 128).

    n_features: only so many of the largest regions are described (a region may have several angles); 0 = all.
    grey: (h, w) uint8, at least 3 x 3.
    """
    centres, moments, areas = _regions(grey)
    order = np.lexsort((*moments.reshape(-1, 4).T, *centres.T[::-1], -areas))
    order = order[: n_features or None]
    centres, areas = centres[order], areas[order]
    shapes = _square_roots(moments[order]) * (2 / _RADIUS)  # a filled ellipse has semi-axes of 2 standard deviations
    levels = _Levels(grey)
    keypoints, descriptors, owners = [], [], []
    for start in range(0, len(areas), _TILES_AT_ONCE):
        part = slice(start, start + _TILES_AT_ONCE)
        tiles = levels.tiles(centres[part], shapes[part])
        rows, angles = _angles(tiles)
        descriptors.append(_describe(tiles, rows, angles))
        rows += start
        owners.append(rows)
        keypoints.append(_keypoints(centres[rows], shapes[rows], angles))
    if not owners:
        return np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty((0, 128), np.uint8)
    return np.concatenate(keypoints), areas[np.concatenate(owners)].astype(np.float32), np.concatenate(descriptors)


def _regions(grey: Grey) -> tuple[Floats, Floats, Floats]:
    """Mean (n, 2), covariance (n, 2, 2) and number (n,) of the pixels of each region, dark or bright."""
    cv2 = opencv()
    max_area = max(MIN_AREA + 1, int(MAX_AREA_SHARE * grey.size))
    regions, _ = cv2.MSER_create(delta=DELTA, min_area=MIN_AREA, max_area=max_area).detectRegions(grey)
    areas = np.array([len(region) for region in regions], dtype=np.float64)
    if not len(areas):
        return np.empty((0, 2)), np.empty((0, 2, 2)), areas
    starts = np.concatenate([[0], np.cumsum(areas[:-1])]).astype(np.int64)
    x, y = np.concatenate(regions).T.astype(np.float64)
    sums = [np.add.reduceat(values, starts) / areas for values in (x, y, x * x, x * y, y * y)]
    mx, my, xx, xy, yy = sums
    own = 1 / 12  # a pixel is a square, not a point
    rows = [xx - mx * mx + own, xy - mx * my, xy - mx * my, yy - my * my + own]
    moments = np.stack(rows, axis=1).reshape(-1, 2, 2)
    smallest, largest = np.linalg.eigvalsh(moments).T
    kept = largest <= smallest * MAX_ELONGATION**2
    return np.stack([mx, my], axis=1)[kept], moments[kept], areas[kept]


def _square_roots(moments: Floats) -> Floats:
    """The symmetric S of each row with S S = moments: it maps the circle to the ellipse without a turn of its own."""
    values, vectors = np.linalg.eigh(moments)
    roots: Floats = np.einsum("nij,nj,nkj->nik", vectors, np.sqrt(values), vectors)
    return roots


class _Levels:
    """An image at scales 2^(-i/2), from which a tile can be cut without aliasing."""

    def __init__(self, grey: Grey) -> None:
        self._images = {0: grey}

    def tiles(self, centres: Floats, shapes: Floats) -> Grey:
        """(n, 49, 49): tile pixel p shows the image at centre + shape (p - 24)."""
        cv2 = opencv()
        tiles = np.empty((len(centres), _TILE, _TILE), dtype=np.uint8)
        steps = np.sqrt(np.abs(np.linalg.det(shapes)))  # image pixels from one tile pixel to the next
        chosen = np.maximum(np.floor(2 * np.log2(steps)), 0).astype(int)
        middle = np.array([_TILE // 2, _TILE // 2])
        for tile, centre, shape, level in zip(tiles, centres, shapes, chosen.tolist(), strict=True):
            image = self._level(level)
            scale = np.array(image.shape[::-1]) / self._images[0].shape[::-1]
            turn = scale[:, None] * shape
            shift = (centre + 0.5) * scale - 0.5 - turn @ middle
            warp = np.column_stack([turn, shift])
            flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            tile[:] = cv2.warpAffine(image, warp, (_TILE, _TILE), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return tiles

    def _level(self, level: int) -> Grey:
        if level not in self._images:
            cv2 = opencv()
            grey = self._images[0]
            height, width = (max(1, round(side * 2 ** (-level / 2))) for side in grey.shape)
            self._images[level] = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)
        return self._images[level]


def _angles(tiles: Grey) -> tuple[NDArray[np.int64], Floats]:
    """Tile number and angle (degrees) of every dominant gradient direction, at least one per tile with a gradient."""
    cv2 = opencv()
    low, high = _TILE // 2 - _WINDOW - 1, _TILE // 2 + _WINDOW + 2
    blurred = np.stack([cv2.GaussianBlur(tile, (0, 0), _BLUR) for tile in tiles.astype(np.float32)])
    blurred = blurred[:, low:high, low:high].astype(np.float64)
    dx = blurred[:, 1:-1, 2:] - blurred[:, 1:-1, :-2]
    dy = blurred[:, 2:, 1:-1] - blurred[:, :-2, 1:-1]
    offsets = np.arange(-_WINDOW, _WINDOW + 1)
    sq_radius = offsets[:, None] ** 2 + offsets**2
    window = np.exp(-sq_radius / (2 * (_WINDOW / 2) ** 2)) * (sq_radius <= _WINDOW**2)
    votes = np.hypot(dx, dy) * window
    place = np.arctan2(dy, dx) * (_N_BINS / (2 * np.pi))  # a vote is shared by the two bins nearest to it
    lower = np.floor(place)
    upper_share = place - lower
    first = np.arange(len(tiles))[:, None, None] * _N_BINS
    histogram = np.zeros(len(tiles) * _N_BINS)
    for bins, shares in ((lower, 1 - upper_share), (lower + 1, upper_share)):
        index = first + bins.astype(np.int64) % _N_BINS
        histogram += np.bincount(index.ravel(), (votes * shares).ravel(), minlength=histogram.size)
    return _peaks(histogram.reshape(-1, _N_BINS))


def _peaks(histogram: Floats) -> tuple[NDArray[np.int64], Floats]:
    smooth = np.zeros_like(histogram)
    for shift, weight in zip(range(-2, 3), (1, 4, 6, 4, 1), strict=True):
        smooth += weight / 16 * np.roll(histogram, shift, axis=1)
    before, after = np.roll(smooth, 1, axis=1), np.roll(smooth, -1, axis=1)
    top = smooth.max(axis=1, keepdims=True)
    # ">" on one side only: of two equal neighbours one is the peak.
    peak = (smooth > before) & (smooth >= after) & (smooth >= _PEAK_SHARE * top) & (top > 0)
    rows, bins = np.nonzero(peak)
    left, middle, right = before[rows, bins], smooth[rows, bins], after[rows, bins]
    offset = 0.5 * (left - right) / (left - 2 * middle + right)  # vertex of the parabola through the three
    return rows, (bins + offset) * (360 / _N_BINS) % 360


def _describe(tiles: Grey, rows: NDArray[np.int64], angles: Floats) -> NDArray[np.uint8]:
    """SIFT at the centre of tiles[rows], turned by `angles`; one call for all tiles, laid out beside each other."""
    if not len(rows):
        return np.empty((0, 128), dtype=np.uint8)
    cv2 = opencv()
    n_rows = -(-len(tiles) // _TILES_PER_ROW)
    padded = np.zeros((n_rows, _TILES_PER_ROW, _TILE, _TILE), dtype=np.uint8)
    padded.reshape(-1, _TILE, _TILE)[: len(tiles)] = tiles
    sheet = padded.swapaxes(1, 2).reshape(n_rows * _TILE, -1)
    y, x = np.divmod(rows, _TILES_PER_ROW)
    points: list[Any] = [
        cv2.KeyPoint(float(px * _TILE + _TILE // 2), float(py * _TILE + _TILE // 2), _DIAMETER, float(angle))
        for px, py, angle in zip(x, y, angles, strict=True)
    ]
    _, descriptors = cv2.SIFT_create().compute(sheet, points)
    described: NDArray[np.uint8] = descriptors.astype(np.uint8)
    return described


def _keypoints(centres: Floats, shapes: Floats, angles: Floats) -> NDArray[np.float32]:
    """Rows in the image: the angle is where the tile's direction points to, the diameter keeps the ellipse's area."""
    direction = np.stack([np.cos(np.radians(angles)), np.sin(np.radians(angles))], axis=1)
    dx, dy = np.einsum("nij,nj->in", shapes, direction)
    diameters = 2 * _RADIUS * np.sqrt(np.abs(np.linalg.det(shapes)))
    turned = np.degrees(np.arctan2(dy, dx)) % 360
    return np.column_stack([centres, diameters, turned]).astype(np.float32)
