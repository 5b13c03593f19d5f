"""The collection against an exhaustive scan: what it answers, what it counts, what it keeps."""

import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import distances as oracle

from metricsearch import Collection, FunctionMetric, PPPCodes, RankingOptions
from metricsearch.errors import EmptyIndexError, MissingIndexError, OutdatedIndexError, StorageError
from metricsearch.spaces import get_metric

N, D = 230, 12


def relu_vectors(n=N, seed=0):
    """Half of the values are zero, a few rows are copies."""
    x = np.maximum(np.random.default_rng(seed).normal(size=(n, D)), 0).astype(np.float32)
    if n >= 20:
        x[n // 2 : n // 2 + 4] = x[:4]
    x[:, 0] += 0.01  # no zero rows
    return x


def words(n=N, seed=0):
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list("abcé"), rng.integers(0, 7))) for _ in range(n)]


def sets(n=N, seed=0):
    rng = np.random.default_rng(seed)
    return [set(rng.integers(0, 15, rng.integers(0, 9)).tolist()) for _ in range(n)]


def signatures(n=60, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.uniform(0.1, 1, size=(rng.integers(1, 4), 3)).astype(np.float32) for _ in range(n)]


def histograms(n=N, seed=0):
    x = relu_vectors(n, seed).astype(np.float64)
    return (x / x.sum(axis=1, keepdims=True)).astype(np.float32)


def bits(n=N, seed=0):
    return np.random.default_rng(seed).random((n, 20)) < 0.3


def chessboard(a, b):
    """A user's metric."""
    return float(np.abs(a - b).max())


def small_index(metric="euclidean", **parameters):
    return PPPCodes(metric, **({"n_spaces": 2, "n_pivots": 8, "prefix_length": 3, "n_threads": 1} | parameters))


def make(path, objects, metric="euclidean", *, ids=None, codec=None, index=None, **options):
    collection = Collection.create(path, index=small_index(metric) if index is None else index, codec=codec, **options)
    collection.add(objects, ids)
    collection.build_index()
    return collection


def scan(function, query, objects, ids, k):
    """Oracle: the k smallest (distance, ID)."""
    return sorted((function(query, item), int(number)) for item, number in zip(objects, ids, strict=True))[:k]


def same(left, right):
    """Bit for bit, times aside."""
    costs = ("n_ids_ranked", "n_candidates", "n_objects_read", "n_bytes_read", "n_distances")
    return (
        left.ids.tobytes() == right.ids.tobytes()
        and left.distances.tobytes() == right.distances.tobytes()
        and all(np.array_equal(getattr(left.stats, name), getattr(right.stats, name)) for name in costs)
    )


# name: (metric, codec, objects, what the store holds of them, oracle distance)
SPACES = {
    "euclidean sparse-f32": ("euclidean", "sparse-f32", relu_vectors(), None, oracle.euclidean),
    "euclidean raw-f32": ("euclidean", "raw-f32", relu_vectors(), None, oracle.euclidean),
    "euclidean f16": ("euclidean", "f16", relu_vectors(), "decoded", oracle.euclidean),
    "euclidean u8": ("euclidean", "u8", relu_vectors(), "decoded", oracle.euclidean),
    "manhattan sparse-f32": ("manhattan", "sparse-f32", relu_vectors(), None, oracle.manhattan),
    "angular": ("angular", "sparse-f32", relu_vectors(), None, oracle.angular),
    "jensen_shannon": ("jensen_shannon", "sparse-f32", histograms(), None, oracle.jensen_shannon),
    "levenshtein": ("levenshtein", "utf8", words(), None, oracle.levenshtein),
    "jaccard": ("jaccard", None, sets(), None, oracle.jaccard),
    "hamming": ("hamming", None, bits(), None, oracle.hamming),
    "sqfd": ("sqfd", None, signatures(), None, oracle.sqfd),
    "user function": (chessboard, "raw-f32", relu_vectors(80), None, oracle.chebyshev),
}


@pytest.mark.parametrize("space", SPACES)
def test_with_all_objects_as_candidates_the_answer_is_exact(tmp_path, space):
    metric, codec, objects, decoded, distance = SPACES[space]
    k, n = 9, len(objects)
    ids = np.random.default_rng(3).permutation(10 * n)[:n]
    with make(tmp_path / "c.ms", objects, metric, ids=ids, codec=codec) as collection:
        queries = [objects[i] for i in (0, 1, n // 2, n - 1)]
        queries = np.stack(queries) if isinstance(objects, np.ndarray) else queries
        result = collection.search(queries, k, n_candidates=n)
        stored = collection.get(ids) if decoded else objects
    for row, query in enumerate(queries):
        ref = scan(distance, query, stored, ids, n)
        comp = dict(zip(result.ids[row].tolist(), result.distances[row].tolist(), strict=True))
        np.testing.assert_allclose(result.distances[row], [d for d, _ in ref[:k]], atol=2e-7, rtol=1e-6)
        exact = {number: d for d, number in ref}
        np.testing.assert_allclose(list(comp.values()), [exact[number] for number in comp], atol=2e-7, rtol=1e-6)
        assert len(comp) == k
        order = np.lexsort((result.ids[row], result.distances[row]))
        assert np.array_equal(order, np.arange(k)), "ascending, ties by ID"
        if metric in ("levenshtein", "hamming"):  # whole distances: nothing is lost to rounding, so IDs are known
            assert result.ids[row].tolist() == [number for _, number in ref[:k]]


def test_copies_are_ties_and_come_in_order_of_their_ids(tmp_path):
    x = np.repeat(relu_vectors(40)[4:20], 5, axis=0)
    ids = np.random.default_rng(0).permutation(1000)[: len(x)]
    with make(tmp_path / "c.ms", x, ids=ids, codec="sparse-f32") as collection:
        result = collection.search(x[::5][:10], 7, n_candidates=len(x))
    for row in range(10):
        assert result.ids[row, :5].tolist() == sorted(ids[5 * row : 5 * row + 5].tolist())
        assert (result.distances[row, :5] == 0).all()
        assert result.distances[row, 5] > 0


def test_more_neighbours_than_objects_gives_all_objects(tmp_path):
    x = relu_vectors(20)
    with make(tmp_path / "c.ms", x, index=small_index(n_pivots=4)) as collection:
        result = collection.search(x[:3], k=50, n_candidates=1000)
    assert result.ids.shape == result.distances.shape == (3, 20)
    assert np.array_equal(np.sort(result.ids, axis=1), np.tile(np.arange(20), (3, 1)))
    assert (result.stats.n_objects_read == 20).all()


class Chunked:
    def __init__(self, x):
        self.x = x

    def __len__(self):
        return len(self.x)

    def chunks(self, size):
        return (self.x[i : i + 7] for i in range(0, len(self.x), 7))


@pytest.mark.parametrize("form", ["chunks", "generator", "h5py", "lists", "float64", "calls"])
def test_objects_in_any_form_give_the_same_collection(tmp_path, form):
    x = relu_vectors()
    queries = relu_vectors(5, seed=1)
    with make(tmp_path / "ref.ms", x, codec="sparse-f32") as collection:
        ref = collection.search(queries, 10, n_candidates=60)
    with Collection.create(tmp_path / "comp.ms", index=small_index(), codec="sparse-f32") as collection:
        if form == "h5py":
            with h5py.File(tmp_path / "x.h5", "w") as file:
                collection.add(file.create_dataset("x", data=x))
        elif form == "calls":
            for start in range(0, len(x), 50):
                added = collection.add(x[start : start + 50])
                assert np.array_equal(added, np.arange(start, min(start + 50, len(x))))
        else:
            forms = {
                "chunks": Chunked(x),
                "generator": (x[i : i + 13] for i in range(0, len(x), 13)),
                "lists": x.tolist(),
                "float64": x.astype(np.float64),
            }
            assert np.array_equal(collection.add(forms[form]), np.arange(len(x)))
        collection.build_index()
        assert same(collection.search(queries, 10, n_candidates=60), ref)


def test_nothing_to_add_adds_nothing(tmp_path):
    with Collection.create(tmp_path / "c.ms", index=small_index()) as collection:
        for nothing in (np.empty((0, D)), iter(()), (np.empty((0, D)) for _ in range(3))):
            assert collection.add(nothing).shape == (0,)
        assert len(collection) == 0
        collection.add(relu_vectors(30))
        assert collection.add(np.empty((0, D)), []).shape == (0,)
        collection.remove([])
        assert len(collection) == 30


def test_ids_follow_the_largest_that_is_there(tmp_path):
    x = relu_vectors(30)
    with Collection.create(tmp_path / "c.ms", index=small_index()) as collection:
        assert collection.add(x[:2], [7, 1000]).tolist() == [7, 1000]
        assert collection.add(x[2:4]).tolist() == [1001, 1002]
        assert collection.add(x[4:5], [3]).tolist() == [3]
        assert collection.ids().tolist() == [3, 7, 1000, 1001, 1002]
        assert np.array_equal(collection.get([1000, 3]), x[[1, 4]])


def test_an_object_added_after_building_is_found_at_once_and_after_opening_again(tmp_path):
    x, more = relu_vectors(), relu_vectors(6, seed=5)
    with make(tmp_path / "c.ms", x, codec="sparse-f32") as collection:
        ids = collection.add(more, [9000, 500, 501, 777, 900, 12345])
        result = collection.search(more, 1, n_candidates=20)
        assert np.array_equal(result.ids[:, 0], ids)
        assert (result.distances == 0).all()
        ref = collection.search(more, 10, n_candidates=len(x) + 6)
    with Collection.open(tmp_path / "c.ms", n_threads=1) as collection:
        assert collection.verify() == []
        assert same(collection.search(more, 10, n_candidates=len(x) + 6), ref)


def test_a_removed_object_is_never_found_again(tmp_path):
    x = relu_vectors()
    with make(tmp_path / "c.ms", x) as collection:
        collection.remove([5, 17])
        assert len(collection) == N - 2
        result = collection.search(x[[5, 17]], 10, n_candidates=N)
        assert not np.isin(result.ids, [5, 17]).any()
        assert (result.stats.n_objects_read == N - 2).all()
        collection.add(x[[17]], [5])  # the ID is free again
        assert collection.search(x[[17]], 1, n_candidates=N).ids.item() == 5
    with Collection.open(tmp_path / "c.ms") as collection:
        assert collection.verify() == []
        assert collection.search(x[[17]], 1, n_candidates=N).ids.item() == 5


def test_a_collection_from_which_all_was_removed_takes_objects_again(tmp_path):
    x = relu_vectors()
    with make(tmp_path / "c.ms", x) as collection:
        collection.remove(collection.ids())
    with Collection.open(tmp_path / "c.ms") as collection:
        assert (len(collection), collection.verify(), collection.ids().tolist()) == (0, [], [])
        assert collection.add(x[:3]).tolist() == [0, 1, 2]
        assert collection.search(x[:1], 3, n_candidates=3).ids[0, 0] == 0


@settings(max_examples=15)
@given(st.data())
def test_any_sequence_of_changes_gives_the_exact_answer(tmp_path_factory, data):
    pool = relu_vectors(400, seed=2)
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    path = tmp_path_factory.mktemp("changes") / "c.ms"
    state = {}
    collection = Collection.create(path, index=small_index(n_pivots=4), codec="sparse-f32")
    for step in data.draw(st.lists(st.sampled_from(["add", "add", "remove", "build", "reopen"]), max_size=8)):
        if step == "add":
            ids = [int(i) for i in rng.choice(5000, rng.integers(1, 30), replace=False) if i not in state]
            rows = rng.integers(0, 400, len(ids))
            if ids:
                collection.add(pool[rows], ids)
            state |= dict(zip(ids, rows, strict=True))
        elif step == "remove" and state:
            gone = rng.choice(sorted(state), rng.integers(1, len(state) + 1), replace=False)
            collection.remove(gone)
            for number in gone.tolist():
                del state[number]
        elif step == "build" and len(state) >= 8:
            collection.build_index()
        elif step == "reopen":
            collection.close()
            collection = Collection.open(path, n_threads=1)
    with collection:
        assert collection.ids().tolist() == sorted(state)
        assert collection.verify() == []
        if len(state) < 8:
            return
        if collection.info()["index_state"] != "up to date":
            collection.build_index()
        query = pool[:1]
        result = collection.search(query, 5, n_candidates=len(state))
        ids = np.array(sorted(state))
        exact = get_metric("euclidean").distances(query, pool[[state[i] for i in ids.tolist()]])
        order = np.lexsort((ids, exact))[:5]
        np.testing.assert_allclose(result.distances[0], exact[order], atol=1e-12)
        assert result.ids[0].tolist() == ids[order].tolist()


def test_opening_again_and_any_number_of_threads_give_the_same_bits(tmp_path):
    x, queries = relu_vectors(1500), relu_vectors(9, seed=4)
    with make(tmp_path / "c.ms", x, codec="sparse-f32") as collection:
        refs = [collection.search(queries, 10, n_candidates=r) for r in (10, 200, 1400)]
        built = {path.name: path.read_bytes() for path in (tmp_path / "c.ms" / "index").rglob("*.npy")}
    for n_threads in (1, 2, 3):
        with Collection.open(tmp_path / "c.ms", n_threads=n_threads, readonly=True) as collection:
            for r, ref in zip((10, 200, 1400), refs, strict=True):
                assert same(collection.search(queries, 10, n_candidates=r), ref)
                for row in range(3):
                    alone = collection.search(queries[row : row + 1], 10, n_candidates=r)
                    assert alone.ids.tobytes() == ref.ids[row].tobytes()
                    assert alone.distances.tobytes() == ref.distances[row].tobytes()
                    for name in ("n_ids_ranked", "n_candidates", "n_objects_read", "n_bytes_read"):
                        assert np.array_equal(getattr(alone.stats, name)[0], getattr(ref.stats, name)[row]), name
    with Collection.open(tmp_path / "c.ms", n_threads=2) as collection:
        collection.build_index()
    again = {path.name: path.read_bytes() for path in (tmp_path / "c.ms" / "index").rglob("*.npy")}
    assert again == built, "the same seed and objects give the same index files"


def test_the_costs_agree_with_each_other_and_with_the_store(tmp_path):
    x, queries = relu_vectors(), relu_vectors(4, seed=1)
    with make(tmp_path / "c.ms", x, codec="sparse-f32") as collection:
        for r in (5, 64, N, 10 * N):
            stats = collection.search(queries, 5, n_candidates=r).stats
            assert (stats.n_candidates == min(r, N)).all()
            assert (stats.n_objects_read == min(r, N)).all()
            assert (stats.n_pivot_distances == 2 * 8).all()
            assert (stats.n_distances == stats.n_pivot_distances + stats.n_objects_read).all()
            assert stats.n_ids_ranked.shape == (4, 2)
            assert (stats.n_ids_ranked.sum(axis=1) >= min(r, N)).all()
            assert (stats.n_ids_ranked <= N).all()
            for name in ("rank_ms", "read_ms", "refine_ms", "total_ms"):
                assert (getattr(stats, name) >= 0).all(), name
            assert (stats.total_ms >= stats.rank_ms).all()
        all_bytes = sum(int((row != 0).sum()) * 6 for row in x)  # a uint16 position and a float32 per non-zero
        stats = collection.search(queries, 5, n_candidates=N).stats
        assert (stats.n_bytes_read == collection.info()["payload_bytes"]).all()
        assert abs(collection.info()["payload_bytes"] - all_bytes) <= 8 * N
        assert collection.info()["count"] == N
        store = collection._disk.store
        for query in queries:
            stats = collection.search(query[None], 5, n_candidates=33).stats
            with store.snapshot() as snapshot:
                located = snapshot.locate(collection.index.candidates(query, 33))
            assert stats.n_bytes_read.tolist() == [located.lengths.sum()]


def test_options_of_a_search_change_the_candidates_only(tmp_path):
    x, queries = relu_vectors(), relu_vectors(4, seed=1)
    with make(tmp_path / "c.ms", x) as collection:
        ref = collection.search(queries, 5, n_candidates=N)
        for options in (RankingOptions(ranking="kendall"), RankingOptions(n_spaces=1, percentile=1.0)):
            comp = collection.search(queries, 5, n_candidates=N, options=options)
            assert np.array_equal(ref.ids, comp.ids)
            fewer = collection.search(queries, 5, n_candidates=30, options=options)
            assert (fewer.distances >= ref.distances).all()
            one = collection.search(queries[:1], 5, n_candidates=30, options=options)
            assert set(one.ids[0]) <= set(collection.index.candidates(queries[0], 30, options).tolist())


def test_a_build_with_other_parameters_or_given_pivots_replaces_the_index(tmp_path):
    x = relu_vectors()
    with make(tmp_path / "c.ms", x) as collection:
        collection.build_index(small_index(n_spaces=3, n_pivots=5, prefix_length=2, seed=7))
        assert collection.index.pivots.shape == (3, 5, D)
        collection.build_index(pivots=x[:15])
        assert np.array_equal(collection.index.pivots.reshape(15, D), x[:15])
    with Collection.open(tmp_path / "c.ms") as collection:
        assert np.array_equal(collection.index.pivots.reshape(15, D), x[:15])
        assert collection.info()["index_parameters"]["n_spaces"] == 3
        assert [path.name for path in (tmp_path / "c.ms" / "index").iterdir()] == ["000003"]


WRITER = """
import sys
import numpy as np
from metricsearch import Collection

with Collection.open(sys.argv[1], n_threads=1) as writer:
    for line in sys.stdin:  # one change per line, answered by a line
        if line == "add\\n":
            writer.add(np.load(sys.argv[2]))
        elif line == "build\\n":
            writer.build_index()
        else:
            writer.add(np.load(sys.argv[3]), [800, 801, 802])
        print("done", flush=True)
"""


def test_threads_of_a_reader_that_search_for_the_first_time_at_once_open_the_objects_once(tmp_path):
    x, n_threads = relu_vectors(), 8
    for number in range(20):
        path = tmp_path / f"{number}.ms"
        Collection.create(path, index=small_index()).close()
        with Collection.open(path, readonly=True, n_threads=1) as reader:  # before there are any
            with Collection.open(path) as writer:
                writer.add(x)
                writer.build_index()
            barrier = threading.Barrier(n_threads)

            def first_search(_, reader=reader, barrier=barrier):
                barrier.wait()
                return reader.search(x[:2], 1, n_candidates=N).ids.ravel().tolist()

            with ThreadPoolExecutor(n_threads) as pool:
                assert list(pool.map(first_search, range(n_threads))) == [[0, 1]] * n_threads


def test_a_reader_beside_a_writer_sees_each_saved_state(tmp_path):
    x, more = relu_vectors(), relu_vectors(3, seed=8)
    path = tmp_path / "c.ms"
    Collection.create(path, index=small_index()).close()
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "more.npy", more)
    command = [sys.executable, "-c", WRITER, str(path), str(tmp_path / "x.npy"), str(tmp_path / "more.npy")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as writer:

        def change(what):
            writer.stdin.write(what + "\n")
            assert writer.stdout.readline() == "done\n"

        with Collection.open(path, readonly=True) as reader:
            with pytest.raises(EmptyIndexError):
                reader.search(x[:2], 1)
            change("add")
            with pytest.raises(MissingIndexError):
                reader.search(x[:2], 1, n_candidates=N)
            change("build")
            ref = reader.search(x[:2], 5, n_candidates=N)
            assert ref.ids[:, 0].tolist() == [0, 1]
            change("more")
            with pytest.raises(OutdatedIndexError, match="in the process that changes them"):
                reader.search(more, 1, n_candidates=N)
            change("build")
            assert reader.search(more, 1, n_candidates=N).ids.ravel().tolist() == [800, 801, 802]
            change("build")  # the files of the index that the reader has mapped are deleted now
            comp = reader.search(x[:2], 5, n_candidates=N + 3)
            assert comp.stats.n_objects_read.tolist() == [N + 3] * 2
            assert (comp.distances <= ref.distances).all()
            assert reader.verify() == []
            with pytest.raises(StorageError, match="open for writing"):
                Collection.open(path)
        writer.stdin.close()
    with Collection.open(path) as collection:
        assert collection.verify() == []


def test_stale_folders_and_temporary_files_of_a_crash_are_harmless(tmp_path):
    x, path = relu_vectors(), tmp_path / "c.ms"
    with make(path, x) as collection:
        ref = collection.search(x[:3], 5, n_candidates=50)
    leftovers = [path / "index" / "000002", path / "index" / "000002.tmp", path / "index" / "000009"]
    for folder in leftovers:
        folder.mkdir()
        (folder / "ids.npy").write_bytes(b"half")
    (path / ".manifest.json.4711.tmp").write_text("{")
    (path / "objects.mdb.new").write_bytes(b"half")
    (path / "objects.seal.new").write_text("{")
    with Collection.open(path) as collection:
        assert same(collection.search(x[:3], 5, n_candidates=50), ref)
        assert collection.verify() == []
        collection.add(x[:1])
        collection.build_index()
        assert collection.verify() == []
    assert not (path / ".manifest.json.4711.tmp").exists()
    assert len(list((path / "index").iterdir())) == 1


def test_a_store_that_a_crash_left_before_the_first_objects_is_replaced(tmp_path):
    path = tmp_path / "c.ms"
    Collection.create(path, index=small_index()).close()
    manifest = (path / "manifest.json").read_bytes()
    with Collection.open(path) as collection:
        collection.add(np.ones((1, D + 1)))
        collection.remove([0])
    (path / "manifest.json").write_bytes(manifest)
    with Collection.open(path) as collection:
        collection.add(relu_vectors(30))
        collection.build_index()
        assert collection.info()["dimension"] == D
    with Collection.open(path) as collection:
        assert collection.verify() == []


def test_a_user_function_works_on_objects_of_any_kind(tmp_path):
    def length_difference(a, b):
        return abs(len(a) - len(b)) + float(a != b)

    metric = FunctionMetric(length_difference, kind="strings")
    objects = words(60)
    with make(tmp_path / "c.ms", objects, metric, index=small_index(metric, n_pivots=4)) as collection:
        ref = collection.search(objects[:4], 5, n_candidates=60)
    with Collection.open(tmp_path / "c.ms", metric=length_difference) as collection:
        assert same(collection.search(objects[:4], 5, n_candidates=60), ref)
    for row in range(4):
        expected = scan(length_difference, objects[row], objects, range(60), 5)
        assert ref.ids[row].tolist() == [number for _, number in expected]


def test_closing_twice_does_nothing_and_no_file_stays_open(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        collection = make(tmp_path / "c.ms", relu_vectors())
        collection.close()
        collection.close()
        del collection
