"""The learnt bound that stops reading, against replaying every query by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import cutoff as oracle

from metricsearch.errors import CorruptedError, InvalidInputError
from metricsearch.refinement.cutoff import ReadingRecord, reading_steps, stop_ratio


def record(seed, n_queries, depth, power=2.0, ties=False, spread=0.8):
    """Searches whose estimates are noisy powers of their distances; some neighbours are not among the candidates."""
    rng = np.random.default_rng(seed)
    distances = rng.gamma(4.0, size=(n_queries, 3 * depth))
    if ties:
        distances = np.rint(distances)
    estimates = distances**power * rng.lognormal(0, spread, size=distances.shape)
    order = np.argsort(estimates, axis=1)[:, :depth]
    rows = np.arange(n_queries)[:, None]
    truth = np.sort(distances, axis=1)[:, : min(20, depth)]
    return ReadingRecord(
        *(array.astype(np.float32) for array in (estimates[rows, order], distances[rows, order], truth)), power
    )


@pytest.mark.parametrize(("k", "most"), [(1, 1), (10, 5), (10, 16), (3, 17), (50, 1000), (10, 1000), (2000, 1000)])
def test_steps_grow_and_end_with_all_candidates(k, most):
    steps = reading_steps(k, most)
    assert steps == oracle.steps(k, most)
    assert steps[-1] == most
    assert (np.diff(steps) > 0).all()


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    n_queries=st.integers(1, 8),
    depth=st.integers(1, 60),
    k=st.integers(1, 12),
    target=st.floats(0.01, 1.0),
    ties=st.booleans(),
)
def test_the_bound_is_the_least_that_reaches_the_target(seed, n_queries, depth, k, target, ties):
    searched = record(seed, n_queries, depth, ties=ties)
    k = min(k, searched.truth.shape[1])
    bound = searched.bound(k, target)
    of = (searched.estimates.tolist(), searched.distances.astype(float).tolist(), searched.truth.tolist())
    at_bound = oracle.mean_recall(*of, k, 2.0, bound)
    if bound < np.inf:
        assert at_bound >= target - 1e-9
    if np.isfinite(bound):
        assert oracle.mean_recall(*of, k, 2.0, np.nextafter(bound, -np.inf)) < target
    if bound == np.inf:
        assert at_bound == oracle.mean_recall(*of, k, 2.0, 1e300)


def test_a_higher_target_reads_more():
    searched = record(0, 200, 500)
    bounds = [searched.bound(10, target) for target in (0.5, 0.8, 0.9, 0.95)]
    assert bounds == sorted(bounds)
    assert len(set(bounds)) == 4


def test_the_bound_holds_for_other_queries_too():
    learnt, held_out = record(1, 400, 500), record(2, 400, 500)
    of = (held_out.estimates.tolist(), held_out.distances.astype(float).tolist(), held_out.truth.tolist())
    for target in (0.8, 0.9, 0.95):
        assert oracle.mean_recall(*of, 10, 2.0, learnt.bound(10, target)) == pytest.approx(target, abs=0.02)


def test_k_objects_at_distance_zero_end_the_reading():
    assert stop_ratio(3.0, 0.0, 2.0) == np.inf
    assert stop_ratio(8.0, 2.0, 2.0) == 2.0


def test_more_neighbours_than_were_recorded_are_refused():
    with pytest.raises(InvalidInputError, match="learnt for up to k = 20, got 21; pass n_candidates as a number"):
        record(0, 5, 40).bound(21, 0.9)


def test_a_record_comes_back_from_its_arrays():
    searched = record(3, 5, 40)
    again = ReadingRecord.from_arrays(searched.arrays(), "here")
    assert again.bound(10, 0.9) == searched.bound(10, 0.9)
    for name, array in searched.arrays().items():
        broken = {**searched.arrays(), name: array[:2].astype(np.int8)}
        with pytest.raises(CorruptedError, match="here"):
            ReadingRecord.from_arrays(broken, "here")
        missing = {other: values for other, values in searched.arrays().items() if other != name}
        with pytest.raises(CorruptedError, match=f"array '{name}' of the cut-off is missing"):
            ReadingRecord.from_arrays(missing, "here")
