"""Features that are trained for an experiment, on photos that it does not search."""

from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from metricsearch.experiment.features.config import FeatureConfig
from metricsearch.experiment.features.describing import extracted
from metricsearch.experiment.parts import Phase
from metricsearch.features import GlobalFeature, LocalFeature, LocalFeatureOptions
from metricsearch.features.aggregated.feature import AggregatedFeature
from metricsearch.features.aggregated.training import train_aggregated, train_whitening
from metricsearch.features.aggregated.whitened import WhitenedFeature


def trained(config: FeatureConfig, photos: Sequence[Path], phase: Phase) -> tuple[GlobalFeature, float]:
    """The aggregated feature of a configuration, trained on `photos`, and how many seconds that took.

    Extraction of the local features is left out of the time; the patches of "mop" are a part of it.
    Raises InvalidInputError: too few photos or descriptors.
    """
    if config.name == "mop":
        from metricsearch.features.cnn.mop import train_mop

        start = perf_counter()
        mop = train_mop(
            [str(path) for path in photos],
            config.local,
            n_components=config.local_pca or 500,
            n_words=config.words,
            seed=config.seed,
            progress=phase.shown,
        )
        return mop, perf_counter() - start
    local = LocalFeature(LocalFeatureOptions(kind=config.local))
    with extracted(photos, local, phase) as file:
        start = perf_counter()
        feature = train_aggregated(
            file,
            config.name,
            n_words=config.words,
            pca=config.local_pca,
            sample=config.n_descriptors,
            seed=config.seed,
        )
        return feature, perf_counter() - start


def reduced(
    feature: GlobalFeature, config: FeatureConfig, photos: Sequence[Path], phase: Phase
) -> tuple[WhitenedFeature, float]:
    """`feature` with fewer dimensions, learned from its vectors of `photos`, and the seconds. Raises as `trained`."""
    source = feature.local if isinstance(feature, AggregatedFeature) else feature
    with extracted(photos, source, phase) as file:
        start = perf_counter()
        found = train_whitening(file, feature, config.pca or feature.dimension, whiten=config.whiten)
        return found, perf_counter() - start
