"""The optional packages of this part, imported when they are needed; each function raises MissingExtraError."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from metricsearch.errors import MissingExtraError


def opencv() -> Any:
    """The module cv2."""
    return _imported("cv2", "local and classic features", "OpenCV")


def pillow_image() -> Any:
    """The module PIL.Image."""
    return _imported("PIL.Image", "reading photos", "Pillow")


def scikit_image(submodule: str = "") -> Any:
    """The module skimage, or one below it: "feature" gives skimage.feature."""
    return _imported(_below("skimage", submodule), "classic features", "scikit-image")


def scikit_learn(submodule: str = "") -> Any:
    """The module sklearn, or one below it: "mixture" gives sklearn.mixture."""
    return _imported(_below("sklearn", submodule), "Fisher vectors", "scikit-learn")


def onnxruntime() -> Any:
    """The module onnxruntime."""
    return _imported("onnxruntime", "CNN features", "ONNX Runtime")


def onnx() -> Any:
    """The module onnx."""
    return _imported("onnx", "layers inside a CNN", "onnx")


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Keep OpenCV and matrix products to the thread that calls them, for a whole job that has threads of its own.

    Theirs would compete with ours: a Fisher vector took four times the processor time.
    """
    cv2, limits = opencv(), _imported("threadpoolctl", "extraction", "threadpoolctl").threadpool_limits
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with limits(1, "blas"):
            yield
    finally:
        cv2.setNumThreads(before)


def _below(package: str, submodule: str) -> str:
    return f"{package}.{submodule}" if submodule else package


def _imported(name: str, purpose: str, package: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        raise MissingExtraError(f"{purpose}: needs {package}; pip install 'metricsearch[features]'") from None
