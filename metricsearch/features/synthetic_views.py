"""Synthetic views: groups of images made from one real photo, as if it had been taken again (no real second photo).

Everything measured on them is to be labelled "synthetic views". With strength s each view draws, uniformly:

* a plane photographed anew: turned by up to 45 s degrees, tilted by up to 45 s degrees (at most 75) about an axis of
  any direction, at a distance of 2.5 long sides, scaled by 1.5^-s .. 1.5^s, moved by up to 0.05 s of each side;
* light: gain 1.4^-s .. 1.4^s, gamma 1.4^-s .. 1.4^s, each colour 1.1^-s .. 1.1^s, and a slope of up to 0.3 s across
  the image in any direction;
* a Gaussian blur of up to 1.5 s pixels, and Gaussian noise of a standard deviation of up to 8 s grey values;
* a JPEG quality of 95 - 65 min(s, 1) .. 95.

What lies beyond the photo shows its mean colour. The view is as large as the photo.
"""

import io
import math
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import ExistsError, InvalidInputError
from metricsearch.features.extras import opencv, pillow_image
from metricsearch.features.images import PhotoPath, read_photo
from metricsearch.files import system_errors, written_atomically
from metricsearch.threads import resolve_threads, thread_map
from metricsearch.validation import check_integer, check_positive

LABEL = "synthetic views"
_DISTANCE = 2.5  # of the camera, in long sides of the photo
_STEEPEST = 75.0  # degrees


@dataclass(frozen=True, slots=True, eq=False)
class SyntheticView:
    """One made view.

    image: what its JPEG shows, of the shape of the photo, uint8. jpeg: the bytes of the file. homography: (3, 3)
    float64, maps (x, y, 1) of the photo to the view, pixel centres at whole numbers.
    """

    image: NDArray[np.uint8]
    jpeg: bytes
    homography: NDArray[np.float64]


def synthetic_views(
    photo: NDArray[np.uint8], n_views: int = 4, *, seed: int = 0, strength: float = 1.0
) -> list[SyntheticView]:
    """`n_views` views of a photo (h, w) grey or (h, w, 3) RGB, uint8; view i depends on the seed and i alone.

    strength: 0 changes nothing but what JPEG loses, 1 is a strong change (see the module). Raises InvalidInputError,
    MissingExtraError.
    """
    photo = np.asarray(photo)
    if photo.dtype != np.uint8 or photo.size == 0 or photo.ndim not in (2, 3) or photo.shape[2:] not in ((), (3,)):
        raise InvalidInputError(
            f"photo: expected (h, w) grey or (h, w, 3) RGB, uint8; got shape {photo.shape}, dtype {photo.dtype}"
        )
    check_positive(n_views, "n_views")
    check_integer(seed, "seed", 0)
    if isinstance(strength, bool) or not isinstance(strength, int | float) or not 0 <= strength <= 3:
        raise InvalidInputError(f"strength: expected a number in [0, 3], got {strength!r}")
    return [_view(photo, np.random.default_rng([seed, number]), float(strength)) for number in range(n_views)]


def write_synthetic_views(
    photos: Iterable[PhotoPath],
    folder: PhotoPath,
    n_views: int = 4,
    *,
    seed: int = 0,
    strength: float = 1.0,
    n_threads: int | None = None,
) -> list[list[Path]]:
    """Write the views of each photo to the new `folder` as NNNNN-V.jpg (photo, view); their paths, group by group.

    Photo i draws from (seed, i), so a group does not depend on the others. After an error there is no folder.
    Raises ExistsError, MissingDataError, InvalidInputError, StorageError, MissingExtraError.
    """
    paths, folder = list(photos), Path(folder)
    if folder.exists():
        raise ExistsError(f"{folder}: exists already; choose a new folder for the {LABEL}")
    seeds = [int(np.random.SeedSequence([seed, i]).generate_state(1)[0]) for i in range(len(paths))]

    def write(number: int) -> list[Path]:
        views = synthetic_views(read_photo(paths[number], colour=True), n_views, seed=seeds[number], strength=strength)
        group = [folder / f"{number:05}-{view}.jpg" for view in range(n_views)]
        for path, view in zip(group, views, strict=True):
            with written_atomically(path) as temporary:
                temporary.write_bytes(view.jpeg)
        return group

    with system_errors(folder):
        folder.mkdir(parents=True)
        try:
            return thread_map(write, range(len(paths)), resolve_threads(n_threads))
        except BaseException:
            shutil.rmtree(folder)
            raise


def _view(photo: NDArray[np.uint8], rng: np.random.Generator, strength: float) -> SyntheticView:
    height, width = photo.shape[:2]
    homography = _homography(width, height, rng, strength)
    values = _seen(photo, homography)
    values = _lit(values, rng, strength)
    values = _blurred(values, 1.5 * strength * rng.random())
    values = values + rng.normal(size=values.shape) * (8 * strength * rng.random())
    image = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    jpeg = io.BytesIO()
    quality = round(95 - 65 * min(strength, 1.0) * rng.random())
    pillow_image().fromarray(image).save(jpeg, "JPEG", quality=quality)
    with pillow_image().open(jpeg) as decoded:
        image = np.array(decoded)
    return SyntheticView(image, jpeg.getvalue(), homography)


def _homography(width: int, height: int, rng: np.random.Generator, strength: float) -> NDArray[np.float64]:
    """The photo as a plane in space, turned and tilted, seen by a pinhole camera in front of its centre."""
    turn = math.radians(45 * strength) * rng.uniform(-1, 1)
    tilt = math.radians(min(45 * strength, _STEEPEST)) * rng.random()
    direction = rng.uniform(0, 2 * np.pi)
    scale = _factor(1.5, rng, strength)
    shift = 0.05 * strength * rng.uniform(-1, 1, 2) * (width, height)
    distance = _DISTANCE * max(width, height)
    about = _rotation(direction, 2)
    space = about @ _rotation(tilt, 0) @ about.T @ _rotation(turn, 2)
    # A point (x, y) of the plane lies at space @ (x, y, 0), a camera at (0, 0, -distance) sees it.
    seen = np.array([space[0] * distance, space[1] * distance, space[2]])
    seen[:, 2] = [0, 0, distance]
    middle = np.array([[1, 0, -(width - 1) / 2], [0, 1, -(height - 1) / 2], [0, 0, 1]])
    placed = np.array([[scale, 0, (width - 1) / 2 + shift[0]], [0, scale, (height - 1) / 2 + shift[1]], [0, 0, 1]])
    homography = placed @ seen @ middle
    return np.asarray(homography / homography[2, 2])


def _rotation(angle: float, axis: int) -> NDArray[np.float64]:
    cosine, sine = math.cos(angle), math.sin(angle)
    rotation = np.eye(3)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    rotation[i, i] = rotation[j, j] = cosine
    rotation[i, j], rotation[j, i] = -sine, sine
    return rotation


def _seen(photo: NDArray[np.uint8], homography: NDArray[np.float64]) -> NDArray[np.float64]:
    """The photo warped; where it shrinks it is blurred first, so that nothing aliases."""
    cv2 = opencv()
    height, width = photo.shape[:2]
    corners = np.array([[[-0.5, -0.5], [width - 0.5, -0.5], [width - 0.5, height - 0.5], [-0.5, height - 0.5]]])
    area = cv2.contourArea(cv2.perspectiveTransform(corners, homography).astype(np.float32))
    shrink = math.sqrt(width * height / max(area, 1e-6))
    source = _blurred(photo.astype(np.float64), 0.5 * math.sqrt(max(shrink**2 - 1, 0)))
    background = np.atleast_1d(photo.mean(axis=(0, 1))).tolist()
    warped: NDArray[np.float64] = cv2.warpPerspective(
        source,
        homography,
        (width, height),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=background,
    )
    return warped


def _lit(values: NDArray[np.float64], rng: np.random.Generator, strength: float) -> NDArray[np.float64]:
    gain, gamma = _factor(1.4, rng, strength), _factor(1.4, rng, strength)
    colours = np.array([_factor(1.1, rng, strength) for _ in range(3)])
    direction, slope = rng.uniform(0, 2 * np.pi), 0.3 * strength * rng.random()
    height, width = values.shape[:2]
    y, x = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)
    light = 1 + slope * (math.cos(direction) * x + math.sin(direction) * y)
    lit: NDArray[np.float64] = 255 * gain * np.clip(values / 255, 0, None) ** gamma
    return lit * light if values.ndim == 2 else lit * light[..., None] * colours


def _factor(largest: float, rng: np.random.Generator, strength: float) -> float:
    return float(largest ** (strength * rng.uniform(-1, 1)))


def _blurred(values: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    if sigma < 0.05:  # no kernel is that narrow
        return values
    result: Any = opencv().GaussianBlur(values, (0, 0), sigma)
    return np.asarray(result, dtype=np.float64)
