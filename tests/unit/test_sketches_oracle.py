"""Sketches against slow versions written from the formulas: codes bit for bit, estimates within float32 rounding.

Distances to the pivots come from the library's own metric, one object at a time; what is under test is everything
after them. The bound on estimates: every table entry sums up to 8 rounded terms, the tables of all bytes are added, and
the constants: n_bytes + 12 roundings, each of at most 2^-24 of the sum of the absolute terms; twice that is allowed.
"""

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from oracle import sketches as oracle
from test_ppp_metrics import METRICS, metric_of

from metricsearch.sketches import VECTOR_SKETCHES, fit_sketch
from metricsearch.sketches.coding import ScalarCode, allocate_bits, lloyd_max
from metricsearch.sketches.coordinates import Coordinates
from metricsearch.spaces import get_metric

DISTANCE_SKETCHES = ("product", "landmark", "simplex", "whitened", "hyperplane")
N_PIVOTS, N_SAMPLE, N_POOL = 7, 60, 50


def random_vectors(rng, n):
    return (rng.normal(size=(n, 8)) * (4.0 ** -np.arange(8))).astype(np.float32)


def positive_vectors(rng, n):
    return (rng.random((n, 5)) + 0.01).astype(np.float32)


def random_histograms(rng, n):
    vectors = rng.random((n, 6)).astype(np.float32) ** 3
    return vectors / vectors.sum(axis=1, keepdims=True)


def flat_vectors(rng, n):
    """Two dimensions vary, two are constant, one of them zero."""
    return np.column_stack([rng.integers(0, 4, (n, 2)), np.full(n, 0.1), np.zeros(n)]).astype(np.float32)


SPACES = {
    **METRICS,
    "euclidean, random": ("euclidean", random_vectors),
    "euclidean, flat": ("euclidean", flat_vectors),
    "angular, random": ("angular", positive_vectors),
    "manhattan, random": ("manhattan", random_vectors),
    "jensen_shannon, random": ("jensen_shannon", random_histograms),
}
CASES = [(kind, name) for name in SPACES for kind in DISTANCE_SKETCHES] + [
    (kind, name) for name in SPACES if name.startswith("euclidean") for kind in VECTOR_SKETCHES
]


def space(name):
    return metric_of(name) if name in METRICS else get_metric(SPACES[name][0])


@functools.cache
def fitted(kind, name, n_bytes, seed):
    """(metric, sketch, pivots, pool). The pool holds objects of the sample, duplicates, others, and pivots."""
    rng = np.random.default_rng(seed)
    metric, make = space(name), SPACES[name][1]
    objects = metric.check(make(rng, N_SAMPLE + 20))
    sample = objects[np.arange(N_SAMPLE)]
    drawn = rng.choice(N_SAMPLE, N_PIVOTS, replace=False)
    drawn[-1] = drawn[0]  # two equal pivots
    pivots = objects[drawn]
    pool = objects[np.concatenate([drawn, rng.integers(0, N_SAMPLE + 20, N_POOL - len(drawn))])]
    return metric, fit_sketch(kind, n_bytes, metric, pivots, sample, rng), pivots, pool


def distances_of(metric, objects, pivots):
    """(n, P) float64, one object at a time."""
    return np.array([metric.distances(objects[i : i + 1], pivots) for i in range(len(objects))])


def cell_centres(arrays):
    """The centres as a list per coordinate."""
    ends = np.cumsum(1 << arrays["bits"])
    return [one.tolist() for one in np.split(arrays["centres"], ends[:-1])] if len(ends) else []


def located(sketch, inputs):
    """(coordinates that are coded, altitude or None, how far the altitude may be off) of one object."""
    arrays = sketch.arrays()
    power, centre, of_vectors = arrays["map"]
    powers = [oracle.raised(one, power) for one in inputs]
    z = oracle.projected(powers, arrays["offset"], arrays["projection"]) if arrays["projection"].size else []
    coded = [z[c] for c in arrays.get("columns", range(len(z)))]  # a product code has all
    if "altitude" not in arrays:
        return coded, None, 0.0
    if of_vectors:
        whole = oracle.total((x - c) ** 2 for x, c in zip(powers, arrays["offset"], strict=True))
    else:
        whole = oracle.total(powers) / len(powers) - centre
    squares = oracle.total(one**2 for one in z)
    return coded, whole - squares, 1e-14 * len(powers) * (sum(powers) + centre + squares)


def coded(sketch, inputs):
    """(code, whether the altitude is so near to a border of its levels that its sum may round either way)."""
    arrays = sketch.arrays()
    z, altitude, slack = located(sketch, inputs)
    n_coded = sketch.n_bytes - (altitude is not None)
    if sketch.kind == "product":
        code = oracle.product_code(z, arrays["starts"].tolist(), arrays["centres"], arrays["weights"], n_coded)
    else:
        cells = [oracle.cell(one, centres) for one, centres in zip(z, cell_centres(arrays), strict=True)]
        layout = arrays["bits"].tolist(), arrays["byte-of"].tolist(), arrays["shift-of"].tolist()
        code = oracle.packed(cells, *layout, n_coded)
    if altitude is None:
        return code, False
    low, step, _ = arrays["altitude"]
    last = [oracle.level(altitude + shift, low, step) for shift in (-slack, 0.0, slack)]
    return [*code, last[1]], len(set(last)) > 1


def inputs_of(sketch, metric, objects, pivots):
    return objects if sketch.kind in VECTOR_SKETCHES else distances_of(metric, objects, pivots)


def estimate_terms(sketch, metric, pool, pivots, query, row, code):
    """Terms whose sum is the estimate of the pool's object `row` for the pool's object `query`."""
    arrays = sketch.arrays()
    inputs = inputs_of(sketch, metric, pool, pivots)
    if sketch.kind == "hyperplane":
        columns = arrays["projection"].T
        borders = [(int(np.argmax(one)), int(np.argmin(one))) if one.any() else (0, 0) for one in columns]
        pairs = distances_of(metric, pivots, pivots)
        terms = oracle.hyperplane_terms(inputs[query], inputs[row], borders, pairs)
        return [float(weight) * term for weight, term in zip(arrays["weights"], terms, strict=True)]
    z, altitude, _ = located(sketch, inputs[query])
    if sketch.kind == "product":
        cells, centres = oracle.product_cells(code, arrays["starts"].tolist()), arrays["centres"].tolist()
    else:
        layout = arrays["bits"].tolist(), arrays["byte-of"].tolist(), arrays["shift-of"].tolist()
        cells, centres = oracle.unpacked(code, *layout), cell_centres(arrays)
    terms = oracle.scalar_terms(z, cells, centres, arrays["weights"])
    if altitude is not None:
        low, step, weight = (float(one) for one in arrays["altitude"])
        terms += oracle.altitude_terms(altitude, int(code[-1]), low, step, weight)
    return terms


rows_of_pool = st.lists(st.integers(0, N_POOL - 1), max_size=8)
n_bytes_of = st.sampled_from([2, 3, 5, 12, 40])
seeds = st.integers(0, 2)

# ---------------------------------------------------------------- codes and estimates


@pytest.mark.parametrize(("kind", "name"), [case for case in CASES if case[0] != "rabitq"])
@settings(max_examples=8)  # there are over sixty parameters
@given(n_bytes=n_bytes_of, seed=seeds, rows=rows_of_pool)
def test_codes_equal_the_oracle_bit_for_bit(kind, name, n_bytes, seed, rows):
    metric, sketch, pivots, pool = fitted(kind, name, n_bytes, seed)
    batch = pool[np.array(rows, dtype=np.int64)]
    comp = sketch.encode(metric, batch, pivots)
    assert comp.shape == (len(rows), n_bytes)
    assert comp.dtype == np.uint8
    for code, inputs in zip(comp, inputs_of(sketch, metric, batch, pivots), strict=True):
        ref, is_open = coded(sketch, inputs)
        n_compared = n_bytes - is_open
        assert code[:n_compared].tolist() == ref[:n_compared]


@pytest.mark.parametrize(("kind", "name"), [case for case in CASES if case[0] != "rabitq"])
@settings(max_examples=8)
@given(n_bytes=n_bytes_of, seed=seeds, query=st.integers(0, N_POOL - 1), rows=rows_of_pool)
def test_estimates_equal_the_sum_of_terms(kind, name, n_bytes, seed, query, rows):
    metric, sketch, pivots, pool = fitted(kind, name, n_bytes, seed)
    codes = sketch.encode(metric, pool, pivots)
    one = pool[query : query + 1]
    comp = sketch.query(one, metric.distances(one, pivots)).estimates(codes, np.array(rows, dtype=np.int64))
    assert comp.shape == (len(rows),)
    assert comp.dtype == np.float32
    for estimate, row in zip(comp, rows, strict=True):
        terms = estimate_terms(sketch, metric, pool, pivots, query, row, codes[row])
        bound = (n_bytes + 12) * 2.0**-23 * oracle.total(map(abs, terms)) + 1e-40
        assert abs(float(estimate) - oracle.total(terms)) <= bound


@pytest.mark.parametrize("n_bytes", [2, 3, 6])
@pytest.mark.parametrize("name", ["euclidean, random", "manhattan, random", "jensen_shannon, random"])
def test_product_codes_and_estimates_equal_the_oracle_where_objects_share_centres(name, n_bytes):
    """More objects than centres, unlike above, and several coordinates in a byte."""
    rng = np.random.default_rng(4)
    metric, make = space(name), SPACES[name][1]
    sample, pool, pivots = (metric.check(make(rng, n)) for n in (700, 60, 9))
    sketch = fit_sketch("product", n_bytes, metric, pivots, sample, rng)
    assert np.diff(sketch.arrays()["starts"]).max() > 1
    codes = sketch.encode(metric, pool, pivots)
    assert len({tuple(code) for code in codes.tolist()}) > 20
    for code, inputs in zip(codes, distances_of(metric, pool, pivots), strict=True):
        ref, is_open = coded(sketch, inputs)
        assert code[: n_bytes - is_open].tolist() == ref[: n_bytes - is_open]
    comp = sketch.query(pool[:1], metric.distances(pool[:1], pivots)).estimates(codes, np.arange(len(pool)))
    for row in range(0, len(pool), 6):
        terms = estimate_terms(sketch, metric, pool, pivots, 0, row, codes[row])
        assert abs(float(comp[row]) - oracle.total(terms)) <= (n_bytes + 12) * 2.0**-23 * oracle.total(map(abs, terms))


@pytest.mark.parametrize("name", [name for name in SPACES if name.startswith("euclidean")])
@given(n_bytes=st.sampled_from([9, 10, 12, 40]), seed=seeds, query=st.integers(0, N_POOL - 1), rows=rows_of_pool)
def test_rabitq_estimates_equal_their_definition(name, n_bytes, seed, query, rows):
    metric, sketch, pivots, pool = fitted("rabitq", name, n_bytes, seed)
    codes = sketch.encode(metric, pool, pivots)
    assert codes.shape == (N_POOL, n_bytes)
    one = pool[query : query + 1]
    comp = sketch.query(one, metric.distances(one, pivots)).estimates(codes, np.array(rows, dtype=np.int64))
    arrays = sketch.arrays()
    axes = (-arrays["projection"]).T.tolist()
    assert_allclose(np.array(axes) @ np.array(axes).T, np.eye(len(axes)), atol=1e-12)
    for estimate, row in zip(comp, rows, strict=True):
        ref, size = oracle.rabitq_estimate(pool[query], pool[row], arrays["offset"], axes)
        unit = float(arrays["unit"][0])
        assert abs(float(estimate) - ref / unit) <= (n_bytes + 12) * 2.0**-23 * size / unit + 1e-40


@pytest.mark.parametrize("name", ["euclidean", "euclidean, random", "euclidean, flat"])
def test_rabitq_codes_are_the_signs_of_the_rotated_vector(name):
    metric, sketch, pivots, pool = fitted("rabitq", name, 10, 0)
    codes = sketch.encode(metric, pool, pivots)
    arrays = sketch.arrays()
    n = arrays["projection"].shape[1]
    for code, vector in zip(codes, pool, strict=True):
        z = oracle.projected(vector, arrays["offset"], arrays["projection"])
        ref = oracle.packed(
            [int(one > 0) for one in z], [1] * n, [c // 8 for c in range(n)], [c % 8 for c in range(n)], 2
        )
        assert code[:2].tolist() == ref


def test_rabitq_estimate_is_exact_for_the_object_at_the_centre():
    metric = get_metric("euclidean")
    corners = np.array([[1, 0, 0], [-1, 0, 0], [0, 2, 0], [0, -2, 0], [0, 0, 4], [0, 0, -4]], dtype=np.float32)
    sketch = fit_sketch("rabitq", 10, metric, corners, corners + 0, np.random.default_rng(0))
    objects = np.zeros((1, 3), dtype=np.float32)
    codes = sketch.encode(metric, objects, corners)
    query = np.array([[1.0, 2.0, 2.0]], dtype=np.float32)
    comp = sketch.query(query, metric.distances(query, corners)).estimates(codes, np.zeros(1, dtype=np.int64))
    assert_allclose(comp * sketch.arrays()["unit"], [9.0], rtol=1e-6)


# ---------------------------------------------------------------- coordinates

EMBEDDED = {  # δ^power is a squared Euclidean distance
    "euclidean": ("euclidean", random_vectors, 2),
    "sqfd": ("sqfd", METRICS["sqfd"][1], 2),
    "jensen_shannon, squared": ("jensen_shannon", random_histograms, 2),
    "jensen_shannon": ("jensen_shannon", random_histograms, 1),
    "manhattan": ("manhattan", positive_vectors, 1),
    "angular": ("angular", positive_vectors, 1),
}


def embedded(name, seed, n_pivots=4, n_objects=6):
    """(power, pairs of pivots, distances of objects to pivots, distances between objects)."""
    metric_name, make, power = EMBEDDED[name]
    metric, rng = get_metric(metric_name), np.random.default_rng(seed)
    pivots, objects = metric.check(make(rng, n_pivots)), metric.check(make(rng, n_objects))
    return (
        power,
        distances_of(metric, pivots, pivots),
        distances_of(metric, objects, pivots),
        distances_of(metric, objects, objects),
    )


def in_general_position(pairs, power):
    axes = oracle.principal_axes(pairs, power, len(pairs), least=0.0)
    return len(axes) >= len(pairs) - 1 and axes[len(pairs) - 2][0] > 1e-5 * axes[0][0]


@pytest.mark.parametrize("name", EMBEDDED)
@settings(max_examples=20)
@given(seed=st.integers(0, 2**20), n_pivots=st.integers(2, 5))
def test_all_coordinates_and_altitude_are_the_n_simplex_projection(name, seed, n_pivots):
    power, pairs, distances, between = embedded(name, seed, n_pivots)
    if not in_general_position(pairs, power):
        return
    located = Coordinates.scaled(pairs, power, n_pivots).locate_exactly(distances)
    assert located.coordinates.shape[1] == n_pivots - 1
    base = oracle.base_simplex(pairs ** (power / 2))
    apexes = [oracle.apex(base, row ** (power / 2)) for row in distances]
    scale = float((distances**power).max())
    for x, point in enumerate(apexes):
        assert abs(located.altitudes[x] - point[-1] ** 2) <= 1e-6 * scale
        for y, other in enumerate(apexes):
            z = located.coordinates[x] - located.coordinates[y]
            ref = oracle.lower_bound(point[:-1], other[:-1]) ** 2
            assert abs(float(z @ z) - ref) <= 1e-6 * scale
            estimate = float(z @ z) + located.altitudes[x] + located.altitudes[y]
            assert abs(estimate - oracle.zen(point, other) ** 2) <= 3e-6 * scale
            if x != y:
                true = between[x, y] ** (power / 2)
                slack = 1e-4 * np.sqrt(scale)
                assert oracle.lower_bound(point, other) <= true + slack
                assert true <= oracle.upper_bound(point, other) + slack
                assert oracle.lower_bound(point, other) <= oracle.zen(point, other) <= oracle.upper_bound(point, other)


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("name", METRICS)
def test_coordinates_are_those_of_classical_scaling_in_any_metric_space(name, power):
    metric, rng = metric_of(name), np.random.default_rng(3)
    pivots, objects = (metric.check(METRICS[name][1](rng, n)) for n in (N_PIVOTS, 9))
    pairs, distances = distances_of(metric, pivots, pivots), distances_of(metric, objects, pivots)
    coordinates = Coordinates.scaled(pairs, power, N_PIVOTS)
    located = coordinates.locate_exactly(distances)
    n_kept = len(oracle.principal_axes(pairs, power, N_PIVOTS))
    assert coordinates.n_coordinates == n_kept
    ref = np.array([oracle.landmark_coordinates(row, pairs, power, N_PIVOTS) for row in distances])
    products, own = ref @ ref.T, located.coordinates @ located.coordinates.T  # whatever the signs of the axes
    assert_allclose(own, products, atol=1e-9 * np.abs(products).max())
    for row, z, comp in zip(distances, ref, located.altitudes, strict=True):
        assert abs(comp - oracle.altitude(row, pairs, power, z)) <= 1e-9 * float((row**power).max() + (z**2).sum())


@pytest.mark.parametrize("name", EMBEDDED)
def test_pivots_are_where_classical_scaling_puts_them(name):
    power, pairs, _, _ = embedded(name, 5, n_pivots=6)
    located = Coordinates.scaled(pairs, power, 3).locate_exactly(pairs)
    ref = np.array(oracle.pivot_coordinates(pairs, power, 3))
    assert_allclose(np.abs(located.coordinates), np.abs(ref), atol=1e-7 * float((pairs**power).max()) ** 0.5)


@pytest.mark.parametrize("name", EMBEDDED)
@pytest.mark.parametrize("n_coordinates", [1, 2])
def test_with_fewer_coordinates_altitude_keeps_the_distance_to_the_centroid(name, n_coordinates):
    power, pairs, distances, _ = embedded(name, 8, n_pivots=5)
    few, all_ = (Coordinates.scaled(pairs, power, n).locate_exactly(distances) for n in (n_coordinates, 5))
    whole = [(one.coordinates**2).sum(axis=1) + one.altitudes for one in (few, all_)]
    assert_allclose(whole[0], whole[1], rtol=1e-9)
    assert (few.altitudes >= all_.altitudes - 1e-12).all()


def test_whitened_coordinates_have_variance_one_and_no_correlation():
    metric, rng = get_metric("manhattan"), np.random.default_rng(0)
    pivots, objects = random_vectors(rng, 6), random_vectors(rng, 80)
    distances = distances_of(metric, objects, pivots)
    located = Coordinates.whitened(distances, 4).locate_exactly(distances)
    assert_allclose(np.cov(located.coordinates, rowvar=False, ddof=0), np.eye(4), atol=1e-6)


@given(seed=st.integers(0, 2**20), power=st.sampled_from([1, 2]), error=st.sampled_from([0.0, 1e-12, 1e-3]))
def test_coordinates_lie_within_their_stated_tolerance(seed, power, error):
    rng = np.random.default_rng(seed)
    pivots, objects = rng.normal(size=(6, 3)), rng.normal(size=(5, 3)) * 10.0 ** rng.integers(-3, 4)
    pairs, distances = (np.sqrt(((one[:, None] - pivots) ** 2).sum(axis=2)) for one in (pivots, objects))
    coordinates = Coordinates.scaled(pairs, power, 6)
    exact = coordinates.locate_exactly(distances)
    wrong = np.maximum(distances + rng.uniform(-error, error, distances.shape), 0)
    comp = coordinates.locate(wrong, np.full(distances.shape, error))
    assert (np.abs(comp.coordinates - exact.coordinates) <= comp.tolerance).all()
    assert (np.abs(comp.altitudes - exact.altitudes) <= comp.altitude_tolerance).all()


# ---------------------------------------------------------------- bits and centres


@given(st.lists(st.sampled_from([0.0, 1e-3, 0.5, 1.0, 1.0, 3.0, 40.0]), max_size=9), st.integers(0, 90))
def test_bits_are_given_as_by_exhaustive_greed(importance, n_bits):
    comp = allocate_bits(np.array(importance, dtype=np.float64), n_bits)
    assert comp.tolist() == oracle.water_filled(importance, n_bits)


@given(st.lists(st.floats(0, 1e6, allow_nan=False), min_size=1, max_size=6), st.integers(0, 60))
def test_bits_never_exceed_the_budget_or_a_byte_each(importance, n_bits):
    comp = allocate_bits(np.array(importance), n_bits)
    assert comp.sum() <= n_bits
    assert comp.max() <= 8
    assert not comp[np.array(importance) == 0].any()


@pytest.mark.parametrize("n_bits", range(1, 9))
def test_distortions_are_those_of_the_best_quantiser_of_a_normal_distribution(n_bits):
    """Against a Lloyd-Max quantiser of the density itself, from the companding start, to 2 per cent."""
    from scipy.stats import norm

    n_cells = 1 << n_bits
    centres = norm.ppf((np.arange(n_cells) + 0.5) / n_cells) * np.sqrt(3)
    for _ in range(1500):
        edges = np.concatenate([[-np.inf], (centres[1:] + centres[:-1]) / 2, [np.inf]])
        masses = np.diff(norm.cdf(edges))
        centres = -np.diff(norm.pdf(edges)) / masses
    assert abs(1 - float((masses * centres**2).sum()) - oracle.DISTORTIONS[n_bits]) <= 0.02 * oracle.DISTORTIONS[n_bits]


samples = st.lists(st.integers(-6, 6).map(float), min_size=1, max_size=30)


@given(samples, st.integers(0, 4))
def test_centres_are_lloyds_from_the_quantiles_on_whole_numbers(values, n_bits):
    n_cells = 1 << n_bits
    ref = oracle.quantiles(values, n_cells)
    for _ in range(12):
        ref = oracle.lloyd_step(values, ref)
    assert_allclose(lloyd_max(np.array(values), n_cells), ref, atol=1e-12)


@given(samples, st.integers(0, 4))
def test_converged_centres_are_the_means_of_the_values_that_are_encoded_as_theirs(values, n_bits):
    comp = lloyd_max(np.array(values), 1 << n_bits).tolist()
    again = oracle.lloyd_step(values, comp)
    if oracle.distortion(values, again) >= oracle.distortion(values, comp) - 1e-12:  # converged
        assert_allclose(comp, again, atol=1e-9)


@given(st.lists(st.floats(-1e3, 1e3, allow_nan=False), min_size=1, max_size=40), st.integers(0, 5))
def test_centres_ascend_and_cost_no_more_than_the_quantiles_or_than_fewer(values, n_bits):
    comp = lloyd_max(np.array(values), 1 << n_bits).tolist()
    assert comp == sorted(comp)
    assert oracle.distortion(values, comp) <= oracle.distortion(values, oracle.quantiles(values, 1 << n_bits)) + 1e-6


@given(st.lists(st.integers(0, 8), min_size=1, max_size=12), st.integers(1, 6), st.integers(0, 2**20))
def test_packed_cells_come_back_and_share_no_bit(bits, n_bytes, seed):
    rng = np.random.default_rng(seed)
    sample = rng.normal(size=(50, len(bits)))
    wanted = np.array(bits, dtype=np.int64)
    code = ScalarCode.fit(sample, wanted, np.ones(len(bits)), n_bytes)
    assert (code.bits <= wanted[code.columns]).all()
    taken = [(b, s + i) for n, b, s in zip(code.bits, code.byte_of, code.shift_of, strict=True) for i in range(n)]
    assert len(taken) == len(set(taken))
    if wanted.sum() <= 8 * n_bytes and (wanted <= 1).all():
        assert_array_equal(code.bits, wanted[wanted > 0])
    codes, _ = code.encode(sample, np.zeros(sample.shape))
    layout = code.bits.tolist(), code.byte_of.tolist(), code.shift_of.tolist()
    for row, one, values in zip(codes, sample, code.decode(codes), strict=True):
        centres = [part.tolist() for part in np.split(code.centres, np.cumsum(1 << code.bits)[:-1])]
        cells = [oracle.cell(one[c], of_cell) for c, of_cell in zip(code.columns, centres, strict=False)]
        assert row.tolist() == oracle.packed(cells, *layout, n_bytes)
        assert oracle.unpacked(row, *layout) == cells
        assert values.tolist() == [of_cell[e] for of_cell, e in zip(centres, cells, strict=False)]


@given(
    values=st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=6),
    centres=st.lists(st.integers(-3, 3).map(float), min_size=4, max_size=4),
    tolerance=st.sampled_from([0.0, 0.25, 0.5, 2.0]),
)
def test_a_value_is_certain_unless_a_midpoint_is_within_the_tolerance(values, centres, tolerance):
    centres = sorted(centres)
    one = np.zeros(1, dtype=np.int64)
    code = ScalarCode(1, one, one + 2, one, one + 3, np.array(centres), np.ones(1))
    codes, certain = code.encode(np.array(values)[:, None], np.full((len(values), 1), tolerance))
    midpoints = [(a + b) / 2 for a, b in zip(centres[:-1], centres[1:], strict=True)]
    for value, own, sure in zip(values, codes, certain, strict=True):
        assert int(own[0]) == oracle.cell(value, centres) << 3
        assert bool(sure) == all(abs(value - midpoint) > tolerance for midpoint in midpoints)
