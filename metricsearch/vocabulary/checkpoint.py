"""Finished levels of a training on disk, so that it can go on after an interruption."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import CorruptedError, InvalidInputError
from metricsearch.files import system_errors, written_atomically
from metricsearch.vocabulary.training_data import TrainingData

_FORMAT = "metricsearch-vocabulary-training"
_VERSION = 1


class Checkpoint:
    """A folder: training.json (parameters, shape and sha256 of the data) and one level-L.npz per finished level."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def open(cls, folder: Path, parameters: dict[str, Any], data: TrainingData) -> "Checkpoint":
        """Create the folder, or go on with it. Raises InvalidInputError if it is that of another training."""
        if not isinstance(folder, str | Path):
            raise InvalidInputError(f"checkpoint: expected a folder, as text or a Path, got {folder!r:.60}")
        folder = Path(folder)
        path = folder / "training.json"
        wanted = {
            "format": _FORMAT,
            "version": _VERSION,
            **parameters,
            "shape": [data.n, data.dimension],
            "dtype": data.dtype.name,
            "sha256": data.checksum(),
        }
        with system_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                if any(folder.glob("level-*.npz")):
                    raise CorruptedError(f"{path}: is missing, but there are finished levels; delete the folder")
                with written_atomically(path) as temporary:
                    temporary.write_text(json.dumps(wanted, indent=2), encoding="utf-8")
                return cls(folder)
            try:
                found = json.loads(path.read_text(encoding="utf-8"))
            except ValueError:
                raise CorruptedError(f"{path}: no JSON; delete the folder to start anew") from None
        if not isinstance(found, dict) or found != wanted:
            names = [name for name in wanted if not isinstance(found, dict) or found.get(name) != wanted[name]]
            raise InvalidInputError(
                f"checkpoint: {folder} belongs to another training (different: {', '.join(names)}); "
                "pass the parameters and data it was begun with, or another folder"
            )
        return cls(folder)

    def save(self, level: int, n_children: NDArray[np.int64], centres: NDArray[Any]) -> None:
        """Keep a finished level; durable on return. Raises StorageError."""
        path = self._path(level)
        with system_errors(path), written_atomically(path) as temporary, temporary.open("wb") as file:
            np.savez(file, n_children=n_children, centres=centres)

    def load(self, level: int, n_cells: int) -> tuple[NDArray[np.int64], NDArray[Any]] | None:
        """(n_children of the `n_cells` nodes above, centres), or None if the level is not finished.

        Raises CorruptedError.
        """
        path = self._path(level)
        if not path.exists():
            return None
        try:
            with system_errors(path), path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                n_children, centres = arrays["n_children"], arrays["centres"]
        except (ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile):  # RuntimeError: another kind of zip
            raise CorruptedError(f"{path}: damaged; delete this file and those of later levels") from None
        if n_children.shape != (n_cells,) or n_children.sum() != len(centres):
            raise CorruptedError(f"{path}: does not fit the level above; delete this file and those of later levels")
        return n_children, centres

    def _path(self, level: int) -> Path:
        return self.folder / f"level-{level}.npz"
