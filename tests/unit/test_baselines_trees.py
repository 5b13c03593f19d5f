"""M-Index, PP-Index and binary k-means tree against slow versions of themselves."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from metricsearch.baselines.k_means_tree import KMeansTree
from metricsearch.baselines.k_means_tree.building import grow_tree
from metricsearch.baselines.m_index import MIndex, MIndexOptions
from metricsearch.baselines.pp_index import PPIndex, PPIndexOptions
from metricsearch.errors import DuplicateIdError, EmptyIndexError, InvalidInputError, MissingIndexError
from metricsearch.indexes import FIXED_PARTS
from metricsearch.ppp import PPPCodes, RankingOptions, flat_code_bits
from metricsearch.spaces import get_metric
from metricsearch.spaces.batches import dense_view

EUCLIDEAN = get_metric("euclidean")


def vectors(n, d, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


def small_vectors(min_n=0, max_n=30):
    """Integer vectors: many ties, duplicates and zeros."""
    shape = st.tuples(st.integers(min_n, max_n), st.integers(1, 3))
    return hnp.arrays(np.float32, shape, elements=st.integers(-2, 2).map(np.float32))


def ids_for(objects, seed):
    """Different IDs with gaps, in random order."""
    return np.random.default_rng(seed).permutation(3 * len(objects))[: len(objects)]


def prefixes_of(pivots, objects, length):
    """Pivots by (distance, index), one object at a time."""
    rows = []
    for i in range(len(objects)):
        distances = EUCLIDEAN.distances(objects[i : i + 1], pivots)
        rows.append(sorted(range(len(pivots)), key=lambda p: (distances[p], p))[:length])  # noqa: B023
    return rows


# ---------------------------------------------------------------------- M-Index


@given(small_vectors(min_n=4), st.integers(1, 4), st.integers(0, 5), st.data())
def test_m_index_orders_objects_by_penalty_then_id(objects, n_pivots, seed, data):
    length = data.draw(st.integers(1, n_pivots))
    level = data.draw(st.integers(1, length))
    ids = ids_for(objects, seed)
    index = MIndex("euclidean", n_pivots, length, seed=seed).build(objects, ids)
    query = objects[:1] + np.float32(data.draw(st.sampled_from([0, 0.5])))
    to_pivots = EUCLIDEAN.distances(query, index._pivots)
    own = np.sort(to_pivots)
    penalties = [
        sum(max(to_pivots[p] - own[i], 0.0) for i, p in enumerate(prefix[:level]))
        for prefix in prefixes_of(index._pivots, objects, length)
    ]
    expected = [i for _, i in sorted(zip(penalties, ids.tolist(), strict=True))]
    n_candidates = data.draw(st.integers(1, len(objects) + 2))
    found = index.candidates(query[0], n_candidates, MIndexOptions(max_level=level))
    assert found.tolist() == expected[:n_candidates]


def test_m_index_keeps_what_ppp_codes_of_one_space_keep():
    objects = vectors(500, 6)
    ours = MIndex("euclidean", 16, 5, seed=3).build(objects)
    codes = PPPCodes(n_spaces=1, n_pivots=16, prefix_length=5, options=RankingOptions(ranking="diff"), seed=3)
    codes.build(objects)
    assert ours.memory_report() == codes.memory_report()
    assert ours.width == 6
    assert len(ours) == 500
    assert ours.ids().tolist() == list(range(500))


def test_m_index_counts_pivot_distances_and_ids():
    objects = vectors(500, 6)
    index = MIndex("euclidean", 16, 5).build(objects)
    stream = index.stream_candidates(index.check_query(objects[0]), 40)
    assert sum(len(block) for block in stream.blocks) == 40
    assert stream.n_pivot_distances == 16
    assert stream.n_ids_ranked.shape == (1,)
    assert stream.n_ids_ranked[0] >= 40


def test_m_index_refuses_levels_it_does_not_have():
    index = MIndex("euclidean", 8, 4).build(vectors(20, 2))
    with pytest.raises(InvalidInputError, match="max_level: expected a whole number in 1..4, got 5"):
        index.candidates(np.zeros(2), 5, MIndexOptions(max_level=5))
    with pytest.raises(InvalidInputError, match="max_level"):
        MIndexOptions(max_level=0)


# ---------------------------------------------------------------------- PP-Index


def slow_pp_index(index, objects, ids, query, n_candidates, n_queries):
    """(candidates, IDs taken per tree) from full lists of prefixes."""
    k, length = index.n_pivots, index.prefix_length
    n_wanted = min(n_candidates, len(objects))
    longest, counts, taken = {}, {}, []
    for tree in range(index.n_spaces):
        pivots = index._pivots[tree * k : (tree + 1) * k]
        stored = prefixes_of(pivots, objects, length)
        distances = EUCLIDEAN.distances(query, pivots)
        order = sorted(range(k), key=lambda p: (distances[p], p))
        places = sorted(range(min(length, k - 1)), key=lambda i: (distances[order[i + 1]] - distances[order[i]], i))
        orders = [order]
        for i in places[: n_queries - 1]:
            other = list(order)
            other[i], other[i + 1] = order[i + 1], order[i]
            orders.append(other)
        taken.append(0)
        for prefix in orders:
            for level in range(length, -1, -1):
                members = [j for j in range(len(objects)) if stored[j][:level] == prefix[:level]]
                if len(members) >= n_wanted:
                    break
            taken[-1] += len(members)
            for j in members:
                shared = max(v for v in range(length + 1) if stored[j][:v] == prefix[:v])
                longest[ids[j]] = max(longest.get(ids[j], 0), shared)
                counts[ids[j]] = counts.get(ids[j], 0) + 1
    return sorted(longest, key=lambda i: (-longest[i], -counts[i], i))[:n_wanted], taken


@given(small_vectors(min_n=12), st.integers(1, 2), st.integers(1, 4), st.integers(1, 7), st.integers(0, 5), st.data())
def test_pp_index_shortens_prefixes_and_merges_trees_and_queries(objects, n_trees, n_pivots, n_queries, seed, data):
    length = data.draw(st.integers(1, n_pivots))
    ids = ids_for(objects, seed)
    index = PPIndex("euclidean", n_trees, n_pivots, length, seed=seed).build(objects, ids)
    query = objects[:1] + np.float32(data.draw(st.sampled_from([0, 0.5])))
    n_candidates = data.draw(st.integers(1, len(objects) + 2))
    options = PPIndexOptions(n_queries=n_queries)
    stream = index.stream_candidates(index.check_query(query[0]), n_candidates, options)
    expected, taken = slow_pp_index(index, objects, ids.tolist(), query, n_candidates, n_queries)
    assert np.concatenate(list(stream.blocks)).tolist() == expected
    assert stream.n_ids_ranked.tolist() == taken
    assert stream.n_pivot_distances == n_trees * n_pivots


@pytest.mark.parametrize("n_queries", [1, 3])
def test_pp_index_prefers_long_shared_prefixes_to_many_finds(n_queries):
    objects, queries = vectors(300, 5), vectors(5, 5, seed=1)
    index = PPIndex("euclidean", 3, 12, 4, n_queries=n_queries).build(objects)
    for i in range(5):
        expected, _ = slow_pp_index(index, objects, range(300), queries[i : i + 1], 15, n_queries)
        assert index.candidates(queries[i], 15).tolist() == expected


def test_pp_index_with_the_longest_prefixes_still_tells_how_many_pivots_are_shared():
    objects = vectors(300, 5)
    index = PPIndex("euclidean", 1, 127, 127).build(objects)
    expected, _ = slow_pp_index(index, objects, range(300), objects[7:8], 20, 1)
    assert index.candidates(objects[7], 20).tolist() == expected


def test_pp_index_searches_as_it_was_made_unless_told_otherwise():
    objects = vectors(400, 8)
    made = PPIndex("euclidean", 2, 16, 5, n_queries=4).build(objects)
    told = PPIndex("euclidean", 2, 16, 5).build(objects)
    assert (
        made.candidates(objects[3], 30).tolist()
        == told.candidates(objects[3], 30, PPIndexOptions(n_queries=4)).tolist()
    )
    assert made.candidates(objects[3], 30).tolist() != told.candidates(objects[3], 30).tolist()


def test_pp_index_takes_no_more_bytes_than_flat_prefixes_with_ids():
    index = PPIndex("euclidean", 2, 64, 6).build(vectors(20000, 8))
    grown = sum(size for part, size in index.memory_report().items() if part not in FIXED_PARTS)
    assert 0.5 < grown / (20000 * flat_code_bits(20000, 2, 64, 6) / 8) < 1.05
    assert index.memory_report()["pivots"] == 2 * 64 * 8 * 4


@pytest.mark.parametrize("make", [lambda **a: MIndex("euclidean", 16, 4, **a), lambda **a: PPIndex("euclidean", **a)])
def test_pivot_trees_do_not_depend_on_threads_or_on_the_order_of_objects(make):
    objects, ids = vectors(700, 4), np.arange(700) * 2 + 5
    one, two = make(seed=2, n_threads=1).build(objects, ids), make(seed=2, n_threads=2).build(objects, ids)
    assert one.candidates(objects[9], 50).tolist() == two.candidates(objects[9], 50).tolist()
    assert one.memory_report() == two.memory_report()


# ---------------------------------------------------------------------- k-means tree


def distances_from(query, objects, ids):
    """distances_to of an exact search, over objects given by IDs."""
    by_id = EUCLIDEAN.distances(query, objects)
    places = {int(i): place for place, i in enumerate(ids)}
    return lambda wanted: by_id[[places[int(i)] for i in wanted]]


def slow_nearest(query, objects, ids, k):
    distances = EUCLIDEAN.distances(query, objects)
    return sorted(zip(distances.tolist(), ids.tolist(), strict=True))[:k]


def tree_parameters():
    return st.fixed_dictionaries(
        {
            "leaf_size": st.integers(1, 5),
            "balanced": st.booleans(),
            "max_depth": st.none() | st.integers(0, 4),
            "seed": st.integers(0, 3),
        }
    )


@given(small_vectors(min_n=1), tree_parameters(), st.integers(1, 35), st.integers(0, 5), st.sampled_from([0, 0.5, 100]))
def test_k_means_tree_finds_the_nearest_with_ties_by_id(objects, parameters, k, seed, shift):
    ids = ids_for(objects, seed)
    index = KMeansTree(**parameters).build(objects, ids)
    query = objects[:1] + np.float32(shift)
    found = index.nearest(index.check_query(query[0]), k, distances_from(query, objects, ids))
    expected = slow_nearest(query, objects, ids, k)
    assert found.ids.tolist() == [i for _, i in expected]
    assert found.distances.tolist() == [distance for distance, _ in expected]
    assert found.is_exact


@given(small_vectors(min_n=1), tree_parameters(), st.integers(0, 5))
def test_k_means_tree_names_every_object_once_and_fewer_candidates_are_the_first_ones(objects, parameters, seed):
    ids = ids_for(objects, seed)
    index = KMeansTree(**parameters).build(objects, ids)
    everything = index.candidates(objects[0], len(objects) + 3)
    assert sorted(everything.tolist()) == sorted(ids.tolist())
    for n_candidates in (1, 2, len(objects)):
        assert index.candidates(objects[0], n_candidates).tolist() == everything[:n_candidates].tolist()


@given(small_vectors(min_n=1), st.booleans(), st.integers(0, 3))
def test_greedy_descent_leads_an_object_to_its_own_leaf_in_order_of_ids(objects, balanced, seed):
    index = KMeansTree(balanced=balanced, seed=seed).build(objects)
    for vector in objects:
        equal = np.flatnonzero((objects == vector).all(axis=1))
        assert index.candidates(vector, len(equal)).tolist() == equal.tolist()


@given(small_vectors(min_n=1), tree_parameters())
def test_every_object_is_on_its_side_of_every_border(objects, parameters):
    parameters = {**parameters, "n_threads": 1}
    tree = grow_tree(dense_view(objects, np.float32), np.arange(len(objects)), **parameters)
    sizes = np.diff(tree.starts)
    assert (sizes > 0).all()

    def below(node):
        """Objects and depth of a branch, checked on the way."""
        if node < 0:
            leaf = tree.order[tree.starts[-1 - node] : tree.starts[-node]]
            assert leaf.tolist() == sorted(leaf.tolist())
            return leaf, 0
        (left, left_depth), (right, right_depth) = below(tree.children[node, 0]), below(tree.children[node, 1])
        centres = tree.centres[node].astype(np.float64)
        assert tree.gaps[node] == pytest.approx(np.linalg.norm(centres[0] - centres[1]))
        for part, sign in ((left, -1), (right, 1)):
            sq_left, sq_right = ((objects[part, None].astype(np.float64) - centres) ** 2).sum(axis=2).T
            assert (sign * (sq_left - sq_right - tree.offsets[node]) >= -1e-9).all()
        members = np.concatenate([left, right])
        assert len(members) > parameters["leaf_size"]
        return members, 1 + max(left_depth, right_depth)

    members, depth = below(tree.root)
    assert sorted(members.tolist()) == list(range(len(objects)))
    assert parameters["max_depth"] is None or depth <= parameters["max_depth"]
    if parameters["max_depth"] is None:
        for start, size in zip(tree.starts, sizes, strict=False):
            leaf = objects[tree.order[start : start + size]]
            assert size <= parameters["leaf_size"] or (leaf == leaf[0]).all()


@given(small_vectors(min_n=1), st.booleans(), st.integers(1, 3))
def test_leaves_come_in_order_of_the_farthest_border_on_the_way_to_them(objects, balanced, leaf_size):
    query = objects[-1:] + np.float32(0.3)
    parameters = {"leaf_size": leaf_size, "balanced": balanced, "max_depth": None, "seed": 0, "n_threads": 1}
    tree = grow_tree(dense_view(objects, np.float32), np.arange(len(objects)), **parameters)
    waiting, expected = [(0.0, tree.root, None)], []  # bound, branch, the border that the bound is of
    while waiting:
        waiting.sort(key=lambda branch: branch[:2])
        for one, other in pairwise(waiting):
            assume(one[2] == other[2] or other[0] - one[0] > 1e-6)  # else either may come first, by rounding
        bound, node, border = waiting.pop(0)
        while node >= 0:
            sq_left, sq_right = ((query - tree.centres[node].astype(np.float64)) ** 2).sum(axis=1)
            beyond = sq_left - sq_right - tree.offsets[node]
            assume(abs(beyond) > 1e-6)
            near, far = tree.children[node, ::-1] if beyond > 0 else tree.children[node]
            distance = abs(beyond) / 2 / tree.gaps[node]
            waiting.append((bound, int(far), border) if bound >= distance else (distance, int(far), node))
            node = near
        expected += tree.order[tree.starts[-1 - node] : tree.starts[-node]].tolist()
    index = KMeansTree(leaf_size=leaf_size, balanced=balanced).build(objects)
    assert index.candidates(query[0], len(objects)).tolist() == expected


def test_an_equally_near_object_on_the_border_is_not_lost_to_rounding():
    for seed, step in enumerate(np.random.default_rng(0).integers(1, 60, size=(2000, 3)).astype(np.float32)):
        # The centres of {0, -4 step} and {2 step} are equally far from 0, which is as near to the query as 2 step.
        objects = np.stack([0 * step, -4 * step, 2 * step])
        index = KMeansTree(leaf_size=2, seed=seed).build(objects)
        found = index.nearest(step[None], 1, distances_from(step[None], objects, np.arange(3)))
        assert found.ids.tolist() == [0]


def test_an_object_on_the_border_is_where_a_search_for_it_goes():
    objects = np.array([[0.0], [-4.0], [2.0]])
    for seed in range(200):
        assert KMeansTree(leaf_size=2, seed=seed).build(objects).candidates(objects[0], 1).tolist() == [0]


def test_the_first_split_separates_two_clusters_at_their_means():
    objects = vectors(400, 6) + np.where(np.arange(400) < 150, 20, 0)[:, None].astype(np.float32)
    tree = grow_tree(
        dense_view(objects, np.float32),
        np.arange(400),
        leaf_size=250,
        max_depth=None,
        balanced=False,
        seed=1,
        n_threads=1,
    )
    assert sorted(np.diff(tree.starts).tolist()) == [150, 250]
    means = [objects[:150].mean(axis=0), objects[150:].mean(axis=0)]
    found = sorted(tree.centres[0].tolist(), reverse=True)
    assert np.allclose(found, means, atol=1e-5)


@pytest.mark.parametrize("balanced", [False, True])
def test_depth_report_counts_nodes_leaves_and_depths(balanced):
    index = KMeansTree(balanced=balanced).build(vectors(256, 8))
    report = index.depth_report()
    assert report["n_leaves"] == 256
    assert report["n_nodes"] == 511
    if balanced:
        assert report["max_depth"] == report["mean_depth"] == 8
    else:
        assert 8 < report["mean_depth"] < report["max_depth"] < 40


def test_equal_objects_share_one_leaf():
    objects = np.repeat(vectors(3, 4), 5, axis=0)
    index = KMeansTree().build(objects, np.arange(15)[::-1])
    assert index.depth_report() == {"n_nodes": 5, "n_leaves": 3, "max_depth": 2, "mean_depth": pytest.approx(5 / 3)}
    assert index.candidates(objects[14], 5).tolist() == [0, 1, 2, 3, 4]
    assert KMeansTree(balanced=True).build(np.zeros((9, 2))).depth_report()["n_nodes"] == 1


@pytest.mark.parametrize("balanced", [False, True])
def test_vectors_that_differ_by_rounding_only_are_told_apart(balanced):
    steps = np.arange(60)[:, None] % 4
    objects = (np.float32(1e6) + np.float32(0.0625) * steps * np.ones(40)).astype(np.float32)
    objects[:, 7] = np.nextafter(objects[:, 7], np.float32(np.inf)) if balanced else objects[:, 7]
    ids = np.arange(60)
    index = KMeansTree(balanced=balanced).build(objects)
    assert index.depth_report()["n_leaves"] == 4
    for i in range(4):
        found = index.nearest(index.check_query(objects[i]), 20, distances_from(objects[i : i + 1], objects, ids))
        assert found.ids.tolist() == [j for _, j in slow_nearest(objects[i : i + 1], objects, ids, 20)]


def test_exact_search_is_right_for_vectors_far_from_the_origin():
    objects = vectors(500, 3) + np.float32(3e4)
    queries = vectors(30, 3, seed=1) + np.float32(3e4)
    index = KMeansTree(leaf_size=3).build(objects)
    for i in range(30):
        query = queries[i : i + 1]
        found = index.nearest(index.check_query(queries[i]), 7, distances_from(query, objects, np.arange(500)))
        assert found.ids.tolist() == [j for _, j in slow_nearest(query, objects, np.arange(500), 7)]


@pytest.mark.parametrize("balanced", [False, True])
def test_exact_search_skips_most_branches_of_flat_data(balanced):
    objects, query = vectors(4000, 2), vectors(1, 2, seed=1)
    index = KMeansTree(balanced=balanced).build(objects)
    compared = []
    distances_to = distances_from(query, objects, np.arange(4000))
    found = index.nearest(query, 5, lambda ids: compared.append(ids) or distances_to(ids))
    ids = np.concatenate(compared)
    assert len(np.unique(ids)) == len(ids) < 200
    assert found.is_exact
    assert found.n_pivot_distances < 800


@given(st.integers(1, 60), st.integers(1, 12))
def test_a_budget_is_kept_and_told(max_distances, leaf_size):
    objects, query = vectors(50, 8), vectors(1, 8, seed=1)
    index = KMeansTree(leaf_size=leaf_size).build(objects)
    compared = []
    distances_to = distances_from(query, objects, np.arange(50))
    found = index.nearest(query, 3, lambda ids: compared.append(ids) or distances_to(ids), max_distances)
    ids = np.concatenate(compared)
    assert len(ids) <= max_distances
    expected = sorted(zip(distances_to(ids).tolist(), ids.tolist(), strict=True))[:3]
    assert list(zip(found.distances.tolist(), found.ids.tolist(), strict=True)) == expected
    if found.is_exact:
        assert found.ids.tolist() == [i for _, i in slow_nearest(query, objects, np.arange(50), 3)]
    assert found.is_exact or len(ids) == max_distances


def test_greedy_descent_compares_two_centres_per_level():
    objects = vectors(512, 8)
    index = KMeansTree(balanced=True).build(objects)
    stream = index.stream_candidates(index.check_query(objects[0]), 1)
    assert np.concatenate(list(stream.blocks)).tolist() == [0]
    assert stream.n_pivot_distances == 2 * 9
    assert stream.n_ids_ranked.tolist() == [1]


def test_k_means_trees_depend_on_the_seed_only_and_not_on_threads_chunks_or_the_order_of_objects(monkeypatch):
    monkeypatch.setattr("metricsearch.baselines.k_means_tree.building.BRANCH_SIZE", 40)  # several tasks
    objects, order = vectors(600, 5), np.random.default_rng(1).permutation(600)
    first = KMeansTree(seed=4, n_threads=1).build(objects)
    others = [
        KMeansTree(seed=4, n_threads=3).build(objects),
        KMeansTree(seed=4).build(iter([objects[:7], objects[7:300], objects[300:]])),
        KMeansTree(seed=4).build(objects[order], order),
        KMeansTree(seed=4).build(objects.astype(np.float64)),
    ]
    monkeypatch.undo()
    others.append(KMeansTree(seed=4).build(objects))  # one task
    expected = first.candidates(objects[5], 600).tolist()
    assert all(other.candidates(objects[5], 600).tolist() == expected for other in others)
    assert KMeansTree(seed=5).build(objects).candidates(objects[5], 600).tolist() != expected


def test_k_means_tree_reports_the_bytes_of_its_centres():
    report = KMeansTree().build(vectors(100, 32)).memory_report()
    assert report["centres"] == 99 * 2 * 32 * 4
    assert not set(report) & set(FIXED_PARTS)
    large_leaves = KMeansTree(leaf_size=20).build(vectors(100, 32), np.arange(1, 101))
    assert large_leaves.memory_report()["centres"] == (large_leaves.depth_report()["n_leaves"] - 1) * 2 * 32 * 4
    assert large_leaves.memory_report()["ids"] == 800


def test_objects_handed_over_are_not_changed():
    objects = vectors(50, 3)
    before = objects.copy()
    index = KMeansTree().build(objects)
    assert np.array_equal(objects, before)
    assert objects.flags.writeable
    objects[:] = 0  # nor looked at again
    assert index.candidates(before[3], 1).tolist() == [3]


def test_k_means_tree_refuses_other_metrics_and_impossible_parameters():
    with pytest.raises(InvalidInputError, match="only euclidean; got manhattan"):
        KMeansTree("manhattan")
    with pytest.raises(InvalidInputError, match="leaf_size"):
        KMeansTree(leaf_size=0)
    with pytest.raises(InvalidInputError, match="max_depth"):
        KMeansTree(max_depth=-1)
    with pytest.raises(InvalidInputError, match="balanced: expected True or False, got 'yes'"):
        KMeansTree(balanced="yes")


@pytest.mark.parametrize("limit", ["leaf_size", "max_depth"])
def test_limits_beyond_64_bits_are_no_limits(limit):
    n_leaves = KMeansTree(**{limit: 2**70}).build(vectors(20, 2)).depth_report()["n_leaves"]
    assert n_leaves == (1 if limit == "leaf_size" else 20)


def test_a_failed_build_leaves_the_k_means_tree_as_it_was():
    objects = vectors(20, 3)
    index = KMeansTree().build(objects)
    with pytest.raises(DuplicateIdError):
        index.build(vectors(2, 3, seed=1), [4, 4])
    objects[3, 1] = np.nan
    with pytest.raises(InvalidInputError, match="objects: row 3 has NaN"):
        index.build(objects)
    assert len(index) == 20
    assert index.candidates(objects[7], 1).tolist() == [7]


def test_k_means_tree_over_no_objects_is_built_but_not_searched():
    index = KMeansTree().build(np.empty((0, 3)))
    assert len(index) == 0
    with pytest.raises(EmptyIndexError):
        index.candidates(np.zeros(3), 1)
    with pytest.raises(EmptyIndexError):
        index.depth_report()
    assert len(KMeansTree().build(iter([]))) == 0
    assert index.width is None


@pytest.mark.parametrize("make", [lambda: MIndex("euclidean", 8, 4), lambda: PPIndex("euclidean", 1, 8, 4), KMeansTree])
def test_searching_before_building_and_wrong_arguments_give_one_clear_line(make):
    with pytest.raises(MissingIndexError, match=r"build\(\)"):
        make().candidates(np.zeros(2), 5)
    index = make().build(vectors(30, 2))
    with pytest.raises(InvalidInputError, match="n_candidates: expected a whole number >= 1, got 0"):
        index.candidates(np.zeros(2), 0)
    with pytest.raises(InvalidInputError, match="options: .*got {}"):
        index.candidates(np.zeros(2), 5, {})
    with pytest.raises(InvalidInputError, match="expected 2 dimensions"):
        index.candidates(np.zeros(3), 5)
    with pytest.raises(InvalidInputError):
        index.candidates(np.array([0, np.nan]), 5)


@pytest.mark.parametrize("make", [lambda: MIndex("euclidean", 8, 4), lambda: PPIndex("euclidean", 2, 8, 4)])
def test_fewer_objects_than_pivots_are_refused(make):
    with pytest.raises(InvalidInputError, match="need 8|need 16"):
        make().build(vectors(7, 2))
