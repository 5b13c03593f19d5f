"""Hamming embedding against the oracle: signatures, votes, and what a tree with signatures keeps."""

from dataclasses import replace

import numpy as np
import pytest
from oracle import vocabtree as oracle

from metricsearch.errors import CorruptedError, InvalidInputError
from metricsearch.vocabtree import Scoring, VocabularyTree
from metricsearch.vocabtree.hamming import HammingModel, learn_hamming, model

BRANCHING, DEPTH, D = 3, 2, 70
SHAPE = oracle.Tree(BRANCHING, DEPTH)
BITS = np.arange(64, dtype=np.uint64)


class FakeVocabulary:
    """A word is that of the nearest of nine centres, without a tree."""

    branching, depth, dtype, n_words, n_leaves, memory_bytes = BRANCHING, DEPTH, np.uint8, 9, 9, 0

    def __init__(self, dimension=D):
        self.dimension = dimension
        self.centres = np.random.default_rng(0).integers(0, 256, (9, dimension)).astype(np.float64)

    def check_descriptors(self, x, name):
        return np.asarray(x, dtype=np.uint8)

    def quantize_soft(self, descriptors, n, n_threads=None, *, n_checks=None):
        distances = np.linalg.norm(descriptors[:, None].astype(np.float64) - self.centres, axis=2)
        words = np.argsort(distances, axis=1, kind="stable")[:, :n]
        return words.astype(np.uint32), np.take_along_axis(distances, words, axis=1).astype(np.float32)

    def quantize(self, descriptors, n_threads=None):
        return self.quantize_soft(descriptors, 1)[0][:, 0]


VOCABULARY = FakeVocabulary()


def descriptors(seed, n=14):
    """Noisy copies of a few patterns, so that signatures are near each other at times."""
    rng = np.random.default_rng(seed)
    patterns = np.random.default_rng(77).integers(0, 256, (6, D))
    return np.clip(patterns[rng.integers(0, 6, n)] + rng.normal(0, 60, (n, D)), 0, 255).astype(np.uint8)


TRAINING = np.concatenate([descriptors(1000 + i) for i in range(30)])
MODEL = learn_hamming(TRAINING, VOCABULARY, 5, 1)
IMAGES = {50 - i: descriptors(i, 3 + i % 12) for i in range(20)} | {7: descriptors(0)[:0]}


def tree_of(images):
    tree = VocabularyTree(BRANCHING, DEPTH, hamming=True, n_threads=1)
    tree._state = replace(tree._state, vocabulary=VOCABULARY, hamming=MODEL)
    tree.add_images([(i, x, "") for i, x in images.items()])
    return tree


def features_of(x, n_assignments=1):
    """[(word, signature as 64 booleans)] by the oracle's rules, from the float32 projections."""
    words = VOCABULARY.quantize_soft(x, n_assignments)[0].ravel()
    places = {int(word): i for i, word in enumerate(MODEL.words)}
    return [
        (int(word), oracle.signature(row, MODEL.projection.T, MODEL.medians[places.get(int(word), -1)]))
        for word, row in zip(words, np.repeat(x, n_assignments, axis=0), strict=True)
    ]


def assert_matches(comp, ref):
    assert comp.ids.tolist() == [i for i, _ in ref]
    assert comp.scores == pytest.approx([score for _, score in ref], abs=1e-9)


# ---------------------------------------------------------------------- signatures


def test_the_projection_is_orthonormal_and_comes_from_the_seed():
    assert MODEL.projection.T @ MODEL.projection == pytest.approx(np.eye(64), abs=1e-5)
    assert np.array_equal(learn_hamming(TRAINING, VOCABULARY, 5, 1).projection, MODEL.projection)
    assert not np.array_equal(learn_hamming(TRAINING, VOCABULARY, 6, 1).projection, MODEL.projection)
    short = learn_hamming(TRAINING[:, :8], FakeVocabulary(8), 5, 1).projection
    assert short.shape == (8, 64)
    assert short @ short.T == pytest.approx(np.eye(8), abs=1e-5)


def test_medians_are_those_of_the_training_descriptors_of_a_word():
    words = VOCABULARY.quantize(TRAINING)
    projected = TRAINING.astype(np.float64) @ MODEL.projection.astype(np.float64)
    assert MODEL.words.tolist() == sorted(set(words.tolist()))
    for place, word in enumerate(MODEL.words):
        assert MODEL.medians[place] == pytest.approx(np.median(projected[words == word], axis=0), abs=1e-2)
    assert MODEL.medians[-1] == pytest.approx(np.median(projected, axis=0), abs=1e-2)


def test_signatures_are_signs_of_projections_above_the_medians():
    x = descriptors(3, 40)
    words = VOCABULARY.quantize(x)
    comp = MODEL.signatures(x, words)
    assert [[bool(s >> bit & np.uint64(1)) for bit in BITS] for s in comp] == [bits for _, bits in features_of(x)]
    single = [MODEL.signatures(x[i : i + 1], words[i : i + 1])[0] for i in range(len(x))]
    assert comp.tolist() == [int(s) for s in single]
    unknown = MODEL.signatures(x[:1], np.array([10**6], dtype=np.uint32))
    only_all = HammingModel(MODEL.projection, MODEL.words[:0], MODEL.medians[-1:])
    assert unknown.tolist() == only_all.signatures(x[:1], words[:1]).tolist()


def test_of_many_training_descriptors_evenly_spaced_ones_are_used(monkeypatch):
    monkeypatch.setattr(model, "MAX_TRAINING", 100)
    monkeypatch.setattr(model, "_CHUNK", 7)
    comp = learn_hamming(TRAINING, VOCABULARY, 5, 1)
    monkeypatch.undo()
    ref = learn_hamming(TRAINING[:: -(-len(TRAINING) // 100)], VOCABULARY, 5, 1)
    assert np.array_equal(comp.medians, ref.medians)
    assert np.array_equal(comp.words, ref.words)


def test_a_model_comes_back_and_parts_that_do_not_fit_are_refused():
    arrays = MODEL.to_arrays()
    loaded = HammingModel.from_arrays(MODEL.parameters(), arrays, "here")
    assert all(np.array_equal(arrays[name], array) for name, array in loaded.to_arrays().items())
    for change in (
        {"medians": MODEL.medians[:-1]},
        {"medians": MODEL.medians[:, :-1]},
        {"projection": MODEL.projection[:, :-1]},
        {"words": MODEL.words.astype(np.int64)},
        {"projection": MODEL.projection[0]},
    ):
        with pytest.raises(CorruptedError, match="here"):
            HammingModel.from_arrays({}, arrays | change, "here")


# ---------------------------------------------------------------------- votes


@pytest.mark.parametrize("threshold", [0, 8, 24, 40, 64])
def test_scores_equal_the_oracle(threshold):
    tree = tree_of(IMAGES)
    images = {i: features_of(x) for i, x in IMAGES.items()}
    for query in (descriptors(2), descriptors(900), descriptors(901, 1), IMAGES[50]):
        ref = oracle.search_hamming(SHAPE, images, features_of(query), threshold)
        assert_matches(tree.search(query, 100, scoring=Scoring(hamming_threshold=threshold)), ref)


def test_the_image_itself_is_very_similar():
    result = tree_of(IMAGES).search(IMAGES[45], 3, scoring=Scoring(hamming_threshold=24))
    assert result.ids[0] == 45
    assert (np.diff(result.scores) >= 0).all()


def test_several_words_of_a_descriptor_are_several_features():
    tree = tree_of(IMAGES)
    images = {i: features_of(x) for i, x in IMAGES.items()}
    ref = oracle.search_hamming(SHAPE, images, features_of(descriptors(2), 3), 30)
    assert_matches(tree.search(descriptors(2), 100, n_assignments=3, scoring=Scoring(hamming_threshold=30)), ref)


def test_one_by_one_in_bulk_after_removal_and_compact_are_the_same():
    scoring = Scoring(hamming_threshold=30)
    single, more = tree_of({}), tree_of(IMAGES | {i: descriptors(i) for i in range(100, 130)})
    for i, x in IMAGES.items():
        single.add(i, x)
    more.remove(range(100, 130))
    ref = tree_of(IMAGES).search(descriptors(2), 100, scoring=scoring)
    assert len(ref.ids) > 10
    for tree in (single, more):
        for _ in range(2):
            comp = tree.search(descriptors(2), 100, scoring=scoring)
            assert comp.ids.tolist() == ref.ids.tolist()
            assert comp.scores.tolist() == ref.scores.tolist()
            tree.compact()


def test_a_tree_with_signatures_scores_by_words_too():
    tree, plain = tree_of(IMAGES), VocabularyTree(BRANCHING, DEPTH)
    plain.add_words(list(IMAGES), [VOCABULARY.quantize(x) for x in IMAGES.values()])
    words = VOCABULARY.quantize(descriptors(2))
    for scoring in (Scoring(), Scoring(norm="l2", levels=2)):
        comp, ref = tree.search(descriptors(2), 50, scoring=scoring), plain.search_words(words, 50, scoring=scoring)
        assert comp.ids.tolist() == ref.ids.tolist()
        assert comp.scores.tolist() == ref.scores.tolist()


def test_empty_queries_and_trees():
    scoring = Scoring(hamming_threshold=24)
    assert len(tree_of(IMAGES).search(descriptors(1)[:0], scoring=scoring).ids) == 0
    assert len(tree_of({}).search(descriptors(1), scoring=scoring).ids) == 0
    assert len(tree_of({1: descriptors(1)}).search(descriptors(1), scoring=scoring).ids) == 0  # all weights are 0


def test_words_alone_have_no_signatures():
    tree = tree_of(IMAGES)
    with pytest.raises(InvalidInputError, match="add_words: a tree with hamming=True"):
        tree.add_words([99], [[1]])
    with pytest.raises(InvalidInputError, match="signatures are made from descriptors"):
        tree.search_words([1], scoring=Scoring(hamming_threshold=24))
