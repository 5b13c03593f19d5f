"""The order of an answer after verification."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricsearch.errors import DuplicateIdError, InvalidInputError
from metricsearch.verification import VerificationOptions, rerank, verify

CODES = np.random.default_rng(7).integers(0, 256, (200, 128), dtype=np.uint8)


def photo(points, codes):
    points = np.asarray(points, dtype=np.float32)
    keypoints = np.column_stack([points, np.full(len(points), 8), np.zeros(len(points))]).astype(np.float32)
    return SimpleNamespace(keypoints=keypoints, descriptors=CODES[codes], width=800, height=600)


POINTS = np.random.default_rng(8).uniform(50, 550, (100, 2))
QUERY = photo(POINTS, np.arange(100))


def image_with(n_common):
    """An image that shares the first n features with the query, moved by (20, 10), and nothing else."""
    return photo(np.concatenate([POINTS[:n_common] - (20, 10), POINTS[:5]]), [*range(n_common), *range(195, 200)])


@given(commons=st.lists(st.sampled_from([0, 5, 6, 20, 30]), max_size=8), top=st.integers(0, 9), ties=st.booleans())
def test_the_order_is_by_inliers_then_score_then_id(commons, top, ties):
    ids = np.arange(len(commons))[::-1] * 3 + 5
    scores = np.zeros(len(commons)) if ties else np.arange(len(commons)) / 10
    images = dict(zip(ids.tolist(), map(image_with, commons), strict=True))
    result = rerank(ids, scores, QUERY, images.__getitem__, top=top, n_threads=1)
    inliers = {
        i: (n if n >= 6 else 0) if place < top else 0 for place, (i, n) in enumerate(zip(images, commons, strict=True))
    }
    score_of = dict(zip(ids.tolist(), scores, strict=True))
    expected = sorted(ids[:top].tolist(), key=lambda i: (-inliers[i], score_of[i], i)) + ids[top:].tolist()
    assert result.ids.tolist() == expected
    assert result.scores.tolist() == [score_of[i] for i in expected]
    assert result.n_inliers.tolist() == [inliers[i] for i in expected]
    assert [found.n_inliers for found in result.verifications] == result.n_inliers[:top].tolist()


def test_only_the_first_images_are_loaded_and_verified():
    asked = []
    rerank([4, 9, 2], [0.1, 0.2, 0.3], QUERY, lambda i: asked.append(i) or image_with(20), top=2, n_threads=1)
    assert asked == [4, 9]


def test_threads_change_nothing_and_are_used():
    ids = np.arange(40)
    images = [image_with(n) for n in range(40)]
    names = set()
    gate = threading.Barrier(3, timeout=20)

    def load(i):
        names.add(threading.get_ident())
        if i < 3:
            gate.wait()  # passes only if three threads are here at once
        return images[i]

    alone = rerank(ids, ids / 40, QUERY, images.__getitem__, n_threads=1)
    threaded = rerank(ids, ids / 40, QUERY, load, n_threads=3)
    assert len(names) == 3
    assert alone.ids.tolist() == threaded.ids.tolist()
    for one, other in zip(alone.verifications, threaded.verifications, strict=True):
        assert np.array_equal(one.inliers, other.inliers)
        assert one.transform is None or np.array_equal(one.transform, other.transform)


def test_the_options_reach_the_verification():
    images = {1: image_with(5), 2: image_with(3)}
    strict = rerank([1, 2], [0, 1], QUERY, images.__getitem__)
    loose = rerank([1, 2], [0, 1], QUERY, images.__getitem__, options=VerificationOptions(min_inliers=4))
    assert (strict.n_inliers.tolist(), loose.n_inliers.tolist()) == ([0, 0], [5, 0])
    assert [found.n_matches for found in strict.verifications] == [5, 3]


def test_an_empty_answer_and_a_query_without_features_stay_as_they_are():
    empty = rerank([], [], QUERY, lambda i: image_with(9))
    assert (empty.ids.shape, empty.ids.dtype, empty.verifications) == ((0,), np.int64, ())
    blank = photo(np.empty((0, 2)), np.empty(0, dtype=int))
    result = rerank([7, 3], [0.5, 0.7], blank, lambda i: image_with(9))
    assert (result.ids.tolist(), result.n_inliers.tolist()) == ([7, 3], [0, 0])
    assert rerank([7], [0.5], QUERY, lambda i: blank).verifications[0].n_matches == 0


def test_what_is_wrong_is_named():
    with pytest.raises(InvalidInputError, match="scores: expected 2"):
        rerank([1, 2], [0.1], QUERY, lambda i: image_with(9))
    with pytest.raises(InvalidInputError, match="scores"):
        rerank([1, 2], [0.1, np.nan], QUERY, lambda i: image_with(9))
    with pytest.raises(DuplicateIdError, match="ids"):
        rerank([1, 1], [0.1, 0.2], QUERY, lambda i: image_with(9))
    with pytest.raises(InvalidInputError, match="top"):
        rerank([1], [0.1], QUERY, lambda i: image_with(9), top=-1)
    bad = image_with(9)
    bad.descriptors = bad.descriptors[:, :8]
    with pytest.raises(InvalidInputError, match="8 dimensions|of 8"):
        rerank([3], [0.1], QUERY, lambda i: bad)
    bad.keypoints = bad.keypoints[:3]
    with pytest.raises(InvalidInputError, match="image 3 keypoints"):
        rerank([3], [0.1], QUERY, lambda i: bad)
    with pytest.raises(KeyError):
        rerank([3], [0.1], QUERY, {}.__getitem__)


@pytest.fixture(scope="module")
def covers(data_dir):
    """SIFT of every tenth DVD cover and of two phone photos of each; {name: features}, {photo: cover}."""
    import csv

    import cv2

    folder = data_dir / "dvd_covers"
    with (folder / "ground_truth.csv").open() as file:
        rows = list(csv.DictReader(file))
    shown = sorted({row["reference"] for row in rows})[::10]
    cover_of = {}
    for name in shown:
        cover_of |= {row["query"]: name for row in [row for row in rows if row["reference"] == name][1::2]}
    features = {}
    for name in [*shown, *cover_of]:
        grey = cv2.imread(str(folder / name), cv2.IMREAD_GRAYSCALE)
        points, descriptors = cv2.SIFT_create(1500).detectAndCompute(grey, None)
        keypoints = np.array([(*point.pt, point.size, point.angle) for point in points], dtype=np.float32)
        height, width = grey.shape
        features[name] = SimpleNamespace(
            keypoints=keypoints, descriptors=descriptors.astype(np.uint8), width=width, height=height
        )
    return features, cover_of


@pytest.mark.parametrize("model", ["homography", "similarity"])
def test_phone_photos_of_dvd_covers_find_their_cover(covers, model):
    features, cover_of = covers
    names = [name for name in features if name not in cover_of]
    options = VerificationOptions(model=model)
    for name, cover in cover_of.items():
        result = rerank(
            np.arange(len(names)), np.zeros(len(names)), features[name], lambda i: features[names[i]], options=options
        )
        assert names[result.ids[0]] == cover
        assert result.n_inliers[0] >= 15
        assert (result.n_inliers[1:] < result.n_inliers[0] / 2).all()
        found = result.verifications[0]
        corners = np.array([[0, 0, 1], [features[cover].width, features[cover].height, 1]]) @ found.transform.T
        assert (np.abs(corners[:, :2] / corners[:, 2:]) < 1600).all()  # the cover lies in the photo, or nearly
        assert verify(features[name], features[cover], options).n_inliers == found.n_inliers
