"""Every mistake a user can make with a collection: a named error of one clear line, and nothing has changed."""

import inspect
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from metricsearch import Collection, FunctionMetric, MetricSearchError, PPPCodes, RankingOptions, errors
from metricsearch.errors import (
    CorruptedError,
    DuplicateIdError,
    EmptyIndexError,
    ExistsError,
    FormatVersionError,
    InvalidInputError,
    MissingDataError,
    MissingIndexError,
    NonMetricError,
    OutdatedIndexError,
    StorageError,
    UnknownIdError,
    UnknownNameError,
)

N, D = 120, 6
BUILTINS = {
    CorruptedError: OSError,
    DuplicateIdError: ValueError,
    EmptyIndexError: ValueError,
    ExistsError: FileExistsError,
    FormatVersionError: ValueError,
    InvalidInputError: ValueError,
    MissingDataError: FileNotFoundError,
    MissingIndexError: RuntimeError,
    NonMetricError: ValueError,
    OutdatedIndexError: RuntimeError,
    StorageError: OSError,
    UnknownIdError: KeyError,
    UnknownNameError: ValueError,
}


def vectors(n=N, seed=0):
    return np.abs(np.random.default_rng(seed).normal(size=(n, D))).astype(np.float32)


def small_index(metric="euclidean", **parameters):
    return PPPCodes(metric, **({"n_spaces": 2, "n_pivots": 4, "prefix_length": 2, "n_threads": 1} | parameters))


def with_row(value, row, n=50):
    x = vectors(n).astype(np.float64)
    x[row, 3] = value
    return x


def in_chunks(x, size=20):
    return (x[start : start + size] for start in range(0, len(x), size))


def check_error(info, *words):
    """The error is of the package and a built-in one, one line, and says each of `words`."""
    error, text = info.value, str(info.value)
    assert isinstance(error, MetricSearchError)
    assert isinstance(error, BUILTINS[type(error)])
    assert "\n" not in text
    assert 15 < len(text) < 400
    for word in words:
        assert word in text, text


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A collection on disk that tests copy."""
    path = tmp_path_factory.mktemp("made") / "c.ms"
    with Collection.create(path, index=small_index(), codec="sparse-f32") as collection:
        collection.add(vectors())
        collection.build_index()
    return path


@pytest.fixture
def path(made, tmp_path):
    return shutil.copytree(made, tmp_path / "c.ms")


@pytest.fixture
def collection(path):
    with Collection.open(path, n_threads=1) as opened:
        yield opened


def contents(path):
    """Names and bytes of all files; LMDB's lock file changes by itself."""
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file() and not file.name.endswith("-lock")
    }


def state(collection):
    result = collection.search(vectors(4, seed=1), 5, n_candidates=40)
    return collection.ids().tolist(), len(collection), result.ids.tolist(), result.distances.tolist()


X = vectors(3, seed=9)
BAD_CHANGES = {
    "NaN": (lambda c: c.add(with_row(np.nan, 7)), InvalidInputError, "objects: row 7", "NaN or infinity"),
    "NaN in a later chunk": (lambda c: c.add(in_chunks(with_row(np.nan, 43))), InvalidInputError, "row 43", "NaN"),
    "NaN far down an array": (
        lambda c: c.add(np.vstack([vectors(9000), with_row(np.nan, 0)])),
        InvalidInputError,
        "row 9000 ",
    ),
    "infinity": (lambda c: c.add(with_row(np.inf, 2)), InvalidInputError, "row 2", "infinity"),
    "both infinities": (
        lambda c: c.add([[np.inf, -np.inf, 0, 0, 0, 0]]),
        InvalidInputError,
        "row 0",
        "infinity",
    ),
    "too large for float32": (lambda c: c.add(with_row(1e300, 2)), InvalidInputError, "row 2", "infinity"),
    "wrong dimension": (lambda c: c.add(np.ones((4, D + 1))), InvalidInputError, f"expected {D} dimensions", "got 7"),
    "wrong dimension in a later chunk": (
        lambda c: c.add(iter([vectors(5), vectors(5)[:, :4]])),
        InvalidInputError,
        f"expected {D} dimensions",
        "got 4",
        "row 5",
    ),
    "one vector": (lambda c: c.add(X[0]), InvalidInputError, "x[None]"),
    "strings": (lambda c: c.add(["a", "b"]), InvalidInputError, "array of numbers"),
    "one string": (lambda c: c.add("word"), InvalidInputError, "expected a sequence", "str"),
    "a dict": (lambda c: c.add({"a": 1}), InvalidInputError, "expected a sequence", "dict"),
    "a number": (lambda c: c.add(3), InvalidInputError, "objects", "int"),
    "None": (lambda c: c.add(None), InvalidInputError, "objects", "NoneType"),
    "complex": (lambda c: c.add(X.astype(complex)), InvalidInputError, "complex"),
    "ragged rows": (lambda c: c.add([[1] * D, [1] * D, [2] * 4]), InvalidInputError, "lengths", "row 2"),
    "ragged rows in a later chunk": (
        lambda c: c.add(iter([vectors(5), [[1] * D, [2] * 4]])),
        InvalidInputError,
        "different lengths",
    ),
    "three axes": (lambda c: c.add(np.ones((2, 3, D))), InvalidInputError, "(2, 3, 6)"),
    "an iterator of vectors": (lambda c: c.add(iter(X)), InvalidInputError, "expected an (n, d) array"),
    "ID given twice": (lambda c: c.add(X, [500, 501, 500]), DuplicateIdError, "ID 500", "2 times", "row 0"),
    "ID of a stored object": (lambda c: c.add(X, [500, 7, 501]), DuplicateIdError, "ID 7"),
    "ID of a stored object in a later chunk": (
        lambda c: c.add(in_chunks(vectors(60)), [*range(500, 559), 7]),
        DuplicateIdError,
        "ID 7",
    ),
    "negative ID": (lambda c: c.add(X, [500, -1, 501]), InvalidInputError, "row 1 is -1", "0.."),
    "float IDs": (lambda c: c.add(X, [1.0, 2.0, 3.0]), InvalidInputError, "whole numbers", "float64"),
    "bool IDs": (lambda c: c.add(X[:1], [True]), InvalidInputError, "whole numbers", "bool"),
    "huge IDs": (lambda c: c.add(X[:1], [2**63]), InvalidInputError, "9223372036854775808"),
    "huger IDs": (lambda c: c.add(X[:1], [2**70]), InvalidInputError, "whole numbers"),
    "string IDs": (lambda c: c.add(X[:1], ["a"]), InvalidInputError, "whole numbers"),
    "one ID": (lambda c: c.add(X[:1], 5), InvalidInputError, "1-D"),
    "ragged IDs": (lambda c: c.add(X[:2], [[1], [2, 3]]), InvalidInputError, "ids", "1-D"),
    "too few IDs": (lambda c: c.add(X, [500, 501]), InvalidInputError, "one ID per object", "2", "3"),
    "too few IDs for chunks": (lambda c: c.add(in_chunks(vectors(60)), range(500, 530)), InvalidInputError, "30", "40"),
    "too many IDs": (lambda c: c.add(X, range(500, 504)), InvalidInputError, "3 in total", "got 4"),
    "IDs for nothing": (lambda c: c.add(X[:0], [500]), InvalidInputError, "0 in total", "got 1"),
    "remove an unknown ID": (lambda c: c.remove([3, 4, 9999]), UnknownIdError, "9999"),
    "remove an ID twice": (lambda c: c.remove([3, 3]), DuplicateIdError, "ID 3"),
    "remove a negative ID": (lambda c: c.remove([-3]), InvalidInputError, "-3"),
    "remove a float ID": (lambda c: c.remove([3.0]), InvalidInputError, "whole numbers"),
    "remove one ID": (lambda c: c.remove(3), InvalidInputError, "1-D"),
    "build with another metric": (lambda c: c.build_index(small_index("manhattan")), InvalidInputError, "manhattan"),
    "build with a name": (lambda c: c.build_index("ppp"), InvalidInputError, "PPPCodes", "'ppp'"),
    "too few objects for the pivots": (
        lambda c: c.build_index(small_index(n_pivots=100)),
        InvalidInputError,
        "2 spaces x 100 pivots",
        "200",
        "120",
        "lower n_pivots",
    ),
    "too few pivots": (lambda c: c.build_index(pivots=vectors(3)), InvalidInputError, "2 x 4 = 8", "got 3"),
    "pivots of another dimension": (lambda c: c.build_index(pivots=np.ones((8, 3))), InvalidInputError, "pivots"),
    "pivots with NaN": (lambda c: c.build_index(pivots=with_row(np.nan, 5, 8)), InvalidInputError, "pivots: row 5"),
}


@pytest.mark.parametrize("mistake", BAD_CHANGES)
def test_a_mistake_in_a_change_is_explained_and_changes_nothing(path, collection, mistake):
    act, kind, *words = BAD_CHANGES[mistake]
    before, files = state(collection), contents(path)
    with pytest.raises(kind) as info:
        act(collection)
    check_error(info, *words)
    assert state(collection) == before
    assert {name: data for name, data in contents(path).items() if name.endswith((".npy", ".json"))} == {
        name: data for name, data in files.items() if name.endswith((".npy", ".json"))
    }
    assert collection.verify() == []
    collection.close()
    with Collection.open(path, n_threads=1) as again:
        assert state(again) == before
        assert again.verify() == []


Q = vectors(3, seed=4)
BAD_READS = {
    "k = 0": (lambda c: c.search(Q, 0), InvalidInputError, "k: expected a whole number >= 1, got 0"),
    "k = -1": (lambda c: c.search(Q, -1), InvalidInputError, "k: expected", "got -1"),
    "k = 2.5": (lambda c: c.search(Q, 2.5), InvalidInputError, "k: expected", "2.5"),
    "k = None": (lambda c: c.search(Q, None), InvalidInputError, "k: expected", "None"),
    "k = True": (lambda c: c.search(Q, True), InvalidInputError, "k: expected", "True"),
    "k > R": (lambda c: c.search(Q, 10, n_candidates=5), InvalidInputError, "n_candidates", "k = 10", "got 5", "R < k"),
    "R = 0": (lambda c: c.search(Q, 1, n_candidates=0), InvalidInputError, "n_candidates", "got 0"),
    "R = 1.5": (lambda c: c.search(Q, 1, n_candidates=1.5), InvalidInputError, "n_candidates", "1.5"),
    "no queries": (lambda c: c.search(Q[:0]), InvalidInputError, "queries: expected at least one"),
    "an empty list": (lambda c: c.search([]), InvalidInputError, "queries: expected at least one"),
    "one vector": (lambda c: c.search(Q[0]), InvalidInputError, "queries", "x[None]"),
    "NaN": (lambda c: c.search(with_row(np.nan, 11)), InvalidInputError, "queries: row 11", "NaN"),
    "infinity": (lambda c: c.search(with_row(-np.inf, 11)), InvalidInputError, "queries: row 11"),
    "wrong dimension": (lambda c: c.search(np.ones((2, 3))), InvalidInputError, "queries", "expected 6", "got 3"),
    "strings": (lambda c: c.search(["word"]), InvalidInputError, "queries", "array of numbers"),
    "None as query": (lambda c: c.search(None), InvalidInputError, "queries"),
    "options as dict": (lambda c: c.search(Q, options={"decay": 1}), InvalidInputError, "RankingOptions"),
    "too many spaces": (
        lambda c: c.search(Q, options=RankingOptions(n_spaces=3)),
        InvalidInputError,
        "n_spaces",
        "1..2",
    ),
    "too long prefixes": (
        lambda c: c.search(Q, options=RankingOptions(max_level=9)),
        InvalidInputError,
        "max_level",
        "1..2",
    ),
    "get an unknown ID": (lambda c: c.get([1, 777]), UnknownIdError, "777"),
    "get a float ID": (lambda c: c.get([1.5]), InvalidInputError, "whole numbers"),
    "get a negative ID": (lambda c: c.get([-1]), InvalidInputError, "-1"),
}


@pytest.mark.parametrize("mistake", BAD_READS)
def test_a_mistake_in_a_search_is_explained(collection, mistake):
    act, kind, *words = BAD_READS[mistake]
    before = state(collection)
    with pytest.raises(kind) as info:
        act(collection)
    check_error(info, *words)
    assert state(collection) == before


def not_callable_index():
    return {"n_pivots": 3}


BAD_CREATES = {
    "unknown metric": (lambda p: Collection.create(p, metric="euclidian"), UnknownNameError, "'euclidean'", "known"),
    "unknown codec": (lambda p: Collection.create(p, codec="sparse-f23"), UnknownNameError, "'sparse-f32'", "known"),
    "codec of another kind": (lambda p: Collection.create(p, codec="utf8"), InvalidInputError, "utf8", "raw-f32"),
    "codec None of a kind": (
        lambda p: Collection.create(p, metric="levenshtein", codec="raw-f32"),
        InvalidInputError,
        "strings",
        "utf8",
    ),
    "codec as number": (lambda p: Collection.create(p, codec=5), UnknownNameError, "codec", "5"),
    "metric as number": (lambda p: Collection.create(p, metric=5), InvalidInputError, "metric", "5"),
    "non-metric": (lambda p: Collection.create(p, metric="cosine"), NonMetricError, "angular"),
    "two metrics": (
        lambda p: Collection.create(p, metric="manhattan", index=small_index()),
        InvalidInputError,
        "manhattan",
        "euclidean",
    ),
    "unknown ranking": (
        lambda p: Collection.create(p, index=small_index(options=RankingOptions(ranking="wpsd"))),
        InvalidInputError,
        "wspd",
        "'wpsd'",
    ),
    "unknown pivot choice": (
        lambda p: Collection.create(p, index=small_index(pivot_choice="kmeans")),
        InvalidInputError,
        "k-means",
        "'kmeans'",
    ),
    "no pivots": (lambda p: Collection.create(p, index=small_index(n_pivots=0)), InvalidInputError, "n_pivots"),
    "long prefix": (
        lambda p: Collection.create(p, index=small_index(prefix_length=5)),
        InvalidInputError,
        "prefix_length",
        "1..4",
    ),
    "no index": (lambda p: Collection.create(p, index=not_callable_index()), InvalidInputError, "PPPCodes"),
    "no threads": (lambda p: Collection.create(p, n_threads=0), InvalidInputError, "n_threads"),
    "no folder": (lambda p: Collection.create(p / "x" / "y"), InvalidInputError, "does not exist", "create it"),
    "no path": (lambda p: Collection.create(None), InvalidInputError, "path", "None"),
}


@pytest.mark.parametrize("mistake", BAD_CREATES)
def test_a_mistake_in_making_a_collection_is_explained_and_makes_nothing(tmp_path, mistake):
    act, kind, *words = BAD_CREATES[mistake]
    with pytest.raises(kind) as info:
        act(tmp_path / "new.ms")
    check_error(info, *words)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_path_is_never_overwritten(path, tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    files = contents(path)
    for taken in (path, tmp_path / "file", tmp_path / "folder"):
        with pytest.raises(ExistsError) as info:
            Collection.create(taken)
        check_error(info, str(taken), "Collection.open")
    assert contents(path) == files
    assert (tmp_path / "file").read_text() == "mine"
    assert list((tmp_path / "folder").iterdir()) == []


def test_a_path_that_is_no_collection_is_refused(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("text")
    for name in ("nothing", "folder", "file", "nothing/below"):
        with pytest.raises(MissingDataError) as info:
            Collection.open(tmp_path / name)
        check_error(info, str(tmp_path / name), "Collection.create")
    with pytest.raises(InvalidInputError) as info:
        Collection.open(None)
    check_error(info, "path")


def edit(path, **fields):
    """Write other fields into the manifest, without a right checksum."""
    content = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps(content | fields))


def test_another_format_version_is_refused(path):
    edit(path, format_version=2)
    with pytest.raises(FormatVersionError) as info:
        Collection.open(path)
    check_error(info, "manifest.json", "version 2", "version 1")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "3",
        "null",
        '"a"',
        "{}",
        '{"format": "something else"}',
        '{"format": []}',
        "\xff\xfe",
        "[" * 100_000,
    ],
)
def test_a_manifest_that_is_none_is_refused(path, text):
    (path / "manifest.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(CorruptedError) as info:
        Collection.open(path)
    check_error(info, "manifest.json", "restore it")


def test_an_edited_manifest_is_refused(path):
    edit(path, dimension=D + 1)
    with pytest.raises(CorruptedError) as info:
        Collection.open(path)
    check_error(info, "manifest.json", "sha256")


def test_missing_objects_are_reported(path):
    (path / "objects.mdb").unlink()
    with pytest.raises(CorruptedError) as info:
        Collection.open(path)
    check_error(info, "objects.mdb", "missing", "restore")


def test_objects_of_another_collection_are_refused(path, tmp_path):
    with Collection.create(tmp_path / "other.ms", index=small_index(), codec="sparse-f32") as other:
        other.add(np.ones((300, D + 1)))
        other.add(np.ones((300, D + 1)))
    for file in ("objects.mdb", "objects.seal"):
        shutil.copy(tmp_path / "other.ms" / file, path / file)
    with pytest.raises(CorruptedError) as info:
        Collection.open(path)
    check_error(info, "objects.mdb", "another collection")


def test_an_older_object_file_than_the_index_is_refused(path):
    old = {name: (path / name).read_bytes() for name in ("objects.mdb", "objects.seal")}
    with Collection.open(path) as collection:
        collection.add(X)
        collection.build_index()
    for name, data in old.items():
        (path / name).write_bytes(data)
    with pytest.raises(CorruptedError) as info:
        Collection.open(path)
    check_error(info, "objects.mdb", "older")


def test_searching_without_an_index_is_explained(tmp_path):
    with Collection.create(tmp_path / "c.ms", index=small_index()) as collection:
        collection.add(vectors())
        with pytest.raises(MissingIndexError) as info:
            collection.search(Q)
        check_error(info, "build_index()", "c.ms")
        with pytest.raises(MissingIndexError):
            collection.index  # noqa: B018


def test_an_empty_collection_is_explained(tmp_path):
    with Collection.create(tmp_path / "c.ms", index=small_index()) as collection:
        for act in (lambda: collection.search(Q), collection.build_index):
            with pytest.raises(EmptyIndexError) as info:
                act()
            check_error(info, "c.ms", "add")
        for act in (collection.get, collection.remove):
            with pytest.raises(UnknownIdError) as info:
                act([3])
            check_error(info, "c.ms", "empty", "3")
        assert collection.verify() == []
        assert collection.ids().tolist() == []
    with Collection.open(tmp_path / "c.ms") as collection:
        assert len(collection) == 0


def test_a_first_add_that_fails_does_not_settle_the_dimension(tmp_path):
    path = tmp_path / "c.ms"
    with Collection.create(path, index=small_index()) as collection:
        files = contents(path)
        for bad in (iter([np.ones((3, 5)), [[np.nan] * 5]]), iter([np.ones((3, 5)), np.ones((3, 4))])):
            with pytest.raises(InvalidInputError):
                collection.add(bad)
            assert contents(path) == files
        with pytest.raises(InvalidInputError):
            collection.add(np.ones((3, 5)), [1, 2])
        collection.add(vectors())
        collection.build_index()
        before = state(collection)
    with Collection.open(path) as collection:
        assert state(collection) == before


def test_an_error_of_the_users_own_iterator_goes_through_and_changes_nothing(collection):
    def chunks():
        yield vectors(30)
        raise ZeroDivisionError("mine")

    before = state(collection)
    with pytest.raises(ZeroDivisionError, match="mine"):
        collection.add(chunks())
    assert state(collection) == before
    assert collection.verify() == []


def test_a_change_while_objects_are_being_added_is_refused(collection):
    def chunks():
        yield vectors(5)
        collection.add(X)

    before = state(collection)
    with pytest.raises(MetricSearchError) as info:
        collection.add(chunks())
    check_error(info)
    assert state(collection) == before


CHILD = """
import os, sys
import numpy as np
from metricsearch import Collection
collection = Collection.open(sys.argv[1], n_threads=1)
collection.add(np.ones((2, 6)))
os.kill(os.getpid(), 9)  # the index in memory is lost, the objects are not
"""


def test_an_index_older_than_the_objects_is_never_searched(path):
    assert subprocess.run([sys.executable, "-c", CHILD, str(path)], check=False).returncode == -9
    with Collection.open(path, readonly=True) as reader:
        assert reader.info()["index_state"] == "outdated"
        with pytest.raises(OutdatedIndexError) as info:
            reader.search(Q)
        check_error(info, "older than the objects", "build_index()")
    with Collection.open(path) as collection:
        assert len(collection) == N + 2
        assert collection.verify() == []
        for act in (lambda: collection.search(Q), lambda: collection.index):
            with pytest.raises(OutdatedIndexError) as info:
                act()
            check_error(info, "older than the objects", "build_index()")
        collection.remove([N])  # changes are possible
        collection.add(X)
        collection.build_index()
        assert collection.search(Q, 1, n_candidates=N + 4).stats.n_objects_read.tolist() == [N + 4] * 3


def test_a_closed_collection_is_refused_everywhere(path):
    collection = Collection.open(path)
    collection.close()
    acts = [
        lambda: collection.add(X),
        lambda: collection.remove([1]),
        lambda: collection.build_index(),
        lambda: collection.search(Q),
        lambda: collection.get([1]),
        lambda: collection.ids(),
        lambda: collection.verify(),
        lambda: collection.info(),
        lambda: collection.index,
        lambda: len(collection),
    ]
    for act in acts:
        with pytest.raises(InvalidInputError) as info:
            act()
        check_error(info, str(path), "closed", "open it again")


def test_a_read_only_collection_is_never_changed(path):
    files = contents(path)
    with Collection.open(path, readonly=True) as collection:
        before = state(collection)
        for act in (lambda: collection.add(X), lambda: collection.remove([1]), lambda: collection.build_index()):
            with pytest.raises(InvalidInputError) as info:
                act()
            check_error(info, str(path), "read-only", "readonly=False")
        assert state(collection) == before
    assert contents(path) == files


def squared(a, b):
    return float(((a - b) ** 2).sum())


@pytest.mark.parametrize("pivots", [None, vectors(8)])
def test_a_function_that_is_no_metric_is_refused_unless_allowed(tmp_path, pivots):
    with Collection.create(tmp_path / "c.ms", index=small_index(squared)) as collection:
        collection.add(vectors())
        with pytest.raises(NonMetricError) as info:
            collection.build_index(pivots=pivots)
        check_error(info, "squared", "triangle inequality", "allow_nonmetric=True")
        assert collection.info()["index_state"] == "none"
        collection.build_index(small_index(squared, allow_nonmetric=True), pivots=pivots)
        result = collection.search(Q, 3, n_candidates=N)
    brute = ((vectors().astype(np.float64)[None] - Q[:, None].astype(np.float64)) ** 2).sum(axis=2)
    assert np.array_equal(result.ids, np.argsort(brute, axis=1)[:, :3])


@pytest.mark.parametrize(
    ("function", "word"),
    [
        (lambda a, b: -1.0, ">= 0"),
        (lambda a, b: float("nan"), "nan"),
        (lambda a, b: "far", "far"),
        (lambda a, b: None, "None"),
    ],
)
def test_a_function_that_gives_no_distance_is_refused(tmp_path, function, word):
    metric = FunctionMetric(function, name="broken")
    with Collection.create(tmp_path / "c.ms", index=small_index(metric)) as collection:
        collection.add(vectors())
        with pytest.raises(MetricSearchError) as info:
            collection.build_index()
        check_error(info, "broken", word)


def test_a_collection_of_a_user_function_needs_that_function(tmp_path):
    path = tmp_path / "c.ms"

    def city(a, b):
        return float(np.abs(a - b).sum())

    with Collection.create(path, metric=city, index=small_index(city)) as collection:
        collection.add(vectors())
        collection.build_index()
        before = state(collection)
    with pytest.raises(InvalidInputError) as info:
        Collection.open(path)
    check_error(info, str(path), "city", "metric=")
    for other in (squared, "manhattan"):
        with pytest.raises(InvalidInputError) as info:
            Collection.open(path, metric=other)
        check_error(info, str(path), "city")
    with Collection.open(path, metric=city) as collection:
        assert state(collection) == before


def test_a_wrong_metric_on_opening_is_refused(path):
    with pytest.raises(InvalidInputError) as info:
        Collection.open(path, metric="manhattan")
    check_error(info, "euclidean", "manhattan")
    with pytest.raises(UnknownNameError) as info:
        Collection.open(path, metric="euclidian")
    check_error(info, "'euclidean'")


def test_ids_after_the_largest_possible_one_must_be_given(tmp_path):
    with Collection.create(tmp_path / "c.ms", index=small_index()) as collection:
        collection.add(X, [2**63 - 3, 2**63 - 2, 5])
        assert collection.add(X[:1]).tolist() == [2**63 - 1]
        with pytest.raises(InvalidInputError) as info:
            collection.add(X[:1])
        check_error(info, "9223372036854775807", "pass IDs")
        assert collection.add(X[:1], [6]).tolist() == [6]
        assert collection.ids().tolist() == [5, 6, 2**63 - 3, 2**63 - 2, 2**63 - 1]


@pytest.mark.parametrize(
    ("codec", "bad", "words"),
    [("f16", 70_000.0, ["row 43", "f16", "raw-f32"]), ("u8", -1.0, None), ("sparse-f32", -1.0, None)],
)
def test_what_a_codec_cannot_hold_is_refused_with_its_row(tmp_path, codec, bad, words):
    with Collection.create(tmp_path / "c.ms", index=small_index(), codec=codec) as collection:
        if words is None:
            collection.add(in_chunks(with_row(bad, 43)))
            assert len(collection) == 50
            return
        with pytest.raises(InvalidInputError) as info:
            collection.add(in_chunks(with_row(bad, 43)))
        check_error(info, *words)
        assert len(collection) == 0


OBJECTS_OF_OTHER_KINDS = {
    "levenshtein": (["ab", 3], ["row 1", "int", "str"]),
    "jaccard": ([{1}, {-2}], ["row 1", "negative"]),
    "hamming": (np.ones((3, 4)), ["bool", "float64"]),
    "angular": (np.zeros((3, 4)), ["row 0", "zero"]),
    "jensen_shannon": (np.full((3, 4), 0.5), ["row 0", "sum"]),
    "sqfd": ([np.ones((2, 3)), np.empty((0, 3))], ["row 1", "empty"]),
    "hausdorff": ([np.ones((2, 3)), np.ones((2, 4))], ["row 1", "columns"]),
}


@pytest.mark.parametrize("metric", OBJECTS_OF_OTHER_KINDS)
def test_objects_that_a_space_does_not_have_are_refused(tmp_path, metric):
    bad, words = OBJECTS_OF_OTHER_KINDS[metric]
    with Collection.create(tmp_path / "c.ms", index=small_index(metric)) as collection:
        with pytest.raises(InvalidInputError) as info:
            collection.add(bad)
        check_error(info, *words)
        assert len(collection) == 0


def test_every_error_class_is_one_of_the_package_and_a_built_in_one():
    classes = [
        item for _, item in inspect.getmembers(errors, inspect.isclass) if item.__module__ == "metricsearch.errors"
    ]
    assert len(classes) > 10
    for item in classes:
        assert issubclass(item, MetricSearchError)
        assert item is MetricSearchError or len(item.__bases__) == 2
        assert item.__doc__


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
def test_integers_that_float32_cannot_hold_are_refused(tmp_path, dtype):
    """2**24 and 2**24 + 1 are the same float32: a distance between them would silently be 0."""
    values = np.zeros((20, 2), dtype=dtype)
    values[:, 0] = 2**24 - 19 + np.arange(20)
    with Collection.create(tmp_path / "c.ms", index=PPPCodes(n_spaces=1, n_pivots=4, prefix_length=2)) as collection:
        collection.add(values)
        values[5, 0] = 2**24 + 1
        with pytest.raises(InvalidInputError, match="row 5 has an integer beyond 16,777,216"):
            collection.add(values)
        assert len(collection) == 20
