from pathlib import Path

import pytest

from metricsearch.errors import ConfigError, MissingDataError
from metricsearch.experiment import load_config
from metricsearch.experiment.parts import part_path
from metricsearch.experiment.ppp.measuring import build_key

EXPERIMENTS = sorted((Path(__file__).parents[2] / "experiments").glob("*.toml"))

# Folders of recorded runs: a config that is read otherwise than then would be measured again for nothing.
RECORDED = [
    "collection_size-a6d869ce16",
    "colors_manhattan-e036409ce4",
    "headline-3a56d92003",
    "levenshtein_words-92d1af5ae9",
    "memory_per_object_real-e1a35df0d3",
    "memory_per_object_synthetic-b78709a547",
    "n_pivots_real-d6b81d89b4",
    "n_pivots_synthetic-5885fc8368",
    "n_spaces_real-6aafe80a34",
    "n_spaces_synthetic-7d5fa03a9d",
    "one_space_real-d0357913b2",
    "one_space_synthetic-b4b4f7a0dd",
    "percentile_real-c5b455b75f",
    "percentile_synthetic-767d397ea0",
    "pivot_choice-a8c6479209",
    "prefix_length_real-0f84e1f9e9",
    "prefix_length_synthetic-9725a78a9f",
    "quickstart-1d7223f95e",
    "rank_mode-387f1cfb94",
    "ranking_distances-ad1fd3a03e",
    "recall_vs_candidates_real-7f6978d9a5",
    "recall_vs_candidates_synthetic-eeceb7f9e1",
    "sketches_ablation_real-5b9a2fed16",
    "sketches_pivot_choice-9d3ae6706b",
    "sqfd_signatures-2c32188ea3",
    "time_split_real-6ad9e8a133",
    "time_split_synthetic-8fa3116119",
    "topics_jensen_shannon-ac0a5ed629",
]

BASE = """
title = "t"
source = "own"
kind = "candidates"
[data]
name = "decaf7-like"
n = 100
n_queries = 5
[index]
n_pivots = 16
[measure]
n_candidates = [10, 20]
"""


@pytest.fixture
def load(tmp_path):
    def from_text(text):
        path = tmp_path / "x.toml"
        path.write_text(text)
        return load_config(path)

    return from_text


def test_there_are_experiment_files():
    assert len(EXPERIMENTS) >= 15


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_experiment_file_loads_and_says_what_it_shows(path):
    config = load_config(path)
    assert config.points()
    assert config.report is not None
    assert path.read_text().startswith("#")
    assert "decaf7" not in config.title.lower()


@pytest.mark.parametrize("folder", RECORDED)
def test_recorded_runs_are_found_again(folder):
    stem, _, digest = folder.rpartition("-")
    path = next(path for path in EXPERIMENTS if path.stem == stem)
    assert load_config(path).digest() == digest


def test_misspelled_key_wrong_type_and_impossible_value_are_all_told_in_one_line(load):
    text = BASE.replace("n_pivots = 16", "n_pivts = 16\nn_spaces = 0").replace("n = 100", 'n = "100"')
    with pytest.raises(ConfigError) as error:
        load(text)
    message = str(error.value)
    assert "\n" not in message
    assert "x.toml" in message
    assert "index.n_pivts: unknown key (did you mean 'n_pivots'?); known keys: n_spaces" in message
    assert "index.n_spaces: expected a whole number in 1..255, got 0" in message
    assert "data.n: expected a whole number >= 1, got '100'" in message


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            'kind = "candidates"',
            'kind = "candidate"',
            "kind: expected one of search, candidates, memory, retrieval, features, got 'candidate'",
        ),
        ("n_pivots = 16", 'aggregation = "logrank"', "index.aggregation: expected one of percentile, sum, log-rank,"),
        ("n_pivots = 16", 'sketch = "rabitq"', "index.sketch: expected one of product, landmark, simplex,"),
        ("n_pivots = 16", "sketch_bytes = 1", "index.sketch_bytes: expected a whole number in 2..255, got 1"),
        ("n_pivots = 16", "n_sketched = -1", "index.n_sketched: expected a whole number >= 0, got -1"),
        ("n_pivots = 16", "sketch_bytes = 16", "index.sketch_bytes: needs a sketch; sketch: one of product,"),
        ("n_pivots = 16", "[sweep]\nn_sketched = [0, 9]", "sweep.n_sketched: needs a sketch; sketch: one of product,"),
        ("n_pivots = 16", '[sweep]\nsketch = "product"', "sweep.sketch: expected a list of names of sketches"),
        (
            BASE,
            BASE + "[[series]]\nlabel = 'a'\nsketch_bytes = 8\n",
            "series.sketch_bytes: needs a sketch; sketch: one",
        ),
        (
            BASE,
            BASE + "[[series]]\nlabel = 'a'\nsketch_bytes = 256\n",
            "series[0].sketch_bytes: expected a whole number in 2..255, got 256",
        ),
        ('"decaf7-like"', '"decaf7-lik"', "did you mean decaf7-like"),
        ("n_queries = 5", "", "data.n_queries: missing"),
        ("n_queries = 5", "n_queries = 5.0", "data.n_queries: expected a whole number >= 1, got 5.0"),
        ("n_queries = 5", "n_queries = true", "data.n_queries: expected a whole number >= 1, got True"),
        ("n_candidates = [10, 20]", "", "measure.n_candidates (or n_candidates_share): missing"),
        ("n_candidates = [10, 20]", "n_candidates = [10, 0]", "measure.n_candidates[1]: expected a list of whole"),
        ("n_candidates = [10, 20]", "n_candidates = [1]\nn_candidates_share = [0.1]", "not both"),
        ("n_candidates = [10, 20]", "n_candidates = [1]\ntarget_recall = [1.2]", "measure.target_recall[0]: expected"),
        ("n_pivots = 16", "n_pivots = 4", "index.prefix_length: expected at most n_pivots = 4, got 8"),
        ("n_pivots = 16", "max_level = 9", "index.max_level: expected at most prefix_length = 8, got 9"),
        ("n_pivots = 16", 'ranking = "wsdp"', "index.ranking: expected one of wspd, wspd_avg, diff"),
        ("n_pivots = 16", "decay = 0.0", "index.decay: expected a number in (0, 1], got 0.0"),
        ("n_pivots = 16", "n_pivots = 16\n[sweep]\nn_spaces = 3", "sweep.n_spaces: expected a list of whole numbers"),
        ("n_pivots = 16", "n_pivots = 16\n[sweep]\nn_pivots = [16, 4]", "sweep or series: prefix_length: expected at"),
        (
            "n_pivots = 16",
            "n_pivots = 16\n[sweep]\nspaces = [3]",
            "sweep.spaces: unknown key (did you mean 'n_spaces'?)",
        ),
        ("n_pivots = 16", 'n_pivots = 16\n[store]\ncodec = "sparce-f32"', "did you mean 'sparse-f32'"),
        (
            BASE,
            BASE + '[report]\nx = "n_candidates"\ny = "recall_at_3"\n',
            "report.y: no column 'recall_at_3'; columns:",
        ),
        (BASE, BASE + '[report]\nx = "n_candidates"\n', "report.y: missing; expected a column"),
        (BASE, BASE + "[[series]]\nn_spaces = 2\n", "series[0].label: missing"),
        (BASE, BASE + "[sweep]\nn_spaces = [1]\n[[series]]\nlabel = 'a'\nn_spaces = 2\n", "also in [sweep]"),
        (BASE, BASE + "[[series]]\nlabel = 'a'\n[[series]]\nlabel = 'a'\n", "series: expected different ones"),
        (BASE, "title = ", "not valid TOML"),
    ],
)
def test_a_wrong_file_is_refused_with_the_key_and_what_is_allowed(load, old, new, expected):
    assert old in BASE
    with pytest.raises(ConfigError) as error:
        load(BASE.replace(old, new))
    assert expected in str(error.value)
    assert "\n" not in str(error.value)


def test_a_search_needs_a_codec_that_fits_the_objects(load):
    text = BASE.replace("candidates", "search", 1)
    with pytest.raises(ConfigError, match="store.codec: missing"):
        load(text)
    with pytest.raises(ConfigError, match="utf8 takes strings"):
        load(text + '[store]\ncodec = "utf8"\n')


def test_a_missing_file_is_told_by_name(tmp_path):
    with pytest.raises(MissingDataError, match="nothing.toml"):
        load_config(tmp_path / "nothing.toml")


def test_a_sweep_is_the_product_of_its_lists_for_every_series(load):
    config = load(
        BASE + "[sweep]\nn_spaces = [1, 2]\nseed = [3, 4]\n[[series]]\nlabel='a'\n[[series]]\nlabel='b'\nn=50\n"
    )
    found = [(p.label, p.n, p.index.n_spaces, p.index.seed) for p in config.points()]
    assert found == [(label, n, s, seed) for label, n in (("a", 100), ("b", 50)) for s in (1, 2) for seed in (3, 4)]


def test_points_that_only_differ_in_query_options_share_one_index(load):
    sweep = "n_spaces = [1, 4]\nprefix_length = [4, 8]\nmax_level = [2]\ndecay = [0.5, 1.0]\npercentile = [0.5, 1.0]\n"
    config = load(BASE + "[sweep]\n" + sweep + "rank_mode = ['dense', 'position']\nranking = ['wspd', 'diff']\n")
    assert len(config.points()) == 64
    assert len({build_key(config, point) for point in config.points()}) == 1
    config = load(BASE + "[sweep]\nn_pivots = [16, 32]\nseed = [0, 1]\nn = [90, 100]\n")
    assert len({build_key(config, point) for point in config.points()}) == 8


def test_texts_and_the_layout_of_the_report_do_not_make_another_run(load):
    ref = load(BASE).digest()
    assert load(BASE.replace('"t"', '"other"') + '[report]\nx = "n"\ny = "recall_at_10"\n').digest() == ref
    assert load(BASE.replace("n_pivots = 16", "n_pivots = 17")).digest() != ref
    assert load(BASE.replace("n = 100", "n = 101")).digest() != ref


def test_points_of_recorded_runs_are_found_again(load, tmp_path):
    path = next(path for path in EXPERIMENTS if path.stem == "quickstart")
    assert [part_path(tmp_path, point).name for point in load_config(path).points()] == ["6439308e8614a931.h5"]
    assert not set(load(BASE).points()[0].model_dump()["index"]) & {
        "aggregation",
        "sketch",
        "sketch_bytes",
        "n_sketched",
    }


def test_later_keys_at_their_defaults_make_no_other_run(load):
    ref = load(BASE).digest()
    assert load(BASE.replace("n_pivots = 16", 'n_pivots = 16\naggregation = "percentile"')).digest() == ref
    digests = [
        load(BASE.replace("n_pivots = 16", f"n_pivots = 16\n{line}")).digest()
        for line in (
            "aggregation = 'sum'",
            "sketch = 'product'",
            "sketch = 'landmark'",
            "sketch = 'product'\nn_sketched = 9",
        )
    ]
    assert len({ref, *digests}) == 5


def test_keys_of_sketches_say_nothing_where_there_is_none(load):
    series = "[[series]]\nlabel = 'none'\n[[series]]\nlabel = 'some'\nsketch = 'landmark'\n"
    config = load(BASE + "[sweep]\nsketch_bytes = [16, 32]\nn_sketched = [0, 50]\n" + series)
    found = [
        (p.label, *(p.columns()[name] for name in ("sketch", "sketch_bytes", "n_sketched"))) for p in config.points()
    ]
    assert found == [
        ("none", None, 0, None),
        ("some", "landmark", 16, 0),
        ("some", "landmark", 16, 50),
        ("some", "landmark", 32, 0),
        ("some", "landmark", 32, 50),
    ]


@pytest.mark.parametrize(
    ("sweep", "n_indexes"),
    [
        ("aggregation = ['percentile', 'sum', 'log-rank']", 1),
        ("aggregation = ['percentile', 'sum', 'calibrated']", 2),
        ("aggregation = ['calibrated']\nranking = ['wspd', 'diff']\ndecay = [0.5, 1.0]\nmax_level = [2, 3]", 8),
        ("aggregation = ['calibrated']\npercentile = [0.5, 1.0]\nrank_mode = ['dense', 'position']", 1),
        ("aggregation = ['calibrated']\nn_spaces = [1, 2]", 2),
        ("sketch = ['product', 'landmark']\nsketch_bytes = [16, 32]", 4),
        ("sketch = ['product']\nn_spaces = [1, 2]", 2),  # learnt with all pivots of an index
        ("sketch = ['product']\nprefix_length = [3, 4]\nn_sketched = [0, 50]\naggregation = ['sum', 'percentile']", 1),
    ],
)
def test_points_share_an_index_unless_something_else_is_learnt(load, sweep, n_indexes):
    config = load(BASE + f"[sweep]\n{sweep}\n")
    assert len({build_key(config, point) for point in config.points()}) == n_indexes
