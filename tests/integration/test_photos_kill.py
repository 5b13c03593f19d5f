"""`kill -9` at random moments of `metricsearch index`: run again, it gives the collection of an undisturbed run.

METRICSEARCH_KILL_ROUNDS sets the number of kills (default 6).
"""

import os
import shutil
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
from oracle.features import noise

from metricsearch.collection import Collection
from metricsearch.errors import MissingIndexError
from metricsearch.photos import PhotoCollection, is_photo_collection
from metricsearch.vocabtree import VocabularyTree

Image = pytest.importorskip("PIL.Image")
pytest.importorskip("cv2")

ROUNDS = int(os.environ.get("METRICSEARCH_KILL_ROUNDS", "6"))
N = 16

# One process that has imported everything and forks a child for each round; parts and portions are small, so that there
# are many steps to be killed in.
SERVER = """
import os, signal, sys
from metricsearch.features import extraction, known_values
from metricsearch.photos import PhotoCollection, parts
extraction._PHOTOS_AHEAD, known_values._PART_PHOTOS = 2, 3
parts._PORTION = 5
for line in sys.stdin:
    photos, out = line.rstrip("\\n").split("\\t")
    pid = os.fork()
    if pid == 0:
        try:
            PhotoCollection.create_or_update(out, photos, feature="hsv", drop_missing=True, n_threads=2)
            signal.pause()
        finally:
            os._exit(1)
    print(pid, flush=True)
    print(os.waitpid(pid, 0)[1], flush=True)
"""


def index(photos, out):
    return PhotoCollection.create_or_update(out, photos, feature="hsv", drop_missing=True, n_threads=2)


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(N):
        Image.fromarray(noise(120, 160, seed=number)).save(folder / f"{number:02}.png")
    shutil.copy(folder / "03.png", folder / "copy.png")
    (folder / "text.jpg").write_text("hello")
    return folder


@pytest.fixture
def server():
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as run:
        yield run
        run.stdin.close()


def killed(server, photos, out, delay):
    """Run an indexing, and kill it after `delay` seconds (where it waits, if it has finished)."""
    server.stdin.write(f"{photos}\t{out}\n")
    server.stdin.flush()
    pid = int(server.stdout.readline())
    time.sleep(delay)
    os.kill(pid, signal.SIGKILL)
    assert int(server.stdout.readline()) == signal.SIGKILL, "the indexing failed"


def content(path):
    """Everything that a collection holds and answers, whatever the numbers of its files."""
    found = {"names": sorted(entry.name for entry in path.iterdir())}
    with h5py.File(path / "photos.h5", "r") as file:

        def take(name, item):
            found[name] = {key: str(value) for key, value in item.attrs.items()}
            if isinstance(item, h5py.Dataset):
                found[name]["values"] = item[()].tolist()

        file.visititems(take)
    with Collection.open(path / "descriptors.ms", readonly=True) as collection:
        found["vectors"] = (collection.ids().tolist(), collection.get(collection.ids()).tobytes())
        found["pivots"] = collection.index.pivots.tobytes()
        found["index"] = {name: array.tobytes() for name, array in collection.index.to_arrays().items()}
    with VocabularyTree.open(path / "words.vt", readonly=True) as tree:
        found["vocabulary"] = tree.vocabulary.centres.tobytes()
        found["words"] = {int(i): tree.words_of(i).tolist() for i in np.sort(tree.image_ids())}
    with PhotoCollection.open(path) as collection:
        assert collection.verify() == []
        found["answers"] = [collection.search(row, 5) for row in sorted(map(str, path.parent.glob("queries/*.png")))]
    return found


def is_finished(out, query):
    """After a kill, a search answers from a finished state or refuses in one line."""
    if not is_photo_collection(out):
        return False
    with PhotoCollection.open(out) as collection:
        if collection.is_complete:
            assert collection.search(query, 3)
            return True
        with pytest.raises(MissingIndexError, match="not finished"):
            collection.search(query, 3)
    return False


def queries_of(tmp_path):
    (tmp_path / "queries").mkdir()
    for number in (2, 90):
        Image.fromarray(noise(120, 160, seed=number)).rotate(12).save(tmp_path / "queries" / f"{number}.png")
    return tmp_path / "queries" / "2.png"


def test_a_killed_indexing_is_completed_by_the_same_command(tmp_path, photos, server):
    query = queries_of(tmp_path)
    rng = np.random.default_rng()
    expected, out = tmp_path / "expected.ms", tmp_path / "x.ms"
    index(photos, expected)  # what is compiled at first is compiled now
    shutil.rmtree(expected)
    begun = time.monotonic()
    index(photos, expected)
    duration = time.monotonic() - begun
    reference = content(expected)
    n_unfinished = 0
    for number in range(ROUNDS):
        # The first kill comes early: on a slow machine the child is still at work, on a fast one it is not yet done.
        for delay in (duration * (0.1 if number == 0 else rng.uniform(0, 1)), rng.uniform(0, duration)):
            killed(server, photos, out, float(delay))
            n_unfinished += not is_finished(out, query)
        index(photos, out)
        assert content(out) == reference
        assert sorted(path.name for path in tmp_path.iterdir()) == ["expected.ms", "photos", "queries", "x.ms"]
        shutil.rmtree(out)
    assert n_unfinished


def test_a_killed_update_ends_as_an_undisturbed_one(tmp_path, photos, server):
    query = queries_of(tmp_path)
    rng = np.random.default_rng()
    before, expected, out = tmp_path / "before.ms", tmp_path / "expected.ms", tmp_path / "x.ms"
    index(photos, before)
    for number in range(N, N + 4):
        Image.fromarray(noise(120, 160, seed=number)).save(photos / f"{number:02}.png")
    Image.fromarray(noise(120, 160, seed=99)).save(photos / "05.png")  # changed
    for name in ("07.png", "copy.png"):
        (photos / name).unlink()
    shutil.copytree(before, expected)
    begun = time.monotonic()
    index(photos, expected)
    duration = time.monotonic() - begun
    reference = content(expected)
    for _ in range(ROUNDS):
        shutil.copytree(before, out)
        for _ in range(2):
            killed(server, photos, out, float(rng.uniform(0, duration)))
            is_finished(out, query)
        index(photos, out)
        assert content(out) == reference
        shutil.rmtree(out)
