"""Which models there are, where their files lie, and what each wants to see: by name, or any ONNX file by its path."""

import difflib
import hashlib
import json
import re
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from metricsearch.datasets.registry import cache_directory, fetch_file, local_directory
from metricsearch.errors import CorruptedError, InvalidInputError, MissingDataError, UnknownNameError
from metricsearch.features.cnn.crops import Crops
from metricsearch.features.cnn.preprocessing import Preprocessing
from metricsearch.features.cnn.sessions import metadata_of, weight_files
from metricsearch.files import sha256_of

SUFFIX = ".onnx"
_DOWNLOADS = "models"  # folder in the cache
_EXAMPLE = (
    '{"preprocessing": {"size": 224, "resized": 256, "resize": "squash", "colours": "BGR", "mean": [104, 117, 123], '
    '"scale": [1, 1, 1]}}'
)


class Layer(BaseModel):
    """What a name of a layer stands for.

    tensor: output or inner tensor of the graph; or relu_of_gemm: what comes out of the ReLU behind the n-th
    fully connected layer (ONNX: Gemm), counted from 1. crops: the mean over "ten" crops, or the one in the "centre".
    unit_length: divided by its Euclidean length.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tensor: str | None = None
    relu_of_gemm: Annotated[int, Field(ge=1)] | None = None
    crops: Crops = "centre"
    unit_length: bool = False

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.tensor is None) == (self.relu_of_gemm is None):
            raise ValueError("give either tensor or relu_of_gemm")
        return self


class ModelCard(BaseModel):
    """What must be known of a network beside its file: what it wants to see, and names of its layers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    preprocessing: Preprocessing
    layers: dict[str, Layer] = {}


class Model(ModelCard):
    """A model file on this machine.

    sha256: of its bytes; where weights of it lie in other files, of the lines sha256 of it, sha256 of each of those.
    """

    name: str
    path: Path
    sha256: str


class _Entry(ModelCard):
    title: str
    file: str
    sha256: str
    url: str | None
    how_to_get: str
    licence: str
    sources: str


def model_names() -> list[str]:
    """Names of the models in the catalogue (models.json)."""
    return list(_catalogue())


def models_directory() -> Path | None:
    """Folder of local models: METRICSEARCH_MODELS, or ../shared/models beside the repository; None without either.

    Raises MissingDataError when METRICSEARCH_MODELS is no folder.
    """
    return local_directory("METRICSEARCH_MODELS", "models")


def is_at_hand(name: str) -> bool:
    """Whether a model's file (name in the catalogue, or path) is on this machine, so that no download is needed.

    Raises UnknownNameError for a name that is neither.
    """
    if _is_path(name):
        return Path(name).is_file()
    entry = _entry(name)
    return _local_file(entry) is not None or (cache_directory() / _DOWNLOADS / entry.file).is_file()


def find_model(name: str) -> Model:
    """The model of that name, or in the .onnx file at that path; its bytes are compared with the known sha256.

    A public model that is not here is downloaded first. For a file by path, preprocessing and layers stand in a file
    beside it, called like it with .json added, or preprocessing in its own metadata (input.size, input.color_order,
    input.mean, input.scale, input.resize).
    Raises UnknownNameError, MissingDataError, CorruptedError, InvalidInputError (no preprocessing), MissingExtraError.
    """
    if _is_path(name):
        return _model_at(Path(name))
    entry = _entry(name)
    path = _local_file(entry)
    if path is None:
        path = _downloaded(name, entry)
    elif (found := sha256_of(path)) != entry.sha256:
        raise CorruptedError(
            f"{path}: sha256 is {found}, expected {entry.sha256}; restore the original file, "
            "or give another model by its path"
        )
    return Model(name=name, path=path, sha256=entry.sha256, preprocessing=entry.preprocessing, layers=entry.layers)


@cache
def _catalogue() -> dict[str, _Entry]:
    table = json.loads(files(__package__).joinpath("models.json").read_text(encoding="utf-8"))
    return {name: _Entry.model_validate(entry) for name, entry in table.items()}


def _entry(name: str) -> _Entry:
    catalogue = _catalogue()
    if name not in catalogue:
        close = difflib.get_close_matches(str(name), catalogue, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise UnknownNameError(
            f"model {name!r} is unknown; {hint}known: {', '.join(catalogue)}, or the path of a file NAME{SUFFIX}"
        )
    return catalogue[name]


def _is_path(name: str) -> bool:
    return name.endswith(SUFFIX)


def _local_file(entry: _Entry) -> Path | None:
    folder = models_directory()
    path = None if folder is None else folder / entry.file
    return path if path is not None and path.is_file() else None


def _downloaded(name: str, entry: _Entry) -> Path:
    if entry.url is None:
        raise MissingDataError(f"model {name}: {entry.file} is not on this machine; {entry.how_to_get}")
    about = {"name": f"model {name}", "access": "download", "how_to_get": entry.how_to_get}
    return fetch_file(about, {"path": f"{_DOWNLOADS}/{entry.file}", "sha256": entry.sha256, "url": entry.url})


def _model_at(path: Path) -> Model:
    if not path.is_file():
        raise MissingDataError(f"{path}: no such model file; check the path, or use one of {', '.join(model_names())}")
    beside = path.with_name(f"{path.name}.json")
    card = _read_card(beside) if beside.is_file() else _card_in(path, beside)
    return Model(
        name=path.stem,
        path=path,
        sha256=_sha256_with_weights(path),
        preprocessing=card.preprocessing,
        layers=card.layers,
    )


def _sha256_with_weights(path: Path) -> str:
    others = weight_files(path)
    for file in others:
        if not file.is_file():
            raise MissingDataError(f"{path}: weights of it lie in {file}, which is not there; put it beside the model")
    digests = [sha256_of(file) for file in (path, *others)]
    return hashlib.sha256("\n".join(digests).encode()).hexdigest() if others else digests[0]


def _read_card(path: Path) -> ModelCard:
    try:
        return ModelCard.model_validate_json(path.read_bytes())
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(str(part) for part in problem["loc"]) or "the file"
        raise InvalidInputError(
            f"{path}: {place}: {problem['msg'].removeprefix('Value error, ')}; expected something like {_EXAMPLE}"
        ) from None


def _card_in(path: Path, beside: Path) -> ModelCard:
    """The card that a model's metadata make up. Raises InvalidInputError if they do not say all that is needed."""
    try:
        return ModelCard(preprocessing=Preprocessing.model_validate(_said_by(metadata_of(path))))
    except (KeyError, ValueError):
        raise InvalidInputError(
            f"{path}: says nothing of its preprocessing (or not all); write it to {beside}, for example: {_EXAMPLE}"
        ) from None


def _said_by(metadata: dict[str, str]) -> dict[str, Any]:
    """Preprocessing by the words of the keys input.*. Raises KeyError, ValueError where they say too little."""
    size = _number_before_x(metadata["input.size"])
    said = metadata.get("input.resize", f"squash to {size}x{size}")
    if not said.startswith("squash to"):
        raise ValueError(f"resize {said!r} is not known")
    mean = _numbers(metadata["input.mean"])
    scale = _numbers(metadata["input.scale"])
    return {
        "size": size,
        "resized": _number_before_x(said),
        "colours": metadata["input.color_order"],
        "mean": mean * 3 if len(mean) == 1 else mean,
        "scale": scale * 3 if len(scale) == 1 else scale,
    }


def _number_before_x(text: str) -> int:
    """224 in "224x224". Raises ValueError if there are no two equal numbers."""
    found = re.search(r"\b(\d+)x(\d+)\b", text)
    if found is None or found[1] != found[2]:
        raise ValueError(f"no square in {text!r}")
    return int(found[1])


def _numbers(text: str) -> list[float]:
    """The numbers with which a text begins, separated by commas. Raises ValueError if there are none."""
    found = re.match(r"\s*-?[\d.]+(?:e-?\d+)?(?:\s*,\s*-?[\d.]+(?:e-?\d+)?)*", text)
    if found is None:
        raise ValueError(f"no number in {text!r}")
    return [float(number) for number in found[0].split(",")]
