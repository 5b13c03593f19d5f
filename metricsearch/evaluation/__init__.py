"""Exact neighbours, what an approximate answer is worth against them, and the measures of image retrieval."""

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
from metricsearch.evaluation.retrieval import (
    REVISITED_SETTINGS,
    average_precision,
    found_in_top,
    mean_average_precision,
    ns_score,
    perfect_retrieval,
    rank_curve,
    recall_at_n,
    relevant_ranks,
    revisited_sets,
)

__all__ = [
    "NEVER",
    "REVISITED_SETTINGS",
    "TIE_TOLERANCE",
    "Neighbours",
    "average_precision",
    "bootstrap_mean",
    "cached_neighbours",
    "candidates_needed",
    "candidates_needed_interval",
    "exact_neighbours",
    "found_in_top",
    "hit_positions",
    "mean_average_precision",
    "ns_score",
    "percentiles",
    "perfect_retrieval",
    "rank_curve",
    "recall_at",
    "recall_at_n",
    "recall_of_answer",
    "relevant_ranks",
    "revisited_sets",
]
