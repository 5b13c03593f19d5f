"""Ranking distances d(q, Π(1..l)): how near a query is to a cell of one pivot space (spec section 1.2)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import InvalidInputError
from metricsearch.validation import check_choice, check_fraction, check_integer, check_positive

RANKINGS = ("wspd", "wspd_avg", "diff", "diff_norm", "kendall", "footrule_w")
RANK_MODES = ("dense", "position")
_SCANNED = 262_144  # up to so many sketches are compared about as fast as an eighth of them is ranked
# Beyond, an eighth at first; the share that has to be ranked falls as objects get denser: on SIFT what n/16 finds of
# 100,000 objects, n/32 finds of a million (benchmarks/sketched_share.py).
_SKETCHED_FACTOR, _SKETCHED_ROOTS = 16, 64
AGGREGATIONS = ("percentile", "sum", "log-rank", "calibrated")


@dataclass(frozen=True, slots=True, kw_only=True)
class RankingOptions:
    """How prefixes are ranked and the rankings aggregated; every option may change from query to query.

    ranking: "wspd" (weighted sum of pivot distances, equation (1)), "wspd_avg" (the same over the sum of its weights:
        a constant, so it ranks as wspd does), "diff" (M-Index penalty), "diff_norm" (penalty over pivot-pivot
        distances), "kendall", "footrule_w".
    decay: c of the weights c^(i-1), in (0, 1].
    aggregation: what orders the candidates. "percentile": the paper's Ψ_p; ties: more hits first, then smaller ID.
        The others are sums over the spaces, ties by ID: "sum" of the ranking distances ("wspd_avg" and "kendall"
        without their constant denominators), "log-rank" of the logarithms of the ranks, "calibrated" of scores
        g(position rank / n), g a log-likelihood ratio of being near, which `PPPCodes.build` learns if this is among
        its own options.
    percentile: p of the aggregated rank Ψ_p; the m-th smallest rank counts, m = ⌈p·λ⌉, equation (3).
    rank_mode: "dense" (1 + number of smaller distances) or "position" (1 + number of nearer objects); for
        "percentile" and "log-rank".
    max_level: use only the first pivots of each prefix; None = all.
    n_spaces: use only the first spaces; None = all.
    n_sketched: for R candidates of an index with sketches, so many are ranked and the R of nearest sketches are taken;
        None = all of up to 262,144 objects, else 16 R and at least 64 √n. 0: leave the sketches out of it.
    """

    ranking: str = "wspd"
    decay: float = 0.75
    aggregation: str = "percentile"
    percentile: float = 0.5
    rank_mode: str = "dense"
    max_level: int | None = None
    n_spaces: int | None = None
    n_sketched: int | None = None

    def __post_init__(self) -> None:
        check_choice(self.ranking, "ranking", RANKINGS)
        check_choice(self.aggregation, "aggregation", AGGREGATIONS)
        check_choice(self.rank_mode, "rank_mode", RANK_MODES)
        if check_fraction(self.decay, "decay") == 0:
            raise InvalidInputError("decay: expected a number in (0, 1], got 0")
        check_fraction(self.percentile, "percentile")
        for name in ("max_level", "n_spaces"):
            if getattr(self, name) is not None:
                check_positive(getattr(self, name), name)
        if self.n_sketched is not None:
            check_integer(self.n_sketched, "n_sketched", 0)

    def sketched_of(self, n_wanted: int, n_objects: int) -> int:
        """How many candidates are compared by their sketches to choose n_wanted of n_objects."""
        least = n_objects if n_objects <= _SCANNED else int(_SKETCHED_ROOTS * np.sqrt(n_objects))
        n_sketched = self.n_sketched or max(_SKETCHED_FACTOR * n_wanted, least)
        return min(max(n_sketched, n_wanted), n_objects)

    def n_used(self, n_spaces: int) -> int:
        """How many of the n_spaces spaces of an index are used."""
        return min(self.n_spaces or n_spaces, n_spaces)

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

    ids: (R',) int64. scores: (R',) float64, what they are ordered by: the sums of scores, or Ψ_p for "percentile", or
    the estimates of sketches (then hits are 0 where all objects were compared, so that none were ranked).
    aggregated_ranks: (R',) int64, Ψ_p; (0,) for the other aggregations, which have none. hits: (R',) uint8, in how many
    spaces the object was met: for "percentile" by the end of the round that reported it, for the others all.
    n_ids_ranked: (λ,) int64, IDs read in each space (probe depth): for "percentile" up to the last round, for the
    others, and where sketches choose among those of one space, all that were delivered. n_prefixes_evaluated: ranking
    distances computed.
    """

    ids: NDArray[np.int64]
    scores: NDArray[np.float64]
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


def ranking_tables(
    pivot_distances: NDArray[np.float64],
    n_spaces: int,
    n_pivots: int,
    prefix_length: int,
    options: RankingOptions,
    pivot_pairs: NDArray[np.float64] | None,
) -> list[RankingTable]:
    """Tables of the spaces that `options` use, of an index of n_spaces spaces.

    pivot_distances: (λ, k) δ(q, p), of these spaces or of all; pivot_pairs: (λ, k, k), needed for "diff_norm" only.
    Raises InvalidInputError.
    """
    n_used = options.n_used(n_spaces)
    if pivot_distances.shape not in {(n_spaces, n_pivots), (n_used, n_pivots)}:
        raise InvalidInputError(
            f"pivot_distances: expected shape ({n_spaces}, {n_pivots}), got {pivot_distances.shape}"
        )
    if not np.isfinite(pivot_distances).all() or (pivot_distances < 0).any():
        raise InvalidInputError("pivot_distances: expected finite numbers >= 0")
    between = [None] * n_used if pivot_pairs is None else pivot_pairs
    return [ranking_table(pivot_distances[j], prefix_length, options, between[j]) for j in range(n_used)]


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
