"""The vocabulary tree against the slow oracle; the oracle itself against numbers worked out by hand."""

import math

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from oracle import vocabtree as oracle

from metricsearch.vocabtree import Scoring, VocabularyTree
from metricsearch.vocabulary import train_vocabulary

# ---------------------------------------------------------------- the oracle itself

TREE = oracle.Tree(2, 2)  # words 0..3, nodes 0 and 1 above them
IMAGES = {10: [0, 0, 1], 11: [1], 12: [3, 3, 3, 3]}
LN3, LN15 = math.log(3), math.log(1.5)


def test_statistics_of_a_worked_example():
    comp = oracle.Statistics(TREE, IMAGES.values())
    assert (comp.n_images, comp.n_words) == (3, 8)
    assert dict(comp.image_frequency[2]) == {0: 1, 1: 2, 3: 1}
    assert dict(comp.image_frequency[1]) == {0: 2, 1: 1}
    assert dict(comp.list_length[1]) == {0: 3, 1: 1}  # image 10 stands in two lists below node 0
    assert dict(comp.word_frequency[2]) == {0: 2, 1: 2, 3: 4}
    assert dict(comp.word_frequency[1]) == {0: 4, 1: 4}


@pytest.mark.parametrize(
    ("options", "level", "ref"),
    [
        ({}, 2, [LN3, LN15, LN3, LN3]),  # node 2 occurs nowhere: ln(N / 1)
        ({"drop_unseen": True}, 2, [LN3, LN15, 0, LN3]),
        ({"frequency": "word"}, 2, [math.log(4), math.log(4), math.log(8), math.log(2)]),
        ({"levels": 2}, 1, [LN15, LN3]),
        ({"levels": 2, "exact_frequency": False}, 1, [0, LN3]),  # list of three: ln(3 / 3)
        ({"levels": 2, "relative_to": "parent"}, 2, [math.log(2), 0, 0, 0]),
        ({"levels": 2, "relative_to": "parent"}, 1, [LN15, LN3]),
        ({"stop_most": 34}, 2, [LN3, 0, LN3, LN3]),  # one of three occurring words
        ({"stop_most": 33}, 2, [LN3, LN15, LN3, LN3]),
        ({"stop_least": 67}, 2, [0, LN15, LN3, 0]),  # node 2 does not occur, so it cannot be stopped
        ({"stop_least": 34}, 2, [0, LN15, LN3, LN3]),  # 0 and 3 tie: by node
        ({"max_list_length": 1}, 2, [LN3, 0, LN3, LN3]),
        ({"levels": 2, "max_list_length": 2}, 1, [0, LN3]),
    ],
)
def test_weights_of_a_worked_example(options, level, ref):
    for comp in oracle.weight_tables(oracle.Statistics(TREE, IMAGES.values()), oracle.DEFAULTS | options):
        assert comp[level] == pytest.approx(ref, abs=1e-15)
    unweighted = oracle.DEFAULTS | options | {"entropy_query": False}
    comp, _ = oracle.weight_tables(oracle.Statistics(TREE, IMAGES.values()), unweighted)
    assert set(comp[level]) <= {0.0, 1.0}


def test_scores_of_a_worked_example():
    plain = {"entropy_query": False, "entropy_database": False}
    # q = (1/2, 1/2, 0, 0); images (2/3, 1/3, 0, 0), (0, 1, 0, 0); image 12 shares nothing
    assert oracle.search(TREE, IMAGES, [1, 0], **plain) == [(10, pytest.approx(1 / 3)), (11, pytest.approx(1.0))]
    assert oracle.search(TREE, IMAGES, [1, 0], k=1, **plain) == [(10, pytest.approx(1 / 3))]
    comp = oracle.search(TREE, IMAGES, [1, 0], norm="l2", **plain)
    assert [image for image, _ in comp] == [10, 11]
    a, b = np.array([1, 1]) / math.sqrt(2), np.array([2, 1]) / math.sqrt(5)
    assert comp[0][1] == pytest.approx(float(np.linalg.norm(a - b)))
    # word 2 alone shares the node above with image 12, at level 1
    assert oracle.search(TREE, IMAGES, [2], **plain) == []
    assert oracle.search(TREE, IMAGES, [2], levels=2, **plain) == [(12, pytest.approx(1.0))]
    assert oracle.search(TREE, IMAGES, [0, 0, 1], **plain)[0] == (10, 0.0)
    assert oracle.search(TREE, IMAGES, []) == oracle.search(TREE, {}, [1]) == []


def test_soft_shares_and_hamming_of_worked_examples():
    assert oracle.soft_shares([0.0, 2.0], 1.0) == pytest.approx([1 / (1 + math.exp(-2)), 1 / (1 + math.exp(2))])
    identity = [[1.0, 0.0], [0.0, 1.0]]
    assert oracle.signature([3.0, 1.0], identity, [2.0, 1.0]) == [True, False]
    one, other = [True, False], [True, True]
    images = {1: [(0, one)], 2: [(0, other), (0, other)], 3: [(1, one)]}
    w = math.log(3 / 2)
    comp = oracle.search_hamming(TREE, images, [(0, one)], threshold=1, sigma=1.0)
    # image 2: two entries at distance 1: 2 e^-1 / sqrt 2; self-similarity 2 w^2
    assert comp == [(1, pytest.approx(0.0)), (2, pytest.approx(1 - 2 * math.exp(-1) / math.sqrt(2) / math.sqrt(2)))]
    assert w > 0
    assert oracle.search_hamming(TREE, images, [(0, one)], threshold=0) == [(1, pytest.approx(0.0))]


def test_descent_and_k_means_of_worked_examples():
    tree = [([0.0], [([-1.0], []), ([1.0], [])]), ([10.0], [])]
    assert [oracle.descend([x], tree, 2, 2) for x in (-3.0, 0.0, 0.5, 5.0, 5.1)] == [0, 0, 1, 1, 2]
    assert oracle.leaves(tree, 2, 2) == [(0, [-1.0]), (1, [1.0]), (2, [10.0])]
    centres, labels = oracle.lloyd([[0.0], [1.0], [9.0], [11.0]], [[0.0], [1.0]], 10)
    assert (centres, labels) == ([[0.5], [10.0]], [0, 0, 1, 1])
    # two equal centres: the second stays empty and takes the farthest point
    centres, labels = oracle.lloyd([[0.0], [1.0], [9.0]], [[0.0], [0.0]], 1)
    assert (centres, labels) == ([[0.5], [9.0]], [0, 0, 1])


def words_of(n_words):
    return st.lists(st.integers(0, n_words - 1), max_size=8)


@st.composite
def databases(draw, n_words, max_images=6):
    """{id: words} with ids out of order, duplicates and empty images among them."""
    bags = draw(st.lists(words_of(n_words), max_size=max_images))
    bags += [list(bags[0])] * draw(st.integers(0, 2)) if bags else []
    return dict(zip(draw(st.permutations(range(len(bags)))), bags, strict=True))


OPTIONS = st.fixed_dictionaries(
    {
        "norm": st.sampled_from(["l1", "l2"]),
        "levels": st.integers(1, 2),
        "entropy_query": st.booleans(),
        "entropy_database": st.booleans(),
        "frequency": st.sampled_from(["image", "word"]),
        "relative_to": st.sampled_from(["root", "parent"]),
        "stop_most": st.sampled_from([0.0, 2.0, 25.0, 50.0]),
        "stop_least": st.sampled_from([0.0, 10.0, 34.0]),
        "max_list_length": st.sampled_from([None, 1, 3]),
        "burstiness": st.booleans(),
        "drop_unseen": st.booleans(),
    }
)


@given(images=databases(9), query=words_of(9), options=OPTIONS)
def test_dense_vectors_and_explicit_lists_agree(images, query, options):
    tree = oracle.Tree(3, 2)
    ref = dict(oracle.search(tree, images, query, **options))
    comp = dict(oracle.search_explicit_lists(tree, images, query, **options))
    assert comp.keys() == ref.keys()
    for image, value in ref.items():
        # (5) takes the difference of nearly equal numbers, and L2 the root of it
        assert comp[image] == pytest.approx(value, abs=1e-12 if options["norm"] == "l1" else 1e-7)


# ---------------------------------------------------------------- the tree against the oracle


def as_words(bags):
    return [np.array(bag, dtype=np.uint32) for bag in bags]


def tree_of(shape, images):
    """A tree without vocabulary that holds images as words."""
    tree = VocabularyTree(shape.branching, shape.depth)
    if images:
        tree.add_words(list(images), as_words(images.values()))
    return tree


def assert_matches(comp, ref, norm):
    """Same images, same scores, ascending; equal scores by image number."""
    assert sorted(comp.ids.tolist()) == sorted(image for image, _ in ref)
    scores = dict(ref)
    for image, value in zip(comp.ids.tolist(), comp.scores.tolist(), strict=True):
        # The L2 score is the root of a difference of nearly equal numbers: compare before the root.
        power = 1 if norm == "l1" else 2
        assert value**power == pytest.approx(scores[image] ** power, abs=1e-12), image
    assert list(zip(comp.scores.tolist(), comp.ids.tolist(), strict=True)) == sorted(
        zip(comp.scores.tolist(), comp.ids.tolist(), strict=True)
    )


def found(result):
    return result.ids.tolist(), result.scores.tolist()


def bags(seed, n_words, n_images, length):
    """{id: words}, words as unevenly frequent as real ones, ids in no order; one image is empty, two are equal."""
    rng = np.random.default_rng(seed)
    popularity = 1 / (1 + rng.permutation(n_words))
    bags = [rng.choice(n_words, rng.integers(1, length), p=popularity / popularity.sum()) for _ in range(n_images)]
    bags[1], bags[2] = np.empty(0, dtype=np.int64), bags[0]
    return dict(zip(rng.permutation(3 * n_images)[:n_images].tolist(), bags, strict=True))


SHAPES = {"deep": oracle.Tree(3, 4), "shallow": oracle.Tree(3, 2), "flat": oracle.Tree(9, 1)}


@pytest.mark.parametrize("row", oracle.TABLE_1)
def test_rows_of_table_1_equal_formula_3(row):
    kind, options = oracle.TABLE_1[row]
    shape = SHAPES[kind]
    images = bags(1, shape.branching**shape.depth, 60, 40)
    scorer = tree_of(shape, images)
    for query in list(bags(2, shape.branching**shape.depth, 6, 30).values()) + list(images.values())[:4]:
        comp = scorer.search_words(np.array(query, dtype=np.uint32), k=100, scoring=Scoring(**options))
        assert_matches(comp, oracle.search(shape, images, query, **options), options.get("norm", "l1"))


@pytest.mark.parametrize("row", ["H", "M", "P"])
def test_the_stop_lists_of_table_1_stop_something(row):
    kind, options = oracle.TABLE_1[row]
    shape = SHAPES[kind]
    statistics = oracle.Statistics(shape, bags(1, shape.branching**shape.depth, 60, 40).values())
    assert oracle.stopped(statistics, shape.depth, oracle.DEFAULTS | options)


ALL_OPTIONS = st.fixed_dictionaries(
    {
        "norm": st.sampled_from(["l1", "l2"]),
        "levels": st.integers(1, 3),
        "entropy_query": st.booleans(),
        "entropy_database": st.booleans(),
        "frequency": st.sampled_from(["image", "word"]),
        "relative_to": st.sampled_from(["root", "parent"]),
        "exact_frequency": st.booleans(),
        "stop_most": st.sampled_from([0.0, 2.0, 25.0, 50.0, 100.0]),
        "stop_least": st.sampled_from([0.0, 10.0, 34.0]),
        "max_list_length": st.sampled_from([None, 0, 1, 3]),
        "burstiness": st.booleans(),
        "drop_unseen": st.booleans(),
    }
)
DEEP = oracle.Tree(3, 3)


@settings(max_examples=300)
@given(images=databases(27), query=words_of(27), options=ALL_OPTIONS)
def test_every_option_equals_formula_3(images, query, options):
    comp = tree_of(DEEP, images).search_words(as_words([query])[0], k=20, scoring=Scoring(**options))
    assert_matches(comp, oracle.search(DEEP, images, query, **options), options["norm"])


@settings(max_examples=200)
@given(images=databases(4), query=words_of(4), options=ALL_OPTIONS)
def test_every_option_equals_formula_3_where_most_words_are_shared(images, query, options):
    shape = oracle.Tree(2, 2)
    options = options | {"levels": min(options["levels"], 2)}
    comp = tree_of(shape, images).search_words(as_words([query])[0], k=20, scoring=Scoring(**options))
    assert_matches(comp, oracle.search(shape, images, query, **options), options["norm"])


@given(images=databases(27), query=words_of(27), options=ALL_OPTIONS)
def test_virtual_lists_equal_explicit_lists(images, query, options):
    comp = tree_of(DEEP, images).search_words(as_words([query])[0], k=20, scoring=Scoring(**options))
    assert_matches(comp, oracle.search_explicit_lists(DEEP, images, query, **options), options["norm"])


@given(images=databases(4, max_images=10), query=words_of(4), options=ALL_OPTIONS, k=st.integers(1, 8))
def test_k_results_are_the_first_k_of_all(images, query, options, k):
    shape = oracle.Tree(2, 2)
    scoring = Scoring(**options | {"levels": min(options["levels"], 2)})
    tree, query = tree_of(shape, images), as_words([query])[0]
    every = tree.search_words(query, k=20, scoring=scoring)
    comp = tree.search_words(query, k=k, scoring=scoring)
    assert found(comp) == (every.ids.tolist()[:k], every.scores.tolist()[:k])


@pytest.mark.parametrize("norm", ["l1", "l2"])
@pytest.mark.parametrize("ids", [[9, 8, 7, 3, 2, 1], [1, 2, 3, 7, 8, 9], [8, 1, 9, 3, 7, 2]])
def test_equal_images_come_by_number_also_where_k_cuts_them_off(norm, ids):
    tree = VocabularyTree(3, 3)
    for image in ids:
        tree.add_words([image], as_words([[4, 4, 20]]))
    tree.add_words([0, 10], as_words([[5], [4, 5]]))  # so that the words are not in all images
    for k in range(1, 9):
        comp = tree.search_words(as_words([[4, 20, 21]])[0], k=k, scoring=Scoring(norm=norm, levels=2))
        assert comp.ids.tolist()[:6] == sorted(ids)[:k]


@pytest.mark.parametrize("options", [{}, {"norm": "l2", "levels": 2}, {"levels": 3, "burstiness": True}])
def test_long_gaps_and_large_frequencies_equal_formula_3(options):
    rng = np.random.default_rng(5)
    images = {2**40 + 5 * i: [26] for i in range(400)}
    for i, n in ((0, 1), (3, 127), (130, 128), (131, 129), (270, 130), (399, 20_000)):
        images[2**40 + 5 * i] = [3] * n + [4] * (i + 1) + rng.integers(0, 27, 5).tolist()
    tree = tree_of(DEEP, images)
    query = [3] * 300 + [5, 26]
    comp = tree.search_words(as_words([query])[0], k=500, scoring=Scoring(**options))
    assert_matches(comp, oracle.search(DEEP, images, query, **options), options.get("norm", "l1"))
    for image, words in images.items():
        assert tree.words_of(image).tolist() == sorted(words)


def test_many_small_changes_equal_rebuilt():
    rng = np.random.default_rng(6)
    tree, left = VocabularyTree(3, 4), {}
    for step, (image, words) in enumerate(bags(7, 81, 120, 25).items()):
        left[image] = words
        tree.add_words([image], as_words([words]))
        if step % 3 == 0:
            gone = rng.choice(list(left), rng.integers(1, 1 + len(left) // 4 + 1), replace=False).tolist()
            tree.remove(gone)
            left = {other: bag for other, bag in left.items() if other not in gone}
        if step % 10 == 9:
            rebuilt = tree_of(oracle.Tree(3, 4), left)
            assert tree.image_ids().tolist() == list(left)
            for options in ({}, {"norm": "l2", "levels": 3}, {"levels": 2, "frequency": "word", "stop_most": 5.0}):
                query = as_words([rng.integers(0, 81, 20)])[0]
                ref = found(rebuilt.search_words(query, k=200, scoring=Scoring(**options)))
                assert found(tree.search_words(query, k=200, scoring=Scoring(**options))) == ref


@given(images=databases(27), query=words_of(27), options=ALL_OPTIONS)
def test_one_by_one_equals_bulk_equals_compact(images, query, options):
    scoring, query = Scoring(**options), as_words([query])[0]
    bulk = tree_of(DEEP, images)
    ref = found(bulk.search_words(query, k=20, scoring=scoring))
    single = VocabularyTree(3, 3)
    for image, words in images.items():
        single.add_words([image], as_words([words]))
    assert found(single.search_words(query, k=20, scoring=scoring)) == ref
    single.compact()
    assert found(single.search_words(query, k=20, scoring=scoring)) == ref
    backwards = VocabularyTree(3, 3)
    for image, words in reversed(images.items()):
        backwards.add_words([image], as_words([words]))
    assert found(backwards.search_words(query, k=20, scoring=scoring)) == ref


@given(images=databases(27), more=databases(27), query=words_of(27), options=ALL_OPTIONS, data=st.data())
def test_after_removal_equals_rebuilt(images, more, query, options, data):
    scoring, query = Scoring(**options), as_words([query])[0]
    more = {100 + image: words for image, words in more.items()}
    tree = tree_of(DEEP, images)
    if more:
        tree.add_words(list(more), as_words(more.values()))
    gone = data.draw(st.lists(st.sampled_from(sorted(images | more)), unique=True)) if images or more else []
    tree.search_words(query, k=20, scoring=scoring)  # what is kept from before the removal must not be used
    if gone:
        tree.remove(gone)
    left = {image: words for image, words in (images | more).items() if image not in gone}
    ref = found(tree_of(DEEP, left).search_words(query, k=20, scoring=scoring))
    assert found(tree.search_words(query, k=20, scoring=scoring)) == ref
    assert tree.image_ids().tolist() == list(left)
    for image, words in left.items():
        assert tree.words_of(image).tolist() == sorted(words)
    tree.compact()
    assert found(tree.search_words(query, k=20, scoring=scoring)) == ref
    assert len(tree) == len(left)


@given(images=databases(27), others=databases(27), query=words_of(27), options=ALL_OPTIONS)
def test_weights_of_an_independent_set_equal_formula_3(images, others, query, options):
    assume(others)  # without any it is refused
    tree = tree_of(DEEP, images)
    tree.reweight_words(as_words(others.values()))
    comp = tree.search_words(as_words([query])[0], k=20, scoring=Scoring(**options))
    statistics = oracle.Statistics(DEEP, others.values())
    assert_matches(comp, oracle.search(DEEP, images, query, statistics=statistics, **options), options["norm"])
    tree.reweight()
    comp = tree.search_words(as_words([query])[0], k=20, scoring=Scoring(**options))
    assert_matches(comp, oracle.search(DEEP, images, query, **options), options["norm"])


@given(images=databases(27), more=databases(27), query=words_of(27), options=ALL_OPTIONS)
def test_frozen_weights_are_those_of_the_images_then(images, more, query, options):
    assume(images)  # without any it is refused
    tree = tree_of(DEEP, images)
    tree.freeze_weights()
    more = {100 + image: words for image, words in more.items()}
    if more:
        tree.add_words(list(more), as_words(more.values()))
    comp = tree.search_words(as_words([query])[0], k=20, scoring=Scoring(**options))
    statistics = oracle.Statistics(DEEP, images.values())
    assert_matches(comp, oracle.search(DEEP, images | more, query, statistics=statistics, **options), options["norm"])


# ---------------------------------------------------------------- descriptors: descent, soft assignment, signatures


def nested(vocabulary):
    """The vocabulary as the oracle's tree of (centre, nodes below)."""

    def below(slot):
        first = vocabulary.first_child[slot] if slot < len(vocabulary.first_child) else -1
        if first < 0:
            return []
        rows = range(int(first), int(first) + int(vocabulary.n_children[slot]))
        return [(vocabulary.centres[row].tolist(), below(row + 1)) for row in rows]

    return below(0)


def clouds(seed, n, d=4):
    """(n, d) uint8 in clusters of very different size, with duplicates, so that trees come out unbalanced."""
    rng = np.random.default_rng(seed)
    centres = rng.integers(0, 160, (12, d))
    centres[0] = 255  # far away and all equal: a leaf above the last level
    cluster = np.minimum(rng.geometric(0.35, n) - 1, 11)
    return np.clip(centres[cluster] + rng.integers(-6, 7, (n, d)) * (cluster > 1)[:, None], 0, 255).astype(np.uint8)


TRAINED = train_vocabulary(clouds(0, 300), branching=3, depth=3, cycles=4)
PLAIN = nested(TRAINED)
LEAVES = dict(oracle.leaves(PLAIN, 3, 3))
DESCRIPTORS = {3 * i: clouds(i + 1, 12 * (i % 5)) for i in range(12)}


def described_tree(**parameters):
    tree = VocabularyTree(3, 3, cycles=4, **parameters).fit(clouds(0, 300))
    tree.add_images([(image, descriptors, "") for image, descriptors in DESCRIPTORS.items()])
    return tree


def test_the_trained_tree_is_unbalanced():
    """Otherwise the tests below would say nothing of words of leaves that lie higher."""
    depths = {1 + bool(child) + any(below for _, below in child) for _, child in PLAIN}
    assert len(LEAVES) == TRAINED.n_leaves < 27
    assert len(depths) > 1


def test_trained_nodes_are_where_k_means_comes_to_rest():
    """One more cycle of the oracle, in every cell, moves no descriptor and no centre."""
    points = (clouds(3, 400) / 7).astype(np.float32)
    vocabulary = train_vocabulary(points, branching=3, depth=3, cycles=200)
    n_checked = 0

    def check(node, cell, level):
        nonlocal n_checked
        if node:
            centres, labels = oracle.lloyd(cell, [centre for centre, _ in node], 1)
            for i, (centre, below) in enumerate(node):
                assert centre == pytest.approx(centres[i], rel=1e-5, abs=1e-5)
                n_checked += 1
                check(below, [x for x, label in zip(cell, labels, strict=True) if label == i], level + 1)
        elif level < 3:  # a leaf above the last level
            assert len(cell) <= 3 or len(set(map(tuple, cell))) == 1

    check(nested(vocabulary), points.tolist(), 0)
    assert n_checked == vocabulary.n_nodes > 9


@given(seed=st.integers(0, 10_000))
def test_descent_equals_the_oracle(seed):
    descriptors = clouds(seed, 9)
    comp = TRAINED.quantize(descriptors)
    assert comp.tolist() == [oracle.descend(x, PLAIN, 3, 3) for x in descriptors.tolist()]


def test_soft_words_are_leaves_at_their_true_distances():
    descriptors = clouds(77, 30)
    every = min(len(LEAVES), 27)
    words, distances = TRAINED.quantize_soft(descriptors, every)
    for x, row, found_distances in zip(descriptors.tolist(), words.tolist(), distances, strict=True):
        assert sorted(row) == sorted(LEAVES)
        ref = [math.sqrt(oracle.squared_distance(x, LEAVES[word])) for word in row]
        assert found_distances.tolist() == pytest.approx(ref, rel=1e-6)
        assert ref == sorted(ref)


def oracle_words():
    return {
        image: [oracle.descend(x, PLAIN, 3, 3) for x in descriptors.tolist()]
        for image, descriptors in DESCRIPTORS.items()
    }


@pytest.mark.parametrize("options", [{}, {"norm": "l2", "levels": 2}, {"levels": 3, "burstiness": True}])
def test_a_search_for_descriptors_equals_formula_3(options):
    tree, images = described_tree(), oracle_words()
    for descriptors in (clouds(50, 10), DESCRIPTORS[6], clouds(51, 0)):
        words = [oracle.descend(x, PLAIN, 3, 3) for x in descriptors.tolist()]
        comp = tree.search(descriptors, k=20, scoring=Scoring(**options))
        assert_matches(comp, oracle.search(DEEP, images, words, **options), options.get("norm", "l1"))


@pytest.mark.parametrize("n_assignments", [2, 3, 30])
@pytest.mark.parametrize("options", [{}, {"norm": "l2", "levels": 2}, {"levels": 3, "burstiness": True}])
def test_soft_assignment_equals_formula_3_with_shares(n_assignments, options):
    tree, images = described_tree(), oracle_words()
    for descriptors in (clouds(50, 10), DESCRIPTORS[6]):
        words, distances = TRAINED.quantize_soft(descriptors, n_assignments)
        # sigma^2 is half the mean squared distance to the nearest leaf
        sigma = math.sqrt(math.fsum(float(row[0]) ** 2 for row in distances) / len(distances) / 2)
        shares = [share for row in distances for share in oracle.soft_shares(row, sigma)]
        ref = oracle.search(DEEP, images, words.ravel().tolist(), query_shares=shares, **options)
        comp = tree.search(descriptors, k=20, n_assignments=n_assignments, scoring=Scoring(**options))
        assert_matches(comp, ref, options.get("norm", "l1"))


def test_with_all_leaves_checked_a_query_is_scored_by_its_truly_nearest_words():
    tree, images = described_tree(), oracle_words()
    descriptors = clouds(50, 10)
    words = TRAINED.quantize_soft(descriptors, TRAINED.n_leaves)[0][:, 0].tolist()
    assert words != TRAINED.quantize(descriptors).tolist()  # else nothing is tested
    comp = tree.search(descriptors, k=20, n_checks=TRAINED.n_leaves)
    assert_matches(comp, oracle.search(DEEP, images, words), "l1")
    assert found(tree.search_many([descriptors], k=20, n_checks=TRAINED.n_leaves)[0]) == found(comp)
    assert found(tree.search(descriptors, k=20, n_checks=1)) == found(tree.search(descriptors, k=20))


def signed(model, descriptors, n_assignments=1):
    """[(word, 64 booleans)] of descriptors in their nearest words, by the model under test."""
    words = TRAINED.quantize(descriptors)
    if n_assignments > 1:
        words = TRAINED.quantize_soft(descriptors, n_assignments)[0].ravel()
        descriptors = np.repeat(descriptors, n_assignments, axis=0)
    signatures = model.signatures(descriptors, words)
    return [(int(w), [bool(int(x) >> j & 1) for j in range(64)]) for w, x in zip(words, signatures, strict=True)]


def test_signatures_are_signs_of_projections_over_the_medians_of_the_word():
    model = described_tree(hamming=True)._state.hamming
    projection = model.projection.T.tolist()
    training, words = clouds(0, 300), TRAINED.quantize(clouds(0, 300))
    projected = training.astype(np.float64) @ model.projection.astype(np.float64)
    for descriptors in (training[:8], clouds(60, 8)):
        for x, (word, comp) in zip(descriptors, signed(model, descriptors), strict=True):
            medians = np.median(projected[words == word] if word in words else projected, axis=0)
            ref = oracle.signature(x.tolist(), projection, medians)
            clear = abs(x.astype(np.float64) @ model.projection - medians) > 1e-3  # float32 decides the others
            assert [bit for bit, sure in zip(comp, clear, strict=True) if sure] == [
                bit for bit, sure in zip(ref, clear, strict=True) if sure
            ]


@pytest.mark.parametrize(("threshold", "n_assignments"), [(0, 1), (12, 1), (24, 1), (64, 1), (24, 3)])
def test_hamming_scores_equal_the_oracle(threshold, n_assignments):
    tree = described_tree(hamming=True)
    model = tree._state.hamming
    images = {image: signed(model, descriptors) for image, descriptors in DESCRIPTORS.items()}
    for descriptors in (clouds(50, 10), DESCRIPTORS[6], clouds(51, 0)):
        scoring = Scoring(hamming_threshold=threshold)
        comp = tree.search(descriptors, k=20, n_assignments=n_assignments, scoring=scoring)
        ref = oracle.search_hamming(DEEP, images, signed(model, descriptors, n_assignments), threshold)
        assert_matches(comp, ref, "l1")


# ---------------------------------------------------------------- real photos


@pytest.fixture(scope="module")
def photos(data_dir):
    """{id: (n, 128) uint8 SIFT} of 30 photos: UKBench and five covers."""
    sift = cv2.SIFT_create(nfeatures=120)
    paths = (
        sorted((data_dir / "ukbench").glob("*.jpg")) + sorted((data_dir / "dvd_covers" / "reference").glob("*.jpg"))[:5]
    )
    found = {}
    for i, path in enumerate(paths):
        descriptors = sift.detectAndCompute(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), None)[1]
        found[7 * i] = descriptors[:120].astype(np.uint8)
    return found


@pytest.mark.parametrize(("branching", "depth", "rows"), [(4, 4, "ABCDEFGHIJKLMNOP"), (6, 2, "RSUV"), (40, 1, "QTW")])
def test_real_photos_equal_formula_3_in_all_rows_of_table_1(photos, branching, depth, rows):
    tree = VocabularyTree(branching, depth, cycles=4).fit(np.concatenate(list(photos.values())))
    tree.add_images([(image, descriptors, "") for image, descriptors in photos.items()])
    shape, plain = oracle.Tree(branching, depth), nested(tree.vocabulary)
    images = {image: tree.words_of(image).tolist() for image in photos}
    assert images[0] == sorted(oracle.descend(x, plain, branching, depth) for x in photos[0].tolist())
    statistics = oracle.Statistics(shape, images.values())
    for row in rows:
        _, options = oracle.TABLE_1[row]
        for query in (0, 7 * 13, 7 * 27):
            comp = tree.search(photos[query], k=50, scoring=Scoring(**options))
            ref = oracle.search(shape, images, images[query], statistics=statistics, **options)
            assert_matches(comp, ref, options.get("norm", "l1"))
            assert comp.ids[0] == query
