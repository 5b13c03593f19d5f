"""The engine: objects on disk, codes in memory, search over both."""

from metricsearch.collection.collection import Collection
from metricsearch.refinement import QueryStats, SearchResult

__all__ = ["Collection", "QueryStats", "SearchResult"]
