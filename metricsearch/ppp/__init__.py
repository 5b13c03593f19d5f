"""The PPP-Codes index."""

from metricsearch.ppp.index import PIVOT_SAMPLE_FACTOR, PPPCodes
from metricsearch.ppp.ranking import RANKINGS, Ranking, RankingOptions
from metricsearch.ppp.tree import flat_code_bits

__all__ = ["PIVOT_SAMPLE_FACTOR", "RANKINGS", "PPPCodes", "Ranking", "RankingOptions", "flat_code_bits"]
