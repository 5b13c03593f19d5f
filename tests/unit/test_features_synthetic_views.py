"""Synthetic views: the same for the same seed, where their homography says, and found again by their features."""

import io

import cv2
import numpy as np
import pytest
from oracle.features import mapped, noise, right_matches
from PIL import Image

from metricsearch.errors import ExistsError, InvalidInputError, MissingDataError
from metricsearch.features import extract_local, read_photo
from metricsearch.features.synthetic_views import synthetic_views, write_synthetic_views


@pytest.fixture(scope="module")
def photo(data_dir):
    return read_photo(data_dir / "ukbench" / "ukbench00004.jpg", colour=True)


@pytest.mark.parametrize("shape", [(60, 80), (60, 80, 3), (1, 1), (3, 200, 3)])
def test_views_have_the_shape_of_the_photo(shape):
    photo = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    views = synthetic_views(photo, 3)
    assert len(views) == 3
    for view in views:
        assert view.image.shape == shape
        assert view.image.dtype == np.uint8
        assert view.homography.shape == (3, 3)
        assert view.homography[2, 2] == 1
        assert np.array_equal(np.array(Image.open(io.BytesIO(view.jpeg))), view.image)


def test_the_seed_and_the_number_decide():
    photo = noise()
    first, again, other = (synthetic_views(photo, 4, seed=seed) for seed in (5, 5, 6))
    assert all(a.jpeg == b.jpeg for a, b in zip(first, again, strict=True))
    assert len({view.jpeg for view in [*first, *other]}) == 8
    assert [view.jpeg for view in synthetic_views(photo, 2, seed=5)] == [view.jpeg for view in first[:2]]


def test_strength_0_is_the_photo_but_for_jpeg(photo):
    for view in synthetic_views(photo, 3, strength=0):
        assert np.allclose(view.homography, np.eye(3))
        assert np.abs(view.image.astype(int) - photo).mean() < 3


def test_stronger_is_further_from_the_photo(photo):
    height, width = photo.shape[:2]
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=float)

    def moved(strength):
        views = synthetic_views(photo, 8, seed=1, strength=strength)
        return np.mean([np.abs(mapped(corners, view.homography) - corners).mean() for view in views])

    assert 0 < moved(0.3) < moved(1.0) < moved(2.0)


@pytest.mark.parametrize("strength", [1.0, 3.0])
def test_the_photo_is_never_mirrored_or_behind_the_camera(strength):
    for seed in range(20):
        for view in synthetic_views(np.zeros((8, 12), np.uint8), 4, seed=seed, strength=strength):
            corners = np.array([[0, 0], [11, 0], [11, 7], [0, 7]], dtype=float)
            weights = np.column_stack([corners, np.ones(4)]) @ view.homography[2]
            assert (weights > 0).all()
            x, y = mapped(corners, view.homography).T
            area = 0.5 * (np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))
            assert area > 0


def test_a_mark_is_where_the_homography_puts_it():
    photo = np.full((200, 300), 40, dtype=np.uint8)
    cv2.circle(photo, (140, 90), 9, 255, -1)
    for view in synthetic_views(photo, 6, seed=3):
        bright = view.image.astype(float) - np.median(view.image)
        bright[bright < 0.5 * bright.max()] = 0
        y, x = np.mgrid[:200, :300]
        found = np.array([(x * bright).sum(), (y * bright).sum()]) / bright.sum()
        assert np.allclose(found, mapped(np.array([[140.0, 90.0]]), view.homography)[0], atol=1.5)


def test_features_find_the_views_again(photo):
    original = extract_local(photo)
    for view in synthetic_views(photo, 4, seed=2):
        n, right, chance = right_matches(original, extract_local(view.image), view.homography)
        assert right > 50
        assert right > 0.6 * n
        assert right > 10 * max(chance, 1)


def test_a_folder_of_views(tmp_path):
    paths = []
    for number in range(3):
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(np.stack([noise(seed=number)] * 3, axis=2)).save(paths[-1])
    groups = write_synthetic_views(paths, tmp_path / "views", seed=4)
    assert [[path.name for path in group] for group in groups] == [
        [f"{i:05}-{v}.jpg" for v in range(4)] for i in range(3)
    ]
    images = {path: path.read_bytes() for group in groups for path in group}
    assert len(set(images.values())) == 12
    again = write_synthetic_views(paths, tmp_path / "again", seed=4, n_threads=1)
    assert [path.read_bytes() for group in again for path in group] == list(images.values())
    alone = write_synthetic_views(paths[:1], tmp_path / "alone", seed=4)
    assert [path.read_bytes() for path in alone[0]] == list(images.values())[:4]
    assert len(list((tmp_path / "views").iterdir())) == 12


def test_mistakes(tmp_path):
    for bad in (np.zeros((4, 4)), np.zeros((0, 4), np.uint8), np.zeros((4, 4, 4), np.uint8)):
        with pytest.raises(InvalidInputError, match="photo: expected"):
            synthetic_views(bad)
    for options, words in (({"n_views": 0}, "n_views"), ({"seed": -1}, "seed"), ({"strength": 4}, "strength")):
        with pytest.raises(InvalidInputError, match=words):
            synthetic_views(noise(), **options)
    with pytest.raises(ExistsError, match="exists already"):
        write_synthetic_views([], tmp_path)
    with pytest.raises(MissingDataError, match="no such file"):
        write_synthetic_views([tmp_path / "x.jpg"], tmp_path / "views")
    assert not (tmp_path / "views").exists()  # or the next call would be refused
