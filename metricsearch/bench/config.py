"""Suite files: which methods are compared on which data, and how."""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, model_validator

from metricsearch.bench.results import Setting
from metricsearch.experiment.config import Count, Many, Number, OneOrMany, Seed, Table, Text
from metricsearch.experiment.config_errors import read_toml, validated

EXACT_INDEXES = ("k_means_tree", "laesa", "vp_tree", "exhaustive_scan")
OwnIndex = Literal[
    "ppp",
    "m_index",
    "pp_index",
    "mi_file",
    "napp",
    "permutation_scan",
    "k_means_tree",
    "laesa",
    "sketch_scan",
    "vp_tree",
    "exhaustive_scan",
]
CANDIDATE_INDEXES = tuple(name for name in get_args(OwnIndex) if name not in ("vp_tree", "exhaustive_scan"))

Parameters = Annotated[dict[str, Any], Field(description="a table of parameters")]
Flag = Annotated[bool, Field(description="true or false")]
Sizes = Annotated[tuple[Count, ...], Field(strict=False, description="a list of whole numbers >= 1")]
PositiveNumber = Annotated[Number, Field(gt=0, description="a number > 0")]


class DataConfig(Table):
    """[data]: a data set of the catalogue by `name`, or descriptors of `photos` by `feature`.

    crops: five crops of each photo instead of the photo (see `photo_descriptors`). metric: instead of that of the
    data set (photos: euclidean), a name or a specification.
    """

    name: Text | None = None
    photos: OneOrMany[Text] = Field(default=(), description="a list of image sets")
    feature: Text | None = None
    crops: Flag = False
    metric: str | dict[str, Any] | None = Field(default=None, description="a metric's name, or a table with one")
    n: Count | None = None
    n_queries: Count = 100
    seed: Seed = 0

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.name is None) is (not self.photos):
            raise ValueError("data: expected either name, or photos and feature")
        if bool(self.photos) is not (self.feature is not None):
            raise ValueError("feature: expected together with photos, and only there")
        if self.crops and not self.photos:
            raise ValueError("crops: expected together with photos, and only there")
        return self


class MeasureConfig(Table):
    """[measure]: what is asked of every method, and with what means.

    memory_gib: methods are measured in several groups if all together would need more. limit_s: seconds a method may
    build, and seconds it may search in all its rounds. reference: label of the method that runs in every round.
    codec: of the object store; default: the usual one of the kind of objects.
    """

    k: Count = 10
    n_candidates: Sizes = (1000,)
    repetitions: Count = 3
    threads: Count = 1
    build_threads: Count = 1
    memory_gib: PositiveNumber = 14.0
    limit_s: PositiveNumber = 900.0
    cache: Annotated[
        tuple[Literal["warm", "cold"], ...], Field(strict=False, min_length=1, description='a list of "warm", "cold"')
    ] = ("warm",)
    reference: Text | None = None
    batch: Flag = True
    codec: Text | None = None


class MethodConfig(Table):
    """[[method]]: one of our own indexes, or an adapter "FILE.py:CLASS", FILE relative to the suite.

    build: keywords of its constructor. query: one table of search parameters per setting. refine: an adapter's
    candidates are compared exactly from our object store. alone: and the same index is asked for its own answers,
    too. exact: search by `nearest`, with max_distances in `query`
    as its budget. n_candidates: instead of those of [measure]. n_queries: only the first so many. optional: its
    failure leaves the exit status alone.
    """

    label: Text
    index: OwnIndex | None = Field(default=None, description=f"one of {', '.join(get_args(OwnIndex))}")
    adapter: Text | None = None
    build: Parameters = {}
    query: Many[Parameters] = Field(default=({},), description="a list of tables")
    refine: Flag = False
    alone: Flag = False
    exact: Flag = False
    n_candidates: Sizes = ()
    n_queries: Count | None = None
    optional: Flag = False
    note: Text | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.index is None) is (self.adapter is None):
            raise ValueError(f"method {self.label!r}: expected either index or adapter")
        if self.adapter is not None and not all(self.adapter.rpartition(":")[::2]):
            raise ValueError(f"method {self.label!r}: adapter: expected FILE.py:CLASS, got {self.adapter!r}")
        if self.refine and self.adapter is None:
            raise ValueError(f"method {self.label!r}: refine: only for adapters; own indexes are always refined")
        if self.alone and not self.refine:
            raise ValueError(f"method {self.label!r}: alone: only with refine = true; others are never refined")
        if self.exact and self.index not in EXACT_INDEXES:
            raise ValueError(f"method {self.label!r}: exact: only for {', '.join(EXACT_INDEXES)}")
        if self.n_candidates and not self.takes_candidates:
            raise ValueError(f"method {self.label!r}: n_candidates: it answers by itself; leave them out")
        return self

    @property
    def takes_candidates(self) -> bool:
        """Whether it names candidates that are then compared exactly: R is a part of its settings."""
        return self.refine or (self.index in CANDIDATE_INDEXES and not self.exact)

    @property
    def reads_store(self) -> bool:
        """Whether it reads objects from the object store."""
        return self.refine or self.index is not None

    def measured(self) -> dict[str, Any]:
        """What its numbers depend on besides the setting, as JSON values."""
        return self.model_dump(mode="json", include={"index", "adapter", "build", "refine", "exact", "n_queries"})


class SuiteConfig(Table):
    """A whole suite file."""

    title: Text
    source: Text
    data: DataConfig
    measure: MeasureConfig = MeasureConfig()
    method: Many[MethodConfig] = Field(description="a list of tables [[method]]")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        labels = [method.label for method in self.method]
        if twice := sorted({label for label in labels if labels.count(label) > 1}):
            raise ValueError(f"method: expected different labels, got {twice[0]!r} twice")
        reference = self.measure.reference
        if reference is not None and reference not in labels:
            raise ValueError(f"measure.reference: no method {reference!r}; methods: {', '.join(labels)}")
        for method in self.method:
            sizes = self.sizes_of(method)
            if sizes and min(sizes) < self.measure.k:
                raise ValueError(
                    f"method {method.label!r}: n_candidates: {min(sizes)} is less than k = {self.measure.k}"
                )
        return self

    @property
    def reference(self) -> MethodConfig:
        """The method that runs in every round; the first one unless [measure] names another."""
        return next((one for one in self.method if one.label == self.measure.reference), self.method[0])

    def sizes_of(self, method: MethodConfig) -> tuple[int, ...]:
        """Candidate set sizes R of a method; none if it answers by itself."""
        return (method.n_candidates or self.measure.n_candidates) if method.takes_candidates else ()

    def settings_of(self, method: MethodConfig) -> list[Setting]:
        """How the method is searched: by itself, then cache x query parameters x R, the last varying fastest."""
        alone = [Setting(query=query) for query in method.query] if method.alone else []
        return alone + [
            Setting(query=query, n_candidates=size, cache=cache)
            for cache in (self.measure.cache if method.reads_store else ("warm",))
            for query in method.query
            for size in self.sizes_of(method) or (None,)
        ]

    def digest(self) -> str:
        """Hash of all but the texts; names the folder of the run."""
        content = self.model_dump(mode="json", exclude={"title", "source"})
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:10]


def load_suite(path: str | Path) -> SuiteConfig:
    """Read a suite file.

    Raises MissingDataError, and ConfigError whose one line names the file and, for every problem, the key, what is
    allowed and what was given.
    """
    path = Path(path)
    return validated(path, read_toml(path, "suite file"), SuiteConfig)
