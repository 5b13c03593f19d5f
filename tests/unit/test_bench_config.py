"""Suite files and adapters: what they may say, and what users read when they are wrong."""

import pytest

from metricsearch.bench.adapters import load_adapter, new_method
from metricsearch.bench.config import load_suite
from metricsearch.bench.results import Setting
from metricsearch.errors import ConfigError, InvalidInputError, MissingDataError
from metricsearch.spaces import get_metric

HEAD = """
title = "A suite"
source = "made up"
[data]
name = "english-words"
n = 100
[measure]
k = 5
n_candidates = [10, 20]
cache = ["warm", "cold"]
"""
PPP = """
[[method]]
label = "ours"
index = "ppp"
query = [{}, {percentile = 0.3}]
"""


def suite_of(folder, text):
    path = folder / "suite.toml"
    path.write_text(text, encoding="utf-8")
    return load_suite(path)


def test_settings_vary_by_cache_then_query_then_number_of_candidates(tmp_path):
    suite = suite_of(tmp_path, HEAD + PPP)
    settings = suite.settings_of(suite.method[0])
    assert settings == [
        Setting(query=query, n_candidates=size, cache=cache)
        for cache in ("warm", "cold")
        for query in ({}, {"percentile": 0.3})
        for size in (10, 20)
    ]


@pytest.mark.parametrize(
    ("lines", "sizes", "caches"),
    [
        ('adapter = "a.py:A"', {None}, {"warm"}),
        ('adapter = "a.py:A"\nrefine = true', {10, 20}, {"warm", "cold"}),
        ('adapter = "a.py:A"\nrefine = true\nn_candidates = [7]', {7}, {"warm", "cold"}),
        ('adapter = "a.py:A"\nrefine = true\nalone = true', {None, 10, 20}, {"warm", "cold"}),
        ('index = "laesa"', {10, 20}, {"warm", "cold"}),
        ('index = "laesa"\nexact = true', {None}, {"warm", "cold"}),
        ('index = "vp_tree"', {None}, {"warm", "cold"}),
    ],
)
def test_only_refined_methods_take_candidates_and_only_readers_of_the_store_are_measured_cold(
    tmp_path, lines, sizes, caches
):
    suite = suite_of(tmp_path, f'{HEAD}[[method]]\nlabel = "m"\n{lines}\n')
    settings = suite.settings_of(suite.method[0])
    assert {setting.n_candidates for setting in settings} == sizes
    assert {setting.cache for setting in settings} == caches


def test_a_refined_library_answers_alone_once_per_query_table_and_never_cold(tmp_path):
    lines = 'label = "m"\nadapter = "a.py:A"\nrefine = true\nalone = true\nquery = [{ a = 1 }, { a = 2 }]\n'
    suite = suite_of(tmp_path, f"{HEAD}[[method]]\n{lines}")
    alone = [setting for setting in suite.settings_of(suite.method[0]) if setting.n_candidates is None]
    assert alone == [Setting(query={"a": 1}), Setting(query={"a": 2})]


def test_the_reference_is_the_first_method_unless_another_is_named(tmp_path):
    other = '[[method]]\nlabel = "scan"\nindex = "exhaustive_scan"\n'
    assert suite_of(tmp_path, HEAD + PPP + other).reference.label == "ours"
    named = HEAD.replace("k = 5", 'k = 5\nreference = "scan"')
    assert suite_of(tmp_path, named + PPP + other).reference.label == "scan"


def test_the_texts_of_a_suite_do_not_change_its_digest_but_what_is_measured_does(tmp_path):
    digest = suite_of(tmp_path, HEAD + PPP).digest()
    assert suite_of(tmp_path, HEAD.replace("A suite", "Another title") + PPP).digest() == digest
    assert suite_of(tmp_path, HEAD.replace("k = 5", "k = 6") + PPP).digest() != digest


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD, r"method: missing; expected a list of tables"),
        (HEAD + PPP + PPP, "expected different labels, got 'ours' twice"),
        (HEAD + PPP.replace("index", "indx"), r"indx: unknown key \(did you mean 'index'\?\)"),
        (HEAD + PPP.replace('"ppp"', '"pp"'), r"method\[0\].index: expected one of ppp, m_index"),
        (HEAD + '[[method]]\nlabel = "x"\n', "method 'x': expected either index or adapter"),
        (HEAD + '[[method]]\nlabel = "x"\nadapter = "a.py"\n', "expected FILE.py:CLASS, got 'a.py'"),
        (HEAD + PPP + "refine = true\n", "refine: only for adapters"),
        (HEAD + PPP + "alone = true\n", "alone: only with refine = true"),
        (HEAD + PPP + "exact = true\n", "exact: only for k_means_tree, laesa"),
        (HEAD + PPP + "n_candidates = [4, 9]\n", "n_candidates: 4 is less than k = 5"),
        (HEAD + '[[method]]\nlabel = "x"\nindex = "vp_tree"\nn_candidates = [9]\n', "it answers by itself"),
        (HEAD.replace("k = 5", 'k = 5\nreference = "x"') + PPP, "measure.reference: no method 'x'; methods: ours"),
        (HEAD.replace('name = "english-words"', "") + PPP, "expected either name, or photos and feature"),
        (HEAD.replace("n = 100", 'photos = ["corel5k"]') + PPP, "expected either name, or photos and feature"),
        (HEAD.replace("n = 100", 'feature = "sift"') + PPP, "feature: expected together with photos"),
        (HEAD.replace("k = 5", "k = 0") + PPP, "measure.k: expected a whole number >= 1, got 0"),
        (HEAD.replace('"cold"', '"hot"') + PPP, 'cache.*expected a list of "warm", "cold"'),
        (HEAD + "[", "not valid TOML"),
    ],
)
def test_a_wrong_suite_is_refused_in_one_line_that_names_the_file(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message) as error:
        suite_of(tmp_path, text)
    assert str(error.value).startswith(str(tmp_path / "suite.toml"))
    assert "\n" not in str(error.value)


def test_a_missing_suite_is_said_to_be_missing(tmp_path):
    with pytest.raises(MissingDataError, match=r"none\.toml: no such suite file"):
        load_suite(tmp_path / "none.toml")


ADAPTER = """
from helper_of_test_bench_config import NAME
from metricsearch.bench.method import Method

class Fake(Method):
    def __init__(self, metric, seed, *, size, shape=None):
        super().__init__(metric, seed)
        self.size = size
    def build(self, objects): ...
    def find(self, query, n): ...
    def set_threads(self, n_threads): ...
    def version(self): return NAME

class NoMethod: ...
"""


@pytest.fixture
def adapters(tmp_path, monkeypatch):
    import sys

    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "helper_of_test_bench_config.py").write_text('NAME = "fake 1"\n', encoding="utf-8")
    (tmp_path / "fake_adapters.py").write_text(ADAPTER, encoding="utf-8")
    return tmp_path


def test_an_adapter_is_found_relative_to_the_suite_and_may_import_what_lies_beside_it(adapters):
    (adapters / "suites").mkdir()
    method = new_method(
        "../fake_adapters.py:Fake", adapters / "suites", get_metric("euclidean"), {"size": 3, "seed": 7}
    )
    assert (method.size, method.seed, method.version()) == (3, 7, "fake 1")
    assert load_adapter("fake_adapters.py:Fake", adapters) is type(method)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"size": 1, "sise": 2}, "Fake: has no parameter 'sise'; parameters: size, shape"),
        ({}, "Fake: needs the parameter 'size'"),
        ({"size": 1, "metric": "hamming"}, "Fake: has no parameter 'metric'"),
        ({"size": 1, "seed": -1}, "seed: expected a whole number >= 0"),
    ],
)
def test_parameters_that_an_adapter_does_not_know_are_named(adapters, parameters, message):
    with pytest.raises(InvalidInputError, match=message):
        new_method("fake_adapters.py:Fake", adapters, get_metric("euclidean"), parameters)


@pytest.mark.parametrize("name", ["Missing", "NoMethod", "Method"])
def test_a_class_that_is_no_adapter_is_refused_with_those_that_are(adapters, name):
    with pytest.raises(ConfigError, match=rf"has no adapter '{name}'; adapters there: Fake"):
        load_adapter(f"fake_adapters.py:{name}", adapters)


def test_an_adapter_file_that_is_not_there_is_named(adapters):
    with pytest.raises(MissingDataError, match=r"nowhere\.py: no such adapter file"):
        load_adapter("nowhere.py:Fake", adapters)
