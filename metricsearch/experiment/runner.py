"""Run an experiment file: measure what is not measured yet, then write tables, figures and the report."""

import json
import shutil
import sys
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metricsearch.experiment.config import ExperimentConfig, Point
from metricsearch.experiment.kinds import KINDS, load_config
from metricsearch.experiment.parts import Part, Phase, read_part, write_part, write_results
from metricsearch.experiment.provenance import commit, peak_memory_bytes, provenance
from metricsearch.experiment.run_folder import run_folder
from metricsearch.files import written_atomically
from metricsearch.report import result_text, write_report

if TYPE_CHECKING:
    import pandas as pd

WORK_FOLDER = "work"  # object stores while they are measured; deleted afterwards


@dataclass(frozen=True, slots=True, eq=False)
class RunResult:
    """A finished run.

    directory: its folder. results, points: contents of results.csv and points.csv. table: their main columns as text
    for a terminal. n_measured, n_reused: points measured now, and before.
    """

    directory: Path
    results: "pd.DataFrame"
    points: "pd.DataFrame"
    table: str
    n_measured: int
    n_reused: int


def run_experiment(path: str | Path, output_dir: str | Path = "runs", progress: bool = True) -> RunResult:
    """Run the experiment file at `path`; results go to <output_dir>/<file name>-<hash of what is measured>/.

    Written there: results.h5 (all per-query values), results.csv, points.csv, report.md, figures as PNG and PDF,
    config.json, provenance.json, and parts/ with one file per finished point. Points already there are not measured
    again, so an interrupted run continues where it stopped. progress: a bar on stderr, if that is a terminal.
    Raises ConfigError, MissingDataError, StorageError, InvalidInputError; KeyboardInterrupt after saying on stderr
    how to continue.
    """
    path = Path(path)
    config = load_config(path)
    directory = Path(output_dir) / f"{path.stem}-{config.digest()}"
    with run_folder(directory, "experiment"):
        return _run(path, config, directory, progress)


def _run(path: Path, config: ExperimentConfig, directory: Path, progress: bool) -> RunResult:
    from tqdm import tqdm

    points = config.points()
    parts = {i: part for i, point in enumerate(points) if (part := read_part(directory, point)) is not None}
    n_reused = len(parts)
    pending = [point for i, point in enumerate(points) if i not in parts]
    machine = provenance()  # before measuring: the state of the code that measured
    try:
        with (
            tqdm(total=len(points), initial=n_reused, desc=path.stem, disable=None if progress else True) as bar,
            closing(_measure(config, points, pending, directory, Phase(bar.set_postfix_str, progress))) as measured,
        ):
            for part in measured:
                write_part(directory, part)
                parts[points.index(part.point)] = part
                bar.update()
    except KeyboardInterrupt:
        message = f"interrupted: {len(parts)} of {len(points)} points are saved in {directory}; run again to continue"
        tqdm.write(message, file=sys.stderr)
        raise
    done = [parts[i] for i in range(len(points))]
    return _finish(path, config, directory, done, machine, len(pending))


def _measure(
    config: ExperimentConfig, points: list[Point], pending: list[Point], directory: Path, phase: Phase
) -> Generator[Part, None, None]:
    """The parts of `pending`, each with the state of the code that measured it."""
    code = commit()
    with closing(KINDS[config.kind].measure(config, points, pending, directory / WORK_FOLDER, phase)) as measured:
        for part in measured:
            part.about.update(commit=code["commit"] or "", dirty=bool(code["dirty"]))
            yield part


def _finish(
    path: Path, config: ExperimentConfig, directory: Path, parts: list[Part], machine: dict[str, Any], n_measured: int
) -> RunResult:
    """Write everything that is derived from the parts."""
    import pandas as pd

    kind = KINDS[config.kind]
    results = pd.DataFrame([row for part in parts for row in kind.result_rows(config, part)])
    points = pd.DataFrame([kind.point_row(config, part) for part in parts])
    about = {
        "config_file": path.name,
        "stem": path.stem,
        **kind.about(config),
        **config.model_dump(mode="json"),
    }
    machine = {
        **machine,
        "commits": sorted({part.about["commit"] for part in parts}),
        "any_dirty": any(part.about["dirty"] for part in parts),
        **kind.conditions(config, parts),
        "peak_memory_bytes": peak_memory_bytes() if n_measured else None,
    }
    if not n_measured and (directory / "provenance.json").is_file():
        machine = json.loads((directory / "provenance.json").read_text(encoding="utf-8"))
    write_results(directory / "results.h5", parts, {"title": config.title, "config": json.dumps(about)})
    _write_json(directory / "config.json", about)
    _write_json(directory / "provenance.json", machine)
    for name, table in (("results.csv", results), ("points.csv", points)):
        with written_atomically(directory / name) as temporary:
            table.to_csv(temporary, index=False)
    shutil.rmtree(directory / WORK_FOLDER, ignore_errors=True)
    write_report(directory, about, results, points, machine)
    return RunResult(
        directory, results, points, result_text(about, results, points), n_measured, len(parts) - n_measured
    )


def _write_json(path: Path, content: dict[str, Any]) -> None:
    with written_atomically(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
