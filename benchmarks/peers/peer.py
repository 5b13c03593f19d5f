"""What the adapters of other libraries share: names of metrics, imports, parameters, rows as a library wants them."""

import importlib
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from metricsearch.bench.method import Found, Method
from metricsearch.errors import InvalidInputError, MissingExtraError, MissingIndexError
from metricsearch.spaces import Batch, Metric
from metricsearch.validation import check_integer, check_positive

CHUNK_BYTES = 64 * 2**20  # of rows handed to a library at a time
TRAINING_ROWS = 65_536  # sample on which centroids, code books and projections are learnt, unless told otherwise


class Peer(Method):
    """An index of another library.

    A subclass says `distribution` (its package on PyPI), `module` (what is imported; None if it runs elsewhere) and
    `metrics` (the library's name of each of our metrics that it has). `space` is then the name for the metric at hand,
    `library` the module.
    Raises InvalidInputError for a metric that it has not, MissingExtraError where the library is not installed.
    """

    distribution: ClassVar[str]
    module: ClassVar[str | None]
    metrics: ClassVar[Mapping[str, Any]]

    def __init__(self, metric: Metric, seed: int) -> None:
        super().__init__(metric, check_integer(seed, "seed", 0, 2**31 - 1))
        if metric.name not in self.metrics:
            raise InvalidInputError(
                f"{type(self).__name__}: metric {metric.name} is not among those of {self.distribution} "
                f"({', '.join(self.metrics)})"
            )
        self.space = self.metrics[metric.name]
        self.library = self._imported()
        self.index: Any = None
        self.n_objects = 0

    def version(self) -> str:
        """See `Method.version`."""
        return f"{self.distribution} {version(self.distribution)}"

    def start(self, objects: Batch) -> None:
        """Note how many objects there are; raise InvalidInputError for none."""
        self.n_objects = check_integer(len(objects), "objects: number", 1)

    def limit(self, n: int) -> int:
        """Objects to ask for: at most all. Raises MissingIndexError before `build`, InvalidInputError for n < 1."""
        if self.index is None:
            raise MissingIndexError(f"{type(self).__name__}: there is no index yet; call build first")
        return min(check_positive(n, "n"), self.n_objects)

    def rows(self, batch: Batch) -> NDArray[Any]:
        """Vectors as the library gets them: C-contiguous float32, of length 1 for the angular metric.

        Their Euclidean distance, and their inner product, order objects as the angle does.
        """
        vectors = np.ascontiguousarray(batch, dtype=np.float32)
        if self.metric.name != "angular":
            return vectors
        lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
        return np.asarray(vectors / lengths[:, None], dtype=np.float32)

    def _imported(self) -> Any:
        if self.module is None:
            return None
        try:
            return importlib.import_module(self.module)
        except ImportError:
            raise MissingExtraError(
                f'{type(self).__name__}: needs {self.distribution}; pip install "metricsearch[peers]"'
            ) from None

    def parameters(self, given: Mapping[str, Any], **defaults: Any) -> dict[str, Any]:
        """`given` over the `defaults`; raise InvalidInputError for a parameter that is not among these."""
        unknown = sorted(set(given) - set(defaults))
        if unknown:
            raise InvalidInputError(
                f"query: {type(self).__name__} has no {', '.join(unknown)}; it has {', '.join(defaults) or 'none'}"
            )
        return {**defaults, **given}


def row_chunks(objects: Batch) -> Iterator[tuple[int, Batch]]:
    """(number of the first row, rows) of about CHUNK_BYTES each."""
    row_bytes = max(1, objects[:1].nbytes) if isinstance(objects, np.ndarray) else 64
    size = max(1, CHUNK_BYTES // row_bytes)
    for start in range(0, len(objects), size):
        yield start, objects[start : start + size]


def training_rows(objects: Batch, n_train: int, seed: int) -> Batch:
    """At most `n_train` rows drawn by `seed`, in their order, so that a mapped file is read forwards."""
    if len(objects) <= n_train:
        return objects
    return objects[np.sort(np.random.default_rng(seed).choice(len(objects), n_train, replace=False))]


def without_padding(ids: Any, n_distances: int | None = None) -> Found:
    """The answer of a library that fills up with -1."""
    found = np.asarray(ids, dtype=np.int64).reshape(-1)
    return Found(found[found >= 0], n_distances)


def check_divisor(value: int, name: str, total: int) -> int:
    """Return `value` if it divides `total` dimensions; raise InvalidInputError otherwise."""
    if total % check_positive(value, name):
        raise InvalidInputError(f"{name}: expected a divisor of the {total} dimensions, got {value}")
    return value


def check_flag(value: bool, name: str) -> bool:
    """Return `value` if it is True or False; raise InvalidInputError otherwise."""
    if not isinstance(value, bool):
        raise InvalidInputError(f"{name}: expected true or false, got {value!r}")
    return value


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="metricsearch-peer-") as folder:
        yield Path(folder)


def folder_bytes(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
