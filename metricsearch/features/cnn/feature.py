"""What a network makes of a photo, as a feature: one layer, pooled where it gives maps."""

import difflib
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import InvalidInputError, UnknownNameError
from metricsearch.features.cnn.catalogue import SUFFIX, Layer, find_model
from metricsearch.features.cnn.network import Network, Values, get_network
from metricsearch.features.cnn.pooling import POOLINGS
from metricsearch.features.cnn.preprocessing import resized
from metricsearch.features.feature import GlobalFeature
from metricsearch.features.photo import Photo
from metricsearch.validation import check_choice

SHORT_NAMES = {
    "pool5": "googlenet:pool5",
    "pool5-unit": "googlenet:pool5-unit",
    "grid4096": "googlenet:5b:grid4096",
    "decaf7": "caffenet:decaf7",
    "decaf6": "caffenet:decaf6",
    "face": "mobilefacenet:face",
}


class CnnFeature(GlobalFeature):
    """A layer of a network for the central crop of a photo, or its mean over ten crops.

    layer: must have a tensor of that network. pooling: a name of POOLINGS where the layer gives maps (C, H, W), None
    where it gives a vector (maps of one cell are vectors). With ten crops each is pooled, then the mean is taken;
    then, if the layer says so, the vector is divided by its length (zeros stay zeros).
    name: as in files; without one, it is put together from model, layer and pooling.
    Raises InvalidInputError (pooling missing or too many, a layer of another shape), UnknownNameError.
    """

    metric = "euclidean"

    def __init__(self, network: Network, layer: Layer, pooling: str | None = None, *, name: str | None = None) -> None:
        self.network, self.layer, self.pooling = network, layer, pooling
        self._tensor = str(layer.tensor)
        self.name = name or _name(network.model.name, self._tensor, pooling)
        shape = network.tensors.get(self._tensor)
        self._check(shape)
        self.dimension = self._pooled(np.zeros(shape or (), np.float32)).size
        network.want(self._tensor)

    def extract(self, photo: Photo) -> NDArray[np.float32]:
        """(dimension,) float32. Raises InvalidInputError: the photo cannot be decoded, the network gives NaN."""
        crops = [self._pooled(values) for values in self.network.values(photo, self._tensor, self.layer.crops)]
        return self._finished(crops)

    def of_pixels(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(dimension,) float32 of a patch (h, w, 3) uint8 RGB, made as large as the network's input as a whole.

        No crops are cut from it, whatever the layer says. Raises InvalidInputError: the network gives NaN.
        """
        square = resized(pixels, self.network.model.preprocessing.size)
        return self._finished([self._pooled(self.network.values_of_pixels(square, self._tensor))])

    def provenance(self) -> dict[str, Any]:
        """Model, layer and what is done before and after; the same for all names of one feature.

        No versions: those of ONNX Runtime and Pillow change roundings only.
        """
        model = self.network.model
        return {
            "feature": _name(model.name, self._tensor, self.pooling),
            "model_sha256": model.sha256,
            "layer": self._tensor,
            "pooling": self.pooling,
            "crops": self.layer.crops,
            "unit_length": self.layer.unit_length,
            "preprocessing": model.preprocessing.to_dict(),
        }

    def _check(self, shape: tuple[int, ...] | None) -> None:
        where = f"{self.network.model.name}: layer {self._tensor}"
        if self.pooling is not None:
            check_choice(self.pooling, "pooling", tuple(POOLINGS))
        if shape is None or not (len(shape) == 1 or len(shape) == 3):
            what = f"of shape {shape} for one photo" if shape is not None else "of another type, or of several rows"
            raise InvalidInputError(f"{where} gives values {what}; expected float32 (D,) or maps (C, H, W)")
        if _is_vector(shape) and self.pooling is not None:
            raise InvalidInputError(
                f"{where} gives a vector of {shape[0]} values, which no pooling can be applied to; leave out "
                f"{self.pooling!r}"
            )
        if not _is_vector(shape) and self.pooling is None:
            raise InvalidInputError(
                f"{where} gives maps {' x '.join(map(str, shape))}, which need a pooling; add one of "
                f"{', '.join(POOLINGS)}, as in {self.name}:avg"
            )

    def _pooled(self, values: Values) -> NDArray[np.float32]:
        return values.reshape(-1) if self.pooling is None else POOLINGS[self.pooling](values)

    def _finished(self, crops: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        mean = crops[0].astype(np.float64)
        for crop in crops[1:]:
            mean += crop
        mean /= len(crops)
        if self.layer.unit_length:
            mean /= np.sqrt((mean * mean).sum()) or 1.0
        vector = mean.astype(np.float32)
        if not np.isfinite(vector).all():
            raise InvalidInputError(f"{self.network.model.path} gives NaN or infinity for it")
        return vector


def get_cnn_feature(text: str) -> CnnFeature:
    """The feature MODEL:LAYER or MODEL:LAYER:POOLING, or a short name (SHORT_NAMES).

    MODEL: name in the catalogue, or path of an .onnx file; LAYER: name in the model's card, or a tensor of its graph;
    POOLING: for layers that give maps. A public model is downloaded where it is not at hand. `Feature.name` is the
    text, with the file's stem for a path; characters that feature files cannot hold become "." (for "/") or "_".
    Raises UnknownNameError, InvalidInputError, MissingDataError, CorruptedError, MissingExtraError.
    """
    model_text, rest = _split_model(SHORT_NAMES.get(text, text))
    model = find_model(model_text)
    layer_text, _, last = rest.rpartition(":")
    if not layer_text or last not in POOLINGS:
        layer_text, last = rest, ""
    try:
        network, layer = get_network(model, layer_text)
    except UnknownNameError:
        if ":" not in rest:
            raise
        layer_text, _, last = rest.rpartition(":")
        get_network(model, layer_text)
        close = difflib.get_close_matches(last, POOLINGS, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise UnknownNameError(f"pooling {last!r} is unknown; {hint}known: {', '.join(POOLINGS)}") from None
    name = text if text in SHORT_NAMES else _name(model.name, layer_text, last or None)
    return CnnFeature(network, layer, last or None, name=name)


def _split_model(text: str) -> tuple[str, str]:
    """Model and the rest. A path may hold colons; it ends with .onnx."""
    head, suffix, rest = text.partition(f"{SUFFIX}:")
    model, layer = (head + SUFFIX, rest) if suffix else text.partition(":")[::2]
    if not model or not layer:
        raise UnknownNameError(
            f"CNN feature {text!r}: expected MODEL:LAYER or MODEL:LAYER:POOLING, such as googlenet:5b:gem, or one of "
            f"{', '.join(SHORT_NAMES)}"
        )
    return model, layer


def _name(model: str, layer: str, pooling: str | None) -> str:
    parts = (model, layer, *([pooling] if pooling else []))
    return ":".join(re.sub(r"[^A-Za-z0-9._-]", "_", part.replace("/", ".")) for part in parts)


def _is_vector(shape: tuple[int, ...]) -> bool:
    return len(shape) == 1 or shape[1:] == (1, 1)
