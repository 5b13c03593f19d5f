"""The kinds of experiments, and reading a file of any of them."""

import tomllib
from pathlib import Path

from pydantic import ValidationError

from metricsearch.errors import ConfigError, MissingDataError
from metricsearch.experiment.config import ExperimentConfig
from metricsearch.experiment.config_errors import one_line
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
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MissingDataError(f"{path}: no such experiment file; check the name") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None
    except OSError as error:
        raise MissingDataError(f"{path}: cannot be read ({error.strerror}); check the name") from None
    name = table.get("kind")
    if not isinstance(name, str) or name not in KINDS:
        expected = f"expected one of {', '.join(KINDS)}"
        raise ConfigError(f"{path}: kind: " + (f"missing; {expected}" if name is None else f"{expected}, got {name!r}"))
    model = KINDS[name].model
    try:
        return model.model_validate(table)
    except ValidationError as error:
        raise ConfigError(f"{path}: {one_line(error, model)}") from None
