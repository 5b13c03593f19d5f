"""The kinds of experiments, and reading a file of any of them."""

from pathlib import Path

from metricsearch.errors import ConfigError
from metricsearch.experiment.config import ExperimentConfig
from metricsearch.experiment.config_errors import read_toml, validated
from metricsearch.experiment.features.kind import FEATURES
from metricsearch.experiment.kind import Kind
from metricsearch.experiment.ppp.kind import PPP
from metricsearch.experiment.retrieval.kind import RETRIEVAL

KINDS: dict[str, Kind] = {
    "search": PPP,
    "candidates": PPP,
    "memory": PPP,
    "retrieval": RETRIEVAL,
    "features": FEATURES,
}


def load_config(path: str | Path) -> ExperimentConfig:
    """Read an experiment file.

    Raises MissingDataError, and ConfigError whose one line names the file and, for every problem, the key, what is
    allowed and what was given.
    """
    path = Path(path)
    table = read_toml(path, "experiment file")
    name = table.get("kind")
    if not isinstance(name, str) or name not in KINDS:
        expected = f"expected one of {', '.join(KINDS)}"
        raise ConfigError(f"{path}: kind: " + (f"missing; {expected}" if name is None else f"{expected}, got {name!r}"))
    return validated(path, table, KINDS[name].model)
