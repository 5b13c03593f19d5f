"""Flipped bytes and cut files: found by opening, verifying or searching, never a wrong answer, never a crash."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from metricsearch import Collection, PPPCodes
from metricsearch.errors import CorruptedError, MetricSearchError

N, D, R = 600, 12, 700


def vectors(n=N, seed=0):
    return np.maximum(np.random.default_rng(seed).normal(size=(n, D)), 0).astype(np.float32)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A closed collection with dead records, and beside it what a search shall answer."""
    path = tmp_path_factory.mktemp("made") / "c.ms"
    index = PPPCodes(n_spaces=2, n_pivots=8, prefix_length=3, n_threads=1)
    with Collection.create(path, index=index, codec="sparse-f32") as collection:
        collection.add(vectors(N // 2))
        collection.add(vectors(N // 2, seed=1))
        collection.remove(np.arange(0, 100, 3))
        collection.build_index()
        result = collection.search(vectors(3, seed=2), 10, n_candidates=R)
    np.savez(path.parent / "reference.npz", ids=result.ids, distances=result.distances, queries=vectors(3, seed=2))
    return path


@pytest.fixture
def path(made, tmp_path):
    shutil.copy(made.parent / "reference.npz", tmp_path)
    return shutil.copytree(made, tmp_path / "c.ms")


# A crash must not end the tests, so damage is looked at in a process of its own.
PROBE = """
import json, sys
import numpy as np
from metricsearch import Collection, MetricSearchError

path, damages = sys.argv[1], json.loads(sys.argv[2])
reference = np.load(path + "/../reference.npz")

def verified():
    with Collection.open(path, readonly=True, n_threads=1) as collection:
        return "found" if collection.verify() else "not found"

def searched():
    with Collection.open(path, readonly=True, n_threads=1) as collection:
        result = collection.search(reference["queries"], 10, n_candidates=700)
    equal = all(np.array_equal(getattr(result, name), reference[name]) for name in ("ids", "distances"))
    return "same" if equal else "wrong answer"

for target, at, mask in damages:
    whole = open(target, "rb").read()
    bad = whole[:at] if mask == 0 else whole[:at] + bytes([whole[at] ^ mask]) + whole[at + 1:]
    with open(target, "wb") as file:
        file.write(bad)
    answers = []
    for look in (verified, searched):
        try:
            answers.append(look())
        except MetricSearchError as error:
            answers.append("error" if "\\n" not in str(error) else "many lines")
        except Exception as error:
            answers.append(repr(error)[:200])
    print(json.dumps([target, at, mask, *answers]), flush=True)
    with open(target, "wb") as file:
        file.write(whole)
"""


def probe(path, damages):
    """What verify found and what a search gave, for each damage (file, position, mask; mask 0 = cut off there)."""
    damages = [[str(file), int(at), int(mask)] for file, at, mask in damages]
    command = [sys.executable, "-c", PROBE, str(path), json.dumps(damages)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"crashed with {done.returncode} after {rows[-1:]}: {done.stderr[-500:]}"
    assert len(rows) == len(damages)
    return [(row[3], row[4]) for row in rows]


def random_flips(file, positions, rng):
    return [[file, at, rng.integers(1, 256)] for at in positions]


def test_flipped_bytes_of_the_objects_are_found(path):
    rng = np.random.default_rng(5)
    file = path / "objects.mdb"
    answers = probe(path, random_flips(file, rng.integers(0, file.stat().st_size, 80), rng))
    assert {verified for verified, _ in answers} <= {"found", "error"}
    assert {searched for _, searched in answers} == {"same", "error"}  # a page that is free is not read


def test_flipped_bytes_of_all_records_are_found_by_searching(path):
    with Collection.open(path, readonly=True) as collection:
        store = collection._disk.store
        with store.snapshot() as snapshot:
            located = snapshot.locate(store.ids())
            offsets, lengths = snapshot.file_offsets(located), located.lengths
    rng = np.random.default_rng(6)
    rows = rng.choice(len(offsets), 40, replace=False)
    positions = [offsets[i] + rng.integers(-16, lengths[i]) for i in rows]
    assert set(probe(path, random_flips(path / "objects.mdb", positions, rng))) == {("found", "error")}


def test_flipped_bytes_of_the_index_and_the_manifest_are_found(path):
    rng = np.random.default_rng(7)
    files = sorted((path / "index").rglob("*.npy"))
    assert len(files) > 10
    flips = [flip for file in files for flip in random_flips(file, rng.integers(0, file.stat().st_size, 2), rng)]
    assert set(probe(path, flips)) == {("found", "error")}
    manifest = path / "manifest.json"
    text = manifest.read_bytes()
    positions = [i for i in rng.integers(0, len(text), 120).tolist() if text[i : i + 1] not in (b" ", b"\n")]
    assert set(probe(path, random_flips(manifest, positions, rng))) == {("error", "error")}


def test_cut_files_are_found(path):
    rng = np.random.default_rng(8)
    files = [path / "objects.mdb", path / "manifest.json", *(path / "index").rglob("*.npy")]
    cuts = []
    for file in files:
        size = file.stat().st_size
        some = rng.integers(0, size - 2, 12 if file.parent == path else 1).tolist()
        cuts += [[file, cut, 0] for cut in (0, size // 2, size - 2, *some)]
    answers = probe(path, cuts)
    assert {searched for _, searched in answers} == {"error"}
    assert {verified for verified, _ in answers} <= {"found", "error"}


def flip(file, at=-1):
    with file.open("r+b") as opened:  # in place: the file may be mapped
        opened.seek(at, 2 if at < 0 else 0)
        (byte,) = opened.read(1)
        opened.seek(-1, 1)
        opened.write(bytes([byte ^ 1]))


def test_a_damaged_index_is_named_and_built_anew(path):
    file = max((path / "index").rglob("*.npy"), key=lambda item: item.stat().st_size)
    flip(file)
    with Collection.open(path) as collection:
        assert collection.info()["index_state"] == "damaged"
        problems = collection.verify()
        assert len(problems) == 1
        assert str(file) in problems[0]
        assert "\n" not in problems[0]
        for act in (lambda: collection.search(vectors(1), 1), lambda: collection.add(vectors(1))):
            with pytest.raises(CorruptedError, match=r"damaged.*build_index\(\)"):
                act()
        n = len(collection)
        collection.build_index()
        assert collection.verify() == []
        assert collection.search(vectors(1), 1, n_candidates=R).stats.n_objects_read.item() == n


def test_a_missing_index_file_is_named(path):
    file = min((path / "index").rglob("*.npy"))
    file.unlink()
    with Collection.open(path, readonly=True) as collection:
        assert collection.verify() == [f"{file}: index file is missing"]
        with pytest.raises(CorruptedError, match="missing"):
            collection.search(vectors(1), 1)


def test_a_good_collection_has_no_problems(path):
    with Collection.open(path, readonly=True) as collection:
        assert collection.verify() == []
        collection.search(vectors(1), 1)
        assert collection.verify() == []


def test_an_object_whose_bytes_changed_is_named_by_a_search(path):
    with Collection.open(path, readonly=True) as collection:
        store = collection._disk.store
        with store.snapshot() as snapshot:
            at = int(snapshot.file_offsets(snapshot.locate([200]))[0])
        flip(path / "objects.mdb", at + 5)
    with Collection.open(path, readonly=True) as collection:
        for n_queries in (1, 4):  # on the reading threads, and not
            with pytest.raises(MetricSearchError, match="object 200"):
                collection.search(vectors(n_queries), 1, n_candidates=R)


@pytest.mark.parametrize("change", ["add", "remove", "build_index"])
def test_a_search_after_a_change_compares_the_checksums_again(path, change):
    changes = {"add": (vectors(1), [9000]), "remove": ([1],), "build_index": ()}
    with Collection.open(path) as collection:
        collection.search(vectors(3), 1, n_candidates=R)
        getattr(collection, change)(*changes[change])
        store = collection._disk.store
        with store.snapshot() as snapshot:
            located = snapshot.locate([200])
            at = int(snapshot.file_offsets(located)[0] + located.lengths[0] - 2)  # in its last component
        flip(path / "objects.mdb", at)
        with pytest.raises(CorruptedError, match="object 200: its checksum differs"):
            collection.search(vectors(3), 1, n_candidates=R)
        flip(path / "objects.mdb", at)
        collection.search(vectors(3), 1, n_candidates=R)
