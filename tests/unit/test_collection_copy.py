"""A copy in the order of the leaves: the same answers from other places on disk, all of it or nothing."""

import json
import subprocess
import sys

import numpy as np
import pytest

from metricsearch import Collection, PPPCodes
from metricsearch.collection.copying import LeafOrder
from metricsearch.errors import (
    CorruptedError,
    EmptyIndexError,
    ExistsError,
    InvalidInputError,
    MissingIndexError,
    OutdatedIndexError,
)
from metricsearch.store import ObjectStore, Snapshot

N, D = 300, 12
COSTS = ("n_ids_ranked", "n_candidates", "n_objects_read", "n_bytes_read", "n_distances")
PROVENANCE = {"feature": "made", "bins": [D]}


def vectors(n=N, d=D, seed=0):
    return np.maximum(np.random.default_rng(seed).normal(size=(n, d)), 0.01).astype(np.float32)


def words(n=N, seed=0):
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list("abcé"), rng.integers(0, 7))) for _ in range(n)]


def sets(n=N, seed=0):
    rng = np.random.default_rng(seed)
    return [set(rng.integers(0, 15, rng.integers(0, 9)).tolist()) for _ in range(n)]


def signatures(n=60, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.uniform(0.1, 1, size=(rng.integers(1, 4), 3)).astype(np.float32) for _ in range(n)]


def bits(n=N, seed=0):
    return np.random.default_rng(seed).random((n, 20)) < 0.3


def chessboard(a, b):
    """A user's metric."""
    return float(np.abs(a - b).max())


def small_index(metric="euclidean", **parameters):
    return PPPCodes(metric, **({"n_spaces": 2, "n_pivots": 8, "prefix_length": 3} | parameters))


def some_ids(n, seed=3):
    return np.random.default_rng(seed).permutation(10 * n)[:n]


def make(path, objects=None, ids=None, index=None, codec=None, provenance=None):
    objects = vectors() if objects is None else objects
    collection = Collection.create(path, index=small_index() if index is None else index, codec=codec, n_threads=1)
    collection.add(objects, some_ids(len(objects)) if ids is None else ids, provenance)
    collection.build_index()
    return collection


def same(left, right):
    """Bit for bit, times aside."""
    return (
        left.ids.tobytes() == right.ids.tobytes()
        and left.distances.tobytes() == right.distances.tobytes()
        and all(np.array_equal(getattr(left.stats, name), getattr(right.stats, name)) for name in COSTS)
    )


def same_arrays(left, right):
    left, right = left.to_arrays(), right.to_arrays()
    return left.keys() == right.keys() and all(np.array_equal(left[name], right[name]) for name in left)


def leaf_order(collection):
    """Oracle: IDs by prefix in space 0, then by ID."""
    ids = collection.ids()
    prefixes = collection.index.prefixes_of(ids)[:, 0].tolist()
    return [number for _, number in sorted(zip(prefixes, ids.tolist(), strict=True))]


def offsets_of(collection, ids):
    with collection._disk.store.snapshot() as snapshot:  # LMDB files are opened once in a process
        return snapshot.locate(ids).offsets


SPACES = {
    "raw-f32": ("euclidean", "raw-f32", vectors()),
    "sparse-f32": ("angular", "sparse-f32", vectors()),
    "f16": ("euclidean", "f16", vectors()),
    "strings": ("levenshtein", None, words()),
    "sets": ("jaccard", None, sets()),
    "bits": ("hamming", None, bits()),
    "signatures": ("sqfd", None, signatures()),
    "user function": (chessboard, "raw-f32", vectors(80)),
}


@pytest.mark.parametrize("sketch", [None, "landmark", "product"])
@pytest.mark.parametrize("space", SPACES)
def test_the_copy_answers_as_the_source(tmp_path, space, sketch):
    metric, codec, objects = SPACES[space]
    parameters = {} if sketch is None else {"sketch": sketch, "sketch_bytes": 8}
    given = metric if callable(metric) else None
    with make(
        tmp_path / "c.ms", objects, index=small_index(metric, **parameters), codec=codec, provenance=PROVENANCE
    ) as source:
        source.copy_in_leaf_order(tmp_path / "copy.ms")
        with Collection.open(tmp_path / "copy.ms", metric=given, n_threads=1) as copied:
            assert copied.ids().tolist() == source.ids().tolist() == sorted(some_ids(len(objects)).tolist())
            assert copied.provenance == source.provenance == PROVENANCE
            assert same_arrays(copied.index, source.index)
            left, right = copied.info(), source.info()
            for key in ("metric", "kind", "dimension", "codec", "count", "payload_bytes", "index_parameters"):
                assert left[key] == right[key], key
            assert left["index_state"] == "up to date"
            order = leaf_order(source)
            queries = source.get(order[:5])
            for n_candidates in (20, len(objects)):
                results = [each.search(queries, 7, n_candidates=n_candidates) for each in (copied, source)]
                assert same(*results)
            assert (np.diff(offsets_of(copied, order)) > 0).all()
            assert (np.diff(offsets_of(source, order)) < 0).any()
            assert copied.verify() == []


def test_objects_lie_in_leaf_order_through_all_segments_and_chunks(tmp_path, monkeypatch):
    sizes = []
    decode = Snapshot.decode

    def decode_and_note(self, located, **options):
        sizes.append(len(located))
        return decode(self, located, **options)

    with make(tmp_path / "c.ms", vectors(700, 4096), codec="raw-f32") as source:
        monkeypatch.setattr("metricsearch.spaces.chunks.CHUNK_OBJECTS", 64)
        monkeypatch.setattr(Snapshot, "decode", decode_and_note)
        monkeypatch.setattr(Collection, "build_index", lambda *_, **__: None)
        source.copy_in_leaf_order(tmp_path / "copy.ms")
        assert max(sizes) == 64, "objects are streamed"
        assert sum(sizes) == 700
        with Collection.open(tmp_path / "copy.ms") as copied:
            offsets = offsets_of(copied, leaf_order(source))
            assert copied.get(source.ids()).tobytes() == source.get(source.ids()).tobytes()
    assert np.ptp(offsets) > 2 * 4 << 20, "several segments"
    assert (np.diff(offsets) > 0).all()


def test_ties_and_copies_lie_in_order_of_their_ids(tmp_path):
    with make(tmp_path / "c.ms", np.repeat(vectors(40), 5, axis=0)) as source:
        source.copy_in_leaf_order(tmp_path / "copy.ms")
        with Collection.open(tmp_path / "copy.ms") as copied:
            assert (np.diff(offsets_of(copied, leaf_order(source))) > 0).all()


def test_codec_u8_rounds_once_more_and_no_more(tmp_path):
    with make(tmp_path / "c.ms", codec="u8") as source:
        source.copy_in_leaf_order(tmp_path / "copy.ms")
        with Collection.open(tmp_path / "copy.ms") as copied:
            np.testing.assert_allclose(copied.get(source.ids()), source.get(source.ids()), rtol=1e-6)


@pytest.mark.parametrize("sketch", [None, "product"])
def test_after_changes_the_copy_is_what_building_anew_with_the_same_pivots_gives(tmp_path, sketch):
    parameters = {} if sketch is None else {"sketch": sketch, "sketch_bytes": 8}
    queries = vectors(5, seed=2)
    with make(tmp_path / "c.ms", index=small_index(**parameters)) as source:
        source.add(vectors(150, seed=1))
        source.remove(source.ids()[::4])
        before = source.search(queries, 5, n_candidates=30)
        source.copy_in_leaf_order(tmp_path / "copy.ms")
        with Collection.open(tmp_path / "copy.ms", n_threads=1) as copied:
            assert copied.ids().tolist() == source.ids().tolist()
            after = copied.search(queries, 5, n_candidates=30)
            if sketch is None:
                assert same(after, before)
            assert same(source.search(queries, 5, n_candidates=30), before), "the source is as it was"
            source.build_index(pivots=source.index.flat_pivots)
            assert same_arrays(copied.index, source.index)
            assert same(after, source.search(queries, 5, n_candidates=30))


def test_a_learnt_cutoff_is_not_copied(tmp_path):
    with make(tmp_path / "c.ms", index=small_index(sketch="landmark", sketch_bytes=8)) as source:
        source.learn_cutoff()
        source.copy_in_leaf_order(tmp_path / "copy.ms")
        assert source.info()["cutoff_state"] == "learnt"
    with Collection.open(tmp_path / "copy.ms") as copied:
        assert copied.info()["cutoff_state"] == "none"


def test_a_source_is_copied_as_it_was_whatever_happens_to_it_meanwhile(tmp_path, monkeypatch):
    chunks, n_changes = LeafOrder.chunks, []

    def chunks_with_changes(self, size):
        for batch in chunks(self, 50):
            source.remove(source.ids()[:10])
            source.add(vectors(5, seed=9))
            source.build_index()
            n_changes.append(3)
            yield batch

    queries = vectors(5, seed=2)
    with make(tmp_path / "c.ms") as source:
        ids, order = source.ids(), leaf_order(source)
        x, before = source.get(ids), source.search(queries, 5, n_candidates=30)
        monkeypatch.setattr(LeafOrder, "chunks", chunks_with_changes)
        source.copy_in_leaf_order(tmp_path / "copy.ms")
        assert len(n_changes) == N // 50
        with Collection.open(tmp_path / "copy.ms") as copied:
            assert copied.ids().tolist() == ids.tolist() != source.ids().tolist()
            assert copied.get(ids).tobytes() == x.tobytes()
            assert (np.diff(offsets_of(copied, order)) > 0).all()
            assert same(copied.search(queries, 5, n_candidates=30), before)


FILL = """
import sys
import numpy as np
from metricsearch import Collection
with Collection.open(sys.argv[1]) as collection:
    collection.add(np.load(sys.argv[2]))
    collection.build_index()
"""


def test_a_readonly_source_is_copied_as_it_is_now(tmp_path):
    np.save(tmp_path / "x.npy", vectors())
    Collection.create(tmp_path / "c.ms", index=small_index()).close()
    with Collection.open(tmp_path / "c.ms", readonly=True) as reader:
        with pytest.raises(EmptyIndexError):
            reader.copy_in_leaf_order(tmp_path / "copy.ms")
        subprocess.run([sys.executable, "-c", FILL, str(tmp_path / "c.ms"), str(tmp_path / "x.npy")], check=True)
        reader.copy_in_leaf_order(tmp_path / "copy.ms")
        with Collection.open(tmp_path / "copy.ms") as copied:
            assert copied.get(range(N)).tobytes() == vectors().tobytes()
            assert same(copied.search(vectors(5), 5), reader.search(vectors(5), 5))


def test_what_exists_is_left_alone(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("here")
    with make(tmp_path / "c.ms") as source:
        for name in ("folder", "file", "c.ms"):
            with pytest.raises(ExistsError, match=name):
                source.copy_in_leaf_order(tmp_path / name)
        with pytest.raises(InvalidInputError, match="does not exist"):
            source.copy_in_leaf_order(tmp_path / "no" / "copy.ms")
        with pytest.raises(InvalidInputError, match="path: expected a path"):
            source.copy_in_leaf_order(7)
        assert source.verify() == []
        assert source.index is not None
    assert list((tmp_path / "folder").iterdir()) == []
    assert (tmp_path / "file").read_text() == "here"


def test_a_source_that_cannot_be_searched_cannot_be_copied(tmp_path):
    target = tmp_path / "copy.ms"
    with Collection.create(tmp_path / "c.ms", index=small_index()) as source:
        with pytest.raises(EmptyIndexError, match="no objects to copy"):
            source.copy_in_leaf_order(target)
        source.add(vectors())
        with pytest.raises(MissingIndexError):
            source.copy_in_leaf_order(target)
        source.build_index()
        source.remove(source.ids())
        with pytest.raises(EmptyIndexError, match="no objects to copy"):
            source.copy_in_leaf_order(target)
        source.add(vectors())
        source.build_index()
    with ObjectStore.open(tmp_path / "c.ms" / "objects.mdb") as store:
        store.remove(store.ids()[:1])
    with Collection.open(tmp_path / "c.ms") as source, pytest.raises(OutdatedIndexError):
        source.copy_in_leaf_order(target)
    with pytest.raises(InvalidInputError, match="closed"):
        source.copy_in_leaf_order(target)
    assert not target.exists()


@pytest.mark.parametrize("error", [CorruptedError("a damaged record"), KeyboardInterrupt(), MemoryError()])
@pytest.mark.parametrize("where", ["reading", "building"])
def test_a_failure_leaves_no_target(tmp_path, monkeypatch, where, error):
    def fail(*_, **__):
        assert (tmp_path / "copy.ms").exists()
        raise error

    def some_chunks(self, size):
        yield from (self._snapshot.decode(self._snapshot.locate(self.ids[:50])),)
        fail()

    with make(tmp_path / "c.ms") as source:
        with monkeypatch.context() as patched:
            if where == "reading":
                patched.setattr(LeafOrder, "chunks", some_chunks)
            else:
                patched.setattr(PPPCodes, "build", fail)
            with pytest.raises(type(error)):
                source.copy_in_leaf_order(tmp_path / "copy.ms")
        assert [path.name for path in tmp_path.iterdir()] == ["c.ms"]
        source.copy_in_leaf_order(tmp_path / "copy.ms")
        assert source.verify() == []
    with Collection.open(tmp_path / "copy.ms") as copied:
        assert copied.verify() == []


def test_on_the_command_line(run, tmp_path):
    np.save(tmp_path / "q.npy", vectors(3, seed=2))
    source, target = tmp_path / "c.ms", tmp_path / "copy.ms"
    make(source).close()
    status, out, err = run("copy", source, target)
    assert (status, out, err) == (0, f"{target}: 300 objects, in the order of the index\n", "")
    assert run("search", source, tmp_path / "q.npy", "--no-stats") == run(
        "search", target, tmp_path / "q.npy", "--no-stats"
    )
    assert run("verify", target)[:2] == (0, f"{target}: fine\n")
    assert json.loads(run("info", target)[1])["index_state"] == "up to date"
    (tmp_path / "photos.ms").mkdir()
    (tmp_path / "photos.ms" / "photos.json").write_text("{}")
    for arguments, part in (
        ((source, target), "exists already"),
        ((tmp_path / "none.ms", tmp_path / "x.ms"), "none.ms"),
        ((tmp_path / "photos.ms", tmp_path / "x.ms"), f"metricsearch index PHOTOS {tmp_path / 'x.ms'}"),
    ):
        status, out, err = run("copy", *arguments)
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert part in err
    assert not (tmp_path / "x.ms").exists()
