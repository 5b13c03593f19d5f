"""Packed IDs: what goes in comes out, whatever the gaps; damaged arrays are reported."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from metricsearch.errors import CorruptedError
from metricsearch.ppp.ids import PackedIds

MOST = 2**63 - 1
id_sets = st.one_of(
    st.sets(st.integers(0, MOST), max_size=200),
    st.sets(st.integers(0, 300), max_size=250),
    st.integers(0, 200).map(lambda n: set(range(n))),
)


def packed(ids):
    return PackedIds.pack(np.array(sorted(ids), dtype=np.int64))


@given(id_sets, st.lists(st.integers(0, MOST), max_size=5))
def test_every_id_comes_back_and_is_found_and_no_other_is(ids, others):
    found, ascending = packed(ids), np.array(sorted(ids), dtype=np.int64)
    assert len(found) == len(ids)
    assert_array_equal(found.of(np.arange(len(ids))), ascending)
    assert_array_equal(found.ordinals(ascending), np.arange(len(ids)))
    assert found.largest == max(ids, default=-1)
    near = [one + step for one in ids for step in (-1, 1)] + others
    absent = np.array([one for one in near if one not in ids and 0 <= one <= MOST], dtype=np.int64)
    assert_array_equal(found.ordinals(absent), np.full(len(absent), -1))


@given(id_sets)
def test_saved_arrays_give_the_same_ids(ids):
    found = packed(ids)
    again = PackedIds.from_arrays(found.arrays(), len(ids), "index 3")
    assert_array_equal(again.of(np.arange(len(ids))), np.array(sorted(ids), dtype=np.int64))
    assert again.nbytes == found.nbytes == sum(array.nbytes for array in found.arrays().values())


def test_ids_from_zero_on_take_no_bytes_and_others_a_little_more_than_their_gaps():
    assert packed(range(10000)).nbytes == 0
    ids = np.sort(np.random.default_rng(0).choice(100_000, 10_000, replace=False))
    assert PackedIds.pack(ids).nbytes / len(ids) < 1.5  # log2(64 · 10) bits and an eighth of a byte


@pytest.mark.parametrize("ids", [[3, 5, 900], [*range(100), 2**40], [MOST]])
@pytest.mark.parametrize(
    "damage",
    [
        lambda first, rest: (first[:-1], rest),
        lambda first, rest: (first, rest[:-1]),
        lambda first, rest: (first, rest[:0]),
        lambda first, rest: (first[:0], rest),
        lambda first, rest: (first.astype(np.int32), rest),
        lambda first, rest: (first, rest.astype(np.int64)),
        lambda first, rest: (-first - 1, rest),
        lambda first, rest: (first[None], rest),
    ],
)
def test_damaged_arrays_are_reported(ids, damage):
    first, rest = damage(*packed(ids).arrays().values())
    with pytest.raises(CorruptedError, match="^index 3: the IDs of the index make no sense; rebuild the index$"):
        PackedIds.from_arrays({"ids-first": first, "ids-rest": rest}, len(ids), "index 3")


def test_ids_that_do_not_ascend_are_reported():
    found = packed([0, 2, 4])
    with pytest.raises(CorruptedError):
        PackedIds.from_arrays({"ids-first": found.first, "ids-rest": found.rest * np.uint64(0)}, 3, "index 3")
