"""Colour histograms in HSV space (S1): hue alone, hue x saturation x value, and one histogram per channel."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from metricsearch.features.classic.base import ClassicFeature, Values
from metricsearch.features.extras import opencv
from metricsearch.features.photo import Photo

N_BINS = 32  # per channel, S1
N_JOINT_BINS = 8  # per channel of the 3-D histogram

_PIXELS_AT_ONCE = 1 << 20  # some 40 bytes each on the way
# Makes the bins exact however a processor rounds: a colour of whole bytes lies on the lower edge of a bin or at least
# 1/765 of a bin from any edge, and float32 values are 2e-5 of a bin from the true ones at most.
_EDGE = np.float32(1e-4)

Counts = NDArray[np.int64]


class HueHistogram(ClassicFeature):
    """Shares of the pixels in 32 equal ranges of the hue circle, the first beginning at pure red (S1).

    S1 bins the range of hues that a photo happens to have; here the range is fixed. A grey pixel has hue 0, as there.
    """

    name = "hue"
    dimension = N_BINS
    metric = "manhattan"
    parameters = {"bins": [N_BINS]}

    def extract(self, photo: Photo) -> Values:
        """(32,) float32, sum 1."""
        return _shares(_counts(photo)[0][0])


class HSVHistogram(ClassicFeature):
    """Shares of the pixels in 8 x 8 x 8 equal ranges of hue, saturation and value; value runs fastest."""

    name = "hsv"
    dimension = N_JOINT_BINS**3
    metric = "manhattan"
    parameters = {"bins": [N_JOINT_BINS] * 3}

    def extract(self, photo: Photo) -> Values:
        """(512,) float32, sum 1."""
        return _shares(_counts(photo)[1])


class ChannelHistograms(ClassicFeature):
    """32 bins of hue, then of saturation, then of value ("HoC" of S1's project, with fixed ranges and unit sum)."""

    name = "hoc"
    dimension = 3 * N_BINS
    metric = "manhattan"
    parameters = {"bins": [N_BINS, N_BINS, N_BINS]}

    def extract(self, photo: Photo) -> Values:
        """(96,) float32, sum 1: a third per channel."""
        return _shares(_counts(photo)[0].ravel())


def _shares(counts: Counts) -> Values:
    shares: Values = (counts / counts.sum()).astype(np.float32)
    return shares


def _counts(photo: Photo) -> tuple[Counts, Counts]:
    """(3, 32) pixels per bin of each channel, and (512,) per bin of all three; one pass for all histograms."""
    return photo.once("colour counts", lambda: _count(photo.rgb))


def _count(rgb: NDArray[np.uint8]) -> tuple[Counts, Counts]:
    cv2 = opencv()
    channels = np.zeros((3, N_BINS), dtype=np.int64)
    joint = np.zeros((N_JOINT_BINS,) * 3, dtype=np.int64)
    for bins in _binned(rgb):  # counts of one part are floats, exact below 2^24
        channels += [cv2.calcHist([channel], [0], None, [N_BINS], [0, N_BINS])[:, 0].astype(int) for channel in bins]
        joint += cv2.calcHist(bins, [0, 1, 2], None, joint.shape, [0, N_BINS] * 3).astype(int)
    return channels, joint.ravel()


def _binned(rgb: NDArray[np.uint8]) -> Iterator[list[NDArray[np.uint8]]]:
    """Bins 0..31 of hue, saturation and value of some of the pixels; all of them as floats would be many."""
    cv2 = opencv()
    scales = (N_BINS / 360, N_BINS, N_BINS / 255)  # of OpenCV's hue, saturation and value
    pixels = rgb.reshape(1, -1, 3)
    for start in range(0, pixels.shape[1], _PIXELS_AT_ONCE):
        part = pixels[:, start : start + _PIXELS_AT_ONCE].astype(np.float32)
        channels = cv2.split(cv2.cvtColor(part, cv2.COLOR_RGB2HSV))
        yield [
            np.minimum(channel * np.float32(scale) + _EDGE, N_BINS - 1).astype(np.uint8)
            for channel, scale in zip(channels, scales, strict=True)
        ]
