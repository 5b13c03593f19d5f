"""Training and quantisation of a vocabulary tree, beside cyvlfeat's hikmeans where that is installed.

    python benchmarks/vocabulary_training.py DESCRIPTORS [--n 1000000] [--branching 10] [--depth 6] [--cycles 10 40]

DESCRIPTORS: a feature file (.h5) or .npy of (n, 128) uint8. Other descriptors of it are the queries. The peer:
apt-get install libvlfeat-dev, then pip install numpy cython setuptools wheel, pip install --no-build-isolation
cyvlfeat.

Both train and quantise in turn in one process, after a small run that compiles. The peer is single-threaded C; it runs
Lloyd cycles until nothing changes, at most 200 of them (its wrapper offers no choice), on whole-number centres, and it
also splits nodes of 2 to `branching` descriptors, each of which becomes a leaf of its own. So its distortion is given
twice: of its whole tree, and cut where ours stops by rule, at nodes of at most `branching` training descriptors.
Distortion: mean squared distance of a descriptor to the centre of the node it descends to, by the same function.
Each call of the peer's push copies the whole tree first; its rate is also given without that (the time of a push of
one descriptor taken off).
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from machine import describe_machine, peak_rss_bytes

from metricsearch.errors import MissingExtraError
from metricsearch.features import FeatureFile
from metricsearch.vocabulary import Vocabulary, train_vocabulary

N_TRIALS = 5
N_QUERIES = 200_000


def load(path: Path, n: int) -> tuple[np.ndarray, np.ndarray]:
    """n descriptors of a file, drawn at random, and up to 200,000 of the others."""
    if path.suffix == ".npy":
        every = np.load(path, mmap_mode="r", allow_pickle=False)
    else:
        with FeatureFile.open(path) as file:
            every = np.asarray(file.local().descriptors[:])
    order = np.random.default_rng(0).permutation(len(every))
    return every[np.sort(order[:n])], every[np.sort(order[n : n + N_QUERIES])]


def load_peer() -> tuple[Callable[..., Any], Callable[..., Any]]:
    """(hikmeans, hikmeans_push). Raises MissingExtraError."""
    try:
        from cyvlfeat.kmeans import hikmeans, hikmeans_push
    except ImportError:
        raise MissingExtraError(
            "cyvlfeat is not installed: apt-get install libvlfeat-dev, then pip install numpy cython setuptools wheel "
            "and pip install --no-build-isolation cyvlfeat"
        ) from None
    return hikmeans, hikmeans_push


def timed(function: Callable[[], Any]) -> tuple[Any, float]:
    """(result, seconds) of one call."""
    begin = time.perf_counter()
    result = function()
    return result, time.perf_counter() - begin


def nodes_of(vocabulary: Vocabulary, words: np.ndarray) -> list[np.ndarray]:
    """For each level, the row in `centres` of the node of that level, or of the leaf above it, for every word."""
    rows, slots = [], np.zeros(len(words), dtype=np.int64)
    row = np.zeros(len(words), dtype=np.int64)
    padded = np.append(vocabulary.n_children, 0)  # slots of the last level have no children
    for level in range(1, vocabulary.depth + 1):
        digits = words.astype(np.int64) // vocabulary.branching ** (vocabulary.depth - level) % vocabulary.branching
        inner = np.flatnonzero(padded[np.minimum(slots, len(padded) - 1)])
        row = row.copy()
        row[inner] = vocabulary.first_child[slots[inner]] + digits[inner]
        slots[inner] = row[inner] + 1
        rows.append(row)
    return rows


class PeerTree:
    """The peer's tree as arrays: centres (nodes, d) int32 and, for each node, the numbers of its children."""

    def __init__(self, tree: Any) -> None:
        centres, children, waiting = [], [[]], [(tree, 0)]
        while waiting:
            node, number = waiting.pop()
            own = np.asarray(node.centers)
            below = list(node.children) if node.children is not None else []
            for j in range(len(own)):
                children[number].append(len(children))
                children.append([])
                centres.append(own[j])
                if j < len(below) and below[j] is not None and len(np.asarray(below[j].centers)):
                    waiting.append((below[j], len(children) - 1))
        self.centres = np.array(centres)
        width = max(len(own) for own in children)
        self.children = np.array([own + [-1] * (width - len(own)) for own in children])

    def nodes_of(self, paths: np.ndarray) -> list[np.ndarray]:
        """For each level, the number (row of `centres` + 1) of the node of that level, or of the leaf above it."""
        nodes, node = [], np.zeros(len(paths), dtype=np.int64)
        for level in range(paths.shape[1]):
            child = self.children[node, np.minimum(paths[:, level], self.children.shape[1] - 1)]
            node = np.where(child >= 0, child, node)
            nodes.append(node)
        return nodes


def cut(nodes: list[np.ndarray], trained: list[np.ndarray], most: int) -> list[np.ndarray]:
    """`nodes` by level, but no deeper than the first node that at most `most` training descriptors reached."""
    result = [nodes[0]]
    for above, trained_above, here in zip(nodes, trained, nodes[1:], strict=False):
        sizes = np.bincount(trained_above, minlength=int(max(above.max(), trained_above.max())) + 1)
        result.append(np.where(sizes[above] > most, here, result[-1]))
    return result


def distortion(x: np.ndarray, centres: np.ndarray, rows: np.ndarray) -> float:
    """Mean squared distance to the given centres."""
    total = 0
    for start in range(0, len(x), 65536):
        part = slice(start, start + 65536)
        steps = x[part].astype(np.int64) - centres[rows[part]].astype(np.int64)
        total += int((steps * steps).sum())
    return total / len(x)


def show(title: str, values: list[float]) -> None:
    """One line of the table."""
    print(f"  {title:<44}" + "".join(f"{value:>14,.1f}" for value in values))


def report_distortion(x: np.ndarray, queries: np.ndarray, trees: dict[int, Vocabulary], peer: Any, push: Any) -> None:
    """Distortion level by level of training descriptors and of the queries. trees: ours, by cycles."""
    depth, branching = next((tree.depth, tree.branching) for tree in trees.values())
    print(f"  {'distortion at level':<44}" + "".join(f"{level:>14}" for level in range(1, depth + 1)))
    sets = [("training", x), ("queries", queries)]
    for cycles, ours in trees.items():
        for name, data in sets:
            nodes = nodes_of(ours, ours.quantize(data))
            title = f"ours, {cycles} cycles, {name}"
            show(title, [distortion(data, ours.centres, level) for level in nodes])
    if peer is None:
        return
    tree = PeerTree(peer)
    trained = tree.nodes_of(push(x, peer))
    for name, data in sets:
        nodes = tree.nodes_of(push(data, peer))
        whole = [distortion(data, tree.centres, level - 1) for level in nodes]
        show(
            f"cyvlfeat, {name}, cut where ours stops",
            [distortion(data, tree.centres, level - 1) for level in cut(nodes, trained, branching)],
        )
        show(f"cyvlfeat, {name}, whole tree", whole)
    print(f"  cyvlfeat: {len(tree.centres):,} nodes, centres as int32 {tree.centres.nbytes / 1e6:.1f} MB")


def report_rates(queries: np.ndarray, ours: Vocabulary, peer: Any, push: Any) -> None:
    """Descriptors per second, in turn."""
    for n in sorted({1000, 20_000, len(queries)}):
        x = queries[:n]
        jobs: dict[str, Callable[[], Any]] = {
            "ours, 1 thread": lambda x=x: ours.quantize(x, n_threads=1),
            "ours, 2 threads": lambda x=x: ours.quantize(x, n_threads=2),
        }
        if peer is not None:
            jobs["cyvlfeat push"] = lambda x=x: push(x, peer)
            jobs["cyvlfeat push of one"] = lambda x=x: push(x[:1], peer)
        times = {name: np.empty(N_TRIALS) for name in jobs}
        for trial in range(-1, N_TRIALS):  # the first one warms up, and is overwritten by the last
            for name, job in jobs.items():
                if name.startswith("ours"):
                    ours.quantize(x)  # not timed: pays for memory that the peer's last call freed
                times[name][trial] = timed(job)[1]
        rates = {name: len(x) / values for name, values in times.items()}
        if peer is not None:
            del rates["cyvlfeat push of one"]
            net = times["cyvlfeat push"] - times["cyvlfeat push of one"]
            if (net > 0.1 * times["cyvlfeat push"]).all():  # else it is the difference of two equal times
                rates["cyvlfeat push, without its fixed part"] = len(x) / net
        for name, values in rates.items():
            low, median, high = np.percentile(values, [0, 50, 100]) / 1e3
            line = f"  {n:>9,} descriptors, {name:<40}{median:>9,.0f} thousand/s ({low:,.0f}-{high:,.0f})"
            if name.startswith("ours") and peer is not None:
                ratios = [np.median(values / rates[peer_name]) for peer_name in rates if "push" in peer_name]
                line += "  x cyvlfeat: " + ", ".join(f"{ratio:.1f}" for ratio in ratios)
            print(line)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("descriptors", type=Path)
    parser.add_argument("--n", type=int, default=1_000_000)
    parser.add_argument("--branching", type=int, default=10)
    parser.add_argument("--depth", type=int, default=6)
    parser.add_argument("--cycles", type=int, nargs="+", default=[10, 40], help="ours; rates are those of the first")
    parser.add_argument("--start", default="random")
    arguments = parser.parse_args()
    print(describe_machine())
    x, queries = load(arguments.descriptors, arguments.n)
    options = {name: getattr(arguments, name) for name in ("branching", "depth", "start")}
    try:
        hikmeans, push = load_peer()
    except MissingExtraError as error:
        print(error)
        hikmeans = push = None
    train_vocabulary(x[:40_000], **options).quantize(x[:1000])  # compiles
    print(f"{len(x):,} descriptors to train, {len(queries):,} others as queries, {options}")
    times, trees = {}, {}
    for cycles in arguments.cycles:
        for n_threads in (1, 2):
            job = partial(train_vocabulary, x, n_threads=n_threads, cycles=cycles, **options)
            trees[cycles], times[cycles, n_threads] = timed(job)
            print(f"  training, ours, {cycles} cycles, {n_threads} threads {times[cycles, n_threads]:10.2f} s")
    peer = None
    if hikmeans is not None:
        (peer, _), seconds = timed(lambda: hikmeans(x, options["branching"], options["branching"] ** options["depth"]))
        print(f"  training, cyvlfeat                   {seconds:10.2f} s", end="")
        print(
            "; x ours: " + ", ".join(f"{seconds / own:.1f} ({c} cycles, {n} threads)" for (c, n), own in times.items())
        )
    for cycles, tree in trees.items():
        size = f"{tree.n_nodes:,} nodes, {tree.n_leaves:,} leaves, {tree.memory_bytes / 1e6:.1f} MB"
        print(f"  ours, {cycles} cycles: {size}")
    print(f"  peak memory of the process {peak_rss_bytes() / 1e6:,.0f} MB")
    report_distortion(x, queries, trees, peer, push)
    report_rates(queries, trees[arguments.cycles[0]], peer, push)


if __name__ == "__main__":
    main()
