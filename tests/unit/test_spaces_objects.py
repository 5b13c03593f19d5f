"""Batches and the gate: what goes in comes out, and what is wrong is named with its row."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from metricsearch.errors import InvalidInputError, UnknownNameError
from metricsearch.spaces import (
    BITS,
    POINT_SETS,
    SETS,
    SIGNATURES,
    STRINGS,
    VECTORS,
    Ragged,
    batch_nbytes,
    concatenate,
    kind_by_name,
)

KINDS = [VECTORS, BITS, STRINGS, SETS, SIGNATURES, POINT_SETS]
small = st.floats(0.5, 4, width=32)

RAW = {
    "vectors": st.tuples(small, small).map(list),
    "bits": st.lists(st.booleans(), min_size=11, max_size=11),
    "strings": st.text(max_size=5),
    "sets": st.sets(st.integers(0, 2**63 - 1), max_size=5),
    "signatures": st.lists(st.tuples(small, small), min_size=1, max_size=4).map(list),
    "point-sets": st.lists(st.tuples(small, small), min_size=1, max_size=4).map(list),
}


def as_user(kind, raw):
    """What to_user must give for a raw object."""
    if kind is BITS:
        return np.packbits(np.array(raw))
    if kind in (STRINGS, SETS):
        return raw
    return np.array(raw, dtype=np.float32)


def same(kind, comp, ref):
    if kind in (STRINGS, SETS):
        return type(comp) in (str, frozenset) and comp == ref
    return comp.dtype == ref.dtype and np.array_equal(comp, ref)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_objects_come_back_as_they_went_in(kind, data):
    raw = data.draw(st.lists(RAW[kind.name], min_size=1, max_size=5))
    batch = kind.check(raw, "objects")
    assert len(batch) == len(raw)
    assert all(same(kind, kind.to_user(batch, i), as_user(kind, x)) for i, x in enumerate(raw))


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_indexing_follows_numpy(kind, data):
    raw = data.draw(st.lists(RAW[kind.name], min_size=1, max_size=6))
    n = len(raw)
    batch = kind.check(raw, "objects")
    bound = st.none() | st.integers(-n - 1, n + 1)
    index = data.draw(
        st.builds(slice, bound, bound)
        | st.builds(slice, bound, bound, st.sampled_from([-2, -1, 1, 2]))
        | st.lists(st.integers(-n, n - 1), max_size=7).map(lambda rows: np.array(rows, dtype=np.int64))
        | st.lists(st.booleans(), min_size=n, max_size=n).map(np.array)
    )
    rows = np.arange(n)[index]
    comp = batch[index]
    assert len(comp) == len(rows)
    assert all(same(kind, kind.to_user(comp, i), as_user(kind, raw[row])) for i, row in enumerate(rows))
    kind.check(comp, "objects")  # a part of a batch is a sound batch
    assert kind.width(comp) == kind.width(batch)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_concatenate_joins_in_order(kind, data):
    pieces = data.draw(st.lists(st.lists(RAW[kind.name], min_size=1, max_size=3), min_size=1, max_size=4))
    batches = [kind.check(piece, "objects") for piece in pieces]
    batches.insert(1, batches[0][:0])
    joined = concatenate(batches)
    raw = [x for piece in pieces for x in piece]
    assert len(joined) == len(raw)
    assert all(same(kind, kind.to_user(joined, i), as_user(kind, x)) for i, x in enumerate(raw))
    kind.check(joined, "objects")


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_a_batch_passes_the_gate_unchanged(kind, data):
    batch = kind.check(data.draw(st.lists(RAW[kind.name], min_size=1, max_size=3)), "objects")
    assert kind.check(batch, "objects", kind.width(batch)) is batch
    assert len(kind.check(batch[:0], "objects", kind.width(batch))) == 0


@pytest.mark.parametrize(("kind", "width"), [(VECTORS, 4), (BITS, 2), (SIGNATURES, 3), (POINT_SETS, 3)])
def test_width_of_an_empty_list_is_the_expected_one(kind, width):
    batch = kind.check([], "objects", width)
    assert len(batch) == 0
    assert kind.width(batch) == width
    with pytest.raises(InvalidInputError, match="objects"):
        kind.check([], "objects")


@pytest.mark.parametrize("kind", [STRINGS, SETS])
def test_empty_lists_of_strings_and_sets(kind):
    batch = kind.check([], "objects")
    assert len(batch) == 0
    assert kind.width(batch) is None


NAN, INF = float("nan"), float("inf")
BAD = [
    (VECTORS, [[1, 2], [NAN, 0]], "row 1 has NaN"),
    (VECTORS, [1.0, 2.0], r"x\[None\]"),
    (VECTORS, [[1], [1, 2]], "different lengths"),
    (VECTORS, [["a"]], "numbers"),
    (BITS, np.ones((2, 3), dtype=np.int64), "bool"),
    (BITS, [True, False], "bool"),
    (BITS, [[True], [True, False]], "one length"),
    (BITS, np.ones((2, 0), dtype=bool), "bool"),
    (STRINGS, "word", "pass a list"),
    (STRINGS, ["a", b"b"], "row 1 is bytes"),
    (STRINGS, ["a", None], "row 1 is NoneType"),
    (STRINGS, 5, "got int"),
    (SETS, [{1}, {-1}], "row 1 has a negative member"),
    (SETS, [{1}, {1.5}], "row 1"),
    (SETS, [{1}, {True}], "row 1"),
    (SETS, [{1}, 5], "row 1"),
    (SETS, [{1}, {2**63}], "row 1"),
    (SETS, [{1}, {2**70}], "row 1"),
    (SETS, [{1}, "ab"], "row 1"),
    (SETS, [{1}, [[1], [2]]], "row 1"),
    (SIGNATURES, [[[1, 1]], [[1, 0]]], "row 1 has a weight <= 0"),
    (SIGNATURES, [[[1, 1]], [[1, -1]]], "row 1 has a weight <= 0"),
    (SIGNATURES, [[[1, 1]], [[INF, 1]]], "row 1 has NaN or inf"),
    (SIGNATURES, [[[1, 1]], [[1e300, 1]]], "row 1 has NaN or inf"),
    (SIGNATURES, [[[1, 1]], [[1, 2, 3]]], "row 1 has 3 columns, expected 2"),
    (SIGNATURES, [[[1]]], "at least 2 columns"),
    (SIGNATURES, [[[1, 1]], [1, 1]], "row 1"),
    (SIGNATURES, [[[1, 1]], np.empty((0, 2))], "row 1 is empty"),
    (SIGNATURES, [[[1, 1]], [[1], [1, 2]]], "row 1"),
    (POINT_SETS, [[[1, 1]], [[1, NAN]]], "row 1 has NaN or inf"),
    (POINT_SETS, [[[1, 1]], [["a", "b"]]], "row 1"),
    (POINT_SETS, [[[1, 1]], np.empty((0, 2))], "row 1 is empty"),
]


@pytest.mark.parametrize(("kind", "objects", "message"), BAD)
def test_bad_objects_are_refused_with_their_row(kind, objects, message):
    with pytest.raises(InvalidInputError, match=f"^things: .*{message}") as caught:
        kind.check(objects, "things")
    assert "\n" not in str(caught.value)


BAD_BATCHES = [
    (SETS, np.array([1, 5, 5], dtype=np.int64), [0, 1, 3], "row 1 is not ascending"),
    (SETS, np.array([3, 5, 4], dtype=np.int64), [0, 1, 1, 3], "row 2 is not ascending"),
    (SETS, np.array([3.0]), [0, 1], "int64"),
    (STRINGS, np.array([97, 0x110000], dtype=np.uint32), [0, 1, 2], "row 1 has a value beyond"),
    (STRINGS, np.array([97, 98], dtype=np.uint32), [0, 1], "ascending from 0 to the 2 values"),
    (STRINGS, np.array([97, 98], dtype=np.uint32), [1, 2], "ascending"),
    (STRINGS, np.array([97, 98], dtype=np.uint32), [0, 3, 2], "ascending"),
    (STRINGS, np.array([97], dtype=np.uint32), [], "ascending"),
    (SIGNATURES, np.ones(2, dtype=np.float32), [0, 2], "2-D"),
]


@pytest.mark.parametrize(("kind", "values", "offsets", "message"), BAD_BATCHES)
def test_bad_batches_are_refused(kind, values, offsets, message):
    with pytest.raises(InvalidInputError, match=message):
        kind.check(Ragged(values, np.array(offsets, dtype=np.int64)), "things")


def test_sets_that_ascend_within_but_not_across_are_sound():
    batch = Ragged(np.array([5, 9, 5, 1], dtype=np.int64), np.array([0, 2, 3, 3, 4], dtype=np.int64))
    assert SETS.check(batch, "sets") is batch


@pytest.mark.parametrize("kind", [VECTORS, BITS])
def test_ragged_batches_are_refused_by_dense_kinds(kind):
    with pytest.raises(InvalidInputError, match="different lengths"):
        kind.check(STRINGS.check(["a"], "words"), "things")


@pytest.mark.parametrize(
    ("kind", "objects", "width"),
    [
        (VECTORS, np.ones((2, 3)), 4),
        (BITS, np.ones((2, 3), dtype=np.uint8), 4),
        (SIGNATURES, [np.ones((2, 3))], 4),
        (POINT_SETS, POINT_SETS.check([np.ones((2, 3))], "x"), 4),
    ],
)
def test_unexpected_widths_are_refused(kind, objects, width):
    with pytest.raises(InvalidInputError, match="expected 4|expected 4 columns"):
        kind.check(objects, "things", width)


def test_sets_take_any_iterable_and_drop_repeats():
    batch = SETS.check([[3, 1, 3], (2,), range(3), np.array([7, 7], dtype=np.uint8), iter([5]), []], "sets")
    comp = [SETS.to_user(batch, i) for i in range(len(batch))]
    assert comp == [{1, 3}, {2}, {0, 1, 2}, {7}, {5}, set()]


def test_lone_surrogates_survive():
    batch = STRINGS.check(["a\udc80", "\U0001f600"], "names")
    assert [STRINGS.to_user(batch, i) for i in range(2)] == ["a\udc80", "\U0001f600"]
    assert_array_equal(np.diff(batch.offsets), [2, 1])


def test_user_objects_are_their_users_own():
    for kind, objects in [(VECTORS, np.ones((1, 2))), (POINT_SETS, [np.ones((1, 2))]), (BITS, np.ones((1, 8), bool))]:
        batch = kind.check(objects, "things")
        kind.to_user(batch, 0)[...] = 0
        assert kind.to_user(batch, 0).any()


def test_single_objects_are_slices_not_integers():
    batch = STRINGS.check(["a", "b"], "words")
    with pytest.raises(TypeError, match="slice"):
        batch[0]
    with pytest.raises(IndexError):
        batch[np.array([2])]


def test_bytes_are_those_of_the_arrays():
    batch = STRINGS.check(["ab", "c"], "words")
    assert batch_nbytes(batch) == 3 * 4 + 3 * 8
    assert batch_nbytes(np.ones((2, 3), dtype=np.float32)) == 24


def test_only_like_batches_are_concatenated():
    words, sets, array = STRINGS.check(["a"], "x"), SETS.check([{1}], "x"), np.ones((2, 3), dtype=np.float32)
    for batches in ([], [words, sets], [words, array], [array, array[:, :2]]):
        with pytest.raises(InvalidInputError, match="batch"):
            concatenate(batches)


def test_kinds_are_known_by_name():
    assert [kind_by_name(kind.name) for kind in KINDS] == KINDS
    with pytest.raises(UnknownNameError, match="vectors, bits, strings, sets, signatures, point-sets"):
        kind_by_name("graphs")
