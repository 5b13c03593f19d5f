"""Sketches: what they promise of batches, seeds, saved arrays, damage, errors and samples with little in them."""

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from metricsearch.errors import CorruptedError, InvalidInputError
from metricsearch.sketches import SKETCHES, VECTOR_SKETCHES, fit_sketch, restored_sketch
from metricsearch.sketches.fitting import _sampled
from metricsearch.spaces import concatenate, get_metric

DISTANCE_SKETCHES = tuple(kind for kind in SKETCHES if kind not in VECTOR_SKETCHES)
N_PIVOTS, WIDTH = 12, 6
BYTES = {"rabitq": 10}  # others: 6


def lattice_distance(a, b):
    """A user's own metric."""
    return float(np.abs(a.astype(np.float64) - b).max())


def vectors(rng, n):
    return (rng.normal(size=(n, WIDTH)) * (2.0 ** -np.arange(WIDTH))).astype(np.float32)


def grid(rng, n):
    rows = rng.integers(-2, 3, (n, WIDTH)).astype(np.float32)
    rows[~rows.any(axis=1), 0] = 1.0
    return rows


def strings(rng, n):
    return ["".join(rng.choice(list("abc"), rng.integers(0, 6))) for _ in range(n)]


SPACES = {
    "euclidean": ("euclidean", vectors),
    "euclidean, ties": ("euclidean", grid),
    "angular": ("angular", vectors),
    "angular, ties": ("angular", grid),
    "manhattan, ties": ("manhattan", grid),
    "levenshtein": ("levenshtein", strings),
    "user function": (lattice_distance, grid),
}
CASES = [(kind, name) for name in SPACES for kind in DISTANCE_SKETCHES] + [
    (kind, name) for name in ("euclidean", "euclidean, ties") for kind in VECTOR_SKETCHES
]


def n_bytes_of(kind):
    return BYTES.get(kind, 6)


def fit(kind, metric, pivots, sample, n_bytes=None, seed=0):
    return fit_sketch(kind, n_bytes or n_bytes_of(kind), metric, pivots, sample, np.random.default_rng(seed))


@functools.cache
def fitted(kind, name, seed=0):
    """(metric, sketch, pivots, objects): the objects hold the sample, the pivots, duplicates and others."""
    metric, make = get_metric(SPACES[name][0]), SPACES[name][1]
    rng = np.random.default_rng(seed)
    pool = metric.check(make(rng, 90))
    pivots, sample = pool[np.arange(N_PIVOTS)], pool[np.arange(80)]
    return metric, fit(kind, metric, pivots, sample, seed=seed), pivots, pool[np.append(np.arange(90), [0, 20, 20])]


def estimates(sketch, metric, pivots, objects, queries):
    """(n_queries, n) estimates; codes are computed here."""
    codes = sketch.encode(metric, objects, pivots)
    rows = np.arange(len(objects))
    found = []
    for i in range(len(queries)):
        one = queries[i : i + 1]
        found.append(sketch.query(one, metric.distances(one, pivots)).estimates(codes, rows))
    return np.array(found)


def restored(kind, arrays, n_bytes=None, n_pivots=N_PIVOTS, width=WIDTH):
    return restored_sketch(kind, n_bytes or n_bytes_of(kind), arrays, n_pivots, width, "index 3")


# ---------------------------------------------------------------- codes depend on each object alone


@pytest.mark.parametrize(("kind", "name"), CASES)
@settings(max_examples=8)  # for each of over thirty parameters
@given(st.data())
def test_codes_are_the_same_in_any_batch_and_order(kind, name, data):
    metric, sketch, pivots, objects = fitted(kind, name, data.draw(st.integers(0, 1)))
    together = sketch.encode(metric, objects, pivots)
    rows = np.array(data.draw(st.lists(st.integers(0, len(objects) - 1), max_size=20)), dtype=np.int64)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=4)))
    for part in np.split(rows, cuts):
        assert_array_equal(sketch.encode(metric, objects[part], pivots), together[part])


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_codes_of_single_objects_are_those_of_the_batch(kind, name):
    metric, sketch, pivots, objects = fitted(kind, name)
    together = sketch.encode(metric, objects, pivots)
    for i in range(len(objects)):
        assert_array_equal(sketch.encode(metric, objects[i : i + 1], pivots), together[i : i + 1])


@pytest.mark.parametrize("name", ["euclidean", "euclidean, ties", "angular", "angular, ties"])
@pytest.mark.parametrize("kind", ["landmark", "simplex", "whitened"])
def test_a_coordinate_exactly_on_a_border_is_encoded_alike_in_any_batch(kind, name):
    """Borders are moved to the exact coordinates of one object; matrix products give others by rounding."""
    metric, sketch, pivots, objects = fitted(kind, name)
    n_on_borders = 0
    for i in range(0, len(objects), 3):
        exact = sketch.coordinates.locate_exactly(metric.exact_pairwise(objects[i : i + 1], pivots)).coordinates[0]
        arrays = sketch.arrays()
        n = len(arrays["columns"])
        step = 2.0 ** np.ceil(np.log2(np.abs(exact).max()))
        centres = np.column_stack([exact - step, exact + step])
        n_on_borders += int(((centres.sum(axis=1) / 2) == exact).sum())
        places = np.arange(n)
        arrays |= {"bits": np.ones(n, np.int64), "byte-of": places // 8, "shift-of": places % 8}
        moved = restored(kind, arrays | {"centres": centres.ravel()})
        together = moved.encode(metric, objects, pivots)
        for rows in ([i], [i, 0], list(range(i, len(objects))), [i] * 3):
            assert_array_equal(moved.encode(metric, objects[np.array(rows)], pivots), together[rows])
    assert n_on_borders > 20


@pytest.mark.parametrize("name", ["euclidean", "euclidean, ties", "angular", "angular, ties"])
def test_an_object_exactly_as_near_to_two_centres_gets_the_first_in_any_batch(name):
    """Centres 3 and 200 are moved to zero and to twice the exact coordinates of an object, the others away."""
    metric, sketch, pivots, objects = fitted("product", name)
    arrays = sketch.arrays()
    n_groups = len(arrays["starts"]) - 1
    for i in range(0, len(objects), 3):
        exact = sketch.coordinates.locate_exactly(metric.exact_pairwise(objects[i : i + 1], pivots)).coordinates[0]
        assert exact.all()
        centres = exact[:, None] * np.arange(5.0, 261.0)
        centres[:, 3], centres[:, 200] = 0.0, 2 * exact
        moved = restored("product", arrays | {"centres": centres})
        together = moved.encode(metric, objects, pivots)
        assert together[i, :n_groups].tolist() == [3] * n_groups
        for rows in ([i], [i, 0], list(range(i, len(objects))), [i] * 3):
            assert_array_equal(moved.encode(metric, objects[np.array(rows)], pivots), together[rows])


@pytest.mark.parametrize("name", ["euclidean", "euclidean, ties", "angular"])
@pytest.mark.parametrize("kind", ["product", "landmark", "simplex", "principal"])
def test_an_altitude_exactly_on_a_border_is_encoded_alike_in_any_batch(kind, name):
    if kind == "principal" and name == "angular":
        return
    metric, sketch, pivots, objects = fitted(kind, name)
    for i in range(0, len(objects), 5):
        inputs = objects.astype(np.float64) if kind == "principal" else metric.exact_pairwise(objects, pivots)
        altitude = float(sketch.coordinates.locate_exactly(inputs[i : i + 1]).altitudes[0])
        arrays = sketch.arrays()
        n_coded = n_bytes_of(kind) - ("altitude" in arrays)
        step = 2.0**-6
        moved = restored(kind, arrays | {"altitude": np.array([altitude - 100 * step, step, 1.0])}, n_bytes=n_coded + 1)
        together = moved.encode(metric, objects, pivots)
        assert together[i, -1] in (99, 100)  # 100 but for the rounding of the low end
        for rows in ([i], [i, 0], list(range(i, len(objects))), [i] * 3):
            assert_array_equal(moved.encode(metric, objects[np.array(rows)], pivots), together[rows])


@pytest.mark.parametrize("name", ["euclidean", "chebyshev", "levenshtein"])
def test_objects_equally_far_from_two_pivots_are_on_the_first_ones_side(name):
    metric = get_metric(name)
    if name == "levenshtein":
        pivots, sample = metric.check(["aab", "aac", "aab"]), metric.check(["aad", "aae", "x", "aa", "aaf"] * 3)
    else:
        at = [[0.1, 0.3, 0.7], [0.3, 0.1, 0.7], [0.1, 0.3, 0.7]]
        pivots = metric.check(at)
        sample = metric.check([[x, x, z] for x in (0.1, 0.7, 1.3) for z in (0.2, 0.9)] * 3)
    sketch = fit("hyperplane", metric, pivots, sample, n_bytes=2)
    codes = sketch.encode(metric, sample, pivots)
    n = sketch.arrays()["projection"].shape[1]
    assert_array_equal(codes, np.tile(np.packbits(np.arange(16) < n, bitorder="little"), (len(sample), 1)))


# ---------------------------------------------------------------- sizes, seeds, saved arrays


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_codes_have_n_bytes_columns_and_no_object_has_no_row(kind, name):
    metric, sketch, pivots, objects = fitted(kind, name)
    for n in (0, 1, 2):
        codes = sketch.encode(metric, objects[np.arange(n)], pivots)
        assert codes.shape == (n, n_bytes_of(kind))
        assert codes.dtype == np.uint8
        found = estimates(sketch, metric, pivots, objects[np.arange(n)], objects[np.arange(2)])
        assert found.shape == (2, n)
        assert found.dtype == np.float32
        assert np.isfinite(found).all()


@pytest.mark.parametrize("kind", SKETCHES)
@pytest.mark.parametrize("n_bytes", [9, 10, 64, 255])
def test_a_budget_beyond_what_is_useful_still_gives_n_bytes(kind, n_bytes):
    metric, _, pivots, objects = fitted("landmark", "euclidean")
    sketch = fit(kind, metric, pivots, objects, n_bytes)
    assert sketch.n_bytes == n_bytes
    assert sketch.encode(metric, objects, pivots).shape == (len(objects), n_bytes)
    assert np.isfinite(estimates(sketch, metric, pivots, objects, objects[:5])).all()


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_nbytes_counts_all_arrays(kind, name):
    sketch = fitted(kind, name)[1]
    assert sketch.nbytes == sum(array.nbytes for array in sketch.arrays().values()) > 0


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_the_same_seed_gives_the_same_sketch(kind, name):
    metric, sketch, pivots, objects = fitted(kind, name)
    again = fit(kind, metric, pivots, objects[np.arange(80)])
    assert again.kind == sketch.kind == kind
    assert again.arrays().keys() == sketch.arrays().keys()
    for key, array in sketch.arrays().items():
        assert_array_equal(again.arrays()[key], array)
    assert_array_equal(again.encode(metric, objects, pivots), sketch.encode(metric, objects, pivots))


@pytest.mark.parametrize("kind", SKETCHES)
@pytest.mark.parametrize("name", ["euclidean", "euclidean, ties"])
def test_the_sketch_does_not_depend_on_the_number_of_threads(kind, name):
    threadpoolctl = pytest.importorskip("threadpoolctl")
    metric, make = get_metric(SPACES[name][0]), SPACES[name][1]
    pool = metric.check(make(np.random.default_rng(1), 300))
    found = []
    for n_threads in (1, 2):
        with threadpoolctl.threadpool_limits(n_threads):
            found.append(fit(kind, metric, pool[:100], pool[100:], n_bytes=10).arrays())
    for key, array in found[0].items():
        assert_array_equal(found[1][key], array, err_msg=key)


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_a_restored_sketch_gives_the_same_codes_and_estimates(kind, name):
    metric, sketch, pivots, objects = fitted(kind, name)
    width = WIDTH if name != "levenshtein" else None
    arrays = {key: array.copy() for key, array in sketch.arrays().items()}
    for array in arrays.values():
        array.flags.writeable = False  # as from a memory map
    again = restored(kind, arrays, width=width)
    assert (again.kind, again.n_bytes, again.nbytes) == (kind, sketch.n_bytes, sketch.nbytes)
    assert_array_equal(again.encode(metric, objects, pivots), sketch.encode(metric, objects, pivots))
    ref, comp = (estimates(one, metric, pivots, objects, objects[:4]) for one in (sketch, again))
    assert_array_equal(comp, ref)


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_estimates_of_some_rows_are_those_of_all(kind, name):
    metric, sketch, pivots, objects = fitted(kind, name)
    codes = sketch.encode(metric, objects, pivots)
    codes.flags.writeable = False
    one = objects[5:6]
    query = sketch.query(one, metric.distances(one, pivots))
    whole = query.estimates(codes, np.arange(len(objects)))
    rows = np.array([7, 7, 0, 80, 3])
    assert_array_equal(query.estimates(codes, rows), whole[rows])
    assert query.estimates(codes, rows[:0]).shape == (0,)


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_near_objects_get_lower_estimates_than_far_ones(kind, name):
    """Mean rank correlation with the true distances: far above chance for every kind."""
    metric, sketch, pivots, objects = fitted(kind, name)
    found = estimates(sketch, metric, pivots, objects, objects[30:50])
    true = metric.exact_pairwise(objects[30:50], objects)
    ranks = [np.argsort(np.argsort(one, axis=1, kind="stable"), axis=1) for one in (found, true)]
    assert np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(*ranks, strict=True)]) > 0.2


# ---------------------------------------------------------------- damaged arrays


def assert_corrupted(kind, arrays, **others):
    with pytest.raises(CorruptedError) as info:
        restored(kind, arrays, **others)
    assert "index 3" in str(info.value)
    assert "\n" not in str(info.value)


def arrays_of(kind):
    return fitted(kind, "euclidean")[1].arrays()


NAMES = [(kind, name) for kind in SKETCHES for name in arrays_of(kind)]


def test_the_sketches_under_test_have_altitudes():
    assert ("simplex", "altitude") in NAMES
    assert ("hyperplane", "altitude") not in NAMES


@pytest.mark.parametrize(("kind", "name"), NAMES)
def test_a_missing_array_is_reported(kind, name):
    arrays = arrays_of(kind)
    del arrays[name]
    assert_corrupted(kind, arrays)


@pytest.mark.parametrize(("kind", "name"), NAMES)
@pytest.mark.parametrize("dtype", ["f4", "i4", "u8", ">i8", ">f8", "c16", "U8", "O", "?"])
def test_another_dtype_is_reported(kind, name, dtype):
    assert_corrupted(kind, arrays_of(kind) | {name: arrays_of(kind)[name].astype(dtype)})


@pytest.mark.parametrize(("kind", "name"), NAMES)
@pytest.mark.parametrize(
    "reshape",
    [
        lambda a: a[None],
        lambda a: a[..., None],
        lambda a: a.reshape(-1)[0],
        lambda a: a[:-1],
        lambda a: a[:0],
        lambda a: np.concatenate([a, a[:1]]),
    ],
    ids=["axis before", "axis behind", "scalar", "a row less", "no row", "a row more"],
)
def test_another_shape_is_reported(kind, name, reshape):
    assert_corrupted(kind, arrays_of(kind) | {name: np.asarray(reshape(arrays_of(kind)[name]))})


@pytest.mark.parametrize("kind", [kind for kind in SKETCHES if kind != "rabitq"])  # that may have any number
def test_a_projection_to_more_or_fewer_coordinates_is_reported(kind):
    projection = arrays_of(kind)["projection"]
    assert_corrupted(kind, arrays_of(kind) | {"projection": projection[:, :-1]})
    assert_corrupted(kind, arrays_of(kind) | {"projection": np.column_stack([projection, projection[:, 0]])})


def test_more_coordinates_than_bits_are_reported():
    wide = np.zeros((WIDTH, 17))
    assert_corrupted("rabitq", arrays_of("rabitq") | {"projection": wide})


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("kind", "name"), [one for one in NAMES if arrays_of(one[0])[one[1]].dtype == np.float64])
def test_a_value_that_is_not_finite_is_reported(kind, name, value):
    array = arrays_of(kind)[name].copy()
    array.ravel()[-1] = value
    assert_corrupted(kind, arrays_of(kind) | {name: array})


OUT_OF_RANGE = [-1, -(2**63), 2**63 - 1, 2**62, 2**32, 256]


@pytest.mark.parametrize("value", OUT_OF_RANGE)
@pytest.mark.parametrize("name", ["columns", "bits", "byte-of", "shift-of"])
@pytest.mark.parametrize("kind", ["landmark", "simplex", "whitened", "hyperplane", "principal"])
def test_a_whole_number_out_of_range_is_reported(kind, name, value):
    for place in (0, -1):
        array = arrays_of(kind)[name].copy()
        array[place] = value
        assert_corrupted(kind, arrays_of(kind) | {name: array})


@pytest.mark.parametrize("kind", ["landmark", "simplex", "whitened", "hyperplane", "principal"])
def test_a_whole_number_just_out_of_range_is_reported(kind):
    arrays = arrays_of(kind)
    n_coded = 6 - ("altitude" in arrays)
    for name, value in (
        ("columns", arrays["projection"].shape[1]),
        ("byte-of", n_coded),
        ("shift-of", 8),
        ("bits", 0),
        ("bits", 9),
    ):
        array = arrays[name].copy()
        array[0] = value
        damaged = arrays | {name: array}
        assert_corrupted(kind, damaged)
        if name == "bits":  # also where the number of centres fits
            assert_corrupted(kind, damaged | {"centres": np.zeros(int((1 << array).sum()))})


@pytest.mark.parametrize("kind", ["landmark", "simplex", "whitened", "hyperplane", "principal"])
def test_coordinates_that_share_bits_are_reported(kind):
    arrays = arrays_of(kind)
    first = {name: arrays[name].copy() for name in ("byte-of", "shift-of")}
    for array in first.values():
        array[1] = array[0]
    wide = arrays["bits"].copy()
    wide[1] = wide[0]
    centres = np.zeros(int((1 << wide).sum()))
    assert_corrupted(kind, arrays | first | {"bits": wide, "centres": centres})


@pytest.mark.parametrize("place", [0, 2, -1])
@pytest.mark.parametrize("value", OUT_OF_RANGE)
def test_bytes_that_start_out_of_range_are_reported(value, place):
    array = arrays_of("product")["starts"].copy()
    array[place] = value
    assert_corrupted("product", arrays_of("product") | {"starts": array})


def test_more_groups_of_coordinates_than_bytes_are_reported():
    n_groups = len(arrays_of("product")["starts"]) - 1
    assert restored("product", arrays_of("product"), n_bytes=n_groups).n_bytes == n_groups
    assert_corrupted("product", arrays_of("product"), n_bytes=n_groups - 1)
    altitude = {"altitude": np.array([0.0, 1.0, 1.0])}  # takes a byte
    assert restored("product", arrays_of("product") | altitude, n_bytes=n_groups + 1).n_bytes == n_groups + 1
    assert_corrupted("product", arrays_of("product") | altitude, n_bytes=n_groups)


@pytest.mark.parametrize("power", [0.0, -1.0, 3.0, 1.5, 1e300])
@pytest.mark.parametrize("kind", SKETCHES)
def test_an_impossible_power_is_reported(kind, power):
    numbers = arrays_of(kind)["map"].copy()
    numbers[0] = power
    assert_corrupted(kind, arrays_of(kind) | {"map": numbers})


@pytest.mark.parametrize(("kind", "power"), [("whitened", 1), ("hyperplane", 1), ("principal", 2), ("rabitq", 2)])
def test_a_power_that_the_kind_never_has_is_reported(kind, power):
    numbers = arrays_of(kind)["map"].copy()
    numbers[0] = power
    assert_corrupted(kind, arrays_of(kind) | {"map": numbers})


@pytest.mark.parametrize("kind", SKETCHES)
def test_a_map_of_vectors_under_a_kind_of_distances_or_the_reverse_is_reported(kind):
    """Otherwise the kernel would read as many inputs as it is given, whatever the map has."""
    numbers = arrays_of(kind)["map"].copy()
    numbers[2] = 1 - numbers[2]
    assert_corrupted(kind, arrays_of(kind) | {"map": numbers})
    numbers[2] = 0.5
    assert_corrupted(kind, arrays_of(kind) | {"map": numbers})


@pytest.mark.parametrize(("kind", "n_pivots"), [(kind, n) for kind in SKETCHES for n in (0, 1, N_PIVOTS + 1)])
def test_a_sketch_of_another_number_of_pivots_or_dimensions_is_reported(kind, n_pivots):
    assert_corrupted(kind, arrays_of(kind), n_pivots=n_pivots, width=n_pivots)
    if kind in VECTOR_SKETCHES:
        assert_corrupted(kind, arrays_of(kind), width=None)


@pytest.mark.parametrize("kind", ["", "Landmark", "none", None, 3, ["landmark"]])
def test_an_unknown_kind_is_reported(kind):
    with pytest.raises(CorruptedError, match="index 3"):
        restored_sketch(kind, 6, arrays_of("landmark"), N_PIVOTS, WIDTH, "index 3")


@pytest.mark.parametrize("n_bytes", [0, -1, 1, 256, 10**15, 6.0, "6", None, True])
@pytest.mark.parametrize("kind", SKETCHES)
def test_an_impossible_number_of_bytes_is_reported(kind, n_bytes):
    with pytest.raises(CorruptedError, match="index 3"):
        restored_sketch(kind, n_bytes, arrays_of(kind), N_PIVOTS, WIDTH, "index 3")


@pytest.mark.parametrize("kind", ["landmark", "simplex", "whitened"])
def test_arrays_of_another_kind_are_no_hyperplanes(kind):
    """Their coordinates have several bits each, where a side needs one."""
    assert_corrupted("hyperplane", arrays_of(kind))


def test_arrays_without_codes_are_reported_where_codes_are_needed():
    for kind in ("product", "landmark", "simplex", "principal"):
        assert_corrupted(kind, arrays_of("rabitq"))
    with pytest.raises(CorruptedError):
        restored("rabitq", arrays_of("landmark"))
    assert_corrupted("landmark", {})
    assert_corrupted("product", {})


@pytest.mark.parametrize("kind", ["landmark", "simplex", "whitened", "hyperplane"])
def test_scalar_and_product_codes_are_not_taken_for_each_other(kind):
    assert_corrupted("product", arrays_of(kind))
    assert_corrupted(kind, arrays_of("product"))


@pytest.mark.parametrize("kind", ["product", "simplex"])
def test_altitudes_without_steps_are_reported(kind):
    for step in (0.0, -1.0):
        assert_corrupted(kind, arrays_of(kind) | {"altitude": np.array([0.0, step, 1.0])}, n_bytes=7)


# ---------------------------------------------------------------- errors of arguments


def assert_invalid(match, *arguments):
    with pytest.raises(InvalidInputError, match=match) as info:
        fit_sketch(*arguments, np.random.default_rng(0))
    assert "\n" not in str(info.value)


METRIC = get_metric("euclidean")
OBJECTS = vectors(np.random.default_rng(0), 30)


@pytest.mark.parametrize("kind", ["", "Landmark", "pca", None, 3, ["landmark"]])
def test_an_unknown_kind_names_those_that_are_known(kind):
    assert_invalid("^sketch: expected one of product, .*rabitq; got ", kind, 6, METRIC, OBJECTS[:5], OBJECTS)


@pytest.mark.parametrize("n_bytes", [0, 1, -3, 256, 10**9, 6.0, "6", None, True, np.nan])
@pytest.mark.parametrize("kind", SKETCHES)
def test_a_number_of_bytes_out_of_range_names_the_range(kind, n_bytes):
    least = 9 if kind == "rabitq" else 2
    assert_invalid(rf"^sketch_bytes: .*in {least}\.\.255, got", kind, n_bytes, METRIC, OBJECTS[:5], OBJECTS)


def test_rabitq_needs_a_byte_beyond_its_factors():
    assert_invalid(r"^sketch_bytes: .*in 9\.\.255, got 8", "rabitq", 8, METRIC, OBJECTS[:5], OBJECTS)
    assert fit("rabitq", METRIC, OBJECTS[:5], OBJECTS, 9).n_bytes == 9


@pytest.mark.parametrize("kind", VECTOR_SKETCHES)
@pytest.mark.parametrize("name", ["manhattan", "angular", "chebyshev", "levenshtein", "user"])
def test_sketches_of_vectors_need_the_euclidean_distance(kind, name):
    if name == "user":

        def euclidean(a, b):
            return float(np.linalg.norm(a - b))

        metric = get_metric(euclidean)
    else:
        metric = get_metric(name)
    objects = metric.check(["a", "b", "ab"] * 4) if name == "levenshtein" else OBJECTS
    assert_invalid(f"^sketch: {kind} needs .*euclidean.*{name}", kind, 12, metric, objects[:3], objects)


@pytest.mark.parametrize("kind", SKETCHES)
@pytest.mark.parametrize(("n_pivots", "n_objects"), [(0, 30), (1, 30), (5, 0), (5, 1), (0, 0)])
def test_too_few_objects_or_pivots_are_counted(kind, n_pivots, n_objects):
    assert_invalid(
        f"^sketch: .*2 objects and 2 pivots, got {n_objects} and {n_pivots}",
        kind, 12, METRIC, OBJECTS[:n_pivots], OBJECTS[:n_objects],
    )  # fmt: skip


# ---------------------------------------------------------------- samples with little in them

FLAT = OBJECTS * np.array([1, 1, 0, 0, 0, 0], dtype=np.float32) + np.array([0, 0, 0.1, 0, 0, 0.3], dtype=np.float32)
LINE = np.outer(np.arange(30), np.ones(WIDTH)).astype(np.float32)
SAME = np.tile(np.float32([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]), (30, 1))
FAR = 1000 + 100 * OBJECTS  # where nothing was learnt
DEGENERATE = {
    "all objects equal": (OBJECTS[:5], SAME),
    "all objects equal to one pivot": (np.concatenate([OBJECTS[:4], SAME[:1]]), SAME),
    "all pivots equal": (SAME[:5], OBJECTS),
    "all pivots and objects equal": (SAME[:5], SAME),
    "two objects": (OBJECTS[:5], OBJECTS[10:12]),
    "two equal objects": (OBJECTS[:5], SAME[:2]),
    "two pivots": (OBJECTS[:2], OBJECTS),
    "two equal pivots": (SAME[:2], OBJECTS),
    "two of each": (OBJECTS[:2], OBJECTS[5:7]),
    "the sample is the pivots": (OBJECTS[:6], OBJECTS[:6]),
    "the sample is two pivots": (OBJECTS[:2], OBJECTS[:2]),
    "one object that is no pivot": (OBJECTS[:6], OBJECTS[:7]),
    "constant coordinates": (FLAT[:5], FLAT),
    "pivots beside a flat sample": (OBJECTS[:7], FLAT),
    "a line": (LINE[::5], LINE),
    "many pivots, few objects": (OBJECTS, OBJECTS[:4] + 1),
    "all at zero": (np.zeros((3, WIDTH), np.float32), np.zeros((4, WIDTH), np.float32)),
}


@pytest.mark.parametrize("n_bytes", [10, 255])
@pytest.mark.parametrize("case", DEGENERATE)
@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, "euclidean") for kind in SKETCHES]
    + [(kind, name) for kind in DISTANCE_SKETCHES for name in ("manhattan", "chebyshev")],
)
def test_a_poor_sample_gives_a_sketch_with_finite_estimates(kind, name, case, n_bytes):
    metric, (pivots, sample) = get_metric(name), DEGENERATE[case]
    sketch = fit(kind, metric, pivots, sample, n_bytes)
    for objects in (sample, OBJECTS, FAR, pivots):
        assert sketch.encode(metric, objects, pivots).shape == (len(objects), n_bytes)
        assert np.isfinite(estimates(sketch, metric, pivots, objects, np.concatenate([sample[:2], FAR[:2]]))).all()
    again = restored(kind, sketch.arrays(), n_bytes, len(pivots))
    assert_array_equal(again.encode(metric, OBJECTS, pivots), sketch.encode(metric, OBJECTS, pivots))


@pytest.mark.parametrize("kind", DISTANCE_SKETCHES)
@pytest.mark.parametrize("case", ["equal", "empty", "two", "pivots", "all at distance 1"])
def test_a_poor_sample_of_strings_gives_a_sketch_with_finite_estimates(kind, case):
    metric = get_metric("levenshtein")
    pivots, sample = {
        "equal": (["abc"] * 3, ["abc"] * 5),
        "empty": (["", ""], ["", "", "a"]),
        "two": (["a", "b"], ["ab", "c"]),
        "pivots": (["a", "bb", "ccc"], ["a", "bb", "ccc"]),
        "all at distance 1": (list("abcdefgh"), list("ijklmnopqrst")),
    }[case]
    pivots, sample = metric.check(pivots), metric.check(sample)
    others = metric.check(["", "zzzzzzzzzzzz", "a"])
    sketch = fit(kind, metric, pivots, sample, 3)
    assert np.isfinite(estimates(sketch, metric, pivots, concatenate([sample, others]), others)).all()


@pytest.mark.parametrize("kind", ["product", "landmark"])
def test_a_direction_in_which_the_sample_does_not_vary_does_not_drown_the_others(kind):
    """Its variance is rounding; weighting by its inverse would make any query beside the sample infinitely far."""
    rng = np.random.default_rng(0)
    corners = np.array([[a, b, c] for a in (-4, 4) for b in (-2, 2) for c in (-1, 1)], dtype=np.float32)
    plane = np.column_stack([rng.normal(size=(400, 2)), np.full(400, 0.1)]).astype(np.float32)
    for seed in range(3):
        sketch = fit(kind, METRIC, corners, plane, 4, seed)
        queries = plane[:20] + np.float32([0, 0, 0.5])
        found = estimates(sketch, METRIC, corners, plane, queries)
        assert np.isfinite(found).all()
        true = METRIC.exact_pairwise(queries, plane)
        assert np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(found, true, strict=True)]) > 0.8


@pytest.mark.parametrize("kind", SKETCHES)
@pytest.mark.parametrize("exponent", [-90, 70])
def test_estimates_keep_their_order_whatever_the_unit_of_the_distances(kind, exponent):
    """A power of two changes no digit. float32 vectors hold such values, their squares it does not."""
    scale = np.float32(2.0**exponent)
    pivots, sample = OBJECTS[:6], OBJECTS[6:]
    found = []
    for factor in (np.float32(1), scale):
        sketch = fit(kind, METRIC, pivots * factor, sample * factor)
        found.append(estimates(sketch, METRIC, pivots * factor, sample * factor, sample[:5] * factor))
    assert np.isfinite(found[1]).all()
    assert_array_equal(np.argsort(found[1], axis=1, kind="stable"), np.argsort(found[0], axis=1, kind="stable"))


@pytest.mark.parametrize("name", ["euclidean", "manhattan", "angular"])
@pytest.mark.parametrize("kind", DISTANCE_SKETCHES)
def test_pivots_in_the_sample_are_left_out(kind, name):
    """Their altitude is that of no other object."""
    metric = get_metric(name)
    wide = np.random.default_rng(0).normal(size=(40, 300)).astype(np.float32)  # products that round
    pivots, sample = wide[:8], wide[8:]
    ref, comp = (_sampled(kind, metric, pivots, one) for one in (sample, np.concatenate([pivots, sample])))
    rtol = 1e-12 if kind == "product" else 0  # it learns from matrix products
    assert_allclose(comp.inputs, ref.inputs, rtol=rtol)
    assert_array_equal(comp.truth, ref.truth)


@pytest.mark.parametrize("n_equal", [2, 6])
def test_no_bit_is_spent_on_the_border_of_equal_pivots_while_there_are_others(n_equal):
    metric = get_metric("manhattan")
    pivots = np.concatenate([OBJECTS[:8], np.tile(OBJECTS[:1], (n_equal - 1, 1))])
    sketch = fit("hyperplane", metric, pivots, OBJECTS[8:], 2)
    assert np.abs(sketch.arrays()["projection"]).max(axis=0).all()
