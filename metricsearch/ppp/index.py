"""PPPCodes: the index of several pivot spaces, from objects to candidates (spec sections 1 to 3)."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import CorruptedError, EmptyIndexError, InvalidInputError, MissingIndexError, NonMetricError
from metricsearch.indexes import CandidateStream, Estimated, EstimatingIndex, check_options
from metricsearch.partition import PIVOT_CHOICES, pivot_pairs, pivots_and_chunks
from metricsearch.ppp.aggregation import Block, Progress
from metricsearch.ppp.budget import split_budget
from metricsearch.ppp.content import Codes, Content, check_prefixes
from metricsearch.ppp.encoding import Encoder
from metricsearch.ppp.ranking import Ranking, RankingOptions, ranking_tables
from metricsearch.ppp.saving import Learnt
from metricsearch.ppp.scores import NO_CALIBRATION, ObjectSample, learn_calibration, require_calibration
from metricsearch.ppp.searching import candidate_blocks
from metricsearch.ppp.tree import MAX_PREFIX_LENGTH
from metricsearch.sketches import PIVOT_SKETCHES, Sketch, check_sketch_bytes, fit_sketch, n_learnt
from metricsearch.spaces import Batch, Metric, Ragged, check_user_metric, get_metric
from metricsearch.spaces.chunks import iterate_chunks
from metricsearch.threads import resolve_threads
from metricsearch.validation import check_choice, check_ids, check_integer, check_positive

MAX_SPACES = 255
MAX_PIVOTS = 65536
_SKETCH_SALT = 2  # of the random numbers that fit sketches


class PPPCodes(EstimatingIndex[RankingOptions]):
    """PPP-Codes index: λ pivot spaces, prefixes of length l over k pivots each, candidates by aggregated rank.

    metric: name, specification, `Metric` or user function `f(a, b) -> float` (on vectors; wrap it in
        `FunctionMetric` for other kinds). n_spaces (λ), n_pivots (k), prefix_length (l). options: defaults of every
        query. pivot_choice: see `choose_pivots`. n_threads: None = all cores; results do not depend on it.
        sketch: kind of sketches ("product", "landmark", ...: see `fit_sketch`) that put candidates
        in order before they are read, over all λ·k pivots; None = none. sketch_bytes: memory of each.
        allow_nonmetric: take a user function although it breaks a metric postulate on a sample of the data.
    """

    def __init__(
        self,
        metric: Any = "euclidean",
        *,
        n_spaces: int = 4,
        n_pivots: int = 256,
        prefix_length: int = 8,
        options: RankingOptions | None = None,
        pivot_choice: str = "random",
        sketch: str | None = None,
        sketch_bytes: int = 32,
        seed: int = 0,
        n_threads: int | None = None,
        allow_nonmetric: bool = False,
    ) -> None:
        self.metric: Metric = get_metric(metric)
        self.n_spaces = check_integer(n_spaces, "n_spaces", 1, MAX_SPACES)
        self.n_pivots = check_integer(n_pivots, "n_pivots", 1, MAX_PIVOTS)
        self.prefix_length = check_integer(prefix_length, "prefix_length", 1, min(self.n_pivots, MAX_PREFIX_LENGTH))
        self.options = options or RankingOptions()
        self.pivot_choice = check_choice(pivot_choice, "pivot_choice", PIVOT_CHOICES)
        self.sketch = None if sketch is None else check_choice(sketch, "sketch", PIVOT_SKETCHES)
        self.sketch_bytes = 0 if sketch is None else check_sketch_bytes(sketch, sketch_bytes)
        self.seed = check_integer(seed, "seed", 0)
        self.n_threads = resolve_threads(n_threads)
        self.allow_nonmetric = allow_nonmetric
        self._check_options(self.options)
        self._learnt = Learnt()
        self._pivot_pairs: NDArray[np.float64] | None = None
        self._content = self._new_content()

    @classmethod
    def for_budget(cls, metric: Any = "euclidean", *, bytes_per_object: float, n: int, **parameters: Any) -> "PPPCodes":
        """An unbuilt index that takes, built from n objects with IDs 0 .. n - 1, at most bytes_per_object for each.

        All that grows with the objects counts; pivots and sketch map, which do not, do not (see `memory_report`).
        parameters: of the constructor but λ, k, l and the sketch, which are chosen. Raises InvalidInputError.
        """
        chosen = split_budget(bytes_per_object, n)
        if twice := sorted({*chosen, "sketch", "sketch_bytes"} & parameters.keys()):
            raise InvalidInputError(f"{twice[0]}: the budget decides; leave it out, or call PPPCodes(...)")
        return cls(metric, **chosen, **parameters)

    def _new_content(self) -> Content:
        return Content(self.n_spaces, self.n_pivots, self.prefix_length, self.sketch_bytes, self.n_threads)

    # ------------------------------------------------------------------ building

    def build(self, objects: Any, ids: Any = None, *, pivots: Any = None, sample: Any = None) -> "PPPCodes":
        """Choose pivots and index `objects`, replacing what the index held.

        objects: a sequence (array, h5py dataset, list), something with `chunks(size)`, or an iterator of chunks;
            read chunk by chunk. Pivots are chosen from a random sample, or from the first chunks of an iterator.
        ids: one int64 >= 0 per object; None = 0, 1, 2, ...
        pivots: λ·k objects to use instead, space after space. sample: objects to learn from instead of a random sample.
        Raises InvalidInputError (and leaves the index as it was) for bad objects, IDs or too few objects.
        """
        given = None if pivots is None else self.check_pivots(pivots)
        width = None if given is None else self.metric.kind.width(given)
        learnt_from = None if sample is None else self.metric.check(sample, "sample", width)
        choice = self.n_spaces, self.n_pivots, self.pivot_choice, self.seed
        drawn = pivots_and_chunks(objects, self.metric, *choice, self.check_metric, given, learnt_from, self.n_learnt)
        pivots = drawn.pivots
        fitted = None
        if self.sketch is not None:
            rng = np.random.default_rng([self.seed, _SKETCH_SALT])
            fitted = fit_sketch(self.sketch, self.sketch_bytes, self.metric, pivots, drawn.sample, rng)
        passing = ObjectSample(self.seed)
        learns = self.options.aggregation == "calibrated"
        chunks = passing.passing(drawn.chunks) if learns else drawn.chunks
        codes = self._encoder(pivots, fitted).codes_of_all(chunks)
        content = self._new_content()
        content.insert(codes, content.numbers(ids, len(codes)))
        content.consolidate()
        pairs, calibration = None, NO_CALIBRATION
        if learns:
            pairs = self._pairs_of(pivots) if self.options.ranking == "diff_norm" else None
            calibration = learn_calibration(
                self.metric, passing, codes.prefixes, pivots, pairs, self.options, self.n_threads
            )
        self._learnt, self._pivot_pairs, self._content = Learnt(pivots, calibration, fitted), pairs, content
        return self

    def insert(self, objects: Any, ids: Any = None) -> NDArray[np.int64]:
        """Index further objects; they are found at once. Returns their IDs (None: following the largest so far).

        Raises MissingIndexError before the first `build`, DuplicateIdError or InvalidInputError (nothing inserted).
        """
        encoder = self._encoder(self.flat_pivots, self._learnt.sketch)
        codes = encoder.codes_of_all(iterate_chunks(objects, self.metric, self.width))
        numbers = self._content.numbers(ids, len(codes))
        self._content.insert(codes, numbers)
        return numbers

    def insert_codes(self, codes: Codes, ids: NDArray[np.int64]) -> None:
        """Index objects by what `compute_codes` gave. Raises DuplicateIdError."""
        self._content.insert(codes, ids)

    def compute_codes(self, batch: Batch) -> Codes:
        """What the index would keep of checked objects, without indexing them. Raises MissingIndexError."""
        return self._encoder(self.flat_pivots, self._learnt.sketch).codes(batch)

    def check_metric(self, sample: Batch) -> None:
        """Raise NonMetricError if a user function breaks a postulate on `sample` and this was not allowed."""
        if not self.allow_nonmetric:
            try:
                check_user_metric(self.metric, sample, self.seed)
            except NonMetricError as error:
                raise NonMetricError(f"{error}; use a metric, or pass allow_nonmetric=True to PPPCodes") from None

    def remove(self, ids: Any) -> None:
        """Take objects out. Raises UnknownIdError if one is not there; then nothing is removed."""
        self._content.remove(check_ids(ids, "ids"))

    def consolidate(self) -> None:
        """Move inserted objects into the trees and drop removed ones. Answers do not change, memory may."""
        self._content.consolidate()

    @classmethod
    def from_prefixes(cls, prefixes: Any, pivots: Any = None, ids: Any = None, **parameters: Any) -> "PPPCodes":
        """Index of given prefixes (n, λ, l), integers below n_pivots; `rank` works without pivots."""
        table = check_prefixes(prefixes)
        index = cls(n_spaces=table.shape[1], prefix_length=table.shape[2], **parameters)
        if index.sketch is not None:
            raise InvalidInputError("sketch: cannot be made from prefixes; build the index from its objects")
        if table.max(initial=0) >= index.n_pivots:
            raise InvalidInputError(f"prefixes: expected pivot indexes in 0..{index.n_pivots - 1}, got {table.max()}")
        if pivots is not None:
            index._learnt = Learnt(index.check_pivots(pivots))
        numbers = index._content.numbers(ids, len(table))
        index._content.insert(Codes.unsketched(table.astype(np.uint16)), numbers)
        index._content.consolidate()
        return index

    def check_pivots(self, pivots: Any, width: int | None = None) -> Batch:
        """λ·k pivots, also (λ, k, d), as a batch; width: that of the objects. Raises InvalidInputError."""
        flat = np.asarray(pivots).reshape(-1, pivots.shape[-1]) if getattr(pivots, "ndim", 0) == 3 else pivots
        batch = self.metric.check(flat, "pivots", width)
        if len(batch) != self.n_spaces * self.n_pivots:
            raise InvalidInputError(
                f"pivots: expected {self.n_spaces} x {self.n_pivots} = {self.n_spaces * self.n_pivots} objects, "
                f"got {len(batch)}"
            )
        return batch

    @property
    def flat_pivots(self) -> Batch:
        """All λ·k pivots, space after space. Raises MissingIndexError before there are any."""
        if self._learnt.pivots is None:
            raise MissingIndexError("index: no pivots yet; call build() first")
        return self._learnt.pivots

    @property
    def n_learnt(self) -> int:
        """From how many objects a build learns at most, besides choosing pivots."""
        return 0 if self.sketch is None else n_learnt(self.sketch)

    def _encoder(self, pivots: Batch, sketch: Sketch | None) -> Encoder:
        return Encoder(self.metric, pivots, self.n_spaces, self.prefix_length, sketch, self.n_threads)

    # ------------------------------------------------------------------ searching

    @property
    def width(self) -> int | None:
        """Width of the pivots, and so of all objects. Raises MissingIndexError."""
        return self.metric.kind.width(self.flat_pivots)

    def stream_candidates(
        self, query: Batch, n_candidates: int, options: RankingOptions | None = None, first_block: int | None = None
    ) -> CandidateStream:
        """The best objects by `RankingOptions.aggregation`, then by their sketches if there are any."""
        options = check_options(options, RankingOptions, self.options)
        require_calibration(options, self._learnt.calibration)
        check_positive(n_candidates, "n_candidates")  # now, not when the first block is taken
        distances = self.pivot_distances(query)
        progress = self.new_progress(options)
        blocks = self.stream(distances, n_candidates, options, progress, first_block)
        return CandidateStream((ids for ids, _, _ in blocks), distances.size, progress.n_ids_ranked)

    @property
    def estimate_power(self) -> int | None:
        """See `EstimatingIndex`."""
        return None if self._learnt.sketch is None else self._learnt.sketch.power

    def estimated(
        self, query: Batch, n_candidates: int, options: RankingOptions | None = None, *, of_all: bool = False
    ) -> Estimated:
        """See `EstimatingIndex`."""
        options = check_options(options, RankingOptions, self.options)
        if self._learnt.sketch is None or options.n_sketched == 0:
            raise InvalidInputError("index: sketches are needed; build PPPCodes(sketch='product'), and no n_sketched=0")
        options = replace(options, n_sketched=len(self)) if of_all else options
        distances, progress = self.pivot_distances(query), self.new_progress(options)
        ((ids, estimates, _),) = self.stream(distances, n_candidates, options, progress)
        return Estimated(ids, estimates, distances.size, progress.n_ids_ranked)

    def pivot_distances(self, query: Batch) -> NDArray[np.float64]:
        """Distances δ(q, p) of a checked query to all pivots: (n_spaces, n_pivots) float64."""
        distances = self.metric.distances(query, self.flat_pivots)
        return distances.reshape(self.n_spaces, self.n_pivots)

    def rank(
        self, pivot_distances: NDArray[np.float64], n_candidates: int, options: RankingOptions | None = None
    ) -> Ranking:
        """The exact top R for given query-pivot distances (n_spaces, n_pivots). Raises as `stream_candidates` does."""
        progress = self.new_progress(options)
        blocks = list(self.stream(pivot_distances, n_candidates, options, progress))
        ids, merits, hits = (np.concatenate(part) for part in zip(*blocks, strict=True))
        ranks = merits if merits.dtype == np.int64 else np.empty(0, dtype=np.int64)
        return Ranking(ids, merits.astype(np.float64), ranks, hits, progress.n_ids_ranked, progress.n_looked)

    def new_progress(self, options: RankingOptions | None = None) -> Progress:
        """Counters for `stream`."""
        return Progress(np.zeros((options or self.options).n_used(self.n_spaces), dtype=np.int64))

    def stream(
        self,
        pivot_distances: NDArray[np.float64],
        n_candidates: int,
        options: RankingOptions | None,
        progress: Progress,
        first_block: int | None = None,
    ) -> Iterator[Block]:
        """Blocks of (ids, what they are ordered by, hits): the candidates of `rank` in the same order.

        first_block: see `stream_candidates`. `progress` is advanced block by block.
        """
        options = self._check_options(options or self.options)
        view = self._content.view()
        n_wanted = min(check_positive(n_candidates, "n_candidates"), view.n_objects)
        if not n_wanted:
            raise EmptyIndexError("candidates: the index holds no objects; build it first")
        distances = np.asarray(pivot_distances, dtype=np.float64)
        learnt = self._learnt
        tables = ranking_tables(
            distances, self.n_spaces, self.n_pivots, self.prefix_length, options, self._pairs_for(options)
        )
        query = None
        if learnt.sketch is not None and options.n_sketched != 0:
            if len(distances) < self.n_spaces:
                raise InvalidInputError(f"pivot_distances: sketches need those of all {self.n_spaces} spaces")
            query = learnt.sketch.query(self.flat_pivots[:0], distances.ravel())
        rest = query, n_wanted, first_block, progress, self.n_threads
        yield from candidate_blocks(view, tables, options, learnt.calibration, *rest)

    def _pairs_for(self, options: RankingOptions) -> NDArray[np.float64] | None:
        """Pivot-pivot distances (λ, k, k) if `options` need them, computed when first needed."""
        if options.ranking != "diff_norm":
            return None
        if self._pivot_pairs is None:
            self._pivot_pairs = self._pairs_of(self.flat_pivots)
        return self._pivot_pairs

    def _pairs_of(self, pivots: Batch) -> NDArray[np.float64]:
        return pivot_pairs(self.metric, pivots, self.n_spaces, self.n_threads)

    def _check_options(self, options: RankingOptions) -> RankingOptions:
        for value, limit, name in (
            (options.n_spaces, self.n_spaces, "n_spaces"),
            (options.max_level, self.prefix_length, "max_level"),
        ):
            if value is not None:
                check_integer(value, f"options.{name}", 1, limit)
        return options

    # ------------------------------------------------------------------ looking inside

    def __len__(self) -> int:
        return len(self._content)

    @property
    def pivots(self) -> Any:
        """Pivots by space: (n_spaces, n_pivots, d) for vectors and bits, else one batch of λ·k objects."""
        pivots = self.flat_pivots
        return pivots if isinstance(pivots, Ragged) else pivots.reshape(self.n_spaces, self.n_pivots, -1)

    def ids(self) -> NDArray[np.int64]:
        """IDs of all objects, ascending."""
        return self._content.ids()

    def ordinals_of(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """(n,) int64 numbers below `n_ordinals`, one for each object in the index, until its next change."""
        return self._content.ordinals_of(ids)

    @property
    def n_ordinals(self) -> int:
        """Upper bound of `ordinals_of`."""
        return self._content.n_ordinals

    def prefixes_of(self, ids: Any) -> NDArray[np.uint16]:
        """Stored prefixes (n, n_spaces, prefix_length) of objects. Raises UnknownIdError."""
        return self._content.prefixes_of(check_ids(ids, "ids"))

    def memory_report(self) -> dict[str, int]:
        """Bytes that stay resident, by part."""
        pairs = 0 if self._pivot_pairs is None else self._pivot_pairs.nbytes
        return self._content.memory_report() | self._learnt.memory_report() | {"pivot pairs": pairs}

    # ------------------------------------------------------------------ saving

    def parameters(self) -> dict[str, Any]:
        """JSON-able parameters; with `to_arrays` all that `from_arrays` needs."""
        return {
            "metric": self.metric.spec(),
            "n_spaces": self.n_spaces,
            "n_pivots": self.n_pivots,
            "prefix_length": self.prefix_length,
            "options": asdict(self.options),
            "pivot_choice": self.pivot_choice,
            "sketch": self.sketch,
            "sketch_bytes": self.sketch_bytes,
            "seed": self.seed,
            "allow_nonmetric": self.allow_nonmetric,
        }

    @classmethod
    def from_parameters(
        cls, parameters: dict[str, Any], *, metric: Any = None, n_threads: int | None = None
    ) -> "PPPCodes":
        """Empty index with the given `parameters()`. metric: needed only where it is a user function."""
        settings = dict(parameters)
        settings["metric"] = settings["metric"] if metric is None else metric
        settings["options"] = RankingOptions(**settings["options"])
        return cls(**settings, n_threads=n_threads)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """All arrays by name, after consolidation. The same objects and pivots give the same bits."""
        return self._content.to_arrays() | self._learnt.to_arrays()

    @classmethod
    def from_arrays(
        cls,
        parameters: dict[str, Any],
        arrays: dict[str, NDArray[Any]],
        *,
        n: int,
        metric: Any = None,
        n_threads: int | None = None,
        where: str = "index",
    ) -> "PPPCodes":
        """Index of n objects from `parameters()` and `to_arrays()`; arrays may be memory-mapped.

        metric: see `from_parameters`. Raises CorruptedError if the arrays do not fit.
        """
        index = cls.from_parameters(parameters, metric=metric, n_threads=n_threads)
        index._content.set_arrays(arrays, n, where)
        learnt = Learnt.from_arrays(arrays, index.n_spaces, index.n_pivots, index.sketch, index.sketch_bytes, where)
        if learnt.pivots is not None:
            try:
                learnt = replace(learnt, pivots=index.check_pivots(learnt.pivots))
            except InvalidInputError as error:
                raise CorruptedError(f"{where}: {error}; rebuild the index") from None
        index._learnt = learnt
        return index
