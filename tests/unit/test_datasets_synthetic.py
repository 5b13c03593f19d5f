"""The synthetic generator: same bits however it is read, statistics of the real descriptors; the statistics."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import formats as oracle

from metricsearch.datasets import (
    ArraySource,
    Decaf7Like,
    Decaf7LikeConstants,
    comparison_table,
    descriptor_statistics,
    load_dataset,
    synthetic,
)
from metricsearch.errors import InvalidInputError
from metricsearch.spaces import STRINGS

SMALL = Decaf7LikeConstants(dimension=24, latent_dimension=8, n_groups=2, n_categories=4, n_scenes=10)
N = 700  # three blocks, the last one cut
REF = Decaf7Like(N, seed=3, constants=SMALL).load()


@given(chunk_size=st.integers(1, 900))
def test_bits_do_not_depend_on_the_chunk_size(chunk_size):
    chunks = list(Decaf7Like(N, seed=3, constants=SMALL).chunks(chunk_size))
    assert [len(chunk) for chunk in chunks[:-1]] == [chunk_size] * (len(chunks) - 1)
    assert np.concatenate(chunks).tobytes() == REF.tobytes()


@given(rows=st.lists(st.integers(0, N - 1), max_size=20))
def test_any_rows_can_be_had_without_the_others(rows):
    assert Decaf7Like(N, seed=3, constants=SMALL).take(rows).tobytes() == REF[np.array(rows, dtype=int)].tobytes()


@pytest.mark.parametrize("n", [0, 1, 255, 256, 257])
def test_a_larger_set_begins_with_the_smaller_one(n):
    assert Decaf7Like(n, seed=3, constants=SMALL).load().tobytes() == REF[:n].tobytes()


def test_seed_and_stream_change_the_vectors():
    for other in (Decaf7Like(N, seed=4, constants=SMALL), Decaf7Like(N, seed=3, stream=1, constants=SMALL)):
        assert not (other.load() == REF).all(axis=1).any()


def test_bits_do_not_depend_on_the_number_of_blas_threads():
    code = (
        "import hashlib; from metricsearch.datasets import Decaf7Like; "
        "import sys; sys.stdout.write(hashlib.sha256(Decaf7Like(300).load().tobytes()).hexdigest())"
    )
    digests = set()
    for n_threads in ("1", "2"):
        environment = os.environ | {"OPENBLAS_NUM_THREADS": n_threads, "OMP_NUM_THREADS": n_threads}
        run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True)
        digests.add(run.stdout)
    assert len(digests) == 1


def test_large_product_is_exact():
    source = Decaf7Like(256, seed=2)
    hidden = synthetic._hidden_vectors(source.constants, source._model, 2, (0, 0)).astype(np.float64)
    weights = source._model.weights.astype(np.float64)
    assert (np.abs(hidden) @ np.abs(weights)).max() < 2**24
    ref = np.maximum(hidden @ weights, 0).astype(np.float32) * source._model.scales
    assert np.array_equal(source.load(), ref)


def test_vectors_are_finite_float32_and_not_negative():
    assert REF.dtype == np.float32
    assert np.isfinite(REF).all()
    assert REF.min() == 0 < REF.max()


@pytest.mark.parametrize("arguments", [{"n": -1}, {"n": 5, "seed": -1}, {"n": 5, "stream": 2}, {"n": 1.5}])
def test_impossible_arguments_are_refused(arguments):
    with pytest.raises(InvalidInputError):
        Decaf7Like(**arguments)


def test_shares_must_sum_to_one():
    with pytest.raises(InvalidInputError, match="sum of 1"):
        Decaf7LikeConstants(group_share=0.5)


def test_data_set_has_queries_that_do_not_depend_on_n():
    small, large = (load_dataset("decaf7-like", n=n, n_queries=3, seed=1) for n in (10, 600))
    assert small.synthetic
    assert "SYNTHETIC" in small.provenance
    assert np.array_equal(small.queries, large.queries)
    assert np.array_equal(small.objects.load(), large.objects.read(0, 10))
    assert load_dataset("decaf7-like", n=10, n_queries=0).queries is None
    assert len(load_dataset("decaf7-like").objects) == 100_000


@pytest.mark.parametrize("seed", [0, 1])
def test_statistics_agree_with_the_real_descriptors(data_dir, seed):
    real = descriptor_statistics(load_dataset("googlenet-grid4096").objects, n_queries=600)
    synthetic = descriptor_statistics(Decaf7Like(real.n, seed), n_queries=600)
    assert real.nonzero_share == pytest.approx(0.303, abs=0.001)
    assert synthetic.nonzero_share == pytest.approx(real.nonzero_share, abs=0.01)
    assert synthetic.intrinsic_dimensionality == pytest.approx(real.intrinsic_dimensionality, rel=0.1)
    assert synthetic.nn1_ratio == pytest.approx(real.nn1_ratio, abs=0.03)
    assert synthetic.nn10_ratio == pytest.approx(real.nn10_ratio, abs=0.03)
    assert synthetic.mean_distance == pytest.approx(real.mean_distance, rel=0.05)


@pytest.mark.parametrize("duplicates", [False, True])
def test_statistics_match_the_oracle(duplicates):
    vectors = np.random.default_rng(0).random((40, 5)).astype(np.float32)
    vectors[vectors < 0.4] = 0
    if duplicates:
        vectors[20:] = vectors[:20]
    ref, comp = oracle.statistics(vectors), descriptor_statistics(vectors, n_queries=40)
    for field, value in ref.items():
        assert getattr(comp, field) == pytest.approx(value, rel=1e-6, abs=1e-6), field


def test_statistics_do_not_depend_on_where_the_objects_are():
    vectors = REF[:600]
    assert descriptor_statistics(vectors, 5, 50) == descriptor_statistics(
        Decaf7Like(600, seed=3, constants=SMALL), 5, 50
    )


def test_statistics_work_for_any_metric():
    words = STRINGS.check([letter * length for letter in "abc" for length in range(1, 6)], "words")
    comp = descriptor_statistics(ArraySource(words), metric="levenshtein")
    assert np.isnan(comp.nonzero_share)
    assert comp.nn1_ratio == pytest.approx(1 / comp.mean_distance)


def test_too_few_or_equal_objects_are_refused():
    with pytest.raises(InvalidInputError, match="more than 10"):
        descriptor_statistics(REF[:10])
    with pytest.raises(InvalidInputError, match="all sampled distances are 0"):
        descriptor_statistics(np.ones((20, 3), np.float32))


def test_comparison_table_puts_the_ratio_beside_two_sets():
    table = comparison_table({"half": REF / 2, "whole": REF}, n_queries=100)
    assert list(table.columns) == ["half", "whole", "ratio"]
    assert table.loc["mean distance", "ratio"] == pytest.approx(2)
    assert table.loc["intrinsic dimensionality rho", "ratio"] == pytest.approx(1)
    assert list(comparison_table({"one": REF}, n_queries=10).columns) == ["one"]
