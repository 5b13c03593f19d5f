"""Photo descriptors as benchmark data: which photos and rows are objects and queries, nothing extracted twice."""

import cv2
import numpy as np
import pytest
from oracle.features import noise

from metricsearch.bench import photo_data
from metricsearch.bench.photo_data import photo_descriptors
from metricsearch.datasets import ImageQuery, ImageSet
from metricsearch.errors import InvalidInputError, UnknownNameError
from metricsearch.features import FeatureFile, Photo, get_feature

N_PHOTOS = 24


@pytest.fixture
def sets(tmp_path):
    """Two image sets of 24 photos of different content; the second has two copies of photos of the first."""
    paths = [tmp_path / f"{i:02}.png" for i in range(N_PHOTOS + 2)]
    for i, path in enumerate(paths[:N_PHOTOS]):
        cv2.imwrite(str(path), noise(48, 64, seed=i))
    for copy, original in ((paths[N_PHOTOS], paths[0]), (paths[N_PHOTOS + 1], paths[1])):
        copy.write_bytes(original.read_bytes())
    first, second = paths[:10], paths[10:20] + paths[N_PHOTOS:]
    queries = tuple(ImageQuery(path=path, relevant=frozenset(), group="") for path in paths[20:N_PHOTOS])
    names = [tuple(path.name for path in part) for part in (first, second)]
    return {
        "first": ImageSet("first", "First", tuple(first), names[0], ()),
        "second": ImageSet("second", "Second", tuple(second), names[1], queries),
    }


@pytest.fixture
def load(sets, tmp_path, monkeypatch):
    """photo_descriptors of the two sets, with an empty cache; extractions are counted in `load.calls`."""
    monkeypatch.setenv("METRICSEARCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(photo_data, "load_image_set", sets.__getitem__)

    def descriptors(feature, n, n_queries, seed=0, photos=("first", "second")):
        return photo_descriptors(photos, feature, n, n_queries, seed)

    return descriptors


@pytest.fixture
def photos(sets):
    """The 24 photos of different content."""
    second = sets["second"]
    return [*sets["first"].images, *second.images[:10], *(query.path for query in second.queries)]


def rows(array):
    return [row.tobytes() for row in array]


def test_a_global_feature_gives_every_content_once(load, photos):
    objects, queries, text = load("lbp-grid", None, 5)
    feature = get_feature("lbp-grid")
    expected = {feature.extract(Photo.read(path)).tobytes() for path in photos}
    assert len(expected) == N_PHOTOS
    assert (objects.shape, queries.shape) == ((N_PHOTOS - 5, feature.dimension), (5, feature.dimension))
    assert objects.dtype == queries.dtype == np.float32
    assert set(rows(objects)) | set(rows(queries)) == expected
    assert "lbp-grid of the photos of first, second" in text
    assert "19 photos as objects, 5 others as queries" in text


def test_queries_of_a_global_feature_do_not_depend_on_n(load):
    few, queries, _ = load("lbp-grid", 4, 5)
    many, same, _ = load("lbp-grid", 12, 5)
    _, others, _ = load("lbp-grid", 12, 5, seed=1)
    assert np.array_equal(queries, same)
    assert not np.array_equal(queries, others)
    assert (len(few), len(many)) == (4, 12)
    assert set(rows(few)) < set(rows(many))


def test_no_photo_gives_both_objects_and_queries_of_a_local_feature(load, photos):
    sift = get_feature("sift")
    of_photo = [set(rows(sift.extract(Photo.read(path)).descriptors.astype(np.float32))) for path in photos]
    n_objects = set()
    for seed in range(4):
        objects, queries, _ = load("sift", None, 3, seed)
        assert objects.shape[1] == queries.shape[1] == 128
        (source,) = [i for i, descriptors in enumerate(of_photo) if set(rows(queries)) <= descriptors]
        others = set().union(*(of_photo[i] for i in range(N_PHOTOS) if i != source))
        assert set(rows(objects)) == others
        n_objects.add(len(objects))
    assert len(n_objects) > 1  # the seeds held out different photos


def test_a_part_of_a_local_feature_is_drawn_by_seed(load):
    part, queries, text = load("sift", 50, 3)
    again, _, _ = load("sift", 50, 3)
    other, _, _ = load("sift", 50, 3, seed=1)
    whole, same, _ = load("sift", None, 3)
    assert np.array_equal(part, again)
    assert not np.array_equal(part, other)
    assert np.array_equal(queries, same)
    assert set(rows(part)) <= set(rows(whole))
    assert f"50 of the {len(whole):,} descriptors of 23 photos as objects" in text
    assert "3 descriptors of 1 other photos as queries" in text


def test_photos_are_described_once(load, tmp_path, monkeypatch):
    load("sift", 10, 2)
    (file,) = (tmp_path / "cache" / "bench-features").glob("*.h5")
    before = file.stat().st_mtime_ns
    with FeatureFile.open(file) as features:
        assert len(features) == N_PHOTOS
    with monkeypatch.context() as patch:
        patch.setattr("metricsearch.features.feature.extract_local", None)
        load("sift", 20, 3, seed=5)
    assert file.stat().st_mtime_ns == before
    load("sift", 10, 2, photos=("first",))
    assert len(list(file.parent.glob("*.h5"))) == 2


@pytest.mark.parametrize(
    ("feature", "n", "n_queries", "message"),
    [
        ("lbp-grid", 20, 5, "n: there are 19 photos that are no queries, 20 were asked for"),
        ("lbp-grid", None, 24, "n_queries: there are 23 photos but one, 24 were asked for"),
        ("sift", 10**6, 2, "descriptors in the other photos, 1,000,000 were asked for"),
        ("sift", 10, 10**5, "n_queries: there are .* held out for queries, 100,000 were asked for"),
        ("lbp-grid", 0, 5, "n: expected a whole number >= 1"),
        ("lbp-grid", 5, 0, "n_queries: expected a whole number >= 1"),
    ],
)
def test_more_than_there_is_is_refused(load, feature, n, n_queries, message):
    with pytest.raises(InvalidInputError, match=message):
        load(feature, n, n_queries)


def test_names_are_checked_before_any_photo_is_read(load):
    with pytest.raises(UnknownNameError, match="nosuch"):
        load("nosuch", 5, 5)
    with pytest.raises(InvalidInputError, match="expected a list of image sets"):
        load("sift", 5, 5, photos="first")
    with pytest.raises(InvalidInputError, match="expected a list of image sets"):
        load("sift", 5, 5, photos=())


def test_a_photo_that_cannot_be_read_is_named(load, sets, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no photo")
    sets["broken"] = ImageSet("broken", "Broken", (broken,), ("broken.png",), ())
    with pytest.raises(InvalidInputError, match=r"broken\.png.*every photo is needed"):
        load("sift", 5, 5, photos=("first", "broken"))


def test_one_photo_is_too_few_for_objects_and_queries(load, sets):
    images = sets["first"]
    sets["one"] = ImageSet("one", "One", images.images[:1], images.image_names[:1], ())
    with pytest.raises(InvalidInputError, match="photos: there are 1 photos there, 2 were asked for"):
        load("sift", 1, 1, photos=("one",))
