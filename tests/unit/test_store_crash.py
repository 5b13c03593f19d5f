"""A process that is killed (SIGKILL) while it changes a store."""

import subprocess
import sys
import time

import numpy as np
import pytest

from metricsearch.spaces import VECTORS
from metricsearch.store import ObjectStore

D = 64
CHANGES = """
import sys
import numpy as np
from metricsearch.store import ObjectStore

path, start = sys.argv[1], int(sys.argv[2])

def say(*words):
    sys.stdout.write(" ".join(map(str, words)) + "\\n")
    sys.stdout.flush()

def chunk(low, high):
    ids = np.arange(low, high)
    return ids, np.repeat(ids.astype(np.float32)[:, None], 64, axis=1)

with ObjectStore.open(path) as store:
    low = start
    while True:
        say("add", low, low + 400)
        store.add(chunk(at, at + 50) for at in range(low, low + 400, 50))  # 25 segments in several transactions
        say("done")
        say("remove", low + 10, low + 390)
        store.remove(np.arange(low + 10, low + 390))
        say("done")
        low += 400
"""


def killed_after(path, start, delay):
    """Lines that a process wrote which changes the store and is killed `delay` seconds after its first two changes."""
    command = [sys.executable, "-c", CHANGES, str(path), str(start)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        first = "".join(process.stdout.readline() for _ in range(4))
        time.sleep(delay)
        process.kill()
        rest = process.stdout.read()
    return [line.split() for line in (first + rest).splitlines() if line]


def applied(state, what, low, high):
    numbers = set(range(int(low), int(high)))
    return state | numbers if what == "add" else state - numbers


@pytest.mark.parametrize("seed", range(3))
def test_a_killed_process_loses_nothing_acknowledged_and_leaves_nothing_half_visible(tmp_path, seed):
    path = tmp_path / "objects.mdb"
    ObjectStore.create(path, "raw-f32", VECTORS, D, segment_bytes=4096).close()
    state, start = set(), 0
    for delay in np.random.default_rng(seed).uniform(0.0, 0.06, 2).tolist():
        lines = killed_after(path, start, delay)
        assert lines[:4] == [lines[0], ["done"], lines[2], ["done"]], "the process made no change"
        acknowledged = state
        for line, following in zip(lines, [*lines[1:], None], strict=True):
            if line != ["done"] and following == ["done"]:
                acknowledged = applied(acknowledged, *line)
        allowed = [acknowledged]
        if lines[-1] != ["done"]:
            allowed.append(applied(acknowledged, *lines[-1]))
        with ObjectStore.open(path, readonly=True) as store:  # what a reader sees before anything is tidied up
            assert set(store.ids().tolist()) in allowed
            assert store.verify() == []
        with ObjectStore.open(path) as store:
            ids = store.ids()
            state = set(ids.tolist())
            assert state in allowed
            assert np.array_equal(store.get(ids), np.repeat(ids.astype(np.float32)[:, None], D, axis=1))
            assert store.verify() == []
            with store.snapshot() as snapshot:
                assert snapshot.segments.numbers.max(initial=-1) < store._writer.header.next_segment
        start = max(state, default=0) + 1000
