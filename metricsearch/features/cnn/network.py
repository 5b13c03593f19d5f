"""A network: one session, some layers of which can be looked at, and what it makes of a photo."""

import difflib
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import InvalidInputError, UnknownNameError
from metricsearch.features.cnn.catalogue import Layer, Model
from metricsearch.features.cnn.crops import Crops, cut_crops
from metricsearch.features.cnn.preprocessing import network_input, square_pixels
from metricsearch.features.cnn.sessions import load_graph, open_session
from metricsearch.features.extras import onnx, onnxruntime
from metricsearch.features.photo import Photo

Values = NDArray[np.float32]


class Network:
    """A model of which some tensors can be read; may be used by several threads at once.

    layers: those of the model's card, each with its tensor. tensors: shape of each for one photo, without the axis of
    the batch. Which tensors a session exposes may decide how the runtime fuses its operations, so that never changes
    with what is asked for. Raises InvalidInputError (its input is no photo of the declared size).
    """

    def __init__(self, model: Model, session: Any, layers: Mapping[str, Layer]) -> None:
        self.model, self.layers = model, layers
        self._session = session
        self._input = self._check_input()
        self._options = onnxruntime().RunOptions()
        self._options.only_execute_path_to_fetches = True
        self._wanted: tuple[str, ...] = ()
        size = model.preprocessing.size
        names = tuple(output.name for output in session.get_outputs())
        found = self._run(np.zeros((1, 3, size, size), np.float32), names)
        self.tensors: dict[str, tuple[int, ...]] = {
            name: value.shape[1:] for name, value in found.items() if value.dtype == np.float32 and len(value) == 1
        }

    def want(self, tensor: str) -> None:
        """From now on compute this tensor too whenever a photo goes through, since somebody will ask for it."""
        with _lock:
            self._wanted = tuple(dict.fromkeys((*self._wanted, tensor)))

    def values(self, photo: Photo, tensor: str, crops: Crops) -> list[Values]:
        """The tensor of each crop of the photo, in the order of `cut_crops`; features share the pass of a photo.

        Raises InvalidInputError for a photo that cannot be decoded.
        """
        preprocessing, wanted = self.model.preprocessing, self._wanted

        def run() -> list[dict[str, Values]]:
            squares = cut_crops(square_pixels(photo, preprocessing), preprocessing.size, crops)
            return [self._run(network_input(square, preprocessing), wanted) for square in squares]

        return [found[tensor][0] for found in photo.once((self, crops, wanted), run)]

    def values_of_pixels(self, pixels: NDArray[np.uint8], tensor: str) -> Values:
        """The tensor for (size, size, 3) uint8 RGB pixels, the size of the model's input."""
        whole = self._run(network_input(pixels, self.model.preprocessing), (tensor,))[tensor]
        first: Values = whole[0]
        return first

    def _run(self, values: Values, tensors: tuple[str, ...]) -> dict[str, Values]:
        found = self._session.run(tensors, {self._input: values}, self._options)
        return dict(zip(tensors, found, strict=True))

    def _check_input(self) -> str:
        """Name of the input. One photo goes in at a time: some models allow no more, and it is as fast."""
        size = self.model.preprocessing.size
        inputs = self._session.get_inputs()
        shapes = [tuple(one.shape) for one in inputs]
        fits = len(inputs) == 1 and inputs[0].type == "tensor(float)" and len(shapes[0]) == 4
        if not fits or any(
            isinstance(given, int) and given != wanted
            for given, wanted in zip(shapes[0], (1, 3, size, size), strict=True)
        ):
            given = ", ".join(f"{one.name} {one.type} {one.shape}" for one in inputs)
            raise InvalidInputError(
                f"{self.model.path}: expected one input of float32 photos (batch, 3, {size}, {size}), as its "
                f"preprocessing says; it takes {given}"
            )
        return str(inputs[0].name)


def get_network(model: Model, layer: str) -> tuple[Network, Layer]:
    """A network that exposes a layer, and what the layer is: a name of the model's card, or a tensor of its graph.

    All layers of the card and all outputs of the file are in one network, any other tensor has one to itself; each is
    made once per process. Raises UnknownNameError, InvalidInputError, CorruptedError, MissingExtraError.
    """
    with _lock:
        network = _made_once(model, None, lambda: _standard_network(model))
        if layer in network.layers:
            return network, network.layers[layer]
        if layer not in network.tensors:
            network = _made_once(model, layer, lambda: _network_of(model, layer, [*network.layers, *network.tensors]))
        return network, Layer(tensor=layer)


_networks: dict[tuple[str, str | None], Network] = {}
_lock = threading.RLock()


def _forget_lock() -> None:
    """In a forked child: another thread of its parent may have held the lock."""
    global _lock
    _lock = threading.RLock()


os.register_at_fork(after_in_child=_forget_lock)


def _made_once(model: Model, tensor: str | None, make: Callable[[], Network]) -> Network:
    key = (model.model_dump_json(), tensor)
    if key not in _networks:
        _networks[key] = make()
    return _networks[key]


def _standard_network(model: Model) -> Network:
    session = open_session(model.path)
    outputs = [output.name for output in session.get_outputs()]
    if all(layer.tensor in outputs for layer in model.layers.values()):
        return Network(model, session, model.layers)
    whole = load_graph(model.path)
    layers = {name: _located(model, whole.graph, name, layer) for name, layer in model.layers.items()}
    inner = dict.fromkeys(str(layer.tensor) for layer in layers.values() if layer.tensor not in outputs)
    _expose(whole.graph, inner)
    return Network(model, open_session(model.path, whole.SerializeToString()), layers)


def _network_of(model: Model, tensor: str, known: list[str]) -> Network:
    whole = load_graph(model.path)
    tensors = _tensors(whole.graph)
    if tensor not in tensors:
        close = difflib.get_close_matches(tensor, [*known, *tensors], n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise UnknownNameError(
            f"{model.path}: layer {tensor!r} is unknown; {hint}known: {', '.join(dict.fromkeys(known))}, or any inner "
            "tensor by its name"
        )
    del whole.graph.output[:]
    _expose(whole.graph, [tensor])
    return Network(model, open_session(model.path, whole.SerializeToString()), {})


def _tensors(graph: Any) -> list[str]:
    return [name for node in graph.node for name in node.output if name]


def _expose(graph: Any, tensors: Iterable[str]) -> None:
    """Make inner tensors outputs, of whatever type and shape they are."""
    graph.output.extend(onnx().ValueInfoProto(name=tensor) for tensor in tensors)


def _located(model: Model, graph: Any, name: str, layer: Layer) -> Layer:
    """The layer with its tensor. Raises InvalidInputError if the graph has none such."""
    if layer.relu_of_gemm is None:
        if layer.tensor in _tensors(graph):
            return layer
        raise InvalidInputError(f"{model.path}: its layer {name!r} is the tensor {layer.tensor!r}, which it has not")
    dense = [node.output[0] for node in graph.node if node.op_type == "Gemm"]
    behind = {node.input[0]: node.output[0] for node in graph.node if node.op_type == "Relu"}
    number = layer.relu_of_gemm
    if number > len(dense) or dense[number - 1] not in behind:
        raise InvalidInputError(
            f"{model.path}: its layer {name!r} is the ReLU behind Gemm number {number}, but it has {len(dense)} Gemm, "
            f"{sum(tensor in behind for tensor in dense)} of them with a ReLU; name the tensor instead"
        )
    return layer.model_copy(update={"tensor": behind[dense[number - 1]], "relu_of_gemm": None})
