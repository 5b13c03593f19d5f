"""A whole suite, end to end: a process for each method, results, cache, failures, the command."""

import fcntl
import json
import os
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from metricsearch.bench import cache, runner
from metricsearch.bench import rounds as rounds_module
from metricsearch.bench.results import UNKNOWN
from metricsearch.cli.main import main
from metricsearch.datasets import load_dataset
from metricsearch.errors import ConfigError, StorageError
from metricsearch.evaluation import exact_neighbours
from metricsearch.spaces import get_metric

N, N_QUERIES, K = 300, 12, 5

ADAPTERS = '''
import os, signal
from pathlib import Path
import numpy as np
from metricsearch.bench.method import Found, Memory, Method

class Scan(Method):
    """Exact; with `share`, over the first objects only."""
    def __init__(self, metric, seed, *, threads_allowed=1):
        super().__init__(metric, seed)
        self.share = 1.0
    def build(self, objects):
        print("noise on stdout")
        os.write(1, b"more noise")
        self.objects = np.array(objects)
    def set_query(self, *, share=1.0):
        self.share = share
    def find(self, query, n):
        part = self.objects[: int(self.share * len(self.objects))]
        return Found(np.argsort(self.metric.distances(query, part), kind="stable")[:n], len(part))
    def set_threads(self, n_threads): ...
    def version(self): return "fake 1.0"
    def memory(self): return Memory(self.objects.nbytes, 17)
    def save(self, folder):
        np.save(Path(folder) / "objects.npy", self.objects)
        return True

class Crash(Scan):
    def build(self, objects):
        os.kill(os.getpid(), signal.SIGSEGV)

class Padded(Scan):
    def find(self, query, n):
        return Found(np.array([0, -1, -1]))

class Twice(Scan):
    def find(self, query, n):
        return Found(np.array([3, 3]))
'''

SUITE = f"""
title = "Tiny"
source = "made up"
[data]
name = "decaf7-like"
n = {N}
n_queries = {N_QUERIES}
[measure]
k = {K}
n_candidates = [20, {N}]
repetitions = 2
cache = ["warm", "cold"]
reference = "ours"
[[method]]
label = "scan"
index = "exhaustive_scan"
n_queries = 4
[[method]]
label = "ours"
index = "ppp"
build = {{n_spaces = 2, n_pivots = 16, prefix_length = 4}}
query = [{{}}, {{percentile = 1.0}}]
[[method]]
label = "library"
adapter = "adapters.py:Scan"
query = [{{}}, {{share = 0.5}}]
[[method]]
label = "refined"
adapter = "adapters.py:Scan"
refine = true
"""

FAILING = f"""
title = "Failing"
source = "made up"
data = {{name = "decaf7-like", n = {N}, n_queries = {N_QUERIES}}}
measure = {{k = {K}, repetitions = 1}}
[[method]]
label = "library"
adapter = "adapters.py:Scan"
[[method]]
label = "crash"
adapter = "adapters.py:Crash"
optional = true
[[method]]
label = "padded"
adapter = "adapters.py:Padded"
[[method]]
label = "twice"
adapter = "adapters.py:Twice"
"""


def write_suite(folder, name, text):
    (folder / "adapters.py").write_text(ADAPTERS, encoding="utf-8")
    path = folder / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("suite")


@pytest.fixture(scope="module")
def suite(folder):
    return write_suite(folder, "tiny", SUITE)


@pytest.fixture(scope="module", autouse=True)
def known_state(folder):
    """Caches of its own, also for the processes of the methods, and a state of the code that nobody changes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("METRICSEARCH_CACHE", str(folder / "cache"))
        patch.setattr(cache, "commit", lambda: {"commit": "a" * 40, "dirty": False})
        yield


@pytest.fixture(scope="module")
def run(suite, folder):
    return runner.run_suite(suite, folder / "runs", progress=False)


@pytest.fixture(scope="module")
def exact():
    dataset = load_dataset("decaf7-like", n=N, n_queries=N_QUERIES)
    return exact_neighbours(get_metric("euclidean"), dataset.objects, dataset.queries, K)


def results_of(run, label):
    return [result for result in run.results if result.label == label and result.setting.cache == "warm"]


def test_every_setting_of_every_method_is_measured_in_the_order_of_the_suite(run):
    assert run.failed == {}
    settings = [(one.label, one.setting.cache, one.setting.query, one.setting.n_candidates) for one in run.results]
    assert settings == [
        ("scan", "warm", {}, None),
        ("scan", "cold", {}, None),
        *(
            ("ours", cache, query, size)
            for cache in ("warm", "cold")
            for query in ({}, {"percentile": 1.0})
            for size in (20, N)
        ),
        ("library", "warm", {}, None),
        ("library", "warm", {"share": 0.5}, None),
        *(("refined", cache, {}, size) for cache in ("warm", "cold") for size in (20, N)),
    ]


def test_answers_are_those_of_a_full_scan_where_nothing_is_left_out(run, exact):
    for label, index in (("scan", 0), ("ours", 1), ("library", 0), ("refined", 1)):
        result = results_of(run, label)[index]
        n_queries = 4 if label == "scan" else N_QUERIES
        assert result.ids.shape == result.distances.shape == (n_queries, K)
        assert (result.recalls == 1).all()
        for i in range(n_queries):
            ids, distances = exact.of(i)
            assert np.array_equal(result.ids[i], ids[:K])
            assert np.allclose(result.distances[i], distances[:K])


def test_a_search_that_leaves_objects_out_has_the_recall_of_what_it_finds(run, exact):
    result = results_of(run, "library")[1]
    expected = [(exact.of(i)[0][:K] < N // 2).mean() for i in range(N_QUERIES)]
    assert np.allclose(result.recalls, expected)
    assert 0 < np.mean(expected) < 1


def test_times_stand_for_every_query_and_repetition(run):
    for result in run.results:
        assert result.times_ms.shape == (2, len(result.recalls))
        assert (result.times_ms > 0).all()
        assert result.reference_ms.shape == (2,)
        assert (result.reference_ms > 0).all()
        assert (result.batch_s > 0).all() if result.setting.cache == "warm" else np.isnan(result.batch_s).all()


def test_the_reference_stands_beside_the_others_with_the_mean_of_its_middle_setting(run):
    assert run.about["reference"] == "ours"
    middle = results_of(run, "ours")[2]
    for result in run.results:
        if result.setting.cache == "warm":  # over the same queries: "scan" has four
            assert np.array_equal(result.reference_ms, middle.times_ms[:, : len(result.recalls)].mean(axis=1))
    ratio = middle.times_ms.mean(axis=1) / middle.reference_ms
    assert ((ratio > 0.05) & (ratio < 20)).all()


def test_costs_are_counted_where_they_are_known(run):
    width = load_dataset("decaf7-like", n=1, n_queries=0).objects.load().shape[1]
    ours = results_of(run, "ours")[0]
    assert (ours.n_candidates_found == 20).all()
    assert (ours.n_objects_read == 20).all()
    assert (ours.n_distances == 20 + 2 * 16).all()
    assert (ours.n_bytes_read > 0).all()
    library = results_of(run, "library")[0]
    assert (library.n_distances == N).all()
    assert (library.n_objects_read == UNKNOWN).all()
    refined = results_of(run, "refined")[0]
    assert (refined.n_objects_read == 20).all()
    assert (refined.n_distances == N + 20).all()
    assert library.built.objects_bytes == 4 * N * width
    assert library.built.fixed_bytes == 17
    assert library.built.index_disk_bytes == 4 * N * width + 128  # header of .npy
    assert library.built.store_disk_bytes == 0
    assert library.built.version == "fake 1.0"
    assert refined.built.store_disk_bytes == ours.built.store_disk_bytes > 0
    assert 0 < library.built.rss_growth_bytes < 40 * N * width
    assert ours.built.fixed_bytes == 4 * 2 * 16 * width
    assert 0 < ours.built.objects_bytes < 64 * N
    assert ours.built.build_s > 0


def test_the_run_leaves_its_report_and_no_working_files(run, folder):
    assert "Tiny" in (run.directory / "report.md").read_text(encoding="utf-8")
    assert (run.directory / "results.csv").is_file()
    assert not (run.directory / "work").exists()
    assert len(list((folder / "runs" / "bench-cache").iterdir())) == len(run.results)
    assert json.loads((run.directory / "about.json").read_text(encoding="utf-8"))["n"] == N


def test_nothing_is_measured_twice_and_a_label_may_change(run, suite, folder, monkeypatch):
    def refuse(*arguments):
        raise AssertionError("measured again")

    monkeypatch.setattr(runner, "measure_methods", refuse)
    monkeypatch.setattr(runner, "write_bench_report", lambda *arguments: None)
    again = write_suite(folder, "again", SUITE.replace('label = "scan"', 'label = "full scan"'))
    found = runner.run_suite(again, folder / "runs", progress=False)
    assert [one.label for one in found.results[:3]] == ["full scan", "full scan", "ours"]
    for one, other in zip(found.results, run.results, strict=True):
        assert np.array_equal(one.times_ms, other.times_ms)
        assert np.array_equal(one.ids, other.ids)
        assert (one.built, one.setting, one.code) == (other.built, other.setting, other.code)


@pytest.fixture
def missing(folder, monkeypatch):
    """Labels of the methods that a run would measure, without measuring."""
    tasks = []
    monkeypatch.setattr(runner, "measure_methods", lambda plan, missing: tasks.extend(missing) or (one for one in ()))
    monkeypatch.setattr(runner, "write_bench_report", lambda *arguments: None)

    def labels(path, **keywords):
        tasks.clear()
        runner.run_suite(path, folder / "runs", progress=False, **keywords)
        return [task.method.label for task in tasks]

    return labels


def test_a_changed_adapter_a_changed_measure_and_a_damaged_file_are_measured_again(run, suite, folder, missing):
    assert missing(suite) == []
    assert missing(suite, fresh=True) == ["scan", "ours", "library", "refined"]
    assert missing(suite, fresh=True, only=["library"]) == ["library"]
    assert missing(suite, only=["library"]) == []
    assert missing(write_suite(folder, "k", SUITE.replace("repetitions = 2", "repetitions = 3"))) != []
    assert missing(write_suite(folder, "q", SUITE.replace("share = 0.5", "share = 0.4"))) == ["library"]
    (folder / "adapters.py").write_text(ADAPTERS + "\n# changed\n", encoding="utf-8")
    assert missing(suite) == ["library", "refined"]
    (folder / "adapters.py").write_text(ADAPTERS, encoding="utf-8")
    for path in (folder / "runs" / "bench-cache").iterdir():
        content = path.read_bytes()
        with h5py.File(path, "r+") as file:
            file["recalls"][...] = 0.5
        assert missing(suite) != []
        path.write_bytes(content)
        break
    assert missing(suite) == []


def test_results_of_other_code_are_not_taken_over(run, suite, missing, monkeypatch):
    states = [("b" * 40, False), ("a" * 40, True), (None, None)]  # another commit, changed files, no checkout
    for commit, dirty in states:
        monkeypatch.setattr(cache, "commit", lambda commit=commit, dirty=dirty: {"commit": commit, "dirty": dirty})
        assert missing(suite) == ["scan", "ours", "library", "refined"]


def test_results_of_other_versions_machines_or_data_are_not_taken_over(run, suite, missing, monkeypatch):
    every = ["scan", "ours", "library", "refined"]
    assert missing(suite) == []
    with monkeypatch.context() as patch:
        patch.setattr(cache, "installed_versions", lambda: {"faiss-cpu": "9.9"})
        assert missing(suite) == every
    machine = runner.provenance()
    with monkeypatch.context() as patch:
        patch.setattr(runner, "provenance", lambda: {**machine, "cpu": "another"})
        assert missing(suite) == every
    data = runner.load_data(runner.load_suite(suite).data)
    with monkeypatch.context() as patch:
        patch.setattr(runner, "load_data", lambda config: replace(data, queries=data.queries[::-1]))
        assert missing(suite) == every
    assert missing(suite) == []


def test_code_that_changes_while_it_is_measured_leaves_no_result_that_passes_for_fresh(run, suite, folder, monkeypatch):
    monkeypatch.setattr(runner, "write_bench_report", lambda *arguments: None)
    output = folder / "changing"

    def measured(plan, tasks):
        (folder / "adapters.py").write_text(ADAPTERS + "\n# changed\n", encoding="utf-8")
        done = results_of(run, "library")[0]
        names = ("ids", "distances", "n_candidates_found", "n_objects_read", "n_bytes_read", "n_distances")
        arrays = {name: getattr(done, name) for name in names}
        rounds = [{**arrays, "times_ms": done.times_ms[i], "batch_s": done.batch_s[i]} for i in range(2)]
        task = next(task for task in tasks if task.method.label == "library")
        yield rounds_module.Measured(task.method, task.settings[0], done.built, rounds, done.reference_ms)

    monkeypatch.setattr(runner, "measure_methods", measured)
    try:
        found = runner.run_suite(suite, output, progress=False)
    finally:
        (folder / "adapters.py").write_text(ADAPTERS, encoding="utf-8")
    assert [one.label for one in found.results] == ["library"]
    assert not list(output.glob("bench-cache/*"))


def test_a_run_that_measures_nothing_keeps_the_recorded_machine_and_date(run, suite, folder, monkeypatch):
    monkeypatch.setattr(runner, "provenance", lambda: {**run.machine, "date": "2030-01-01T00:00:00+00:00"})
    again = runner.run_suite(suite, folder / "runs", progress=False)
    assert again.machine == run.machine
    assert json.loads((run.directory / "machine.json").read_text(encoding="utf-8")) == run.machine


def test_an_interrupt_keeps_what_was_finished(run, suite, folder, monkeypatch):
    from metricsearch.bench.rounds import Measured

    done = results_of(run, "scan")[0]
    names = ("ids", "distances", "n_candidates_found", "n_objects_read", "n_bytes_read", "n_distances")
    arrays = {name: getattr(done, name) for name in names}
    rounds = [{**arrays, "times_ms": done.times_ms[i], "batch_s": done.batch_s[i]} for i in range(2)]

    def interrupted(plan, tasks):
        yield Measured(tasks[0].method, tasks[0].settings[0], done.built, rounds, done.reference_ms)
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "write_bench_report", lambda *arguments: None)
    monkeypatch.setattr(runner, "measure_methods", interrupted)
    with pytest.raises(KeyboardInterrupt):
        runner.run_suite(suite, folder / "interrupted", progress=False)
    (kept,) = (folder / "interrupted" / "bench-cache").iterdir()
    tasks = []
    monkeypatch.setattr(runner, "measure_methods", lambda plan, missing: tasks.extend(missing) or (one for one in ()))
    again = runner.run_suite(suite, folder / "interrupted", progress=False)
    assert kept.is_file()
    assert [one.label for one in again.results] == ["scan"]
    assert np.array_equal(again.results[0].recalls, done.recalls)
    assert [setting.cache for setting in tasks[0].settings] == ["cold"]


def test_a_method_that_fails_is_a_line_of_the_report_and_the_others_go_on(run, folder, capsys):
    path = write_suite(folder, "failing", FAILING)
    with pytest.raises(SystemExit) as stopped:
        main(["bench", str(path), "--output", str(folder / "runs")])
    assert stopped.value.code == 1
    said = capsys.readouterr()
    assert "crash: not measured: building: its process crashed (SIGSEGV)" in said.err
    assert "padded: not measured: searching with its defaults: adapter: expected at most 5 rows in 0..299" in said.err
    assert "twice: not measured: searching with its defaults: answer: expected different objects" in said.err
    report = Path(said.out.removeprefix("report: ").strip())
    assert "SIGSEGV" in report.read_text(encoding="utf-8")
    results = (report.parent / "results.csv").read_text(encoding="utf-8")
    assert "library" in results
    assert "padded" not in results
    with pytest.raises(SystemExit) as stopped:
        main(["bench", str(path), "--output", str(folder / "runs"), "--only", "library", "--only", "crash"])
    assert stopped.value.code == 0  # what failed is optional


def test_an_unknown_label_is_refused_with_the_known_ones(suite, folder):
    with pytest.raises(ConfigError, match="no method 'x'; methods: scan, ours, library, refined"):
        runner.run_suite(suite, folder / "runs", only=["x"])


def test_a_suite_that_is_being_run_is_not_run_a_second_time(run, suite, folder):
    descriptor = os.open(run.directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with pytest.raises(StorageError, match="another process is running this suite; wait for it"):
            runner.run_suite(suite, folder / "runs", progress=False)
    finally:
        os.close(descriptor)


def test_the_command_brings_a_page_up_to_date(run, suite, folder, capsys):
    page = folder / "page.md"
    page.write_text("# Benchmarks\n", encoding="utf-8")
    with pytest.raises(SystemExit) as stopped:
        main(["bench", str(suite), "--output", str(folder / "runs"), "--page", str(page)])
    assert stopped.value.code == 0
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# Benchmarks\n")
    assert "<!-- bench:tiny -->" in text
    assert f"page: {page}" in capsys.readouterr().out


def test_a_recorded_run_goes_to_a_page_without_measuring(run, tmp_path, capsys):
    page = tmp_path / "page.md"
    page.touch()
    with pytest.raises(SystemExit) as stopped:
        main(["bench", str(run.directory), "--page", str(page)])
    assert (stopped.value.code, capsys.readouterr().out) == (0, f"page: {page}\n")
    assert "<!-- bench:tiny -->" in page.read_text(encoding="utf-8")
    with pytest.raises(SystemExit) as stopped:
        main(["bench", str(run.directory)])
    assert stopped.value.code == 2
    assert "is a recorded run, which can only be shown: add --page FILE" in capsys.readouterr().err
