"""Groups of synthetic views as an image set: made once, kept in the cache."""

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from metricsearch.datasets import ImageQuery, ImageSet, cache_directory
from metricsearch.errors import InvalidInputError
from metricsearch.features.synthetic_views import write_synthetic_views
from metricsearch.files import sha256_of

VIEWS_PER_GROUP = 4


def load_synthetic_views(
    originals: Sequence[Path], n_groups: int, seed: int, strength: float
) -> tuple[ImageSet, frozenset[str]]:
    """`n_groups` groups of four views of photos drawn from `originals`, and the sha256 of those photos.

    Every view is an image of the database and a query for the three others, as in UKBench.
    Raises InvalidInputError if there are fewer photos than groups, StorageError.
    """
    if n_groups > len(originals):
        raise InvalidInputError(f"data.n_groups: expected at most one per photo, {len(originals)}, got {n_groups}")
    order = np.random.default_rng(seed).permutation(len(originals))[:n_groups]
    photos = [originals[i] for i in order]
    used = [sha256_of(photo) for photo in photos]
    key = [used, seed, strength]
    name = f"synthetic-views-{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:10]}"
    paths = _views(photos, cache_directory() / "synthetic-views" / name, seed, strength)
    queries = []
    for row, path in enumerate(paths):
        first = row - row % VIEWS_PER_GROUP
        relevant = frozenset(range(first, first + VIEWS_PER_GROUP)) - {row}
        group = photos[row // VIEWS_PER_GROUP].name
        queries.append(ImageQuery(path=path, relevant=relevant, group=f"{first} {group}", index=row))
    names = tuple(path.name for path in paths)
    return ImageSet(name, "Synthetic views of real photos", tuple(paths), names, tuple(queries)), frozenset(used)


def _views(photos: list[Path], folder: Path, seed: int, strength: float) -> list[Path]:
    """Files of the views, group by group; made if the folder is not there, and then never half."""
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        half = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
        shutil.rmtree(half, ignore_errors=True)
        try:
            write_synthetic_views(photos, half, VIEWS_PER_GROUP, seed=seed, strength=strength)
            half.rename(folder)
        finally:
            shutil.rmtree(half, ignore_errors=True)
    return sorted(folder.glob("*.jpg"))
