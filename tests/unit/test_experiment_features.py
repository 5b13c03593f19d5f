import csv
import json
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from metricsearch.datasets import ImageQuery, ImageSet
from metricsearch.errors import ConfigError, InvalidInputError
from metricsearch.experiment import load_config, run_experiment
from metricsearch.experiment.features import data as data_module
from metricsearch.experiment.features.config import DataConfig, FeatureConfig
from metricsearch.experiment.features.data import load_photos
from metricsearch.experiment.features.describing import extraction_times, vectors
from metricsearch.experiment.features.searching import N_FIRST, evaluated, search_all
from metricsearch.experiment.features.training import reduced, trained
from metricsearch.experiment.parts import Phase
from metricsearch.features import Photo, get_feature
from metricsearch.report import write_paper_results
from metricsearch.spaces import get_metric

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"
CATEGORIES = ("ant", "bee", "cow", "dog", "eel")
PER_CATEGORY = 4
HEAD = """
title = "Tiny features"
source = "S1"
kind = "features"
paper = "63.9 % [README]"
difference = "other photos"
"""
DATA = """
[data]
images = "caltech101"
background = ["background_google"]
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """One cache for all tests of this file: features are extracted once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Photos of five categories and a background, each category of one hue and one texture; two are equal."""
    root = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for number, name in enumerate((*CATEGORIES, "background_google")):
        (root / name).mkdir()
        for i in range(PER_CATEGORY):
            noise = rng.integers(0, 60, (64, 80, 3))
            spots = np.kron(rng.integers(0, 2, (8, 10)), np.ones((8, 8), dtype=int))[:, :, None]
            colour = np.array([(number * 40) % 256, 255 - (number * 70) % 256, (number * 110) % 256])
            pixels = np.clip(noise + spots * 120 + colour // 2, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{i}.png")
    (root / "ant" / "3.png").write_bytes((root / "ant" / "0.png").read_bytes())
    return root


@pytest.fixture
def images(folder, monkeypatch):
    """The catalogue's sets have a fixed size: this one stands in their place."""
    paths = sorted(folder.rglob("*.png"))
    names = tuple(path.relative_to(folder).as_posix() for path in paths)
    found = ImageSet("caltech101", "tiny", tuple(paths), names, ())
    monkeypatch.setattr(data_module, "load_image_set", lambda name: found)
    return found


def data_config(**values):
    return DataConfig(images="caltech101", **{"background": ("background_google",), **values})


def category(path):
    return Path(path).parent.name


# ---------------------------------------------------------------- photos


def test_no_category_is_both_searched_and_trained_on(images):
    for seed in range(5):
        photos = load_photos(data_config(seed=seed), "half")
        tested = {query.group for query in photos.queries}
        trained = {category(path) for path in photos.training}
        assert (len(tested), len(trained)) == (3, 2)
        assert tested | trained == set(CATEGORIES)
        assert {category(path) for path in photos.database} == tested | {"background_google"}
        assert photos.n_background == PER_CATEGORY
        assert load_photos(data_config(seed=seed), "half").database == photos.database
    assert len({load_photos(data_config(seed=seed), "half").database for seed in range(10)}) > 1


def test_all_categories_leave_no_photo_to_train_on(images):
    photos = load_photos(data_config(), "all")
    assert {query.group for query in photos.queries} == set(CATEGORIES)
    assert photos.training == ()


def test_a_query_counts_neither_itself_nor_its_exact_copies(images):
    photos = load_photos(data_config(), "all")
    assert len(photos.queries) == len(CATEGORIES) * PER_CATEGORY
    for query in photos.queries:
        same = {row for row, path in enumerate(photos.database) if path.read_bytes() == query.path.read_bytes()}
        group = {row for row, path in enumerate(photos.database) if category(path) == query.group}
        assert photos.database[query.index] == query.path
        assert (query.junk, query.relevant) == (same, group - same)
    assert sorted(len(query.junk) for query in photos.queries)[-3:] == [1, 2, 2]


def test_the_number_per_category_limits_what_is_searched_and_trained_on_but_not_the_background(images):
    photos = load_photos(data_config(n_per_category=2), "half")
    assert (len(photos.queries), len(photos.training), photos.n_background) == (6, 4, PER_CATEGORY)


def test_independent_photos_that_are_searched_too_are_left_out(images, monkeypatch, folder, tmp_path):
    copy = tmp_path / "copy.png"
    copy.write_bytes((folder / "bee" / "1.png").read_bytes())
    other = tmp_path / "other.png"
    Image.new("RGB", (8, 8)).save(other)
    own = ImageSet("flickr8k", "", (copy, other), ("copy.png", "other.png"), ())
    monkeypatch.setattr(data_module, "load_image_set", lambda name: own if name == "flickr8k" else images)
    assert load_photos(data_config(independent=("flickr8k",)), "all").training == (other,)


def test_a_set_with_queries_has_its_own_ground_truth(images, monkeypatch, tmp_path):
    paths = tuple(tmp_path / f"{i}.png" for i in range(3))
    for i, path in enumerate(paths):
        Image.new("L", (4, 4), 20 * i).save(path)
    query = ImageQuery(path=paths[2], relevant=frozenset({1}), group="1")
    covers = ImageSet("dvd-covers", "", paths[:2], ("0.png", "1.png"), (query,))
    monkeypatch.setattr(data_module, "load_image_set", lambda name: covers)
    photos = load_photos(DataConfig(images="dvd-covers", categories="all"), "all")
    assert (photos.database, photos.queries, photos.training) == (paths[:2], (query,), ())
    with pytest.raises(ConfigError, match='expected categories = "all"'):
        load_photos(DataConfig(images="dvd-covers"), "half")


def test_photos_without_categories_or_an_unknown_background_are_said_in_one_line(images, monkeypatch):
    with pytest.raises(ConfigError, match="no folder 'nowhere'.*ant, background_google"):
        load_photos(data_config(background=("nowhere",)), "half")
    flat = ImageSet("flickr8k", "", images.images, tuple(path.name for path in images.images), ())
    monkeypatch.setattr(data_module, "load_image_set", lambda name: flat)
    with pytest.raises(InvalidInputError, match="neither queries nor categories"):
        load_photos(DataConfig(images="flickr8k"), "half")


# ---------------------------------------------------------------- measures


def precision_naive(answer, relevant, n):
    return sum(image in relevant for image in answer[:n]) / n


@given(data=st.data(), n=st.integers(1, 25))
def test_measures_equal_their_definitions_with_junk_taken_out(data, n):
    ranking = data.draw(st.permutations(range(n)))
    kinds = data.draw(st.lists(st.sampled_from(["right", "wrong", "junk"]), min_size=n, max_size=n))
    own = data.draw(st.one_of(st.none(), st.integers(0, n - 1)))
    relevant = frozenset(i for i in range(n) if kinds[i] == "right" and i != own)
    junk = frozenset(i for i in range(n) if kinds[i] == "junk")
    query = ImageQuery(path=Path("x"), relevant=relevant, group="g", index=own, junk=junk)
    comp = evaluated(np.array(ranking), query)
    answer = [image for image in ranking if image not in junk and image != own]
    assert comp["precision_10"] == precision_naive(answer, relevant, 10)
    assert comp["top_1"] == (bool(answer) and answer[0] in relevant)
    assert comp["first_ids"].tolist() == (answer + [-1] * N_FIRST)[:N_FIRST]
    if relevant:
        places = [place for place, image in enumerate(answer) if image in relevant]
        area = [((found / place if place else 1) + (found + 1) / (place + 1)) / 2 for found, place in enumerate(places)]
        assert comp["average_precision"] == pytest.approx(sum(area) / len(relevant))
    else:
        assert np.isnan(comp["average_precision"])


@pytest.mark.parametrize("metric", ["euclidean", "manhattan", "chebyshev"])
def test_the_ranking_is_that_of_a_full_sort_of_all_distances(metric):
    rng = np.random.default_rng(1)
    database, points = (rng.integers(1, 4, (n, 4)).astype(np.float32) for n in (40, 7))
    queries = tuple(ImageQuery(path=Path("x"), relevant=frozenset({i}), group=str(i % 3)) for i in range(7))
    comp = search_all(database, points, queries, get_metric(metric), seed=5)
    order = {"euclidean": 2, "manhattan": 1, "chebyshev": np.inf}[metric]
    ties = np.random.default_rng(5).permutation(40)
    for i in range(7):
        distances = np.linalg.norm(database.astype(float) - points[i], ord=order, axis=1).round(9)
        ref = sorted(range(40), key=lambda row, distances=distances: (distances[row], ties[row]))
        assert comp["first_ids"][i].tolist() == ref[:N_FIRST]
    assert comp["groups"].tolist() == [0, 1, 2, 0, 1, 2, 0]


def test_a_feature_that_sees_nothing_is_no_better_than_chance():
    """Equal vectors: were ties in the order of the files, the first category would look perfectly found."""
    n_categories, n = 10, 100
    queries = tuple(
        ImageQuery(path=Path("x"), relevant=frozenset(range(i // 10 * 10, i // 10 * 10 + 10)) - {i}, group="", index=i)
        for i in range(n)
    )
    vectors = np.zeros((n, 3), dtype=np.float32)
    comp = search_all(vectors, vectors, queries, get_metric("euclidean"), seed=0)
    assert comp["precision_10"].mean() < 2 / n_categories
    assert comp["precision_10"].max() < 0.6


# ---------------------------------------------------------------- experiment files

SERIES = """
[[series]]
label = "HSV"
feature = "hsv"
[[series]]
label = "HSV L2"
feature = "hsv"
metric = "euclidean"
[[series]]
label = "HSV PCA"
feature = "hsv"
pca = 3
[[series]]
label = "VLAD"
feature = "vlad-intra"
words = 4
[[series]]
label = "VLAD white"
feature = "vlad-intra"
words = 4
pca = 2
whiten = true
"""
MEASURE = """
[measure]
n_timed = 3
n_bootstrap = 100
"""
REPORT = """
[report]
style = "bars"
x = "series"
y = ["map", "precision_10"]
paper_values = {VLAD = 63.9}
"""
TINY = HEAD + DATA + SERIES + MEASURE + REPORT


@pytest.fixture
def run(tmp_path, monkeypatch, cache, images):
    monkeypatch.setenv("METRICSEARCH_CACHE", str(cache))

    def from_text(text, name="tiny"):
        path = tmp_path / f"{name}.toml"
        path.write_text(text)
        return run_experiment(path, tmp_path / "runs", progress=False)

    return from_text


@pytest.fixture
def load(tmp_path):
    def from_text(text):
        path = tmp_path / "x.toml"
        path.write_text(text)
        return load_config(path)

    return from_text


def rows_of(path):
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("path", sorted(EXPERIMENTS.glob("features_*.toml")), ids=lambda path: path.stem)
def test_every_experiment_file_can_be_read(path):
    config = load_config(path)
    points = config.points()
    assert len({json.dumps(point.model_dump(mode="json")) for point in points}) == len(points) > 5
    assert config.kind == "features"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[feature]\nwhiten = true\n', "feature.whiten: expected pca"),
        ('[feature]\nmetric = "cosine"\n', "cosine breaks the triangle inequality; use angular"),
        ('[feature]\nname = "vlad"\npooling = "max"\n', "vlad has no maps to pool"),
        ('[sweep]\nfeature = ["vlad"]\n[[series]]\nlabel = "A"\ncategories = "all"\n', "data.independent: missing; A"),
        ('[sweep]\npca = [0]\n', "pca: expected .* whole number >= 1"),
        ('[[series]]\nlabel = "A"\nwordz = 3\n', "did you mean 'words'"),
        ('[measure]\nmeasures = ["recall"]\n', "expected .* one of map, precision_10, top_1"),
        ('[report]\nx = "series"\ny = "recall"\n', "report.y: no column 'recall'; columns: series, categories"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_file_is_said_in_one_line(load, text, message):
    with pytest.raises(ConfigError, match=message) as caught:
        load(HEAD + DATA + text)
    assert "\n" not in str(caught.value)


def test_a_set_cannot_be_its_own_training_set(load):
    with pytest.raises(ConfigError, match="independent: caltech101 is what is tested"):
        load(HEAD + DATA + 'independent = ["caltech101"]\n')


def test_a_local_feature_is_refused_before_anything_is_measured(run):
    with pytest.raises(ConfigError, match="sift describes places of a photo"):
        run(HEAD + DATA + '[feature]\nname = "sift"\n', "local")


def test_points_that_differ_in_reduction_or_metric_share_their_vectors(load):
    points = load(TINY).points()
    assert [point.feature.before_pca() for point in points[:3]] == [FeatureConfig(name="hsv")] * 3
    assert points[3].feature.before_pca() == points[4].feature.before_pca()
    assert points[0].columns()["words"] is None
    assert points[3].columns()["words"] == 4


def test_a_run_leaves_tables_figures_report_and_provenance(run):
    result = run(TINY)
    names = {path.name for path in result.directory.iterdir()}
    assert names == {
        "parts", "results.h5", "results.csv", "points.csv", "report.md", "config.json", "provenance.json",
        "figure-map.png", "figure-map.pdf", "figure-precision_10.png", "figure-precision_10.pdf",
    }  # fmt: skip
    report = (result.directory / "report.md").read_text()
    for text in ("63.9 % [README]", "half of the categories + 4 of background", "| 63.9 |", "over categories"):
        assert text in report
    machine = json.loads((result.directory / "provenance.json").read_text())
    assert machine["seeds"] == {"data": 0, "training": [0], "bootstrap": 0}
    points = rows_of(result.directory / "points.csv")
    assert [(row["series"], row["metric"], row["dimension"], row["n_trained_on"]) for row in points] == [
        ("HSV", "manhattan", "512", "0"),
        ("HSV L2", "euclidean", "512", "0"),
        ("HSV PCA", "euclidean", "3", "8"),
        ("VLAD", "euclidean", "512", "8"),
        ("VLAD white", "euclidean", "2", "8"),
    ]
    assert all(float(row["extract_ms_p50"]) > 0 for row in points)
    assert "precision@10" in result.table
    again = run(TINY)
    assert (again.n_measured, again.n_reused) == (0, 5)
    assert again.table == result.table
    page = write_paper_results([result.directory], result.directory.parent / "page.md", result.directory.parent / "f")
    assert "63.9 % [README]" in page.read_text()


def test_the_tables_are_what_follows_from_the_values_of_every_query(run):
    result = run(TINY)
    points, groups = (rows_of(result.directory / name) for name in ("points.csv", "results.csv"))
    with h5py.File(result.directory / "results.h5") as file:
        for number, row in enumerate(points):
            arrays = {name: values[()] for name, values in file[f"points/{number:04d}"].items()}
            assert arrays["extract_ms"].shape == (3,)
            assert arrays["first_ids"].shape == (12, N_FIRST)
            for name, values in (("map", "average_precision"), ("precision_10", "precision_10"), ("top_1", "top_1")):
                assert float(row[name]) == pytest.approx(100 * arrays[values].mean())
                assert float(row[f"{name}_low"]) <= float(row[name]) <= float(row[f"{name}_high"])
                for group in range(3):
                    expected = 100 * arrays[values][arrays["groups"] == group].mean()
                    assert float(groups[3 * number + group][name]) == pytest.approx(expected)


def test_reduced_vectors_are_those_that_the_reduced_feature_extracts(images, monkeypatch, cache):
    monkeypatch.setenv("METRICSEARCH_CACHE", str(cache))
    quiet = Phase(lambda text: None, shown=False)
    photos = load_photos(data_config(), "half")
    for config in (FeatureConfig(name="lbp-grid", pca=4), FeatureConfig(name="fisher", words=3, pca=3, whiten=True)):
        base = trained(config, photos.training, quiet)[0] if config.aggregated else get_feature("lbp-grid")
        feature, _ = reduced(base, config, photos.training, quiet)
        comp = feature.transform(vectors(photos.database, base, quiet))
        ref = np.array([feature.extract(Photo.read(path)) for path in photos.database])
        np.testing.assert_allclose(comp, ref, atol=1e-5)
        assert len({row.tobytes() for row in comp}) > 5


def test_a_photo_that_cannot_be_read_stops_the_experiment_and_is_named(images, monkeypatch, cache, tmp_path):
    monkeypatch.setenv("METRICSEARCH_CACHE", str(cache))
    broken = tmp_path / "broken.jpg"
    broken.write_text("no photo")
    with pytest.raises(InvalidInputError, match=r"broken\.jpg: .*every photo"):
        vectors([images.images[0], broken], get_feature("hue"), Phase(lambda text: None, shown=False))


def test_the_angle_of_a_vector_of_zeros_is_refused_and_the_row_named(images):
    queries = (ImageQuery(path=Path("x"), relevant=frozenset({1}), group="", index=0),)
    table = np.array([[1, 0], [0, 0]], dtype=np.float32)
    with pytest.raises(InvalidInputError, match="database: row 1 is a vector of zeros"):
        search_all(table, table[:1], queries, get_metric("angular"), seed=0)


def test_extraction_is_timed_on_one_thread_and_the_threads_are_given_back(images):
    class Watching:
        seen = []

        def extract(self, photo):
            self.seen.append((photo.sha256, cv2.getNumThreads()))

    before = cv2.getNumThreads()
    times = extraction_times(Watching(), images.images, 5)
    assert times.shape == (5,)
    assert (times > 0).all()
    assert {n_threads for _, n_threads in Watching.seen} == {1}
    assert len({sha256 for sha256, _ in Watching.seen}) == 5  # spread over all photos
    assert cv2.getNumThreads() == before
    assert extraction_times(Watching(), images.images[:2], 50).shape == (2,)


def test_photos_in_which_nothing_was_seen_come_last_and_not_first():
    """The zero vector is at distance 1 of all vectors of length 1, which are farther from each other."""
    vectors_ = np.eye(6, dtype=np.float32)
    vectors_[2] = 0
    queries = (ImageQuery(path=Path("x"), relevant=frozenset({1}), group="", index=0),)
    comp = search_all(vectors_, vectors_[:1], queries, get_metric("euclidean"), seed=0)
    assert sorted(comp["first_ids"][0][:4].tolist()) == [1, 3, 4, 5]
    assert comp["first_ids"][0][4:6].tolist() == [2, -1]
