"""The PPP-Codes index."""

from metricsearch.ppp.index import PPPCodes
from metricsearch.ppp.ranking import RANKINGS, Ranking, RankingOptions, check_options
from metricsearch.ppp.tree import flat_code_bits

__all__ = ["RANKINGS", "PPPCodes", "Ranking", "RankingOptions", "check_options", "flat_code_bits"]
