"""Every baseline on real data: exact ones against a full scan, the others with half of the objects as candidates."""

from dataclasses import dataclass

import numpy as np
import pytest

from metricsearch.baselines import (
    LAESA,
    NAPP,
    ExhaustiveScan,
    KMeansTree,
    MIFile,
    MIndex,
    PermutationScan,
    PPIndex,
    VPTree,
)
from metricsearch.datasets import load_dataset
from metricsearch.evaluation import Neighbours, exact_neighbours, recall_of_answer
from metricsearch.refinement import StoreSearch
from metricsearch.spaces import Batch, Metric, get_metric
from metricsearch.store import ObjectStore
from metricsearch.store.codecs import default_codec

N_QUERIES, K = 20, 10
DATASETS = {  # objects drawn: more of high dimension, where a few hundred are hardly near to each other
    "english-words": 400,
    "rcv8-topics": 400,
    "sqfd-signatures": 400,
    "googlenet-grid4096": 1000,
}

EXACT = {
    "VP-tree": VPTree,
    "LAESA": lambda metric, **parameters: LAESA(metric, 16, **parameters),
    "exhaustive scan": lambda metric, **_: ExhaustiveScan(metric),
    "k-means tree": KMeansTree,
}
APPROXIMATE = {
    "footrule": lambda metric, **parameters: PermutationScan(metric, 32, **parameters),
    "rho": lambda metric, **parameters: PermutationScan(metric, 32, distance="rho", **parameters),
    "binary": lambda metric, **parameters: PermutationScan(metric, 64, distance="binary", **parameters),
    "MI-File": lambda metric, **parameters: MIFile(metric, 32, 16, **parameters),
    "NAPP": lambda metric, **parameters: NAPP(metric, 64, 16, **parameters),
    "M-Index": lambda metric, **parameters: MIndex(metric, 32, 6, **parameters),
    "PP-Index": lambda metric, **parameters: PPIndex(metric, 16, 8, 4, n_queries=4, **parameters),
    "k-means tree": KMeansTree,
}


@dataclass(frozen=True)
class Data:
    metric: Metric
    objects: Batch
    queries: Batch
    ref: Neighbours


@pytest.fixture(scope="module", params=DATASETS)
def data(request, data_dir):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("METRICSEARCH_DATA", str(data_dir))
        dataset = load_dataset(request.param, n=DATASETS[request.param], n_queries=N_QUERIES)
        metric = get_metric(dataset.metric)
        queries = metric.check(dataset.queries)
        (objects,) = dataset.objects.chunks(len(dataset.objects))
        return Data(metric, objects, queries, exact_neighbours(metric, dataset.objects, queries, K))


@pytest.fixture(scope="module")
def store(data, tmp_path_factory):
    kind = data.metric.kind
    path = tmp_path_factory.mktemp("store") / "objects.mdb"
    with ObjectStore.create(path, default_codec(kind), kind, kind.width(data.objects)) as store:
        store.add([(np.arange(len(data.objects)), data.objects)])
        yield store


def built(methods, data, **parameters):
    """(name, index) of every method that knows the metric."""
    for name, make in methods.items():
        if name != "k-means tree" or data.metric.name == "euclidean":
            yield name, make(data.metric, **parameters).build(data.objects)


def test_exact_ones_equal_a_full_scan(data, store):
    for name, index in built(EXACT, data):
        with StoreSearch(index, store) as search:
            answers = search.nearest(data.queries, K)
        for i, answer in enumerate(answers):
            ids, distances = data.ref.of(i)
            assert answer.ids.tolist() == ids[:K].tolist(), name
            assert answer.distances.tolist() == distances[:K].tolist(), name
            assert answer.costs["n_objects_read"] <= len(data.objects), name


def test_half_of_the_objects_as_candidates_hold_nine_of_ten_neighbours(data, store):
    kth, half = data.ref.kth_distances(K), len(data.objects) // 2
    for name, index in built(APPROXIMATE, data):
        with StoreSearch(index, store) as search:
            answers = search.search(data.queries, K, n_candidates=half)
        assert all(answer.costs["n_objects_read"] <= half for answer in answers), name
        recalls = [recall_of_answer(a.distances[None], kth[i : i + 1], K)[0] for i, a in enumerate(answers)]
        assert np.mean(recalls) > 0.9, name


def test_candidates_do_not_depend_on_the_number_of_threads(data):
    pairs = zip(
        *(built({**APPROXIMATE, "LAESA": EXACT["LAESA"]}, data, seed=7, n_threads=n) for n in (1, 2)), strict=True
    )
    for (name, one), (_, other) in pairs:
        for i in range(5):
            query = data.queries[i : i + 1]
            assert one.candidates(query, 50).tolist() == other.candidates(query, 50).tolist(), name
        assert one.memory_report() == other.memory_report(), name
