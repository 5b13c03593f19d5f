"""Exact baselines against sorting all distances by (distance, ID)."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metricsearch.baselines import LAESA, ExhaustiveScan, VPTree
from metricsearch.errors import (
    DuplicateIdError,
    EmptyIndexError,
    InvalidInputError,
    MissingIndexError,
    NonMetricError,
)
from metricsearch.evaluation import exact_neighbours
from metricsearch.refinement import StoreSearch
from metricsearch.spaces import STRINGS, VECTORS, FunctionMetric, get_metric
from metricsearch.store import ObjectStore

# ---------------------------------------------------------------- objects: small values, so that distances tie


def grid_vectors(rng, n):
    return rng.integers(0, 4, (n, 3)).astype(np.float32)


def real_vectors(rng, n):
    return rng.normal(size=(n, 3)).astype(np.float32) + np.float32(100)


def nonzero_vectors(rng, n):
    vectors = rng.integers(-2, 3, (n, 3)).astype(np.float32)
    vectors[~vectors.any(axis=1), 0] = 1.0
    return vectors


def histograms(rng, n):
    counts = rng.integers(0, 3, (n, 4))
    counts[~counts.any(axis=1), 0] = 1
    return (counts / counts.sum(axis=1, keepdims=True)).astype(np.float32)


def bits(rng, n):
    return rng.random((n, 11)) < 0.4


def strings(rng, n):
    return ["".join(rng.choice(list("abé"), rng.integers(0, 6))) for _ in range(n)]


def signatures(rng, n):
    return [
        np.column_stack([rng.integers(0, 3, (m, 2)), rng.integers(1, 4, m)]).astype(np.float32)
        for m in rng.integers(1, 4, n)
    ]


def length_distance(a, b):
    """A user's metric on strings; 1 more than the difference in length, since distance 0 means equality."""
    return 0.0 if a == b else 1.0 + abs(len(a) - len(b))


SPACES = {
    "euclidean": ("euclidean", grid_vectors),
    "euclidean, far from 0": ("euclidean", real_vectors),
    "manhattan": ("manhattan", grid_vectors),
    "angular": ("angular", nonzero_vectors),
    "jensen_shannon": ("jensen_shannon", histograms),
    "levenshtein": ("levenshtein", strings),
    "sqfd": ("sqfd", signatures),
    "hamming": ("hamming", bits),
    "user": (FunctionMetric(length_distance, STRINGS), strings),
}
KINDS = ["VPTree", "VPTree, buckets of 1", "LAESA", "ExhaustiveScan"]


def new_index(kind, metric, n, n_threads=1):
    if kind == "LAESA":
        return LAESA(metric, min(n, 4), n_threads=n_threads)
    if kind == "ExhaustiveScan":
        return ExhaustiveScan(metric, n_threads=n_threads)
    return VPTree(metric, bucket_size=8 if kind == "VPTree" else 1, n_threads=n_threads)


class Objects:
    """Objects by their IDs, which remembers what was compared."""

    def __init__(self, metric, objects, ids):
        self.metric, self.batch, self.ids = get_metric(metric), get_metric(metric).check(objects), np.asarray(ids)
        self.compared = []

    def distances_of(self, query):
        def distances_to(ids):
            self.compared += ids.tolist()
            order = np.argsort(self.ids)
            return self.metric.distances(query, self.batch[order[np.searchsorted(self.ids, ids, sorter=order)]])

        return distances_to

    def sorted_by_distance(self, query, among=None):
        """(distance, ID) of all objects, or of those with IDs `among`, nearest first."""
        distances = self.metric.distances(query, self.batch)
        pairs = zip(distances.tolist(), self.ids.tolist(), strict=True)
        return sorted(pair for pair in pairs if among is None or pair[1] in among)


def check_nearest(index, objects, query, k, max_distances=None):
    objects.compared.clear()
    found = index.nearest(query, k, objects.distances_of(query), max_distances)
    assert len(set(objects.compared)) == len(objects.compared)
    assert found.ids.dtype == np.int64
    return found, list(zip(found.distances.tolist(), found.ids.tolist(), strict=True))


def random_ids(rng, n):
    return rng.permutation(3 * n)[:n] + 7


# ---------------------------------------------------------------- exactness


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 2**32), n=st.integers(1, 70), k=st.integers(1, 12), own_ids=st.booleans())
@settings(max_examples=15)
def test_the_nearest_are_those_of_sorting_all_distances(kind, space, seed, n, k, own_ids):
    metric, generate = SPACES[space]
    rng = np.random.default_rng(seed)
    given_objects, ids = generate(rng, n), random_ids(rng, n) if own_ids else np.arange(n)
    index = new_index(kind, metric, n).build(given_objects, ids if own_ids else None)
    objects = Objects(metric, given_objects, ids)
    queries = objects.metric.check(generate(rng, 3))
    for query in [queries[i : i + 1] for i in range(3)] + [objects.batch[:1]]:
        found, pairs = check_nearest(index, objects, query, k)
        assert pairs == objects.sorted_by_distance(query)[:k]
        assert found.is_exact


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [1, 2, 3, 40])
def test_copies_of_one_object_come_by_id(kind, n):
    objects = Objects("euclidean", np.ones((n, 2)), random_ids(np.random.default_rng(n), n))
    index = new_index(kind, "euclidean", n).build(objects.batch, objects.ids)
    query = np.zeros((1, 2), dtype=np.float32)
    for k in (1, n, n + 5):
        _, pairs = check_nearest(index, objects, query, k)
        assert pairs == [(np.sqrt(2.0), i) for i in np.sort(objects.ids)[:k]]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scale", [3e38, 1e-38, 1e-44])
def test_distances_that_float32_cannot_hold_stay_exact(kind, scale):
    """Distances beyond the largest float32, and near the smallest: bounds are kept as float32."""
    rng = np.random.default_rng(0)
    vectors = (rng.choice([-1, -0.5, 0, 0.5, 1], (60, 3)) * scale).astype(np.float32)
    objects = Objects("euclidean", vectors, np.arange(60))
    index = new_index(kind, "euclidean", 60).build(vectors)
    for row in range(60):
        query = vectors[row : row + 1]
        _, pairs = check_nearest(index, objects, query, 3)
        assert pairs == objects.sorted_by_distance(query)[:3]


@pytest.mark.parametrize("kind", KINDS)
def test_a_build_replaces_what_was_there(kind):
    rng = np.random.default_rng(0)
    old, new = grid_vectors(rng, 50), grid_vectors(rng, 20)
    index = new_index(kind, "euclidean", 20).build(old, random_ids(rng, 50)).build(new)
    objects = Objects("euclidean", new, np.arange(20))
    assert len(index) == 20
    assert index.ids().tolist() == list(range(20))
    assert check_nearest(index, objects, old[:1], 20)[1] == objects.sorted_by_distance(old[:1])


@pytest.mark.parametrize("kind", KINDS)
def test_chunks_of_an_iterator_give_the_index_of_the_whole(kind):
    vectors = grid_vectors(np.random.default_rng(0), 90)
    objects = Objects("euclidean", vectors, np.arange(90))
    index = new_index(kind, "euclidean", 90).build(vectors[i : i + 17] for i in range(0, 90, 17))
    assert check_nearest(index, objects, vectors[:1], 9)[1] == objects.sorted_by_distance(vectors[:1])[:9]


# ---------------------------------------------------------------- fewer comparisons, budgets


@pytest.mark.parametrize(
    ("index", "share"),
    [(VPTree("euclidean"), 0.1), (LAESA("euclidean", 4), 0.05), (LAESA("euclidean", 1), 0.2)],
    ids=["VPTree", "LAESA", "LAESA, one pivot"],
)
def test_bounds_save_most_comparisons(index, share):
    """With one pivot the first objects of LAESA are far away: it must end when nearer ones are found later."""
    vectors = np.random.default_rng(0).random((1000, 2)).astype(np.float32)
    objects = Objects("euclidean", vectors, np.arange(1000))
    index.build(vectors)
    for row in range(5):
        check_nearest(index, objects, vectors[row : row + 1], 3)
        assert len(objects.compared) < share * 1000


@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 2**32), n=st.integers(1, 60), k=st.integers(1, 8), budget=st.integers(1, 80))
@settings(max_examples=25)
def test_a_budget_is_kept_and_gives_the_best_of_what_was_compared(kind, seed, n, k, budget):
    rng = np.random.default_rng(seed)
    objects = Objects("manhattan", grid_vectors(rng, n), random_ids(rng, n))
    index = new_index(kind, "manhattan", n).build(objects.batch, objects.ids)
    query = grid_vectors(rng, 1)
    _, exact = check_nearest(index, objects, query, k)
    n_needed = len(objects.compared)
    found, pairs = check_nearest(index, objects, query, k, budget)
    assert len(objects.compared) == min(budget, n_needed)
    assert pairs == objects.sorted_by_distance(query, set(objects.compared))[:k]
    assert found.is_exact == (budget >= n_needed)
    if found.is_exact:
        assert pairs == exact


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_compared_does_not_depend_on_threads(kind):
    vectors = np.random.default_rng(0).normal(size=(9000, 4)).astype(np.float32)  # more than one slice
    objects = Objects("euclidean", vectors, np.arange(9000))
    compared = []
    for n_threads in (1, 3):
        index = new_index(kind, "euclidean", 9000, n_threads).build(vectors)
        check_nearest(index, objects, vectors[:1], 5)
        compared.append(list(objects.compared))
    assert compared[0] == compared[1]


def test_the_seed_decides_the_vantage_points():
    vectors = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
    objects = Objects("euclidean", vectors, np.arange(200))
    first = []
    for seed in (0, 0, 1):
        check_nearest(VPTree("euclidean", seed=seed).build(vectors), objects, vectors[:1], 1)
        first.append(objects.compared[:3])
    assert first[0] == first[1] != first[2]


# ---------------------------------------------------------------- LAESA's candidates


@pytest.mark.parametrize("space", ["euclidean", "levenshtein", "hamming", "sqfd"])
@given(seed=st.integers(0, 2**32), n=st.integers(4, 50), n_candidates=st.integers(1, 60))
@settings(max_examples=15)
def test_candidates_come_by_lower_bound_and_id(space, seed, n, n_candidates):
    metric, generate = SPACES[space]
    rng = np.random.default_rng(seed)
    objects = Objects(metric, generate(rng, n), random_ids(rng, n))
    index = LAESA(metric, 3, n_threads=1).build(objects.batch, objects.ids)
    query, pivots = objects.metric.check(generate(rng, 1)), index._pivots

    def to_pivots(one):
        return objects.metric.distances(one, pivots).astype(np.float32).astype(np.float64)

    pairs = sorted(
        (np.abs(to_pivots(query) - to_pivots(objects.batch[i : i + 1])).max(), objects.ids[i]) for i in range(n)
    )
    stream = index.stream_candidates(query, n_candidates)
    assert np.concatenate(list(stream.blocks)).tolist() == [i for _, i in pairs[:n_candidates]]
    assert stream.n_pivot_distances == 3
    assert stream.n_ids_ranked.tolist() == [n]


def test_laesa_counts_its_pivots():
    vectors = grid_vectors(np.random.default_rng(0), 30)
    index = LAESA("euclidean", 5).build(vectors)
    objects = Objects("euclidean", vectors, np.arange(30))
    assert check_nearest(index, objects, vectors[:1], 2)[0].n_pivot_distances == 5
    assert check_nearest(VPTree("euclidean").build(vectors), objects, vectors[:1], 2)[0].n_pivot_distances == 0


# ---------------------------------------------------------------- over an object store


@pytest.fixture
def vector_store(tmp_path):
    """A store of 60 vectors with many ties, its objects and IDs."""
    rng = np.random.default_rng(5)
    objects = Objects("euclidean", grid_vectors(rng, 60), random_ids(rng, 60))
    with ObjectStore.create(tmp_path / "objects.mdb", "raw-f32", VECTORS, 3) as store:
        store.add([(objects.ids, objects.batch)])
        yield store, objects


@pytest.mark.parametrize("kind", KINDS)
def test_search_over_a_store_gives_the_nearest_and_their_costs(kind, vector_store):
    store, objects = vector_store
    index = new_index(kind, "euclidean", 60).build(objects.batch, objects.ids)
    queries = objects.batch[:4] + np.float32(0.5)
    with StoreSearch(index, store, n_threads=1) as search:
        answers = search.nearest(queries, 7)
        limited = search.nearest(queries, 2, max_distances=5)
    for i, answer in enumerate(answers):
        query = queries[i : i + 1]
        assert list(zip(answer.distances, answer.ids, strict=True)) == objects.sorted_by_distance(query)[:7]
        found, _ = check_nearest(index, objects, query, 7)
        assert answer.costs["n_objects_read"] == len(objects.compared)
        assert answer.costs["n_distances"] == len(objects.compared) + found.n_pivot_distances
        assert limited[i].costs["n_objects_read"] == 5


def test_laesa_searches_a_store_by_candidates_too(vector_store):
    store, objects = vector_store
    index = LAESA("euclidean", 4).build(objects.batch, objects.ids)
    with StoreSearch(index, store, n_threads=1) as search:
        answer = search.search(objects.batch[:1], 7, n_candidates=60)[0]
    assert list(zip(answer.distances, answer.ids, strict=True)) == objects.sorted_by_distance(objects.batch[:1])[:7]


def test_ground_truth_of_a_store_has_its_ids_and_all_ties(vector_store):
    store, objects = vector_store
    queries = objects.batch[:5]
    found = ExhaustiveScan("euclidean").ground_truth(store, queries, 4)
    assert (len(found), found.k, found.n_objects) == (5, 4, 60)
    for i in range(5):
        pairs = objects.sorted_by_distance(queries[i : i + 1])
        ids, distances = found.of(i)
        assert list(zip(distances.tolist(), ids.tolist(), strict=True)) == [p for p in pairs if p[0] <= pairs[3][0]]


def test_ground_truth_of_ids_0_1_2_is_that_of_exact_neighbours(tmp_path):
    class Whole:
        def chunks(self, _):
            yield vectors

    vectors = grid_vectors(np.random.default_rng(1), 40)
    with ObjectStore.create(tmp_path / "objects.mdb", "raw-f32", VECTORS, 3) as store:
        store.add([(np.arange(40), vectors)])
        comp = ExhaustiveScan("manhattan").ground_truth(store, vectors[:6], 3)
    ref = exact_neighbours(get_metric("manhattan"), Whole(), vectors[:6], 3)
    for name in ("ids", "distances", "offsets"):
        np.testing.assert_array_equal(getattr(comp, name), getattr(ref, name))


def test_ground_truth_says_what_is_wrong(vector_store, tmp_path):
    store, objects = vector_store
    scan = ExhaustiveScan("euclidean")
    with pytest.raises(InvalidInputError, match=r"objects\.mdb: holds vectors, but levenshtein compares strings"):
        ExhaustiveScan("levenshtein").ground_truth(store, ["abc"], 1)
    with pytest.raises(InvalidInputError, match="queries: expected 3 dimensions per vector, got 2"):
        scan.ground_truth(store, np.zeros((1, 2)), 1)
    with pytest.raises(InvalidInputError, match="queries: row 1 has NaN"):
        scan.ground_truth(store, np.array([[0, 0, 0], [0, np.nan, 0]]), 1)
    with pytest.raises(InvalidInputError, match="k: expected a whole number >= 1, got 0"):
        scan.ground_truth(store, objects.batch[:1], 0)
    with (
        ObjectStore.create(tmp_path / "empty.mdb", "raw-f32", VECTORS, 3) as empty,
        pytest.raises(EmptyIndexError, match=r"empty\.mdb: it holds no objects"),
    ):
        scan.ground_truth(empty, objects.batch[:1], 1)


# ---------------------------------------------------------------- memory


def test_memory_is_what_the_arrays_take():
    vectors = grid_vectors(np.random.default_rng(0), 1000)
    assert ExhaustiveScan("euclidean").build(vectors).memory_report() == {"ids": 0}
    tree = VPTree("euclidean").build(vectors)
    # 1000 > 8 objects are split at 7 levels: 499, 249, ..., 7; of the last level's 64 nodes none is split
    assert tree.memory_report() == {"ids": 0, "order": 4000, "radii": 16 * (2**7 - 1)}
    assert VPTree("euclidean").build(vectors, np.arange(1000) + 5).memory_report()["ids"] == 8000
    laesa = LAESA("euclidean", 16).build(vectors)
    assert laesa.memory_report() == {"distances": 4 * 16 * 1000, "ids": 0, "pivots": 16 * 3 * 4}
    assert laesa.memory_bytes == 64192


# ---------------------------------------------------------------- mistakes


def no_distances(ids):
    raise AssertionError("nothing to compare")


@pytest.mark.parametrize("kind", KINDS)
def test_before_a_build_there_is_nothing_to_search(kind):
    index = new_index(kind, "euclidean", 5)
    assert (len(index), index.ids().tolist()) == (0, [])
    with pytest.raises(MissingIndexError, match="call build"):
        index.check_query([0.0, 0.0])
    with pytest.raises(MissingIndexError, match="call build"):
        index.nearest(np.zeros((1, 2), dtype=np.float32), 1, no_distances)


@pytest.mark.parametrize("kind", ["VPTree", "ExhaustiveScan"])
def test_no_objects_have_no_nearest(kind):
    index = new_index(kind, "levenshtein", 5).build([])
    assert (len(index), index.ids().tolist(), index.memory_bytes) == (0, [], 0)
    with pytest.raises(EmptyIndexError, match="it holds no objects"):
        index.nearest(index.check_query("abc"), 1, no_distances)


def test_laesa_needs_as_many_objects_as_pivots():
    with pytest.raises(InvalidInputError, match="lower n_pivots"):
        LAESA("euclidean", 5).build(np.zeros((4, 2)))


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_of_a_search_are_checked(kind):
    vectors = grid_vectors(np.random.default_rng(0), 30)
    index = new_index(kind, "euclidean", 30).build(vectors)
    with pytest.raises(InvalidInputError, match="k: expected a whole number >= 1, got 0"):
        index.nearest(vectors[:1], 0, no_distances)
    with pytest.raises(InvalidInputError, match="max_distances: expected a whole number >= 1, got 0"):
        index.nearest(vectors[:1], 1, no_distances, 0)
    with pytest.raises(InvalidInputError, match="query: expected 3 dimensions per vector, got 2"):
        index.check_query([0.0, 0.0])


def test_laesa_checks_what_a_search_for_candidates_is_given():
    vectors = grid_vectors(np.random.default_rng(0), 30)
    index = LAESA("euclidean", 3).build(vectors)
    with pytest.raises(InvalidInputError, match="n_candidates: expected a whole number >= 1, got 0"):
        index.candidates(vectors[0], 0)
    with pytest.raises(InvalidInputError, match="options: LAESA has none, got 7"):
        index.candidates(vectors[0], 3, 7)


@pytest.mark.parametrize("kind", KINDS)
def test_a_refused_build_leaves_the_index_as_it_was(kind):
    vectors = grid_vectors(np.random.default_rng(0), 30)
    index = new_index(kind, "euclidean", 30).build(vectors)
    with pytest.raises(DuplicateIdError, match="ID 3 is given 30 times"):
        index.build(vectors, np.full(30, 3))
    with pytest.raises(InvalidInputError, match="row 29 has NaN"):
        index.build(np.vstack([vectors[:29], [[0, 0, np.nan]]]))
    objects = Objects("euclidean", vectors, np.arange(30))
    assert check_nearest(index, objects, vectors[:1], 30)[1] == objects.sorted_by_distance(vectors[:1])


@pytest.mark.parametrize("kind", KINDS)
def test_a_function_that_is_no_metric_is_refused(kind):
    squared = FunctionMetric(lambda a, b: float(((a - b) ** 2).sum()), "vectors", "squared")
    vectors = np.arange(30, dtype=np.float32)[:, None]
    with pytest.raises(NonMetricError, match="breaks the triangle inequality"):
        new_index(kind, squared, 30).build(vectors)


def test_a_bucket_holds_at_least_one_object():
    with pytest.raises(InvalidInputError, match="bucket_size: expected a whole number >= 1, got 0"):
        VPTree("euclidean", bucket_size=0)
