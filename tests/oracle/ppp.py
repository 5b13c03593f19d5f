"""Slow, literal PPP-Codes: every rank by counting, every distance by a loop. Never imports the package under test.

Words: `prefix` = the nearest pivots of an object, nearest first; `key` = ranking distance of a prefix to the query
inside one space; `rank` = place of that key among all objects (psi); `aggregated rank` = order statistic of the
ranks (Psi).
All floating-point sums run left to right in float64, so that equal inputs give equal keys, bit by bit.
"""

import math
from dataclasses import dataclass

import numpy as np

RANKINGS = ("wspd", "diff", "diff_norm", "kendall", "wspd_avg", "footrule_w")


# ---------------------------------------------------------------- permutations


def full_permutation(distances):
    """Pivot indexes by increasing distance, ties by pivot index. distances: (k,)."""
    return sorted(range(len(distances)), key=lambda pivot: (distances[pivot], pivot))


def prefixes_from_distances(distances, length):
    """First `length` pivots of every row's permutation. distances: (n, k) -> (n, length) int64."""
    rows = [full_permutation(row)[:length] for row in distances]
    return np.array(rows, dtype=np.int64).reshape(len(rows), length)


# ---------------------------------------------------------------- keys inside one space


def weights(decay, length):
    """decay ** 0, decay ** 1, ... as Python floats."""
    return [float(decay) ** i for i in range(length)]


def wspd(prefix, pivot_distances, decay):
    """Formula (1): weighted sum of the query's distances to the pivots of the prefix."""
    total = 0.0
    for weight, pivot in zip(weights(decay, len(prefix)), prefix, strict=True):
        total = total + weight * float(pivot_distances[pivot])
    return total


def wspd_relative(prefix, pivot_distances, decay):
    """Formula (2): as (1), each distance less the one of the query's own permutation at that place."""
    own = full_permutation(pivot_distances)
    total = 0.0
    for i, (weight, pivot) in enumerate(zip(weights(decay, len(prefix)), prefix, strict=True)):
        total = total + weight * (float(pivot_distances[pivot]) - float(pivot_distances[own[i]]))
    return total


def wspd_avg(prefix, pivot_distances, decay):
    """(1) divided by the sum of the weights."""
    total_weight = 0.0
    for weight in weights(decay, len(prefix)):
        total_weight = total_weight + weight
    return wspd(prefix, pivot_distances, decay) / total_weight


def diff(prefix, pivot_distances):
    """M-Index penalty: how much farther each pivot is than the query's own pivot at that place, unweighted."""
    own = full_permutation(pivot_distances)
    total = 0.0
    for i, pivot in enumerate(prefix):
        total = total + max(float(pivot_distances[pivot]) - float(pivot_distances[own[i]]), 0.0)
    return total


def diff_norm(prefix, pivot_distances, pivot_pivot_distances):
    """As `diff`, each term divided by the distance of the two pivots unless that is 0."""
    own = full_permutation(pivot_distances)
    total = 0.0
    for i, pivot in enumerate(prefix):
        term = max(float(pivot_distances[pivot]) - float(pivot_distances[own[i]]), 0.0)
        apart = float(pivot_pivot_distances[pivot][own[i]])
        total = total + (term / apart if apart != 0.0 else term)
    return total


def kendall(prefix, pivot_distances):
    """Share of discordant pivot pairs, the prefix taken to precede all other pivots."""
    n_pivots = len(pivot_distances)
    own = full_permutation(pivot_distances)
    position = [own.index(pivot) for pivot in prefix]  # 0-based
    discordant = 0
    for i, r_i in enumerate(position):
        discordant += r_i - sum(1 for r_h in position[:i] if r_h < r_i)
    n_pairs = n_pivots * (n_pivots - 1) // 2
    return discordant / n_pairs if n_pairs else 0.0


def footrule_w(prefix, pivot_distances, decay):
    """Weighted Spearman footrule between the places in the prefix and in the query's permutation."""
    own = full_permutation(pivot_distances)
    total = 0.0
    for i, (weight, pivot) in enumerate(zip(weights(decay, len(prefix)), prefix, strict=True)):
        total = total + weight * abs(i - own.index(pivot))
    return total


def ranking_distance(ranking, prefix, pivot_distances, *, decay=0.75, max_level=None, pivot_pivot_distances=None):
    """Key of one prefix in one space; only its first `max_level` pivots are used."""
    used = [int(pivot) for pivot in prefix][:max_level]
    if ranking == "wspd":
        return wspd(used, pivot_distances, decay)
    if ranking == "wspd_avg":
        return wspd_avg(used, pivot_distances, decay)
    if ranking == "diff":
        return diff(used, pivot_distances)
    if ranking == "diff_norm":
        return diff_norm(used, pivot_distances, pivot_pivot_distances)
    if ranking == "kendall":
        return kendall(used, pivot_distances)
    if ranking == "footrule_w":
        return footrule_w(used, pivot_distances, decay)
    raise ValueError(ranking)


# ---------------------------------------------------------------- ranks and their aggregation


def ranks_from_keys(keys, mode="dense"):
    """dense: 1 + number of distinct smaller keys. position: 1 + number of objects with a smaller key."""
    if mode not in ("dense", "position"):
        raise ValueError(mode)
    compared = set(keys) if mode == "dense" else keys
    rank_of = {key: 1 + sum(1 for other in compared if other < key) for key in set(keys)}
    return [rank_of[key] for key in keys]


def min_hits(percentile, n_spaces):
    """Formula (3): m = ceil(p * lambda), at least 1; the small constant forgives rounding of p * lambda."""
    return max(1, math.ceil(percentile * n_spaces - 1e-9))


def aggregated_rank(ranks, percentile):
    """Formula (3): the m-th smallest of one object's ranks."""
    return sorted(ranks)[min_hits(percentile, len(ranks)) - 1]


@dataclass(frozen=True)
class Candidates:
    """Best first; n_ids_ranked: per space, the IDs delivered up to the round of the last candidate."""

    ids: list
    aggregated_ranks: list
    hits: list
    n_ids_ranked: list


def space_ranks(
    prefixes,
    pivot_distances,
    *,
    ranking="wspd",
    decay=0.75,
    rank_mode="dense",
    max_level=None,
    n_spaces=None,
    pivot_pivot_distances=None,
):
    """Ranks of all objects in the first `n_spaces` spaces: list of lists [space][object].

    prefixes: (n, lambda, l) ints; pivot_distances: (lambda, k); pivot_pivot_distances: (lambda, k, k) or None.
    """
    used_spaces = prefixes.shape[1] if n_spaces is None else n_spaces
    out = []
    for j in range(used_spaces):
        between = None if pivot_pivot_distances is None else pivot_pivot_distances[j]
        key_of = {}  # equal prefixes, one computation
        for row in prefixes[:, j]:
            if tuple(row) not in key_of:
                key_of[tuple(row)] = ranking_distance(
                    ranking,
                    row,
                    [float(d) for d in pivot_distances[j]],
                    decay=decay,
                    max_level=max_level,
                    pivot_pivot_distances=between,
                )
        out.append(ranks_from_keys([key_of[tuple(row)] for row in prefixes[:, j]], rank_mode))
    return out


def candidates_from_ranks(ranks, n_candidates, percentile, ids=None):
    """The `n_candidates` objects of smallest aggregated rank. ranks: [space][object].

    Ties: more hits first (spaces whose rank of the object is <= its aggregated rank), then the smaller ID.
    """
    n_objects = len(ranks[0])
    ids = list(range(n_objects)) if ids is None else [int(i) for i in ids]
    rows = []
    for x in range(n_objects):
        of_object = [space[x] for space in ranks]
        psi = aggregated_rank(of_object, percentile)
        rows.append((psi, -sum(1 for r in of_object if r <= psi), ids[x]))
    rows = sorted(rows)[:n_candidates]
    last_round = rows[-1][0] if rows else 0
    return Candidates(
        ids=[row[2] for row in rows],
        aggregated_ranks=[row[0] for row in rows],
        hits=[-row[1] for row in rows],
        n_ids_ranked=[sum(1 for r in space if r <= last_round) for space in ranks],
    )


def rank(prefixes, pivot_distances, n_candidates, *, ids=None, percentile=0.5, **options):
    """Candidate list of one query; options as in `space_ranks`."""
    return candidates_from_ranks(space_ranks(prefixes, pivot_distances, **options), n_candidates, percentile, ids)


# ---------------------------------------------------------------- sums of scores

BINS = 20  # of log u, two per octave, u = rank / n in (0, 1]


def unscaled_key(ranking, prefix, pivot_distances, **options):
    """As `ranking_distance`, but "wspd_avg" and "kendall" without their constant denominators."""
    if ranking == "wspd_avg":
        return ranking_distance("wspd", prefix, pivot_distances, **options)
    if ranking == "kendall":
        own = full_permutation(pivot_distances)
        position = [own.index(pivot) for pivot in [int(pivot) for pivot in prefix][: options.get("max_level")]]
        return float(sum(r - sum(1 for other in position[:i] if other < r) for i, r in enumerate(position)))
    return ranking_distance(ranking, prefix, pivot_distances, **options)


def calibrated_score(table, position_rank, n_objects):
    """g(u): straight lines between the middles of the bins; flat above the last; below the first, on by the mean rise
    of the four bins there. table: BINS floats, lowest u first."""
    width = math.log(2.0) / 2
    place = (math.log(position_rank / n_objects) + (BINS - 0.5) * width) / width
    if place <= 0:
        return table[0] + (table[4] - table[0]) / 4 * place
    if place >= BINS - 1:
        return table[-1]
    below = math.floor(place)
    return min(table[below] + (table[below + 1] - table[below]) * (place - below), table[below + 1])


def space_scores(prefixes, pivot_distances, aggregation, *, rank_mode="dense", n_spaces=None, table=None, **options):
    """Scores of all objects in the first `n_spaces` spaces: [space][object]. table: [space][bin], for "calibrated"."""
    used_spaces = prefixes.shape[1] if n_spaces is None else n_spaces
    between = options.pop("pivot_pivot_distances", None)
    ranking = options.pop("ranking", "wspd")
    out = []
    for j in range(used_spaces):
        distances = [float(d) for d in pivot_distances[j]]
        own = {} if between is None else {"pivot_pivot_distances": between[j]}
        key_of = {}
        for row in prefixes[:, j]:
            if tuple(row) not in key_of:
                key_of[tuple(row)] = unscaled_key(ranking, row, distances, **options, **own)
        keys = [key_of[tuple(row)] for row in prefixes[:, j]]
        if aggregation == "sum":
            out.append(keys)
        elif aggregation == "log-rank":
            out.append([math.log(rank) for rank in ranks_from_keys(keys, rank_mode)])
        elif aggregation == "calibrated":
            ranks = ranks_from_keys(keys, "position")
            out.append([calibrated_score([float(g) for g in table[j]], rank, len(keys)) for rank in ranks])
        else:
            raise ValueError(aggregation)
    return out


def rank_by_sum(prefixes, pivot_distances, n_candidates, aggregation, *, ids=None, **options):
    """(ids, sums) of the `n_candidates` objects of smallest sum, ties by ID; summed from space 0 on."""
    scores = space_scores(prefixes, pivot_distances, aggregation, **options)
    ids = list(range(len(prefixes))) if ids is None else [int(i) for i in ids]
    rows = []
    for x in range(len(prefixes)):
        total = 0.0
        for of_space in scores:
            total = total + of_space[x]
        rows.append((total, ids[x]))
    rows = sorted(rows)[:n_candidates]
    return [row[1] for row in rows], [row[0] for row in rows]


def bin_of(position_rank, n_objects):
    """Bin of u, lowest u first: bin b from the top holds 2^(-(b+1)/2) < u <= 2^(-b/2), the lowest one all below."""
    u = position_rank / n_objects
    return BINS - 1 - sum(1 for b in range(1, BINS) if u <= 2.0 ** (-b / 2))


def calibration_of_counts(near, total):
    """g at the bins from the numbers of near objects and of all objects in them, all over the same queries.

    The likelihood ratio of a bin is the share of near objects over the share of all, in the sense of isotonic
    regression (max-min formula): non-increasing in u. One near object more is taken to lie anywhere. Bins without
    objects lie on straight lines: below the first other bin, on that of its first four bins.
    """
    used = [b for b in range(BINS) if total[b]]
    if not used:
        return [0.0] * BINS
    n_total, n_near = sum(total), sum(near)

    def ratio(low, high):
        return sum(near[b] for b in used[low:high]) / (sum(total[b] for b in used[low:high]) / n_total)

    def isotonic(i):
        return min(max(ratio(low, high) for high in range(i + 1, len(used) + 1)) for low in range(i + 1))

    known = {b: math.log((n_near + 1) / (isotonic(i) + 1)) for i, b in enumerate(used)}
    table = []
    for b in range(BINS):
        below, above = max([u for u in used if u <= b], default=None), min([u for u in used if u >= b], default=None)
        if below is None:
            table.append(None)
        elif above is None or above == below:
            table.append(known[below])
        else:
            table.append(known[below] + (known[above] - known[below]) * (b - below) / (above - below))
    first = used[0]
    reach = min(4, BINS - 1 - first)
    slope = (table[first + reach] - table[first]) / reach if reach else 0.0
    return [table[first] - slope * (first - b) if b < first else table[b] for b in range(BINS)]


def calibration(rows, distances, keys, n_near):
    """g of one space. rows: query objects; distances[i][x], keys[i][x]: from the i-th of them to all objects."""
    near, total = [0] * BINS, [0] * BINS
    for i, row in enumerate(rows):
        others = [x for x in range(len(keys[i])) if x != row]
        ranks = ranks_from_keys([keys[i][x] for x in others], "position")
        bins = [bin_of(rank, len(others)) for rank in ranks]
        nearest = sorted(range(len(others)), key=lambda o: (distances[i][others[o]], o))[:n_near]
        for o, b in enumerate(bins):
            total[b] += 1
            near[b] += o in nearest
    return calibration_of_counts(near, total)


# ---------------------------------------------------------------- bounds for inner nodes


def lower_bound_tight(node, pivot_distances, length, decay):
    """Formula (4): the fill is the query's permutation without the pivots of the node. `length` = l."""
    remaining = [pivot for pivot in full_permutation(pivot_distances) if pivot not in set(node)]
    return wspd(list(node) + remaining[: length - len(node)], pivot_distances, decay)


def lower_bound_corrected(node, pivot_distances, length, decay):
    """Looser than (4): the fill is the start of the query's permutation, pivots of the node not left out.

    A bound on every prefix below the node, but a child's bound may be smaller than its parent's.
    """
    own = full_permutation(pivot_distances)
    return wspd(list(node) + own[: length - len(node)], pivot_distances, decay)


# ---------------------------------------------------------------- sizes


def bits_for(n_values):
    """Bits that tell `n_values` values apart: ceil(log2(n_values)), by counting."""
    bits = 0
    while 2**bits < n_values:
        bits += 1
    return bits


def flat_bits_per_object(n_spaces, n_pivots, prefix_length, id_bits):
    """Formula (6)."""
    return n_spaces * (prefix_length * bits_for(n_pivots) + id_bits)


def leaf_capacity_bits(level, n_branches, n_pivots, prefix_length, id_bits, *, leaf_bits=128):
    """Formula (5): a leaf of this level and number of distinct next pivots may hold so many bits of records."""
    pivot_bits = bits_for(n_pivots)
    record_bits = (prefix_length - level) * pivot_bits + id_bits + 1
    return (n_branches * leaf_bits // pivot_bits) * record_bits


def leaf_splits(used_bits, level, n_branches, n_pivots, prefix_length, id_bits, *, min_level=1, leaf_bits=128):
    """Whether rule (5) splits a leaf: always above `min_level`, never at level l, else when over its capacity."""
    if level >= prefix_length:
        return False
    if level < min_level:
        return True
    return used_bits > leaf_capacity_bits(level, n_branches, n_pivots, prefix_length, id_bits, leaf_bits=leaf_bits)
