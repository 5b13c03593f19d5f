"""The oracle itself: against numbers worked out by hand, and against the PPPRank merge written out literally."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import ppp as oracle

QUERY = [3.0, 1.0, 1.0, 2.0]  # distances to pivots 0..3; own permutation 1, 2, 3, 0 (pivots 1 and 2 tie)
BETWEEN = [  # pivot-pivot distances; pivots 0 and 2 coincide
    [0.0, 4.0, 0.0, 1.0],
    [4.0, 0.0, 3.0, 2.0],
    [0.0, 3.0, 0.0, 0.5],
    [1.0, 2.0, 0.5, 0.0],
]
# five objects, three spaces: RANKS[space][object]
RANKS = [[1, 2, 3, 2, 2], [2, 1, 3, 1, 2], [3, 3, 1, 1, 2]]


def test_permutation_breaks_ties_by_pivot_index():
    assert oracle.full_permutation(QUERY) == [1, 2, 3, 0]
    assert oracle.full_permutation([0.0, 0.0, 0.0]) == [0, 1, 2]
    comp = oracle.prefixes_from_distances(np.array([QUERY, [5.0, 5.0, 4.0, 4.0]]), 3)
    assert comp.tolist() == [[1, 2, 3], [2, 3, 0]]
    assert oracle.prefixes_from_distances(np.empty((0, 4)), 3).shape == (0, 3)


@pytest.mark.parametrize(
    ("ranking", "prefix", "ref"),
    [
        ("wspd", (1, 2), 1.5),  # 1 + 1/2
        ("wspd", (0, 3), 4.0),  # 3 + 2/2
        ("wspd", (3, 0), 3.5),  # 2 + 3/2
        ("wspd", (0, 3, 1), 4.25),  # 3 + 2/2 + 1/4
        ("wspd_avg", (0, 3), 4.0 / 1.5),
        ("wspd_avg", (0, 3, 1), 4.25 / 1.75),
        ("diff", (1, 2), 0.0),
        ("diff", (2, 1), 0.0),  # the tied pivots swapped cost nothing
        ("diff", (3, 0), 3.0),  # (2 - 1) + (3 - 1)
        ("diff", (0, 3, 1), 3.0),  # (3 - 1) + (2 - 1) + max(1 - 2, 0)
        ("diff_norm", (3, 0), 2.5),  # 1 / d(p3, p1) + 2 not divided, pivots 0 and 2 coincide
        ("diff_norm", (0, 3), 2.5),  # 2 / 4 + 1 / 0.5
        ("kendall", (1, 2), 0.0),
        ("kendall", (2,), 1 / 6),
        ("kendall", (3, 0), 4 / 6),  # places 2 and 3: 2 + (3 - 1)
        ("kendall", (0, 3), 5 / 6),  # places 3 and 2: 3 + 2
        ("kendall", (0, 3, 2, 1), 1.0),  # the query's permutation reversed
        ("footrule_w", (1, 2), 0.0),
        ("footrule_w", (0, 3), 3.5),  # |0 - 3| + |1 - 2| / 2
        ("footrule_w", (3, 0), 3.0),  # |0 - 2| + |1 - 3| / 2
    ],
)
def test_ranking_distances_of_a_worked_example(ranking, prefix, ref):
    comp = oracle.ranking_distance(ranking, prefix, QUERY, decay=0.5, pivot_pivot_distances=BETWEEN)
    assert comp == ref


@pytest.mark.parametrize("ranking", oracle.RANKINGS)
def test_max_level_uses_the_first_pivots_only(ranking):
    ref = oracle.ranking_distance(ranking, (0, 3), QUERY, pivot_pivot_distances=BETWEEN)
    comp = oracle.ranking_distance(ranking, (0, 3, 1), QUERY, max_level=2, pivot_pivot_distances=BETWEEN)
    assert comp == ref


def test_wspd_with_one_pivot_is_its_distance_and_kendall_of_one_pivot_is_zero():
    assert oracle.wspd((0,), [7.0], 0.75) == 7.0
    assert oracle.kendall((0,), [7.0]) == 0.0


def test_default_decay_is_three_quarters():
    assert oracle.ranking_distance("wspd", (0, 3, 1), QUERY) == 3.0 + 0.75 * 2.0 + 0.5625 * 1.0


@st.composite
def query_and_prefix(draw):
    distances = draw(st.lists(st.integers(0, 4).map(float), min_size=1, max_size=8))
    permutation = draw(st.permutations(range(len(distances))))
    return distances, permutation[: draw(st.integers(1, len(distances)))]


@given(query_and_prefix())
def test_relative_form_differs_from_wspd_by_a_constant_of_the_query(case):
    distances, prefix = case
    own = oracle.full_permutation(distances)[: len(prefix)]
    comp = oracle.wspd_relative(prefix, distances, 0.5)
    assert comp == oracle.wspd(prefix, distances, 0.5) - oracle.wspd(own, distances, 0.5)  # dyadic numbers: exact
    assert oracle.wspd_relative(own, distances, 0.5) == 0.0


@given(st.lists(st.integers(0, 4).map(float), min_size=4, max_size=4))
def test_average_ranks_prefixes_of_one_length_as_the_sum_does(distances):
    prefixes = list(itertools.permutations(range(4), 3))
    ref, comp = (
        oracle.ranks_from_keys([oracle.ranking_distance(name, prefix, distances) for prefix in prefixes])
        for name in ("wspd", "wspd_avg")
    )
    assert comp == ref


@given(query_and_prefix())
def test_kendall_counts_discordant_pairs_of_completed_permutations(case):
    distances, prefix = case
    own = oracle.full_permutation(distances)
    completed = prefix + [pivot for pivot in own if pivot not in prefix]
    n_pivots = len(own)
    n_discordant = sum(
        own.index(completed[a]) > own.index(completed[b]) for a in range(n_pivots) for b in range(a + 1, n_pivots)
    )
    assert oracle.kendall(prefix, distances) * (n_pivots * (n_pivots - 1) / 2) == pytest.approx(n_discordant)


def test_dense_and_position_ranks():
    keys = [2.0, 1.0, 2.0, 5.0, 1.0]
    assert oracle.ranks_from_keys(keys, "dense") == [2, 1, 2, 3, 1]
    assert oracle.ranks_from_keys(keys, "position") == [3, 1, 3, 5, 1]
    assert oracle.ranks_from_keys([], "dense") == []


@pytest.mark.parametrize(
    ("percentile", "n_spaces", "ref"),
    [
        (0.5, 4, 2), (0.5, 5, 3), (0.75, 4, 3), (0.75, 8, 6), (1.0, 4, 4), (0.0, 4, 1), (1.0, 1, 1), (0.25, 3, 1),
        (0.1, 30, 3), (0.7, 10, 7), (0.28, 25, 7),  # p * lambda is a rounding error above the integer
    ],
)  # fmt: skip
def test_min_hits(percentile, n_spaces, ref):
    assert oracle.min_hits(percentile, n_spaces) == ref


@pytest.mark.parametrize(
    ("percentile", "ids", "ranks", "hits"),
    [
        (0.0, [3, 0, 1, 2, 4], [1, 1, 1, 1, 2], [2, 1, 1, 1, 3]),
        (0.5, [3, 4, 0, 1, 2], [1, 2, 2, 2, 3], [2, 3, 2, 2, 3]),
        (1.0, [3, 4, 0, 1, 2], [2, 2, 3, 3, 3], [3, 3, 3, 3, 3]),
    ],
)
def test_candidate_order_of_a_worked_example(percentile, ids, ranks, hits):
    comp = oracle.candidates_from_ranks(RANKS, 5, percentile)
    assert (comp.ids, comp.aggregated_ranks, comp.hits) == (ids, ranks, hits)
    assert oracle.candidates_from_ranks(RANKS, 99, percentile) == comp
    assert oracle.candidates_from_ranks(RANKS, 2, percentile).ids == ids[:2]


@pytest.mark.parametrize(
    ("n_candidates", "ref"), [(1, [1, 2, 2]), (2, [4, 4, 3]), (4, [4, 4, 3]), (5, [5, 5, 5]), (9, [5, 5, 5])]
)
def test_probe_depth_is_that_of_the_round_of_the_last_candidate(n_candidates, ref):
    assert oracle.candidates_from_ranks(RANKS, n_candidates, 0.5).n_ids_ranked == ref


def test_last_ties_go_to_the_smaller_external_id():
    comp = oracle.candidates_from_ranks(RANKS, 5, 0.5, ids=[40, 30, 20, 10, 50])
    assert comp.ids == [10, 50, 30, 40, 20]


def test_no_objects_no_candidates():
    comp = oracle.rank(np.empty((0, 2, 1), dtype=int), np.zeros((2, 3)), 4)
    assert comp == oracle.Candidates([], [], [], [0, 0])


def test_rank_of_a_worked_example_in_two_spaces():
    prefixes = np.array([[[0, 1], [1, 0]], [[1, 0], [0, 1]], [[0, 1], [0, 1]]])
    distances = np.array([[1.0, 2.0], [4.0, 0.0]])
    # keys, c = 1/2: space 0: 2, 2.5, 2; space 1: 2, 4, 4
    assert oracle.space_ranks(prefixes, distances, decay=0.5) == [[1, 2, 1], [1, 2, 2]]
    assert oracle.space_ranks(prefixes, distances, decay=0.5, rank_mode="position") == [[1, 3, 1], [1, 2, 2]]
    comp = oracle.rank(prefixes, distances, 2, decay=0.5, percentile=0.5)
    assert comp == oracle.Candidates([0, 2], [1, 1], [2, 1], [2, 1])
    assert oracle.rank(prefixes, distances, 3, decay=0.5, percentile=0.5, n_spaces=1).ids == [0, 2, 1]


def test_lower_bounds_of_a_worked_example():
    tight = {(): 2.0, (0,): 3.75, (1,): 2.0, (1, 0): 2.75, (1, 3): 2.25, (3, 0, 1): 3.75}
    corrected = {(): 2.0, (0,): 3.75, (1,): 1.75, (1, 0): 2.75, (1, 3): 2.25, (3, 0, 1): 3.75}
    for node, ref in tight.items():
        assert oracle.lower_bound_tight(node, QUERY, 3, 0.5) == ref
    for node, ref in corrected.items():
        assert oracle.lower_bound_corrected(node, QUERY, 3, 0.5) == ref


@pytest.mark.parametrize(
    ("n_pivots", "length", "id_bits", "ref"),
    [(128, 4, 20, 48), (128, 6, 20, 62), (128, 8, 20, 76), (256, 8, 20, 84), (512, 6, 20, 74), (512, 8, 31, 103)],
)
def test_flat_bits_match_the_published_table(n_pivots, length, id_bits, ref):
    assert oracle.flat_bits_per_object(1, n_pivots, length, id_bits) == ref
    assert oracle.flat_bits_per_object(5, n_pivots, length, id_bits) == 5 * ref


def test_bits_tell_values_apart():
    assert [oracle.bits_for(n) for n in (1, 2, 3, 4, 5, 8, 9, 512, 513)] == [0, 1, 2, 2, 3, 3, 4, 9, 10]


def test_leaf_splits_when_saving_exceeds_cost():
    # b_p = 7, 10 branches: floor(1280 / 7) = 182 records of 7 * 7 + 20 + 1 = 70 bits
    assert oracle.leaf_capacity_bits(1, 10, 128, 8, 20) == 12740
    assert not oracle.leaf_splits(12740, 1, 10, 128, 8, 20)
    assert oracle.leaf_splits(12741, 1, 10, 128, 8, 20)
    assert oracle.leaf_splits(1, 0, 10, 128, 8, 20)  # above the minimum level
    assert not oracle.leaf_splits(10**9, 8, 0, 128, 8, 20)  # nothing left to split by


# ---------------------------------------------------------------- the merge, round by round


def get_next_ids(keys):
    """Groups of objects of equal key, nearest group first."""
    for key in sorted(set(keys)):
        yield [x for x, other in enumerate(keys) if other == key]


def ppp_rank(keys, n_candidates, percentile):
    """PPPRank as printed: hit counts, one group of every space per round. Returns (id, round, hits) in output order."""
    n_spaces = len(keys)
    m = max(1, math.ceil(percentile * n_spaces - 1e-9))
    streams = [get_next_ids(space) for space in keys]
    hits, reported, out, n_round = {}, set(), [], 0
    while len(out) < n_candidates:
        n_round += 1
        to_report, exhausted = {}, True
        for stream in streams:
            for x in next(stream, []):
                exhausted = False
                hits[x] = hits.get(x, 0) + 1
                if hits[x] >= m and x not in reported:
                    to_report[x] = hits[x]
        if exhausted:
            break
        out += [(x, n_round, to_report[x]) for x in sorted(to_report, key=lambda x: (-to_report[x], x))]
        reported |= set(to_report)
    return out


def random_case(seed, n_objects=300, dim=5, n_spaces=5, n_pivots=14, length=4):
    """Prefixes of grid points (many duplicates), and the distances of one query to the pivots."""
    rng = np.random.default_rng(seed)
    objects = rng.integers(0, 3, (n_objects, dim)).astype(float)
    pivots = rng.integers(0, 3, (n_spaces, n_pivots, dim)).astype(float)
    query = rng.integers(0, 3, dim).astype(float)
    distances = np.abs(objects[:, None, None] - pivots[None]).sum(axis=3)
    prefixes = np.stack([oracle.prefixes_from_distances(distances[:, j], length) for j in range(n_spaces)], axis=1)
    return prefixes, np.abs(pivots - query).sum(axis=2)


@pytest.mark.parametrize("percentile", [0.2, 0.5, 0.75, 1.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_merge_round_is_the_aggregated_rank(seed, percentile):
    prefixes, distances = random_case(seed)
    keys = [[oracle.wspd(row, distances[j], 0.75) for row in prefixes[:, j]] for j in range(prefixes.shape[1])]
    ranks = oracle.space_ranks(prefixes, distances)
    psi = [oracle.aggregated_rank(of_object, percentile) for of_object in zip(*ranks, strict=True)]
    for n_candidates in (1, 10, 77, 300):
        out = ppp_rank(keys, n_candidates, percentile)
        assert all(psi[x] == n_round for x, n_round, _ in out)
        for t in range(1, out[-1][1] + 1):
            assert {x for x, n_round, _ in out if n_round <= t} == {x for x in range(len(psi)) if psi[x] <= t}
        comp = oracle.candidates_from_ranks(ranks, n_candidates, percentile)
        ref = out[:n_candidates]
        assert list(zip(comp.ids, comp.aggregated_ranks, comp.hits, strict=True)) == ref


def bounds_along_prefixes(bound, seed):
    """(bounds of the nodes from the root to the full prefix, key of the prefix), for all prefixes of all spaces."""
    prefixes, distances = random_case(seed)
    length = prefixes.shape[2]
    for j in range(prefixes.shape[1]):
        for prefix in {tuple(row) for row in prefixes[:, j]}:
            along = [bound(prefix[:v], distances[j], length, 0.75) for v in range(length + 1)]
            yield along, oracle.wspd(prefix, distances[j], 0.75)


@pytest.mark.parametrize("bound", [oracle.lower_bound_tight, oracle.lower_bound_corrected])
def test_lower_bounds_are_admissible_and_end_in_the_key(bound):
    for along, key in bounds_along_prefixes(bound, 2):
        assert max(along) <= key  # multiples of 1/64: exact, no tolerance
        assert along[-1] == key


def test_tight_bound_never_falls_from_parent_to_child_and_the_corrected_one_may():
    assert all(along == sorted(along) for along, _ in bounds_along_prefixes(oracle.lower_bound_tight, 2))
    assert any(along != sorted(along) for along, _ in bounds_along_prefixes(oracle.lower_bound_corrected, 2))


def test_corrected_bound_is_never_above_the_tight_one():
    prefixes, distances = random_case(3)
    nodes = {tuple(row[:v]) for row in prefixes[:, 0] for v in range(prefixes.shape[2] + 1)}
    pairs = [
        (
            oracle.lower_bound_corrected(node, distances[0], 4, 0.75),
            oracle.lower_bound_tight(node, distances[0], 4, 0.75),
        )
        for node in nodes
    ]
    assert all(corrected <= tight for corrected, tight in pairs)
    assert any(corrected < tight for corrected, tight in pairs)
