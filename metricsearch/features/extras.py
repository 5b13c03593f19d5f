"""The optional packages of this part, imported when they are needed."""

from importlib import import_module
from typing import Any

from metricsearch.errors import MissingExtraError


def opencv() -> Any:
    """The module cv2. Raises MissingExtraError."""
    return _imported("cv2", "local features", "OpenCV")


def pillow_image() -> Any:
    """The module PIL.Image. Raises MissingExtraError."""
    return _imported("PIL.Image", "reading photos", "Pillow")


def _imported(name: str, purpose: str, package: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        raise MissingExtraError(f"{purpose}: needs {package}; pip install 'metricsearch[features]'") from None
