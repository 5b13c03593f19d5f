"""Descriptors of photos as benchmark data: real vectors of a global or a local feature."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.bench.photo_crops import CROPS, N_CROPS, CroppedFeature
from metricsearch.datasets import cache_directory, load_image_set
from metricsearch.errors import InvalidInputError
from metricsearch.features import Feature, FeatureFile, GlobalFeature, extract_photos, get_feature
from metricsearch.files import sha256_of
from metricsearch.validation import check_integer, check_positive

HELD_OUT_SHARE = 20  # one photo in so many is there for the queries of a local feature


def photo_descriptors(
    photos: Sequence[str],
    feature: str,
    n: int | None,
    n_queries: int,
    seed: int,
    *,
    crops: bool = False,
    progress: bool = False,
) -> tuple[NDArray[np.float32], NDArray[np.float32], str]:
    """Objects (n, d) and queries (n_queries, d) from the photos of image sets, and one line that says what they are.

    photos: names for `load_image_set`; database and query photos are taken, those of equal bytes once. feature: see
    `get_feature`. A global one gives one vector per photo: `seed` holds out the queries, then draws n of the others. A
    local one gives all descriptors of the photos: `seed` holds out one photo in 20, draws the queries from these and n
    objects from all others, so that no photo gives both. n: None = all. The queries do not depend on n.
    crops: of a global CNN feature, the five crops of each photo are objects; queries are the central crops of photos
    that give no objects.
    Features are extracted once and kept in bench-features/ of the cache; an interrupted extraction goes on. progress:
    show a bar. Raises InvalidInputError (more than there are; a photo that cannot be read), UnknownNameError,
    MissingDataError, MissingExtraError, CorruptedError, StorageError.
    """
    n = None if n is None else check_positive(n, "n")
    check_positive(n_queries, "n_queries")
    check_integer(seed, "seed", 0)
    if isinstance(photos, str) or not photos:
        raise InvalidInputError(f"photos: expected a list of image sets such as ['corel5k'], got {photos!r}")
    found: Feature[Any] = CroppedFeature(get_feature(feature)) if crops else get_feature(feature)
    paths = _photos_of(photos)
    rng = np.random.default_rng(seed)
    with _extracted(paths, found, progress) as file:
        draw = _draw_vectors if isinstance(found, GlobalFeature) else _draw_descriptors
        objects, queries, counts = draw(file, found.name, n, n_queries, rng)
    return objects, queries, f"{found.name} of the photos of {', '.join(photos)}: {counts}, drawn by seed {seed}"


def _photos_of(names: Sequence[str]) -> list[Path]:
    """The photos of all sets, each content once, in the order of the sets."""
    first: dict[str, Path] = {}
    for name in names:
        images = load_image_set(name)
        for path in (*images.images, *(query.path for query in images.queries)):
            first.setdefault(sha256_of(path), path)
    return list(first.values())


def _extracted(paths: Sequence[Path], feature: Feature[Any], progress: bool) -> FeatureFile:
    """The feature file of exactly these photos in the cache."""
    names = [str(path) for path in paths]
    key = json.dumps([feature.provenance(), names], sort_keys=True)
    path = cache_directory() / "bench-features" / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.h5"
    path.parent.mkdir(parents=True, exist_ok=True)
    extract_photos(names, path, feature, progress=progress)
    file = FeatureFile.open(path)
    if file.failures:
        file.close()
        photo, reason = file.failures[0]
        raise InvalidInputError(f"{photo}: {reason}; every photo is needed, so that the data are always the same")
    return file


def _draw_vectors(
    file: FeatureFile, name: str, n: int | None, n_queries: int, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32], str]:
    with file.reading():
        vectors = file.vectors(name)[()]
    order = rng.permutation(len(vectors))
    _check_enough(n_queries, len(order) - 1, "n_queries", "photos but one")
    held_out, others = np.sort(order[:n_queries]), order[n_queries:]
    if name.endswith(CROPS):
        vectors = vectors.reshape(-1, vectors.shape[1] // N_CROPS)
        held_out = N_CROPS * held_out + N_CROPS - 1
        others = (N_CROPS * others[:, None] + np.arange(N_CROPS)).ravel()
        what, whole = "crops of photos", f"AUGMENTED: {N_CROPS} crops of each photo are objects; "
    else:
        what, whole = "photos", ""
    if n is not None:
        _check_enough(n, len(others), "n", f"{what} that are no queries")
        others = others[:n]
    counts = f"{whole}{len(others):,} {what} as objects, {n_queries:,} others as queries"
    return vectors[np.sort(others)], vectors[held_out], counts


def _draw_descriptors(
    file: FeatureFile, name: str, n: int | None, n_queries: int, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32], str]:
    table = file.local(name)
    _check_enough(2, len(file), "photos", "photos there")
    held_out = np.zeros(len(file), dtype=bool)
    held_out[rng.permutation(len(file))[: max(1, len(file) // HELD_OUT_SHARE)]] = True
    of_query = np.repeat(held_out, np.diff(table.starts))
    for_queries, for_objects = np.flatnonzero(of_query), np.flatnonzero(~of_query)
    _check_enough(n_queries, len(for_queries), "n_queries", "descriptors in the photos held out for queries")
    queries = np.sort(rng.choice(for_queries, n_queries, replace=False))
    n_objects = len(for_objects) if n is None else n
    _check_enough(n_objects, len(for_objects), "n", "descriptors in the other photos")
    objects = np.sort(rng.choice(for_objects, n_objects, replace=False))
    with file.reading():
        descriptors = table.descriptors[()]  # bytes; reading single rows of a compressed file would take far longer
    counts = (
        f"{n_objects:,} of the {len(for_objects):,} descriptors of {(~held_out).sum():,} photos as objects, "
        f"{n_queries:,} descriptors of {held_out.sum():,} other photos as queries"
    )
    return descriptors[objects].astype(np.float32), descriptors[queries].astype(np.float32), counts


def _check_enough(wanted: int, available: int, name: str, what: str) -> None:
    if wanted > available:
        raise InvalidInputError(f"{name}: there are {max(available, 0):,} {what}, {wanted:,} were asked for")
