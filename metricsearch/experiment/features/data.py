"""Photos of a comparison: the database, the queries, and the photos that features are trained on."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metricsearch.datasets import ImageQuery, ImageSet, describe_image_set, load_image_set
from metricsearch.errors import ConfigError, InvalidInputError
from metricsearch.experiment.features.config import DataConfig
from metricsearch.files import sha256_of


@dataclass(frozen=True, slots=True, eq=False)
class Photos:
    """What is searched, what is searched for, and what features are trained on.

    database, training: files; no photo of `training` has the bytes of one of the database or of a query. queries: with
    rows of `database` as ground truth. n_background: photos of the database that are right for no query.
    """

    database: tuple[Path, ...]
    queries: tuple[ImageQuery, ...]
    training: tuple[Path, ...]
    n_background: int = 0


def load_photos(data: DataConfig, categories: str) -> Photos:
    """The photos of [data], with half of the categories tested or all.

    Raises MissingDataError, CorruptedError, InvalidInputError, ConfigError.
    """
    images = load_image_set(data.images)
    training = [path for name in data.independent for path in load_image_set(name).images]
    if images.queries:
        if categories == "half" or data.background or data.n_per_category:
            raise ConfigError(
                f"data: {data.images} has queries of its own and no categories; "
                'expected categories = "all", no background and no n_per_category'
            )
        photos = Photos(images.images, images.queries, tuple(training))
    else:
        photos = _by_category(data, images, categories, training)
    inside = {sha256_of(path) for path in (*photos.database, *(query.path for query in photos.queries))}
    apart = tuple(path for path in photos.training if sha256_of(path) not in inside)
    return Photos(photos.database, photos.queries, apart, photos.n_background)


def _by_category(data: DataConfig, images: ImageSet, categories: str, independent: list[Path]) -> Photos:
    members = _categories(images)
    background = [path for name in data.background for path in _background(data, members, name)]
    if data.n_per_category is not None:
        members = {name: paths[: data.n_per_category] for name, paths in members.items()}
    order = np.random.default_rng(data.seed).permutation(len(members))
    n_tested = len(members) if categories == "all" else (len(members) + 1) // 2
    names = list(members)
    tested, others = ([names[i] for i in sorted(part)] for part in (order[:n_tested], order[n_tested:]))
    groups = [(name, path) for name in tested for path in members[name]]
    database = (*(path for _, path in groups), *background)
    training = independent or [path for name in others for path in members[name]]
    return Photos(database, tuple(_queries(database, [name for name, _ in groups])), tuple(training), len(background))


def _categories(images: ImageSet) -> dict[str, list[Path]]:
    """Photos by folder. Raises InvalidInputError for photos that are in none."""
    members: dict[str, list[Path]] = defaultdict(list)
    for name, path in zip(images.image_names, images.images, strict=True):
        folder, slash, _ = name.partition("/")
        if not slash:
            raise InvalidInputError(
                f"data.images: {images.name} has neither queries nor categories, so no ground truth"
            )
        members[folder].append(path)
    return dict(members)


def _background(data: DataConfig, members: dict[str, list[Path]], name: str) -> list[Path]:
    if name not in members:
        raise ConfigError(f"data.background: {data.images} has no folder {name!r} (left); it has {', '.join(members)}")
    return members.pop(name)


def _queries(database: tuple[Path, ...], categories: list[str]) -> Iterable[ImageQuery]:
    """Each of the first photos of the database, with its category, as a query for the others.

    The photo itself and its exact copies count neither as right nor as wrong: to find them shows nothing.
    """
    rows, copies = defaultdict(set), defaultdict(set)
    hashes = [sha256_of(path) for path in database]
    for row, sha256 in enumerate(hashes):
        copies[sha256].add(row)
    for row, category in enumerate(categories):
        rows[category].add(row)
    for row, category in enumerate(categories):
        same = frozenset(copies[hashes[row]])
        yield ImageQuery(
            path=database[row], relevant=frozenset(rows[category]) - same, group=category, index=row, junk=same
        )


def about_data(data: DataConfig) -> dict[str, object]:
    """What config.json says of the data."""
    entry = describe_image_set(data.images)
    text = f"{data.images} ({entry['title']})"
    if data.n_per_category:
        text += f", the first {data.n_per_category} photos of each category"
    text += "."
    if data.background:
        text += f" In the database but never right: {', '.join(data.background)}."
    text += f" Trained on: {', '.join(data.independent) or 'the categories that are not tested'}."
    names = dict.fromkeys((data.images, *data.independent))
    origins = [f"{name}: {describe_image_set(name)['origin']}" for name in names]
    return {"synthetic": False, "data_title": text, "data_origin": "; ".join(origins)}


def data_name(data: DataConfig, categories: str, n_background: int) -> str:
    """What stands in every row of the tables."""
    name = data.images + (", half of the categories" if categories == "half" else "")
    return name + (f" + {n_background} of background" if n_background else "")
