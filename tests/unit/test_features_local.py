"""SIFT of a photo: what OpenCV finds, in a fixed order, in pixels of the photo as it was given."""

import sys

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from oracle.features import matches, noise

from metricsearch.errors import InvalidInputError, MissingExtraError
from metricsearch.features import KINDS, LocalFeatureOptions, LocalFeatures, extract_local, read_photo, root_sift

GRID = LocalFeatureOptions(kind="dense-sift")


@pytest.fixture(scope="module")
def photo(data_dir):
    return read_photo(data_dir / "ukbench" / "ukbench00004.jpg")


def rows(features):
    return {
        (*point.tolist(), *descriptor.tolist())
        for point, descriptor in zip(features.keypoints, features.descriptors, strict=True)
    }


def same(a, b):
    return (
        np.array_equal(a.keypoints, b.keypoints)
        and np.array_equal(a.descriptors, b.descriptors)
        and (a.width, a.height) == (b.width, b.height)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_types_and_order(kind):
    image = noise()
    found = extract_local(image, LocalFeatureOptions(kind=kind))
    n = len(found)
    assert n > 20
    assert found.keypoints.shape == (n, 4)
    assert found.keypoints.dtype == np.float32
    assert found.descriptors.shape == (n, 128)
    assert found.descriptors.dtype == np.uint8
    assert (found.width, found.height) == (160, 120)
    assert found.descriptors.any(axis=1).all()
    x, y, diameter, angle = found.keypoints.T
    assert x.min() >= 0
    assert x.max() < 160
    assert y.min() >= 0
    assert y.max() < 120
    assert diameter.min() > 0
    assert angle.min() >= 0
    assert angle.max() <= 360


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (2, 2), (3, 3), (5, 5), (1, 900), (120, 160)])
def test_a_plain_or_tiny_image_has_no_features(kind, shape):
    found = extract_local(np.full(shape, 77, dtype=np.uint8), LocalFeatureOptions(kind=kind))
    assert found.keypoints.shape == (0, 4)
    assert found.descriptors.shape == (0, 128)
    assert found.descriptors.dtype == np.uint8
    assert (found.height, found.width) == shape


def test_blobs_are_those_of_opencv(photo):
    points, descriptors = cv2.SIFT_create().detectAndCompute(photo, None)
    expected = LocalFeatures(
        np.array([(*p.pt, p.size, p.angle) for p in points], dtype=np.float32), descriptors.astype(np.uint8), 640, 480
    )
    assert np.array_equal(descriptors, descriptors.astype(np.uint8))
    found = extract_local(photo)
    assert len(found) == len(points)
    assert rows(found) == rows(expected)
    strength = {(*p.pt, p.size, p.angle): p.response for p in points}
    in_order = [strength[tuple(point.tolist())] for point in found.keypoints]
    assert in_order == sorted(in_order, reverse=True)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_rows_for_any_number_of_threads_of_opencv(kind, photo):
    options = LocalFeatureOptions(kind=kind)
    before = cv2.getNumThreads()
    try:
        found = []
        for n in (1, 4, 4):
            cv2.setNumThreads(n)
            found.append(extract_local(photo, options))
    finally:
        cv2.setNumThreads(before)
    assert same(found[0], found[1])
    assert same(found[0], found[2])


@pytest.mark.parametrize("n", [1, 2, 50, 10**6])
def test_n_features_takes_the_strongest(photo, n):
    every = extract_local(photo)
    some = extract_local(photo, LocalFeatureOptions(n_features=n))
    assert len(some) == min(n, len(every))
    assert np.array_equal(some.keypoints, every.keypoints[:n])
    assert np.array_equal(some.descriptors, every.descriptors[:n])


@pytest.mark.parametrize("kind", ["mser-sift", "mser-rootsift"])
def test_n_features_takes_the_largest_regions(photo, kind):
    every = extract_local(photo, LocalFeatureOptions(kind=kind))
    some = extract_local(photo, LocalFeatureOptions(kind=kind, n_features=40))
    assert np.array_equal(some.keypoints, every.keypoints[:40])
    assert np.array_equal(some.descriptors, every.descriptors[:40])


def test_a_higher_contrast_threshold_keeps_fewer(photo):
    assert len(extract_local(photo, LocalFeatureOptions(contrast_threshold=0.08))) < len(extract_local(photo)) / 2


@pytest.mark.parametrize("kind", KINDS)
def test_places_are_in_pixels_of_the_photo_that_was_given(kind):
    small = noise()
    large = np.repeat(np.repeat(small, 3, axis=0), 3, axis=1)
    direct = extract_local(small, LocalFeatureOptions(kind=kind))
    shrunk = extract_local(large, LocalFeatureOptions(kind=kind, max_side=160))
    assert np.array_equal(shrunk.descriptors, direct.descriptors)
    assert (shrunk.width, shrunk.height) == (480, 360)
    x, y, diameter, angle = direct.keypoints.astype(np.float64).T
    # Pixel 0 of the small image covers pixels 0, 1, 2 of the large one: its centre is 1.
    assert np.allclose(shrunk.keypoints, np.stack([3 * x + 1, 3 * y + 1, 3 * diameter, angle], axis=1), atol=1e-3)


def test_a_small_photo_is_not_enlarged():
    image = noise()
    assert same(extract_local(image, LocalFeatureOptions(max_side=None)), extract_local(image))
    assert len(extract_local(image, LocalFeatureOptions(max_side=80))) < len(extract_local(image))


def test_a_very_long_photo_keeps_a_row_of_pixels():
    assert len(extract_local(np.zeros((1, 5000), dtype=np.uint8), LocalFeatureOptions(max_side=16))) == 0


def test_colours_are_turned_grey(photo):
    colour = np.stack([photo, photo, photo], axis=2)
    assert same(extract_local(colour), extract_local(photo))
    red = np.zeros((40, 40, 3), dtype=np.uint8)
    red[10:20, 10:20, 0] = 255
    blue = np.roll(red, 2, axis=2)
    assert not same(extract_local(red, GRID), extract_local(blue, GRID)), "red is brighter than blue"


def test_a_read_only_or_strided_image_is_fine(photo):
    frozen = photo.copy()
    frozen.setflags(write=False)
    assert same(extract_local(frozen), extract_local(photo))
    assert same(extract_local(photo[:, ::-1]), extract_local(np.ascontiguousarray(photo[:, ::-1])))


@pytest.mark.parametrize("kind", ["sift", "rootsift", "mser-sift", "mser-rootsift"])
@pytest.mark.parametrize(("degrees", "scale"), [(90, 1.0), (37, 1.0), (-120, 0.7), (180, 1.4)])
def test_a_turned_and_scaled_photo_has_the_same_features(photo, kind, degrees, scale):
    height, width = photo.shape
    warp = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, scale)
    turned = cv2.warpAffine(photo, warp, (width, height), flags=cv2.INTER_AREA)
    options = LocalFeatureOptions(kind=kind)
    a, b = extract_local(photo, options), extract_local(turned, options)
    pairs = matches(a, b)
    expected = a.keypoints[pairs[:, 0], :2] @ warp[:, :2].T + warp[:, 2]
    right = np.hypot(*(expected - b.keypoints[pairs[:, 1], :2]).T) < 3
    assert right.sum() > 60
    assert right.mean() > 0.8
    found, original = b.keypoints[pairs[right, 1]], a.keypoints[pairs[right, 0]]
    # Angles are clockwise (y points down), those of OpenCV's matrix are not.
    turn = (original[:, 3] - found[:, 3] - degrees + 180) % 360 - 180
    assert np.median(np.abs(turn)) < 5
    assert 0.8 * scale < np.median(found[:, 2] / original[:, 2]) < 1.25 * scale


def test_a_grid_covers_the_photo_with_whole_squares():
    options = LocalFeatureOptions(kind="dense-sift", grid_step=10, grid_patch=24)
    image = noise(64, 90)
    found = extract_local(image, options)
    x, y, diameter, angle = found.keypoints.T
    expected = [(px, py) for px in np.arange(11.5, 90, 10) if px + 12 <= 89.5 for py in (11.5, 21.5, 31.5, 41.5, 51.5)]
    assert list(zip(x.tolist(), y.tolist(), strict=True)) == [p for p in expected if p[1] + 12 <= 63.5]
    assert (diameter == 4).all()
    assert (angle == 0).all()


def test_squares_of_a_grid_that_show_nothing_are_left_out():
    image = np.full((100, 200), 50, dtype=np.uint8)
    image[:, :60] = noise(100, 60)
    found = extract_local(image, GRID)
    assert 0 < found.keypoints[:, 0].max() < 60 + 24
    assert len(extract_local(np.full((20, 200), 50, dtype=np.uint8), GRID)) == 0


def test_a_photo_smaller_than_a_square_of_the_grid_has_no_features():
    assert len(extract_local(noise(23, 200), GRID)) == 0
    assert len(extract_local(noise(24, 24), GRID)) == 1


@given(hnp.arrays(np.uint8, st.tuples(st.integers(0, 5), st.just(8)), elements=st.sampled_from([0, 0, 1, 7, 255])))
def test_root_sift_is_its_formula(descriptors):
    expected = np.array(
        [[np.sqrt(float(v) / sum(map(float, row))) if any(row) else 0.0 for v in row] for row in descriptors]
    ).reshape(-1, 8)
    found = root_sift(descriptors)
    assert found.dtype == np.float32
    assert found.shape == descriptors.shape
    assert np.allclose(found, expected, atol=1e-7)
    lengths = np.linalg.norm(found.astype(np.float64), axis=1)
    assert np.allclose(lengths, descriptors.any(axis=1), atol=1e-6)


@pytest.mark.parametrize("detector", ["", "mser-", "dense-"])
def test_stored_root_sift_is_rounded_from_the_exact_one(photo, detector):
    plain = extract_local(photo, LocalFeatureOptions(kind=f"{detector}sift"))
    root = extract_local(photo, LocalFeatureOptions(kind=f"{detector}rootsift"))
    assert np.array_equal(root.keypoints, plain.keypoints)
    exact = 512 * root_sift(plain.descriptors)
    assert np.array_equal(root.descriptors, np.minimum(np.rint(exact), 255))
    assert np.abs(root.descriptors - np.minimum(exact, 255)).max() <= 0.5


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((4, 4)), "float64"),
        (np.zeros((4, 4, 4), np.uint8), "(4, 4, 4)"),
        (np.zeros((4,), np.uint8), "(4,)"),
        (np.zeros((0, 4), np.uint8), "at least one pixel"),
        (None, "object"),
        ("photo.jpg", "uint8"),
    ],
)
def test_what_is_no_image(image, words):
    with pytest.raises(InvalidInputError, match="image: expected") as info:
        extract_local(image)
    assert words in str(info.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kind": "surf"}, "mser-rootsift"),
        ({"max_side": 0}, ">= 16"),
        ({"max_side": 800.0}, "max_side"),
        ({"n_features": -1}, "n_features"),
        ({"contrast_threshold": -0.1}, "contrast_threshold"),
        ({"contrast_threshold": float("nan")}, "contrast_threshold"),
        ({"contrast_threshold": "0.1"}, "contrast_threshold"),
        ({"grid_step": 0}, "grid_step"),
        ({"grid_patch": 4}, "grid_patch"),
        ({"kind": "dense-sift", "n_features": 5}, "grid_step"),
    ],
)
def test_options_that_cannot_be(options, words):
    with pytest.raises(InvalidInputError) as info:
        LocalFeatureOptions(**options)
    assert words in str(info.value)
    assert "\n" not in str(info.value)


def test_without_opencv_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingExtraError, match=r"metricsearch\[features\]"):
        extract_local(noise())
