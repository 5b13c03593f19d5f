"""Pivots and pivot-permutation prefixes."""

from metricsearch.partition.drawing import pivots_and_chunks, sample_size
from metricsearch.partition.pivots import PIVOT_CHOICES, choose_pivots, pivot_pairs
from metricsearch.partition.prefixes import nearest_pivots

__all__ = [
    "PIVOT_CHOICES",
    "choose_pivots",
    "nearest_pivots",
    "pivot_pairs",
    "pivots_and_chunks",
    "sample_size",
]
