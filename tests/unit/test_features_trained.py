"""Trained features: the same after a file, refused when damaged or on another base."""

import json
from functools import partial

import h5py
import numpy as np
import pytest

from metricsearch.errors import (
    CorruptedError,
    ExistsError,
    FormatVersionError,
    InvalidInputError,
    MissingDataError,
    UnknownNameError,
)
from metricsearch.features.aggregated import AGGREGATIONS, PCA, AggregatedFeature, WhitenedFeature
from metricsearch.features.aggregated.training import feature_of_file
from metricsearch.features.feature import GlobalFeature, LocalFeature
from metricsearch.features.feature_file import FeatureFile
from metricsearch.features.feature_writing import PhotoEntry, write_feature_file
from metricsearch.features.local import LocalFeatureOptions
from metricsearch.features.photo import Photo
from metricsearch.features.trained import (
    RECIPES,
    check_same_base,
    feature_from_arrays,
    load_feature,
    read_feature,
    save_feature,
    sha256_of_arrays,
    trained_on,
)

ABOUT = trained_on(["b" * 64, "a" * 64])


class Corner(GlobalFeature):
    """The first eight grey values."""

    name, dimension, metric = "corner", 8, "euclidean"

    def __init__(self, version=1, pillow="12"):
        self.version, self.pillow = version, pillow

    def extract(self, photo):
        return photo.grey.ravel()[:8].astype(np.float32)

    def provenance(self):
        return {"feature": "corner", "version": self.version, "parts": [{"libraries": {"pillow": self.pillow}}]}


def resolve(name):
    """As `get_feature`, for the only feature there is."""
    if name != "corner":
        raise UnknownNameError(f"no feature {name}")
    return Corner()


def any_pca(d, k, whiten=False):
    rng = np.random.default_rng(d + k)
    return PCA(rng.normal(size=d), rng.normal(size=(k, d)), rng.uniform(1, 2, k), whiten)


def aggregated(kind, pca=True, name="words"):
    rng = np.random.default_rng(0)
    k, d = 5, 7 if pca else 128
    learned = {"centres": rng.normal(size=(k, d)).astype(np.float32)}
    if kind.startswith("fisher"):
        learned = {"weights": np.full(k, 0.2), "means": rng.normal(size=(k, d)), "variances": rng.uniform(1, 2, (k, d))}
    elif kind == "bow":
        learned["idf"] = rng.uniform(size=k)
    options = LocalFeatureOptions(kind="rootsift", n_features=300)
    return AggregatedFeature(name, kind, options, learned, any_pca(128, d) if pca else None, ABOUT)


def whitened(base=None):
    base = base or Corner()
    return WhitenedFeature("white", base, base.name, any_pca(base.dimension, 3, whiten=True), ABOUT)


@pytest.fixture
def photo():
    rng = np.random.default_rng(1)
    grey = np.kron(rng.integers(0, 256, (16, 16)), np.ones((8, 8))).astype(np.uint8)
    return Photo(b"P5 128 128 255\n" + grey.tobytes())


KINDS = {
    **{kind: partial(aggregated, kind) for kind in AGGREGATIONS},
    "without PCA": lambda: aggregated("vlad", pca=False),
    "whitened": whitened,
    "whitened aggregated": lambda: whitened(aggregated("bow")),
    "twice whitened": lambda: WhitenedFeature("again", whitened(aggregated("vlad")), "x", any_pca(3, 2), ABOUT),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_feature_is_the_same_again(tmp_path, kind, photo):
    feature = KINDS[kind]()
    save_feature(tmp_path / "a.feature", feature)
    again = load_feature(tmp_path / "a.feature", resolve)
    assert type(again) is type(feature)
    assert again.provenance() == feature.provenance()
    assert json.loads(json.dumps(again.provenance())) == feature.provenance()
    assert (again.name, again.dimension, again.metric) == (feature.name, feature.dimension, feature.metric)
    vector = feature.extract(photo)
    assert vector.any()
    assert np.array_equal(again.extract(photo), vector)
    assert list(tmp_path.iterdir()) == [tmp_path / "a.feature"]


def test_a_feature_file_holds_all_that_makes_its_feature_again(tmp_path, photo):
    feature = whitened(aggregated("vlad-intra"))
    entries = [PhotoEntry("a.pgm", photo.sha256, (128, 128))]
    columns = [(feature, [feature.extract(photo)]), (Corner(), [Corner().extract(photo)])]
    write_feature_file(tmp_path / "photos.h5", entries, columns)
    with FeatureFile.open(tmp_path / "photos.h5") as file:
        again = feature_of_file(file, "white", resolve)
        assert again.provenance() == file.provenance("white") == feature.provenance()
        assert np.array_equal(again.extract(photo), file.vectors("white")[0])
        assert isinstance(feature_of_file(file, "corner", resolve), Corner)
        with pytest.raises(UnknownNameError, match="no feature hsv"):
            feature_of_file(file, "hsv", resolve)
        with pytest.raises(InvalidInputError, match="sift: describes places of a photo"):
            feature_of_file(file, "sift", lambda name: LocalFeature())


def test_provenance_tells_parameters_arrays_base_and_training_photos():
    feature = aggregated("vlad")
    told = feature.provenance()
    assert told["feature"] == "words"
    assert told["recipe"]["aggregation"] == "vlad"
    assert told["recipe"]["trained_on"]["photos"] == 2
    assert told["base"] == LocalFeature(LocalFeatureOptions(kind="rootsift", n_features=300)).provenance()
    other = AggregatedFeature(
        "words", "vlad", feature.local.options, {"centres": feature.arrays()["centres"] + 1}, feature.pca, ABOUT
    )
    assert other.provenance()["arrays_sha256"] != told["arrays_sha256"]


def test_the_sha256_of_arrays_sees_names_types_and_shapes():
    x = np.arange(6, dtype=np.float32)
    seen = [{"a": x}, {"b": x}, {"a": x.reshape(2, 3)}, {"a": x.view(np.int32)}, {"a": x[:3], "b": x[3:]}, {}]
    assert len({sha256_of_arrays(arrays) for arrays in seen}) == len(seen)
    assert sha256_of_arrays({"b": x, "a": x}) == sha256_of_arrays({"a": x.copy(), "b": x})
    assert sha256_of_arrays({"a": np.arange(12, dtype=np.float32)[::2]}) == sha256_of_arrays({"a": 2 * x})


def test_the_order_of_training_photos_does_not_matter_but_their_number_does():
    assert trained_on(["x", "y"]) == trained_on(["y", "x"])
    assert trained_on(["x", "y"]) != trained_on(["x", "x", "y"])


def test_nothing_is_overwritten_and_folders_are_not_made(tmp_path):
    save_feature(tmp_path / "a.feature", whitened())
    before = (tmp_path / "a.feature").read_bytes()
    with pytest.raises(ExistsError, match="choose another path, or delete it first"):
        save_feature(tmp_path / "a.feature", aggregated("vlad"))
    assert (tmp_path / "a.feature").read_bytes() == before
    with pytest.raises(InvalidInputError, match="there is no folder"):
        save_feature(tmp_path / "b" / "a.feature", whitened())
    assert not (tmp_path / "b").exists()


def test_a_changed_byte_is_found_or_changes_nothing(tmp_path, photo):
    path = tmp_path / "a.feature"
    feature = whitened()
    save_feature(path, feature)
    whole = path.read_bytes()
    ref = feature.extract(photo)
    found = 0
    for place in range(0, len(whole), 41):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            again = load_feature(path, resolve)
        except (CorruptedError, FormatVersionError, InvalidInputError):  # the others: in the words format and version
            found += 1
        else:
            assert np.array_equal(again.extract(photo), ref)
    assert found > 20
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CorruptedError, match=r"a\.feature: not a readable trained feature"):
        load_feature(path, resolve)


def test_another_file_is_not_taken_for_a_trained_feature(tmp_path):
    path = tmp_path / "a.feature"
    with pytest.raises(MissingDataError, match="metricsearch features train"):
        load_feature(path, resolve)
    with h5py.File(path, "w") as file:
        file.attrs["format"] = "metricsearch-features"
    with pytest.raises(InvalidInputError, match="not a trained feature"):
        load_feature(path, resolve)
    path.write_text("text")
    with pytest.raises(CorruptedError, match="not a readable trained feature"):
        load_feature(path, resolve)
    path.unlink()
    save_feature(path, whitened())
    with h5py.File(path, "r+") as file:
        file.attrs["version"] = 7
    with pytest.raises(FormatVersionError, match="format version 7, but this program reads version 1"):
        read_feature(path)


def test_every_known_kind_of_recipe_has_its_class():
    for module, name in RECIPES.values():
        assert issubclass(getattr(__import__(module, fromlist=[name]), name), GlobalFeature)
    with pytest.raises(FormatVersionError, match="of kind 'new'; this program knows aggregated, whitened, mop"):
        feature_from_arrays({"kind": "new"}, {}, resolve)


@pytest.mark.parametrize(
    ("changes", "without", "message"),
    [
        ({"aggregation": "fisher"}, (), "expected the arrays weights, means, variances"),
        ({"aggregation": "sum"}, (), "aggregation: expected one of"),
        ({"local": {"kind": "surf"}}, (), "kind: expected one of"),
        ({"local": {"colour": 1}}, (), "do not fit together"),
        ({"pca": None}, (), "expected 7 dimensions per vector, got 128"),
        ({}, ("pca_mean",), "do not fit together"),
        ({}, ("centres",), "expected the arrays centres"),
    ],
)
def test_a_recipe_that_does_not_fit_its_arrays_is_refused(changes, without, message):
    feature = aggregated("vlad")
    arrays = {name: array for name, array in feature.arrays().items() if name not in without}
    with pytest.raises(InvalidInputError, match=message):
        feature_from_arrays({**feature.recipe(), **changes}, arrays, resolve)


def test_a_base_that_is_another_one_now_is_refused(tmp_path):
    save_feature(tmp_path / "a.feature", whitened())
    path = tmp_path / "a.feature"
    with pytest.raises(InvalidInputError, match=r"a\.feature: white: was trained on corner with version 1, but here"):
        load_feature(path, lambda name: Corner(version=2))
    with pytest.raises(InvalidInputError, match="its base sift is a local feature now"):
        load_feature(path, lambda name: LocalFeature())
    with pytest.raises(UnknownNameError, match=r"a\.feature: no feature x"):
        load_feature(path, lambda name: resolve("x"))
    newer = load_feature(path, lambda name: Corner(pillow="13"))  # another version of a library: other provenance
    assert newer.provenance() != whitened().provenance()


def test_check_same_base_names_what_differs():
    check_same_base("a", {"x": 1, "libraries": {"p": "1"}}, {"x": 1, "libraries": {"p": "2"}})
    for before, after in (
        ({"x": 1}, {"x": 2}),
        ({"x": 1}, {}),
        ({}, {"x": [1]}),
        ({"x": [{"y": 1}]}, {"x": [{"y": 2}]}),
    ):
        with pytest.raises(InvalidInputError, match="with x .* but here x is"):
            check_same_base("a", before, after)


def test_a_pca_for_other_vectors_is_refused():
    with pytest.raises(InvalidInputError, match="the PCA is for 9 numbers, corner has 8"):
        WhitenedFeature("white", Corner(), "corner", any_pca(9, 3), ABOUT)
