"""CNN features: preprocessing, crops, layers and pooling, each against a second way of computing it."""

import io
import json
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from PIL import Image

from metricsearch.errors import InvalidInputError, UnknownNameError
from metricsearch.features.cnn import SHORT_NAMES, CnnFeature, get_cnn_feature
from metricsearch.features.cnn.crops import cut_crops
from metricsearch.features.cnn.pooling import POOLINGS
from metricsearch.features.cnn.preprocessing import Preprocessing, network_input, square_pixels
from metricsearch.features.photo import Photo

MEAN = (104.0, 117.0, 123.0)  # blue, green, red
PREPROCESSING = {"size": 224, "resized": 256, "resize": "squash", "colours": "BGR", "mean": list(MEAN)}


def as_photo(pixels, kind="PNG"):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return Photo(file.getvalue())


def some_photo(height=150, width=200, seed=0):
    """Smooth colours, so that resizing means something."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def ten_inputs(pixels, size=224, side=256):
    """The ten crops as the network is shown them, each written out: (10, 3, size, size)."""
    square = np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.BILINEAR)).astype(np.float32)
    far, middle = side - size, (side - size) // 2
    plain = [
        square[top : top + size, left : left + size]
        for top, left in [(0, 0), (0, far), (far, 0), (far, far), (middle, middle)]
    ]
    crops = []
    for crop in plain + [np.fliplr(crop) for crop in plain]:
        red, green, blue = crop[:, :, 0], crop[:, :, 1], crop[:, :, 2]
        crops.append([blue - MEAN[0], green - MEAN[1], red - MEAN[2]])
    return np.array(crops, np.float32)


# ---- a network in the shape of AlexNet ----


def alexnet_shaped(n_batch=1):
    """AlexNet's operations and fc widths, narrow convolutions, seeded random weights, names as in the zoo."""
    rng = np.random.default_rng(7)
    weights, nodes = [], []

    def weight(name, *shape):
        spread = np.sqrt(2 / np.prod(shape[1:])) if len(shape) > 1 else 0.1
        values = rng.standard_normal(shape, dtype=np.float32) * np.float32(spread)
        weights.append(numpy_helper.from_array(values, name))
        return name

    def add(kind, inputs, output, **attributes):
        nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def convolution(number, tensor, c_in, c_out, side, **attributes):
        names = [weight(f"conv{number}_w", c_out, c_in, side, side), weight(f"conv{number}_b", c_out)]
        tensor = add("Conv", [tensor, *names], f"conv{number}_1", **attributes)
        return add("Relu", [tensor], f"conv{number}_2")

    def dense(number, tensor, n_in, n_out):
        names = [weight(f"fc{number}_w", n_out, n_in), weight(f"fc{number}_b", n_out)]
        return add("Gemm", [tensor, *names], f"fc{number}_1", transB=1)

    halved = {"kernel_shape": [3, 3], "strides": [2, 2]}
    tensor = convolution(1, "data_0", 3, 6, 11, strides=[4, 4])
    tensor = add("LRN", [tensor], "norm1_1", size=5, alpha=1e-4, beta=0.75)
    tensor = add("MaxPool", [tensor], "pool1_1", **halved)
    tensor = convolution(2, tensor, 6, 8, 5, pads=[2, 2, 2, 2])
    tensor = add("MaxPool", [tensor], "pool2_1", **halved)
    tensor = convolution(3, tensor, 8, 8, 3, pads=[1, 1, 1, 1])
    tensor = add("MaxPool", [tensor], "pool5_1", **halved)
    tensor = add("Flatten", [tensor], "flat_1")
    for number, n_in in ((6, 8 * 5 * 5), (7, 4096)):
        tensor = add("Relu", [dense(number, tensor, n_in, 4096)], f"fc{number}_2")
        tensor = add("Dropout", [tensor], f"fc{number}_3")
    add("Softmax", [dense(8, tensor, 4096, 10)], "prob_1")
    data = helper.make_tensor_value_info("data_0", TensorProto.FLOAT, [n_batch, 3, 224, 224])
    prob = helper.make_tensor_value_info("prob_1", TensorProto.FLOAT, [n_batch, 10])
    graph = helper.make_graph(nodes, "alexnet shaped", [data], [prob], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 12)], ir_version=7)


@pytest.fixture(scope="module")
def alexnet(tmp_path_factory):
    """Path of the file; beside it, what it wants to see."""
    path = tmp_path_factory.mktemp("models") / "alexnet-shaped.onnx"
    onnx.save(alexnet_shaped(), path)
    layers = {
        "fc6": {"relu_of_gemm": 1},
        "fc7": {"relu_of_gemm": 2},
        "decaf6": {"relu_of_gemm": 1, "crops": "ten"},
        "decaf7": {"relu_of_gemm": 2, "crops": "ten"},
        "decaf7-unit": {"tensor": "fc7_2", "crops": "ten", "unit_length": True},
    }
    (path.parent / f"{path.name}.json").write_text(json.dumps({"preprocessing": PREPROCESSING, "layers": layers}))
    return path


class LRN(OpRun):
    """As the ONNX operators' page defines it; the one of onnx 1.23 goes over photos where it should over channels."""

    op_domain = ""

    def _run(self, x, alpha=None, beta=None, bias=None, size=None):
        squares = np.zeros_like(x)
        for c in range(x.shape[1]):
            first, last = max(0, c - (size - 1) // 2), min(x.shape[1] - 1, c + size // 2)
            squares[:, c] = sum(x[:, i] ** 2 for i in range(first, last + 1))
        return (x / (bias + alpha / size * squares) ** beta,)


@pytest.fixture(scope="module")
def second_evaluation(alexnet):
    """(10, ...) per tensor: what another evaluator of the same graph gives for the ten crops of `some_photo()`."""
    model = onnx.load(alexnet)
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in ("fc6_2", "fc7_1", "fc7_2", "conv3_2"))
    names = ["fc6_2", "fc7_1", "fc7_2", "conv3_2"]
    evaluator = ReferenceEvaluator(model, new_ops=[LRN])
    found = [evaluator.run(names, {"data_0": crop[None]}) for crop in ten_inputs(some_photo())]
    return {name: np.concatenate([one[i] for one in found]) for i, name in enumerate(names)}


def assert_close(ours, reference):
    np.testing.assert_allclose(ours, reference, rtol=0, atol=2e-5 * np.abs(reference).max())


@pytest.mark.parametrize(("name", "tensor"), [("decaf7", "fc7_2"), ("decaf6", "fc6_2")])
def test_decaf_is_the_mean_over_ten_crops_after_the_relu(alexnet, second_evaluation, name, tensor):
    feature = get_cnn_feature(f"{alexnet}:{name}")
    ours, reference = feature.extract(as_photo(some_photo())), second_evaluation[tensor].mean(axis=0)
    assert (feature.name, feature.dimension) == (f"alexnet-shaped:{name}", 4096)
    assert ours.shape == (4096,)
    assert ours.dtype == np.float32
    assert reference.max() > 1
    assert_close(ours, reference)
    for i in range(10):  # the mean is none of them, or the crops would prove nothing
        assert np.abs(ours - second_evaluation[tensor][i]).max() > 1e-2 * reference.max()


def test_each_crop_is_in_its_place(alexnet, second_evaluation):
    feature = get_cnn_feature(f"{alexnet}:decaf7")
    crops = feature.network.values(as_photo(some_photo()), "fc7_2", "ten")
    assert len(crops) == 10
    for ours, reference in zip(crops, second_evaluation["fc7_2"], strict=True):
        assert_close(ours, reference)


def test_without_crops_a_layer_is_that_of_the_central_crop(alexnet, second_evaluation):
    assert_close(get_cnn_feature(f"{alexnet}:fc7").extract(as_photo(some_photo())), second_evaluation["fc7_2"][4])


def test_an_inner_tensor_is_a_layer_by_its_name(alexnet, second_evaluation):
    photo = as_photo(some_photo())
    before_relu = get_cnn_feature(f"{alexnet}:fc7_1").extract(photo)
    assert before_relu.min() < 0
    assert_close(before_relu, second_evaluation["fc7_1"][4])
    maps = get_cnn_feature(f"{alexnet}:conv3_2:avg")
    assert (maps.name, maps.dimension) == ("alexnet-shaped:conv3_2:avg", 8)
    assert_close(maps.extract(photo), second_evaluation["conv3_2"][4].mean(axis=(1, 2)))


def test_unit_length_divides_the_mean_by_its_length(alexnet):
    photo = as_photo(some_photo())
    plain, unit = (get_cnn_feature(f"{alexnet}:{name}").extract(photo) for name in ("decaf7", "decaf7-unit"))
    np.testing.assert_allclose(unit, plain / np.linalg.norm(plain), rtol=1e-6)


def test_features_of_one_network_share_the_pass_of_a_photo(alexnet, monkeypatch):
    features = [get_cnn_feature(f"{alexnet}:{name}") for name in ("decaf6", "decaf7", "decaf7-unit")]
    network = features[0].network
    assert all(feature.network is network for feature in features)
    passes, run = [], network._run
    monkeypatch.setattr(network, "_run", lambda *arguments: passes.append(1) or run(*arguments))
    photo = as_photo(some_photo())
    for feature in features:
        feature.extract(photo)
    assert len(passes) == 10
    get_cnn_feature(f"{alexnet}:fc7").extract(photo)  # the central crop is another question
    assert len(passes) == 11


def test_a_layer_the_file_has_not_is_answered_with_those_it_has(alexnet, tmp_path):
    with pytest.raises(UnknownNameError, match=r"layer 'fc77' is unknown; did you mean fc7\? known: fc6, fc7, decaf6"):
        get_cnn_feature(f"{alexnet}:fc77")
    for layer, message in [
        ({"relu_of_gemm": 3}, "is the ReLU behind Gemm number 3, but it has 3 Gemm, 2 of them with a ReLU"),
        ({"tensor": "fc9"}, "is the tensor 'fc9', which it has not"),
    ]:
        path = tmp_path / "other.onnx"
        path.unlink(missing_ok=True)
        path.hardlink_to(alexnet)
        card = {"preprocessing": PREPROCESSING, "layers": {"a": layer}}
        (tmp_path / "other.onnx.json").write_text(json.dumps(card))
        with pytest.raises(InvalidInputError, match=message):
            get_cnn_feature(f"{path}:a")


def test_a_model_that_takes_something_else_than_its_preprocessing_makes_is_refused(alexnet, tmp_path):
    path = tmp_path / "other.onnx"
    path.hardlink_to(alexnet)
    (tmp_path / "other.onnx.json").write_text(json.dumps({"preprocessing": {**PREPROCESSING, "size": 227}}))
    with pytest.raises(InvalidInputError, match=r"\(batch, 3, 227, 227\).*it takes data_0 tensor\(float\) \[1, 3, 224"):
        get_cnn_feature(f"{path}:prob_1")


def relu_model(path, kind=TensorProto.FLOAT, shape=("N", 3, 4, 4), node="Relu"):
    data = helper.make_tensor_value_info("data", kind, shape)
    maps = helper.make_tensor_value_info("maps", kind, shape)
    graph = helper.make_graph([helper.make_node(node, ["data"], ["maps"])], "tiny", [data], [maps])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    card = {"preprocessing": {"size": 4, "resized": 4, "colours": "RGB"}}
    (path.parent / f"{path.name}.json").write_text(json.dumps(card))
    return path


@pytest.mark.parametrize(
    ("kind", "shape"),
    [(TensorProto.FLOAT, (8, 3, 4, 4)), (TensorProto.FLOAT, ("N", 4, 4, 3)), (TensorProto.DOUBLE, ("N", 3, 4, 4))],
)
def test_only_one_float_photo_at_a_time_can_be_shown(tmp_path, kind, shape):
    path = relu_model(tmp_path / "tiny.onnx", kind, shape)
    with pytest.raises(InvalidInputError, match="expected one input of float32 photos"):
        get_cnn_feature(f"{path}:maps:avg")


def test_names_keep_to_what_feature_files_can_hold(tmp_path):
    path = relu_model(tmp_path / "my net+2.onnx")
    assert get_cnn_feature(f"{path}:maps:max").name == "my_net_2:maps:max"


def test_a_network_that_gives_nan_is_an_error_not_a_vector(tmp_path):
    path = relu_model(tmp_path / "log.onnx", node="Log")  # of pixels 0
    feature = get_cnn_feature(f"{path}:maps:avg")
    feature.extract(as_photo(np.full((4, 4, 3), 9, np.uint8)))
    with pytest.raises(InvalidInputError, match=r"log\.onnx gives NaN or infinity"):
        feature.extract(as_photo(np.zeros((4, 4, 3), np.uint8)))


def test_a_model_with_one_row_for_all_its_photos_gives_no_vector(tmp_path):
    path = tmp_path / "rows.onnx"
    data = helper.make_tensor_value_info("data", TensorProto.FLOAT, [1, 3, 4, 4])
    rows = helper.make_tensor_value_info("rows", TensorProto.FLOAT, [3, 16])
    shape = numpy_helper.from_array(np.array([3, 16]), "shape")
    graph = helper.make_graph(
        [helper.make_node("Reshape", ["data", "shape"], ["rows"])], "tiny", [data], [rows], [shape]
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    (tmp_path / "rows.onnx.json").write_text('{"preprocessing": {"size": 4, "resized": 4, "colours": "RGB"}}')
    with pytest.raises(InvalidInputError, match="layer rows gives values of another type, or of several rows"):
        get_cnn_feature(f"{path}:rows")


# ---- preprocessing and crops ----


def test_the_crops_are_the_corners_the_centre_and_their_mirrors():
    pixels = np.arange(5 * 5 * 3, dtype=np.uint8).reshape(5, 5, 3)
    crops = cut_crops(pixels, 3, "ten")
    places = [(0, 0), (0, 2), (2, 0), (2, 2), (1, 1)]
    for (top, left), crop, mirrored in zip(places, crops[:5], crops[5:], strict=True):
        for y in range(3):
            for x in range(3):
                assert (crop[y, x] == pixels[top + y, left + x]).all()
                assert (mirrored[y, 2 - x] == pixels[top + y, left + x]).all()
    [centre] = cut_crops(pixels, 3, "centre")
    [upper_left] = cut_crops(pixels, 2, "centre")  # of the two that are as close to the middle
    assert np.array_equal(centre, crops[4])
    assert np.array_equal(upper_left, pixels[1:3, 1:3])


def test_crops_as_large_as_the_photo_are_the_photo():
    pixels = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    assert all(np.array_equal(crop, pixels) for crop in cut_crops(pixels, 3, "ten")[:5])


def test_squashing_shows_the_whole_photo_and_square_its_central_part():
    pixels = np.zeros((20, 60, 3), np.uint8)
    pixels[:, 20:40] = 200
    photo = as_photo(pixels)
    squashed = square_pixels(photo, Preprocessing(size=20, resized=20, colours="RGB"))
    assert squashed[10, 0, 0] == 0
    assert squashed[10, 10, 0] == 200
    square = square_pixels(photo, Preprocessing(size=20, resized=20, resize="square", colours="RGB"))
    assert (square == 200).all()


@pytest.mark.parametrize(("height", "width"), [(128, 192), (192, 128), (128, 128), (128, 640)])
def test_square_is_the_shorter_side_resized_and_the_centre_cut_out(height, width):
    """Sides for which the whole photo, half as large, has whole pixels and its centre too."""
    pixels = some_photo(height, width)
    ours = square_pixels(as_photo(pixels), Preprocessing(size=64, resized=64, resize="square", colours="RGB"))
    half = np.asarray(Image.fromarray(pixels).resize((width // 2, height // 2), Image.Resampling.BILINEAR))
    top, left = (height // 2 - 64) // 2, (width // 2 - 64) // 2
    assert np.array_equal(ours, half[top : top + 64, left : left + 64])


def test_values_are_those_of_the_formula_in_the_order_of_the_colours():
    pixels = np.random.default_rng(0).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    mean, scale = (10.5, 20.25, 30.125), (0.5, 0.25, 2.0)
    for colours in ("RGB", "BGR"):
        said = Preprocessing(size=6, resized=6, colours=colours, mean=mean, scale=scale)
        ours = network_input(pixels, said)
        assert ours.shape == (1, 3, 6, 6)
        assert ours.dtype == np.float32
        assert ours.flags.c_contiguous
        for channel, colour in enumerate(colours):
            for y in range(6):
                for x in range(6):
                    value = (float(pixels[y, x, "RGB".index(colour)]) - mean[channel]) * scale[channel]
                    assert ours[0, channel, y, x] == value


# ---- the real networks ----


@pytest.fixture(scope="module")
def models(data_dir):
    return data_dir.parent / "models"


@pytest.fixture(autouse=True)
def real_models(data_dir, monkeypatch):
    monkeypatch.setenv("METRICSEARCH_MODELS", str(data_dir.parent / "models"))


def test_grid4096_gives_the_stored_descriptors(data_dir):
    feature = get_cnn_feature("grid4096")
    with h5py.File(data_dir / "descriptors" / "googlenet_photos.h5") as file:
        rows = np.linspace(0, len(file["path"]) - 1, 25).astype(int)
        paths, stored = file["path"].asstr()[rows], file["grid4096"][rows]
    ours = np.array([feature.extract(Photo.read(data_dir / path)) for path in paths])
    worst = np.abs(ours - stored).max()
    assert stored.max() > 1
    assert worst < 1e-4, f"max abs error {worst}"


def test_ten_crops_of_googlenet_are_those_written_out(data_dir, models):
    """Another session, fed with all ten as one batch."""
    import onnxruntime

    path = data_dir / "ukbench" / "ukbench00000.jpg"
    path = path if path.is_file() else sorted((data_dir / "ukbench").rglob("*.jpg"))[0]
    named = get_cnn_feature("pool5")
    feature = CnnFeature(named.network, named.layer.model_copy(update={"crops": "ten"}))
    session = onnxruntime.InferenceSession(models / "googlenet.onnx", providers=["CPUExecutionProvider"])
    [reference] = session.run(["pool5"], {"data": ten_inputs(np.asarray(Image.open(path).convert("RGB")))})
    ours = feature.extract(Photo.read(path))
    np.testing.assert_allclose(ours, reference.mean(axis=0), rtol=0, atol=1e-5)
    assert np.abs(ours - named.extract(Photo.read(path))).max() > 1e-2
    assert feature.provenance()["crops"] == "ten"


def test_a_face_is_a_vector_of_unit_length(data_dir):
    feature = get_cnn_feature("face")
    faces = [
        feature.extract(Photo.read(data_dir / "faces_orl" / f"s0{i}" / f"0{j}.png")) for i in (1, 2) for j in (1, 2)
    ]
    np.testing.assert_allclose(np.linalg.norm(faces, axis=1), 1, rtol=1e-6)
    first, same, other, _ = faces
    assert first @ same > 0.5 > first @ other


@pytest.mark.parametrize("pooling", POOLINGS)
def test_pooled_maps_are_those_of_the_session(models, pooling):
    import onnxruntime

    photo = as_photo(some_photo())
    feature = get_cnn_feature(f"googlenet:5a:{pooling}")
    session = onnxruntime.InferenceSession(models / "googlenet.onnx", providers=["CPUExecutionProvider"])
    [maps] = session.run(["inception_5a/output"], {"data": ten_inputs(some_photo())[4:5]})
    reference = POOLINGS[pooling](maps[0])
    assert feature.dimension == len(reference)
    np.testing.assert_allclose(feature.extract(photo), reference, rtol=0, atol=1e-4 * np.abs(reference).max())


def test_bits_depend_on_neither_threads_nor_company(data_dir):
    paths = sorted((data_dir / "flickr8k" / "images").glob("*.jpg"))[:12]
    feature = get_cnn_feature("pool5")

    def alone(path):
        return feature.extract(Photo.read(path))

    one = [alone(path) for path in paths]
    with ThreadPoolExecutor(3) as pool:
        several = list(pool.map(alone, paths))
    others = [get_cnn_feature(text) for text in ("googlenet:5b:max", "googlenet:4c:avg", "googlenet:prob")]
    for path, before, after in zip(paths, one, several, strict=True):
        assert np.array_equal(before, after)
        photo = Photo.read(path)
        for other in others:
            other.extract(photo)
        assert np.array_equal(feature.extract(photo), before)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((1, 1, 3), np.uint8),
        np.full((1, 2), 255, np.uint8),
        np.zeros((300, 200, 3), np.uint8),
        np.full((40, 40), 128, np.uint8),
        some_photo(1, 5000),
        some_photo(5000, 1),
    ],
    ids=["1x1", "2x1", "black", "grey", "5000x1", "1x5000"],
)
@pytest.mark.parametrize("name", ["pool5", "grid4096", "face", "googlenet:4c:rmac"])
def test_every_photo_has_finite_values(name, pixels):
    feature = get_cnn_feature(name)
    vector = feature.extract(as_photo(pixels))
    assert vector.shape == (feature.dimension,)
    assert vector.dtype == np.float32
    assert np.isfinite(vector).all()
    assert np.array_equal(vector, feature.extract(as_photo(pixels)))


def test_a_patch_is_shown_as_a_whole():
    feature = get_cnn_feature("pool5")
    patch = some_photo(64, 64)
    square = np.asarray(Image.fromarray(patch).resize((224, 224), Image.Resampling.BILINEAR)).astype(np.float32)
    fed = np.ascontiguousarray((square[:, :, ::-1] - np.array(MEAN, np.float32)).transpose(2, 0, 1))[None]
    reference = feature.network._run(fed, ("pool5",))["pool5"][0]
    assert np.array_equal(feature.of_pixels(patch), reference)


def test_short_names_stand_for_their_long_forms():
    photo = as_photo(some_photo())
    for short in ("pool5", "pool5-unit", "grid4096", "face"):
        feature, long = get_cnn_feature(short), get_cnn_feature(SHORT_NAMES[short])
        assert (feature.name, long.name) == (short, SHORT_NAMES[short])
        assert feature.provenance() == long.provenance()
        assert np.array_equal(feature.extract(photo), long.extract(photo))


def test_a_named_layer_and_its_tensor_are_one_feature():
    named, tensor = get_cnn_feature("googlenet:5b:avg"), get_cnn_feature("googlenet:inception_5b/output:avg")
    assert tensor.name == "googlenet:inception_5b.output:avg"
    assert named.provenance() == tensor.provenance()


def test_provenance_says_what_the_values_depend_on(models):

    found = get_cnn_feature("grid4096").provenance()
    assert json.loads(json.dumps(found)) == found
    assert found == {
        "feature": "googlenet:inception_5b.output:grid4096",
        "model_sha256": "06a7d6864d0c305e1379986701f1182267c95cd867e534000b9d02c181a8205a",
        "layer": "inception_5b/output",
        "pooling": "grid4096",
        "crops": "centre",
        "unit_length": False,
        "preprocessing": {**PREPROCESSING, "scale": [1.0, 1.0, 1.0]},
    }


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("googlenet:5b", InvalidInputError, r"maps 1024 x 7 x 7, which need a pooling; add one of .*gem.*googlenet:5b"),
        ("googlenet:pool5:gem", InvalidInputError, "a vector of 1024 values, which no pooling can be applied to"),
        ("googlenet:5b:gam", UnknownNameError, r"pooling 'gam' is unknown; did you mean gem\?"),
        ("googlenet:poo5", UnknownNameError, r"layer 'poo5' is unknown; did you mean pool5\?"),
        ("googlenet:poo5:gem", UnknownNameError, r"layer 'poo5' is unknown; did you mean pool5\?"),
        ("googlnet:pool5", UnknownNameError, r"model 'googlnet' is unknown; did you mean googlenet\?"),
        ("googlenet", UnknownNameError, "expected MODEL:LAYER or MODEL:LAYER:POOLING, such as"),
        ("googlenet:", UnknownNameError, "expected MODEL:LAYER"),
        (":pool5", UnknownNameError, "expected MODEL:LAYER"),
    ],
)
def test_a_wrong_name_is_one_clear_line(text, error, message):
    with pytest.raises(error, match=message) as caught:
        get_cnn_feature(text)
    assert "\n" not in str(caught.value)


def test_a_photo_that_cannot_be_decoded_is_reported():
    with pytest.raises(InvalidInputError, match="not a photo"):
        get_cnn_feature("pool5").extract(Photo(b"this is no photo"))
