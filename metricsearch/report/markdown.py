"""report.md of a run: what was measured, the paper's value beside ours, tables, figures, provenance."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from metricsearch.files import written_atomically
from metricsearch.report.cells import markdown_table
from metricsearch.report.figures import bar_figure, line_figure, save_figure, stacked_figure
from metricsearch.report.frames import Curve, curves
from metricsearch.report.labels import axis_label
from metricsearch.report.tables import result_tables

if TYPE_CHECKING:
    import pandas as pd


def write_report(
    directory: Path,
    about: dict[str, Any],
    results: "pd.DataFrame",
    points: "pd.DataFrame",
    machine: dict[str, Any],
) -> list[Path]:
    """Write the figures and report.md into a run's folder; returns their paths.

    about: config.json; results, points: results.csv and points.csv; machine: provenance.json.
    """
    figures, left_out = write_figures(directory, about, results, points)
    blocks = [f"# {about['title']}", f"Source: {about['source']}", data_line(about)]
    if about["paper"]:
        blocks.append(f"Published: {about['paper']}")
    if about["difference"]:
        blocks.append(f"Why ours may differ: {about['difference']}")
    for caption, table in result_tables(about, results, points):
        blocks += [f"**{caption}**", *([markdown_table(table)] if table else [])]
    for path in figures:
        if path.suffix == ".png":
            blocks.append(f"![{about['title']}]({path.name})")
    blocks += left_out
    if about["kind"] != "memory":
        blocks.append(band_line(about, points))
    blocks.append(f"All rows: results.csv, points.csv; per-query values: results.h5. {provenance_line(machine)}")
    report = directory / "report.md"
    with written_atomically(report) as temporary:
        temporary.write_text("\n\n".join(blocks) + "\n", encoding="utf-8")
    return [report, *figures]


def write_figures(
    directory: Path, about: dict[str, Any], results: "pd.DataFrame", points: "pd.DataFrame"
) -> tuple[list[Path], list[str]]:
    """The figures that [report] asks for: one per y, or one of stacked bars; and a line for each value not shown."""
    layout = about["report"]
    if layout is None:
        return [], []
    title = figure_title(about, points)
    x, names, series = layout["x"], list(layout["y"]), list(layout["series"])
    if layout["style"] == "stacked":
        frame = results if x in results and set(names) <= set(results) else points
        figure = stacked_figure(frame, x=x, parts=names, series=series, title=title)
        return save_figure(figure, directory / "figure-stacked"), []
    paths, left_out = [], []
    for y in names:
        frame = points if x in points and y in points else results
        if x not in frame or y not in frame:
            left_out.append(f"No figure of {axis_label(y)}: no point reached it.")
            continue
        if n_lost := int((~np.isfinite(frame[y].to_numpy(dtype=np.float64))).sum()):
            left_out.append(f"Not drawn, because not reached: {n_lost} of {len(frame)} values of {axis_label(y)}.")
        first = y == names[0]  # published values are those of the first y
        if layout["style"] == "bars":
            published_values = layout["paper_values"] if first else {}
            figure = bar_figure(frame, y=y, title=title, paper_values=published_values)
        else:
            lines = curves(frame, x, y, series)
            published = published_curves(layout) if first else []
            axes = {"log_x": layout["log_x"], "log_y": layout["log_y"]}
            figure = line_figure(lines, x=x, y=y, title=title, published=published, **axes)
        paths += save_figure(figure, directory / f"figure-{y}")
    return paths, left_out


def published_curves(layout: dict[str, Any]) -> list[Curve]:
    """The paper's curves of [[report.published]]; recorded runs from before that table have none."""
    found = []
    for curve in layout.get("published", ()):
        x, y = (np.array(curve[name], dtype=np.float64) for name in ("x", "y"))
        found.append(Curve(curve["label"], x, y, y, y))
    return found


def data_line(about: dict[str, Any]) -> str:
    """Which data: synthetic ones are called so."""
    if about["kind"] in ("retrieval", "features"):
        return f"Data: {about['data_title']} Origin: {about['data_origin']}."
    data = about["data"]
    kind = "SYNTHETIC data" if about["synthetic"] else "Data"
    n = f"n = {data['n']:,}" if data["n"] else "all objects"
    queries = f", {data['n_queries']} queries that are not among the objects" if data["n_queries"] else ""
    return f"{kind}: {data['name']}, {n}{queries}. {about['data_title']}. Origin: {about['data_origin']}."


def figure_title(about: dict[str, Any], points: "pd.DataFrame") -> str:
    """The title of a run's figures; it says what is synthetic, if its own words do not."""
    title: str = about["report"]["title"] or about["title"]
    words = ["synthetic views" if about["kind"] == "retrieval" else "synthetic data"] if about["synthetic"] else []
    if points["data"].str.contains("synthetic bags", regex=False).any():
        words.append("synthetic bags of words")
    return ", ".join([title, *(word for word in words if word not in title)])


def band_line(about: dict[str, Any], points: "pd.DataFrame") -> str:
    """What the bands of the figures mean."""
    n_seeds = points["seed"].nunique()
    if n_seeds > 1:
        what = {"retrieval": "vocabulary", "features": "training"}.get(about["kind"], "pivot choice")
        return f"Means of {n_seeds} seeds of the {what}; bands and brackets: smallest to largest of them."
    units = {
        "retrieval": "groups of queries that show one object",
        "features": "categories or objects, with all queries of each",
    }.get(about["kind"], "queries")
    return f"Bands and brackets: 95 % bootstrap intervals over {units}."


def provenance_line(machine: dict[str, Any]) -> str:
    """Commit, machine, date and state of the cache in one sentence each."""
    commits = [commit[:12] for commit in machine["commits"] if commit]
    code = f"Commit {', '.join(commits)}" if commits else "Commit unknown"
    if machine["any_dirty"]:
        code += " with uncommitted changes"
    memory = f", {machine['memory_gib']} GiB" if machine["memory_gib"] else ""
    packages = ", ".join(f"{name} {number}" for name, number in machine["packages"].items())
    return (
        f"{code}; {machine['cpu']}, {machine['cores']} cores{memory}, {machine['system']}; {machine['date']}; "
        f"seeds: {_seeds_text(machine['seeds'])}; "
        f"cache: {machine['cache']}; Python {machine['python']}, {packages}."
    )


def _seeds_text(seeds: dict[str, Any]) -> str:
    listed = {name: values if isinstance(values, list) else [values] for name, values in seeds.items()}
    return ", ".join(f"{name} {', '.join(map(str, values))}" for name, values in listed.items() if name != "bootstrap")
