"""From per-query values to rows: results.csv (one row per group of queries) and points.csv (one row per feature)."""

from typing import Any

import numpy as np

from metricsearch.evaluation import percentiles
from metricsearch.experiment.features.columns import FACTS
from metricsearch.experiment.features.config import FeaturesExperiment
from metricsearch.experiment.features.data import data_name
from metricsearch.experiment.group_means import group_mean
from metricsearch.experiment.parts import Part


def result_rows(config: FeaturesExperiment, part: Part) -> list[dict[str, Any]]:
    """Rows of results.csv: means over the queries of one category or object, in per cent."""
    groups = part.arrays["groups"]
    rows = []
    for number, name in enumerate(part.about["groups"]):
        own = groups == number
        row = {**_parameters(config, part), "group": name, "n_queries": int(own.sum())}
        for measure in config.measure.measures:
            values, counted = _values(part, measure)
            row[measure] = float(values[own & counted].mean()) if (own & counted).any() else float("nan")
        rows.append(row)
    return rows


def point_row(config: FeaturesExperiment, part: Part) -> dict[str, Any]:
    """Row of points.csv: means with 95 % bootstrap intervals over groups, times with p50/p95/p99, and facts."""
    row, arrays = _parameters(config, part), part.arrays
    for measure in config.measure.measures:
        row |= group_mean(measure, *_values(part, measure), arrays["groups"], config.measure.n_bootstrap)
    times = percentiles(arrays["extract_ms"])
    row |= {"extract_ms": arrays["extract_ms"].mean(), **{f"extract_ms_{p}": value for p, value in times.items()}}
    return row | {name: part.about[name] for name in FACTS}


def _parameters(config: FeaturesExperiment, part: Part) -> dict[str, Any]:
    """The metric is the one that was used, the feature's own if none was asked for."""
    about, columns = part.about, part.point.columns()
    return {
        "data": data_name(config.data, columns["categories"], about["n_background"]),
        "series": part.point.label,
        **columns,
        "metric": about["metric"],
    }


def _values(part: Part, measure: str) -> tuple[Any, Any]:
    """(per query in per cent, whether it counts): without right images a query has no value."""
    values = part.arrays["average_precision" if measure == "map" else measure]
    return 100 * np.nan_to_num(values), ~np.isnan(part.arrays["average_precision"])
