"""PPP-Codes over a million objects: memory, build time, time to the candidates.

    python benchmarks/ppp_million.py [--n 1000000] [--folder DIR]

The objects are `decaf7-like` (synthetic, 4096-D, seeded); they are streamed through the prefix computation and never
stored. Three processes, so that the memory of one step does not count in the next: prefixes, trees, queries.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from machine import describe_machine, peak_rss_bytes, rss_bytes

from metricsearch import PPPCodes
from metricsearch.datasets import load_dataset
from metricsearch.ppp import flat_code_bits

N_SPACES, N_PIVOTS, PREFIX_LENGTH = 4, 256, 8
PARAMETERS = {"n_pivots": N_PIVOTS, "seed": 0}
N_CANDIDATES = (100, 1000, 5000)


def compute_prefixes(n: int, folder: Path) -> None:
    """Stream the objects through an index and keep only prefixes, pivots and the pivot distances of the queries."""
    dataset = load_dataset("decaf7-like", n=n, n_queries=200)
    begin = time.perf_counter()
    index = PPPCodes(n_spaces=N_SPACES, prefix_length=PREFIX_LENGTH, **PARAMETERS).build(dataset.objects)
    seconds = time.perf_counter() - begin
    print(f"prefixes of {n:,} objects, generated on the way: {seconds:.1f} s ({n / seconds:,.0f} objects/s)")
    np.save(folder / "prefixes.npy", index.prefixes_of(np.arange(n)))
    np.save(folder / "pivots.npy", index.pivots)
    distances = [index.pivot_distances(dataset.queries[i : i + 1]) for i in range(len(dataset.queries))]
    np.save(folder / "pivot-distances.npy", np.stack(distances))


def build_trees(n: int, folder: Path) -> None:
    """Trees from the prefixes; saves the arrays."""
    prefixes = np.load(folder / "prefixes.npy")
    PPPCodes.from_prefixes(prefixes[:1000], **PARAMETERS)  # compile
    begin = time.perf_counter()
    index = PPPCodes.from_prefixes(prefixes, **PARAMETERS)
    print(f"build of {N_SPACES} trees from the prefixes: {time.perf_counter() - begin:.1f} s")
    for name, array in index.to_arrays().items():
        np.save(folder / f"index-{name}.npy", array)


def query(n: int, folder: Path) -> None:
    """Load the index alone, measure its memory and the time to the candidates."""
    pivot_distances = np.load(folder / "pivot-distances.npy")
    one = np.tile(np.arange(PREFIX_LENGTH), (1, N_SPACES, 1))
    PPPCodes.from_prefixes(one, **PARAMETERS).rank(pivot_distances[0], 1)  # code pages in memory
    before = rss_bytes()
    arrays = {path.stem.removeprefix("index-"): np.load(path) for path in sorted(folder.glob("index-*.npy"))}
    parameters = PPPCodes(n_spaces=N_SPACES, prefix_length=PREFIX_LENGTH, **PARAMETERS).parameters()
    index = PPPCodes.from_arrays(parameters, arrays, n=n)
    grown = rss_bytes() - before
    for name, n_bytes in index.memory_report().items():
        print(f"  {name:18} {n_bytes / n:7.3f} bytes per object")
    flat = flat_code_bits(n, N_SPACES, N_PIVOTS, PREFIX_LENGTH) / 8
    pivots = np.load(folder / "pivots.npy", mmap_mode="r").nbytes
    print(
        f"codes, IDs, directory: {index.memory_bytes / n:.2f} bytes per object (flat codes, equation (6): {flat:.2f})"
    )
    peak = peak_rss_bytes() / 1e6
    print(f"RSS growth by loading them: {grown / n:.2f} bytes per object; peak RSS of the process {peak:.0f} MB")
    print(f"the pivots (4096-D float32): {pivots / 1e6:.1f} MB = {pivots / n:.2f} bytes per object at this n")
    print(f"all together: {(index.memory_bytes + pivots) / n:.2f} bytes per object")
    for n_candidates in N_CANDIDATES:
        index.rank(pivot_distances[0], n_candidates)
        times, depth, looked = [], [], []
        for distances in pivot_distances:
            begin = time.perf_counter()
            ranking = index.rank(distances, n_candidates)
            times.append(1e3 * (time.perf_counter() - begin))
            depth.append(int(ranking.n_ids_ranked.sum()))
            looked.append(ranking.n_prefixes_evaluated)
        p50, p95, p99 = np.percentile(times, [50, 95, 99])
        print(
            f"candidates(R={n_candidates}): p50 {p50:.2f} ms, p95 {p95:.2f} ms, p99 {p99:.2f} ms; "
            f"IDs ranked {np.mean(depth):,.0f}, prefixes evaluated {np.mean(looked):,.0f} of {N_SPACES * n:,}"
        )


STEPS = {"prefixes": compute_prefixes, "trees": build_trees, "queries": query}


def main() -> None:
    """Run the steps one after the other, each in its own process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, default=Path("runs/ppp-million"))
    parser.add_argument("--step", choices=STEPS)
    arguments = parser.parse_args()
    if arguments.step:
        STEPS[arguments.step](arguments.n, arguments.folder)
        return
    print(describe_machine())
    print(f"n = {arguments.n:,} decaf7-like (synthetic), {N_SPACES} spaces x {N_PIVOTS} pivots, length {PREFIX_LENGTH}")
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for step in STEPS:
        command = [sys.executable, __file__, "--n", str(arguments.n), "--folder", str(arguments.folder), "--step", step]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
