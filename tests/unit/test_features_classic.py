"""Classic features: the values of their definitions, and what they must not depend on."""

import io
import json
import math
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from skimage.color import rgb2hsv
from skimage.feature import hog as skimage_hog
from skimage.feature import local_binary_pattern
from skimage.filters import gabor, threshold_otsu
from skimage.measure import label, moments_hu, regionprops

from metricsearch.errors import InvalidInputError, MissingExtraError
from metricsearch.features.classic import CLASSIC, CombinedFeature, colour, gradients, shape, texture
from metricsearch.features.classic.base import shrunk_grey, square_grey
from metricsearch.features.feature import GlobalFeature, LocalFeature
from metricsearch.features.photo import Photo
from metricsearch.spaces import get_metric

NAMES = list(CLASSIC)
REAL = [
    "ukbench/ukbench00004.jpg",
    "corel5k/001/1000.jpg",
    "caltech101/car_side/image_0001.jpg",
    "faces_orl/s01/01.png",
]
small_rgb = hnp.arrays(np.uint8, st.tuples(st.integers(1, 6), st.integers(1, 6), st.just(3)))


def photo_of(pixels):
    """A photo of exactly these pixels, (h, w) grey or (h, w, 3) RGB."""
    file = io.BytesIO()
    Image.fromarray(np.asarray(pixels, dtype=np.uint8)).save(file, "PNG", compress_level=1)
    return Photo(file.getvalue())


def again(photo):
    """The same photo, of which nothing has been looked at."""
    return Photo(photo._data)


def value(name, pixels):
    return CLASSIC[name]().extract(photo_of(pixels))


@pytest.fixture(scope="module", params=REAL)
def photo(request, data_dir):
    return Photo.read(data_dir / request.param)


def drawn(points, side=300):
    """A white polygon on black."""
    image = np.zeros((side, side), dtype=np.uint8)
    cv2.fillPoly(image, [np.round(points).astype(np.int32)], 255)
    return image


def turned(points, degrees, scale=1.0, centre=(150, 150)):
    angle = math.radians(degrees)
    matrix = scale * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return np.asarray(points) @ matrix.T + centre


# Outlines without any symmetry.
FLAG = np.array([(-90, -20), (90, -60), (40, 10), (70, 50), (-20, 25), (-60, 60)], dtype=float)
FISH = np.array([(-80, -20), (90, -60), (0, 0), (60, 70), (-20, 20)], dtype=float)


# What holds for every feature


@pytest.mark.parametrize("name", NAMES)
def test_values_have_the_promised_form(name, photo):
    feature = CLASSIC[name]()
    values = feature.extract(photo)
    assert values.shape == (feature.dimension,)
    assert values.dtype == np.float32
    assert np.isfinite(values).all()
    assert values.any()
    assert feature.name == name
    assert re.fullmatch(r"[\w\-.+*:]+", name)


@pytest.mark.parametrize("shape", [(1, 1), (2, 1), (1, 2), (3, 3), (5, 7), (5000, 1), (1, 5000), (40, 30)])
def test_a_tiny_or_plain_photo_has_finite_values(shape):
    rng = np.random.default_rng(0)
    contents = [np.full(shape, grey) for grey in (0, 77, 255)]
    contents += [rng.integers(0, 256, shape), rng.integers(0, 256, (*shape, 3)), np.eye(*shape) * 255]
    for pixels in contents:
        photo = photo_of(pixels)
        for name in NAMES:
            values = CLASSIC[name]().extract(photo)
            assert values.shape == (CLASSIC[name]().dimension,), name
            assert np.isfinite(values).all(), name


@given(
    pixels=hnp.arrays(np.uint8, st.tuples(st.integers(1, 24), st.integers(1, 24)), elements=st.sampled_from([0, 255]))
)
def test_outlines_of_any_pixels_have_finite_values(pixels):
    photo = photo_of(pixels)
    for name in ("shape", "fourier"):
        assert np.isfinite(CLASSIC[name]().extract(photo)).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_same_bits_from_several_threads_and_again(name, photo):
    feature = CLASSIC[name]()
    once = feature.extract(again(photo))
    with ThreadPoolExecutor(4) as threads:
        others = list(threads.map(lambda _: feature.extract(again(photo)), range(8)))
    assert all(np.array_equal(once, other) for other in others)
    assert np.array_equal(once, CLASSIC[name]().extract(photo))


@pytest.mark.parametrize("name", NAMES)
def test_provenance_and_metric_can_be_written_down(name):
    feature = CLASSIC[name]()
    provenance = json.loads(json.dumps(feature.provenance()))
    assert provenance["feature"] == name
    assert provenance == CLASSIC[name]().provenance()
    for part in provenance.get("parts", [provenance]):
        version = ".".join(cv2.__version__.split(".")[:2])
        assert part["libraries"]["opencv"] == version
        assert part["parameters"]
    metric = get_metric(json.loads(json.dumps(feature.metric)))
    vectors = np.zeros((2, feature.dimension), dtype=np.float32)
    vectors[1, 0] = 1
    assert metric.exact_pairwise(vectors, vectors).argmax() == 1  # zeros are legal


def test_no_two_features_have_the_same_provenance():
    texts = [json.dumps(make().provenance(), sort_keys=True) for make in CLASSIC.values()]
    assert len(set(texts)) == len(NAMES)


def test_features_of_one_photo_share_their_work(monkeypatch, photo):
    calls = []
    for module, name in ((colour, "_count"), (texture, "_codes"), (shape, "_largest")):
        original = getattr(module, name)
        monkeypatch.setattr(module, name, lambda x, f=original, name=name: (calls.append(name), f(x))[1])
    fresh = again(photo)
    for name in NAMES:
        CLASSIC[name]().extract(fresh)
    assert sorted(calls) == ["_codes", "_count", "_largest"]


@pytest.mark.parametrize(("package", "name"), [("cv2", "hsv"), ("skimage.feature", "lbp"), ("PIL.Image", "hue")])
def test_a_missing_package_is_named(monkeypatch, package, name):
    photo = photo_of(np.zeros((4, 4)))
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'metricsearch\[features\]'"):
        CLASSIC[name]().extract(photo)


def test_a_damaged_photo_is_refused():
    with pytest.raises(InvalidInputError, match="not a photo"):
        CLASSIC["classic"]().extract(Photo(b"no photo"))


# Colour


def exact_bins(pixel, n):
    """Bins of hue, saturation and value of one colour, by whole numbers (A. R. Smith 1978, the hexcone)."""
    r, g, b = (int(channel) for channel in pixel)
    high, low = max(r, g, b), min(r, g, b)
    if high == low:
        hue = Fraction(0)
    elif high == r:
        hue = Fraction(g - b, high - low) % 6 / 6
    elif high == g:
        hue = (Fraction(b - r, high - low) + 2) / 6
    else:
        hue = (Fraction(r - g, high - low) + 4) / 6
    saturation = Fraction(high - low, high) if high else Fraction(0)
    return [min(math.floor(n * part), n - 1) for part in (hue, saturation, Fraction(high, 255))]


def exact_histograms(rgb):
    channels, joint = np.zeros((3, 32)), np.zeros((8, 8, 8))
    for pixel in rgb.reshape(-1, 3):
        channels[range(3), exact_bins(pixel, 32)] += 1
        joint[tuple(exact_bins(pixel, 8))] += 1
    n = rgb.size // 3
    return {"hue": channels[0] / n, "hoc": channels.ravel() / (3 * n), "hsv": joint.ravel() / n}


@given(rgb=small_rgb)
def test_colour_histograms_are_exact(rgb):
    for name, expected in exact_histograms(rgb).items():
        assert np.array_equal(value(name, rgb), expected.astype(np.float32)), name


def test_colours_on_the_edges_of_bins_are_exact():
    steps = [0, 1, 2, 3, 8, 15, 16, 31, 32, 48, 64, 96, 127, 128, 192, 240, 254, 255]
    rgb = np.array([[(r, g, b) for g in steps for b in steps] for r in steps], dtype=np.uint8)
    for name, expected in exact_histograms(rgb).items():
        assert np.array_equal(value(name, rgb), expected.astype(np.float32)), name


def test_colour_histograms_are_those_of_scikit_image(photo):
    hsv = rgb2hsv(photo.rgb).reshape(-1, 3)
    # scikit-image's rounding puts some colours below the edge that they lie on; 1e-9 puts them back.
    hsv = np.minimum(hsv + 1e-9, 1)
    channels = [np.histogram(channel, bins=32, range=(0, 1))[0] for channel in hsv.T]
    joint = np.histogramdd(hsv, bins=8, range=[(0, 1)] * 3)[0]
    n = len(hsv)
    expected = {"hue": channels[0] / n, "hoc": np.ravel(channels) / (3 * n), "hsv": joint.ravel() / n}
    for name, histogram in expected.items():
        assert np.array_equal(CLASSIC[name]().extract(photo), histogram.astype(np.float32)), name


def test_all_grey_pixels_have_the_first_hue(photo):
    histogram = value("hue", photo.grey)
    assert histogram[0] == 1
    assert not histogram[1:].any()


def test_places_and_size_do_not_change_colours(photo):
    rgb = photo.rgb[:120, :160]
    shuffled = np.random.default_rng(0).permutation(rgb.reshape(-1, 3)).reshape(rgb.shape)
    for name in ("hue", "hsv", "hoc"):
        assert np.array_equal(value(name, shuffled), value(name, rgb))
        assert np.array_equal(value(name, np.tile(rgb, (2, 3, 1))), value(name, rgb))


@given(rgb=small_rgb.map(lambda rgb: rgb // 3))
def test_a_brighter_photo_has_the_same_hues(rgb):
    assert np.array_equal(value("hue", rgb * 3), value("hue", rgb))


def test_a_photo_of_many_pixels_is_counted_in_parts(monkeypatch, photo):
    whole = CLASSIC["hsv"]().extract(photo)
    monkeypatch.setattr(colour, "_PIXELS_AT_ONCE", 997)
    assert np.array_equal(CLASSIC["hsv"]().extract(again(photo)), whole)


# Texture


def pattern_code(image, y, x):
    """LBP 8,1 riu2 at one pixel (Ojala et al. 2002, eq. 9), neighbours between pixels by bilinear interpolation."""
    signs = []
    for k in range(8):
        dy, dx = -math.sin(math.pi * k / 4), math.cos(math.pi * k / 4)
        y0, x0 = math.floor(y + dy + 1e-9), math.floor(x + dx + 1e-9)
        fy, fx = y + dy - y0, x + dx - x0
        neighbour = sum(
            wy * wx * image[y0 + i, x0 + j]
            for i, wy in ((0, 1 - fy), (1, fy))
            for j, wx in ((0, 1 - fx), (1, fx))
            if abs(wy * wx) > 1e-9
        )
        signs.append(neighbour >= image[y, x] - 1e-9)
    changes = sum(signs[k] != signs[k - 1] for k in range(8))
    return sum(signs) if changes <= 2 else 9


def test_patterns_are_those_of_the_definition(photo):
    grey = photo.grey[40:72, 30:70]
    codes = texture._codes(photo_of(grey))[1:-1, 1:-1]
    image = grey.astype(float)
    expected = [[pattern_code(image, y, x) for x in range(1, 39)] for y in range(1, 31)]
    assert (codes == expected).mean() > 0.995  # rounding decides where an interpolated value equals the centre


def test_the_histogram_is_that_of_scikit_image(photo):
    codes = local_binary_pattern(shrunk_grey(photo, texture.MAX_SIDE), 8, 1, "uniform")
    expected = np.bincount(codes.astype(int).ravel(), minlength=10) / codes.size
    assert np.allclose(CLASSIC["lbp"]().extract(photo), expected, rtol=0, atol=1e-7)


def test_the_grid_holds_the_histogram_of_each_cell():
    grey = np.random.default_rng(1).integers(0, 256, (41, 30)).astype(np.uint8)
    codes = local_binary_pattern(grey, 8, 1, "uniform").astype(int)
    rows, columns = ([math.ceil(i * side / 4) for i in range(5)] for side in grey.shape)
    cells = [codes[rows[i] : rows[i + 1], columns[j] : columns[j + 1]] for i in range(4) for j in range(4)]
    expected = [np.bincount(cell.ravel(), minlength=10) / cell.size / 16 for cell in cells]
    assert np.allclose(value("lbp-grid", grey), np.concatenate(expected), rtol=0, atol=1e-7)


def test_cells_without_pixels_are_zeros():
    sums = value("lbp-grid", np.zeros((1, 2))).reshape(16, 10).sum(axis=1)
    assert np.count_nonzero(sums) == 2
    assert np.allclose(sums[sums > 0], 1 / 16)


@pytest.mark.parametrize(("factor", "shift", "least"), [(2, 0, 1), (4, 0, 1), (1, 60, 0.995), (3, 9, 0.995)])
def test_a_linear_change_of_grey_keeps_the_patterns(photo, factor, shift, least):
    grey = photo.grey[:100, :90] // 5
    before, after = texture._codes(photo_of(grey)), texture._codes(photo_of(grey * factor + shift))
    kept = (after == before)[1:-1, 1:-1]  # beyond the border is black, before and after
    assert kept.mean() >= least  # factors of two change no rounding


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_quarter_turn_keeps_the_patterns(photo, turns):
    grey = photo.grey[:100, :90]
    assert np.abs(value("lbp", np.rot90(grey, turns)) - value("lbp", grey)).sum() < 0.01


# Gradients


def dalal_triggs(grey):
    """HOG (64, 64) -> (7, 7, 2, 2, 9): votes shared between cells and bins, Gaussian window, L2-Hys."""
    side, cell, block, n_bins = 64, 8, 16, 9
    padded = np.pad(grey.astype(float), 1, mode="reflect")
    dx, dy = padded[1:-1, 2:] - padded[1:-1, :-2], padded[2:, 1:-1] - padded[:-2, 1:-1]
    lengths, places = np.hypot(dx, dy), np.arctan2(dy, dx) % math.pi * n_bins / math.pi - 0.5
    offsets = np.arange(block) - block / 2
    window = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * (block / 4) ** 2))
    n_blocks = (side - block) // cell + 1
    values = np.zeros((n_blocks, n_blocks, 2, 2, n_bins))
    for column in range(n_blocks):
        for row in range(n_blocks):
            histogram = values[column, row]
            for y in range(block):
                for x in range(block):
                    at = (row * cell + y, column * cell + x)
                    vote = lengths[at] * window[y, x]
                    low = math.floor(places[at])
                    cx, cy = (x + 0.5) / cell - 0.5, (y + 0.5) / cell - 0.5
                    for i in (0, 1):
                        for j in (0, 1):
                            near = max(0.0, 1 - abs(cx - i)) * max(0.0, 1 - abs(cy - j))
                            histogram[i, j, low % n_bins] += vote * near * (1 - (places[at] - low))
                            histogram[i, j, (low + 1) % n_bins] += vote * near * (places[at] - low)
            histogram /= math.sqrt((histogram**2).sum()) + 3.6
            np.minimum(histogram, 0.2, out=histogram)
            histogram /= math.sqrt((histogram**2).sum()) + 1e-3
    return values


def test_hog_is_that_of_the_paper(photo):
    expected = dalal_triggs(square_grey(photo, gradients.SIDE)).ravel()
    assert np.abs(CLASSIC["hog"]().extract(photo) - expected).max() < 2e-3


def test_hog_resembles_that_of_scikit_image(photo):
    theirs = skimage_hog(square_grey(photo, gradients.SIDE), cells_per_block=(2, 2))
    ours = CLASSIC["hog"]().extract(photo).reshape(7, 7, 2, 2, 9)  # columns of blocks, of cells
    ours = ours.transpose(1, 0, 3, 2, 4).ravel()
    assert np.corrcoef(ours, theirs)[0, 1] > 0.75


def test_blocks_have_length_one_and_plain_ones_none(photo):
    lengths = np.linalg.norm(CLASSIC["hog"]().extract(photo).reshape(49, 36), axis=1)
    assert lengths.max() < 1
    assert lengths.max() > 0.99
    assert not value("hog", np.full((64, 64), 200)).any()


def test_brightness_does_not_change_gradients(photo):
    grey = photo.grey[:64, :64] // 2
    assert np.array_equal(value("hog", grey + 100), value("hog", grey))


# Layout


def test_energies_are_those_of_scikit_image(photo):
    ours = CLASSIC["gabor-layout"]().extract(photo).reshape(4, 8, 4, 4)
    for scale in range(4):
        image = square_grey(photo, 128 >> scale) / 255
        for angle in (0, 3, 4):
            real, imaginary = gabor(image - image.mean(), 0.25, theta=math.pi * angle / 8, mode="mirror")
            cells = np.hypot(real, imaginary).reshape(4, 32 >> scale, 4, 32 >> scale).mean(axis=(1, 3))
            # Their filter answers a little to brightness, ours not at all.
            assert np.abs(ours[scale, angle] - cells).max() < 2e-3


@pytest.mark.parametrize("grey", [0, 1, 77, 255])
def test_a_plain_photo_has_no_energy(grey):
    assert value("gabor-layout", np.full((50, 70), grey)).max() < 1e-6


@pytest.mark.parametrize("angle", range(8))
def test_waves_answer_at_their_scale_angle_and_cell(angle):
    y, x = np.mgrid[:128, :128]
    for scale in range(3):
        way = x * math.cos(math.pi * angle / 8) + y * math.sin(math.pi * angle / 8)
        waves = 127 + 120 * np.cos(2 * math.pi * 0.25 / 2**scale * way)
        image = np.where((x < 64) & (y < 64), waves, 127)
        energy = value("gabor-layout", image).reshape(4, 8, 4, 4)
        assert np.unravel_index(energy.sum(axis=(2, 3)).argmax(), (4, 8)) == (scale, angle)
        assert energy[scale, angle, :2, :2].min() > 5 * energy[scale, angle, 2:, 2:].max()


# Shape


def hu_by_sums(mask):
    """Hu's moments of a region by sums over its pixels, each a square."""
    y, x = np.nonzero(mask)
    x, y = x - x.mean(), y - y.mean()
    n = len(x)

    def eta(p, q):
        extra = n / 12 if (p, q) in ((2, 0), (0, 2)) else 0
        return ((x**p * y**q).sum() + extra) / n ** (1 + (p + q) / 2)

    e20, e02, e11, e30, e03, e21, e12 = (eta(*pq) for pq in ((2, 0), (0, 2), (1, 1), (3, 0), (0, 3), (2, 1), (1, 2)))
    a, b, c, d = e30 + e12, e21 + e03, e30 - 3 * e12, 3 * e21 - e03
    return np.array(
        [
            e20 + e02,
            (e20 - e02) ** 2 + 4 * e11**2,
            c**2 + d**2,
            a**2 + b**2,
            c * a * (a**2 - 3 * b**2) + d * b * (3 * a**2 - b**2),
            (e20 - e02) * (a**2 - b**2) + 4 * e11 * a * b,
            d * a * (a**2 - 3 * b**2) - c * b * (3 * a**2 - b**2),
        ]
    )


def signed_logarithms(hu):
    return -np.sign(hu) * np.log10(np.abs(hu))


@pytest.mark.parametrize("degrees", [0, 37, 90, 200])
def test_hu_moments_are_those_of_the_formulas(degrees):
    image = drawn(turned(FLAG, degrees))
    assert np.allclose(value("shape", image)[:7], signed_logarithms(hu_by_sums(image)), rtol=0, atol=0.05)


def test_hu_moments_are_those_of_scikit_image():
    image = drawn(turned(FLAG, 20))
    y, x = np.mgrid[:300, :300] - 150.0
    central = np.array(
        [
            [((y - y[image > 0].mean()) ** p * (x - x[image > 0].mean()) ** q)[image > 0].sum() for q in range(4)]
            for p in range(4)
        ]
    )
    powers = 1 + (np.arange(4)[:, None] + np.arange(4)) / 2
    theirs = moments_hu(central / central[0, 0] ** powers)
    ours = value("shape", image)[:7]
    assert np.allclose(np.abs(ours), np.abs(signed_logarithms(theirs)), rtol=0, atol=0.05)  # the seventh's sign: x, y


def test_shape_of_a_real_photo_is_that_of_its_largest_region(photo):
    grey = shrunk_grey(photo, shape.MAX_SIDE)
    bright = grey > threshold_otsu(grey)
    border = np.concatenate([bright[0], bright[-1], bright[1:-1, 0], bright[1:-1, -1]])
    regions = regionprops(label(~bright if border.mean() > 0.5 else bright, connectivity=2))
    largest = max(regions, key=lambda region: region.area_filled)
    values = CLASSIC["shape"]().extract(photo)
    assert values[:2] == pytest.approx(signed_logarithms(hu_by_sums(largest.image_filled))[:2], abs=0.2)
    assert values[9] == pytest.approx(largest.area_filled / largest.area_convex, abs=0.05)


def test_ratios_of_known_shapes():
    half_length, half_width = 80, 25
    rectangle = [
        (-half_length, -half_width),
        (half_length, -half_width),
        (half_length, half_width),
        (-half_length, half_width),
    ]
    triangle = [(-60, -60), (60, -60), (-60, 60)]
    star = np.array([turned([(100 if k % 2 else 40, 0)], 36 * k, centre=(0, 0))[0] for k in range(10)])
    disc = np.array([(90 * math.cos(t), 90 * math.sin(t)) for t in np.linspace(0, 2 * math.pi, 200)])
    for degrees in (0, 30, 45):
        assert value("shape", drawn(turned(rectangle, degrees)))[7:] == pytest.approx([25 / 80, 1, 1], abs=0.03)
        assert value("shape", drawn(turned(triangle, degrees)))[8:] == pytest.approx([0.5, 1], abs=0.03)
        assert value("shape", drawn(turned(disc, degrees)))[7:] == pytest.approx([1, math.pi / 4, 1], abs=0.02)
        # Ten triangles of sides 100 and 40 in a pentagon of radius 100.
        solidity = 40 * 2 * math.sin(math.pi / 5) / (100 * math.sin(2 * math.pi / 5))
        assert value("shape", drawn(turned(star, degrees)))[9] == pytest.approx(solidity, abs=0.02)
    hu = value("shape", drawn(turned(rectangle, 0)))[0]
    assert hu == pytest.approx(-math.log10((160**2 + 50**2) / (12 * 160 * 50)), abs=0.01)


@pytest.mark.parametrize("name", ["shape", "fourier"])
@pytest.mark.parametrize(
    ("degrees", "scale", "centre"),
    [(0, 1, (130, 170)), (90, 1, (150, 150)), (33, 1, (160, 140)), (200, 1.3, (150, 150))],
)
def test_shift_turn_and_scale_do_not_change_the_shape(name, degrees, scale, centre):
    plain = value(name, drawn(turned(FLAG, 0)))
    moved = value(name, drawn(turned(FLAG, degrees, scale, centre)))
    other = value(name, drawn(turned(FISH, 0)))
    assert np.abs(moved - plain).max() < (0.1 if name == "shape" else 0.02)
    assert np.abs(other - plain).max() > (1 if name == "shape" else 0.1)


@pytest.mark.parametrize("name", ["shape", "fourier"])
def test_the_object_may_be_dark_or_bright(name):
    image = drawn(turned(FLAG, 15))
    assert value(name, image).any()
    assert np.array_equal(value(name, 255 - image), value(name, image))
    assert np.array_equal(value(name, image // 4 + 60), value(name, image))


@pytest.mark.parametrize("name", ["shape", "fourier"])
def test_only_the_largest_object_counts(name):
    image = drawn(turned(FLAG, 15))
    with_crumbs = image.copy()
    with_crumbs[5:15, 5:30] = 255
    with_crumbs[280:290, 200:220] = 255
    assert np.array_equal(value(name, with_crumbs), value(name, image))


@pytest.mark.parametrize("name", ["shape", "fourier"])
def test_without_an_outline_all_is_zero(name):
    line, dot = np.zeros((20, 20)), np.zeros((20, 20))
    line[7, 3:15], dot[4, 4] = 255, 255
    for image in (np.zeros((9, 9)), np.full((9, 9), 255), line, dot):
        assert not value(name, image).any()


def test_fourier_descriptors_of_a_square_and_a_disc():
    expected = np.zeros(15)
    expected[[3, 7, 11]] = [1 / 25, 1 / 81, 1 / 169]  # c_k of a square is 1 / k^2 for k = 1, 5, 9, ..., else 0
    square = [(-90, -90), (90, -90), (90, 90), (-90, 90)]
    assert np.allclose(value("fourier", drawn(turned(square, 0))), expected, rtol=0, atol=2e-3)
    disc = cv2.circle(np.zeros((300, 300), np.uint8), (150, 150), 100, 255, -1)
    assert value("fourier", disc).max() < 0.01


def test_fourier_descriptors_of_a_real_photo_are_those_of_the_formula(photo):
    outline = shape.main_outline(photo).astype(float)
    x, y = outline.T
    if (x * np.roll(y, -1) - np.roll(x, -1) * y).sum() < 0:
        outline = outline[::-1]
    outline = np.vstack([outline, outline[:1]])
    steps = np.hypot(*np.diff(outline, axis=0).T)
    way = np.concatenate([[0], np.cumsum(steps)])
    t = np.linspace(0, way[-1], 1024, endpoint=False)
    z = np.interp(t, way, outline[:, 0]) + 1j * np.interp(t, way, outline[:, 1])
    c = [abs((z * np.exp(-2j * math.pi * k * np.arange(1024) / 1024)).sum()) for k in range(17)]
    assert np.allclose(CLASSIC["fourier"]().extract(photo), np.array(c[2:]) / c[1], rtol=1e-4, atol=1e-6)


# Combinations


class Fake(GlobalFeature):
    """Three numbers."""

    def __init__(self, name, metric="manhattan", scale=1.0):
        self.name, self.metric, self.dimension, self.scale = name, metric, 3, scale

    def extract(self, photo):
        return (photo.rgb[0, 0] * self.scale).astype(np.float32)

    def provenance(self):
        return {"feature": self.name, "scale": self.scale}

    def arrays(self):
        return {"scale": np.array([self.scale])}


def test_a_combination_is_the_weighted_sum_of_its_parts(data_dir):
    photos = [Photo.read(path) for path in sorted((data_dir / "ukbench").glob("*.jpg"))[:3]]
    parts = [CLASSIC[name]() for name in ("hsv", "shape", "hog")]
    combined = CombinedFeature(parts, [1, 0.5, 2])
    assert combined.name == "hsv+0.5*shape+2*hog"
    assert combined.dimension == 512 + 10 + 1764
    together = np.stack([combined.extract(photo) for photo in photos])
    expected = 0
    for weight, part in zip([1, 0.5, 2], parts, strict=True):
        alone = np.stack([part.extract(photo) for photo in photos])
        expected = expected + weight * get_metric(part.metric).exact_pairwise(alone, alone)
    assert np.allclose(get_metric(combined.metric).exact_pairwise(together, together), expected, rtol=1e-6)


def test_a_combination_of_combinations_is_one_metric():
    inner = CombinedFeature([Fake("a"), Fake("b", "euclidean")], [1, 3])
    outer = CombinedFeature([inner, Fake("c")], [2, 1], name="all")
    assert outer.name == "all"
    x = np.array([[1, 2, 3, 0, 3, 4, 5, 5, 5]], dtype=np.float32)
    distance = get_metric(outer.metric).exact_pairwise(x, np.zeros_like(x))
    assert distance == pytest.approx(2 * (6 + 3 * 5) + 15)


def test_a_combination_keeps_what_its_parts_learned():
    combined = CombinedFeature([Fake("a", scale=2.0), Fake("b", scale=3.0)])
    assert combined.name == "a+b"
    assert {key: array.tolist() for key, array in combined.arrays().items()} == {"0.scale": [2.0], "1.scale": [3.0]}
    provenance = combined.provenance()
    assert [part["scale"] for part in provenance["parts"]] == [2.0, 3.0]
    assert provenance["weights"] == [1.0, 1.0]


@pytest.mark.parametrize(
    ("features", "weights", "message"),
    [
        ([], None, "expected at least one feature"),
        ([Fake("a"), Fake("a")], None, r"a is given twice; give it a weight instead: 2\*a"),
        ([Fake("a"), LocalFeature()], None, "sift has no single vector per photo; combine global features only"),
        ([Fake("a"), "hsv"], None, "'hsv' has no single vector"),
        ([Fake("a"), Fake("b")], [1], "one weight per feature, 2 in total, got 1"),
        ([Fake("a")], [0], "weight of a: expected a finite number > 0, got 0"),
        ([Fake("a")], [-1.0], "weight of a"),
        ([Fake("a")], [math.inf], "weight of a"),
        ([Fake("a")], [math.nan], "weight of a"),
        ([Fake("a")], ["1"], "weight of a"),
        ([Fake("a")], [True], "weight of a"),
    ],
)
def test_wrong_combinations_are_refused(features, weights, message):
    with pytest.raises(InvalidInputError, match=message):
        CombinedFeature(features, weights)


def test_the_parts_of_the_preset_count_as_stated(data_dir):
    # Photos of a theme of the training half, and of another set: one mean distance each, colour twice the others.
    paths = [
        sorted((data_dir / "corel5k" / theme).glob("*.jpg"))[i]
        for theme in ("001", "041", "109", "142", "163")
        for i in (0, 40, 80)
    ]
    feature = CLASSIC["classic"]()
    vectors = np.stack([feature.extract(Photo.read(path)) for path in paths])
    n = len(vectors)
    shares = []
    for part in feature.metric["parts"]:
        columns = vectors[:, slice(*part["columns"])]
        distances = get_metric(part["metric"]).exact_pairwise(columns, columns)
        shares.append(part["weight"] * distances.sum() / (n * (n - 1)))
    assert shares == pytest.approx([2, 1, 1, 1], rel=0.2)
