"""Five crops of every photo as benchmark data: where they lie, and that no photo gives both objects and queries."""

import cv2
import numpy as np
import pytest
from oracle.features import noise

from metricsearch.bench import photo_data
from metricsearch.bench.photo_crops import CroppedFeature, five_crops
from metricsearch.bench.photo_data import photo_descriptors
from metricsearch.datasets import ImageSet
from metricsearch.errors import InvalidInputError
from metricsearch.features import GlobalFeature, Photo, get_feature

N_PHOTOS = 9


class Mean(GlobalFeature):
    """Mean colour of a patch, and its size."""

    name, metric, dimension = "mean", "euclidean", 5

    @staticmethod
    def of_pixels(pixels):
        return np.array([*pixels.mean(axis=(0, 1)), *pixels.shape[:2]], dtype=np.float32)

    def extract(self, photo):
        return self.of_pixels(photo.rgb)

    def provenance(self):
        return {"feature": "mean"}


@pytest.mark.parametrize(("height", "width"), [(50, 40), (1, 1), (3, 2), (7, 101)])
def test_crops_are_four_fifths_of_both_sides_and_reach_all_corners(height, width):
    pixels = np.arange(height * width * 3, dtype=np.uint32).reshape(height, width, 3)
    crops = five_crops(pixels)
    assert [crop.shape for crop in crops] == [(max(1, round(0.8 * height)), max(1, round(0.8 * width)), 3)] * 5
    corners = [(0, 0), (0, -1), (-1, 0), (-1, -1)]
    for crop, (row, column) in zip(crops, corners, strict=False):
        assert np.array_equal(crop[row, column], pixels[row, column])
    rows, columns = crops[4].shape[:2]
    top, left = (height - rows) // 2, (width - columns) // 2
    assert np.array_equal(crops[4], pixels[top : top + rows, left : left + columns])


def test_a_feature_of_whole_photos_has_no_crops():
    with pytest.raises(InvalidInputError, match="crops: hsv describes whole photos only; use a CNN feature"):
        CroppedFeature(get_feature("hsv"))


def test_crops_are_objects_and_the_centres_of_other_photos_queries(tmp_path, monkeypatch):
    paths = [tmp_path / f"{i}.png" for i in range(N_PHOTOS)]
    for i, path in enumerate(paths):
        cv2.imwrite(str(path), noise(48, 64, seed=i))
    sets = {"set": ImageSet("set", "Set", tuple(paths), tuple(path.name for path in paths), ())}
    monkeypatch.setenv("METRICSEARCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(photo_data, "load_image_set", sets.__getitem__)
    monkeypatch.setattr(photo_data, "get_feature", lambda name: Mean())
    objects, queries, text = photo_descriptors(["set"], "mean", None, 3, 0, crops=True)
    crops = [[Mean.of_pixels(crop).tobytes() for crop in five_crops(Photo.read(path).rgb)] for path in paths]
    of_query = [row.tobytes() for row in queries]
    held_out = [of_photo for of_photo in crops if of_photo[4] in of_query]
    assert objects.shape == (5 * (N_PHOTOS - 3), 5)
    assert len(held_out) == 3
    expected = sorted(crop for of_photo in crops if of_photo not in held_out for crop in of_photo)
    assert sorted(row.tobytes() for row in objects) == expected
    assert "AUGMENTED: 5 crops of each photo are objects; 30 crops of photos as objects, 3 others as queries" in text
    some, same, _ = photo_descriptors(["set"], "mean", 7, 3, 0, crops=True)
    assert len(some) == 7
    assert np.array_equal(same, queries)
