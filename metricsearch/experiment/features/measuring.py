"""Measuring points: vectors of a feature are made once for all reductions and metrics of it."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import ConfigError
from metricsearch.experiment.features.config import AGGREGATED, FeatureConfig, FeaturePoint, FeaturesExperiment
from metricsearch.experiment.features.data import Photos, load_photos
from metricsearch.experiment.features.describing import extraction_times, vectors
from metricsearch.experiment.features.searching import search_all
from metricsearch.experiment.features.training import reduced, trained
from metricsearch.experiment.grouping import grouped
from metricsearch.experiment.parts import Part, Phase
from metricsearch.features import GlobalFeature, get_feature
from metricsearch.spaces import get_metric


def measure(
    config: FeaturesExperiment,
    points: list[FeaturePoint],
    pending: list[FeaturePoint],
    work: Path,
    phase: Phase,
) -> Generator[Part, None, None]:
    """The parts of `pending`: one after another by photos, feature, reduction.

    arrays, one row per query: see `search_all`; and extract_ms, one row per timed photo.
    """
    for point in pending:  # a wrong name is better said before the work than after it
        if not point.feature.aggregated:
            _untrained(point.feature)
    for categories, of_photos in grouped(pending, lambda point: point.categories):
        phase("photos")
        photos = load_photos(config.data, categories)
        for untouched, of_feature in grouped(of_photos, lambda point: point.feature.before_pca()):
            phase(of_feature[0].label or untouched.full_name)
            yield from _measure_feature(config, photos, untouched, of_feature, phase)


def _untrained(config: FeatureConfig) -> GlobalFeature:
    feature = get_feature(config.full_name)
    if not isinstance(feature, GlobalFeature):
        raise ConfigError(
            f"feature: {config.full_name} describes places of a photo; aggregate it: feature = one of "
            f'{", ".join(AGGREGATED)}, local = "{config.full_name}"'
        )
    return feature


@dataclass(frozen=True, slots=True, eq=False)
class _Described:
    """Vectors of the database and of the queries by one feature; train_s: what its training took."""

    feature: GlobalFeature
    database: NDArray[np.float32]
    queries: NDArray[np.float32]
    train_s: float


def _measure_feature(
    config: FeaturesExperiment, photos: Photos, untouched: FeatureConfig, group: list[FeaturePoint], phase: Phase
) -> Iterator[Part]:
    """Parts of the points that differ in the reduction and the metric only."""
    if untouched.aggregated:
        feature, train_s = trained(untouched, photos.training, phase)
    else:
        feature, train_s = _untrained(untouched), 0.0
    described = _describe(feature, photos, train_s, phase)
    for (pca, _), of_reduction in grouped(group, lambda point: (point.feature.pca, point.feature.whiten)):
        found = described if pca is None else _reduce(described, of_reduction[0].feature, photos, phase)
        times = extraction_times(found.feature, photos.database, config.measure.n_timed)
        for point in of_reduction:
            yield _part(config, photos, found, point, times)


def _describe(feature: GlobalFeature, photos: Photos, train_s: float, phase: Phase) -> _Described:
    database = vectors(photos.database, feature, phase)
    outside = [query.path for query in photos.queries if query.index is None]
    others = iter(vectors(outside, feature, phase))
    queries = [next(others) if query.index is None else database[query.index] for query in photos.queries]
    return _Described(feature, database, np.array(queries), train_s)


def _reduce(described: _Described, config: FeatureConfig, photos: Photos, phase: Phase) -> _Described:
    """Fewer dimensions; the vectors there are reduced, no photo of the database is read again."""
    feature, seconds = reduced(described.feature, config, photos.training, phase)
    database, queries = (feature.transform(table) for table in (described.database, described.queries))
    return _Described(feature, database, queries, described.train_s + seconds)


def _part(
    config: FeaturesExperiment,
    photos: Photos,
    described: _Described,
    point: FeaturePoint,
    times: NDArray[np.float64],
) -> Part:
    metric = get_metric(point.feature.metric or described.feature.metric)
    arrays = search_all(described.database, described.queries, photos.queries, metric, config.data.seed)
    about = {
        "n_database": len(photos.database),
        "n_background": photos.n_background,
        "n_empty": int((~described.database.any(axis=1)).sum()),
        "n_queries": len(photos.queries),
        "n_trained_on": len(photos.training) if point.feature.trained else 0,
        "train_s": described.train_s,
        "dimension": described.feature.dimension,
        "descriptor_bytes": described.database.itemsize * described.feature.dimension,
        "metric": metric.name,
        "groups": list(dict.fromkeys(query.group for query in photos.queries)),
        "provenance": described.feature.provenance(),
    }
    return Part(point, about, {**arrays, "extract_ms": times})
