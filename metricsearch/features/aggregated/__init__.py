"""One vector from many local descriptors: bags of words, VLAD, Fisher vectors; PCA-whitening."""

from metricsearch.features.aggregated.bow import bow
from metricsearch.features.aggregated.feature import AGGREGATIONS, AggregatedFeature
from metricsearch.features.aggregated.fisher import fisher
from metricsearch.features.aggregated.pca import PCA, fit_pca
from metricsearch.features.aggregated.training import train_aggregated, train_whitening
from metricsearch.features.aggregated.vlad import vlad
from metricsearch.features.aggregated.whitened import WhitenedFeature

__all__ = [
    "AGGREGATIONS",
    "PCA",
    "AggregatedFeature",
    "WhitenedFeature",
    "bow",
    "fisher",
    "fit_pca",
    "train_aggregated",
    "train_whitening",
    "vlad",
]
