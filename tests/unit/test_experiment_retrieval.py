import csv
import json

import h5py
import numpy as np
import pytest

from metricsearch.datasets import ImageQuery, load_image_set
from metricsearch.errors import ConfigError, InvalidInputError, MissingDataError
from metricsearch.experiment import load_config, run_experiment
from metricsearch.experiment.parts import Part
from metricsearch.experiment.retrieval import data as data_module
from metricsearch.experiment.retrieval import measuring, searching, tables
from metricsearch.experiment.retrieval.config import DataConfig, FeaturesConfig
from metricsearch.experiment.retrieval.data import CachedFeatures, Photo, in_box, load_photos
from metricsearch.features import LocalFeatures
from metricsearch.report import write_paper_results

HEAD = """
title = "Tiny trees"
source = "NS06"
kind = "retrieval"
paper = "90.6 % [NS06]"
difference = "other photos"
"""
DATA = """
[data]
images = "ukbench-25"
distractors = ["oxford-affine"]
n_distractor_images = 6
[features]
max_side = 160
n_features = 60
[vocabulary]
branching = 8
depth = 2
cycles = 3
"""
SERIES = """
[[series]]
label = "A"
[[series]]
label = "N"
norm = "l2"
[[series]]
label = "R"
levels = 2
weights = "targets"
"""
MEASURE = """
[measure]
measures = ["perfect_retrieval", "ns_score", "top", "relevant_in", "map"]
k = [1, 3]
rank_percent = [1, 10, 50, 100]
n_bootstrap = 100
"""
REPORT = """
[report]
style = "bars"
x = "series"
y = ["perfect_retrieval", "n_entries"]
paper_values = {A = 90.6, N = 87.9}
"""
TINY = HEAD + DATA + SERIES + MEASURE + REPORT


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """One cache for all tests of this file: features are extracted once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def run(tmp_path, monkeypatch, cache, data_dir):
    monkeypatch.setenv("METRICSEARCH_CACHE", str(cache))
    monkeypatch.setenv("METRICSEARCH_DATA", str(data_dir))

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


def points_of(directory):
    with h5py.File(directory / "results.h5") as file:
        for name in sorted(file["points"]):
            group = file["points"][name]
            yield dict(group.attrs), {key: values[()] for key, values in group.items()}


def test_a_run_leaves_tables_figures_report_and_provenance(run):
    result = run(TINY)
    names = {path.name for path in result.directory.iterdir()}
    assert names == {
        "parts", "results.h5", "results.csv", "points.csv", "report.md", "config.json", "provenance.json",
        "figure-perfect_retrieval.png", "figure-perfect_retrieval.pdf", "figure-n_entries.png", "figure-n_entries.pdf",
    }  # fmt: skip
    report = (result.directory / "report.md").read_text()
    for text in ("90.6 % [NS06]", "other photos", "ukbench-25 + 6 distractors", "| 87.9 |", "groups of queries"):
        assert text in report
    machine = json.loads((result.directory / "provenance.json").read_text())
    assert machine["seeds"] == {"data": 0, "vocabulary": [0], "bootstrap": 0}
    assert "perfect retrieval" in result.table


def test_the_tables_are_what_follows_from_the_ranks_of_every_query(run):
    result = run(TINY)
    curves, points = iter(rows_of(result.directory / "results.csv")), iter(rows_of(result.directory / "points.csv"))
    for _, arrays in points_of(result.directory):
        ranks = arrays["ranks"]
        assert ranks.shape == (24, 3)
        n = 31
        for percent, limit in ((100 / n, 1), (10, 3), (50, 15), (100, 31)):  # 1 % is less than an image
            row = next(curves)
            assert float(row["rank_percent"]) == pytest.approx(percent)
            assert float(row["found_within"]) == pytest.approx(100 * np.mean(ranks <= limit))
        row = next(points)
        assert row["data"] == "ukbench-25 + 6 distractors"
        assert int(row["n_images"]) == n
        expected = {
            "perfect_retrieval": 100 * np.mean(ranks == 1),
            "perfect_retrieval_worst": 100 * np.mean(arrays["worst_ranks"] == 1),
            "ns_score": arrays["ns_score"].mean(),
            "top_1": 100 * np.mean(ranks.min(axis=1) == 1),
            "top_3": 100 * np.mean(ranks.min(axis=1) <= 3),
            "map": 100 * arrays["average_precision"].mean(),
            "total_ms": arrays["total_ms"].mean(),
            "total_ms_p50": np.median(arrays["total_ms"]),
            "n_entries": arrays["n_entries"].mean(),
        }
        for name, value in expected.items():
            assert float(row[name]) == pytest.approx(value)
        for name in ("perfect_retrieval", "ns_score", "top_1", "relevant_in_3", "map"):
            assert float(row[f"{name}_low"]) <= float(row[name]) <= float(row[f"{name}_high"])
        assert (arrays["worst_ranks"] >= ranks).all()
        np.testing.assert_allclose(arrays["total_ms"], arrays["quantise_ms"] + arrays["score_ms"] + arrays["verify_ms"])
    assert next(curves, None) is None


def test_ranks_are_those_of_a_tree_made_by_hand(run):
    result = run(TINY)
    photos = load_photos(DataConfig(images="ukbench-25", distractors=["oxford-affine"], n_distractor_images=6))
    found = [arrays for _, arrays in points_of(result.directory)]
    with CachedFeatures(photos.all(), FeaturesConfig(max_side=160, n_features=60), progress=False) as features:
        descriptors = [features.descriptors(photo) for photo in photos.database]
        order = np.random.default_rng(0).permutation(31)
        tree = measuring.VocabularyTree(8, 2, cycles=3).fit(np.concatenate([descriptors[i] for i in order]))
        tree.add_images((i, rows, "") for i, rows in enumerate(descriptors))
        for arrays, norm in zip(found, ("l1", "l2"), strict=False):
            for i in range(24):
                ids = [image for image in tree.search(descriptors[i], 31, norm=norm).ids.tolist() if image != i]
                group = [4 * (i // 4) + j for j in range(4) if 4 * (i // 4) + j != i]
                wrong = [image for image in ids if image not in group]
                ref = [sum(ids.index(w) < ids.index(g) for w in wrong) + 1 if g in ids else 28 for g in group]
                assert arrays["ranks"][i].tolist() == ref
        tree.reweight(descriptors[:25])
        scoring = load_config_scoring(levels=2)
        ids = tree.search(descriptors[3], 10, scoring=scoring).ids
        assert found[2]["first_ids"][3][: len(ids)].tolist() == ids.tolist()


def load_config_scoring(**options):
    return measuring.RetrievalPoint.model_fields["scoring"].annotation(**options).options()


def test_points_that_share_a_vocabulary_train_it_once(run, monkeypatch):
    trained = []
    original = measuring.VocabularyTree.fit

    def counted(self, *arguments, **options):
        trained.append(self)
        return original(self, *arguments, **options)

    monkeypatch.setattr(measuring.VocabularyTree, "fit", counted)
    result = run(TINY)
    assert (result.n_measured, len(trained)) == (3, 1)
    again = run(TINY)
    assert (again.n_reused, len(trained)) == (3, 1)
    more = run(
        TINY.replace('[[series]]\nlabel = "N"', '[[series]]\nlabel = "flat"\ndepth = 1\n[[series]]\nlabel = "N"')
    )
    assert (more.n_measured, len(trained)) == (4, 3)


def test_synthetic_bags_fill_the_database_and_are_named_in_every_row(run):
    result = run(HEAD + DATA + "[sweep]\nn_images = [28, 31, 400]\n" + MEASURE)
    rows = rows_of(result.directory / "points.csv")
    assert [row["data"] for row in rows] == [
        "ukbench-25 + 3 distractors",
        "ukbench-25 + 6 distractors",
        "ukbench-25 + 6 distractors + 369 synthetic bags",
    ]
    assert [int(row["n_images"]) for row in rows] == [28, 31, 400]
    found = [arrays["ranks"] for _, arrays in points_of(result.directory)]
    assert (found[1] > found[0]).any()
    alone = run(HEAD + DATA + "[sweep]\nn_images = [400]\n" + MEASURE, "alone")
    np.testing.assert_array_equal(next(points_of(alone.directory))[1]["ranks"], found[2])


def test_a_database_smaller_than_its_targets_is_refused(run):
    with pytest.raises(ConfigError, match="at least the 25 targets, got 24"):
        run(HEAD + DATA.replace("[features]", "n_images = 24\n[features]") + MEASURE)


def test_verified_answers_are_measured_and_bags_cannot_be_verified(run):
    text = HEAD + DATA.replace("max_side = 160\nn_features = 60", "max_side = 320") + MEASURE
    result = run(text + "[sweep]\nverified_top = [0, 8]\n")
    (_, alone), (_, verified) = points_of(result.directory)
    assert not alone["verify_ms"].any()
    assert (verified["verify_ms"] > 0).all()
    assert (verified["ranks"] == 1).mean() >= (alone["ranks"] == 1).mean()
    np.testing.assert_array_equal(verified["ranks"], verified["worst_ranks"])
    with pytest.raises(ConfigError, match="synthetic bags cannot be verified"):
        run(text + "[verification]\ntop = 300\n[sweep]\nn_images = [300]\n")


def test_hamming_embedding_is_one_more_scoring(run):
    result = run(HEAD + DATA + MEASURE + "[[series]]\nlabel = 'he'\nhamming_threshold = 24\n[[series]]\nlabel = 'l1'\n")
    (_, embedded), (_, plain) = points_of(result.directory)
    assert (embedded["first_ids"][:, 0] == np.arange(24)).all()
    assert not np.array_equal(embedded["ranks"], plain["ranks"])


def test_independent_photos_are_used_for_training_and_weights_alone(run):
    text = HEAD + DATA.replace(
        'distractors = ["oxford-affine"]\nn_distractor_images = 6', 'independent = ["oxford-affine"]'
    )
    result = run(
        text + "[[series]]\nlabel='i'\ntrain_on='independent'\nweights='independent'\n[[series]]\nlabel='d'\n" + MEASURE
    )
    rows = rows_of(result.directory / "points.csv")
    assert [int(row["n_training_images"]) for row in rows] == [12, 25]
    assert [int(row["n_images"]) for row in rows] == [25, 25]
    with pytest.raises(ConfigError, match="n_training_images: expected at most 12, got 13"):
        run(text.replace("cycles = 3", "train_on = 'independent'\nn_training_images = 13") + MEASURE)


@pytest.fixture
def photos_folder(tmp_path, data_dir, monkeypatch, cache):
    """A small image set "flickr8k"-like: its loader is replaced, since the real ones have a fixed size."""
    monkeypatch.setenv("METRICSEARCH_DATA", str(data_dir))
    monkeypatch.setenv("METRICSEARCH_CACHE", str(cache))
    return sorted((data_dir / "oxford_affine").rglob("*.png"))


def test_synthetic_views_are_groups_of_four_whose_photos_are_no_distractors(photos_folder):
    data = DataConfig(images="synthetic-views", n_groups=2, photos="oxford-affine", distractors=["oxford-affine"])
    photos = load_photos(data)
    assert photos.n_targets == 8
    assert len(photos.database) == 8 + 10
    assert [sorted(query.relevant) for query in photos.queries[:5]] == [
        [1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2], [5, 6, 7],
    ]  # fmt: skip
    assert len({query.group for query in photos.queries}) == 2
    modified = [photo.path.stat().st_mtime_ns for photo in photos.database[:8]]
    again = load_photos(data)
    assert [photo.path.stat().st_mtime_ns for photo in again.database[:8]] == modified
    assert {photo.path for photo in load_photos(data.model_copy(update={"seed": 1})).database[:8]} != {
        photo.path for photo in photos.database[:8]
    }
    with pytest.raises(InvalidInputError, match="at most one per photo, 12, got 13"):
        load_photos(data.model_copy(update={"n_groups": 13}))


def test_the_feature_file_of_a_set_grows_and_keeps_what_it_has(photos_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("METRICSEARCH_CACHE", str(tmp_path))
    new = []
    original = data_module.extract_photos

    def counted(*arguments, **options):
        report = original(*arguments, **options)
        new.append(report.n_new)
        return report

    monkeypatch.setattr(data_module, "extract_photos", counted)
    photos = [Photo("oxford-affine", path) for path in photos_folder]
    config = FeaturesConfig(max_side=64)
    for part in (photos[:2], photos[1:4], photos[:1]):
        with CachedFeatures(part, config, progress=False) as features:
            assert all(photo in features for photo in part)
            assert (
                len(features.features(part[0])) == features.n_descriptors(part[0]) == len(features.descriptors(part[0]))
            )
    assert new == [2, 2, 0]
    assert len(list((tmp_path / "features").glob("*.h5"))) == 1


def test_an_unreadable_distractor_is_left_out_and_an_unreadable_target_refused(tmp_path, monkeypatch, photos_folder):
    monkeypatch.setenv("METRICSEARCH_CACHE", str(tmp_path))
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff half a photo")
    photos = [Photo("s", photos_folder[0]), Photo("s", broken)]
    with CachedFeatures(photos, FeaturesConfig(max_side=64), progress=False) as features:
        assert photos[0] in features
        assert photos[1] not in features
        with pytest.raises(InvalidInputError, match=r"broken\.jpg: .*a target or query is needed"):
            features.require(photos)


def test_only_features_inside_the_box_of_a_query_are_searched_with():
    keypoints = np.array([[0, 0, 1, 0], [5, 5, 1, 0], [9, 2, 1, 0]], dtype=np.float32)
    features = LocalFeatures(keypoints, np.arange(384, dtype=np.uint8).reshape(3, 128), 10, 10)
    query = ImageQuery(path=None, relevant=frozenset(), group="g", box=(1, 2, 9, 5))
    np.testing.assert_array_equal(in_box(features, query).keypoints[:, 0], [5, 9])
    assert in_box(features, ImageQuery(path=None, relevant=frozenset(), group="g")) is features


def part_of(ranks, groups):
    return Part(None, {}, {"ranks": np.array(ranks), "groups": np.array(groups)})


def test_intervals_resample_groups_not_queries(load, data_dir):
    config = load(HEAD + DATA + MEASURE)
    values = np.array([100.0, 100, 100, 100, 0, 0, 0, 0])
    one_group = tables._mean(config, part_of([[1]] * 8, [0] * 8), "m", values, np.ones(8))
    assert one_group == {"m": 50.0, "m_low": 50.0, "m_high": 50.0}
    two = tables._mean(config, part_of([[1]] * 8, [0] * 4 + [1] * 4), "m", values, np.ones(8))
    assert two == {"m": 50.0, "m_low": 0.0, "m_high": 100.0}
    eight = tables._mean(config, part_of([[1]] * 8, range(8)), "m", values, np.ones(8))
    assert 0 < eight["m_low"] < 50 < eight["m_high"] < 100


def test_queries_without_relevant_images_do_not_count(load, data_dir):
    config = load(HEAD + DATA + MEASURE)
    found = tables._mean(config, part_of([[1], [0]], [0, 1]), "m", np.array([[100.0], [0.0]]), np.array([[1], [0]]))
    assert found["m"] == 100


def test_revisited_sets_are_measured_as_easy_medium_and_hard(load):
    text = HEAD + '[data]\nimages = "roxford5k"\n[measure]\nmeasures = ["map", "map_easy", "map_hard"]\n'
    config = load(text)
    # Wrong, junk, hard, easy, wrong, easy.
    answer = searching._Answer(np.array([5, 4, 2, 0, 6, 1]), np.arange(6.0))
    query = ImageQuery(
        path=None, relevant={0, 1, 2}, group="g", junk=frozenset({4}), easy=frozenset({0, 1}), hard=frozenset({2})
    )
    without_hard = ImageQuery(path=None, relevant=frozenset({0}), group="h", easy=frozenset({0}))
    searched = searching.Searched(range(9), (query, without_hard), [], None, config.measure)
    found = searching._stacked([searching._evaluated(searched, answer, i) for i in range(2)])
    # Each image adds the mean of the precisions before and at its place, without the junk of the setting.
    medium = ((0 + 1 / 2) / 2 + (1 / 2 + 2 / 3) / 2 + (2 / 4 + 3 / 5) / 2) / 3
    easy = ((0 + 1 / 2) / 2 + (1 / 3 + 2 / 4) / 2) / 2
    hard = (0 + 1 / 2) / 2
    alone = (0 + 1 / 4) / 2  # 5, 4 and 2 are wrong answers to the second query
    assert found["average_precision"] == pytest.approx([medium, alone])
    assert found["average_precision_easy"] == pytest.approx([easy, alone])
    assert found["average_precision_hard"] == pytest.approx([hard, np.nan], nan_ok=True)
    part = part_of(found["ranks"], [0, 1])
    part.arrays.update(found)
    assert tables._average_precision(config, part, "map_easy")["map_easy"] == pytest.approx(50 * (easy + alone))
    assert tables._average_precision(config, part, "map_hard")["map_hard"] == pytest.approx(100 * hard)


@pytest.mark.parametrize(
    ("ranks", "k", "top", "share"),
    [
        ([1, 1, 1], 1, 100, 100 / 3),
        ([1, 1, 1], 3, 100, 100),
        ([2, 2, 5], 1, 0, 0),
        ([2, 2, 5], 2, 100, 100 / 3),  # wrong, right, right, wrong, wrong, wrong, right
        ([2, 2, 5], 3, 100, 200 / 3),
        ([5, 2, 2], 6, 100, 200 / 3),
        ([5, 2, 2], 7, 100, 100),
        ([3, 0, 0], 3, 100, 100),  # one relevant image only
    ],
)
def test_positions_follow_from_ranks(ranks, k, top, share):
    for measure, expected in (("top", top), ("relevant_in", share)):
        values, counted = tables._found_in(measure, np.array([ranks]), k)
        assert values[0] == pytest.approx(expected)
        assert counted.all()


@pytest.mark.parametrize(
    ("percent", "n", "limit"), [(0.142857, 1400, 2), (0.0714286, 1400, 1), (0.01, 1400, 0), (100, 7, 7)]
)
def test_shares_of_the_database_are_whole_images(percent, n, limit):
    assert tables._limit(percent, n) == limit


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('"ukbench-25"', '"ukbench-26"', "data.images: image set 'ukbench-26' is unknown; did you mean ukbench-25"),
        ('["oxford-affine"]', '["oxford"]', "data.distractors: image set 'oxford' is unknown"),
        ("n_distractor_images = 6", "n_groups = 6", 'n_groups and photos: only for images = "synthetic-views"'),
        ('"ukbench-25"', '"synthetic-views"', "n_groups and photos: both are needed"),
        ("n_distractor_images = 6", 'independent = ["oxford-affine"]', "independent: oxford-affine is in the database"),
        ('["oxford-affine"]', '["ukbench-25"]', "data.distractors: ukbench-25 holds the targets"),
        ('["oxford-affine"]', '["oxford-affine", "oxford-affine"]', "data.distractors: oxford-affine is named twice"),
        ("depth = 2", "depth = 2\nnorm = 'l1'", "vocabulary.norm: unknown key"),
        ("depth = 2", "depth = 2\ntrain_on = 'independent'", "data.independent: missing"),
        ("branching = 8", "branching = 1", "vocabulary.branching: expected a whole number in 2..65535, got 1"),
        ("max_side = 160", 'kind = "shift"', "features.kind: expected one of sift, rootsift"),
        ("[measure]", "[scoring]\nnorm = 'l3'\n[measure]", "scoring.norm: expected one of l1, l2, got 'l3'"),
        (
            "[measure]",
            "[sweep]\nlevels = [2, 0]\n[measure]",
            "sweep.levels[1]: expected a list; each: a whole number >= 1, got 0",
        ),
        ("[measure]", "[sweep]\nlevls = [2]\n[measure]", "sweep.levls: unknown key (did you mean 'levels'?)"),
        ("k = [1, 3]", "measure = 3", "measure.measure: unknown key"),
        (
            '"map"]',
            '"mAP"]',
            "measures[4]: expected a list; each: one of perfect_retrieval, ns_score, top, relevant_in, map, map_easy, "
            "map_hard, got 'mAP'",
        ),
        ('"map"]', '"map_hard"]', "measures: map_hard is for sets of easy and hard images: roxford5k, rparis6k"),
        ("A = 90.6", "B = 90.6", "report.paper_values: no series 'B'; series: A, N, R"),
        ('"n_entries"', '"entries"', "report.y: no column 'entries'; columns:"),
        (
            "paper_values = {A = 90.6, N = 87.9}",
            "[[report.published]]\nlabel = 'A'\nx = [1, 2]\ny = [3]",
            "report.published[0].y: expected one per x, 2 in total, got 1",
        ),
    ],
)
def test_a_wrong_file_is_refused_with_the_key_and_what_is_allowed(load, old, new, expected):
    assert old in TINY
    with pytest.raises(ConfigError) as error:
        load(TINY.replace(old, new))
    assert expected in str(error.value)
    assert "\n" not in str(error.value)


def test_an_image_set_that_is_not_here_is_named_with_how_to_get_it(run, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("METRICSEARCH_DATA", str(tmp_path / "empty"))
    with pytest.raises(MissingDataError, match=r"ukbench-25: .*METRICSEARCH_DATA"):
        run(TINY)


def test_published_curves_stand_beside_ours(run):
    report = '[report]\nx = "rank_percent"\ny = "found_within"\nseries = ["series"]\n'
    published = '[[report.published]]\nlabel = "A"\nx = [10, 50]\ny = [91.5, 98]\n'
    result = run(HEAD + DATA + SERIES + MEASURE + report + published)
    text = (result.directory / "report.md").read_text()
    row = next(line for line in text.splitlines() if line.startswith("| 10 |"))
    assert row.count("(91.5)") == 1
    assert "(98)" in text
    assert (result.directory / "figure-found_within.png").stat().st_size > 5000


def test_both_kinds_of_experiment_stand_on_one_page_and_none_is_lost(run, tmp_path):
    retrieval = run(TINY, "trees").directory
    ppp = run(
        "title = 'codes'\nsource = 'own'\nkind = 'memory'\n"
        "[data]\nname = 'decaf7-like'\nn = 100\n[index]\nn_pivots = 8\n",
        "codes",
    ).directory
    target = tmp_path / "paper_results.md"
    write_paper_results([retrieval, ppp], target, tmp_path / "figures")
    before = target.read_text()
    sections = before.split("<a id=")[1:]
    assert [section[1:6] for section in sections] == ["trees", "codes"]
    assert "| 90.6 |" in sections[0]
    assert "ukbench-25 + 6 distractors" in sections[0]
    assert "Bytes per object" in sections[1]
    fresh = [line for line in (retrieval / "report.md").read_text().splitlines() if line.startswith("| ukbench-25")]
    assert len(fresh) == 6
    assert all(line in before for line in fresh)
    with pytest.raises(InvalidInputError, match="no run is given for codes"):
        write_paper_results([retrieval], target, tmp_path / "figures")
    assert target.read_text() == before


def test_the_first_images_of_a_set_can_be_the_targets(data_dir, monkeypatch):
    monkeypatch.setenv("METRICSEARCH_DATA", str(data_dir))
    photos = load_photos(DataConfig(images="ukbench-25", n_targets=9))
    assert photos.n_targets == 9
    assert [query.index for query in photos.queries] == list(range(8))
    assert len(load_image_set("ukbench-25").queries) == 24
