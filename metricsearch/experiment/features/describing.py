"""Vectors of photos: extracted once and kept in the cache; features that are trained, trained here."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.datasets import cache_directory
from metricsearch.errors import InvalidInputError
from metricsearch.experiment.parts import Phase
from metricsearch.features import Feature, FeatureFile, GlobalFeature, Photo, extract_photos
from metricsearch.features.aggregated.feature import AggregatedFeature
from metricsearch.features.extras import one_thread_each
from metricsearch.threads import available_cores, thread_map

N_WARM = 2  # extractions before any is timed: they load networks and fill caches


def extracted(paths: Sequence[Path], feature: Feature[Any], phase: Phase) -> FeatureFile:
    """The feature file of exactly these photos in the cache.

    Raises InvalidInputError if one of them cannot be read: an experiment needs all.
    """
    names = [str(path) for path in paths]
    key = json.dumps([feature.provenance(), names], sort_keys=True)
    path = cache_directory() / "features" / f"experiment-{hashlib.sha256(key.encode()).hexdigest()[:16]}.h5"
    path.parent.mkdir(parents=True, exist_ok=True)
    extract_photos(names, path, feature, drop_missing=True, progress=phase.shown)
    file = FeatureFile.open(path)
    if file.failures:
        file.close()
        raise InvalidInputError(f"{file.failures[0][0]}: {file.failures[0][1]}; every photo of an experiment is needed")
    return file


def vectors(paths: Sequence[Path], feature: GlobalFeature, phase: Phase) -> NDArray[np.float32]:
    """(n, d) float32, one row per path; a path may be there twice.

    Local features are cached in place of what is aggregated from them: that differs with every training, they do not.
    """
    if not paths:
        return np.empty((0, feature.dimension), dtype=np.float32)
    source = feature.local if isinstance(feature, AggregatedFeature) else feature
    with extracted(paths, source, phase) as file:
        rows = {path: row for row, path in enumerate(file.paths)}
        if isinstance(feature, AggregatedFeature):
            photos = map(file.local().descriptors_of, range(len(file)))
            table = np.array(thread_map(feature.aggregate, photos, available_cores()))
        else:
            table = file.vectors(feature.name)[()]
        return table[[rows[str(path)] for path in paths]]


def extraction_times(feature: GlobalFeature, paths: Sequence[Path], n: int) -> NDArray[np.float64]:
    """(n,) ms to decode a photo and extract its feature, one photo after the other; reading the file is left out.

    The photos are spread evenly over `paths`; fewer where there are fewer.
    """
    chosen = [paths[i] for i in np.unique(np.linspace(0, len(paths) - 1, n).astype(int))]
    times = np.empty(len(chosen))
    with one_thread_each():
        for path in chosen[:N_WARM]:
            feature.extract(Photo.read(path))
        for i, path in enumerate(chosen):
            photo = Photo.read(path)
            start = perf_counter()
            feature.extract(photo)
            times[i] = 1000 * (perf_counter() - start)
    return times
