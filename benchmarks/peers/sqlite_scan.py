"""SQLite: `ORDER BY distance` over a table of objects, the scan that a database does without an index."""

import shutil
import sqlite3
import tempfile
from pathlib import Path

import numpy as np

from metricsearch.bench.method import Found, Memory, Method
from metricsearch.errors import MissingIndexError
from metricsearch.spaces import Batch, Metric, Ragged
from metricsearch.validation import check_positive

CACHE_KIB = 2000
QUERY = "SELECT id FROM objects ORDER BY distance(object), id LIMIT ?"


class SQLiteScan(Method):
    """Objects as blobs in a database file; our metric is the SQL function `distance`, called once per object. Exact."""

    def __init__(self, metric: Metric, seed: int) -> None:
        super().__init__(metric, seed)
        self.connection: sqlite3.Connection | None = None
        self.folder: Path | None = None

    def build(self, objects: Batch) -> None:
        """See `Method.build`."""
        self.close()
        self.folder = Path(tempfile.mkdtemp(prefix="metricsearch-sqlite-"))
        self.connection = sqlite3.connect(self.folder / "objects.db")
        self.connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        self.connection.execute("CREATE TABLE objects (id INTEGER PRIMARY KEY, object BLOB NOT NULL)")
        ragged = isinstance(objects, Ragged)
        self.prototype = objects.values[:0] if ragged else np.asarray(objects[:0])
        self.ragged = ragged
        rows = ((i, self._bytes(objects[i : i + 1])) for i in range(len(objects)))
        with self.connection:
            self.connection.executemany("INSERT INTO objects VALUES (?, ?)", rows)

    def find(self, query: Batch, n: int) -> Found:
        """See `Method.find`."""
        connection = self._connected()
        n_distances = 0

        def distance(blob: bytes) -> float:
            nonlocal n_distances
            n_distances += 1
            return float(self.metric.distances(query, self._object(blob))[0])

        connection.create_function("distance", 1, distance, deterministic=True)
        ids = [row[0] for row in connection.execute(QUERY, (check_positive(n, "n"),))]
        return Found(np.array(ids, dtype=np.int64), n_distances)

    def _bytes(self, one: Batch) -> bytes:
        return (one.values if isinstance(one, Ragged) else np.asarray(one)).tobytes()

    def _object(self, blob: bytes) -> Batch:
        """A batch of the one object of a blob."""
        values = np.frombuffer(blob, dtype=self.prototype.dtype)
        if not self.ragged:
            return values.reshape(1, -1)
        values = values.reshape(-1, *self.prototype.shape[1:])
        return Ragged(values, np.array([0, len(values)], dtype=np.int64))

    def _connected(self) -> sqlite3.Connection:
        if self.connection is None:
            raise MissingIndexError("SQLiteScan: there is no index yet; call build first")
        return self.connection

    def set_threads(self, n_threads: int) -> None:
        """See `Method.set_threads`; SQLite scans on one thread."""

    def version(self) -> str:
        """See `Method.version`."""
        return f"sqlite {sqlite3.sqlite_version}"

    def memory(self) -> Memory:
        """The page cache; objects stay in the file."""
        return Memory(objects=0, fixed=CACHE_KIB * 1024)

    def save(self, folder: Path) -> bool:
        """See `Method.save`."""
        copy = sqlite3.connect(folder / "objects.db")
        with copy:
            self._connected().backup(copy)
        copy.close()
        return True

    def close(self) -> None:
        """Close and remove the database."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder = None
