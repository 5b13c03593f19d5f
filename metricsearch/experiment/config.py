"""What experiment files of every kind share: texts, report, and how a sweep becomes a list of points."""

import hashlib
import json
from abc import abstractmethod
from itertools import product
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from metricsearch.experiment.config_errors import one_line

Value = TypeVar("Value")
TableT = TypeVar("TableT", bound="Table")


def _as_list(value: Any) -> Any:
    """One value stands for a list of it."""
    return value if isinstance(value, list | tuple) else [value]


# TOML arrays are lists; a frozen model holds tuples. Their elements stay strict.
Many = Annotated[tuple[Value, ...], Field(strict=False, min_length=1)]
OneOrMany = Annotated[tuple[Value, ...], Field(strict=False), BeforeValidator(_as_list)]

Count = Annotated[int, Field(ge=1, description="a whole number >= 1")]
Seed = Annotated[int, Field(ge=0, description="a whole number >= 0")]
Share = Annotated[float, Field(gt=0, le=1, description="a number in (0, 1]")]
Replicates = Annotated[int, Field(ge=100, description="a whole number >= 100")]
Text = Annotated[str, Field(min_length=1, description="a text")]
Number = Annotated[float, Field(allow_inf_nan=False, description="a number")]


class Table(BaseModel):
    """A table of an experiment file: unknown keys and values of another type are refused."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class PublishedCurve(Table):
    """[[report.published]]: a curve of the paper, drawn beside ours of the same label."""

    label: Text
    x: Many[Number]
    y: Many[Number]

    @model_validator(mode="after")
    def _paired(self) -> Self:
        if len(self.x) != len(self.y):
            raise ValueError(f"y: expected one per x, {len(self.x)} in total, got {len(self.y)}")
        return self


class ReportConfig(Table):
    """[report]: what the figures show; column names of results.csv and points.csv."""

    x: Text
    y: OneOrMany[Text] = Field(description="a column or a list of columns")
    series: OneOrMany[Text] = ()
    style: Literal["lines", "stacked", "bars"] = Field(default="lines", description="one of lines, stacked, bars")
    log_x: bool = Field(default=False, description="true or false")
    log_y: bool = Field(default=False, description="true or false")
    title: Text | None = Field(default=None, description="a text")
    # Published values of the first of `y`, beside ours: one per series, or whole curves.
    paper_values: dict[str, Number] = Field(default={}, description="a table of label = number")
    published: Annotated[
        tuple[PublishedCurve, ...], Field(strict=False, description="a list of tables [[report.published]]")
    ] = ()


class SeriesConfig(Table):
    """[[series]]: values in which points differ from the tables above; a label given again continues its line."""

    label: Text


class Point(Table):
    """One combination of the sweep."""

    label: str

    @abstractmethod
    def columns(self) -> dict[str, Any]:
        """Its parameters under the names they have as columns of results.csv, without the label."""


class ExperimentConfig(Table):
    """A whole experiment file; the kinds add their tables."""

    title: Text
    source: Text
    kind: str
    paper: Text | None = None
    difference: Text | None = None
    sweep: Table
    series: tuple[SeriesConfig, ...]
    report: ReportConfig | None = None

    @abstractmethod
    def point(self, label: str, values: dict[str, Any]) -> Point:
        """The point with `values` in place of those of the tables. Raises ValueError for an impossible combination."""

    @abstractmethod
    def parameter_columns(self) -> tuple[str, ...]:
        """Columns that say which point a row belongs to."""

    @abstractmethod
    def known_columns(self) -> list[str]:
        """Every column that a figure of this experiment may show."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        labels = [series.label for series in self.series]
        if len(set(self.series)) < len(labels):
            raise ValueError(f"series: expected different ones, got {labels}")
        self.points()
        self._check_report(labels)
        return self

    def _check_report(self, labels: list[str]) -> None:
        if self.report is None:
            return
        known, parameters = self.known_columns(), self.parameter_columns()
        for key, names in (("x", (self.report.x,)), ("y", self.report.y), ("series", self.report.series)):
            allowed = parameters if key == "series" else known
            for name in names:
                if name not in allowed:
                    raise ValueError(f"report.{key}: no column {name!r}; columns: {', '.join(allowed)}")
        if unknown := [label for label in self.report.paper_values if label not in labels]:
            raise ValueError(f"report.paper_values: no series {unknown[0]!r}; series: {', '.join(labels) or 'none'}")

    def points(self) -> list[Any]:
        """All combinations; the lists vary in the order of [sweep]'s model, the last fastest. None appears twice."""
        lists = {name: values for name in type(self.sweep).model_fields if (values := getattr(self.sweep, name))}
        points: list[Point] = []
        for series in self.series or (None,):
            named = {} if series is None else series.model_dump(exclude={"label"}, exclude_none=True)
            if both := sorted(set(named) & set(lists)):
                raise ValueError(f"series: {', '.join(both)}: also in [sweep]; a value can come from one place only")
            label = "" if series is None else series.label
            for combination in product(*lists.values()):
                point = self.point(label, {**named, **dict(zip(lists, combination, strict=True))})
                if point not in points:
                    points.append(point)
        return points

    def measured(self) -> dict[str, Any]:
        """What the numbers depend on, as JSON values: all but the texts and the layout of the report."""
        return self.model_dump(mode="json", exclude={"title", "source", "paper", "difference", "report"})

    def digest(self) -> str:
        """Hash of `measured`; names the run's folder."""
        return hashlib.sha256(json.dumps(self.measured(), sort_keys=True).encode()).hexdigest()[:10]


def with_values(table: TableT, values: dict[str, Any]) -> TableT:
    """`table` with `values` in place of its own. Raises ValueError that says what does not fit."""
    try:
        return type(table)(**{**table.model_dump(), **values})
    except ValidationError as error:
        raise ValueError(f"sweep or series: {one_line(error, type(table))}") from None
