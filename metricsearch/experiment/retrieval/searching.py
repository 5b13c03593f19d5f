"""All queries of a point: full rankings for the measures, then timed searches one after the other."""

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.datasets import ImageQuery
from metricsearch.evaluation import average_precision, ns_score, relevant_ranks, revisited_sets
from metricsearch.experiment.retrieval.columns import COUNTS, TIMES
from metricsearch.experiment.retrieval.config import MeasureConfig, RetrievalPoint
from metricsearch.features import LocalFeatures
from metricsearch.threads import available_cores, thread_map
from metricsearch.verification import rerank
from metricsearch.vocabtree import TreeSearchResult, VocabularyTree

N_FIRST = 10  # best answers that are kept

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Searched:
    """A tree, what is searched in it, and what is measured. load: features of an image of the database."""

    tree: VocabularyTree
    queries: tuple[ImageQuery, ...]
    features: list[LocalFeatures]
    load: Callable[[int], LocalFeatures]
    measure: MeasureConfig


@dataclass(frozen=True, slots=True, eq=False)
class _Answer:
    """ids: all images found, best first. scores: ascending, None after verification."""

    ids: NDArray[np.int64]
    scores: NDArray[np.float64] | None
    verify_ms: float = 0.0


def search_all(searched: Searched, point: RetrievalPoint) -> Arrays:
    """Per-query arrays of a point; see `measuring.measure`."""
    times = _timed(searched, point)  # first: it builds what all queries share, and the answers are independent of it

    def one(i: int) -> tuple[dict[str, Any], float]:
        answer = _ranked(searched, point, i)
        return _evaluated(searched, answer, i), answer.verify_ms

    n_threads = available_cores()
    if point.verification.top:  # is timed: after one to warm up, its queries do not share the cores
        n_threads = 1
        one(0)
    found = thread_map(one, range(len(searched.queries)), n_threads)
    times["verify_ms"] = np.array([verify_ms for _, verify_ms in found])
    times["total_ms"] = times["quantise_ms"] + times["score_ms"] + times["verify_ms"]
    return {**times, **_stacked([values for values, _ in found]), "groups": _group_numbers(searched.queries)}


def _search(searched: Searched, point: RetrievalPoint, i: int, k: int) -> TreeSearchResult:
    scoring = point.scoring
    return searched.tree.search(
        searched.features[i].descriptors,
        k,
        n_assignments=scoring.n_assignments,
        n_checks=scoring.n_checks,
        scoring=scoring.options(),
    )


def _timed(searched: Searched, point: RetrievalPoint) -> Arrays:
    """Times and counts of every query alone, on one thread, after one that warms up."""
    n = len(searched.queries)
    arrays: Arrays = {name: np.zeros(n) for name in TIMES} | {name: np.zeros(n, dtype=np.int64) for name in COUNTS}
    for i in (0, *range(n)):
        result = _search(searched, point, i, searched.measure.n_results)
        stats = result.stats
        arrays["quantise_ms"][i], arrays["score_ms"][i] = stats.quantise_ms, stats.score_ms
        counts = (stats.n_words, stats.n_lists, stats.n_entries, stats.n_images_touched)
        for name, value in zip(COUNTS, counts, strict=True):
            arrays[name][i] = value
    return arrays


def _ranked(searched: Searched, point: RetrievalPoint, i: int) -> _Answer:
    features = searched.features[i]
    result = _search(searched, point, i, len(searched.tree))
    if not point.verification.top:
        return _Answer(result.ids, result.scores)
    start = perf_counter()
    verified = rerank(
        result.ids,
        result.scores,
        features,
        searched.load,
        top=point.verification.top,
        options=point.verification.options(),
        n_threads=1,
    )
    return _Answer(verified.ids, None, 1000 * (perf_counter() - start))


def _evaluated(searched: Searched, answer: _Answer, i: int) -> dict[str, Any]:
    """Values of one query. The query itself, where it is in the database, is neither right nor wrong."""
    query, n_database = searched.queries[i], len(searched.tree)
    own = frozenset() if query.index is None else frozenset({query.index})
    junk = query.junk | (own - query.relevant)
    ids, scores = _up_to_last_relevant(answer, query.relevant)
    first = np.full(N_FIRST, -1, dtype=np.int64)
    first[: min(N_FIRST, len(answer.ids))] = answer.ids[:N_FIRST]
    values: dict[str, Any] = {
        "ranks": relevant_ranks(ids, query.relevant, n_database, junk=junk),
        "worst_ranks": relevant_ranks(ids, query.relevant, n_database, junk=junk, scores=scores),
        "first_ids": first,
    }
    if "ns_score" in searched.measure.measures:
        values["ns_score"] = ns_score(answer.ids[:N_FIRST], query.relevant | own)
    if "map" in searched.measure.measures:
        values["average_precision"] = average_precision(ids, query.relevant, junk=junk)
    for setting in ("easy", "hard"):
        if f"map_{setting}" in searched.measure.measures:
            right, ignored = revisited_sets(query.easy, query.hard, junk, setting)
            values[f"average_precision_{setting}"] = average_precision(ids, right, junk=ignored)
    return values


def _up_to_last_relevant(
    answer: _Answer, relevant: frozenset[int]
) -> tuple[NDArray[np.int64], NDArray[np.float64] | None]:
    """The answer without what follows its last relevant image (and those of the same score): it changes no measure."""
    places = np.flatnonzero(np.isin(answer.ids, list(relevant)))
    end = int(places[-1]) + 1 if len(places) else 0
    if answer.scores is None:
        return answer.ids[:end], None
    if end:
        end = int(np.searchsorted(answer.scores, answer.scores[end - 1], side="right"))
    return answer.ids[:end], answer.scores[:end]


def _stacked(found: list[dict[str, Any]]) -> Arrays:
    """One array per name; ranks are filled up with 0."""
    width = max(len(values["ranks"]) for values in found)
    arrays: Arrays = {}
    for name in found[0]:
        rows = [values[name] for values in found]
        if name in ("ranks", "worst_ranks"):
            rows = [np.pad(row, (0, width - len(row))) for row in rows]
        arrays[name] = np.array(rows)
    return arrays


def _group_numbers(queries: tuple[ImageQuery, ...]) -> NDArray[np.int64]:
    numbers = {label: i for i, label in enumerate(dict.fromkeys(query.group for query in queries))}
    return np.array([numbers[query.group] for query in queries])
