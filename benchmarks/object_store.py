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
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from machine import describe_machine

from metricsearch.datasets import load_dataset
from metricsearch.refinement import CheckedObjects, Refiner
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
    locating, reading, plain = np.empty(N_TRIALS), np.empty(N_TRIALS), np.empty(N_TRIALS)
    from_disk = np.zeros((2, N_TRIALS))
    for trial in range(-1, N_TRIALS):  # the first one compiles, and is overwritten by the last
        ids = rng.choice(n, N_CANDIDATES, replace=False)
        with ObjectStore.open(path, readonly=True) as store, store.snapshot() as snapshot:
            located = snapshot.locate(np.sort(ids))
            offsets, lengths = snapshot.file_offsets(located), located.lengths
        drop_cache(path)
        device = device_bytes()
        with ObjectStore.open(path, readonly=True) as store, store.snapshot() as snapshot:
            locating[trial] = milliseconds(lambda snapshot=snapshot, ids=ids: snapshot.locate(np.sort(ids)))
            checked = CheckedObjects(n)
            reading[trial] = milliseconds(lambda s=snapshot, i=ids, c=checked: refine(s, query, i, c, True))
        from_disk[0, trial] = device_bytes() - device
        drop_cache(path)
        device = device_bytes()
        plain[trial] = milliseconds(lambda o=offsets, m=lengths: parallel_pread(path, o, m))
        from_disk[1, trial] = device_bytes() - device
    per_object = 1e3 / N_CANDIDATES
    print(f"  cold, {N_CANDIDATES} of {n:,} candidates, us per object (and 5-95 % of the trials):")
    print(f"    locating them in the cold directory      {show(locating * per_object, 'us')}")
    print(f"    reading, checksums, distances, 10-NN     {show(reading * per_object, 'us')}")
    print(f"    plain pread, {READING_THREADS} threads, same offsets     {show(plain * per_object, 'us')}")
    print(f"  ratio store / pread, pair by pair: reading {show(reading / plain, '')}, ", end="")
    print(f"with locating {show((locating + reading) / plain, '')}")
    ours_mb, plain_mb = np.median(from_disk, axis=1) / 1e6
    print(f"  read from the device: {ours_mb:.1f} MB and {plain_mb:.1f} MB, of {lengths.sum() / 1e6:.1f} MB of payload")


def milliseconds(function: Callable[[], object]) -> float:
    """Duration of one call."""
    begin = time.perf_counter()
    function()
    return 1e3 * (time.perf_counter() - begin)


def refine(snapshot: object, query: np.ndarray, ids: np.ndarray, checked: CheckedObjects, concurrent: bool) -> None:
    """What one search does with its candidates. checked: objects whose checksum need not be compared again."""
    refiner = Refiner(snapshot, METRIC, query, checked, lambda ids: ids, concurrent)
    refiner.add(ids)
    refiner.nearest(10)


def parallel_pread(path: Path, offsets: np.ndarray, lengths: np.ndarray) -> None:
    """Read the same bytes with plain system calls on as many threads."""
    descriptor = os.open(path, os.O_RDONLY)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)

    def read(part: np.ndarray) -> None:
        for i in part:
            os.pread(descriptor, lengths[i], offsets[i])

    with ThreadPoolExecutor(READING_THREADS) as pool:
        list(pool.map(read, np.array_split(np.arange(len(offsets)), READING_THREADS)))
    os.close(descriptor)


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


def timed(function: Callable[[], object], n_trials: int) -> np.ndarray:
    """Milliseconds of each of n_trials calls, after one that compiles."""
    function()
    return np.array([milliseconds(function) for _ in range(n_trials)])


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
