"""Pairwise distances: bits of the exact ones, or within the bound that the metric states."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from metricsearch.errors import InvalidInputError
from metricsearch.spaces import FunctionMetric, get_metric


def exact(metric, left, right):
    return np.stack([metric.distances(left[i : i + 1], right) for i in range(len(left))])


def random_batch(metric, n, seed):
    rng = np.random.default_rng(seed)
    objects = {
        "vectors": lambda: rng.random((n, 6)),
        "bits": lambda: rng.random((n, 20)) < 0.5,
        "strings": lambda: ["".join(rng.choice(list("abc"), rng.integers(0, 9))) for _ in range(n)],
        "sets": lambda: [rng.integers(0, 9, rng.integers(0, 6)) for _ in range(n)],
        "signatures": lambda: [rng.random((rng.integers(1, 6), 3)) + 0.01 for _ in range(n)],
        "point-sets": lambda: [rng.random((rng.integers(1, 6), 3)) for _ in range(n)],
    }[metric.kind.name]()
    if metric.name == "jensen_shannon":
        objects /= objects.sum(axis=1)[:, None]
    return metric.check(objects)


LOOPED = ["manhattan", "chebyshev", "jensen_shannon", "hamming", "jaccard", "levenshtein", "sqfd", "hausdorff"]


@pytest.mark.parametrize("n_left", [1, 3, 9])
@pytest.mark.parametrize("name", LOOPED)
def test_metrics_without_matrix_product_keep_their_bits(name, n_left):
    metric = get_metric(name)
    left, right = random_batch(metric, n_left, 0), random_batch(metric, 4, 1)
    assert not metric.batched
    comp = metric.pairwise(left, right)
    assert_array_equal(comp, exact(metric, left, right))
    assert_array_equal(metric.pairwise_error(left, right, comp[:, :2]), np.zeros((n_left, 2)))


@pytest.mark.parametrize("n_left", [1, 9])
def test_weighted_keeps_its_bits_though_a_part_is_batched(n_left):
    parts = [
        {"metric": "euclidean", "columns": [0, 4], "weight": 1.5},
        {"metric": "chebyshev", "columns": [3, 6], "weight": 0.1},
    ]
    metric = get_metric({"name": "weighted", "parts": parts})
    left, right = random_batch(metric, n_left, 0), random_batch(metric, 4, 1)
    assert not metric.batched
    assert_array_equal(metric.pairwise(left, right), exact(metric, left, right))


def test_a_function_is_called_with_left_first():
    metric = FunctionMetric(lambda a, b: float(a[0] + 10 * b[0]))
    left, right = metric.check(np.array([[1], [2], [3]])), metric.check(np.array([[4]]))
    assert_array_equal(metric.pairwise(left, right), [[41], [42], [43]])


@pytest.mark.parametrize("name", ["euclidean", "angular"])
def test_exact_pairwise_of_batched_metrics_has_the_bits_of_distances(name):
    metric = get_metric(name)
    left, right = random_batch(metric, 9, 0), random_batch(metric, 4, 1)
    assert metric.batched
    assert_array_equal(metric.exact_pairwise(left, right), exact(metric, left, right))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["euclidean", "angular"])
@given(
    seed=st.integers(0, 2**32 - 1),
    d=st.sampled_from([1, 2, 17, 64, 400]),
    spread=st.sampled_from([1.0, 1e-3, 1e-7]),
    scale=st.sampled_from([1e-30, 1e-3, 1.0, 1e6, 1e25]),
)
def test_error_stays_within_its_bound(name, dtype, seed, d, spread, scale):
    """Clusters of any tightness at any scale: the closer the vectors, the more digits the product loses."""
    rng = np.random.default_rng(seed)
    metric = get_metric(name)
    centre = rng.normal(size=d) + 0.01
    x = metric.check(scale * (centre + spread * rng.normal(size=(8, d))))
    x[-1] = x[0]
    x[-2] = -x[0]
    near = metric.pairwise(x, x[2:], dtype)
    error = metric.pairwise_error(x, x[2:], near)
    assert near.dtype == (dtype if scale < 1e25 or name == "angular" else np.float64)
    assert error.shape == near.shape
    assert (near >= 0).all()
    assert (np.abs(near - exact(metric, x, x[2:])) <= error).all()


@pytest.mark.parametrize("name", ["euclidean", "angular"])
def test_bound_is_of_use(name):
    """For ordinary data it is far below the distances."""
    metric = get_metric(name)
    x = metric.check(np.random.default_rng(0).random((20, 256)))
    near = metric.pairwise(x[:10], x[10:])
    assert (metric.pairwise_error(x[:10], x[10:], near) < 1e-3 * near).all()


@pytest.mark.parametrize("name", ["euclidean", "angular"])
def test_bound_of_selected_columns_belongs_to_the_same_values(name):
    metric = get_metric(name)
    x = metric.check(np.random.default_rng(0).random((20, 16)))
    near = metric.pairwise(x[:10], x[10:])
    whole = metric.pairwise_error(x[:10], x[10:], near)
    columns = np.argsort(near, axis=1)[:, :3]
    some = metric.pairwise_error(x[:10], x[10:], np.take_along_axis(near, columns, axis=1))
    assert_allclose(some, np.take_along_axis(whole, columns, axis=1))
    assert metric.pairwise_error(x[:10], x[10:], near[:, :0]).shape == (10, 0)


@pytest.mark.parametrize("name", ["euclidean", "angular"])
def test_pairwise_leaves_its_input_alone(name):
    metric = get_metric(name)
    x = metric.check(np.random.default_rng(0).random((5, 3)))
    before = x.copy()
    metric.pairwise(x, x)
    assert_array_equal(x, before)


@pytest.mark.parametrize("name", ["euclidean", "angular", "manhattan", "hamming", "sqfd", "hausdorff"])
def test_different_widths_are_refused(name):
    metric = get_metric(name)
    left = random_batch(metric, 3, 0)
    wider = {
        "vectors": lambda: np.ones((3, 7)),
        "bits": lambda: np.ones((3, 32), dtype=bool),
        "signatures": lambda: [np.ones((2, 5))],
        "point-sets": lambda: [np.ones((2, 5))],
    }[metric.kind.name]()
    wider = metric.check(wider)
    with pytest.raises(InvalidInputError, match="width"):
        metric.distances(left[:1], wider)
    with pytest.raises(InvalidInputError, match="width|dimension"):
        metric.pairwise(left, wider)


def test_a_query_is_one_object():
    metric = get_metric("euclidean")
    x = metric.check(np.ones((3, 2)))
    for query in (x[:2], x[:0]):
        with pytest.raises(InvalidInputError, match="one object"):
            metric.distances(query, x)


@pytest.mark.parametrize("dtype", [np.float16, np.int32])
def test_other_dtypes_are_refused(dtype):
    x = np.ones((3, 2), dtype=np.float32)
    with pytest.raises(InvalidInputError, match="float32 or float64"):
        get_metric("euclidean").pairwise(x, x, dtype)
