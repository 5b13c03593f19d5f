"""Searches that decide for themselves how much to read, and learning the bound that decides."""

import time
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import InvalidInputError
from metricsearch.indexes import EstimatingIndex, MetricIndex
from metricsearch.refinement.checking import CheckedObjects
from metricsearch.refinement.cutoff import MAX_K, ReadingRecord, reading_steps
from metricsearch.refinement.learnt_cutoff import LearntCutoff
from metricsearch.refinement.refiner import Refiner, nearest_of
from metricsearch.refinement.results import Answer
from metricsearch.refinement.searching import search_costs
from metricsearch.spaces import Batch
from metricsearch.store import Snapshot
from metricsearch.threads import thread_map
from metricsearch.validation import check_integer

OptionsT = TypeVar("OptionsT")

N_TRAINING = 512  # queries
DEPTH = 1000  # candidates that each of them reads
TRUTH_FACTOR = 4  # their nearest are looked for among so many times as many candidates, of all objects


def estimating(index: MetricIndex) -> EstimatingIndex[Any]:
    """`index`; raise InvalidInputError unless it is of a kind that has estimates."""
    if not isinstance(index, EstimatingIndex):
        raise InvalidInputError(f"index: {type(index).__name__} has no estimates; pass n_candidates as a number")
    return index


def search_adaptively(
    index: EstimatingIndex[OptionsT],
    snapshot: Snapshot,
    checked: CheckedObjects,
    queries: Batch,
    k: int,
    target_recall: float,
    learnt: LearntCutoff[OptionsT],
    n_threads: int,
) -> list[Answer]:
    """The k nearest of the candidates of every query, read until what follows is unlikely to be nearer.

    learnt: with `index` or with one of fewer or more objects. Other parameters: see `search_all`.
    Raises InvalidInputError for more neighbours than were recorded.
    """
    cutoff = learnt.rule(k, target_recall)
    n_ranked = max(learnt.record.depth, k)  # no more are read

    def one(i: int) -> Answer:
        query = queries[i : i + 1]
        refiner = Refiner(snapshot, index.metric, query, checked, index.ordinals_of, concurrent=False)
        begin = time.perf_counter()
        found = index.estimated(query, n_ranked, learnt.options)
        rank_ms = 1e3 * (time.perf_counter() - begin)
        n_read, ids, distances = 0, np.empty(0, dtype=np.int64), np.empty(0)
        for step in reading_steps(k, len(found.ids)):
            new = found.ids[n_read:step]
            further = np.concatenate([ids, new]), np.concatenate([distances, refiner.distances_to(new)])
            ids, distances = nearest_of(*further, k)
            n_read = step
            if step < len(found.ids) and cutoff.stops(step, float(found.estimates[step]), float(distances[-1])):
                break
        total_ms = 1e3 * (time.perf_counter() - begin)
        costs = search_costs(refiner, found.n_pivot_distances, found.n_ids_ranked, n_read, rank_ms, total_ms)
        return Answer(ids, distances, costs)

    return thread_map(one, range(len(queries)), n_threads)


def learn_cutoff(
    index: MetricIndex,
    snapshot: Snapshot,
    checked: CheckedObjects,
    queries: Batch | None,
    seed: Any,
    options: Any,
    n_threads: int,
) -> LearntCutoff[Any]:
    """Learn when to stop reading from deep searches for `queries`; None = `N_TRAINING` of the objects of `snapshot`.

    seed: chooses them; each is searched for without itself. Other parameters: see `search_all`.
    Raises InvalidInputError: no estimates, no queries, or fewer than two objects; CorruptedError.
    """
    able, rng, own_ids = estimating(index), np.random.default_rng(check_integer(seed, "seed", 0)), None
    if queries is None:
        ids = snapshot.ids()
        own_ids = np.sort(rng.choice(ids, min(N_TRAINING, len(ids)), replace=False))
        queries = snapshot.decode(snapshot.locate(own_ids), check_crc=True)
    record = _learn_reading(able, snapshot, checked, queries, own_ids, options, n_threads)
    return LearntCutoff(record, options, len(able))


def _learn_reading(
    index: EstimatingIndex[OptionsT],
    snapshot: Snapshot,
    checked: CheckedObjects,
    queries: Batch,
    own_ids: NDArray[np.int64] | None,
    options: OptionsT | None,
    n_threads: int,
) -> ReadingRecord:
    """Search the training queries deeply: what they find among the best by sketches of all objects counts as true.

    own_ids: (q,) of queries that are objects, which do not count for them. A query is ranked twice: the candidates that
    searches will see are not the best of all objects, which tell what those miss.
    """
    power = index.estimate_power
    if power is None:
        raise InvalidInputError("index: sketches are needed; build PPPCodes(sketch='product')")
    n_others = max(len(index) - (own_ids is not None), 0)
    if not len(queries) or n_others < 1:
        raise InvalidInputError(f"cut-off: needs a query and another object, got {len(queries)} and {n_others}")
    depth, n_truth = min(DEPTH, n_others), min(MAX_K, n_others)
    deeper = min(TRUTH_FACTOR * DEPTH, n_others)

    def one(i: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        query = queries[i : i + 1]
        refiner = Refiner(snapshot, index.metric, query, checked, index.ordinals_of, concurrent=False)
        found = index.estimated(query, depth + 1, options)
        of_all = index.estimated(query, deeper + 1, options, of_all=True).ids
        kept, others = np.arange(len(found.ids)), of_all
        if own_ids is not None:
            kept, others = kept[found.ids != own_ids[i]], of_all[of_all != own_ids[i]]
        kept = kept[:depth]
        distances = refiner.distances_to(found.ids[kept])
        missing = np.setdiff1d(others[:deeper], found.ids[kept])
        truth = np.sort(np.concatenate([distances, refiner.distances_to(missing)]))[:n_truth]
        return found.estimates[kept], distances, truth

    rows = thread_map(one, range(len(queries)), n_threads)
    estimates, distances, truth = (np.stack(part) for part in zip(*rows, strict=True))
    return ReadingRecord(estimates, distances, truth, float(power))
