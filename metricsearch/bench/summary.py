"""The rows of results.csv: every result as one row of means, percentiles, intervals and spreads."""

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.bench.results import Built, Result
from metricsearch.evaluation import bootstrap_mean, percentiles
from metricsearch.files import written_atomically

if TYPE_CHECKING:
    import pandas as pd

# Columns of results.csv; all others are numbers, where an empty cell is NaN.
_TEXTS = ("label", "method", "setting", "query", "cache", "note", "version", "commit")
_FLAGS = ("ours", "dirty")
_COUNTS = ("n_queries", "n_repetitions")


def setting_text(result: Result) -> str:
    """A setting in a table, as in "n_probes = 16, R = 1,000"; "–" where there is nothing to set."""
    setting = result.setting
    parts = [f"{name} = {_value_text(value)}" for name, value in setting.query.items()]
    if setting.n_candidates is None and result.method.get("refine"):
        parts.insert(0, "by itself")
    if setting.n_candidates is not None:
        parts.append(f"R = {setting.n_candidates:,}")
    return ", ".join(parts) or "–"


def _value_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def results_frame(about: dict[str, Any], results: Sequence[Result]) -> "pd.DataFrame":
    """One row per result, in their order.

    Times in ms of single queries, over all queries and repetitions; round_ms_low/high: smallest and largest mean of a
    repetition. ratio: mean time over that of the reference method in the same repetition, median and extremes.
    Bytes are per object, but fixed_bytes, which do not grow with the objects. NaN: unknown.
    """
    import pandas as pd

    rows = [_row(result, about["n"]) for result in results]
    return pd.DataFrame(rows, columns=None if rows else ["label"])


def _row(result: Result, n: int) -> dict[str, Any]:
    low, high = bootstrap_mean(result.recalls)
    return {
        "label": result.label,
        "method": result.method.get("index") or result.method["adapter"],
        "ours": bool(result.method.get("index")),
        "setting": setting_text(result),
        "query": json.dumps(result.setting.query, sort_keys=True),
        "n_candidates": _known(result.setting.n_candidates),
        "cache": result.setting.cache,
        "n_queries": len(result.recalls),
        "n_repetitions": len(result.times_ms),
        "recall": float(result.recalls.mean()),
        "recall_low": float(low),
        "recall_high": float(high),
        **_times(result),
        **_costs(result),
        **_bytes(result.built, n),
        "build_s": result.built.build_s,
        "version": result.built.version,
        "note": result.method.get("note") or "",
        "commit": result.code.get("commit") or "",
        "dirty": bool(result.code.get("dirty")),
    }


def _times(result: Result) -> dict[str, float]:
    rounds = result.times_ms.mean(axis=1)
    ratios = rounds / result.reference_ms
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # nothing but NaN: not measured
        queries_per_s = float(np.nanmedian(len(result.recalls) / result.batch_s))
        ratio, low, high = (float(f(ratios)) for f in (np.nanmedian, np.nanmin, np.nanmax))
    return {
        "time_ms": float(result.times_ms.mean()),
        **{f"time_ms_{name}": value for name, value in percentiles(result.times_ms).items()},
        "round_ms_low": float(rounds.min()),
        "round_ms_high": float(rounds.max()),
        "ratio": ratio,
        "ratio_low": low,
        "ratio_high": high,
        "queries_per_s": queries_per_s,
    }


def _costs(result: Result) -> dict[str, float]:
    names = ("n_candidates_found", "n_objects_read", "n_bytes_read", "n_distances")
    return {name: _mean_count(getattr(result, name)) for name in names}


def _mean_count(counts: NDArray[np.int64]) -> float:
    return float(counts.mean()) if (counts >= 0).all() else np.nan


def _bytes(built: Built, n: int) -> dict[str, float]:
    return {
        "objects_bytes": _known(built.objects_bytes) / n,
        "fixed_bytes": _known(built.fixed_bytes),
        "rss_growth_bytes": built.rss_growth_bytes / n,
        "index_disk_bytes": _known(built.index_disk_bytes) / n,
        "store_disk_bytes": built.store_disk_bytes / n,
    }


def _known(value: float | None) -> float:
    return np.nan if value is None else float(value)


def write_frame(path: Path, frame: "pd.DataFrame") -> None:
    """Write results.csv; `read_frame` gives the same values back."""
    with written_atomically(path) as temporary:
        frame.to_csv(temporary, index=False)


def read_frame(path: Path) -> "pd.DataFrame":
    """The rows that `write_frame` wrote."""
    import pandas as pd

    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    return frame.assign(**{name: [_parsed(name, text) for text in frame[name]] for name in map(str, frame.columns)})


def _parsed(name: str, text: str) -> Any:
    if name in _TEXTS:
        return text
    if name in _FLAGS:
        return text == "True"
    return int(text) if name in _COUNTS else float(text or "nan")
