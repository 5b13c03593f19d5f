"""Permutation scan, MI-File, NAPP and their posting lists against plain Python over the same pivots."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricsearch.baselines.mi_file import MIFile, MIFileOptions
from metricsearch.baselines.napp import NAPP, NAPPOptions
from metricsearch.baselines.permutation_scan import PermutationScan
from metricsearch.baselines.permutations import smallest
from metricsearch.baselines.posting_lists import PostingLists
from metricsearch.errors import InvalidInputError, MissingIndexError, NonMetricError
from metricsearch.indexes import FIXED_PARTS

VECTORS = np.random.default_rng(0).normal(size=(200, 6)).astype(np.float32)
KINDS = [PermutationScan, MIFile, NAPP]


def make(kind, metric="euclidean", n_pivots=16, **parameters):
    if kind is not PermutationScan:
        parameters = {"n_indexed": min(5, n_pivots), **parameters}
    return kind(metric, n_pivots, **parameters)


# ---------------------------------------------------------------- smallest


@given(st.lists(st.integers(0, 4)), st.integers(1, 12))
def test_smallest_are_those_of_a_stable_sort(values, n):
    found = smallest(np.array(values, dtype=np.uint32), n)
    assert found.tolist() == sorted(range(len(values)), key=lambda i: (values[i], i))[:n]


# ---------------------------------------------------------------- posting lists


def read(lists, number, n):
    """Ordinals of one list; one that came twice would have a score of 2."""
    ones = np.ones(1, dtype=np.int64)
    ordinals, n_read = lists.best(np.array([number]), ones, 0, n, highest=1)
    assert n_read == len(ordinals)
    return ordinals.tolist()


@given(st.data())
def test_posting_lists_give_back_what_was_put_in(data):
    n_lists = data.draw(st.integers(1, 7))
    m, n = data.draw(st.integers(1, n_lists)), data.draw(st.integers(0, 60))
    rows = data.draw(st.lists(st.permutations(range(n_lists)), min_size=n, max_size=n))
    members = np.array([row[:m] for row in rows], dtype=np.uint16).reshape(n, m)
    lists = PostingLists(members, n_lists)
    for number in range(n_lists):
        assert read(lists, number, max(n, 1)) == [i for i in range(n) if number in members[i]]


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32])
def test_gaps_far_longer_than_the_mean_are_read_across_many_words(dtype):
    members = np.ones((20_000, 1), dtype=dtype)
    members[[*range(3000), 9000, 19_999]] = 0
    members[5000] = 3
    lists = PostingLists(members, 5)
    for number in range(5):
        assert read(lists, number, 20_000) == np.flatnonzero(members[:, 0] == number).tolist()


def test_a_long_quotient_may_end_anywhere_in_a_word():
    for last in range(1200, 1500):
        members = np.ones((1500, 1), dtype=np.uint16)
        members[[*range(0, 300, 3), last]] = 0  # gaps of 2, remainders of more than one bit
        assert read(PostingLists(members, 2), 0, 1500) == np.flatnonzero(members[:, 0] == 0).tolist()


def test_a_list_of_all_objects_takes_one_bit_each():
    lists = PostingLists(np.zeros((64_000, 1), dtype=np.uint16), 1)
    assert read(lists, 0, 64_000) == list(range(64_000))
    assert sum(lists.memory_report().values()) < 64_000 / 8 + 100


@pytest.mark.parametrize("share", [0.002, 0.03, 0.3])
def test_random_lists_are_close_to_their_entropy(share):
    members = (np.random.default_rng(1).random((50_000, 1)) < share).astype(np.uint16)
    n_bits = 8 * sum(PostingLists(members, 2).memory_report().values())
    entropy = 50_000 * (-share * np.log2(share) - (1 - share) * np.log2(1 - share))
    # Either list tells all; that of most objects has gaps of mostly 0, and so a bit for every object.
    assert 2 * entropy < n_bits < 1.06 * (entropy + 50_000) + 1000


@given(st.data())
def test_scores_of_posting_lists_are_sums_over_those_that_hold_the_object(data):
    n_lists, n = 4, data.draw(st.integers(1, 40))
    rows = data.draw(st.lists(st.permutations(range(n_lists)), min_size=n, max_size=n))
    members = np.array([row[:2] for row in rows], dtype=np.uint16)
    numbers = data.draw(st.lists(st.integers(0, 3), unique=True))
    amounts = data.draw(st.lists(st.integers(-3, 3), min_size=len(numbers), max_size=len(numbers)))
    highest, wanted = data.draw(st.integers(0, 20)), data.draw(st.integers(1, 50))
    scores = {}
    for number, amount in zip(numbers, amounts, strict=True):
        for i in np.flatnonzero((members == number).any(axis=1)):
            scores[i] = scores.get(i, 12) + amount
    expected = sorted((i for i in scores if scores[i] <= highest), key=lambda i: (scores[i], i))[:wanted]
    lists = PostingLists(members, n_lists)
    found, n_read = lists.best(np.array(numbers, dtype=int), np.array(amounts, dtype=int), 12, wanted, highest)
    assert found.tolist() == expected
    assert n_read == np.isin(members, numbers).sum()


# ---------------------------------------------------------------- candidates


def permutation_of(metric, one, pivots):
    distances = metric.distances(one, pivots)
    return sorted(range(len(pivots)), key=lambda p: (distances[p], p))


def ranked(index, objects, query, score, ids=None):
    """IDs of the objects with a score, by (score, ID)."""
    ids = range(len(objects)) if ids is None else ids
    metric, pivots = index.metric, index._pivots
    batch, of_query = metric.check(objects), permutation_of(metric, metric.check([query]), pivots)
    keyed = []
    for i in range(len(batch)):
        value = score(permutation_of(metric, batch[i : i + 1], pivots), of_query)
        if value is not None:
            keyed.append((value, int(ids[i])))
    return [one for _, one in sorted(keyed)]


def permutation_score(distance, threshold):
    def score(ours, theirs):
        pairs = [(ours.index(p), theirs.index(p)) for p in range(len(ours))]
        if distance == "binary":
            return sum((x >= threshold) != (q >= threshold) for x, q in pairs)
        return sum(abs(x - q) ** (1 if distance == "footrule" else 2) for x, q in pairs)

    return score


def mi_file_score(n_indexed, n_searched, limit):
    def score(ours, theirs):
        total, met = 0, False
        for q, pivot in enumerate(theirs[:n_searched]):
            x = ours.index(pivot)
            if x >= n_indexed or abs(x - q) > limit:
                x = n_indexed
            else:
                met = True
            total += abs(x - q)
        return total if met else None

    return score


def napp_score(n_indexed, n_searched, min_shared):
    def score(ours, theirs):
        count = len(set(ours[:n_indexed]) & set(theirs[:n_searched]))
        return -count if count >= min_shared else None

    return score


# Few different values: objects and distances that are equal, zeros, copies among the pivots.
grids = st.lists(st.tuples(*[st.integers(0, 3)] * 2), min_size=6, max_size=30)
words = st.lists(st.text("ab", max_size=4), min_size=6, max_size=20)
datasets = st.one_of(st.tuples(st.just("manhattan"), grids), st.tuples(st.just("levenshtein"), words))


@given(datasets, st.sampled_from(["footrule", "rho", "binary"]), st.integers(1, 6), st.integers(1, 40), st.data())
def test_permutation_scan_orders_all_objects_by_the_distance_of_permutations(dataset, distance, n_pivots, wanted, data):
    metric, objects = dataset
    threshold = data.draw(st.none() | st.integers(1, n_pivots)) if distance == "binary" else None
    index = PermutationScan(metric, n_pivots, distance=distance, threshold=threshold).build(objects)
    score = permutation_score(distance, n_pivots // 2 if threshold is None else threshold)
    query = data.draw(st.sampled_from(objects))
    assert index.candidates(query, wanted).tolist() == ranked(index, objects, query, score)[:wanted]


@given(datasets, st.integers(1, 40), st.data())
def test_mi_file_orders_the_objects_met_by_induced_footrule(dataset, wanted, data):
    metric, objects = dataset
    n_pivots = data.draw(st.integers(1, 6))
    n_indexed, n_searched = data.draw(st.integers(1, n_pivots)), data.draw(st.integers(1, n_pivots))
    limit = data.draw(st.none() | st.integers(0, n_pivots))
    index = MIFile(metric, n_pivots, n_indexed).build(objects)
    query = data.draw(st.sampled_from(objects))
    expected = ranked(index, objects, query, mi_file_score(n_indexed, n_searched, n_pivots if limit is None else limit))
    options = MIFileOptions(n_searched=n_searched, max_position_difference=limit)
    assert index.candidates(query, wanted, options).tolist() == expected[:wanted]
    same = MIFile(metric, n_pivots, n_indexed, n_searched=n_searched, max_position_difference=limit).build(objects)
    assert same.candidates(query, wanted).tolist() == expected[:wanted]


@given(datasets, st.integers(1, 40), st.data())
def test_napp_orders_objects_by_the_pivots_they_share_with_the_query(dataset, wanted, data):
    metric, objects = dataset
    n_pivots = data.draw(st.integers(1, 6))
    n_indexed, n_searched = data.draw(st.integers(1, n_pivots)), data.draw(st.integers(1, n_pivots))
    min_shared = data.draw(st.integers(1, n_searched))
    index = NAPP(metric, n_pivots, n_indexed).build(objects)
    query = data.draw(st.sampled_from(objects))
    expected = ranked(index, objects, query, napp_score(n_indexed, n_searched, min_shared))
    options = NAPPOptions(n_searched=n_searched, min_shared=min_shared)
    assert index.candidates(query, wanted, options).tolist() == expected[:wanted]
    same = NAPP(metric, n_pivots, n_indexed, n_searched=n_searched, min_shared=min_shared).build(objects)
    assert same.candidates(query, wanted).tolist() == expected[:wanted]


@pytest.mark.parametrize("distance", ["footrule", "rho", "binary"])
@pytest.mark.parametrize("n_pivots", [64, 65, 256, 257])
def test_permutation_scan_with_positions_of_one_byte_and_of_two(distance, n_pivots):
    objects = np.random.default_rng(2).normal(size=(270, 4)).astype(np.float32)
    index = PermutationScan("euclidean", n_pivots, distance=distance).build(objects)
    expected = ranked(index, objects, objects[7], permutation_score(distance, n_pivots // 2))
    assert index.candidates(objects[7], 270).tolist() == expected


SCORES = {
    PermutationScan: permutation_score("footrule", None),
    MIFile: mi_file_score(5, 5, 16),
    NAPP: napp_score(5, 5, 1),
}


@pytest.mark.parametrize("kind", KINDS)
def test_ids_may_be_given_in_any_order(kind):
    ids = np.random.default_rng(3).permutation(1000)[: len(VECTORS)] + 5
    index = make(kind).build(VECTORS, ids)
    assert np.array_equal(index.ids(), np.sort(ids))
    expected = ranked(index, VECTORS, VECTORS[3], SCORES[kind], ids)
    assert index.candidates(VECTORS[3], 200).tolist() == expected


@pytest.mark.parametrize("kind", KINDS)
def test_objects_may_come_in_chunks_of_any_size(kind):
    index = make(kind).build(iter([VECTORS[:90], VECTORS[90:91], VECTORS[91:]]))
    assert len(index) == len(VECTORS)
    assert index.candidates(VECTORS[150], 200).tolist() == ranked(index, VECTORS, VECTORS[150], SCORES[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_results_do_not_depend_on_the_number_of_threads(kind):
    one = make(kind, n_threads=1).build(VECTORS)
    three = make(kind, n_threads=3).build(VECTORS)
    assert one.candidates(VECTORS[5], 200).tolist() == three.candidates(VECTORS[5], 200).tolist()


def test_near_objects_come_first():
    rng = np.random.default_rng(4)
    centres = rng.normal(size=(40, 16))
    objects = (np.repeat(centres, 25, axis=0) + 0.3 * rng.normal(size=(1000, 16))).astype(np.float32)
    for kind in KINDS:
        index = make(kind, n_pivots=64).build(objects)
        for query in (0, 400, 999):
            near = np.argsort(np.linalg.norm(objects - objects[query], axis=1))[:10]
            assert np.isin(near, index.candidates(objects[query], 100)).mean() >= 0.8, (kind, query)


# ---------------------------------------------------------------- costs and memory


def test_costs_are_the_distances_to_pivots_and_the_ids_counted():
    query = VECTORS[9]
    scan = make(PermutationScan).build(VECTORS)
    stream = scan.stream_candidates(scan.check_query(query), 7)
    assert (stream.n_pivot_distances, stream.n_ids_ranked.tolist()) == (16, [200])
    napp = make(NAPP).build(VECTORS)
    stream = napp.stream_candidates(napp.check_query(query), 7)
    near = [set(permutation_of(napp.metric, VECTORS[i : i + 1], napp._pivots)[:5]) for i in range(200)]
    assert (stream.n_pivot_distances, stream.n_ids_ranked.tolist()) == (16, [sum(len(near[9] & one) for one in near)])
    mi_file = make(MIFile, max_position_difference=0).build(VECTORS)
    stream = mi_file.stream_candidates(mi_file.check_query(query), 7)
    rows = [permutation_of(mi_file.metric, VECTORS[i : i + 1], mi_file._pivots)[:5] for i in range(200)]
    same = sum(a == b for row in rows for a, b in zip(row, rows[9], strict=True))
    assert (stream.n_pivot_distances, stream.n_ids_ranked.tolist()) == (16, [same])


def test_objects_that_share_no_list_with_the_query_are_no_candidates():
    objects = np.array([[0.0], [1.0], [100.0], [101.0]])
    for kind in (MIFile, NAPP):
        index = make(kind, n_pivots=4, n_indexed=1).build(objects)
        assert index.candidates([0.2], 4).tolist() == [0]
    with_all = PermutationScan("euclidean", 4).build(objects)
    assert sorted(with_all.candidates([0.2], 4).tolist()) == [0, 1, 2, 3]


def test_memory_is_that_of_positions_bits_and_postings():
    def growing(index):
        report = index.memory_report()
        return sum(size for part, size in report.items() if part not in FIXED_PARTS) / len(index)

    objects = np.random.default_rng(5).normal(size=(4000, 4)).astype(np.float32)
    assert growing(PermutationScan("euclidean", 128).build(objects)) == 128
    assert growing(PermutationScan("euclidean", 300).build(objects)) == 600
    assert growing(PermutationScan("euclidean", 128, distance="binary").build(objects)) == 16
    assert growing(NAPP("euclidean", 64, 8).build(objects)) < 8 * 5.5 / 8 + 0.5  # H(1/8) * 8 = 4.3 bits a posting
    assert growing(MIFile("euclidean", 64, 8).build(objects)) < 8 * 8 / 8 + 1.5  # H(1/64) * 64 = 7.4, 512 lists
    assert PermutationScan("euclidean", 4).memory_report() == {"permutations": 0, "ids": 0, "pivots": 0}


# ---------------------------------------------------------------- mistakes


@pytest.mark.parametrize("kind", KINDS)
def test_mistakes_are_told(kind):
    index = make(kind)
    with pytest.raises(MissingIndexError, match=r"call build\(\) first"):
        index.candidates(VECTORS[0], 5)
    with pytest.raises(InvalidInputError, match="1 spaces x 16 pivots need 16 objects"):
        index.build(VECTORS[:15])
    index.build(VECTORS)
    with pytest.raises(InvalidInputError, match="n_candidates: expected a whole number >= 1, got 0"):
        index.candidates(VECTORS[0], 0)
    with pytest.raises(InvalidInputError, match="expected 6 dimensions"):
        index.candidates(VECTORS[0, :3], 5)
    with pytest.raises(InvalidInputError, match="options: "):
        index.candidates(VECTORS[0], 5, {"n_searched": 3})
    before = index.candidates(VECTORS[0], 20).tolist()
    with pytest.raises(InvalidInputError, match="row 199 has NaN"):
        index.build(np.where(np.arange(200)[:, None] == 199, np.nan, VECTORS))
    with pytest.raises(InvalidInputError, match="ids: expected one ID per object, 150"):
        index.build(VECTORS[:150], np.arange(149))
    assert index.candidates(VECTORS[0], 20).tolist() == before
    with pytest.raises(NonMetricError, match="triangle inequality"):
        make(kind, lambda a, b: float(((a - b) ** 2).sum())).build(VECTORS)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            lambda: PermutationScan("euclidean", 8, distance="kendall"),
            "distance: expected one of footrule, rho, binary",
        ),
        (lambda: PermutationScan("euclidean", 8, threshold=4), 'threshold: only distance="binary" has one'),
        (lambda: PermutationScan("euclidean", 8, distance="binary", threshold=9), "threshold: .* in 1..8, got 9"),
        (lambda: PermutationScan("euclidean", 8, distance="binary", threshold=0), "threshold: .* in 1..8, got 0"),
        (lambda: MIFile("euclidean", 8, 9), "n_indexed: expected a whole number in 1..8, got 9"),
        (lambda: MIFile("euclidean", 8, 4, n_searched=9), "n_searched: .* in 1..8, got 9"),
        (lambda: MIFile("euclidean", 8, 4, max_position_difference=-1), "max_position_difference: .* >= 0, got -1"),
        (lambda: MIFile("euclidean", 65536, 1000), "65536 pivots x 1000 positions are more than 16,777,216 lists"),
        (lambda: MIFileOptions(n_searched=0), "n_searched: expected a whole number >= 1"),
        (lambda: MIFileOptions(max_position_difference=-2), "max_position_difference: .* >= 0, got -2"),
        (lambda: NAPP("euclidean", 8, 0), "n_indexed: expected a whole number in 1..8, got 0"),
        (lambda: NAPP("euclidean", 8, 4, min_shared=5), "min_shared: expected a whole number in 1..4, got 5"),
        (lambda: NAPPOptions(min_shared=0), "min_shared: expected a whole number >= 1, got 0"),
    ],
)
def test_impossible_parameters_are_refused(wrong, message):
    with pytest.raises(InvalidInputError, match=message):
        wrong()


def test_options_that_do_not_fit_the_index_are_refused():
    with pytest.raises(InvalidInputError, match=r"n_searched: expected a whole number in 1..16, got 17"):
        make(MIFile).build(VECTORS).candidates(VECTORS[0], 5, MIFileOptions(n_searched=17))
    napp = make(NAPP, min_shared=4).build(VECTORS)
    with pytest.raises(InvalidInputError, match=r"min_shared: expected a whole number in 1..3, got 4"):
        napp.candidates(VECTORS[0], 5, NAPPOptions(n_searched=3))
    assert len(napp.candidates(VECTORS[0], 5, NAPPOptions(n_searched=3, min_shared=1))) == 5
