"""Measuring methods side by side: all are built and stay alive, then A B C A B C, so that noise hits all alike."""

import json
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.bench.config import MethodConfig, SuiteConfig
from metricsearch.bench.job import Job
from metricsearch.bench.processes import Worker, WorkerError
from metricsearch.bench.results import Built, Setting

Arrays = dict[str, NDArray[Any]]

CACHES = ("warm", "cold")  # a cold turn makes all processes forget the store, so it comes last
_READ_AT_ONCE = 1 << 24


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """A method and those of its settings that are to be measured."""

    method: MethodConfig
    settings: list[Setting]


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """One setting. rounds: what `measure_searching` returned, per repetition. reference_ms: (r,), NaN without one."""

    method: MethodConfig
    setting: Setting
    built: Built
    rounds: list[Arrays]
    reference_ms: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Failed:
    """A method that could not be measured, and why, in one line."""

    method: MethodConfig
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What all methods share. Folders: of the suite file, the written data, temporary files; store: its file.

    objects_bytes: of all objects. tell: is told what is being done. advance: called once per setting and repetition.
    """

    suite: SuiteConfig
    suite_folder: Path
    data: Path
    work: Path
    store: Path
    objects_bytes: int
    tell: Callable[[str], object]
    advance: Callable[[], object]


@dataclass(slots=True, eq=False)
class _Member:
    """A method that is built. settings: to be measured in the present group; rounds: of each of them."""

    method: MethodConfig
    settings: list[Setting]
    worker: Worker
    built: Built
    private_bytes: int
    rounds: list[list[Arrays]] = field(default_factory=list)
    failure: str | None = None
    has_read: bool = False  # all that it will read in timed searches


def reference_setting(suite: SuiteConfig, cache: str) -> Setting:
    """The setting of the reference method whose time stands beside those of a round: the middle one of that cache."""
    settings = suite.settings_of(suite.reference)
    same = [setting for setting in settings if setting.cache == cache] or settings
    return same[len(same) // 2]


def measure_methods(plan: Plan, tasks: list[Task]) -> Generator[Measured | Failed, None, None]:
    """Measure all tasks, in as many groups as memory asks for; results come when a group is finished.

    The reference method is built once, stays alive and runs in every round of every group. Closing the generator ends
    all processes.
    """
    reference = plan.suite.reference
    own = next((task for task in tasks if task.method is reference), Task(reference, []))
    others = [task for task in tasks if task is not own]
    with ExitStack() as stack:
        started = _start(plan, own, "reference", stack)
        leader = started if isinstance(started, _Member) else None
        if isinstance(started, Failed) and own.settings:
            yield started
        while others or (leader is not None and leader.settings):
            with ExitStack() as group_stack:
                group: list[_Member] = []
                while others and not (group and _is_full(plan, [leader, *group], others[0])):
                    task = others.pop(0)
                    member = _start(plan, task, f"method-{len(others)}", group_stack)
                    if isinstance(member, Failed):
                        yield member
                    else:
                        group.append(member)
                yield from _measure_group(plan, leader, group)
            if leader is not None:
                leader.settings = []


def _start(plan: Plan, task: Task, name: str, stack: ExitStack) -> _Member | Failed:
    """Start the process of a method and let it build; `stack` ends it."""
    measure, method = plan.suite.measure, task.method
    plan.tell(f"building {method.label}")
    job = Job(
        method=method.model_dump(mode="json"),
        suite=str(plan.suite_folder),
        data=str(plan.data),
        work=str(plan.work),
        store=str(plan.store) if method.reads_store else None,
        k=measure.k,
        threads=measure.threads,
        build_threads=measure.build_threads,
        batch=measure.batch,
    )
    worker = Worker(job, name, measure.limit_s)
    stack.callback(worker.close)
    try:
        reply = worker.ask(do="build")
    except WorkerError as error:
        worker.close()
        return Failed(method, f"building: {error}")
    return _Member(method, task.settings, worker, Built(**reply["built"]), reply["private_bytes"])


def _is_full(plan: Plan, members: Sequence[_Member | None], next_task: Task) -> bool:
    """Whether one more method could need more than memory_gib; libraries are expected to copy all vectors."""
    used = sum(member.private_bytes for member in members if member is not None)
    copies = next_task.method.adapter is not None and not next_task.method.refine
    needed = plan.objects_bytes if copies else plan.objects_bytes // 10
    return used + needed > plan.suite.measure.memory_gib * 2**30


def _measure_group(plan: Plan, leader: _Member | None, group: list[_Member]) -> Iterator[Measured | Failed]:
    """All rounds of the methods of a group, with the reference method in each."""
    members = [member for member in (leader, *group) if member is not None]
    for member in members:
        member.rounds = [[] for _ in member.settings]
        member.worker.restart_clock()
    if any(member.method.reads_store for member in members):
        plan.tell("reading the object store")
        _read_file(plan.store)
    reference_ms: dict[str, list[NDArray[np.float64]]] = {}
    for cache in CACHES:
        if not any(setting.cache == cache for member in members for setting in member.settings):
            continue
        reference_ms[cache] = []
        for repetition in range(plan.suite.measure.repetitions):
            for member in members:
                plan.tell(f"{cache} cache, round {repetition + 1}: {member.method.label}")
                _take_turn(plan, member, cache, members)
            reference_ms[cache].append(_reference_times(plan, leader, cache, members))
    for member in members:
        if member.failure is not None and member.settings:
            yield Failed(member.method, member.failure)
        elif member.failure is None:
            for setting, rounds in zip(member.settings, member.rounds, strict=True):
                n_queries = len(rounds[0]["times_ms"])
                means = np.array([times[:n_queries].mean() for times in reference_ms[setting.cache]])
                yield Measured(member.method, setting, member.built, rounds, means)


def _reference_times(plan: Plan, leader: _Member | None, cache: str, members: Sequence[_Member]) -> NDArray[np.float64]:
    """Times in ms of the reference method in this round, measured now unless they just were; NaN without it."""
    unknown = np.full(1, np.nan)
    if leader is None or leader.failure is not None:
        return unknown
    setting = reference_setting(plan.suite, cache)
    if setting.cache == cache and setting in leader.settings:
        arrays: Arrays | None = leader.rounds[leader.settings.index(setting)][-1]
    else:
        plan.tell(f"{cache} cache: reference {leader.method.label}")
        arrays = _search(plan, leader, setting, members)
    return unknown if arrays is None else arrays["times_ms"]


def _take_turn(plan: Plan, member: _Member, cache: str, members: Sequence[_Member]) -> None:
    """Measure every setting of one kind of cache once."""
    for setting, rounds in zip(member.settings, member.rounds, strict=True):
        if setting.cache == cache:
            arrays = _search(plan, member, setting, members)
            if arrays is not None:
                rounds.append(arrays)
            plan.advance()


def _search(plan: Plan, member: _Member, setting: Setting, members: Sequence[_Member]) -> Arrays | None:
    """What a worker measures at one setting; None once it has failed."""
    if member.failure is not None:
        return None
    if member.method.reads_store and not member.has_read:
        _read_once(member, setting)
    if setting.cache == "cold":
        for other in members:
            if other is not member:
                _ask(other, "forgetting the store", do="forget")
    path = plan.work / "turn.npz"
    if _ask(member, f"searching with {_text(setting)}", do="search", setting=asdict(setting), to=str(path)) is None:
        return None
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def _read_once(member: _Member, first: Setting) -> None:
    """Let a process read all that it will read in timed searches: its page tables are filled, checksums compared."""
    largest: dict[str, Setting] = {}
    for setting in (first, *member.settings):
        query = json.dumps(setting.query, sort_keys=True)
        if query not in largest or (setting.n_candidates or 0) > (largest[query].n_candidates or 0):
            largest[query] = setting
    for setting in largest.values():
        _ask(member, f"reading with {_text(setting)}", do="read_once", setting=asdict(setting))
    member.has_read = True


def _ask(member: _Member, doing: str, **command: Any) -> dict[str, Any] | None:
    """The reply of a worker; None, and the member's failure is noted, if there is none."""
    if member.failure is None:
        try:
            return member.worker.ask(**command)
        except WorkerError as error:
            member.failure = f"{doing}: {error}"
            member.worker.close()
    return None


def _text(setting: Setting) -> str:
    words = [f"{name} = {value}" for name, value in setting.query.items()]
    return ", ".join(words + ([f"R = {setting.n_candidates}"] if setting.n_candidates else [])) or "its defaults"


def _read_file(path: Path) -> None:
    """Bring a file into the page cache, as far as it fits."""
    with path.open("rb") as file:
        while file.read(_READ_AT_ONCE):
            pass
