"""From candidates to neighbours: objects are read from the object store and compared exactly."""

from metricsearch.refinement.checking import CheckedObjects
from metricsearch.refinement.refiner import Refiner
from metricsearch.refinement.results import Answer, QueryStats, SearchResult
from metricsearch.refinement.searching import check_search, nearest_all, search_all
from metricsearch.refinement.store_search import StoreSearch, check_store

__all__ = [
    "Answer",
    "CheckedObjects",
    "QueryStats",
    "Refiner",
    "SearchResult",
    "StoreSearch",
    "check_search",
    "check_store",
    "nearest_all",
    "search_all",
]
