"""Several features as one: their vectors side by side, their distances as a weighted sum."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import InvalidInputError
from metricsearch.features.feature import GlobalFeature
from metricsearch.features.photo import Photo


class CombinedFeature(GlobalFeature):
    """The vectors of `features` one after the other; distance = sum of weight x distance of each part's own metric.

    weights: one finite number > 0 per feature; all 1 if not given. name: by default the parts joined with "+", with
    their weights where these are not 1: "hsv+2*lbp-grid". Raises InvalidInputError (no feature, one that is local or
    given twice, wrong weights).
    """

    def __init__(
        self, features: Sequence[GlobalFeature], weights: Sequence[float] | None = None, name: str | None = None
    ) -> None:
        self.features = tuple(features)
        _check_features(self.features)
        self.weights = (1.0,) * len(self.features) if weights is None else _checked_weights(weights, self.features)
        terms = zip(self.weights, self.features, strict=True)
        self.name = name or "+".join(part.name if weight == 1 else f"{weight:g}*{part.name}" for weight, part in terms)
        self.dimension = sum(part.dimension for part in self.features)
        self.metric = {"name": "weighted", "parts": self._metric_parts()}

    def _metric_parts(self) -> list[dict[str, Any]]:
        stops = np.cumsum([part.dimension for part in self.features]).tolist()
        return [
            {"metric": part.metric, "columns": [stop - part.dimension, stop], "weight": weight}
            for part, stop, weight in zip(self.features, stops, self.weights, strict=True)
        ]

    def extract(self, photo: Photo) -> NDArray[np.float32]:
        """(dimension,) float32: the parts in their order."""
        return np.concatenate([part.extract(photo) for part in self.features])

    def provenance(self) -> dict[str, Any]:
        """Provenance of each part, and the weights."""
        parts = [part.provenance() for part in self.features]
        return {"feature": self.name, "parts": parts, "weights": list(self.weights)}

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """Those of the parts, each under the part's number: "0.centres"."""
        numbered = enumerate(self.features)
        return {f"{i}.{key}": array for i, part in numbered for key, array in part.arrays().items()}


def _check_features(features: tuple[Any, ...]) -> None:
    if not features:
        raise InvalidInputError("combined feature: expected at least one feature")
    for part in features:
        if not isinstance(part, GlobalFeature):
            what = getattr(part, "name", repr(part))
            raise InvalidInputError(
                f"combined feature: {what} has no single vector per photo; combine global features only"
            )
    names = [part.name for part in features]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InvalidInputError(f"combined feature: {twice} is given twice; give it a weight instead: 2*{twice}")


def _checked_weights(weights: Sequence[float], features: tuple[GlobalFeature, ...]) -> tuple[float, ...]:
    if len(weights) != len(features):
        raise InvalidInputError(
            f"combined feature: expected one weight per feature, {len(features)} in total, got {len(weights)}"
        )
    for weight, part in zip(weights, features, strict=True):
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight < math.inf:
            raise InvalidInputError(
                f"combined feature: weight of {part.name}: expected a finite number > 0, got {weight!r}"
            )
    return tuple(float(weight) for weight in weights)
