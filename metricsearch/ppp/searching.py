"""One query over λ PPP-trees: its candidates in their final order, whatever the aggregation."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from metricsearch.ppp.aggregation import Block, PercentileDepths, Progress, SpaceStream, aggregate, prefix_keys
from metricsearch.ppp.content import View
from metricsearch.ppp.ranking import RankingOptions, RankingTable
from metricsearch.ppp.scores import ScoreDepths, aggregate_scores, space_scores


def candidate_blocks(
    view: View,
    tables: list[RankingTable],
    options: RankingOptions,
    calibration: NDArray[np.float64],
    n_wanted: int,
    first_block: int | None,
    progress: Progress,
    n_threads: int,
) -> Iterator[Block]:
    """Blocks of (ids, aggregated ranks or sums of scores, hits), best first, together the best n_wanted <= n.

    tables: of the spaces to use. calibration: see `space_scores`. first_block: candidates to find before the first
    block is handed on; None = all.
    """
    first = min(first_block or n_wanted, n_wanted)
    sizes = [first, n_wanted - first] if first < n_wanted else [first]
    n_out = 0
    for ordinals, merits, hits in _blocks(view, tables, options, calibration, sizes, progress, n_threads):
        ids = view.ids_of(ordinals)
        # Of equal merit: more hits first, then smaller ID.
        order = np.lexsort((ids, -hits.astype(np.int16), merits))[: n_wanted - n_out]
        n_out += len(order)
        yield ids[order], merits[order], hits[order]


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
