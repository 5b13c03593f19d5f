import gc
import os
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle.store import DictStore, euclidean

from metricsearch.errors import (
    DuplicateIdError,
    ExistsError,
    InvalidInputError,
    MetricSearchError,
    MissingDataError,
    StorageError,
    UnknownIdError,
)
from metricsearch.spaces import SIGNATURES, STRINGS, VECTORS, Ragged, get_metric
from metricsearch.store import ObjectStore, verify_file

D = 40  # a record of raw-f32 takes 176 bytes: 24 of them fill a segment of 4096


def vector(object_id):
    return np.random.default_rng(object_id).normal(size=D).astype(np.float32)


def batch_of(ids):
    return np.array([vector(i) for i in ids], dtype=np.float32).reshape(-1, D)


def chunk(*ids):
    return np.array(ids, dtype=np.int64), batch_of(ids)


def make(folder, codec="raw-f32", **options):
    return ObjectStore.create(folder / "objects.mdb", codec, VECTORS, D, **{"segment_bytes": 4096, **options})


def contents(store):
    return {int(i): tuple(row) for ids, batch in store.chunks(7) for i, row in zip(ids, batch, strict=True)}


def assert_holds(store, ref):
    """`store` holds exactly the objects `ref` {ID: vector}, in every way of reading it."""
    assert store.ids().tolist() == sorted(ref)
    assert store.next_id() == max(ref, default=-1) + 1
    assert len(store) == len(ref)
    assert contents(store) == {i: tuple(v) for i, v in ref.items()}
    assert store.payload_bytes == 4 * D * len(ref)
    assert store.verify() == []


@pytest.fixture
def store(tmp_path):
    with make(tmp_path) as store:
        yield store


def n_segments(store):
    with store.snapshot() as snapshot:
        return len(snapshot.segments.numbers)


IDS = st.lists(st.integers(0, 60), unique=True, max_size=40)
CHANGES = st.one_of(
    st.tuples(st.just("add"), IDS, st.integers(1, 12)),
    st.tuples(st.just("remove"), IDS, st.just(0)),
    st.tuples(st.just("reopen"), st.booleans(), st.just(0)),
)


@settings(max_examples=25)
@given(changes=st.lists(CHANGES, max_size=8))
def test_any_sequence_of_changes_leaves_what_a_dict_would_hold(tmp_path_factory, changes):
    store, ref = make(tmp_path_factory.mktemp("store")), DictStore()
    for what, argument, step in changes:
        if what == "reopen":
            store.close()
            assert verify_file(store.path) == []
            store = ObjectStore.open(store.path)
            continue
        if what == "add":
            new = [i for i in argument if i not in ref.objects]
            n_added = store.add(chunk(*new[at : at + step]) for at in range(0, len(new), step))
            assert n_added == len(new)
            ref.add({i: vector(i) for i in new})
        else:
            old = [i for i in argument if i in ref.objects]
            store.remove(old)
            ref.remove(old)
        assert_holds(store, ref.objects)
        assert store.version == ref.version
    store.close()


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_objects(store, n):
    assert store.add([chunk(*range(n))]) == n
    assert_holds(store, {i: vector(i) for i in range(n)})
    assert store.get([]).shape == (0, D)
    with store.snapshot() as snapshot:
        where = snapshot.locate(np.arange(n))
        snapshot.prefetch(where)
        assert snapshot.distances(get_metric("euclidean"), batch_of([5]), where).shape == (n,)
        assert where.n_bytes == 4 * D * n


def test_get_returns_objects_in_the_order_asked_for_and_repeats_them(store):
    store.add([chunk(2**62, 7, 9, 0)])
    assert np.array_equal(store.get([7, 2**62, 7, 0]), batch_of([7, 2**62, 7, 0]))


def test_distances_and_slices_agree_with_the_oracle(store):
    ids = [30, 4, 17, 5, 80, 2]
    store.add([chunk(*ids[:4]), chunk(*ids[4:])])
    query = batch_of([99])
    for name in ("euclidean", "manhattan"):
        metric = get_metric(name)
        with store.snapshot() as snapshot:
            where = snapshot.locate(ids)
            comp = snapshot.distances(metric, query, where)
            assert np.array_equal(snapshot.distances(metric, query, where[2:4]), comp[2:4])
            assert where[2:4].ids.tolist() == ids[2:4]
        assert np.allclose(comp, metric.distances(query, batch_of(ids)), rtol=1e-12, atol=0)
        if name == "euclidean":
            assert np.allclose(comp, [euclidean(query[0], vector(i)) for i in ids], rtol=1e-12, atol=0)


def test_distances_of_decoded_blocks_equal_those_of_one_batch(tmp_path):
    values = np.arange(3000, dtype=np.float32).reshape(-1, 3) + 1
    signatures = Ragged(values, np.arange(0, 1001, 5))
    metric = get_metric("hausdorff") if SIGNATURES is get_metric("hausdorff").kind else get_metric("sqfd")
    with ObjectStore.create(tmp_path / "objects.mdb", "signatures", SIGNATURES, 3) as store:
        store.add([(np.arange(200), signatures)])
        with store.snapshot() as snapshot:
            comp = snapshot.distances(metric, signatures[3:4], snapshot.locate(np.arange(200)))
    assert np.array_equal(comp, metric.distances(signatures[3:4], signatures))


def test_distances_refuse_a_query_of_another_width(store):
    store.add([chunk(1)])
    with store.snapshot() as snapshot, pytest.raises(InvalidInputError, match="width 40"):
        snapshot.distances(get_metric("euclidean"), np.zeros((1, D + 1), np.float32), snapshot.locate([1]))


def test_file_offsets_are_where_a_plain_read_finds_the_payloads(store):
    store.add([chunk(*range(100))])
    store.remove(np.arange(0, 100, 3))
    ids = store.ids()
    with store.snapshot() as snapshot, store.path.open("rb") as file:
        where = snapshot.locate(ids)
        for row, offset in enumerate(snapshot.file_offsets(where)):
            file.seek(offset)
            assert file.read(where.lengths[row]) == vector(ids[row]).tobytes()


def test_a_known_or_repeated_id_is_refused_and_nothing_changes(store):
    store.add([chunk(*range(50))])
    before = contents(store), store.version
    cases = [[chunk(100, 101), chunk(49)], [chunk(100, *range(200, 260)), chunk(300), chunk(100)], [chunk(70, 70)]]
    for chunks, named in zip(cases, (49, 100, 70), strict=True):
        with pytest.raises(DuplicateIdError, match=f"ID {named} "):
            store.add(chunks)
        assert (contents(store), store.version) == before
        assert store.verify() == []


def test_an_unknown_id_is_refused_and_nothing_changes(store):
    store.add([chunk(*range(50))])
    before = contents(store), store.version
    for ids in ([3, 50], [50]):
        with pytest.raises(UnknownIdError, match="ID 50 is not in the store"):
            store.remove(ids)
        with pytest.raises(UnknownIdError, match="ID 50 is not in the store"):
            store.get(ids)
    with pytest.raises(DuplicateIdError):
        store.remove([3, 3])
    assert (contents(store), store.version) == before


def test_an_exception_of_the_chunks_goes_through_and_leaves_no_segment(store):
    store.add([chunk(*range(10))])
    n_before = n_segments(store)

    def chunks():
        yield chunk(*range(100, 400))
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        store.add(chunks())
    assert_holds(store, {i: vector(i) for i in range(10)})
    assert n_segments(store) == n_before
    assert store.add([chunk(100)]) == 1


@pytest.mark.parametrize("method", ["_put_header", "_committed", "_write_segment"])
def test_an_interrupt_at_any_point_leaves_all_or_nothing(store, monkeypatch, method):
    store.add([chunk(*range(100))])

    def interrupt(*arguments):
        raise KeyboardInterrupt

    changes = {"add": (lambda: store.add([chunk(*range(200, 400))]), 300), "remove": (lambda: store.remove([1]), 99)}
    for name, (change, n_after) in changes.items():
        if (name, method) == ("remove", "_write_segment"):
            continue
        n_before = len(store)
        with monkeypatch.context() as context:
            context.setattr(type(store._writer), method, interrupt)
            with pytest.raises(KeyboardInterrupt):
                change()
        ref = n_after if method == "_committed" else n_before  # interrupted after its commit, or before
        assert len(store) == len(store.ids()) == ref
        assert store.verify() == []
        if name == "add" and ref == n_after:
            store.remove(np.arange(200, 400))
    store.add([chunk(*range(1000, 1100))])
    assert store.verify() == []


def test_wrong_objects_are_refused(store):
    for batch in (np.zeros((1, D + 1), np.float32), np.zeros((1, D)), Ragged(np.zeros(1), np.array([0, 1]))):
        with pytest.raises(InvalidInputError, match="objects"):
            store.add([(np.array([1]), batch)])
    with pytest.raises(InvalidInputError, match="one ID per object"):
        store.add([(np.array([1, 2]), batch_of([1]))])
    with pytest.raises(InvalidInputError, match="row 0 is -1"):
        store.add([(np.array([-1]), batch_of([1]))])
    assert len(store) == 0


def test_what_a_lossy_codec_cannot_hold_is_refused(tmp_path):
    with make(tmp_path, "f16") as store, pytest.raises(InvalidInputError, match="row 1 "):
        store.add([(np.array([1, 2]), np.array([[1.0] * D, [1e6] * D], dtype=np.float32))])


def test_adding_one_by_one_keeps_few_segments(tmp_path):
    with make(tmp_path, segment_bytes=1 << 16) as store:
        for i in range(300):
            store.add([chunk(i)])
        assert n_segments(store) <= 10
        assert store.version == 300
        assert_holds(store, {i: vector(i) for i in range(300)})


def test_removing_one_by_one_gives_the_space_back(store):
    store.add([chunk(*range(300))])
    assert n_segments(store) >= 12
    left = list(range(300))
    for i in np.random.default_rng(0).permutation(300)[:280].tolist():
        store.remove([i])
        left.remove(i)
    assert_holds(store, {i: vector(i) for i in left})
    assert n_segments(store) <= 4
    store.remove(left)
    assert n_segments(store) == 0
    assert_holds(store, {})


def test_freed_pages_are_used_again(store):
    for _ in range(3):
        store.add([chunk(*range(300))])
        store.remove(np.arange(300))
    size = store.file_bytes
    for _ in range(10):
        store.add([chunk(*range(300))])
        store.remove(np.arange(300))
    assert store.file_bytes <= 1.5 * size


def test_a_snapshot_does_not_see_later_changes(store):
    store.add([chunk(*range(100))])
    with store.snapshot() as snapshot:
        where = snapshot.locate(np.arange(100))
        store.remove(np.arange(0, 100, 2))
        store.add([chunk(*range(200, 400))])
        assert np.array_equal(snapshot.decode(where, check_crc=True), batch_of(range(100)))
        assert snapshot.ids().tolist() == list(range(100))
        with pytest.raises(UnknownIdError):
            snapshot.locate([200])
    with store.snapshot() as snapshot, pytest.raises(UnknownIdError):
        snapshot.locate([0])


def test_a_closed_snapshot_is_refused(store):
    store.add([chunk(1)])
    with store.snapshot() as snapshot:
        where = snapshot.locate([1])
    with pytest.raises(InvalidInputError, match="closed"):
        snapshot.decode(where)


def test_closing_the_store_closes_its_snapshots(tmp_path):
    store = make(tmp_path)
    store.add([chunk(1)])
    snapshot = store.snapshot()
    where = snapshot.locate([1])
    store.close()
    store.close()
    for call in (lambda: snapshot.decode(where), lambda: store.get([1]), lambda: len(store), lambda: store.add([])):
        with pytest.raises(InvalidInputError, match="closed"):
            call()


def test_one_snapshot_serves_several_threads(store):
    store.add([chunk(*range(300))])
    metric, query = get_metric("euclidean"), batch_of([1000])
    with store.snapshot() as snapshot, ThreadPoolExecutor(4) as pool:
        where = snapshot.locate(np.arange(300))

        def work(start):
            part = where[start : start + 10]
            snapshot.prefetch(part)
            return snapshot.distances(metric, query, part)

        comp = np.concatenate(list(pool.map(work, range(0, 300, 10))))
    assert np.array_equal(comp, metric.distances(query, batch_of(range(300))))


def test_readers_in_threads_always_see_whole_changes(store):
    store.add([chunk(*range(20))])
    stop, seen = threading.Event(), []

    def read():
        while not stop.is_set():
            seen.append(len(store.get(store.ids()[:20])))
            with store.snapshot() as snapshot:
                seen.append(len(snapshot.ids()) % 20)

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        for _ in range(10):
            store.add([chunk(*range(100, 120))])
            store.remove(np.arange(100, 120))
        stop.set()
        for reader in readers:
            reader.result()
    assert set(seen) == {20, 0}


def test_reading_does_not_wait_for_an_add_under_way(store):
    store.add([chunk(1)])

    def chunks():
        with ThreadPoolExecutor(1) as pool:
            yield chunk(*range(100, 400))
            assert pool.submit(lambda: contents(store)).result(timeout=10) == {1: tuple(vector(1))}
            yield chunk(2)

    assert store.add(chunks()) == 301


def test_a_forgotten_store_gives_its_lock_back(tmp_path):
    store = make(tmp_path)
    store.add([chunk(1)])
    path = store.path
    del store
    gc.collect()
    with ObjectStore.open(path) as store:
        assert len(store) == 1


def test_an_add_from_its_own_objects_is_possible_but_not_within_another_add(store):
    store.add([chunk(*range(50))])
    store.add((ids + 1000, batch) for ids, batch in store.chunks(10))
    assert len(store) == 100

    def nested():
        store.add([chunk(5000)])
        yield chunk(5001)

    with pytest.raises(StorageError, match="this very thread"):
        store.add(nested())
    assert len(store) == 100


def test_reading_only_refuses_changes_and_leaves_the_file_alone(tmp_path):
    with make(tmp_path) as store:
        store.add([chunk(1, 2)])
    before = store.path.read_bytes()
    with ObjectStore.open(store.path, readonly=True) as reader:
        assert reader.readonly
        for change in (lambda: reader.add([chunk(3)]), lambda: reader.remove([1]), reader.seal):
            with pytest.raises(StorageError, match="reading only"):
                change()
        assert_holds(reader, {1: vector(1), 2: vector(2)})
    assert store.path.read_bytes() == before
    assert verify_file(store.path) == []


def test_reading_works_where_no_lock_file_can_be_made(tmp_path):
    with make(tmp_path) as store:
        store.add([chunk(1)])
    (tmp_path / "objects.mdb-lock").unlink()
    tmp_path.chmod(0o555)
    try:
        with ObjectStore.open(store.path, readonly=True) as reader:
            assert reader.get([1]).shape == (1, D)
    finally:
        tmp_path.chmod(0o755)


def test_one_process_writes_others_read(store):
    store.add([chunk(1)])
    script = (
        "import sys; from metricsearch.store import ObjectStore; from metricsearch.errors import StorageError\n"
        "try: ObjectStore.open(sys.argv[1])\n"
        "except StorageError as error: sys.stdout.write(str(error))\n"
        "with ObjectStore.open(sys.argv[1], readonly=True) as store: sys.stdout.write(f' {store.ids().tolist()}')\n"
    )
    command = [sys.executable, "-c", script, str(store.path)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "open for writing already" in result.stdout
    assert result.stdout.endswith(" [1]")


def test_one_process_opens_it_once(store):
    with pytest.raises(StorageError, match="open"):
        ObjectStore.open(store.path, readonly=True)


def test_a_forked_child_reads_and_the_parent_goes_on_writing(store):
    store.add([chunk(*range(30))])
    with store.snapshot() as snapshot:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                assert np.array_equal(store.get([3]), batch_of([3]))
                for call in (lambda: store.remove([3]), lambda: snapshot.locate([3])):
                    try:
                        call()
                    except MetricSearchError:
                        continue
                    os._exit(2)
                store.close()
                code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        store.remove([3])
        assert np.array_equal(snapshot.decode(snapshot.locate([3])), batch_of([3]))
    assert len(store) == 29
    with pytest.raises(StorageError, match="open for writing already"):
        _open_elsewhere(store.path)


def _open_elsewhere(path):
    script = "import sys; from metricsearch.store import ObjectStore; ObjectStore.open(sys.argv[1])"
    result = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False)
    if result.returncode:
        raise StorageError(result.stderr.splitlines()[-1])


def test_a_store_is_not_pickled(store):
    with pytest.raises(InvalidInputError, match="send its path"):
        pickle.dumps(store)


def test_create_refuses_what_exists_and_what_cannot_be(tmp_path):
    make(tmp_path).close()
    with pytest.raises(ExistsError, match="exists already"):
        make(tmp_path)
    with pytest.raises(StorageError, match="no such folder"):
        make(tmp_path / "nowhere")
    with pytest.raises(InvalidInputError, match="width"):
        ObjectStore.create(tmp_path / "a.mdb", "raw-f32", VECTORS, None)
    with pytest.raises(InvalidInputError, match="utf8 takes strings"):
        ObjectStore.create(tmp_path / "a.mdb", "utf8", VECTORS, D)
    with pytest.raises(InvalidInputError, match="segment_bytes"):
        make(tmp_path, segment_bytes=10)
    with pytest.raises(MissingDataError, match="create one"):
        ObjectStore.open(tmp_path / "b.mdb")
    assert sorted(os.listdir(tmp_path)) == ["objects.mdb", "objects.mdb-lock", "objects.seal"]


def test_reopening_restores_kind_codec_parameters_and_width(tmp_path):
    with make(tmp_path, "pcodec", parameters={"level": 2}) as store:
        store.add([chunk(5)])
    with ObjectStore.open(store.path) as store:
        assert (store.kind, store.codec.name, store.codec.parameters(), store.width) == (
            VECTORS,
            "pcodec",
            {"level": 2},
            D,
        )
        assert np.array_equal(store.get([5]), batch_of([5]))


def test_strings_of_every_length(tmp_path):
    texts = ["", "a", "žluťoučký kůň", "x" * 10_000, "\0"]
    with ObjectStore.create(tmp_path / "objects.mdb", "utf8", STRINGS, None, segment_bytes=4096) as store:
        store.add([(np.arange(5), STRINGS.check(texts, "objects"))])
        store.remove([1])
        comp = store.get([4, 3, 2, 0])
        assert [STRINGS.to_user(comp, i) for i in range(4)] == [texts[i] for i in (4, 3, 2, 0)]
        assert store.verify() == []


def test_a_full_map_is_an_error_and_nothing_changes(tmp_path):
    with make(tmp_path, map_size=1 << 20) as store:
        store.add([chunk(*range(100))])
        with pytest.raises(StorageError, match="map size"):
            store.add(chunk(*range(at, at + 500)) for at in range(1000, 20_000, 500))
        assert_holds(store, {i: vector(i) for i in range(100)})
    with ObjectStore.open(store.path) as store:
        store.add(chunk(*range(at, at + 500)) for at in range(1000, 11_000, 500))
        assert len(store) == 10_100
