"""Photos of an experiment: targets with their queries, distractors, independent photos; and their features, cached."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metricsearch.datasets import ImageQuery, ImageSet, cache_directory, describe_image_set, load_image_set
from metricsearch.errors import InvalidInputError, MissingDataError
from metricsearch.experiment.retrieval.config import SYNTHETIC_VIEWS, DataConfig, FeaturesConfig
from metricsearch.experiment.retrieval.views import load_synthetic_views
from metricsearch.features import FeatureFile, LocalFeature, LocalFeatures, LocalTable, extract_photos
from metricsearch.features.feature_file import FORMAT_VERSION
from metricsearch.files import sha256_of


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo and the image set whose feature file holds it."""

    set_name: str
    path: Path


@dataclass(frozen=True, slots=True, eq=False)
class Photos:
    """What is searched and what is searched for.

    database: the targets (their rows are those of the ground truth), then the distractors in a fixed random order.
    queries: of the ground truth. query_photos: their photos. independent: photos that are not in the database.
    """

    n_targets: int
    database: tuple[Photo, ...]
    queries: tuple[ImageQuery, ...]
    query_photos: tuple[Photo, ...]
    independent: tuple[Photo, ...]

    def all(self) -> list[Photo]:
        """Every photo once."""
        return list(dict.fromkeys((*self.database, *self.query_photos, *self.independent)))


def load_photos(data: DataConfig) -> Photos:
    """Load the image sets of [data]. Raises MissingDataError, InvalidInputError, CorruptedError."""
    used: frozenset[str] = frozenset()
    if data.images == SYNTHETIC_VIEWS:
        originals = [path for name in data.photos for path in load_image_set(name).images]
        targets, used = load_synthetic_views(originals, data.n_groups or 0, data.seed, data.strength)
    else:
        targets = load_image_set(data.images, limit=data.n_targets)
    if not targets.queries:
        raise InvalidInputError(f"data.images: {data.images} has no queries; it can serve as distractors only")
    distractors = [photo for photo in _photos_of(data.distractors) if not used or sha256_of(photo.path) not in used]
    if (n := data.n_distractor_images) is not None and n > len(distractors):
        raise InvalidInputError(f"data.n_distractor_images: expected at most {len(distractors)}, got {n}")
    order = np.random.default_rng(data.seed).permutation(len(distractors))[: data.n_distractor_images]
    database = [Photo(targets.name, path) for path in targets.images] + [distractors[i] for i in order]
    return Photos(
        len(targets),
        tuple(database),
        targets.queries,
        tuple(Photo(targets.name, query.path) for query in targets.queries),
        tuple(_photos_of(data.independent)),
    )


def _photos_of(names: Iterable[str]) -> list[Photo]:
    sets: list[ImageSet] = [load_image_set(name) for name in names]
    return [Photo(images.name, path) for images in sets for path in images.images]


class CachedFeatures:
    """Features of photos, from one feature file per image set in the cache; photos that are not there are extracted.

    Files grow: a later experiment that needs more photos of a set extracts those alone. Photos that cannot be read
    have no features and are listed in `failures`.
    """

    def __init__(self, photos: Sequence[Photo], config: FeaturesConfig, progress: bool) -> None:
        self._files: list[FeatureFile] = []
        self._places: dict[Path, tuple[LocalTable, int]] = {}
        self._sha256: dict[Path, str] = {}
        self.failures: dict[Path, str] = {}
        by_set: dict[str, list[Path]] = {}
        for photo in photos:
            by_set.setdefault(photo.set_name, []).append(photo.path)
        for name, paths in by_set.items():
            file = _extracted(name, paths, config, progress)
            self._files.append(file)
            table = file.local()
            self._places |= {Path(path): (table, i) for i, path in enumerate(file.paths)}
            self._sha256 |= {Path(path): sha256 for path, sha256 in zip(file.paths, file.sha256, strict=True)}
            self.failures |= {Path(path): reason for path, reason in file.failures}

    def __enter__(self) -> "CachedFeatures":
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files:
            file.close()

    def require(self, photos: Iterable[Photo]) -> None:
        """Raise InvalidInputError if one of `photos` could not be read."""
        for photo in photos:
            if photo.path in self.failures:
                raise InvalidInputError(f"{photo.path}: {self.failures[photo.path]}; a target or query is needed")

    def __contains__(self, photo: Photo) -> bool:
        return photo.path in self._places

    def features(self, photo: Photo) -> LocalFeatures:
        """Keypoints and descriptors."""
        table, i = self._places[photo.path]
        return table.features(i)

    def descriptors(self, photo: Photo) -> NDArray[np.uint8]:
        """(n, 128) uint8."""
        table, i = self._places[photo.path]
        return table.descriptors_of(i)

    def n_descriptors(self, photo: Photo) -> int:
        """Rows of `descriptors`, without reading them."""
        table, i = self._places[photo.path]
        return int(table.starts[i + 1] - table.starts[i])

    def sha256(self, photo: Photo) -> str:
        """Of the photo's bytes."""
        return self._sha256[photo.path]


def _extracted(set_name: str, paths: list[Path], config: FeaturesConfig, progress: bool) -> FeatureFile:
    """The feature file of an image set in the cache, with at least `paths` in it."""
    options = config.options()
    about = {"format": FORMAT_VERSION, "options": options.to_dict()}  # a file of another version is not in the way
    key = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:10]
    path = cache_directory() / "features" / f"{set_name}-{key}.h5"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FeatureFile.open(path) as file:
            known = [Path(photo) for photo in file.paths]
    except MissingDataError:
        known = []
    # Photos are known by their bytes: one that was changed since is extracted again.
    kept = [photo for photo in known if photo.is_file()]
    extract_photos([*kept, *paths], path, LocalFeature(options), drop_missing=True, progress=progress)
    return FeatureFile.open(path)


def in_box(features: LocalFeatures, query: ImageQuery) -> LocalFeatures:
    """The features of the part of the photo that the protocol searches with; all without a box."""
    if query.box is None:
        return features
    x, y = features.keypoints[:, 0], features.keypoints[:, 1]
    x0, y0, x1, y1 = query.box
    rows = (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)
    return LocalFeatures(features.keypoints[rows], features.descriptors[rows], features.width, features.height)


def about_data(data: DataConfig) -> dict[str, object]:
    """What config.json says of the data: synthetic views are called so."""
    views = data.images == SYNTHETIC_VIEWS
    if views:
        what = f"SYNTHETIC VIEWS: {data.n_groups} groups of 4 made from photos of {', '.join(data.photos)}"
        origin = [describe_image_set(name)["origin"] for name in data.photos]
    else:
        entry = describe_image_set(data.images)
        part = f", its first {data.n_targets:,} images" if data.n_targets else ""
        what, origin = f"{data.images} ({entry['title']}){part}", [entry["origin"]]
    text = f"{what}."
    if data.distractors:
        n = f"{data.n_distractor_images:,}" if data.n_distractor_images else "all"
        text += f" Distractors: {n} photos of {', '.join(data.distractors)}."
    if data.independent:
        text += f" Independent photos: {', '.join(data.independent)}."
    names = [*data.distractors, *data.independent]
    origin += [f"{name}: {describe_image_set(name)['origin']}" for name in names]
    return {"synthetic": views, "data_title": text, "data_origin": "; ".join(dict.fromkeys(origin))}


def data_name(data: DataConfig, n_distractors: int, n_bags: int) -> str:
    """What stands in every row of the tables."""
    name = data.images
    if n_distractors:
        name += f" + {n_distractors:,} distractors"
    if n_bags:
        name += f" + {n_bags:,} synthetic bags"
    return name
