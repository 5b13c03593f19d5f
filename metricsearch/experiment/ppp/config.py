"""Experiments with PPP-Codes (kinds "search", "candidates", "memory"): every key, its type and its range."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator

from metricsearch.datasets import describe
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
from metricsearch.experiment.ppp import columns
from metricsearch.partition import PIVOT_CHOICES
from metricsearch.ppp import AGGREGATIONS, RANKINGS
from metricsearch.ppp.index import MAX_PIVOTS, MAX_SPACES
from metricsearch.ppp.tree import MAX_PREFIX_LENGTH
from metricsearch.sketches import PIVOT_SKETCHES
from metricsearch.sketches.kinds import MAX_BYTES, least_bytes
from metricsearch.spaces import kind_by_name
from metricsearch.store.codecs import get_codec

Spaces = Annotated[int, Field(ge=1, le=MAX_SPACES, description=f"a whole number in 1..{MAX_SPACES}")]
Pivots = Annotated[int, Field(ge=1, le=MAX_PIVOTS, description=f"a whole number in 1..{MAX_PIVOTS}")]
Length = Annotated[
    int,
    Field(ge=1, le=MAX_PREFIX_LENGTH, description=f"a whole number in 1..{MAX_PREFIX_LENGTH}, at most n_pivots"),
]
Decay = Annotated[float, Field(gt=0, le=1, description="a number in (0, 1]")]
Fraction = Annotated[float, Field(ge=0, le=1, description="a number in [0, 1]")]
RankMode = Literal["dense", "position"]
Ranking = Annotated[str, Field(description=f"one of {', '.join(RANKINGS)}", pattern=f"^({'|'.join(RANKINGS)})$")]
PivotChoice = Annotated[
    str, Field(description=f"one of {', '.join(PIVOT_CHOICES)}", pattern=f"^({'|'.join(PIVOT_CHOICES)})$")
]
Aggregation = Annotated[
    str, Field(description=f"one of {', '.join(AGGREGATIONS)}", pattern=f"^({'|'.join(AGGREGATIONS)})$")
]
SketchKind = Annotated[
    str, Field(description=f"one of {', '.join(PIVOT_SKETCHES)}", pattern=f"^({'|'.join(PIVOT_SKETCHES)})$")
]
LEAST_BYTES = max(map(least_bytes, PIVOT_SKETCHES))
SketchBytes = Annotated[
    int, Field(ge=LEAST_BYTES, le=MAX_BYTES, description=f"a whole number in {LEAST_BYTES}..{MAX_BYTES}")
]
Sketched = Annotated[int, Field(ge=0, description="a whole number >= 0")]
LATER_KEYS = ("aggregation", "sketch", "sketch_bytes", "n_sketched")  # there are recorded runs from before them
SKETCH_KEYS = ("sketch_bytes", "n_sketched")  # they say nothing without a sketch


class GrownTable(Table):
    """A table that has keys which came later: left out where not used, so that recorded runs keep their names."""

    @model_serializer(mode="wrap")
    def _without_unused(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = serialize(self)
        fields = type(self).model_fields
        return {
            name: value for name, value in values.items() if name not in LATER_KEYS or value != fields[name].default
        }


class DataConfig(Table):
    """[data]: the data set and the queries, which are never among the objects."""

    name: Text
    n: Count | None = Field(default=None, description="a whole number >= 1")
    n_queries: Count | None = Field(default=None, description="a whole number >= 1")
    seed: Seed = 0

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        describe(name)
        return name


class IndexConfig(GrownTable):
    """[index]: parameters of `PPPCodes` and `RankingOptions` under their own names."""

    n_spaces: Spaces = 4
    n_pivots: Pivots = 256
    prefix_length: Length = 8
    ranking: Ranking = "wspd"
    decay: Decay = 0.75
    aggregation: Aggregation = "percentile"
    percentile: Fraction = 0.5
    rank_mode: RankMode = Field(default="dense", description="one of dense, position")
    max_level: Length | None = Field(default=None, description="a whole number in 1..prefix_length")
    pivot_choice: PivotChoice = "random"
    sketch: SketchKind | None = None
    sketch_bytes: SketchBytes = 32
    n_sketched: Sketched | None = None
    seed: Seed = 0

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.prefix_length > self.n_pivots:
            raise ValueError(f"prefix_length: expected at most n_pivots = {self.n_pivots}, got {self.prefix_length}")
        if self.max_level is not None and self.max_level > self.prefix_length:
            raise ValueError(f"max_level: expected at most prefix_length = {self.prefix_length}, got {self.max_level}")
        return self


class StoreConfig(Table):
    """[store]: how objects lie on disk (kind "search")."""

    codec: Text


class SweepConfig(GrownTable):
    """[sweep]: lists of values; all combinations are measured."""

    n: Many[Count] | None = Field(default=None, description="a list of whole numbers >= 1")
    codec: Many[Text] | None = Field(default=None, description="a list of names of codecs")
    n_spaces: Many[Spaces] | None = Field(default=None, description=f"a list of whole numbers in 1..{MAX_SPACES}")
    n_pivots: Many[Pivots] | None = Field(default=None, description=f"a list of whole numbers in 1..{MAX_PIVOTS}")
    prefix_length: Many[Length] | None = Field(
        default=None, description=f"a list of whole numbers in 1..{MAX_PREFIX_LENGTH}"
    )
    ranking: Many[Ranking] | None = Field(default=None, description="a list of names of rankings")
    decay: Many[Decay] | None = Field(default=None, description="a list of numbers in (0, 1]")
    aggregation: Many[Aggregation] | None = Field(default=None, description="a list of names of aggregations")
    percentile: Many[Fraction] | None = Field(default=None, description="a list of numbers in [0, 1]")
    rank_mode: Many[RankMode] | None = Field(default=None, description="a list of dense, position")
    max_level: Many[Length] | None = Field(default=None, description="a list of whole numbers in 1..prefix_length")
    pivot_choice: Many[PivotChoice] | None = Field(default=None, description="a list of names of pivot choices")
    sketch: Many[SketchKind] | None = Field(default=None, description="a list of names of sketches")
    sketch_bytes: Many[SketchBytes] | None = Field(
        default=None, description=f"a list of whole numbers in {LEAST_BYTES}..{MAX_BYTES}"
    )
    n_sketched: Many[Sketched] | None = Field(default=None, description="a list of whole numbers >= 0")
    seed: Many[Seed] | None = Field(default=None, description="a list of whole numbers >= 0 (of the index)")


class PPPSeries(GrownTable, SeriesConfig):
    """[[series]]: a named line of the figure, by the values in which it differs from [data], [index] and [store]."""

    n: Count | None = None
    codec: Text | None = None
    n_spaces: Spaces | None = None
    n_pivots: Pivots | None = None
    prefix_length: Length | None = None
    ranking: Ranking | None = None
    decay: Decay | None = None
    aggregation: Aggregation | None = None
    percentile: Fraction | None = None
    rank_mode: RankMode | None = Field(default=None, description="one of dense, position")
    max_level: Length | None = None
    pivot_choice: PivotChoice | None = None
    sketch: SketchKind | None = None
    sketch_bytes: SketchBytes | None = None
    n_sketched: Sketched | None = None
    seed: Seed | None = None


class MeasureConfig(Table):
    """[measure]: neighbours asked for, sizes of the candidate set, targets."""

    k: OneOrMany[Count] = (1, 10, 50)
    n_candidates: OneOrMany[Count] | None = Field(default=None, description="a list of whole numbers >= 1")
    n_candidates_share: OneOrMany[Share] | None = Field(default=None, description="a list of shares of n in (0, 1]")
    target_recall: OneOrMany[Share] = ()
    cost_at_target: bool = Field(default=False, description="true or false")
    cache: Literal["warm", "cold"] = Field(default="warm", description="one of warm, cold")
    n_bootstrap: Replicates = 1000

    @field_validator("k", "n_candidates", "n_candidates_share", "target_recall")
    @classmethod
    def _ascending(cls, values: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
        return None if values is None else tuple(sorted(set(values)))

    @model_validator(mode="after")
    def _one_grid(self) -> Self:
        if self.n_candidates is not None and self.n_candidates_share is not None:
            raise ValueError("give either n_candidates or n_candidates_share, not both")
        return self


class PPPPoint(Point):
    """One combination of the sweep."""

    n: int | None
    codec: str | None
    index: IndexConfig

    def columns(self) -> dict[str, Any]:
        """Parameters of the data, the store and the index; sketches that are not there have 0 bytes."""
        index = {name: getattr(self.index, name) for name in IndexConfig.model_fields}
        index["sketch_bytes"] = self.index.sketch_bytes if self.index.sketch else 0
        return {"n": self.n, "codec": self.codec, **index}


class PPPExperiment(ExperimentConfig):
    """An experiment file of kind "search", "candidates" or "memory"."""

    kind: Literal["search", "candidates", "memory"] = Field(description="one of search, candidates, memory")
    data: DataConfig
    index: IndexConfig = IndexConfig()
    store: StoreConfig | None = None
    sweep: SweepConfig = SweepConfig()
    series: Annotated[tuple[PPPSeries, ...], Field(strict=False, description="a list of tables [[series]]")] = ()
    measure: MeasureConfig = MeasureConfig()

    @model_validator(mode="after")
    def _complete(self) -> Self:
        measure = self.measure
        if self.kind != "memory" and self.data.n_queries is None:
            raise ValueError(f'data.n_queries: missing; kind "{self.kind}" needs queries')
        if self.kind != "memory" and measure.n_candidates is None and measure.n_candidates_share is None:
            raise ValueError(f'measure.n_candidates (or n_candidates_share): missing; kind "{self.kind}" needs it')
        self._check_sketch_keys()
        codecs = {point.codec for point in self.points()}
        if self.kind == "search" and None in codecs:
            raise ValueError('store.codec: missing; kind "search" needs it')
        kind = kind_by_name(describe(self.data.name)["kind"])
        for codec in codecs - {None}:
            get_codec(str(codec), kind)
        return self

    def _check_sketch_keys(self) -> None:
        if any(point.index.sketch for point in self.points()):
            return
        for where, table in (("index", self.index), ("sweep", self.sweep), *(("series", one) for one in self.series)):
            if unused := [name for name in SKETCH_KEYS if name in table.model_fields_set]:
                raise ValueError(f"{where}.{unused[0]}: needs a sketch; sketch: one of {', '.join(PIVOT_SKETCHES)}")

    def point(self, label: str, values: dict[str, Any]) -> PPPPoint:
        """See `ExperimentConfig.point`."""
        n = values.pop("n", self.data.n)
        codec = values.pop("codec", self.store.codec if self.store else None)
        index = with_values(self.index, values)
        if index.sketch is None:
            index = index.model_copy(update={name: IndexConfig.model_fields[name].default for name in SKETCH_KEYS})
        return PPPPoint(label=label, n=n, codec=codec, index=index)

    def parameter_columns(self) -> tuple[str, ...]:
        """See `ExperimentConfig.parameter_columns`."""
        return columns.PARAMETERS

    def known_columns(self) -> list[str]:
        """See `ExperimentConfig.known_columns`."""
        return columns.known_columns(self)
