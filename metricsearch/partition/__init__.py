"""Pivots and pivot-permutation prefixes."""

from metricsearch.partition.pivots import PIVOT_CHOICES, choose_pivots
from metricsearch.partition.prefixes import nearest_pivots

__all__ = ["PIVOT_CHOICES", "choose_pivots", "nearest_pivots"]
