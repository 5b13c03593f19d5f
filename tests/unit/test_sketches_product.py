"""Product codes: which coordinates share a byte, k-means, nearest centres, and when rounding could change them.

Against slow versions, on numbers of few binary digits: there sums are exact, and ties are ties.
"""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from oracle import sketches as oracle

from metricsearch.errors import CorruptedError
from metricsearch.sketches.product import ProductCode, group_coordinates

seeds = st.integers(0, 2**20)
spreads = st.sampled_from([2, 40, 1000])

# ---------------------------------------------------------------- which coordinates share a byte


def grouped(importance, n_bytes):
    """Lists of coordinates, byte after byte."""
    order, starts = group_coordinates(np.array(importance, dtype=np.float64), n_bytes)
    assert order.dtype == starts.dtype == np.int64
    assert starts[0] == 0
    assert starts[-1] == len(order)
    return [order[a:b].tolist() for a, b in pairwise(starts.tolist())]


# Ratios are 1 or primes: sums of their logarithms are equal only if they are the same ones, whose rounding is equal.
ratios = st.lists(st.sampled_from([1, 1, 2, 3, 5, 7, 11, 13, 1009, 1000003]), max_size=24)
few_bytes = st.integers(1, 12)


@settings(max_examples=200)
@given(ratios=ratios, n_bytes=few_bytes, exponent=st.sampled_from([-200, -3, 0, 100]))
def test_coordinates_are_shared_as_by_the_allocation_of_exact_products(ratios, n_bytes, exponent):
    importance = [2.0**exponent * ratio for ratio in [*ratios, 1]]
    assert grouped(importance, n_bytes) == oracle.allocated(importance, n_bytes)


@given(seed=seeds, n_coordinates=st.integers(1, 60), n_bytes=few_bytes, spread=st.sampled_from([0.01, 1.0, 10.0]))
def test_coordinates_of_any_importance_are_shared_as_by_the_allocation_of_exact_products(
    seed, n_coordinates, n_bytes, spread
):
    importance = np.random.default_rng(seed).lognormal(sigma=spread, size=n_coordinates).tolist()
    assert grouped(importance, n_bytes) == oracle.allocated(importance, n_bytes)


@given(importance=st.lists(st.floats(1e-150, 1e150), max_size=40), n_bytes=st.integers(1, 255))
def test_each_coordinate_is_in_one_byte_and_no_byte_is_empty_or_too_full(importance, n_bytes):
    groups = grouped(importance, n_bytes)
    assert sorted(c for group in groups for c in group) == list(range(len(importance)))
    assert len(groups) == min(n_bytes, len(importance))
    assert all(1 <= len(group) <= -(-len(importance) // len(groups)) for group in groups)


@given(n_coordinates=st.integers(1, 40), n_bytes=few_bytes, importance=st.sampled_from([1e-300, 0.1, 1.0, 1e300]))
def test_equally_important_coordinates_fill_byte_after_byte_once_each_has_one(n_coordinates, n_bytes, importance):
    groups = grouped([importance] * n_coordinates, n_bytes)
    assert [group[0] for group in groups] == list(range(min(n_bytes, n_coordinates)))
    rest = [c for group in groups for c in group[1:]]
    assert rest == list(range(len(groups), n_coordinates))
    room = -(-n_coordinates // len(groups))
    sizes = [len(group) for group in groups]
    assert sizes == sorted(sizes, reverse=True)
    assert sum(1 < size < room for size in sizes) <= 1


@pytest.mark.parametrize("n_bytes", [1, 2, 255])
def test_no_coordinates_make_no_groups(n_bytes):
    assert grouped([], n_bytes) == []


@pytest.mark.parametrize("n_coordinates", [1, 2, 7])
def test_with_a_byte_for_each_coordinate_the_most_important_is_first(n_coordinates):
    importance = [float(c % 3 + 1) for c in range(n_coordinates)]
    best_first = sorted(range(n_coordinates), key=lambda c: -importance[c])
    for n_bytes in (n_coordinates, n_coordinates + 1, 255):
        assert grouped(importance, n_bytes) == [[c] for c in best_first]


def test_a_coordinate_far_above_the_others_shares_its_byte_with_the_least_important_ones():
    assert grouped([1.0, 1e12, 3.0, 2.0], 2) == [[1, 0], [2, 3]]
    assert grouped([1e300, 1e-5, 1e-4, 1e-3, 1e-2], 2) == [[0, 1], [4, 3, 2]]  # there is room for three
    assert grouped([5.0, 7.0, 1.0], 1) == [[1, 0, 2]]


# ---------------------------------------------------------------- codes of few binary digits


def starts_of(rng, n_coordinates):
    """Groups of 1 to 4 coordinates."""
    starts = [0]
    while starts[-1] < n_coordinates:
        starts.append(min(starts[-1] + int(rng.integers(1, 5)), n_coordinates))
    return np.array(starts, dtype=np.int64)


def whole_code(rng, n_coordinates, spread, n_spare=0):
    """Whole centres, some of them equal; weights 1/4 ... 2. The last n_spare bytes have no coordinates."""
    starts = starts_of(rng, n_coordinates)
    centres = rng.integers(-spread, spread + 1, (n_coordinates, 256)).astype(np.float64)
    centres[:, rng.integers(0, 256, 20)] = centres[:, rng.integers(0, 256, 20)]
    weights = 2.0 ** rng.integers(-2, 2, n_coordinates)
    return ProductCode(len(starts) - 1 + n_spare, starts, centres, weights)


def coded(code, coordinates):
    """What the oracle says."""
    arguments = code.starts.tolist(), code.centres, code.weights.tolist(), code.n_bytes
    return [oracle.product_code(one, *arguments) for one in coordinates]


def halves(rng, code, n, spread):
    """Coordinates (n, M), multiples of 1/2, some of them centres, some in the middle of two."""
    coordinates = rng.integers(-2 * spread - 2, 2 * spread + 3, (n, len(code.weights))) / 2
    e, f = rng.integers(0, 256, (2, n))
    middles = ((code.centres[:, e] + code.centres[:, f]) / 2).T
    kind = rng.integers(0, 3, n)[:, None]
    return np.where(kind == 0, coordinates, np.where(kind == 1, code.centres[:, e].T, middles))


@given(seed=seeds, n_coordinates=st.integers(0, 9), n=st.integers(0, 5), spread=spreads, n_spare=st.integers(0, 2))
def test_a_byte_is_the_first_of_the_nearest_centres(seed, n_coordinates, n, spread, n_spare):
    rng = np.random.default_rng(seed)
    code = whole_code(rng, n_coordinates, spread, n_spare)
    coordinates = halves(rng, code, n, spread)
    codes, certain = code.encode(coordinates, np.zeros(coordinates.shape))
    assert codes.shape == (n, code.n_bytes)
    assert codes.dtype == np.uint8
    assert certain.shape == (n,)
    assert certain.dtype == np.bool_
    assert codes.tolist() == coded(code, coordinates)


@given(
    seed=seeds,
    n_coordinates=st.integers(3, 9),
    n_different=st.sampled_from([2, 256]),
    size=st.sampled_from([0.3, 1.0, 2.0**-90]),
)
def test_distances_that_differ_by_rounding_are_added_as_written_and_never_certain(
    seed, n_coordinates, n_different, size
):
    """Centres that hold the same numbers in another order: from zero, equal weights, all are equally far."""
    rng = np.random.default_rng(seed)
    numbers = size * rng.random(n_coordinates)
    orders = [np.roll(numbers, 1), *(rng.permutation(numbers) for _ in range(254)), numbers]
    centres = np.column_stack(orders)[:, -1 - np.arange(256) % n_different]
    centres[:, 1] = orders[0]  # not equal to the first
    code = ProductCode(1, np.array([0, n_coordinates]), centres, np.full(n_coordinates, rng.random() + 0.1))
    zero = np.zeros((1, n_coordinates))
    codes, certain = code.encode(zero, zero)
    assert codes.tolist() == coded(code, zero)
    assert not certain.any()


@given(seed=seeds, n_coordinates=st.integers(1, 9), spread=spreads)
def test_codes_do_not_depend_on_the_batch_or_the_order_in_memory(seed, n_coordinates, spread):
    rng = np.random.default_rng(seed)
    code = whole_code(rng, n_coordinates, spread)
    coordinates = halves(rng, code, 6, spread)
    tolerance = rng.integers(0, 3, coordinates.shape) / 4
    codes, certain = code.encode(coordinates, tolerance)
    for other in (np.asfortranarray(coordinates), np.repeat(coordinates, 2, axis=1)[:, ::2]):
        again, certain_again = code.encode(other, np.asfortranarray(tolerance))
        assert_array_equal(again, codes)
        assert_array_equal(certain_again, certain)
    rows = rng.integers(0, 6, 9)
    again, certain_again = code.encode(coordinates[rows], tolerance[rows])
    assert_array_equal(again, codes[rows])
    assert_array_equal(certain_again, certain[rows])
    for i in range(6):
        assert_array_equal(code.encode(coordinates[i : i + 1], tolerance[i : i + 1])[0], codes[i : i + 1])


@given(seed=seeds, n_coordinates=st.integers(0, 9), spread=spreads, n_spare=st.integers(0, 2))
def test_a_code_says_the_centres_of_its_bytes(seed, n_coordinates, spread, n_spare):
    rng = np.random.default_rng(seed)
    code = whole_code(rng, n_coordinates, spread, n_spare)
    codes = rng.integers(0, 256, (5, code.n_bytes)).astype(np.uint8)
    decoded = code.decode(codes)
    assert decoded.shape == (5, n_coordinates)
    assert decoded.dtype == np.float64
    for one, values in zip(codes, decoded, strict=True):
        cells = oracle.product_cells(one, code.starts.tolist())
        assert values.tolist() == [code.centres[c, e] for c, e in enumerate(cells)]
    again, _ = code.encode(decoded, np.zeros(decoded.shape))
    assert_array_equal(code.decode(again), decoded)  # the first of equal centres
    assert code.decode(codes[:0]).shape == (0, n_coordinates)


@given(seed=seeds, n_coordinates=st.integers(0, 9), n_spare=st.integers(0, 2), exponent=st.sampled_from([-20, 0, 20]))
def test_tables_are_weighted_squared_differences_to_the_centres(seed, n_coordinates, n_spare, exponent):
    rng = np.random.default_rng(seed)
    code = whole_code(rng, n_coordinates, 40, n_spare)
    code = ProductCode(code.n_bytes, code.starts, code.centres + rng.normal(size=code.centres.shape), code.weights)
    query = rng.normal(size=n_coordinates) * 2.0**exponent
    comp = code.squared_tables(query)
    assert comp.shape == (code.n_bytes, 256)
    assert comp.dtype == np.float32
    ref = oracle.product_tables(query, code.starts.tolist(), code.centres, code.weights.tolist(), code.n_bytes)
    ref = np.array(ref).reshape(comp.shape)
    assert_allclose(comp, ref, rtol=2.0**-24 + 1e-12)
    assert not comp[len(code.starts) - 1 :].any()


@given(seed=seeds, n_coordinates=st.integers(1, 9), spread=spreads)
def test_the_code_of_an_object_costs_least_in_the_tables_of_the_object_itself(seed, n_coordinates, spread):
    rng = np.random.default_rng(seed)
    code = whole_code(rng, n_coordinates, spread)
    coordinates = halves(rng, code, 3, spread)
    codes, _ = code.encode(coordinates, np.zeros(coordinates.shape))
    for one, own in zip(coordinates, codes, strict=True):
        tables = code.squared_tables(one)
        assert_array_equal(tables[np.arange(code.n_bytes), own], tables.min(axis=1))


# ---------------------------------------------------------------- what errors could change


def could_change(code, values, tolerance):
    """Whether, with all errors as favourable to it as can be, another centre that differs is at least as near.

    What an error changes in the difference of two distances is linear in it, so that the worst is at an end.
    """
    for own in oracle.in_groups(code.starts.tolist()):
        centres, weights = code.centres[own], code.weights[own]
        distances = oracle.centre_distances(values[own], centres, weights)
        best = centres[:, distances.index(min(distances))]
        for e in range(256):
            towards = np.sign(centres[:, e] - best)
            if towards.any():
                pair = np.column_stack([best, centres[:, e]])
                nearest, other = oracle.centre_distances(values[own] + tolerance[own] * towards, pair, weights)
                if other <= nearest:
                    return True
    return False


@settings(max_examples=100)
@given(
    seed=seeds,
    n_coordinates=st.integers(0, 6),
    spread=spreads,
    most=st.sampled_from([0, 1, 8, 400]),
    n_different=st.sampled_from([2, 3, 256]),
)
def test_a_code_is_certain_unless_an_error_within_the_tolerance_could_change_it(
    seed, n_coordinates, spread, most, n_different
):
    """Neither more nor less: tolerances are multiples of 1/8, each coordinate has its own."""
    rng = np.random.default_rng(seed)
    code = whole_code(rng, n_coordinates, spread)
    code.centres[:] = code.centres[:, rng.integers(0, n_different, 256)]
    coordinates = halves(rng, code, 3, spread)
    tolerance = rng.integers(0, most + 1, coordinates.shape) / 8
    _, certain = code.encode(coordinates, tolerance)
    for one, slack, sure in zip(coordinates, tolerance, certain, strict=True):
        assert sure == (not could_change(code, one, slack))


@given(seed=seeds, n_coordinates=st.integers(0, 8), spread=spreads)
def test_without_errors_a_code_is_certain_unless_another_centre_is_exactly_as_near(seed, n_coordinates, spread):
    rng = np.random.default_rng(seed)
    code = whole_code(rng, n_coordinates, spread)
    coordinates = halves(rng, code, 6, spread)
    _, certain = code.encode(coordinates, np.zeros(coordinates.shape))
    for values, sure in zip(coordinates, certain, strict=True):
        tied = False
        for own in oracle.in_groups(code.starts.tolist()):
            distances = np.array(oracle.centre_distances(values[own], code.centres[own], code.weights[own]))
            nearest = code.centres[own][:, distances == distances.min()]
            tied = tied or bool((nearest != nearest[:, :1]).any())
        assert sure == (not tied)


def test_equal_centres_do_not_make_a_code_uncertain():
    code = ProductCode(1, np.array([0, 2]), np.zeros((2, 256)), np.ones(2))
    codes, certain = code.encode(np.ones((3, 2)), np.full((3, 2), 10.0))
    assert not codes.any()
    assert certain.all()


def random_code(rng, n_coordinates, scale):
    starts = starts_of(rng, n_coordinates)
    centres = scale * rng.normal(size=(n_coordinates, 256))
    return ProductCode(len(starts) - 1, starts, centres, rng.random(n_coordinates) + 0.1)


@given(
    seed=seeds,
    n_coordinates=st.integers(1, 8),
    size=st.sampled_from([1e-15, 1e-12, 1e-6, 1e-3, 0.1]),
    scale=st.sampled_from([2.0**-90, 1.0, 1e6]),
)
def test_codes_that_errors_within_the_tolerance_change_were_marked(seed, n_coordinates, size, scale):
    """Some objects are in the middle of two centres, or very near it."""
    rng = np.random.default_rng(seed)
    code = random_code(rng, n_coordinates, scale)
    coordinates = scale * rng.normal(size=(40, n_coordinates))
    for i in range(30):  # between the centre and another, in all groups
        e = code.encode(coordinates[i : i + 1], np.zeros((1, n_coordinates)))[0]
        near, other = code.decode(e)[0], code.centres[:, rng.integers(0, 256)]
        coordinates[i] = near + (other - near) * (0.5 if i < 20 else 0.5 + size * rng.normal())
    tolerance = size * np.abs(coordinates) * rng.random(coordinates.shape)
    codes, certain = code.encode(coordinates, tolerance)
    for _ in range(6):
        signs = rng.choice([-1.0, 1.0], coordinates.shape)
        wrong, _ = code.encode(coordinates + tolerance * signs * (1 - 1e-12), np.zeros(coordinates.shape))
        assert not certain[(wrong != codes).any(axis=1)].any()


@pytest.mark.parametrize("n_coordinates", [1, 3, 8])
def test_an_object_in_the_middle_of_two_centres_is_never_certain_and_one_at_a_centre_is(n_coordinates):
    """Rounding of the distances alone could decide which of the two is nearer."""
    rng = np.random.default_rng(n_coordinates)
    far = 50 + np.arange(256.0)
    n_told_apart = 0
    for _ in range(60):
        a, b = rng.random((2, n_coordinates))
        centres = np.repeat(far[None], n_coordinates, axis=0)
        centres[:, 7], centres[:, 3] = a, b
        code = ProductCode(1, np.array([0, n_coordinates]), centres, rng.random(n_coordinates) + 0.1)
        coordinates = np.array([(a + b) / 2, a, b])
        codes, certain = code.encode(coordinates, np.full(coordinates.shape, 1e-16))
        assert certain.tolist() == [False, True, True]
        assert codes[1:, 0].tolist() == [7, 3]
        assert codes.tolist() == coded(code, coordinates)
        n_told_apart += codes[0, 0] == 7  # not the first: rounding
    assert n_told_apart > 5


# ---------------------------------------------------------------- k-means

ROUNDS = 10


def first_centres(sample, seed):
    """Objects in the order that the generator draws them, from the beginning again where they are too few."""
    drawn = np.random.default_rng(seed).permutation(len(sample))[:256]
    return [[float(sample[drawn[e % len(drawn)], c]) for e in range(256)] for c in range(sample.shape[1])]


def fitted(sample, starts, weights, seed, n_bytes=None):
    starts, weights = np.array(starts, dtype=np.int64), np.array(weights, dtype=np.float64)
    code = ProductCode.fit(sample, starts, weights, n_bytes or len(starts) - 1, np.random.default_rng(seed))
    assert_array_equal(code.starts, starts)
    assert_array_equal(code.weights, weights)
    assert code.centres.shape == (sample.shape[1], 256)
    assert code.centres.dtype == np.float64
    return code


@pytest.mark.parametrize(
    ("n", "starts", "weights"),
    [
        (1500, [0, 2], [1.0, 1.0]),
        (1500, [0, 1, 3], [0.5, 1.0, 4.0]),
        (257, [0, 3], [1.0, 0.25, 1.0]),
    ],
)
def test_centres_are_ten_rounds_of_k_means_from_objects_of_the_sample(n, starts, weights):
    """Sums of whole numbers are exact in any order."""
    sample = np.random.default_rng(n).integers(-4000, 4000, (n, starts[-1])).astype(np.float64)
    before = sample.copy()
    code = fitted(sample, starts, weights, 5)
    assert_array_equal(sample, before)
    ref = first_centres(sample, 5)
    for _ in range(ROUNDS):
        last, ref = ref, oracle.k_means_step(sample, starts, ref, weights)
    assert code.centres.tolist() == ref
    if n == 1500:
        assert last != ref != oracle.k_means_step(sample, starts, ref, weights)  # one round more or less is seen


@settings(max_examples=25)
@given(seed=seeds, n=st.integers(1, 12), n_coordinates=st.integers(0, 4), spread=st.sampled_from([0, 1, 5]))
def test_few_or_equal_objects_are_centres_themselves_as_by_k_means(seed, n, n_coordinates, spread):
    rng = np.random.default_rng(seed)
    sample = rng.integers(-spread, spread + 1, (n, n_coordinates)).astype(np.float64)
    starts, weights = starts_of(rng, n_coordinates).tolist(), 2.0 ** rng.integers(-2, 2, n_coordinates)
    code = fitted(sample, starts, weights, seed, n_bytes=len(starts))
    ref = first_centres(sample, seed)
    for _ in range(2):  # from then on nothing moves
        ref = oracle.k_means_step(sample, starts, ref, weights)
    assert code.centres.tolist() == ref
    codes, _ = code.encode(sample, np.zeros(sample.shape))
    assert_array_equal(code.decode(codes), sample)


def test_a_centre_without_objects_stays_where_it_is():
    """256 objects at -4 and 4, drawn first or not; the equal centres behind the first of each get none."""
    sample = np.tile([[-4.0], [4.0]], (200, 1))
    code = fitted(sample, [0, 1], [1.0], 3)
    assert code.centres.tolist() == first_centres(sample, 3)
    codes, _ = code.encode(sample, np.zeros(sample.shape))
    assert len(np.unique(codes)) == 2


def test_a_centre_that_loses_its_objects_stays_where_it_was_last():
    """More objects than centres, and so few values that some centres are left alone after a while."""
    for seed in range(40):
        sample = np.random.default_rng(seed).integers(0, 40, (600, 2)).astype(np.float64)
        ref, empty_later = first_centres(sample, seed), False
        first = ref
        for _ in range(ROUNDS):
            last, ref = ref, oracle.k_means_step(sample, [0, 2], ref, [1.0, 1.0])
        owned = {oracle.product_code(one, [0, 2], last, [1.0, 1.0], 1)[0] for one in sample}
        moved = {e for e in range(256) if any(ref[c][e] != first[c][e] for c in range(2))}
        empty_later = bool(moved - owned)
        if empty_later:
            break
    assert empty_later
    assert fitted(sample, [0, 2], [1.0, 1.0], seed).centres.tolist() == ref


def test_groups_of_coordinates_are_fitted_without_each_other():
    sample = np.random.default_rng(0).integers(-500, 500, (400, 3)).astype(np.float64)
    whole = fitted(sample, [0, 2, 3], [1.0, 2.0, 1.0], 1)
    assert_array_equal(whole.centres[:2], fitted(sample[:, :2], [0, 2], [1.0, 2.0], 1).centres)
    assert_array_equal(whole.centres[2:], fitted(sample[:, 2:], [0, 1], [1.0], 1).centres)


@settings(max_examples=15)
@given(seed=seeds, n=st.sampled_from([100, 257, 500]))
def test_k_means_does_not_code_the_sample_worse_than_the_objects_it_starts_from(seed, n):
    rng = np.random.default_rng(seed)
    sample = rng.normal(size=(n, 5))
    starts, weights = [0, 2, 5], rng.random(5)
    code = fitted(sample, starts, weights, seed)
    begun = ProductCode(2, code.starts, np.array(first_centres(sample, seed)), weights)

    def loss(one):
        codes, _ = one.encode(sample, np.zeros(sample.shape))
        return float((weights * (one.decode(codes) - sample) ** 2).sum())

    assert loss(code) <= (0.9 if n == 500 else 1.0) * loss(begun)


# ---------------------------------------------------------------- saved arrays


def sound():
    """Three groups in up to 4 bytes."""
    code = whole_code(np.random.default_rng(0), 5, 40)
    return code.arrays() | {"starts": np.array([0, 2, 3, 5])}


def read(arrays, n_bytes=4, n_coordinates=5):
    return ProductCode.from_arrays(n_bytes, arrays, n_coordinates, "index 3")


def assert_corrupted(arrays, **others):
    with pytest.raises(CorruptedError, match="^index 3: ") as info:
        read(arrays, **others)
    assert "\n" not in str(info.value)


def with_value(name, place, value):
    array = sound()[name].copy()
    array[place] = value
    return sound() | {name: array}


def test_sound_arrays_give_the_code_back():
    for n_bytes in (3, 4, 255):
        code = read(sound(), n_bytes)
        assert code.n_bytes == n_bytes
        assert list(code.arrays()) == ["starts", "centres", "weights"]
        for name, array in code.arrays().items():
            assert_array_equal(array, sound()[name])
    nothing = {"starts": np.zeros(1, np.int64), "centres": np.empty((0, 256)), "weights": np.empty(0)}
    code = read(nothing, n_coordinates=0)
    codes, certain = code.encode(np.empty((2, 0)), np.empty((2, 0)))
    assert not codes.any()
    assert certain.all()
    read(with_value("weights", 0, 0.0))  # that a coordinate does not count is no damage
    read(sound() | {"starts": np.array([0, 5])})
    read(sound() | {"starts": np.arange(6)}, n_bytes=5)


@pytest.mark.parametrize("name", ["starts", "centres", "weights"])
def test_a_missing_array_is_named(name):
    arrays = sound()
    del arrays[name]
    with pytest.raises(CorruptedError, match=f"^index 3: .*'{name}'.* missing"):
        read(arrays)


@pytest.mark.parametrize("dtype", ["f4", "i4", "u8", ">i8", ">f8", "c16", "U8", "O", "?", "i8", "f8"])
@pytest.mark.parametrize("name", ["starts", "centres", "weights"])
def test_another_dtype_is_reported(name, dtype):
    if sound()[name].dtype != dtype:
        assert_corrupted(sound() | {name: sound()[name].astype(dtype)})


@pytest.mark.parametrize(
    "reshape",
    [
        lambda a: a[None],
        lambda a: a[..., None],
        lambda a: a.reshape(-1)[0],
        lambda a: a[:-1],
        lambda a: a[1:],
        lambda a: a[:0],
        lambda a: np.concatenate([a, a[-1:]]),
    ],
    ids=["axis before", "axis behind", "scalar", "last row less", "first row less", "no row", "a row more"],
)
@pytest.mark.parametrize("name", ["starts", "centres", "weights"])
def test_another_shape_is_reported(name, reshape):
    assert_corrupted(sound() | {name: np.asarray(reshape(sound()[name]))})


@pytest.mark.parametrize("n_centres", [0, 1, 255, 257])
def test_another_number_of_centres_is_reported(n_centres):
    assert_corrupted(sound() | {"centres": np.zeros((5, n_centres))})


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, -1])
@pytest.mark.parametrize("name", ["centres", "weights"])
def test_a_value_that_is_not_finite_is_reported(name, place, value):
    assert_corrupted(with_value(name, place, value))


@pytest.mark.parametrize("value", [-1.0, -5e-324])
def test_a_negative_weight_is_reported(value):
    assert_corrupted(with_value("weights", 2, value))


@pytest.mark.parametrize("n_coordinates", [0, 4, 6])
def test_another_number_of_coordinates_is_reported(n_coordinates):
    assert_corrupted(sound(), n_coordinates=n_coordinates)
    assert_corrupted(sound() | {"starts": np.array([0, 2, 3, n_coordinates])}, n_coordinates=n_coordinates)


@pytest.mark.parametrize(
    "starts",
    [
        [1, 2, 3, 5],
        [-1, 2, 3, 5],
        [0, 2, 3, 4],
        [0, 2, 3, 6],
        [0, 2, 2, 5],
        [0, 0, 3, 5],
        [0, 3, 5, 5],
        [0, 3, 2, 5],
        [0, 6, 7, 5],
        [0, -1, 3, 5],
        [0, 2**63 - 1, 3, 5],
        [0, -(2**63), 3, 5],
        [0, 2**32, 2**32 + 1, 5],
        [0],
        [5],
        [],
    ],
    ids=str,
)
def test_starts_that_do_not_ascend_from_zero_to_all_coordinates_are_reported(starts):
    assert_corrupted(sound() | {"starts": np.array(starts, dtype=np.int64)})


def test_starts_whose_differences_wrap_around_are_reported():
    starts = np.array([0, 2**63 - 1, -(2**63), -1, 5])
    assert (np.diff(starts) > 0).all()
    assert_corrupted(sound() | {"starts": starts})


def test_more_groups_than_bytes_are_reported():
    assert_corrupted(sound(), n_bytes=2)
    assert_corrupted(sound() | {"starts": np.arange(6)}, n_bytes=4)
