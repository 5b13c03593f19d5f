"""Query time and index size of the vocabulary tree against the size of the database, on one core.

    python benchmarks/vocabulary_tree_query.py [--features PHOTOS.h5] [--sizes 10000 50000 200000 1000000]
                                               [--figure runs/vocabulary-tree/figure] [--folder DIR]

The images are synthetic bags of words (`SyntheticBags`): with --features from the words of the real photos in that
file, under a vocabulary 10 x 6 trained on them; else from made-up words of uneven frequency. A query given as
words does not need the vocabulary. Each size is built and searched in a process of its own.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from machine import describe_machine, peak_rss_bytes
from numpy.typing import NDArray

from metricsearch import Scoring, VocabularyTree
from metricsearch.datasets.synthetic_bags import SyntheticBags

BRANCHING, DEPTH = 10, 6
QUERY_WORDS, N_QUERIES = 1000, 200
IMAGES_AT_ONCE = 50_000
FIRST_QUERY = 2**40  # images that no database holds
SCORINGS = {
    "leaves, L1": Scoring(),
    "leaves, L2": Scoring(norm="l2"),
    "2 levels, L1": Scoring(levels=2),
}
PARTS = {"inverted files": "inverted", "forward files": "forward", "list directory": "directory"}


def real_words(features: Path, folder: Path) -> None:
    """Words of the photos of a feature file, under a vocabulary trained on all of their descriptors."""
    from metricsearch.features.feature_file import FeatureFile

    with FeatureFile.open(features) as file:
        table = file.local()
        begin = time.perf_counter()
        vocabulary = VocabularyTree(BRANCHING, DEPTH).fit(table.descriptors).vocabulary
        print(
            f"vocabulary: {vocabulary.n_leaves:,} leaves from {len(table.descriptors):,} descriptors of {len(file):,} "
            f"photos in {time.perf_counter() - begin:.0f} s"
        )
        words = [vocabulary.quantize(table.descriptors_of(i)) for i in range(len(file))]
    save_words(words, folder)


def made_up_words(folder: Path) -> None:
    """4000 images of 1000 words; how often a word occurs is log-normal with sigma 1 (no photo was used)."""
    rng = np.random.default_rng(0)
    popularity = np.cumsum(rng.lognormal(0.0, 1.0, BRANCHING**DEPTH))
    drawn = np.searchsorted(popularity, rng.random((4000, QUERY_WORDS)) * popularity[-1])
    print("words: made up, log-normal frequencies, 1000 per image")
    save_words(list(drawn.astype(np.uint32)), folder)


def save_words(words: list[NDArray[np.uint32]], folder: Path) -> None:
    """Keep the words of all images for the processes that follow."""
    np.save(folder / "words.npy", np.concatenate(words))
    np.save(folder / "starts.npy", np.cumsum([0, *(len(part) for part in words)]))


def measure(n: int, folder: Path) -> None:
    """Build a tree of n images, search it, and print a line of JSON."""
    bags = SyntheticBags(np.load(folder / "words.npy"), np.load(folder / "starts.npy"), seed=0)
    warm_up(bags)
    tree = VocabularyTree(BRANCHING, DEPTH)
    build_s, n_words = 0.0, 0
    for first in range(0, n, IMAGES_AT_ONCE):
        m = min(IMAGES_AT_ONCE, n - first)
        words, starts = bags.draw(first, m)
        begin = time.perf_counter()
        tree.add_words(np.arange(first, first + m), (words, starts))
        build_s += time.perf_counter() - begin
        n_words += len(words)
    begin = time.perf_counter()
    tree.compact()
    build_s += time.perf_counter() - begin
    report = tree.memory_report()
    result: dict[str, Any] = {"n": n, "build_s": build_s, "words_per_image": n_words / n, "scorings": {}}
    result["bytes"] = {name: report[part] / n for part, name in PARTS.items()}
    queries = query_words(bags)
    for name, scoring in SCORINGS.items():
        begin = time.perf_counter()
        tree.scorer(scoring)
        prepare_s = time.perf_counter() - begin
        for query in queries[:3]:  # working memory, caches
            tree.search_words(query, scoring=scoring)
        times, found = [], []
        for query in queries:
            begin = time.perf_counter()
            found.append(tree.search_words(query, scoring=scoring))
            times.append(1e3 * (time.perf_counter() - begin))
        result["scorings"][name] = {
            "ms": np.percentile(times, [50, 95, 99]).tolist(),
            "entries": float(np.mean([one.stats.n_entries for one in found])),
            "touched": float(np.mean([one.stats.n_images_touched for one in found])),
            "prepare_s": prepare_s,
        }
    result["peak_rss_bytes"] = peak_rss_bytes()
    print(json.dumps(result))


def warm_up(bags: SyntheticBags) -> None:
    """Compile all kernels before any time is taken."""
    tree = VocabularyTree(BRANCHING, DEPTH)
    for first in (0, 100):
        tree.add_words(np.arange(first, first + 100), bags.draw(first, 100))
    for scoring in SCORINGS.values():
        tree.search_words([1, 2, 3], scoring=scoring)


def query_words(bags: SyntheticBags) -> list[NDArray[np.uint32]]:
    """Queries of exactly 1000 words: those of one image after another that are not in the database."""
    n, words = N_QUERIES, np.empty(0, dtype=np.uint32)
    while len(words) < N_QUERIES * QUERY_WORDS:
        words, n = bags.draw(FIRST_QUERY, n)[0], 2 * n
    return list(words[: N_QUERIES * QUERY_WORDS].reshape(N_QUERIES, QUERY_WORDS))


def print_table(results: list[dict[str, Any]]) -> None:
    """One line per size for the index, then one per size and scoring for the queries."""
    for result in results:
        parts = ", ".join(f"{name} {value:,.0f}" for name, value in result["bytes"].items())
        print(
            f"{result['n']:>9,} images of {result['words_per_image']:.0f} words: {sum(result['bytes'].values()):,.0f} "
            f"bytes per image ({parts}); build {result['build_s']:.1f} s; "
            f"peak RSS {result['peak_rss_bytes'] / 1e6:,.0f} MB"
        )
    for name in SCORINGS:
        print(f"{name}, {QUERY_WORDS} words per query, {N_QUERIES} queries, one core:")
        for result in results:
            row = result["scorings"][name]
            p50, p95, p99 = row["ms"]
            print(
                f"{result['n']:>9,} images: p50 {p50:.2f} ms, p95 {p95:.2f} ms, p99 {p99:.2f} ms; entries read "
                f"{row['entries']:,.0f} ({1e6 * p50 / row['entries']:.1f} ns each); "
                f"images touched {row['touched']:,.0f}; weights and norms {row['prepare_s']:.1f} s, once"
            )
        if len(results) > 1:
            print(f"  growth: time ~ n^{slope(results, name):.2f}")


def slope(results: list[dict[str, Any]], name: str) -> float:
    """Exponent of the median query time against the number of images, by least squares."""
    n = np.log([result["n"] for result in results])
    return float(np.polyfit(n, np.log([result["scorings"][name]["ms"][0] for result in results]), 1)[0])


def draw(results: list[dict[str, Any]], stem: Path) -> None:
    """<stem>-time and <stem>-bytes, as .png and .pdf."""
    from metricsearch.report.figures import line_figure, save_figure
    from metricsearch.report.frames import Curve

    n = np.array([result["n"] for result in results], dtype=np.float64)
    times, sizes = [], []
    for name in SCORINGS:
        p50, p95, _ = np.array([result["scorings"][name]["ms"] for result in results]).T
        times.append(Curve(name, n, p50, p50, p95))
    for name in PARTS.values():
        values = np.array([result["bytes"][name] for result in results])
        sizes.append(Curve(name, n, values, values, values))
    stem.parent.mkdir(parents=True, exist_ok=True)
    title = f"Vocabulary tree {BRANCHING} x {DEPTH}: {QUERY_WORDS} words per query, one core (median, band to 95 %)"
    figure = line_figure(times, x="n_images", y="score_ms", title=title, log_x=True, log_y=True)
    paths = save_figure(figure, stem.with_name(f"{stem.name}-time"))
    title = f"Vocabulary tree {BRANCHING} x {DEPTH}: size of the index"
    figure = line_figure(sizes, x="n_images", y="index_bytes_per_image", title=title, log_x=True, log_y=True)
    paths += save_figure(figure, stem.with_name(f"{stem.name}-bytes"))
    print("figures: " + ", ".join(str(path) for path in paths))


def main() -> None:
    """Make the words, then build and search each size in its own process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=Path, help="feature file of real photos: metricsearch extract")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 50_000, 200_000, 1_000_000])
    parser.add_argument("--folder", type=Path, default=Path("runs/vocabulary-tree"))
    parser.add_argument("--figure", type=Path, help="stem of two figures")
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure is not None:
        measure(arguments.measure, arguments.folder)
        return
    print(describe_machine())
    arguments.folder.mkdir(parents=True, exist_ok=True)
    if arguments.features is None:
        made_up_words(arguments.folder)
    else:
        real_words(arguments.features, arguments.folder)
    results = []
    for n in arguments.sizes:
        command = [sys.executable, __file__, "--folder", str(arguments.folder), "--measure", str(n)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        results.append(json.loads(done.stdout))
    print_table(results)
    if arguments.figure:
        draw(results, arguments.figure)


if __name__ == "__main__":
    main()
