"""report.md of a run: what was measured, the paper's value beside ours, tables, figures, provenance."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from metricsearch.files import written_atomically
from metricsearch.report.figures import line_figure, save_figure, stacked_figure
from metricsearch.report.frames import curves
from metricsearch.report.tables import markdown_table, result_tables

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
    figures = write_figures(directory, about, results, points)
    blocks = [f"# {about['title']}", f"Source: {about['source']}", data_line(about)]
    if about["paper"]:
        blocks.append(f"Published: {about['paper']}")
    if about["difference"]:
        blocks.append(f"Why ours may differ: {about['difference']}")
    for caption, table in result_tables(about, results, points):
        blocks += [f"**{caption}**", markdown_table(table)]
    for path in figures:
        if path.suffix == ".png":
            blocks.append(f"![{about['title']}]({path.name})")
    if about["kind"] != "memory":
        blocks.append(band_line(points))
    blocks.append(f"All rows: results.csv, points.csv; per-query values: results.h5. {provenance_line(machine)}")
    report = directory / "report.md"
    with written_atomically(report) as temporary:
        temporary.write_text("\n\n".join(blocks) + "\n", encoding="utf-8")
    return [report, *figures]


def write_figures(
    directory: Path, about: dict[str, Any], results: "pd.DataFrame", points: "pd.DataFrame"
) -> list[Path]:
    """The figures that [report] asks for: one per y, or one of stacked bars."""
    layout = about["report"]
    if layout is None:
        return []
    title = (layout["title"] or about["title"]) + (", synthetic data" if about["synthetic"] else "")
    x, names, series = layout["x"], list(layout["y"]), list(layout["series"])
    if layout["style"] == "stacked":
        frame = results if x in results and set(names) <= set(results) else points
        return save_figure(
            stacked_figure(frame, x=x, parts=names, series=series, title=title), directory / "figure-stacked"
        )
    paths = []
    for y in names:
        frame = points if x in points and y in points else results
        if x not in frame or y not in frame:  # nothing reached the target
            continue
        figure = line_figure(
            curves(frame, x, y, series), x=x, y=y, title=title, log_x=layout["log_x"], log_y=layout["log_y"]
        )
        paths += save_figure(figure, directory / f"figure-{y}")
    return paths


def data_line(about: dict[str, Any]) -> str:
    """Which data: synthetic ones are called so."""
    data = about["data"]
    kind = "SYNTHETIC data" if about["synthetic"] else "Data"
    n = f"n = {data['n']:,}" if data["n"] else "all objects"
    queries = f", {data['n_queries']} queries that are not among the objects" if data["n_queries"] else ""
    return f"{kind}: {data['name']}, {n}{queries}. {about['data_title']}. Origin: {about['data_origin']}."


def band_line(points: "pd.DataFrame") -> str:
    """What the bands of the figures mean."""
    n_seeds = points["seed"].nunique()
    if n_seeds > 1:
        return f"Means of {n_seeds} seeds of the pivot choice; bands and brackets: smallest to largest of them."
    return "Bands and brackets: 95 % bootstrap intervals over queries."


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
        f"seeds: data {machine['seeds']['data']}, index {', '.join(map(str, machine['seeds']['index']))}; "
        f"cache: {machine['cache']}; Python {machine['python']}, {packages}."
    )
