"""From per-query values to rows: results.csv (one per point and R) and points.csv (one per point)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.datasets import describe
from metricsearch.evaluation import (
    bootstrap_mean,
    candidates_needed,
    candidates_needed_interval,
    percentiles,
    recall_at,
)
from metricsearch.experiment.parts import Part
from metricsearch.experiment.ppp.columns import (
    COUNTS,
    TIMES,
    needed_column,
    recall_column,
)
from metricsearch.experiment.ppp.config import PPPExperiment
from metricsearch.store import get_codec

BOOTSTRAP_SEED = 0


def result_rows(config: PPPExperiment, part: Part) -> list[dict[str, Any]]:
    """Rows of results.csv, one per R: means, 95 % bootstrap intervals (`_low`, `_high`), p50/p95/p99 of times.

    Kind "memory" has one row per point. The column "data" says "synthetic" where that is so.
    """
    first = _parameters(config, part)
    if config.kind == "memory":
        return [{**first, **{name: value for name, value in part.about.items() if name.endswith("_bytes")}}]
    recalls = {k: _recalls(config, part, k) for k in config.measure.k}
    intervals = {k: bootstrap_mean(recalls[k], **_bootstrap(config)) for k in config.measure.k}
    rows = []
    for i, size in enumerate(part.about["sizes"]):
        row = {**first, "n_candidates": size, "n_candidates_share": size / part.about["n_objects"]}
        row["distance_share"] = _distance_share(part, size)
        for k in config.measure.k:
            name, (low, high) = recall_column(k), intervals[k]
            row |= {name: recalls[k][:, i].mean(), f"{name}_low": low[i], f"{name}_high": high[i]}
        if config.kind == "search":
            row |= _costs(config, part, i)
        rows.append(row)
    return rows


def point_row(config: PPPExperiment, part: Part) -> dict[str, Any]:
    """Row of points.csv: candidates needed for each target with their interval, and what that costs.

    Infinity: not reached with the largest R of the grid.
    """
    row = _parameters(config, part)
    row |= {name: value for name, value in part.about.items() if isinstance(value, int | float | str)}
    for target in config.measure.target_recall if config.kind != "memory" else ():
        for k in config.measure.k:
            name, positions = needed_column(target, k), part.arrays[f"positions_at_{k}"]
            needed = candidates_needed(positions, target)
            low, high = candidates_needed_interval(positions, target, **_bootstrap(config))
            row |= {name: needed, f"{name}_low": low, f"{name}_high": high}
            row[f"{name}_distance_share"] = _distance_share(part, needed) if np.isfinite(needed) else np.inf
            if (depths := part.arrays.get(f"{name}_n_ids_ranked")) is not None:
                row[f"{name}_n_ids_ranked"] = depths.sum(axis=1).mean()
    return row


def _parameters(config: PPPExperiment, part: Part) -> dict[str, Any]:
    columns = part.point.columns()
    synthetic = describe(config.data.name)["access"] == "synthetic"
    return {
        "data": f"{config.data.name} (synthetic)" if synthetic else config.data.name,
        "series": part.point.label,
        **columns,
        "n": part.about["n_objects"],
        "codec": None if columns["codec"] is None else get_codec(columns["codec"]).label,
        "max_level": columns["max_level"] or columns["prefix_length"],
    }


def _recalls(config: PPPExperiment, part: Part, k: int) -> NDArray[np.float64]:
    """(n_queries, n_sizes): of the answers where there are some, else of the candidate sets."""
    if config.kind == "search":
        return part.arrays[recall_column(k)].T
    return recall_at(part.arrays[f"positions_at_{k}"], part.about["sizes"])


def _distance_share(part: Part, n_candidates: float) -> float:
    """Distances computed over those of a full scan: (R + λ·k) / n."""
    columns = part.point.columns()
    return float((n_candidates + columns["n_spaces"] * columns["n_pivots"]) / part.about["n_objects"])


def _costs(config: PPPExperiment, part: Part, i: int) -> dict[str, float]:
    row: dict[str, float] = {}
    for name in TIMES:
        values = part.arrays[name][i]
        low, high = bootstrap_mean(values, **_bootstrap(config))
        row |= {name: float(values.mean()), f"{name}_low": float(low), f"{name}_high": float(high)}
        row |= {f"{name}_{p}": value for p, value in percentiles(values).items()}
    return row | {name: float(part.arrays[name][i].mean()) for name in COUNTS}


def _bootstrap(config: PPPExperiment) -> dict[str, int]:
    return {"n_replicates": config.measure.n_bootstrap, "seed": BOOTSTRAP_SEED}
