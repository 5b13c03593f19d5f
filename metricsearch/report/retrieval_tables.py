"""Tables of experiments with vocabulary trees: the paper's values beside ours, rank curves, costs."""

import math
from typing import TYPE_CHECKING, Any

from metricsearch.report.cells import Table, cell, key_columns
from metricsearch.report.frames import column_names, over_seeds, row_labels
from metricsearch.report.labels import axis_label

if TYPE_CHECKING:
    import pandas as pd

_SHOWN_COSTS = ("quantise_ms", "score_ms", "verify_ms")


def retrieval_tables(about: dict[str, Any], results: "pd.DataFrame", points: "pd.DataFrame") -> list[tuple[str, Table]]:
    """(caption, table): measures, rank curves where there are some, curves of the paper, costs."""
    results, points = over_seeds(results), over_seeds(points)
    layout = about["report"] or {"x": "", "y": [""], "paper_values": {}, "published": []}
    tables = [("Measures [interval]", measures_table(points, layout))]
    curves = {curve["label"]: curve for curve in layout["published"]}
    if results["rank_percent"].nunique() > results["n_images"].nunique():
        ours = "ours (published)" if curves else "ours"
        tables.append((f"{axis_label('found_within')} by share of the database: {ours}", curve_table(results, curves)))
    elif curves:
        caption = f"Published: {axis_label(layout['y'][0])} by {axis_label(layout['x'])}"
        tables.append((caption, published_table(curves)))
    return [*tables, ("Costs: milliseconds per query on one thread, and bytes", cost_table(points))]


def measures_table(points: "pd.DataFrame", layout: dict[str, Any]) -> Table:
    """One row per point: every measure with its interval, the published value behind the first of `layout["y"]`."""
    keys = key_columns(points)
    measures = [name for name in column_names(points) if f"{name}_low" in points and not name.endswith("_ms")]
    paper_values = layout["paper_values"]
    header = ["data", *keys]
    for name in measures:
        header += [axis_label(name), *(["published"] if paper_values and name == layout["y"][0] else [])]
    rows = [[*header, "leaves"]]
    for _, row in points.iterrows():
        cells = [str(row["data"]), *(cell(row[key]) for key in keys)]
        for name in measures:
            cells.append(f"{row[name]:.2f} [{row[f'{name}_low']:.2f}, {row[f'{name}_high']:.2f}]")
            if paper_values and name == layout["y"][0]:
                cells.append(cell(paper_values.get(row["series"])))
        rows.append([*cells, f"{row['n_leaves']:,.0f}"])
    return rows


def curve_table(results: "pd.DataFrame", published: dict[str, dict[str, Any]]) -> Table:
    """One row per share of the database, one column per line."""
    results = results.assign(_label=row_labels(results, "rank_percent", []))
    labels = list(dict.fromkeys(results["_label"]))
    rows = [["within % of the database", *labels]]
    for percent in sorted(set(results["rank_percent"])):
        cells = [f"{percent:.3g}"]
        for label in labels:
            found = results[(results["_label"] == label) & (results["rank_percent"] == percent)]["found_within"]
            ours = f"{found.iloc[0]:.2f}" if len(found) else "–"
            curve = published.get(label, {"x": [], "y": []})
            paper = [y for x, y in zip(curve["x"], curve["y"], strict=True) if math.isclose(x, percent, rel_tol=1e-3)]
            cells.append(f"{ours} ({paper[0]:g})" if paper else ours)
        rows.append(cells)
    return rows


def published_table(curves: dict[str, dict[str, Any]]) -> Table:
    """One row per curve of the paper."""
    rows = [["curve", "x: y"]]
    for label, curve in curves.items():
        pairs = (f"{cell(int(x) if x == int(x) else x)}: {y:g}" for x, y in zip(curve["x"], curve["y"], strict=True))
        rows.append([label, ", ".join(pairs)])
    return rows


def cost_table(points: "pd.DataFrame") -> Table:
    """One row per point: times, entries touched, bytes of the index and of the vocabulary, time to train."""
    keys = key_columns(points)
    times = [name for name in _SHOWN_COSTS if points[name].any()]
    header = [
        "data",
        *keys,
        f"{axis_label('total_ms')} p50 / p95 / p99",
        *(f"{axis_label(name)} mean" for name in times),
    ]
    rows = [[*header, axis_label("n_entries"), "index bytes per image", "vocabulary MB", "training (s)"]]
    for _, row in points.iterrows():
        cells = [str(row["data"]), *(cell(row[key]) for key in keys)]
        cells.append(" / ".join(f"{row[f'total_ms_{p}']:.3g}" for p in ("p50", "p95", "p99")))
        cells += [f"{row[name]:.3g}" for name in times]
        cells += [f"{row['n_entries']:,.0f}", f"{row['index_bytes_per_image']:,.0f}"]
        rows.append([*cells, f"{row['vocabulary_bytes'] / 1e6:.1f}", f"{row['train_s']:.1f}"])
    return rows
