"""The PPP-Codes index."""

from metricsearch.ppp.content import Codes
from metricsearch.ppp.index import PPPCodes
from metricsearch.ppp.ranking import AGGREGATIONS, RANKINGS, Ranking, RankingOptions, check_options
from metricsearch.ppp.tree import flat_code_bits

__all__ = [
    "AGGREGATIONS",
    "RANKINGS",
    "Codes",
    "PPPCodes",
    "Ranking",
    "RankingOptions",
    "check_options",
    "flat_code_bits",
]
