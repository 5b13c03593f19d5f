"""The kinds "search", "candidates" and "memory" for the runner."""

from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from metricsearch.datasets import describe
from metricsearch.experiment.kind import Kind
from metricsearch.experiment.parts import Part, Phase
from metricsearch.experiment.ppp.config import PPPExperiment, PPPPoint
from metricsearch.experiment.ppp.measuring import BuildKey, build_key, measure_candidates, measure_memory
from metricsearch.experiment.ppp.searching import Stores, measure_search
from metricsearch.experiment.ppp.tables import BOOTSTRAP_SEED, point_row, result_rows
from metricsearch.experiment.ppp.workload import Workload, load_workload


def measure(
    config: PPPExperiment, points: list[PPPPoint], pending: list[PPPPoint], work: Path, phase: Phase
) -> Generator[Part, None, None]:
    """The parts of `pending`, group by group, so that data and indexes are shared."""
    groups: dict[BuildKey, list[PPPPoint]] = {}
    for point in points:
        groups.setdefault(build_key(config, point), []).append(point)
    workload: Workload | None = None
    workload_n: int | None = None
    with ExitStack() as stack:
        stores = stack.enter_context(Stores(work))
        for key, group in sorted(groups.items(), key=lambda item: (item[0].n or 0, item[0].codec or "")):
            missing = [point for point in group if point in pending]
            if not missing:
                continue
            if workload is None or workload_n != key.n:
                phase("data")
                workload, workload_n = load_workload(config, key.n), key.n
            if config.kind == "search":
                yield from measure_search(config, workload, group, missing, phase, stores)
            else:
                measured = measure_memory if config.kind == "memory" else measure_candidates
                yield from measured(config, workload, group, missing, phase)


def _about(config: PPPExperiment) -> dict[str, Any]:
    entry = describe(config.data.name)
    return {
        "synthetic": entry["access"] == "synthetic",
        "data_title": entry["title"],
        "data_origin": entry["origin"],
    }


def _conditions(config: PPPExperiment, parts: list[Part]) -> dict[str, Any]:
    index_seeds = sorted({part.point.columns()["seed"] for part in parts})
    return {
        "seeds": {"data": config.data.seed, "index": index_seeds, "bootstrap": BOOTSTRAP_SEED},
        "cache": _cache_state(config),
    }


def _cache_state(config: PPPExperiment) -> str:
    if config.kind != "search":
        return "nothing is read from disk"
    if config.measure.cache == "cold":
        return "cold: the store's file is dropped from the page cache (madvise, posix_fadvise) before every query"
    return "warm: all that the queries read had been read before the first timed one"


PPP = Kind(PPPExperiment, measure, result_rows, point_row, _about, _conditions)
