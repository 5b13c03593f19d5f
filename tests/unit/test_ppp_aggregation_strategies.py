"""Aggregation by sums of scores: the threshold algorithm and the learned scores against the oracle, exactly."""

from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import ppp as oracle
from test_ppp_ranking import Case, cases, external_ids, grids

from metricsearch import Collection, FunctionMetric, PPPCodes, RankingOptions
from metricsearch.errors import CorruptedError, EmptyIndexError, InvalidInputError, MissingIndexError
from metricsearch.ppp import AGGREGATIONS, aggregation
from metricsearch.ppp.scores import ObjectSample, ScoreDepths, space_scores
from metricsearch.ppp.scores.calibration import _INNER_EDGES, _bins_of, _minus_log_ratio

SCORES = [name for name in AGGREGATIONS if name != "percentile"]
RNG = np.random.default_rng(0)
VECTORS = RNG.normal(size=(700, 6)).astype(np.float32)
CALIBRATED = RankingOptions(aggregation="calibrated")


def some_calibration(n_spaces, seed, flat=False):
    """Non-decreasing tables with rises of many sizes, and some that do not rise."""
    rng = np.random.default_rng(seed)
    rises = rng.random((n_spaces, oracle.BINS)) ** 4 * rng.integers(0, 1 if flat else 3, (n_spaces, oracle.BINS))
    return np.cumsum(rises, axis=1) - 5.0


def calibrated(index, table):
    """`index` with a learned table, as a saved one gets it."""
    arrays = index.to_arrays() | {"calibration": table}
    return PPPCodes.from_arrays(index.parameters(), arrays, n=len(index), n_threads=index.n_threads)


@st.composite
def options_for(draw, case, rankings=oracle.RANKINGS):
    n_spaces, length = case.prefixes.shape[1:]
    return {
        "aggregation": draw(st.sampled_from(SCORES)),
        "ranking": draw(st.sampled_from(rankings)),
        "decay": draw(st.sampled_from([0.5, 0.75, 1.0])),
        "rank_mode": draw(st.sampled_from(["dense", "position"])),
        "max_level": draw(st.none() | st.integers(1, length)),
        "n_spaces": draw(st.none() | st.integers(1, n_spaces)),
    }


def assert_ranked(index, case, n_candidates, options, table, ids=None):
    if len(case.prefixes) == 0:
        with pytest.raises(EmptyIndexError):
            index.rank(case.pivot_distances, n_candidates, RankingOptions(**options))
        return
    comp = index.rank(case.pivot_distances, n_candidates, RankingOptions(**options))
    between = case.pivot_pivot_distances
    ref_ids, ref_sums = oracle.rank_by_sum(
        case.prefixes,
        case.pivot_distances,
        n_candidates,
        ids=ids,
        table=table,
        pivot_pivot_distances=between,
        **options,
    )
    assert comp.ids.dtype == np.int64
    assert comp.scores.dtype == np.float64
    assert comp.ids.tolist() == ref_ids
    assert comp.scores.tolist() == ref_sums
    n_used = options["n_spaces"] or case.prefixes.shape[1]
    assert comp.aggregated_ranks.tolist() == []
    assert comp.hits.tolist() == [n_used] * len(ref_ids)
    assert comp.n_ids_ranked.shape == (n_used,)
    assert ((comp.n_ids_ranked >= len(ref_ids)) & (comp.n_ids_ranked <= len(case.prefixes))).all()


def clusters(n_objects, rng):
    centres = rng.normal(size=(40, 16)) * 3
    return (centres[rng.integers(0, 40, n_objects)] + rng.normal(size=(n_objects, 16))).astype(np.float32)


n_candidates_values = st.integers(1, 5) | st.integers(1, 400)


# ---------------------------------------------------------------- ranking


@given(data=st.data(), case=cases(), n_candidates=n_candidates_values, seed=st.integers(0, 2**20))
def test_ranking_equals_the_oracle(data, case, n_candidates, seed):
    table = some_calibration(case.prefixes.shape[1], seed, flat=data.draw(st.booleans()))
    options = data.draw(options_for(case))
    for n_threads in (1, 2):
        assert_ranked(calibrated(case.index(n_threads=n_threads), table), case, n_candidates, options, table)


@given(data=st.data(), case=cases(max_objects=120), seed=st.integers(0, 2**20))
def test_ranking_equals_the_oracle_where_sums_round(data, case, seed):
    table = some_calibration(case.prefixes.shape[1], seed)
    case = replace(case, pivot_distances=case.pivot_distances * 0.1)
    options = data.draw(options_for(case))
    options["decay"] = data.draw(st.sampled_from([0.6, 0.9, 1 / 3]))
    assert_ranked(calibrated(case.index(), table), case, data.draw(n_candidates_values), options, table)


@settings(max_examples=200)
@given(data=st.data(), case=cases(max_objects=60, min_objects=1), growth=st.sampled_from([1.01, 1.1, 1.7]))
def test_reading_stops_neither_too_early_nor_too_late_for_ties(data, case, growth):
    """Slices that hardly grow: what was not met yet decides when the best are certain, last ties included."""
    ids = data.draw(external_ids(len(case.prefixes)))
    # whole numbers: sums tie
    table = np.floor(some_calibration(case.prefixes.shape[1], 4, flat=data.draw(st.booleans())) / 2)
    index = calibrated(case.index(ids=ids, n_threads=1), table)
    options = data.draw(options_for(case))
    n_candidates = data.draw(st.integers(1, len(case.prefixes)))
    with patch.object(ScoreDepths, "depth", lambda *_: 1 / 64), patch.object(aggregation, "GROWTH", growth):
        assert_ranked(index, case, n_candidates, options, table, ids)


def test_an_object_not_met_anywhere_may_still_tie():
    """All scores are equal, so the smallest ID is best, and that object is the farthest of all."""
    n_objects = 200
    prefixes = np.arange(n_objects)[:, None, None]
    index = PPPCodes.from_prefixes(prefixes, n_pivots=n_objects, ids=np.arange(n_objects)[::-1])
    index = calibrated(index, np.full((1, oracle.BINS), 2.5))
    with patch.object(ScoreDepths, "depth", lambda *_: 1 / 64):
        ranking = index.rank(np.arange(1.0, n_objects + 1)[None], 3, RankingOptions(aggregation="calibrated"))
    assert ranking.ids.tolist() == [0, 1, 2]
    assert ranking.scores.tolist() == [2.5] * 3


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize(("n_objects", "n_distinct"), [(3000, 3000), (20000, 60), (20000, 800)])
def test_large_index_equals_the_oracle(name, n_objects, n_distinct):
    """So large that the spaces are read in several slices, and not to their ends."""
    rng = np.random.default_rng(n_distinct)
    near = np.argsort(rng.random((4, n_distinct, 24)) + 0.03 * np.arange(24), axis=2)
    rows = rng.integers(0, n_distinct, (n_objects, 4))
    case = Case(
        prefixes=np.stack([near[j, rows[:, j], :5] for j in range(4)], axis=1),
        pivots=np.zeros((4, 24, 2), dtype=np.float32),
        pivot_distances=np.sort(rng.integers(0, 40, (4, 24)), axis=1) * 0.1,
    )
    table = some_calibration(4, 1)
    index = calibrated(case.index(n_threads=2), table)
    ref_ids, ref_sums = oracle.rank_by_sum(case.prefixes, case.pivot_distances, n_objects, name, table=table)
    for n_candidates in (1, 30, n_objects // 2):
        comp = index.rank(case.pivot_distances, n_candidates, RankingOptions(aggregation=name))
        assert comp.ids.tolist() == ref_ids[:n_candidates]
        assert comp.scores.tolist() == ref_sums[:n_candidates]


@pytest.mark.parametrize("name", SCORES)
def test_spaces_are_read_no_deeper_than_it_takes(name):
    objects = clusters(8000, np.random.default_rng(11))
    index = PPPCodes(n_spaces=3, n_pivots=32, prefix_length=6, options=RankingOptions(aggregation=name)).build(objects)
    ranking = index.rank(index.pivot_distances(objects[:1]), 10)
    assert ranking.n_ids_ranked.min() >= 10
    assert ranking.n_ids_ranked.max() < 4000


@given(data=st.data(), case=cases(max_objects=200, min_objects=1), first=st.integers(1, 250))
def test_blocks_are_the_one_block_cut(data, case, first):
    table = some_calibration(case.prefixes.shape[1], 2)
    index = calibrated(case.index(), table)
    options = RankingOptions(**data.draw(options_for(case)))
    n_candidates = data.draw(n_candidates_values)
    ref = index.rank(case.pivot_distances, n_candidates, options)
    progress = index.new_progress(options)
    blocks = list(index.stream(case.pivot_distances, n_candidates, options, progress, first))
    assert len(blocks) <= 2
    assert all(len(ids) for ids, _, _ in blocks)
    assert len(blocks[0][0]) >= min(first, n_candidates, len(case.prefixes))
    assert np.concatenate([ids for ids, _, _ in blocks]).tolist() == ref.ids.tolist()
    assert np.concatenate([sums for _, sums, _ in blocks]).tolist() == ref.scores.tolist()
    assert progress.n_looked > 0


@given(data=st.data(), case=cases(max_objects=100), seed=st.integers(0, 2**20))
def test_external_ids_break_ties(data, case, seed):
    ids = data.draw(external_ids(len(case.prefixes)))
    table = some_calibration(case.prefixes.shape[1], seed, flat=True)
    index = calibrated(case.index(ids=ids), table)
    assert_ranked(index, case, data.draw(n_candidates_values), data.draw(options_for(case)), table, ids)


@given(data=st.data(), grid=grids(), n_first=st.integers(0, 60))
def test_inserted_and_removed_objects_rank_as_in_an_index_built_anew(data, grid, n_first):
    case = grid.case()
    n_objects = len(grid.objects)
    table = some_calibration(len(grid.pivots), 3)
    index = calibrated(Case(case.prefixes[:n_first], case.pivots, case.pivot_distances).index(), table)
    if n_first < n_objects:
        index.insert(grid.objects[n_first:], ids=np.arange(n_first, n_objects))
    options = data.draw(options_for(case))
    n_candidates = data.draw(n_candidates_values)
    assert_ranked(index, case, n_candidates, options, table)
    gone = np.random.default_rng(4).random(n_objects) < data.draw(st.sampled_from([0.0, 0.3, 0.9, 1.0]))
    index.remove(np.flatnonzero(gone))
    left = grid.case(keep=~gone)
    assert_ranked(index, left, n_candidates, options, table, np.flatnonzero(~gone))
    index.consolidate()
    assert_ranked(index, left, n_candidates, options, table, np.flatnonzero(~gone))


def test_the_percentile_stays_the_default_and_gives_its_ranks_as_scores():
    index = PPPCodes(n_spaces=2, n_pivots=16, prefix_length=4, seed=1).build(VECTORS)
    assert index.options.aggregation == "percentile"
    ranking = index.rank(index.pivot_distances(VECTORS[:1]), 50)
    assert ranking.aggregated_ranks.dtype == np.int64
    assert ranking.scores.tolist() == ranking.aggregated_ranks.tolist()


@pytest.mark.parametrize("name", ["sum", "log-rank"])
def test_the_options_of_the_index_and_of_a_query_find_the_same(name):
    options = RankingOptions(aggregation=name)
    parameters = {"n_spaces": 2, "n_pivots": 16, "prefix_length": 4}
    ref = PPPCodes(**parameters).build(VECTORS).candidates(VECTORS[3], 40, options)
    comp = PPPCodes(**parameters, options=options).build(VECTORS).candidates(VECTORS[3], 40)
    assert comp.tolist() == ref.tolist()
    assert 3 in comp[:10]


@pytest.mark.parametrize("name", SCORES)
def test_scores_never_fall_with_the_rank_and_bound_what_follows(name):
    table = np.sort(np.random.default_rng(5).normal(size=(1, oracle.BINS)), axis=1)
    keys = np.sort(np.random.default_rng(6).integers(0, 3000, 5000)).astype(np.float64)
    (scores,) = space_scores(RankingOptions(aggregation=name), 1, 5000, table)
    high, last = -np.inf, -np.inf
    for start, stop in ((0, 1000), (1000, 3000), (3000, 4999)):
        part = keys[np.searchsorted(keys, keys[start]) : np.searchsorted(keys, keys[stop])]
        bound = scores.least_after(high)
        of_part = scores.of_next(part)
        assert (np.diff(of_part) >= 0).all()
        assert last <= bound <= of_part[0]
        assert name == "sum" or bound == of_part[0]
        high, last = part[-1], of_part[-1]
    assert scores.least_after(np.inf) == np.inf


# ---------------------------------------------------------------- learning


@given(data=st.data())
def test_learned_scores_equal_the_oracle(data):
    total = np.array(data.draw(st.lists(st.sampled_from([0, 0, 1, 2, 50]), min_size=20, max_size=20)))
    near = np.minimum(total, data.draw(st.lists(st.integers(0, 50), min_size=20, max_size=20)))
    comp = _minus_log_ratio(near, total)
    assert comp == pytest.approx(oracle.calibration_of_counts(near.tolist(), total.tolist()), abs=1e-12)
    assert (np.diff(comp) >= 0).all()


@given(keys=st.lists(st.integers(0, 20).map(float), min_size=1, max_size=200), data=st.data())
def test_bins_equal_the_oracle(keys, data):
    row = data.draw(st.integers(0, len(keys) - 1))
    others = keys[:row] + keys[row + 1 :]
    ref = [oracle.bin_of(rank, len(others)) for rank in oracle.ranks_from_keys(others, "position")]
    bins = _bins_of(np.array(keys), row).tolist()
    assert bins.pop(row) == oracle.BINS
    assert bins == ref
    assert len(_INNER_EDGES) == oracle.BINS - 1


@pytest.mark.parametrize("options", [{}, {"ranking": "diff_norm"}, {"ranking": "kendall", "max_level": 2}])
def test_build_learns_what_the_oracle_learns(options):
    objects = np.random.default_rng(7).integers(0, 6, (300, 3)).astype(np.float32)  # fewer than the sample holds
    index = PPPCodes(
        "manhattan",
        n_spaces=2,
        n_pivots=24,
        prefix_length=4,
        options=RankingOptions(n_spaces=1, aggregation="calibrated", **options),
    ).build(objects)
    rows = [i * 300 // 16 for i in range(16)]
    prefixes = index.prefixes_of(np.arange(300))
    distances = np.abs(objects[rows][:, None] - objects[None]).sum(axis=2)
    for j in range(2):
        to_pivots = np.abs(objects[rows][:, None] - index.pivots[j][None]).sum(axis=2)
        between = np.abs(index.pivots[j][:, None] - index.pivots[j][None]).sum(axis=2)
        arguments = {"ranking": "wspd", "pivot_pivot_distances": between} | options
        keys = [
            [oracle.unscaled_key(prefix=p, pivot_distances=q, **arguments) for p in prefixes[:, j]] for q in to_pivots
        ]
        ref = oracle.calibration(rows, distances, keys, 3)
        assert index.to_arrays()["calibration"][j] == pytest.approx(ref, abs=1e-12)


def test_what_is_learned_tells_near_from_far():
    objects = clusters(4000, np.random.default_rng(8))
    table = (
        PPPCodes(n_spaces=3, n_pivots=32, prefix_length=6, options=CALIBRATED).build(objects).to_arrays()["calibration"]
    )
    assert table.shape == (3, oracle.BINS)
    assert (np.diff(table, axis=1) >= 0).all()
    assert (table[:, 0] < -1).all()
    assert (table[:, -1] > 1).all()


@pytest.mark.parametrize("n_threads", [2, 3])
def test_what_is_learned_does_not_depend_on_threads_or_chunks(n_threads):
    objects = clusters(3000, np.random.default_rng(9))
    parameters = {"n_spaces": 2, "n_pivots": 20, "prefix_length": 4, "seed": 3, "options": CALIBRATED}
    pivots = objects[:40]
    ref = PPPCodes(**parameters, n_threads=1).build(objects, pivots=pivots).to_arrays()
    comp = PPPCodes(**parameters, n_threads=n_threads).build(
        (objects[i : i + 7] for i in range(0, 3000, 7)), pivots=pivots
    )
    assert np.array_equal(comp.to_arrays()["calibration"], ref["calibration"])
    query = comp.pivot_distances(objects[:1])
    one = PPPCodes.from_arrays(comp.parameters(), ref, n=3000, n_threads=1)
    for name in SCORES:
        options = RankingOptions(aggregation=name)
        few, many = one.rank(query, 100, options), comp.rank(query, 100, options)
        for field in ("ids", "scores", "n_ids_ranked", "n_prefixes_evaluated"):
            assert np.array_equal(getattr(many, field), getattr(few, field)), field


@given(st.lists(st.integers(1, 400), max_size=12), st.integers(1, 50), st.integers(0, 5))
def test_the_sample_is_random_and_the_same_however_the_objects_come(lengths, size, seed):
    objects = np.arange(sum(lengths), dtype=np.float32)[:, None]
    ref, comp = ObjectSample(seed, size), ObjectSample(seed, size)
    list(ref.passing(iter([objects] if len(objects) else [])))
    passed = list(comp.passing(iter(np.split(objects, np.cumsum(lengths)[:-1]) if lengths else [])))
    rows, taken = comp.taken()
    assert rows.tolist() == ref.taken()[0].tolist() == sorted(set(rows.tolist()))
    assert len(rows) == min(size, len(objects))
    assert (taken is None) if not lengths else taken[:, 0].tolist() == rows.tolist()
    assert sum(len(part) for part in passed) == len(objects)


@pytest.mark.parametrize("n_objects", [0, 1, 2, 3])
def test_few_objects(n_objects):
    pivots = VECTORS[:8]
    index = PPPCodes(n_spaces=2, n_pivots=4, prefix_length=2, options=CALIBRATED)
    index.build(VECTORS[:n_objects], pivots=pivots)
    if n_objects:
        assert sorted(index.candidates(VECTORS[0], 10).tolist()) == list(range(n_objects))
    else:
        with pytest.raises(EmptyIndexError):
            index.rank(np.ones((2, 4)), 10)


def test_a_user_function_learns_too():
    metric = FunctionMetric(lambda a, b: float(abs(len(a) - len(b))), kind="strings")
    words = ["x" * (i % 37) for i in range(200)]
    index = PPPCodes(metric, n_spaces=2, n_pivots=6, prefix_length=3, options=CALIBRATED, allow_nonmetric=True).build(
        words
    )
    found = index.candidates("x" * 5, 60)
    assert {i for i, word in enumerate(words) if len(word) == 5} <= set(found.tolist())


# ---------------------------------------------------------------- keeping


def test_a_collection_keeps_what_was_learned(tmp_path):
    options = RankingOptions(aggregation="calibrated")
    index = PPPCodes(n_spaces=2, n_pivots=16, prefix_length=4, options=options)
    with Collection.create(tmp_path / "c", index=index) as collection:
        collection.add(VECTORS)
        collection.build_index()
        ref = collection.search(VECTORS[:5], k=3, n_candidates=60)
    with Collection.open(tmp_path / "c") as collection:
        comp = collection.search(VECTORS[:5], k=3, n_candidates=60)
        assert collection.verify() == []
        assert collection.index.options == options
    assert [ids.tolist() for ids in comp.ids] == [ids.tolist() for ids in ref.ids]


def test_the_table_is_counted_and_does_not_grow():
    index = PPPCodes(n_spaces=2, n_pivots=16, prefix_length=4, options=CALIBRATED)
    reports = [index.build(VECTORS[:n]).memory_report() for n in (300, 700)]
    assert [report["calibration"] for report in reports] == [2 * oracle.BINS * 8] * 2


def test_parameters_saved_before_there_was_a_choice_mean_the_percentile():
    parameters = PPPCodes().parameters()
    assert parameters["options"].pop("aggregation") == "percentile"
    assert PPPCodes.from_parameters(parameters).options == RankingOptions()


def test_without_a_table_the_error_says_what_to_do():
    index = PPPCodes(n_spaces=2, n_pivots=16, prefix_length=4).build(VECTORS)
    assert "calibration" not in index.to_arrays()
    with pytest.raises(MissingIndexError, match=r"build PPPCodes\(options=.*, or choose another aggregation$"):
        index.candidates(VECTORS[0], 5, CALIBRATED)
    with pytest.raises(MissingIndexError, match=r"build PPPCodes\(options="):
        index.rank(index.pivot_distances(VECTORS[:1]), 5, CALIBRATED)
    with pytest.raises(MissingIndexError, match="call build"):
        PPPCodes(options=CALIBRATED).candidates(VECTORS[0], 5)


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table[:1],
        lambda table: table[:, :5],
        lambda table: table.astype(np.float32),
        lambda table: table[:, ::-1],
        lambda table: table * np.nan,
        lambda table: table.astype(str),
    ],
)
def test_a_damaged_table_is_refused(change):
    index = PPPCodes(n_spaces=2, n_pivots=16, prefix_length=4, options=CALIBRATED).build(VECTORS)
    arrays = index.to_arrays()
    with pytest.raises(CorruptedError, match="rebuild the index"):
        PPPCodes.from_arrays(index.parameters(), arrays | {"calibration": change(arrays["calibration"])}, n=700)


@pytest.mark.parametrize("value", ["mean", "Sum", None, 3])
def test_unknown_aggregations_are_named(value):
    with pytest.raises(InvalidInputError, match="aggregation: expected one of percentile, sum, log-rank, calibrated"):
        RankingOptions(aggregation=value)
