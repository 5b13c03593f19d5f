"""What figures and tables need of results.csv and points.csv: what varies, legend entries, seeds taken together."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.report.labels import short_label

if TYPE_CHECKING:
    import pandas as pd

PPP_PARAMETERS = (
    "n",
    "codec",
    "n_spaces",
    "n_pivots",
    "prefix_length",
    "ranking",
    "decay",
    "aggregation",
    "percentile",
    "rank_mode",
    "max_level",
    "pivot_choice",
    "sketch",
    "sketch_bytes",
    "n_sketched",
    "seed",
)
RETRIEVAL_PARAMETERS = (
    "n_images",
    "feature",
    "max_side",
    "n_features",
    "contrast_threshold",
    "grid_step",
    "grid_patch",
    "branching",
    "depth",
    "cycles",
    "start",
    "train_on",
    "n_training_images",
    "n_descriptors",
    "norm",
    "levels",
    "entropy_query",
    "entropy_database",
    "frequency",
    "relative_to",
    "exact_frequency",
    "stop_most",
    "stop_least",
    "max_list_length",
    "burstiness",
    "drop_unseen",
    "hamming_threshold",
    "weights",
    "n_assignments",
    "n_checks",
    "verified_top",
    "model",
    "method",
    "ratio",
    "mutual",
    "max_error",
    "min_inliers",
    "seed",
)
FEATURE_PARAMETERS = (
    "categories",
    "feature",
    "pooling",
    "local",
    "words",
    "local_pca",
    "n_descriptors",
    "pca",
    "whiten",
    "metric",
    "seed",
)
PARAMETERS = tuple(dict.fromkeys((*PPP_PARAMETERS, *RETRIEVAL_PARAMETERS, *FEATURE_PARAMETERS)))


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """One line of a figure: x, y and the band low..high, (m,) float64, ascending x."""

    label: str
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def column_names(frame: "pd.DataFrame") -> list[str]:
    """Names of the columns."""
    return [str(name) for name in frame.columns]


def varying(frame: "pd.DataFrame") -> list[str]:
    """Parameters with more than one value; max_level only where the prefix length does not say the same."""
    names = [name for name in PARAMETERS if name in frame and frame[name].nunique(dropna=False) > 1]
    if {"max_level", "prefix_length"} <= set(names) and (frame["max_level"] == frame["prefix_length"]).all():
        names.remove("max_level")
    return names


def over_seeds(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Rows that differ in the seed alone made one: means, and as interval the smallest and the largest.

    Unchanged where there is one seed only.
    """
    if frame["seed"].nunique() < 2:
        return frame
    names = [name for name in column_names(frame) if name != "seed"]
    keys = [name for name in names if name in (*PARAMETERS, "data", "series", "n_candidates", "rank_percent")]
    how: dict[str, Any] = {}
    for name in names:
        if name in keys:
            continue
        base, _, end = name.rpartition("_")
        if end in ("low", "high") and base in names:
            how[name] = (base, "min" if end == "low" else "max")
        else:
            how[name] = (name, "mean" if frame[name].dtype.kind in "fiu" else "first")
    merged: pd.DataFrame = frame.groupby(keys, sort=False, dropna=False).agg(**how).reset_index()
    return merged.reindex(columns=names).assign(seed="all")


def row_labels(frame: "pd.DataFrame", x: str, series: list[str]) -> list[str]:
    """Legend entry of every row: the label of its series, and the parameters that vary besides x and the seed."""
    if series:
        names = [name for name in series if name != "series"]
    else:
        groups = [varying(group) for _, group in frame.groupby("series", sort=False, dropna=False)]
        names = [name for name in PARAMETERS if name not in (x, "seed") and any(name in group for group in groups)]
    labels = []
    for _, row in frame.iterrows():
        parts = [str(row["series"])] if row["series"] else []
        labels.append(", ".join(parts + [f"{short_label(name)} = {value_text(row[name])}" for name in names]))
    return labels


def value_text(value: Any) -> str:
    """A parameter's value in a legend or on an axis."""
    return f"{value:g}" if isinstance(value, float | np.floating) else str(value)


def curves(frame: "pd.DataFrame", x: str, y: str, series: list[str]) -> list[Curve]:
    """The lines of column `y` over column `x`, one per legend entry (see `row_labels`).

    Rows that differ in the seed alone are taken together (see `over_seeds`). The band is `<y>_low`..`<y>_high` where
    there is one. Values that were not reached (infinite) are left out.
    """
    several_seeds = frame["seed"].nunique() > 1
    if several_seeds and f"{y}_low" not in frame:
        frame = frame.assign(**{f"{y}_low": frame[y], f"{y}_high": frame[y]})
    table = over_seeds(frame)
    table = table.assign(_label=row_labels(table, x, series))
    result = []
    for label, group in table.groupby("_label", sort=False):
        reached = group[np.isfinite(group[y].to_numpy(dtype=np.float64))].sort_values(x, kind="stable")
        low, high = (f"{y}_low", f"{y}_high") if f"{y}_low" in reached else (y, y)
        if len(reached):
            columns = (reached[name].to_numpy(dtype=np.float64) for name in (x, y, low, high))
            result.append(Curve(str(label), *columns))
    return result
