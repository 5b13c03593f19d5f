"""DiskANN: graph and vectors on disk, compressed codes in memory.

diskannpy needs numpy 1, so it runs in an interpreter of its own. Queries and answers go through pipes, whose time
(tens of microseconds) is part of every search.
"""

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from diskann_server import read_array, write_array
from numpy.typing import NDArray
from peer import Peer, row_chunks, without_padding

from metricsearch.bench.method import Found, Memory
from metricsearch.errors import InvalidInputError, MissingExtraError, MissingIndexError, StorageError
from metricsearch.spaces import Batch, Metric
from metricsearch.validation import check_integer, check_positive

SERVER = Path(__file__).with_name("diskann_server.py")
DEFAULT_EF, DEFAULT_BEAM_WIDTH = 64, 4
CODES, CODE_BOOK = "ann_pq_compressed.bin", "ann_pq_pivots.bin"
SCRATCH = ("ann_sample_data.bin", "ann_sample_ids.bin", "ann_mem.index.data")  # of the build, no part of the index


class DiskANN(Peer):
    """python: interpreter with diskannpy. n_links: of a node (degree). ef_construction: nodes kept while linking.

    search_memory_gib: for the codes of all objects; build_memory_gib: while building.
    Query: ef, nodes kept while searching (raised to the objects asked for); beam_width, nodes read at a time.
    Angles are searched as Euclidean distances of unit vectors. It takes no seed.
    """

    distribution, module = "diskannpy", None
    metrics = {"euclidean": "l2", "angular": "l2"}

    def __init__(
        self,
        metric: Metric,
        seed: int,
        *,
        python: str,
        n_links: int = 32,
        ef_construction: int = 100,
        search_memory_gib: float = 0.05,
        build_memory_gib: float = 2.0,
    ) -> None:
        super().__init__(metric, seed)
        self.python = python
        self.n_links = check_integer(n_links, "n_links", 2)
        self.ef_construction = check_positive(ef_construction, "ef_construction")
        self.memory_gib = {"search_memory_gib": search_memory_gib, "build_memory_gib": build_memory_gib}
        for name, value in self.memory_gib.items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
                raise InvalidInputError(f"{name}: expected a number > 0, got {value!r}")
        self.n_threads = 1
        self.folder: Path | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self.set_query()

    def build(self, objects: Batch) -> None:
        """See `Method.build`. Raises MissingExtraError without diskannpy, InvalidInputError where DiskANN refuses."""
        self.close()
        self.start(objects)
        self.folder = Path(tempfile.mkdtemp(prefix="metricsearch-diskann-"))
        (self.folder / "index").mkdir()
        self._write_objects(self.folder / "objects.bin", objects)
        self._start_server()
        answer = self._order(
            do="build",
            objects=str(self.folder / "objects.bin"),
            ef_construction=self.ef_construction,
            n_links=self.n_links,
            **self.memory_gib,
        )
        (self.folder / "objects.bin").unlink()
        for name in SCRATCH:
            (self.folder / "index" / name).unlink(missing_ok=True)
        self.index, self.library_version = self.folder / "index", answer["version"]

    def _write_objects(self, path: Path, objects: Batch) -> None:
        """The file that DiskANN reads: int32 number and dimension, then the rows."""
        with path.open("wb") as file:
            file.write(np.array([len(objects), objects.shape[1]], dtype="<i4").tobytes())
            for _, rows in row_chunks(objects):
                file.write(self.rows(rows).tobytes())

    def _start_server(self) -> None:
        """Start the other interpreter; its messages are thrown away."""
        requests_out, requests_in = os.pipe()
        answers_out, answers_in = os.pipe()
        try:
            self.process = subprocess.Popen(
                [self.python, str(SERVER), str(requests_out), str(answers_in)],
                pass_fds=(requests_out, answers_in),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        except OSError as error:
            os.close(requests_in)
            os.close(answers_out)
            raise MissingExtraError(f"DiskANN: python: cannot run {self.python!r} ({error.strerror})") from None
        finally:
            os.close(requests_out)
            os.close(answers_in)
        self.requests, self.answers = os.fdopen(requests_in, "wb"), os.fdopen(answers_out, "rb")

    def _order(self, **request: Any) -> dict[str, Any]:
        """Send a request that is answered by JSON. Raises InvalidInputError for an error in the other interpreter."""
        self._send({**request, "folder": str(self.folder and self.folder / "index"), "n_threads": self.n_threads})
        line = self.answers.readline()
        if not line:
            raise self._ended()
        answer = json.loads(line)
        if "missing" in answer:
            raise MissingExtraError(f"DiskANN: {self.python} has no diskannpy; pip install diskannpy there")
        if "error" in answer:
            raise InvalidInputError(f"DiskANN: {answer['error']}")
        return dict(answer)

    def _send(self, request: dict[str, Any], queries: NDArray[np.float32] | None = None) -> None:
        try:
            self.requests.write(json.dumps(request).encode() + b"\n")
            if queries is not None:
                write_array(self.requests, queries)
            self.requests.flush()
        except BrokenPipeError:
            raise self._ended() from None

    def _ended(self) -> StorageError:
        """What to raise when the other interpreter is gone."""
        code = None if self.process is None else self.process.wait()
        return StorageError(f"DiskANN: the process of {self.python} ended with status {code}")

    def _search(self, queries: Batch, n: int) -> NDArray[np.int64]:
        request = {
            "do": "search",
            "n": self.limit(n),
            "n_objects": self.n_objects,
            "ef": self.ef,
            "beam_width": self.beam_width,
            "n_threads": self.n_threads,
        }
        self._send(request, self.rows(queries))
        try:
            return read_array(self.answers)
        except EOFError:
            raise self._ended() from None

    def find(self, query: Batch, n: int) -> Found:
        """See `Method.find`."""
        return without_padding(self._search(query, n))

    def find_all(self, queries: Batch, n: int) -> list[NDArray[np.int64]]:
        """See `Method.find_all`."""
        return [without_padding(row).ids for row in self._search(queries, n)]

    def set_query(self, **parameters: Any) -> None:
        """See `Method.set_query`."""
        given = self.parameters(parameters, ef=DEFAULT_EF, beam_width=DEFAULT_BEAM_WIDTH)
        self.ef = check_positive(given["ef"], "ef")
        self.beam_width = check_positive(given["beam_width"], "beam_width")

    def set_threads(self, n_threads: int) -> None:
        """See `Method.set_threads`."""
        self.n_threads = n_threads
        if self.index is not None:
            self._order(do="open")

    def version(self) -> str:
        """See `Method.version`; known once built."""
        return f"diskannpy {self.library_version}" if self.index is not None else "diskannpy"

    def memory(self) -> Memory:
        """The codes, and the code book, which stay in the memory of the other interpreter."""
        folder = self._built()
        return Memory(objects=(folder / CODES).stat().st_size, fixed=(folder / CODE_BOOK).stat().st_size)

    def save(self, folder: Path) -> bool:
        """See `Method.save`."""
        shutil.copytree(self._built(), folder, dirs_exist_ok=True)
        return True

    def _built(self) -> Path:
        if self.index is None:
            raise MissingIndexError("DiskANN: there is no index yet; call build first")
        return Path(self.index)

    def close(self) -> None:
        """End the other interpreter and remove the index."""
        if self.process is not None:
            self.requests.close()
            self.answers.close()
            self.process.wait()
            self.process = None
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder = None
        self.index = None
