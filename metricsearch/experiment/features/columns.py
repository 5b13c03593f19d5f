"""Names of the columns of results.csv and points.csv."""

from typing import Literal

from metricsearch.report import frames

PARAMETERS = ("series", *frames.FEATURE_PARAMETERS)
Measure = Literal["map", "precision_10", "top_1"]  # in %; with `_low` and `_high`, their 95 % interval
MEASURES: tuple[Measure, ...] = ("map", "precision_10", "top_1")
TIMES = ("extract_ms", "extract_ms_p50", "extract_ms_p95", "extract_ms_p99")
FACTS = ("dimension", "descriptor_bytes", "n_database", "n_queries", "n_trained_on", "train_s")


def known_columns() -> list[str]:
    """Every column that a figure of this kind may show."""
    return [*PARAMETERS, *MEASURES, *TIMES, *FACTS]
