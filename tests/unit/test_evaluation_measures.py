import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import evaluation as oracle

from metricsearch.errors import InvalidInputError
from metricsearch.evaluation import (
    NEVER,
    bootstrap_mean,
    candidates_needed,
    candidates_needed_interval,
    hit_positions,
    percentiles,
    recall_at,
    recall_of_answer,
)


@st.composite
def ranked_lists(draw):
    """Candidate lists and right answers of a few queries, k."""
    n = draw(st.integers(1, 12))
    k = draw(st.integers(1, min(4, n)))
    lists, rights = [], []
    for _ in range(draw(st.integers(1, 5))):
        lists.append(draw(st.permutations(range(n)))[: draw(st.integers(1, n))])
        rights.append(draw(st.permutations(range(n)))[: draw(st.integers(k, n))])
    return lists, rights, k


def positions_of(lists, rights, k):
    return np.stack(
        [hit_positions(np.array(c, np.int64), np.array(r, np.int64), k) for c, r in zip(lists, rights, strict=True)]
    )


@given(ranked_lists())
def test_recall_of_a_candidate_list_at_every_size_is_that_of_the_oracle(case):
    lists, rights, k = case
    sizes = list(range(1, 14))
    comp = recall_at(positions_of(*case), sizes)
    ref = [[oracle.candidate_recall(c, r, k, size) for size in sizes] for c, r in zip(lists, rights, strict=True)]
    np.testing.assert_allclose(comp, ref)


@given(ranked_lists(), st.sampled_from([0.1, 0.5, 0.8, 0.9, 1.0]))
def test_candidates_needed_is_the_smallest_size_that_reaches_the_target(case, target):
    lists, rights, k = case
    assert candidates_needed(positions_of(*case), target) == oracle.candidates_needed(lists, rights, k, target)


@given(ranked_lists(), st.sampled_from([0.1, 0.5, 0.8, 1.0]))
def test_one_size_less_than_needed_misses_the_target(case, target):
    positions = positions_of(*case)
    needed = candidates_needed(positions, target)
    if np.isfinite(needed):
        assert recall_at(positions, [int(needed)]).mean() >= target - 1e-9
        assert recall_at(positions, [int(needed) - 1]).mean() < target


@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=8),
    st.integers(1, 5),
    st.integers(0, 6),
)
def test_recall_of_an_answer_counts_ties_of_the_kth_distance(distances, k, kth):
    comp = recall_of_answer(np.sort(np.array([distances], dtype=float)), np.array([float(kth)]), k)
    assert comp[0] == oracle.recall(sorted(distances), kth, k)


def test_a_distance_within_the_tolerance_of_the_kth_is_right_and_one_beyond_is_wrong():
    found = np.array([[1.0, 2.0 * (1 + 0.9e-6)], [1.0, 2.0 * (1 + 1.1e-6)]])
    assert recall_of_answer(found, np.array([2.0, 2.0]), 2).tolist() == [1.0, 0.5]


def test_missing_answers_count_as_wrong():
    assert recall_of_answer(np.array([[1.0, np.nan]]), np.array([3.0]), 2).tolist() == [0.5]
    assert recall_of_answer(np.empty((1, 0)), np.array([3.0]), 2).tolist() == [0.0]


def test_a_neighbour_outside_the_list_is_never_found():
    assert hit_positions(np.array([5, 3]), np.array([3, 9]), 2).tolist() == [2, NEVER]
    assert candidates_needed(np.array([[2, NEVER]]), 1.0) == np.inf


@pytest.mark.parametrize("target", [0.0, -0.5, 1.5])
def test_a_target_outside_its_range_is_refused(target):
    with pytest.raises(InvalidInputError, match="target recall"):
        candidates_needed(np.array([[1]]), target)


def test_the_interval_of_a_mean_agrees_with_resampling_one_query_at_a_time():
    values = np.random.default_rng(3).normal(size=60)
    low, high = bootstrap_mean(values, n_replicates=4000)
    rng = np.random.default_rng(9)
    ref = np.quantile([rng.choice(values, 60).mean() for _ in range(4000)], [0.025, 0.975])
    np.testing.assert_allclose([low, high], ref, atol=0.02)
    assert low < values.mean() < high


def test_the_interval_of_candidates_needed_agrees_with_resampling_one_query_at_a_time():
    positions = np.sort(np.random.default_rng(4).integers(1, 1000, size=(40, 5)), axis=1)
    comp = candidates_needed_interval(positions, 0.8, n_replicates=2000)
    rng = np.random.default_rng(5)
    replicates = [candidates_needed(positions[rng.integers(40, size=40)], 0.8) for _ in range(2000)]
    ref = np.quantile(replicates, [0.025, 0.975], method="inverted_cdf")
    np.testing.assert_allclose(comp, ref, rtol=0.02)


def test_the_interval_is_infinite_where_resampled_queries_miss_the_target():
    positions = np.array([[1], [2], [NEVER]])
    low, high = candidates_needed_interval(positions, 0.6)
    assert (low, high) == (1.0, np.inf)


def test_intervals_are_the_same_for_the_same_seed_and_blocks_do_not_matter(monkeypatch):
    positions = np.sort(np.random.default_rng(4).integers(1, 50, size=(30, 4)), axis=1)
    ref = candidates_needed_interval(positions, 0.7, seed=1)
    monkeypatch.setattr("metricsearch.evaluation.measures._BLOCK_ENTRIES", 500)
    assert candidates_needed_interval(positions, 0.7, seed=1) == ref


def test_columns_of_one_table_have_the_intervals_they_have_alone():
    table = np.random.default_rng(0).random((25, 3))
    low, high = bootstrap_mean(table)
    for j in range(3):
        np.testing.assert_allclose((low[j], high[j]), bootstrap_mean(table[:, j]))


def test_percentiles_name_median_and_tail():
    assert percentiles(np.arange(101)) == {"p50": 50.0, "p95": 95.0, "p99": 99.0}


def test_no_queries_are_refused():
    with pytest.raises(InvalidInputError, match="at least one query"):
        bootstrap_mean(np.empty(0))
