"""Tables of experiments that compare features: quality beside size and time."""

from typing import TYPE_CHECKING, Any

from metricsearch.report.cells import Table, cell, key_columns
from metricsearch.report.frames import FEATURE_PARAMETERS, column_names, over_seeds
from metricsearch.report.labels import axis_label

if TYPE_CHECKING:
    import pandas as pd


def feature_tables(about: dict[str, Any], points: "pd.DataFrame") -> list[tuple[str, Table]]:
    """(caption, table): the one table of a comparison."""
    layout = about["report"] or {"y": [""], "paper_values": {}}
    caption = "Measures [interval], distance, size of a descriptor, time to extract it on one thread"
    return [(caption, comparison_table(over_seeds(points), layout))]


def comparison_table(points: "pd.DataFrame", layout: dict[str, Any]) -> Table:
    """One row per point. Published values stand behind the first of `layout["y"]`."""
    keys = _keys(points)
    measures = [name for name in column_names(points) if f"{name}_low" in points]
    paper_values = layout["paper_values"]
    header = ["data", *keys, "metric", axis_label("dimension"), axis_label("descriptor_bytes")]
    for name in measures:
        header += [axis_label(name), *(["published"] if paper_values and name == layout["y"][0] else [])]
    rows = [[*header, "ms per image p50 / p95", "trained on", "training (s)"]]
    for _, row in points.iterrows():
        cells = [str(row["data"]), *(cell(row[key]) for key in keys), str(row["metric"])]
        cells += [f"{row['dimension']:,.0f}", f"{row['descriptor_bytes']:,.0f}"]
        for name in measures:
            cells.append(f"{row[name]:.2f} [{row[f'{name}_low']:.2f}, {row[f'{name}_high']:.2f}]")
            if paper_values and name == layout["y"][0]:
                cells.append(cell(paper_values.get(row["series"])))
        cells.append(f"{row['extract_ms_p50']:.3g} / {row['extract_ms_p95']:.3g}")
        trained = row["n_trained_on"] > 0
        cells += [
            f"{row['n_trained_on']:,.0f} photos" if trained else "–",
            f"{row['train_s']:.1f}" if trained else "–",
        ]
        rows.append(cells)
    return rows


def _keys(points: "pd.DataFrame") -> list[str]:
    """What tells the rows apart: the label if it does, else every parameter that varies; the metric is always shown."""
    if points["series"].is_unique:
        return ["series"]
    return [name for name in key_columns(points) if name in ("series", *FEATURE_PARAMETERS) and name != "metric"]
