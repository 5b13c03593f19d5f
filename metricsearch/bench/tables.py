"""Tables of a comparison: indexes, searches, what a recall costs, recall at equal candidates."""

from typing import TYPE_CHECKING, Any

import numpy as np

from metricsearch.report.cells import Table

if TYPE_CHECKING:
    import pandas as pd

MAX_ROWS = 80
MAX_CANDIDATE_COLUMNS = 9
TARGET_RECALLS = (0.8, 0.9, 0.95)


def number(value: float) -> str:
    """Three digits, thousands whole; "–" for unknown."""
    if not np.isfinite(value):
        return "–"
    return f"{value:,.0f}" if abs(value) >= 999.5 else f"{value:.3g}"


def byte_text(n_bytes: float) -> str:
    """Bytes, kB, MB or GB (powers of 1000)."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= size:
            return f"{n_bytes / size:.3g} {unit}"
    return f"{n_bytes:.0f} B" if np.isfinite(n_bytes) else "–"


def index_tables(frame: "pd.DataFrame") -> list[tuple[str, Table]]:
    """One row per method: what building it took and what it occupies."""
    header = [
        "method",
        "version",
        "build (s)",
        "memory that grows with n (B per object)",
        "memory that does not",
        "RSS growth (B per object)",
        "index on disk (B per object)",
        "object store on disk (B per object)",
    ]
    table = [header]
    for _, row in frame.drop_duplicates("label").iterrows():
        store = number(row["store_disk_bytes"]) if row["store_disk_bytes"] else "none needed"
        table.append([row["label"], row["version"], number(row["build_s"]), number(row["objects_bytes"])])
        table[-1] += [byte_text(row["fixed_bytes"]), number(row["rss_growth_bytes"])]
        table[-1] += [number(row["index_disk_bytes"]), store]
    return in_parts("Indexes", table)


def search_tables(about: dict[str, Any], frame: "pd.DataFrame") -> list[tuple[str, Table]]:
    """One row per result: recall [95 % bootstrap interval over queries], times, counts."""
    varying = [name for name in ("cache", "n_queries") if frame[name].nunique() > 1]
    header = [
        "method",
        "setting",
        *({"cache": "cache", "n_queries": "queries"}[name] for name in varying),
        f"recall@{about['k']}",
        "ms p50 / p95 / p99",
        "mean ms (least–greatest of the repetitions)",
        "× reference (least–greatest)",
        "queries/s in one call",
        "objects read",
        "distances",
    ]
    table = [header]
    for _, row in frame.iterrows():
        cells = [row["label"], row["setting"], *(str(row[name]) for name in varying)]
        cells.append(f"{row['recall']:.3f} [{row['recall_low']:.3f}, {row['recall_high']:.3f}]")
        cells.append(" / ".join(number(row[f"time_ms_{name}"]) for name in ("p50", "p95", "p99")))
        cells += [_with_range(row, "time_ms", "round_ms"), _with_range(row, "ratio", "ratio")]
        cells += [number(row[name]) for name in ("queries_per_s", "n_objects_read", "n_distances")]
        table.append(cells)
    return in_parts("All settings", table)


def _with_range(row: "pd.Series[Any]", name: str, ends: str) -> str:
    if not np.isfinite(row[name]):
        return "–"
    return f"{number(row[name])} ({number(row[f'{ends}_low'])}–{number(row[f'{ends}_high'])})"


def target_tables(about: dict[str, Any], frame: "pd.DataFrame") -> list[tuple[str, Table]]:
    """For each target recall one row per method: the smallest measured costs that reach it, fastest first."""
    tables = []
    for cache in frame["cache"].drop_duplicates():
        rows = frame[frame["cache"] == cache]
        where = f", {cache} cache" if frame["cache"].nunique() > 1 else ""
        for target in TARGET_RECALLS:
            caption = f"To reach recall@{about['k']} {target:g}{where}: the least that a measured setting needs"
            tables += in_parts(caption, _target_table(rows, target))
    return tables


def _target_table(frame: "pd.DataFrame", target: float) -> Table:
    reached, missed = [], []
    for label, group in frame.groupby("label", sort=False):
        good = group[group["recall"] >= target]
        if not len(good):
            best = group["recall"].max()
            missed.append([str(label), *["not reached"] * 3, f"best recall {best:.3f}"])
            continue
        fastest = good.iloc[int(good["time_ms"].argmin())]
        costs = (number(good[name].min()) for name in ("n_objects_read", "n_distances", "time_ms"))
        reached.append((float(fastest["time_ms"]), [str(label), *costs, str(fastest["setting"])]))
    reached.sort(key=lambda row: row[0])
    header = ["method", "objects read", "distances", "mean ms", "fastest setting"]
    return [header, *(cells for _, cells in reached), *missed]


def candidate_tables(about: dict[str, Any], frame: "pd.DataFrame") -> list[tuple[str, Table]]:
    """Methods refined from the object store: recall after reading the best R candidates; the best of each R bold."""
    refined = frame[frame["n_candidates"].notna()].drop_duplicates(["label", "query", "n_candidates"])
    sizes = sorted(set(refined["n_candidates"]))
    tables = []
    for start in range(0, len(sizes), MAX_CANDIDATE_COLUMNS):
        part = sizes[start : start + MAX_CANDIDATE_COLUMNS]
        caption = f"Equal candidates: recall@{about['k']} when the best R are read from the object store and compared"
        tables += in_parts(caption, _candidate_table(refined[refined["n_candidates"].isin(part)], part))
    return tables


def _candidate_table(frame: "pd.DataFrame", sizes: list[float]) -> Table:
    best = frame.groupby("n_candidates")["recall"].max()
    n_queries = frame.groupby("label")["query"].nunique()
    several = set(n_queries.index[n_queries > 1])
    header = ["method", "memory that grows with n (B per object)", "memory that does not"]
    table = [[*header, *(f"R = {size:,.0f}" for size in sizes)]]
    for (label, _), group in frame.groupby(["label", "query"], sort=False):
        first = group.iloc[0]
        name = str(label)
        if label in several:
            name += f", {first['setting']}".rpartition(", R = ")[0]
        recalls = dict(zip(group["n_candidates"], group["recall"], strict=True))
        cells = [name, number(first["objects_bytes"]), byte_text(first["fixed_bytes"])]
        for size in sizes:
            text = f"{recalls[size]:.3f}" if size in recalls else "–"
            cells.append(f"**{text}**" if recalls.get(size) == best[size] else text)
        table.append(cells)
    return table


def in_parts(caption: str, table: Table) -> list[tuple[str, Table]]:
    """The table, cut into several of at most MAX_ROWS rows, each with the header; none for a table without rows."""
    header, *rows = table
    parts = [rows[start : start + MAX_ROWS] for start in range(0, len(rows), MAX_ROWS)]
    if len(parts) < 2:
        return [(caption, [header, *part]) for part in parts]
    return [(f"{caption} ({i} of {len(parts)})", [header, *part]) for i, part in enumerate(parts, 1)]
