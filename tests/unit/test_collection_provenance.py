"""What objects were made by: recorded at the first add, compared at every other, never lost on the way."""

import hashlib
import json
import os

import h5py
import numpy as np
import pytest
from PIL import Image

from metricsearch import Collection, PPPCodes
from metricsearch.datasets.opening import open_objects
from metricsearch.datasets.sources import HDF5Source
from metricsearch.errors import CorruptedError, InvalidInputError
from metricsearch.features import FeatureFile, extract_photos
from metricsearch.features.names import get_feature
from metricsearch.provenance import check_provenance, check_same_provenance

POOL5 = {"feature": "pool5", "model_sha256": "ab" * 32, "libraries": {"onnxruntime": "1.31"}, "crops": ["centre"]}
X = np.abs(np.random.default_rng(0).normal(size=(40, 6))).astype(np.float32)


@pytest.fixture
def made(tmp_path):
    """Path of a collection of 20 vectors of known provenance."""
    index = PPPCodes("euclidean", n_spaces=2, n_pivots=4, prefix_length=2)
    with Collection.create(tmp_path / "c.ms", index=index) as collection:
        collection.add(X[:20], None, POOL5)
        collection.build_index()
    return tmp_path / "c.ms"


def content(path):
    return {
        file.name: file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file() and "lock" not in file.name
    }


def rewritten_manifest(path, change):
    manifest = json.loads((path / "manifest.json").read_text())
    del manifest["sha256"]
    change(manifest)
    manifest["sha256"] = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    (path / "manifest.json").write_text(json.dumps(manifest))


def test_the_first_add_records_it_and_the_collection_keeps_it(made):
    with Collection.open(made) as collection:
        assert collection.provenance == POOL5
        assert collection.info()["provenance"] == POOL5
        assert collection.add(X[20:25], None, dict(POOL5)).tolist() == [20, 21, 22, 23, 24]
        collection.remove(collection.ids())
        assert collection.provenance == POOL5
        collection.add(X[:9], provenance=POOL5)
        collection.build_index()
    with Collection.open(made, readonly=True) as collection:
        assert (collection.provenance, len(collection), collection.verify()) == (POOL5, 9, [])


def test_nothing_is_known_before_the_first_add_and_after_one_that_failed(tmp_path):
    with Collection.create(tmp_path / "c.ms") as collection:
        assert collection.provenance is None
        with pytest.raises(InvalidInputError, match="row 4"):
            collection.add(iter([X[:3], np.full((3, 6), [[1], [np.nan], [1]])]), None, POOL5)
        assert collection.provenance is None
        collection.add(X[:0], None, POOL5)
        assert collection.provenance is None
        collection.add(X[:3], None, {"feature": "other"})
        assert collection.provenance == {"feature": "other"}


DIFFERENT = [
    ({**POOL5, "model_sha256": "cd" * 32}, ["model_sha256", "abab", "cdcd"]),
    ({**POOL5, "libraries": {"onnxruntime": "1.18"}}, ["libraries.onnxruntime", "1.31 there", "1.18 here"]),
    ({**POOL5, "crops": ["ten"]}, ["crops", '["ten"] here']),
    ({**POOL5, "power": None}, ["power", "nothing there", "null here"]),
    ({key: value for key, value in POOL5.items() if key != "crops"}, ["crops", "nothing here"]),
    ({"feature": "classic"}, ["feature", "pool5 there", "classic here"]),
    ({}, ["feature", "nothing here"]),
    (None, ["nothing tells", "feature pool5"]),
]


@pytest.mark.parametrize(("other", "words"), DIFFERENT)
def test_objects_of_another_provenance_are_refused_in_one_line_and_nothing_changes(made, other, words):
    before = content(made)
    with Collection.open(made) as collection:
        with pytest.raises(InvalidInputError) as refused:
            collection.add(X[20:], None, other)
        assert len(collection) == 20
    text = str(refused.value)
    assert "\n" not in text
    assert len(text) < 500
    assert "metricsearch extract" in text
    for word in [*words, str(made)]:
        assert word in text
    assert {name: bytes for name, bytes in content(made).items() if "seal" not in name} == {
        name: bytes for name, bytes in before.items() if "seal" not in name
    }


def test_objects_of_known_provenance_do_not_join_those_of_unknown(tmp_path):
    with Collection.create(tmp_path / "c.ms") as collection:
        collection.add(X[:20])
        assert collection.provenance is None
        with pytest.raises(InvalidInputError, match="feature pool5, while nothing tells what those of .*c.ms"):
            collection.add(X[20:], None, POOL5)
        collection.add(X[20:])


def test_a_collection_made_before_there_was_a_provenance_opens_as_unknown(made):
    rewritten_manifest(made, lambda manifest: manifest.pop("provenance"))
    with Collection.open(made) as collection:
        assert collection.provenance is None
        assert collection.search(X[:1], 1).ids.tolist() == [[0]]
        collection.add(X[20:])
        with pytest.raises(InvalidInputError, match="pool5"):
            collection.add(X[20:], None, POOL5)


@pytest.mark.parametrize("value", ["pool5", [POOL5], 3, {"a": {1, 2}}, {"a": float("nan")}, {"a": np.zeros(2)}, True])
def test_what_no_file_can_hold_is_refused_before_anything_is_stored(tmp_path, value):
    with Collection.create(tmp_path / "c.ms") as collection:
        with pytest.raises(InvalidInputError, match="provenance: expected a dict"):
            collection.add(X, None, value)
        assert len(collection) == 0


def test_a_provenance_is_compared_as_it_comes_back_from_the_file(tmp_path):
    with Collection.create(tmp_path / "c.ms") as collection:
        collection.add(X[:2], None, {"sides": (128, 64), "levels": {2: "a"}})
        collection.add(X[:2], None, {"levels": {"2": "a"}, "sides": [128, 64]})
        assert collection.provenance == {"sides": [128, 64], "levels": {"2": "a"}}
    assert check_provenance(None) is None


def test_a_long_list_of_differences_is_cut():
    left, right = ({f"key{i}": value for i in range(9)} for value in ("old", "new"))
    with pytest.raises(InvalidInputError, match=r"key3: old there, new here; and 5 more"):
        check_same_provenance("b.h5", right, "a.h5", left)
    with pytest.raises(InvalidInputError) as refused:
        check_same_provenance("b.h5", {"a": "x" * 999}, "a.h5", {"a": ["y" * 999]})
    assert len(str(refused.value)) < 400


# ---------------------------------------------------------------- feature files


def feature_file(path, names=("pool5",), n=30, provenance=POOL5, metric="euclidean", seed=0):
    """A file as `metricsearch extract` writes it, as far as objects are read from it."""
    rng = np.random.default_rng(seed)
    with h5py.File(path, "w") as file:
        file.attrs["format"] = "metricsearch-features"
        file.attrs["version"] = 2
        file["size"] = np.zeros((n, 2), dtype=np.int32)
        file["path"] = np.array([f"{i}.jpg".encode() for i in range(n)])
        for name in names:
            file[name] = np.abs(rng.normal(size=(n, 6))).astype(np.float32)
            file[name].attrs["provenance"] = json.dumps({**provenance, "feature": name}, sort_keys=True)
            file[name].attrs["metric"] = json.dumps(metric)
        local = file.create_group("rootsift")
        local["descriptors"] = rng.integers(0, 9, (50, 128), dtype=np.uint8)
        local["keypoints"] = np.zeros((50, 4), dtype=np.float32)
        local.attrs["provenance"] = json.dumps({"feature": "rootsift"})
    return path


def test_a_feature_file_tells_provenance_and_metric_of_its_vectors(tmp_path):
    metric = {
        "name": "weighted",
        "parts": [{"metric": "manhattan", "columns": [0, 6], "weight": 2.0}],
    }
    path = feature_file(tmp_path / "x.h5", names=["hsv"], metric=metric)
    opened = open_objects(str(path))
    assert (opened.provenance, opened.metric) == ({**POOL5, "feature": "hsv"}, metric)
    assert opened.load().shape == (30, 6)
    named = open_objects(f"{path}:hsv")
    assert (named.provenance, named.metric) == (opened.provenance, opened.metric)
    local = open_objects(f"{path}:rootsift/descriptors")
    assert (local.provenance, local.metric) == ({"feature": "rootsift"}, None)
    assert local.load().shape == (50, 128)
    assert open_objects(f"{path}:size").provenance is None


def test_what_was_extracted_is_what_a_collection_records(tmp_path):
    for i in range(9):
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(
            tmp_path / f"{i}.png"
        )
    extract_photos(tmp_path, tmp_path / "x.h5", ["hsv", "lbp", "sift"])
    opened = open_objects(f"{tmp_path / 'x.h5'}:hsv")
    with FeatureFile.open(tmp_path / "x.h5") as file:
        assert opened.provenance == file.provenance("hsv") == get_feature("hsv").provenance()
        assert opened.metric == file.metric("hsv")
        assert open_objects(f"{tmp_path / 'x.h5'}:sift/descriptors").provenance == file.local("sift").provenance
    with Collection.create(tmp_path / "c.ms", metric=opened.metric) as collection:
        collection.add(opened.objects, opened.ids, opened.provenance)
        assert collection.provenance == opened.provenance
        other = open_objects(f"{tmp_path / 'x.h5'}:lbp")
        with pytest.raises(InvalidInputError, match="feature: hsv there, lbp here"):
            collection.add(other.objects, other.ids, other.provenance)


def test_of_several_features_one_must_be_named(tmp_path):
    path = feature_file(tmp_path / "x.h5", names=["hsv", "pool5"])
    with pytest.raises(InvalidInputError, match="found hsv, pool5; name it"):
        open_objects(str(path))


def test_attributes_of_other_programs_mean_nothing(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = X
        file["x"].attrs["provenance"] = "laboratory 5"
        file["x"].attrs["metric"] = "cosine"
    source = HDF5Source(tmp_path / "x.h5", "x")
    assert (source.provenance, source.metric) == (None, None)
    opened = open_objects(str(tmp_path / "x.h5"))
    assert (opened.provenance, opened.metric) == (None, None)


@pytest.mark.parametrize("text", ["{", "[]", "3", ""])
def test_a_damaged_provenance_is_found(tmp_path, text):
    path = feature_file(tmp_path / "x.h5")
    with h5py.File(path, "a") as file:
        file["pool5"].attrs["provenance"] = text
    with pytest.raises(CorruptedError, match="pool5.*provenance.*extract the photos again"):
        open_objects(str(path))


def test_the_real_descriptors_have_no_provenance_of_ours(data_dir):
    path = os.path.join(data_dir, "descriptors", "googlenet_photos.h5")
    assert open_objects(f"{path}:grid4096").provenance is None
