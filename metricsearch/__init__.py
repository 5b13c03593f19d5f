"""Similarity search: PPP-Codes over objects on disk and vocabulary trees over photos, measured honestly."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metricsearch.collection import Collection, QueryStats, SearchResult
    from metricsearch.errors import MetricSearchError
    from metricsearch.photos import PhotoCollection
    from metricsearch.ppp import PPPCodes, Ranking, RankingOptions
    from metricsearch.spaces import FunctionMetric, get_metric
    from metricsearch.store import ObjectStore
    from metricsearch.vocabtree import Scoring, VocabularyTree

__all__ = [
    "Collection",
    "FunctionMetric",
    "MetricSearchError",
    "ObjectStore",
    "PPPCodes",
    "PhotoCollection",
    "QueryStats",
    "Ranking",
    "RankingOptions",
    "Scoring",
    "SearchResult",
    "VocabularyTree",
    "get_metric",
]

_HOME = {
    "Collection": "collection",
    "FunctionMetric": "spaces",
    "MetricSearchError": "errors",
    "ObjectStore": "store",
    "PPPCodes": "ppp",
    "PhotoCollection": "photos",
    "QueryStats": "collection",
    "Ranking": "ppp",
    "RankingOptions": "ppp",
    "Scoring": "vocabtree",
    "SearchResult": "collection",
    "VocabularyTree": "vocabtree",
    "get_metric": "spaces",
}


def __getattr__(name: str) -> Any:
    """Import on first use: `metricsearch --help` must not wait for numba."""
    if name not in _HOME:
        raise AttributeError(f"module 'metricsearch' has no attribute {name!r}")
    return getattr(import_module(f"metricsearch.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
