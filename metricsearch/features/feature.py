"""What a feature is: a name, what its values depend on, and a function of a photo."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from metricsearch.features.local import LocalFeatureOptions, LocalFeatures, extract_local
from metricsearch.features.photo import Photo

Value = TypeVar("Value")


class Feature(ABC, Generic[Value]):
    """Computes one kind of value from a photo; may be used by several threads at once.

    name: as in feature files; letters, digits and "-_.+*:" only.
    """

    name: str

    @abstractmethod
    def extract(self, photo: Photo) -> Value:
        """The value of a photo. Raises InvalidInputError for a photo that cannot be decoded."""

    @abstractmethod
    def provenance(self) -> dict[str, Any]:
        """Everything the values depend on, fit for JSON: values with different provenance cannot be compared."""


class GlobalFeature(Feature[NDArray[np.float32]]):
    """One vector per photo: `extract` gives (dimension,) float32, finite, for every photo that can be decoded.

    metric: name or spec of the distance meant for these vectors.
    """

    dimension: int
    metric: str | dict[str, Any]

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """What was learned from other photos (centres, projections ...); kept beside the vectors made with it."""
        return {}


class LocalFeature(Feature[LocalFeatures]):
    """Any number of descriptors per photo, see `extract_local`."""

    def __init__(self, options: LocalFeatureOptions | None = None) -> None:
        self.options = options or LocalFeatureOptions()
        self.name = self.options.kind

    def extract(self, photo: Photo) -> LocalFeatures:
        """Keypoints and descriptors; computed once per photo, whoever asks."""
        return photo.once(self.options, lambda: extract_local(photo.grey, self.options))

    def provenance(self) -> dict[str, Any]:
        """Options, and the OpenCV version whose detector may find other points."""
        from metricsearch.features.extras import opencv

        version = ".".join(opencv().__version__.split(".")[:2])
        return {"feature": self.name, "options": self.options.to_dict(), "libraries": {"opencv": version}}
