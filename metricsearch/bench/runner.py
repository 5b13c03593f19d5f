"""Run a suite file: measure what is not measured yet, then write tables and figures."""

import json
import shutil
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metricsearch.bench.cache import ResultCache
from metricsearch.bench.config import MethodConfig, SuiteConfig, load_suite
from metricsearch.bench.data import MappedData, load_data, write_data, write_store
from metricsearch.bench.report import write_bench_report
from metricsearch.bench.results import Result
from metricsearch.bench.rounds import Failed, Measured, Plan, Task, measure_methods
from metricsearch.datasets import ArraySource
from metricsearch.errors import ConfigError, StorageError
from metricsearch.evaluation import Neighbours, cached_neighbours, recall_of_answer
from metricsearch.experiment.provenance import provenance
from metricsearch.experiment.run_folder import run_folder
from metricsearch.spaces import batch_nbytes

WORK_FOLDER = "work"  # the data and the object store while methods are measured; deleted afterwards


@dataclass(frozen=True, slots=True, eq=False)
class SuiteRun:
    """A finished run.

    directory: its folder. results: in the order of the suite. failed: reasons by label of what could not be measured;
    needed: those of them that the suite does not call optional. about: what was compared. machine: see `provenance`.
    """

    directory: Path
    results: list[Result]
    failed: dict[str, str]
    needed: list[str]
    about: dict[str, Any]
    machine: dict[str, Any]


def run_suite(
    path: str | Path,
    output_dir: str | Path = "runs",
    *,
    fresh: bool = False,
    only: Sequence[str] | None = None,
    progress: bool = True,
) -> SuiteRun:
    """Run the suite file at `path`; the report goes to <output_dir>/<file name>-<hash of the suite>/.

    Results measured before by the same code on such a machine are taken from <output_dir>/bench-cache/, unless
    `fresh`; if all are, the recorded machine and date stay. only: labels of
    the methods to measure; of the others, what was measured before is shown. progress: a bar on stderr, if that is a
    terminal. A method that cannot be measured does not end the run. Raises ConfigError, MissingDataError,
    StorageError, InvalidInputError and what loading the data raises; KeyboardInterrupt, with the groups of methods
    that were finished kept.
    """
    path, output = Path(path), Path(output_dir)
    suite = load_suite(path)
    wanted = _chosen(path, suite, only)
    if not sys.platform.startswith("linux"):
        raise StorageError("bench: memory and cores of processes are read from /proc; run it on Linux")
    directory = output / f"{path.stem}-{suite.digest()}"
    with run_folder(directory, "suite"):
        return _Run(path, output, directory, suite, wanted, progress).finish(fresh)


def _chosen(path: Path, suite: SuiteConfig, only: Sequence[str] | None) -> list[MethodConfig]:
    labels = [method.label for method in suite.method]
    if unknown := [label for label in only or () if label not in labels]:
        raise ConfigError(f"{path}: no method {unknown[0]!r}; methods: {', '.join(labels)}")
    return [method for method in suite.method if not only or method.label in only]


class _Run:
    """One run of a suite."""

    def __init__(
        self,
        path: Path,
        output: Path,
        directory: Path,
        suite: SuiteConfig,
        wanted: list[MethodConfig],
        progress: bool,
    ) -> None:
        self._path, self._directory, self._suite, self._wanted = path, directory, suite, wanted
        self._work, self._progress = directory / WORK_FOLDER, progress
        self._machine = provenance()  # before measuring: the state of the code that measured
        self._data = load_data(suite.data)
        self._cache = ResultCache(output, suite, path.resolve().parent, self._data, self._machine)
        self._n_measured = 0
        self._results: dict[tuple[str, int], Result] = {}
        self._failed: dict[str, str] = {}

    def finish(self, fresh: bool) -> SuiteRun:
        """Measure what is missing and write the report."""
        tasks = self._missing(fresh)
        if tasks:
            try:
                self._measure(tasks)
            finally:
                shutil.rmtree(self._work, ignore_errors=True)
        results = [self._results[key] for key in sorted(self._results, key=self._place)]
        about, machine = self._about(), self._measuring_machine()
        write_bench_report(self._directory, about, results, self._failed, machine)
        needed = [one.label for one in self._wanted if one.label in self._failed and not one.optional]
        return SuiteRun(self._directory, results, self._failed, needed, about, machine)

    def _measuring_machine(self) -> dict[str, Any]:
        """Provenance of the numbers: a run that only shows what was measured before keeps what it recorded then."""
        path = self._directory / "machine.json"
        if self._n_measured:
            return self._machine
        try:
            recorded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return self._machine
        return recorded

    def _missing(self, fresh: bool) -> list[Task]:
        """What is to be measured; the rest is read from the cache."""
        tasks = []
        for method in self._suite.method:
            settings = []
            is_wanted = method in self._wanted
            for i, setting in enumerate(self._suite.settings_of(method)):
                found = None if fresh and is_wanted else self._cache.read(method, setting)
                if found is None:
                    settings.append(setting)
                else:
                    self._results[method.label, i] = found
            if settings and is_wanted:
                tasks.append(Task(method, settings))
        return tasks

    def _measure(self, tasks: list[Task]) -> None:
        from tqdm import tqdm

        data, measure = self._data, self._suite.measure
        total = measure.repetitions * sum(len(task.settings) for task in tasks)
        hidden = None if self._progress else True
        with tqdm(total=total, desc=self._path.stem, unit=" settings", disable=hidden) as bar:
            bar.set_postfix_str("data")
            mapped, store = self._written(tasks)
            bar.set_postfix_str("exact neighbours")
            objects = ArraySource(mapped.objects, data.name)
            neighbours = cached_neighbours(
                data.metric, objects, mapped.queries, measure.k, name=data.name, n_threads=measure.build_threads
            )
            plan = Plan(
                self._suite,
                self._path.resolve().parent,
                self._work / "data",
                self._work,
                store,
                batch_nbytes(mapped.objects),
                bar.set_postfix_str,
                bar.update,
            )
            with closing(measure_methods(plan, tasks)) as outcomes:  # its processes end before their files go
                for outcome in outcomes:
                    self._keep(outcome, neighbours)

    def _written(self, tasks: list[Task]) -> tuple[MappedData, Path]:
        """The data and the object store as files, in a new work folder."""
        shutil.rmtree(self._work, ignore_errors=True)
        folder = self._work / "data"
        folder.mkdir(parents=True)
        mapped = write_data(self._data, folder)
        store = self._work / "objects.mdb"
        if any(task.method.reads_store for task in tasks) or self._suite.reference.reads_store:
            write_store(store, mapped, self._suite.measure.codec)
        return mapped, store.resolve()

    def _keep(self, outcome: Measured | Failed, neighbours: Neighbours) -> None:
        """Take an outcome, and save it if it is a result."""
        method = outcome.method
        if isinstance(outcome, Failed):
            self._failed[method.label] = outcome.reason
            return
        result = self._result(outcome, neighbours)
        self._cache.write(method, result)
        self._n_measured += 1
        self._results[method.label, self._suite.settings_of(method).index(outcome.setting)] = result

    def _result(self, measured: Measured, neighbours: Neighbours) -> Result:
        """The rounds of a setting as one result; the answer is that of the first round."""
        first = measured.rounds[0]
        k = min(self._suite.measure.k, neighbours.n_objects)
        kth_distances = neighbours.kth_distances(self._suite.measure.k)[: len(first["distances"])]
        answer = {name: values for name, values in first.items() if name not in ("times_ms", "batch_s")}
        return Result(
            label=measured.method.label,
            method=measured.method.model_dump(mode="json"),
            setting=measured.setting,
            built=measured.built,
            times_ms=np.stack([one["times_ms"] for one in measured.rounds]),
            batch_s=np.array([float(one["batch_s"]) for one in measured.rounds]),
            reference_ms=measured.reference_ms,
            recalls=recall_of_answer(first["distances"], kth_distances, k),
            code=self._cache.code,
            **answer,
        )

    def _place(self, key: tuple[str, int]) -> tuple[int, int]:
        """Order of the suite."""
        return [method.label for method in self._suite.method].index(key[0]), key[1]

    def _about(self) -> dict[str, Any]:
        """What was compared, as JSON values."""
        data, suite, measure = self._data, self._suite, self._suite.measure
        return {
            "stem": self._path.stem,
            "title": suite.title,
            "source": suite.source,
            "data": data.name,
            "description": data.description,
            "synthetic": data.synthetic,
            "n": len(data.objects),
            "d": data.width,
            "n_queries": len(data.queries),
            "metric": data.metric.spec(),
            "k": measure.k,
            "threads": measure.threads,
            "build_threads": measure.build_threads,
            "repetitions": measure.repetitions,
            "reference": suite.reference.label,
        }
