"""The three kinds of measurement. Each takes the points that share an index and yields their parts one by one."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.datasets import RowsSource
from metricsearch.errors import ConfigError
from metricsearch.evaluation import Neighbours, candidates_needed, hit_positions
from metricsearch.experiment.parts import Part, Phase
from metricsearch.experiment.ppp.columns import memory_part_column, needed_column
from metricsearch.experiment.ppp.config import IndexConfig, PPPExperiment, PPPPoint
from metricsearch.experiment.ppp.hits import Reordered, reordered_hit_positions
from metricsearch.experiment.ppp.workload import Workload
from metricsearch.indexes import FIXED_PARTS
from metricsearch.ppp import PPPCodes, RankingOptions, flat_code_bits
from metricsearch.ppp.tree import pivot_bits
from metricsearch.threads import available_cores, thread_map

INSERTED_SHARE = 20  # kind "memory": one in so many objects is inserted after the build


@dataclass(frozen=True, slots=True)
class BuildKey:
    """Parameters that make another index necessary; all others can change from query to query."""

    n: int | None
    n_pivots: int
    pivot_choice: str
    seed: int
    n_spaces: int | None = None
    prefix_length: int | None = None
    codec: str | None = None
    sketch: str | None = None
    sketch_bytes: int | None = None
    learnt_for: RankingOptions | None = None


def build_key(config: PPPExperiment, point: PPPPoint) -> BuildKey:
    """Points with the same key share one index.

    Candidates: one index with the most spaces and the longest prefix serves all others, which use its first spaces and
    the beginnings of its prefixes. Times and bytes belong to an index of exactly those parameters. Sketches and
    calibrated scores are learnt with all pivots of an index, so they belong to one of exactly that number of spaces,
    and the scores to the ranking that they are learnt for.
    """
    index = point.index
    key = BuildKey(point.n, index.n_pivots, index.pivot_choice, index.seed)
    if config.kind != "candidates":
        key = replace(key, n_spaces=index.n_spaces, prefix_length=index.prefix_length, codec=point.codec)
    if index.sketch is not None:
        key = replace(key, n_spaces=index.n_spaces, sketch=index.sketch, sketch_bytes=index.sketch_bytes)
    if index.aggregation == "calibrated":
        key = replace(key, n_spaces=index.n_spaces, learnt_for=learnt_options(index))
    return key


def learnt_options(index: IndexConfig) -> RankingOptions | None:
    """What an index has to know of its queries' options when it is built; None = nothing."""
    if index.aggregation != "calibrated":
        return None
    used = ranking_options(index)
    return RankingOptions(
        aggregation=used.aggregation, ranking=used.ranking, decay=used.decay, max_level=used.max_level
    )


def new_index(workload: Workload, points: list[PPPPoint]) -> PPPCodes:
    """An unbuilt index that serves all `points`, which share their `build_key`."""
    first = points[0].index
    return PPPCodes(
        workload.metric,
        n_spaces=max(point.index.n_spaces for point in points),
        n_pivots=first.n_pivots,
        prefix_length=max(point.index.prefix_length for point in points),
        options=learnt_options(first),
        pivot_choice=first.pivot_choice,
        sketch=first.sketch,
        sketch_bytes=first.sketch_bytes,
        seed=first.seed,
    )


def ranking_options(index: IndexConfig) -> RankingOptions:
    """How the queries of a point are ranked."""
    return RankingOptions(
        ranking=index.ranking,
        decay=index.decay,
        aggregation=index.aggregation,
        percentile=index.percentile,
        rank_mode=index.rank_mode,
        max_level=min(index.max_level or index.prefix_length, index.prefix_length),
        n_spaces=index.n_spaces,
        n_sketched=index.n_sketched,
    )


def candidate_sizes(config: PPPExperiment, n: int) -> list[int]:
    """The grid of R, ascending, none above n. Raises ConfigError if nothing is left."""
    measure = config.measure
    sizes = list(measure.n_candidates or ())
    sizes += [max(1, int(np.ceil(share * n - 1e-9))) for share in measure.n_candidates_share or ()]
    sizes = sorted({size for size in sizes if size <= n})
    if not sizes:
        raise ConfigError(f"measure.n_candidates: expected a value of at most n = {n}, got {measure.n_candidates}")
    return sizes


def measure_candidates(
    config: PPPExperiment, workload: Workload, group: list[PPPPoint], pending: list[PPPPoint], phase: Phase
) -> Iterator[Part]:
    """Recall of the candidate set for all R from one ranked list per query, or with sketches two; nothing is read.

    arrays: positions_at_<k> (n_queries, min(k, n)), see `hit_positions`, and `reordered_hit_positions` for candidates
    that sketches choose; n_ids_ranked (n_queries, n_spaces) for the largest R; with cost_at_target also
    <needed column>_n_ids_ranked.
    """
    phase("exact neighbours")
    queries = workload.require_queries()
    neighbours = workload.neighbours(max(config.measure.k))
    phase("index")
    index = new_index(workload, group).build(workload.objects)
    pivot_distances = [index.pivot_distances(queries[i : i + 1]) for i in range(len(queries))]
    sizes = candidate_sizes(config, len(index))
    for point in pending:
        phase(_named(point))
        options = ranking_options(point.index)
        arrays = ranked_arrays(config, index, pivot_distances, neighbours, sizes[-1], options)
        if config.measure.cost_at_target:
            arrays |= _cost_at_target(config, index, pivot_distances, arrays, options)
        about = {"n_objects": len(index), "sizes": sizes, "n_ranked": sizes[-1]}
        yield Part(point, about, arrays)


def ranked_arrays(
    config: PPPExperiment,
    index: PPPCodes,
    pivot_distances: list[NDArray[np.float64]],
    neighbours: Neighbours,
    n_candidates: int,
    options: RankingOptions,
) -> dict[str, NDArray[Any]]:
    """Hit positions and probe depths of the best `n_candidates` of every query."""
    ks = config.measure.k
    sketched = index.sketch is not None and options.n_sketched != 0
    sizes = range(1, n_candidates + 1) if sketched else ()
    n_compared = np.array([options.sketched_of(size, len(index)) for size in sizes], dtype=np.int64)

    def one(i: int) -> tuple[list[NDArray[np.int64]], NDArray[np.int64]]:
        goals = [(neighbours.right(i, k), min(k, len(index))) for k in ks]
        if not sketched:
            ranking = index.rank(pivot_distances[i], n_candidates, options)
            return [hit_positions(ranking.ids, *goal) for goal in goals], ranking.n_ids_ranked
        most = int(n_compared[-1])
        before = index.rank(pivot_distances[i], most, replace(options, n_sketched=0))
        after = index.rank(pivot_distances[i], most, replace(options, n_sketched=most))
        lists = Reordered.of(before.ids, after.ids, n_compared)
        return [reordered_hit_positions(lists, *goal) for goal in goals], after.n_ids_ranked

    found = thread_map(one, range(len(pivot_distances)), available_cores())
    arrays = {f"positions_at_{k}": np.stack([rows[j] for rows, _ in found]) for j, k in enumerate(ks)}
    return {**arrays, "n_ids_ranked": np.stack([depths for _, depths in found])}


def _cost_at_target(
    config: PPPExperiment,
    index: PPPCodes,
    pivot_distances: list[NDArray[np.float64]],
    arrays: dict[str, NDArray[Any]],
    options: RankingOptions,
) -> dict[str, NDArray[Any]]:
    """Probe depths when exactly the candidates needed for a target are asked for."""
    costs: dict[str, NDArray[Any]] = {}
    for target in config.measure.target_recall:
        for k in config.measure.k:
            needed = candidates_needed(arrays[f"positions_at_{k}"], target)
            if not np.isfinite(needed):
                continue
            size = int(needed)

            def depth(distances: NDArray[np.float64], size: int = size) -> NDArray[np.int64]:
                return index.rank(distances, size, options).n_ids_ranked

            depths = thread_map(depth, pivot_distances, available_cores())
            costs[f"{needed_column(target, k)}_n_ids_ranked"] = np.stack(depths)
    return costs


def measure_memory(
    config: PPPExperiment, workload: Workload, group: list[PPPPoint], pending: list[PPPPoint], phase: Phase
) -> Iterator[Part]:
    """Bytes per object: equation (6), with the last objects inserted one table behind the trees, and consolidated."""
    n = len(workload.objects)
    n_built = n - n // INSERTED_SHARE
    built, inserted = (RowsSource(workload.objects, rows) for rows in (np.arange(n_built), np.arange(n_built, n)))
    for point in pending:
        phase(_named(point))
        index = new_index(workload, [point])
        index.build(built)
        index.insert(inserted)
        before = index.memory_report()
        index.consolidate()
        after = index.memory_report()
        fixed = sum(after.pop(part, 0) for part in FIXED_PARTS)
        before_bytes = sum(before.values()) - fixed
        c = point.index
        about: dict[str, Any] = {
            "n_objects": n,
            "flat_bytes": flat_code_bits(n, c.n_spaces, c.n_pivots, c.prefix_length) / 8,
            "flat_31_bit_ids_bytes": c.n_spaces * (c.prefix_length * pivot_bits(c.n_pivots) + 31) / 8,
            "inserted_bytes": before_bytes / n,
            "index_bytes": sum(after.values()) / n,
            "pivots_bytes": fixed / n,
        }
        about |= {memory_part_column(part): n_bytes / n for part, n_bytes in after.items()}
        yield Part(point, about)


def _named(point: PPPPoint) -> str:
    index = point.index
    return point.label or f"λ={index.n_spaces} k={index.n_pivots} l={index.max_level or index.prefix_length}"
