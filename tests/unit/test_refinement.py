import numpy as np
import pytest

from metricsearch import Collection, ObjectStore, PPPCodes
from metricsearch.baselines import NAPP, VPTree
from metricsearch.errors import CorruptedError, InvalidInputError, MissingIndexError, OutdatedIndexError
from metricsearch.indexes import ExactIndex, Nearest
from metricsearch.refinement import SearchResult, StoreSearch
from metricsearch.spaces import VECTORS, get_metric

N, WIDTH = 200, 6


class LooksAtAll(ExactIndex):
    """Compares every object, in an order that is not that of the IDs."""

    def __init__(self):
        self.metric = get_metric("euclidean")

    def build(self, objects, ids=None):
        self._ids = np.arange(len(objects)) if ids is None else np.sort(ids)
        return self

    def __len__(self):
        return len(self._ids)

    @property
    def width(self):
        return WIDTH

    def ids(self):
        return self._ids

    def memory_report(self):
        return {"ids": self._ids.nbytes}

    def nearest(self, query, k, distances_to, max_distances=None):
        ids = self._ids[::-1][:max_distances]
        half = len(ids) // 2
        distances = np.concatenate([distances_to(ids[:half]), distances_to(ids[half:])])
        order = np.lexsort((ids, distances))[:k]
        return Nearest(ids[order], distances[order], 3, max_distances is None)


@pytest.fixture
def objects():
    return np.random.default_rng(0).integers(0, 3, (N, WIDTH)).astype(np.float32)  # many ties


@pytest.fixture
def ids():
    return np.sort(np.random.default_rng(1).choice(10_000, N, replace=False))


@pytest.fixture
def store(tmp_path, objects, ids):
    with ObjectStore.create(tmp_path / "objects.mdb", "sparse-f32", VECTORS, WIDTH) as store:
        store.add([(ids, objects)])
        yield store


def brute_force(objects, ids, query, k):
    distances = get_metric("euclidean").distances(query, objects)
    order = np.lexsort((ids, distances))[:k]
    return ids[order], distances[order]


def test_a_collection_and_a_store_search_with_the_same_index_give_the_same_answers(tmp_path, store, objects, ids):
    parameters = {"n_spaces": 2, "n_pivots": 8, "prefix_length": 3}
    with Collection.create(tmp_path / "c.ms", index=PPPCodes("euclidean", **parameters)) as collection:
        collection.add(objects, ids)
        collection.build_index()
        expected = collection.search(objects[:5], k=7, n_candidates=60)
        with StoreSearch(collection.index, store) as search:
            found = SearchResult.of(search.search(objects[:5], k=7, n_candidates=60))
    np.testing.assert_array_equal(found.ids, expected.ids)
    np.testing.assert_array_equal(found.distances, expected.distances)
    np.testing.assert_array_equal(found.stats.n_distances, expected.stats.n_distances)


@pytest.mark.parametrize("n_threads", [1, 2])
def test_with_all_objects_as_candidates_the_answer_is_exact(store, objects, ids, n_threads):
    index = PPPCodes("euclidean", n_spaces=2, n_pivots=8, prefix_length=3).build(objects, ids)
    with StoreSearch(index, store, n_threads=n_threads) as search:
        for query, answer in zip(objects[:4], search.search(objects[:4], k=9, n_candidates=N), strict=True):
            expected_ids, expected_distances = brute_force(objects, ids, query[None], 9)
            np.testing.assert_array_equal(answer.ids, expected_ids)
            np.testing.assert_array_equal(answer.distances, expected_distances)


def test_an_exact_index_reads_what_it_compares_and_says_so(store, objects, ids):
    index = LooksAtAll().build(objects, ids)
    with StoreSearch(index, store) as search:
        (whole,) = search.nearest(objects[:1], k=5)
        (part,) = search.nearest(objects[:1], k=5, max_distances=50)
    expected_ids, expected_distances = brute_force(objects, ids, objects[:1], 5)
    np.testing.assert_array_equal(whole.ids, expected_ids)
    np.testing.assert_array_equal(whole.distances, expected_distances)
    assert (whole.costs["n_objects_read"], whole.costs["n_distances"]) == (N, N + 3)
    assert (part.costs["n_objects_read"], part.costs["n_distances"]) == (50, 53)
    assert whole.costs["n_bytes_read"] > part.costs["n_bytes_read"] > 0
    assert whole.costs["total_ms"] >= whole.costs["read_ms"] + whole.costs["refine_ms"]


def test_an_index_over_other_objects_is_refused(store, objects, ids):
    index = PPPCodes("euclidean", n_spaces=1, n_pivots=8, prefix_length=3).build(objects, ids + 1)
    with pytest.raises(OutdatedIndexError, match="other IDs than the store; build it again"):
        StoreSearch(index, store)


def test_an_index_over_other_kinds_of_objects_or_none_is_refused(store, objects, ids):
    with pytest.raises(InvalidInputError, match="holds vectors, but levenshtein compares strings"):
        StoreSearch(VPTree("levenshtein").build(["abc"] * N, ids), store)
    with pytest.raises(InvalidInputError, match="holds objects of width 6, but those of the index have 5"):
        StoreSearch(VPTree("euclidean").build(objects[:, :5], ids), store)
    with pytest.raises(MissingIndexError, match="call build"):
        StoreSearch(VPTree("euclidean"), store)


def test_candidates_may_be_none_at_all(store, objects, ids):
    index = NAPP("euclidean", 2, 1).build(objects, ids)
    nearest = [index.candidates(one, N) for one in index._pivots]
    assert set(nearest[0]).isdisjoint(nearest[1])
    both = NAPP("euclidean", 2, 1, n_searched=2, min_shared=2).build(objects, ids)
    with StoreSearch(both, store) as search:
        (answer,) = search.search(objects[:1], k=3, n_candidates=N)
    assert (len(answer.ids), len(answer.distances), answer.costs["n_objects_read"]) == (0, 0, 0)


def test_what_an_index_cannot_do_is_refused_by_name(store, objects, ids):
    with StoreSearch(LooksAtAll().build(objects, ids), store) as search:
        with pytest.raises(InvalidInputError, match=r"LooksAtAll names no candidates; call nearest\(\)"):
            search.search(objects[:1])
        with pytest.raises(InvalidInputError, match="max_distances: expected a whole number >= 1, got 0"):
            search.nearest(objects[:1], max_distances=0)
    with StoreSearch(PPPCodes(n_spaces=1, n_pivots=8, prefix_length=3).build(objects, ids), store) as search:
        with pytest.raises(InvalidInputError, match=r"PPPCodes is approximate; call search\(\)"):
            search.nearest(objects[:1])
        with pytest.raises(InvalidInputError, match=r"options: expected RankingOptions\(...\), got {'max_level': 2}"):
            search.search(objects[:1], options={"max_level": 2})
        with pytest.raises(InvalidInputError, match="R < k"):
            search.search(objects[:1], k=10, n_candidates=9)
        with pytest.raises(InvalidInputError, match="queries: row 1 has NaN"):
            search.search(np.array([objects[0], np.full(WIDTH, np.nan)]))


def test_a_damaged_object_is_an_error_in_both_kinds_of_search(tmp_path, store, objects, ids):
    store.close()
    path = tmp_path / "objects.mdb"
    content = bytearray(path.read_bytes())
    place = content.find(objects[7][objects[7] != 0].tobytes())
    content[place] ^= 1
    path.write_bytes(bytes(content))
    with ObjectStore.open(path, readonly=True) as damaged:
        with StoreSearch(LooksAtAll().build(objects, ids), damaged) as search, pytest.raises(CorruptedError):
            search.nearest(objects[:1])
        index = PPPCodes(n_spaces=1, n_pivots=8, prefix_length=3).build(objects, ids)
        with StoreSearch(index, damaged) as search, pytest.raises(CorruptedError):
            search.search(objects[:1], n_candidates=N)
