"""One HDF5 file per finished point: written at once, never half, not measured again."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.experiment.config import Point
from metricsearch.files import written_atomically

FOLDER = "parts"


@dataclass(frozen=True, slots=True)
class Phase:
    """Told what is being done now. shown: whether bars may be drawn on stderr, if that is a terminal."""

    tell: Callable[[str], object]
    shown: bool

    def __call__(self, what: str) -> None:
        """Say that `what` begins."""
        self.tell(what)


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """What was measured at one point.

    point: its parameters. about: scalars (JSON values). arrays: per-query values; see the `measuring.py` of the kinds.
    """

    point: Point
    about: dict[str, Any]
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)


def part_path(directory: Path, point: Point) -> Path:
    """File of a point's part in a run's folder."""
    text = json.dumps(point.model_dump(mode="json"), sort_keys=True)
    return directory / FOLDER / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.h5"


def write_part(directory: Path, part: Part) -> None:
    """Save a part; durable on return."""
    import h5py

    path = part_path(directory, part.point)
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_atomically(path) as temporary, h5py.File(temporary, "w") as file:
        _store(file, part)


def read_part(directory: Path, point: Point) -> Part | None:
    """The part of a point, or None if it is not there or cannot be read; then it is measured anew."""
    import h5py

    try:
        with h5py.File(part_path(directory, point), "r") as file:
            about = json.loads(file.attrs["about"])
            if file.attrs["sha256"] != _checksum(file):
                return None
            return Part(point, about, {name: np.asarray(values[()]) for name, values in file.items()})
    except (OSError, KeyError, ValueError):
        return None


def write_results(path: Path, parts: list[Part], attributes: dict[str, str]) -> None:
    """results.h5: one group per point, in the order of the sweep, with all per-query values."""
    import h5py

    with written_atomically(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs.update(attributes)
        for i, part in enumerate(parts):
            _store(file.create_group(f"points/{i:04d}"), part)


def _store(group: Any, part: Part) -> None:
    """Datasets and attributes of one part; parameters that are None have no attribute."""
    for name, values in part.arrays.items():
        group[name] = values
    for name, value in {"series": part.point.label, **part.point.columns(), **part.about}.items():
        if isinstance(value, str | int | float | bool):
            group.attrs[name] = value
    group.attrs["about"] = json.dumps(part.about)
    group.attrs["sha256"] = _checksum(group)


def _checksum(group: Any) -> str:
    digest = hashlib.sha256(group.attrs["about"].encode())
    for name in sorted(group):
        values = np.ascontiguousarray(group[name][()])
        digest.update(f"{name}{values.shape}{values.dtype}".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()
