"""The command line: a round trip on small files, every mistake in one line, help without waiting."""

import json
import os
import shutil
import subprocess
import sys

import h5py
import numpy as np
import pytest

from metricsearch import Collection
from metricsearch.cli.main import commands

SMALL = ["--spaces", "2", "--pivots", "4", "--prefix", "2"]
WORDS = ["word", "sword", "world", "ward", "cord", "", "lord", "wordy", "bird", "third", "thirst", "first"]


@pytest.fixture
def files(tmp_path):
    """Small object files, and where a collection goes."""
    x = np.abs(np.random.default_rng(0).normal(size=(60, 5))).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "queries.npy", x[:3])
    np.save(tmp_path / "wide.npy", np.ones((3, 6), dtype=np.float32))
    x[7, 2] = np.nan
    np.save(tmp_path / "nan.npy", x)
    np.save(tmp_path / "empty.npy", x[:0])
    (tmp_path / "words.txt").write_text("\n".join(WORDS) + "\n")
    (tmp_path / "x.csv").write_text("1,2,3\n4,5,6\n")
    (tmp_path / "bad.csv").write_text("1,2,3\n4,five,6\n")
    (tmp_path / "x.unknown").write_text("?")
    with h5py.File(tmp_path / "two.h5", "w") as file:
        file["a"], file["b"] = np.ones((3, 2)), np.ones((3, 2))
    for name, feature, seed in (("hsv", "hsv", 1), ("hsv2", "hsv", 2), ("lbp", "lbp", 3)):
        features(tmp_path / f"{name}.h5", feature, seed)
    (tmp_path / "photos.ms").mkdir()
    (tmp_path / "photos.ms" / "photos.json").write_text("{}")
    return tmp_path


def features(path, feature, seed):
    """Vectors of 30 photos as `metricsearch extract` writes them, as far as objects are read from them."""
    with h5py.File(path, "w") as file:
        file.attrs["format"] = "metricsearch-features"
        file["size"] = np.zeros((30, 2), dtype=np.int32)
        file[feature] = np.random.default_rng(seed).random((30, 5)).astype(np.float32)
        file[feature].attrs["provenance"] = json.dumps({"feature": feature, "bins": [5]})
        file[feature].attrs["metric"] = json.dumps("manhattan")


@pytest.fixture
def made(run, files):
    """A collection of 60 vectors."""
    assert run("create", files / "c.ms", files / "x.npy", *SMALL)[0] == 0
    return files / "c.ms"


@pytest.mark.parametrize(
    ("codec", "label"), [("u8", "u8 (lossy)"), ("f16", "f16 (lossy)"), ("sparse-f32", "sparse-f32,")]
)
def test_a_lossy_codec_is_called_so_wherever_it_is_shown(run, files, codec, label):
    assert label in run("create", files / "c.ms", files / "x.npy", *SMALL, "--codec", codec)[1]
    assert json.loads(run("info", files / "c.ms")[1])["codec"] == label.rstrip(",")


def table(out):
    return [tuple(line.split("\t")) for line in out.splitlines()]


def test_create_with_sketches(run, files):
    path = files / "c.ms"
    assert run("create", path, files / "x.npy", *SMALL, "--sketch", "landmark", "--sketch-bytes", "6")[0] == 0
    with Collection.open(path, readonly=True) as collection:
        assert (collection.index.sketch, collection.index.sketch_bytes) == ("landmark", 6)
    status, _, err = run("create", files / "d.ms", files / "x.npy", *SMALL, "--sketch", "landmarks")
    assert status == 2
    assert "sketch: expected one of product, landmark, simplex, whitened, hyperplane; got 'landmarks'" in err
    assert not (files / "d.ms").exists()


def test_learn_cutoff_and_a_search_that_decides_what_to_read(run, files):
    path = files / "c.ms"
    np.save(files / "many.npy", np.abs(np.random.default_rng(1).normal(size=(600, 5))).astype(np.float32))
    assert run("create", path, files / "many.npy", *SMALL, "--sketch", "landmark", "--sketch-bytes", "6")[0] == 0
    assert json.loads(run("info", path)[1])["cutoff_state"] == "none"
    status, out, err = run("search", path, files / "queries.npy", "--candidates", "auto")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "metricsearch learn-cutoff" in err

    assert run("learn-cutoff", path) == (0, f"{path}: learnt from 512 queries, of 599 candidates each\n", "")
    assert json.loads(run("info", path)[1])["cutoff_state"] == "learnt"
    arguments = ["search", path, files / "queries.npy", "-k", 5, "--candidates", "auto", "--target-recall", 0.8]
    status, out, err = run(*arguments)
    assert (status, err[:16]) == (0, "mean per query: ")
    with Collection.open(path, readonly=True) as collection:
        queries = np.load(files / "queries.npy")
        expected = collection.search(queries, 5, n_candidates="auto", target_recall=0.8)
        usual = collection.search(queries, 5, n_candidates="auto")
    assert [int(row[2]) for row in table(out)] == expected.ids.ravel().tolist()
    assert f"n_objects_read {expected.stats.n_objects_read.mean():.4g}" in err
    out = run(*arguments[:-2])[1]
    assert [int(row[2]) for row in table(out)] == usual.ids.ravel().tolist()

    out = f"{path}: learnt from 3 queries, of 600 candidates each\n"
    assert run("learn-cutoff", path, files / "queries.npy", "--seed", 1) == (0, out, "")
    assert run("build", path)[0] == 0
    assert json.loads(run("info", path)[1])["cutoff_state"] == "none"


def test_create_search_add_remove_build_info_verify(run, files):
    path = files / "c.ms"
    status, out, err = run("create", path, files / "x.npy", *SMALL, "--codec", "sparse-f32")
    assert (status, err) == (0, "")
    assert "60 objects" in out

    status, out, err = run("search", path, files / "queries.npy", "-k", 2, "--candidates", 60)
    rows = table(out)
    assert status == 0
    assert [(row[0], row[1]) for row in rows] == [(str(q), str(rank)) for q in range(3) for rank in (1, 2)]
    assert [row[2] for row in rows[::2]] == ["0", "1", "2"]
    assert [row[3] for row in rows[::2]] == ["0", "0", "0"]
    assert err.startswith("mean per query: ")
    assert "n_objects_read 60" in err
    assert run("search", path, files / "queries.npy", "-k", 2, "--candidates", 60, "--no-stats") == (0, out, "")

    status, out, err = run("add", path, files / "queries.npy")
    assert (status, out, err) == (0, f"{path}: added 3 objects, 63 in all\n", "")
    out = run("search", path, files / "queries.npy", "-k", 2, "--candidates", 63)[1]
    assert [row[2] for row in table(out)] == ["0", "60", "1", "61", "2", "62"]

    assert run("remove", path, 0, 61) == (0, f"{path}: removed 2 objects, 61 left\n", "")
    out = run("search", path, files / "queries.npy", "-k", 1, "--candidates", 61)[1]
    assert [row[2] for row in table(out)] == ["60", "1", "2"]
    assert run("build", path)[0] == 0
    assert run("search", path, files / "queries.npy", "-k", 1, "--candidates", 61)[1] == out

    content = json.loads(run("info", path)[1])
    assert (content["count"], content["codec"], content["index_state"]) == (61, "sparse-f32", "up to date")
    assert run("verify", path) == (0, f"{path}: fine\n", "")


def test_a_file_of_words_needs_no_metric(run, files):
    path = files / "words.ms"
    assert run("create", path, files / "words.txt", *SMALL)[0] == 0
    status, out, _ = run("search", path, files / "words.txt", "-k", 3, "--candidates", 100)
    assert status == 0
    assert json.loads(run("info", path)[1])["metric"] == {"name": "levenshtein"}
    firsts = [int(row[2]) for row in table(out) if row[1] == "1"]
    assert firsts == list(range(len(firsts)))
    with Collection.open(path, readonly=True) as collection:
        assert len(collection) == len(firsts)


def test_pivots_can_be_given_in_a_file(run, files):
    np.save(files / "pivots.npy", np.load(files / "x.npy")[10:18])
    path = files / "c.ms"
    assert run("create", path, files / "x.npy", *SMALL, "--pivot-file", files / "pivots.npy")[0] == 0
    with Collection.open(path, readonly=True) as collection:
        assert np.array_equal(collection.index.pivots.reshape(8, 5), np.load(files / "pivots.npy"))


def test_files_of_one_feature_become_one_collection_that_knows_what_it_holds(run, files):
    path = files / "c.ms"
    status, out, err = run("create", path, files / "hsv.h5", files / "hsv2.h5:hsv", *SMALL)
    assert (status, err) == (0, "")
    assert "60 objects" in out
    content = json.loads(run("info", path)[1])
    assert content["metric"] == {"name": "manhattan"}
    assert content["provenance"] == {"feature": "hsv", "bins": [5]}
    status, out, _ = run("search", path, files / "hsv2.h5", "-k", 1, "--candidates", 60)
    assert status == 0
    assert [row[2:] for row in table(out)] == [(str(i), "0") for i in range(30, 60)]
    status, out, err = run("search", path, files / "lbp.h5")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "feature: hsv there, lbp here" in err
    assert run("search", path, files / "queries.npy", "-k", 1)[0] == 0  # nothing is said of these
    assert run("add", path, files / "hsv.h5")[0] == 0
    assert json.loads(run("info", path)[1])["count"] == 90


def test_objects_of_several_files_keep_their_order(run, files):
    path = files / "c.ms"
    assert run("create", path, files / "x.npy", files / "queries.npy", *SMALL)[0] == 0
    with Collection.open(path, readonly=True) as collection:
        stored = collection.get(np.arange(63))
    assert np.array_equal(stored, np.concatenate([np.load(files / "x.npy"), np.load(files / "queries.npy")]))


@pytest.mark.parametrize(
    ("arguments", "call"),
    [
        (["search", "photos.ms", "--image", "a.jpg"], ("search_photos", ("a.jpg",), 10, None)),
        (["search", "photos.ms", "--image", "a.jpg", "--show"], ("search_photos", ("a.jpg",), 10, "")),
        (["search", "photos.ms", "--show", "--image", "a.jpg"], ("search_photos", ("a.jpg",), 10, "")),
        (
            ["search", "photos.ms", "--image", "a.jpg", "--image", "b.png", "-k", "3", "--show", "sheet.png"],
            ("search_photos", ("a.jpg", "b.png"), 3, "sheet.png"),
        ),
        (["info", "photos.ms"], ("show_info",)),
        (["verify", "photos.ms"], ("verify_photos",)),
    ],
)
def test_a_photo_collection_is_searched_and_shown_as_one(run, files, arguments, call, monkeypatch):
    calls = []
    for name in ("search_photos", "show_info", "verify_photos"):
        monkeypatch.setattr(
            f"metricsearch.cli.photos.{name}", lambda path, *rest, name=name: calls.append((path, name, *rest)) or 1
        )
    monkeypatch.chdir(files)
    assert run(*arguments) == (1, "", "")
    assert calls == [("photos.ms", *call)]


def test_data_list_and_verify(run, data_dir):
    status, out, err = run("data", "list")
    assert (status, err) == (0, "")
    assert "english-words" in out
    status, out, err = run("data", "verify", "colors282")
    assert (status, out, err) == (0, "colors282: fine\n", "")


def test_a_catalogued_data_set_becomes_a_collection(run, tmp_path, data_dir):
    status, out, err = run("create", tmp_path / "c.ms", "dataset:colors282", *SMALL)
    assert (status, err) == (0, "")
    assert "1,000 objects" in out
    assert json.loads(run("info", tmp_path / "c.ms")[1])["metric"] == {"name": "manhattan"}


MISTAKES = {
    "unknown command": (["creat"], "'creat'", "create"),
    "unknown option": (["info", "{made}", "--verbose"], "--verbose"),
    "no arguments for create": (["create"], "PATH"),
    "no objects": (["create", "{new}"], "OBJECTS"),
    "unknown metric": (["create", "{new}", "{x.npy}", "--metric", "euclidian"], "'euclidean'"),
    "non-metric": (["create", "{new}", "{x.npy}", "--metric", "cosine"], "angular"),
    "unknown codec": (["create", "{new}", "{x.npy}", "--codec", "f17"], "'f16'"),
    "metric of other objects": (["create", "{new}", "{x.npy}", "--metric", "levenshtein"], "expected"),
    "words as vectors": (["create", "{new}", "{words.txt}", "--metric", "euclidean"], "array"),
    "unknown pivot choice": (["create", "{new}", "{x.npy}", "--pivot-choice", "best"], "k-means"),
    "pivots as text": (["create", "{new}", "{x.npy}", "--pivots", "many"], "--pivots", "many"),
    "no pivots": (["create", "{new}", "{x.npy}", "--pivots", "0"], "n_pivots"),
    "too many pivots": (["create", "{new}", "{x.npy}", "--pivots", "200"], "60", "lower n_pivots"),
    "too long prefix": (["create", "{new}", "{x.npy}", "--pivots", "4", "--prefix", "5"], "prefix_length"),
    "existing collection": (["create", "{made}", "{x.npy}"], "exists already"),
    "existing file": (["create", "{x.csv}", "{x.npy}"], "exists already"),
    "no such folder": (["create", "{new}/a/b", "{x.npy}", *SMALL], "does not exist"),
    "no such file": (["create", "{new}", "{new}.npy"], "no such file"),
    "folder as objects": (["create", "{new}", "{made}"], "folder"),
    "unknown kind of file": (["create", "{new}", "{x.unknown}"], ".fvecs"),
    "empty objects": (["create", "{new}", "{empty.npy}"], "add some"),
    "NaN": (["create", "{new}", "{nan.npy}"], "row 7"),
    "text among numbers": (["create", "{new}", "{bad.csv}"], "bad.csv", "line 2"),
    "which HDF5 dataset": (["create", "{new}", "{two.h5}"], "a, b"),
    "no such HDF5 dataset": (["create", "{new}", "{two.h5}:c"], "c"),
    "files of two features": (
        ["create", "{new}", "{hsv.h5}", "{lbp.h5}"],
        "lbp.h5: made",
        "hsv.h5 (feature: hsv there, lbp here)",
    ),
    "features and others": (["create", "{new}", "{hsv.h5}", "{x.npy}"], "x.npy", "nothing tells"),
    "others and features": (["create", "{new}", "{x.npy}", "{hsv.h5}"], "hsv.h5", "nothing tells"),
    "vectors and words": (["create", "{new}", "{x.npy}", "{words.txt}", "--metric", "euclidean"], "array"),
    "words and numbers": (["create", "{new}", "{words.txt}", "dataset:colors282"], "levenshtein", "manhattan"),
    "files of two widths": (["create", "{new}", "{x.npy}", "{wide.npy}", *SMALL], "wide.npy", "expected 5"),
    "a second file that is missing": (["create", "{new}", "{x.npy}", "{new}.npy"], "no such file"),
    "unknown data set": (["create", "{new}", "dataset:english-word"], "english-words"),
    "wrong pivot file": (["create", "{new}", "{x.npy}", *SMALL, "--pivot-file", "{wide.npy}"], "pivots"),
    "add to nothing": (["add", "{new}", "{x.npy}"], "no such collection"),
    "add other dimensions": (["add", "{made}", "{wide.npy}"], "expected 5 dimensions", "got 6"),
    "add words": (["add", "{made}", "{words.txt}"], "expected"),
    "add NaN": (["add", "{made}", "{nan.npy}"], "row 7"),
    "add features to others": (["add", "{made}", "{hsv.h5}"], "hsv.h5: ", "feature hsv", "c.ms"),
    "add to photos": (["add", "{photos.ms}", "{x.npy}"], "metricsearch index PHOTOS"),
    "build photos": (["build", "{photos.ms}"], "metricsearch index PHOTOS"),
    "remove photos": (["remove", "{photos.ms}", "1"], "metricsearch index PHOTOS"),
    "create over photos": (["create", "{photos.ms}", "{x.npy}"], "exists already"),
    "search photos by nothing": (["search", "{photos.ms}"], "--image PHOTO"),
    "search photos by objects": (["search", "{photos.ms}", "a.jpg"], "--image a.jpg"),
    "search photos by both": (["search", "{photos.ms}", "a.jpg", "--image", "b.jpg"], "--image a.jpg"),
    "candidates of photos": (["search", "{photos.ms}", "--image", "a.jpg", "--candidates", "5"], "--candidates"),
    "search objects by a photo": (["search", "{made}", "--image", "a.jpg"], "no photo collection", "QUERIES"),
    "search objects by both": (["search", "{made}", "{x.npy}", "--image", "a.jpg"], "no photo collection"),
    "show objects": (["search", "{made}", "{x.npy}", "--show"], "no photo collection"),
    "search objects by nothing": (["search", "{made}"], "no queries", "QUERIES"),
    "search nothing by a photo": (["search", "{new}", "--image", "a.jpg"], "no such photo collection", "index PHOTOS"),
    "search nothing": (["search", "{new}", "{x.npy}"], "no such collection"),
    "search in a folder": (["search", "{here}", "{x.npy}"], "manifest.json"),
    "search other dimensions": (["search", "{made}", "{wide.npy}"], "queries", "expected 5"),
    "search with no queries": (["search", "{made}", "{empty.npy}"], "at least one query"),
    "k = 0": (["search", "{made}", "{x.npy}", "-k", "0"], "k: expected"),
    "k = -1": (["search", "{made}", "{x.npy}", "-k", "-1"], "k: expected"),
    "k = 2.5": (["search", "{made}", "{x.npy}", "-k", "2.5"], "-k", "2.5"),
    "k > R": (["search", "{made}", "{x.npy}", "-k", "9", "--candidates", "5"], "k = 9", "got 5"),
    "R is no number": (["search", "{made}", "{x.npy}", "--candidates", "many"], "'many'", "whole number", "'auto'"),
    "R = 2.5": (["search", "{made}", "{x.npy}", "--candidates", "2.5"], "--candidates", "'2.5'"),
    "auto before learning": (["search", "{made}", "{x.npy}", "--candidates", "auto"], "metricsearch learn-cutoff"),
    "a recall without auto": (["search", "{made}", "{x.npy}", "--target-recall", "0.9"], "--candidates auto"),
    "a recall above 1": (
        ["search", "{made}", "{x.npy}", "--candidates", "auto", "--target-recall", "90"],
        "target_recall: expected",
    ),
    "recall of photos": (
        ["search", "{photos.ms}", "--image", "a.jpg", "--target-recall", "0.9"],
        "--target-recall: ",
        "photo collection",
    ),
    "learn without sketches": (["learn-cutoff", "{made}"], "sketches are needed"),
    "learn from nothing": (["learn-cutoff", "{new}"], "no such collection"),
    "learn from photos": (["learn-cutoff", "{photos.ms}"], "metricsearch index PHOTOS"),
    "learn from other dimensions": (["learn-cutoff", "{made}", "{wide.npy}"], "queries", "expected 5"),
    "R = 0": (["search", "{made}", "{x.npy}", "--candidates", "0"], "n_candidates"),
    "remove nothing": (["remove", "{made}"], "IDS"),
    "remove an unknown ID": (["remove", "{made}", "3", "99"], "99"),
    "remove a word": (["remove", "{made}", "three"], "three"),
    "remove twice": (["remove", "{made}", "3", "3"], "2 times"),
    "remove a negative ID": (["remove", "{made}", "-3"], "-3"),
    "build nothing": (["build", "{new}"], "no such collection"),
    "info of a file": (["info", "{x.npy}"], "no such collection"),
    "verify nothing": (["verify", "{new}"], "no such collection"),
    "verify an unknown data set": (["data", "verify", "english"], "english"),
    "fetch an unknown data set": (["data", "fetch", "sift"], "sift"),
    "fetch nothing": (["data", "fetch"], "NAMES"),
    "run nothing": (["run", "{new}.toml"], "new.ms.toml"),
    "report nothing": (["report", "{new}"], "new.ms"),
}


def snapshot(folder):
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not file.name.endswith("-lock")
    }


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_status_2_and_changes_nothing(run, files, made, mistake, monkeypatch):
    arguments, *words = MISTAKES[mistake]
    monkeypatch.chdir(files)
    names = {"{made}": made, "{new}": files / "new.ms", "{here}": files}
    names |= {f"{{{file.name}}}": file for file in files.iterdir()}
    for name, value in names.items():
        arguments = [argument.replace(name, str(value)) for argument in arguments]
    before = snapshot(files)
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith("metricsearch: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert "Traceback" not in err
    for word in words:
        assert word in err
    assert snapshot(files) == before


def test_without_a_command_the_help_is_shown(run):
    for arguments in ([], ["data"]):
        status, out, err = run(*arguments)
        assert (status, out) == (2, "")
        assert "Usage: " in err
        assert "Example:" in err


def test_a_damaged_collection_fails_verify_with_status_1(run, made):
    whole = snapshot(made)
    for name in whole:
        if name == "objects.seal":
            continue
        (made / name).write_bytes(whole[name][:-20] + b"x" + whole[name][-19:])
        status, out, err = run("verify", made)
        assert status == 1, name
        assert (out + err).count("\n") >= 1
        assert name in out + err
        assert not err or (err.startswith("metricsearch: ") and err.count("\n") == 1)
        (made / name).write_bytes(whole[name])
    assert run("verify", made)[0] == 0


def test_a_damaged_collection_is_no_mistake_of_the_user(run, files, made):
    (made / "manifest.json").write_text("{")
    for arguments in (["info", made], ["search", made, files / "x.npy"], ["add", made, files / "x.npy"]):
        status, out, err = run(*arguments)
        assert (status, out) == (1, "")
        assert err.count("\n") == 1
        assert "manifest.json" in err


def test_info_tells_of_a_damaged_index_and_build_mends_it(run, made):
    file = max((made / "index").rglob("*.npy"), key=lambda item: item.stat().st_size)
    file.write_bytes(file.read_bytes()[:-1])
    assert json.loads(run("info", made)[1])["index_state"] == "damaged"
    assert run("build", made)[0] == 0
    assert json.loads(run("info", made)[1])["index_state"] == "up to date"
    assert run("verify", made)[0] == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")
def test_missing_permission_is_one_line_and_status_1(run, files, made):
    made.chmod(0o500)
    try:
        status, _, err = run("build", made)
    finally:
        made.chmod(0o700)
    assert status == 1
    assert err.count("\n") == 1


def all_commands(group=commands, words=()):
    yield words, group
    for name, command in getattr(group, "commands", {}).items():
        yield from all_commands(command, (*words, name))


def test_every_command_has_help_with_an_example(run):
    found = dict(all_commands())
    assert {("create",), ("search",), ("data", "list"), ("run",), ("report",)} <= set(found)
    for words in found:
        status, out, err = run(*words, "--help")
        assert (status, err) == (0, "")
        assert "Example:" in out, words
        assert f"metricsearch {' '.join(words)}".strip() in out.split("Example:")[1], words
        assert run(*words, "-h")[1] == out


HELP = """
import sys
from metricsearch.cli.main import commands, main
heavy = {"numba", "numpy", "matplotlib", "pandas", "scipy", "h5py", "lmdb"}
def walk(group, words=()):
    yield words
    for name, command in getattr(group, "commands", {}).items():
        yield from walk(command, (*words, name))
for words in walk(commands):
    try:
        main([*words, "--help"])
    except SystemExit as stop:
        assert not stop.code
    assert not heavy & set(sys.modules), (words, heavy & set(sys.modules))
try:
    main(["--version"])
except SystemExit as stop:
    assert not stop.code
assert not heavy & set(sys.modules)
"""


def test_help_waits_for_no_heavy_module():
    done = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_reader_that_closes_the_pipe_gets_no_traceback(made, files):
    np.save(files / "many.npy", np.tile(np.load(files / "x.npy"), (60, 1)))
    command = [sys.executable, "-m", "metricsearch", "search", str(made), str(files / "many.npy"), "-k", "10"]
    shell = " ".join(command) + " --no-stats | head -n 1"
    done = subprocess.run(["/bin/sh", "-c", shell], capture_output=True, text=True, check=False)
    assert done.stdout == "0\t1\t0\t0\n"
    assert done.stderr == ""


def test_the_installed_command_reports_a_mistake_in_one_line(files):
    program = shutil.which("metricsearch", path=os.path.dirname(sys.executable))
    if program is None:
        pytest.skip("the package is not installed")
    done = subprocess.run([program, "info", str(files / "no.ms")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("metricsearch: ")
    assert done.stderr.count("\n") == 1
