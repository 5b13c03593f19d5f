"""Results in the layout of ann-benchmarks, one HDF5 file per result, for those who have its tools."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from metricsearch.bench.results import Result
from metricsearch.bench.summary import setting_text
from metricsearch.files import written_atomically

_MAX_NAME = 120  # characters of a file's name, well below what file systems take


def write_ann_hdf5(directory: Path, about: dict[str, Any], result: Result) -> Path:
    """Write <directory>/<data>/<k>/<method>/<setting>.hdf5; returns its path.

    Datasets: times (q,) seconds of the fastest repetition, neighbors (q, k), -1 where an answer is shorter, distances
    (q, k), infinite there. As there, angular distances are 1 - cosine, index_size is in kB, and dist_comps is the sum
    over all repetitions.
    """
    import h5py

    name = _file_name(json.dumps([result.setting.n_candidates, result.setting.cache, result.setting.query]))
    folder = directory / _file_name(about["data"]) / str(about["k"]) / _file_name(result.label)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.hdf5"
    rounds = result.times_ms.mean(axis=1)
    distances = np.where(result.ids < 0, 0, result.distances)  # infinity has no cosine
    if _metric_name(about) == "angular":
        distances = 1 - np.cos(distances)
    with written_atomically(path) as temporary, h5py.File(temporary, "w") as file:
        for key, value in _attributes(about, result).items():
            file.attrs[key] = value
        file["times"] = (result.times_ms[rounds.argmin()] / 1000).astype(np.float32)
        file["neighbors"] = result.ids.astype(np.int32)
        file["distances"] = np.where(result.ids < 0, np.inf, distances).astype(np.float32)
    return path


def _attributes(about: dict[str, Any], result: Result) -> dict[str, Any]:
    built, n_repetitions = result.built, len(result.times_ms)
    known = built.objects_bytes is not None and built.fixed_bytes is not None
    n_bytes = (built.objects_bytes or 0) + (built.fixed_bytes or 0) if known else built.rss_growth_bytes
    attributes = {
        "algo": result.label,
        "batch_mode": False,
        "best_search_time": float(result.times_ms.mean(axis=1).min()) / 1000,
        "build_time": built.build_s,
        "candidates": float((result.ids >= 0).sum(axis=1).mean()),
        "count": about["k"],
        "dataset": about["data"],
        "distance": _metric_name(about),
        "expect_extra": False,
        "index_size": n_bytes / 1024,
        "name": f"{result.label} ({setting_text(result)}, {result.setting.cache} cache)",
        "run_count": n_repetitions,
    }
    if (result.n_distances >= 0).all():
        attributes["dist_comps"] = int(result.n_distances.sum()) * n_repetitions
    return attributes


def _metric_name(about: dict[str, Any]) -> str:
    metric = about["metric"]
    return str(metric["name"] if isinstance(metric, dict) else metric)


def _file_name(text: str) -> str:
    """`text` with one underscore for what is no letter, digit, "+", "-" or "."; a long one ends in its checksum."""
    name = re.sub(r"[^\w.+-]+", "_", text).strip("_.") or "_"
    if len(name) <= _MAX_NAME:
        return name
    return f"{name[: _MAX_NAME - 9]}_{hashlib.sha256(text.encode()).hexdigest()[:8]}"
