"""What was measured of one method at one setting, and of the index it used."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

UNKNOWN = -1  # a count that the method does not tell


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """An index. Bytes: None where unknown.

    build_s: seconds. objects_bytes, fixed_bytes: see `Memory`. rss_growth_bytes: growth of the process's private
    memory from before to after building. index_disk_bytes: the index as saved. store_disk_bytes: the object store that
    it reads, 0 for an index that needs none. version: of the library.
    """

    build_s: float
    objects_bytes: int | None
    fixed_bytes: int | None
    rss_growth_bytes: int
    index_disk_bytes: int | None
    store_disk_bytes: int
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """How a built index is searched. n_candidates: R, None for methods that answer by themselves.

    query: parameters of the search. cache: "warm" or "cold", of the object store.
    """

    query: dict[str, Any] = field(default_factory=dict)
    n_candidates: int | None = None
    cache: str = "warm"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Result:
    """One method at one setting over q queries and r repetitions, interleaved with the other methods.

    times_ms: (r, q) of single queries. batch_s: (r,) for all queries in one call, NaN where not measured. ids: (q, k)
    int64, -1 where an answer is shorter, and distances: (q, k) float64 exact, infinite there. n_candidates_found,
    n_objects_read, n_bytes_read, n_distances: (q,) int64, UNKNOWN where the method does not tell. reference_ms: (r,)
    mean time of the reference method for the same queries in the same round. recalls: (q,).
    """

    label: str
    method: dict[str, Any]  # the method's table of the suite
    setting: Setting
    built: Built
    times_ms: NDArray[np.float64]
    batch_s: NDArray[np.float64]
    reference_ms: NDArray[np.float64]
    ids: NDArray[np.int64]
    distances: NDArray[np.float64]
    n_candidates_found: NDArray[np.int64]
    n_objects_read: NDArray[np.int64]
    n_bytes_read: NDArray[np.int64]
    n_distances: NDArray[np.int64]
    recalls: NDArray[np.float64]
    code: dict[str, Any] = field(default_factory=dict)  # commit and whether files differed from it
