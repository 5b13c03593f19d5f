"""Baselines against slow versions of themselves, which are first held against numbers worked out by hand.

Distances come from the library's own metric, one pair at a time in exact form, and the pivots from the index itself
(`index._pivots`); what is under test is everything between them and the list of candidates or neighbours.
"""

import functools
import itertools
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import baselines as oracle

from metricsearch.baselines import (
    LAESA,
    NAPP,
    ExhaustiveScan,
    KMeansTree,
    MIFile,
    MIFileOptions,
    MIndex,
    MIndexOptions,
    NAPPOptions,
    PermutationScan,
    PPIndex,
    PPIndexOptions,
    VPTree,
)
from metricsearch.errors import (
    DuplicateIdError,
    EmptyIndexError,
    InvalidInputError,
    MissingIndexError,
    NonMetricError,
)
from metricsearch.indexes import CandidateIndex, ExactIndex
from metricsearch.refinement import StoreSearch
from metricsearch.spaces import Batch, Metric, concatenate, get_metric
from metricsearch.store import ObjectStore
from metricsearch.store.codecs import default_codec

# ---------------------------------------------------------------- the oracle, by hand

# five objects and a query, distances to pivots 0..3
ROWS = [[0.0, 1.0, 2.0, 3.0], [3.0, 2.0, 1.0, 0.0], [0.0, 2.0, 1.0, 3.0], [1.0, 0.0, 3.0, 2.0], [0.0, 1.0, 2.0, 3.0]]
QUERY = [0.0, 1.0, 4.0, 6.0]  # own permutation 0, 1, 2, 3
IDS = [50, 40, 30, 20, 10]


@pytest.mark.parametrize(
    ("row", "footrule", "rho", "binary"),
    [(ROWS[0], 0, 0, 0), (ROWS[1], 8, 20, 4), (ROWS[2], 2, 2, 2), (ROWS[3], 4, 4, 0), ([1.0, 1.0, 1.0, 1.0], 0, 0, 0)],
)
def test_permutation_distances_of_a_worked_example(row, footrule, rho, binary):
    assert oracle.permutation_distance(row, QUERY, "footrule") == footrule
    assert oracle.permutation_distance(row, QUERY, "rho") == rho
    assert oracle.permutation_distance(row, QUERY, "binary") == binary


def test_permutation_scan_of_a_worked_example():
    assert oracle.permutation_scan(ROWS, QUERY, IDS, 9).ids == [10, 50, 30, 20, 40]
    assert oracle.permutation_scan(ROWS, QUERY, IDS, 9, distance="binary").ids == [10, 20, 50, 30, 40]
    # position >= 1: pivots on the far side are all but the nearest
    assert oracle.permutation_scan(ROWS, QUERY, IDS, 4, distance="binary", threshold=1).ids == [10, 30, 50, 20]


@pytest.mark.parametrize(
    ("options", "ids", "n_postings"),
    [
        # prefixes 01 32 02 10 01 of the objects, 01 of the query; absent pivots stand at position 2
        ({}, [10, 50, 30, 20], 7),  # scores 0 - (0 + 1) 2 0
        ({"n_searched": 1}, [10, 30, 50, 20], 4),  # scores 0 - 0 1 0
        ({"n_searched": 3}, [10, 50, 20, 30, 40], 9),  # scores 0 (2 + 1 + 1) (0 + 1 + 1) (1 + 1 + 0) 0
        ({"max_position_difference": 0}, [10, 50, 30], 5),  # the fourth's postings are 1 away from the query's places
    ],
)
def test_mi_file_of_a_worked_example(options, ids, n_postings):
    comp = oracle.mi_file(ROWS, QUERY, IDS, 9, n_indexed=2, **options)
    assert comp == oracle.Candidates(ids, [n_postings])


def test_napp_of_a_worked_example():
    assert oracle.napp(ROWS, QUERY, IDS, 9, n_indexed=2) == oracle.Candidates([10, 20, 50, 30], [7])
    assert oracle.napp(ROWS, QUERY, IDS, 9, n_indexed=2, min_shared=2).ids == [10, 20, 50]
    assert oracle.napp(ROWS, QUERY, IDS, 9, n_indexed=2, n_searched=3) == oracle.Candidates([10, 20, 30, 50, 40], [9])
    assert oracle.napp(ROWS, QUERY, IDS, 1, n_indexed=1) == oracle.Candidates([10], [3])


def test_m_index_of_a_worked_example():
    # penalties of prefixes 01 32 02 10 01: 0, (6 + 3), (0 + 3), (1 + 0), 0
    comp = oracle.m_index(ROWS, QUERY, IDS, 9, prefix_length=2)
    assert comp == oracle.Candidates([10, 50, 20, 30, 40], [5])
    assert oracle.m_index(ROWS, QUERY, IDS, 1, prefix_length=2) == oracle.Candidates([10], [2])  # the whole cell
    assert oracle.m_index(ROWS, QUERY, IDS, 9, prefix_length=2, max_level=1).ids == [10, 30, 50, 20, 40]


def test_perturbed_queries_swap_the_most_similar_neighbours_first():
    assert oracle.perturbed_prefixes(QUERY, 2, 9) == [[0, 1], [1, 0], [0, 2]]  # differences 1, 3; 2 is behind
    assert oracle.perturbed_prefixes([3.0, 1.0, 2.0, 2.0], 3, 3) == [[1, 2, 3], [1, 3, 2], [2, 1, 3]]
    assert oracle.perturbed_prefixes([3.0, 1.0], 2, 9) == [[1, 0], [0, 1]]


def test_pp_index_of_a_worked_example():
    def found(n_candidates, **options):
        return oracle.pp_index([ROWS], [QUERY], IDS, n_candidates, prefix_length=2, **options)

    assert found(2) == oracle.Candidates([10, 50], [2])
    assert found(3) == oracle.Candidates([10, 50, 30], [3])  # below pivot 0
    assert found(4) == oracle.Candidates([10, 50, 30, 20], [5])  # the root
    # 01 finds 10 and 50; 10 is shortened to the root, as only one object is below pivot 1
    assert found(2, n_queries=2) == oracle.Candidates([10, 50], [7])
    assert found(4, n_queries=2).ids == [10, 20, 50, 30]  # 20 shares 2 pivots with the perturbed query
    two = oracle.pp_index([ROWS, ROWS[::-1]], [QUERY, QUERY], IDS, 2, prefix_length=2)
    assert two == oracle.Candidates([10, 50], [2, 2])  # the second tree's objects are the first's in other order


def test_laesa_bound_and_nearest_of_a_worked_example():
    assert [oracle.laesa_bound(row, QUERY) for row in ROWS] == [3.0, 6.0, 3.0, 4.0, 3.0]
    assert oracle.nearest([1.0, 0.5, 1.0, 2.0], [7, 9, 3, 1], 3) == [(9, 0.5), (3, 1.0), (7, 1.0)]


# ---------------------------------------------------------------- objects, many equal or equally far


def grid(rng, n):
    return rng.integers(0, 3, (n, 3)).astype(np.float32)


def diagonal(rng, n):
    """On a line through zero: the triangle inequality is an equality, up to rounding, nearly everywhere."""
    return np.repeat(rng.integers(0, 12, (n, 1)) * 0.1, 3, axis=1).astype(np.float32)


def far_from_zero(rng, n):
    return (4096 + rng.integers(0, 4, (n, 3)) / 16).astype(np.float32)


def strings(rng, n):
    return ["".join(rng.choice(list("abé"), rng.integers(0, 5))) for _ in range(n)]


def signatures(rng, n):
    return [
        np.column_stack([rng.integers(0, 3, (m, 2)), rng.integers(1, 4, m)]).astype(np.float32)
        for m in rng.integers(1, 4, n)
    ]


def bits(rng, n):
    return rng.random((n, 11)) < 0.4


SPACES = {
    "euclidean": ("euclidean", grid),
    "euclidean on a line": ("euclidean", diagonal),
    "euclidean far from zero": ("euclidean", far_from_zero),
    "manhattan": ("manhattan", grid),
    "levenshtein": ("levenshtein", strings),
    "sqfd": ("sqfd", signatures),
    "hamming": ("hamming", bits),
}
EUCLIDEAN = [name for name in SPACES if name.startswith("euclidean")]


@dataclass(frozen=True)
class Case:
    """n objects drawn from a pool of about n / 2, their IDs in random order, and three queries, one from the pool."""

    metric: Metric
    objects: Batch
    ids: np.ndarray
    queries: Batch

    def distances(self, i):
        """(n,) distances of query i, in the order of the objects."""
        return self.metric.distances(self.queries[i : i + 1], self.objects)


def case_of(space, rng, n):
    name, make = SPACES[space]
    metric = get_metric(name)
    pool = metric.check(make(rng, n // 2 + 1))
    objects = pool[rng.integers(0, len(pool), n)]
    ids = np.arange(n) if rng.random() < 0.3 else rng.choice(10 * n + 1, n, replace=False)
    return Case(metric, objects, ids, concatenate([pool[:1], metric.check(make(rng, 2))]))


def one_by_one(metric, left, right):
    """(n_left, n_right) distances, one row at a time."""
    return np.array([metric.distances(left[i : i + 1], right) for i in range(len(left))]).reshape(-1, len(right))


# ---------------------------------------------------------------- lists of candidates


@dataclass(frozen=True)
class Searched:
    """A baseline that is not built yet, how to search it, and its slow version."""

    index: object
    options: object
    slow: object  # (object distances, query distances, IDs, n_candidates) -> oracle.Candidates


def some(rng, *values):
    return values[rng.integers(len(values))]


def a_permutation_scan(rng, metric, n_pivots, **parameters):
    choice = {"distance": some(rng, "footrule", "rho", "binary")}
    if choice["distance"] == "binary":
        choice["threshold"] = some(rng, None, int(rng.integers(1, n_pivots + 1)))
    slow = functools.partial(oracle.permutation_scan, **choice)
    return Searched(PermutationScan(metric, n_pivots, **choice, **parameters), None, slow)


def an_mi_file(rng, metric, n_pivots, **parameters):
    n_indexed = int(rng.integers(1, n_pivots + 1))
    choice = {
        "n_searched": some(rng, None, int(rng.integers(1, n_pivots + 1))),
        "max_position_difference": some(rng, None, int(rng.integers(0, n_pivots))),
    }
    slow = functools.partial(oracle.mi_file, n_indexed=n_indexed, **choice)
    if rng.random() < 0.5:
        return Searched(MIFile(metric, n_pivots, n_indexed, **choice, **parameters), None, slow)
    return Searched(MIFile(metric, n_pivots, n_indexed, **parameters), MIFileOptions(**choice), slow)


def a_napp(rng, metric, n_pivots, **parameters):
    n_indexed = int(rng.integers(1, n_pivots + 1))
    n_searched = int(rng.integers(1, n_pivots + 1))
    choice = {"n_searched": n_searched, "min_shared": int(rng.integers(1, min(n_searched, n_indexed) + 1))}
    slow = functools.partial(oracle.napp, n_indexed=n_indexed, **choice)
    if rng.random() < 0.5:
        return Searched(NAPP(metric, n_pivots, n_indexed, **choice, **parameters), None, slow)
    return Searched(NAPP(metric, n_pivots, n_indexed, **parameters), NAPPOptions(**choice), slow)


def an_m_index(rng, metric, n_pivots, **parameters):
    length = int(rng.integers(1, n_pivots + 1))
    max_level = some(rng, None, int(rng.integers(1, length + 1)))
    slow = functools.partial(oracle.m_index, prefix_length=length, max_level=max_level)
    return Searched(MIndex(metric, n_pivots, length, **parameters), MIndexOptions(max_level=max_level), slow)


def a_pp_index(rng, metric, n_pivots, **parameters):
    n_trees = some(rng, 1, 2)
    n_pivots //= n_trees
    choice = {"prefix_length": int(rng.integers(1, n_pivots + 1)), "n_queries": some(rng, 1, 2, 4)}

    def slow(object_distances, query_distances, ids, n_candidates):
        parts = [slice(j * n_pivots, (j + 1) * n_pivots) for j in range(n_trees)]
        of_objects = [object_distances[:, part] for part in parts]
        return oracle.pp_index(of_objects, [query_distances[part] for part in parts], ids, n_candidates, **choice)

    if rng.random() < 0.5:
        return Searched(PPIndex(metric, n_trees, n_pivots, **choice, **parameters), None, slow)
    index = PPIndex(metric, n_trees, n_pivots, choice["prefix_length"], **parameters)
    return Searched(index, PPIndexOptions(n_queries=choice["n_queries"]), slow)


WITH_PIVOTS = {
    "permutation scan": a_permutation_scan,
    "MI-File": an_mi_file,
    "NAPP": a_napp,
    "M-Index": an_m_index,
    "PP-Index": a_pp_index,
}


def pivots_of(index):
    return index._pivots


def streamed(index, query, n_candidates, options=None):
    """(IDs of all blocks, costs of the stream) of one checked query."""
    stream = index.stream_candidates(index.check_query(query), n_candidates, options)
    ids = [one for block in stream.blocks for one in block.tolist()]
    return ids, stream


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("method", WITH_PIVOTS)
@settings(max_examples=25)  # each builds an index; there are many parameters
@given(seed=st.integers(0, 2**20))
def test_candidates_equal_the_oracle(method, space, seed):
    rng = np.random.default_rng(seed)
    n_pivots = int(rng.integers(2, 9))
    n = some(rng, n_pivots, int(rng.integers(n_pivots, 50)))  # every object a pivot, or some
    case = case_of(space, rng, n)
    made = WITH_PIVOTS[method](rng, case.metric, n_pivots, seed=seed, n_threads=some(rng, 1, 2))
    index = made.index.build(case.objects, case.ids)
    of_objects = one_by_one(case.metric, case.objects, pivots_of(index))
    of_queries = one_by_one(case.metric, case.queries, pivots_of(index))
    ids = case.ids.tolist()
    for i, n_candidates in itertools.product(range(3), (1, int(rng.integers(1, n + 1)), n, n + 5)):
        ref = made.slow(of_objects, of_queries[i], ids, n_candidates)
        comp, stream = streamed(index, case.queries[i : i + 1], n_candidates, made.options)
        assert comp == ref.ids
        assert stream.n_ids_ranked.tolist() == ref.n_ids_ranked
        assert stream.n_pivot_distances == of_queries.shape[1]


@pytest.mark.parametrize(("distance", "n_pivots"), [("footrule", 300), ("rho", 300), ("binary", 70), ("binary", 64)])
def test_permutations_of_more_pivots_than_fit_a_byte_or_a_word(distance, n_pivots):
    case = case_of("euclidean far from zero", np.random.default_rng(0), 320)
    index = PermutationScan("euclidean", n_pivots, distance=distance).build(case.objects, case.ids)
    of_objects = one_by_one(case.metric, case.objects, pivots_of(index))
    of_query = case.metric.distances(case.queries[:1], pivots_of(index))
    ref = oracle.permutation_scan(of_objects, of_query, case.ids.tolist(), 100, distance=distance)
    assert streamed(index, case.queries[:1], 100)[0] == ref.ids


# ---------------------------------------------------------------- the very nearest


def exact_methods(space, metric, rng, n, **parameters):
    """Indexes that are exact on objects of this space; LAESA takes no fewer objects than pivots."""
    bucket = int(rng.integers(1, 5))
    yield VPTree(metric, bucket_size=bucket, **parameters)
    yield ExhaustiveScan(metric)
    if n:
        yield LAESA(metric, int(rng.integers(1, min(n, 6) + 1)), **parameters)
    if space in EUCLIDEAN:
        choice = {"leaf_size": bucket, "balanced": bool(rng.random() < 0.5), "max_depth": some(rng, None, 2)}
        yield KMeansTree(**choice, **parameters)


class Compared:
    """Distances of one query by ID; keeps which were asked for."""

    def __init__(self, case, i):
        self.ids, self.distances = case.ids.tolist(), case.distances(i).tolist()
        self._by_id = dict(zip(self.ids, self.distances, strict=True))
        self.asked = []

    def __call__(self, ids):
        self.asked += ids.tolist()
        return np.array([self._by_id[one] for one in ids.tolist()], dtype=np.float64)

    def nearest(self, k):
        return oracle.nearest(self.distances, self.ids, k)

    def nearest_asked(self, k):
        return oracle.nearest([self._by_id[one] for one in self.asked], self.asked, k)


def pairs(found):
    return list(zip(found.ids.tolist(), found.distances.tolist(), strict=True))


@pytest.mark.parametrize("space", SPACES)
@settings(max_examples=60)
@given(seed=st.integers(0, 2**20))
def test_exact_answers_equal_sorting_all_objects(space, seed):
    rng = np.random.default_rng(seed)
    n = some(rng, 1, 2, int(rng.integers(3, 60)))
    case = case_of(space, rng, n)
    for index in exact_methods(space, case.metric, rng, n, seed=seed, n_threads=some(rng, 1, 2)):
        index.build(case.objects, case.ids)
        for i, k in itertools.product(range(3), (1, int(rng.integers(1, n + 1)), n + 3)):
            compared = Compared(case, i)
            found = index.nearest(case.queries[i : i + 1], k, compared)
            assert pairs(found) == compared.nearest(k), type(index).__name__
            assert found.is_exact
            assert len(set(compared.asked)) == len(compared.asked)  # every object is read once at most


@pytest.mark.parametrize("space", SPACES)
@settings(max_examples=30)
@given(seed=st.integers(0, 2**20))
def test_a_budget_gives_the_best_of_what_was_compared(space, seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 60))
    case = case_of(space, rng, n)
    for index in exact_methods(space, case.metric, rng, n, seed=seed, n_threads=1):
        index.build(case.objects, case.ids)
        k = int(rng.integers(1, 6))
        unlimited = Compared(case, 0)
        index.nearest(case.queries[:1], k, unlimited)
        for budget in (1, int(rng.integers(1, n + 1)), len(unlimited.asked) + 1):
            compared = Compared(case, 0)
            found = index.nearest(case.queries[:1], k, compared, budget)
            assert 0 < len(compared.asked) <= budget
            assert len(set(compared.asked)) == len(compared.asked)
            assert pairs(found) == compared.nearest_asked(k), type(index).__name__
            if found.is_exact:
                assert pairs(found) == compared.nearest(k), type(index).__name__
        assert found.is_exact  # the last budget was larger than what the search takes


def test_exact_searches_leave_most_objects_of_a_plane_uncompared():
    rng = np.random.default_rng(0)
    objects = rng.random((1000, 2)).astype(np.float32)
    case = Case(get_metric("euclidean"), objects, np.arange(1000), rng.random((3, 2)).astype(np.float32))
    for index in (VPTree("euclidean"), LAESA("euclidean", 8), KMeansTree(), KMeansTree(balanced=True)):
        index.build(objects)
        compared = Compared(case, 0)
        assert pairs(index.nearest(case.queries[:1], 5, compared)) == compared.nearest(5)
        assert len(compared.asked) < 200, type(index).__name__


@pytest.mark.parametrize("space", SPACES)
@settings(max_examples=25)
@given(seed=st.integers(0, 2**20))
def test_laesa_orders_candidates_by_their_bounds_and_compares_in_that_order(space, seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(4, 50))
    case = case_of(space, rng, n)
    index = LAESA(case.metric, int(rng.integers(1, 5)), seed=seed).build(case.objects, case.ids)
    of_objects = one_by_one(case.metric, case.objects, pivots_of(index))
    of_query = case.metric.distances(case.queries[:1], pivots_of(index))
    bound = {one: oracle.laesa_bound(row, of_query) for one, row in zip(case.ids.tolist(), of_objects, strict=True)}
    comp, stream = streamed(index, case.queries[:1], n)
    assert sorted(comp) == sorted(bound)
    slack = 4 * np.spacing(np.float32(max(of_objects.max(), of_query.max())))  # the table is float32
    assert all(bound[b] >= bound[a] - slack for a, b in itertools.pairwise(comp))
    if space in ("manhattan", "levenshtein", "hamming"):  # whole numbers: float32 holds them
        assert comp == sorted(bound, key=lambda one: (bound[one], one))
    for n_candidates in (1, n // 2, n + 5):
        assert streamed(index, case.queries[:1], n_candidates)[0] == comp[:n_candidates]
    assert stream.n_pivot_distances == len(of_query)
    assert stream.n_ids_ranked.tolist() == [n]
    compared = Compared(case, 0)
    found = index.nearest(case.queries[:1], int(rng.integers(1, 4)), compared)
    assert sorted(compared.asked) == sorted(comp[: len(compared.asked)])
    assert found.n_pivot_distances == len(of_query)


# ---------------------------------------------------------------- the binary k-means tree


@pytest.mark.parametrize("space", EUCLIDEAN)
@settings(max_examples=40)
@given(seed=st.integers(0, 2**20))
def test_the_k_means_tree_names_every_object_once_and_each_shorter_list_begins_a_longer_one(space, seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 60))
    case = case_of(space, rng, n)
    choice = {"leaf_size": int(rng.integers(1, 6)), "balanced": bool(rng.random() < 0.5)}
    index = KMeansTree(**choice, max_depth=some(rng, None, 1, 3), seed=seed).build(case.objects, case.ids)
    for i in range(3):
        every = streamed(index, case.queries[i : i + 1], n)[0]
        assert sorted(every) == sorted(case.ids.tolist())
        assert streamed(index, case.queries[i : i + 1], n + 7)[0] == every
        n_candidates = int(rng.integers(1, n + 1))
        assert streamed(index, case.queries[i : i + 1], n_candidates)[0] == every[:n_candidates]


@pytest.mark.parametrize("space", EUCLIDEAN)
@settings(max_examples=40)
@given(seed=st.integers(0, 2**20))
def test_greedy_descent_of_the_k_means_tree_ends_where_an_indexed_object_lies(space, seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 60))
    case = case_of(space, rng, n)
    index = KMeansTree(seed=seed).build(case.objects, case.ids)  # one object, or its copies, in every leaf
    for row in range(n):
        copies = sorted(case.ids[(case.objects == case.objects[row]).all(axis=1)].tolist())
        assert streamed(index, case.objects[row : row + 1], len(copies))[0] == copies


@pytest.mark.parametrize("balanced", [False, True])
def test_depth_of_the_k_means_tree(balanced):
    distinct = np.random.default_rng(0).normal(size=(64, 5)).astype(np.float32)
    index = KMeansTree(balanced=balanced).build(np.concatenate([distinct, distinct[:10]]))
    report = index.depth_report()
    assert (report["n_leaves"], report["n_nodes"]) == (64, 127)
    assert report["max_depth"] >= 6
    one_leaf = KMeansTree(leaf_size=99).build(distinct[:7], np.arange(7)[::-1])
    assert streamed(one_leaf, distinct[:1], 7)[0] == list(range(7))
    assert (one_leaf.depth_report()["n_leaves"], one_leaf.depth_report()["max_depth"]) == (1, 0)


# ---------------------------------------------------------------- through the object store


def stored(tmp_path, case):
    kind = case.metric.kind
    store = ObjectStore.create(tmp_path / "objects.mdb", default_codec(kind), kind, kind.width(case.objects))
    order = np.argsort(case.ids)
    store.add([(case.ids[order], case.objects[order])])
    return store


@pytest.mark.parametrize("space", SPACES)
def test_candidates_refined_from_the_store_are_the_nearest_of_the_oracles_list(space, tmp_path):
    rng = np.random.default_rng(1)
    case, n_candidates, k = case_of(space, rng, 80), 20, 4
    with stored(tmp_path, case) as store:
        for method, make in WITH_PIVOTS.items():
            made = make(rng, case.metric, 8, seed=3)
            index = made.index.build(case.objects, case.ids)
            of_objects = one_by_one(case.metric, case.objects, pivots_of(index))
            with StoreSearch(index, store, n_threads=2) as search:
                answers = search.search(case.queries, k, n_candidates=n_candidates, options=made.options)
            for i, answer in enumerate(answers):
                of_query = case.metric.distances(case.queries[i : i + 1], pivots_of(index))
                ref = made.slow(of_objects, of_query, case.ids.tolist(), n_candidates)
                by_id = dict(zip(case.ids.tolist(), case.distances(i).tolist(), strict=True))
                assert pairs(answer) == oracle.nearest([by_id[one] for one in ref.ids], ref.ids, k), method
                assert answer.costs["n_candidates"] == answer.costs["n_objects_read"] == len(ref.ids)
                assert answer.costs["n_distances"] == len(ref.ids) + len(of_query)
                assert answer.costs["n_ids_ranked"].tolist() == ref.n_ids_ranked


@pytest.mark.parametrize("space", SPACES)
def test_exact_searches_of_the_store_read_what_they_compare(space, tmp_path):
    rng = np.random.default_rng(2)
    case = case_of(space, rng, 80)
    with stored(tmp_path, case) as store:
        for index in exact_methods(space, case.metric, rng, 80, seed=5):
            index.build(case.objects, case.ids)
            with StoreSearch(index, store, n_threads=2) as search:
                answers = search.nearest(case.queries, 6)
                (cut,) = search.nearest(case.queries[:1], 6, max_distances=10)
            for i, answer in enumerate(answers):
                compared = Compared(case, i)
                found = index.nearest(case.queries[i : i + 1], 6, compared)
                assert pairs(answer) == compared.nearest(6), type(index).__name__
                assert answer.costs["n_objects_read"] == len(compared.asked)
                assert answer.costs["n_distances"] == len(compared.asked) + found.n_pivot_distances
            assert cut.costs["n_objects_read"] <= 10


@pytest.mark.parametrize("space", SPACES)
def test_ground_truth_is_every_tie_of_the_store_by_its_ids(space, tmp_path):
    case = case_of(space, np.random.default_rng(3), 60)
    with stored(tmp_path, case) as store:
        truth = ExhaustiveScan(case.metric).build(case.objects, case.ids).ground_truth(store, case.queries, 5)
    for i in range(3):
        compared = Compared(case, i)
        ref = compared.nearest(60)
        comp = list(zip(*(part.tolist() for part in truth.of(i)), strict=True))
        assert comp[:5] == ref[:5]
        assert comp == ref[: len(comp)]
        assert {one for one, distance in ref if distance == ref[4][1]} <= {one for one, _ in comp}
        assert truth.right(i, 5).tolist() == [one for one, _ in comp]


# ---------------------------------------------------------------- what is refused


def squared_euclidean(a, b):
    return float(((a - b) ** 2).sum())


EVERY = {
    "permutation scan": lambda metric: PermutationScan(metric, 4),
    "MI-File": lambda metric: MIFile(metric, 4, 2),
    "NAPP": lambda metric: NAPP(metric, 4, 2),
    "M-Index": lambda metric: MIndex(metric, 4, 2),
    "PP-Index": lambda metric: PPIndex(metric, 1, 4, 2),
    "LAESA": lambda metric: LAESA(metric, 4),
    "VP-tree": VPTree,
    "exhaustive scan": ExhaustiveScan,
    "k-means tree": KMeansTree,
}
WITHOUT_PIVOTS = ["VP-tree", "exhaustive scan", "k-means tree"]


def searches_of(index, query):
    """Calls that take a number of objects to find, in every way that the index searches."""
    if isinstance(index, CandidateIndex):
        yield lambda number: index.candidates(query, number)
    if isinstance(index, ExactIndex):
        yield lambda number: index.nearest(query, number, lambda ids: np.zeros(len(ids)))


@pytest.mark.parametrize("method", EVERY)
def test_searches_without_objects_and_for_nothing_are_refused(method):
    objects = grid(np.random.default_rng(0), 12)
    index = EVERY[method]("euclidean")
    for search in searches_of(index, objects[:1]):
        with pytest.raises(MissingIndexError):
            search(3)
    if method in WITHOUT_PIVOTS:
        index.build(objects[:0])
        assert len(index) == 0
        for search in searches_of(index, objects[:1]):
            with pytest.raises(EmptyIndexError):
                search(3)
    else:
        with pytest.raises(InvalidInputError, match="1 spaces x 4 pivots need 4 objects to choose from, got 3"):
            index.build(objects[:3])
    index.build(objects, np.arange(12) + 5)
    for search, number in itertools.product(searches_of(index, objects[:1]), (0, -1, 2.5)):
        with pytest.raises(InvalidInputError, match="expected a whole number >= 1"):
            search(number)


@pytest.mark.parametrize("method", EVERY)
def test_bad_objects_and_ids_leave_the_index_as_it_was(method):
    objects = grid(np.random.default_rng(0), 12)
    index = EVERY[method]("euclidean").build(objects, np.arange(12) + 5)
    with pytest.raises(DuplicateIdError, match="ID 7 is given 12 times"):
        index.build(objects, np.full(12, 7))
    with pytest.raises(InvalidInputError, match="NaN"):
        index.build(np.where(np.arange(12)[:, None] == 6, np.nan, objects))
    assert index.ids().tolist() == list(range(5, 17))
    assert index.width == 3
    assert index.memory_bytes == sum(index.memory_report().values()) > 0


@pytest.mark.parametrize("method", [method for method in EVERY if method != "k-means tree"])
def test_a_user_function_that_is_no_metric_is_refused(method):
    with pytest.raises(NonMetricError, match="triangle inequality"):
        EVERY[method](squared_euclidean).build(np.arange(40, dtype=np.float32)[:, None])


def test_the_k_means_tree_takes_euclidean_distance_only():
    with pytest.raises(InvalidInputError, match="euclidean"):
        KMeansTree("manhattan")
