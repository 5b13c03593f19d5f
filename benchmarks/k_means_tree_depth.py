"""Binary k-means tree with one object per leaf: depth, time and recall of the greedy descent as the set grows.

    python benchmarks/k_means_tree_depth.py [--sizes 1000 10000 100000]

The slides' claim is O(log n). Queries are descriptors of photos that are not in the set (SIFT, real) or held-out rows
(decaf7-like, synthetic); one thread.
"""

import argparse
import time

import numpy as np
from machine import describe_machine

from metricsearch.baselines import KMeansTree
from metricsearch.bench.photo_data import photo_descriptors
from metricsearch.datasets import ArraySource, load_dataset
from metricsearch.evaluation import exact_neighbours, recall_of_answer

PHOTOS = ("dvd-covers", "caltech101", "corel5k", "flickr8k")
N_QUERIES = 200
N_REPETITIONS = 5


def sift(n: int) -> tuple[np.ndarray, np.ndarray]:
    """SIFT descriptors of photos, and queries from others."""
    objects, queries, _ = photo_descriptors(PHOTOS, "sift", n, N_QUERIES, 0)
    return np.asarray(objects), np.asarray(queries)


def decaf7_like(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Synthetic CNN-like descriptors."""
    dataset = load_dataset("decaf7-like", n=n, n_queries=N_QUERIES)
    return dataset.objects.load(), dataset.queries


def measure(name: str, objects: np.ndarray, queries: np.ndarray, balanced: bool) -> None:
    """Build one tree and print its row."""
    tree = KMeansTree(balanced=balanced)
    begin = time.perf_counter()
    tree.build(objects)
    build_s = time.perf_counter() - begin
    tree.n_threads = 1
    checked = [tree.check_query(query) for query in queries]
    times_us = np.empty((N_REPETITIONS, len(queries)))
    found = np.empty((len(queries), 1))
    n_centres = np.empty(len(queries))
    for repetition in range(N_REPETITIONS):
        for i, query in enumerate(checked):
            begin = time.perf_counter()
            stream = tree.stream_candidates(query, 1)
            ids = next(stream.blocks)
            times_us[repetition, i] = 1e6 * (time.perf_counter() - begin)
            found[i] = tree.metric.distances(query, objects[ids])
            n_centres[i] = stream.n_pivot_distances
    kth = exact_neighbours(tree.metric, ArraySource(objects), queries, 1).kth_distances(1)
    depth = tree.depth_report()
    low, high = np.percentile(times_us, [5, 95])
    kind = "balanced" if balanced else "free"
    print(
        f"  {name:23s} {kind:8s} n = {len(objects):7,}  log2 {np.log2(len(objects)):4.1f}  "
        f"depth mean {depth['mean_depth']:5.1f} max {depth['max_depth']:3d}  centres compared {n_centres.mean():5.1f}  "
        f"descent {np.median(times_us):6.1f} us (5-95 %: {low:.1f}-{high:.1f})  "
        f"recall@1 {recall_of_answer(found, kth, 1).mean():.3f}  "
        f"build {build_s:6.1f} s  {tree.memory_bytes / len(objects):8,.0f} B per object"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 3000, 10000, 30000, 100000])
    parser.add_argument("--sift-sizes", type=int, nargs="+", default=[1000, 10000, 100000, 300000])
    arguments = parser.parse_args()
    print(describe_machine())
    for name, load, sizes in (
        ("SIFT (real)", sift, arguments.sift_sizes),
        ("decaf7-like (synthetic)", decaf7_like, arguments.sizes),
    ):
        for n in sizes:
            objects, queries = load(n)
            for balanced in (False, True):
                measure(name, objects, queries, balanced)


if __name__ == "__main__":
    main()
