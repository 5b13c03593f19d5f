"""Any global feature with fewer dimensions: unit length, principal components, whitened, unit length again."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import InvalidInputError
from metricsearch.features.aggregated.pca import PCA
from metricsearch.features.feature import GlobalFeature
from metricsearch.features.feature_writing import check_feature_name
from metricsearch.features.normalisation import unit_length
from metricsearch.features.photo import Photo
from metricsearch.features.trained import (
    Arrays,
    Resolve,
    TrainedFeature,
    base_arrays,
    base_feature,
    base_recipe,
    check_same_base,
)


class WhitenedFeature(TrainedFeature):
    """y / |y|, y = PCA of x / |x|, x another feature's vector; whitened if `pca.whiten`.

    What follows CroW, SPoC and R-MAC in their papers (spec: vocabulary_tree.md §5.7).

    base: the other feature; a weighted metric of its own is not used. base_name: text that `get_feature` finds it by,
    if it was not trained itself. trained_on: see `trained_on`. Make one with `train_whitening`.
    Raises InvalidInputError.
    """

    metric = "euclidean"

    def __init__(self, name: str, base: GlobalFeature, base_name: str, pca: PCA, trained_on: Mapping[str, Any]) -> None:
        self.name = check_feature_name(name)
        if len(pca.mean) != base.dimension:
            raise InvalidInputError(
                f"{name}: the PCA is for {len(pca.mean):,} numbers, {base.name} has {base.dimension:,}"
            )
        self.base, self.pca, self.dimension = base, pca, pca.dimension
        self._base_name, self._trained_on = base_name, dict(trained_on)

    def extract(self, photo: Photo) -> NDArray[np.float32]:
        """(dimension,) float32 of length 1."""
        vector: NDArray[np.float32] = self.transform(self.base.extract(photo)[None])[0]
        return vector

    def transform(self, vectors: Any) -> NDArray[np.float32]:
        """(n, dimension) float32 of vectors (n, d) of the base. Raises InvalidInputError."""
        return self.pca.apply(unit_length(vectors), unit_length=True)

    def recipe(self) -> dict[str, Any]:
        """See `TrainedFeature.recipe`."""
        return {
            "kind": "whitened",
            "name": self.name,
            "dimension": self.dimension,
            "whiten": self.pca.whiten,
            "base": base_recipe(self.base, self._base_name),
            "base_provenance": self.base.provenance(),
            "trained_on": self._trained_on,
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The PCA, and what the base has learned."""
        return {**self.pca.arrays("pca_"), **base_arrays(self.base)}

    def base_provenance(self) -> dict[str, Any]:
        """Of the other feature."""
        return self.base.provenance()

    @classmethod
    def from_recipe(cls, recipe: Mapping[str, Any], arrays: Arrays, resolve: Resolve) -> "WhitenedFeature":
        """See `TrainedFeature.from_recipe`."""
        name = recipe["name"]
        base = base_feature(recipe["base"], arrays, resolve)
        if not isinstance(base, GlobalFeature):
            raise InvalidInputError(
                f"{name}: its base {base.name} is a local feature now; expected one vector per photo"
            )
        check_same_base(name, recipe["base_provenance"], base.provenance())
        pca = PCA.from_arrays(arrays, "pca_", recipe["whiten"])
        return cls(name, base, recipe["base"]["name"], pca, recipe["trained_on"])
