"""Adapters of other libraries: the answers they give, what they refuse, what they tell of themselves."""

import importlib.util
import os
import sys
from pathlib import Path

import numpy as np
import pytest

import metricsearch
from metricsearch.bench.adapters import load_adapter
from metricsearch.errors import InvalidInputError, MissingExtraError, MissingIndexError
from metricsearch.spaces import get_metric

PEERS = Path(metricsearch.__file__).parent.parent / "benchmarks" / "peers"
N, DIMENSION, K = 600, 32, 10
# interpreter that has diskannpy, which cannot live beside numpy 2
DISKANN_PYTHON = os.environ.get("METRICSEARCH_DISKANN_PYTHON")

# library, adapter, metrics, build, query, least recall
CASES = [
    ("faiss", "faiss_indexes.py:Flat", "euclidean angular manhattan chebyshev jensen_shannon hamming", {}, {}, 1),
    ("faiss", "faiss_indexes.py:HNSW", "euclidean angular manhattan chebyshev jensen_shannon", {}, {"ef": 100}, 0.95),
    ("faiss", "faiss_indexes.py:IVFFlat", "euclidean angular", {"n_lists": 8}, {"n_probes": 8}, 1),
    ("faiss", "faiss_indexes.py:IVFPQ", "euclidean angular", {"n_lists": 4, "n_bytes": 16}, {"n_probes": 4}, 0.7),
    ("faiss", "faiss_indexes.py:IVFRaBitQ", "euclidean angular", {"n_lists": 4}, {"n_probes": 4}, 0.3),
    ("faiss", "faiss_indexes.py:PQ", "euclidean angular", {"n_bytes": 16}, {}, 0.7),
    ("faiss", "faiss_indexes.py:LSH", "euclidean angular", {"n_bits": 512}, {}, 0.5),
    ("nmslib", "nmslib_indexes.py:NAPP", "euclidean manhattan chebyshev angular jensen_shannon hamming levenshtein "
     "jaccard", {"n_pivots": 64, "n_indexed": 16}, {"min_shared": 2}, 0.9),
    ("nmslib", "nmslib_indexes.py:VPTree", "euclidean manhattan chebyshev angular jensen_shannon hamming levenshtein "
     "jaccard", {"bucket_size": 10}, {}, 1),
    ("nmslib", "nmslib_indexes.py:BruteForce", "euclidean manhattan chebyshev angular jensen_shannon hamming "
     "levenshtein jaccard", {}, {}, 1),
    ("annoy", "annoy_index.py:Annoy", "euclidean angular manhattan hamming", {"n_trees": 20}, {"search_k": 2000}, 0.9),
    ("hnswlib", "hnswlib_index.py:Hnswlib", "euclidean angular", {}, {"ef": 100}, 0.95),
    ("sklearn", "sklearn_trees.py:KDTree", "euclidean angular manhattan chebyshev", {"leaf_size": 20}, {}, 1),
    ("sklearn", "sklearn_trees.py:BallTree", "euclidean angular manhattan chebyshev", {}, {}, 1),
    ("usearch", "usearch_index.py:USearch", "euclidean angular hamming", {}, {"ef": 100}, 0.95),
    ("scann", "scann_index.py:ScaNN", "euclidean angular", {"n_leaves": 10}, {"n_probes": 10}, 0.95),
    ("pynndescent", "pynndescent_index.py:PyNNDescent", "euclidean", {}, {"epsilon": 0.2}, 0.9),
    ("sqlite3", "sqlite_scan.py:SQLiteScan", "euclidean hamming levenshtein jaccard sqfd", {}, {}, 1),
]  # fmt: skip
REFERENCES = [pytest.param(case, id=case[1].rpartition(":")[2]) for case in CASES]
PAIRS = [
    pytest.param(case, name, id=f"{case[1].rpartition(':')[2]}-{name}") for case in CASES for name in case[2].split()
]
EXACT = {"Flat", "VPTree", "BruteForce", "KDTree", "BallTree", "SQLiteScan"}


def objects_of(name, n=N):
    """Objects in clusters, with duplicates, of the kind of a metric, and the metric."""
    metric, rng = get_metric(name), np.random.default_rng(3)
    if name == "levenshtein":
        return metric, metric.check(["".join(rng.choice(list("abcd"), rng.integers(1, 9))) for _ in range(n)])
    if name == "jaccard":
        return metric, metric.check([set(rng.integers(0, 40, 8).tolist()) for _ in range(n)])
    if name == "sqfd":
        n = min(n, 60)
        return metric, metric.check([np.hstack([rng.random((3, 2)), np.full((3, 1), 1 / 3)]) for _ in range(n)])
    centres = rng.random((12, DIMENSION))
    x = np.abs(centres[rng.integers(0, 12, n)] + 0.1 * rng.standard_normal((n, DIMENSION)))
    x[n // 2] = x[0]
    x = (x / x.sum(axis=1, keepdims=True)).astype(np.float32)
    return metric, np.packbits(x > np.median(x, axis=0), axis=1) if name == "hamming" else x


def adapter(case, name, **changed):
    library, reference, _, build, query, _ = case
    pytest.importorskip(library, exc_type=ImportError)
    method = load_adapter(reference, PEERS)(get_metric(name), 0, **{**build, **changed})
    method.set_threads(1)
    return method, query


@pytest.fixture
def built(request):
    methods = []

    def build(case, name, n=N):
        method, query = adapter(case, name)
        methods.append(method)
        metric, objects = objects_of(name, n)
        method.build(objects)
        method.set_query(**query)
        return method, metric, objects

    yield build
    for method in methods:
        method.close()


def recall(metric, objects, row, ids, k):
    """Part of the k answers that are as near as the k-th nearest object."""
    distances = metric.distances(objects[row : row + 1], objects)
    return np.mean(distances[ids[:k]] <= np.sort(distances)[k - 1] * (1 + 1e-5) + 1e-6) * min(1, len(ids) / k)


@pytest.mark.parametrize(("case", "name"), PAIRS)
def test_finds_the_nearest_objects(case, name, built):
    method, metric, objects = built(case, name)
    recalls = [recall(metric, objects, row, method.find(objects[row : row + 1], K).ids, K) for row in range(15)]
    assert np.mean(recalls) >= case[5]


@pytest.mark.parametrize(("case", "name"), PAIRS)
def test_answers_are_rows_without_padding_and_best_first(case, name, built):
    method, metric, objects = built(case, name)
    found = method.find(objects[3:4], 10 * N)
    assert found.ids.dtype == np.int64
    assert found.ids.ndim == 1
    assert len(np.unique(found.ids)) == len(found.ids) <= len(objects)
    assert found.ids.min() >= 0
    assert found.ids.max() < len(objects)
    assert found.n_distances is None or found.n_distances > 0 or type(method).__name__ == "LSH"  # which scans codes
    distances = metric.distances(objects[3:4], objects)[found.ids]
    if type(method).__name__ in EXACT:
        assert len(found.ids) == len(objects)
        assert (np.diff(distances) >= -1e-5).all()
    else:  # codes and graphs order roughly
        assert distances[:5].mean() < distances[-5:].mean()


@pytest.mark.parametrize("case", REFERENCES)
def test_a_batch_of_queries_gets_the_answers_of_single_ones(case, built):
    method, metric, objects = built(case, case[2].split()[0])
    together = method.find_all(objects[:4], K)
    assert len(together) == 4
    for row, ids in enumerate(together):
        single = method.find(objects[row : row + 1], K).ids
        assert ids.dtype == np.int64
        left, right = (recall(metric, objects, row, answer, K) for answer in (ids, single))
        assert len(ids) == len(single)
        assert abs(left - right) <= 0.2  # graphs may be entered elsewhere


@pytest.mark.parametrize("case", REFERENCES)
def test_one_query_in_a_batch_is_answered(case, built):
    method, _, objects = built(case, case[2].split()[0])
    assert len(method.find_all(objects[:1], K)[0]) == K


@pytest.mark.parametrize("case", REFERENCES)
def test_tells_memory_version_and_what_is_saved(case, built, tmp_path):
    method, _, _ = built(case, case[2].split()[0])
    memory = method.memory()
    assert memory.objects >= 0
    assert memory.fixed >= 0
    assert memory.objects + memory.fixed > 0
    assert any(character.isdigit() for character in method.version())
    assert method.save(tmp_path) == any(path.is_file() for path in tmp_path.rglob("*"))
    assert len(method.find(objects_of(case[2].split()[0])[1][:1], K).ids) == K  # still there


@pytest.mark.parametrize(
    ("reference", "build", "expected"),
    [
        ("faiss_indexes.py:Flat", {}, 4 * DIMENSION),
        ("faiss_indexes.py:PQ", {"n_bytes": 8}, 8),
        ("faiss_indexes.py:LSH", {"n_bits": 64}, 8),
        ("faiss_indexes.py:IVFPQ", {"n_lists": 2, "n_bytes": 8}, 8 + 8),
        ("faiss_indexes.py:IVFRaBitQ", {"n_lists": 2, "dimensions": 16}, 2 + 8 + 8),
    ],
)
def test_bytes_per_object_of_faiss_are_those_of_code_and_id(reference, build, expected):
    pytest.importorskip("faiss")
    method = load_adapter(reference, PEERS)(get_metric("euclidean"), 0, **build)
    method.build(objects_of("euclidean")[1])
    assert expected <= method.memory().objects / N < expected + 0.2
    assert method.memory().fixed < 60_000


@pytest.mark.parametrize("case", REFERENCES)
def test_refuses_metrics_that_the_library_has_not(case):
    if "SQLiteScan" in case[1]:
        pytest.skip("takes every metric")
    pytest.importorskip(case[0], exc_type=ImportError)
    for name in ("sqfd", "hausdorff"):
        with pytest.raises(InvalidInputError, match=f"^[A-Za-z]+: metric {name} is not among those of [^\n]*$"):
            load_adapter(case[1], PEERS)(get_metric(name), 0, **case[3])


@pytest.mark.parametrize("case", REFERENCES)
def test_refuses_unknown_and_impossible_parameters(case):
    method, query = adapter(case, case[2].split()[0])
    with pytest.raises(InvalidInputError, match="bogus"):
        method.set_query(**query, bogus=1)
    for name in [*case[3], *query]:
        with pytest.raises(InvalidInputError, match=name):
            method.set_query(**{name: -1}) if name in query else adapter(case, case[2].split()[0], **{name: -1})


@pytest.mark.parametrize("case", REFERENCES)
def test_asks_for_build_before_find_and_for_a_positive_number(case, built):
    name = case[2].split()[0]
    objects = objects_of(name)[1]
    method, _ = adapter(case, name)
    with pytest.raises(MissingIndexError):
        method.find(objects[:1], 1)
    method, _, _ = built(case, name)
    with pytest.raises(InvalidInputError, match="n: expected"):
        method.find(objects[:1], 0)


@pytest.mark.parametrize("case", [case for case in CASES if case[0] in ("faiss", "annoy", "sklearn", "usearch")])
def test_a_mapped_read_only_file_gives_the_index_of_the_array(case, built, tmp_path):
    in_memory, _, objects = built(case, "euclidean")
    np.save(tmp_path / "objects.npy", objects)
    mapped, query = adapter(case, "euclidean")
    mapped.build(np.load(tmp_path / "objects.npy", mmap_mode="r"))
    mapped.set_query(**query)
    for row in range(5):
        np.testing.assert_array_equal(
            mapped.find(objects[row : row + 1], K).ids, in_memory.find(objects[row : row + 1], K).ids
        )


def test_too_few_objects_to_train_on_are_refused():
    pytest.importorskip("faiss")
    for reference, build in (("PQ", {"n_bytes": 8}), ("IVFFlat", {"n_lists": 50})):
        method = load_adapter(f"faiss_indexes.py:{reference}", PEERS)(get_metric("euclidean"), 0, **build)
        with pytest.raises(InvalidInputError, match="trains on at least"):
            method.build(objects_of("euclidean", 40)[1])


def test_bytes_of_a_code_must_divide_the_dimensions():
    pytest.importorskip("faiss")
    method = load_adapter("faiss_indexes.py:PQ", PEERS)(get_metric("euclidean"), 0, n_bytes=7)
    with pytest.raises(InvalidInputError, match="n_bytes: expected a divisor of the 32 dimensions, got 7"):
        method.build(objects_of("euclidean")[1])


@pytest.mark.parametrize("rotated", [False, True])
def test_vectors_are_reduced_before_they_are_quantised(rotated):
    pytest.importorskip("faiss")
    metric, objects = objects_of("euclidean")
    for reference, build in (("PQ", {}), ("IVFPQ", {"n_lists": 2})):
        method = load_adapter(f"faiss_indexes.py:{reference}", PEERS)(
            metric, 0, n_bytes=4, dimensions=8, rotated=rotated, **build
        )
        method.build(objects)
        assert recall(metric, objects, 0, method.find(objects[:1], 100).ids, 10) > 0.5
        assert method.memory().objects / N < 4 + 8 + 0.2


def test_faiss_counts_distances_of_the_lists_it_looks_into():
    pytest.importorskip("faiss")
    metric, objects = objects_of("euclidean")
    method = load_adapter("faiss_indexes.py:IVFFlat", PEERS)(metric, 0, n_lists=8)
    method.build(objects)
    counts = []
    for n_probes in (1, 4, 8):
        method.set_query(n_probes=n_probes)
        counts.append(method.find(objects[:1], K).n_distances)
    assert counts[0] < counts[1] < counts[2] == N + 8


@pytest.mark.parametrize(
    ("reference", "build", "expected"),
    [
        ("LSH", {"n_bits": 64}, 0),
        ("PQ", {"n_bytes": 8}, 256),
        ("IVFPQ", {"n_lists": 4, "n_bytes": 8}, 4 + 256),
        ("IVFRaBitQ", {"n_lists": 4}, 4),
    ],
)
def test_faiss_counts_centres_but_no_comparisons_of_codes(reference, build, expected):
    pytest.importorskip("faiss")
    method = load_adapter(f"faiss_indexes.py:{reference}", PEERS)(get_metric("euclidean"), 0, **build)
    objects = objects_of("euclidean")[1]
    method.build(objects)
    assert method.find(objects[:1], K).n_distances == expected


@pytest.mark.parametrize("name", ["euclidean", "levenshtein"])
def test_the_full_scan_of_nmslib_compares_all_objects_and_is_not_written(name, tmp_path):
    pytest.importorskip("nmslib")
    metric, objects = objects_of(name)
    method = load_adapter("nmslib_indexes.py:BruteForce", PEERS)(metric, 0)
    method.build(objects)
    assert method.find(objects[:1], K).n_distances == N
    assert not method.save(tmp_path)
    if name == "euclidean":
        assert method.memory().objects == N * (4 * DIMENSION + 24)
    else:
        assert method.memory() is None


def test_napp_counts_distances_by_asking_for_all_it_compares():
    pytest.importorskip("nmslib")
    metric, objects = objects_of("euclidean")
    method = load_adapter("nmslib_indexes.py:NAPP", PEERS)(metric, 0, n_pivots=64, n_indexed=8)
    method.build(objects)
    method.set_query(min_shared=8)
    plain = method.find(objects[:1], K)
    method.set_query(min_shared=8, counts_distances=True)
    counted = method.find(objects[:1], K)
    assert plain.n_distances is None
    np.testing.assert_array_equal(plain.ids, counted.ids)
    assert 64 + len(plain.ids) <= counted.n_distances < 64 + N


def test_napp_compares_fewer_objects_the_more_pivots_they_must_share_and_the_more_are_searched_the_more():
    pytest.importorskip("nmslib")
    metric, objects = objects_of("euclidean")
    method = load_adapter("nmslib_indexes.py:NAPP", PEERS)(metric, 0, n_pivots=64, n_indexed=16)
    method.build(objects)

    def n_compared(**parameters):
        method.set_query(counts_distances=True, **parameters)
        return sum(method.find(objects[i : i + 1], K).n_distances - 64 for i in range(20))

    by_shared = [n_compared(min_shared=number) for number in (1, 4, 8, 12, 16)]
    assert by_shared == sorted(by_shared, reverse=True)
    assert by_shared[0] > 2 * by_shared[-1]
    assert n_compared(n_searched=4) < n_compared(n_searched=16)


def test_nmslib_refuses_strings_that_it_would_compare_wrongly():
    pytest.importorskip("nmslib")
    metric = get_metric("levenshtein")
    method = load_adapter("nmslib_indexes.py:VPTree", PEERS)(metric, 0)
    with pytest.raises(InvalidInputError, match="ASCII"):
        method.build(metric.check(["žák", "zak"]))
    with pytest.raises(InvalidInputError, match="row 1 is empty"):
        method.build(metric.check(["zak", ""]))


def test_sqlite_removes_its_database(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    metric, objects = objects_of("euclidean", 20)
    method = load_adapter("sqlite_scan.py:SQLiteScan", PEERS)(metric, 0)
    method.build(objects)
    assert list(tmp_path.rglob("objects.db"))
    method.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("file", sorted({case[1].partition(":")[0] for case in CASES} - {"sqlite_scan.py"}))
def test_a_missing_library_is_named_with_the_command_that_installs_it(file, monkeypatch):
    case = next(case for case in CASES if case[1].startswith(file))
    cls = load_adapter(case[1], PEERS)
    monkeypatch.setitem(sys.modules, cls.module, None)
    with pytest.raises(MissingExtraError, match=r'pip install "metricsearch\[peers\]"'):
        cls(get_metric("euclidean"), 0, **case[3])


@pytest.fixture
def diskann():
    method = load_adapter("diskann_index.py:DiskANN", PEERS)
    made = []

    def make(python):
        made.append(method(get_metric("euclidean"), 0, python=python))
        made[-1].set_threads(1)
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.mark.skipif(DISKANN_PYTHON is None, reason="METRICSEARCH_DISKANN_PYTHON names no interpreter with diskannpy")
def test_diskann_answers_through_its_pipes(diskann, tmp_path):
    metric, objects = objects_of("euclidean")
    method = diskann(DISKANN_PYTHON)
    method.build(objects)
    method.set_query(ef=100)
    recalls = [recall(metric, objects, row, method.find(objects[row : row + 1], K).ids, K) for row in range(10)]
    assert np.mean(recalls) >= 0.95
    together = method.find_all(objects[:3], K)
    assert [recall(metric, objects, row, ids, K) for row, ids in enumerate(together)] == recalls[:3]
    every = method.find(objects[:1], 10 * N).ids
    assert len(np.unique(every)) == len(every) <= N
    method.set_threads(2)
    assert recall(metric, objects, 0, method.find(objects[:1], K).ids, K) == recalls[0]
    assert 0 < method.memory().objects < objects.nbytes
    assert method.save(tmp_path)
    assert (tmp_path / "ann_disk.index").stat().st_size > objects.nbytes
    assert "0." in method.version()


@pytest.mark.skipif(importlib.util.find_spec("diskannpy") is not None, reason="this interpreter has diskannpy")
def test_diskann_says_which_interpreter_lacks_the_library(diskann, tmp_path):
    objects = objects_of("euclidean")[1]
    with pytest.raises(MissingExtraError, match=f"{sys.executable} has no diskannpy"):
        diskann(sys.executable).build(objects)
    with pytest.raises(MissingExtraError, match="cannot run"):
        diskann(str(tmp_path / "none")).build(objects)
