"""The module for ann-benchmarks, beside a stand-in for the base class that its framework provides."""

import importlib
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

SOURCE = Path(__file__).parents[2] / "benchmarks" / "ann_benchmarks" / "metricsearch_ppp"
BASE = """
class BaseANN:
    def done(self):
        pass

    def __str__(self):
        return self.name
"""
SMALL = {"n_spaces": 2, "n_pivots": 8, "prefix_length": 3}


@pytest.fixture
def module(tmp_path, monkeypatch):
    algorithms = tmp_path / "ann_benchmarks" / "algorithms"
    for folder in (algorithms / "base", algorithms / "metricsearch_ppp"):
        folder.mkdir(parents=True)
    (algorithms / "base" / "module.py").write_text(BASE)
    shutil.copy(SOURCE / "module.py", algorithms / "metricsearch_ppp")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    importlib.invalidate_caches()
    yield importlib.import_module("ann_benchmarks.algorithms.metricsearch_ppp.module")
    for name in [name for name in sys.modules if name.split(".")[0] == "ann_benchmarks"]:
        del sys.modules[name]


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(60, 5)).astype(np.float32), rng.normal(size=(4, 5)).astype(np.float32)


def brute_force(metric, objects, query, n):
    if metric == "angular":
        objects, query = objects / np.linalg.norm(objects, axis=1)[:, None], query / np.linalg.norm(query)
    return np.argsort(np.linalg.norm(objects - query, axis=1), kind="stable")[:n].tolist()


@pytest.mark.parametrize("metric", ["euclidean", "angular"])
def test_all_candidates_give_the_exact_answer_singly_and_in_a_batch(module, data, metric):
    objects, queries = data
    method = module.PPPCodesANN(metric, SMALL)
    method.fit(objects)
    method.set_query_arguments(len(objects))
    expected = [brute_force(metric, objects, query, 7) for query in queries]
    assert [list(method.query(query, 7)) for query in queries] == expected
    method.batch_query(queries, 7)
    assert method.get_batch_results().tolist() == expected
    method.done()


def test_distances_are_counted_since_the_arguments_were_set(module, data):
    objects, queries = data
    method = module.PPPCodesANN("euclidean", SMALL)
    method.fit(objects)
    method.set_query_arguments(20)
    assert method.get_additional() == {"dist_comps": 0}
    for query in queries:
        method.query(query, 3)
    assert method.get_additional() == {"dist_comps": 4 * (2 * 8 + 20)}
    method.set_query_arguments(30)
    assert method.get_additional() == {"dist_comps": 0}
    assert "30" in str(method)
    method.done()


def test_more_neighbours_than_candidates_are_still_answered(module, data):
    objects, queries = data
    method = module.PPPCodesANN("euclidean", SMALL)
    method.fit(objects)
    method.set_query_arguments(2)
    assert len(method.query(queries[0], 10)) == 10
    method.done()


def test_memory_grows_by_the_index_and_done_removes_the_folder(module, data, tmp_path):
    method = module.PPPCodesANN("euclidean", SMALL)
    assert method.get_memory_usage() == 0
    method.fit(data[0])
    assert method.get_memory_usage() > 2 * 8 * 5 * 4 / 1024  # its pivots alone
    first = set(tmp_path.glob("metricsearch-*"))
    method.fit(data[0])
    second = set(tmp_path.glob("metricsearch-*"))
    assert len(first) == len(second) == 1
    assert not first & second
    method.done()
    method.done()
    assert not set(tmp_path.glob("metricsearch-*"))
    with pytest.raises(RuntimeError, match="call fit first"):
        method.query(data[1][0], 1)


def test_other_metrics_are_refused(module):
    with pytest.raises(ValueError, match="metric: expected one of euclidean, angular, got 'jaccard'"):
        module.PPPCodesANN("jaccard", SMALL)


def test_the_grid_names_the_class_the_module_and_parameters_that_there_are(module):
    text = (SOURCE / "config.yml").read_text()
    constructor, path, tag = (
        re.search(rf"^ *{key}: (\S+)$", text, re.MULTILINE)[1] for key in ("constructor", "module", "docker_tag")
    )
    assert f"{path}.module" == module.__name__
    assert hasattr(module, constructor)
    assert tag == f"ann-benchmarks-{path.rpartition('.')[2]}"
    names = re.findall(r"(\w+):", re.search(r"arg_groups: \[\{(.*)\}\]", text)[1])
    module.PPPCodes("euclidean", **dict.fromkeys(names, 8))
