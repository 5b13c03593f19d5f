"""Experiments with vocabulary trees (kind "retrieval"): every key, its type and its range."""

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
    Share,
    Table,
    Text,
    with_values,
)
from metricsearch.experiment.retrieval import columns
from metricsearch.features import KINDS, LocalFeatureOptions
from metricsearch.verification import VerificationOptions
from metricsearch.vocabtree import Scoring

SYNTHETIC_VIEWS = "synthetic-views"  # groups of four made from photos; see data.photos
_VERIFICATION = VerificationOptions()

Natural = Annotated[int, Field(ge=0, description="a whole number >= 0")]
Feature = Annotated[str, Field(description=f"one of {', '.join(KINDS)}", pattern=f"^({'|'.join(KINDS)})$")]
Side = Annotated[int, Field(ge=16, description="a whole number >= 16, pixels")]
Branching = Annotated[int, Field(ge=2, le=65535, description="a whole number in 2..65535")]
Start = Annotated[Literal["random", "k-means++"], Field(description="one of random, k-means++")]
TrainOn = Annotated[Literal["database", "independent"], Field(description="one of database, independent")]
Norm = Annotated[Literal["l1", "l2"], Field(description="one of l1, l2")]
Flag = Annotated[bool, Field(description="true or false")]
Frequency = Annotated[Literal["image", "word"], Field(description="one of image, word")]
RelativeTo = Annotated[Literal["root", "parent"], Field(description="one of root, parent")]
Percent = Annotated[float, Field(ge=0, le=100, description="a number in [0, 100], per cent")]
Weights = Annotated[
    Literal["database", "targets", "independent"], Field(description="one of database, targets, independent")
]
Model = Annotated[Literal["homography", "similarity"], Field(description="one of homography, similarity")]
Method = Annotated[Literal["magsac", "lo-ransac", "ransac"], Field(description="one of magsac, lo-ransac, ransac")]
Measure = Annotated[
    Literal["perfect_retrieval", "ns_score", "top", "relevant_in", "map", "map_easy", "map_hard"],
    Field(description="one of perfect_retrieval, ns_score, top, relevant_in, map, map_easy, map_hard"),
]
REVISITED = ("roxford5k", "rparis6k")


class DataConfig(Table):
    """[data]: target photos with their queries, and the photos around them."""

    images: Text
    n_targets: Count | None = None  # of a set with ground truth: its first photos
    n_groups: Count | None = None  # of "synthetic-views": groups of four
    photos: OneOrMany[Text] = ()  # of "synthetic-views": image sets whose photos they are made of
    strength: Annotated[float, Field(ge=0, le=3, description="a number in [0, 3]")] = 1.0  # of "synthetic-views"
    distractors: OneOrMany[Text] = ()  # image sets behind the targets; photos that became synthetic views are left out
    n_distractor_images: Count | None = None
    independent: OneOrMany[Text] = ()  # image sets that are not in the database, for training and weights
    n_images: Count | None = None  # of the database: distractors are left out, or synthetic bags fill it up
    seed: Seed = 0

    @field_validator("images")
    @classmethod
    def _known(cls, name: str) -> str:
        if name != SYNTHETIC_VIEWS:
            describe_image_set(name)
        return name

    @field_validator("photos", "distractors", "independent")
    @classmethod
    def _all_known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            describe_image_set(name)
        return names

    @model_validator(mode="after")
    def _fits(self) -> Self:
        views = self.images == SYNTHETIC_VIEWS
        if views and not (self.n_groups and self.photos):
            raise ValueError('n_groups and photos: both are needed by images = "synthetic-views"')
        if views and self.n_targets:
            raise ValueError('n_targets: images = "synthetic-views" takes n_groups in its place')
        if not views and (self.n_groups or self.photos):
            raise ValueError('n_groups and photos: only for images = "synthetic-views"')
        if self.n_distractor_images and not self.distractors:
            raise ValueError("n_distractor_images: distractors names no image set")
        if self.images in self.distractors:
            raise ValueError(f"distractors: {self.images} holds the targets; their copies would be wrong answers")
        if twice := [name for name in self.distractors if self.distractors.count(name) > 1]:
            raise ValueError(f"distractors: {twice[0]} is named twice")
        inside = {self.images, *self.photos, *self.distractors}
        if shared := sorted(inside & set(self.independent)):
            raise ValueError(f"independent: {shared[0]} is in the database too")
        return self


class FeaturesConfig(Table):
    """[features]: fields of `LocalFeatureOptions`."""

    kind: Feature = "sift"
    max_side: Side = 800
    n_features: Natural = 0
    contrast_threshold: Annotated[float, Field(ge=0, description="a number >= 0")] = 0.04
    grid_step: Count = 8
    grid_patch: Annotated[int, Field(ge=8, description="a whole number >= 8")] = 24

    @model_validator(mode="after")
    def _fits(self) -> Self:
        self.options()
        return self

    def options(self) -> LocalFeatureOptions:
        """What is extracted."""
        return LocalFeatureOptions(**self.model_dump())


class VocabularyConfig(Table):
    """[vocabulary]: parameters of `VocabularyTree`, and what it is trained on."""

    branching: Branching = 10
    depth: Count = 6
    cycles: Count = 10
    start: Start = "random"
    seed: Seed = 0
    train_on: TrainOn = "database"  # all photos of the database (not the bags), or those of data.independent
    n_training_images: Count | None = None  # drawn at random; fewer are among more
    n_descriptors: Count | None = None  # drawn at random from those images


class ScoringConfig(Table):
    """[scoring]: fields of `Scoring`, the images whose frequencies give the weights, and the words of a query."""

    norm: Norm = "l1"
    levels: Count = 1
    entropy_query: Flag = True
    entropy_database: Flag = True
    frequency: Frequency = "image"
    relative_to: RelativeTo = "root"
    exact_frequency: Flag = True
    stop_most: Percent = 0.0
    stop_least: Percent = 0.0
    max_list_length: Count | None = None
    burstiness: Flag = False
    drop_unseen: Flag = False
    hamming_threshold: Annotated[int, Field(ge=0, le=64, description="a whole number in 0..64")] | None = None
    weights: Weights = "database"
    n_assignments: Count = 1  # these two: how a query gets its words, see `VocabularyTree.search`
    n_checks: Count | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        self.options()
        if self.n_checks is not None and self.n_checks < self.n_assignments:
            raise ValueError(f"n_checks: expected at least n_assignments = {self.n_assignments}, got {self.n_checks}")
        return self

    def options(self) -> Scoring:
        """How images are scored."""
        return Scoring(**self.model_dump(exclude={"weights", "n_assignments", "n_checks"}))


class VerificationConfig(Table):
    """[verification]: the first `top` results are verified; the other keys are fields of `VerificationOptions`."""

    top: Natural = 0
    model: Model = _VERIFICATION.model
    method: Method | None = None
    ratio: Share = _VERIFICATION.ratio
    mutual: Flag = _VERIFICATION.mutual
    max_error: Annotated[float, Field(gt=0, le=0.1, description="a number in (0, 0.1]")] = _VERIFICATION.max_error
    min_inliers: Annotated[int, Field(ge=4, description="a whole number >= 4")] = _VERIFICATION.min_inliers

    @model_validator(mode="after")
    def _fits(self) -> Self:
        self.options()
        return self

    def options(self) -> VerificationOptions:
        """How a result is verified."""
        return VerificationOptions(**self.model_dump(exclude={"top"}))


class SweepConfig(Table):
    """[sweep]: lists of values; all combinations are measured."""

    n_images: Many[Count] | None = None
    feature: Many[Feature] | None = None
    max_side: Many[Side] | None = None
    n_features: Many[Natural] | None = None
    branching: Many[Branching] | None = None
    depth: Many[Count] | None = None
    cycles: Many[Count] | None = None
    start: Many[Start] | None = None
    seed: Many[Seed] | None = None
    train_on: Many[TrainOn] | None = None
    n_training_images: Many[Count] | None = None
    n_descriptors: Many[Count] | None = None
    norm: Many[Norm] | None = None
    levels: Many[Count] | None = None
    burstiness: Many[Flag] | None = None
    hamming_threshold: Many[Natural] | None = None
    weights: Many[Weights] | None = None
    n_assignments: Many[Count] | None = None
    n_checks: Many[Count] | None = None
    verified_top: Many[Natural] | None = None


class RetrievalSeries(SeriesConfig):
    """[[series]]: the values in which a line differs from the tables; feature is features.kind, verified_top is

    verification.top.
    """

    n_images: Count | None = None
    feature: Feature | None = None
    max_side: Side | None = None
    n_features: Natural | None = None
    branching: Branching | None = None
    depth: Count | None = None
    cycles: Count | None = None
    start: Start | None = None
    seed: Seed | None = None
    train_on: TrainOn | None = None
    n_training_images: Count | None = None
    n_descriptors: Count | None = None
    norm: Norm | None = None
    levels: Count | None = None
    entropy_query: Flag | None = None
    entropy_database: Flag | None = None
    frequency: Frequency | None = None
    relative_to: RelativeTo | None = None
    exact_frequency: Flag | None = None
    stop_most: Percent | None = None
    stop_least: Percent | None = None
    max_list_length: Count | None = None
    burstiness: Flag | None = None
    drop_unseen: Flag | None = None
    hamming_threshold: Natural | None = None
    weights: Weights | None = None
    n_assignments: Count | None = None
    n_checks: Count | None = None
    verified_top: Natural | None = None
    model: Model | None = None
    method: Method | None = None


class MeasureConfig(Table):
    """[measure]: what is counted for each query."""

    measures: OneOrMany[Measure] = ("perfect_retrieval",)  # of the revisited sets "map" is their medium setting
    k: OneOrMany[Count] = (1, 10)  # of the measures "top" and "relevant_in"
    rank_percent: OneOrMany[Percent] = ()  # ends of the rank curve, in per cent of the database; rank 1 is always there
    n_results: Count = 4  # asked for by the timed queries
    n_bootstrap: Replicates = 1000

    @field_validator("k", "rank_percent")
    @classmethod
    def _ascending(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(sorted(set(values)))


class RetrievalPoint(Point):
    """One combination of the sweep. n_images: of the database; None: all photos and no synthetic bags."""

    n_images: int | None
    features: FeaturesConfig
    vocabulary: VocabularyConfig
    scoring: ScoringConfig
    verification: VerificationConfig

    def columns(self) -> dict[str, Any]:
        """Parameters under the names that [sweep] and [[series]] have for them."""
        features, verification = self.features.model_dump(), self.verification.model_dump()
        return {
            "n_images": self.n_images,
            "feature": features.pop("kind"),
            **features,
            **self.vocabulary.model_dump(),
            **self.scoring.model_dump(),
            "verified_top": verification.pop("top"),
            **verification,
        }


class RetrievalExperiment(ExperimentConfig):
    """An experiment file of kind "retrieval"."""

    kind: Literal["retrieval"] = Field(description="retrieval")
    data: DataConfig
    features: FeaturesConfig = FeaturesConfig()
    vocabulary: VocabularyConfig = VocabularyConfig()
    scoring: ScoringConfig = ScoringConfig()
    verification: VerificationConfig = VerificationConfig()
    sweep: SweepConfig = SweepConfig()
    series: Annotated[tuple[RetrievalSeries, ...], Field(strict=False, description="a list of tables [[series]]")] = ()
    measure: MeasureConfig = MeasureConfig()

    @model_validator(mode="after")
    def _complete(self) -> Self:
        sources = {source for point in self.points() for source in (point.vocabulary.train_on, point.scoring.weights)}
        if "independent" in sources and not self.data.independent:
            raise ValueError('data.independent: missing; train_on or weights = "independent" takes its image sets')
        graded = [name for name in self.measure.measures if name in ("map_easy", "map_hard")]
        if graded and self.data.images not in REVISITED:
            sets = ", ".join(REVISITED)
            raise ValueError(f"measure.measures: {graded[0]} is for sets of easy and hard images: {sets}")
        return self

    def point(self, label: str, values: dict[str, Any]) -> RetrievalPoint:
        """See `ExperimentConfig.point`."""
        renamed = {{"feature": "kind", "verified_top": "top"}.get(key, key): value for key, value in values.items()}
        n_images = renamed.pop("n_images", self.data.n_images)
        tables: dict[str, Any] = {}
        for name in ("features", "vocabulary", "scoring", "verification"):
            table: Table = getattr(self, name)
            own = {key: value for key, value in renamed.items() if key in type(table).model_fields}
            tables[name] = with_values(table, own)
        return RetrievalPoint(label=label, n_images=n_images, **tables)

    def parameter_columns(self) -> tuple[str, ...]:
        """See `ExperimentConfig.parameter_columns`."""
        return columns.PARAMETERS

    def known_columns(self) -> list[str]:
        """See `ExperimentConfig.known_columns`."""
        return columns.known_columns(self)
