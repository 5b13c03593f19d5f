"""VocabularyTree: what is stored, found, refused. Scores are compared with the oracle in test_vocabtree_oracle.py."""

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import vocabtree as oracle

from metricsearch.errors import (
    DuplicateIdError,
    EmptyIndexError,
    InvalidInputError,
    MetricSearchError,
    MissingIndexError,
    UnknownIdError,
)
from metricsearch.vocabtree import Scoring, VocabularyTree, adding, counts, querying, scorer

BRANCHING, DEPTH, D = 3, 3, 5
N_WORDS = BRANCHING**DEPTH
SCORINGS = [
    Scoring(),
    Scoring(norm="l2"),
    Scoring(levels=2),
    Scoring(levels=3, norm="l2", burstiness=True),
    Scoring(levels=3, frequency="word", relative_to="parent", stop_most=10.0),
    Scoring(levels=2, exact_frequency=False, max_list_length=4),
]


class FakeVocabulary:
    """Words are those of the nearest of N_WORDS centres, without a tree."""

    branching, depth, dimension, dtype, n_words, n_leaves, memory_bytes = BRANCHING, DEPTH, D, np.float32, 27, 27, 0
    centres = np.random.default_rng(0).random((N_WORDS, D)).astype(np.float32)

    def check_descriptors(self, x, name):
        x = np.asarray(x, dtype=np.float32)
        if x.ndim != 2 or x.shape[1] != D:
            raise InvalidInputError(f"{name}: expected (n, {D}), got {x.shape}")
        return x

    def quantize_soft(self, descriptors, n, n_threads=None, *, n_checks=None):
        distances = np.linalg.norm(descriptors[:, None] - self.centres, axis=2)
        words = np.argsort(distances, axis=1, kind="stable")[:, :n]
        return words.astype(np.uint32), np.take_along_axis(distances, words, axis=1).astype(np.float32)

    def quantize(self, descriptors, n_threads=None):
        return self.quantize_soft(descriptors, 1)[0][:, 0]


def descriptors(seed, n=12):
    return np.random.default_rng(seed).random((n, D)).astype(np.float32)


def tree_of_words(images):
    tree = VocabularyTree(BRANCHING, DEPTH)
    if images:
        tree.add_words(list(images), [np.array(words, dtype=np.uint32) for words in images.values()])
    return tree


def tree_of_descriptors():
    return VocabularyTree.from_vocabulary(FakeVocabulary(), n_threads=1)


def answers(tree, queries=((0, 1, 5, 5, 20), (3, 4, 26), tuple(range(27)))):
    """Everything that can be seen of a tree."""
    found = [tree.search_words(list(query), 50, scoring=scoring) for query in queries for scoring in SCORINGS]
    ids = tree.image_ids().tolist()
    return (
        sorted((i, tree.words_of(i).tolist(), tree.names([i])[0]) for i in ids),
        [(result.ids.tolist(), result.scores.tolist()) for result in found],
    )


BAGS = st.dictionaries(st.integers(0, 40), st.lists(st.integers(0, N_WORDS - 1), max_size=12), max_size=12)
TWELVE = {100 - i: [(7 * i) % 27, (5 * i) % 27, i % 4, i % 4] for i in range(12)}


# ---------------------------------------------------------------------- nothing there


@pytest.mark.parametrize("scoring", SCORINGS)
@pytest.mark.parametrize("images", [{}, {3: []}, {3: [], 9: []}])
def test_a_tree_with_nothing_to_compare_gives_empty_answers(scoring, images):
    tree = tree_of_words(images)
    for query in ([], [5], [1, 2]):
        result = tree.search_words(query, scoring=scoring)
        assert (result.ids.shape, result.ids.dtype) == ((0,), np.int64)
        assert (result.scores.shape, result.scores.dtype) == ((0,), np.float64)
        assert result.stats.n_images_touched == 0
    assert tree.image_ids().tolist() == list(images)


def test_words_that_all_images_have_say_nothing():
    for images in ({3: [1, 2, 2]}, {3: [1, 2], 4: [2, 1, 1]}):
        tree = tree_of_words(images)
        assert len(tree.search_words([1, 2]).ids) == 0
        assert len(tree.search_words([1, 2], scoring=Scoring(entropy_database=False)).ids) == 0  # |q| is 0
        without = Scoring(entropy_query=False, entropy_database=False)
        assert len(tree.search_words([1, 2], scoring=without).ids) == len(images)


def test_an_image_without_features_is_kept_and_never_found():
    tree = tree_of_descriptors()
    tree.add_images([(i, descriptors(i), f"{i}.jpg") for i in range(5)])
    tree.add(77, np.empty((0, D)), name="blank.jpg")
    assert len(tree) == 6
    assert tree.names([77]) == ["blank.jpg"]
    assert tree.words_of(77).tolist() == []
    assert 77 not in tree.search(descriptors(0), 100).ids
    assert len(tree.search(np.empty((0, D)), 3).ids) == 0
    tree.remove([77])
    assert len(tree) == 5


def test_a_query_of_unseen_words_finds_nothing():
    tree = tree_of_words({1: [0, 1], 2: [1, 2], 3: [9]})
    assert len(tree.search_words([20, 25, 26]).ids) == 0
    assert tree.search_words([20, 0]).ids.tolist() == [1]


# ---------------------------------------------------------------------- what is found


def test_the_image_itself_comes_first_and_equal_ones_by_id():
    bag = [1, 5, 5, 13]
    tree = tree_of_words({90: bag, 7: bag, 50: bag, 8: [1, 5, 13], 3: [2, 20]})
    for scoring in (Scoring(), Scoring(norm="l2"), Scoring(norm="l2", levels=3), Scoring(levels=2)):
        result = tree.search_words(bag, 10, scoring=scoring)
        assert result.ids[:3].tolist() == [7, 50, 90]
        assert result.scores[:3] == pytest.approx(0, abs=1e-15)
        assert len(set(result.scores[:3].tolist())) == 1


@pytest.mark.parametrize("scoring", SCORINGS)
@given(images=BAGS, query=st.lists(st.integers(0, N_WORDS - 1), max_size=8))
def test_fewer_answers_are_the_first_of_more(scoring, images, query):
    tree = tree_of_words(images)
    whole = tree.search_words(query, 1000, scoring=scoring)
    order = np.lexsort((whole.ids, whole.scores))
    assert order.tolist() == list(range(len(order)))
    assert len(whole.ids) == whole.stats.n_images_touched
    for k in (1, 2, 3, 5, len(whole.ids) + 1):
        part = tree.search_words(query, k, scoring=scoring)
        assert part.ids.tolist() == whole.ids[:k].tolist()
        assert part.scores.tolist() == whole.scores[:k].tolist()


def test_near_duplicates_beyond_k_do_not_hide_a_better_one():
    base = list(range(20)) * 30
    images = dict.fromkeys(range(200, 100, -1), base) | {999: [25, 26]}
    tree = tree_of_words(images)
    result = tree.search_words(base, 3, scoring=Scoring(norm="l2"))
    assert result.ids.tolist() == [101, 102, 103]
    assert result.scores.tolist() == [0, 0, 0]


def test_many_images_are_ranked_as_by_sorting_all():
    rng = np.random.default_rng(3)
    images = {int(i): rng.integers(0, 27, rng.integers(1, 9)).tolist() for i in rng.permutation(3000)}
    tree = tree_of_words(images)
    for norm in ("l1", "l2"):
        ref = oracle.search(oracle.Tree(3, 3), images, [1, 2, 3, 3], norm=norm)
        comp = tree.search_words([1, 2, 3, 3], 5000, scoring=Scoring(norm=norm))
        assert comp.ids.size == len(ref)
        assert comp.scores == pytest.approx([score for _, score in ref], abs=1e-9)
        top = tree.search_words([1, 2, 3, 3], 17, scoring=Scoring(norm=norm))
        assert top.ids.tolist() == comp.ids[:17].tolist()


@pytest.mark.parametrize("rows", [3, 10, 64, 200])
def test_however_many_images_are_worked_on_at_a_time(rows, monkeypatch):
    rng = np.random.default_rng(4)
    bags = {i: rng.integers(0, 27, rng.integers(0, 9)).tolist() for i in range(300)}
    ref = answers(tree_of_words(bags))
    monkeypatch.setattr(scorer, "CACHED_ROWS", rows)
    monkeypatch.setattr(counts, "CACHED_ROWS", rows)
    assert answers(tree_of_words(bags)) == ref


def test_costs_are_those_of_the_lists_that_are_read():
    tree = tree_of_words({1: [0, 1, 9], 2: [1, 1, 9, 10], 3: [1, 9], 4: [20]})
    stats = tree.search_words([1, 1, 20, 26]).stats
    assert (stats.n_words, stats.n_lists, stats.n_entries, stats.n_images_touched) == (3, 2, 4, 4)
    two_levels = tree.search_words([1], scoring=Scoring(levels=2)).stats
    assert (two_levels.n_lists, two_levels.n_entries) == (2, 4)  # the lists of words 0 and 1 are one virtual list


def test_a_descriptor_in_several_leaves_counts_by_shares():
    tree, query = tree_of_descriptors(), descriptors(500)
    images = {i: descriptors(i) for i in range(20)}
    tree.add_images([(i, x, "") for i, x in images.items()])
    words, distances = FakeVocabulary().quantize_soft(query, 3)
    sigma = np.sqrt((distances[:, 0].astype(np.float64) ** 2).mean() / 2)
    shares = [oracle.soft_shares(row, sigma) for row in distances]
    assert querying.soft_shares(distances) == pytest.approx(np.array(shares), rel=1e-12)
    bags = {i: FakeVocabulary().quantize(x).tolist() for i, x in images.items()}
    for levels in (1, 3):
        ref = oracle.search(
            oracle.Tree(3, 3), bags, words.ravel(), query_shares=np.ravel(shares).tolist(), levels=levels
        )
        comp = tree.search(query, 100, n_assignments=3, scoring=Scoring(levels=levels))
        assert comp.ids.tolist() == [i for i, _ in ref]
        assert comp.scores == pytest.approx([s for _, s in ref], abs=1e-12)


def test_shares_of_descriptors_that_lie_on_their_leaves():
    assert querying.soft_shares(np.array([[0.0, 3.0], [0.0, 0.0]])).tolist() == [[1, 0], [0.5, 0.5]]
    assert querying.soft_shares(np.empty((0, 2))).shape == (0, 2)


def test_norm_is_short_for_a_scoring():
    tree = tree_of_descriptors()
    tree.add_images([(i, descriptors(i), "") for i in range(9)])
    ref = tree.search(descriptors(3), 9, scoring=Scoring(norm="l2")).scores.tolist()
    assert tree.search(descriptors(3), 9, norm="l2").scores.tolist() == ref
    assert tree.search(descriptors(3), 9, norm="l2", scoring=Scoring(norm="l2")).scores.tolist() == ref
    assert tree.search(descriptors(3), 9).scores.tolist() != ref
    with pytest.raises(InvalidInputError, match="norm: l1, but scoring has norm l2"):
        tree.search(descriptors(3), norm="l1", scoring=Scoring(norm="l2"))


def test_from_training_to_answers():
    rng = np.random.default_rng(1)
    images = {i: rng.integers(0, 256, (30, 16)).astype(np.uint8) for i in range(12)}
    training = np.concatenate(list(images.values()))
    tree = VocabularyTree(4, 3, hamming=True, seed=2, n_threads=1).fit(training)
    tree.add_images([(i, x, "") for i, x in images.items()])
    other = VocabularyTree.from_vocabulary(tree.vocabulary, n_threads=1)
    other.add_images([(i, x, "") for i, x in images.items()])
    noisy = np.clip(images[7].astype(int) + rng.integers(-3, 4, (30, 16)), 0, 255).astype(np.float32)
    for scoring in (Scoring(), Scoring(norm="l2", levels=3), Scoring(hamming_threshold=30)):
        for n_assignments in (1, 3):
            found = tree.search(noisy, 12, n_assignments=n_assignments, scoring=scoring)
            assert found.ids[0] == 7
            assert found.scores[0] < 0.7 * found.scores[1]
            assert found.stats.quantise_ms > 0
            if scoring.hamming_threshold is None:
                again = other.search(noisy, 12, n_assignments=n_assignments, scoring=scoring)
                assert again.scores.tolist() == found.scores.tolist()
    assert tree.words_of(3).tolist() == sorted(tree.vocabulary.quantize(images[3]).tolist())
    tree.remove(list(images))
    tree.fit(training[:100])  # an empty tree may be trained anew
    assert len(tree.search(noisy).ids) == 0


# ---------------------------------------------------------------------- changes


@given(images=BAGS, order=st.randoms(use_true_random=False))
def test_one_by_one_is_in_bulk_is_compact_in_any_order(images, order):
    ref = answers(tree_of_words(images))
    single, shuffled = VocabularyTree(BRANCHING, DEPTH), list(images.items())
    order.shuffle(shuffled)
    for image_id, words in shuffled:
        single.add_words([image_id], [words])
    assert single.image_ids().tolist() == [image_id for image_id, _ in shuffled]
    assert answers(single) == ref
    single.compact()
    assert single.image_ids().tolist() == [image_id for image_id, _ in shuffled]
    assert single.info()["n_segments"] == min(len(images), 1)
    assert answers(single) == ref


@given(images=BAGS, gone=st.sets(st.integers(0, 40)), more=BAGS)
def test_after_removals_as_if_rebuilt(images, gone, more):
    tree = tree_of_words(images)
    tree.search_words([1, 2, 3])
    gone &= set(images)
    tree.remove(list(gone))
    left = {i: words for i, words in images.items() if i not in gone}
    more = {i: words for i, words in more.items() if i not in left}  # IDs that were removed may come again
    tree.add_words(list(more), [np.array(words, dtype=np.uint32) for words in more.values()])
    assert answers(tree) == answers(tree_of_words(left | more))
    assert tree.verify() == []
    tree.remove(list(left | more))
    assert len(tree) == 0
    assert tree.info()["n_segments"] == 0


def test_segments_stay_few_and_no_image_is_copied_often(monkeypatch):
    from metricsearch.vocabtree import merging

    copied, merge = [], merging.merged

    def counting(segments, removed, n_words):
        copied.append(sum(segment.n_images for segment in segments))
        return merge(segments, removed, n_words)

    monkeypatch.setattr(merging, "merged", counting)
    tree = VocabularyTree(BRANCHING, DEPTH)
    for i in range(300):
        tree.add_words([i], [[i % 27, i % 5]])
        assert tree.info()["n_segments"] <= 2 + np.log2(i + 1)
    assert sum(copied) <= 300 * 2 * np.log2(300)
    assert max(copied) > 150


def test_a_segment_that_is_mostly_removed_is_written_anew():
    tree = tree_of_words(TWELVE)
    for i in range(100, 92, -1):
        tree.remove([i])
        assert 2 * tree.info()["n_removed"] <= sum(s.n_images for s in tree._state.segments)
    assert answers(tree) == answers(tree_of_words({i: TWELVE[i] for i in (92, 91, 90, 89)}))


def test_bulk_in_small_parts_is_bulk_at_once(monkeypatch):
    whole = tree_of_words(TWELVE)._state.segments[0].to_arrays()
    monkeypatch.setattr("metricsearch.vocabtree.building.CHUNK_WORDS", 9)
    monkeypatch.setattr(adding, "BATCH_DESCRIPTORS", 30)
    parts = tree_of_words(TWELVE)._state.segments[0].to_arrays()
    assert all(np.array_equal(whole[name], parts[name]) for name in whole)
    one, many = tree_of_descriptors(), tree_of_descriptors()
    images = [(i, descriptors(i, i), f"é{i}") for i in range(30)]
    assert many.add_images(iter(images)) == 30
    for image in images:
        one.add(image[0], image[1], name=image[2])
    assert answers(one) == answers(many)


def test_words_may_come_flat():
    tree = VocabularyTree(BRANCHING, DEPTH)
    flat = np.concatenate([np.array(words, dtype=np.int64) for words in TWELVE.values()])
    tree.add_words(list(TWELVE), (flat, np.arange(13) * 4), names=[f"n{i}" for i in TWELVE])
    assert answers(tree)[1] == answers(tree_of_words(TWELVE))[1]
    assert tree.names([100, 89]) == ["n100", "n89"]


# ---------------------------------------------------------------------- weights


def test_frozen_weights_stay_and_norms_are_not_computed_twice(monkeypatch):
    tree = tree_of_words(TWELVE)
    tree.freeze_weights()
    tree.search_words([1, 2])
    found = tree.search_words([1, 2], 99)
    scores = dict(zip(found.ids.tolist(), found.scores.tolist(), strict=True))
    sizes, measure = [], scorer.measure_images

    def counting(*arguments):
        sizes.append(arguments[5])
        return measure(*arguments)

    monkeypatch.setattr(scorer, "measure_images", counting)
    tree.add_words([1], [[1, 2, 3]])
    found = tree.search_words([1, 2], 99)
    after = dict(zip(found.ids.tolist(), found.scores.tolist(), strict=True))
    assert {i: after[i] for i in scores} == scores
    assert sizes == [1]
    tree.freeze_weights()  # keeps what is frozen
    assert tree.search_words([1, 2], 99).scores.tolist() == found.scores.tolist()
    tree.reweight()
    assert answers(tree) == answers(tree_of_words(TWELVE | {1: [1, 2, 3]}))


def test_independent_weights_from_descriptors_are_those_from_words():
    images = [(i, descriptors(i), "") for i in range(10)]
    others = [descriptors(100 + i, i) for i in range(8)]
    by_words, by_descriptors = tree_of_descriptors(), tree_of_descriptors()
    for tree in (by_words, by_descriptors):
        tree.add_images(images)
    by_words.reweight_words([FakeVocabulary().quantize(x) for x in others])
    by_descriptors.reweight(x for x in others)
    assert answers(by_words) == answers(by_descriptors)
    assert by_words.info()["weights"] == "independent"
    by_words.reweight()
    assert answers(by_words) != answers(by_descriptors)


def test_independent_weights_in_small_parts(monkeypatch):
    tree = tree_of_words(TWELVE)
    others = [[i % 27, i % 3, 2 * i % 27] for i in range(20)]
    tree.reweight_words(others)
    ref = answers(tree)
    monkeypatch.setattr("metricsearch.vocabtree.building.CHUNK_WORDS", 7)
    tree.reweight_words(others)
    assert answers(tree) == ref


# ---------------------------------------------------------------------- threads


def test_many_queries_on_threads_are_single_queries():
    tree = VocabularyTree.from_vocabulary(FakeVocabulary(), n_threads=4)
    tree.add_images([(i, descriptors(i), "") for i in range(50)])
    queries = [descriptors(1000 + i) for i in range(40)]
    for scoring in SCORINGS:
        many = tree.search_many(iter(queries), 9, scoring=scoring)
        for query, comp in zip(queries, many, strict=True):
            ref = tree.search(query, 9, scoring=scoring)
            assert comp.ids.tolist() == ref.ids.tolist()
            assert comp.scores.tolist() == ref.scores.tolist()
    assert tree.search_many([], 3) == []


def test_searches_beside_changes_see_whole_states():
    images = [(i, [i % 27, (i * i) % 27, (i + 1) % 27]) for i in range(60)]
    tree = VocabularyTree(BRANCHING, DEPTH)
    tree.add_words([1000, 1001], [[0, 1], [2, 3]])
    allowed = set()
    for n in range(61):
        grown = tree_of_words({1000: [0, 1], 1001: [2, 3]} | dict(images[:n]))
        found = grown.search_words([0, 1, 2], 5)
        allowed.add((tuple(found.ids.tolist()), tuple(found.scores.tolist())))
    wrong, stop = [], threading.Event()

    def search():
        while not stop.is_set():
            found = tree.search_words([0, 1, 2], 5)
            if (tuple(found.ids.tolist()), tuple(found.scores.tolist())) not in allowed:
                wrong.append(found)

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    for image_id, words in images:
        tree.add_words([image_id], [words])
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []


# ---------------------------------------------------------------------- mistakes


MISTAKES = [
    (DuplicateIdError, "ID 100 is in the tree already", lambda t: t.add_words([5, 100], [[1], [2]])),
    (DuplicateIdError, "ID 5 is given 2 times", lambda t: t.add_words([5, 5], [[1], [2]])),
    (DuplicateIdError, "ID 5 is given more than once", lambda t: t.add_images([(5, descriptors(1), "")] * 2)),
    (DuplicateIdError, "ID 100 is in the tree", lambda t: t.add(100, descriptors(1))),
    (UnknownIdError, "no image with ID 12", lambda t: t.remove([100, 12])),
    (DuplicateIdError, "ID 100 is given 2 times", lambda t: t.remove([100, 100])),
    (UnknownIdError, "no image with ID 12", lambda t: t.words_of(12)),
    (UnknownIdError, "no image with ID 12", lambda t: t.names([12])),
    (InvalidInputError, r"expected words in 0\.\.26, got 27", lambda t: t.add_words([5], [[27]])),
    (InvalidInputError, r"words\[1\].*got -1", lambda t: t.add_words([5, 6], [[2], [-1]])),
    (InvalidInputError, r"words\[0\].*float64", lambda t: t.add_words([5], [[1.5]])),
    (InvalidInputError, "2 in total, got 1", lambda t: t.add_words([5, 6], [[2]])),
    (InvalidInputError, "words: expected .* list of arrays, got None", lambda t: t.add_words([5], None)),
    (InvalidInputError, "words: expected .* list of arrays, got 7", lambda t: t.reweight_words(7)),
    (InvalidInputError, "names: expected one per image", lambda t: t.add_words([5], [[2]], names=7)),
    (InvalidInputError, "images: expected .* got None", lambda t: t.add_images(None)),
    (InvalidInputError, "independent: expected .* got 5", lambda t: t.reweight(5)),
    (InvalidInputError, "queries: expected .* got 5", lambda t: t.search_many(5)),
    (InvalidInputError, r"images\[0\]: expected", lambda t: t.add_images([[5, descriptors(1), ""]])),
    (InvalidInputError, "starts: expected ascending", lambda t: t.add_words([5, 6], ([2, 3], [0, 1, 1]))),
    (InvalidInputError, "starts: expected", lambda t: t.add_words([5, 6], ([2, 3], [0.0, 1, 2]))),
    (InvalidInputError, "names", lambda t: t.add_words([5], [[2]], names=["a", "b"])),
    (InvalidInputError, r"names\[0\]: expected text", lambda t: t.add_words([5], [[2]], names=[7])),
    (InvalidInputError, "expected text", lambda t: t.add(5, descriptors(1), name="\ud800")),
    (InvalidInputError, r"image 5: descriptors: expected \(n, 5\)", lambda t: t.add(5, np.zeros((3, D + 1)))),
    (InvalidInputError, r"images\[1\]: expected", lambda t: t.add_images([(5, descriptors(1), ""), 6])),
    (InvalidInputError, r"ID: expected a whole number", lambda t: t.add_images([(-5, descriptors(1), "")])),
    (InvalidInputError, r"descriptors: expected \(n, 5\)", lambda t: t.search(np.zeros((3, 4)))),
    (InvalidInputError, "k: expected", lambda t: t.search(descriptors(1), 0)),
    (InvalidInputError, "n_assignments", lambda t: t.search(descriptors(1), n_assignments=0)),
    (InvalidInputError, "norm: expected one of l1, l2", lambda t: t.search(descriptors(1), norm="l3")),
    (InvalidInputError, "scoring: expected Scoring", lambda t: t.search(descriptors(1), scoring="l1")),
    (InvalidInputError, "levels: the tree has 3, got 4", lambda t: t.search_words([1], scoring=Scoring(levels=4))),
    (InvalidInputError, "no signatures", lambda t: t.search_words([1], scoring=Scoring(hamming_threshold=3))),
    (InvalidInputError, "expected words in", lambda t: t.search_words([27])),
    (InvalidInputError, "at least one image", lambda t: t.reweight([])),
    (InvalidInputError, "at least one image", lambda t: t.reweight_words([])),
    (InvalidInputError, "holds 12 images", lambda t: t.fit(descriptors(1))),
]


@pytest.mark.parametrize(("error", "text", "act"), MISTAKES, ids=range(len(MISTAKES)))
def test_a_mistake_is_one_line_and_changes_nothing(error, text, act):
    tree = tree_of_descriptors()
    tree.add_words(list(TWELVE), list(TWELVE.values()))
    before = answers(tree)
    with pytest.raises(error, match=text) as told:
        act(tree)
    assert "\n" not in str(told.value)
    assert answers(tree) == before


def test_an_image_that_fails_late_takes_back_those_before(monkeypatch):
    monkeypatch.setattr(adding, "BATCH_DESCRIPTORS", 20)
    tree = tree_of_descriptors()
    with pytest.raises(InvalidInputError, match="image 9"):
        tree.add_images((i, np.zeros((12, D + (i == 9))), "") for i in range(20))
    assert len(tree) == 0


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"branching": 1}, "branching: expected a whole number in 2..65535"),
        ({"branching": 65536, "depth": 1}, "branching"),
        ({"branching": 10, "depth": 9}, "at most 100,000,000 words, got .* = 1,000,000,000"),
        ({"branching": 2, "depth": 27}, r"depth: expected a whole number in 1\.\.26"),
        ({"depth": 0}, "depth"),
        ({"depth": 10**9}, "depth"),
        ({"cycles": 0}, "cycles"),
        ({"start": "best"}, "start: expected one of random"),
        ({"hamming": 1}, "hamming: expected True or False"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**63}, "seed"),
        ({"n_threads": 0}, "n_threads"),
    ],
)
def test_impossible_trees_are_refused(arguments, text):
    with pytest.raises(InvalidInputError, match=text):
        VocabularyTree(**arguments)


def test_the_largest_trees_are_taken():
    for branching, depth in ((10, 8), (2, 26), (65535, 1)):
        tree = VocabularyTree(branching, depth)
        top = branching**depth - 1
        tree.add_words([0, 1, 2], [[0, top], [top, top], [1]])
        for levels in {1, depth}:
            assert tree.search_words([top], scoring=Scoring(levels=levels)).ids[0] == 1
        assert tree.verify() == []


def test_what_needs_a_vocabulary_says_so():
    tree = tree_of_words(TWELVE)
    for act in (
        lambda: tree.vocabulary,
        lambda: tree.add(1, descriptors(1)),
        lambda: tree.search(descriptors(1)),
        lambda: tree.reweight([descriptors(1)]),
    ):
        with pytest.raises(MissingIndexError, match=r"not trained yet.*fit"):
            act()
    with pytest.raises(EmptyIndexError, match="holds no images"):
        VocabularyTree(BRANCHING, DEPTH).freeze_weights()


@pytest.mark.parametrize(
    "options",
    [
        {"norm": "l3"},
        {"levels": 0},
        {"levels": 1.0},
        {"entropy_query": 1},
        {"frequency": "words"},
        {"relative_to": "leaf"},
        {"exact_frequency": None},
        {"stop_most": -1},
        {"stop_most": 101},
        {"stop_least": float("nan")},
        {"stop_least": "5"},
        {"stop_least": True},
        {"max_list_length": -1},
        {"burstiness": "no"},
        {"drop_unseen": 0},
        {"hamming_threshold": 65},
        {"hamming_threshold": 24, "levels": 2},
        {"hamming_threshold": 24, "norm": "l2"},
        {"hamming_threshold": 24, "burstiness": True},
    ],
)
def test_impossible_scorings_are_refused(options):
    with pytest.raises(MetricSearchError, match=next(iter(options))):
        Scoring(**options)


# ---------------------------------------------------------------------- memory


def test_scorers_of_older_images_are_given_up_with_their_segments():
    tree = tree_of_words(TWELVE)
    for scoring in (Scoring(), Scoring(norm="l2"), Scoring(levels=2)):
        tree.search_words([1], scoring=scoring)
    tree.add_words([1], [[1, 2, 3]])
    tree.search_words([1])
    assert [scorer.state for scorer in tree._scorers._scorers.values()] == [tree._state]


def test_memory_is_the_sum_of_all_arrays():
    tree = tree_of_words(TWELVE)
    tree.reweight_words([[1], [2, 3]])
    tree.remove([100])
    segments = sum(array.nbytes for segment in tree._state.segments for array in segment.to_arrays().values())
    kept = sum(array.nbytes for array in tree._state.weights.to_arrays().values())
    assert tree.memory_bytes == segments + kept + 4
    tree.search_words([1])
    assert tree.memory_report()["scorers"] > 12 * 16
    for levels in (1, 2, 3):
        for norm in ("l1", "l2"):
            tree.search_words([1], scoring=Scoring(levels=levels, norm=norm))
    assert len(tree._scorers._scorers) == querying.KEPT_SCORERS
