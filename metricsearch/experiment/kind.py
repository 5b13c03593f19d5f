"""What the runner needs to know of a kind of experiment."""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metricsearch.experiment.config import ExperimentConfig
from metricsearch.experiment.parts import Part, Phase

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of experiment; its functions take the config that `model` has read.

    measure: (config, all points, those pending, folder for temporary files, phase) to the parts of the pending points,
    in any order, so that points can share data and indexes. result_rows, point_row: rows of results.csv and the row of
    points.csv of a part; both begin with "data" and "series". about: what config.json says of the data: synthetic,
    data_title, data_origin. conditions: seeds and cache for provenance.json.
    """

    model: type[ExperimentConfig]
    measure: Callable[[Any, list[Any], list[Any], Path, Phase], Generator[Part, None, None]]
    result_rows: Callable[[Any, Part], list[Row]]
    point_row: Callable[[Any, Part], Row]
    about: Callable[[Any], dict[str, Any]]
    conditions: Callable[[Any, list[Part]], dict[str, Any]]
