"""PPP-Codes with sketches: candidates are those ranked best, put in order of their estimates; kept through changes."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metricsearch import Collection, PPPCodes, RankingOptions
from metricsearch.baselines import SketchScan
from metricsearch.errors import CorruptedError, InvalidInputError
from metricsearch.sketches import encode_all, restored_sketch

N, WIDTH = 900, 8
PARAMETERS = {"n_spaces": 2, "n_pivots": 24, "prefix_length": 4, "sketch": "landmark", "sketch_bytes": 6}
KINDS = ("landmark", "simplex", "whitened", "hyperplane")
ALL = RankingOptions(n_sketched=10**6)


def clusters(n, seed):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(30, WIDTH))
    return (centres[rng.integers(30, size=n)] + 0.4 * rng.normal(size=(n, WIDTH))).astype(np.float32)


OBJECTS, QUERIES = clusters(N, 1), clusters(20, 1)
OBJECTS[5:8] = OBJECTS[4]  # ties
IDS = np.random.default_rng(2).permutation(10 * N)[:N]


def sketch_of(index):
    saved = {
        name.removeprefix("sketch-"): array for name, array in index.to_arrays().items() if name.startswith("sketch-")
    }
    return restored_sketch(index.sketch, index.sketch_bytes, saved, len(index.flat_pivots), None, "test")


def expected(index, objects, ids, query, n_candidates, options):
    """Oracle: rank as without sketches, estimate each object by itself, sort in Python."""
    n_sketched = options.sketched_of(n_candidates, len(ids))
    ranked = set(index.candidates(query, n_sketched, replace(options, n_sketched=0)).tolist())
    sketch = sketch_of(index)
    codes = encode_all(sketch, index.metric, objects, index.flat_pivots, 1)
    asked = sketch.query(query[None], index.metric.distances(query[None], index.flat_pivots))
    estimates = asked.estimates(codes, np.arange(len(ids))).tolist()
    in_order = sorted(
        (estimate, number) for estimate, number in zip(estimates, ids.tolist(), strict=True) if number in ranked
    )
    return [number for _, number in in_order][:n_candidates]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("aggregation", ["percentile", "sum"])
@pytest.mark.parametrize("n_sketched", [None, 1, 60, 10**6])
def test_candidates_are_the_ranked_ones_in_order_of_their_sketches(kind, aggregation, n_sketched):
    options = RankingOptions(aggregation=aggregation, n_sketched=n_sketched)
    index = PPPCodes(**PARAMETERS | {"sketch": kind}, options=options).build(OBJECTS, IDS)
    for query in QUERIES[:5]:
        for n_candidates in (1, 17, N, 2 * N):
            comp = index.candidates(query, n_candidates).tolist()
            assert comp == expected(index, OBJECTS, IDS, query, n_candidates, options)


@pytest.mark.parametrize("aggregation", ["percentile", "sum", "log-rank", "calibrated"])
@pytest.mark.parametrize("ranking", [{}, {"max_level": 1}, {"ranking": "kendall", "rank_mode": "position"}])
@pytest.mark.parametrize("n_inserted", [0, 200])
def test_one_space_chooses_what_its_ranking_puts_first(aggregation, ranking, n_inserted):
    """Without sorting; with ties at the end of what is chosen, removed objects and such as are not in the tree."""
    options = RankingOptions(aggregation=aggregation, **ranking)
    index = PPPCodes(**PARAMETERS | {"n_spaces": 1}, options=options)
    index.build(OBJECTS[: N - n_inserted], IDS[: N - n_inserted])
    index.insert(OBJECTS[N - n_inserted :], IDS[N - n_inserted :])
    index.remove(IDS[::3])
    kept = np.setdiff1d(np.arange(N), np.arange(0, N, 3))
    for n_sketched in (1, 5, 100, 333, len(kept) - 1, len(kept)):
        for query in QUERIES[:4]:
            asked = replace(options, n_sketched=n_sketched)
            comp = index.candidates(query, 5, asked).tolist()
            assert comp == expected(index, OBJECTS[kept], IDS[kept], query, 5, asked)


@pytest.mark.parametrize(
    ("n_wanted", "n_objects", "n_sketched"),
    [(10, 5, 5), (10, 262_144, 262_144), (10, 262_145, 32_768), (10, 10**6, 64_000), (5000, 10**6, 80_000)],
)
def test_how_many_sketches_are_compared(n_wanted, n_objects, n_sketched):
    assert RankingOptions().sketched_of(n_wanted, n_objects) == n_sketched
    assert RankingOptions(n_sketched=20_000).sketched_of(n_wanted, n_objects) == min(n_objects, 20_000)
    assert RankingOptions(n_sketched=1).sketched_of(n_wanted, n_objects) == min(n_objects, n_wanted)


def test_sketches_find_more_with_fewer_reads():
    index = PPPCodes(**PARAMETERS).build(OBJECTS)
    found = {0: 0, None: 0}
    for query in QUERIES:
        near = set(np.argsort(np.linalg.norm(OBJECTS - query, axis=1))[:10].tolist())
        for n_sketched in found:
            options = RankingOptions(n_sketched=n_sketched)
            found[n_sketched] += len(near & set(index.candidates(query, 20, options).tolist()))
    assert found[None] > found[0] + 20


def test_a_scan_is_what_ranking_everything_is():
    scan = SketchScan("euclidean", 48, sketch="landmark", sketch_bytes=6).build(OBJECTS, IDS)
    index = PPPCodes(**PARAMETERS).build(OBJECTS, IDS, pivots=scan._pivots, sample=OBJECTS)
    for query in QUERIES[:5]:
        scanned, ranked = scan.candidates(query, N), index.candidates(query, N, ALL)
        assert set(scanned.tolist()) == set(ranked.tolist()) == set(IDS.tolist())
        assert np.array_equal(scan.candidates(query, 30), scanned[:30])
        assert len(set(scanned[:30].tolist()) & set(ranked[:30].tolist())) > 20  # learnt from other samples


@settings(deadline=None, max_examples=15)
@given(data=st.data())
def test_inserts_and_removals_end_where_a_build_begins(data):
    n_first = data.draw(st.integers(1, N))
    learnt_from = {"pivots": OBJECTS[:48], "sample": OBJECTS}
    index = PPPCodes(**PARAMETERS).build(OBJECTS[:n_first], IDS[:n_first], **learnt_from)
    if n_first < N:
        index.insert(OBJECTS[n_first:], IDS[n_first:])
    removed = np.array(data.draw(st.lists(st.sampled_from(range(N)), unique=True, max_size=40)), dtype=np.int64)
    index.remove(IDS[removed])
    if data.draw(st.booleans()):
        index.consolidate()
    kept = np.setdiff1d(np.arange(N), removed)
    rebuilt = PPPCodes(**PARAMETERS).build(OBJECTS[kept], IDS[kept], **learnt_from)
    query = QUERIES[data.draw(st.integers(0, 19))]
    for options in (ALL, RankingOptions(n_sketched=100)):
        assert np.array_equal(index.candidates(query, 50, options), rebuilt.candidates(query, 50, options))
    ref, comp = rebuilt.to_arrays(), index.to_arrays()
    assert all(np.array_equal(comp[name], array) for name, array in ref.items())


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_arrays_do_not_depend_on_threads_or_chunks(n_threads):
    pivots = OBJECTS[:48]
    ref = PPPCodes(**PARAMETERS, n_threads=1).build(OBJECTS, pivots=pivots, sample=OBJECTS).to_arrays()
    chunks = (OBJECTS[i : i + 7] for i in range(0, N, 7))
    comp = PPPCodes(**PARAMETERS, n_threads=n_threads).build(chunks, pivots=pivots, sample=OBJECTS).to_arrays()
    assert comp.keys() == ref.keys()
    for name in ref:
        assert np.array_equal(comp[name], ref[name]), name


def test_strings_have_sketches_too():
    rng = np.random.default_rng(3)
    words = ["".join(rng.choice(list("abc"), size=rng.integers(1, 9))) for _ in range(300)]
    index = PPPCodes("levenshtein", **PARAMETERS).build(words)
    assert index.candidates(words[7], 300).size == 300
    distance = index.metric.distances(index.metric.check([words[7]]), index.metric.check(words))
    near = index.candidates(words[7], 20, ALL)
    assert distance[near].mean() < distance.mean() - 1


def test_a_collection_keeps_its_sketches(tmp_path):
    with Collection.create(tmp_path / "c", index=PPPCodes(**PARAMETERS)) as collection:
        collection.add(OBJECTS[:700])
        collection.build_index()
        collection.add(OBJECTS[700:])
        ref = collection.search(QUERIES, k=5, n_candidates=30)
    with Collection.open(tmp_path / "c") as collection:
        comp = collection.search(QUERIES, k=5, n_candidates=30)
        assert collection.verify() == []
        assert (collection.index.sketch, collection.index.sketch_bytes) == ("landmark", 6)
    assert np.array_equal(comp.ids, ref.ids)
    exact = np.argsort(np.linalg.norm(OBJECTS[None] - QUERIES[:, None], axis=2), axis=1)[:, :5]
    assert np.mean([len(set(a) & set(b)) / 5 for a, b in zip(comp.ids.tolist(), exact.tolist(), strict=True)]) > 0.8


def test_estimates_need_the_distances_to_the_pivots_of_all_spaces():
    index = PPPCodes(**PARAMETERS).build(OBJECTS)
    distances = index.pivot_distances(QUERIES[:1])
    one = RankingOptions(n_spaces=1)
    assert index.rank(distances, 10, one).ids.size == 10
    with pytest.raises(InvalidInputError, match="sketches need those of all 2 spaces"):
        index.rank(distances[:1], 10, one)
    with pytest.raises(InvalidInputError, match="sketches are needed; .* and no n_sketched=0"):
        index.estimated(QUERIES[:1], 10, RankingOptions(n_sketched=0))


def test_given_pivots_need_no_sample_and_no_second_reading():
    index = PPPCodes(n_spaces=2, n_pivots=24, prefix_length=4)
    assert len(index.build(iter([]), pivots=OBJECTS[:48])) == 0
    with pytest.raises(InvalidInputError, match="sample: expected"):
        index.build(OBJECTS, pivots=OBJECTS[:48], sample=OBJECTS[:, :5])


def test_memory_counts_every_byte_of_the_sketches():
    report = PPPCodes(**PARAMETERS).build(OBJECTS).memory_report()
    assert report["sketches"] == 6 * N
    assert report["sketch map"] > 0
    assert PPPCodes(n_spaces=2, n_pivots=24, prefix_length=4).build(OBJECTS).memory_report()["sketches"] == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sketches": np.zeros((N, 5), np.uint8)}, "do not fit 900 objects"),
        ({"sketches": np.zeros((N, 6), np.int8)}, "do not fit 900 objects"),
        ({"sketch-offset": np.zeros(3)}, "rebuild the index"),
    ],
)
def test_damaged_sketches_are_refused(change, message):
    index = PPPCodes(**PARAMETERS).build(OBJECTS)
    with pytest.raises(CorruptedError, match=message):
        PPPCodes.from_arrays(index.parameters(), index.to_arrays() | change, n=N)
    without = {name: array for name, array in index.to_arrays().items() if name not in change}
    with pytest.raises(CorruptedError, match="is missing; rebuild the index"):
        PPPCodes.from_arrays(index.parameters(), without, n=N)


def test_parameters_saved_before_there_were_sketches_mean_none():
    parameters = PPPCodes().parameters()
    assert (parameters.pop("sketch"), parameters.pop("sketch_bytes")) == (None, 0)
    assert parameters["options"].pop("n_sketched") is None
    assert PPPCodes.from_parameters(parameters).sketch is None


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"sketch": "rabitq"}, "sketch: expected one of product, landmark, .*, hyperplane; got 'rabitq'"),
        ({"sketch": "landmark", "sketch_bytes": 1}, "sketch_bytes: expected a whole number in 2..255, got 1"),
        ({"options": RankingOptions(n_sketched=0)}, None),
    ],
)
def test_impossible_sketches_are_refused(parameters, message):
    if message is None:
        PPPCodes(**parameters)
        return
    with pytest.raises(InvalidInputError, match=message):
        PPPCodes(**parameters)


def test_prefixes_alone_have_no_sketches():
    with pytest.raises(InvalidInputError, match="sketch: cannot be made from prefixes; build the index from its obj"):
        PPPCodes.from_prefixes(np.zeros((1, 1, 1), np.uint16), n_pivots=2, sketch="landmark")
    with pytest.raises(InvalidInputError, match="n_sketched: expected"):
        RankingOptions(n_sketched=-1)
