"""Extraction of CNN features against ONNX Runtime alone: how much reading, decoding and resizing cost.

    python benchmarks/extraction_rate.py [--feature pool5] [--n 400] [--rounds 7]

The photos are Caltech101's (about 300 x 250 pixels, JPEG), a fixed sample. "ONNX Runtime" is the same model and layer
for the same photos, which were read, decoded and prepared before any time is taken: one session with 2 threads of its
own (batches of 1 and of 8), and one with a single thread that two Python threads call (batch 1, as extraction does).
"Extraction" is `extract_photos` from files to a new feature file, everything included. All take turns within a round,
so that a slow moment of the machine meets all of them; ratios are taken round by round.
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from machine import describe_machine

from metricsearch.datasets.registry import data_directory
from metricsearch.features import extract_photos
from metricsearch.features.cnn import CnnFeature, get_cnn_feature
from metricsearch.features.cnn.crops import cut_crops
from metricsearch.features.cnn.preprocessing import network_input, square_pixels
from metricsearch.features.photo import Photo

N_THREADS = 2
BATCH = 8


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--feature", default="pool5")
    parser.add_argument("--n", type=int, default=400, help="photos per round")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    feature = get_cnn_feature(arguments.feature)
    photos = sample(arguments.n)
    inputs = [values for photo in photos for values in inputs_of(photo, feature)]
    print(f"{describe_machine()}, onnxruntime {onnxruntime.__version__}")
    print(f"{feature.name} of {len(photos)} photos, {len(inputs) // len(photos)} crop(s) each, {N_THREADS} threads\n")
    ways = alone(feature, inputs) | {"extraction": lambda: extraction(feature, photos)}
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():  # caches, threads, arenas
        way()
    for _ in range(arguments.rounds):
        for name, way in ways.items():
            rates[name].append(len(photos) / way())
    show({name: np.array(rates) for name, rates in rates.items()})


def sample(n: int) -> list[Path]:
    """Photos spread over all folders of Caltech101, in a fixed order."""
    folder = data_directory()
    if folder is None:
        raise SystemExit("no data; set METRICSEARCH_DATA to the folder of the developer data")
    every = sorted((folder / "caltech101").rglob("*.jpg"))
    return [every[i] for i in np.linspace(0, len(every) - 1, min(n, len(every))).astype(int)]


def inputs_of(path: Path, feature: CnnFeature) -> list[np.ndarray]:
    """What the network is shown of a photo, one (1, 3, size, size) array per crop."""
    preprocessing = feature.network.model.preprocessing
    pixels = square_pixels(Photo.read(path), preprocessing)
    crops = cut_crops(pixels, preprocessing.size, feature.layer.crops)
    return [network_input(crop, preprocessing) for crop in crops]


def alone(feature: CnnFeature, inputs: list[np.ndarray]) -> dict[str, Callable[[], float]]:
    """Seconds that ONNX Runtime takes for all inputs, by the way of using it."""
    model, layer = feature.network.model, feature.layer.tensor
    whole, single = session_of(model.path, N_THREADS), session_of(model.path, 1)
    name = single.get_inputs()[0].name
    pool = ThreadPoolExecutor(N_THREADS)
    batches = [np.concatenate(inputs[i : i + BATCH]) for i in range(0, len(inputs), BATCH)]

    def with_session(session: Any, fed: list[np.ndarray]) -> float:
        return timed(lambda: [session.run([layer], {name: values}) for values in fed])

    def with_pool() -> float:
        return timed(lambda: list(pool.map(lambda values: single.run([layer], {name: values}), inputs)))

    ways = {"ONNX Runtime, 2 threads of its own, batch 1": lambda: with_session(whole, inputs)}
    if not isinstance(single.get_inputs()[0].shape[0], int):
        ways[f"ONNX Runtime, 2 threads of its own, batch {BATCH}"] = lambda: with_session(whole, batches)
    return ways | {"ONNX Runtime, 2 callers with 1 thread, batch 1": with_pool}


def session_of(path: Path, n_threads: int) -> Any:
    """A session as anyone would make it, with so many threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def extraction(feature: CnnFeature, photos: list[Path]) -> float:
    """Seconds from files to a feature file."""
    folder = Path(tempfile.mkdtemp())
    try:
        return timed(lambda: extract_photos(photos, folder / "photos.h5", feature, n_threads=N_THREADS))
    finally:
        shutil.rmtree(folder)


def timed(function: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def show(rates: dict[str, np.ndarray]) -> None:
    """A table of photos per second, and of the ratio of extraction to each."""
    print("| way | photos/s: median | 5-95 % | extraction / this: median | 5-95 % |")
    print("|---|---|---|---|---|")
    for name, values in rates.items():
        ratios = rates["extraction"] / values
        own = f"{np.median(values):.1f} | {spread(values, 1)}"
        print(f"| {name} | {own} | {np.median(ratios):.3f} | {spread(ratios, 3)} |")


def spread(values: np.ndarray, digits: int) -> str:
    """5th and 95th percentile."""
    low, high = np.percentile(values, (5, 95))
    return f"{low:.{digits}f} .. {high:.{digits}f}"


if __name__ == "__main__":
    main()
