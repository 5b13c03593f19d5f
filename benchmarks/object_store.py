"""The object store: size, distance on the compressed form, warm and cold refinement.

    python benchmarks/object_store.py [--n 100000] [--folder DIR]

Real descriptors (`googlenet-grid4096`) for size and warm speed; a larger synthetic store (`decaf7-like`) for cold
reads.
Cold: the file's pages are dropped from the cache before every trial, and the plain parallel `pread` of the same
bytes at the same offsets alternates with the store, so that both see the same disk.
"""

import argparse
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from machine import describe_machine

from metricsearch.collection.checking import CheckedObjects
from metricsearch.collection.refinement import Refiner
from metricsearch.datasets import load_dataset
from metricsearch.spaces import VECTORS, get_metric
from metricsearch.store import ObjectStore
from metricsearch.threads import READING_THREADS

DIMENSION = 4096
N_CANDIDATES = 5000
N_TRIALS = 15
METRIC = get_metric("euclidean")


def make_store(path: Path, name: str, n: int | None) -> np.ndarray:
    """Store a data set (once); returns one query."""
    dataset = load_dataset(name, n=n, n_queries=1)
    if not path.exists():
        with ObjectStore.create(path, "sparse-f32", VECTORS, DIMENSION) as store:
            begin, row = time.perf_counter(), 0

            def chunks():  # noqa: ANN202
                nonlocal row
                for batch in dataset.objects.chunks(1024):
                    yield np.arange(row, row + len(batch)), batch
                    row += len(batch)

            store.add(chunks())
            print(f"  add: {row / (time.perf_counter() - begin):,.0f} objects/s")
    return dataset.queries


def report_real(path: Path) -> None:
    """Size, distance per object, bit-for-bit check, warm refinement on the real descriptors."""
    query = make_store(path, "googlenet-grid4096", None)
    objects = load_dataset("googlenet-grid4096", n_queries=1).objects.load()
    with ObjectStore.open(path, readonly=True) as store, store.snapshot() as snapshot:
        n = len(store)
        raw = n * DIMENSION * 4
        file_bytes, payload_bytes = store.file_bytes, store.payload_bytes
        print(f"  file {file_bytes:,} bytes = {file_bytes / raw:.4f} x raw, ", end="")
        print(f"payload {payload_bytes / raw:.4f} x raw, file / payload {file_bytes / payload_bytes:.4f}")
        same = np.array_equal(store.get(np.arange(n)).view(np.uint32), objects.view(np.uint32))
        print(f"  every object equal bit for bit: {same}; problems found by verify: {len(store.verify())}")
        located = snapshot.locate(np.arange(n))
        snapshot.prefetch(located)
        times = timed(lambda: snapshot.distances(METRIC, query, located), 20)
        dense = timed(lambda: METRIC.distances(query, objects), 20)
        print(f"  distance on the compressed form: {show(times / n * 1e3, 'us')} per object; ", end="")
        print(f"on decoded vectors in memory {show(dense / n * 1e3, 'us')}; ratio {np.median(times / dense):.2f}")
        ids = np.random.default_rng(0).permutation(n)[:N_CANDIDATES]
        for concurrent in (True, False):
            checked = CheckedObjects(n)
            first = timed(lambda concurrent=concurrent: refine(snapshot, query, ids, CheckedObjects(n), concurrent), 30)
            later = timed(lambda concurrent=concurrent, c=checked: refine(snapshot, query, ids, c, concurrent), 30)
            print(f"  warm refinement of {len(ids)} candidates to 10-NN, concurrent={concurrent}: {show(later, 'ms')}")
            print(f"    the first time they are read, with their checksums: {show(first, 'ms')}")


def report_cold(path: Path, n: int) -> None:
    """Cold refinement against plain parallel pread of the same bytes."""
    query = make_store(path, "decaf7-like", n)
    rng = np.random.default_rng(1)
    ours, plain = [], []
    from_disk = np.zeros(2)
    for trial in range(N_TRIALS + 1):
        ids = rng.choice(n, N_CANDIDATES, replace=False)
        with ObjectStore.open(path, readonly=True) as store, store.snapshot() as snapshot:
            located = snapshot.locate(np.sort(ids))  # also warms the directory, which both need
            offsets, lengths = snapshot.file_offsets(located), located.lengths
        drop_cache(path)
        with ObjectStore.open(path, readonly=True) as store, store.snapshot() as snapshot:
            device, begin = device_bytes(), time.perf_counter()
            refine(snapshot, query, ids, CheckedObjects(n), concurrent=True)
            elapsed = time.perf_counter() - begin
            from_disk[0] += device_bytes() - device
        drop_cache(path)
        device = device_bytes()
        pread_elapsed = parallel_pread(path, offsets, lengths)
        from_disk[1] += device_bytes() - device
        if trial:  # the first one compiles
            ours.append(1e3 * elapsed)
            plain.append(1e3 * pread_elapsed)
    ours_ms, plain_ms = np.array(ours), np.array(plain)
    print(f"  cold refinement of {N_CANDIDATES} of {n:,} candidates: {show(ours_ms, 'ms')}, ", end="")
    print(f"{np.median(ours_ms) / N_CANDIDATES * 1e3:.1f} us per object")
    print(f"  plain pread, {READING_THREADS} threads, same offsets:       {show(plain_ms, 'ms')}, ", end="")
    print(f"{np.median(plain_ms) / N_CANDIDATES * 1e3:.1f} us per object")
    print(f"  read from the device per trial: {from_disk[0] / (N_TRIALS + 1) / 1e6:.1f} MB and ", end="")
    print(f"{from_disk[1] / (N_TRIALS + 1) / 1e6:.1f} MB, of {lengths.sum() / 1e6:.1f} MB of payload")
    print(f"  ratio store / pread, pair by pair: {show(ours_ms / plain_ms, '')}")


def refine(snapshot: object, query: np.ndarray, ids: np.ndarray, checked: CheckedObjects, concurrent: bool) -> None:
    """What one search does with its candidates. checked: objects whose checksum need not be compared again."""
    refiner = Refiner(snapshot, METRIC, query, checked, lambda ids: ids, concurrent)
    refiner.add(ids)
    refiner.nearest(10)


def parallel_pread(path: Path, offsets: np.ndarray, lengths: np.ndarray) -> float:
    """Seconds to read the same bytes with plain system calls on as many threads."""
    descriptor = os.open(path, os.O_RDONLY)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)

    def read(part: np.ndarray) -> None:
        for i in part:
            os.pread(descriptor, lengths[i], offsets[i])

    with ThreadPoolExecutor(READING_THREADS) as pool:
        begin = time.perf_counter()
        list(pool.map(read, np.array_split(np.arange(len(offsets)), READING_THREADS)))
        elapsed = time.perf_counter() - begin
    os.close(descriptor)
    return elapsed


def drop_cache(path: Path) -> None:
    """Drop the file's clean pages from the page cache; nobody may have it mapped."""
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def device_bytes() -> int:
    """Bytes this process caused to be fetched from the storage layer."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("read_bytes")).split(":")[1])


def timed(function: object, n_trials: int) -> np.ndarray:
    """Milliseconds of each of n_trials calls, after one that compiles."""
    function()
    times = []
    for _ in range(n_trials):
        begin = time.perf_counter()
        function()
        times.append(1e3 * (time.perf_counter() - begin))
    return np.array(times)


def show(values: np.ndarray, unit: str) -> str:
    """Median and spread."""
    low, median, high = np.percentile(values, [5, 50, 95])
    return f"{median:.3g} {unit} (5-95 %: {low:.3g}-{high:.3g})".replace("  ", " ")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, default=Path("runs/object-store"))
    arguments = parser.parse_args()
    print(describe_machine())
    shutil.rmtree(arguments.folder, ignore_errors=True)
    arguments.folder.mkdir(parents=True)
    print("googlenet-grid4096 (real descriptors)")
    report_real(arguments.folder / "real.mdb")
    print(f"decaf7-like (synthetic), n = {arguments.n:,}")
    report_cold(arguments.folder / "synthetic.mdb", arguments.n)


if __name__ == "__main__":
    main()
