"""Names of the columns of results.csv and points.csv."""

from typing import TYPE_CHECKING

from metricsearch.report import frames

if TYPE_CHECKING:
    from metricsearch.experiment.ppp.config import PPPExperiment

PARAMETERS = ("series", *frames.PPP_PARAMETERS)
TIMES = ("rank_ms", "read_ms", "refine_ms", "total_ms")
COUNTS = ("n_ids_ranked", "n_objects_read", "n_bytes_read", "n_pivot_distances", "n_distances")
MEMORY_PARTS = ("nodes", "suffixes", "new-suffix flags", "ordinals", "ids", "sample", "sketches", "inserted", "removed")
MEMORY = ("flat_bytes", "flat_31_bit_ids_bytes", "inserted_bytes", "index_bytes", "pivots_bytes")


def recall_column(k: int) -> str:
    """Mean recall of k-NN; `<name>_low` and `<name>_high` are its 95 % interval."""
    return f"recall_at_{k}"


def needed_column(target: float, k: int) -> str:
    """Candidates needed for a mean k-NN recall of `target`; with `_low` and `_high`."""
    return f"candidates_for_{target * 100:g}_at_{k}"


def known_columns(config: "PPPExperiment") -> list[str]:
    """Every column that a figure of this experiment may show."""
    names = list(PARAMETERS)
    if config.kind == "memory":
        return [*names, *MEMORY, *(memory_part_column(part) for part in MEMORY_PARTS)]
    names += ["n_candidates", "n_candidates_share", "distance_share", *map(recall_column, config.measure.k)]
    if config.kind == "search":
        for name in TIMES:
            names += [name, *(f"{name}_{p}" for p in ("p50", "p95", "p99"))]
        names += COUNTS
    for target in config.measure.target_recall:
        for k in config.measure.k:
            name = needed_column(target, k)
            names += [name, f"{name}_distance_share"]
            if config.measure.cost_at_target and config.kind == "candidates":
                names.append(f"{name}_n_ids_ranked")
    return names


def memory_part_column(part: str) -> str:
    """Bytes per object of one part of the index."""
    return f"part_{part.replace(' ', '_').replace('-', '_')}_bytes"
