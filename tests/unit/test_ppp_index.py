"""The index as a user holds it: bad arrays, bad prefixes, IDs at their end, changes while others search."""

import threading

import numpy as np
import pytest

from metricsearch import PPPCodes
from metricsearch.errors import CorruptedError, InvalidInputError

RNG = np.random.default_rng(0)
VECTORS = RNG.normal(size=(600, 8)).astype(np.float32)


def small_index(**parameters):
    return PPPCodes(**{"n_spaces": 2, "n_pivots": 16, "prefix_length": 4, **parameters}).build(VECTORS)


def test_ids_do_not_wrap_after_the_largest():
    index = small_index()
    index.insert(VECTORS[:1], ids=[2**63 - 1])
    with pytest.raises(InvalidInputError, match="none are left to follow the largest one"):
        index.insert(VECTORS[:2])
    assert len(index) == 601


@pytest.mark.parametrize(
    ("prefixes", "message"),
    [
        ([[[0, 1], [2, 2]]], "row 0 has a pivot twice in one prefix"),
        ([[[0, 1], [2, 4]]], "pivot indexes in 0..3, got 4"),
        ([[[0, -1], [2, 1]]], "integers >= 0"),
        ([[[0, 1], [2]]], "rows of unequal length"),
        ([[0.5]], r"integers >= 0, got \(1, 1\)"),
    ],
)
def test_impossible_prefixes_are_refused(prefixes, message):
    with pytest.raises(InvalidInputError, match=message):
        PPPCodes.from_prefixes(prefixes, n_pivots=4)


def damaged(name, change):
    index = small_index()
    arrays = {key: array.copy() for key, array in index.to_arrays().items()}
    arrays[name] = change(arrays[name])
    return index.parameters(), arrays


def filled(value):
    return lambda array: np.full_like(array, value)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("space0-skip", filled(0)),
        ("space1-skip", filled(2**31)),
        ("space0-first", filled(2**30)),
        ("space0-first", lambda array: array.astype(np.float64)),
        ("space0-level", filled(3)),
        ("space0-level", filled(200)),
        ("space0-pivot", filled(60000)),
        ("space0-suffixes", lambda array: array[:1]),
        ("space0-starts", filled(2**64 - 1)),
        ("space0-ids", filled(0)),
        ("space0-ids", filled(2**64 - 1)),
        ("sample", filled(65535)),
        ("sample", lambda array: array[:1]),
        ("ids-first", lambda array: np.zeros(10, dtype=np.int64)),
        ("ids-rest", lambda array: np.zeros(11, dtype=np.uint64)),
        ("pivots", lambda array: array[:5]),
    ],
)
def test_arrays_that_are_no_index_are_refused_before_a_kernel_walks_them(name, change):
    parameters, arrays = damaged(name, change)
    with pytest.raises(CorruptedError, match="rebuild the index"):
        PPPCodes.from_arrays(parameters, arrays, n=600)


def test_stored_pivots_that_do_not_exist_are_refused():
    index = PPPCodes(n_spaces=1, n_pivots=12, prefix_length=4).build(VECTORS)  # 4 bits hold 16, of which 12 exist
    arrays = {key: array.copy() for key, array in index.to_arrays().items()}
    arrays["space0-suffixes"][:] = 2**64 - 1
    with pytest.raises(CorruptedError, match="rebuild the index"):
        PPPCodes.from_arrays(index.parameters(), arrays, n=600)


def test_searches_see_whole_states_while_another_thread_changes_the_index():
    index = small_index()
    distances = index.pivot_distances(VECTORS[:1])
    kept = np.arange(300)
    stop, failures = threading.Event(), []

    def search():
        while not stop.is_set():
            ranking = index.rank(distances, 600)
            if not np.isin(kept, ranking.ids).all() or len(np.unique(ranking.ids)) != len(ranking.ids):
                failures.append(ranking.ids)

    searchers = [threading.Thread(target=search) for _ in range(2)]
    for searcher in searchers:
        searcher.start()
    for _ in range(30):
        index.remove(np.arange(300, 600))
        index.consolidate()
        index.insert(VECTORS[300:], ids=np.arange(300, 600))
    stop.set()
    for searcher in searchers:
        searcher.join()
    assert not failures


def test_a_query_with_rows_of_unequal_length_is_refused():
    with pytest.raises(InvalidInputError, match="query"):
        small_index().candidates([[1, 2], [3]], 5)
