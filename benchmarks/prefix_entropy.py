"""Would entropy coding of prefixes and IDs pay? Bytes per object of PPP-Codes by part, and what ideal coders save.

    python benchmarks/prefix_entropy.py

Suffixes: every pivot in ⌈log2 k⌉ bits against the entropy of the pivots on its level ("by level"), and against that
of the pivots that follow the one before it ("given the last"; estimated on the very data, so a lower bound for a coder
whose tables cost nothing). Ordinals: objects of one prefix are a set, so their order need not be stored: log2(m!) bits
of m. IDs that are not 0 .. n - 1 are stored once, beside one ordinal per space.
"""

from math import lgamma, log
from pathlib import Path

import numpy as np
from machine import describe_machine

from metricsearch.bench.config import load_suite
from metricsearch.bench.data import load_data
from metricsearch.ppp import PPPCodes
from metricsearch.ppp.tree import pivot_bits

HERE = Path(__file__).parent
SUITES = ("sketches_real4096", "sketches_sift", "sketches_words")
SHAPES = ((4, 256, 8), (1, 1024, 2))  # λ, k, l
PARTS = ("nodes", "suffixes", "new-suffix flags", "ordinals", "sample")


def entropy(counts: np.ndarray) -> float:
    """Bits per symbol of a distribution given by counts."""
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log2(shares)).sum())


def conditional_entropy(before: np.ndarray, symbols: np.ndarray, k: int) -> float:
    """Bits per symbol when the one before it is known."""
    joint = np.bincount(before.astype(np.int64) * k + symbols, minlength=k * k)
    return entropy(joint) - entropy(np.bincount(before, minlength=k))


def measure(suite: str) -> None:
    """Print the rows of one data set."""
    data = load_data(load_suite(HERE / "suites" / f"{suite}.toml").data)
    objects = data.metric.check(data.objects.load())
    for shape in SHAPES:
        n_spaces, k, length = shape
        index = PPPCodes(data.metric, n_spaces=n_spaces, n_pivots=k, prefix_length=length).build(objects)
        report, n = index.memory_report(), len(index)
        prefixes = index.prefixes_of(index.ids())
        coded = given = same = 0.0
        for space in range(n_spaces):
            rows = prefixes[:, space]
            distinct, sizes = np.unique(rows, axis=0, return_counts=True)
            same += sum(lgamma(size + 1) / log(2) for size in sizes.tolist() if size > 1)
            for level in range(1, length):
                coded += entropy(np.bincount(distinct[:, level], minlength=k))
                given += conditional_entropy(distinct[:, level - 1], distinct[:, level], k)
        full = n_spaces * (length - 1) * pivot_bits(k)
        suffixes = report["suffixes"] / n
        saved = suffixes * (1 - coded / full), suffixes * (1 - given / full)
        sizes_in_all = sum(report[part] for part in PARTS) / n, suffixes, *saved, report["ordinals"] / n, same / 8 / n
        cells = " | ".join(f"{size:.2f}" for size in sizes_in_all)
        print(f"| {data.name} | {n_spaces}, {k}, {length} | {cells} |", flush=True)


def main() -> None:
    """Measure all data sets."""
    print(describe_machine())
    print("| data | λ, k, l | B in all | suffixes | saved by level | given the last | ordinals | saved as sets |")
    print("|---|---|---|---|---|---|---|---|")
    for suite in SUITES:
        measure(suite)


if __name__ == "__main__":
    main()
