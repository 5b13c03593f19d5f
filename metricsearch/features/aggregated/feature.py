"""One vector of a photo from its local descriptors, with words learned from other photos."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import InvalidInputError
from metricsearch.features.aggregated.bow import bow
from metricsearch.features.aggregated.fisher import fisher
from metricsearch.features.aggregated.pca import PCA
from metricsearch.features.aggregated.vlad import nearest_centres, vlad
from metricsearch.features.feature import LocalFeature
from metricsearch.features.feature_writing import check_feature_name
from metricsearch.features.local import DIMENSION, LocalFeatureOptions
from metricsearch.features.photo import Photo
from metricsearch.features.trained import Arrays, Resolve, TrainedFeature
from metricsearch.validation import check_choice, check_vectors

AGGREGATIONS = ("bow", "vlad", "vlad-power", "vlad-intra", "fisher", "fisher-improved")
_VLAD = {"vlad": "l2", "vlad-power": "power", "vlad-intra": "intra"}


class AggregatedFeature(TrainedFeature):
    """Bag of words, VLAD or Fisher vector of a photo's local descriptors (S4; spec: vocabulary_tree.md §5.5, §5.6).

    aggregation: "bow" (tf·idf, unit length), "vlad", "vlad-power", "vlad-intra" (see `vlad`), "fisher",
    "fisher-improved" (see `fisher`). local: which descriptors; they are taken as they are stored, as numbers 0..255
    (for rootsift 512 times the unit vector, rounded), in training as here. learned: "centres" (K, d), with "idf" (K,)
    for "bow"; or "weights" (K,), "means" (K, d), "variances" (K, d). pca: what descriptors go through first, or None.
    trained_on: see `trained_on`.

    Plain "fisher" has no common length, photos of few descriptors have the longest vectors: for search, bring it to
    unit length by `train_whitening`, or take the improved one. A photo without descriptors is
    the zero vector. Make a feature with `train_aggregated`. Raises InvalidInputError.
    """

    metric = "euclidean"

    def __init__(
        self,
        name: str,
        aggregation: str,
        local: LocalFeatureOptions,
        learned: Arrays,
        pca: PCA | None,
        trained_on: Mapping[str, Any],
    ) -> None:
        self.name = check_feature_name(name)
        self.aggregation = check_choice(aggregation, "aggregation", AGGREGATIONS)
        self.local = LocalFeature(local)
        self.pca = pca
        self._trained_on = dict(trained_on)
        self._learned = dict(learned)
        expected = _expected_arrays(aggregation)
        if set(learned) != set(expected):
            raise InvalidInputError(f"{name}: expected the arrays {', '.join(expected)}, got {', '.join(learned)}")
        self.dimension = len(self.aggregate(np.empty((0, DIMENSION), dtype=np.uint8)))  # also checks all shapes

    @property
    def n_words(self) -> int:
        """K: words, centres or Gaussians."""
        return len(self._learned["means" if self.aggregation.startswith("fisher") else "centres"])

    def extract(self, photo: Photo) -> NDArray[np.float32]:
        """(dimension,) float32."""
        return self.aggregate(self.local.extract(photo).descriptors)

    def aggregate(self, descriptors: Any) -> NDArray[np.float32]:
        """(dimension,) float32 of the local descriptors (n, 128) of one photo. Raises InvalidInputError."""
        x = check_vectors(descriptors, "descriptors", DIMENSION)
        if self.pca is not None:
            x = self.pca.apply(x)
        learned = self._learned
        if self.aggregation == "bow":
            return bow(nearest_centres(x, learned["centres"]), len(learned["centres"]), learned["idf"])
        if self.aggregation in _VLAD:
            return vlad(x, learned["centres"], _VLAD[self.aggregation])
        improved = self.aggregation == "fisher-improved"
        return fisher(x, learned["weights"], learned["means"], learned["variances"], improved)

    def recipe(self) -> dict[str, Any]:
        """See `TrainedFeature.recipe`."""
        return {
            "kind": "aggregated",
            "name": self.name,
            "dimension": self.dimension,
            "aggregation": self.aggregation,
            "words": self.n_words,
            "local": self.local.options.to_dict(),
            "pca": None if self.pca is None else self.pca.dimension,
            "trained_on": self._trained_on,
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What was learned."""
        return {**self._learned, **({} if self.pca is None else self.pca.arrays("pca_"))}

    def base_provenance(self) -> dict[str, Any]:
        """Of the local features."""
        return self.local.provenance()

    @classmethod
    def from_recipe(cls, recipe: Mapping[str, Any], arrays: Arrays, resolve: Resolve) -> "AggregatedFeature":
        """See `TrainedFeature.from_recipe`."""
        pca = None if recipe["pca"] is None else PCA.from_arrays(arrays, "pca_", whiten=False)
        learned = {name: array for name, array in arrays.items() if not name.startswith("pca_")}
        local = LocalFeatureOptions(**recipe["local"])
        return cls(recipe["name"], recipe["aggregation"], local, learned, pca, recipe["trained_on"])


def _expected_arrays(aggregation: str) -> tuple[str, ...]:
    if aggregation.startswith("fisher"):
        return ("weights", "means", "variances")
    return ("centres", "idf") if aggregation == "bow" else ("centres",)
