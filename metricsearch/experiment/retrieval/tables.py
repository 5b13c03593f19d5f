"""From per-query values to rows: results.csv (the rank curve of each point) and points.csv (one row per point)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.evaluation import percentiles
from metricsearch.experiment.group_means import group_mean
from metricsearch.experiment.parts import Part
from metricsearch.experiment.retrieval.columns import COUNTS, FACTS, TIMES
from metricsearch.experiment.retrieval.config import RetrievalExperiment
from metricsearch.experiment.retrieval.data import data_name

Values = NDArray[np.float64]


def result_rows(config: RetrievalExperiment, part: Part) -> list[dict[str, Any]]:
    """Rows of results.csv: the share of (query, relevant image) pairs whose rank lies within a share of the database.

    The first row is rank 1, which is perfect retrieval; shares smaller than one image are left out.
    """
    first, n = _parameters(config, part), part.about["n_database"]
    ranks = part.arrays["ranks"]
    rows = []
    ends = [(100 / n, 1), *((percent, _limit(percent, n)) for percent in config.measure.rank_percent)]
    for percent, limit in ends:
        if limit >= 1:
            within = _within(ranks, limit)
            rows.append({**first, "rank_percent": percent, **_mean(config, part, "found_within", within, ranks > 0)})
    return rows


def point_row(config: RetrievalExperiment, part: Part) -> dict[str, Any]:
    """Row of points.csv: means with 95 % bootstrap intervals, times with p50/p95/p99, counts, and facts of the index.

    Intervals resample groups of queries, because photos of one object are not independent of each other.
    """
    row, arrays = _parameters(config, part), part.arrays
    for measure in config.measure.measures:
        if measure == "perfect_retrieval":
            for name, ranks in ((measure, arrays["ranks"]), (f"{measure}_worst", arrays["worst_ranks"])):
                row |= _mean(config, part, name, _within(ranks, 1), ranks > 0)
        elif measure.startswith("map"):
            row |= _average_precision(config, part, measure)
        elif measure == "ns_score":
            row |= _mean(config, part, measure, arrays["ns_score"], np.ones(len(arrays["ns_score"])))
        else:
            for k in config.measure.k:
                row |= _mean(config, part, f"{measure}_{k}", *_found_in(measure, arrays["ranks"], k))
    for name in TIMES:
        row |= {name: arrays[name].mean(), **{f"{name}_{p}": value for p, value in percentiles(arrays[name]).items()}}
    row |= {name: arrays[name].mean() for name in COUNTS}
    return row | {name: part.about[name] for name in FACTS}


def _parameters(config: RetrievalExperiment, part: Part) -> dict[str, Any]:
    about = part.about
    return {
        "data": data_name(config.data, about["n_distractors"], about["n_bags"]),
        "series": part.point.label,
        **part.point.columns(),
        "n_images": about["n_database"],
        "n_training_images": about["n_training_images"],
        "n_queries": len(part.arrays["ranks"]),
    }


def _limit(percent: float, n: int) -> int:
    """Images in so many per cent of n; 0.142857 % of 1400 are meant to be 2."""
    return int(percent / 100 * n + 1e-3)


def _within(ranks: NDArray[np.int64], limit: int) -> Values:
    """100 for each pair whose rank is at most `limit`. ranks: (n_queries, most relevant images), 0: no such image."""
    return np.where((ranks > 0) & (ranks <= limit), 100.0, 0.0)


def _found_in(measure: str, ranks: NDArray[np.int64], k: int) -> tuple[Values, NDArray[np.bool_]]:
    """Of queries that have relevant images: 100 where one is among the first k ("top"), or the share of them in %."""
    there = ranks > 0
    # The i-th right image has i - 1 right ones and rank - 1 wrong ones ahead.
    ordered = np.sort(np.where(there, ranks, np.iinfo(np.int64).max // 2), axis=1)
    hits = (ordered + np.arange(ranks.shape[1]) <= k).sum(axis=1)
    n_relevant = there.sum(axis=1)
    values: Values = 100.0 * (np.minimum(hits, 1) if measure == "top" else hits / np.maximum(n_relevant, 1))
    return values, n_relevant > 0


def _average_precision(config: RetrievalExperiment, part: Part, measure: str) -> dict[str, float]:
    """Its mean over the queries that have relevant images, in per cent; measure: "map", "map_easy" or "map_hard"."""
    values = part.arrays[measure.replace("map", "average_precision")]
    return _mean(config, part, measure, 100 * np.nan_to_num(values), ~np.isnan(values))


def _mean(
    config: RetrievalExperiment, part: Part, name: str, values: Values, counted: NDArray[Any]
) -> dict[str, float]:
    """Mean of the counted values and its 95 % interval. values, counted: per query, or per query and image."""
    return group_mean(name, values, counted, part.arrays["groups"], config.measure.n_bootstrap)
