"""MOP: what a network makes of the whole photo, and VLADs of what it makes of its patches, scale by scale.

Gong, Wang, Guo and Lazebnik 2014 (spec: vocabulary_tree.md §5.7). As their program does it, each VLAD gets signed
square roots and length 1 before its PCA, and each scale length 1 after it, so that no scale outweighs the others.
Unlike theirs, a patch belongs to its one nearest centre, and PCA subtracts the mean.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from metricsearch.errors import InvalidInputError
from metricsearch.features.aggregated.pca import PCA, fit_pca
from metricsearch.features.aggregated.vlad import vlad
from metricsearch.features.cnn.feature import get_cnn_feature
from metricsearch.features.cnn.preprocessing import resized
from metricsearch.features.cnn.regions import patches
from metricsearch.features.feature_writing import check_feature_name
from metricsearch.features.images import PhotoPath, find_photos, quiet_decoders
from metricsearch.features.normalisation import unit_length
from metricsearch.features.photo import Photo
from metricsearch.features.trained import (
    Arrays,
    Resolve,
    TrainedFeature,
    base_feature,
    check_same_base,
    trained_on,
)
from metricsearch.threads import resolve_threads, thread_map
from metricsearch.validation import check_integer, check_positive
from metricsearch.vocabulary.training import MAX_SEED, train_vocabulary

SIDE = 256  # of the square that the whole photo is made first
PATCH_SIDES = (128, 64)
MAX_LEVEL_DIMENSION = 4096
_CYCLES = 20

Matrix = NDArray[np.float32]


class PatchFeature(Protocol):
    """What MOP needs of a CNN feature."""

    dimension: int

    def of_pixels(self, pixels: NDArray[np.uint8]) -> Matrix:
        """(dimension,) float32 of a patch (h, w, 3) uint8 RGB."""

    def provenance(self) -> dict[str, Any]:
        """See `Feature.provenance`."""


@dataclass(frozen=True, slots=True, eq=False)
class MopLevel:
    """One scale, and what was learned for it from the patches of the training photos.

    side: of the patches, in pixels of the 256 x 256 photo. activations: PCA of what the network makes of a patch.
    centres: (K, d) float32 of the VLAD. vlads: PCA of the VLADs.
    """

    side: int
    activations: PCA
    centres: Matrix
    vlads: PCA

    def vector(self, activations: Matrix) -> Matrix:
        """(dimension,) float32 of length 1, or 0, from the activations (n, D) of the patches of one photo."""
        words = vlad(self.activations.apply(activations), self.centres, "power")
        vector: Matrix = self.vlads.apply(words[None], unit_length=True)[0]
        return vector

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What was learned, by name; for `from_arrays`."""
        prefix = f"level{self.side}."
        pcas = {**self.activations.arrays(f"{prefix}activations."), **self.vlads.arrays(f"{prefix}vlads.")}
        return {f"{prefix}centres": self.centres, **pcas}

    @classmethod
    def from_arrays(cls, side: int, arrays: Arrays) -> "MopLevel":
        """The level whose `arrays` these are (among others). Raises KeyError, InvalidInputError."""
        prefix = f"level{side}."
        activations, vlads = (PCA.from_arrays(arrays, f"{prefix}{name}.", False) for name in ("activations", "vlads"))
        centres = np.ascontiguousarray(arrays[f"{prefix}centres"], dtype=np.float32)
        if centres.ndim != 2 or centres.shape[1] != activations.dimension or centres.size != vlads.mean.size:
            raise InvalidInputError(f"MOP: the arrays of the patches of {side} pixels do not fit together")
        return cls(side, activations, centres, vlads)


class MopFeature(TrainedFeature):
    """Activation of the whole photo, then one vector per scale, each of length 1; one after the other.

    base: gives the activations. base_name: what `get_feature` finds it by. stride: pixels from patch to patch.
    trained_on: see `metricsearch.features.trained.trained_on`. Raises InvalidInputError.
    """

    metric = "euclidean"

    def __init__(
        self,
        base: PatchFeature,
        base_name: str,
        levels: Sequence[MopLevel],
        stride: int,
        name: str,
        trained_on: Mapping[str, Any],
    ) -> None:
        self.name = check_feature_name(name)
        self.base, self.base_name, self.levels, self.stride = base, base_name, tuple(levels), stride
        self.trained_on = dict(trained_on)
        self.dimension = base.dimension + sum(level.vlads.dimension for level in self.levels)
        for level in self.levels:
            if level.activations.mean.size != base.dimension:
                raise InvalidInputError(
                    f"MOP: was trained on activations of {level.activations.mean.size:,} numbers, but {base_name} "
                    f"gives {base.dimension:,}; give the feature that it was trained on"
                )

    def extract(self, photo: Photo) -> Matrix:
        """(dimension,) float32. Raises InvalidInputError for a photo that cannot be decoded."""
        pixels = resized(photo.rgb, SIDE)
        parts = [unit_length(self.base.of_pixels(pixels)).astype(np.float32)]
        parts += [level.vector(_activations(self.base, pixels, level.side, self.stride)) for level in self.levels]
        return np.concatenate(parts)

    def recipe(self) -> dict[str, Any]:
        """See `TrainedFeature.recipe`."""
        return {
            "kind": "mop",
            "name": self.name,
            "dimension": self.dimension,
            "patch_sides": [level.side for level in self.levels],
            "stride": self.stride,
            "base": {"kind": "named", "name": self.base_name},
            "base_provenance": self.base_provenance(),
            "trained_on": self.trained_on,
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What was learned for each scale."""
        return {name: array for level in self.levels for name, array in level.arrays().items()}

    def base_provenance(self) -> dict[str, Any]:
        """Provenance of the activations."""
        return self.base.provenance()

    @classmethod
    def from_recipe(cls, recipe: Mapping[str, Any], arrays: Arrays, resolve: Resolve) -> "MopFeature":
        """See `TrainedFeature.from_recipe`."""
        name, base_name = recipe["name"], recipe["base"]["name"]
        base = base_feature(recipe["base"], arrays, resolve)
        if not hasattr(base, "of_pixels"):
            raise InvalidInputError(f"MOP: {base_name} is no CNN feature; give the one that it was trained on")
        check_same_base(name, recipe["base_provenance"], base.provenance())
        levels = [MopLevel.from_arrays(side, arrays) for side in recipe["patch_sides"]]
        return cls(cast(PatchFeature, base), base_name, levels, recipe["stride"], name, recipe["trained_on"])


def train_mop(
    photos: PhotoPath | Sequence[PhotoPath],
    feature: str,
    *,
    name: str | None = None,
    patch_sides: Sequence[int] = PATCH_SIDES,
    stride: int = 32,
    n_components: int = 500,
    n_words: int = 100,
    level_dimension: int | None = None,
    seed: int = 0,
    n_threads: int | None = None,
    progress: bool = False,
) -> MopFeature:
    """Learn MOP from `photos` (see `find_photos`): PCA of activations, centres and PCA of VLADs for each scale.

    feature: the activations, a CNN feature (see `get_cnn_feature`). name: None = "mop-" and that one's name.
    patch_sides, stride: in pixels of the 256 x 256 photo. n_components: of an activation, before the VLAD. n_words:
    centres of each VLAD. level_dimension: of each scale in the end; None = 4096, or half the number of photos if that
    is less. The same photos and seed give the same feature for any number of threads. Activations wait in a temporary
    file; in memory at a time are the VLADs of all photos, 12 bytes a number.
    Raises InvalidInputError (a photo that cannot be read; too few photos, saying how many are needed).
    """
    sides, stride = _check_patches(patch_sides, stride)
    sizes = (check_positive(n_components, "n_components"), check_integer(n_words, "n_words", 2))
    check_integer(seed, "seed", 0, MAX_SEED)
    threads = resolve_threads(n_threads)
    base, paths = get_cnn_feature(feature), find_photos(photos)
    name = check_feature_name(name or f"mop-{base.name}")
    if level_dimension is None:
        level_dimension = max(1, min(MAX_LEVEL_DIMENSION, len(paths) // 2, sizes[0] * sizes[1]))
    check_positive(level_dimension, "level_dimension")
    _check_sizes(len(paths), sides, stride, *sizes, level_dimension, base.dimension)
    with TemporaryDirectory() as folder:
        shapes = [(len(paths), len(patches(SIDE, SIDE, side, stride)), base.dimension) for side in sides]
        files = [Path(folder, f"{side}.npy") for side in sides]
        stored = [
            np.lib.format.open_memmap(file, "w+", np.float32, shape) for file, shape in zip(files, shapes, strict=True)
        ]
        sha256 = _store_activations(paths, base, sides, stride, stored, threads, progress)
        levels = [
            _train_level(side, activations, *sizes, level_dimension, seed, threads)
            for side, activations in zip(sides, stored, strict=True)
        ]
        del stored
    return MopFeature(base, feature, levels, stride, name, trained_on(sha256))


def _activations(base: PatchFeature, pixels: NDArray[np.uint8], side: int, stride: int) -> Matrix:
    """(n_patches, D) float32."""
    height, width = pixels.shape[:2]
    squares = patches(height, width, side, stride)
    return np.stack([base.of_pixels(pixels[y : y + side, x : x + side]) for y, x, side in squares])


def _store_activations(
    paths: list[str],
    base: PatchFeature,
    sides: Sequence[int],
    stride: int,
    stored: Sequence[Any],
    n_threads: int,
    progress: bool,
) -> list[str]:
    """Fill row i of each of `stored` from photo i; the sha256 of all photos."""

    def look_at(i: int) -> str:
        photo = Photo.read(paths[i])
        try:
            pixels = resized(photo.rgb, SIDE)
            for side, activations in zip(sides, stored, strict=True):
                activations[i] = _activations(base, pixels, side, stride)
        except InvalidInputError as error:
            raise InvalidInputError(f"{paths[i]}: {error}; leave it out") from None
        bar.update()
        return photo.sha256

    shown = None if progress else True
    with quiet_decoders(), tqdm(total=len(paths), desc="patches", unit=" photos", disable=shown) as bar:
        return thread_map(look_at, range(len(paths)), n_threads)


def _train_level(
    side: int, activations: Any, n_components: int, n_words: int, level_dimension: int, seed: int, n_threads: int
) -> MopLevel:
    """activations: (n_photos, n_patches, D) of the patches of one scale."""
    n, n_patches, dimension = activations.shape
    pca = fit_pca(activations.reshape(-1, dimension), n_components)
    projected = np.concatenate([pca.apply(photo) for photo in activations])
    vocabulary = train_vocabulary(
        projected, branching=n_words, depth=1, cycles=_CYCLES, start="k-means++", seed=seed, n_threads=n_threads
    )
    centres = np.ascontiguousarray(vocabulary.centres, dtype=np.float32)
    by_photo = projected.reshape(n, n_patches, -1)
    vlads = np.stack(thread_map(lambda patch: vlad(patch, centres, "power"), by_photo, n_threads))
    return MopLevel(side, pca, centres, fit_pca(vlads, level_dimension))


def _check_patches(patch_sides: Any, stride: Any) -> tuple[tuple[int, ...], int]:
    if isinstance(patch_sides, str) or not isinstance(patch_sides, Sequence) or not len(patch_sides):
        raise InvalidInputError(f"patch_sides: expected a list of sides in pixels, got {patch_sides!r:.60}")
    sides = tuple(check_integer(side, f"patch_sides[{i}]", 8, SIDE) for i, side in enumerate(patch_sides))
    if len(set(sides)) < len(sides):
        raise InvalidInputError(f"patch_sides: expected different sides, got {list(sides)}")
    return sides, check_positive(stride, "stride")


def _check_sizes(
    n: int, sides: Sequence[int], stride: int, n_components: int, n_words: int, level_dimension: int, dimension: int
) -> None:
    """Raise InvalidInputError, saying what to change, before hours go into a training that must fail."""
    if n_components > dimension:
        raise InvalidInputError(
            f"n_components: {n_components:,}, but the activations have {dimension:,} numbers; lower it"
        )
    if level_dimension > n_components * n_words:
        raise InvalidInputError(
            f"level_dimension: {level_dimension:,}, but a VLAD of {n_words:,} words and {n_components:,} components "
            f"has {n_components * n_words:,} numbers; lower it"
        )
    n_patches = min(len(patches(SIDE, SIDE, side, stride)) for side in sides)
    needed = max(ceil((max(n_components, n_words) + 1) / n_patches), level_dimension + 1)
    if n < needed:
        raise InvalidInputError(
            f"photos: {n:,}, but n_components {n_components:,}, n_words {n_words:,} and level_dimension "
            f"{level_dimension:,} need at least {needed:,}; give more photos, or lower these"
        )
