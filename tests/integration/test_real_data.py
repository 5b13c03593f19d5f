"""Every real data set goes through the whole engine: file, metric, store, index, search."""

import numpy as np
import pytest

from metricsearch import Collection, PPPCodes, get_metric
from metricsearch.datasets import load_dataset
from metricsearch.evaluation import exact_neighbours, recall_of_answer

CASES = {  # n, codec, recall of 10-NN that a tenth of the objects must give
    "googlenet-grid4096": (None, "sparse-f32", 0.8),
    "english-words": (4000, "utf8", 0.9),
    "spanish-words": (2000, "utf8", 0.9),
    "norwegian-words": (2000, "utf8", 0.9),
    "dna32": (2000, "utf8", 0.4),  # distances between random strings hardly differ
    "colors282": (None, "raw-f32", 0.8),
    "rcv8-topics": (4000, "raw-f32", 0.95),
    "sqfd-signatures": (None, "signatures", 0.8),
    "mnist-t10k": (4000, "sparse-f32", 0.8),
}


@pytest.fixture(params=CASES)
def case(request, data_dir, monkeypatch):
    monkeypatch.setenv("METRICSEARCH_DATA", str(data_dir))
    n, codec, recall = CASES[request.param]
    return load_dataset(request.param, n=n, n_queries=40), codec, recall


def test_a_real_data_set_is_searched_exactly_with_all_candidates_and_well_with_a_tenth(case, tmp_path):
    dataset, codec, least_recall = case
    metric = get_metric(dataset.metric)
    ref = exact_neighbours(metric, dataset.objects, dataset.queries, 10)
    index = PPPCodes(dataset.metric, n_spaces=4, n_pivots=32, prefix_length=6)
    with Collection.create(tmp_path / "real.ms", index=index, codec=codec) as collection:
        collection.add(dataset.objects)
        collection.build_index()
        n = len(dataset.objects)
        comp = collection.search(dataset.queries, 10, n_candidates=n)
        assert recall_of_answer(comp.distances, ref.kth_distances(10), 10).tolist() == [1.0] * 40
        assert (comp.stats.n_objects_read == n).all()
        some = collection.search(dataset.queries, 10, n_candidates=n // 10)
        assert np.mean(recall_of_answer(some.distances, ref.kth_distances(10), 10)) >= least_recall
        assert collection.verify() == []
