"""What `learn_cutoff` has learnt: kept with the very index that it was learnt with, and the same answers from disk."""

import dataclasses
import hashlib
import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from metricsearch import Collection, ObjectStore, PPPCodes, RankingOptions
from metricsearch.collection import disk
from metricsearch.errors import (
    CorruptedError,
    EmptyIndexError,
    InvalidInputError,
    MissingIndexError,
    OutdatedIndexError,
    StorageError,
)
from metricsearch.refinement import SearchResult, StoreSearch
from metricsearch.sketches import PIVOT_SKETCHES
from metricsearch.spaces import VECTORS

N, WIDTH, N_QUERIES = 1400, 12, 15
COSTS = ("n_ids_ranked", "n_pivot_distances", "n_candidates", "n_objects_read", "n_bytes_read", "n_distances")
NOT_LEARNT = r"call learn_cutoff\(\) first \(or: metricsearch learn-cutoff\)"


def clustered(n, seed):
    centres = np.random.default_rng(9).normal(size=(60, WIDTH))
    rng = np.random.default_rng(seed)
    spread = rng.lognormal(-1, 0.5, size=(n, 1))
    return (centres[rng.integers(60, size=n)] + spread * rng.normal(size=(n, WIDTH))).astype(np.float32)


X, QUERIES = clustered(N, 0), clustered(N_QUERIES, 1)


def sketched(sketch="landmark", metric="euclidean", **parameters):
    defaults = {"n_spaces": 2, "n_pivots": 24, "prefix_length": 4, "sketch_bytes": 4}
    return PPPCodes(metric, **(defaults | parameters), sketch=sketch)


def make(path, index=None, objects=X):
    collection = Collection.create(path, index=sketched() if index is None else index, codec="raw-f32")
    collection.add(objects)
    collection.build_index()
    return collection


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A closed collection that has learnt."""
    path = tmp_path_factory.mktemp("made") / "c.ms"
    with make(path) as collection:
        collection.learn_cutoff()
    return path


@pytest.fixture
def path(made, tmp_path):
    """A copy of it."""
    return shutil.copytree(made, tmp_path / "c.ms")


def auto(collection, queries=QUERIES, k=10, **options):
    return collection.search(queries, k, n_candidates="auto", **options)


def same(left, right):
    """Bit for bit, times aside."""
    return (
        left.ids.tobytes() == right.ids.tobytes()
        and left.distances.tobytes() == right.distances.tobytes()
        and all(np.array_equal(getattr(left.stats, name), getattr(right.stats, name)) for name in COSTS)
    )


def contents(path):
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file() and "lock" not in file.name
    }


def rewritten_manifest(path, change):
    manifest = json.loads((path / "manifest.json").read_text())
    del manifest["sha256"]
    change(manifest)
    manifest["sha256"] = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    (path / "manifest.json").write_text(json.dumps(manifest))


# ---------------------------------------------------------------- the same as over a store


@pytest.mark.parametrize("given", [None, clustered(70, 2)], ids=["objects", "queries"])
def test_a_collection_learns_and_answers_as_a_store_search_does(tmp_path, given):
    with (
        make(tmp_path / "c.ms") as collection,
        ObjectStore.create(tmp_path / "objects.mdb", "raw-f32", VECTORS, WIDTH) as store,
    ):
        store.add([(np.arange(N), X)])
        with StoreSearch(collection.index, store) as search:
            records = [searched.learn_cutoff(given, seed=3) for searched in (collection, search)]
            for name in ("estimates", "distances", "truth"):
                np.testing.assert_array_equal(*(getattr(record, name) for record in records))
            for k, target in ((1, 0.5), (10, 0.9), (10, 1.0), (100, 0.9)):
                found = auto(collection, k=k, target_recall=target)
                answers = search.search(QUERIES, k, n_candidates="auto", target_recall=target)
                assert same(found, SearchResult.of(answers))
                assert (found.stats.n_candidates == found.stats.n_objects_read).all()
                for field in dataclasses.fields(found.stats):
                    assert len(getattr(found.stats, field.name)) == N_QUERIES


def test_a_search_reads_less_than_all_and_finds_what_it_aims_at(path):
    with Collection.open(path, readonly=True) as collection:
        exact = collection.search(QUERIES, 10, n_candidates=N)
        found = auto(collection, target_recall=0.9)
        assert np.mean(found.distances <= exact.distances[:, -1:] * (1 + 1e-6)) > 0.8
        assert found.stats.n_objects_read.mean() < N / 4
        assert (np.diff(found.distances) >= 0).all()


# ---------------------------------------------------------------- saved


def test_opening_again_gives_the_same_answers_from_the_same_record(tmp_path):
    options = RankingOptions(aggregation="sum", n_sketched=400, decay=0.3)
    with make(tmp_path / "c.ms") as collection:
        record = collection.learn_cutoff(options=options)
        expected = [auto(collection, k=k, target_recall=recall) for k, recall in ((1, 0.8), (10, 0.95), (100, 0.9))]
        assert collection.verify() == []
    for readonly in (True, False):
        with Collection.open(tmp_path / "c.ms", readonly=readonly, n_threads=1) as collection:
            assert collection.info()["cutoff_state"] == "learnt"
            for result, (k, recall) in zip(expected, ((1, 0.8), (10, 0.95), (100, 0.9)), strict=True):
                assert same(auto(collection, k=k, target_recall=recall), result)
                assert same(auto(collection, k=k, target_recall=recall, options=options), result)
            assert collection.verify() == []
            learnt = collection._current.with_cutoff().learnt
    assert (learnt.options, learnt.record.power) == (options, record.power)
    for name in ("estimates", "distances", "truth"):
        np.testing.assert_array_equal(getattr(learnt.record, name), getattr(record, name))


@pytest.mark.parametrize("sketch", PIVOT_SKETCHES)
def test_what_was_learnt_with_any_sketches_is_saved(tmp_path, sketch):
    with make(tmp_path / "c.ms", sketched(sketch)) as collection:
        collection.learn_cutoff()
        expected = auto(collection)
    with Collection.open(tmp_path / "c.ms", readonly=True) as collection:
        assert same(auto(collection), expected)
        assert collection.verify() == []


def test_words_are_learnt_from_too(tmp_path):
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcd"), rng.integers(1, 9))) for _ in range(600)]
    with Collection.create(tmp_path / "c.ms", index=sketched(metric="levenshtein")) as collection:
        collection.add(words)
        collection.build_index()
        collection.learn_cutoff()
        expected = auto(collection, words[:5])
    with Collection.open(tmp_path / "c.ms", readonly=True) as collection:
        assert same(auto(collection, words[:5]), expected)


def test_learning_again_replaces_what_was_learnt(path):
    with Collection.open(path) as collection:
        auto(collection)
        folders = [entry.name for entry in (path / "cutoff").iterdir()]
        collection.learn_cutoff(seed=5)
        other = auto(collection)
        assert [entry.name for entry in (path / "cutoff").iterdir()] != folders
    with Collection.open(path, readonly=True) as collection:
        assert same(auto(collection), other)
    assert len(list((path / "cutoff").iterdir())) == 1


def test_a_new_index_knows_nothing_of_what_was_learnt(path):
    with Collection.open(path) as collection:
        auto(collection)
        collection.build_index()
        for _ in range(2):
            with pytest.raises(InvalidInputError, match=NOT_LEARNT):
                auto(collection)
        assert collection.info()["cutoff_state"] == "none"
    with Collection.open(path) as collection:
        assert collection.verify() == []
        with pytest.raises(InvalidInputError, match=NOT_LEARNT):
            auto(collection)
        assert list((path / "cutoff").iterdir()) == []
        collection.learn_cutoff()
        assert auto(collection).ids.shape == (N_QUERIES, 10)


def test_no_folder_gets_the_name_of_an_earlier_one(tmp_path):
    seen = []
    with make(tmp_path / "c.ms") as collection:
        for change in ("learn", "learn", "build", "learn", "add", "learn", "build"):
            changes = {"learn": collection.learn_cutoff, "build": collection.build_index}
            changes.get(change, lambda: collection.add(QUERIES[:1]))()
            seen += [file.name for folder in ("index", "cutoff") for file in (tmp_path / "c.ms" / folder).iterdir()]
    in_order = list(dict.fromkeys(seen))
    assert sorted(in_order) == in_order, "later ones have larger numbers"


def test_a_collection_from_before_there_were_cutoffs_opens(tmp_path):
    path = tmp_path / "c.ms"
    make(path).close()
    rewritten_manifest(path, lambda manifest: manifest.pop("cutoff"))
    with Collection.open(path) as collection:
        assert collection.verify() == []
        assert collection.info()["cutoff_state"] == "none"
        collection.learn_cutoff()
        auto(collection)


# ---------------------------------------------------------------- changes


def test_after_adding_and_removing_searches_go_on_and_find_what_is_there(path):
    more = (QUERIES + 1e-3).astype(np.float32)
    with Collection.open(path) as collection:
        added = collection.add(more)
        found = auto(collection)
        assert (found.ids[:, 0] == added).all()
        gone = found.ids[:, 1]
        collection.remove(np.unique(gone))
        after = auto(collection)
        assert (after.ids[:, 0] == added).all()
        assert not np.isin(after.ids, gone).any()
    with Collection.open(path, readonly=True) as collection:
        assert collection.verify() == []
        assert same(auto(collection), after)
        assert collection.info()["cutoff_state"] == "learnt"


def test_what_was_learnt_is_there_after_a_change_that_came_before_it_was_loaded(path):
    with Collection.open(path) as collection:
        collection.add(QUERIES)  # the cut-off has not been looked at yet
        assert (auto(collection).distances[:, 0] == 0).all()


def test_few_objects_are_enough_and_none_are_too_few(tmp_path):
    with make(tmp_path / "c.ms", sketched(n_pivots=4, prefix_length=2), X[:20]) as collection:
        record = collection.learn_cutoff()
        assert (record.n_queries, record.depth, record.truth.shape) == (20, 19, (20, 19))
    with Collection.open(tmp_path / "c.ms") as collection:
        assert auto(collection, k=50).ids.shape == (N_QUERIES, 20)
        collection.add(X[20:40])  # more than were there to learn from
        assert auto(collection, k=30).ids.shape == (N_QUERIES, 30)
        collection.remove(np.arange(3, 40))
        assert np.array_equal(np.sort(auto(collection, k=7).ids), np.tile(np.arange(3), (N_QUERIES, 1)))
        collection.remove([0, 1])
        with pytest.raises(InvalidInputError, match="needs a query and another object, got 1 and 0"):
            collection.learn_cutoff()
        assert auto(collection).ids.tolist() == [[2]] * N_QUERIES, "what was learnt before is as it was"
        collection.remove([2])
        for act in (lambda: auto(collection), collection.learn_cutoff):
            with pytest.raises(EmptyIndexError, match=r"c\.ms: .*add"):
                act()


CHILD = """
import os, sys
import numpy as np
from metricsearch import Collection
collection = Collection.open(sys.argv[1], n_threads=1)
collection.add(np.load(sys.argv[2]))
collection.learn_cutoff(seed=1)
os.kill(os.getpid(), 9)
"""


def test_what_was_learnt_after_a_change_survives_a_kill_together_with_its_index(path, tmp_path):
    np.save(tmp_path / "queries.npy", QUERIES)
    command = [sys.executable, "-c", CHILD, str(path), str(tmp_path / "queries.npy")]
    assert subprocess.run(command, check=False).returncode == -9
    with Collection.open(path, readonly=True) as collection:
        assert collection.verify() == []
        assert len(collection) == N + N_QUERIES
        told = collection.info()
        assert (told["index_state"], told["cutoff_state"]) == ("up to date", "learnt")
        assert (auto(collection).distances[:, 0] == 0).all()


@pytest.mark.parametrize("change", ["learn_cutoff", "build_index"])
def test_a_crash_leaves_the_pair_of_before_or_that_of_after(path, tmp_path, monkeypatch, change):
    with Collection.open(path) as collection:
        before = auto(collection)
        arguments = {"seed": 7} if change == "learn_cutoff" else {}
        written, write = [], disk.write_manifest

        def write_between_copies(folder, manifest):
            shutil.copytree(folder, tmp_path / "before.ms")
            write(folder, manifest)
            shutil.copytree(folder, tmp_path / "after.ms")
            written.append(manifest)

        with monkeypatch.context() as patch:
            patch.setattr(disk, "write_manifest", write_between_copies)
            getattr(collection, change)(**arguments)
        assert len(written) == 1
        after = auto(collection) if change == "learn_cutoff" else None
    for name, expected in (("before", before), ("after", after)):
        with Collection.open(tmp_path / f"{name}.ms") as collection:
            assert collection.verify() == []
            if expected is None:
                with pytest.raises(InvalidInputError, match=NOT_LEARNT):
                    auto(collection)
            else:
                assert same(auto(collection), expected)
            collection.learn_cutoff()  # takes away what the crash has left
        for folder in ("index", "cutoff"):
            assert len(list((tmp_path / f"{name}.ms" / folder).iterdir())) == 1


def test_a_disk_that_refuses_leaves_what_was_learnt_before(path, monkeypatch):
    def refuse(folder, manifest):
        raise StorageError(f"{folder}: disk full")

    with Collection.open(path) as collection:
        before = auto(collection)
        with monkeypatch.context() as patch:
            patch.setattr(disk, "write_manifest", refuse)
            with pytest.raises(StorageError, match="disk full"):
                collection.learn_cutoff(seed=8)
        assert same(auto(collection), before)
    with Collection.open(path) as collection:
        assert collection.verify() == []
        assert same(auto(collection), before)


# ---------------------------------------------------------------- readers and threads


def test_a_read_only_collection_learns_nothing(path):
    files = contents(path)
    with Collection.open(path, readonly=True) as collection:
        with pytest.raises(InvalidInputError, match="opened read-only; open it with readonly=False"):
            collection.learn_cutoff()
        auto(collection)
    assert contents(path) == files


WRITER = """
import sys
import numpy as np
from metricsearch import Collection

with Collection.open(sys.argv[1], n_threads=1) as writer:
    for line in sys.stdin:  # one change per line, answered by a line
        what, _, seed = line.strip().partition(" ")
        if what == "learn":
            writer.learn_cutoff(seed=int(seed))
        elif what == "build":
            writer.build_index()
        else:
            writer.add(np.load(sys.argv[2]))
        print("done", flush=True)
"""


def test_a_reader_beside_a_writer_never_pairs_an_index_with_what_another_has_learnt(tmp_path):
    path = tmp_path / "c.ms"
    make(path).close()
    np.save(tmp_path / "queries.npy", QUERIES)
    command = [sys.executable, "-c", WRITER, str(path), str(tmp_path / "queries.npy")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as writer:

        def change(what):
            writer.stdin.write(what + "\n")
            assert writer.stdout.readline() == "done\n"

        with Collection.open(path, readonly=True) as reader:
            with pytest.raises(InvalidInputError, match=NOT_LEARNT):
                auto(reader)
            change("learn 0")
            first = auto(reader)
            change("learn 1")
            assert same(auto(reader), first), "what it has loaded serves on"
            change("build")
            assert same(auto(reader), first)
        with Collection.open(path, readonly=True) as reader:
            with pytest.raises(InvalidInputError, match=NOT_LEARNT):
                auto(reader)
            change("learn 0")
            assert same(auto(reader), first), "the same seeds build and learn the same"
        with Collection.open(path, readonly=True) as reader:
            reader.search(QUERIES, 1)  # the index, not yet what was learnt
            change("learn 1")
            auto(reader)  # the files of the first are gone
            change("add")
            with pytest.raises(OutdatedIndexError):
                auto(reader)
            change("learn 2")  # saves the index as well
            assert (auto(reader).distances[:, 0] == 0).all()
            assert reader.verify() == []
        writer.stdin.close()


def test_a_reader_whose_cutoff_is_of_an_index_that_was_replaced_takes_both_anew(path, tmp_path):
    np.save(tmp_path / "queries.npy", QUERIES)
    command = [sys.executable, "-c", WRITER, str(path), str(tmp_path / "queries.npy")]
    with Collection.open(path, readonly=True) as reader:
        old = reader.index
        subprocess.run(command, input="build\nlearn 3\n", text=True, check=True, capture_output=True)
        found = auto(reader)
        assert reader.index is not old
        subprocess.run(command, input="build\n", text=True, check=True, capture_output=True)
        assert same(auto(reader), found)


def test_threads_that_search_at_once_get_the_same_answers(path):
    with Collection.open(path, readonly=True, n_threads=1) as collection:
        expected = auto(collection)
    for _ in range(3):
        with Collection.open(path, readonly=True, n_threads=2) as collection, ThreadPoolExecutor(6) as pool:
            found = list(pool.map(lambda _, one=collection: auto(one), range(12)))
        assert all(same(result, expected) for result in found)


# ---------------------------------------------------------------- damage


def check_damaged(path, *words):
    """Only what needs the cut-off fails, in one line; learning again mends it."""
    with Collection.open(path, readonly=True) as collection:
        assert collection.info()["index_state"] == "up to date"
        assert collection.info()["cutoff_state"] == "damaged"
        (problem,) = collection.verify()
        with pytest.raises(CorruptedError) as raised:
            auto(collection)
        assert "call learn_cutoff() again" in str(raised.value)
        for text in (str(raised.value), problem):
            assert "\n" not in text
            assert all(word in text for word in (str(path), *words))
        collection.search(QUERIES, 1)
    with Collection.open(path) as collection:
        collection.learn_cutoff()
        assert collection.verify() == []
        auto(collection)


@pytest.mark.parametrize("name", ["estimates", "distances", "truth", "power"])
@pytest.mark.parametrize("damage", ["flipped", "cut", "missing"])
def test_a_damaged_file_is_named(path, name, damage):
    (file,) = (path / "cutoff").rglob(f"{name}.npy")
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 1
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(raw if damage == "flipped" else raw[:-1])
    check_damaged(path, str(file), "cut-off file is missing" if damage == "missing" else "cut-off file is damaged")


def with_nan(array):
    changed = array.copy()
    changed[-1, -1] = np.nan
    return changed


MISFITS = {
    "an array too few": {"truth": None},
    "an array too many": {"other": lambda record: np.zeros(3)},
    "another dtype": {"estimates": lambda record: record["estimates"].astype(np.float64)},
    "other dimensions": {"distances": lambda record: record["distances"][0]},
    "fewer queries": {"distances": lambda record: record["distances"][1:]},
    "fewer neighbours": {"truth": lambda record: record["truth"][:, 1:]},
    "no queries": {name: lambda record, name=name: record[name][:0] for name in ("estimates", "distances", "truth")},
    "no candidates": {
        name: lambda record, name=name: record[name][:, :0] for name in ("estimates", "distances", "truth")
    },
    "estimates out of order": {"estimates": lambda record: record["estimates"][:, ::-1]},
    "neighbours out of order": {"truth": lambda record: record["truth"][:, ::-1]},
    "NaN estimates": {"estimates": lambda record: with_nan(record["estimates"])},
    "NaN distances": {"distances": lambda record: with_nan(record["distances"])},
    "negative distances": {"distances": lambda record: -record["distances"] - 1},
    "no power": {"power": lambda record: np.array([0.0])},
    "two powers": {"power": lambda record: np.array([2.0, 2.0])},
    "an endless power": {"power": lambda record: np.array([np.inf])},
    "another power": {"power": lambda record: record["power"] + 1},
}


@pytest.mark.parametrize("misfit", MISFITS)
def test_arrays_that_are_as_written_but_do_not_fit_are_refused(path, misfit):
    (folder,) = (path / "cutoff").iterdir()
    record = {file.stem: np.load(file) for file in folder.iterdir()}
    for name, changed in MISFITS[misfit].items():
        file = folder / f"{name}.npy"
        if changed is None:
            file.unlink()
        else:
            np.save(file, np.ascontiguousarray(changed(record)))
    files = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}
    rewritten_manifest(path, lambda manifest: manifest["cutoff"].update(files=files))
    check_damaged(path, str(folder))


@pytest.mark.parametrize("options", [{"ranking": "?"}, {"levels": 3}])
def test_options_that_make_no_sense_are_refused(path, options):
    rewritten_manifest(path, lambda manifest: manifest["cutoff"]["options"].update(options))
    check_damaged(path, "damaged options")


def test_an_entry_that_makes_no_sense_is_a_damaged_manifest(path):
    rewritten_manifest(path, lambda manifest: manifest["cutoff"].update(other=3))
    with pytest.raises(CorruptedError, match="damaged manifest"):
        Collection.open(path)


# ---------------------------------------------------------------- mistakes


def test_what_auto_cannot_do_is_said_in_one_line(path):
    with Collection.open(path, readonly=True) as collection:
        mistakes = {
            "k: the cut-off was learnt for up to k = 100, got 101": lambda: auto(collection, k=101),
            "k: expected": lambda: auto(collection, k=0),
            "target_recall: expected": lambda: auto(collection, target_recall=1.5),
            "target_recall: expected a number": lambda: auto(collection, target_recall="high"),
            "options: the cut-off was learnt with others": lambda: auto(collection, options=RankingOptions(decay=0.5)),
            "options: expected RankingOptions": lambda: auto(collection, options={"decay": 0.5}),
            "queries: expected 12 dimensions": lambda: auto(collection, QUERIES[:, :5]),
            "queries: expected at least one": lambda: auto(collection, QUERIES[:0]),
            "n_candidates: expected": lambda: collection.search(QUERIES, 10, n_candidates="Auto"),
        }
        for text, act in mistakes.items():
            with pytest.raises(InvalidInputError) as raised:
                act()
            assert str(raised.value).startswith(text)
            assert "\n" not in str(raised.value)
        assert auto(collection, k=100).ids.shape == (N_QUERIES, 100)
        assert same(auto(collection, options=collection.index.options), auto(collection))


def test_mistakes_while_learning_change_nothing(path):
    with Collection.open(path) as collection:
        before = auto(collection)
        mistakes = {
            "queries: expected 12 dimensions": lambda: collection.learn_cutoff(QUERIES[:, :5]),
            "cut-off: needs a query": lambda: collection.learn_cutoff(QUERIES[:0]),
            "seed: expected": lambda: collection.learn_cutoff(seed=-1),
            "options: expected RankingOptions": lambda: collection.learn_cutoff(options="sum"),
            "index: sketches are needed": lambda: collection.learn_cutoff(options=RankingOptions(n_sketched=0)),
        }
        for text, act in mistakes.items():
            with pytest.raises(InvalidInputError) as raised:
                act()
            assert str(raised.value).startswith(text)
        assert same(auto(collection), before)


def test_without_sketches_there_is_nothing_to_learn(tmp_path):
    with make(tmp_path / "c.ms", PPPCodes(n_spaces=2, n_pivots=8, prefix_length=3), X[:100]) as collection:
        with pytest.raises(InvalidInputError, match=NOT_LEARNT):
            auto(collection)
        with pytest.raises(InvalidInputError, match="index: sketches are needed; build PPPCodes"):
            collection.learn_cutoff()
        assert collection.info()["cutoff_state"] == "none"


def test_without_objects_or_an_index_nothing_is_learnt(tmp_path):
    with Collection.create(tmp_path / "c.ms", index=sketched()) as collection:
        for act in (lambda: auto(collection), collection.learn_cutoff):
            with pytest.raises(EmptyIndexError, match=r"c\.ms: .*add"):
                act()
        collection.add(X)
        for act in (lambda: auto(collection), collection.learn_cutoff):
            with pytest.raises(MissingIndexError, match=r"call build_index\(\)"):
                act()
        assert collection.info()["cutoff_state"] == "none"
    for act in (lambda: auto(collection), collection.learn_cutoff):
        with pytest.raises(InvalidInputError, match="the collection is closed"):
            act()


# ---------------------------------------------------------------- found by reading the code again


def test_a_collection_that_has_more_than_doubled_has_to_learn_again(path):
    with Collection.open(path) as collection:
        collection.add(clustered(N, 5))
        assert len(auto(collection).ids) == N_QUERIES  # twice as many is the most
        collection.add(clustered(1, 6))
        with pytest.raises(
            InvalidInputError, match=r"learnt from 1,400 objects, and there are 2,801 now; call learn_cu"
        ):
            auto(collection)
        collection.learn_cutoff()
        assert len(auto(collection).ids) == N_QUERIES


def test_a_reader_whose_files_vanish_after_their_check_reads_the_new_ones(path, monkeypatch):
    from metricsearch.collection import cutoff_files

    checked = cutoff_files.cutoff_problems

    def vanishing(folder, entry):
        problems = checked(folder, entry)
        monkeypatch.setattr(cutoff_files, "cutoff_problems", checked)
        learn = f"from metricsearch import Collection as C\nwith C.open({str(path)!r}) as c: c.learn_cutoff(seed=4)"
        subprocess.run([sys.executable, "-c", learn], check=True)
        return problems

    with Collection.open(path, readonly=True) as reader:
        monkeypatch.setattr(cutoff_files, "cutoff_problems", vanishing)
        assert len(auto(reader).ids) == N_QUERIES


def test_after_a_failed_save_checksums_are_compared_of_the_right_objects(path, monkeypatch):
    """Saving renumbers the objects; what was compared under the old numbers must not vouch for others."""
    with Collection.open(path) as collection:
        collection.remove(np.arange(0, 900, 3))
        collection.search(QUERIES, 10, n_candidates=1000)
        before = collection._current.now().checked
        with monkeypatch.context() as patch:
            patch.setattr(disk, "write_manifest", lambda *_: (_ for _ in ()).throw(StorageError("disk full")))
            with pytest.raises(StorageError):
                collection.learn_cutoff()
        assert collection._current.now().checked is not before
