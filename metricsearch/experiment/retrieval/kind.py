"""The kind "retrieval" for the runner."""

from typing import Any

from metricsearch.experiment.group_means import BOOTSTRAP_SEED
from metricsearch.experiment.kind import Kind
from metricsearch.experiment.parts import Part
from metricsearch.experiment.retrieval.config import RetrievalExperiment
from metricsearch.experiment.retrieval.data import about_data
from metricsearch.experiment.retrieval.measuring import measure
from metricsearch.experiment.retrieval.tables import point_row, result_rows


def _about(config: RetrievalExperiment) -> dict[str, Any]:
    return about_data(config.data)


def _conditions(config: RetrievalExperiment, parts: list[Part]) -> dict[str, Any]:
    vocabulary_seeds = sorted({part.point.columns()["seed"] for part in parts})
    return {
        "seeds": {"data": config.data.seed, "vocabulary": vocabulary_seeds, "bootstrap": BOOTSTRAP_SEED},
        "cache": "all in memory, after one query to warm up",
    }


RETRIEVAL = Kind(RetrievalExperiment, measure, result_rows, point_row, _about, _conditions)
