"""Experiments that compare features (kind "features"): every key, its type and its range."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from metricsearch.datasets import describe_image_set
from metricsearch.experiment.config import (
    Count,
    ExperimentConfig,
    Many,
    OneOrMany,
    Point,
    Replicates,
    Seed,
    SeriesConfig,
    Table,
    Text,
    with_values,
)
from metricsearch.experiment.features import columns
from metricsearch.features.aggregated.feature import AGGREGATIONS
from metricsearch.features.aggregated.training import DESCRIPTOR_SAMPLE
from metricsearch.spaces import get_metric

AGGREGATED = (*AGGREGATIONS, "mop")

Categories = Annotated[Literal["half", "all"], Field(description="one of half, all")]
Measure = Annotated[columns.Measure, Field(description="one of map, precision_10, top_1")]
Flag = Annotated[bool, Field(description="true or false")]


class DataConfig(Table):
    """[data]: the photos that are searched, searched for, and trained on.

    Of a set without queries the folders are categories, and every photo of a category is searched with. Features that
    are trained see the other half of the categories, or the sets of `independent`; never a photo of the database.
    """

    images: Text
    background: OneOrMany[Text] = ()  # folders that are no category: in the database, never right, never a query
    n_per_category: Count | None = None  # the first photos of each category
    categories: Categories = "half"  # that are tested: half, drawn with `seed`, or all
    independent: OneOrMany[Text] = ()  # image sets to train on
    seed: Seed = 0

    @field_validator("images")
    @classmethod
    def _known(cls, name: str) -> str:
        describe_image_set(name)
        return name

    @field_validator("independent")
    @classmethod
    def _all_known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            describe_image_set(name)
        return names

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.images in self.independent:
            raise ValueError(f"independent: {self.images} is what is tested")
        return self


class FeatureConfig(Table):
    """[feature]: which feature, what it is trained with, and with which metric it is searched.

    name: as `get_feature` takes it, or one of AGGREGATED: those are trained for this experiment, with the keys from
    `local` to `n_descriptors`. pca, whiten: what the vectors are reduced to, trained for this experiment too.
    """

    name: Text = "classic"
    pooling: Text | None = None  # of the maps of `name`, such as googlenet:5b
    local: Text = "rootsift"  # what is aggregated: local features, or for "mop" the CNN feature of its patches
    words: Count = 64  # visual words, VLAD centres or Gaussians
    local_pca: Count | None = None  # dimension of the local descriptors; None: as they are, "mop" 500
    n_descriptors: Count = DESCRIPTOR_SAMPLE  # at most, drawn for training; "mop" takes all patches
    pca: Count | None = None  # dimension of the vectors; None: as they are
    whiten: Flag = False
    metric: Text | None = None  # None: the one that the feature recommends
    seed: Seed = 0

    @field_validator("metric")
    @classmethod
    def _known(cls, name: str | None) -> str | None:
        if name is not None:
            get_metric(name)
        return name

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.whiten and self.pca is None:
            raise ValueError("whiten: expected pca, the number of components, beside it")
        if self.pooling is not None and self.aggregated:
            raise ValueError(f"pooling: {self.name} has no maps to pool")
        return self

    @property
    def aggregated(self) -> bool:
        """Whether local descriptors are aggregated."""
        return self.name in AGGREGATED

    @property
    def trained(self) -> bool:
        """Whether other photos decide its values."""
        return self.aggregated or self.pca is not None

    @property
    def full_name(self) -> str:
        """With the pooling, as `get_feature` takes it."""
        return self.name if self.pooling is None else f"{self.name}:{self.pooling}"

    def before_pca(self) -> "FeatureConfig":
        """The feature whose vectors are reduced; equal for all that differ in the reduction and the metric only."""
        return self.model_copy(update={"pca": None, "whiten": False, "metric": None})

    def columns(self) -> dict[str, Any]:
        """Values by column name; None where a key does not matter."""
        values = self.model_dump(exclude={"name"})
        if not self.aggregated:
            values |= {"local": None, "words": None, "local_pca": None, "n_descriptors": None}
        return {"feature": self.name, **values}


class SweepConfig(Table):
    """[sweep]: lists of values; all combinations are measured."""

    feature: Many[Text] | None = None
    pooling: Many[Text] | None = None
    words: Many[Count] | None = None
    local_pca: Many[Count] | None = None
    whiten: Many[Flag] | None = None
    pca: Many[Count] | None = None
    metric: Many[Text] | None = None
    seed: Many[Seed] | None = None


class FeatureSeries(SeriesConfig):
    """[[series]]: the values in which a row differs from the tables; feature is feature.name."""

    categories: Categories | None = None
    feature: Text | None = None
    pooling: Text | None = None
    local: Text | None = None
    words: Count | None = None
    local_pca: Count | None = None
    n_descriptors: Count | None = None
    pca: Count | None = None
    whiten: Flag | None = None
    metric: Text | None = None
    seed: Seed | None = None


class MeasureConfig(Table):
    """[measure]: what is counted for each query."""

    measures: OneOrMany[Measure] = columns.MEASURES
    n_timed: Count = 50  # photos whose extraction is timed, alone and on one thread
    n_bootstrap: Replicates = 1000


class FeaturePoint(Point):
    """One row of the comparison."""

    categories: Categories
    feature: FeatureConfig

    def columns(self) -> dict[str, Any]:
        """Parameters under the names that [sweep] and [[series]] have for them."""
        return {"categories": self.categories, **self.feature.columns()}


class FeaturesExperiment(ExperimentConfig):
    """An experiment file of kind "features"."""

    kind: Literal["features"] = Field(description="features")
    data: DataConfig
    feature: FeatureConfig = FeatureConfig()
    sweep: SweepConfig = SweepConfig()
    series: Annotated[tuple[FeatureSeries, ...], Field(strict=False, description="a list of tables [[series]]")] = ()
    measure: MeasureConfig = MeasureConfig()

    @model_validator(mode="after")
    def _can_train(self) -> Self:
        for point in self.points():
            if point.feature.trained and point.categories == "all" and not self.data.independent:
                raise ValueError(
                    f'data.independent: missing; {point.label or point.feature.name} is trained and categories = "all" '
                    "leaves no photos for that"
                )
        return self

    def point(self, label: str, values: dict[str, Any]) -> FeaturePoint:
        """See `ExperimentConfig.point`."""
        renamed = {{"feature": "name"}.get(key, key): value for key, value in values.items()}
        categories = renamed.pop("categories", self.data.categories)
        return FeaturePoint(label=label, categories=categories, feature=with_values(self.feature, renamed))

    def parameter_columns(self) -> tuple[str, ...]:
        """See `ExperimentConfig.parameter_columns`."""
        return columns.PARAMETERS

    def known_columns(self) -> list[str]:
        """See `ExperimentConfig.known_columns`."""
        return columns.known_columns()
