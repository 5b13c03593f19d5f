"""Experiments: a TOML file in, tables, figures and a report out."""

from metricsearch.experiment.config import ExperimentConfig
from metricsearch.experiment.kinds import load_config
from metricsearch.experiment.runner import RunResult, run_experiment

__all__ = ["ExperimentConfig", "RunResult", "load_config", "run_experiment"]
