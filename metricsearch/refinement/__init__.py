"""From candidates to neighbours: objects are read from the object store and compared exactly."""

from metricsearch.refinement.adaptive import learn_cutoff, search_adaptively
from metricsearch.refinement.checking import CheckedObjects
from metricsearch.refinement.cutoff import ReadingRecord
from metricsearch.refinement.learnt_cutoff import LearntCutoff, require_learnt
from metricsearch.refinement.refiner import Refiner
from metricsearch.refinement.results import Answer, QueryStats, SearchResult
from metricsearch.refinement.searching import check_search, nearest_all, search_all
from metricsearch.refinement.store_search import StoreSearch, check_store

__all__ = [
    "Answer",
    "CheckedObjects",
    "LearntCutoff",
    "QueryStats",
    "ReadingRecord",
    "Refiner",
    "SearchResult",
    "StoreSearch",
    "check_search",
    "check_store",
    "learn_cutoff",
    "nearest_all",
    "require_learnt",
    "search_adaptively",
    "search_all",
]
