"""n_candidates="auto" on every space of the study: recall on held-out queries, and what a fixed R would have read.

    python benchmarks/auto_cutoff.py [--target 0.9] [--from-queries] [SUITE ...]

SUITE: names of benchmarks/suites/*.toml, whose data are used; of a set that has no queries of its own, its held-out
rows. The index is that of `PPPCodes.for_budget` with 48 bytes per object; the rule is learnt from 512 of the objects,
or, told so, from every other query, and measured on the rest.
Below "fixed R" stands the least R with which the same index reaches the recall that "auto" reached.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from machine import describe_machine

from metricsearch.bench.config import load_suite
from metricsearch.bench.data import load_data, write_data, write_store
from metricsearch.datasets import ArraySource
from metricsearch.evaluation import exact_neighbours, recall_of_answer
from metricsearch.ppp import PPPCodes
from metricsearch.refinement import Answer, StoreSearch
from metricsearch.spaces import Batch
from metricsearch.store import ObjectStore

HERE = Path(__file__).parent
SUITES = (
    "sketches_real4096",
    "sketches_pool5",
    "sketches_sift",
    "sketches_words",
    "sketches_colours",
    "sketches_topics",
    "sketches_signatures",
)
BYTES_PER_OBJECT = 48
K = 10
MOST = 1000  # candidates


def measure(suite: str, target: float, from_queries: bool, folder: Path) -> None:
    """Print the row of one space."""
    data = load_data(load_suite(HERE / "suites" / f"{suite}.toml").data)
    mapped = write_data(data, folder)
    write_store(folder / "objects.mdb", mapped, None)
    n = len(mapped.objects)
    index = PPPCodes.for_budget(data.metric, bytes_per_object=BYTES_PER_OBJECT, n=n).build(mapped.objects)
    rows = np.arange(len(mapped.queries))
    learnt_from = mapped.queries[rows[1::2]] if from_queries else None
    queries = mapped.queries[rows[::2]] if from_queries else mapped.queries
    truth = exact_neighbours(data.metric, ArraySource(mapped.objects), queries, K).kth_distances(K)
    with (
        ObjectStore.open(folder / "objects.mdb", readonly=True) as store,
        StoreSearch(index, store) as search,
    ):
        n_learnt = search.learn_cutoff(learnt_from).n_queries
        found = search.search(queries, K, n_candidates="auto", target_recall=target)
        recalls = recalls_of(found, truth)
        n_read = np.array([answer.costs["n_objects_read"] for answer in found])
        sizes = [size for size in range(K, min(MOST, n) + 1) if size < 40 or size % 5 == 0]
        fixed = next((size for size in sizes if fixed_recall(search, queries, size, truth) >= recalls.mean()), "–")
    error = recalls.std(ddof=1) / np.sqrt(len(recalls))
    low, high = np.percentile(n_read, [5, 95])
    source = f"{n_learnt} {'queries' if from_queries else 'objects'}"
    print(
        f"| {data.name} | {data.metric.name} | {n:,} | {source} | {len(recalls)} | {target} | "
        f"{recalls.mean():.3f} ± {error:.3f} | {n_read.mean():.1f} ({low:.0f} to {high:.0f}) | {fixed} |",
        flush=True,
    )


def recalls_of(answers: list[Answer], kth_distances: np.ndarray) -> np.ndarray:
    """Of every answer; ties by distance count."""
    return recall_of_answer(np.stack([answer.distances for answer in answers]), kth_distances, K)


def fixed_recall(search: StoreSearch, queries: Batch, size: int, kth_distances: np.ndarray) -> float:
    """Mean recall with R = size."""
    return float(recalls_of(search.search(queries, K, n_candidates=size), kth_distances).mean())


def main() -> None:
    """Measure all spaces, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suites", nargs="*", default=SUITES, metavar="SUITE")
    parser.add_argument("--target", type=float, default=0.9)
    parser.add_argument("--from-queries", action="store_true")
    arguments = parser.parse_args()
    print(describe_machine())
    print("| data | metric | n | learnt from | queries | target | recall@10 | objects read (5 % to 95 %) | fixed R |")
    print("|---|---|---|---|---|---|---|---|---|")
    for suite in arguments.suites:
        with tempfile.TemporaryDirectory() as folder:
            measure(suite, arguments.target, arguments.from_queries, Path(folder))


if __name__ == "__main__":
    main()
