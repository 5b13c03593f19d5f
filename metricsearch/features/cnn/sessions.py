"""ONNX Runtime, set up so that the threads are ours: one photo on one thread, the same bits however many there are."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from metricsearch.errors import CorruptedError
from metricsearch.features.extras import onnx, onnxruntime


def open_session(path: Path, model: bytes | None = None) -> Any:
    """A session (`onnxruntime.InferenceSession`) of a file, or of a `model` made from it.

    Raises CorruptedError if it is no model that can be run, MissingExtraError.
    """
    runtime = onnxruntime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what is wrong comes as an exception; the rest is advice to whoever made the file
    try:
        return runtime.InferenceSession(model or str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # a class for each kind of failure, without a base of their own
        raise _damaged(path, error) from None


def metadata_of(path: Path) -> dict[str, str]:
    """What its maker wrote into a model file, by key. Raises as `open_session`."""
    found: dict[str, str] = open_session(path).get_modelmeta().custom_metadata_map
    return found


def load_graph(path: Path, *, weights: bool = True) -> Any:
    """The whole file as `onnx.ModelProto`; without those weights that lie in other files if not `weights`.

    Raises CorruptedError, MissingExtraError.
    """
    try:
        return onnx().load(path, load_external_data=weights)
    except ImportError:
        raise
    except Exception as error:  # protobuf has several, by version
        raise _damaged(path, error) from None


def weight_files(path: Path) -> list[Path]:
    """The other files in which weights of a model lie (ONNX: external data), sorted. Raises as `load_graph`."""
    names = {
        entry.value
        for tensor in _constants(load_graph(path, weights=False).graph)
        if tensor.data_location == onnx().TensorProto.EXTERNAL
        for entry in tensor.external_data
        if entry.key == "location"
    }
    return [path.parent / name for name in sorted(names)]


def _constants(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            if attribute.HasField("g"):
                yield from _constants(attribute.g)


def _damaged(path: Path, error: Exception) -> CorruptedError:
    reason = " ".join(str(error).split())
    return CorruptedError(f"{path}: not an ONNX model that can be run ({reason:.200}); restore or export it again")
