"""What the exact baselines share: the nearest objects so far, and bounds that rounding cannot make wrong."""

from metricsearch.baselines.exact.listed_index import ListedIndex
from metricsearch.baselines.exact.nearest_so_far import NearestSoFar
from metricsearch.baselines.exact.rounding import as_float32, bound_slack

__all__ = ["ListedIndex", "NearestSoFar", "as_float32", "bound_slack"]
