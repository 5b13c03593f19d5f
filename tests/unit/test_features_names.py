"""Features by name: every name gives its feature, every wrong one a line that helps."""

import sys

import numpy as np
import pytest
from oracle.features import noise
from PIL import Image

from metricsearch.errors import (
    InvalidInputError,
    MetricSearchError,
    MissingDataError,
    MissingExtraError,
    UnknownNameError,
)
from metricsearch.features import (
    KINDS,
    GlobalFeature,
    LocalFeature,
    LocalFeatureOptions,
    Photo,
    extras,
    feature_names,
    get_feature,
    get_features,
)
from metricsearch.provenance import differences
from metricsearch.spaces import get_metric

CLASSIC = ["hue", "hsv", "hoc", "lbp", "lbp-grid", "hog", "shape", "fourier", "gabor-layout", "classic"]


@pytest.fixture
def photo(tmp_path):
    Image.fromarray(np.stack([noise(60, 80, seed=i) for i in range(3)], axis=2)).save(tmp_path / "x.png")
    return Photo.read(tmp_path / "x.png")


@pytest.fixture
def googlenet():
    from metricsearch.features.cnn import is_at_hand

    if not is_at_hand("googlenet"):
        pytest.skip("the model googlenet is not on this machine")


@pytest.mark.parametrize("name", CLASSIC)
def test_classic_names(name, photo):
    feature = get_feature(name)
    assert isinstance(feature, GlobalFeature)
    assert feature.name == feature.provenance()["feature"] == name
    assert feature.extract(photo).shape == (feature.dimension,)


@pytest.mark.parametrize("kind", KINDS)
def test_local_names(kind):
    feature = get_feature(kind)
    assert isinstance(feature, LocalFeature)
    assert feature.name == kind
    assert feature.options == LocalFeatureOptions(kind=kind)


@pytest.mark.parametrize(
    ("text", "name", "dimension"),
    [
        ("pool5", "pool5", 1024),
        ("grid4096", "grid4096", 4096),
        ("googlenet:pool5", "googlenet:pool5", 1024),
        ("googlenet:5a:gem", "googlenet:5a:gem", 832),
        ("googlenet:inception_4c/output:max", "googlenet:inception_4c.output:max", 512),
    ],
)
def test_names_of_networks(googlenet, text, name, dimension):
    feature = get_feature(text)
    assert (feature.name, feature.dimension) == (name, dimension)


def distance(feature, a, b):
    metric = get_metric(feature.metric)
    one, other = (metric.check(feature.extract(photo)[None]) for photo in (a, b))
    return float(metric.distances(one, other)[0])


@pytest.mark.parametrize(
    ("text", "weights"),
    [("hue+hsv", (1, 1)), ("2*hue+hsv", (2, 1)), ("hue+0.5*lbp-grid+1e3*hog", (1, 0.5, 1000)), ("classic+hue", (1, 1))],
)
def test_combinations(text, weights, photo):
    feature = get_feature(text)
    parts = [get_feature(term.split("*")[-1]) for term in text.split("+")]
    assert feature.name == text.replace("1e3", "1000")
    assert feature.dimension == sum(part.dimension for part in parts)
    expected = np.concatenate([part.extract(photo) for part in parts])
    assert np.array_equal(feature.extract(photo), expected)
    other = Photo(b"")
    other.once("grey", lambda: np.full((9, 9), 7, np.uint8))
    other.once("rgb", lambda: np.full((9, 9, 3), 7, np.uint8))
    apart = [distance(part, photo, other) for part in parts]
    assert min(apart) > 0
    assert distance(feature, photo, other) == pytest.approx(np.dot(weights, apart), rel=1e-5)


def test_a_network_in_a_combination(googlenet):
    assert get_feature("2*googlenet:5b:avg+hsv").dimension == 1024 + 512


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("", InvalidInputError, "expected a name"),
        (None, InvalidInputError, "expected a name"),
        ("hsvv", UnknownNameError, "did you mean hsv"),
        ("SIFT", UnknownNameError, "'SIFT' is unknown.* known: hue, .*sift, "),
        ("root-sift", UnknownNameError, "did you mean rootsift"),
        ("googlenet", UnknownNameError, "MODEL:LAYER"),
        ("gogglenet:pool5", UnknownNameError, "googlenet"),
        ("nothing/x.feature", MissingDataError, "no such file"),
        ("x.feature", MissingDataError, "features train"),
        ("nothing/x.onnx:fc7", MissingDataError, "no such model file"),
        ("hsv+nothing", UnknownNameError, "'nothing' is unknown"),
        ("hsv+", InvalidInputError, "both sides"),
        ("+", InvalidInputError, "both sides"),
        ("2*", InvalidInputError, "both sides"),
        ("sift+hsv", InvalidInputError, "sift describes places"),
        ("2*hsv", InvalidInputError, "leave it out"),
        ("-2*hsv+hue", InvalidInputError, "weight > 0.*'-2'"),
        ("0*hsv+hue", InvalidInputError, "weight > 0"),
        ("inf*hsv+hue", InvalidInputError, "weight > 0"),
        ("nan*hsv+hue", InvalidInputError, "weight > 0"),
        ("two*hsv+hue", InvalidInputError, "weight > 0.*'two'"),
        ("hsv+2*hsv", InvalidInputError, "twice"),
    ],
)
def test_wrong_names(text, error, words):
    with pytest.raises(MetricSearchError, match=words) as info:
        get_feature(text)
    assert type(info.value) is error
    assert "\n" not in str(info.value)


def test_a_file_that_is_no_trained_feature(tmp_path):
    path = tmp_path / "a+2*b.feature"  # a path may look like a combination
    path.write_text("hello")
    with pytest.raises(MetricSearchError, match=r"a\+2\*b\.feature: not a readable trained feature"):
        get_feature(str(path))


def test_several_names():
    hue = get_feature("hue")
    found = get_features([hue, "sift, hsv", "lbp+hog"])
    assert [feature.name for feature in found] == ["hue", "sift", "hsv", "lbp+hog"]
    assert found[0] is hue
    assert get_features(hue) == [hue]
    assert [feature.name for feature in get_features("sift,hsv")] == ["sift", "hsv"]
    for features, words in (
        ([], "at least one"),
        ("hsv,,sift", "expected a name"),
        (["hsv", get_feature("hsv")], "hsv is given 2 times"),
        ([7], "expected names or features, got 7"),
    ):
        with pytest.raises(InvalidInputError, match=words):
            get_features(features)


def test_the_list_tells_the_truth():
    entries = {entry.name: entry for entry in feature_names()}
    assert set(CLASSIC) | set(KINDS) < set(entries)
    for name, entry in entries.items():
        assert entry.about
        assert entry.needs
        assert "\n" not in "".join(str(part) for part in entry)
        if entry.dimension is not None:
            feature = get_feature(name)
            assert feature.dimension == entry.dimension
            assert get_metric(feature.metric).name == entry.metric
        elif name in KINDS:
            assert isinstance(get_feature(name), LocalFeature)


def test_differences_of_provenance_are_named():
    there = {"feature": "a", "options": {"size": 1, "kind": "x"}, "old": 1, "libraries": {"p": "1.0"}}
    now = {"feature": "a", "options": {"size": 2, "kind": "x"}, "new": [2], "libraries": {"p": "1.0"}}
    assert differences(there, there) == []
    assert differences(there, now) == [
        "new: nothing there, [2] here",
        "old: 1 there, nothing here",
        "options.size: 1 there, 2 here",
    ]


@pytest.mark.parametrize(
    ("package", "load"),
    [
        ("cv2", extras.opencv),
        ("PIL.Image", extras.pillow_image),
        ("skimage", extras.scikit_image),
        ("skimage.feature", lambda: extras.scikit_image("feature")),
        ("sklearn.mixture", lambda: extras.scikit_learn("mixture")),
        ("onnxruntime", extras.onnxruntime),
        ("onnx", extras.onnx),
    ],
)
def test_a_missing_package_is_an_error_that_names_the_extra(package, load, monkeypatch):
    assert load().__name__ == package
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'metricsearch\[features\]'"):
        load()


def test_the_size_of_a_photo_is_that_of_its_pixels(tmp_path):
    exif = Image.Exif()
    exif[0x112] = 6
    Image.fromarray(noise(60, 80)).save(tmp_path / "turned.png", exif=exif)
    for look in ("grey", "rgb", "size"):
        photo = Photo.read(tmp_path / "turned.png")
        getattr(photo, look)
        assert photo.size == (60, 80)
        assert photo.grey.shape == photo.rgb.shape[:2] == (80, 60)


def test_what_is_shared_is_made_once(photo):
    calls = []
    for _ in range(3):
        assert photo.once("x", lambda: calls.append(1) or 7) == 7
    assert len(calls) == 1
    assert photo.rgb is photo.rgb
    with pytest.raises(MissingDataError, match="no such file"):
        Photo.read("nothing.jpg")
