"""Names of the columns of results.csv and points.csv."""

from typing import TYPE_CHECKING

from metricsearch.report import frames

if TYPE_CHECKING:
    from metricsearch.experiment.retrieval.config import RetrievalExperiment

PARAMETERS = ("series", *frames.RETRIEVAL_PARAMETERS)
TIMES = ("quantise_ms", "score_ms", "verify_ms", "total_ms")
COUNTS = ("n_query_words", "n_lists", "n_entries", "n_images_touched")
FACTS = (
    "n_words",
    "n_leaves",
    "n_training_descriptors",
    "train_s",
    "vocabulary_bytes",
    "index_bytes",
    "index_bytes_per_image",
    "words_per_image",
)
CURVE = ("rank_percent", "found_within")


def measure_columns(config: "RetrievalExperiment") -> list[str]:
    """Means over queries, in per cent but for the N-S score; with `_low` and `_high`, their 95 % interval."""
    names: list[str] = []
    for measure in config.measure.measures:
        if measure == "perfect_retrieval":
            names += [measure, f"{measure}_worst"]
        elif measure in ("top", "relevant_in"):
            names += [f"{measure}_{k}" for k in config.measure.k]
        else:
            names.append(measure)
    return names


def known_columns(config: "RetrievalExperiment") -> list[str]:
    """Every column that a figure of this experiment may show."""
    names = [*PARAMETERS, *CURVE, *measure_columns(config), *FACTS, *COUNTS]
    for name in TIMES:
        names += [name, *(f"{name}_{p}" for p in ("p50", "p95", "p99"))]
    return names
