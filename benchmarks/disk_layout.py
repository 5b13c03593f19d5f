"""What it is worth to have near objects share pages on disk: the same searches over two orders of one object store.

    python benchmarks/disk_layout.py [--data sift crops] [--n 300000] [--queries 50] [--repetitions 3]

One store is written in order of ID, the other in the order of the leaves of the index, as
`Collection.copy_in_leaf_order` does it. Before every query its store is dropped from the page cache, and the stores
take turns; one thread. Caches below the operating system (of the disk, of a hypervisor) stay. Pages are the 4 KiB pages
with payloads of the R candidates; a search also looks up where these lie, in the directory of the store, which is in
order of ID in both.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from machine import describe_machine

from metricsearch.bench.config import load_suite
from metricsearch.bench.data import BenchData, MappedData, load_data, write_store
from metricsearch.collection.copying import LeafOrder
from metricsearch.ppp import PPPCodes
from metricsearch.refinement import StoreSearch
from metricsearch.spaces import Batch
from metricsearch.store import ObjectStore
from metricsearch.store.page_cache import drop_from_page_cache, resident_share

HERE = Path(__file__).parent
DATA = {"sift": ("sketches_sift", 300_000), "crops": ("sketches_real4096", None)}  # suite, objects (None: all)
BYTES_PER_OBJECT = 48
SIZES = (30, 100, 1000)  # R
K = 10
PAGE_BYTES = 4096
CHUNK_SIZE = 1024
MOST_RESIDENT = 0.05  # share of a store that may stay in the page cache


def write_in_leaf_order(path: Path, index: PPPCodes, source: ObjectStore) -> None:
    """Write the objects of `source`, with their IDs, in the order of the leaves of `index`."""
    with (
        ObjectStore.create(path, source.codec, source.kind, source.width) as store,
        source.snapshot() as snapshot,
    ):
        order = LeafOrder(index, snapshot)
        starts = range(0, len(order), CHUNK_SIZE)
        chunks = zip(starts, order.chunks(CHUNK_SIZE), strict=True)
        store.add((order.ids[start : start + CHUNK_SIZE], batch) for start, batch in chunks)


def n_pages(store: ObjectStore, ids: np.ndarray) -> int:
    """How many pages of the file the payloads of these objects touch."""
    with store.snapshot() as snapshot:
        located = snapshot.locate(ids)
    first, last = located.offsets // PAGE_BYTES, (located.offsets + located.lengths - 1) // PAGE_BYTES
    return len(np.unique(np.concatenate([np.arange(a, b + 1) for a, b in zip(first, last, strict=True)])))


def forget(store: ObjectStore) -> None:
    """Drop a store from the page cache, also where it is mapped."""
    drop_from_page_cache(store.path)
    share = resident_share(store.path)
    if share > MOST_RESIDENT:
        raise SystemExit(f"{store.path}: {share:.0%} stay in the page cache; end what else reads the file")


def times_ms(stores: list[ObjectStore], queries: Batch, index: PPPCodes, size: int, repetitions: int) -> np.ndarray:
    """(stores, repetitions, queries) of cold searches; the stores take turns query by query, and in who begins."""
    times = np.empty((len(stores), repetitions, len(queries)))
    searches = [StoreSearch(index, store, n_threads=1) for store in stores]
    for search in searches:
        search.search(queries, K, n_candidates=size)  # compiles, and compares checksums
    for repetition in range(repetitions):
        for i in range(len(queries)):
            found = {}
            for turn in range(len(stores)):
                s = (turn + i + repetition) % len(stores)
                forget(stores[s])
                begin = time.perf_counter()
                (found[s],) = searches[s].search(queries[i : i + 1], K, n_candidates=size)
                times[s, repetition, i] = 1e3 * (time.perf_counter() - begin)
            if any(not np.array_equal(answer.ids, found[0].ids) for answer in found.values()):
                raise SystemExit(f"query {i}: the answers differ")
    for search in searches:
        search.close()
    return times


def measure(name: str, data: BenchData, codec: str | None, queries: Batch, repetitions: int, folder: Path) -> None:
    """Print the rows of one data set."""
    objects = data.objects.load()
    n, by_id = len(objects), folder / "by-id.mdb"
    write_store(by_id, MappedData(data.metric, objects, queries), codec)
    paper = PPPCodes(data.metric, n_spaces=4, n_pivots=256, prefix_length=8)
    budget = PPPCodes.for_budget(data.metric, bytes_per_object=BYTES_PER_OBJECT, n=n)
    for i, (label, index) in enumerate(((f"{BYTES_PER_OBJECT} B with sketches", budget), ("4 x 256, l = 8", paper))):
        index.build(objects)
        index.n_threads = 1
        by_leaf = folder / f"by-leaf-{i}.mdb"
        with ObjectStore.open(by_id, readonly=True) as first:
            write_in_leaf_order(by_leaf, index, first)
            with ObjectStore.open(by_leaf, readonly=True) as second:
                for size in SIZES:
                    stores = [first, second]
                    pages = [
                        np.mean([n_pages(store, index.candidates(query, size)) for query in np.asarray(queries)])
                        for store in stores
                    ]
                    ms = times_ms(stores, queries, index, size, repetitions).mean(axis=2)
                    ratios = ms[0] / ms[1]
                    print(
                        f"| {name}, n = {n:,} | {label} | {size} | {pages[0]:.0f} | {pages[1]:.0f} | "
                        f"{ms[0].mean():.1f} | {ms[1].mean():.1f} | "
                        f"{ms[0].mean() / ms[1].mean():.2f} ({ratios.min():.2f} to {ratios.max():.2f}) |",
                        flush=True,
                    )


def main() -> None:
    """Measure all data sets, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=list(DATA), choices=list(DATA))
    parser.add_argument("--n", type=int, help="objects; default: 300,000 of sift, all crops")
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument("--repetitions", type=int, default=3)
    arguments = parser.parse_args()
    print(describe_machine())
    print("| data | index | R | pages by ID | pages by leaf | cold ms by ID | cold ms by leaf | ID / leaf (range) |")
    print("|---|---|---|---|---|---|---|---|")
    for name in arguments.data:
        suite_name, n = DATA[name]
        suite = load_suite(HERE / "suites" / f"{suite_name}.toml")
        data = load_data(suite.data.model_copy(update={"n": arguments.n or n}))
        with tempfile.TemporaryDirectory() as folder:
            queries = data.queries[: arguments.queries]
            measure(name, data, suite.measure.codec, queries, arguments.repetitions, Path(folder))


if __name__ == "__main__":
    main()
