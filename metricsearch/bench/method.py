"""What the harness needs of a method that is not ours: adapters in benchmarks/peers derive from `Method`."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import InvalidInputError
from metricsearch.spaces import Batch, Metric


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of memory. objects: what grows with the objects (codes, IDs, directory, raw vectors if kept).

    fixed: what does not (pivots, centroids, projections, code books).
    """

    objects: int
    fixed: int


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Result of one query. ids: (m,) int64 rows of the objects, best first, m <= n.

    n_distances: distances to objects or centres computed, None where the library does not tell.
    """

    ids: NDArray[np.int64]
    n_distances: int | None = None


class Method(ABC):
    """One library index. A subclass takes its build parameters as keywords and refuses metrics it has not.

    metric: of the objects. seed: for all that is random. Objects are numbered 0, 1, 2, ... as given to `build`.
    compiles: whether it compiles code at its first use; then a small index is built first, and not counted.
    """

    compiles: ClassVar[bool] = False

    def __init__(self, metric: Metric, seed: int) -> None:
        self.metric, self.seed = metric, seed

    @abstractmethod
    def build(self, objects: Batch) -> None:
        """Index `objects`: (n, d) float32, which may be mapped from a file, or Ragged."""

    @abstractmethod
    def find(self, query: Batch, n: int) -> Found:
        """The best n objects of one query (a batch of one), or fewer; never padding."""

    def find_all(self, queries: Batch, n: int) -> list[NDArray[np.int64]]:
        """IDs for many queries at once, by the library's own batch call where it has one."""
        return [self.find(queries[i : i + 1], n).ids for i in range(len(queries))]

    def set_query(self, **parameters: Any) -> None:
        """Set how thoroughly to search; a method without such parameters refuses all. Raises InvalidInputError."""
        if parameters:
            raise InvalidInputError(f"query: {type(self).__name__} has no parameters, got {', '.join(parameters)}")

    @abstractmethod
    def set_threads(self, n_threads: int) -> None:
        """Use so many threads from now on; the environment variables of BLAS and OpenMP are set by the harness."""

    @abstractmethod
    def version(self) -> str:
        """Library and version, as in "faiss-cpu 1.15.1"."""

    def memory(self) -> Memory | None:
        """What the index needs in memory, by its own trustworthy account or as serialised; None where unknown."""
        return None

    def save(self, folder: Path) -> bool:
        """Write the index into an empty folder; False where the library cannot."""
        return False

    def close(self) -> None:  # noqa: B027 (most have nothing to let go of)
        """Let go of processes and files."""
