"""The experiment file: every key, its type and its range. Unknown keys and impossible values are refused."""

import hashlib
import json
import tomllib
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from metricsearch.datasets import describe
from metricsearch.errors import ConfigError, MissingDataError
from metricsearch.experiment.config_errors import one_line
from metricsearch.partition import PIVOT_CHOICES
from metricsearch.ppp import RANKINGS
from metricsearch.ppp.index import MAX_PIVOTS, MAX_SPACES
from metricsearch.ppp.tree import MAX_PREFIX_LENGTH
from metricsearch.spaces import kind_by_name
from metricsearch.store.codecs import get_codec

Value = TypeVar("Value")


def _as_list(value: Any) -> Any:
    """One value stands for a list of it."""
    return value if isinstance(value, list | tuple) else [value]


# TOML arrays are lists; a frozen model holds tuples. Their elements stay strict.
Many = Annotated[tuple[Value, ...], Field(strict=False, min_length=1)]
OneOrMany = Annotated[tuple[Value, ...], Field(strict=False), BeforeValidator(_as_list)]

Count = Annotated[int, Field(ge=1, description="a whole number >= 1")]
Seed = Annotated[int, Field(ge=0, description="a whole number >= 0")]
Spaces = Annotated[int, Field(ge=1, le=MAX_SPACES, description=f"a whole number in 1..{MAX_SPACES}")]
Pivots = Annotated[int, Field(ge=1, le=MAX_PIVOTS, description=f"a whole number in 1..{MAX_PIVOTS}")]
Length = Annotated[
    int,
    Field(ge=1, le=MAX_PREFIX_LENGTH, description=f"a whole number in 1..{MAX_PREFIX_LENGTH}, at most n_pivots"),
]
Decay = Annotated[float, Field(gt=0, le=1, description="a number in (0, 1]")]
Fraction = Annotated[float, Field(ge=0, le=1, description="a number in [0, 1]")]
Share = Annotated[float, Field(gt=0, le=1, description="a number in (0, 1]")]
RankMode = Literal["dense", "position"]
Ranking = Annotated[str, Field(description=f"one of {', '.join(RANKINGS)}", pattern=f"^({'|'.join(RANKINGS)})$")]
PivotChoice = Annotated[
    str, Field(description=f"one of {', '.join(PIVOT_CHOICES)}", pattern=f"^({'|'.join(PIVOT_CHOICES)})$")
]
Text = Annotated[str, Field(min_length=1, description="a text")]


class _Table(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class DataConfig(_Table):
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


class IndexConfig(_Table):
    """[index]: parameters of `PPPCodes` and `RankingOptions` under their own names."""

    n_spaces: Spaces = 4
    n_pivots: Pivots = 256
    prefix_length: Length = 8
    ranking: Ranking = "wspd"
    decay: Decay = 0.75
    percentile: Fraction = 0.5
    rank_mode: RankMode = Field(default="dense", description="one of dense, position")
    max_level: Length | None = Field(default=None, description="a whole number in 1..prefix_length")
    pivot_choice: PivotChoice = "random"
    seed: Seed = 0

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.prefix_length > self.n_pivots:
            raise ValueError(f"prefix_length: expected at most n_pivots = {self.n_pivots}, got {self.prefix_length}")
        if self.max_level is not None and self.max_level > self.prefix_length:
            raise ValueError(f"max_level: expected at most prefix_length = {self.prefix_length}, got {self.max_level}")
        return self


class StoreConfig(_Table):
    """[store]: how objects lie on disk (kind "search")."""

    codec: Text


class SweepConfig(_Table):
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
    percentile: Many[Fraction] | None = Field(default=None, description="a list of numbers in [0, 1]")
    rank_mode: Many[RankMode] | None = Field(default=None, description="a list of dense, position")
    max_level: Many[Length] | None = Field(default=None, description="a list of whole numbers in 1..prefix_length")
    pivot_choice: Many[PivotChoice] | None = Field(default=None, description="a list of names of pivot choices")
    seed: Many[Seed] | None = Field(default=None, description="a list of whole numbers >= 0 (of the index)")


class SeriesConfig(_Table):
    """[[series]]: a named line of the figure, by the values in which it differs from [data], [index] and [store]."""

    label: Text
    n: Count | None = None
    codec: Text | None = None
    n_spaces: Spaces | None = None
    n_pivots: Pivots | None = None
    prefix_length: Length | None = None
    ranking: Ranking | None = None
    decay: Decay | None = None
    percentile: Fraction | None = None
    rank_mode: RankMode | None = Field(default=None, description="one of dense, position")
    max_level: Length | None = None
    pivot_choice: PivotChoice | None = None
    seed: Seed | None = None


class MeasureConfig(_Table):
    """[measure]: neighbours asked for, sizes of the candidate set, targets."""

    k: OneOrMany[Count] = (1, 10, 50)
    n_candidates: OneOrMany[Count] | None = Field(default=None, description="a list of whole numbers >= 1")
    n_candidates_share: OneOrMany[Share] | None = Field(default=None, description="a list of shares of n in (0, 1]")
    target_recall: OneOrMany[Share] = ()
    cost_at_target: bool = Field(default=False, description="true or false")
    cache: Literal["warm", "cold"] = Field(default="warm", description="one of warm, cold")
    n_bootstrap: Annotated[int, Field(ge=100, description="a whole number >= 100")] = 1000

    @field_validator("k", "n_candidates", "n_candidates_share", "target_recall")
    @classmethod
    def _ascending(cls, values: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
        return None if values is None else tuple(sorted(set(values)))

    @model_validator(mode="after")
    def _one_grid(self) -> Self:
        if self.n_candidates is not None and self.n_candidates_share is not None:
            raise ValueError("give either n_candidates or n_candidates_share, not both")
        return self


class ReportConfig(_Table):
    """[report]: what the figures show; column names of results.csv and points.csv."""

    x: Text
    y: OneOrMany[Text] = Field(description="a column or a list of columns")
    series: OneOrMany[Text] = ()
    style: Literal["lines", "stacked"] = Field(default="lines", description="one of lines, stacked")
    log_x: bool = Field(default=False, description="true or false")
    log_y: bool = Field(default=False, description="true or false")
    title: Text | None = Field(default=None, description="a text")


OVERRIDES = tuple(SweepConfig.model_fields)


class Point(_Table):
    """One combination of the sweep."""

    label: str
    n: int | None
    codec: str | None
    index: IndexConfig


class ExperimentConfig(_Table):
    """A whole experiment file."""

    title: Text
    source: Text
    kind: Literal["search", "candidates", "memory"] = Field(description="one of search, candidates, memory")
    paper: Text | None = None
    difference: Text | None = None
    data: DataConfig
    index: IndexConfig = IndexConfig()
    store: StoreConfig | None = None
    sweep: SweepConfig = SweepConfig()
    series: Annotated[tuple[SeriesConfig, ...], Field(strict=False, description="a list of tables [[series]]")] = ()
    measure: MeasureConfig = MeasureConfig()
    report: ReportConfig | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        measure = self.measure
        if self.kind != "memory" and self.data.n_queries is None:
            raise ValueError(f'data.n_queries: missing; kind "{self.kind}" needs queries')
        if self.kind != "memory" and measure.n_candidates is None and measure.n_candidates_share is None:
            raise ValueError(f'measure.n_candidates (or n_candidates_share): missing; kind "{self.kind}" needs it')
        labels = [series.label for series in self.series]
        if len(set(labels)) < len(labels):
            raise ValueError(f"series: expected different labels, got {labels}")
        codecs = {point.codec for point in self.points()}
        if self.kind == "search" and None in codecs:
            raise ValueError('store.codec: missing; kind "search" needs it')
        kind = kind_by_name(describe(self.data.name)["kind"])
        for codec in codecs - {None}:
            get_codec(str(codec), kind)
        self._check_columns()
        return self

    def points(self) -> list[Point]:
        """All combinations; the lists vary in the order of `SweepConfig`, the last one fastest. None appears twice."""
        lists = {name: values for name in OVERRIDES if (values := getattr(self.sweep, name)) is not None}
        points: list[Point] = []
        for series in self.series or (None,):
            named = {} if series is None else series.model_dump(exclude={"label"}, exclude_none=True)
            if both := sorted(set(named) & set(lists)):
                raise ValueError(f"series: {', '.join(both)}: also in [sweep]; a value can come from one place only")
            label = "" if series is None else series.label
            for combination in product(*lists.values()):
                point = self._point(label, {**named, **dict(zip(lists, combination, strict=True))})
                if point not in points:
                    points.append(point)
        return points

    def _point(self, label: str, values: dict[str, Any]) -> Point:
        n = values.pop("n", self.data.n)
        codec = values.pop("codec", self.store.codec if self.store else None)
        try:
            index = IndexConfig(**{**self.index.model_dump(), **values})
        except ValidationError as error:
            raise ValueError(f"sweep or series: {one_line(error, IndexConfig)}") from None
        return Point(label=label, n=n, codec=codec, index=index)

    def _check_columns(self) -> None:
        if self.report is None:
            return
        from metricsearch.experiment.columns import known_columns, parameter_columns

        known, parameters = known_columns(self), parameter_columns()
        for key, names in (("x", (self.report.x,)), ("y", self.report.y), ("series", self.report.series)):
            allowed = parameters if key == "series" else known
            for name in names:
                if name not in allowed:
                    raise ValueError(f"report.{key}: no column {name!r}; columns: {', '.join(allowed)}")

    def measured(self) -> dict[str, Any]:
        """What the numbers depend on, as JSON values: all but the texts and the layout of the report."""
        return self.model_dump(mode="json", exclude={"title", "source", "paper", "difference", "report"})

    def digest(self) -> str:
        """Hash of `measured`; names the run's folder."""
        return hashlib.sha256(json.dumps(self.measured(), sort_keys=True).encode()).hexdigest()[:10]


def load_config(path: str | Path) -> ExperimentConfig:
    """Read an experiment file.

    Raises MissingDataError, and ConfigError whose one line names the file and, for every problem, the key, what is
    allowed and what was given.
    """
    path = Path(path)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MissingDataError(f"{path}: no such experiment file; check the name") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None
    except OSError as error:
        raise MissingDataError(f"{path}: cannot be read ({error.strerror}); check the name") from None
    try:
        return ExperimentConfig.model_validate(table)
    except ValidationError as error:
        raise ConfigError(f"{path}: {one_line(error, ExperimentConfig)}") from None
