"""Ranking distances d(q, Π(1..l)): how near a query is to a cell of one pivot space (spec section 1.2)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import InvalidInputError
from metricsearch.validation import check_choice, check_fraction, check_positive

RANKINGS = ("wspd", "wspd_avg", "diff", "diff_norm", "kendall", "footrule_w")
RANK_MODES = ("dense", "position")


@dataclass(frozen=True, slots=True, kw_only=True)
class RankingOptions:
    """How prefixes are ranked and the rankings aggregated; every option may change from query to query.

    ranking: "wspd" (weighted sum of pivot distances, equation (1)), "wspd_avg" (the same over the sum of its weights:
        a constant, so it ranks as wspd does), "diff" (M-Index penalty), "diff_norm" (penalty over pivot-pivot
        distances), "kendall", "footrule_w".
    decay: c of the weights c^(i-1), in (0, 1].
    percentile: p of the aggregated rank Ψ_p; the m-th smallest rank counts, m = ⌈p·λ⌉, equation (3).
    rank_mode: "dense" (1 + number of smaller distances) or "position" (1 + number of nearer objects).
    max_level: use only the first pivots of each prefix; None = all.
    n_spaces: use only the first spaces; None = all.
    """

    ranking: str = "wspd"
    decay: float = 0.75
    percentile: float = 0.5
    rank_mode: str = "dense"
    max_level: int | None = None
    n_spaces: int | None = None

    def __post_init__(self) -> None:
        check_choice(self.ranking, "ranking", RANKINGS)
        check_choice(self.rank_mode, "rank_mode", RANK_MODES)
        if check_fraction(self.decay, "decay") == 0:
            raise InvalidInputError("decay: expected a number in (0, 1], got 0")
        check_fraction(self.percentile, "percentile")
        for name in ("max_level", "n_spaces"):
            if getattr(self, name) is not None:
                check_positive(getattr(self, name), name)

    def min_hits(self, n_spaces: int) -> int:
        """m of equation (3): in how many spaces an object must be met to be reported."""
        return max(1, int(np.ceil(self.percentile * n_spaces - 1e-9)))


def check_options(options: Any) -> None:
    """Raise InvalidInputError unless `options` are RankingOptions or None."""
    if options is not None and not isinstance(options, RankingOptions):
        raise InvalidInputError(f"options: expected RankingOptions(...), got {options!r:.60}")


@dataclass(frozen=True, slots=True)
class Ranking:
    """Candidates of one query, best first.

    ids: (R',) int64; aggregated_ranks: (R',) int64, Ψ_p; hits: (R',) uint8, in how many spaces the object was met by
    the end of the round that reported it. n_ids_ranked: (λ,) int64, IDs read in each space (probe depth).
    n_prefixes_evaluated: ranking distances computed.
    """

    ids: NDArray[np.int64]
    aggregated_ranks: NDArray[np.int64]
    hits: NDArray[np.uint8]
    n_ids_ranked: NDArray[np.int64]
    n_prefixes_evaluated: int


@dataclass(frozen=True, slots=True)
class RankingTable:
    """A query's ranking distance in one space, ready for the kernels.

    table: (l, k) float64, contribution of pivot p at position i; zero beyond `max_level`.
    fill: (l + 1,) float64, fill[v] = least that the positions v.. can add to a node of level v.
    n_kendall: 0, or the number of positions that count for Kendall's tau (row 0 of `table`: the query's ranks).
    """

    table: NDArray[np.float64]
    fill: NDArray[np.float64]
    n_kendall: int


def ranking_table(
    pivot_distances: NDArray[np.float64],
    prefix_length: int,
    options: RankingOptions,
    pivot_pairs: NDArray[np.float64] | None = None,
) -> RankingTable:
    """Table for one space. pivot_distances: (k,) δ(q, p); pivot_pairs: (k, k) δ(p, p'), for "diff_norm" only."""
    n_levels = min(options.max_level or prefix_length, prefix_length)
    order = np.argsort(pivot_distances, kind="stable")  # the query's permutation, ties by pivot index
    nearest = pivot_distances[order]
    table = np.zeros((prefix_length, len(pivot_distances)))
    fill = np.zeros(prefix_length + 1)
    if options.ranking in ("kendall", "footrule_w"):
        ranks = np.empty(len(order))
        ranks[order] = np.arange(len(order))
    if options.ranking == "kendall":
        table[0] = ranks
        return RankingTable(table, fill, n_levels)
    weights = [options.decay**i for i in range(n_levels)]
    for i, weight in enumerate(weights):
        if options.ranking in ("wspd", "wspd_avg"):
            table[i] = weight * pivot_distances
        elif options.ranking == "footrule_w":
            table[i] = weight * np.abs(i - ranks)
        else:
            table[i] = np.maximum(pivot_distances - nearest[i], 0.0)
            if options.ranking == "diff_norm" and pivot_pairs is not None:
                between = pivot_pairs[:, order[i]]
                table[i] = np.divide(table[i], between, out=table[i], where=between > 0)
    if options.ranking in ("wspd", "wspd_avg"):
        # Distinct pivots at decreasing weights: at best the nearest ones in order ("Corrected" bound of section 1.4).
        for v in range(n_levels):
            fill[v] = np.dot(weights[v:], nearest[: n_levels - v])
    return RankingTable(table, fill, 0)
