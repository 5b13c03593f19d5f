import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from oracle import distances as oracle_distances
from oracle import evaluation as oracle

from metricsearch.datasets import ArraySource, RowsSource
from metricsearch.errors import InvalidInputError
from metricsearch.evaluation import cached_neighbours, exact_neighbours
from metricsearch.evaluation import neighbour_cache as cache_module
from metricsearch.spaces import STRINGS, get_metric

EUCLIDEAN = get_metric("euclidean")


class Chunks:
    """Objects in small chunks."""

    def __init__(self, objects, size):
        self.objects, self.size = objects, size

    def chunks(self, _):
        return (self.objects[i : i + self.size] for i in range(0, len(self.objects), self.size))


def check(metric, distance, objects, queries, k, size, user_objects, user_queries):
    comp = exact_neighbours(metric, Chunks(objects, size), queries, k)
    assert len(comp) == len(queries)
    for i, query in enumerate(user_queries):
        ref = oracle.neighbours(distance, user_objects, query, k)
        ids, found = comp.of(i)
        np.testing.assert_allclose(found, [d for d, _ in ref], rtol=1e-9)
        assert sorted(ids) == sorted(row for _, row in ref)
        np.testing.assert_array_equal(np.lexsort((ids, found)), np.arange(len(ids)))


vectors = hnp.arrays(np.float32, st.tuples(st.integers(1, 25), st.just(3)), elements=st.integers(-2, 2).map(np.float32))


@given(vectors, vectors, st.integers(1, 30), st.integers(1, 30))
def test_euclidean_neighbours_with_ties_and_duplicates_are_those_of_the_oracle(objects, queries, k, size):
    check(EUCLIDEAN, oracle_distances.euclidean, objects, queries, k, size, objects, queries)


@given(vectors, vectors, st.integers(1, 30), st.integers(1, 30))
def test_manhattan_neighbours_are_those_of_the_oracle(objects, queries, k, size):
    check(get_metric("manhattan"), oracle_distances.manhattan, objects, queries, k, size, objects, queries)


words = st.lists(st.text("ab", max_size=4), min_size=1, max_size=15)


@given(words, words, st.integers(1, 5), st.integers(1, 9))
def test_words_under_edit_distance_keep_all_ties(objects, queries, k, size):
    def levenshtein(a, b):
        row = list(range(len(b) + 1))
        for i, x in enumerate(a, 1):
            above, row[0] = row[:], i
            for j, y in enumerate(b, 1):
                row[j] = min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (x != y))
        return float(row[-1])

    batch, asked = STRINGS.check(objects, "objects"), STRINGS.check(queries, "queries")
    check(get_metric("levenshtein"), levenshtein, batch, asked, k, size, objects, queries)


def test_objects_closer_together_than_the_rounding_of_the_matrix_product_are_told_apart():
    rng = np.random.default_rng(0)
    base = (1000 + rng.random(64)).astype(np.float32)
    objects = np.repeat(base[None], 400, axis=0)
    objects[np.arange(400), rng.integers(64, size=400)] += rng.choice([1, 2, 3, 4], 400).astype(np.float32) * 1e-3
    queries = base[None]
    comp = exact_neighbours(EUCLIDEAN, Chunks(objects, 50), queries, 7)
    ref = oracle.neighbours(oracle_distances.euclidean, objects, base, 7)
    assert comp.of(0)[0].tolist() == [row for _, row in ref]
    # The test means something: float32 alone gets it wrong.
    assert np.argsort(EUCLIDEAN.pairwise(queries, objects)[0], kind="stable")[:7].tolist() != comp.of(0)[0][:7].tolist()


def test_the_number_of_threads_and_the_blocks_of_queries_change_nothing(monkeypatch):
    rng = np.random.default_rng(1)
    objects, queries = rng.random((300, 5), np.float32), rng.random((20, 5), np.float32)
    ref = exact_neighbours(EUCLIDEAN, Chunks(objects, 300), queries, 10, n_threads=1)
    monkeypatch.setattr("metricsearch.evaluation.ground_truth.QUERY_BLOCK", 3)
    comp = exact_neighbours(EUCLIDEAN, Chunks(objects, 17), queries, 10, n_threads=4)
    for name in ("ids", "distances", "offsets"):
        np.testing.assert_array_equal(getattr(ref, name), getattr(comp, name))


def test_fewer_neighbours_are_read_from_more():
    objects = np.array([[0], [1], [1], [2], [5]], np.float32)
    found = exact_neighbours(EUCLIDEAN, Chunks(objects, 2), np.zeros((1, 1), np.float32), 4)
    assert [found.right(0, k).tolist() for k in (1, 2, 3, 4)] == [[0], [0, 1, 2], [0, 1, 2], [0, 1, 2, 3]]
    assert [found.kth_distances(k)[0] for k in (1, 2, 3, 4)] == [0, 1, 1, 2]
    with pytest.raises(InvalidInputError, match=r"1\.\.4"):
        found.right(0, 5)


def test_no_objects_are_refused():
    with pytest.raises(InvalidInputError, match="at least one"):
        exact_neighbours(EUCLIDEAN, Chunks(np.empty((0, 2), np.float32), 5), np.zeros((1, 2), np.float32), 3)


@pytest.fixture
def counted(monkeypatch):
    """Counts full scans."""
    calls = []

    def scan(*arguments, **options):
        calls.append(1)
        return exact_neighbours(*arguments, **options)

    monkeypatch.setattr(cache_module, "exact_neighbours", scan)
    return calls


def data():
    rng = np.random.default_rng(2)
    return ArraySource(rng.random((120, 4), np.float32)), rng.random((6, 4), np.float32)


def test_the_same_question_is_answered_from_the_cache(tmp_path, counted):
    objects, queries = data()
    ref = cached_neighbours(EUCLIDEAN, objects, queries, 5, directory=tmp_path)
    comp = cached_neighbours(EUCLIDEAN, objects, queries, 5, directory=tmp_path)
    assert len(counted) == 1
    np.testing.assert_array_equal(ref.ids, comp.ids)
    np.testing.assert_array_equal(ref.distances, comp.distances)
    assert (comp.k, comp.n_objects) == (5, 120)


@pytest.mark.parametrize("change", ["metric", "k", "queries", "objects", "n"])
def test_another_question_is_not_answered_from_the_cache(tmp_path, counted, change):
    objects, queries = data()
    cached_neighbours(EUCLIDEAN, objects, queries, 5, directory=tmp_path)
    metric, k = EUCLIDEAN, 5
    if change == "metric":
        metric = get_metric("manhattan")
    elif change == "k":
        k = 6
    elif change == "queries":
        queries = queries + np.float32(0.5)
    elif change == "objects":
        objects = ArraySource(objects.load() + np.float32(0.5))
    else:
        objects = RowsSource(objects, np.arange(119))
    cached_neighbours(metric, objects, queries, k, directory=tmp_path)
    assert len(counted) == 2


@pytest.mark.parametrize("damage", ["truncated", "not HDF5", "changed value"])
def test_a_damaged_cache_file_is_computed_anew(tmp_path, counted, damage):
    import h5py

    objects, queries = data()
    ref = cached_neighbours(EUCLIDEAN, objects, queries, 5, directory=tmp_path)
    (path,) = tmp_path.iterdir()
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-500])
    elif damage == "not HDF5":
        path.write_bytes(b"nonsense")
    else:
        with h5py.File(path, "r+") as file:
            file["ids"][0] = 77
    comp = cached_neighbours(EUCLIDEAN, objects, queries, 5, directory=tmp_path)
    assert len(counted) == 2
    np.testing.assert_array_equal(ref.ids, comp.ids)
    cached_neighbours(EUCLIDEAN, objects, queries, 5, directory=tmp_path)
    assert len(counted) == 2


def test_a_cache_that_cannot_be_written_stops_nothing(tmp_path):
    objects, queries = data()
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    assert len(cached_neighbours(EUCLIDEAN, objects, queries, 5, directory=blocked / "cache")) == 6
