"""The learnt bound that stops reading, against replaying every query by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import cutoff as oracle

from metricsearch import ObjectStore, PPPCodes, RankingOptions
from metricsearch.baselines import VPTree
from metricsearch.errors import InvalidInputError
from metricsearch.refinement import StoreSearch
from metricsearch.refinement.cutoff import SLOPES, Cutoff, ReadingRecord, reading_steps
from metricsearch.spaces import VECTORS


def record(seed, n_queries, depth, power=2.0, ties=False, spread=0.8):
    """Searches whose estimates are noisy powers of their distances; some neighbours are not among the candidates."""
    rng = np.random.default_rng(seed)
    distances = rng.gamma(4.0, size=(n_queries, 3 * depth))
    if ties:
        distances = np.rint(distances)
    estimates = distances**power * rng.lognormal(0, spread, size=distances.shape)
    order = np.argsort(estimates, axis=1)[:, :depth]
    rows = np.arange(n_queries)[:, None]
    truth = np.sort(distances, axis=1)[:, : min(100, depth)]
    return ReadingRecord(estimates[rows, order].astype(np.float32), distances[rows, order], truth, power)


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
def test_the_rule_reaches_the_target_and_no_other_slope_reads_less(seed, n_queries, depth, k, target, ties):
    searched = record(seed, n_queries, depth, ties=ties)
    k = min(k, searched.truth.shape[1])
    cutoff = searched.cutoff(k, target)
    of = (searched.estimates.tolist(), searched.distances.tolist(), searched.truth.tolist(), k, 2.0)
    at_rule, n_read = oracle.replayed(*of, cutoff.slope, cutoff.offset, cutoff.depth)
    if at_rule < target:
        assert (cutoff.offset, cutoff.depth) == (np.inf, depth)  # all of it is not enough
        return
    if np.isfinite(cutoff.offset):
        assert oracle.replayed(*of, cutoff.slope, np.nextafter(cutoff.offset, -np.inf), depth)[0] < target
    for slope in searched._usual_slope(k) * SLOPES[::3]:
        offsets = [e[n] - slope * d**2 for e in of[0] for n in oracle.steps(k, depth)[:-1] for d in [1.0, 2.0]]
        for offset in offsets[:20]:
            other, n_other = oracle.replayed(*of, float(slope), offset, depth)
            assert other < target or n_other >= n_read - 1e-9
    for step in oracle.steps(k, depth):
        other, n_other = oracle.replayed(*of, 0.0, np.inf, step)
        assert other < target or n_other >= n_read - 1e-9


def test_a_higher_target_reads_more():
    searched = record(0, 200, 500)
    of = (searched.estimates.tolist(), searched.distances.tolist(), searched.truth.tolist(), 10, 2.0)
    read = []
    for target in (0.5, 0.8, 0.9, 0.95):
        cutoff = searched.cutoff(10, target)
        read.append(oracle.replayed(*of, cutoff.slope, cutoff.offset, cutoff.depth)[1])
    assert read == sorted(set(read))


def test_the_rule_holds_for_other_queries_too():
    learnt, held_out = record(1, 400, 500), record(2, 400, 500)
    of = (held_out.estimates.tolist(), held_out.distances.tolist(), held_out.truth.tolist(), 10, 2.0)
    for target in (0.8, 0.9, 0.95):
        cutoff = learnt.cutoff(10, target)
        assert oracle.replayed(*of, cutoff.slope, cutoff.offset, cutoff.depth)[0] == pytest.approx(target, abs=0.02)


def test_a_rule_stops_above_its_bound_only():
    assert Cutoff(2.0, 1.0, 2.0, 100).stops(16, 19.1, 3.0)
    assert not Cutoff(2.0, 1.0, 2.0, 100).stops(16, 19.0, 3.0)
    assert not Cutoff(2.0, np.inf, 2.0, 100).stops(16, 1e300, 3.0)
    assert Cutoff(2.0, np.inf, 2.0, 16).stops(16, 19.0, 3.0)
    assert Cutoff(0.0, -np.inf, 2.0, 100).stops(16, -1e300, 3.0)


def test_more_neighbours_than_were_recorded_are_refused():
    with pytest.raises(InvalidInputError, match="learnt for up to k = 100, got 101; pass n_candidates as a number"):
        record(0, 5, 400).cutoff(101, 0.9)


# ---------------------------------------------------------------- searches


@pytest.fixture(scope="module")
def objects():
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(60, 12))
    rows = centres[rng.integers(60, size=4400)] + rng.lognormal(-1, 0.5, size=(4400, 1)) * rng.normal(size=(4400, 12))
    return rows.astype(np.float32)


@pytest.fixture(scope="module")
def search(objects, tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "objects.mdb"
    index = PPPCodes(n_spaces=2, n_pivots=32, prefix_length=5, sketch="landmark", sketch_bytes=3).build(objects[:4000])
    with ObjectStore.create(path, "raw-f32", VECTORS, 12) as store:
        store.add([(np.arange(4000), objects[:4000])])
        with StoreSearch(index, store) as search:
            yield search


def recall(answers, objects, queries, k):
    found = []
    for answer, query in zip(answers, queries, strict=True):
        distances = np.linalg.norm(objects - query.astype(np.float64), axis=1)
        found.append((answer.distances <= np.sort(distances)[k - 1] * (1 + 1e-6)).mean())
    return float(np.mean(found))


@pytest.mark.parametrize("target", [0.8, 0.9, 0.97])
@pytest.mark.parametrize("k", [5, 10])
def test_a_search_reads_as_much_as_its_recall_takes(search, objects, target, k):
    queries = objects[4000:]
    search.learn_cutoff()
    answers = search.search(queries, k, n_candidates="auto", target_recall=target)
    n_read = [answer.costs["n_objects_read"] for answer in answers]
    assert recall(answers, objects[:4000], queries, k) == pytest.approx(target, abs=0.03)
    assert np.mean(n_read) < 300


def test_training_queries_may_be_given(search, objects):
    record = search.learn_cutoff(objects[4000:4200])
    assert (record.n_queries, record.depth) == (200, 1000)
    answers = search.search(objects[4200:], 10, n_candidates="auto")
    assert recall(answers, objects[:4000], objects[4200:], 10) == pytest.approx(0.9, abs=0.03)


def test_objects_that_train_do_not_find_themselves(search, objects):
    record = search.learn_cutoff()
    assert record.n_queries == 512
    assert (record.truth > 0).all()
    assert (np.diff(record.estimates, axis=1) >= 0).all()


def test_costs_tell_what_was_read(search, objects):
    search.learn_cutoff()
    (answer,) = search.search(objects[4000:4001], 10, n_candidates="auto")
    assert answer.costs["n_candidates"] == answer.costs["n_objects_read"]
    assert answer.costs["n_distances"] == answer.costs["n_objects_read"] + 64
    assert answer.costs["n_objects_read"] in reading_steps(10, 1000)


@pytest.mark.parametrize("k", [5, 60])
def test_the_answer_is_the_nearest_of_what_was_read_ties_by_id(tmp_path, k):
    rows = np.random.default_rng(5).integers(0, 3, size=(900, 12)).astype(np.float32)  # many ties
    ids = np.random.default_rng(6).permutation(5000)[:900]
    index = PPPCodes(n_spaces=2, n_pivots=16, prefix_length=4, sketch="landmark", sketch_bytes=3).build(rows, ids)
    order = np.argsort(ids)
    with ObjectStore.create(tmp_path / "s.mdb", "raw-f32", VECTORS, 12) as store:
        store.add([(ids[order], rows[order])])
        with StoreSearch(index, store) as search:
            search.learn_cutoff()
            answers = search.search(rows[:20], k, n_candidates="auto", target_recall=1.0)
    row_of = {number: row for row, number in enumerate(ids.tolist())}
    for query, answer in zip(rows, answers, strict=False):
        read = index.estimated(query[None], 899).ids[: answer.costs["n_candidates"]].tolist()
        exact = sorted((float(np.linalg.norm(rows[row_of[number]] - query)), number) for number in read)[:k]
        assert answer.ids.tolist() == [number for _, number in exact]
        np.testing.assert_allclose(answer.distances, [distance for distance, _ in exact], rtol=1e-6)
    assert max(answer.costs["n_candidates"] for answer in answers) > max(k, 16), "read in several steps"


def test_few_objects_give_fewer_neighbours(objects, tmp_path):
    index = PPPCodes(n_spaces=2, n_pivots=4, prefix_length=2, sketch="landmark", sketch_bytes=4).build(objects[:20])
    with ObjectStore.create(tmp_path / "s.mdb", "raw-f32", VECTORS, 12) as store:
        store.add([(np.arange(20), objects[:20])])
        with StoreSearch(index, store) as search:
            assert search.learn_cutoff().truth.shape == (20, 19)
            (answer,) = search.search(objects[:1], 50, n_candidates="auto")
            assert sorted(answer.ids.tolist()) == list(range(20))


def test_what_auto_cannot_do_is_said_in_one_line(search, objects, tmp_path):
    with pytest.raises(InvalidInputError, match=r"target_recall: expected"):
        search.search(objects[:1], 10, n_candidates="auto", target_recall=1.5)
    search.learn_cutoff()
    with pytest.raises(InvalidInputError, match="learnt for up to k = 100, got 101"):
        search.search(objects[:1], 101, n_candidates="auto")
    with pytest.raises(InvalidInputError, match="options: the cut-off was learnt with others"):
        search.search(objects[:1], 10, n_candidates="auto", options=RankingOptions(aggregation="sum"))
    with ObjectStore.create(tmp_path / "s.mdb", "raw-f32", VECTORS, 12) as store:
        store.add([(np.arange(200), objects[:200])])
        plain = PPPCodes(n_spaces=2, n_pivots=8, prefix_length=2).build(objects[:200])
        with StoreSearch(plain, store) as without:
            with pytest.raises(InvalidInputError, match=r"call learn_cutoff\(\) first"):
                without.search(objects[:1], 10, n_candidates="auto")
            with pytest.raises(InvalidInputError, match="sketches are needed; build"):
                without.learn_cutoff()
        exact = StoreSearch(VPTree("euclidean").build(objects[:200]), store)
        with exact, pytest.raises(InvalidInputError, match="VPTree has no estimates"):
            exact.learn_cutoff()
