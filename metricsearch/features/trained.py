"""Features that were learned from photos: how they are kept in a file, and made again from it.

A trained feature is a recipe (JSON: what it is and how it was made) and arrays (what was learned). The same pair stands
in a file of its own, which `metricsearch extract --feature FILE` takes, and beside the vectors in a feature file.

The file is HDF5: attributes format, version, recipe (JSON), sha256 (of recipe and arrays); one dataset per array.
"""

import hashlib
import json
import os
from abc import abstractmethod
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import (
    CorruptedError,
    ExistsError,
    FormatVersionError,
    InvalidInputError,
    MetricSearchError,
    MissingDataError,
)
from metricsearch.features.feature import Feature, GlobalFeature
from metricsearch.files import system_errors, written_atomically

FORMAT = "metricsearch-trained-feature"
FORMAT_VERSION = 1

Arrays = Mapping[str, NDArray[Any]]
Resolve = Callable[[str], Feature[Any]]  # `get_feature`: what the base of a trained feature is found with

# The class of each kind of recipe, by module and name: modules are imported when a recipe asks for them.
RECIPES = {
    "aggregated": ("metricsearch.features.aggregated.feature", "AggregatedFeature"),
    "whitened": ("metricsearch.features.aggregated.whitened", "WhitenedFeature"),
    "mop": ("metricsearch.features.cnn.mop", "MopFeature"),
}


class TrainedFeature(GlobalFeature):
    """A global feature with something learned in it; made again by `from_recipe` from `recipe` and `arrays`."""

    @abstractmethod
    def recipe(self) -> dict[str, Any]:
        """JSON: "kind" (a key of RECIPES), "name", "dimension", the parameters, "trained_on" (see `trained_on`)."""

    @abstractmethod
    def base_provenance(self) -> dict[str, Any]:
        """Provenance of the feature that this one is computed from."""

    @classmethod
    @abstractmethod
    def from_recipe(cls, recipe: Mapping[str, Any], arrays: Arrays, resolve: Resolve) -> "TrainedFeature":
        """The feature whose `recipe()` and `arrays()` these are. resolve: the base feature of a name."""

    def provenance(self) -> dict[str, Any]:
        """The recipe, the sha256 of what was learned, and the provenance of the base."""
        return {
            "feature": self.name,
            "recipe": self.recipe(),
            "arrays_sha256": sha256_of_arrays(self.arrays()),
            "base": self.base_provenance(),
        }


def trained_on(sha256: list[str]) -> dict[str, Any]:
    """For recipes: the number of photos that a feature was trained on, and a sha256 over those of their bytes."""
    return {"photos": len(sha256), "sha256": hashlib.sha256("\n".join(sorted(sha256)).encode()).hexdigest()}


def sha256_of_arrays(arrays: Arrays) -> str:
    """Hexadecimal sha256 of names, types, shapes and values, whatever the order."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.data)
    return digest.hexdigest()


def base_recipe(base: GlobalFeature, text: str) -> dict[str, Any]:
    """How `base_feature` finds the base again: its own recipe if it was trained, else the text that names it."""
    return base.recipe() if isinstance(base, TrainedFeature) else {"kind": "named", "name": text}


def base_arrays(base: GlobalFeature) -> dict[str, NDArray[Any]]:
    """The arrays of a trained base under names that begin with "base."."""
    return {f"base.{name}": array for name, array in base.arrays().items()} if isinstance(base, TrainedFeature) else {}


def base_feature(recipe: Mapping[str, Any], arrays: Arrays, resolve: Resolve) -> Feature[Any]:
    """The feature of a `base_recipe`; arrays: of the feature that is built on it, see `base_arrays`."""
    if recipe["kind"] == "named":
        return resolve(recipe["name"])
    own = {name.removeprefix("base."): array for name, array in arrays.items() if name.startswith("base.")}
    return feature_from_arrays(recipe, own, resolve)


def check_same_base(name: str, trained: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raise InvalidInputError unless both provenances are of one feature; versions of libraries may differ.

    name: of the trained feature, for the message.
    """
    before, after = _without_libraries(trained), _without_libraries(now)
    differing = sorted(key for key in {*before, *after} if before.get(key) != after.get(key))
    if differing:
        key = differing[0]
        raise InvalidInputError(
            f"{name}: was trained on {before.get('feature')} with {key} {str(before.get(key)):.80}, but here {key} is "
            f"{str(after.get(key)):.80} ({len(differing)} differences); train it again, or give the feature it was "
            "trained on"
        )


def _without_libraries(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_libraries(held) for key, held in value.items() if key != "libraries"}
    return [_without_libraries(held) for held in value] if isinstance(value, list | tuple) else value


def feature_from_arrays(recipe: Mapping[str, Any], arrays: Arrays, resolve: Resolve) -> TrainedFeature:
    """The trained feature of a recipe and its arrays. resolve: the base feature of a name.

    Raises FormatVersionError (a kind this program does not know), InvalidInputError (recipe and arrays do not fit; the
    base is not the one it was trained on), and what `resolve` raises.
    """
    kind = recipe.get("kind")
    if kind not in RECIPES:
        raise FormatVersionError(f"trained feature: of kind {kind!r}; this program knows {', '.join(RECIPES)}")
    module, name = RECIPES[kind]
    made_by: type[TrainedFeature] = getattr(import_module(module), name)
    try:
        return made_by.from_recipe(recipe, arrays, resolve)
    except MetricSearchError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidInputError(
            f"trained feature: recipe and arrays of {kind} do not fit together ({error!r})"
        ) from None


def save_feature(path: str | os.PathLike[str], feature: TrainedFeature) -> None:
    """Write a trained feature to the new file `path`; nobody ever sees half of it. Raises ExistsError, StorageError."""
    import h5py

    path = check_new_file(path)
    recipe, arrays = json.dumps(feature.recipe(), sort_keys=True), feature.arrays()
    with system_errors(path), written_atomically(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["format"] = FORMAT
        file.attrs["version"] = FORMAT_VERSION
        file.attrs["recipe"] = recipe
        file.attrs["sha256"] = _checksum(recipe, arrays)
        for name in sorted(arrays):
            file.create_dataset(f"arrays/{name}", data=arrays[name])


def check_new_file(path: str | os.PathLike[str]) -> Path:
    """Return `path` if a new file can stand there; raise ExistsError or InvalidInputError otherwise."""
    path = Path(path)
    if path.exists():
        raise ExistsError(f"{path}: exists already; choose another path, or delete it first")
    if not path.parent.is_dir():
        raise InvalidInputError(f"{path}: there is no folder {path.parent}; make it first")
    return path


def load_feature(path: str | os.PathLike[str], resolve: Resolve) -> TrainedFeature:
    """The feature that `save_feature` wrote. resolve: the base feature of a name.

    Raises what `read_feature` and `feature_from_arrays` raise.
    """
    recipe, arrays = read_feature(path)
    try:
        return feature_from_arrays(recipe, arrays, resolve)
    except MetricSearchError as error:
        raise type(error)(f"{path}: {error}") from None


def read_feature(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Recipe and arrays of a file, without making the feature.

    Raises MissingDataError, InvalidInputError (another file), FormatVersionError, CorruptedError.
    """
    import h5py

    path = Path(path)
    if not path.is_file():
        raise MissingDataError(f"{path}: no such file; make it with: metricsearch features train {path} --from FILE")
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("format") != FORMAT:
                raise InvalidInputError(
                    f"{path}: not a trained feature; give a file that `metricsearch features train` made"
                )
            if file.attrs["version"] != FORMAT_VERSION:
                raise FormatVersionError(
                    f"{path}: format version {file.attrs['version']}, but this program reads version "
                    f"{FORMAT_VERSION}; train it again"
                )
            text = str(file.attrs["recipe"])
            arrays = {name: dataset[()] for name, dataset in file["arrays"].items()}
            if file.attrs["sha256"] != _checksum(text, arrays):
                raise ValueError("its content does not match its sha256")
            recipe: dict[str, Any] = json.loads(text)
            return recipe, arrays
    except MetricSearchError:
        raise
    except Exception as error:  # h5py meets broken bytes with whatever it makes of them
        raise CorruptedError(
            f"{path}: not a readable trained feature ({' '.join(str(error).split())}); restore it from a copy, or "
            "train it again"
        ) from None


def _checksum(recipe: str, arrays: Arrays) -> str:
    return hashlib.sha256(f"{recipe}\n{sha256_of_arrays(arrays)}".encode()).hexdigest()
