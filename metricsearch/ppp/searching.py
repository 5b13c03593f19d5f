"""One query over λ PPP-trees: its candidates in their final order, whatever the aggregation."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.ppp.aggregation import Block, PercentileDepths, Progress, SpaceStream, aggregate, prefix_keys
from metricsearch.ppp.content import View
from metricsearch.ppp.ranking import RankingOptions, RankingTable
from metricsearch.ppp.scores import ScoreDepths, aggregate_scores, space_scores
from metricsearch.sketches import SketchQuery


def candidate_blocks(
    view: View,
    tables: list[RankingTable],
    options: RankingOptions,
    calibration: NDArray[np.float64],
    query: SketchQuery | None,
    n_wanted: int,
    first_block: int | None,
    progress: Progress,
    n_threads: int,
) -> Iterator[Block]:
    """Blocks of (ids, what they are ordered by, hits), best first, together the best n_wanted <= n.

    They are ordered by aggregated ranks or sums of scores; with a sketched query, more candidates than are wanted are
    found that way, and those handed on that their sketches estimate nearest, float32, ties by ID.
    tables: of the spaces to use. calibration: see `space_scores`. first_block: candidates to find before the first
    block is handed on; None = all.
    """
    found = view, tables, options, calibration
    if query is not None:
        yield from _sketched_blocks(*found, query, n_wanted, first_block, progress, n_threads)
        return
    n_left = n_wanted
    for ordinals, merits, hits in _blocks(*found, _block_sizes(n_wanted, first_block), progress, n_threads):
        ids = view.ids_of(ordinals)
        # Of equal merit: more hits first, then smaller ID.
        order = np.lexsort((ids, -hits.astype(np.int16), merits))[:n_left]
        n_left -= len(order)
        yield ids[order], merits[order], hits[order]


def _sketched_blocks(
    view: View,
    tables: list[RankingTable],
    options: RankingOptions,
    calibration: NDArray[np.float64],
    query: SketchQuery,
    n_wanted: int,
    first_block: int | None,
    progress: Progress,
    n_threads: int,
) -> Iterator[Block]:
    """Where all objects would be candidates, none are ranked before."""
    n_sketched = options.sketched_of(n_wanted, view.n_objects)
    if n_sketched == view.n_objects:
        ordinals, hits = view.ordinals, np.zeros(view.n_objects, dtype=np.uint8)
    elif len(tables) == 1 and options.aggregation != "calibrated":
        ordinals, hits = _best_of(view, *_nearest_in_space(view, tables[0], n_sketched, progress), n_sketched)
    else:
        parts = list(_blocks(view, tables, options, calibration, [n_sketched], progress, n_threads))
        ordinals, merits, hits = (np.concatenate(part) for part in zip(*parts, strict=True))
        ordinals, hits = _best_of(view, ordinals, merits, hits, n_sketched)
    estimates = view.estimates(query, ordinals)
    near = np.flatnonzero(estimates <= np.partition(estimates, n_wanted - 1)[n_wanted - 1])
    ids = view.ids_of(ordinals[near])
    best = np.lexsort((ids, estimates[near]))[:n_wanted]
    start = 0
    for size in _block_sizes(n_wanted, first_block):
        part = best[start : start + size]
        yield ids[part], estimates[near[part]], hits[near[part]]
        start += size


def _nearest_in_space(view: View, table: RankingTable, n_wanted: int, progress: Progress) -> Block:
    """At least the n_wanted of least ranking distance, which is what orders objects in one space alone; not sorted."""
    stream = SpaceStream(view.records[0], table)
    depths = PercentileDepths(prefix_keys(view.sample[0], table)[None], view.n_ordinals, 1)
    parts: list[tuple[NDArray[np.float64], NDArray[np.int64]]] = []
    target, reached, n_found = depths.depth(n_wanted), 0.0, 0
    while n_found < n_wanted:
        reached, high, expected = depths.next_slice(0, reached, target)
        parts.append(stream.gather(high, expected))
        n_found += len(parts[-1][0])
    keys, ordinals = (np.concatenate(part) for part in zip(*parts, strict=True))
    progress.n_ids_ranked += n_found
    progress.n_looked = stream.n_looked
    return ordinals, keys, np.ones(n_found, dtype=np.uint8)


def _best_of(
    view: View, ordinals: NDArray[np.int64], merits: NDArray[Any], hits: NDArray[np.uint8], n: int
) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Ordinals and hits of the n that `candidate_blocks` puts first, ascending: so their sketches are read in order."""
    last = np.partition(merits, n - 1)[n - 1]
    surely, tied = np.flatnonzero(merits < last), np.flatnonzero(merits == last)
    order = np.lexsort((view.ids_of(ordinals[tied]), -hits[tied].astype(np.int16)))
    kept = np.concatenate([surely, tied[order[: n - len(surely)]]])
    is_kept = np.zeros(view.n_ordinals, dtype=np.bool_)  # faster than sorting
    hits_of = np.empty(view.n_ordinals, dtype=np.uint8)
    is_kept[ordinals[kept]], hits_of[ordinals[kept]] = True, hits[kept]
    kept = np.flatnonzero(is_kept)
    return kept, hits_of[kept]


def _block_sizes(n_wanted: int, first_block: int | None) -> list[int]:
    first = min(first_block or n_wanted, n_wanted)
    return [first, n_wanted - first] if first < n_wanted else [first]


def _blocks(
    view: View,
    tables: list[RankingTable],
    options: RankingOptions,
    calibration: NDArray[np.float64],
    sizes: list[int],
    progress: Progress,
    n_threads: int,
) -> Iterator[Block]:
    streams = [SpaceStream(view.records[j], table) for j, table in enumerate(tables)]
    sample = np.stack([prefix_keys(view.sample[j], table) for j, table in enumerate(tables)])
    if options.aggregation == "percentile":
        min_hits, dense = options.min_hits(len(tables)), options.rank_mode == "dense"
        hit_depths = PercentileDepths(sample, view.n_ordinals, min_hits)
        return aggregate(streams, hit_depths, view.n_ordinals, min_hits, dense, sizes, progress, n_threads)
    scores = space_scores(options, len(tables), view.n_objects, calibration)
    depths = ScoreDepths(sample, view.n_ordinals, scores)
    return aggregate_scores(streams, scores, depths, view.n_objects, sizes, progress, n_threads)
