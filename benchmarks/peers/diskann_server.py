"""The other end of `diskann_index`: builds and searches DiskANN in an interpreter that has diskannpy.

    python diskann_server.py REQUESTS_FD ANSWERS_FD

A request is a line of JSON, for a search followed by the queries; an answer is IDs, (q, n) int64 with -1 where there
are fewer, or a line of JSON. Arrays travel as .npy after their number of bytes, 8 bytes little-endian. diskannpy prints
much, so that standard output is of no use.
"""

import io
import json
import os
import sys
from importlib.metadata import version
from typing import Any, BinaryIO

import numpy as np

MIN_CONTEXTS = 2  # diskannpy borrows a second one while it loads, and waits for ever if there is none


def build(request: dict[str, Any]) -> Any:
    """Build the index and open it."""
    import diskannpy

    diskannpy.build_disk_index(
        request["objects"],
        "l2",
        request["folder"],
        complexity=request["ef_construction"],
        graph_degree=request["n_links"],
        search_memory_maximum=request["search_memory_gib"],
        build_memory_maximum=request["build_memory_gib"],
        num_threads=request["n_threads"],
        vector_dtype=np.float32,
    )
    return open_index(request)


def open_index(request: dict[str, Any]) -> Any:
    """Open a built index."""
    import diskannpy

    n_contexts = max(MIN_CONTEXTS, request["n_threads"])
    return diskannpy.StaticDiskIndex(request["folder"], num_threads=n_contexts, num_nodes_to_cache=0)


def search(index: Any, request: dict[str, Any], queries: np.ndarray) -> np.ndarray:
    """(q, n) int64 IDs, -1 after the last."""
    n, complexity, beam_width = request["n"], max(request["ef"], request["n"]), request["beam_width"]
    if len(queries) == 1:
        response = index.search(queries[0], n, complexity=complexity, beam_width=beam_width)
    else:
        response = index.batch_search(
            queries, n, complexity=complexity, num_threads=request["n_threads"], beam_width=beam_width
        )
    ids = np.atleast_2d(response.identifiers).astype(np.int64)
    ids[~np.isfinite(np.atleast_2d(response.distances)) | (ids >= request["n_objects"])] = -1
    return ids


def read_array(stream: BinaryIO) -> np.ndarray:
    """The next array. Raises EOFError where the stream has ended."""
    size = stream.read(8)
    if len(size) < 8:
        raise EOFError
    return np.load(io.BytesIO(stream.read(int.from_bytes(size, "little"))), allow_pickle=False)


def write_array(stream: BinaryIO, array: np.ndarray) -> None:
    """Write an array; the caller flushes."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    stream.write(buffer.tell().to_bytes(8, "little"))
    stream.write(buffer.getbuffer())


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until there are no more."""
    index = None
    for line in iter(requests.readline, b""):
        request = json.loads(line)
        if request["do"] == "search":
            write_array(answers, search(index, request, read_array(requests)))
        else:
            try:
                index = None  # lets go of the old one first
                index = build(request) if request["do"] == "build" else open_index(request)
                answer = {"version": version("diskannpy")}
            except ImportError:
                answer = {"missing": True}
            except (RuntimeError, ValueError) as error:
                answer = {"error": str(error).splitlines()[0] if str(error) else type(error).__name__}
            answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()


if __name__ == "__main__":
    serve(os.fdopen(int(sys.argv[1]), "rb"), os.fdopen(int(sys.argv[2]), "wb"))
