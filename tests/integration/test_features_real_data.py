"""Every feature on real photos: against an independent evaluation, and on one thread and two.

METRICSEARCH_ALL_PHOTOS=1 recomputes all 5,271 descriptors of the shared file (default: every tenth).
"""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest
from oracle import features as oracle
from PIL import Image, ImageOps

from metricsearch.features import FeatureFile, extract_local, extract_photos, root_sift
from metricsearch.features.aggregated.bow import bow
from metricsearch.features.aggregated.feature import AGGREGATIONS
from metricsearch.features.aggregated.fisher import fisher
from metricsearch.features.aggregated.pca import fit_pca
from metricsearch.features.aggregated.training import train_aggregated, train_whitening
from metricsearch.features.aggregated.vlad import vlad
from metricsearch.features.classic.layout import FREQUENCY
from metricsearch.features.classic.shape import main_outline
from metricsearch.features.cnn import CnnFeature, is_at_hand, models_directory
from metricsearch.features.cnn.catalogue import Layer, find_model
from metricsearch.features.cnn.mop import train_mop
from metricsearch.features.cnn.network import get_network
from metricsearch.features.names import get_feature, get_features
from metricsearch.features.photo import Photo
from metricsearch.features.trained import save_feature

STEP = 1 if os.environ.get("METRICSEARCH_ALL_PHOTOS") else 10
PHOTOS = [
    "caltech101/airplanes/image_0001.jpg",
    "caltech101/car_side/image_0003.jpg",
    "caltech101/strawberry/image_0002.jpg",
    "corel5k/001/1000.jpg",
    "corel5k/144/144000.jpg",
    "dvd_covers/query/canon/011.jpg",
    "dvd_covers/reference/003.jpg",
    "faces_orl/s03/04.png",
    "oxford_affine/graf/img1.png",
    "ukbench/ukbench00004.jpg",
]
CLASSIC = ("hue", "hsv", "hoc", "lbp", "lbp-grid", "hog", "shape", "fourier", "gabor-layout", "classic")
MEAN = np.array([104, 117, 123], np.float32)  # blue, green, red


@pytest.fixture(scope="module")
def paths(data_dir):
    return [data_dir / name for name in PHOTOS]


@pytest.fixture(params=PHOTOS)
def path(request, data_dir):
    return data_dir / request.param


def need(model):
    """Skip the test where a model's file is not on this machine; in CI, fail."""
    if not is_at_hand(model):
        message = f"no model {model}; set METRICSEARCH_MODELS (see metricsearch/features/cnn/models.json)"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)


@pytest.fixture(scope="module")
def googlenet():
    """pixels (224, 224, 3) RGB, outputs -> their values, by ONNX Runtime alone."""
    import onnxruntime

    need("googlenet")
    session = onnxruntime.InferenceSession(models_directory() / "googlenet.onnx", providers=["CPUExecutionProvider"])

    def run(pixels, *outputs):
        blue_green_red = pixels[:, :, ::-1].astype(np.float32) - MEAN
        values = session.run(list(outputs), {"data": blue_green_red.transpose(2, 0, 1)[None]})
        return [value[0] for value in values]

    return run


def upright(path):
    """The photo as a viewer shows it, RGB."""
    return ImageOps.exif_transpose(Image.open(path)).convert("RGB")


def squashed(path):
    """(256, 256, 3) pixels, as the descriptors of the shared file were made."""
    return np.asarray(upright(path).resize((256, 256), Image.Resampling.BILINEAR))


def at_most(grey, side):
    """Pixels averaged until the long side is at most `side`; the features say which side they use."""
    import cv2

    scale = side / max(grey.shape)
    if scale >= 1:
        return grey
    return cv2.resize(grey, (round(grey.shape[1] * scale), round(grey.shape[0] * scale)), interpolation=cv2.INTER_AREA)


# ---------------------------------------------------------------- classic features


def test_colour_histograms_are_those_of_scikit_image(path):
    from skimage.color import rgb2hsv

    values = rgb2hsv(np.asarray(upright(path))).reshape(-1, 3)
    n = len(values)
    one = [np.histogram(channel, bins=32, range=(0, 1))[0] / n for channel in values.T]
    three = np.histogramdd(values, bins=8, range=[(0, 1)] * 3)[0].ravel() / n
    photo = Photo.read(path)
    # Its hues are rounded: one that lies exactly on the edge of a bin may fall on either side.
    on_edges = np.isclose(values[:, 0] * 32, np.rint(values[:, 0] * 32), rtol=0, atol=1e-9) & (values[:, 1] > 0)
    tolerance = 2 * on_edges.sum() / n + 1e-6
    assert tolerance < 0.2
    for name, ref in (("hue", one[0]), ("hoc", np.concatenate(one) / 3), ("hsv", three)):
        assert np.abs(get_feature(name).extract(photo) - ref).sum() <= tolerance, name


def test_colour_histograms_of_a_small_photo_are_exact(data_dir):
    path = data_dir / "corel5k/001/1000.jpg"
    pixels, photo = np.asarray(upright(path)), Photo.read(path)
    for name, bins in (("hue", (32, 1, 1)), ("hsv", (8, 8, 8))):
        assert np.abs(get_feature(name).extract(photo) - oracle.hsv_histogram(pixels, bins)).max() < 1e-7


def test_lbp_is_that_of_scikit_image(path):
    from skimage.feature import local_binary_pattern

    photo, feature = Photo.read(path), get_feature("lbp")
    grey = at_most(photo.grey, feature.provenance()["parameters"]["max_side"])
    codes = local_binary_pattern(grey, 8, 1, "uniform")
    assert np.abs(feature.extract(photo) - oracle.lbp_histogram(codes)).max() < 1e-7
    rows, columns = (np.arange(side) * 4 // side for side in codes.shape)
    ref = [oracle.lbp_histogram(codes[rows == row][:, columns == column]) for row in range(4) for column in range(4)]
    assert np.abs(get_feature("lbp-grid").extract(photo) - np.concatenate(ref) / 16).max() < 1e-7


def test_lbp_of_a_face_is_that_of_the_oracle(data_dir):
    photo = Photo.read(data_dir / "faces_orl/s01/01.png")
    ref = oracle.lbp_histogram(oracle.lbp_codes(photo.grey))
    assert np.abs(get_feature("lbp").extract(photo) - ref).max() < 2e-4  # two pixels: sines of five decimals


def test_hog_is_that_of_the_oracle(path):
    import cv2

    photo, feature = Photo.read(path), get_feature("hog")
    side = feature.provenance()["parameters"]["side"]
    ref = np.array(oracle.hog(cv2.resize(photo.grey, (side, side), interpolation=cv2.INTER_AREA)))
    assert np.abs(feature.extract(photo) - ref).max() < 0.002  # the accuracy of OpenCV's angles


def test_the_main_outline_is_the_border_of_a_region_above_or_below_otsus_threshold(path):
    from scipy.ndimage import binary_erosion, binary_fill_holes
    from skimage.filters import threshold_otsu
    from skimage.measure import label

    photo = Photo.read(path)
    grey = at_most(photo.grey, get_feature("shape").provenance()["parameters"]["max_side"])
    outline = {(int(x), int(y)) for x, y in main_outline(photo)}
    bright = grey > threshold_otsu(grey)
    found = []
    for mask in (bright, ~bright):
        regions = label(mask, connectivity=2)
        for number in np.argsort(-np.bincount(regions[regions > 0]))[:3] if regions.any() else []:
            region = binary_fill_holes(regions == number)
            border = region & ~binary_erosion(region)
            found.append({(int(x), int(y)) for y, x in np.argwhere(border)})
    assert max(len(outline & border) / len(outline | border) for border in found) > 0.98


def test_shape_is_that_of_the_oracle_on_the_main_outline(path):
    from scipy.spatial import ConvexHull

    photo = Photo.read(path)
    outline = main_outline(photo).astype(float)
    moments = oracle.polygon_moments(outline - outline.mean(axis=0))
    hu = np.array(oracle.hu_moments(moments))
    comp = get_feature("shape").extract(photo)
    sound = np.abs(hu) > 1e-10  # the rest is what rounding leaves
    assert np.allclose(comp[:7][sound], (-np.sign(hu) * np.log10(np.abs(hu)))[sound], rtol=1e-3)
    assert comp[9] == pytest.approx(moments[0, 0] / ConvexHull(outline).volume, rel=1e-4)
    corners = outline[ConvexHull(outline).vertices]
    rectangles = []
    for step in np.roll(corners, -1, axis=0) - corners:  # the smallest one lies along a side of the hull
        along = step / np.hypot(*step)
        sides = [np.ptp(corners @ along), np.ptp(corners @ [-along[1], along[0]])]
        rectangles.append((sides[0] * sides[1], min(sides) / max(sides)))
    area = min(rectangles)[0]
    assert comp[8] == pytest.approx(moments[0, 0] / area, rel=1e-3)
    assert any(abs(comp[7] - ratio) < 1e-3 for size, ratio in rectangles if size < area * (1 + 1e-4))


def test_fourier_descriptors_are_those_of_the_oracle_on_the_main_outline(path):
    photo, feature = Photo.read(path), get_feature("fourier")
    outline = main_outline(photo).astype(float)
    x, y = outline.T
    if (x * np.roll(y, -1) - np.roll(x, -1) * y).sum() < 0:
        outline = outline[::-1]
    closed = np.vstack([outline, outline[:1]])
    n = feature.provenance()["parameters"]["points"]
    way = np.append(0, np.hypot(*np.diff(closed, axis=0).T).cumsum())
    points = [[np.interp(way[-1] * step / n, way, closed[:, axis]) for axis in (0, 1)] for step in range(n)]
    assert np.allclose(feature.extract(photo), oracle.fourier_descriptors(points), rtol=1e-4, atol=1e-6)


def test_gabor_layout_is_that_of_scipy(path):
    import cv2
    from scipy.ndimage import convolve
    from skimage.filters import gabor_kernel

    photo, feature = Photo.read(path), get_feature("gabor-layout")
    ref = []
    for scale in range(4):
        side = feature.provenance()["parameters"]["side"] >> scale
        image = cv2.resize(photo.grey, (side, side), interpolation=cv2.INTER_AREA) / 255
        for angle in range(8):
            kernel = gabor_kernel(FREQUENCY, theta=np.pi * angle / 8)
            kernel = kernel - np.abs(kernel) * kernel.sum() / np.abs(kernel).sum()
            energy = np.hypot(
                *(convolve(image, part[::-1, ::-1], mode="mirror") for part in (kernel.real, kernel.imag))
            )
            ref.append(energy.reshape(4, side // 4, 4, side // 4).mean(axis=(1, 3)).ravel())
    assert np.abs(feature.extract(photo) - np.concatenate(ref)).max() < 1e-5


# ---------------------------------------------------------------- aggregated local features


@pytest.fixture(scope="module")
def sift(paths):
    """SIFT of all photos as rows of floats, and RootSIFT."""
    rows = np.concatenate([extract_local(Photo.read(path).grey).descriptors for path in paths])
    return rows.astype(np.float32), root_sift(rows)


@pytest.fixture(scope="module")
def photo_sift(data_dir):
    return extract_local(Photo.read(data_dir / "caltech101/dalmatian/image_0003.jpg").grey).descriptors[:300]


@pytest.mark.parametrize("normalisation", ["l2", "power", "intra"])
def test_vlad_of_sift_is_that_of_the_oracle(sift, photo_sift, normalisation):
    for rows, own in ((sift[0], photo_sift), (sift[1], root_sift(photo_sift))):
        centres = rows[:: len(rows) // 16]
        comp = vlad(own, centres, normalisation)
        assert np.linalg.norm(comp) == pytest.approx(1, abs=1e-6)
        assert np.abs(comp - oracle.vlad(own, centres, normalisation)).max() < 1e-5


def test_bow_of_sift_counts_the_nearest_centres(sift, photo_sift):
    centres = sift[0][:: len(sift[0]) // 20]
    words = [oracle.nearest_centre(x, centres.tolist()) for x in photo_sift.tolist()]
    idf = np.linspace(0, 3, len(centres))
    comp = bow(np.array(words), len(centres), idf)
    assert np.abs(comp - oracle.bow(words, len(centres), idf)).max() < 1e-6


@pytest.fixture(scope="module")
def mixture(sift):
    from skimage.feature import learn_gmm

    pca = fit_pca(sift[1], 16)
    settings = {"random_state": 0, "max_iter": 20, "tol": 0.05, "reg_covar": 1e-5}
    return pca, learn_gmm(pca.apply(sift[1]), n_modes=8, gm_args={"covariance_type": "diag", **settings})


def test_fisher_of_sift_is_that_of_scikit_image_without_priors_and_with_the_other_sign_of_v(mixture, photo_sift):
    from skimage.feature import fisher_vector

    pca, gmm = mixture
    x = pca.apply(root_sift(photo_sift))
    ref = fisher_vector(x, gmm)
    k, half = 8, 8 * 16
    comp = fisher(x, gmm.weights_, gmm.means_, gmm.covariances_, improved=False)
    assert comp.shape == (2 * half,)
    assert np.abs(comp[:half] - ref[k : k + half]).max() < 1e-5
    assert np.abs(comp[half:] + ref[k + half :]).max() < 1e-5
    improved = fisher(x, gmm.weights_, gmm.means_, gmm.covariances_, improved=True)
    rooted = fisher_vector(x, gmm, improved=True)[k:] * np.repeat([1, -1], half)
    assert np.abs(improved - rooted / np.linalg.norm(rooted)).max() < 1e-4


def test_fisher_of_sift_is_that_of_the_oracle(mixture, photo_sift):
    pca, gmm = mixture
    x = pca.apply(root_sift(photo_sift))
    for improved in (False, True):
        comp = fisher(x, gmm.weights_, gmm.means_, gmm.covariances_, improved=improved)
        ref = oracle.fisher(x, gmm.weights_, gmm.means_, gmm.covariances_, improved)
        assert np.abs(comp - ref).max() < 1e-4


@pytest.mark.parametrize("whiten", [False, True])
def test_pca_of_sift_is_that_of_scikit_learn(sift, photo_sift, whiten):
    from sklearn.decomposition import PCA

    reference = PCA(32, whiten=whiten, svd_solver="full").fit(sift[1].astype(np.float64))
    fitted = fit_pca(sift[1], 32, whiten)
    comp, ref = fitted.apply(root_sift(photo_sift)), reference.transform(root_sift(photo_sift).astype(np.float64))
    signs = np.sign((comp * ref).sum(axis=0))
    assert np.allclose(fitted.variances, reference.explained_variance_, rtol=1e-5)
    assert np.abs(comp * signs - ref).max() < 1e-3 * np.abs(ref).max()


@pytest.fixture(scope="module")
def trained(data_dir, paths, tmp_path_factory):
    """Aggregated features by kind, trained on other photos than `paths`; read back from their files."""
    folder = tmp_path_factory.mktemp("trained")
    extract_photos(sorted((data_dir / "flickr8k/images").glob("*.jpg"))[:12], folder / "photos.h5", ["rootsift"])
    features = {}
    with FeatureFile.open(folder / "photos.h5") as file:
        for kind in AGGREGATIONS:
            sizes = {"n_words": 60} if kind == "bow" else {"n_words": 8, "pca": 12}
            made = train_aggregated(file, kind, sample=3000, **sizes)
            save_feature(folder / f"{kind}.feature", made)
            features[kind] = get_feature(str(folder / f"{kind}.feature"))
            assert features[kind].provenance() == made.provenance()
        white = train_whitening(file, features["vlad-intra"], 6)
    return {**features, "whitened": white}


@pytest.mark.parametrize("kind", AGGREGATIONS)
def test_a_trained_feature_of_a_photo_is_that_of_the_oracle(trained, paths, kind):
    feature, photo = trained[kind], Photo.read(paths[0])
    learned = feature.arrays()
    x = photo.once("rootsift for the test", lambda: extract_local(photo.grey, feature.local.options)).descriptors
    assert 20 < len(x) < 2000
    x = x.astype(float)
    if kind != "bow":
        x = ((x - learned["pca_mean"]) @ learned["pca_components"].T).astype(np.float32)
    if kind == "bow":
        words = [oracle.nearest_centre(row, learned["centres"].tolist()) for row in x.tolist()]
        ref = oracle.bow(words, len(learned["centres"]), learned["idf"])
    elif kind.startswith("vlad"):
        ref = oracle.vlad(x, learned["centres"], {"vlad": "l2"}.get(kind, kind.removeprefix("vlad-")))
    else:
        mixture = (learned[name] for name in ("weights", "means", "variances"))
        ref = oracle.fisher(x, *mixture, kind.endswith("improved"))
    comp = feature.extract(photo)
    assert comp.shape == (feature.dimension,)
    assert np.abs(comp - ref).max() < 1e-4 * max(1, np.abs(ref).max())


def test_idf_counts_the_photos_with_a_word(trained, data_dir):
    feature = trained["bow"]
    with_word = np.zeros(feature.n_words)
    photos = sorted((data_dir / "flickr8k/images").glob("*.jpg"))[:12]
    for path in photos:
        x = extract_local(Photo.read(path).grey, feature.local.options).descriptors.astype(float)
        sq = ((x[:, None] - feature.arrays()["centres"].astype(float)) ** 2).sum(axis=2)
        with_word[np.unique(sq.argmin(axis=1))] += 1
    assert np.allclose(feature.arrays()["idf"], np.log(12 / with_word))


def test_whitening_of_a_trained_feature_is_that_of_the_definition(trained, paths):
    feature, photo = trained["whitened"], Photo.read(paths[0])
    learned = feature.arrays()
    y = learned["pca_components"] @ (trained["vlad-intra"].extract(photo).astype(float) - learned["pca_mean"])
    assert np.abs(feature.extract(photo) - oracle.unit(y / np.sqrt(learned["pca_variances"]))).max() < 1e-5


# ---------------------------------------------------------------- CNN features


@pytest.mark.parametrize("layer", ["5b", "4c"])
def test_poolings_of_real_maps_are_those_of_the_oracle(paths, googlenet, layer):
    path = paths[0]
    (maps,) = googlenet(squashed(path)[16:240, 16:240], f"inception_{layer}/output")
    photo = Photo.read(path)
    for name, pool in oracle.POOLINGS.items():
        ref = np.array(pool(maps[:, :, :]))
        comp = get_feature(f"googlenet:{layer}:{name}").extract(photo)
        assert np.abs(comp - ref).max() < 1e-4 * np.abs(ref).max(), name


def test_ten_crops_of_googlenet_are_averaged(paths, googlenet):
    model = find_model("googlenet")
    feature = CnnFeature(get_network(model, "pool5")[0], Layer(tensor="pool5", crops="ten"))
    for path in paths[:3]:
        ref = np.mean([googlenet(crop, "pool5")[0].ravel() for crop in oracle.ten_crops(squashed(path), 224)], axis=0)
        assert np.abs(feature.extract(Photo.read(path)) - ref).max() < 1e-4 * ref.max()


@pytest.fixture(scope="module")
def mop(data_dir):
    """A small MOP of GoogLeNet, trained on other photos than `PHOTOS`."""
    need("googlenet")
    photos = sorted((data_dir / "corel5k/335").glob("*.jpg"))[:6]
    sizes = {"n_components": 20, "n_words": 4, "level_dimension": 5}
    return train_mop(photos, "pool5", patch_sides=(128, 64), stride=64, **sizes)


def test_mop_of_a_photo_is_that_of_the_oracle(mop, googlenet, paths):
    def activation(pixels):
        whole = Image.fromarray(pixels).resize((224, 224), Image.Resampling.BILINEAR)
        return googlenet(np.asarray(whole), "pool5")[0].ravel().astype(float)

    def projected(name):
        mean, components = (learned[f"{name}.{part}"] for part in ("mean", "components"))
        return lambda x: components @ (np.asarray(x, float) - mean)

    learned, pixels = mop.arrays(), squashed(paths[2])
    levels = [
        (
            [activation(patch) for patch in oracle.patches(pixels, side, 64)],
            projected(f"level{side}.activations"),
            learned[f"level{side}.centres"],
            projected(f"level{side}.vlads"),
        )
        for side in (128, 64)
    ]
    assert [len(level[0]) for level in levels] == [9, 16]
    ref = oracle.mop(activation(pixels), levels)
    comp = mop.extract(Photo.read(paths[2]))
    assert comp.shape == (1024 + 5 + 5,)
    assert np.abs(comp - ref).max() < 1e-3


def test_grid4096_of_the_photos_is_that_of_the_shared_file(data_dir, capsys):
    need("googlenet")
    feature = get_feature("grid4096")
    with h5py.File(data_dir / "descriptors/googlenet_photos.h5") as file:
        names = [name.decode() for name in file["path"][::STEP]]
        ref = file["grid4096"][::STEP]
    with ThreadPoolExecutor(2) as pool:
        comp = np.array(list(pool.map(lambda name: feature.extract(Photo.read(data_dir / name)), names)))
    errors = np.abs(comp - ref).max(axis=1)
    with capsys.disabled():
        worst = names[errors.argmax()]
        sys.stdout.write(f"\ngrid4096 of {len(names):,} photos: max abs error {errors.max():.2e} ({worst})\n")
    assert comp.dtype == np.float32
    assert errors.max() < 1e-4
    assert (comp > 0).mean() == pytest.approx((ref > 0).mean(), abs=1e-4)


def test_faces_are_recognised_by_their_nearest_neighbour(data_dir, capsys):
    need("mobilefacenet")
    feature = get_feature("face")
    paths = sorted((data_dir / "faces_orl").glob("s*/*.png"))
    vectors = np.array([feature.extract(Photo.read(path)) for path in paths])
    subjects = np.array([path.parent.name for path in paths])
    assert vectors.shape == (200, 128)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    distances = np.linalg.norm(vectors[:, None] - vectors, axis=2)
    np.fill_diagonal(distances, np.inf)
    accuracy = (subjects[distances.argmin(axis=1)] == subjects).mean()
    with capsys.disabled():
        sys.stdout.write(f"\nfaces_orl, nearest neighbour of 200: {accuracy:.2%}\n")
    assert accuracy >= 0.98


# ---------------------------------------------------------------- any number of threads


def names_here():
    """Every feature that needs no download."""
    names = [*CLASSIC, "sift", "rootsift", "mser-rootsift", "dense-sift"]
    if is_at_hand("googlenet"):
        names += ["googlenet:pool5", *(f"googlenet:5b:{pooling}" for pooling in oracle.POOLINGS)]
    return [*names, "face"] if is_at_hand("mobilefacenet") else names


def content(path):
    """Values of all datasets of a file, bit by bit, and attributes of all its parts."""
    values = {}

    def keep(name, item):
        values[f"{name} attributes"] = sorted((key, str(value)) for key, value in item.attrs.items())
        if isinstance(item, h5py.Dataset):
            array = item[()]
            values[name] = array.tolist() if array.dtype == object else (array.dtype, array.shape, array.tobytes())

    with h5py.File(path) as file:
        file.visititems(keep)
    return values


def test_extraction_gives_the_same_bits_on_one_thread_and_two(paths, data_dir, trained, tmp_path):
    photos = [*paths, *sorted((data_dir / "corel5k/001").glob("*.jpg"))[:10]]
    features = get_features([*names_here(), *trained.values()])
    found = []
    for n_threads in (1, 2):
        out = tmp_path / f"{n_threads}.h5"
        extract_photos(photos, out, features, n_threads=n_threads)
        found.append(content(out))
    assert len(found[0]) > len(names_here())
    assert [name for name, value in found[0].items() if value != found[1].get(name)] == []
    assert found[0].keys() == found[1].keys()


@pytest.mark.parametrize(
    "name", ["hsv", "classic", "shape", "fourier", "fisher-improved", "vlad", "whitened", "googlenet:5b:rmac", "face"]
)
def test_one_feature_used_by_several_threads_gives_what_one_gives(paths, trained, name):
    if name == "face" or ":" in name:
        need("mobilefacenet" if name == "face" else "googlenet")
    feature = trained.get(name) or get_feature(name)
    ref = [feature.extract(Photo.read(path)).tobytes() for path in paths]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda path: feature.extract(Photo.read(path)).tobytes(), paths * 3))
    assert [i for i, value in enumerate(found) if value != ref[i % len(ref)]] == []


def test_a_feature_alone_gives_the_bits_it_gives_among_others(paths):
    together = get_features(names_here())
    for path in paths[:4]:
        photo = Photo.read(path)
        values = {feature.name: feature.extract(photo) for feature in together}
        for feature in together:
            if hasattr(feature, "dimension"):
                alone = feature.extract(Photo.read(path))
                assert np.array_equal(alone, values[feature.name]), feature.name
                assert alone.shape == (feature.dimension,)
                assert np.isfinite(alone).all()


def test_a_file_holds_the_values_that_a_feature_gives(paths, tmp_path):
    out = tmp_path / "photos.h5"
    extract_photos(paths, out, ["hsv", "lbp-grid"])
    with FeatureFile.open(out) as file:
        for name in ("hsv", "lbp-grid"):
            feature = get_feature(name)
            assert file.provenance(name) == feature.provenance()
            for row, path in enumerate(file.paths):
                assert np.array_equal(file.vectors(name)[row], feature.extract(Photo.read(Path(path))))
