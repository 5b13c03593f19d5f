"""The fast index against the oracle on random prefix tables full of ties: everything must be equal, exactly."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import ppp as oracle

from metricsearch.errors import EmptyIndexError
from metricsearch.ppp import PPPCodes, RankingOptions

PERCENTILES = [0.0, 0.25, 0.5, 0.75, 1.0]


@dataclass(frozen=True)
class Case:
    """A prefix table, pivots on a small grid, one query."""

    prefixes: np.ndarray  # (n, n_spaces, prefix_length) int64
    pivots: np.ndarray  # (n_spaces, n_pivots, 2) float32, small whole numbers, many coincide
    pivot_distances: np.ndarray  # (n_spaces, n_pivots) float64

    @property
    def pivot_pivot_distances(self):
        """Manhattan distances, (n_spaces, n_pivots, n_pivots); whole numbers, so exact in any order of summation."""
        return np.abs(self.pivots[:, :, None] - self.pivots[:, None]).sum(axis=3, dtype=np.float64)

    def index(self, **kwargs):
        """The fast index over the table."""
        n_pivots = self.pivots.shape[1]
        return PPPCodes.from_prefixes(
            self.prefixes, pivots=self.pivots, metric="manhattan", n_pivots=n_pivots, **kwargs
        )


@st.composite
def cases(draw, max_objects=300, min_objects=0):
    n_spaces = draw(st.integers(1, 5), label="n_spaces")
    length = draw(st.integers(1, 6), label="prefix_length")
    n_pivots = draw(st.integers(length, 40) | st.integers(length, length + 2), label="n_pivots")
    n_objects = draw(st.integers(min_objects, 2) | st.integers(3, 20) | st.integers(21, max_objects), label="n")
    n_distinct = draw(st.integers(1, 10) | st.integers(1, 400), label="distinct prefixes per space, at most")
    top = draw(st.sampled_from([0, 1, 3, 12]), label="largest pivot distance")
    rng = np.random.default_rng(draw(st.integers(0, 2**20), label="seed"))
    n_distinct = min(n_distinct, max(n_objects, 1))
    pool = np.array([[rng.permutation(n_pivots)[:length] for _ in range(n_distinct)] for _ in range(n_spaces)])
    rows = rng.integers(0, n_distinct, (n_objects, n_spaces))
    prefixes = np.stack([pool[j, rows[:, j]] for j in range(n_spaces)], axis=1)
    return Case(
        prefixes=prefixes,
        pivots=rng.integers(0, 4, (n_spaces, n_pivots, 2)).astype(np.float32),
        pivot_distances=rng.integers(0, top + 1, (n_spaces, n_pivots)).astype(np.float64),
    )


@st.composite
def options_for(draw, case, rankings=oracle.RANKINGS):
    n_spaces, length = case.prefixes.shape[1:]
    return {
        "ranking": draw(st.sampled_from(rankings)),
        "decay": draw(st.sampled_from([0.5, 0.75, 1.0])),
        "percentile": draw(st.sampled_from(PERCENTILES)),
        "rank_mode": draw(st.sampled_from(["dense", "position"])),
        "max_level": draw(st.none() | st.integers(1, length)),
        "n_spaces": draw(st.none() | st.integers(1, n_spaces)),
    }


def ranking_of(index, case, n_candidates, options):
    return index.rank(case.pivot_distances, n_candidates, None if options is None else RankingOptions(**options))


def reference(case, n_candidates, options, ids=None):
    return oracle.rank(
        case.prefixes,
        case.pivot_distances,
        n_candidates,
        ids=ids,
        pivot_pivot_distances=case.pivot_pivot_distances,
        **options,
    )


def assert_ranked(index, case, n_candidates, options, ids=None):
    """The answer of `index` is that of the oracle over `case`; an index without objects refuses."""
    if len(case.prefixes) == 0:
        with pytest.raises(EmptyIndexError):
            ranking_of(index, case, n_candidates, options)
        return
    comp, ref = ranking_of(index, case, n_candidates, options), reference(case, n_candidates, options, ids)
    assert comp.ids.dtype == np.int64
    assert comp.ids.tolist() == ref.ids
    assert comp.aggregated_ranks.tolist() == ref.aggregated_ranks
    assert comp.hits.tolist() == ref.hits
    assert comp.n_ids_ranked.tolist() == ref.n_ids_ranked


def assert_same_arrays(comp, ref):
    assert sorted(comp) == sorted(ref)
    for name in ref:
        assert comp[name].dtype == ref[name].dtype, name
        assert np.array_equal(comp[name], ref[name]), name


n_candidates_values = st.integers(1, 5) | st.integers(1, 400)


# ---------------------------------------------------------------- rankings


@given(data=st.data(), case=cases(), n_candidates=n_candidates_values)
def test_ranking_equals_the_oracle(data, case, n_candidates):
    options = data.draw(options_for(case))
    assert_ranked(case.index(n_threads=1), case, n_candidates, options)
    assert_ranked(case.index(n_threads=2), case, n_candidates, options)


ROUNDING_RANKINGS = [name for name in oracle.RANKINGS if name != "wspd_avg"]  # its division may merge two keys


@given(data=st.data(), case=cases(max_objects=120), ranking=st.sampled_from(ROUNDING_RANKINGS))
def test_ranking_equals_the_oracle_where_sums_round(data, case, ranking):
    """Distances and weights that are not dyadic: the fixed order of summation alone makes equal keys equal."""
    case = replace(case, pivot_distances=case.pivot_distances * 0.1)
    options = data.draw(options_for(case, rankings=[ranking]))
    options["decay"] = data.draw(st.sampled_from([0.6, 0.9, 1 / 3]))
    n_candidates = data.draw(n_candidates_values)
    assert_ranked(case.index(), case, n_candidates, options)


@given(case=cases(max_objects=60), seed=st.integers(0, 2**20), percentile=st.sampled_from(PERCENTILES))
def test_ranking_equals_the_oracle_without_ties(case, seed, percentile):
    case = replace(case, pivot_distances=np.random.default_rng(seed).random(case.pivot_distances.shape))
    options = {"percentile": percentile}
    assert_ranked(case.index(), case, 25, options)


@given(data=st.data(), case=cases(max_objects=60, min_objects=1))
def test_a_longer_candidate_list_begins_with_the_shorter_one(data, case):
    options = data.draw(options_for(case))
    index = case.index()
    full = ranking_of(index, case, len(case.prefixes) + 1, options)
    assert sorted(full.ids.tolist()) == list(range(len(case.prefixes)))
    n_candidates = data.draw(n_candidates_values)
    assert ranking_of(index, case, n_candidates, options).ids.tolist() == full.ids[:n_candidates].tolist()


@given(data=st.data(), case=cases(max_objects=60, min_objects=1))
def test_options_of_the_index_are_those_of_a_query_without_options(data, case):
    options = data.draw(options_for(case))
    index = case.index(options=RankingOptions(**options))
    ref, comp = ranking_of(index, case, 10, options), ranking_of(index, case, 10, None)
    assert comp.ids.tolist() == ref.ids.tolist()
    assert comp.aggregated_ranks.tolist() == ref.aggregated_ranks.tolist()
    assert comp.n_ids_ranked.tolist() == ref.n_ids_ranked.tolist()


@pytest.mark.parametrize(
    ("n_objects", "n_distinct", "options"),
    [
        (3000, 3000, {"percentile": 0.5}),
        (20000, 1500, {"percentile": 0.5}),
        (20000, 1500, {"percentile": 1.0, "ranking": "diff"}),
        (20000, 60, {"percentile": 0.75, "rank_mode": "position"}),
        (20000, 60, {"percentile": 0.0, "ranking": "kendall", "max_level": 2}),
    ],
)
def test_large_index_equals_the_oracle(n_objects, n_distinct, options):
    """Long enough for several levels of nodes, and for answers that need only a small part of the index."""
    rng = np.random.default_rng(n_distinct)
    near = np.argsort(rng.random((4, n_distinct, 24)) + 0.03 * np.arange(24), axis=2)  # low pivots near to most objects
    rows = rng.integers(0, n_distinct, (n_objects, 4))
    case = Case(
        prefixes=np.stack([near[j, rows[:, j], :5] for j in range(4)], axis=1),
        pivots=np.zeros((4, 24, 2), dtype=np.float32),
        pivot_distances=np.sort(rng.integers(0, 40, (4, 24)), axis=1) * 0.1,
    )
    index = case.index(n_threads=2)
    for n_candidates in (1, 30, n_objects // 2):
        assert_ranked(index, case, n_candidates, options)


@given(data=st.data(), case=cases(max_objects=60))
def test_queries_do_not_leave_traces(data, case):
    """The same index answers alternating queries and options as a fresh one does."""
    index = case.index()
    for _ in range(3):
        options = data.draw(options_for(case))
        n_candidates = data.draw(n_candidates_values)
        turned = replace(case, pivot_distances=np.roll(case.pivot_distances, data.draw(st.integers(0, 3)), axis=1))
        assert_ranked(index, turned, n_candidates, options)


@given(data=st.data(), case=cases(max_objects=60, min_objects=1), n_used=st.integers(1, 5), level=st.integers(1, 6))
def test_fewer_spaces_and_levels_are_those_of_a_smaller_index(data, case, n_used, level):
    n_used, level = min(n_used, case.prefixes.shape[1]), min(level, case.prefixes.shape[2])
    options = data.draw(options_for(case)) | {"n_spaces": n_used, "max_level": level}
    small = Case(case.prefixes[:, :n_used, :level], case.pivots[:n_used], case.pivot_distances[:n_used])
    ref = ranking_of(small.index(), small, 20, options | {"n_spaces": None, "max_level": None})
    comp = ranking_of(case.index(), case, 20, options)
    assert comp.ids.tolist() == ref.ids.tolist()
    assert comp.aggregated_ranks.tolist() == ref.aggregated_ranks.tolist()


# ---------------------------------------------------------------- ids


@st.composite
def external_ids(draw, n_objects):
    """Sparse, unsorted, distinct; some beyond 32 bits."""
    top = draw(st.sampled_from([3 * n_objects + 5, 2**31, 2**62]))
    rng = np.random.default_rng(draw(st.integers(0, 2**20)))
    ids = np.unique(rng.integers(0, top, 2 * n_objects + 2))
    while ids.size < n_objects:
        ids = np.unique(np.append(ids, rng.integers(0, top, n_objects)))
    return rng.permutation(ids)[:n_objects].astype(np.int64)


@given(data=st.data(), case=cases(max_objects=100), n_candidates=n_candidates_values)
def test_external_ids_are_returned_and_break_the_last_ties(data, case, n_candidates):
    ids = data.draw(external_ids(len(case.prefixes)))
    options = data.draw(options_for(case))
    index = case.index(ids=ids)
    assert_ranked(index, case, n_candidates, options, ids)
    assert sorted(index.ids().tolist()) == sorted(ids.tolist())
    assert len(index) == ids.size


@given(data=st.data(), case=cases(max_objects=100))
def test_prefixes_of_returns_what_was_put_in(data, case):
    ids = data.draw(external_ids(len(case.prefixes)))
    order = np.random.default_rng(0).permutation(ids.size)
    comp = case.index(ids=ids).prefixes_of(ids[order])
    assert comp.shape == case.prefixes.shape
    assert np.array_equal(comp, case.prefixes[order])


# ---------------------------------------------------------------- changes


@dataclass(frozen=True)
class Grid:
    """Points and pivots on a small grid under the Manhattan distance: ties and duplicates, no rounding."""

    objects: np.ndarray  # (n, 2) float32
    pivots: np.ndarray  # (n_spaces, n_pivots, 2) float32
    query: np.ndarray  # (2,) float32
    length: int

    def distances(self, points):
        """(n, n_spaces, n_pivots) float64."""
        return np.abs(points[:, None, None] - self.pivots[None]).sum(axis=3, dtype=np.float64)

    def case(self, keep=None):
        """The oracle's view of the objects `keep` (all by default)."""
        distances = self.distances(self.objects if keep is None else self.objects[keep])
        per_space = [oracle.prefixes_from_distances(distances[:, j], self.length) for j in range(len(self.pivots))]
        return Case(np.stack(per_space, axis=1), self.pivots, self.distances(self.query[None])[0])


@st.composite
def grids(draw, max_objects=60):
    length = draw(st.integers(1, 6))
    n_pivots = draw(st.integers(length, 20))
    n_objects = draw(st.sampled_from([0, 1, 2]) | st.integers(3, max_objects))
    rng = np.random.default_rng(draw(st.integers(0, 2**20)))
    top = draw(st.sampled_from([1, 3, 9]))
    return Grid(
        objects=rng.integers(0, top, (n_objects, 2)).astype(np.float32),
        pivots=rng.integers(0, top, (draw(st.integers(1, 4)), n_pivots, 2)).astype(np.float32),
        query=rng.integers(0, top, 2).astype(np.float32),
        length=length,
    )


@given(data=st.data(), grid=grids(), n_first=st.integers(0, 60))
def test_objects_inserted_one_by_one_are_ranked_as_in_bulk(data, grid, n_first):
    case = grid.case()
    n_first = min(n_first, len(grid.objects))
    index = Case(case.prefixes[:n_first], case.pivots, case.pivot_distances).index()
    for i in range(n_first, len(grid.objects)):
        index.insert(grid.objects[i : i + 1], ids=[i])
    assert len(index) == len(grid.objects)
    options = data.draw(options_for(case))
    assert_ranked(index, case, 20, options)
    index.consolidate()
    assert_ranked(index, case, 20, options)
    assert_same_arrays(index.to_arrays(), case.index().to_arrays())


@given(data=st.data(), grid=grids())
def test_order_of_insertion_leaves_no_trace_after_consolidation(data, grid):
    ids = data.draw(external_ids(len(grid.objects)))
    order = np.random.default_rng(1).permutation(ids.size)
    case = grid.case()
    ref = Case(case.prefixes[np.argsort(ids)], case.pivots, case.pivot_distances).index(ids=np.sort(ids))
    comp = Case(case.prefixes[:0], case.pivots, case.pivot_distances).index()
    comp.insert(grid.objects[order], ids=ids[order])
    options = data.draw(options_for(case))
    assert_ranked(comp, case, 20, options, ids)
    ref.consolidate()
    comp.consolidate()
    assert_same_arrays(comp.to_arrays(), ref.to_arrays())


@given(data=st.data(), grid=grids())
def test_removed_objects_are_gone(data, grid):
    n_objects = len(grid.objects)
    ids = data.draw(external_ids(n_objects))
    gone = np.random.default_rng(2).random(n_objects) < data.draw(st.sampled_from([0.0, 0.2, 0.9, 1.0]))
    index = grid.case().index(ids=ids)
    index.remove(ids[gone])
    assert sorted(index.ids().tolist()) == sorted(ids[~gone].tolist())
    assert len(index) == int((~gone).sum())
    case = grid.case(keep=~gone)
    options = data.draw(options_for(case))
    assert_ranked(index, case, 20, options, ids[~gone])
    index.consolidate()
    assert_ranked(index, case, 20, options, ids[~gone])
    assert_same_arrays(index.to_arrays(), case.index(ids=ids[~gone]).to_arrays())


@given(data=st.data(), grid=grids(max_objects=30))
def test_removed_ids_can_be_inserted_again_with_other_objects(data, grid):
    n_objects = len(grid.objects)
    gone = np.arange(0, n_objects, 3)
    index = grid.case().index()
    index.remove(gone)
    moved = replace(grid, objects=grid.objects.copy())
    moved.objects[gone] = grid.objects[::-1][gone]
    index.insert(moved.objects[gone], ids=gone)
    case = moved.case()
    options = data.draw(options_for(case))
    assert_ranked(index, case, 20, options)
    assert np.array_equal(index.prefixes_of(np.arange(n_objects)), case.prefixes)


@given(data=st.data(), grid=grids(max_objects=40))
def test_any_sequence_of_changes_ranks_as_the_objects_that_remain(data, grid):
    alive, next_id = {}, 0
    index = Case(grid.case().prefixes[:0], grid.pivots, grid.case().pivot_distances).index()
    for _ in range(data.draw(st.integers(1, 6))):
        step = data.draw(st.sampled_from(["insert", "remove", "consolidate"]))
        if step == "insert":
            rows = data.draw(st.lists(st.integers(0, max(len(grid.objects) - 1, 0)), max_size=len(grid.objects)))
            new_ids = np.arange(next_id, next_id + len(rows))
            index.insert(grid.objects[rows], ids=new_ids)
            alive |= dict(zip(new_ids.tolist(), rows, strict=True))
            next_id += len(rows)
        elif step == "remove":
            gone = sorted(alive)[:: data.draw(st.integers(1, 4))]
            index.remove(np.array(gone, dtype=np.int64))
            alive = {i: row for i, row in alive.items() if i not in gone}
        else:
            index.consolidate()
    ids = np.array(sorted(alive), dtype=np.int64)
    case = grid.case(keep=np.array([alive[i] for i in ids.tolist()], dtype=np.int64))
    options = data.draw(options_for(case))
    assert sorted(index.ids().tolist()) == ids.tolist()
    assert_ranked(index, case, 15, options, ids)


# ---------------------------------------------------------------- keeping


@given(data=st.data(), case=cases())
def test_arrays_and_parameters_restore_the_index(data, case):
    ids = data.draw(external_ids(len(case.prefixes)))
    index = case.index(ids=ids)
    comp = PPPCodes.from_arrays(index.parameters(), index.to_arrays(), n=len(index))
    assert comp.memory_bytes == index.memory_bytes  # before a query, which may keep tables of its own
    options = data.draw(options_for(case))
    assert_ranked(comp, case, 20, options, ids)
    assert_same_arrays(comp.to_arrays(), index.to_arrays())
    assert comp.parameters() == index.parameters()
    assert np.array_equal(comp.pivots, index.pivots)


@given(case=cases())
def test_memory_is_the_sum_of_the_arrays(case):
    index = case.index()
    assert index.memory_bytes == sum(index.memory_report().values())
    assert index.memory_bytes == sum(array.nbytes for array in index.to_arrays().values())


@pytest.mark.parametrize("n_threads", [1, 2, 4])
def test_arrays_do_not_depend_on_the_number_of_threads(n_threads):
    rng = np.random.default_rng(5)
    objects = rng.integers(0, 5, (500, 3)).astype(np.float32)
    parameters = {"metric": "manhattan", "n_spaces": 3, "n_pivots": 20, "prefix_length": 4, "seed": 3}
    ref = PPPCodes(**parameters, n_threads=1)
    ref.build(objects)
    comp = PPPCodes(**parameters, n_threads=n_threads)
    comp.build(objects)
    assert_same_arrays(comp.to_arrays(), ref.to_arrays())
