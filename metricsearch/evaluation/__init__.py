"""Exact neighbours, and what an approximate answer is worth against them."""

from metricsearch.evaluation.ground_truth import Neighbours, exact_neighbours
from metricsearch.evaluation.measures import (
    NEVER,
    TIE_TOLERANCE,
    bootstrap_mean,
    candidates_needed,
    candidates_needed_interval,
    hit_positions,
    percentiles,
    recall_at,
    recall_of_answer,
)
from metricsearch.evaluation.neighbour_cache import cached_neighbours

__all__ = [
    "NEVER",
    "TIE_TOLERANCE",
    "Neighbours",
    "bootstrap_mean",
    "cached_neighbours",
    "candidates_needed",
    "candidates_needed_interval",
    "exact_neighbours",
    "hit_positions",
    "percentiles",
    "recall_at",
    "recall_of_answer",
]
