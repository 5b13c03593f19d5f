"""Methods behind the harness's interface: options, refinement of a library's candidates, answers that cannot count."""

from typing import get_args

import numpy as np
import pytest

from metricsearch.bench.config import MethodConfig, OwnIndex
from metricsearch.bench.data import BenchData, write_data, write_store
from metricsearch.bench.measuring import measure_building, measure_searching, warm_up_building
from metricsearch.bench.method import Found, Memory, Method
from metricsearch.bench.own import new_index, search_options
from metricsearch.bench.results import UNKNOWN, Setting
from metricsearch.bench.searchers import LibrarySearcher, RefinedSearcher, new_searcher
from metricsearch.datasets import ArraySource
from metricsearch.errors import InvalidInputError
from metricsearch.spaces import get_metric
from metricsearch.store import ObjectStore

N, K = 200, 5
OPTIONS = {
    "ppp": {"percentile": 0.3},
    "m_index": {"max_level": 2},
    "pp_index": {"n_queries": 3},
    "mi_file": {"n_searched": 4},
    "napp": {"n_searched": 4},
}
BUILD = {
    "sketch_scan": {"n_pivots": 16, "sketch_bytes": 8},
    "ppp": {"n_spaces": 2, "n_pivots": 16, "prefix_length": 4},
    "m_index": {"n_pivots": 16, "prefix_length": 4},
    "pp_index": {"n_pivots": 16, "prefix_length": 4},
    "mi_file": {"n_pivots": 16, "n_indexed": 8},
    "napp": {"n_pivots": 16, "n_indexed": 8},
    "permutation_scan": {"n_pivots": 16},
    "laesa": {"n_pivots": 16},
}


class Scan(Method):
    """A library that knows the answer; `answer` overrides what it finds."""

    def __init__(self, metric, seed=0, answer=None, tells=True):
        super().__init__(metric, seed)
        self.answer, self.tells, self.n_batches = answer, tells, 0

    def build(self, objects):
        self.objects = np.array(objects)

    def find(self, query, n):
        if self.answer is not None:
            return Found(np.array(self.answer))
        ids = np.argsort(self.metric.distances(query, self.objects), kind="stable")[:n]
        return Found(ids, len(self.objects) if self.tells else None)

    def find_all(self, queries, n):
        self.n_batches += 1
        return super().find_all(queries, n)

    def set_threads(self, n_threads):
        pass

    def version(self):
        return "scan"

    def memory(self):
        return Memory(1, 2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def data(folder):
    rng = np.random.default_rng(1)
    metric = get_metric("euclidean")
    objects = rng.integers(0, 9, (N, 6)).astype(np.float32)  # ties and duplicates
    return write_data(BenchData("x", "", True, metric, ArraySource(objects), objects[:7] + np.float32(0.25)), folder)


@pytest.fixture(scope="module")
def store(folder, data):
    write_store(folder / "objects.mdb", data, None)
    with ObjectStore.open(folder / "objects.mdb", readonly=True) as opened:
        yield opened


def exact_distances(data):
    every = np.stack([data.metric.distances(data.queries[i : i + 1], data.objects) for i in range(len(data.queries))])
    return np.sort(every, axis=1)[:, :K]


def searched(searcher, data, store, setting):
    searcher.build(data.objects)
    searcher.open(store)
    searcher.set_threads(1)
    path = None if store is None else store.path
    try:
        return measure_searching(searcher, data.queries, K, setting, path, with_batch=True)
    finally:
        searcher.close()


@pytest.mark.parametrize("name", get_args(OwnIndex))
def test_every_own_index_is_built_and_searched_through_the_store(name, data, store, folder):
    method = MethodConfig(label=name, index=name, build=BUILD.get(name, {}), query=[OPTIONS.get(name, {})])
    searcher = new_searcher(method, data.metric, K, folder, 1)
    built = measure_building(searcher, data.objects, 10, folder)
    assert built.objects_bytes >= 0
    assert built.fixed_bytes >= 0
    assert built.index_disk_bytes >= 0
    setting = Setting(query=OPTIONS.get(name, {}), n_candidates=N if method.takes_candidates else None)
    arrays = searched(new_searcher(method, data.metric, K, folder, 1), data, store, setting)
    if name not in ("mi_file", "napp", "pp_index"):  # which may find fewer than N
        assert np.allclose(arrays["distances"], exact_distances(data))
    assert (arrays["n_distances"] >= arrays["n_objects_read"]).all()
    assert (arrays["n_objects_read"] > 0).all()
    assert np.isfinite(arrays["batch_s"])


@pytest.mark.parametrize("name", ["laesa", "k_means_tree"])
def test_an_exact_search_may_have_a_budget(name, data, store, folder):
    method = MethodConfig(label=name, index=name, exact=True, build=BUILD.get(name, {}))
    arrays = searched(new_searcher(method, data.metric, K, folder, 1), data, store, Setting(query={"max_distances": 9}))
    assert (arrays["n_objects_read"] <= 9).all()


def test_unknown_parameters_of_own_indexes_are_named(data, folder):
    with pytest.raises(InvalidInputError, match="PPPCodes: has no parameter 'n_space'; parameters: n_spaces"):
        new_index("ppp", data.metric, {"n_space": 2}, 1)
    with pytest.raises(InvalidInputError, match="NAPP: has no parameter 'n_threads'"):
        new_index("napp", data.metric, {"n_threads": 2}, 1)
    with pytest.raises(InvalidInputError, match="RankingOptions: has no parameter 'percent'"):
        search_options("ppp", {"percent": 1})
    with pytest.raises(InvalidInputError, match="permutation_scan has no parameters, got x"):
        search_options("permutation_scan", {"x": 1})
    searcher = new_searcher(MethodConfig(label="x", index="vp_tree"), data.metric, K, folder, 1)
    with pytest.raises(InvalidInputError, match="vp_tree has no parameter 'budget'; known: max_distances"):
        searcher.set(Setting(query={"budget": 3}))


def test_a_library_s_candidates_are_refined_to_the_same_answer_one_by_one_and_in_one_call(data, store):
    library = Scan(data.metric)
    searcher = RefinedSearcher(library, data.metric, K)
    searcher.build(data.objects)
    searcher.open(store)
    searcher.set(Setting(n_candidates=20))
    single = [searcher.describe(data.queries[i : i + 1], searcher.ask(data.queries[i : i + 1])) for i in range(7)]
    assert library.n_batches == 0
    together = searcher.ask_all(data.queries)
    assert library.n_batches == 1
    searcher.close()
    for one, other, expected in zip(single, together, exact_distances(data), strict=True):
        assert np.array_equal(one.ids, other.ids)
        assert np.allclose(one.distances, expected)
        assert (one.n_candidates_found, one.n_objects_read, one.n_distances) == (20, 20, 20 + N)


def test_a_refined_library_answers_by_itself_where_no_number_of_candidates_is_set(data, store):
    refined = searched(RefinedSearcher(Scan(data.metric), data.metric, K), data, store, Setting())
    alone = searched(LibrarySearcher(Scan(data.metric), data.metric, K), data, None, Setting())
    for name in ("ids", "distances", "n_objects_read", "n_candidates_found", "n_distances"):
        assert np.array_equal(refined[name], alone[name]), name
    assert (refined["n_objects_read"] == UNKNOWN).all()


def test_one_index_answers_by_itself_and_refined_in_turn(data, store):
    searcher = RefinedSearcher(Scan(data.metric, answer=np.arange(K)), data.metric, K)
    searcher.build(data.objects)
    searcher.open(store)
    query = data.queries[:1]
    for setting, n_read in ((Setting(n_candidates=K), K), (Setting(), UNKNOWN), (Setting(n_candidates=K), K)):
        searcher.set(setting)
        described = searcher.describe(query, searcher.ask(query))
        assert described.n_objects_read == n_read
        assert sorted(described.ids) == list(range(K))
    searcher.close()


def test_distances_of_a_library_that_does_not_tell_are_unknown_not_zero(data, store):
    arrays = searched(
        RefinedSearcher(Scan(data.metric, tells=False), data.metric, K), data, store, Setting(n_candidates=20)
    )
    assert (arrays["n_distances"] == UNKNOWN).all()
    assert (arrays["n_objects_read"] == 20).all()
    arrays = searched(LibrarySearcher(Scan(data.metric, tells=False), data.metric, K), data, None, Setting())
    assert (arrays["n_distances"] == UNKNOWN).all()


def test_a_short_answer_is_filled_so_that_it_counts_for_nothing(data):
    arrays = searched(LibrarySearcher(Scan(data.metric, answer=[3, 1]), data.metric, K), data, None, Setting())
    assert arrays["ids"].shape == (7, K)
    assert (np.sort(arrays["ids"][:, :2], axis=1) == [1, 3]).all()
    assert (arrays["ids"][:, 2:] == -1).all()
    assert np.isinf(arrays["distances"][:, 2:]).all()
    assert (arrays["distances"][:, 0] <= arrays["distances"][:, 1]).all()


@pytest.mark.parametrize("answer", [[1, -1], [1, N], [1, 1], [0.5], [[1]], [0, 1, 2, 3, 4, 5]])
def test_padding_repetitions_and_what_is_no_row_are_refused(data, answer):
    with pytest.raises(InvalidInputError, match="expected"):
        searched(LibrarySearcher(Scan(data.metric, answer=answer), data.metric, K), data, None, Setting())


@pytest.mark.parametrize("answer", [[1, -1], [1, N], [1, 1]])
def test_padding_is_refused_among_candidates_too(data, store, answer):
    with pytest.raises(InvalidInputError, match="expected"):
        searched(
            RefinedSearcher(Scan(data.metric, answer=answer), data.metric, K), data, store, Setting(n_candidates=9)
        )


@pytest.mark.parametrize("compiles", [True, False])
def test_only_what_compiles_is_built_for_a_warm_up_whose_failure_is_no_failure(data, compiles):
    class Failing(Scan):
        def build(self, objects):
            built.append(len(objects))
            raise ValueError("too few")

    built = []
    Failing.compiles = compiles
    warm_up_building(lambda: LibrarySearcher(Failing(data.metric), data.metric, K), data.objects)
    assert built == [N] * compiles
