"""Pivot choice and pivot-permutation prefixes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from oracle import ppp as oracle

from metricsearch.errors import InvalidInputError
from metricsearch.partition import PIVOT_CHOICES, choose_pivots, nearest_pivots, pivots
from metricsearch.spaces import STRINGS, FunctionMetric, get_metric

EUCLIDEAN = get_metric("euclidean")


def vectors(n, d=6, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


def rows_of(batch):
    return [tuple(row) for row in batch.tolist()]


def choose(method, sample, n_spaces=3, n_pivots=5, seed=0, metric=EUCLIDEAN):
    return choose_pivots(metric, sample, n_spaces, n_pivots, method, np.random.default_rng(seed))


@pytest.mark.parametrize("method", PIVOT_CHOICES)
def test_every_choice_gives_as_many_pivots_as_asked_and_the_same_for_the_same_seed(method):
    sample = vectors(80)
    ref = choose(method, sample)
    assert ref.shape == (15, 6)
    assert np.array_equal(ref, choose(method, sample))
    assert not np.array_equal(ref, choose(method, sample, seed=1))


@pytest.mark.parametrize("method", ["random", "farthest-first", "incremental", "balanced"])
def test_chosen_objects_are_of_the_sample_and_none_serves_twice(method):
    sample = vectors(40)
    comp = rows_of(choose(method, sample))
    assert len(set(comp)) == 15
    assert set(comp) <= set(rows_of(sample))


def test_farthest_first_takes_the_object_farthest_from_all_before_it():
    sample = vectors(30)
    comp = choose("farthest-first", sample, n_spaces=1, n_pivots=6)
    for i in range(1, 6):
        nearest = np.array([min(np.linalg.norm(x.astype(float) - p) for p in comp[:i]) for x in sample])
        assert np.linalg.norm(comp[i] - sample[np.argmax(nearest)]) == 0


def test_incremental_choice_separates_pairs_better_than_random_on_average():
    sample = vectors(400, d=3)
    left, right = np.random.default_rng(1).integers(400, size=(2, 500))

    def mean_bound(pivots):
        to_pivots = EUCLIDEAN.exact_pairwise(sample, pivots)
        return np.abs(to_pivots[left] - to_pivots[right]).max(axis=1).mean()

    ref = [mean_bound(choose("random", sample, 1, 4, seed)) for seed in range(10)]
    comp = [mean_bound(choose("incremental", sample, 1, 4, seed)) for seed in range(10)]
    assert np.mean(comp) > np.mean(ref)


def test_k_means_pivots_lie_closer_to_the_data_than_random_ones():
    sample = np.concatenate([vectors(60) + 20 * i for i in range(5)])
    ref = EUCLIDEAN.exact_pairwise(sample, choose("random", sample, 1, 5)).min(axis=1).mean()
    comp = EUCLIDEAN.exact_pairwise(sample, choose("k-means", sample, 1, 5)).min(axis=1).mean()
    assert comp < ref


def test_k_means_of_strings_is_refused():
    words = STRINGS.check(["a", "b", "c", "d"], "words")
    with pytest.raises(InvalidInputError, match="k-means needs vectors, but levenshtein compares strings"):
        choose("k-means", words, 1, 2, metric=get_metric("levenshtein"))


def squared_cell_sizes(metric, sample, chosen):
    """Σ (cell size)², each object in the cell of its nearest pivot, ties to the first."""
    table = np.stack([metric.distances(chosen[i : i + 1], sample) for i in range(len(chosen))])
    return sum(size**2 for size in np.bincount(table.argmin(axis=0), minlength=len(chosen)).tolist())


def balanced_naive(metric, sample, n_pivots, seed):
    """Oracle of "balanced" with one space: all distances at hand, cells found anew for every trial."""
    rng = np.random.default_rng(seed)
    part = sample[np.sort(rng.permutation(len(sample)))]
    table = np.stack([metric.distances(part[i : i + 1], part) for i in range(len(part))])
    chosen = pivots._distinct_first(metric, part, rng.permutation(len(part)), n_pivots).tolist()

    def cells_of(chosen):
        members = [[] for _ in chosen]
        for x in range(len(part)):
            members[min(range(n_pivots), key=lambda i: (table[chosen[i], x], i))].append(x)
        return members

    n_moved = max(1, n_pivots // pivots.BALANCING_SHARE)
    for _ in range(pivots.BALANCING_ROUNDS):
        members = cells_of(chosen)
        by_size = sorted(range(n_pivots), key=lambda i: len(members[i]))
        trial = list(chosen)
        for i in range(n_moved):
            emptiest, fullest = by_size[i], by_size[-1 - i]
            others = [x for x in members[fullest] if table[chosen[fullest], x] > 0 and x not in chosen]
            if len(members[fullest]) > len(members[emptiest]) and others:
                trial[emptiest] = int(rng.choice(others))
        if sum(len(m) ** 2 for m in cells_of(trial)) < sum(len(m) ** 2 for m in members):
            chosen = trial
        else:
            n_moved = max(1, n_moved // 2)
    return part[np.array(chosen)]


@given(
    sample=hnp.arrays(np.float32, st.tuples(st.integers(1, 40), st.just(2)), elements=st.integers(-3, 3)),
    metric=st.sampled_from(["euclidean", "manhattan"]),
    seed=st.integers(0, 9),
    data=st.data(),
)
def test_balanced_choice_equals_the_oracle_and_is_never_less_balanced_than_the_random_one(sample, metric, seed, data):
    n_pivots = data.draw(st.integers(1, len(sample)))
    space = get_metric(metric)
    comp = choose("balanced", sample, 1, n_pivots, seed, space)
    assert rows_of(comp) == rows_of(balanced_naive(space, sample, n_pivots, seed))
    start = choose("random", sample, 1, n_pivots, seed, space)
    assert squared_cell_sizes(space, sample, comp) <= squared_cell_sizes(space, sample, start)
    n_different = len(set(rows_of(sample)))
    assert len(set(rows_of(comp))) == n_pivots or not space.batched or n_different < n_pivots


def test_balanced_choice_of_many_pivots_equals_the_oracle():
    sample = vectors(300, d=3) ** 3  # dense in the middle, so that cells differ
    assert rows_of(choose("balanced", sample, 1, 64)) == rows_of(balanced_naive(EUCLIDEAN, sample, 64, 0))


@pytest.mark.parametrize("n_pivots", [1, 2, 20, 60])
def test_balanced_cells_are_fuller_at_their_emptiest_whatever_is_held_at_once(n_pivots, monkeypatch):
    sample = np.concatenate([vectors(200) / 10, vectors(40, seed=1) + 5])
    ref = choose("balanced", sample, 1, n_pivots)
    start = choose("random", sample, 1, n_pivots)
    balanced, random = (squared_cell_sizes(EUCLIDEAN, sample, chosen) for chosen in (ref, start))
    assert balanced <= random if n_pivots <= 2 else balanced < 0.8 * random
    monkeypatch.setattr(pivots, "MATRIX_CELLS", 100)
    assert np.array_equal(choose("balanced", sample, 1, n_pivots), ref)


@pytest.mark.parametrize("seed", range(5))
def test_balanced_choice_takes_any_metric_and_user_functions(seed):
    words = ["", "a", "b", "ab", "abc", "b", "abcd", "zzzz", "zzz", "zz", "ab", "abd", "abe", "abf"]
    batch, space = STRINGS.check(words, "words"), get_metric("levenshtein")
    comp = choose("balanced", batch, 1, 5, seed, space)
    start = choose("random", batch, 1, 5, seed, space)
    assert squared_cell_sizes(space, batch, comp) <= squared_cell_sizes(space, batch, start)
    no_metric = FunctionMetric(lambda a, b: float(abs(a[0] - 2 * b[0])))  # not even 0 between equal objects
    sample = vectors(30, d=1)
    comp = rows_of(choose("balanced", sample, 2, 4, seed, no_metric))
    assert len(set(comp)) == 8


@pytest.mark.parametrize("metric", ["euclidean", "angular", "manhattan"])
def test_balanced_choice_with_fewer_different_objects_than_pivots(metric):
    space = get_metric(metric)
    sample = np.repeat(np.eye(4, dtype=np.float32)[:3] + 1, 10, axis=0)
    comp = rows_of(choose("balanced", sample, 1, 8, metric=space))
    assert set(comp) <= set(rows_of(sample))
    assert len(comp) == 8
    assert len(set(rows_of(choose("balanced", sample, 1, 3, metric=get_metric("euclidean"))))) == 3


@pytest.mark.parametrize("method", PIVOT_CHOICES)
def test_too_few_objects_are_refused(method):
    with pytest.raises(InvalidInputError, match="3 spaces x 5 pivots need 15 objects to choose from, got 14"):
        choose(method, vectors(14))


def test_copies_are_passed_over_while_different_objects_are_left():
    sample = np.repeat(vectors(20), 3, axis=0)
    assert len(set(rows_of(choose("random", sample, 1, 16)))) == 16


@pytest.mark.parametrize("method", PIVOT_CHOICES)
def test_copies_serve_where_there_is_nothing_else(method):
    assert choose(method, np.zeros((20, 4), dtype=np.float32), 2, 5).shape == (10, 4)


@given(
    objects=hnp.arrays(np.float32, st.tuples(st.integers(0, 9), st.just(2)), elements=st.integers(-2, 2)),
    pivots=hnp.arrays(np.float32, st.tuples(st.integers(1, 9), st.just(2)), elements=st.integers(-2, 2)),
    metric=st.sampled_from(["euclidean", "manhattan", "chebyshev"]),
    data=st.data(),
)
def test_prefixes_equal_the_oracle_with_ties_and_copies(objects, pivots, metric, data):
    length = data.draw(st.integers(1, len(pivots)))
    space = get_metric(metric)
    distances = np.array([space.distances(objects[i : i + 1], pivots) for i in range(len(objects))])
    ref = oracle.prefixes_from_distances(distances.reshape(len(objects), len(pivots)), length)
    comp = nearest_pivots(space, objects, pivots, length)
    assert comp.dtype == np.uint16
    assert np.array_equal(comp, np.array(ref).reshape(comp.shape))


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e5])
def test_rounding_of_the_matrix_product_never_shows_in_a_prefix(offset):
    """Far from the origin float32 products cannot tell near pivots apart; the order must be that of the distances."""
    rng = np.random.default_rng(0)
    pivots = (rng.normal(size=(40, 8)) + offset).astype(np.float32)
    pivots[20:30] = pivots[:10]  # exact ties: the smaller index comes first
    objects = (rng.normal(size=(200, 8)) + offset).astype(np.float32)
    distances = np.stack([EUCLIDEAN.distances(objects[i : i + 1], pivots) for i in range(len(objects))])
    ref = np.argsort(distances, axis=1, kind="stable")[:, :7]
    assert np.array_equal(nearest_pivots(EUCLIDEAN, objects, pivots, 7), ref)


def test_a_prefix_does_not_depend_on_the_other_objects_of_its_batch():
    objects, pivots = vectors(300, d=64), vectors(32, d=64, seed=1)
    ref = nearest_pivots(EUCLIDEAN, objects, pivots, 8)
    comp = np.concatenate([nearest_pivots(EUCLIDEAN, objects[i : i + 1], pivots, 8) for i in range(300)])
    assert np.array_equal(comp, ref)
