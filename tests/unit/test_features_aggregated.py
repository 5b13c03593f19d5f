"""Aggregation of local descriptors, PCA, and their training; the formulas alone are in test_features_oracle.py."""

import h5py
import numpy as np
import pytest

from metricsearch.errors import InvalidInputError, UnknownNameError
from metricsearch.features.aggregated import (
    AGGREGATIONS,
    PCA,
    AggregatedFeature,
    bow,
    fisher,
    fit_pca,
    pca,
    train_aggregated,
    train_whitening,
    vlad,
)
from metricsearch.features.aggregated.bow import inverse_document_frequencies
from metricsearch.features.aggregated.fisher import fit_mixture
from metricsearch.features.aggregated.vlad import nearest_centres
from metricsearch.features.feature import GlobalFeature, LocalFeature
from metricsearch.features.feature_file import FeatureFile
from metricsearch.features.feature_writing import PhotoEntry, write_feature_file
from metricsearch.features.local import LocalFeatureOptions, LocalFeatures
from metricsearch.features.normalisation import signed_root, unit_length
from metricsearch.features.photo import Photo

N_PHOTOS = 24


class Corner(GlobalFeature):
    """The first eight grey values."""

    name, dimension, metric = "corner", 8, "euclidean"

    def __init__(self, version=1):
        self.version = version

    def extract(self, photo):
        return photo.grey.ravel()[:8].astype(np.float32)

    def provenance(self):
        return {"feature": "corner", "version": self.version, "libraries": {"pillow": "12"}}


def descriptors_like(topic, n, seed):
    """(n, 128) bytes around twelve places, four of them of this topic."""
    rng = np.random.default_rng(seed)
    places = np.random.default_rng(99).integers(0, 200, (12, 128))
    return np.clip(places[4 * topic + rng.integers(0, 4, n)] + rng.normal(0, 12, (n, 128)), 0, 255).astype(np.uint8)


def local_features(descriptors):
    return LocalFeatures(np.zeros((len(descriptors), 4), np.float32), descriptors, 40, 30)


def write_photos(path, photos, names=("sift",), vectors=None):
    """A feature file of photos with these descriptors, and vectors of the feature corner."""
    entries = [PhotoEntry(f"{i}.jpg", f"{i:064x}", (40, 30)) for i in range(len(photos))]
    columns = [
        (LocalFeature(LocalFeatureOptions(kind=name)), [local_features(descriptors) for descriptors in photos])
        for name in names
    ]
    if vectors is not None:
        columns.append((Corner(), list(vectors)))
    write_feature_file(path, entries, columns)
    return path


def of_topics():
    """Descriptors of photos: photo i is of topic i % 3; two have none."""
    photos = [descriptors_like(i % 3, 40 + i, seed=i) for i in range(N_PHOTOS)]
    return [*photos, np.empty((0, 128), np.uint8), np.empty((0, 128), np.uint8)]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    vectors = np.random.default_rng(3).normal(size=(N_PHOTOS + 2, 8)).astype(np.float32)
    return write_photos(tmp_path_factory.mktemp("made") / "photos.h5", of_topics(), vectors=vectors)


@pytest.fixture
def file(path):
    with FeatureFile.open(path) as file:
        yield file


# ---------------------------------------------------------------- lengths and roots


def test_unit_length_of_rows_of_one_vector_and_of_zeros():
    assert unit_length(np.array([[3, 4], [0, 0]])).tolist() == [[0.6, 0.8], [0, 0]]
    assert unit_length(np.array([0, -2.0])).tolist() == [0, -1]
    assert unit_length(np.empty((0, 3))).shape == (0, 3)
    assert unit_length(np.array([1e-30, 0], np.float32)).tolist() == [1, 0]


def test_the_signed_root_keeps_signs_and_zeros():
    assert signed_root(np.array([4, -9, 0, -0.25])).tolist() == [2, -3, 0, -0.5]


# ---------------------------------------------------------------- VLAD, bags of words, Fisher vectors


def test_the_nearest_of_equal_centres_is_the_first():
    x = np.array([[1, 0], [0, 0], [9, 9]])
    assert nearest_centres(x, [[2, 0], [0, 0], [2, 0], [0, 0]]).tolist() == [0, 1, 0]
    many = np.repeat([[5.0, 5.0]], 100, axis=0)  # so many that a matrix product decides
    assert nearest_centres(np.full((300, 2), 4), many).tolist() == [0] * 300


def test_vlad_does_not_depend_on_the_order_of_descriptors():
    rng = np.random.default_rng(0)
    x, centres = rng.integers(0, 256, (200, 16)), rng.integers(0, 256, (7, 16))
    for normalisation in ("l2", "power", "intra"):
        ref = vlad(x, centres, normalisation)
        assert np.linalg.norm(ref) == pytest.approx(1)
        assert np.array_equal(vlad(x[::-1], centres, normalisation), ref)  # whole numbers: sums are exact
        assert np.array_equal(vlad(np.repeat(x, 2, axis=0), centres, "l2"), vlad(x, centres, "l2"))


def test_intra_normalisation_gives_each_used_centre_the_same_weight():
    x, centres = [[1, 0], [1, 0], [10, 3]], [[0, 0], [10, 0], [99, 99]]
    lengths = np.linalg.norm(vlad(x, centres, "intra").reshape(3, 2), axis=1)
    assert lengths == pytest.approx([np.sqrt(0.5), np.sqrt(0.5), 0])


@pytest.mark.parametrize(
    ("x", "centres", "normalisation", "message"),
    [
        ([[1, 2]], [[1, 2, 3]], "l2", "expected 3 dimensions"),
        ([[1, np.nan]], [[1, 2]], "l2", "row 0 has NaN"),
        ([[1, 2]], np.empty((0, 2)), "l2", "centres: expected 1 to 65,535, got 0"),
        ([[1, 2]], [[1, 2]], "l1", "expected one of l2, power, intra"),
        ([1, 2], [[1, 2]], "l2", r"expected an \(n, d\) array"),
    ],
)
def test_vlad_says_what_is_wrong(x, centres, normalisation, message):
    with pytest.raises(InvalidInputError, match=message):
        vlad(x, centres, normalisation)


def test_rare_words_count_more():
    photos = [[0, 0, 1], [0, 2], [0]]
    idf = inverse_document_frequencies(map(np.array, photos), 4)
    assert idf == pytest.approx(np.log([3 / 3, 3 / 1, 3 / 1, 3 / 1]))
    assert bow([0, 0, 0, 1], 4, idf).tolist() == [0, 1, 0, 0]  # a word of all photos says nothing


@pytest.mark.parametrize(
    ("words", "idf", "message"),
    [
        ([3], [1, 1, 1], r"words: expected numbers in 0..2, got 3..3"),
        ([-1], [1, 1, 1], "got -1..-1"),
        ([0.5], [1, 1, 1], "expected .n,. whole numbers"),
        ([0], [1, 1], r"idf: expected \(3,\)"),
        ([0], [1, -1, 1], "finite numbers >= 0"),
    ],
)
def test_bow_says_what_is_wrong(words, idf, message):
    with pytest.raises(InvalidInputError, match=message):
        bow(words, 3, idf)


def test_fisher_says_what_is_wrong():
    x, one = [[1.0, 2.0]], np.ones((1, 2))
    for mixture, message in (
        (([0.0], one, one), "weights: expected finite numbers > 0, got"),
        (([1.0], one, -one), "variances: expected finite numbers > 0"),
        (([1.0], one, one * np.nan), "variances: expected finite numbers > 0"),
        (([1.0], one * np.nan, one), "means: expected finite numbers"),
        (([1.0, 1.0], one, one), r"weights \(K,\), means \(K, d\)"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            fisher(x, *mixture, False)


def test_the_mixture_is_where_the_gradients_of_its_sample_vanish():
    sample = np.concatenate([descriptors_like(topic, 300, topic) for topic in range(3)]).astype(np.float32)[:, :10]
    centres = sample[:: len(sample) // 5][:5]
    mixture = fit_mixture(sample, centres)
    whole = fisher(sample, **mixture, improved=False)
    one = fisher(sample[:1], **mixture, improved=False)
    assert mixture["weights"].sum() == pytest.approx(1)
    assert np.abs(whole[:50]).max() < 0.02 < 0.2 < np.abs(one[:50]).max()  # by the means
    assert all(np.array_equal(mixture[name], value) for name, value in fit_mixture(sample, centres).items())


def test_a_mixture_of_equal_descriptors_keeps_a_width():
    sample = np.repeat(np.array([[1, 2], [1, 9]], np.float32), 50, axis=0)
    mixture = fit_mixture(sample, sample[[0, -1]])
    assert (mixture["variances"] > 0).all()
    assert np.isfinite(fisher([[1, 3]], **mixture, improved=True)).all()


# ---------------------------------------------------------------- PCA


def spread(n, d, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, d)) * np.arange(1, d + 1) + 7).astype(np.float32)


@pytest.mark.parametrize("whiten", [False, True])
@pytest.mark.parametrize(("n", "d"), [(200, 12), (9, 40), (12, 12)])
def test_pca_is_that_of_scikit_learn(n, d, whiten):
    decomposition = pytest.importorskip("sklearn.decomposition")
    x = spread(n, d).astype(np.float64)
    comp, ref = fit_pca(x, 6, whiten), decomposition.PCA(6, whiten=whiten, svd_solver="full").fit(x)
    signs = np.sign((comp.components * ref.components_).sum(axis=1))
    assert comp.variances == pytest.approx(ref.explained_variance_, rel=1e-9)
    np.testing.assert_allclose(comp.apply(x), ref.transform(x) * signs, rtol=1e-5, atol=1e-4)


def test_pca_of_a_dataset_read_in_pieces_is_that_of_the_array(tmp_path, monkeypatch):
    for n, d in ((300, 7), (6, 30)):
        x = spread(n, d)
        ref = fit_pca(x, 4, whiten=True)
        with h5py.File(tmp_path / f"{d}.h5", "w") as file:
            file["x"] = x
            assert np.array_equal(fit_pca(file["x"], 4, whiten=True).components, ref.components)
            monkeypatch.setattr(pca, "_PIECE_BYTES", 8 * d * 11)
            np.testing.assert_allclose(fit_pca(file["x"], 4, whiten=True).components, ref.components, atol=1e-9)
            monkeypatch.undo()


def test_whitened_vectors_have_unit_variances_and_plain_ones_those_of_the_data():
    x = spread(500, 9)
    plain, white = fit_pca(x, 5), fit_pca(x, 5, whiten=True)
    assert np.cov(plain.apply(x), rowvar=False) == pytest.approx(np.diag(plain.variances), rel=1e-4, abs=1e-3)
    assert np.cov(white.apply(x), rowvar=False) == pytest.approx(np.eye(5), abs=1e-4)
    assert (np.diff(plain.variances) < 0).all()
    assert np.linalg.norm(white.apply(x, unit_length=True), axis=1) == pytest.approx(np.ones(500))
    assert white.apply(white.mean[None], unit_length=True).tolist() == [[0] * 5]
    assert white.apply(x[:0]).shape == (0, 5)


def test_pca_of_one_vector_is_that_of_a_batch():
    x = spread(60, 20)
    reduced = fit_pca(x, 8)
    np.testing.assert_allclose(np.concatenate([reduced.apply(row[None]) for row in x]), reduced.apply(x), rtol=1e-6)


@pytest.mark.parametrize(
    ("x", "dimension", "message"),
    [
        (spread(5, 9), 5, "expected at least 6 vectors"),
        (spread(50, 9), 10, "a dimension of at most 9"),
        (spread(1, 9), 1, "expected at least 2 vectors"),
        (np.empty((0, 9)), 1, "expected at least 2 vectors"),
        (np.full((7, 3), 0.1), 1, "all 7 vectors are equal"),
        (np.full((3, 7), 0.1), 1, "all 3 vectors are equal"),
        (np.zeros((7, 3)), 1, "all 7 vectors are equal"),
        (np.tile(spread(4, 9), (3, 1)), 4, "vary in 3 directions only"),
        (np.repeat(spread(4, 9), 2, axis=0), 4, "vary in 3 directions only"),
        (spread(4, 9)[0], 1, r"expected an \(n, d\) array"),
        ([[1, 2]], 1, r"expected an \(n, d\) array"),
        (spread(5, 9), 0, "dimension: expected a whole number >= 1"),
    ],
)
def test_fit_pca_says_what_is_wrong(x, dimension, message):
    with pytest.raises(InvalidInputError, match=message):
        fit_pca(x, dimension)


def test_a_bad_number_is_found_in_a_later_piece(monkeypatch):
    x = spread(40, 4)
    x[33, 2] = np.inf
    monkeypatch.setattr(pca, "_PIECE_BYTES", 8 * 4 * 10)
    with pytest.raises(InvalidInputError, match="row 33 has NaN or infinity"):
        fit_pca(x, 2)
    with pytest.raises(InvalidInputError, match="expected 4 numbers per vector, got 5"):
        fit_pca(spread(9, 4), 2).apply(spread(3, 5))


def test_a_pca_of_parts_that_do_not_fit_is_refused():
    for parts in (([0, 0], [[1, 0, 0]], [1]), ([0, 0], [[1, 0]], [1, 1]), ([0, 0], [[1, 0]], [0])):
        with pytest.raises(InvalidInputError, match="PCA: expected mean"):
            PCA(*map(np.array, parts))


# ---------------------------------------------------------------- training


@pytest.mark.parametrize("kind", AGGREGATIONS)
@pytest.mark.parametrize("reduced", [None, 20])
def test_photos_of_one_topic_are_nearer_than_others(file, kind, reduced):
    n_words = 12 if kind == "bow" else 2  # with one word per place, what is left is noise
    feature = train_aggregated(file, kind, n_words=n_words, pca=reduced)
    d = reduced or 128
    k = feature.n_words
    assert feature.dimension == {"b": k, "v": k * d, "f": 2 * k * d}[kind[0]]
    x = np.stack([feature.aggregate(file.local().descriptors_of(i)) for i in range(N_PHOTOS)])
    assert x.dtype == np.float32
    distances = np.linalg.norm(x[:, None] - x[None], axis=2)
    same = np.equal.outer(np.arange(N_PHOTOS) % 3, np.arange(N_PHOTOS) % 3)
    assert distances[same].max() < distances[~same].min()


@pytest.mark.parametrize("kind", AGGREGATIONS)
def test_a_photo_without_descriptors_is_the_zero_vector(file, kind):
    feature = train_aggregated(file, kind, n_words=5)
    vector = feature.extract(Photo(plain_photo()))
    assert (vector.shape, vector.dtype) == ((feature.dimension,), np.float32)
    assert not vector.any()


def plain_photo():
    """The bytes of a plain grey image."""
    return b"P5 3 2 255\n" + bytes([100] * 6)


@pytest.mark.parametrize("kind", ["bow", "vlad", "fisher"])
def test_training_gives_the_same_bits_for_any_number_of_threads(file, kind):
    one, two = (train_aggregated(file, kind, n_words=6, pca=9, sample=300, n_threads=n) for n in (1, 2))
    assert one.provenance() == two.provenance()
    other = train_aggregated(file, kind, n_words=6, pca=9, sample=300, seed=1)
    assert other.provenance()["arrays_sha256"] != one.provenance()["arrays_sha256"]


def test_training_on_some_photos_is_training_on_a_file_of_them(tmp_path, file):
    photos = of_topics()[3:9]
    with FeatureFile.open(write_photos(tmp_path / "some.h5", photos)) as some:
        ref = train_aggregated(some, "bow", n_words=6, sample=100)
    comp = train_aggregated(file, "bow", n_words=6, sample=100, rows=[8, 3, 4, 5, 6, 7, 3])
    assert comp.provenance()["arrays_sha256"] == ref.provenance()["arrays_sha256"]
    assert comp.recipe()["trained_on"]["photos"] == 6
    whole = train_aggregated(file, "bow", n_words=6, sample=100)
    assert whole.recipe()["trained_on"]["sha256"] != comp.recipe()["trained_on"]["sha256"]


def test_a_sample_is_drawn_without_replacement(file):
    from metricsearch.features.aggregated.training import _sample

    table, photos = file.local(), np.array([0, 2, N_PHOTOS])
    whole = _sample(table, photos, 10**6, 0)
    assert np.array_equal(whole, np.concatenate([table.descriptors_of(0), table.descriptors_of(2)]))
    drawn = _sample(table, photos, 50, 0)
    places = [np.flatnonzero((whole == row).all(axis=1)) for row in drawn]
    assert len({int(place[0]) for place in places}) == len(drawn) == 50


def test_fewer_different_descriptors_than_words_give_fewer_words(tmp_path):
    photos = [np.repeat(descriptors_like(0, 3, seed=5), 9, axis=0)]
    with FeatureFile.open(write_photos(tmp_path / "few.h5", photos)) as file:
        feature = train_aggregated(file, "vlad", n_words=8)
    assert feature.n_words == 3
    assert feature.dimension == 3 * 128


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "vladd"}, "kind: expected one of bow, vlad"),
        ({"n_words": 1}, "words: expected a whole number in 2..65535"),
        ({"n_words": 5000}, "descriptors to train 5,000 words from"),
        ({"sample": 6}, "6 descriptors to train 8 words from"),
        ({"sample": 0}, "sample: expected"),
        ({"pca": 129}, "pca: expected a whole number in 1..128"),
        ({"pca": 100, "sample": 50}, "expected at least 101 vectors"),
        ({"seed": -1}, "seed: expected"),
        ({"rows": [99]}, "rows: expected a whole number in 0..25"),
        ({"rows": []}, "rows: expected the number of at least one photo"),
        ({"rows": [N_PHOTOS]}, "0 descriptors to train 8 words from"),
        ({"local": "corner"}, "one vector per photo"),
        ({"name": "a b"}, "expected a name of letters"),
        ({"name": "sha256"}, "expected a name of letters"),
    ],
)
def test_training_says_what_is_wrong(file, arguments, message):
    with pytest.raises(InvalidInputError, match=message):
        train_aggregated(file, **{"kind": "vlad", "n_words": 8, **arguments})
    with pytest.raises(UnknownNameError):
        train_aggregated(file, "vlad", local="rootsift")


def test_photos_that_words_cannot_tell_apart_are_refused(tmp_path):
    equal = np.tile(descriptors_like(0, 1, seed=1), (30, 1))
    with (
        FeatureFile.open(write_photos(tmp_path / "equal.h5", [equal])) as file,
        pytest.raises(InvalidInputError, match="all descriptors are equal"),
    ):
        train_aggregated(file, "vlad", n_words=4)
    one = descriptors_like(0, 50, seed=1)
    with FeatureFile.open(write_photos(tmp_path / "one.h5", [one, one])) as file:
        with pytest.raises(InvalidInputError, match="every word is in every one of 2 photos"):
            train_aggregated(file, "bow", n_words=4)
        train_aggregated(file, "vlad", n_words=4)
    with (
        FeatureFile.open(write_photos(tmp_path / "none.h5", [])) as file,
        pytest.raises(InvalidInputError, match="holds no photos to train on"),
    ):
        train_aggregated(file, "vlad", n_words=4)


def test_arrays_of_another_aggregation_are_refused(file):
    feature = train_aggregated(file, "vlad", n_words=4)
    with pytest.raises(InvalidInputError, match="expected the arrays weights, means, variances, got centres"):
        AggregatedFeature("a", "fisher", feature.local.options, feature.arrays(), None, {})


def test_whitening_takes_the_vectors_of_the_file(file):
    feature = train_whitening(file, Corner(), 4)
    x = file.vectors("corner")[:].astype(float)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    ref = fit_pca(x, 4, whiten=True)
    assert (feature.name, feature.dimension) == ("corner-whiten4", 4)
    np.testing.assert_allclose(feature.pca.components, ref.components, atol=1e-9)
    photo = Photo(b"P5 4 2 255\n" + bytes(range(8)))
    vector = feature.extract(photo)
    assert (vector.shape, vector.dtype) == ((4,), np.float32)
    assert np.linalg.norm(vector) == pytest.approx(1)
    first = np.arange(8.0)[None] / np.linalg.norm(np.arange(8.0))
    np.testing.assert_allclose(vector, ref.apply(first, unit_length=True)[0], atol=1e-6)
    some = train_whitening(file, Corner(), 4, rows=range(9), whiten=False)
    assert some.name == "corner-pca4"
    np.testing.assert_allclose(some.pca.components, fit_pca(x[:9], 4).components, atol=1e-9)


def test_whitening_of_an_aggregation_computes_it_from_the_local_features(file):
    base = train_aggregated(file, "vlad", n_words=6)
    feature = train_whitening(file, base, 5)
    x = np.stack([base.aggregate(file.local().descriptors_of(i)) for i in range(len(file))])
    assert np.array_equal(feature.pca.components, fit_pca(x, 5, unit_length=True).components)


def test_whitening_says_what_is_wrong(tmp_path, file):
    with pytest.raises(InvalidInputError, match="was trained on corner with version 1, but here version is 2"):
        train_whitening(file, Corner(version=2), 4)
    few = LocalFeatureOptions(kind="sift", n_features=7)
    other = AggregatedFeature("few", "vlad", few, {"centres": np.eye(2, 128, dtype=np.float32)}, None, {})
    with pytest.raises(InvalidInputError, match="its sift has other options than few was trained with"):
        train_whitening(file, other, 2)
    with pytest.raises(InvalidInputError, match="corner: dimension: 4 of 3 vectors of 8 numbers"):
        train_whitening(file, Corner(), 4, rows=[0, 1, 2])
    base = train_aggregated(file, "vlad", n_words=6)
    with FeatureFile.open(write_photos(tmp_path / "root.h5", of_topics(), ["rootsift"])) as other:
        with pytest.raises(InvalidInputError, match="it has no vlad-sift-6, only rootsift; extract the photos"):
            train_whitening(other, base, 4)
        with pytest.raises(InvalidInputError, match="it has no corner"):
            train_whitening(other, Corner(), 4)
