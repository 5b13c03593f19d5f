"""Real data sets by name, parts of them, held-out queries; sources of objects."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricsearch.datasets import (
    ArraySource,
    Dataset,
    RowsSource,
    dataset_names,
    describe,
    load_dataset,
    split_queries,
    verify,
    write_profiset,
)
from metricsearch.errors import InvalidInputError, UnknownNameError
from metricsearch.spaces import STRINGS, Ragged, concatenate, get_metric

COUNTS = {
    "googlenet-grid4096": 5271,
    "english-words": 69069,
    "spanish-words": 86061,
    "norwegian-words": 85637,
    "dna32": 10000,
    "colors282": 1000,
    "rcv8-topics": 10000,
    "sqfd-signatures": 1000,
    "mnist-t10k": 10000,
}


def some_vectors(n):
    return Dataset(
        name="toy",
        metric="euclidean",
        kind="vectors",
        objects=ArraySource(np.arange(2 * n, dtype=np.float32).reshape(n, 2)),
        provenance="made here",
        synthetic=True,
    )


def test_importing_data_sets_stays_light():
    code = "import sys, metricsearch.datasets; sys.exit(bool({'h5py', 'pandas', 'pooch'} & sys.modules.keys()))"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_all_local_sets_are_tested():
    assert set(COUNTS) == {name for name in dataset_names() if describe(name)["access"] == "local"}


@pytest.mark.parametrize("name", COUNTS)
def test_real_set_has_the_documented_count_and_checksum(data_dir, name):
    dataset = load_dataset(name)
    assert len(dataset.objects) == COUNTS[name]
    assert sum(len(chunk) for chunk in dataset.objects.chunks(7000)) == COUNTS[name]
    assert not dataset.synthetic
    assert "Licence" in dataset.provenance
    if dataset.labels is not None:
        assert len(dataset.labels) == COUNTS[name]
    assert verify(name) == []


@pytest.mark.parametrize("name", COUNTS)
def test_objects_of_real_sets_are_accepted_by_their_metric(data_dir, name):
    dataset = load_dataset(name, n=50, n_queries=2)
    if isinstance(dataset.metric, str):
        metric = get_metric(dataset.metric)
        assert metric.kind.name == dataset.kind
        objects = metric.check(dataset.objects.load())
        distances = metric.distances(metric.check(dataset.queries)[:1], objects)
        assert distances.shape == (50,)
        assert np.isfinite(distances).all()


def test_real_words_keep_their_letters(data_dir):
    words = load_dataset("spanish-words").objects.load()
    assert "ñ" in "".join(STRINGS.to_user(words, i) for i in range(2000))


def test_signatures_have_twenty_clusters_whose_weights_sum_to_one(data_dir):
    batch = load_dataset("sqfd-signatures").objects.load()
    assert isinstance(batch, Ragged)
    assert batch.values.shape == (20000, 8)
    assert (np.diff(batch.offsets) == 20).all()
    assert np.allclose(batch.values[:, -1].reshape(1000, 20).sum(axis=1), 1, atol=2e-3)


def test_topics_have_their_own_queries(data_dir):
    dataset = load_dataset("rcv8-topics", n=100, n_queries=7)
    assert dataset.queries.shape == (7, 8)
    assert np.allclose(dataset.objects.load().sum(axis=1), 1, atol=1e-5)
    with pytest.raises(InvalidInputError, match="has 1,000 queries"):
        load_dataset("rcv8-topics", n_queries=1001)


def test_digits_and_labels_belong_together_in_any_part(data_dir):
    whole = load_dataset("mnist-t10k")
    part = load_dataset("mnist-t10k", n=300, n_queries=20, seed=3)
    assert whole.labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert np.array_equal(part.queries, whole.objects.take(part.query_rows))
    assert np.array_equal(part.query_labels, whole.labels[part.query_rows])
    images = {image.tobytes(): label for image, label in zip(whole.objects.load(), whole.labels, strict=True)}
    assert [images[image.tobytes()] for image in part.objects.load()] == part.labels.tolist()


def test_queries_do_not_depend_on_the_part_and_are_not_in_it(data_dir):
    small = load_dataset("dna32", n=100, n_queries=10, seed=5)
    large = load_dataset("dna32", n=9990, n_queries=10, seed=5)
    assert np.array_equal(small.query_rows, large.query_rows)
    strings = large.objects.load()
    indexed = {STRINGS.to_user(strings, i) for i in range(len(strings))}
    assert len(indexed) == 9990
    assert not any(STRINGS.to_user(small.queries, i) in indexed for i in range(10))


def test_labels_of_descriptors_are_folders(data_dir):
    dataset = load_dataset("googlenet-grid4096", n=5)
    assert dataset.labels.shape == (5,)
    assert all("/" in label or label.isalnum() for label in dataset.labels.tolist())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, "n: expected a whole number >= 1"),
        ({"n": 10001}, "n: dna32 has 10,000 objects"),
        ({"n": 9996, "n_queries": 5}, "n: dna32 has 9,995 objects"),
        ({"n_queries": 10000}, r"n_queries: expected a whole number in 1\.\.9999"),
        ({"seed": -1}, "seed"),
        ({"dimension": 5}, "unknown parameters dimension"),
    ],
)
def test_impossible_parts_are_refused(data_dir, arguments, message):
    with pytest.raises(InvalidInputError, match=message):
        load_dataset("dna32", **arguments)


def test_unknown_set_is_refused():
    with pytest.raises(UnknownNameError, match="did you mean mnist-t10k"):
        load_dataset("mnist")


def test_profiset_gives_its_first_records_with_their_ids(tmp_path, monkeypatch):
    (tmp_path / "profiset").mkdir()
    vectors = np.random.default_rng(0).random((5, 4096)).astype(np.float32)
    write_profiset(tmp_path / "profiset" / "decaf7.txt.gz", [50, 40, 30, 20, 10], vectors, packed=True)
    monkeypatch.setenv("METRICSEARCH_DATA", str(tmp_path))
    dataset = load_dataset("profiset-decaf7", n=3, n_queries=1)
    kept = np.setdiff1d(np.arange(4), dataset.query_rows)
    assert dataset.ids.tolist() == np.array([50, 40, 30, 20])[kept].tolist()
    assert np.array_equal(dataset.objects.load(), vectors[kept])
    with pytest.raises(InvalidInputError, match="has 5 records, 6 were asked for"):
        load_dataset("profiset-decaf7", n=6)
    with pytest.raises(InvalidInputError, match="give n"):
        load_dataset("profiset-decaf7")


@given(n=st.integers(2, 40), data=st.data(), seed=st.integers(0, 99))
def test_split_is_a_partition(n, data, seed):
    n_queries = data.draw(st.integers(1, n - 1))
    dataset = some_vectors(n)
    rest, queries, rows = split_queries(dataset, n_queries, seed)
    assert len(queries) == n_queries == len(rows)
    assert np.array_equal(queries, dataset.objects.take(rows))
    every = concatenate([rest.load(), queries])
    assert sorted(map(tuple, every.tolist())) == sorted(map(tuple, dataset.objects.load().tolist()))


def test_split_depends_on_the_seed_only():
    rows = [split_queries(some_vectors(1000), 10, seed)[2].tolist() for seed in (1, 1, 2)]
    assert rows[0] == rows[1] != rows[2]


@pytest.mark.parametrize(("n", "n_queries"), [(1, 1), (5, 0), (5, 5)])
def test_impossible_split_is_refused(n, n_queries):
    with pytest.raises(InvalidInputError):
        split_queries(some_vectors(n), n_queries)


WORDS = STRINGS.check(["", "a", "bb", "a", "dddd", "éé"], "words")


@given(rows=st.lists(st.integers(0, 5)), chunk_size=st.integers(1, 8))
def test_strings_are_taken_and_chunked_like_a_list(rows, chunk_size):
    source = ArraySource(WORDS)
    ref = ["", "a", "bb", "a", "dddd", "éé"]
    taken = source.take(rows)
    assert [STRINGS.to_user(taken, i) for i in range(len(taken))] == [ref[row] for row in rows]
    chunks = list(source.chunks(chunk_size))
    assert [len(chunk) for chunk in chunks] == [len(ref[i : i + chunk_size]) for i in range(0, 6, chunk_size)]


@given(kept=st.sets(st.integers(0, 19)), data=st.data())
def test_rows_of_a_source_behave_like_the_rows_of_an_array(kept, data):
    array = np.random.default_rng(0).random((20, 3)).astype(np.float32)
    rows = np.array(sorted(kept), dtype=np.int64)
    source = RowsSource(ArraySource(array), rows)
    assert len(source) == rows.size
    assert np.array_equal(source.load(), array[rows])
    wanted = data.draw(st.lists(st.integers(0, max(0, rows.size - 1)), max_size=5 if rows.size else 0))
    assert np.array_equal(source.take(wanted), array[rows][np.array(wanted, dtype=np.int64)])


@pytest.mark.parametrize("rows", [[-1], [6], [0.5], [[1]]])
def test_rows_that_do_not_exist_are_refused(rows):
    with pytest.raises(InvalidInputError, match="rows"):
        ArraySource(WORDS).take(rows)


def test_chunk_size_is_checked_at_once():
    with pytest.raises(InvalidInputError, match="chunk_size"):
        ArraySource(WORDS).chunks(0)
