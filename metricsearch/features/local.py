"""Local features of a photo: SIFT at blobs (DoG), at maximally stable regions (MSER), or on a dense grid."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import InvalidInputError
from metricsearch.features.extras import opencv
from metricsearch.features.mser import mser_features
from metricsearch.validation import check_choice, check_integer, check_positive

DIMENSION = 128
KINDS = ("sift", "rootsift", "mser-sift", "mser-rootsift", "dense-sift", "dense-rootsift")
ROOT_SIFT_SCALE = 512.0

Grey = NDArray[np.uint8]
Found = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.uint8]]


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalFeatureOptions:
    """What is extracted; every field is checked.

    kind: "sift" (difference of Gaussians, Lowe 2004, by OpenCV), "mser-sift" (maximally stable regions, each ellipse
    turned into a circle, NS06 §2), "dense-sift" (a grid, upright); with "rootsift" in place of "sift" each descriptor
    x becomes sqrt(x / sum x), see `root_sift`. Raises InvalidInputError.
    """

    kind: str = "sift"
    max_side: int | None = 800  # pixels; a larger photo is made smaller first, a smaller one stays; None: never
    n_features: int = 0  # at most so many, strongest first (MSER: largest first); 0 = all
    contrast_threshold: float = 0.04  # blobs only: a higher one keeps fewer
    grid_step: int = 8  # dense only: pixels of the (smaller) photo between neighbours
    grid_patch: int = 24  # dense only: side of the square that a descriptor sees, in pixels

    def __post_init__(self) -> None:
        check_choice(self.kind, "kind", KINDS)
        if self.max_side is not None:
            check_integer(self.max_side, "max_side", 16)
        check_integer(self.n_features, "n_features", 0)
        threshold = self.contrast_threshold
        if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 <= threshold < math.inf:
            raise InvalidInputError(f"contrast_threshold: expected a number >= 0, got {threshold!r}")
        check_positive(self.grid_step, "grid_step")
        check_integer(self.grid_patch, "grid_patch", 8)
        if self.n_features and self.detector == "dense":
            raise InvalidInputError(
                f"n_features: got {self.n_features}, but the points of a grid have no strength to choose by; "
                "use a larger grid_step"
            )

    @property
    def detector(self) -> str:
        """How points are chosen: "blobs", "mser" or "dense"."""
        return {"mser": "mser", "dense": "dense"}.get(self.kind.partition("-")[0], "blobs")

    def to_dict(self) -> dict[str, Any]:
        """The options by name, fit for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True, eq=False)
class LocalFeatures:
    """Keypoints and descriptors of one photo, strongest first; n may be 0.

    keypoints: (n, 4) float32: x, y, diameter in pixels of the photo as it was given (0, 0 is the centre of the first
    pixel) and angle in degrees, clockwise from the x axis. One place with several angles has several rows.
    descriptors: (n, 128) uint8. width, height: of the photo, in pixels.
    """

    keypoints: NDArray[np.float32]
    descriptors: NDArray[np.uint8]
    width: int
    height: int

    def __len__(self) -> int:
        return len(self.descriptors)


def root_sift(descriptors: NDArray[Any]) -> NDArray[np.float32]:
    """sqrt(x / sum x) of each row, (n, d) float32 of Euclidean length 1; a row of zeros stays.

    Arandjelovic and Zisserman 2012: the Euclidean distance of two of them is the Hellinger distance of the descriptors.
    Where bytes are stored, they are round(512 times this), at most 255.
    """
    sums = descriptors.sum(axis=1, dtype=np.float64, keepdims=True)
    return np.sqrt(descriptors / np.where(sums > 0, sums, 1.0)).astype(np.float32)


def extract_local(image: NDArray[np.uint8], options: LocalFeatureOptions | None = None) -> LocalFeatures:
    """Local features of an image (h, w) grey or (h, w, 3) RGB, uint8; a plain image has none.

    The same image and options give the same rows in the same order. Raises InvalidInputError, MissingExtraError.
    """
    options = options or LocalFeatureOptions()
    grey = _check_image(image)
    height, width = grey.shape
    small = _shrink(grey, options.max_side)
    keypoints, strengths, descriptors = _DETECTORS[options.detector](small, options)
    order = np.lexsort((*keypoints.T[::-1], -strengths))  # strength falls; then x, y, diameter, angle rise
    if options.n_features:
        order = order[: options.n_features]
    keypoints, descriptors = keypoints[order], descriptors[order]
    if options.kind.endswith("rootsift"):
        descriptors = np.minimum(np.rint(ROOT_SIFT_SCALE * root_sift(descriptors)), 255).astype(np.uint8)
    if small is not grey:
        keypoints = _enlarged(keypoints, width / small.shape[1], height / small.shape[0])
    return LocalFeatures(keypoints, np.ascontiguousarray(descriptors), width, height)


def _check_image(image: Any) -> Grey:
    array = np.asarray(image)
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] != 3):
        raise InvalidInputError(
            f"image: expected (h, w) grey or (h, w, 3) RGB, uint8; got shape {array.shape}, dtype {array.dtype}"
        )
    if array.size == 0:
        raise InvalidInputError(f"image: expected at least one pixel, got shape {array.shape}")
    if array.ndim == 3:
        cv2 = opencv()
        array = cv2.cvtColor(np.ascontiguousarray(array), cv2.COLOR_RGB2GRAY)
    return np.ascontiguousarray(array)


def _shrink(grey: Grey, max_side: int | None) -> Grey:
    """The image with a long side of at most `max_side`; pixels are averaged, so nothing aliases."""
    longest = max(grey.shape)
    if max_side is None or longest <= max_side:
        return grey
    cv2 = opencv()
    height, width = (max(1, round(side * max_side / longest)) for side in grey.shape)
    small: Grey = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)
    return small


def _enlarged(keypoints: NDArray[np.float32], x_scale: float, y_scale: float) -> NDArray[np.float32]:
    """Keypoints of the smaller photo in pixels of the given one; the centre of a pixel has whole coordinates."""
    x, y, diameter, angle = keypoints.astype(np.float64).T
    columns = ((x + 0.5) * x_scale - 0.5, (y + 0.5) * y_scale - 0.5, diameter * math.sqrt(x_scale * y_scale), angle)
    return np.stack(columns, axis=1).astype(np.float32)


def _blobs(grey: Grey, options: LocalFeatureOptions) -> Found:
    sift = opencv().SIFT_create(nfeatures=options.n_features, contrastThreshold=options.contrast_threshold)
    points, descriptors = sift.detectAndCompute(grey, None)
    if not points:  # descriptors are None
        return _nothing()
    keypoints = np.array([(*point.pt, point.size, point.angle) for point in points], dtype=np.float32)
    strengths = np.array([point.response for point in points], dtype=np.float32)
    return keypoints, strengths, descriptors.astype(np.uint8)  # whole numbers in 0..255


def _regions(grey: Grey, options: LocalFeatureOptions) -> Found:
    if min(grey.shape) < 3:  # OpenCV's least
        return _nothing()
    return mser_features(grey, options.n_features)


def _dense(grey: Grey, options: LocalFeatureOptions) -> Found:
    """SIFT at every grid point whose square lies in the image; squares without any gradient are left out."""
    half = options.grid_patch / 2
    places = [np.arange(half - 0.5, side - half, options.grid_step, dtype=np.float32) for side in grey.shape]
    y, x = (axis.ravel() for axis in np.meshgrid(*places, indexing="ij"))
    if not len(x):
        return _nothing()
    cv2 = opencv()
    diameter = options.grid_patch / 6  # a SIFT descriptor sees a square of 6 diameters
    points = [cv2.KeyPoint(float(px), float(py), diameter, 0.0) for px, py in zip(x, y, strict=True)]
    _, descriptors = cv2.SIFT_create().compute(grey, points)
    keypoints = np.stack([x, y, np.full_like(x, diameter), np.zeros_like(x)], axis=1)
    seen = descriptors.any(axis=1)
    return keypoints[seen], np.zeros(int(seen.sum()), dtype=np.float32), descriptors[seen].astype(np.uint8)


def _nothing() -> Found:
    return (
        np.empty((0, 4), dtype=np.float32),
        np.empty(0, dtype=np.float32),
        np.empty((0, DIMENSION), dtype=np.uint8),
    )


_DETECTORS: dict[str, Callable[[Grey, LocalFeatureOptions], Found]] = {
    "blobs": _blobs,
    "mser": _regions,
    "dense": _dense,
}
