"""MOP against the steps of its paper taken one by one, on activations that need no network; once on the real one."""

import io
import os

import numpy as np
import pytest
from oracle import features as oracle
from PIL import Image

from metricsearch.errors import InvalidInputError, MissingDataError
from metricsearch.features.aggregated.pca import PCA
from metricsearch.features.cnn import models_directory, mop
from metricsearch.features.cnn.mop import MopFeature, MopLevel, train_mop
from metricsearch.features.photo import Photo
from metricsearch.features.trained import load_feature, save_feature

SMALL = {"n_components": 5, "n_words": 3, "level_dimension": 4}
N_PHOTOS = 8


class MeanColours:
    """Activations that look like those of a network: 12 numbers of 2 x 2 cells, some of them 0."""

    name = "means"
    dimension = 12

    def of_pixels(self, pixels):
        rows = [half for part in np.array_split(pixels.astype(np.float64), 2) for half in np.array_split(part, 2, 1)]
        return np.maximum(np.concatenate([cell.mean(axis=(0, 1)) for cell in rows]) - 60, 0).astype(np.float32)

    def provenance(self):
        return {"feature": "means", "libraries": {"numpy": "2"}}


@pytest.fixture
def means(monkeypatch):
    base = MeanColours()
    monkeypatch.setattr(mop, "get_cnn_feature", lambda text: base)
    return base


def picture(seed, width=60, height=44):
    rng = np.random.default_rng(seed)
    return np.asarray(
        Image.fromarray(rng.integers(0, 256, (7, 9, 3), dtype=np.uint8)).resize(
            (width, height), Image.Resampling.BICUBIC
        )
    )


def photo_of(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return Photo(file.getvalue())


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(N_PHOTOS):
        Image.fromarray(picture(i)).save(folder / f"{i}.png")
    return folder


def test_the_vector_is_what_the_steps_of_the_paper_give(means, photos):
    feature = train_mop(photos, "means", **SMALL)
    assert feature.dimension == 12 + 4 + 4
    pixels = picture(99)
    square = np.asarray(Image.fromarray(pixels).resize((256, 256), Image.Resampling.BILINEAR))
    expected = oracle.unit(means.of_pixels(square))
    for level, n in zip(feature.levels, (25, 49), strict=True):
        patches = oracle.patches(square, level.side, 32)
        assert len(patches) == n
        reduced = [level.activations.components @ (means.of_pixels(p) - level.activations.mean) for p in patches]
        words = np.array(oracle.vlad(reduced, level.centres.astype(float), "power"))
        expected = [*expected, *oracle.unit(level.vlads.components @ (words - level.vlads.mean))]
    vector = feature.extract(photo_of(pixels))
    assert (vector.dtype, vector.shape) == (np.float32, (20,))
    np.testing.assert_allclose(vector, expected, atol=2e-6)


def test_what_is_learned_comes_from_the_patches_of_all_photos(means, photos):
    feature = train_mop(photos, "means", **SMALL)
    squares = [np.asarray(Image.fromarray(picture(i)).resize((256, 256), Image.Resampling.BILINEAR)) for i in range(8)]
    for level in feature.levels:
        x = np.array([means.of_pixels(p) for square in squares for p in oracle.patches(square, level.side, 32)], float)
        np.testing.assert_allclose(level.activations.mean, x.mean(axis=0), rtol=1e-5)
        values = np.linalg.eigvalsh(np.cov(x.T))[::-1][:5]
        np.testing.assert_allclose(level.activations.variances, values, rtol=1e-4)
        y = (x - level.activations.mean) @ level.activations.components.T
        labels = np.array([oracle.nearest_centre(row, level.centres) for row in y])
        for k, centre in enumerate(level.centres):  # k-means came to rest, or nearly
            np.testing.assert_allclose(centre, y[labels == k].mean(axis=0), atol=0.05 * np.abs(y).max())


def test_the_scales_weigh_the_same(means, photos):
    vector = train_mop(photos, "means", **SMALL).extract(photo_of(picture(50)))
    for part in (vector[:12], vector[12:16], vector[16:]):
        assert np.linalg.norm(part) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((1, 1, 3)),
        np.full((2, 1, 3), 255),
        np.zeros((40, 30, 3)),
        np.full((1, 5000, 3), 200),
        np.full((9, 9, 3), 77),
    ],
    ids=["1x1", "2x1 white", "black", "5000x1", "grey"],
)
def test_every_photo_has_finite_values(means, photos, pixels):
    feature = train_mop(photos, "means", **SMALL)
    vector = feature.extract(photo_of(pixels.astype(np.uint8)))
    assert vector.shape == (feature.dimension,)
    assert np.isfinite(vector).all()


def test_the_same_photos_and_seed_give_the_same_bits_on_any_number_of_threads(means, photos):
    one, two = (train_mop(photos, "means", **SMALL, seed=3, n_threads=n) for n in (1, 2))
    assert one.recipe() == two.recipe()
    for name, array in one.arrays().items():
        assert np.array_equal(array, two.arrays()[name]), name
    assert one.provenance() == two.provenance()
    assert train_mop(photos, "means", **SMALL, seed=4).provenance() != one.provenance()


def test_sizes_follow_the_number_of_photos_unless_they_are_given(means, photos):
    feature = train_mop(photos, "means", n_components=5, n_words=3)
    assert [level.vlads.dimension for level in feature.levels] == [4, 4]
    assert [len(level.centres) for level in feature.levels] == [3, 3]
    other = train_mop(photos, "means", patch_sides=[200], stride=50, n_components=2, n_words=2, name="coarse")
    assert (other.name, other.dimension, other.recipe()["patch_sides"]) == ("coarse", 12 + 4, [200])


def test_a_saved_feature_is_the_same_feature(means, photos, tmp_path):
    feature = train_mop(photos, "means", **SMALL)
    assert feature.name == "mop-means"
    save_feature(tmp_path / "mop.feature", feature)
    asked = []
    loaded = load_feature(tmp_path / "mop.feature", lambda text: asked.append(text) or means)
    assert asked == ["means"]
    assert isinstance(loaded, MopFeature)
    assert loaded.provenance() == feature.provenance()
    photo = photo_of(picture(31))
    assert np.array_equal(loaded.extract(photo), feature.extract(photo))


def test_a_feature_does_not_come_back_on_another_base(means, photos, tmp_path):
    save_feature(tmp_path / "mop.feature", train_mop(photos, "means", **SMALL))

    class Other(MeanColours):
        def provenance(self):
            return {"feature": "other", "libraries": {"numpy": "2"}}

    with pytest.raises(InvalidInputError, match="trained on means"):
        load_feature(tmp_path / "mop.feature", lambda text: Other())
    with pytest.raises(InvalidInputError, match="no CNN feature"):
        load_feature(tmp_path / "mop.feature", lambda text: object())


def level_with(width=12, n_words=2, vlad_numbers=6):
    return MopLevel(
        64,
        PCA(np.zeros(width), np.eye(3, width), np.ones(3)),
        np.zeros((n_words, 3), dtype=np.float32),
        PCA(np.zeros(vlad_numbers), np.eye(1, vlad_numbers), np.ones(1)),
    )


def test_parts_that_do_not_fit_together_are_refused(means):
    about = {"photos": 1, "sha256": ""}
    MopFeature(means, "means", [level_with()], 32, "m", about)
    with pytest.raises(InvalidInputError, match=r"trained on activations of 13 numbers, but means gives 12"):
        MopFeature(means, "means", [level_with(13)], 32, "m", about)
    with pytest.raises(InvalidInputError, match="do not fit together"):
        MopLevel.from_arrays(64, level_with(n_words=3).arrays())


def test_a_photo_without_any_word_is_zero_in_that_scale():
    level = level_with()
    assert level.vector(np.zeros((4, 12), dtype=np.float32)).tolist() == [0]


MISTAKES = {
    "too few photos for the words": ({"n_words": 300, "n_components": 5}, "photos: 8, .* need at least 13"),
    "too few photos for a scale": ({"level_dimension": 8}, "photos: 8, .* need at least 9"),
    "more components than numbers": ({"n_components": 13}, "n_components: 13, but the activations have 12"),
    "a scale longer than its VLAD": ({"level_dimension": 16}, "level_dimension: 16, .* 15 numbers"),
    "one word": ({"n_words": 1}, "n_words"),
    "no component": ({"n_components": 0}, "n_components"),
    "no dimension": ({"level_dimension": 0}, "level_dimension"),
    "no stride": ({"stride": 0}, "stride"),
    "no scale": ({"patch_sides": []}, "patch_sides: expected a list"),
    "one side": ({"patch_sides": 64}, "patch_sides: expected a list"),
    "a patch larger than the photo": ({"patch_sides": [257]}, r"patch_sides\[0\]"),
    "the same scale twice": ({"patch_sides": [64, 64]}, "different sides"),
    "a negative seed": ({"seed": -1}, "seed"),
    "a name with a slash": ({"name": "a/b"}, "expected a name of letters"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found_before_any_photo_is_read(means, photos, mistake, monkeypatch):
    arguments, words = MISTAKES[mistake]
    monkeypatch.setattr(mop, "_store_activations", lambda *_: pytest.fail("a photo was read"))
    with pytest.raises(InvalidInputError, match=words) as refused:
        train_mop(photos, "means", **{**SMALL, **arguments})
    assert "\n" not in str(refused.value)


def test_a_photo_that_cannot_be_read_is_named(means, photos):
    (photos / "5.png").write_text("no photo")
    with pytest.raises(InvalidInputError, match=r"5\.png: not a photo.*leave it out"):
        train_mop(photos, "means", **SMALL)
    with pytest.raises(MissingDataError, match="nowhere"):
        train_mop([photos / "nowhere.png"], "means", **SMALL)


def test_photos_of_one_colour_only_teach_nothing(means, tmp_path):
    for i in range(3):
        Image.new("RGB", (20, 20), "green").save(tmp_path / f"{i}.png")
    with pytest.raises(InvalidInputError, match="all .* vectors are equal"):
        train_mop(tmp_path, "means", n_components=2, n_words=2, level_dimension=1)


def test_the_real_network_and_real_photos(data_dir):
    if models_directory() is None:
        if os.environ.get("CI"):
            pytest.fail("no models; set METRICSEARCH_MODELS")
        pytest.skip("no models; set METRICSEARCH_MODELS")
    photos = sorted(data_dir.glob("corel5k/001/*.jpg"))[:12]
    feature = train_mop(photos, "googlenet:pool5", patch_sides=[128], stride=64, n_components=20, n_words=8)
    assert (feature.name, feature.dimension) == ("mop-googlenet:pool5", 1024 + 6)
    vector = feature.extract(Photo.read(photos[0]))
    square = np.asarray(Image.open(photos[0]).convert("RGB").resize((256, 256), Image.Resampling.BILINEAR))
    np.testing.assert_allclose(vector[:1024], oracle.unit(feature.base.of_pixels(square)), atol=1e-6)
    assert np.linalg.norm(vector[1024:]) == pytest.approx(1, abs=1e-6)
    assert "googlenet" in feature.provenance()["base"]["feature"]
