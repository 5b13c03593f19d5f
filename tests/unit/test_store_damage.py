import json
import struct

import lmdb
import numpy as np
import pytest

from metricsearch.errors import CorruptedError, FormatVersionError
from metricsearch.spaces import VECTORS
from metricsearch.store import ObjectStore, verify_file
from metricsearch.store.lmdb_file import read_header, seal_path
from metricsearch.store.segments import HEADER_KEY, with_crc, without_crc

D = 50


def vectors(n, seed=0):
    return np.maximum(np.random.default_rng(seed).normal(size=(n, D)), 0).astype(np.float32)


@pytest.fixture
def path(tmp_path):
    """A closed and sealed store of 150 objects, with records that are dead."""
    with ObjectStore.create(tmp_path / "objects.mdb", "sparse-f32", VECTORS, D, segment_bytes=8192) as store:
        store.add([(np.arange(200), vectors(200))])
        store.remove(np.arange(0, 200, 4))
    return store.path


def flip(path, position, mask=1):
    with path.open("r+b") as file:
        file.seek(position)
        (byte,) = file.read(1)
        file.seek(position)
        file.write(bytes([byte ^ mask]))


def change_header(path, **fields):
    """Write other fields to the store header, with a right checksum."""
    with lmdb.open(str(path), subdir=False, max_dbs=3, lock=False) as env:
        meta = env.open_db(b"meta", create=False)
        with env.begin(db=meta, write=True) as txn:
            header = json.loads(without_crc(txn.get(HEADER_KEY)))
            txn.put(HEADER_KEY, with_crc(json.dumps(header | fields).encode()))
    seal_path(path).unlink()


def test_a_flip_of_any_byte_of_a_sealed_file_is_found_without_mapping_it(path):
    assert verify_file(path) == []
    rng = np.random.default_rng(1)
    positions = [16, 20, 40, 136, 144, 4096 + 144, *rng.integers(0, path.stat().st_size, 150).tolist()]
    for position in positions:
        mask = int(rng.integers(1, 256))
        flip(path, position, mask)
        assert verify_file(path), position
        flip(path, position, mask)
    assert verify_file(path) == []


def test_a_flip_of_any_byte_of_the_seal_is_found(path):
    text = seal_path(path).read_bytes()
    for position in range(len(text)):
        if text[position : position + 1] in b" \n":  # blanks of JSON mean nothing
            continue
        seal_path(path).write_bytes(text[:position] + bytes([text[position] ^ 1]) + text[position + 1 :])
        assert verify_file(path), position


def test_verify_of_an_open_store_uses_the_seal(path):
    flip(path, path.stat().st_size - 1)
    with ObjectStore.open(path, readonly=True) as store:
        assert "sha256 differs" in store.verify()[0]


def test_a_flip_in_any_record_is_found_by_its_content(path):
    seal_path(path).unlink()
    with ObjectStore.open(path, readonly=True) as store:
        assert store.verify() == []
        with store.snapshot() as snapshot:
            starts, sizes = snapshot.segments.starts, snapshot.segments.sizes
    every = np.concatenate([np.arange(start, start + size) for start, size in zip(starts, sizes, strict=True)])
    rng = np.random.default_rng(2)
    for position in rng.choice(every, 60, replace=False).tolist():
        mask = 1 << int(rng.integers(8))
        flip(path, position, mask)
        with ObjectStore.open(path, readonly=True) as store:
            assert store.verify(), position
        flip(path, position, mask)


def test_reading_an_object_whose_payload_changed_names_it(path):
    seal_path(path).unlink()
    with ObjectStore.open(path, readonly=True) as store, store.snapshot() as snapshot:
        where = snapshot.locate([1, 2, 3])
        offset, length = int(where.offsets[1]), int(where.lengths[1])
    for position in (offset + length - 1, offset - 1, offset - 12, offset - 16):
        flip(path, position)
        with (
            ObjectStore.open(path, readonly=True) as store,
            pytest.raises(CorruptedError, match="object 2: .*restore the file"),
        ):
            store.get([1, 2, 3])
        flip(path, position)


def test_wrong_counts_are_found(path):
    change_header(path, n_objects=149, payload_bytes=17)
    with ObjectStore.open(path, readonly=True) as store:
        problems = store.verify()
    assert len(problems) == 2
    assert "counts 149 objects, the directory has 150" in problems[0]
    assert "counts 17 payload bytes" in problems[1]


@pytest.mark.parametrize("change", ["drop", "redirect", "segment"])
def test_a_wrong_directory_is_found(path, change):
    with lmdb.open(str(path), subdir=False, max_dbs=3, lock=False) as env:
        directory = env.open_db(b"directory", create=False)
        with env.begin(db=directory, write=True) as txn:
            first, second = (txn.get((i).to_bytes(8, "big")) for i in (1, 2))
            if change == "drop":
                txn.delete((1).to_bytes(8, "big"))
            elif change == "redirect":
                txn.put((1).to_bytes(8, "big"), second)
            else:
                txn.put((1).to_bytes(8, "big"), struct.pack("<I", 9999) + first[4:])
    seal_path(path).unlink()
    with ObjectStore.open(path, readonly=True) as store:
        assert store.verify()
        if change != "drop":
            with pytest.raises(CorruptedError, match="object 1: "):
                store.get([1])


def test_a_file_that_was_cut_off_is_refused_before_it_is_mapped(path):
    size = path.stat().st_size
    whole = path.read_bytes()
    for length in (size - 1, size - 4096, size - 8192, size // 2, 3 * 4096, 8192, 4096, 100, 0):
        path.write_bytes(whole[:length])
        with pytest.raises(CorruptedError, match="promises|no LMDB meta page"):
            ObjectStore.open(path)
        assert verify_file(path)


def test_garbage_is_refused(path):
    path.write_bytes(np.random.default_rng(0).bytes(50_000))
    with pytest.raises(CorruptedError, match="not an object store"):
        ObjectStore.open(path)
    assert "not an object store" in verify_file(path)[0]


def test_an_lmdb_file_of_another_program_is_refused(tmp_path):
    with lmdb.open(str(tmp_path / "other.mdb"), subdir=False) as env, env.begin(write=True) as txn:
        txn.put(b"a", b"b")
    with pytest.raises(CorruptedError, match="not an object store"):
        ObjectStore.open(tmp_path / "other.mdb")


def test_another_format_version_is_refused(path):
    change_header(path, format=2)
    with pytest.raises(FormatVersionError, match="format version 2, this package reads 1"):
        ObjectStore.open(path)


def test_the_seal_is_gone_while_a_store_is_changed_and_back_when_it_is_closed(path):
    with ObjectStore.open(path) as store:
        assert seal_path(path).exists()
        store.add([(np.array([1000]), vectors(1))])
        assert not seal_path(path).exists()
        store.seal()
        assert verify_file(path) == []
        assert seal_path(path).exists()
        store.remove([1000])
        assert not seal_path(path).exists()
    assert seal_path(path).exists()
    assert verify_file(path) == []


def test_a_sound_file_without_its_last_free_pages_is_accepted(tmp_path):
    """LMDB does not write a page that a transaction took from the end of the file and gave back."""
    path, rng, n_short = tmp_path / "free.mdb", np.random.default_rng(0), 0
    with lmdb.open(str(path), subdir=False, map_size=1 << 30, max_dbs=2, sync=False) as env:
        small, large = env.open_db(b"small"), env.open_db(b"large")
        for step in range(200):
            keys = [int(key).to_bytes(8, "big") for key in rng.integers(0, 20_000, rng.integers(1, 4000))]
            with env.begin(write=True) as txn:
                for key in keys:
                    if step % 2:
                        txn.delete(key, db=small)
                    else:
                        txn.put(key, b"x" * 12, db=small)
                txn.put(step.to_bytes(8, "big"), b"y" * int(rng.integers(4080, 200_000)), db=large)
                txn.delete(int(rng.integers(0, step + 1)).to_bytes(8, "big"), db=large)
            n_pages = env.info()["last_pgno"] + 1
            if path.stat().st_size < n_pages * 4096:
                n_short += 1
                assert read_header(path).last_page == n_pages - 1
                whole = path.read_bytes()
                (tmp_path / "cut.mdb").write_bytes(whole[: len(whole) // 2])
                with pytest.raises(CorruptedError, match="truncated"):
                    read_header(tmp_path / "cut.mdb")
            if n_short == 3:
                break
    assert n_short > 0  # else this test shows nothing: find other changes
