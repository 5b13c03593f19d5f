"""Tables of a run, for people: the columns that matter, with intervals, in Markdown or aligned text."""

from typing import TYPE_CHECKING, Any

import numpy as np

from metricsearch.report.cells import Table, cell, key_columns, text_table
from metricsearch.report.feature_tables import feature_tables
from metricsearch.report.frames import column_names, over_seeds
from metricsearch.report.labels import axis_label
from metricsearch.report.retrieval_tables import retrieval_tables

if TYPE_CHECKING:
    import pandas as pd

MAX_ROWS = 80
_TIMES = ("total_ms", "rank_ms", "read_ms", "refine_ms")


def result_tables(about: dict[str, Any], results: "pd.DataFrame", points: "pd.DataFrame") -> list[tuple[str, Table]]:
    """(caption, table) of what a reader wants to see of results.csv and points.csv.

    A table that would be too long is left out, and its caption says so.
    """
    if about["kind"] == "retrieval":
        return [_shortened(*table) for table in retrieval_tables(about, results, points)]
    if about["kind"] == "features":
        return [_shortened(*table) for table in feature_tables(about, points)]
    data = results["data"].iloc[0]
    if about["kind"] == "memory":
        return [(f"Bytes per object, data: {data}", memory_table(results))]
    tables = []
    if about["kind"] == "search":
        tables.append((f"Bytes per object, data: {data}", bytes_table(points)))
    results, points = over_seeds(results), over_seeds(points)
    needed = [name for name in column_names(points) if name.startswith("candidates_for_") and f"{name}_low" in points]
    if needed:
        tables.append((f"Candidates needed [interval], data: {data}", needed_table(points, needed)))
    tables.append((f"By number of candidates, recall [interval], data: {data}", recall_table(results)))
    return [_shortened(*table) for table in tables]


def _shortened(caption: str, table: Table) -> tuple[str, Table]:
    if len(table) - 1 <= MAX_ROWS:
        return caption, table
    return f"{caption}: {len(table) - 1} rows, too many to show here; see the CSV files of the run", []


def recall_table(results: "pd.DataFrame") -> Table:
    """One row per point and R: recalls with intervals, times p50 / p95 / p99 and megabytes read where measured."""
    keys = key_columns(results)
    recalls = [name for name in column_names(results) if name.startswith("recall_at_") and f"{name}_low" in results]
    timed = [name for name in _TIMES if name in results]
    header = ["data", *keys, "R", "R / n", "distances / n", *(axis_label(name) for name in recalls)]
    header += [
        f"{axis_label(name)} p50 / p95 / p99" if name == "total_ms" else f"{axis_label(name)} mean" for name in timed
    ]
    header += ["MB read"] * ("n_bytes_read" in results)
    rows = [header]
    for _, row in results.iterrows():
        cells = [str(row["data"]), *(cell(row[key]) for key in keys), f"{row['n_candidates']:,}"]
        cells += [f"{row['n_candidates_share']:.2%}", f"{row['distance_share']:.2%}"]
        cells += [f"{row[name]:.3f} [{row[f'{name}_low']:.3f}, {row[f'{name}_high']:.3f}]" for name in recalls]
        for name in timed:
            if name == "total_ms":
                cells.append(" / ".join(f"{row[f'{name}_{p}']:.3g}" for p in ("p50", "p95", "p99")))
            else:
                cells.append(f"{row[name]:.3g}")
        if "n_bytes_read" in results:
            cells.append(f"{row['n_bytes_read'] / 1e6:.3g}")
        rows.append(cells)
    return rows


def needed_table(points: "pd.DataFrame", needed: list[str]) -> Table:
    """One row per point: candidates for each target recall; "> R" where the grid ended before."""
    keys = key_columns(points)
    rows = [["data", *keys, *(axis_label(name) for name in needed)]]
    depths = [name for name in needed if f"{name}_n_ids_ranked" in points]
    rows[0] += [axis_label(f"{name}_n_ids_ranked") for name in depths]
    for _, row in points.iterrows():
        cells = [str(row["data"]), *(cell(row[key]) for key in keys)]
        for name in needed:
            low, high = (_reached(row[f"{name}_{end}"], int(row["n_ranked"])) for end in ("low", "high"))
            cells.append(f"{_reached(row[name], row['n_ranked'])} [{low}, {high}]")
        cells += [cell(row[f"{name}_n_ids_ranked"]) for name in depths]
        rows.append(cells)
    return rows


def bytes_table(points: "pd.DataFrame") -> Table:
    """One row per point: bytes per object in memory, pivots apart, and on disk."""
    keys = ["codec", *(key for key in key_columns(points) if key != "codec")]
    sketched = "sketch_bytes" in points and (points["sketch_bytes"] > 0).any()
    codes = "codes, IDs, directory, sketches" if sketched else "codes, IDs, directory"
    rows = [["data", *keys, f"{codes} in memory", "pivots in memory", "object store file", "its payload"]]
    for _, row in points.iterrows():
        index, pivots = row["index_memory_bytes"], row["pivot_memory_bytes"]
        parts = (index - pivots, pivots, row["store_file_bytes"], row["store_payload_bytes"])
        shares = (f"{n_bytes / row['n_objects']:,.2f}" for n_bytes in parts)
        rows.append([str(row["data"]), *(cell(row[key]) for key in keys), *shares])
    return rows


def memory_table(results: "pd.DataFrame") -> Table:
    """One row per point: equation (6), and measured parts."""
    keys = key_columns(results) or ["n_spaces", "n_pivots", "prefix_length", "n"]
    columns = [name for name in column_names(results) if name.endswith("_bytes")]
    rows = [["data", *keys, *(axis_label(name).removesuffix(" (bytes per object)") for name in columns)]]
    for _, row in results.iterrows():
        rows.append([str(row["data"]), *(cell(row[key]) for key in keys), *(f"{row[name]:.2f}" for name in columns)])
    return rows


def _reached(value: float, largest: int) -> str:
    return f"{value:,.0f}" if np.isfinite(value) else f"> {largest:,}"


def result_text(about: dict[str, Any], results: "pd.DataFrame", points: "pd.DataFrame") -> str:
    """The tables of a run as text."""
    tables = result_tables(about, results, points)
    return "\n\n".join(f"{caption}\n{text_table(table)}" if table else caption for caption, table in tables)
