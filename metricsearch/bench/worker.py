"""The process of one method: `python -m metricsearch.bench.worker JOB`, told what to do by JSON lines.

JOB is a JSON file with the fields of `Job`. Commands, one JSON object per line on stdin, answered by one on stdout:
  {"do": "build"}                       -> {"built": fields of Built, "private_bytes": int}
  {"do": "read_once", "setting": {...}} -> {}
  {"do": "search", "setting": {...}, "to": FILE.npz} -> {}; the arrays of `measure_searching` are in the file
  {"do": "forget"}                      -> {}; the store's pages are no longer mapped
An error is answered by {"error": one line}. The process ends when stdin does.
"""

import json
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from metricsearch.bench.config import MethodConfig
from metricsearch.bench.data import open_data
from metricsearch.bench.job import Job
from metricsearch.bench.measuring import measure_building, measure_searching, read_once, warm_up_building
from metricsearch.bench.resources import die_first, end_with_parent, limit_threads, pin, private_bytes
from metricsearch.bench.results import Setting
from metricsearch.bench.searchers import Searcher, new_searcher
from metricsearch.errors import MetricSearchError
from metricsearch.spaces import Batch
from metricsearch.store import ObjectStore
from metricsearch.store.page_cache import drop_from_page_cache


class Session:
    """A method from its construction to the end of its process."""

    def __init__(self, job: Job) -> None:
        self._job, self._method = job, MethodConfig.model_validate(job.method)
        self._data = open_data(Path(job.data))
        self._queries: Batch = self._data.queries[: self._method.n_queries]
        self._store = None if job.store is None else Path(job.store)
        self._searcher: Searcher | None = None
        self._opened: ObjectStore | None = None

    def build(self, command: dict[str, Any]) -> dict[str, Any]:
        """Build the index on `build_threads` threads, then make ready to search on `threads`."""
        job = self._job
        pin(job.build_threads)
        warm_up_building(self._new, self._data.objects)
        searcher = self._searcher = self._new()
        store_bytes = 0 if self._store is None else self._store.stat().st_size
        built = measure_building(searcher, self._data.objects, store_bytes, Path(job.work))
        searcher.set_threads(job.threads)
        limit_threads(job.threads)
        if self._store is not None:
            self._opened = ObjectStore.open(self._store, readonly=True)
        searcher.open(self._opened)
        pin(job.threads)
        return {"built": asdict(built), "private_bytes": private_bytes()}

    def read_once(self, command: dict[str, Any]) -> dict[str, Any]:
        """Fill the page tables of this process, and compare the checksums of objects that were not read before."""
        read_once(self._built(), self._queries, Setting(**command["setting"]))
        return {}

    def search(self, command: dict[str, Any]) -> dict[str, Any]:
        """Measure one setting."""
        setting = Setting(**command["setting"])
        arrays = measure_searching(self._built(), self._queries, self._job.k, setting, self._store, self._job.batch)
        np.savez(command["to"], allow_pickle=False, **arrays)
        return {}

    def forget(self, command: dict[str, Any]) -> dict[str, Any]:
        """Unmap the pages of the store, so that another process can drop them from the cache."""
        if self._store is not None:
            drop_from_page_cache(self._store)
        return {}

    def close(self) -> None:
        """Let go of the method."""
        if self._searcher is not None:
            self._searcher.close()
        if self._opened is not None:
            self._opened.close()

    def _new(self) -> Searcher:
        job = self._job
        searcher = new_searcher(self._method, self._data.metric, job.k, Path(job.suite), job.build_threads)
        limit_threads(job.build_threads)  # also for the libraries that it has just loaded
        searcher.set_threads(job.build_threads)
        return searcher

    def _built(self) -> Searcher:
        if self._searcher is None:
            raise RuntimeError("build comes first")
        return self._searcher


def main(job_path: str) -> None:
    """Answer commands until stdin ends."""
    replies = _own_stdout()
    end_with_parent()
    die_first()
    job = Job(**json.loads(Path(job_path).read_text(encoding="utf-8")))
    session: Session | None = None
    try:
        for line in sys.stdin:
            command = json.loads(line)
            try:
                session = session or Session(job)
                actions: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
                    "build": session.build,
                    "read_once": session.read_once,
                    "search": session.search,
                    "forget": session.forget,
                }
                reply = actions[command["do"]](command)
            except Exception as error:  # whatever a library raises becomes a line of the report
                traceback.print_exc()  # to the log
                reply = {"error": _one_line(error)}
            replies.write(json.dumps(reply) + "\n")
            replies.flush()
    finally:
        if session is not None:
            session.close()


def _own_stdout() -> TextIO:
    """A stream to stdout for replies alone: what libraries print goes to stderr."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return replies


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, MetricSearchError) else f"{type(error).__name__}: {text}"


if __name__ == "__main__":
    main(sys.argv[1])
