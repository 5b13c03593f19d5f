"""How many objects must prefixes choose, for their sketches to find what the sketches of all objects would find?

    python benchmarks/sketched_share.py [SUITE ...]

SUITE: names of benchmarks/suites/*.toml, whose data are used. The index is that of `PPPCodes.for_budget` with 48 bytes
per object. Of the 20 candidates that the sketches of all objects put first, the share that is still found when only the
best n / 4, n / 8 ... of the n objects by their prefixes are compared; mean over up to 100 queries.
"""

import argparse
from pathlib import Path

import numpy as np
from machine import describe_machine

from metricsearch.bench.config import load_suite
from metricsearch.bench.data import load_data
from metricsearch.ppp import PPPCodes, RankingOptions

HERE = Path(__file__).parent
SUITES = (
    "sketches_sift_25k",
    "sketches_sift",
    "sketches_sift_1m",
    "sketches_real4096",
    "sketches_time_100k",
    "sketches_words",
)
BYTES_PER_OBJECT = 48
R = 20
SHARES = (4, 8, 16, 32, 64)
MOST_QUERIES = 100


def measure(suite: str) -> None:
    """Print the row of one data set."""
    data = load_data(load_suite(HERE / "suites" / f"{suite}.toml").data)
    n = len(data.objects)
    index = PPPCodes.for_budget(data.metric, bytes_per_object=BYTES_PER_OBJECT, n=n).build(data.objects)
    queries = data.queries[np.arange(min(len(data.queries), MOST_QUERIES))]

    def found(n_sketched: int) -> list[set[int]]:
        options = RankingOptions(n_sketched=n_sketched)
        return [set(index.candidates(queries[i : i + 1], R, options).tolist()) for i in range(len(queries))]

    of_all = found(n)
    kept = [
        np.mean([len(some & best) / len(best) for some, best in zip(found(n // share), of_all, strict=True)])
        for share in SHARES
    ]
    print(
        f"| {data.name} | {data.metric.name} | {n:,} | " + " | ".join(f"{one:.3f}" for one in kept) + " |", flush=True
    )


def main() -> None:
    """Measure all data sets, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suites", nargs="*", default=SUITES, metavar="SUITE")
    arguments = parser.parse_args()
    print(describe_machine())
    print("| data | metric | n | " + " | ".join(f"n / {share}" for share in SHARES) + " |")
    print("|---|---|---|" + "---|" * len(SHARES))
    for suite in arguments.suites:
        measure(suite)


if __name__ == "__main__":
    main()
