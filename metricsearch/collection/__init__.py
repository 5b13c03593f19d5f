"""The engine: objects on disk, codes in memory, search over both."""

from metricsearch.collection.collection import Collection
from metricsearch.collection.results import QueryStats, SearchResult

__all__ = ["Collection", "QueryStats", "SearchResult"]
