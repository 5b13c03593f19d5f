"""`kill -9` at random moments of every change: what was acknowledged is there, nothing is there by half.

METRICSEARCH_KILL_ROUNDS sets the number of kills for each kind of change (default 6).
"""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from metricsearch import Collection, PPPCodes
from metricsearch.features import LocalFeature, LocalFeatures, PhotoEntry, write_feature_file
from metricsearch.vocabtree import VocabularyTree

ROUNDS = int(os.environ.get("METRICSEARCH_KILL_ROUNDS", "6"))
D, N = 16, 1500

# One process that has imported everything and forks a child for each round: starting Python takes far longer than the
# changes. A child says in a file what it begins and what has returned.
SERVER = """
import itertools, os, signal, sys
import numpy as np
from metricsearch import Collection, PPPCodes
from metricsearch.vocabtree import VocabularyTree

def vectors(ids):
    return ((ids[:, None] * np.arange(1, 17)) % 97 * (ids[:, None] % np.arange(2, 18) > 0)).astype(np.float32)

def add(collection, say, start):
    for low in itertools.count(start, 350):
        say(f"add {low} {low + 350}")
        ids = np.arange(low, low + 350)
        collection.add((vectors(ids[i : i + 50]) for i in range(0, 350, 50)), ids)
        say("done")

def remove(collection, say, start):
    rng = np.random.default_rng(start)
    left = collection.ids()
    while len(left) > 60:
        gone = rng.choice(left, 25, replace=False)
        left = np.setdiff1d(left, gone)
        say("remove " + " ".join(map(str, gone)))
        collection.remove(gone)
        say("done")

def build(collection, say, start):
    for seed in itertools.count(start):
        say("build")
        collection.build_index(PPPCodes(n_spaces=2, n_pivots=8, prefix_length=3, seed=seed, n_threads=1))
        say("done")

def learn(collection, say, start):
    for seed in itertools.count(start):
        say(f"learn {seed}")
        collection.learn_cutoff(seed=seed)
        say("done")

def close(collection, say, start):
    for low in itertools.count(start, 50):
        say(f"add {low} {low + 50}")
        collection.add(vectors(np.arange(low, low + 50)), np.arange(low, low + 50))
        say("done")
        collection.close()
        collection = Collection.open(collection.path, n_threads=1)

def words(image_id):
    return np.random.default_rng(image_id).integers(0, 1000, 40).astype(np.uint32)

def tree_add(tree, say, start):
    for i in itertools.count(start):
        say(f"add {i} {i + 1}")
        tree.add_words([i], [words(i)], [f"{i}.jpg"])
        say("done")

def tree_add_many(tree, say, start):
    for low in itertools.count(start, 60):
        say(f"add {low} {low + 60}")
        numbers = range(low, low + 60)
        tree.add_words(numbers, [words(i) for i in numbers], [f"{i}.jpg" for i in numbers])
        say("done")

def tree_remove(tree, say, start):
    rng = np.random.default_rng(start)
    left = tree.image_ids()
    while len(left) > 60:
        gone = rng.choice(left, 8, replace=False)
        left = np.setdiff1d(left, gone)
        say("remove " + " ".join(map(str, gone)))
        tree.remove(gone)
        say("done")

def tree_reweight(tree, say, start):
    for change in itertools.cycle((tree.freeze_weights, tree.reweight)):
        say("reweight")
        change()
        say("done")

def tree_compact(tree, say, start):
    for i in itertools.count(start):
        say(f"add {i} {i + 1}")
        tree.add_words([i], [words(i)], [f"{i}.jpg"])
        say("done")
        say("compact")
        tree.compact()
        say("done")

def child(change, path, log, start):
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    kind = VocabularyTree if change.startswith("tree_") else Collection
    with kind.open(path, n_threads=1) as opened:
        globals()[change](opened, lambda text: os.write(file, (text + "\\n").encode()), start)
        signal.pause()

for line in sys.stdin:
    change, path, log, start = line.rstrip("\\n").split("\\t")
    pid = os.fork()
    if pid == 0:
        try:
            child(change, path, log, int(start))
        finally:
            os._exit(1)
    print(pid, flush=True)
    print(os.waitpid(pid, 0)[1], flush=True)
"""


def vectors(ids):
    """The one vector that belongs to an ID."""
    return ((ids[:, None] * np.arange(1, D + 1)) % 97 * (ids[:, None] % np.arange(2, D + 2) > 0)).astype(np.float32)


@pytest.fixture(scope="module")
def server():
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as run:
        yield run
        run.stdin.close()


def kill_during(server, change, path, log, start, delay):
    """Lines of the log of a child that was killed `delay` seconds after it began its first change."""
    server.stdin.write(f"{change}\t{path}\t{log}\t{start}\n")
    server.stdin.flush()
    pid = int(server.stdout.readline())
    deadline = time.monotonic() + 60
    while not (log.exists() and log.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(delay)
    os.kill(pid, signal.SIGKILL)
    assert int(server.stdout.readline()) == signal.SIGKILL, "the child ended before it was killed"
    return log.read_text().splitlines()


def apply(state, line):
    what, *numbers = line.split()
    numbers = [int(number) for number in numbers]
    if what == "add":
        return state | set(range(*numbers))
    return state - set(numbers) if what == "remove" else state


def check(path, states, built):
    """The collection is in one of `states`, sound, and can be searched and changed; returns its state."""
    with Collection.open(path, readonly=True, n_threads=1) as collection:
        assert collection.verify() == []
    with Collection.open(path, n_threads=1) as collection:
        ids = collection.ids()
        state = set(ids.tolist())
        assert state in states
        assert len(collection) == len(ids)
        assert collection.verify() == []
        if len(ids):
            assert np.array_equal(collection.get(ids), vectors(ids))
        else:  # killed during the first add
            collection.add(vectors(np.arange(20)), np.arange(20))
            return set(range(20))
        if built:
            assert collection.info()["index_state"] == "up to date"
        elif collection.info()["index_state"] != "up to date":
            collection.build_index()
        queries = ids[:: max(1, len(ids) // 4)]
        result = collection.search(vectors(queries), 1, n_candidates=len(ids))
        assert np.array_equal(vectors(result.ids[:, 0]), vectors(queries))
        assert (result.distances == 0).all()
        assert (result.stats.n_objects_read == len(ids)).all()
    assert len(list((path / "index").iterdir())) == 1
    return state


def test_a_kill_during_the_first_add_leaves_all_or_nothing(tmp_path, server):
    rng = np.random.default_rng()
    for number in range(ROUNDS):
        path = tmp_path / f"{number}.ms"
        Collection.create(path, index=PPPCodes(n_spaces=2, n_pivots=8, prefix_length=3, n_threads=1)).close()
        lines = kill_during(server, "add", path, tmp_path / f"log-{number}", 0, float(rng.uniform(0, 0.02)))
        n_done, n_begun = lines.count("done"), len(lines) - lines.count("done")
        check(path, [set(range(350 * n)) for n in range(n_done, n_begun + 1)], built=False)
        with Collection.open(path, n_threads=1) as collection:
            assert collection.verify() == []
            collection.build_index()


@pytest.mark.parametrize(("change", "longest"), [("add", 0.05), ("remove", 0.05), ("build", 0.12), ("close", 0.12)])
def test_nothing_is_lost_and_nothing_is_there_by_half(tmp_path, server, change, longest):
    path = tmp_path / "c.ms"
    rng = np.random.default_rng()
    index = PPPCodes(n_spaces=2, n_pivots=8, prefix_length=3, n_threads=1)
    with Collection.create(path, index=index, codec="sparse-f32") as collection:
        collection.add(vectors(np.arange(N)))
        collection.build_index()
    state, n_inside = set(range(N)), 0
    for number in range(ROUNDS):
        if change == "remove" and len(state) < N // 2:
            with Collection.open(path, n_threads=1) as collection:
                fresh = np.arange(max(state) + 1, max(state) + 1 + N)
                collection.add(vectors(fresh), fresh)
            state |= set(fresh.tolist())
        start = max(state) + 1
        delay = float(rng.uniform(0, longest))
        lines = kill_during(server, change, path, tmp_path / f"log-{number}", start, delay)
        begun = [line for line in lines if line != "done"]
        n_done = lines.count("done")
        assert n_done in (len(begun), len(begun) - 1)
        for line in begun[:n_done]:
            state = apply(state, line)
        n_inside += n_done < len(begun)
        possible = [state] if n_done == len(begun) else [state, apply(state, begun[-1])]
        state = check(path, possible, built=change == "build")
    assert n_inside or change == "close" or ROUNDS < 6, "no kill hit a change: make the changes longer"


def test_a_kill_while_a_cutoff_is_learnt_leaves_the_one_before_or_the_next(tmp_path, server):
    path, reference = tmp_path / "c.ms", tmp_path / "reference.ms"
    rng = np.random.default_rng()
    sketches = {"n_spaces": 1, "n_pivots": 16, "prefix_length": 2, "sketch": "landmark", "sketch_bytes": 8}
    for each in (path, reference):
        with Collection.create(each, index=PPPCodes(**sketches, n_threads=1)) as collection:
            collection.add(vectors(np.arange(200)))
            collection.build_index()
            collection.learn_cutoff(seed=0)
    seed, n_inside = 0, 0
    for number in range(ROUNDS):
        delay = float(rng.uniform(0, 0.2))
        lines = kill_during(server, "learn", path, tmp_path / f"log-{number}", seed + 1, delay)
        n_done, n_begun = lines.count("done"), len(lines) - lines.count("done")
        n_inside += n_done < n_begun
        with Collection.open(path, n_threads=1) as collection:
            assert collection.verify() == []
            assert collection.info()["cutoff_state"] == "learnt"
            found = collection.search(vectors(np.arange(5)), 3, n_candidates="auto")
            assert (found.distances[:, 0] == 0).all()
        (folder,) = (path / "cutoff").iterdir()  # opening has deleted what the kill left
        saved = {file.stem: np.load(file) for file in folder.iterdir()}
        with Collection.open(reference, n_threads=1) as collection:
            possible = [collection.learn_cutoff(seed=each).to_arrays() for each in (seed + n_done, seed + n_begun)]
        assert any(all(np.array_equal(saved[name], one[name]) for name in one) for one in possible)
        seed += n_begun
        with Collection.open(path, n_threads=1) as collection:
            collection.learn_cutoff(seed=seed)  # whatever the kill left, the next round begins with a known one
    assert n_inside or ROUNDS < 6, "no kill hit a change: make the changes longer"


# ---------------------------------------------------------------------- vocabulary trees


def words(image_id):
    """The words that belong to an image ID."""
    return np.random.default_rng(image_id).integers(0, 1000, 40).astype(np.uint32)


def check_tree(path, states):
    """The tree is in one of `states`, sound, and can be searched and changed; returns its state."""
    with VocabularyTree.open(path, readonly=True, n_threads=1) as tree:
        assert tree.verify() == []
        ids = tree.image_ids().tolist()
    with VocabularyTree.open(path, n_threads=1) as tree:
        state = set(ids)
        assert len(state) == len(ids) == len(tree)
        assert state in states
        assert tree.names(ids) == [f"{i}.jpg" for i in ids]
        for i in ids:
            assert np.array_equal(tree.words_of(i), np.sort(words(i)))
        for i in ids[:: max(1, len(ids) // 4)]:
            assert tree.search_words(words(i), 1).ids.tolist() == [i]
        content = {entry.relative_to(path).parts[0] for entry in path.rglob("*.npy")}
        assert content <= {"segments", "removed", "weights"}
        n_removed = len(list((path / "removed").glob("*"))) if (path / "removed").exists() else 0
        n_segments = len(list((path / "segments").iterdir()))
        assert n_removed <= n_segments == tree.info()["n_segments"]
    return state


@pytest.mark.parametrize(
    ("change", "longest"),
    [
        ("tree_add", 0.1),
        ("tree_add_many", 0.1),
        ("tree_remove", 0.05),
        ("tree_reweight", 0.05),
        ("tree_compact", 0.1),
    ],
)
def test_a_vocabulary_tree_loses_nothing_and_holds_nothing_by_half(tmp_path, server, change, longest):
    path = tmp_path / "t.vt"
    rng = np.random.default_rng()
    with VocabularyTree(10, 3, n_threads=1) as tree:
        tree.add_words(range(200), [words(i) for i in range(200)], [f"{i}.jpg" for i in range(200)])
        tree.save(path)
    state, n_inside = set(range(200)), 0
    for number in range(ROUNDS):
        if change == "tree_remove" and len(state) < 140:
            with VocabularyTree.open(path, n_threads=1) as tree:
                fresh = range(max(state) + 1, max(state) + 201)
                tree.add_words(fresh, [words(i) for i in fresh], [f"{i}.jpg" for i in fresh])
            state |= set(fresh)
        delay = float(rng.uniform(0, longest))
        lines = kill_during(server, change, path, tmp_path / f"log-{number}", max(state) + 1, delay)
        begun = [line for line in lines if line != "done"]
        n_done = lines.count("done")
        assert n_done in (len(begun), len(begun) - 1)
        for line in begun[:n_done]:
            state = apply(state, line)
        n_inside += n_done < len(begun)
        possible = [state] if n_done == len(begun) else [state, apply(state, begun[-1])]
        state = check_tree(path, possible)
    assert n_inside or ROUNDS < 6, "no kill hit a change: make the changes longer"


def test_a_training_that_is_killed_again_and_again_ends_with_the_same_tree(tmp_path):
    rng = np.random.default_rng(0)
    n = 30_000
    features = LocalFeatures(np.zeros((n, 4), np.float32), rng.integers(0, 256, (n, 128)).astype(np.uint8), 9, 9)
    write_feature_file(tmp_path / "f.h5", [PhotoEntry("p.jpg", "0" * 64, (9, 9))], [(LocalFeature(), [features])])
    options = ["--branching", "8", "--depth", "4", "--hamming"]

    def command(name):
        return [sys.executable, "-m", "metricsearch", "vocab", "train", tmp_path / "f.h5", tmp_path / name, *options]

    subprocess.run(command("straight.vt"), check=True, capture_output=True)
    n_killed = 0
    for number in range(max(2, ROUNDS // 3)):
        with subprocess.Popen(command("killed.vt"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
            checkpoint, deadline = tmp_path / "killed.vt" / "checkpoint", time.monotonic() + 60
            while not checkpoint.exists() and run.poll() is None and time.monotonic() < deadline:
                time.sleep(0.002)
            # The first kill comes at once: a fast machine would else have finished.
            time.sleep(number * float(np.random.default_rng().uniform(0, 0.5)))
            n_killed += run.poll() is None
            run.kill()
        with VocabularyTree.open(tmp_path / "killed.vt", readonly=True) as tree:
            assert tree.verify() == []
            if tree.info()["trained"]:
                break
    else:
        subprocess.run(command("killed.vt"), check=True, capture_output=True)
    assert n_killed
    with (
        VocabularyTree.open(tmp_path / "straight.vt", readonly=True) as straight,
        VocabularyTree.open(tmp_path / "killed.vt", readonly=True) as killed,
    ):
        ref, comp = straight.vocabulary.to_arrays(), killed.vocabulary.to_arrays()
        assert all(np.array_equal(ref[name], comp[name]) for name in ref)
        assert killed.verify() == []
    assert not (tmp_path / "killed.vt" / "checkpoint").exists()
