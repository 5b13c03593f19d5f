"""The kind "features" for the runner."""

from typing import Any

from metricsearch.experiment.features.config import FeaturesExperiment
from metricsearch.experiment.features.data import about_data
from metricsearch.experiment.features.measuring import measure
from metricsearch.experiment.features.tables import point_row, result_rows
from metricsearch.experiment.group_means import BOOTSTRAP_SEED
from metricsearch.experiment.kind import Kind
from metricsearch.experiment.parts import Part


def _about(config: FeaturesExperiment) -> dict[str, Any]:
    return about_data(config.data)


def _conditions(config: FeaturesExperiment, parts: list[Part]) -> dict[str, Any]:
    training_seeds = sorted({part.point.columns()["seed"] for part in parts})
    return {
        "seeds": {"data": config.data.seed, "training": training_seeds, "bootstrap": BOOTSTRAP_SEED},
        "cache": "photos in memory when their extraction is timed, after some to warm up",
    }


FEATURES = Kind(FeaturesExperiment, measure, result_rows, point_row, _about, _conditions)
