"""What a comparison leaves behind: report.md, results.csv, figures, files for ann-benchmarks, and what pages need."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metricsearch.bench.ann_hdf5 import write_ann_hdf5
from metricsearch.bench.plots import FIGURE_PREFIX, caption, drawings, title, write_plots
from metricsearch.bench.results import Result
from metricsearch.bench.summary import results_frame, write_frame
from metricsearch.bench.tables import candidate_tables, index_tables, search_tables, target_tables
from metricsearch.files import written_atomically
from metricsearch.report.cells import Table, markdown_table

if TYPE_CHECKING:
    import pandas as pd

ANN_FOLDER = "ann-benchmarks"


def write_bench_report(
    directory: Path,
    about: dict[str, Any],
    results: Sequence[Result],
    failed: dict[str, str],
    machine: dict[str, Any],
) -> list[Path]:
    """Write everything about one suite into an existing folder, replacing what it wrote before; returns the paths.

    about: stem (of the suite file), title, source, data (name), description, synthetic (bool), n, d (None: no vectors),
    n_queries, metric (name or specification), k, threads, build_threads, repetitions, reference (label). failed: why a
    method was not measured, by label. machine: `experiment.provenance.provenance()`.
    """
    frame = results_frame(about, results)
    files = {"about.json": about, "machine.json": machine, "failed.json": failed}
    paths = [directory / name for name in files]
    for path, content in zip(paths, files.values(), strict=True):
        _write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    write_frame(directory / "results.csv", frame)
    for path in directory.glob(f"{FIGURE_PREFIX}*"):
        path.unlink()
    shutil.rmtree(directory / ANN_FOLDER, ignore_errors=True)
    figures = write_plots(directory, about, frame)
    ann_files = [write_ann_hdf5(directory / ANN_FOLDER, about, result) for result in results]
    blocks = report_blocks(about, frame, failed, machine, FIGURE_PREFIX)
    last = f"All rows: results.csv; answers and times of every query, in the layout of ann-benchmarks: {ANN_FOLDER}/."
    _write_text(directory / "report.md", "\n\n".join([f"# {title(about)}", *blocks, last]) + "\n")
    return [directory / "report.md", directory / "results.csv", *paths, *figures, *ann_files]


def _write_text(path: Path, text: str) -> None:
    with written_atomically(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def report_blocks(
    about: dict[str, Any],
    frame: "pd.DataFrame",
    failed: dict[str, str],
    machine: dict[str, Any],
    prefix: str,
) -> list[str]:
    """Paragraphs of Markdown without the heading. prefix: of the links to figures."""
    blocks = [f"Source: {about['source']}", data_line(about), measure_line(about)]
    if len(frame):
        blocks += _table_blocks(index_tables(frame))
        notes = frame[frame["note"] != ""].drop_duplicates("label")
        blocks += [f"{row['label']}: {row['note']}" for _, row in notes.iterrows()]
        for drawing in drawings(frame):
            blocks.append(f"![Recall against {drawing.plot.label}]({prefix}{drawing.name}.png)")
            blocks.append(f"*{caption(about, drawing)}*")
        blocks += _table_blocks(target_tables(about, frame))
        blocks += _table_blocks(candidate_tables(about, frame))
        for name, table in search_tables(about, frame):
            blocks += [f"<details><summary>{name}</summary>", markdown_table(table), "</details>"]
    else:
        blocks.append("No method was measured.")
    if failed:
        blocks.append("\n".join(["Not measured:", "", *(f"* {label}: {reason}" for label, reason in failed.items())]))
    return [*blocks, provenance_line(frame, machine)]


def _table_blocks(tables: Sequence[tuple[str, Table]]) -> list[str]:
    return [block for name, table in tables for block in (f"**{name}**", markdown_table(table))]


def data_line(about: dict[str, Any]) -> str:
    """Which data; synthetic ones are called so."""
    kind = "SYNTHETIC data" if about["synthetic"] else "Data"
    dimension = f" of {about['d']:,} dimensions" if about["d"] else ""
    metric = about["metric"]
    if isinstance(metric, dict):
        parameters = (f", {name} = {json.dumps(value)}" for name, value in metric.items() if name != "name")
        metric = str(metric["name"]) + "".join(parameters)
    text = f"{kind}: {about['data']}, {about['n']:,} objects{dimension}, {about['n_queries']:,} queries that are not"
    return f"{text} among them, {metric} distance. {about['description']}"


def measure_line(about: dict[str, Any]) -> str:
    """How it was measured, in words."""
    threads, build_threads = (f"{n} thread{'' if n == 1 else 's'}" for n in (about["threads"], about["build_threads"]))
    return (
        f"Measured: {about['k']} nearest neighbours on {threads}, a process for each method, built on {build_threads}, "
        f"{about['repetitions']} repetitions in which the methods take turns, warm-up left out; recall counts ties by "
        f"distance. Distances are those to pivots, centres and objects; comparisons of codes or permutations are none. "
        f"Reference of the ratios: {about['reference']}, within the same repetition."
    )


def provenance_line(frame: "pd.DataFrame", machine: dict[str, Any]) -> str:
    """Commit of the code that measured, machine, date, versions."""
    measured = sorted(set(frame["commit"]) - {""}) if len(frame) else []
    commits = measured or [machine["commit"] or "unknown"]
    dirty = bool(frame["dirty"].any()) if len(frame) else bool(machine["dirty"])
    memory = f", {machine['memory_gib']} GiB" if machine["memory_gib"] else ""
    packages = ", ".join(f"{name} {number}" for name, number in machine["packages"].items())
    return (
        f"Commit {', '.join(commit[:12] for commit in commits)}{' with uncommitted changes' if dirty else ''}; "
        f"{machine['cpu']}, {machine['cores']} cores{memory}, {machine['system']}; {machine['date']}; "
        f"Python {machine['python']}, {packages}."
    )
