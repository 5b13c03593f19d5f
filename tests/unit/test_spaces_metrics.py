"""Every metric against its formula, and against the metric postulates."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from oracle import distances as oracle

from metricsearch.spaces import _kernels, get_metric, metric_names
from metricsearch.spaces.batches import kernel_view

D = 5
numbers = st.sampled_from([0.0, 1.0, -1.0, 0.5, 2.0, 1e-3]) | st.floats(-1e3, 1e3, width=32)
vectors = st.lists(numbers, min_size=D, max_size=D)
counts = st.lists(st.integers(0, 4) | st.floats(0, 4, width=32), min_size=D, max_size=D).filter(lambda x: sum(x) > 1e-3)
coordinates = st.sampled_from([0.0, 0.25, 0.5, 1.0]) | st.floats(0, 1, width=32)
weights = st.sampled_from([0.25, 0.5, 1.0]) | st.floats(0.0625, 1, width=32)
WEIGHTED = {
    "name": "weighted",
    "parts": [
        {"metric": "manhattan", "columns": [0, 2], "weight": 2.0},
        {"metric": "euclidean", "columns": [2, 5], "weight": 0.5},
    ],
}

OBJECTS = {
    "euclidean": vectors,
    "manhattan": vectors,
    "chebyshev": vectors,
    "weighted": vectors,
    "angular": vectors.filter(lambda x: any(abs(v) > 1e-3 for v in x)),
    "jensen_shannon": counts.map(lambda x: list(np.array(x) / sum(x))),
    "hamming": st.lists(st.booleans(), min_size=70, max_size=70),
    "jaccard": st.sets(st.integers(0, 6) | st.integers(0, 2**62), max_size=6),
    "levenshtein": st.text("ab", max_size=6) | st.text(max_size=6) | st.text("aé", min_size=60, max_size=70),
    "sqfd": st.lists(st.tuples(coordinates, coordinates, weights), min_size=1, max_size=4).map(list),
    "hausdorff": st.lists(st.tuples(coordinates, coordinates), min_size=1, max_size=4).map(list),
}
# The root of a difference of sums of 1e0: what a float64 cannot tell from 0 is 1e-8 after the root.
NOISE = {"sqfd": 1e-6}


def metric_of(name):
    return get_metric(WEIGHTED if name == "weighted" else name)


def weighted_oracle(x, y):
    return 2 * oracle.manhattan(x[:2], y[:2]) + 0.5 * oracle.euclidean(x[2:], y[2:])


def formula(name):
    return weighted_oracle if name == "weighted" else getattr(oracle, name)


def objects_of(data, name, min_size=1, max_size=6):
    """A list of user objects with repeats, as the kind rounds them."""
    different = data.draw(st.lists(OBJECTS[name], min_size=min_size, max_size=max_size))
    return different + different[:1]


def rounded(metric, objects):
    """The float32 values that both sides compute with; bits, sets and strings as they are."""
    if metric.kind.name in ("bits", "sets", "strings"):
        return objects
    return [np.array(x, dtype=np.float32) for x in objects]


def test_every_metric_is_tested():
    assert sorted(OBJECTS) == metric_names()


@pytest.mark.parametrize("name", OBJECTS)
@given(data=st.data())
def test_distances_follow_the_formula(name, data):
    metric = metric_of(name)
    objects = objects_of(data, name)
    batch = metric.check(objects)
    values = rounded(metric, objects)
    ref = [formula(name)(values[0], x) for x in values]
    comp = metric.distances(batch[:1], batch)
    assert comp.dtype == np.float64
    # The formula of jensen_shannon cancels, the kernel does not.
    noise = {"jensen_shannon": 3e-8, "angular": 1e-9}.get(name, NOISE.get(name, 1e-12))
    assert_allclose(comp, ref, rtol=1e-12, atol=noise)


@pytest.mark.parametrize("name", OBJECTS)
@given(data=st.data())
def test_postulates_hold(name, data):
    metric = metric_of(name)
    batch = metric.check(objects_of(data, name, max_size=5))
    n = len(batch)
    matrix = np.stack([metric.distances(batch[i : i + 1], batch) for i in range(n)])
    assert (matrix >= 0).all()
    assert_array_equal(np.diag(matrix), np.zeros(n))  # exactly
    assert_array_equal(matrix, matrix.T)  # to the bit
    assert matrix[0, -1] == 0  # the repeat of the first object
    slack = NOISE.get(name, 1e-9)
    for i in range(n):
        assert (matrix[i][None, :] <= matrix[i][:, None] + matrix + slack).all()


@pytest.mark.parametrize("name", OBJECTS)
@settings(max_examples=20)
@given(data=st.data())
def test_a_distance_has_the_same_bits_in_any_batch(name, data):
    metric = metric_of(name)
    batch = metric.check(objects_of(data, name, min_size=2))
    whole = metric.distances(batch[:1], batch)
    order = np.array(data.draw(st.permutations(range(len(batch)))))
    single = [metric.distances(batch[:1], batch[i : i + 1])[0] for i in range(len(batch))]
    assert_array_equal(whole, single)
    assert_array_equal(whole[order], metric.distances(batch[:1], batch[order]))


@pytest.mark.parametrize("d", [1, 3, 8, 33, 128, 1000])
@pytest.mark.parametrize("name", ["euclidean", "manhattan", "chebyshev", "angular"])
def test_long_vectors_agree_with_the_formula_and_keep_their_bits(name, d):
    rng = np.random.default_rng(d)
    metric = get_metric(name)
    batch = metric.check(rng.normal(size=(40, d)).astype(np.float32) + 0.01)
    comp = metric.distances(batch[:1], batch)
    assert_allclose(comp, [formula(name)(batch[0], x) for x in batch], rtol=1e-12, atol=1e-12)
    assert comp[0] == 0
    assert_array_equal(comp, [metric.distances(batch[:1], batch[i : i + 1])[0] for i in range(40)])
    assert_array_equal(comp, [metric.distances(batch[i : i + 1], batch[:1])[0] for i in range(40)])


@pytest.mark.parametrize("name", OBJECTS)
@given(data=st.data())
@settings(max_examples=3)
def test_no_objects_give_no_distances(name, data):
    metric = metric_of(name)
    batch = metric.check(objects_of(data, name))
    assert metric.distances(batch[:1], batch[:0]).shape == (0,)
    assert metric.pairwise(batch[:0], batch).shape == (0, len(batch))
    assert metric.pairwise(batch, batch[:0]).shape == (len(batch), 0)


def test_angle_is_accurate_near_zero_and_near_pi():
    metric = get_metric("angular")
    batch = metric.check(np.array([[1, 0], [1, 1e-6], [-1, 1e-6], [-2, 0]]))
    small = np.arctan(float(np.float32(1e-6)))
    assert_allclose(metric.distances(batch[:1], batch), [0, small, np.pi - small, np.pi], rtol=1e-14)


def test_jensen_shannon_is_accurate_for_nearly_equal_rows():
    metric = get_metric("jensen_shannon")
    p, q = np.float32([0.3, 0.7]), np.float32([0.3 + 2**-22, 0.7 - 2**-22])
    batch = metric.check([p, q])
    p, q = (row.astype(np.float64) / row.astype(np.float64).sum() for row in (p, q))
    ref = np.sqrt(((p - q) ** 2 / (4 * (p + q))).sum())  # the series to (p - q)^3
    assert_allclose(metric.distances(batch[:1], batch)[1], ref, rtol=1e-6)


def test_jensen_shannon_of_disjoint_distributions_is_its_maximum():
    metric = get_metric("jensen_shannon")
    batch = metric.check(np.array([[1.0, 0.0], [0.0, 1.0]]))
    assert_allclose(metric.distances(batch[:1], batch), [0, np.sqrt(np.log(2))], rtol=1e-15)


def test_jensen_shannon_divides_rows_by_their_sums():
    metric = get_metric("jensen_shannon")
    batch = metric.check(np.array([[0.5, 0.5], [0.5004, 0.5004]]))
    assert metric.distances(batch[:1], batch)[1] < 1e-7


@pytest.mark.parametrize("n_bits", [1, 8, 64, 65, 96, 128, 512])
def test_hamming_counts_bits_of_any_length(n_bits):
    rng = np.random.default_rng(n_bits)
    bits = rng.random((30, n_bits)) < 0.5
    metric = get_metric("hamming")
    batch = metric.check(bits)
    assert_array_equal(metric.distances(batch[:1], batch), (bits != bits[0]).sum(axis=1))


@pytest.mark.parametrize("length", [0, 1, 63, 64, 65, 130])
def test_levenshtein_of_strings_around_a_machine_word(length):
    rng = np.random.default_rng(length)
    alphabet = np.array(list("abé中\U0001f600\u0141\u4e8d"))  # several share the low byte of their code points
    metric = get_metric("levenshtein")
    query = "".join(rng.choice(alphabet, length))
    words = ["".join(rng.choice(alphabet, n)) for n in (0, 1, 5, 63, 64, 65, 100)] + [query, query[1:], query + "a"]
    comp = metric.distances(metric.check([query]), metric.check(words))
    assert_array_equal(comp, [oracle.levenshtein(query, word) for word in words])


def test_levenshtein_of_symbols_that_share_a_slot():
    words = ["".join(chr(97 + 256 * i) for i in range(64)), "".join(chr(97 + 256 * i) for i in range(63, -1, -1)), "a"]
    metric = get_metric("levenshtein")
    batch = metric.check(words)
    assert_array_equal(metric.distances(batch[:1], batch), [oracle.levenshtein(words[0], word) for word in words])


@pytest.mark.parametrize("alpha", [0.1, 1.0, 5.0])
def test_sqfd_uses_its_alpha(alpha):
    rng = np.random.default_rng(0)
    signatures = [rng.random((m, 4)).astype(np.float32) for m in (1, 3, 3, 7)]
    metric = get_metric({"name": "sqfd", "alpha": alpha})
    batch = metric.check(signatures)
    comp = metric.distances(batch[2:3], batch)
    assert_allclose(comp, [oracle.sqfd(signatures[2], s, alpha) for s in signatures], rtol=1e-12, atol=1e-7)
    assert comp[2] == 0


def test_memory_of_any_origin_needs_no_compilation(tmp_path):
    metric = get_metric("euclidean")
    batch = metric.check(np.arange(12, dtype=np.float32).reshape(4, 3))
    ref = metric.distances(batch[:1], batch)
    n_compiled = len(_kernels.euclidean.signatures)
    raw = batch.tobytes()
    shifted = np.frombuffer(b"x" + raw, dtype=np.float32, offset=1)
    batch.tofile(tmp_path / "x.f32")
    origins = {
        "read-only buffer": np.frombuffer(raw, dtype=np.float32).reshape(4, 3),
        "unaligned": shifted.reshape(4, 3),
        "fortran order": np.asfortranarray(batch),
        "memory map": np.memmap(tmp_path / "x.f32", dtype=np.float32, mode="r", shape=(4, 3)),
        "strided": np.repeat(batch, 2, axis=0)[::2],
    }
    assert not shifted.flags.aligned
    for objects in origins.values():
        assert kernel_view(objects, np.float32).flags.aligned
        assert_array_equal(metric.distances(objects[:1], objects), ref)
    assert len(_kernels.euclidean.signatures) == n_compiled == 1
    assert batch.flags.writeable
