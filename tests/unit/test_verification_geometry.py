"""Verification of photos whose common features, transform and noise are known."""

import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metricsearch.errors import InvalidInputError, MissingExtraError
from metricsearch.verification import VerificationOptions, verify

WIDTH, HEIGHT = 800, 600
SIMILARITY = VerificationOptions(model="similarity")
EVERY_WAY = [VerificationOptions(), VerificationOptions(method="lo-ransac"), SIMILARITY]


def similarity(scale=0.7, degrees=200.0, shift=(620.0, 300.0)):
    turn = np.deg2rad(degrees)
    a, b = scale * np.cos(turn), scale * np.sin(turn)
    return np.array([[a, -b, shift[0]], [b, a, shift[1]], [0, 0, 1]])


HOMOGRAPHY = similarity() @ np.array([[1, 0.1, 0], [0, 1.2, 0], [2e-4, 1e-4, 1]])


def mapped(transform, points):
    places = np.column_stack([points, np.ones(len(points))]) @ transform.T
    return places[:, :2] / places[:, 2:]


def photo(points, sizes, angles, codes):
    """A photo whose features have the descriptors of `codes`, all far from each other."""
    descriptors = np.random.default_rng(99).integers(0, 256, (4000, 32), dtype=np.uint8)[codes]
    keypoints = np.column_stack([points, sizes, angles]).astype(np.float32)
    return SimpleNamespace(keypoints=keypoints, descriptors=descriptors, width=WIDTH, height=HEIGHT)


def pair_of(transform, n_common, n_other=0, *, seed=0, noise=0.5, points=None, turn=0.0, grow=1.0):
    """(query, image, common): an image, and a query photo in which `transform` moved its first n_common features.

    The other features match too, but lie anywhere. turn, grow: errors of the query's angles (degrees) and sizes.
    """
    rng = np.random.default_rng(seed)
    n = n_common + n_other
    points = rng.uniform((50, 50), (WIDTH - 50, HEIGHT - 50), (n, 2)) if points is None else points
    sizes, angles = rng.uniform(4, 30, n), rng.uniform(0, 360, n)
    places = mapped(transform, points)
    steps = points + 1e-3 * np.column_stack([np.cos(np.deg2rad(angles)), np.sin(np.deg2rad(angles))])
    arrows = (mapped(transform, steps) - places) / 1e-3
    crossing = (mapped(transform, points + 1e-3 * np.array([[0.0, 1.0]])) - places) / 1e-3
    along = (mapped(transform, points + 1e-3 * np.array([[1.0, 0.0]])) - places) / 1e-3
    scales = np.sqrt(np.abs(along[:, 0] * crossing[:, 1] - along[:, 1] * crossing[:, 0]))
    query_angles = (np.rad2deg(np.arctan2(arrows[:, 1], arrows[:, 0])) + turn) % 360
    query_sizes = sizes * scales * grow
    places = places + rng.normal(0, noise, places.shape)
    places[n_common:] = rng.uniform((0, 0), (WIDTH, HEIGHT), (n_other, 2))
    order = rng.permutation(n)  # the query lists its features in another order
    query = photo(places[order], query_sizes[order], query_angles[order], order)
    common = {(int(np.flatnonzero(order == i)[0]), i) for i in range(n_common)}
    return query, photo(points, sizes, angles, np.arange(n)), common


def same(a, b):
    transforms = (a.transform is None and b.transform is None) or np.array_equal(a.transform, b.transform)
    return transforms and a.n_matches == b.n_matches and np.array_equal(a.inliers, b.inliers)


@pytest.mark.parametrize("options", EVERY_WAY, ids=str)
def test_the_planted_transform_and_its_inliers_are_found(options):
    transform = similarity() if options is SIMILARITY else HOMOGRAPHY
    query, image, common = pair_of(transform, 40, 60)
    found = verify(query, image, options)
    assert found.n_matches == 100
    inliers = {tuple(match) for match in found.inliers.tolist()}
    assert common <= inliers
    assert len(inliers) == found.n_inliers <= 43  # a wrong match may fall into place by chance
    corners = np.array([[60, 60], [700, 60], [700, 500], [60, 500]])
    assert np.abs(mapped(found.transform, corners) - mapped(transform, corners)).max() < 3


@pytest.mark.parametrize("options", EVERY_WAY, ids=str)
@settings(max_examples=15)
@given(
    degrees=st.floats(0, 360), scale=st.floats(0.3, 3), share=st.sampled_from([1.0, 0.5, 0.3]), seed=st.integers(0, 99)
)
def test_photos_lying_any_way_are_recognised(options, degrees, scale, share, seed):
    centre = mapped(similarity(scale, degrees, (0, 0)), np.array([[WIDTH / 2, HEIGHT / 2]]))[0]
    transform = similarity(scale, degrees, (WIDTH / 2 - centre[0], HEIGHT / 2 - centre[1]))
    query, image, common = pair_of(transform, 30, round(30 / share) - 30, seed=seed)
    found = verify(query, image, options)
    assert {tuple(match) for match in found.inliers.tolist()} >= common


@pytest.mark.parametrize("options", EVERY_WAY, ids=str)
@pytest.mark.parametrize("seed", range(5))
def test_matches_that_lie_anywhere_are_no_inliers(options, seed):
    query, image, _ = pair_of(HOMOGRAPHY, 0, 100, seed=seed)
    found = verify(query, image, options)
    assert (found.n_matches, found.n_inliers, found.transform, found.inliers.shape) == (100, 0, None, (0, 2))


@pytest.mark.parametrize("options", EVERY_WAY, ids=str)
def test_a_mirror_image_is_refused(options):
    mirror = np.array([[-1.0, 0, WIDTH], [0, 1, 0], [0, 0, 1]])
    query, image, _ = pair_of(mirror, 60)
    assert verify(query, image, options).n_inliers == 0


@pytest.mark.parametrize("options", EVERY_WAY, ids=str)
@pytest.mark.parametrize(
    "wrong",
    [{"turn": 45.0}, {"turn": -90.0}, {"turn": 180.0}, {"grow": 2.5}, {"grow": 0.3}],
    ids=str,
)
def test_keypoints_that_turn_or_size_otherwise_are_no_inliers(options, wrong):
    query, image, _ = pair_of(similarity(), 60, **wrong)
    assert verify(query, image, options).n_inliers == 0
    query, image, _ = pair_of(
        similarity(), 60, **{name: value**0.25 if name == "grow" else 15.0 for name, value in wrong.items()}
    )
    assert verify(query, image, options).n_inliers == 60


@pytest.mark.parametrize(
    "transform",
    [similarity(scale=1 / 15), np.diag([1.0, 0.15, 1.0]), np.diag([0.15, 1.0, 1.0])],
    ids=["15 times smaller", "flattened", "narrowed"],
)
def test_extreme_views_are_refused(transform):
    query, image, _ = pair_of(transform, 60, noise=0.0)
    assert verify(query, image).n_inliers == 0
    milder = np.diag([0.5, 0.2, 1.0])
    assert verify(*pair_of(milder, 60, noise=0.0)[:2]).n_inliers == 60


def test_a_horizon_between_the_features_is_no_view():
    # x = 400 goes to infinity: each half alone would be a view, both together are not.
    folded = np.array([[1.0, 0, 0], [0, 1.0, 0], [-1 / 400, 0, 1.0]])
    rng = np.random.default_rng(3)
    left = rng.uniform((20, 20), (150, 580), (30, 2))
    right = rng.uniform((650, 20), (780, 580), (12, 2))
    query, image, _ = pair_of(folded, 42, points=np.concatenate([left, right]), noise=0.0)
    found = verify(query, image)
    assert sorted(found.inliers[:, 1].tolist()) == list(range(30))


@pytest.mark.parametrize("options", EVERY_WAY, ids=str)
@pytest.mark.parametrize("spread", [(2.0, 2.0), (300.0, 1.0), (0.0, 0.0), (300.0, 0.0)], ids=str)
def test_features_in_one_spot_or_on_one_line_prove_nothing(options, spread):
    points = np.random.default_rng(0).normal((400, 300), spread, (50, 2))
    query, image, _ = pair_of(np.eye(3), 50, points=points, noise=0.0)
    found = verify(query, image, options)
    assert (found.n_matches, found.n_inliers) == (50, 0)


@pytest.mark.parametrize("options", EVERY_WAY, ids=str)
@pytest.mark.parametrize("n", range(12))
def test_min_inliers_is_the_smallest_number_that_counts(options, n):
    query, image, _ = pair_of(similarity(), n, noise=0.1)
    found = verify(query, image, options)
    assert found.n_matches == (n if n > 1 else 0)
    assert found.n_inliers == (n if n >= options.min_inliers else 0)
    assert (found.transform is None) == (n < options.min_inliers)


def test_the_error_is_a_share_of_the_query_photo():
    query, image, _ = pair_of(similarity(), 60, noise=0.4)
    large = photo(query.keypoints[:, :2] * 5, query.keypoints[:, 2] * 5, query.keypoints[:, 3], np.arange(60))
    large.descriptors, large.width, large.height = query.descriptors, WIDTH * 5, HEIGHT * 5
    small, big = verify(query, image), verify(large, image)
    assert (small.n_inliers, big.n_inliers) == (60, 60)
    strict = VerificationOptions(max_error=0.0005)  # 0.4 pixels of 800: the noise itself
    assert verify(query, image, strict).n_inliers < 45


@pytest.mark.parametrize("options", EVERY_WAY, ids=str)
def test_the_result_does_not_depend_on_threads_order_or_any_other_generator(options):
    pairs = [pair_of(similarity(), 14, 60, seed=seed)[:2] for seed in range(12)]
    alone = [verify(query, image, options) for query, image in pairs]
    cv2.setRNGSeed(12345)
    again = [verify(query, image, options) for query, image in reversed(pairs)][::-1]
    with ThreadPoolExecutor(4) as pool:
        threaded = list(pool.map(lambda pair: verify(*pair, options), pairs * 3))
    assert any(found.n_inliers for found in alone)
    assert all(map(same, alone, again))
    assert all(map(same, alone * 3, threaded))


@pytest.mark.parametrize("method", ["magsac", "lo-ransac"])
def test_a_choice_of_method_reaches_the_estimator(method):
    query, image, _ = pair_of(HOMOGRAPHY, 40, 60)
    default, chosen = verify(query, image), verify(query, image, VerificationOptions(method=method))
    assert same(default, chosen) == (method == "magsac")


def broken(**changes):
    query, _, _ = pair_of(similarity(), 20)
    return SimpleNamespace(**{**vars(query), **changes})


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        (broken(keypoints=np.zeros((19, 4), np.float32)), r"keypoints: expected \(20, 4\)"),
        (broken(keypoints=np.zeros((20, 2), np.float32)), "keypoints"),
        (broken(keypoints=np.full((20, 4), np.nan, np.float32)), "keypoints: row 0 has NaN"),
        (broken(descriptors=np.zeros((20, 31), np.uint8)), "31"),
        (broken(width=0), "width"),
        (broken(height="600"), "height"),
    ],
)
def test_unfit_features_are_refused_by_name(bad, named):
    query, image, _ = pair_of(similarity(), 20)
    with pytest.raises(InvalidInputError, match=named):
        verify(query, bad)
    with pytest.raises(InvalidInputError, match=named):
        verify(bad, image)


@pytest.mark.parametrize(
    "wrong",
    [
        {"model": "affine"},
        {"method": "ransac"},
        {"model": "similarity", "method": "magsac"},
        {"ratio": 0},
        {"ratio": 1.5},
        {"max_error": 6},
        {"max_error": True},
        {"min_inliers": 3},
        {"min_inliers": 8.0},
        {"mutual": 1},
    ],
    ids=str,
)
def test_impossible_options_are_refused_by_name(wrong):
    with pytest.raises(InvalidInputError, match=list(wrong)[-1]):
        VerificationOptions(**wrong)


def test_without_opencv_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    query, image, _ = pair_of(similarity(), 20)
    with pytest.raises(MissingExtraError, match=r"metricsearch\[features\]"):
        verify(query, image)
