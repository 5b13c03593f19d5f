"""Built methods behind one interface: set how to search, ask one query, ask all at once."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from metricsearch.bench import own
from metricsearch.bench.adapters import new_method
from metricsearch.bench.config import MethodConfig
from metricsearch.bench.method import Found, Memory, Method
from metricsearch.bench.refined import RefinedMethod, check_rows
from metricsearch.bench.results import UNKNOWN, Setting
from metricsearch.errors import InvalidInputError
from metricsearch.indexes import MetricIndex
from metricsearch.refinement import Answer, StoreSearch
from metricsearch.spaces import Batch, Metric
from metricsearch.store import ObjectStore


@dataclass(frozen=True, slots=True, eq=False)
class Described:
    """An answer with what it cost. ids (k',) and distances (k',): nearest first. Counts: UNKNOWN where not told."""

    ids: NDArray[np.int64]
    distances: NDArray[np.float64]
    n_candidates_found: int = UNKNOWN
    n_objects_read: int = UNKNOWN
    n_bytes_read: int = UNKNOWN
    n_distances: int = UNKNOWN


class Searcher(ABC):
    """A method that can be built and searched. What `ask` and `ask_all` do is what is timed.

    compiles: see `Method`. n_pivot_objects: objects that its pivots are chosen from, at least.
    """

    compiles = True
    n_pivot_objects = 1

    @abstractmethod
    def build(self, objects: Batch) -> None:
        """Index the objects."""

    @abstractmethod
    def open(self, store: ObjectStore | None) -> None:
        """Make ready to search. store: of the same objects, for methods that read it."""

    @abstractmethod
    def memory(self) -> Memory | None:
        """See `Method.memory`."""

    @abstractmethod
    def disk_bytes(self, folder: Path) -> int | None:
        """Size of the index as saved, in an empty folder if it has to be written; None where it cannot be."""

    @abstractmethod
    def version(self) -> str:
        """See `Method.version`."""

    @abstractmethod
    def set_threads(self, n_threads: int) -> None:
        """Use so many threads from now on."""

    @abstractmethod
    def set(self, setting: Setting) -> None:
        """Search as the setting says from now on. Raises InvalidInputError for parameters that it does not know."""

    @abstractmethod
    def ask(self, query: Batch) -> Any:
        """The answer to one query, as the method gives it."""

    @abstractmethod
    def ask_all(self, queries: Batch) -> Any:
        """The answers to all queries in one call."""

    @abstractmethod
    def describe(self, query: Batch, answer: Any) -> Described:
        """What `ask` returned."""

    def close(self) -> None:  # noqa: B027 (most have nothing to let go of)
        """Let go of processes and files."""


def new_searcher(method: MethodConfig, metric: Metric, k: int, folder: Path, n_threads: int) -> Searcher:
    """The searcher of a method that answers with k neighbours. folder: that of the suite, where adapters are found.

    Raises ConfigError, MissingDataError, MissingExtraError, InvalidInputError and what the adapter raises.
    """
    if method.index is not None:
        index = own.new_index(method.index, metric, method.build, n_threads)
        return OwnSearcher(method, index, k)
    library = new_method(method.adapter or "", folder, metric, method.build)
    return RefinedSearcher(library, metric, k) if method.refine else LibrarySearcher(library, metric, k)


class _StoreSearcher(Searcher):
    """What searches through an object store."""

    def __init__(self, k: int) -> None:
        self._k, self._n_threads, self._n_candidates = k, 1, k
        self._search: StoreSearch | None = None

    def _over_store(self, index: MetricIndex, store: ObjectStore | None) -> StoreSearch:
        if store is None:
            raise InvalidInputError("store: a method that refines needs one")
        self._search = StoreSearch(index, store, n_threads=self._n_threads)
        return self._search

    def _opened(self) -> StoreSearch:
        if self._search is None:
            raise InvalidInputError("store: not open yet")
        return self._search

    def ask_all(self, queries: Batch) -> Any:
        """See `Searcher.ask_all`."""
        return self.ask(queries)

    def describe(self, query: Batch, answer: Any) -> Described:
        """See `Searcher.describe`."""
        (one,) = cast("list[Answer]", answer)
        _check_different(one.ids)
        names = ("n_objects_read", "n_bytes_read", "n_distances")
        return Described(one.ids, one.distances, one.costs["n_candidates"], *(one.costs[name] for name in names))

    def close(self) -> None:
        """See `Searcher.close`."""
        if self._search is not None:
            self._search.close()


class OwnSearcher(_StoreSearcher):
    """One of our own indexes."""

    def __init__(self, method: MethodConfig, index: MetricIndex, k: int) -> None:
        super().__init__(k)
        self._name, self._takes_candidates = str(method.index), method.takes_candidates
        self._index, self._options = index, None
        self.n_pivot_objects = int(getattr(index, "n_spaces", 1)) * int(getattr(index, "n_pivots", 1))
        self._max_distances: int | None = None

    def build(self, objects: Batch) -> None:
        """See `Searcher.build`."""
        self._index.build(objects)

    def open(self, store: ObjectStore | None) -> None:
        """See `Searcher.open`."""
        self._over_store(self._index, store)

    def memory(self) -> Memory | None:
        """See `Searcher.memory`."""
        return own.memory_of(self._index)

    def disk_bytes(self, folder: Path) -> int | None:
        """See `Searcher.disk_bytes`."""
        return own.disk_bytes(self._index)

    def version(self) -> str:
        """See `Searcher.version`."""
        return f"metricsearch {version('metricsearch')}"

    def set_threads(self, n_threads: int) -> None:
        """See `Searcher.set_threads`."""
        self._n_threads = n_threads
        if hasattr(self._index, "n_threads"):
            self._index.n_threads = n_threads

    def set(self, setting: Setting) -> None:
        """See `Searcher.set`."""
        if self._takes_candidates:
            self._options = own.search_options(self._name, setting.query)
            self._n_candidates = setting.n_candidates or self._k
        else:
            if unknown := [name for name in setting.query if name != "max_distances"]:
                raise InvalidInputError(f"query: {self._name} has no parameter {unknown[0]!r}; known: max_distances")
            self._max_distances = setting.query.get("max_distances")

    def ask(self, query: Batch) -> Any:
        """See `Searcher.ask`."""
        search = self._opened()
        if self._takes_candidates:
            return search.search(query, self._k, n_candidates=self._n_candidates, options=self._options)
        return search.nearest(query, self._k, max_distances=self._max_distances)


class LibrarySearcher(Searcher):
    """An adapter that answers by itself."""

    def __init__(self, library: Method, metric: Metric, k: int) -> None:
        self._library, self._metric, self._k = library, metric, k
        self.compiles = library.compiles
        self._objects: Batch

    def build(self, objects: Batch) -> None:
        """See `Searcher.build`."""
        self._objects = objects
        self._library.build(objects)

    def memory(self) -> Memory | None:
        """See `Searcher.memory`."""
        return self._library.memory()

    def disk_bytes(self, folder: Path) -> int | None:
        """See `Searcher.disk_bytes`."""
        if not self._library.save(folder):
            return None
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

    def version(self) -> str:
        """See `Searcher.version`."""
        return self._library.version()

    def open(self, store: ObjectStore | None) -> None:
        """See `Searcher.open`."""

    def set_threads(self, n_threads: int) -> None:
        """See `Searcher.set_threads`."""
        self._library.set_threads(n_threads)

    def set(self, setting: Setting) -> None:
        """See `Searcher.set`."""
        self._library.set_query(**setting.query)

    def ask(self, query: Batch) -> Any:
        """See `Searcher.ask`."""
        return self._library.find(query, self._k)

    def ask_all(self, queries: Batch) -> Any:
        """See `Searcher.ask_all`."""
        return self._library.find_all(queries, self._k)

    def describe(self, query: Batch, answer: Any) -> Described:
        """See `Searcher.describe`; exact distances of what was found are computed here, untimed."""
        found = cast("Found", answer)
        ids = np.sort(check_rows(found.ids, self._k, len(self._objects)))
        _check_different(ids)
        distances = self._metric.distances(query, self._metric.check(self._objects[ids]))
        order = np.argsort(distances, kind="stable")
        n_distances = UNKNOWN if found.n_distances is None else found.n_distances
        return Described(ids[order], distances[order], n_distances=n_distances)

    def close(self) -> None:
        """See `Searcher.close`."""
        self._library.close()


class RefinedSearcher(LibrarySearcher, _StoreSearcher):
    """An adapter whose candidates are compared exactly from our object store; without R it answers by itself."""

    def __init__(self, library: Method, metric: Metric, k: int) -> None:
        LibrarySearcher.__init__(self, library, metric, k)
        _StoreSearcher.__init__(self, k)
        self._index: RefinedMethod | None = None
        self._is_refined = True

    def open(self, store: ObjectStore | None) -> None:
        """See `Searcher.open`."""
        self._index = RefinedMethod(self._library, self._metric, self._objects)
        self._over_store(self._index, store)

    def set_threads(self, n_threads: int) -> None:
        """See `Searcher.set_threads`."""
        self._n_threads = n_threads
        super().set_threads(n_threads)

    def set(self, setting: Setting) -> None:
        """See `Searcher.set`."""
        self._is_refined = setting.n_candidates is not None
        self._n_candidates = setting.n_candidates or self._k
        super().set(setting)

    def ask(self, query: Batch) -> Any:
        """See `Searcher.ask`."""
        if not self._is_refined:
            return super().ask(query)
        return self._opened().search(query, self._k, n_candidates=self._n_candidates)

    def ask_all(self, queries: Batch) -> Any:
        """All candidates by the library's own batch call, then all comparisons."""
        if not self._is_refined:
            return super().ask_all(queries)
        search, index = self._opened(), cast("RefinedMethod", self._index)
        with index.found_before(queries, self._n_candidates):
            return search.search(queries, self._k, n_candidates=self._n_candidates)

    def describe(self, query: Batch, answer: Any) -> Described:
        """See `Searcher.describe`; distances are unknown where the library does not tell its share of them."""
        if not self._is_refined:
            return super().describe(query, answer)
        described = _StoreSearcher.describe(self, query, answer)
        if self._index is not None and self._index.tells_distances:
            return described
        return replace(described, n_distances=UNKNOWN)

    def close(self) -> None:
        """See `Searcher.close`."""
        _StoreSearcher.close(self)
        super().close()


def _check_different(ids: NDArray[np.int64]) -> None:
    """Raise InvalidInputError if an answer names an object twice: it would count as two neighbours."""
    if len(np.unique(ids)) < len(ids):
        raise InvalidInputError(f"answer: expected different objects, got {np.array2string(ids, threshold=9):.60}")
