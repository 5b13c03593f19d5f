"""What holds for every baseline: memory that is told in full, queries that are refused in one line, many threads."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from metricsearch.baselines import (
    LAESA,
    NAPP,
    ExhaustiveScan,
    KMeansTree,
    MIFile,
    MIndex,
    PermutationScan,
    PPIndex,
    VPTree,
)
from metricsearch.errors import InvalidInputError
from metricsearch.indexes import CandidateIndex, ExactIndex
from metricsearch.spaces import Metric

EVERY = {
    "permutation scan": lambda: PermutationScan("euclidean", 16),
    "binary permutation scan": lambda: PermutationScan("euclidean", 16, distance="binary"),
    "MI-File": lambda: MIFile("euclidean", 16, 4),
    "NAPP": lambda: NAPP("euclidean", 16, 4),
    "M-Index": lambda: MIndex("euclidean", 16, 4),
    "PP-Index": lambda: PPIndex("euclidean", 2, 16, 4, n_queries=2),
    "LAESA": lambda: LAESA("euclidean", 8),
    "VP-tree": lambda: VPTree("euclidean"),
    "exhaustive scan": lambda: ExhaustiveScan("euclidean"),
    "k-means tree": lambda: KMeansTree(leaf_size=2),
}
VECTORS = np.random.default_rng(0).normal(size=(3000, 6)).astype(np.float32)


def arrays_in(thing, seen):
    """All arrays that an object holds on to, whole ones in place of views of them; no array twice."""
    if id(thing) in seen or isinstance(thing, Metric):
        return
    seen[id(thing)] = thing  # kept, so that no other object gets its address
    if isinstance(thing, np.ndarray):
        base = thing
        while isinstance(base.base, np.ndarray):
            base = base.base
        if base is thing or id(base) not in seen:
            seen[id(base)] = base
            yield base
    elif isinstance(thing, list | tuple):
        for part in thing:
            yield from arrays_in(part, seen)
    elif isinstance(thing, dict):
        yield from arrays_in(list(thing.values()), seen)
    elif dataclasses.is_dataclass(thing):
        yield from arrays_in([getattr(thing, field.name) for field in dataclasses.fields(thing)], seen)
    elif type(thing).__module__.startswith("metricsearch"):
        yield from arrays_in(vars(thing), seen)


@pytest.mark.parametrize("method", EVERY)
@pytest.mark.parametrize("own_ids", [False, True])
def test_memory_report_counts_every_array_that_stays(method, own_ids):
    ids = np.random.default_rng(1).permutation(10_000)[: len(VECTORS)] if own_ids else None
    index = EVERY[method]().build(VECTORS.copy(), ids)
    held = sum(array.nbytes for array in arrays_in(index, {}))
    assert index.memory_bytes <= held <= index.memory_bytes + 300  # empty index parts, scalars


@pytest.mark.parametrize("method", EVERY)
@pytest.mark.parametrize("query", [5, None, {1: 2}, np.array(5.0), [[[1], [1, 2]]], object(), "abc", [], [[1, 2], [3]]])
def test_what_is_no_object_is_refused_as_a_query(method, query):
    index = EVERY[method]().build(VECTORS)
    with pytest.raises(InvalidInputError, match="query: "):
        index.check_query(query)


def found_by(index, row):
    """Everything that an index answers to one query."""
    query, out = VECTORS[row : row + 1] + np.float32(0.1), []
    if isinstance(index, CandidateIndex):
        out.append(index.candidates(query, 100).tolist())
    if isinstance(index, ExactIndex):
        found = index.nearest(query, 5, lambda ids: index.metric.distances(query, VECTORS[ids]))
        out.append(list(zip(found.ids.tolist(), found.distances.tolist(), strict=True)))
    return out


@pytest.mark.parametrize("method", EVERY)
def test_searches_in_several_threads_do_not_disturb_each_other(method):
    index = EVERY[method]().build(VECTORS)
    expected = [found_by(index, row) for row in range(24)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda row: found_by(index, row), range(24))) == expected
