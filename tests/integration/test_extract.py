"""`kill -9` at random moments of an extraction: run again, it gives the file of an undisturbed one.

METRICSEARCH_KILL_ROUNDS sets the number of kills (default 6).
"""

import os
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
from oracle.features import noise
from PIL import Image

from metricsearch.features import FeatureFile, LocalFeatureOptions, extract_photos

ROUNDS = int(os.environ.get("METRICSEARCH_KILL_ROUNDS", "6"))
N = 40
OPTIONS = LocalFeatureOptions()

# One process that has imported everything and forks a child for each round; parts are small, so that there are many.
SERVER = """
import os, signal, sys
from metricsearch.features import extraction
from metricsearch.features import LocalFeatureOptions, extract_photos
extraction._PART_PHOTOS, extraction._GROUP_PER_THREAD = 4, 2
for line in sys.stdin:
    photos, out = line.rstrip("\\n").split("\\t")
    pid = os.fork()
    if pid == 0:
        try:
            extract_photos(photos, out, LocalFeatureOptions(), n_threads=2)
            signal.pause()
        finally:
            os._exit(1)
    print(pid, flush=True)
    print(os.waitpid(pid, 0)[1], flush=True)
"""


def content(path):
    with h5py.File(path, "r") as file:
        values = {name: file[name][:] for name in file}
        return dict(file.attrs), {
            name: value.tolist() if value.dtype == object else (value.dtype, value.shape, value.tobytes())
            for name, value in values.items()
        }


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(N):
        Image.fromarray(noise(160, 200, seed=number)).save(folder / f"{number:02}.png")
    (folder / "text.jpg").write_text("hello")
    return folder


@pytest.fixture
def server():
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as run:
        yield run
        run.stdin.close()


def start(server, photos, out):
    """Process number of an extraction; it waits for its kill when it has finished."""
    server.stdin.write(f"{photos}\t{out}\n")
    server.stdin.flush()
    return int(server.stdout.readline())


def kill(server, pid):
    os.kill(pid, signal.SIGKILL)
    assert int(server.stdout.readline()) == signal.SIGKILL, "the extraction failed"


def parts_of(out):
    return list(out.with_name(f"{out.name}.parts").glob("[0-9]*.h5"))


def n_photos(path):
    with FeatureFile.open(path) as file:
        return len(file)


def test_a_killed_extraction_goes_on_where_it_was(tmp_path, photos, server):
    rng = np.random.default_rng()
    expected, out = tmp_path / "expected.h5", tmp_path / "x.h5"
    begun = time.monotonic()
    extract_photos(photos, expected, OPTIONS)
    duration = time.monotonic() - begun
    reference = content(expected)
    n_resumed = 0
    for _ in range(ROUNDS):
        for _ in range(2):  # the second one goes on after the first
            pid = start(server, photos, out)
            time.sleep(float(rng.uniform(0, duration)))
            kill(server, pid)
            if out.exists():  # never half of it
                assert content(out) == reference
        n_finished = sum(n_photos(part) for part in parts_of(out))
        report = extract_photos(photos, out, OPTIONS)
        assert report.n_new + report.n_kept == N
        assert report.n_kept >= n_finished
        n_resumed += n_finished > 0 and report.n_new > 0
        assert content(out) == reference
        assert sorted(path.name for path in tmp_path.iterdir()) == ["expected.h5", "photos", "x.h5"]
        out.unlink()
    assert n_resumed or ROUNDS < 6, "no kill hit the middle of an extraction: take more photos"


def test_a_kill_while_a_file_grows_leaves_the_old_or_the_new_one(tmp_path, photos, server):
    """The last moments, when the file is put together, are the ones to hit."""
    rng = np.random.default_rng()
    out = tmp_path / "x.h5"
    few = sorted(photos.glob("*.png"))[: N - 4]
    extract_photos(few, tmp_path / "old.h5", OPTIONS)
    extract_photos(photos, tmp_path / "new.h5", OPTIONS)
    old, new = content(tmp_path / "old.h5"), content(tmp_path / "new.h5")
    for _ in range(ROUNDS):
        out.write_bytes((tmp_path / "old.h5").read_bytes())
        before = out.stat().st_ino
        pid = start(server, photos, out)
        deadline = time.monotonic() + 60
        while not parts_of(out) and out.stat().st_ino == before and time.monotonic() < deadline:
            time.sleep(0.0005)
        time.sleep(float(rng.uniform(0, 0.02)))
        kill(server, pid)
        assert content(out) in (old, new)
        extract_photos(photos, out, OPTIONS)
        assert content(out) == new
        assert sorted(path.name for path in tmp_path.iterdir()) == ["new.h5", "old.h5", "photos", "x.h5"]
