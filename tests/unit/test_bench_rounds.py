"""The order of measuring: A B C A B C, the reference in every round, groups as memory allows, failures apart."""

import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from metricsearch.bench import rounds
from metricsearch.bench.config import SuiteConfig
from metricsearch.bench.job import Job
from metricsearch.bench.processes import Worker, WorkerError
from metricsearch.bench.results import Built
from metricsearch.bench.rounds import Failed, Measured, Plan, Task, measure_methods

GIB = 2**30
BUILT = Built(
    build_s=1.0,
    objects_bytes=1,
    fixed_bytes=1,
    rss_growth_bytes=1,
    index_disk_bytes=1,
    store_disk_bytes=0,
    version="1",
)


class FakeWorker:
    """Answers at once; all calls of all workers are written to `calls`."""

    calls: list[tuple[str, str]]
    failing: set[tuple[str, str]]

    def __init__(self, job, name, limit_s):
        self.label = job.method["label"]
        self.closed = False

    def ask(self, do, setting=None, to=None):
        assert not self.closed
        what = do if setting is None else f"{do} {setting['cache']} {setting['n_candidates']}"
        self.calls.append((self.label, what))
        if (self.label, what) in self.failing:
            raise WorkerError("broken")
        if do == "build":
            return {"built": asdict(BUILT), "private_bytes": GIB}
        if do == "search":
            np.savez(to, times_ms=np.array([float(len(self.calls))] * 2))
        return {}

    def restart_clock(self):
        pass

    def close(self):
        if not self.closed:
            self.calls.append((self.label, "close"))
        self.closed = True


@pytest.fixture
def worker(monkeypatch):
    FakeWorker.calls, FakeWorker.failing = [], set()
    monkeypatch.setattr(rounds, "Worker", FakeWorker)
    return FakeWorker


def plan_of(folder, methods, **measure):
    (folder / "store").write_bytes(b"objects")
    suite = SuiteConfig.model_validate(
        {
            "title": "t",
            "source": "s",
            "data": {"name": "x"},
            "measure": {"k": 1, "n_candidates": [1, 2], "repetitions": 2, **measure},
            "method": [{"label": label, **table} for label, table in methods.items()],
        }
    )
    tasks = [Task(method, suite.settings_of(method)) for method in suite.method]
    return Plan(suite, folder, folder, folder, folder / "store", GIB, lambda text: None, lambda: None), tasks


LIBRARY = {"adapter": "a.py:A"}


def searches(worker):
    return [(label, what) for label, what in worker.calls if what.startswith("search")]


def test_methods_take_turns_and_the_reference_begins_every_round(tmp_path, worker):
    plan, tasks = plan_of(tmp_path, {"a": LIBRARY, "b": LIBRARY, "c": LIBRARY}, reference="b")
    outcomes = list(measure_methods(plan, tasks))
    order = [label for label, _ in searches(worker)]
    assert order == ["b", "a", "c"] * 2
    assert sorted(one.method.label for one in outcomes) == ["a", "b", "c"]
    for one in outcomes:
        assert isinstance(one, Measured)
        assert len(one.rounds) == 2
        assert one.reference_ms.tolist() == [one.reference_ms[0], one.reference_ms[0] + 3]


def test_all_are_built_before_any_is_searched_and_ended_afterwards(tmp_path, worker):
    plan, tasks = plan_of(tmp_path, {"a": LIBRARY, "b": LIBRARY})
    list(measure_methods(plan, tasks))
    kinds = [what.split()[0] for _, what in worker.calls]
    assert kinds == ["build"] * 2 + ["search"] * 4 + ["close"] * 2


def test_methods_that_do_not_fit_together_are_measured_in_groups_each_with_the_reference(tmp_path, worker):
    plan, tasks = plan_of(tmp_path, {"a": LIBRARY, "b": LIBRARY, "c": LIBRARY, "d": LIBRARY}, memory_gib=3.5)
    outcomes = list(measure_methods(plan, tasks))
    kinds = [(label, what.split()[0]) for label, what in worker.calls]
    built = [label for label, kind in kinds if kind == "build"]
    assert built == ["a", "b", "c", "d"]
    assert kinds.index(("b", "close")) < kinds.index(("d", "build"))
    assert kinds[-1] == ("a", "close")
    assert [label for label, _ in searches(worker)] == ["a", "b", "c"] * 2 + ["d", "a"] * 2
    assert [one.method.label for one in outcomes] == ["a", "b", "c", "d"]


def test_one_method_that_is_too_big_is_measured_alone(tmp_path, worker):
    plan, tasks = plan_of(tmp_path, {"a": LIBRARY, "b": LIBRARY}, memory_gib=0.001)
    assert len(list(measure_methods(plan, tasks))) == 2


def test_a_reference_that_needs_no_measuring_runs_at_its_middle_setting_only(tmp_path, worker):
    plan, tasks = plan_of(tmp_path, {"a": {"index": "ppp"}, "b": LIBRARY})
    (outcome,) = measure_methods(plan, tasks[1:])
    assert searches(worker) == [("b", "search warm None"), ("a", "search warm 2")] * 2
    assert outcome.method.label == "b"
    assert np.isfinite(outcome.reference_ms).all()


def test_cold_rounds_come_last_and_all_others_let_go_of_the_store_first(tmp_path, worker):
    methods = {"a": {"index": "ppp", "n_candidates": [1]}, "b": {"index": "napp", "n_candidates": [1]}, "c": LIBRARY}
    plan, tasks = plan_of(tmp_path, methods, cache=["warm", "cold"], repetitions=1)
    list(measure_methods(plan, tasks))
    calls = [call for call in worker.calls if call[1] not in ("build", "close")]
    first_cold = calls.index(("a", "search cold 1"))
    assert all("cold" not in what for _, what in calls[:first_cold])
    assert all("warm" not in what for _, what in calls[first_cold:])
    place = calls.index(("b", "search cold 1"))
    assert set(calls[place - 2 : place]) == {("a", "forget"), ("c", "forget")}


def test_readers_of_the_store_read_it_once_at_most_candidates_before_they_are_timed(tmp_path, worker):
    plan, tasks = plan_of(tmp_path, {"a": {"index": "ppp"}}, cache=["warm"])
    list(measure_methods(plan, tasks))
    what = [what for _, what in worker.calls]
    assert what.count("read_once warm 2") == 1
    assert what.index("read_once warm 2") < what.index("search warm 2")


def test_a_method_that_fails_to_build_or_to_search_is_ended_and_the_others_go_on(tmp_path, worker):
    plan, tasks = plan_of(tmp_path, {"a": LIBRARY, "b": LIBRARY, "c": LIBRARY})
    worker.failing = {("b", "build"), ("c", "search warm None")}
    outcomes = {one.method.label: one for one in measure_methods(plan, tasks)}
    assert isinstance(outcomes["a"], Measured)
    assert isinstance(outcomes["b"], Failed)
    assert outcomes["b"].reason == "building: broken"
    assert outcomes["c"].reason == "searching with its defaults: broken"
    assert searches(worker).count(("c", "search warm None")) == 1


def test_every_search_of_a_reader_is_made_once_at_most_candidates_before_it_is_timed(tmp_path, worker):
    methods = {
        "a": {"index": "ppp", "query": [{}, {"percentile": 1.0}]},
        "b": {"index": "vp_tree"},
        "c": {"adapter": "a.py:A", "refine": True},
    }
    plan, tasks = plan_of(tmp_path, methods)
    list(measure_methods(plan, tasks))
    reads = [call for call in worker.calls if call[1].startswith("read_once")]
    assert reads == [("a", "read_once warm 2")] * 2 + [("b", "read_once warm None"), ("c", "read_once warm 2")]


def test_objects_are_read_once_before_they_are_read_cold(tmp_path, worker):
    """Else the first cold reads of an object would also compare its checksum, and the later ones not."""
    plan, tasks = plan_of(tmp_path, {"a": {"index": "ppp"}}, cache=["cold"])
    list(measure_methods(plan, tasks))
    what = [what for _, what in worker.calls]
    assert what.index("read_once cold 2") < what.index("search cold 1")
    assert what.count("read_once cold 2") == 1


def test_processes_are_ended_when_the_results_are_asked_for_no_longer(tmp_path, worker):
    plan, tasks = plan_of(tmp_path, {"a": LIBRARY, "b": LIBRARY})
    outcomes = measure_methods(plan, tasks)
    next(outcomes)
    outcomes.close()
    assert {label for label, what in worker.calls if what == "close"} == {"a", "b"}


@pytest.mark.parametrize("when", ["build", "search warm None"])
def test_without_its_reference_a_suite_is_measured_all_the_same(tmp_path, worker, when):
    plan, tasks = plan_of(tmp_path, {"a": LIBRARY, "b": LIBRARY})
    worker.failing = {("a", when)}
    outcomes = {one.method.label: one for one in measure_methods(plan, tasks)}
    assert isinstance(outcomes["a"], Failed)
    assert np.isnan(outcomes["b"].reference_ms).all()


def test_a_process_that_takes_too_long_is_ended(tmp_path):
    job = Job(
        method={"label": "a", "index": "ppp"},
        suite=str(tmp_path),
        data=str(tmp_path),
        work=str(tmp_path),
        store=None,
        k=1,
        threads=1,
        build_threads=1,
        batch=False,
    )
    worker = Worker(job, "slow", 0.05)  # less than it takes Python to start
    try:
        with pytest.raises(WorkerError, match=r"it took longer than limit_s = 0\.05 s"):
            worker.ask(do="build")
    finally:
        worker.close()
    assert worker.used_s >= 0.05


_CHILD = """
import time
from metricsearch.bench.resources import end_with_parent
end_with_parent()
print("ready", flush=True)
time.sleep(60)  # as deaf to the end of its input as one that searches
"""
_PARENT = (
    "import subprocess, sys; "
    "child = subprocess.Popen([sys.executable, '-c', sys.argv[1]], stdout=subprocess.PIPE); "
    "child.stdout.readline(); print(child.pid, flush=True); input()"
)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux only")
def test_a_process_ends_when_its_controller_is_killed():
    parent = subprocess.Popen(
        [sys.executable, "-c", _PARENT, _CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    child = int(parent.stdout.readline())
    try:
        assert Path(f"/proc/{child}").exists()
        parent.kill()
        parent.wait()
        deadline = time.monotonic() + 20
        while state_of(child) not in (None, "Z"):
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        parent.stdin.close()
        parent.stdout.close()


def state_of(process):
    """Letter of the process's state, None if there is none."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return None
