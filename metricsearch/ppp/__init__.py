"""The PPP-Codes index."""

from metricsearch.ppp.index import PPPCodes, Ranking
from metricsearch.ppp.ranking import RANKINGS, RankingOptions
from metricsearch.ppp.tree import flat_code_bits

__all__ = ["RANKINGS", "PPPCodes", "Ranking", "RankingOptions", "flat_code_bits"]
