"""The suites in benchmarks/suites: every file is valid, and every method takes its parameters."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from metricsearch.bench.adapters import load_adapter
from metricsearch.bench.config import load_suite
from metricsearch.bench.own import new_index, search_options
from metricsearch.datasets import dataset_names, describe, image_set_names
from metricsearch.features.names import plain_names
from metricsearch.spaces import get_metric

FOLDER = Path(__file__).parents[2] / "benchmarks" / "suites"
SUITES = sorted(FOLDER.glob("*.toml"))
EQUAL_BYTES = [path for path in SUITES if path.stem.startswith("equal_bytes")]


def metric_of(suite):
    return get_metric(suite.data.metric or (describe(suite.data.name)["metric"] if suite.data.name else "euclidean"))


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_data_of_suites_exist(path):
    data = load_suite(path).data
    if data.name is not None:
        assert data.name in dataset_names()
    assert set(data.photos) <= set(image_set_names())
    assert data.feature is None or data.feature in plain_names()


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_own_methods_of_suites_take_their_parameters(path):
    suite = load_suite(path)
    metric = metric_of(suite)
    for method in suite.method:
        if method.index is not None:
            new_index(method.index, metric, method.build, 1)
            for query in method.query:
                search_options(method.index, {} if "max_distances" in query else query)


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_peers_of_suites_take_their_parameters(path):
    suite = load_suite(path)
    metric = metric_of(suite)
    for method in suite.method:
        if method.adapter is None:
            continue
        peer = load_adapter(method.adapter, path.parent)
        module = getattr(peer, "module", None)
        if module and find_spec(module.partition(".")[0]) is None:
            continue
        if method.optional and "python" in method.build:
            continue  # another interpreter, which is not there
        made = peer(metric, 0, **method.build)
        assert made.metric is metric


@pytest.mark.parametrize("path", EQUAL_BYTES, ids=lambda path: path.stem)
def test_suites_of_equal_bytes_are_refined_and_labelled(path):
    for method in load_suite(path).method:
        assert method.label.partition(": ")[0] in ("32 B", "48 B", "64 B")
        assert method.takes_candidates
