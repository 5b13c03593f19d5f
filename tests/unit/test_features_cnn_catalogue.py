"""Models by name and by path: where they are found, what must match, and what an error tells the user to do."""

import json
import re
import shutil

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from metricsearch.errors import CorruptedError, InvalidInputError, MissingDataError, UnknownNameError
from metricsearch.features.cnn import catalogue, is_at_hand, model_names, models_directory
from metricsearch.features.cnn.catalogue import find_model
from metricsearch.features.cnn.network import get_network
from metricsearch.files import sha256_of

PREPROCESSING = {"size": 8, "resized": 10, "resize": "square", "colours": "RGB", "mean": [1, 2, 3], "scale": [1, 1, 2]}
METADATA = {
    "input.size": "8x8",
    "input.color_order": "BGR",
    "input.mean": "104,117,123",
    "input.scale": "1",
    "input.resize": "squash to 10x10 (bilinear, no aspect kept), then centre crop 8x8",
}


def write_model(path, metadata=()):
    """The smallest network: one ReLU over (N, 3, 8, 8)."""
    data, maps = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 3, 8, 8]) for name in ("data", "maps"))
    graph = helper.make_graph([helper.make_node("Relu", ["data"], ["maps"])], "tiny", [data], [maps])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    helper.set_model_props(model, dict(metadata))
    onnx.save(model, path)
    return path


@pytest.fixture(autouse=True)
def empty_folders(tmp_path, monkeypatch):
    """No model is here, and nothing is downloaded."""

    def no_download(*arguments):
        raise AssertionError(f"a download was tried: {arguments}")

    (tmp_path / "models").mkdir()
    monkeypatch.setenv("METRICSEARCH_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("METRICSEARCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(catalogue, "fetch_file", no_download)


def test_every_entry_of_the_catalogue_is_whole():
    assert model_names() == ["googlenet", "mobilefacenet", "caffenet", "alexnet", "googlenet-zoo", "squeezenet"]
    for name in model_names():
        entry = catalogue._entry(name)
        assert re.fullmatch("[0-9a-f]{64}", entry.sha256)
        assert entry.layers
        assert entry.how_to_get
        assert entry.licence
        assert entry.sources
        assert entry.url is None or (entry.url.startswith("https://") and entry.url.endswith(f"/{entry.file}"))


def test_checksums_of_the_local_models_are_those_beside_them(data_dir):
    folder = data_dir.parent / "models"
    published = dict(line.split()[::-1] for line in (folder / "SHA256SUMS").read_text().splitlines())
    for name in ("googlenet", "mobilefacenet"):
        entry = catalogue._entry(name)
        assert entry.sha256 == published[entry.file]


@pytest.mark.parametrize("name", ["googlenet", "mobilefacenet"])
def test_the_catalogue_and_the_metadata_of_a_local_model_say_the_same(data_dir, monkeypatch, name):
    folder = data_dir.parent / "models"
    monkeypatch.setenv("METRICSEARCH_MODELS", str(folder))
    named, by_path = find_model(name), find_model(str(folder / f"{name}.onnx"))
    assert named.preprocessing == by_path.preprocessing
    assert (named.name, named.path, named.sha256) == (by_path.name, by_path.path, by_path.sha256)


def test_a_model_is_at_hand_when_its_file_is_in_the_models_folder_or_among_the_downloads(tmp_path):
    assert not is_at_hand("caffenet")
    (tmp_path / "models" / "caffenet-12.onnx").touch()
    assert is_at_hand("caffenet")
    assert not is_at_hand("alexnet")
    (tmp_path / "cache" / "models").mkdir(parents=True)
    (tmp_path / "cache" / "models" / "bvlcalexnet-12.onnx").touch()
    assert is_at_hand("alexnet")


def test_a_path_is_at_hand_when_the_file_exists(tmp_path):
    assert not is_at_hand(str(tmp_path / "tiny.onnx"))
    assert is_at_hand(str(write_model(tmp_path / "tiny.onnx")))


def test_an_unknown_model_is_answered_with_a_close_one_and_the_list():
    for ask in (find_model, is_at_hand):
        with pytest.raises(
            UnknownNameError, match=r"'googlnet' is unknown; did you mean googlenet\? known: .*caffenet"
        ):
            ask("googlnet")


def test_a_models_folder_that_does_not_exist_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("METRICSEARCH_MODELS", str(tmp_path / "gone"))
    with pytest.raises(MissingDataError, match=r"METRICSEARCH_MODELS=.*gone: no such folder"):
        models_directory()


def test_a_local_model_that_is_not_here_says_how_to_get_it():
    with pytest.raises(MissingDataError, match=r"googlenet\.onnx is not on this machine; .*METRICSEARCH_MODELS"):
        find_model("googlenet")


def test_a_file_with_other_bytes_than_the_catalogue_knows_is_refused(tmp_path):
    write_model(tmp_path / "models" / "googlenet.onnx")
    with pytest.raises(CorruptedError, match=r"googlenet\.onnx: sha256 is [0-9a-f]{64}, expected 06a7d6864d0c"):
        find_model("googlenet")


def test_a_public_model_is_fetched_into_the_cache_with_its_checksum(tmp_path, monkeypatch):
    asked = []

    def fetch(entry, file):
        asked.append((entry, file))
        return tmp_path / "cache" / file["path"]

    monkeypatch.setattr(catalogue, "fetch_file", fetch)
    model = find_model("squeezenet")
    [(entry, file)] = asked
    assert entry["access"] == "download"
    assert entry["name"] == "model squeezenet"
    assert file["path"] == "models/squeezenet1.1-7.onnx"
    assert file["sha256"] == model.sha256 == catalogue._entry("squeezenet").sha256
    assert file["url"] == catalogue._entry("squeezenet").url
    assert model.path == tmp_path / "cache" / "models" / "squeezenet1.1-7.onnx"


def test_a_public_model_in_the_models_folder_is_not_fetched(tmp_path, monkeypatch):
    path = write_model(tmp_path / "models" / "squeezenet1.1-7.onnx")
    entry = catalogue._entry("squeezenet").model_copy(update={"sha256": sha256_of(path)})
    monkeypatch.setattr(catalogue, "_catalogue", lambda: {"squeezenet": entry})
    assert find_model("squeezenet").path == path


def test_the_file_beside_a_model_says_how_photos_are_prepared_and_names_layers(tmp_path):
    path = write_model(tmp_path / "tiny.onnx", METADATA)  # what stands in the model counts less
    card = {"preprocessing": PREPROCESSING, "layers": {"all": {"tensor": "maps", "crops": "ten", "unit_length": True}}}
    (tmp_path / "tiny.onnx.json").write_text(json.dumps(card))
    model = find_model(str(path))
    assert model.preprocessing.to_dict() == PREPROCESSING
    assert model.layers["all"].tensor == "maps"
    assert (model.layers["all"].crops, model.layers["all"].unit_length) == ("ten", True)
    assert (model.name, model.sha256) == ("tiny", sha256_of(path))


def write_model_in_two_files(path, weight, place):
    """Adds one weight, which lies in the file weights.bin."""
    data, maps = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 3, 8, 8]) for name in ("data", "maps"))
    tensor = numpy_helper.from_array(np.full((1, 3, 8, 8), weight, np.float32), "weight")
    nodes = [helper.make_node("Add", ["data", "weight"], ["maps"])]
    if place != "initializer":
        nodes.insert(0, helper.make_node("Constant", [], ["weight"], value=tensor))
    if place == "branch":
        branch = helper.make_graph(nodes, "branch", [], [maps])
        always = helper.make_node("Constant", [], ["always"], value=numpy_helper.from_array(np.array(True)))
        nodes = [always, helper.make_node("If", ["always"], ["maps"], then_branch=branch, else_branch=branch)]
    tensors = [tensor] if place == "initializer" else []
    graph = helper.make_graph(nodes, "two", [data], [maps], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    helper.set_model_props(model, METADATA)
    path.parent.mkdir()
    kept = {"save_as_external_data": True, "location": "weights.bin", "size_threshold": 100, "convert_attribute": True}
    onnx.save(model, path, **kept)
    return path


@pytest.mark.parametrize("place", ["initializer", "constant", "branch"])
def test_weights_in_another_file_are_part_of_what_a_model_is(tmp_path, place):
    paths = [write_model_in_two_files(tmp_path / str(i) / "two.onnx", i, place) for i in (1, 2)]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    models = [find_model(str(path)) for path in paths]
    assert models[0].sha256 != models[1].sha256
    (paths[0].parent / "weights.bin").unlink()
    (paths[0].parent / "two.onnx.json").write_text(json.dumps({"preprocessing": PREPROCESSING}))
    with pytest.raises(MissingDataError, match=r"weights of it lie in .*weights\.bin"):
        find_model(str(paths[0]))


def test_a_model_in_two_files_is_run(tmp_path):
    for i in (1, 2):
        model = find_model(str(write_model_in_two_files(tmp_path / str(i) / "two.onnx", i, "initializer")))
        network, _ = get_network(model, "maps")
        assert network.values_of_pixels(np.zeros((8, 8, 3), np.uint8), "maps")[0, 0, 0] == i - 104


def test_without_that_file_the_metadata_of_the_model_count(tmp_path):
    preprocessing = find_model(str(write_model(tmp_path / "tiny.onnx", METADATA))).preprocessing
    assert preprocessing.to_dict() == {
        "size": 8,
        "resized": 10,
        "resize": "squash",
        "colours": "BGR",
        "mean": [104.0, 117.0, 123.0],
        "scale": [1.0, 1.0, 1.0],
    }


def test_one_number_in_the_metadata_holds_for_all_colours_and_words_after_it_are_passed_over(tmp_path):
    said = METADATA | {"input.mean": "-0.5 (all of them)", "input.scale": "2e-3"}
    del said["input.resize"]
    preprocessing = find_model(str(write_model(tmp_path / "tiny.onnx", said))).preprocessing
    assert preprocessing.mean == (-0.5, -0.5, -0.5)
    assert preprocessing.scale == (0.002, 0.002, 0.002)
    assert preprocessing.resized == preprocessing.size == 8


@pytest.mark.parametrize(
    "wrong",
    [{key: None} for key in ("input.size", "input.color_order", "input.mean", "input.scale")]
    + [
        {"input.size": "8x9"},
        {"input.size": "eight"},
        {"input.color_order": "YUV"},
        {"input.mean": "none"},
        {"input.mean": "1,2"},
        {"input.resize": "shorter side to 10"},
        {"input.resize": "squash to 4x4"},
    ],
    ids=str,
)
def test_metadata_that_say_too_little_are_no_preprocessing(tmp_path, wrong):
    said = {key: value for key, value in (METADATA | wrong).items() if value is not None}
    path = write_model(tmp_path / "tiny.onnx", said)
    with pytest.raises(
        InvalidInputError, match=r"tiny\.onnx: says nothing of its preprocessing .*tiny\.onnx\.json, for"
    ):
        find_model(str(path))


def test_what_the_error_says_to_write_is_taken(tmp_path):
    path = write_model(tmp_path / "tiny.onnx")
    with pytest.raises(InvalidInputError) as caught:
        find_model(str(path))
    (tmp_path / "tiny.onnx.json").write_text(str(caught.value).partition("for example: ")[2])
    assert find_model(str(path)).preprocessing.size == 224


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("no JSON", "the file: Invalid JSON"),
        ({"preprocessing": {**PREPROCESSING, "size": 11}}, "preprocessing: resized is 10, less than size, 11"),
        ({"preprocessing": {**PREPROCESSING, "means": []}}, "preprocessing.means: Extra inputs"),
        ({"preprocessing": {**PREPROCESSING, "mean": [1, 2]}}, "preprocessing.mean.2: Field required"),
        ({"preprocessing": {**PREPROCESSING, "scale": ["x", 1, 1]}}, "preprocessing.scale.0: Input should be a valid"),
        ({"preprocessing": {**PREPROCESSING, "colours": "GBR"}}, "preprocessing.colours: Input should be 'RGB' or"),
        ({}, "preprocessing: Field required"),
        ({"preprocessing": PREPROCESSING, "layers": {"a": {}}}, "layers.a: give either tensor or relu_of_gemm"),
        (
            {"preprocessing": PREPROCESSING, "layers": {"a": {"relu_of_gemm": 0}}},
            "layers.a.relu_of_gemm: Input should be greater",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_file_beside_a_model_is_one_clear_line(tmp_path, change, message):
    path = write_model(tmp_path / "tiny.onnx", METADATA)
    (tmp_path / "tiny.onnx.json").write_text(change if isinstance(change, str) else json.dumps(change))
    with pytest.raises(InvalidInputError) as caught:
        find_model(str(path))
    assert f"tiny.onnx.json: {message}" in str(caught.value)
    assert "expected something like {" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_path_without_a_file_and_a_file_that_is_no_model_are_named(tmp_path):
    with pytest.raises(MissingDataError, match=r"gone\.onnx: no such model file"):
        find_model(str(tmp_path / "gone.onnx"))
    (tmp_path / "text.onnx").write_text("this is no model")
    with pytest.raises(CorruptedError, match=r"text\.onnx: not an ONNX model that can be run"):
        find_model(str(tmp_path / "text.onnx"))


def test_half_a_model_is_reported(tmp_path, data_dir):
    whole = data_dir.parent / "models" / "mobilefacenet.onnx"
    shutil.copy(whole, tmp_path / "half.onnx")
    with (tmp_path / "half.onnx").open("rb+") as file:
        file.truncate(whole.stat().st_size // 2)
    with pytest.raises(CorruptedError, match=r"half\.onnx: not an ONNX model that can be run"):
        find_model(str(tmp_path / "half.onnx"))


def test_the_scale_of_squeezenet_is_that_of_values_from_0_to_1():
    """Stated by the zoo: (value / 255 - mean) / deviation."""
    said = catalogue._entry("squeezenet").preprocessing
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    values = np.arange(256)[:, None]
    ours = (values - np.array(said.mean)) * np.array(said.scale)
    np.testing.assert_allclose(ours, (values / 255 - mean) / deviation, rtol=0, atol=1e-12)
