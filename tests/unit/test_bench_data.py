"""Data as written for the processes of the methods, and what these processes use of the machine."""

import subprocess
import sys

import numpy as np
import pytest

from metricsearch.bench.config import DataConfig
from metricsearch.bench.data import BenchData, load_data, open_data, write_data, write_store
from metricsearch.bench.resources import private_bytes, release_memory
from metricsearch.datasets import ArraySource
from metricsearch.errors import InvalidInputError, UnknownNameError
from metricsearch.spaces import Ragged, get_metric
from metricsearch.store import ObjectStore


def data_of(metric_name, objects, queries):
    metric = get_metric(metric_name)
    objects, queries = metric.check(objects), metric.check(queries)
    return BenchData("x", "made up", True, metric, ArraySource(objects), queries)


def parts(batch):
    return (batch.values, batch.offsets) if isinstance(batch, Ragged) else (batch,)


def some_objects(metric_name, n):
    rng = np.random.default_rng(n)
    if metric_name == "levenshtein":
        return ["", *("ab" * int(i) for i in rng.integers(0, 4, n - 1))]
    if metric_name == "hamming":
        return rng.integers(0, 256, (n, 3), dtype=np.uint8)
    if metric_name == "sqfd":
        return [rng.random((int(m), 4), dtype=np.float32) for m in rng.integers(1, 5, n)]
    return rng.random((n, 4), dtype=np.float32)


@pytest.mark.parametrize("metric_name", ["euclidean", "hamming", "levenshtein", "sqfd"])
@pytest.mark.parametrize("n", [1, 1024, 1500])
def test_what_is_written_is_what_is_opened_and_what_the_store_holds(tmp_path, metric_name, n):
    data = data_of(metric_name, some_objects(metric_name, n), some_objects(metric_name, 3))
    mapped = write_data(data, tmp_path)
    for one, other in ((mapped.objects, data.objects.load()), (mapped.queries, data.queries)):
        for part, expected in zip(parts(one), parts(other), strict=True):
            assert part.dtype == expected.dtype
            assert np.array_equal(part, expected)
    assert mapped.metric.spec() == data.metric.spec()
    assert write_store(tmp_path / "objects.mdb", open_data(tmp_path), None) == (tmp_path / "objects.mdb").stat().st_size
    with ObjectStore.open(tmp_path / "objects.mdb", readonly=True) as store:
        assert np.array_equal(store.ids(), np.arange(n))
        for part, expected in zip(parts(store.get(np.arange(n))), parts(data.objects.load()), strict=True):
            assert np.array_equal(part, expected)


def test_vectors_are_mapped_and_cannot_be_changed_by_a_method(tmp_path):
    mapped = write_data(data_of("euclidean", some_objects("euclidean", 9), some_objects("euclidean", 2)), tmp_path)
    assert isinstance(mapped.objects, np.memmap)
    assert not mapped.objects.flags.writeable
    assert not isinstance(mapped.queries, np.memmap)


def test_a_suite_may_ask_for_another_metric_of_the_same_vectors():
    data = load_data(DataConfig(name="decaf7-like", n=20, n_queries=3, metric="manhattan"))
    assert data.metric.name == "manhattan"
    assert (len(data.objects), len(data.queries), data.synthetic) == (20, 3, True)
    with pytest.raises(UnknownNameError, match="manhatan"):
        load_data(DataConfig(name="decaf7-like", n=20, n_queries=3, metric="manhatan"))
    with pytest.raises(InvalidInputError):
        load_data(DataConfig(name="decaf7-like", n=20, n_queries=3, metric="levenshtein"))


def test_private_memory_counts_what_is_allocated_here_and_in_children_but_no_mapped_file(tmp_path):
    size = 64 << 20
    np.save(tmp_path / "big.npy", np.zeros(size, dtype=np.uint8))
    release_memory()
    before = private_bytes()
    mapped = np.load(tmp_path / "big.npy", mmap_mode="r", allow_pickle=False)
    assert mapped.sum() == 0
    assert private_bytes() - before < size // 4
    held = np.ones(size, dtype=np.uint8)
    assert size * 0.9 < private_bytes() - before < size * 1.5
    del held
    release_memory()
    assert private_bytes() - before < size // 4
    program = f"import time; held = bytearray(b'x' * {size}); print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        assert private_bytes() - before > size * 0.9
        child.kill()
