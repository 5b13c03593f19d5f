"""Does one plane of an image appear in the query photo: matched features, a transform that explains them, its inliers.

Sources: J. Philbin et al., Object retrieval with large vocabularies and fast spatial matching, CVPR 2007, section 3
(verification by inliers); O. Chum, J. Matas, J. Kittler, Locally optimized RANSAC, DAGM 2003; D. Barath et al.,
MAGSAC++, CVPR 2020. The estimators are OpenCV's.
"""

import importlib
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import InvalidInputError, MissingExtraError
from metricsearch.validation import check_choice, check_integer, check_vectors
from metricsearch.verification.matching import PreparedDescriptors, match_descriptors, prepare_descriptors

# Every matched keypoint brings a direction and a size, which chance and mirror images get wrong. In 200 right pairs of
# dvd_covers 90 % of the inliers are within 10 degrees (median pair), and none is stretched more than 2.3 times.
_MAX_TURN_DEGREES = 30.0
_MAX_SIZE_FACTOR = 2.0
_MAX_STRETCH = 5.0  # length of a small circle's image by its width: a plane seen at 78 degrees
_MAX_SCALE = 10.0
_MAX_ITERATIONS = 5000  # finds 15 % of inliers with 92 %, and costs about half a millisecond where there is nothing
_CONFIDENCE = 0.9999
_RANSAC_STATE = 0  # of OpenCV's own generator for each estimate: the same result in any order and any thread
_METHODS = {"homography": ("magsac", "lo-ransac"), "similarity": ("ransac",)}


class Features(Protocol):
    """Local features of one photo."""

    @property
    def keypoints(self) -> NDArray[Any]:
        """(n, 4): x, y and diameter in pixels of the photo, angle in degrees, clockwise from the x axis."""

    @property
    def descriptors(self) -> NDArray[Any]:
        """(n, d) uint8 or float."""

    @property
    def width(self) -> int:
        """Of the photo, in pixels."""

    @property
    def height(self) -> int:
        """Of the photo, in pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class PreparedFeatures:
    """Checked features with their descriptors ready to be matched; worth keeping for a query with many images."""

    keypoints: NDArray[np.float64]  # (n, 4)
    descriptors: PreparedDescriptors
    longer_side: int  # of the photo, in pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationOptions:
    """What counts as a match and as an inlier, and which transform is looked for. Raises InvalidInputError.

    The defaults are read off dvd_covers (200 phone photos against 50 covers and 49 unrelated photos, RootSIFT at 800
    pixels): right pairs have 18 inliers or more, median 248; 25 of 9,800 pairs with a wrong cover have 6 or more, most
    because both covers carry one banner or the photo shows two covers; of 9,800 pairs with unrelated photos none has.
    """

    model: Literal["homography", "similarity"] = "homography"
    method: Literal["magsac", "lo-ransac", "ransac"] | None = None  # None: "magsac"; a similarity has "ransac" only
    ratio: float = 0.85  # of the distances to the nearest and second nearest descriptor
    mutual: bool = False  # also the nearest query feature of the image feature
    max_error: float = 0.0075  # of an inlier, share of the query photo's longer side: 6 pixels of 800
    min_inliers: int = 6

    def __post_init__(self) -> None:
        check_choice(self.model, "model", tuple(_METHODS))
        if self.method is not None:
            check_choice(self.method, f"method of a {self.model}", _METHODS[self.model])
        for name, value, high in (("ratio", self.ratio, 1.0), ("max_error", self.max_error, 0.1)):
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= high:
                what = " (a share of the query photo's longer side)" if name == "max_error" else ""
                raise InvalidInputError(f"{name}: expected a number in (0, {high:g}]{what}, got {value!r}")
        if not isinstance(self.mutual, bool):
            raise InvalidInputError(f"mutual: expected True or False, got {self.mutual!r}")
        check_integer(self.min_inliers, "min_inliers", 4)


@dataclass(frozen=True, slots=True, eq=False)
class Verification:
    """What a query photo and an image have in common. Without an acceptable transform there are 0 inliers."""

    n_matches: int
    n_inliers: int
    transform: NDArray[np.float64] | None  # (3, 3): pixels of the image to pixels of the query photo
    inliers: NDArray[np.int64]  # (n_inliers, 2): query feature, image feature


def prepare_features(features: Features | PreparedFeatures, name: str) -> PreparedFeatures:
    """Check the features of one photo and convert them; InvalidInputError says what is wrong in `name`."""
    if isinstance(features, PreparedFeatures):
        return features
    descriptors = prepare_descriptors(features.descriptors, f"{name} descriptors")
    keypoints = np.asarray(features.keypoints)
    if keypoints.shape != (len(descriptors), 4):
        raise InvalidInputError(
            f"{name} keypoints: expected ({len(descriptors)}, 4), one per descriptor, got shape {keypoints.shape}"
        )
    longer_side = max(check_integer(getattr(features, side), f"{name} {side}", 1) for side in ("width", "height"))
    points = check_vectors(keypoints, f"{name} keypoints", 4).astype(np.float64)
    return PreparedFeatures(points, descriptors, longer_side)


def verify(
    query: Features | PreparedFeatures, image: Features | PreparedFeatures, options: VerificationOptions | None = None
) -> Verification:
    """Match two photos and look for the homography or similarity that maps the image into the query photo.

    An inlier is a match that the transform brings to within max_error of its place in the query photo, turns and
    sizes like its keypoints (30 degrees, factor 2), and neither mirrors, stretches more than 5 times nor scales more
    than 10 times there. The transform is refused with fewer than min_inliers of them, and when they lie so near to
    one line or one spot of the query photo (standard deviation across it below max_error) that they prove nothing.
    The same photos give the same result in any thread and order.
    Raises InvalidInputError for features that are not as `Features` says, MissingExtraError without OpenCV.
    """
    options = options or VerificationOptions()
    left, right = prepare_features(query, "query"), prepare_features(image, "image")
    pairs = match_descriptors(left.descriptors, right.descriptors, options.ratio, mutual=options.mutual)
    refused = Verification(len(pairs), 0, None, np.empty((0, 2), dtype=np.int64))
    if len(pairs) < options.min_inliers:
        return refused
    target, source = left.keypoints[pairs[:, 0]], right.keypoints[pairs[:, 1]]
    max_error = options.max_error * left.longer_side
    transform = _estimate(source[:, :2].copy(), target[:, :2].copy(), max_error, options)
    if transform is None:
        return refused
    inliers = _inliers(transform, source, target, max_error)
    if inliers.sum() < options.min_inliers or _extent(target[inliers, :2]) < max_error:
        return refused
    return Verification(len(pairs), int(inliers.sum()), transform, pairs[inliers])


def _estimate(
    source: NDArray[np.float64], target: NDArray[np.float64], max_error: float, options: VerificationOptions
) -> NDArray[np.float64] | None:
    """The transform of most support, (3, 3), or None."""
    cv2 = _opencv()
    if options.model == "similarity":
        rows, _ = cv2.estimateAffinePartial2D(
            source,
            target,
            method=cv2.RANSAC,
            ransacReprojThreshold=max_error,
            maxIters=_MAX_ITERATIONS,
            confidence=_CONFIDENCE,
        )
        transform = None if rows is None else np.vstack([rows, [0.0, 0.0, 1.0]])
    else:
        transform, _ = cv2.findHomography(source, target, _usac_parameters(cv2, options.method, max_error))
    return transform if transform is not None and np.isfinite(transform).all() else None


def _usac_parameters(cv2: Any, method: str | None, max_error: float) -> Any:
    parameters = cv2.UsacParams()
    parameters.threshold = max_error
    parameters.confidence = _CONFIDENCE
    parameters.maxIterations = _MAX_ITERATIONS
    parameters.randomGeneratorState = _RANSAC_STATE
    parameters.isParallel = False  # its threads would race for the best model
    parameters.sampler = cv2.SAMPLING_UNIFORM
    parameters.neighborsSearch = cv2.NEIGH_GRID
    parameters.loIterations = 10
    parameters.loSampleSize = 14
    parameters.final_polisher_iterations = 3
    if method == "lo-ransac":
        parameters.score = cv2.SCORE_METHOD_MSAC
        parameters.loMethod = cv2.LOCAL_OPTIM_INNER_LO
        parameters.final_polisher = cv2.LSQ_POLISHER
    else:
        parameters.score = cv2.SCORE_METHOD_MAGSAC
        parameters.loMethod = cv2.LOCAL_OPTIM_SIGMA
        parameters.final_polisher = cv2.MAGSAC
    return parameters


def _inliers(
    transform: NDArray[np.float64], source: NDArray[np.float64], target: NDArray[np.float64], max_error: float
) -> NDArray[np.bool_]:
    """Which matches (rows of keypoints) agree with the transform in place, direction, size and orientation."""
    with np.errstate(all="ignore"):  # points on the horizon go to infinity and fail every comparison
        depths = source[:, :2] @ transform[2, :2] + transform[2, 2]
        places = (source[:, :2] @ transform[:2, :2].T + transform[:2, 2]) / depths[:, None]
        near = np.hypot(*(places - target[:, :2]).T) <= max_error
        # Derivative of the transform at each keypoint: how its surroundings are turned and stretched.
        local = (transform[:2, :2] - places[:, :, None] * transform[2, :2]) / depths[:, None, None]
        # Negative where it mirrors, or beyond the transform's horizon: its sign is that of det(transform) / depth^3.
        areas = local[:, 0, 0] * local[:, 1, 1] - local[:, 0, 1] * local[:, 1, 0]
        scales = np.sqrt(areas)
        # For singular values a >= b: (a^2 + b^2) / ab = a/b + b/a.
        straight = np.square(local).sum(axis=(1, 2)) <= (_MAX_STRETCH + 1 / _MAX_STRETCH) * areas
        sizes = np.abs(np.log(scales * source[:, 2] / target[:, 2])) <= np.log(_MAX_SIZE_FACTOR)
        angles = np.deg2rad(source[:, 3])
        arrows = local[:, :, 0] * np.cos(angles)[:, None] + local[:, :, 1] * np.sin(angles)[:, None]
        turns = np.rad2deg(np.arctan2(arrows[:, 1], arrows[:, 0])) - target[:, 3]
        turned = np.abs((turns + 180) % 360 - 180) <= _MAX_TURN_DEGREES
        sensible = (scales >= 1 / _MAX_SCALE) & (scales <= _MAX_SCALE)
    result: NDArray[np.bool_] = near & straight & sizes & turned & sensible
    return result


def _extent(points: NDArray[np.float64]) -> float:
    """Standard deviation of (n, 2) points across the line that fits them best."""
    smallest = np.linalg.eigvalsh(np.cov(points.T))[0]
    return float(np.sqrt(max(smallest, 0.0)))


def _opencv() -> Any:
    try:
        return importlib.import_module("cv2")
    except ImportError:
        raise MissingExtraError(
            "geometric verification needs OpenCV, which is not installed: pip install 'metricsearch[features]'"
        ) from None
