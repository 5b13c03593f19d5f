"""Pooling: one vector from the feature maps of a network.

Every pooling takes maps (C, H, W) float32 of one photo, meant to come after a ReLU, and gives (D,) float32, D = C but
for grid4096. Sums are made in float64. Only "rmac" gives unit length (or zero); the others leave the length as it
comes, since what follows them in their papers is a step of its own: length 1, PCA-whitening, length 1.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import InvalidInputError
from metricsearch.features.cnn.regions import rmac_regions
from metricsearch.features.normalisation import unit_length

Maps = NDArray[np.float32]
Vector = NDArray[np.float32]
Pooling = Callable[[Maps], Vector]

POOLINGS: dict[str, Pooling] = {}  # by the name that features give them
GEM_POWER = 3
GEM_LEAST = 1e-6
GRID_THRESHOLD = 0.5


def _pooling(*names: str) -> Callable[[Callable[[Maps], NDArray[Any]]], Pooling]:
    """Put a function into POOLINGS: its maps are checked, its vector becomes float32."""

    def register(function: Callable[[Maps], NDArray[Any]]) -> Pooling:
        @wraps(function)
        def pool(maps: Maps) -> Vector:
            return np.ascontiguousarray(function(_check_maps(maps)), dtype=np.float32)

        POOLINGS.update(dict.fromkeys(names, pool))
        return pool

    return register


def _check_maps(maps: Any) -> Maps:
    array = np.asarray(maps)
    if array.ndim != 3 or array.size == 0 or array.dtype.kind != "f":
        raise InvalidInputError(
            f"maps: expected feature maps (channels, height, width) of floats, got shape {array.shape}, "
            f"dtype {array.dtype}; a layer that gives a vector takes no pooling"
        )
    return array


@_pooling("sum", "ucrow")
def sum_pooling(maps: Maps) -> NDArray[Any]:
    """Sum over all places. uCroW is the same: CroW with all weights 1."""
    return np.asarray(maps.sum(axis=(1, 2), dtype=np.float64))


@_pooling("avg")
def average_pooling(maps: Maps) -> NDArray[Any]:
    """Mean over all places."""
    return np.asarray(maps.mean(axis=(1, 2), dtype=np.float64))


@_pooling("max")
def max_pooling(maps: Maps) -> NDArray[Any]:
    """Maximum over all places (MAC)."""
    return np.asarray(maps.max(axis=(1, 2)))


@_pooling("spoc")
def spoc_pooling(maps: Maps) -> NDArray[Any]:
    """Sum, each place weighted by exp(-r^2 / 2 sigma^2), r its distance from the centre of the map.

    sigma is a third of the distance from the centre to the nearest border, that is min(H, W) / 6 cells.
    Babenko and Lempitsky 2015, section 3.3.
    """
    height, width = maps.shape[1:]
    variance = (min(height, width) / 6) ** 2
    y, x = (np.arange(side) - (side - 1) / 2 for side in (height, width))
    return _weighted_sum(maps, np.exp(-(y[:, None] ** 2 + x**2) / (2 * variance)))


@_pooling("gem")
def gem_pooling(maps: Maps) -> NDArray[Any]:
    """Generalised mean (mean of max(x, 1e-6)^3)^(1/3). Radenovic, Tolias and Chum 2018, equation 3, p as cirtorch."""
    floored = np.maximum(maps.astype(np.float64), GEM_LEAST)
    return np.asarray(np.cbrt((floored**GEM_POWER).mean(axis=(1, 2))))


@_pooling("crow")
def crow_pooling(maps: Maps) -> NDArray[Any]:
    """Sum, with a weight for each place and each channel. Kalantidis, Mellina and Osindero 2016, a = b = 2.

    Place p: sqrt(S_p / |S|), S_p the sum over all channels (of positive values; after a ReLU there are no others).
    Channel c: log(sum of Q / Q_c), Q_c its share of values other than zero; 0 for an empty channel.
    """
    places = np.maximum(maps, 0).sum(axis=0, dtype=np.float64)
    places = np.sqrt(unit_length(places.ravel())).reshape(places.shape)
    filled = np.count_nonzero(maps, axis=(1, 2))
    shares = np.divide(filled.sum(), filled, out=np.ones(len(filled)), where=filled > 0)
    return np.asarray(np.log(shares) * _weighted_sum(maps, places))


@_pooling("rmac")
def rmac_pooling(maps: Maps) -> NDArray[Any]:
    """Maxima over each of the regions (`rmac_regions`, 3 scales) and over the whole map: length 1, sum, length 1.

    Like cirtorch, and unlike Tolias, Sicre and Jegou 2016, it adds the vector of the whole map to those of the
    regions, and whitens no single region. A region of zeros adds nothing.
    """
    by_place = np.ascontiguousarray(np.moveaxis(maps, 0, 2))  # maxima over neighbouring channels at once
    parts = [by_place] + [by_place[y : y + side, x : x + side] for y, x, side in rmac_regions(*maps.shape[1:])]
    return unit_length(np.sum([unit_length(part.max(axis=(0, 1)).astype(np.float64)) for part in parts], axis=0))


@_pooling("grid4096")
def grid_pooling(maps: Maps) -> NDArray[Any]:
    """Means over four quadrants, minus 0.5, negative ones 0: D = 4 C, which is 4096 for the 1024 maps it is named for.

    Index = quadrant * C + channel; top left, top right, bottom left, bottom right. With an odd number of rows (or
    columns) the middle one belongs to both halves: 7 are 0..3 and 3..6. See data/README.md; it is not DeCAF7.
    """
    rows, columns = (_halves(side) for side in maps.shape[1:])
    means = [maps[:, y, x].mean(axis=(1, 2), dtype=np.float64) for y in rows for x in columns]
    return np.maximum(np.concatenate(means) - GRID_THRESHOLD, 0)


def _halves(side: int) -> tuple[slice, slice]:
    return slice(0, (side + 1) // 2), slice(side // 2, side)


def _weighted_sum(maps: Maps, weights: NDArray[np.float64]) -> NDArray[Any]:
    """Sum over all places, each times its weight (H, W); the same bits whatever the number of threads."""
    return np.asarray((maps * weights).sum(axis=(1, 2)))
