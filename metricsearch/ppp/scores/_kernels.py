"""Jitted loops of score aggregation: ranks, their scores, and the table of the objects met so far."""

import math

import numpy as np

from metricsearch.accelerate import kernel


@kernel
def next_ranks(keys, n_before, dense, ranks):
    """Ranks of a space's next records, ascending and in whole groups of equal keys; returns n_before of the next.

    keys, ranks : (m,) float64; ranks is written     n_before : groups (dense) or records before these
    """
    n_groups = 0
    first = 0
    for i in range(keys.size):
        if i == 0 or keys[i] != keys[i - 1]:
            n_groups += 1
            first = i
        ranks[i] = n_before + (n_groups if dense else first + 1)
    return n_before + (n_groups if dense else keys.size)


@kernel
def log_scores(ranks, scores):
    """scores = log(ranks), from the C library: numpy's vectorised logarithm has other last bits."""
    for i in range(ranks.size):
        scores[i] = math.log(ranks[i])


@kernel
def calibrated_scores(ranks, n_objects, table, origin, step, slope, scores):
    """Scores from a table over log(rank / n_objects), linear in between.

    table : (b,) float64, non-decreasing, at origin, origin + step, ...; below its start it goes on by `slope` >= 0 per
            entry, beyond its end it stays. Every operation keeps the order of its operands after rounding, so no
            score falls while ranks rise: the bounds of the threshold algorithm need that.
    """
    last = table.size - 1
    for i in range(ranks.size):
        place = (math.log(ranks[i] / n_objects) - origin) / step
        if place <= 0.0:
            scores[i] = table[0] + slope * place
        elif place >= last:
            scores[i] = table[last]
        else:
            entry = int(place)
            rise = (table[entry + 1] - table[entry]) * (place - entry)
            scores[i] = min(table[entry] + rise, table[entry + 1])


@kernel
def enter(ordinals, scores, space, n_met, rows, met, n_seen, table):
    """Note the scores of records of one space; returns the number of objects met so far.

    rows   : (n,) int32 by ordinal, 1 + row of the object in `table`; 0: not met
    met    : (n,) int64, ordinals by row       n_seen : (n,) uint8, spaces it was met in, by row
    table  : (n, λ) float64, scores by row; NaN: not met in that space
    """
    for i in range(ordinals.size):
        row = rows[ordinals[i]] - 1
        if row < 0:
            row = n_met
            n_met += 1
            rows[ordinals[i]] = n_met
            met[row] = ordinals[i]
            n_seen[row] = 0
            table[row, :] = np.nan
        table[row, space] = scores[i]
        n_seen[row] += 1
    return n_met


@kernel
def full_sums(n_met, n_seen, table, full, sums):
    """Rows met in all spaces, and the sums of their scores from space 0 on; returns how many."""
    n_spaces = table.shape[1]
    n_full = 0
    for row in range(n_met):
        if n_seen[row] == n_spaces:
            total = 0.0
            for j in range(n_spaces):
                total += table[row, j]
            full[n_full] = row
            sums[n_full] = total
            n_full += 1
    return n_full


@kernel
def open_spaces(n_met, n_seen, table, frontiers, limit, needed):
    """needed[j] = whether an object that may still reach a sum <= limit was not met in space j.

    frontiers : (λ,) float64, least score of what is still to come. The bound is summed like the sums: a sum of terms
                none of which is larger is not larger after rounding either.
    needed    : (λ,) bool, written where true
    """
    n_spaces = table.shape[1]
    for row in range(n_met):
        if n_seen[row] < n_spaces:
            bound = 0.0
            for j in range(n_spaces):
                bound += frontiers[j] if np.isnan(table[row, j]) else table[row, j]
            if bound <= limit:
                for j in range(n_spaces):
                    if np.isnan(table[row, j]):
                        needed[j] = True
